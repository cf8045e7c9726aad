# SPDX-License-Identifier: GPL-3.0-or-later
"""Files for scanners, made on the spot: the test virus that all of them know, and archives.

The text of the test virus stands in no file: a scanner elsewhere would take the file away.
"""

from __future__ import annotations

import io
import tarfile
import zipfile

EICAR = ("X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-" + "ANTIVIRUS-TEST-FILE!$H+H*").encode()
"""The test virus of the European Institute for Computer Antivirus Research."""


def zipped(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip archive of files.

    Args:
        *files: name and content of each.
        method: how they are packed.
    """
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return made.getvalue()


def tarred(name: str, content: bytes) -> bytes:
    """Return a tar archive of one file."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def encrypted(archive: bytes) -> bytes:
    """Return a zip archive that says of its first file that it is encrypted."""
    changed = bytearray(archive)
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        changed[archive.index(mark) + flags] |= 1
    return bytes(changed)
