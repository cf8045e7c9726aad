# SPDX-License-Identifier: GPL-3.0-or-later
"""The vault of a site: reading and writing inventories/<site>/vault.yml on the control node.

The file is encrypted whole, in the format of ansible-vault, so that `ansible-vault edit` works on it. It stands
beside the host list and not in group_vars: inventory tools run without the password, and no secret becomes a variable
of a host. Source: the Ansible documentation, "Encrypting content with Ansible Vault".
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret, get_file_vault_secret

VAULT = "vault.yml"
KEY_FILE = ".vault-password"
KEY_FILE_VARIABLE = "SALLYPORT_VAULT_PASSWORD_FILE"


class VaultFault(Exception):
    """Something is wrong with a site's vault or its password.

    Attributes:
        message: what is wrong and what to change, in plain words; never holds a secret.
        file: the file that is meant, the vault or a password file.
    """

    def __init__(self, message: str, file: Path) -> None:
        """Remember the message and the file.

        Args:
            message: what is wrong and what to change.
            file: the file that is meant.
        """
        super().__init__(f"{file}: {message}")
        self.message = message
        self.file = file


def _from_file(file: Path) -> bytes:
    """Return the password that a file holds, or prints when it is executable (as with Ansible itself)."""
    try:
        secret = get_file_vault_secret(filename=str(file), loader=DataLoader())
        secret.load()
        return bytes(secret.bytes)
    except AnsibleError as error:
        raise VaultFault(f"no vault password could be read from it: {error.message}", file) from None


def find_passwords(inventory_dir: Path, given: Sequence[bytes] = ()) -> list[bytes]:
    """Collect the passwords that may open a site's vault, the likeliest first.

    Args:
        inventory_dir: folder of the site.
        given: passwords that the caller has already, as from Ansible's own --vault-* options.

    Returns:
        The given ones, then that of the file named by SALLYPORT_VAULT_PASSWORD_FILE, then that of .vault-password in
        the site's folder. May be empty.

    Raises:
        VaultFault: a password file is named but cannot be read or is empty, or .vault-password is open to other users.
    """
    passwords = [password for password in given if password]
    named = os.environ.get(KEY_FILE_VARIABLE, "")
    if named:
        passwords.append(_from_file(Path(named)))
    own = inventory_dir / KEY_FILE
    if own.exists():
        mode = stat.S_IMODE(own.stat().st_mode)
        if mode & 0o077:
            raise VaultFault(
                f"its mode is {mode:04o}, so other users of this machine can open the vault; "
                f"allowed is 0600: chmod 600 {own}",
                own,
            )
        passwords.append(_from_file(own))
    return passwords


def _no_password(inventory_dir: Path) -> VaultFault:
    own = inventory_dir / KEY_FILE
    return VaultFault(
        f"no password for it was found; write it to {own} (mode 0600), "
        f"name a file that holds it in {KEY_FILE_VARIABLE}, or give --vault-password-file",
        inventory_dir / VAULT,
    )


def _vault_of(passwords: Sequence[bytes]) -> VaultLib:
    # every password under the same name: Ansible may be set to try only those whose name is that of the file
    return VaultLib([("default", VaultSecret(password)) for password in passwords])


def read_vault(inventory_dir: Path, passwords: Sequence[bytes] = ()) -> dict[str, object]:
    """Decrypt and parse the vault of a site.

    Args:
        inventory_dir: folder of the site, as inventories/oslo.
        passwords: passwords to try first; see `find_passwords` for those tried after them.

    Returns:
        The vault's mapping, from the name of a secret to its value.

    Raises:
        VaultFault: the vault is missing, not encrypted, no password was found, none of them opens it, or it does not
            hold a mapping.
    """
    return _opened(inventory_dir, passwords)[0]


def _opened(inventory_dir: Path, passwords: Sequence[bytes]) -> tuple[dict[str, object], bytes]:
    """Return what the vault of a site holds, and the password that opened it."""
    file = inventory_dir / VAULT
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise VaultFault(
            "there is no such file; `make new-site` makes one with fresh secrets, a lost one comes from your backup",
            file,
        ) from None
    except OSError as error:
        raise VaultFault(f"it cannot be read: {error.strerror}", file) from None
    if not VaultLib.is_encrypted(content):
        raise VaultFault(
            "it is not encrypted, whoever reads this file has the site's secrets; "
            f"encrypt it now with: ansible-vault encrypt --vault-password-file {inventory_dir / KEY_FILE} {file}",
            file,
        )
    found = find_passwords(inventory_dir, passwords)
    if not found:
        raise _no_password(inventory_dir)
    try:
        plain, _name, key = _vault_of(found).decrypt_and_get_vault_id(content)
    except AnsibleError:
        raise VaultFault(
            f"it does not open with {'the password that was' if len(found) == 1 else 'any of the passwords that were'} "
            f"found; the password is wrong or the file is damaged. Passwords are looked for in --vault-password-file, "
            f"{KEY_FILE_VARIABLE} and {inventory_dir / KEY_FILE}",
            file,
        ) from None
    try:
        parsed = yaml.safe_load(plain)
    except yaml.YAMLError:  # its text would quote the line, and with it a secret
        raise VaultFault("what it holds, decrypted, is not YAML; mend it with `ansible-vault edit`", file) from None
    if not isinstance(parsed, dict) or not all(isinstance(key, str) for key in parsed):
        raise VaultFault(
            "what it holds, decrypted, is not a mapping from names to values; mend it with `ansible-vault edit`", file
        )
    return parsed, bytes(key.bytes)


def change_vault(inventory_dir: Path, changes: Mapping[str, object]) -> None:
    """Replace some secrets in the vault of a site; all others, and its password, stay.

    Args:
        inventory_dir: folder of the site.
        changes: the secrets to replace or to add.

    Raises:
        VaultFault: as `read_vault`.
    """
    held, password = _opened(inventory_dir, ())
    write_vault(inventory_dir, {**held, **changes}, passwords=[password], replace=True)


def write_vault(
    inventory_dir: Path, secrets: Mapping[str, object], *, passwords: Sequence[bytes] = (), replace: bool = False
) -> Path:
    """Encrypt secrets into a site's vault.yml, whole or not at all, readable by its owner only.

    Args:
        inventory_dir: folder of the site; exists already.
        secrets: what the vault shall hold; replaces all that it held.
        passwords: the first of these encrypts; without any, the first that `find_passwords` finds.
        replace: whether a vault that is there already may be replaced.

    Returns:
        The file that was written.

    Raises:
        VaultFault: no password was found, or a vault is there already and `replace` is False.
    """
    file = inventory_dir / VAULT
    if file.exists() and not replace:
        raise VaultFault("it is there already and is not overwritten: its secrets are in use", file)
    found = list(passwords) or find_passwords(inventory_dir)
    if not found:
        raise _no_password(inventory_dir)
    plain = yaml.safe_dump(dict(secrets), sort_keys=True, default_flow_style=False)
    content = bytes(_vault_of(found[:1]).encrypt(plain))
    descriptor, name = tempfile.mkstemp(prefix=f".{VAULT}.", dir=inventory_dir)  # mode 0600 from its birth
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)
    return file


def passwords_of(loader: DataLoader) -> list[bytes]:
    """Return the passwords that Ansible was started with (--vault-password-file, --ask-vault-pass, ansible.cfg).

    Args:
        loader: the loader that Ansible gives to each plugin.

    Returns:
        The passwords in Ansible's order; empty when there are none.
    """
    # ansible-core has no public way to ask for them; its own plugins use the same attribute
    vault = getattr(loader, "_vault", None)
    return [bytes(secret.bytes) for _name, secret in getattr(vault, "secrets", None) or [] if secret.bytes]
