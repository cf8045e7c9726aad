#!/usr/bin/env bash
# An emulated machine with Debian's own kernel in the place of a test host's container: same name, same addresses, same
# SSH keys, real packets through the same bridges. For what a container cannot show: kernel modules, AppArmor, audit,
# kernel settings, mount options, boot.
#
#   setup/machine.sh start [container]    the container is stopped (default: sallyport-im-int)
#   setup/machine.sh stop                 the machine is switched off and thrown away, the container started again
#   setup/machine.sh console              the last lines of its console
#
# There is no boot loader: the emulator loads kernel and initrd, at each reboot anew. All else is a machine as Debian's
# installer leaves it, on five disks (see machine/fstab).
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/lib.sh"
root=$(readlink -f "$here/..")
disks=$root/.cache/machine
pidfile=$disks/pid
name=sallyport-machine # `make clean` knows the process by it
start_seconds=${SALLYPORT_MACHINE_SECONDS:-420}
kvm_seconds=20

# The process id of our machine, when it runs.
running() {
  local pid
  pid=$(as_root cat "$pidfile" 2>/dev/null) || return 1
  tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "-name $name " || return 1
  printf '%s\n' "$pid"
}

console() {
  # without the terminal's control sequences
  tail -n "${1:-15}" "$disks/console.log" 2>/dev/null | sed 's/\x1b\[[0-9;?!]*[A-Za-z]//g; s/[^[:print:]\t]//g' || true
}

stop() {
  [ -d "$disks" ] || return 0
  local pid
  if pid=$(running); then
    say "machine off"
    # its disks are thrown away, so nothing needs to be written to them
    as_root kill "$pid"
    for _ in $(seq 100); do
      [ -d "/proc/$pid" ] || break
      sleep 0.1
    done
    [ ! -d "/proc/$pid" ] || fail "the emulated machine (process $pid) did not end. End it: kill -9 $pid"
  fi
  for tap in sallyport-tap0 sallyport-tap1 sallyport-tap2; do
    [ ! -e "/sys/class/net/$tap" ] || as_root ip link delete "$tap"
  done
  if [ -e "$disks/instead-of" ]; then
    find_docker || fail "no Docker Engine answers, so the container cannot be started again; run make engine"
    local container
    container=$(cat "$disks/instead-of")
    # one that was removed meanwhile is nobody's loss
    ! "${DOCKER[@]}" container inspect "$container" >/dev/null 2>&1 || "${DOCKER[@]}" start "$container" >/dev/null
  fi
  as_root rm -rf "$disks"
}

# Says with what the machine is emulated. A processor may be offered by /dev/kvm and Debian's kernel still fail on it: it
# is tried with a kernel that finds no disk, panics and so ends the emulator.
accelerator() {
  if [ -e /dev/kvm ]; then
    as_root timeout --signal KILL "$kvm_seconds" qemu-system-x86_64 -accel kvm -cpu host -m 512 -nodefaults -no-reboot \
      -display none -serial "file:$disks/kvm.log" -kernel "$disks/vmlinuz" -append "console=ttyS0 panic=-1" \
      -pidfile "$disks/kvm.pid" >"$disks/kvm.said" 2>&1 &
    local tried=$!
    # an emulator whose processor has failed waits for ever
    while [ -d "/proc/$tried" ] && ! grep -q 'internal error' "$disks/kvm.said"; do sleep 0.2; done
    [ ! -d "/proc/$tried" ] || as_root kill "$(as_root cat "$disks/kvm.pid")" || true
    wait "$tried" 2>/dev/null || true
    if as_root grep -qs 'Kernel panic' "$disks/kvm.log"; then
      printf '%s\n' "-accel kvm -cpu host"
      return
    fi
  fi
  # la57 off: a page walk has one level less
  printf '%s\n' "-accel tcg,thread=multi -cpu max,la57=off"
}

# Whether an SSH server greets at the address. What the machine sends is read past its firewall's rules: from here.
greets() {
  timeout 5 bash -c 'exec 3<>"/dev/tcp/$1/22" && read -r -t 4 line <&3 && [[ $line = SSH-* ]]' - "$1" 2>/dev/null
}

start() {
  local container=$1 pid
  if pid=$(running); then
    say "machine runs (process $pid)"
    return
  fi
  install_packages qemu-system-x86 e2fsprogs iproute2
  [ -e /dev/net/tun ] || as_root modprobe tun 2>/dev/null || true
  [ -e /dev/net/tun ] || fail "/dev/net/tun is not there: the machine cannot be attached to Docker's networks." "Load the kernel's module tun, or allow the device in this container."
  find_docker || fail "no Docker Engine answers; run make engine"
  "${DOCKER[@]}" container inspect "$container" >/dev/null 2>&1 || fail "there is no container $container, whose place the machine takes; run make demo"
  local packed
  packed=$("$here/machine/debian.sh")

  as_root rm -rf "$disks"
  mkdir -p "$disks/own/etc/ssh" "$disks/own/home/ops/.ssh"
  chmod 700 "$disks" # it holds the host's private keys
  printf '%s\n' "$container" >"$disks/instead-of"

  say "disks"
  local networks interface
  "${DOCKER[@]}" inspect "$container" >"$disks/container.json"
  networks=$("${DOCKER[@]}" inspect --format '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}' "$container")
  # shellcheck disable=SC2086 # names of networks have no blanks
  "${DOCKER[@]}" network inspect $networks >"$disks/networks.json"
  "$root/.venv/bin/python" "$here/machine/from_container.py" "$disks/container.json" "$disks/networks.json" "$disks/own" >"$disks/interfaces"
  local file
  for file in ssh_host_ed25519_key ssh_host_ecdsa_key ssh_host_rsa_key; do
    # a hardened host may have fewer kinds of key
    "${DOCKER[@]}" cp "$container:/etc/ssh/$file" "$disks/own/etc/ssh/" >/dev/null 2>&1 || continue
    "${DOCKER[@]}" cp "$container:/etc/ssh/$file.pub" "$disks/own/etc/ssh/" >/dev/null 2>&1
  done
  "${DOCKER[@]}" inspect --format '{{range .Config.Env}}{{println .}}{{end}}' "$container" |
    sed -n 's/^TEST_HOST_KEY=//p' >"$disks/own/home/ops/.ssh/authorized_keys"
  [ -e "$disks/own/etc/ssh/ssh_host_ed25519_key" ] || fail "$container has no SSH host key; start it once: run make demo"
  as_root "$here/machine/disks.sh" "$packed" "$disks/own" "$disks"
  for file in vmlinuz initrd.img; do
    as_root tar --extract --file "$packed" --to-stdout --wildcards "./boot/$file-*" >"$disks/$file"
  done

  say "machine (about a minute without hardware virtualisation)"
  local how words=() number=0 address mac disk
  how=$(accelerator)
  "${DOCKER[@]}" stop "$container" >/dev/null
  while read -r interface mac; do
    as_root ip tuntap add dev "sallyport-tap$number" mode tap
    as_root ip link set dev "sallyport-tap$number" master "$interface" up
    words+=(-netdev "tap,id=net$number,ifname=sallyport-tap$number,script=no,downscript=no")
    words+=(-device "virtio-net-pci,netdev=net$number,mac=$mac")
    number=$((number + 1))
  done <"$disks/interfaces"
  for disk in system var log vartmp home; do
    # the disks are thrown away with the machine: what this machine has cached counts as written
    words+=(-drive "file=$disks/$disk.img,if=virtio,format=raw,cache=unsafe")
  done
  # root opens the interfaces and the disks; the emulator then goes on as nobody
  # shellcheck disable=SC2086 # several words each
  as_root qemu-system-x86_64 -name "$name" $how -smp 2 -m 2048 -nodefaults -no-user-config -display none -rtc base=utc \
    -runas nobody -pidfile "$pidfile" -daemonize -serial "file:$disks/console.log" -device virtio-rng-pci "${words[@]}" \
    -kernel "$disks/vmlinuz" -initrd "$disks/initrd.img" -append "root=LABEL=system ro console=ttyS0 quiet systemd.show_status=true" ||
    fail "the emulator did not start; see above."

  address=$(sed -n 's/^Address=\([0-9.]*\)\/.*/\1/p' "$disks"/own/etc/systemd/network/10-*.network | head -n 1)
  local begun=$SECONDS told=0
  until greets "$address"; do
    running >/dev/null || fail "the emulated machine ended by itself. The last lines of its console:" "$(console)"
    [ $((SECONDS - begun)) -lt "$start_seconds" ] ||
      fail "no SSH at $address within $start_seconds s. The last lines of the machine's console:" "$(console)" "Look again: setup/machine.sh console. Throw it away: setup/machine.sh stop"
    if [ $((SECONDS - begun - told)) -ge 20 ]; then
      told=$((SECONDS - begun))
      printf '   %s s: %s\n' "$told" "$(console 1)"
    fi
    sleep 1
  done
  say "machine answers at $address after $((SECONDS - begun)) s (${how%% -cpu*})"
}

case ${1:-} in
  start) start "${2:-sallyport-im-int}" ;;
  stop) stop ;;
  console) console 40 ;;
  *) fail "what to do? setup/machine.sh start [container], stop, or console" ;;
esac
