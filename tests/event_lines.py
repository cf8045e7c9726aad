# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of a file to which a server appends events while it is read."""

from __future__ import annotations


def whole_lines(read: str, *, cut: bool = False) -> list[str]:
    """Return the lines that are there from beginning to end.

    A line is written with one call, and yet a reader may see its first page only: the kernel makes a file longer
    page by page. What no line feed ends was not written to its end.

    Args:
        read: What was read, up to the end of the file.
        cut: Whether it starts with the byte before the place from which lines are wanted: the rest of a line that
            began before that place is left out.

    Returns:
        The lines, without their line feeds.
    """
    *lines, _under_way = read.split("\n")
    return [line for line in lines[int(cut) :] if line]
