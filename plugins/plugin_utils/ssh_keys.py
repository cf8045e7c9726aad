# SPDX-License-Identifier: GPL-3.0-or-later
"""The public SSH keys of a site: files below its folder, one key a line, as ~/.ssh/id_ed25519.pub has it."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path

from ansible_collections.sallyport.im.plugins.plugin_utils.faults import Location
from ansible_collections.sallyport.im.plugins.plugin_utils.site_file import SiteFile
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

ALLOWED = "a file with lines as: ssh-ed25519 AAAA… eva@laptop (ssh-keygen -t ed25519 makes one, ending in .pub)"
KINDS = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
HARDWARE_KINDS = ("sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com")
"""Keys that live in a token; OpenSSH knows them, the library that checks the others does not."""
SHORTEST_RSA = 3072
"""Bits (NIST SP 800-57 part 1, for use beyond 2030)."""
LONGEST_FILE = 65536


def read_keys(folder: Path, path: str) -> tuple[str, ...]:
    """Read a file of public keys.

    Args:
        folder: folder of the site.
        path: of the file, relative to it.

    Returns:
        The keys, one string each: kind, base64 and comment. Empty lines and comments are left out.

    Raises:
        ValueError: it cannot be read, holds no key, or one that is malformed or too weak; the text says which line.
    """
    try:
        with (folder / path).open("rb") as stream:
            content = stream.read(LONGEST_FILE + 1)
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ValueError(f"the file {path} cannot be read: {reason}") from None
    if len(content) > LONGEST_FILE:
        raise ValueError(f"the file {path} is longer than {LONGEST_FILE} bytes; divide it")
    if "PRIVATE KEY" in text:
        raise ValueError(f"the file {path} holds a private key, which belongs on the administrator's own computer only")
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if words and not words[0].startswith("#"):
            try:
                _check_key(words)
            except ValueError as error:
                raise ValueError(f"the file {path}, line {number}: {error}") from None
            keys.append(" ".join(words))
    if not keys:
        raise ValueError(f"the file {path} holds no key")
    return tuple(keys)


def _check_key(words: list[str]) -> None:
    if words[0] not in KINDS + HARDWARE_KINDS or len(words) < 2:
        raise ValueError("this is no public key of a kind that is still safe; options in front of it are not allowed")
    if any(not word.isprintable() for word in words):
        raise ValueError("this holds characters that do not print")
    if words[0] in HARDWARE_KINDS:
        _check_hardware_key(words)
        return
    try:
        key = load_ssh_public_key(" ".join(words[:2]).encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("this key is damaged; copy it again as a whole") from None
    if isinstance(key, RSAPublicKey) and key.key_size < SHORTEST_RSA:
        raise ValueError(f"this RSA key has {key.key_size} bits, and at least {SHORTEST_RSA} are needed")


def _check_hardware_key(words: list[str]) -> None:
    """Check what every public key begins with: its kind, with its length in front (RFC 4253, section 6.6)."""
    kind = words[0].encode()
    try:
        blob = base64.b64decode(words[1], validate=True)
    except ValueError:
        blob = b""
    if not blob.startswith(len(kind).to_bytes(4, "big") + kind) or len(blob) < len(kind) + 40:
        raise ValueError("this key is damaged; copy it again as a whole")


def key_files(settings: SiteFile) -> Iterator[tuple[Location, str]]:
    """List the key files that a site names.

    Args:
        settings: its site file.

    Yields:
        The way to the setting, and the path that stands there.
    """
    for number, administrator in enumerate(settings.administrators):
        for place, path in enumerate(administrator.keys):
            yield ("sallyport", "administrators", number, "keys", place), path
    for place, path in enumerate(settings.revoked_keys):
        yield ("sallyport", "revoked_keys", place), path


def keys_of(folder: Path, settings: SiteFile) -> tuple[Mapping[str, tuple[str, ...]], list[tuple[Location, str, str]]]:
    """Read all key files of a site.

    Args:
        folder: folder of the site.
        settings: its site file.

    Returns:
        The keys by the file's path; and what is wrong with them: the way to the setting, what it is, what is allowed.
    """
    found: dict[str, tuple[str, ...]] = {}
    faults: list[tuple[Location, str, str]] = []
    for location, path in key_files(settings):
        try:
            found[path] = read_keys(folder, path)
        except ValueError as error:
            faults.append((location, str(error), ALLOWED))
    revoked = {key.split()[1] for path in settings.revoked_keys for key in found.get(path, ())}
    for number, administrator in enumerate(settings.administrators):
        keys = [key for path in administrator.keys for key in found.get(path, ())]
        if keys and all(key.split()[1] in revoked for key in keys):
            message = f"every key of {administrator.user} is revoked, so {administrator.user} would not get in any more"
            allowed = "a key that is not among revoked_keys, or no such administrator"
            faults.append((("sallyport", "administrators", number, "keys"), message, allowed))
    return found, faults
