# SPDX-License-Identifier: GPL-3.0-or-later
"""Hashes of the beginnings of files, read once."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sallyport_archive.day_file import CHUNK, open_file
from sallyport_archive.state import Content


def contents(file: Path, sizes: list[int]) -> list[Content]:
    """Hash the beginnings of a file.

    Args:
        file: the file.
        sizes: of the beginnings, in bytes, rising.

    Returns:
        One for each size; the last one is shorter than asked for when the file is, and those behind it are missing.

    Raises:
        OSError: the file cannot be read.

    """
    found, digest, size, lines = [], hashlib.sha256(), 0, 0
    with open_file(file) as stream:
        for wanted in sizes:
            while size < wanted and (data := stream.read(min(CHUNK, wanted - size))):
                digest.update(data)
                size += len(data)
                lines += data.count(b"\n")
            found.append(Content(size, lines, digest.copy().hexdigest()))
            if size < wanted:
                break
    return found


def whole_lines(file: Path) -> int:
    """Return the size of a file up to the end of its last complete line, in bytes."""
    with open_file(file) as stream:
        position = stream.seek(0, 2)
        while position:
            begin = max(0, position - CHUNK)
            stream.seek(begin)
            end = stream.read(position - begin).rfind(b"\n")
            if end >= 0:
                return begin + end + 1
            position = begin
    return 0
