#!/usr/bin/env bash
# Makes the image of the test hosts from Debian's packages, once per recipe, and prints its name.
# The recipe is this file and the folder test-host/ beside it.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/lib.sh"
cache="$here/../.cache"
files="$here/test-host"

recipe=$(cat "$here/image.sh" "$files"/* | sha256sum | cut -c 1-12)
image="sallyport/test-host:trixie-$recipe"

find_docker || fail "no Docker Engine answers; run make engine"
if ! "${DOCKER[@]}" image inspect "$image" >/dev/null 2>&1; then
  say "image: $image (about half a minute)" >&2
  install_packages mmdebstrap >&2
  mkdir -p "$cache"
  tar="$cache/test-host.tar"
  trap 'rm -f "$tar"' EXIT
  packages=systemd-sysv,dbus,python3,python3-apt,openssh-server,sudo,nftables,iproute2,iputils-ping,procps,ca-certificates,openssl
  as_root mmdebstrap --quiet --variant=minbase --include="$packages" \
    --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook="copy-in $files/boot $files/init /usr/local/sbin" \
    --customize-hook="copy-in $files/test-host.service /etc/systemd/system" \
    --customize-hook="copy-in $files/test-host.conf /etc/ssh/sshd_config.d" \
    --customize-hook='chroot "$1" chmod 755 /usr/local/sbin/boot /usr/local/sbin/init' \
    --customize-hook='chroot "$1" chown -R root:root /usr/local/sbin /etc/systemd/system/test-host.service /etc/ssh/sshd_config.d' \
    --customize-hook='chroot "$1" useradd --create-home --shell /bin/bash ops' \
    --customize-hook='echo "ops ALL=(ALL) NOPASSWD: ALL" >"$1/etc/sudoers.d/ops" && chmod 440 "$1/etc/sudoers.d/ops"' \
    --customize-hook='rm -f "$1"/etc/ssh/ssh_host_*; : >"$1/etc/machine-id"' \
    --customize-hook='systemctl --quiet --root="$1" enable test-host.service ssh.service' \
    --customize-hook='systemctl --quiet --root="$1" mask apt-daily.timer apt-daily-upgrade.timer console-getty.service getty.target systemd-udev-trigger.service' \
    trixie "$tar" >&2 || fail "mmdebstrap could not make the image; see above. It needs Debian's archive over the network."
  "${DOCKER[@]}" import --change 'LABEL sallyport=1' "$tar" "$image" >/dev/null
  # those of older recipes; one that a container still uses stays
  "${DOCKER[@]}" images --filter label=sallyport=1 --format '{{.Repository}}:{{.Tag}}' | grep -vxF "$image" |
    xargs -r "${DOCKER[@]}" rmi >/dev/null 2>&1 || true
fi
printf '%s\n' "$image"
