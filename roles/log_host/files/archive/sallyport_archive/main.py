# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import itertools
import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg2

from sallyport_archive import (
    chain,
    database,
    forgetting,
    holding,
    ingest,
    retention,
    seal,
    setting_up,
    signing,
    status,
    uses,
    words,
)
from sallyport_archive.differences import differences
from sallyport_archive.export import Export
from sallyport_archive.places import ArchiveError, Places
from sallyport_archive.search import Query, search
from sallyport_archive.state import fold
from sallyport_archive.table import table, visible
from sallyport_archive.verify import added, verify

if TYPE_CHECKING:
    from collections.abc import Callable

PLACES = Places()
WELL, WRONG, FAILED = 0, 1, 2
NEXT = "Files that people share lie on the IM server. For them, on the control node: make holds SITE=<site>"


def main(arguments: list[str]) -> int:
    """Run a command.

    Args:
        arguments: of the command line.

    Returns:
        0 when all is well, 1 when verify or a daily run found something wrong, 2 when it could not be done.

    """
    os.umask(0o027)
    asked = words.parser().parse_args(arguments)
    try:
        return COMMANDS[asked.command](asked)
    except BrokenPipeError:
        # whoever read the output had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return WELL
    except (ArchiveError, psycopg2.Error) as error:
        print(f"sallyport-archive: {visible(str(error).strip())}", file=sys.stderr)
    except OSError as error:
        print(f"sallyport-archive: {error.filename or ''}: {error.strerror}", file=sys.stderr)
    return FAILED


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _setup(_: argparse.Namespace) -> int:
    if os.geteuid():
        raise ArchiveError("only root sets the archive up; use sudo")
    for line in setting_up.make_key_and_chain(PLACES) + database.set_up():
        print(line)
    return WELL


def _ingest(_: argparse.Namespace) -> int:
    ingest.serve(PLACES)
    return WELL


def _seal(_: argparse.Namespace) -> int:
    entry = seal.seal(PLACES)
    problems = entry.content["problems"]
    for problem in problems:
        ingest.say(1, problem)
    for addition in fold(chain.read(PLACES)).additions:
        if addition.number == entry.number:
            ingest.say(1, added(addition))
    print(f"entry {entry.number}: {len(entry.content['files'])} files sealed, {len(problems)} are not what they were")
    return WRONG if problems else WELL


def _expire(_: argparse.Namespace) -> int:
    done, problems = retention.expire(PLACES, _now())
    forgetting.forget(PLACES)
    for line in done:
        print(line)
    for line in problems:
        ingest.say(1, line)
    return WRONG if problems else WELL


def _status(asked: argparse.Namespace) -> int:
    said = status.status(PLACES)
    print(json.dumps(said) if asked.json else "\n".join(f"{name}: {value}" for name, value in said.items()))
    return WELL


def _query(asked: argparse.Namespace) -> Query:
    return Query(people=asked.person, rooms=asked.room, first=asked.first, end=asked.end)


def _search(asked: argparse.Namespace) -> int:
    query = replace(
        _query(asked), words=asked.word, rule=asked.rule, verdict=asked.verdict, kind=asked.kind, limit=asked.limit
    )
    with database.connected() as connection:
        found = search(connection, query)
        # whoever asks for all of them may ask for more than fits into memory
        first = list(itertools.islice(found, asked.limit or 1))
        uses.asked(PLACES, "search", query.as_dict(), len(first) if asked.limit or not first else None)
        shown = itertools.chain(first, found)
        for line in (json.dumps(item.event.fields) for item in shown) if asked.json else table(shown):
            print(line)
    return WELL


def _export(asked: argparse.Namespace) -> int:
    if not asked.reason.strip():
        raise ArchiveError("an export needs a reason: --reason")
    queries = [_query(asked)] if asked.person or asked.room else []
    if asked.case:
        held = [hold for hold in holding.holds(PLACES) if hold.case == asked.case]
        if not held:
            raise ArchiveError(f"no hold in force names the case {asked.case!r}; see sallyport-archive holds")
        queries += [Query(people=sorted(h.people), rooms=sorted(h.rooms), first=h.first, end=h.end) for h in held]
    if not queries:
        raise ArchiveError("an export needs somebody or something: --person, --room or --case")
    words_said = {"case": asked.case, **_query(asked).as_dict(), "to": str(asked.to), "reason": asked.reason.strip()}
    export = Export(PLACES, asked.to)
    try:
        # before anything is copied: a copy whose maker was killed is noted, too. How many it were, the manifest says
        uses.asked(PLACES, "export", words_said)
        with database.connected() as connection:
            export.fill(search(connection, *[replace(query, oldest_first=True) for query in queries]))
        said = {name: value for name, value in words_said.items() if value and name not in ("to", "reason")}
        export.finish(
            {
                "time": _now().isoformat(timespec="seconds"),
                "who": uses.who(),
                "asked": said,
                "reason": asked.reason.strip(),
            },
            held=bool(asked.case),
        )
    finally:
        export.drop()
    print(f"{export.count} events in {asked.to}")
    if export.elsewhere:
        print(
            f"{len(export.elsewhere)} of them are not in the day files as they came; run sallyport-archive verify",
            file=sys.stderr,
        )
        return WRONG
    return WELL


def _verify(asked: argparse.Namespace) -> int:
    key = asked.key or signing.public_half(PLACES.key)
    public = key.read_text(encoding="ascii", errors="replace")
    with contextlib.ExitStack() as stack:
        heads = asked.heads
        if heads == Path("-"):
            copy = stack.enter_context(tempfile.NamedTemporaryFile())
            copy.write(sys.stdin.buffer.read())
            copy.flush()
            heads = Path(copy.name)
        found = verify(PLACES, public, heads, _now())
    if found.damaged:
        # it helps to see what was there, and is no part of the proof
        with contextlib.suppress(ArchiveError), database.connected() as connection:
            for path in found.damaged:
                found.notes += differences(connection, PLACES, path)
    uses.asked(
        PLACES,
        "verify",
        {"heads": str(asked.heads or ""), "key": str(asked.key or ""), "problems": len(found.problems)},
    )
    if asked.json:
        print(json.dumps({"ok": not found.problems, **vars(found)}))
        return WRONG if found.problems else WELL
    for line in found.problems:
        print(f"WRONG  {visible(line)}")
    for line in found.notes:
        print(f"note   {visible(line)}")
    outcome = f"{len(found.problems)} things are wrong" if found.problems else "everything is as it was sealed"
    print(f"{found.files} files, {found.entries} entries: {outcome}")
    return WRONG if found.problems else WELL


def _renew_key(asked: argparse.Namespace) -> int:
    print(f"the archive signs by {setting_up.renew_key(PLACES, asked.reason)} from now on")
    return WELL


def _hold(asked: argparse.Namespace) -> int:
    span = asked.first, asked.end
    name = holding.hold(PLACES, people=asked.person, rooms=asked.room, case=asked.case, span=span, reason=asked.reason)
    print(name)
    print(NEXT, file=sys.stderr)
    return WELL


def _release(asked: argparse.Namespace) -> int:
    holding.release(PLACES, asked.hold, asked.reason)
    print(f"{asked.hold} is released; what its time is over for goes by the next daily run")
    print(NEXT, file=sys.stderr)
    return WELL


def _holds(asked: argparse.Namespace) -> int:
    if asked.for_servers:
        print(json.dumps(holding.for_servers(PLACES)))
        return WELL
    found = [hold.as_dict() for hold in holding.holds(PLACES)]
    if asked.json:
        print(json.dumps({"holds": found}))
        return WELL
    for said in found or [{"holds": "none"}]:
        print(
            "; ".join(
                f"{name}: {', '.join(value) if isinstance(value, list) else visible(str(value))}"
                for name, value in said.items()
                if value
            )
        )
    return WELL


def _accept(asked: argparse.Namespace) -> int:
    holding.accept(PLACES, asked.path, asked.reason)
    print(f"{visible(asked.path)} is accepted as it is")
    return WELL


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "setup": _setup,
    "ingest": _ingest,
    "seal": _seal,
    "expire": _expire,
    "status": _status,
    "search": _search,
    "export": _export,
    "verify": _verify,
    "renew-key": _renew_key,
    "hold": _hold,
    "release": _release,
    "holds": _holds,
    "accept": _accept,
}
