# SPDX-License-Identifier: GPL-3.0-or-later
"""Holding and releasing; accepting a file as it is. All of it is in the chain and nowhere else."""

from __future__ import annotations

import datetime
import re
from typing import TYPE_CHECKING, Any

from sallyport_archive import chain, uses
from sallyport_archive.contents import contents, whole_lines
from sallyport_archive.events import bare
from sallyport_archive.places import ArchiveError, day_files
from sallyport_archive.state import fold, wrong_times

if TYPE_CHECKING:
    from sallyport_archive.hold import Hold
    from sallyport_archive.places import Places

ENTRY = re.compile(r"entry-[0-9]{1,9}")


def holds(places: Places) -> list[Hold]:
    """Return the holds that are in force, the oldest first."""
    return list(fold(chain.read(places)).holds.values())


def for_servers(places: Places) -> dict[str, Any]:
    """Return the holds in force as an IM server reads them, and whose word that is.

    Args:
        places: where things are.

    Returns:
        `format`, `chain` (hash of its first entry), `number` (of the last entry that changed a hold, so that nothing
        differs by what else the chain gets; 0 when none did) and `holds`.

    Raises:
        ArchiveError: there is no chain, which is not the same as no hold; or it cannot be read.

    """
    entries = chain.read(places)
    if not entries:
        raise ArchiveError("there is no chain, so nobody knows what is held; run sallyport-archive setup")
    return {
        "format": 1,
        "chain": entries[0].hash,
        "number": max((entry.number for entry in entries if entry.kind in ("hold", "release")), default=0),
        "holds": [one.for_servers() for one in fold(entries).holds.values()],
    }


def hold(
    places: Places,
    *,
    people: list[str],
    rooms: list[str],
    case: str,
    span: tuple[datetime.datetime | None, datetime.datetime | None],
    reason: str,
) -> str:
    """Hold what concerns people or rooms, until it is released.

    Args:
        places: where things are.
        people: addresses of people.
        rooms: addresses of rooms.
        case: name of the case, or empty.
        span: events from a moment on and before another one; None: without that bound.
        reason: why.

    Returns:
        The hold's id.

    Raises:
        ArchiveError: nothing would be held, or there is no reason.

    """
    first, end = span
    if not people and not rooms:
        raise ArchiveError("a hold needs somebody or something: --person or --room")
    if not reason.strip():
        raise ArchiveError("a hold needs a reason: --reason")
    for address in [*people, *rooms]:
        if "@" not in address or bare(address).count("@") != 1 or bare(address).strip() != bare(address):
            raise ArchiveError(f"{address!r} is no address; it should be as alice@im.example.com")
    if first and end and end <= first:
        raise ArchiveError("the hold ends before it begins")
    with chain.locked(places):
        entries = chain.read(places)
        name = f"hold-{len(entries) + 1}"
        content = {
            "hold": name,
            "case": case,
            "people": sorted({bare(person) for person in people}),
            "rooms": sorted({bare(room) for room in rooms}),
            "from": first.isoformat() if first else None,
            "until": end.isoformat() if end else None,
            "reason": reason.strip(),
        }
        uses.note(places, "hold", content)
    return name


def release(places: Places, name: str, reason: str) -> None:
    """End a hold; what its time is over for goes by the next daily run.

    Args:
        places: where things are.
        name: the hold's id.
        reason: why.

    Raises:
        ArchiveError: there is no such hold, or no reason.

    """
    if not reason.strip():
        raise ArchiveError("a release needs a reason: --reason")
    with chain.locked(places):
        known = fold(chain.read(places)).holds
        if name not in known:
            raise ArchiveError(f"there is no hold {name!r}; in force: {', '.join(known) or 'none'}")
        uses.note(places, "release", {"hold": name, "reason": reason.strip()})


def accept(places: Places, path: str, reason: str) -> None:
    """Take a file that is not what was sealed as it is, from now on. The chain keeps both hashes.

    Args:
        places: where things are.
        path: of the file, as `verify` names it; or `entry-7`: an entry whose time is wrong, because the clock was.
        reason: why.

    Raises:
        ArchiveError: nothing is known of that file, it is what was sealed, or there is no reason.

    """
    if not reason.strip():
        raise ArchiveError("this needs a reason: --reason")
    if ENTRY.fullmatch(path):
        _accept_time(places, int(path.removeprefix("entry-")), reason.strip())
        return
    with chain.files_locked(places):
        known = fold(chain.read(places)).files.get(path)
        if known is None:
            raise ArchiveError(f"{path} was never sealed; name it as verify does")
        file = next((file.file for file in day_files(places.hosts) if file.path == path), None)
        size = whole_lines(file) if file else 0
        sealed, found = known.sealed, contents(file, [size])[0] if file and size else None
        if found == sealed or (file and sealed and contents(file, [sealed.size])[0] == sealed):
            raise ArchiveError(f"{path} is what was sealed")
        content = {
            "path": path,
            "sealed": sealed.as_dict() if sealed else None,
            "found": found.as_dict() if found else None,
            "reason": reason.strip(),
        }
        with chain.locked(places):
            uses.note(places, "accept", content)


def _accept_time(places: Places, number: int, reason: str) -> None:
    """Take the time of an entry as that of a clock that was wrong."""
    with chain.locked(places):
        entries = chain.read(places)
        now = datetime.datetime.now(datetime.UTC)
        if number not in (wrong for wrong, _ in wrong_times(entries, fold(entries).clocks, now)):
            raise ArchiveError(f"verify names no time of entry {number}")
        uses.note(places, "accept", {"entry": number, "reason": reason})
