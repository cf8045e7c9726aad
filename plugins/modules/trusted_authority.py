#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: let a Debian host trust an authority, as every program on it sees it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: trusted_authority
author: The Sallyport engineers (@sallyport)
short_description: Let a host trust the authority of the site
version_added: "0.1.0"
description:
  - Puts the certificate of an authority under C(/usr/local/share/ca-certificates) and has update-ca-certificates take
    it into the trust store of the host, only when the store does not hold it yet.
  - Looks at the store itself and not at what an earlier task changed, so an interrupted run is finished by the next
    one, and a store that was changed by hand is mended.
requirements:
  - the package ca-certificates on the host
options:
  content:
    description: The certificate, PEM. Public.
    type: str
    required: true
  file:
    description: Where it stands on the host; below C(/usr/local/share/ca-certificates), its name ends in C(.crt).
    type: path
    required: true
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
"""

EXAMPLES = r"""
- name: Trust the authority of the site
  sallyport.im.trusted_authority:
    content: "{{ lookup('ansible.builtin.file', inventory_dir ~ '/ca.crt') }}"
    file: /usr/local/share/ca-certificates/sallyport-oslo.crt
"""

RETURN = r"""
differences:
  description: What is (in check mode) or was not as it should be, one line each.
  type: list
  elements: str
  returned: success
  sample: ["/etc/ssl/certs/ca-certificates.crt: is without the authority, should be with it"]
"""

import os
import re
import stat
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

FOLDER = Path("/usr/local/share/ca-certificates")  # update-ca-certificates(8)
STORE = Path("/etc/ssl/certs")
BUNDLE = STORE / "ca-certificates.crt"
_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)


def certificates_in(text: str) -> list[str]:
    """Return the certificates of a PEM text, each as its base64 without line breaks, so that layout does not count.

    Args:
        text: any number of PEM certificates with anything between them.
    """
    return ["".join(block.split()) for block in _BLOCK.findall(text)]


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""


def _owner_and_mode(file: Path) -> str:
    about = file.stat()
    return f"user {about.st_uid}, {stat.S_IMODE(about.st_mode):04o}"


def differences(file: Path, content: str, store: Path = STORE) -> list[str]:
    """Compare a host's trust with what it should be.

    Args:
        file: where the certificate should stand.
        content: the certificate, PEM.
        store: folder of the trust store.

    Returns:
        One line for each difference.
    """
    wanted = certificates_in(content)
    found = []
    if not file.is_file():
        found.append(f"{file}: is missing, should be the certificate of the authority")
    elif _read(file) != content:
        found.append(f"{file}: is another text, should be the certificate of the authority")
    elif (about := _owner_and_mode(file)) != (wanted_rights := f"user {os.geteuid()}, {0o644:04o}"):
        found.append(f"{file}: is of {about}, should be of {wanted_rights}")
    bundle = store / BUNDLE.name
    if wanted[0] not in certificates_in(_read(bundle)):
        found.append(f"{bundle}: is without the authority, should be with it")
    single = store / f"{file.stem}.pem"
    if certificates_in(_read(single)) != wanted:
        found.append(f"{single}: is not the certificate of the authority, should be a link to it")
    return found


def write(file: Path, content: str) -> None:
    """Write a file whole or not at all, mode 0644.

    Args:
        file: where; its folder exists.
        content: what.
    """
    descriptor, name = tempfile.mkstemp(prefix=".sallyport-", dir=file.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(content)
        os.fchmod(stream.fileno(), 0o644)
        stream.flush()
        os.fsync(stream.fileno())
    Path(name).replace(file)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"content": {"type": "str", "required": True}, "file": {"type": "path", "required": True}},
        supports_check_mode=True,
    )
    file, content = Path(module.params["file"]), module.params["content"].strip() + "\n"
    if len(certificates_in(content)) != 1:
        module.fail_json(msg="content: is not one PEM certificate; give the content of the site's ca.crt")
    if FOLDER not in file.parents or ".." in file.parts or file.suffix != ".crt":
        module.fail_json(msg=f"file: is {file}, allowed is a name that ends in .crt below {FOLDER}")
    found = differences(file, content)
    if found and not module.check_mode:
        program = module.get_bin_path("update-ca-certificates")
        if not program:
            module.fail_json(msg="update-ca-certificates is missing on this host; install the package ca-certificates")
        file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        write(file, content)
        code, _output, error = module.run_command([program])
        left = differences(file, content)
        if code != 0 or left:
            module.fail_json(msg=f"update-ca-certificates did not take the authority in: {error or '; '.join(left)}")
    lines = "".join(f"{line}\n" for line in found)
    diff = {"before": lines, "after": "", "before_header": "trust", "after_header": "trust"}
    module.exit_json(changed=bool(found), differences=found, diff=diff)


if __name__ == "__main__":
    main()
