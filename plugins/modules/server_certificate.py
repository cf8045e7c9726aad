#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: the private key and the certificate of a server. Host side; the action plugin of the same name leads it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: server_certificate
author: The Sallyport engineers (@sallyport)
short_description: Keep the certificate of a server valid, signed by the authority of the site
version_added: "0.1.0"
description:
  - Makes a private key (EC P-256) on the host and installs a certificate for it that the site's own authority signed.
    The private key never leaves the host, the key of the authority never leaves the control node.
  - Renews both in any run when less than a third of the certificate's life is left, and when its names, its lifetime,
    its key or the authority are not those that are wanted.
  - The files are C(fullchain.pem) (mode 0644) and C(privkey.pem) (mode 0640, readable by O(group)) in O(directory).
    They are links into one folder that is switched in one step, so a key and a certificate that do not belong together
    never stand there, and an interrupted run is finished by the next one. Old keys are removed.
  - The key of the authority is read from C(inventories/<site>/vault.yml) on the control node, and only when something
    has to be signed; its certificate is C(inventories/<site>/ca.crt).
  - Restarts and reloads nothing.
requirements:
  - the package openssl on the host
  - the Python library cryptography on the control node
options:
  directory:
    description: Folder of the certificate on the host; made when it is missing.
    type: path
    default: /etc/sallyport/tls
  common_name:
    description: Common name in the subject, for people who read certificates.
    type: str
    required: true
  dns:
    description: DNS names of the certificate (dNSName), exactly these.
    type: list
    elements: str
    required: true
  srv:
    description: Names of services in the certificate (SRVName of RFC 4985), as C(_xmpp-client.im.example.com).
    type: list
    elements: str
    default: []
  xmpp:
    description: XMPP domains in the certificate (xmppAddr of RFC 6120).
    type: list
    elements: str
    default: []
  client:
    description: Whether it is that of a client and not of a server, as of a desktop that shows who it is.
    type: bool
    default: false
  days:
    description: How long a certificate is valid, in days. It ends earlier when the authority does.
    type: int
    default: 90
  group:
    description: Unix group that may read the private key; it exists already.
    type: str
    default: prosody
  step:
    description: Set by the action plugin. Leave it alone.
    type: str
    choices: [inspect, request, install, tidy]
    default: inspect
  folder:
    description: Set by the action plugin. Leave it alone.
    type: str
    default: ""
  chain:
    description: Set by the action plugin. Leave it alone.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
    description: Says what it would do and why, and changes nothing.
  diff_mode:
    support: full
    description: Shows what is not as it should be, before and after.
"""

EXAMPLES = r"""
- name: Keep the certificate of the server valid
  sallyport.im.server_certificate:
    common_name: im.example.com
    dns: [im.example.com, rooms.im.example.com, files.im.example.com]
    srv: [_xmpp-client.im.example.com, _xmpps-client.im.example.com]
    xmpp: [im.example.com, rooms.im.example.com, files.im.example.com]
    days: 90
    group: prosody
"""

RETURN = r"""
differences:
  description: What is (in check mode) or was not as it should be, one line each, as C(what is, should be).
  type: list
  elements: str
  returned: always
  sample: ["validity: is until 2027-02-20, 12 days left, should be renewed when a third of 90 days is left"]
not_after:
  description: When the certificate ends, UTC, RFC 3339; empty when there is none.
  type: str
  returned: success
  sample: "2027-02-20T17:16:46Z"
days_left:
  description: Whole days until then; negative when it is over, absent when there is no certificate.
  type: int
  returned: when there is a certificate
serial:
  description: Serial number of the certificate, hexadecimal; empty when there is none.
  type: str
  returned: success
fingerprint:
  description: SHA-256 fingerprint of the certificate, hexadecimal; empty when there is none.
  type: str
  returned: success
"""

import grp
import os
import pwd
import shutil
import stat
import tempfile
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

CHAIN = "fullchain.pem"
KEY = "privkey.pem"
CURRENT = "current"  # the link that is switched
VERSIONS = "versions"  # one folder for each pair of key and certificate


class Fault(Exception):
    """Something that an administrator has to change; the message says what."""


def owner_and_mode(path: Path) -> str:
    """Return owner, group and mode of a path, as `root:prosody 0640`; follows links.

    Args:
        path: a path that exists.
    """
    info = path.stat()
    try:
        user = pwd.getpwuid(info.st_uid).pw_name
    except KeyError:
        user = str(info.st_uid)
    try:
        group = grp.getgrgid(info.st_gid).gr_name
    except KeyError:
        group = str(info.st_gid)
    return f"{user}:{group} {stat.S_IMODE(info.st_mode):04o}"


def sync(path: Path) -> None:
    """Put a file or the entries of a folder on the disk, so that a power cut does not undo them.

    Args:
        path: file or folder.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def link(path: Path, target: str) -> None:
    """Make a path a symbolic link, in one step, whatever file or link stood there.

    Args:
        path: where the link shall be.
        target: what it shall say.

    Raises:
        Fault: a folder stands there.
    """
    if path.is_dir() and not path.is_symlink():
        raise Fault(f"{path} is a folder, it must be a file or a link; move it away")
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    beside.symlink_to(target)
    beside.replace(path)


class Store:
    """The folder of a server's key and certificate.

        directory/fullchain.pem -> current/fullchain.pem
        directory/privkey.pem   -> current/privkey.pem
        directory/current       -> versions/<one of them>
        directory/versions/<time and chance>/{fullchain.pem,privkey.pem}

    Attributes:
        directory: the folder.
        group: name of the group that may read the private key.
        owner: user and group of everything else.
    """

    def __init__(
        self, module: AnsibleModule, directory: Path, group: str, owner: tuple[str, str] = ("root", "root")
    ) -> None:
        """Look at a folder; nothing is made yet.

        Args:
            module: runs openssl.
            directory: the folder.
            group: name of the group that may read the private key.
            owner: user and group of everything else.
        """
        self._module = module
        self._openssl_path: str = module.get_bin_path("openssl") or ""
        self.directory = directory
        self.group = group
        self.owner = owner

    def _openssl(self, *arguments: str) -> str:
        """Run openssl, never with a secret as argument or output, and return what it printed."""
        if not self._openssl_path:
            raise Fault("the program openssl is missing on this host; install the package openssl")
        # umask: whatever it writes is for root alone until its rights are set
        code, output, error = self._module.run_command([self._openssl_path, *arguments], umask=0o077)
        if code != 0:
            raise Fault(f"openssl {arguments[0]} failed: {str(error).strip()}")
        return str(output)

    def public_key(self, key: Path) -> str:
        """Return the public half of a private key, PEM; empty when there is no readable key.

        Args:
            key: file of the private key.
        """
        if not key.is_file() or not self._openssl_path:
            return ""
        try:
            return self._openssl("pkey", "-in", str(key), "-pubout")
        except Fault:
            return ""

    def _group_id(self) -> int | None:
        try:
            return grp.getgrnam(self.group).gr_gid
        except KeyError:
            return None

    def _rights(self) -> list[tuple[Path, str, int]]:
        """Return each path that must have certain rights: path, name of the group, mode."""
        current = self.directory / CURRENT
        return [
            (self.directory, self.owner[1], 0o755),
            (self.directory / VERSIONS, self.owner[1], 0o755),
            (current, self.owner[1], 0o755),
            (current / CHAIN, self.owner[1], 0o644),
            (current / KEY, self.group, 0o640),
        ]

    def _leftovers(self) -> list[Path]:
        """Return folders of older or unfinished pairs; each may hold a private key."""
        versions = self.directory / VERSIONS
        if not versions.is_dir():
            return []
        in_use = (self.directory / CURRENT).resolve()
        return sorted(path for path in versions.iterdir() if path.resolve() != in_use)

    def differences(self) -> list[tuple[str, str, str]]:
        """Compare links and rights with those that should be; contents are compared on the control node.

        Returns:
            What differs: path, how it is, how it should be.
        """
        found = []
        for name in (CHAIN, KEY):
            path, target = self.directory / name, f"{CURRENT}/{name}"
            present = f"a link to {path.readlink()}" if path.is_symlink() else "a file" if path.exists() else "missing"
            if present != f"a link to {target}":
                found.append((str(path), present, f"a link to {target}"))
        for path, group, mode in self._rights():
            wanted = f"{self.owner[0]}:{group} {mode:04o}"
            if path.exists() and owner_and_mode(path) != wanted:
                found.append((str(path), owner_and_mode(path), wanted))
        found += [(str(path), "there", "removed, it is not in use") for path in self._leftovers()]
        return found

    def inspect(self) -> dict[str, object]:
        """Describe what is there; changes nothing and needs nothing to exist.

        Returns:
            chain (PEM or empty), public_key (PEM or empty), differences, obstacles to a renewal, and the host's time.
        """
        chain = self.directory / CHAIN
        obstacles = []
        if not self._openssl_path:
            obstacles.append("the program openssl is missing on this host; install the package openssl")
        if self._group_id() is None:
            obstacles.append(
                f"there is no group {self.group!r} on this host; install the package that makes it before this task, "
                "or set the parameter group"
            )
        return {
            "chain": chain.read_text(encoding="ascii", errors="replace") if chain.is_file() else "",
            "public_key": self.public_key(self.directory / KEY),
            "differences": self.differences(),
            "obstacles": obstacles,
            "time": int(time.time()),
        }

    def request(self) -> dict[str, object]:
        """Make a new private key in a folder of its own, not in use yet.

        Returns:
            folder (its name) and request (PKCS #10, PEM).
        """
        versions = self.directory / VERSIONS
        for path in (*reversed(self.directory.parents), self.directory, versions):
            if not path.exists():
                path.mkdir()
                path.chmod(0o755)  # whatever the umask: the service must be able to enter
        folder = Path(tempfile.mkdtemp(dir=versions))  # mode 0700 until it is complete
        key = folder / KEY
        self._openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(key))
        # the names are given by the control node; the request only proves that this host has the key
        request = self._openssl("req", "-new", "-key", str(key), "-subj", "/CN=request")
        return {"folder": folder.name, "request": request}

    def install(self, name: str, chain: str) -> None:
        """Complete a pair, put it in use in one step, and remove all others.

        Args:
            name: the folder that `request` made.
            chain: the certificate, PEM.

        Raises:
            Fault: the folder is gone, or key and certificate do not belong together.
        """
        folder = self.directory / VERSIONS / name
        if not (folder / KEY).is_file() or folder.parent != self.directory / VERSIONS:
            raise Fault(f"the new key in {folder} is gone: another run was at work here; run it again")
        file = folder / CHAIN
        file.write_text(chain, encoding="ascii")
        if self._openssl("x509", "-in", str(file), "-noout", "-pubkey") != self.public_key(folder / KEY):
            raise Fault("the signed certificate is not for the key of this host; nothing was put in use")
        public = self.owner[1]
        self._set_rights([(file, public, 0o644), (folder / KEY, self.group, 0o640), (folder, public, 0o755)])
        for path in (file, folder / KEY, folder):
            sync(path)
        link(self.directory / CURRENT, f"{VERSIONS}/{name}")
        self.tidy()

    def tidy(self) -> None:
        """Set links and rights right, and remove the folders that are not in use."""
        if (self.directory / CURRENT / KEY).is_file():
            for name in (CHAIN, KEY):
                if not self._is_link_to(self.directory / name, f"{CURRENT}/{name}"):
                    link(self.directory / name, f"{CURRENT}/{name}")
        self._set_rights(self._rights())
        for path in self._leftovers():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        sync(self.directory)

    def _is_link_to(self, path: Path, target: str) -> bool:
        return path.is_symlink() and str(path.readlink()) == target

    def _set_rights(self, rights: list[tuple[Path, str, int]]) -> None:
        for path, group, mode in rights:
            if path.exists():
                shutil.chown(path, self.owner[0], group)
                path.chmod(mode)


def main() -> None:
    """Do the step that the action plugin asks for."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "default": "/etc/sallyport/tls"},
            "common_name": {"type": "str", "required": True},
            "dns": {"type": "list", "elements": "str", "required": True},
            "srv": {"type": "list", "elements": "str", "default": []},
            "xmpp": {"type": "list", "elements": "str", "default": []},
            "client": {"type": "bool", "default": False},
            "days": {"type": "int", "default": 90},
            "group": {"type": "str", "default": "prosody"},
            "step": {"type": "str", "choices": ["inspect", "request", "install", "tidy"], "default": "inspect"},
            "folder": {"type": "str", "default": ""},
            "chain": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    options = module.params
    store = Store(module, Path(options["directory"]), options["group"])
    step = options["step"]
    try:
        answer: dict[str, object] = {}
        if step == "inspect":
            answer = store.inspect()
        elif module.check_mode:
            raise Fault(f"the step {step} changes the host and is not for check mode")
        elif step == "request":
            answer = store.request()
        elif step == "install":
            store.install(options["folder"], options["chain"])
        else:
            store.tidy()
    except (Fault, OSError) as fault:
        module.fail_json(msg=str(fault))
    module.exit_json(changed=step != "inspect", **answer)


if __name__ == "__main__":
    main()
