# SPDX-License-Identifier: GPL-3.0-or-later
"""Running other programs, without a shell."""

from __future__ import annotations

import os
import subprocess

from sallyport_archive.places import ArchiveError


def run(command: list[str], content: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a program of Debian's.

    Args:
        command: its name and arguments.
        content: its input.

    Returns:
        How it ended and what it said, in English.

    Raises:
        ArchiveError: it is not installed.

    """
    plain = {**os.environ, "LC_ALL": "C"}
    try:
        # the lists are the program's own; what people say is at most one argument in them, behind an option or --
        return subprocess.run(command, input=content, capture_output=True, check=False, cwd="/", env=plain)  # noqa: S603
    except FileNotFoundError as error:
        raise ArchiveError(f"there is no program {command[0]} on this host") from error
