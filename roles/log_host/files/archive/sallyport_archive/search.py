# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding events. Every word of the person who asks reaches the database as a parameter."""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from sallyport_archive import events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sallyport_archive.database import Connection
    from sallyport_archive.events import Event

FETCHED = 2000
SELECT = "SELECT line, path, position FROM events"


@dataclass(frozen=True)
class Query:
    """What is asked; what is empty or None does not matter.

    Attributes:
        people: addresses; events that concern any of them.
        rooms: addresses; with people given, events of either.
        words: words or phrases that must all be there; `inv*` finds what begins so.
        rule: that decided.
        verdict: `allowed` or `refused`.
        kind: as in the schema.
        first: events from this moment on.
        end: events before this moment.
        limit: at most so many; 0: all.
        oldest_first: as one reads; else the newest first.

    """

    people: list[str] = field(default_factory=list)
    rooms: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    rule: str = ""
    verdict: str = ""
    kind: str = ""
    first: datetime.datetime | None = None
    end: datetime.datetime | None = None
    limit: int = 0
    oldest_first: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return what is asked, for the log of uses."""
        said = asdict(self)
        return {
            name: value.isoformat() if isinstance(value, datetime.datetime) else value for name, value in said.items()
        }


@dataclass(frozen=True)
class Found:
    """An event, and where its line is."""

    event: Event
    path: str
    position: int


def phrase(words: str) -> str:
    """Return words as a text query of PostgreSQL's: one behind the other; a star at the end finds longer words too.

    Args:
        words: any text.

    Returns:
        The query; empty when there is no letter or digit in the text.

    """
    found = events.normal(words).split()
    beginning = ":*" if words.rstrip().endswith("*") else ""
    return " <-> ".join(f"'{word}'" for word in found) + (beginning if found else "")


def statement(queries: list[Query]) -> tuple[str, dict[str, Any]]:
    """Return the statement for some queries, and its parameters.

    Args:
        queries: events that one of them asks for; limit and order are those of the first.

    Returns:
        SQL that is made of the program's own pieces only, and the parameters.

    """
    where: list[str] = []
    values: dict[str, Any] = {"limit": queries[0].limit or None}
    for query in queries:
        conditions = []
        for piece, value in _conditions(query):
            name = f"value{len(values)}"
            conditions.append(piece.replace("VALUE", f"%({name})s"))
            values[name] = value
        where.append(f"({' AND '.join(conditions) or 'true'})")
    order = "ASC" if queries[0].oldest_first else "DESC"
    return f"{SELECT} WHERE {' OR '.join(where)} ORDER BY time {order}, id LIMIT %(limit)s", values


def _conditions(query: Query) -> Iterator[tuple[str, Any]]:
    """List the conditions of a query that must all hold, each with its one value."""
    people, rooms = [events.bare(p) for p in query.people], [events.bare(r) for r in query.rooms]
    if people and rooms:
        # both in one value, since a room's address stands among the people too: it is what was written to
        yield "people && VALUE::text[]", people + rooms
    elif people:
        yield "people && VALUE::text[]", people
    elif rooms:
        yield "room = ANY(VALUE)", rooms
    for words in query.words:
        yield "words @@ to_tsquery('simple', VALUE)", phrase(words)
    for name in ("rule", "verdict", "kind"):
        if getattr(query, name):
            yield f"{name} = VALUE", events.printable(getattr(query, name))
    if query.first:
        yield "time >= VALUE", query.first
    if query.end:
        yield "time < VALUE", query.end


def search(connection: Connection, *queries: Query) -> Iterator[Found]:
    """Ask the database.

    Args:
        connection: to it.
        queries: what is asked; events that one of them asks for.

    Yields:
        The events.

    Raises:
        psycopg2.Error: the database fails.

    """
    text, values = statement(list(queries))
    with connection, connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
        cursor.execute("SET LOCAL jit = off")
        # all that is asked for is fetched, slice by slice; the planner would reckon with a tenth of it
        cursor.execute("SET LOCAL cursor_tuple_fraction = 1")
        with connection.cursor("found") as rows:
            rows.itersize = FETCHED
            rows.execute(text, values)
            for line, path, position in rows:
                yield Found(events.read(line.encode("utf-8")), path, position)
