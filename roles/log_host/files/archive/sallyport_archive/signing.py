# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures by OpenSSH (`ssh-keygen -Y`, format in OpenSSH's PROTOCOL.sshsig): every host and control node has it."""

from __future__ import annotations

import base64
import os
import tempfile
import textwrap
from pathlib import Path

from sallyport_archive.places import ArchiveError
from sallyport_archive.programs import run

HEAD = "sallyport-archive-head"
EXPORT = "sallyport-archive-export"
SIGNER = "archive"
PROGRAM = "ssh-keygen"
BEGIN, END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"


def make_key(key: Path) -> None:
    """Make the key of the archive: Ed25519, without a passphrase, since a timer signs; root alone reads it.

    Args:
        key: where; the public half goes beside it, with the ending .pub.

    Raises:
        ArchiveError: it cannot be made.

    """
    command = [PROGRAM, "-q", "-t", "ed25519", "-N", "", "-C", SIGNER, "-f", str(key)]
    _run(command, b"", "the key cannot be made")
    key.chmod(0o600)
    public_half(key).chmod(0o644)
    # before anything is signed by it
    to_disk(key, public_half(key), key.parent)


def to_disk(*paths: Path) -> None:
    """Wait until files and folders are on the disk."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def same(one: str, other: str) -> bool:
    """Tell whether two public keys are the same one, whatever their comments."""
    return one.split()[:2] == other.split()[:2]


def public_half(key: Path) -> Path:
    """Return where the public half of a key lies."""
    return key.with_name(f"{key.name}.pub")


def mend_public_half(key: Path) -> bool:
    """Write the public half of a key where it is missing, or is not the one of that key.

    Args:
        key: the private key.

    Returns:
        Whether it had to be written.

    Raises:
        ArchiveError: the private key cannot be read.
        OSError: it cannot be written.

    """
    own, file = _run([PROGRAM, "-y", "-f", str(key)], b"", "the key cannot be read").decode(), public_half(key)
    if file.exists() and same(file.read_text(encoding="ascii", errors="replace"), own):
        return False
    file.write_text(own, encoding="ascii")
    file.chmod(0o644)
    to_disk(file, file.parent)
    return True


def fingerprint(public: Path) -> str:
    """Return the fingerprint of a public key, as OpenSSH shows it."""
    return _run([PROGRAM, "-l", "-f", str(public)], b"", "the key cannot be read").decode().split()[1]


def sign(key: Path, content: bytes, namespace: str) -> str:
    """Sign.

    Args:
        key: the private key.
        content: what is signed.
        namespace: what the signature is for; it counts for nothing else.

    Returns:
        The signature in base64, without the lines around it.

    Raises:
        ArchiveError: the key is missing or may not be read.

    """
    said = _run([PROGRAM, "-q", "-Y", "sign", "-f", str(key), "-n", namespace], content, "nothing can be signed")
    return "".join(said.decode().replace(BEGIN, "").replace(END, "").split())


def armoured(signature: str) -> str:
    """Return a signature as `ssh-keygen -Y verify` reads it from a file."""
    return "\n".join([BEGIN, *textwrap.wrap(signature, 70), END, ""])


def signers(public: str) -> str:
    """Return the list of signers with one public key, as `ssh-keygen -Y verify` reads it (ssh-keygen(1))."""
    if not is_key(public):
        raise ArchiveError("the public key is none: it should be one line, as in key.pub")
    return " ".join([SIGNER, *public.split()[:2]]) + "\n"


def is_key(text: str) -> bool:
    """Tell whether a text looks like a public key of OpenSSH's."""
    return text.isascii() and text.startswith("ssh-") and len(text.split()) > 1


def is_signed(public: str, content: bytes, signature: str, namespace: str) -> bool:
    """Tell whether a signature is that of a key.

    Args:
        public: the public key, as OpenSSH writes it.
        content: what was signed.
        signature: in base64.
        namespace: what it is for.

    Returns:
        Whether it is.

    """
    try:
        base64.b64decode(signature, validate=True)
    except ValueError:
        return False
    with tempfile.TemporaryDirectory() as folder:
        by, shown = Path(folder, "signers"), Path(folder, "signature")
        by.write_text(signers(public), encoding="ascii")
        shown.write_text(armoured(signature), encoding="ascii")
        command = [PROGRAM, "-q", "-Y", "verify", "-f", str(by), "-I", SIGNER, "-n", namespace, "-s", str(shown)]
        return run(command, content).returncode == 0


def _run(command: list[str], content: bytes, failure: str) -> bytes:
    done = run(command, content)
    if done.returncode:
        raise ArchiveError(f"{failure}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
