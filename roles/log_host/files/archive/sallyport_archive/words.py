# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person writes on the command line, and how it is read. Every refusal says what is allowed."""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path

from sallyport_archive import events

DAY_LENGTH = 10
# who reads a hold adds days to its bounds, and has room for it
FIRST_YEAR, LAST_YEAR = 1970, 9998
EPILOG = """times are UTC: a day, as 2026-03-31 (with --until all of that day), or a moment, as 2026-03-31T14:00:00Z"""


def moment(text: str) -> datetime.datetime:
    """Read a moment; a day is its beginning."""
    try:
        read = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 2026-03-31 or 2026-03-31T14:00:00Z") from error
    if not FIRST_YEAR <= read.year <= LAST_YEAR:
        raise argparse.ArgumentTypeError(f"{text!r} is out of bounds; write a year from {FIRST_YEAR} to {LAST_YEAR}")
    return read.astimezone(datetime.UTC) if read.tzinfo else read.replace(tzinfo=datetime.UTC)


def end(text: str) -> datetime.datetime:
    """Read the moment at which something is over; a day counts in full."""
    read = moment(text)
    return read + datetime.timedelta(days=1) if len(text) == DAY_LENGTH else read


def word(text: str) -> str:
    """Read what is searched for."""
    if not events.normal(text):
        raise argparse.ArgumentTypeError(f"{text!r} has no letter and no digit to search for")
    return text


def count(text: str) -> int:
    """Read a number of events; 0: all."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 on")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """Make the parser of all commands."""
    top = argparse.ArgumentParser(
        prog="sallyport-archive", description=__doc__ and "The archive of the log host.", epilog=EPILOG
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, says: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=says, description=says, epilog=EPILOG, allow_abbrev=False)

    command("setup", "make key, chain and database; what is there stays")
    command("ingest", "put what comes into the database; the service runs it")
    command("seal", "seal what came since the last seal; a timer runs it hourly")
    command("expire", "remove what its time is over for; a timer runs it daily")
    status = command("status", "how the archive stands")
    status.add_argument("--json", action="store_true")

    search = command("search", "find events, the newest first")
    _span(search)
    _who(search)
    search.add_argument(
        "--word",
        action="append",
        default=[],
        type=word,
        help="word or phrase in text, subject or file name; inv* finds what begins so",
    )
    search.add_argument("--rule", default="")
    search.add_argument("--verdict", default="", choices=events.VERDICTS)
    search.add_argument("--kind", default="", choices=events.KINDS)
    search.add_argument("--limit", type=count, default=100, help="at most so many, 0: all (100)")
    search.add_argument("--json", action="store_true", help="one event a line")

    export = command("export", "write what concerns people, rooms or a case into a folder, with a signed manifest")
    _span(export)
    _who(export)
    export.add_argument("--case", default="", help="what the holds of that case name")
    export.add_argument("--reason", required=True)
    export.add_argument(
        "--to", required=True, type=Path, help="a folder that does not exist yet, or a file that ends with .tar"
    )

    verify = command("verify", "whether everything is as it was sealed")
    verify.add_argument("--heads", type=Path, help="the witness's copy of heads.jsonl; - reads it from the input")
    verify.add_argument(
        "--key", type=Path, help="the public key that counts, kept elsewhere; else the one on this host"
    )
    verify.add_argument("--json", action="store_true")

    renewal = command("renew-key", "sign by another key from now on; the chain says so, and verify follows it")
    renewal.add_argument("--reason", required=True)

    hold = command("hold", "keep what concerns people or rooms until it is released")
    _span(hold)
    _who(hold)
    hold.add_argument("--case", default="", help="name of the case")
    hold.add_argument("--reason", required=True)
    release = command("release", "end a hold")
    release.add_argument("hold", help="as holds shows it")
    release.add_argument("--reason", required=True)
    holds = command("holds", "the holds that are in force")
    form = holds.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true")
    form.add_argument(
        "--for-servers", action="store_true", help="as an IM server reads them: without case, reason and name"
    )
    accept = command("accept", "take a file that verify names as it is; the chain keeps both hashes")
    accept.add_argument("path", help="as verify names it; entry-7 takes the wrong time of entry 7")
    accept.add_argument("--reason", required=True)
    return top


def _span(command: argparse.ArgumentParser) -> None:
    command.add_argument("--from", dest="first", type=moment, metavar="TIME", help="events from then on")
    command.add_argument("--until", dest="end", type=end, metavar="TIME", help="events before then")


def _who(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--person", action="append", default=[], metavar="ADDRESS", help="alice@im.example.com; may be repeated"
    )
    command.add_argument("--room", action="append", default=[], metavar="ADDRESS", help="may be repeated")
