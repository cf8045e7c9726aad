# SPDX-License-Identifier: GPL-3.0-or-later
"""How the archive stands, for people and for monitoring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sallyport_archive import chain, database
from sallyport_archive.places import MESSAGES, ArchiveError, day_files
from sallyport_archive.state import fold

if TYPE_CHECKING:
    from sallyport_archive.places import Places


def status(places: Places) -> dict[str, Any]:
    """Return how the archive stands.

    Args:
        places: where things are.

    Returns:
        `database` (empty when it is well, else what is wrong), `events`, `malformed` (lines that are no events),
        `behind_bytes` (that are not in the database yet), `entries`, `last_seal` (time, or None), `problems` (of the
        last seal), `holds` (how many).

    Raises:
        ArchiveError: the chain cannot be read.

    """
    entries = chain.read(places)
    state = fold(entries)
    seals = [entry for entry in entries if entry.kind == "seal"]
    said: dict[str, Any] = {"database": "", "events": None, "malformed": None, "behind_bytes": None}
    try:
        with database.connected() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM events")
            said["events"] = cursor.fetchone()[0]
            cursor.execute("SELECT count(*) FROM malformed")
            said["malformed"] = cursor.fetchone()[0]
            cursor.execute("SELECT path, position FROM files")
            known: dict[str, int] = dict(cursor.fetchall())
            files = [file for file in day_files(places.hosts) if file.stream == MESSAGES]
            said["behind_bytes"] = sum(max(0, file.file.stat().st_size - known.get(file.path, 0)) for file in files)
    except ArchiveError as error:
        said["database"] = str(error)
    return {
        **said,
        "entries": len(entries),
        "last_seal": seals[-1].time if seals else None,
        "problems": seals[-1].content["problems"] if seals else [],
        "holds": len(state.holds),
    }
