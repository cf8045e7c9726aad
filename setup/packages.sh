#!/usr/bin/env bash
# Debian packages that the control node needs beside Docker: the virtual environment, SSH, the linters of Lua, and nft,
# which reads the rulesets in the unit tests.
# Argument: the Python interpreter that the virtual environment is made with.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

case $PWD in
  *[[:space:]]*) fail "the path of this folder has a blank: $PWD" "Move the kit to a path without one; SSH and Molecule need that." ;;
esac
[ ${#SUDO[@]} -eq 0 ] || sudo --non-interactive true 2>/dev/null ||
  fail "sudo asks for a password, which Ansible cannot type." "Run make as root, or let $(id -un) use sudo without a password."

python=$1
command -v "$python" >/dev/null || install_packages python3
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "$python is $("$python" --version 2>&1); the kit needs Python 3.11 or newer. Name one: make PYTHON=/path/to/python3.11"
"$python" -c 'import ensurepip, venv' 2>/dev/null || install_packages python3-venv
command -v ssh-keygen >/dev/null || install_packages openssh-client
install_packages lua-check lua-busted nftables
