#!/usr/bin/env bash
# Packs Debian with its own kernel and the packages of the internal server, once per recipe, and prints the file's name.
# The recipe is this file and the list of packages.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/../lib.sh"
root=$(readlink -f "$here/../..")
cache=$root/.cache
ssh_settings=$here/../test-host/test-host.conf

# What the roles install is built in, since an emulated machine installs packages ten times as slowly.
roles=$(PYTHONPATH=$root/collections "$root/.venv/bin/python" -c '
from ansible_collections.sallyport.im.plugins.plugin_utils.derive import BASE_PACKAGES, HOST_PACKAGES
print(",".join(sorted({*BASE_PACKAGES, *HOST_PACKAGES["im_internal"]})))
') || fail "the virtual environment is not whole; run make test, or make demo"
machine=linux-image-cloud-amd64,initramfs-tools,udev,kmod,systemd-sysv,dbus,libpam-systemd,apparmor
host=python3,python3-apt,openssh-server,sudo,nftables,iproute2,iputils-ping,procps
packages=$roles,$machine,$host,lynis # the last is the tests' own

recipe=$(printf '%s\n' "$packages" | cat - "$here/debian.sh" "$ssh_settings" | sha256sum | cut -c 1-12)
packed=$cache/machine-$recipe.tar
if [ ! -e "$packed" ]; then
  install_packages mmdebstrap >&2
  say "machine: Debian with its own kernel (a minute or two, once)" >&2
  mkdir -p "$cache"
  rm -f "$cache"/machine-*.tar "$cache"/machine-*.tar.new
  # Prosody must not run with its example configuration; the kit switches it on
  as_root mmdebstrap --quiet --variant=minbase --format=tar --include="$packages" --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook="copy-in $ssh_settings /etc/ssh/sshd_config.d" \
    --customize-hook='chroot "$1" chown root:root /etc/ssh/sshd_config.d/test-host.conf' \
    --customize-hook='chroot "$1" useradd --create-home --shell /bin/bash ops' \
    --customize-hook='echo "ops ALL=(ALL) NOPASSWD: ALL" >"$1/etc/sudoers.d/ops" && chmod 440 "$1/etc/sudoers.d/ops"' \
    --customize-hook='rm -f "$1"/etc/ssh/ssh_host_*; : >"$1/etc/machine-id"' \
    --customize-hook='systemctl --quiet --root="$1" enable systemd-networkd.service ssh.service' \
    --customize-hook='systemctl --quiet --root="$1" disable prosody.service' \
    --customize-hook='systemctl --quiet --root="$1" mask apt-daily.timer apt-daily-upgrade.timer' \
    --customize-hook='systemctl --quiet --root="$1" disable lynis.timer' \
    trixie "$packed.new" >&2 || fail "mmdebstrap could not pack it; see above. It needs Debian's archive over the network."
  mv -f "$packed.new" "$packed"
fi
printf '%s\n' "$packed"
