# SPDX-License-Identifier: GPL-3.0-or-later
"""Complete lines of a file that somebody else is writing to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, NamedTuple

CHUNK = 4 * 1024 * 1024
LONGEST = 16 * 1024 * 1024


class Line(NamedTuple):
    """One line.

    Attributes:
        position: where it begins, in bytes.
        content: without its end; of a line that is longer than any event, its beginning.
        whole: whether that is all of it.

    """

    position: int
    content: bytes
    whole: bool = True


def open_file(file: Path) -> BinaryIO:
    """Open a file for reading, and no link."""
    return os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")


def read_lines(file: Path, position: int) -> tuple[list[Line], int]:
    """Read the next lines of a file; one that has no end yet is left for later.

    Args:
        file: the file.
        position: where to begin, in bytes.

    Returns:
        Some lines, and the position behind the last of them; no line and the same position when none is complete.

    Raises:
        OSError: the file cannot be read.

    """
    with open_file(file) as stream:
        stream.seek(position)
        data = stream.read(CHUNK)
        while b"\n" not in data[-CHUNK:]:
            if len(data) >= LONGEST:
                return _skip(stream, position, data)
            more = stream.read(CHUNK)
            if not more:
                return [], position
            data += more
    end = data.rindex(b"\n") + 1
    lines, begin = [], 0
    while begin < end:
        stop = data.index(b"\n", begin)
        lines.append(Line(position + begin, data[begin:stop]))
        begin = stop + 1
    return lines, position + end


def begins_line(file: Path, position: int) -> bool:
    """Tell whether a line begins at a position; elsewhere, the file is not the one that was read up to there."""
    if not position:
        return True
    with open_file(file) as stream:
        stream.seek(position - 1)
        return stream.read(1) == b"\n"


def _skip(stream: BinaryIO, position: int, data: bytes) -> tuple[list[Line], int]:
    """Find the end of a line that is longer than any event."""
    behind = position + len(data)
    while more := stream.read(CHUNK):
        end = more.find(b"\n")
        if end >= 0:
            return [Line(position, data[:CHUNK], whole=False)], behind + end + 1
        behind += len(more)
    return [], position
