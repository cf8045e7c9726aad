#!/usr/bin/env bash
# Makes the disks of the emulated machine, as root: unpacks Debian, lays the files of this host over it, and writes each
# file system from its part of the tree. Nothing is mounted.
# Arguments: the packed Debian, the folder with the host's own files, the folder for the disks.
set -euo pipefail
packed=$1 own=$2 disks=$3
here=$(dirname "$(readlink -f "$0")")

tree=$(mktemp -d "$disks/tree.XXXXXX")
trap 'rm -rf "$tree"' EXIT
tar --directory "$tree" --extract --file "$packed" --numeric-owner --exclude './dev/*'
cp --recursive --no-preserve=mode,ownership "$own/." "$tree/"
cp --no-preserve=mode,ownership "$here/fstab" "$tree/etc/fstab"

chmod 600 "$tree"/etc/ssh/ssh_host_*_key
chmod 700 "$tree/home/ops/.ssh"
chmod 600 "$tree/home/ops/.ssh/authorized_keys"
chown --recursive --reference "$tree/home/ops" "$tree/home/ops/.ssh"
# there are no package lists yet; their folder must not look as if they had just been fetched
touch --date @0 "$tree/var/lib/apt/lists"

# label, part of the tree, size; a part is moved out before what is around it is written
file_system() {
  local part="$tree/part"
  if [ -n "$2" ]; then
    mv "$tree/$2" "$part"
    install -d "$tree/$2"
  else
    part=$tree
  fi
  truncate --size "$3" "$disks/$1.img"
  # root_owner of the file system is that of the folder; a sparse file costs only what is in it
  mke2fs -q -t ext4 -L "$1" -d "$part" -E "root_owner=0:0,lazy_itable_init=0" "$disks/$1.img"
  [ "$part" = "$tree" ] || rm -rf "$part"
}
chmod 1777 "$tree/var/tmp"
file_system vartmp var/tmp 256M
file_system log var/log 1G
file_system var var 4G
file_system home home 512M
file_system system '' 4G
