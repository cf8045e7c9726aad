# SPDX-License-Identifier: GPL-3.0-or-later
"""The database forgets what was removed from the files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sallyport_archive import chain, database
from sallyport_archive.state import fold

if TYPE_CHECKING:
    from sallyport_archive.places import Places


def forget(places: Places) -> None:
    """Bring the database in line with what was removed from the files, also by a run that died.

    What remains of a file is ingested again by the service.

    Args:
        places: where things are.

    Raises:
        ArchiveError: the database is not there; the next run does it.

    """
    state = fold(chain.read(places))
    with database.connected() as connection:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT path, tombstone FROM files")
            stored: list[tuple[str, int]] = cursor.fetchall()
        for path, number in stored:
            known = state.files.get(path)
            if known is None or known.tombstone is None or known.tombstone.number <= number:
                continue
            with connection, connection.cursor() as cursor:
                cursor.execute(
                    "UPDATE files SET position = 0, tombstone = %s WHERE path = %s", (known.tombstone.number, path)
                )
                cursor.execute("DELETE FROM events WHERE path = %s", (path,))
                cursor.execute("DELETE FROM malformed WHERE path = %s", (path,))
                if not known.marks:
                    cursor.execute("DELETE FROM files WHERE path = %s", (path,))
