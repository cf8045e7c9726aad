#!/usr/bin/env bash
# Removes what the kit made on this machine, found by its label `sallyport=1`, and nothing else. Debian packages stay.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/lib.sh"
cd "$here/.."

"$here/machine.sh" stop

if find_docker; then
  say "containers, networks, images with the label sallyport=1"
  ours=(--filter label=sallyport=1 --quiet)
  "${DOCKER[@]}" ps --all "${ours[@]}" | xargs -r "${DOCKER[@]}" rm --force --volumes
  "${DOCKER[@]}" network ls "${ours[@]}" | xargs -r "${DOCKER[@]}" network rm
  "${DOCKER[@]}" images "${ours[@]}" | sort -u | xargs -r "${DOCKER[@]}" rmi --force
fi

# the daemon that set-up started by hand, known by its pid file in its own arguments
pid=$(cat "$OUR_PIDFILE" 2>/dev/null || true)
if [ -n "$pid" ] && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "--pidfile $OUR_PIDFILE"; then
  if [ -n "$("${DOCKER[@]}" ps --quiet)" ]; then
    printf 'The Docker Engine stays: other containers run in it. To end it later: kill %s\n' "$pid"
  else
    say "engine"
    as_root kill "$pid"
    for _ in $(seq 60); do
      [ -d "/proc/$pid" ] || break
      sleep 0.5
    done
    [ ! -d "/proc/$pid" ] || fail "the Docker Engine (process $pid) did not end within 30 s. End it: kill -9 $pid"
    as_root rm -f "$OUR_LOG"
  fi
fi

say "this folder: .venv, caches, the demo's report and secrets"
rm -rf .venv .cache .ansible .mypy_cache .ruff_cache .hypothesis build reports/demo
rm -rf inventories/demo/.ssh inventories/demo/invitations inventories/demo/partners
rm -f inventories/demo/vault.yml inventories/demo/.vault-password inventories/demo/ca.crt inventories/demo/archive.pub
