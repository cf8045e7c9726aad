# SPDX-License-Identifier: GPL-3.0-or-later
"""The database: an index of the day files, made again from them at any time. Its role has no password."""

from __future__ import annotations

import contextlib
import os
import pwd
from typing import TYPE_CHECKING, Any

import psycopg2

from sallyport_archive.places import ArchiveError
from sallyport_archive.programs import run

if TYPE_CHECKING:
    from collections.abc import Iterator

ROLE = "sallyport-archive"
DATABASE = "sallyport_archive"
INGEST_LOCK = 7_120_391  # any number, the same for all who ingest

ROLE_IS_THERE = "SELECT 1 FROM pg_roles WHERE rolname = 'sallyport-archive'"
MAKE_ROLE = 'CREATE ROLE "sallyport-archive" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION'
DATABASE_IS_THERE = "SELECT 1 FROM pg_database WHERE datname = 'sallyport_archive'"
MAKE_DATABASE = """CREATE DATABASE sallyport_archive OWNER "sallyport-archive" TEMPLATE template0 ENCODING 'UTF8'"""
CLOSE_DATABASE = "REVOKE ALL ON DATABASE sallyport_archive FROM PUBLIC"

SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    id uuid PRIMARY KEY,
    time timestamptz NOT NULL,
    kind text NOT NULL,
    verdict text NOT NULL,
    rule text NOT NULL,
    room text,
    people text[] NOT NULL,
    words tsvector NOT NULL,
    path text NOT NULL,
    position bigint NOT NULL,
    line text NOT NULL
);
CREATE INDEX IF NOT EXISTS events_time ON events (time);
CREATE INDEX IF NOT EXISTS events_room ON events (room, time) WHERE room IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_rule ON events (rule, time);
CREATE INDEX IF NOT EXISTS events_path ON events (path, position);
CREATE INDEX IF NOT EXISTS events_people ON events USING gin (people);
CREATE INDEX IF NOT EXISTS events_words ON events USING gin (words);
CREATE TABLE IF NOT EXISTS malformed (
    path text NOT NULL,
    position bigint NOT NULL,
    reason text NOT NULL,
    line bytea NOT NULL,
    PRIMARY KEY (path, position)
);
CREATE TABLE IF NOT EXISTS files (
    path text PRIMARY KEY,
    position bigint NOT NULL,
    tombstone bigint NOT NULL DEFAULT 0
);
"""

Connection = Any  # psycopg2 has no types


def connect() -> Connection:
    """Connect as the archive's own role, by the local socket (peer authentication).

    Returns:
        A connection; the server has seen the archive's user, also when root runs the program.

    Raises:
        psycopg2.OperationalError: the server is not there, or does not let it in.
        ArchiveError: the user is not there.

    """
    with _archive_user():
        return psycopg2.connect(
            dbname=DATABASE, user=ROLE, host="/run/postgresql", application_name="sallyport-archive"
        )


@contextlib.contextmanager
def connected() -> Iterator[Connection]:
    """Connect for one errand.

    Yields:
        The connection, closed at the end; what was not committed is gone.

    Raises:
        ArchiveError: the database cannot be reached or fails.

    """
    try:
        with contextlib.closing(connect()) as connection:
            yield connection
    except psycopg2.Error as error:
        raise ArchiveError(f"the database fails: {str(error).strip()}; see systemctl status postgresql") from error


@contextlib.contextmanager
def _archive_user() -> Iterator[None]:
    """Be the archive's user for a moment, when the program runs as root: the server asks the kernel who connects."""
    if os.geteuid():
        yield
        return
    try:
        user = pwd.getpwnam(ROLE)
    except KeyError as error:
        raise ArchiveError(f"there is no user {ROLE}; the role log_host makes it") from error
    # libpq looks for files in the home of whoever runs it
    os.environ["HOME"] = "/nonexistent"
    os.setegid(user.pw_gid)
    os.seteuid(user.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def set_up() -> list[str]:
    """Make role, database and tables; what is there stays.

    Returns:
        What was made, in plain words.

    Raises:
        ArchiveError: PostgreSQL is not there or refuses.

    """
    made = []
    if not _as_postgres("postgres", ROLE_IS_THERE):
        _as_postgres("postgres", MAKE_ROLE)
        made.append(f"role {ROLE}")
    if not _as_postgres("postgres", DATABASE_IS_THERE):
        _as_postgres("postgres", MAKE_DATABASE)
        _as_postgres("postgres", CLOSE_DATABASE)
        made.append(f"database {DATABASE}")
    with connected() as connection, connection, connection.cursor() as cursor:
        cursor.execute("SET client_min_messages = warning")
        cursor.execute(SCHEMA)
    return made


def _as_postgres(database: str, statement: str) -> str:
    """Run a statement of the program's own as PostgreSQL's administrator; returns what it answers."""
    command = [
        "runuser",
        "-u",
        "postgres",
        "--",
        "psql",
        "-XqAtw",
        "-v",
        "ON_ERROR_STOP=1",
        "-d",
        database,
        "-c",
        statement,
    ]
    done = run(command)
    if done.returncode:
        raise ArchiveError(
            f"PostgreSQL refuses: {done.stderr.decode(errors='replace').strip()}; is postgresql installed and running?"
        )
    return done.stdout.decode().strip()
