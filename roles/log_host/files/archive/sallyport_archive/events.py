# SPDX-License-Identifier: GPL-3.0-or-later
"""What one line of an `im` stream says, as far as it is searched for. Pure; docs/im-event.schema.json has all of it."""

from __future__ import annotations

import datetime
import json
import re
import unicodedata
import uuid
from dataclasses import dataclass
from typing import Any

INDEXED = 200_000  # bytes of one event that are searched for words; PostgreSQL indexes no text of a megabyte
NUL = "\0"
KINDS = ("message", "presence", "subscription", "roster", "invitation", "iq", "account", "stream", "file")
VERDICTS = ("allowed", "refused")


class LineError(ValueError):
    """Why a line is no event."""


@dataclass(frozen=True)
class Event:
    """One event.

    Attributes:
        id: its UUID.
        time: when the decision point judged, UTC.
        kind: of what, as in the schema.
        verdict: `allowed` or `refused`.
        rule: which rule decided.
        room: bare address of the room, or None.
        people: bare addresses of everybody whom it concerns, in lower case.
        words: text, subject and file name in the form in which words are compared, see `normal`.
        line: the line itself.
        fields: all that the line says.

    """

    id: str
    time: datetime.datetime
    kind: str
    verdict: str
    rule: str
    room: str | None
    people: tuple[str, ...]
    words: str
    line: str
    fields: dict[str, Any]


def bare(address: str) -> str:
    """Return an address without its resource, in the form in which addresses are compared (RFC 7622)."""
    # cut first: compatibility forms of a slash are none
    return folded(printable(address).partition("/")[0])


def folded(text: str) -> str:
    """Return a text with forms of the same letter and capitals folded, and without what is invisible."""
    if text.isascii():
        return text.casefold()
    text = "".join(c for c in text if unicodedata.category(c) != "Cf")
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def printable(text: str) -> str:
    """Return a text as PostgreSQL takes it: without NUL, and without halves of surrogate pairs."""
    return text.replace(NUL, "\ufffd").encode("utf-8", "replace").decode("utf-8")


def normal(text: str) -> str:
    """Return the words of a text in the form in which they are compared.

    Compatibility forms and capitals are folded (NFKC, Unicode's case folding), what is invisible is dropped, and all
    that is no letter or digit separates words. So `invoice_2026.pdf` is found by `Invoice` and by `2026`.

    Args:
        text: any text.

    Returns:
        Words with one space between them.

    """
    visible = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")
    return " ".join(re.findall(r"[^\W_]+", visible.casefold()))


def read(line: bytes) -> Event:
    """Read one line.

    Args:
        line: without its end.

    Returns:
        The event; unknown fields are kept and not looked at.

    Raises:
        LineError: it is not an event that the archive can hold; the text says why.

    """
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LineError(f"not UTF-8 at byte {error.start}") from error
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LineError(f"not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise LineError("not an object")
    for name in ("id", "time", "kind", "verdict", "rule"):
        if not isinstance(fields.get(name), str) or not fields[name]:
            raise LineError(f"{name} is missing or no text")
    room = fields.get("room")
    return Event(
        id=_identity(fields["id"]),
        time=_time(fields["time"]),
        kind=printable(fields["kind"]),
        verdict=printable(fields["verdict"]),
        rule=printable(fields["rule"]),
        room=bare(room) if isinstance(room, str) else None,
        people=_people(fields),
        words=_words(fields),
        line=text,
        fields=fields,
    )


def _identity(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError as error:
        raise LineError("id is no UUID") from error


def _time(text: str) -> datetime.datetime:
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise LineError("time is no time") from error
    if moment.tzinfo is None:
        raise LineError("time has no zone")
    try:
        return moment.astimezone(datetime.UTC)
    except OverflowError as error:
        raise LineError("time is out of bounds") from error


def _people(fields: dict[str, Any]) -> tuple[str, ...]:
    """Return everybody whom an event concerns: from, to, and those who had fetched a file."""
    readers = fields.get("readers")
    named = [fields.get("from"), fields.get("to"), fields.get("person")]
    named += (
        [reader.get("person") for reader in readers if isinstance(reader, dict)] if isinstance(readers, list) else []
    )
    return tuple(sorted({bare(name) for name in named if isinstance(name, str) and name}))


def _words(fields: dict[str, Any]) -> str:
    texts = [fields[name] for name in ("subject", "file", "body") if isinstance(fields.get(name), str)]
    # the cut is made in what is normal: folding can make a text longer
    return normal(" ".join(texts)).encode("utf-8", "replace")[:INDEXED].decode("utf-8", "ignore")
