# SPDX-License-Identifier: GPL-3.0-or-later
"""Follows the day files and puts their events into the database. Lines and position go in one transaction."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from typing import TYPE_CHECKING

import psycopg2
import psycopg2.errors
from psycopg2.extras import execute_values

from sallyport_archive import database, events
from sallyport_archive.day_file import Line, begins_line, read_lines
from sallyport_archive.places import MESSAGES, day_files

if TYPE_CHECKING:
    from sallyport_archive.database import Connection
    from sallyport_archive.events import Event
    from sallyport_archive.places import DayFile, Places

POLL_SECONDS = 1.0
RETRY_SECONDS = 2.0
TOLD_SECONDS = 300.0
AGAIN_SECONDS = 3600.0
BATCH = 2000
KEPT = 65_536  # bytes of a malformed line that the database keeps; the file has all of it

INSERT = """
INSERT INTO events (id, time, kind, verdict, rule, room, people, words, path, position, line) VALUES %s
ON CONFLICT (id) DO NOTHING RETURNING id"""
ROW = "(%s, %s, %s, %s, %s, %s, %s::text[], to_tsvector('simple', %s), %s, %s, %s)"


def say(level: int, text: str) -> None:
    """Say something to the journal; level as in sd-daemon(3)."""
    print(f"<{level}>{text}", flush=True)


def serve(places: Places) -> None:
    """Ingest until the service is stopped. A database that is down is waited for, and nothing is lost meanwhile."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    said, due = "", 0.0
    while not stop.is_set():
        try:
            with contextlib.closing(database.connect()) as connection:
                if _alone(connection):
                    said = ""
                    say(6, "ingesting")
                    _follow(connection, places, stop)
                    return
                problem = "another one ingests; waiting until it ends"
        except psycopg2.Error as error:
            problem = f"the database cannot be used, waiting for it: {str(error).strip()}"
        if problem != said:
            said, due = problem, time.monotonic() + TOLD_SECONDS
            say(4, problem)
        elif time.monotonic() >= due:
            # a person is told of an error
            due = time.monotonic() + AGAIN_SECONDS
            say(3, problem)
        stop.wait(RETRY_SECONDS)


def _alone(connection: Connection) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", (database.INGEST_LOCK,))
        taken: bool = cursor.fetchone()[0]
    connection.commit()
    return taken


def _follow(connection: Connection, places: Places, stop: threading.Event) -> None:
    said: set[str] = set()
    while not stop.is_set():
        began, problems = time.monotonic(), set[str]()
        count = once(connection, places, stop, problems)
        for problem in sorted(problems - said):
            say(4, problem)
        said = problems
        if not count:
            stop.wait(max(0.0, POLL_SECONDS - (time.monotonic() - began)))


def once(connection: Connection, places: Places, stop: threading.Event, problems: set[str]) -> int:
    """Ingest some of what is new, of each file.

    Args:
        connection: to the database.
        places: where the files are.
        stop: ends it early.
        problems: gets what is wrong, in plain words.

    Returns:
        How many lines there were.

    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT path, position FROM files")
        known: dict[str, int] = dict(cursor.fetchall())
    connection.commit()
    count, unreadable = 0, list[str]()
    for file in day_files(places.hosts, unreadable):
        if file.stream != MESSAGES or stop.is_set():
            continue
        try:
            count += _ingest(connection, file, known.get(file.path, 0), stop, problems)
        except OSError as error:
            problems.add(f"{file.path}: {error.strerror}")
    problems |= {f"{folder}: cannot be read" for folder in unreadable}
    return count


def _ingest(connection: Connection, file: DayFile, position: int, stop: threading.Event, problems: set[str]) -> int:
    size = file.file.stat().st_size
    if size == position:
        return 0
    begin = position
    if size < position or not begins_line(file.file, position):
        problems.add(f"{file.path}: is not what it was, and is read again from its beginning")
        begin = 0
    lines, behind = read_lines(file.file, begin)
    if behind == position:
        return 0
    for first in range(0, len(lines), BATCH):
        batch = lines[first : first + BATCH]
        until = lines[first + BATCH].position if first + BATCH < len(lines) else behind
        bad = None if stop.is_set() else store(connection, file.path, position, batch, until)
        if bad is None:
            break
        if bad:
            problems.add(f"{file.path}: has lines that are no events; see malformed in the database")
        position = until
    return len(lines)


def store(connection: Connection, path: str, position: int, lines: list[Line], behind: int) -> int | None:
    """Store lines and the position behind them, all or nothing.

    Args:
        connection: to the database.
        path: of the day file.
        position: that the database has for it.
        lines: what was read.
        behind: the new position.

    Returns:
        How many lines are no events; None when somebody else changed the position meanwhile: nothing was stored then.

    """
    found: list[tuple[Line, Event]] = []
    bad: list[tuple[Line, str]] = []
    for line in lines:
        try:
            if not line.whole:
                raise events.LineError("longer than any event")
            found.append((line, events.read(line.content)))
        except events.LineError as error:
            bad.append((line, str(error)))
    with connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO files (path, position) VALUES (%s, 0) ON CONFLICT DO NOTHING", (path,))
        cursor.execute("SELECT position FROM files WHERE path = %s FOR UPDATE", (path,))
        if cursor.fetchone()[0] != position:
            return None
        bad += _insert(cursor, path, found)
        if bad:
            execute_values(
                cursor,
                "INSERT INTO malformed (path, position, reason, line) VALUES %s ON CONFLICT DO NOTHING",
                [(path, line.position, events.printable(why)[:500], line.content[:KEPT]) for line, why in bad],
            )
        cursor.execute("UPDATE files SET position = %s WHERE path = %s", (behind, path))
    return len(bad)


def _insert(cursor: Connection, path: str, found: list[tuple[Line, Event]]) -> list[tuple[Line, str]]:
    """Insert events; returns those that cannot be, with the reason. One that is there already is no fault."""
    if not found:
        return []
    rows = [
        (e.id, e.time, e.kind, e.verdict, e.rule, e.room, list(e.people), e.words, path, line.position, e.line)
        for line, e in found
    ]
    cursor.execute("SAVEPOINT batch")
    try:
        new = {row[0] for row in execute_values(cursor, INSERT, rows, ROW, page_size=len(rows), fetch=True)}
    except (psycopg2.DataError, psycopg2.errors.ProgramLimitExceeded) as error:
        cursor.execute("ROLLBACK TO SAVEPOINT batch")
        if len(found) == 1:
            return [(found[0][0], f"the database cannot hold it: {str(error).splitlines()[0]}")]
        half = len(found) // 2
        return _insert(cursor, path, found[:half]) + _insert(cursor, path, found[half:])
    cursor.execute("RELEASE SAVEPOINT batch")
    repeated = []
    for item in found:
        # the first one of a batch is the one that was stored
        if item[1].id in new:
            new.remove(item[1].id)
        else:
            repeated.append(item)
    return _impostors(cursor, repeated)


def _impostors(cursor: Connection, repeated: list[tuple[Line, Event]]) -> list[tuple[Line, str]]:
    """Find what is no repetition: the id of another event."""
    if not repeated:
        return []
    cursor.execute("SELECT id::text, line FROM events WHERE id = ANY(%s::uuid[])", ([e.id for _, e in repeated],))
    stored: dict[str, str] = dict(cursor.fetchall())
    return [(line, f"another event has the id {e.id}") for line, e in repeated if stored.get(e.id) != e.line]
