#!/usr/bin/env bash
# Makes sure that a Docker Engine answers. One that answers already is left alone.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

find_docker && exit 0
[ -z "${DOCKER_HOST:-}" ] ||
  fail "no Docker Engine answers at DOCKER_HOST=$DOCKER_HOST" "Start it, or unset DOCKER_HOST to use an engine of this machine."

# an engine of another make is not replaced, only started
command -v dockerd >/dev/null || install_packages docker.io iptables
find_docker && exit 0 # its package starts it where systemd runs

say "engine"
if [ -d /run/systemd/system ]; then
  as_root systemctl start docker || fail "systemd could not start Docker." "See: journalctl -u docker"
else
  as_root sh -c "setsid dockerd --pidfile $OUR_PIDFILE >>$OUR_LOG 2>&1 </dev/null &"
fi
for _ in $(seq 60); do
  find_docker && exit 0
  sleep 0.5
done
[ -d /run/systemd/system ] || as_root tail -n 5 "$OUR_LOG" >&2
fail "the Docker Engine did not answer within 30 s." \
  "See $OUR_LOG (or journalctl -u docker). A container needs nesting allowed by its host; a machine needs the kernel's overlay and bridge."
