# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether everything is as it was sealed; names what is not."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sallyport_archive import chain, signing, state, witness
from sallyport_archive.contents import contents, whole_lines
from sallyport_archive.places import ArchiveError, day_files

if TYPE_CHECKING:
    from pathlib import Path

    from sallyport_archive.chain import Entry
    from sallyport_archive.places import Places
    from sallyport_archive.state import Addition, FileState, State

LATE = datetime.timedelta(hours=2)


@dataclass
class Findings:
    """What was found.

    Attributes:
        problems: what is not as it should be; empty when all is well.
        notes: what is worth knowing and no fault.
        entries: of the chain.
        files: that are sealed.
        head: number and hash of the last entry.
        damaged: paths of the files that are not what was sealed.

    """

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    entries: int = 0
    files: int = 0
    head: dict[str, Any] | None = None
    damaged: list[str] = field(default_factory=list)


def verify(places: Places, public: str, heads: Path | None, now: datetime.datetime) -> Findings:
    """Check the chain, with what the witness has, and the files by it.

    Args:
        places: where things are.
        public: the public key that counts.
        heads: the witness's copy of the heads; None: nobody was asked.
        now: the time.

    Returns:
        What was found.

    Raises:
        ArchiveError: something cannot be read at all.

    """
    found = Findings()
    with chain.files_locked(places, only_looks=True):
        # of the same moment: an entry is written before its line
        with chain.locked(places):
            lines, noted = chain.complete_lines(places.chain), chain.complete_lines(places.uses)
        entries = check_chain(lines, public, found)
        if heads is None:
            found.notes.append(
                "no witness was asked: a chain that root signed anew, or cut at its end, would not be seen"
            )
        else:
            witness.check(entries, heads, {public, *signers(entries, public)}, now, found)
        known = state.fold(entries, found.problems)
        found.problems += [
            f"chain: {what}: the clock was wrong, or this time is a lie"
            for _, what in state.wrong_times(entries, known.clocks, now)
        ]
        _check_own_key(places, entries, found)
        check_files(places, known, found)
        check_uses(noted, known, found)
    found.entries, found.files = len(entries), sum(bool(file.marks) for file in known.files.values())
    found.head = {"number": entries[-1].number, "hash": entries[-1].hash} if entries else None
    if not known.seals:
        found.problems.append("nothing was ever sealed; run sallyport-archive seal")
    elif now - datetime.datetime.fromisoformat(last := state.newest(known.seals, now)) > LATE:
        found.problems.append(f"the last seal is of {last}: the hourly one does not run")
    return found


def check_chain(lines: list[bytes], public: str, found: Findings) -> list[Entry]:
    """Check that the entries follow each other and are signed.

    A signature is over an entry's hash, which covers all entries before it: that of the last one is checked, those on
    both sides of every break, and those on both sides of a renewal of the key: the old one's word, and the new one's.

    Args:
        lines: of the chain.
        public: the key that counts: the first one, or any later one.
        found: gets what is wrong.

    Returns:
        The entries that can be read.

    """
    entries: list[Entry] = []
    doubtful: set[int] = set()
    for count, line in enumerate(lines, 1):
        try:
            entry = chain.parse(line)
        except ValueError:
            found.problems.append(f"chain: line {count} is no entry")
            continue
        if line != chain.line_of(entry):
            found.problems.append(f"chain: entry {entry.number} does not stand there as it was written")
        before = entries[-1] if entries else None
        expected = before.number + 1 if before else 1
        if entry.number > expected:
            what = (
                f"entry {expected} is"
                if entry.number == expected + 1
                else f"entries {expected} to {entry.number - 1} are"
            )
            found.problems.append(f"chain: {what} missing")
            doubtful |= {len(entries) - 1, len(entries)}
        elif entry.number < expected:
            found.problems.append(f"chain: entry {entry.number} stands in line {count}, out of order")
            doubtful |= {len(entries)}
        elif entry.previous != (before.hash if before else chain.START):
            found.problems.append(f"chain: entry {entry.number} does not follow what now stands before it")
            doubtful |= {len(entries) - 1, len(entries)}
        entries.append(entry)
    doubtful.add(len(entries) - 1)
    by = signers(entries, public)
    renewals = [index for index, entry in enumerate(entries) if entry.kind == "renewal"]
    doubtful |= {index for renewal in renewals for index in (renewal, renewal + 1)}
    checked = [index for index in sorted(doubtful) if 0 <= index < len(entries)]
    for entry, key in ((entries[index], by[index]) for index in checked):
        if not signing.is_signed(key, chain.signed_text(entry.number, entry.hash), entry.signature, signing.HEAD):
            found.problems.append(f"chain: entry {entry.number} ({entry.kind}) is not as it was signed by this key")
    if not entries:
        found.problems.append("chain: it is missing or empty")
    elif not any(signing.same(by[index], public) for index in checked):
        found.problems.append("chain: it was begun with another key")
    found.notes += [
        f"entry {entries[index].number}, {entries[index].time}: another key signs from then on"
        for index in renewals
        if not signing.same(by[index], by[index + 1])
    ]
    return entries


def signers(entries: list[Entry], public: str) -> list[str]:
    """Return the key that must have signed each entry: the first entry names one, each renewal the next.

    Args:
        entries: the chain.
        public: the key of a chain whose first entry is missing.

    Returns:
        One for each entry, and the one that signs what comes.

    """
    by: list[str] = []
    key = public
    for entry in entries:
        named = str(entry.content.get("public", ""))
        if not by and entry.kind == "key" and signing.is_key(named):
            key = named
        by.append(key)
        if entry.kind == "renewal" and signing.is_key(named):
            key = named
    return [*by, key]


def _check_own_key(places: Places, entries: list[Entry], found: Findings) -> None:
    """Check that what is here to sign is what the chain says."""
    file = signing.public_half(places.key)
    try:
        own = file.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        found.problems.append(f"{file}: is missing; sallyport-archive setup makes it again from the key")
        return
    if entries and not signing.same(own, signers(entries, own)[-1]):
        found.problems.append(f"{file}: is another key than the chain names")


def check_files(places: Places, known: State, found: Findings) -> None:
    """Check the files by what was sealed.

    Args:
        places: where the files are.
        known: what the chain says of them.
        found: gets what is wrong, and what came since.

    Raises:
        ArchiveError: they cannot be read.

    """
    files = {file.path: file.file for file in day_files(places.hosts)}
    fresh = grown = 0
    for path in sorted({*files, *known.files}):
        about, file = known.files.get(path, state.FileState()), files.get(path)
        if file is None:
            if about.marks:
                at = about.marks[-1]
                found.damaged.append(path)
                found.problems.append(
                    f"{path}: deleted; {at.content.lines} lines were sealed by entry {at.number}, {at.time}"
                )
            continue
        try:
            if about.marks:
                grown += _check_file(path, file, about, found)
            elif about.tombstone is None:
                fresh += 1
            elif not whole_lines(file):
                found.notes.append(f"{path}: half a line is left of it")
            elif not _unfinished(file, about):
                found.problems.append(f"{path}: is there again; it was removed by entry {about.tombstone.number}")
            else:
                found.notes.append(f"{path}: its removal is not finished; the next daily run does it")
        except OSError as error:
            raise ArchiveError(f"{file}: {error.strerror}") from error
    found.problems += known.doubts
    found.notes += [f"{count} files were removed by the rule {rule}" for rule, count in sorted(known.removals.items())]
    found.notes += [added(one) for one in known.additions]
    gone_days = _whole_days(known, files)
    found.problems += [f"{day}: the whole day is deleted" for day in gone_days]
    found.notes += known.accepted + known.held
    if grown or fresh:
        found.notes.append(f"since the last seal {grown} files grew and {fresh} are new; the next one seals them")


def added(addition: Addition) -> str:
    """Say what was added to a past day."""
    return (
        f"{addition.path}: {addition.lines} lines were added after its day was over, between {addition.since} and "
        f"{addition.time}, entry {addition.number}; nothing that a host ships does that"
    )


def _check_file(path: str, file: Path, said: FileState, found: Findings) -> bool:
    """Check a file of which something is sealed; returns whether it grew since."""
    marks = said.marks
    seen = contents(file, [mark.content.size for mark in marks])
    sealed, now = marks[-1], seen[-1]
    if len(seen) == len(marks) and now == sealed.content:
        return whole_lines(file) > sealed.content.size
    if _unfinished(file, said):
        found.notes.append(f"{path}: its removal is not finished; the next daily run does it")
        return False
    bad = next(i for i, (mark, content) in enumerate(zip(marks, seen, strict=False)) if mark.content != content)
    since = marks[bad - 1].content.lines if bad else 0
    where = (
        f"in lines {since + 1} to {marks[bad].content.lines}, sealed by entry {marks[bad].number}, {marks[bad].time}"
    )
    if now.size < sealed.content.size:
        fewer = sealed.content.lines - now.lines
        what = f"{fewer} of {sealed.content.lines} lines and {sealed.content.size - now.size} bytes are gone"
    elif seen[bad].lines != marks[bad].content.lines:
        what = "changed, lines were taken out or put in"
    else:
        what = "changed"
    found.problems.append(f"{path}: {what}; the difference begins {where}")
    found.damaged.append(path)
    return False


def _unfinished(file: Path, said: FileState) -> bool:
    """Tell whether a file is what was to be removed: whoever did it died after the tombstone was written."""
    if said.tombstone is None or said.tombstone.kind != "tombstone":
        return False
    was = state.content_of(said.tombstone.content["was"])
    return whole_lines(file) == was.size and contents(file, [was.size])[0] == was


def _whole_days(known: State, files: dict[str, Path]) -> list[str]:
    """Return the days of hosts of which everything sealed is deleted."""
    sealed = {path.rpartition("/")[0] for path, file in known.files.items() if file.marks}
    return sorted(sealed - {path.rpartition("/")[0] for path in files})


def check_uses(lines: list[bytes], known: State, found: Findings) -> None:
    """Check the log of uses by the chain.

    Args:
        lines: of the log.
        known: what the chain says.
        found: gets what is wrong.

    """
    noted = {chain.canonical(entry.body): entry for entry in known.uses}
    for line in noted.keys() - set(lines):
        entry = noted[line]
        found.problems.append(
            f"archive-use.jsonl: the line of entry {entry.number}, {entry.time}, is missing or changed"
        )
    for count, line in enumerate(lines, 1):
        if line not in noted:
            found.problems.append(f"archive-use.jsonl: line {count} is in no entry: {_short(line)}")


def _short(line: bytes) -> str:
    return json.dumps(line[:80].decode("utf-8", "replace"))
