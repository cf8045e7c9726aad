# SPDX-License-Identifier: GPL-3.0-or-later
"""Who used the archive for what: an entry of the chain, and a line of its own log, before anything is shown."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sallyport_archive import chain

if TYPE_CHECKING:
    from sallyport_archive.chain import Entry
    from sallyport_archive.places import Places

NOBODY = "4294967295"


def who() -> str:
    """Return who runs the program: the one who called sudo, else the account itself.

    Returns:
        The name; with the account by which that person signed in, when the kernel knows another one.

    """
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    name = os.environ.get("SUDO_USER") or name
    try:
        login = Path("/proc/self/loginuid").read_text(encoding="ascii").strip()
        signed_in = pwd.getpwuid(int(login)).pw_name if login != NOBODY else name
    except (OSError, ValueError, KeyError):
        return name
    return name if signed_in == name else f"{name}, signed in as {signed_in}"


def note(places: Places, kind: str, content: dict[str, Any]) -> Entry:
    """Note a use. For who holds the lock.

    Args:
        places: where things are.
        kind: of the entry: `use`, `hold`, `release`, `accept`, `renewal`.
        content: what was asked.

    Returns:
        The entry.

    Raises:
        ArchiveError: it cannot be noted; what was asked must not be answered then.

    """
    entry = chain.append(places, kind, {"who": who(), **content})
    chain.append_line(places.uses, chain.canonical(entry.body), 0o640)
    return entry


def asked(places: Places, command: str, words: dict[str, Any], found: int | None = None) -> None:
    """Note that somebody asked something, before it is shown.

    Args:
        places: where things are.
        command: `search`, `export` or `verify`.
        words: what was asked; those that are empty are left out.
        found: how many events there are.

    Raises:
        ArchiveError: as `note`.

    """
    said = {name: value for name, value in words.items() if value}
    with chain.locked(places):
        note(places, "use", {"command": command, "asked": said, "found": found})
