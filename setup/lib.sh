# What the set-up scripts share; sourced by bash, with `set -euo pipefail` in force.

say() { printf '== %s ==\n' "$*"; }

fail() {
  printf 'set-up: %s\n' "$@" >&2
  exit 1
}

# dpkg and dockerd want these, and a root made by plain su has them not
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# Changes to the machine need root: directly, or through sudo.
SUDO=()
[ "$(id -u)" -eq 0 ] || SUDO=(sudo)

as_root() {
  [ ${#SUDO[@]} -eq 0 ] || command -v sudo >/dev/null ||
    fail "this needs root: $*" "Run make as root, or install sudo and allow it to $(id -un)."
  "${SUDO[@]}" "$@"
}

# Installs those of the named Debian packages that are missing.
install_packages() {
  local missing=() package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null ||
    fail "missing on this machine: ${missing[*]}" "It has no apt-get. Install what these Debian packages hold, then run make again."
  say "packages: ${missing[*]}"
  as_root apt-get -qq update || fail "apt-get update failed; see above. Check /etc/apt/sources.list and the network."
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-remove --no-install-recommends "${missing[@]}" >/dev/null ||
    fail "apt-get could not install: ${missing[*]}" "Install them by hand, then run make again."
}

# Sets DOCKER to the command that reaches the engine; fails when none answers.
find_docker() {
  command -v docker >/dev/null || return 1
  DOCKER=(docker)
  docker info >/dev/null 2>&1 && return 0
  [ ${#SUDO[@]} -gt 0 ] && command -v sudo >/dev/null || return 1
  DOCKER=("${SUDO[@]}" docker)
  "${DOCKER[@]}" info >/dev/null 2>&1
}

# A daemon that we start by hand carries this file in its arguments; that is how `make clean` knows it again.
OUR_PIDFILE=/run/sallyport-dockerd.pid
OUR_LOG=/var/log/sallyport-dockerd.log
