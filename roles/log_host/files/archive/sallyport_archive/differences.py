# SPDX-License-Identifier: GPL-3.0-or-later
"""What the database still has of a file that is not what was sealed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sallyport_archive import events
from sallyport_archive.day_file import open_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sallyport_archive.database import Connection
    from sallyport_archive.places import Places

NAMED = 5


def differences(connection: Connection, places: Places, path: str) -> Iterator[str]:
    """Name the events of a file that are not in it any more, as they were.

    Args:
        connection: to the database.
        places: where the file is.
        path: of the file.

    Yields:
        One text for each of the first few, and one for the others; nothing when the database knows no more.

    Raises:
        psycopg2.Error: the database fails.
        OSError: the file cannot be read.

    """
    try:
        with open_file(places.hosts / path) as stream:
            there = {hashlib.sha256(line.removesuffix(b"\n")).digest() for line in stream}
    except FileNotFoundError:
        there = set()
    more = 0
    with connection, connection.cursor("lines") as cursor:
        cursor.execute("SELECT line FROM events WHERE path = %s ORDER BY position", (path,))
        for (line,) in cursor:
            if hashlib.sha256(line.encode()).digest() in there:
                continue
            more += 1
            if more <= NAMED:
                event = events.read(line.encode())
                who = f"{event.fields.get('from')} to {event.fields.get('to')}"
                yield f"{path}: the database still has event {event.id}, {event.time:%Y-%m-%d %H:%M:%S}, {who}"
    if more > NAMED:
        yield f"{path}: and {more - NAMED} other events that are not in it any more as they came"
