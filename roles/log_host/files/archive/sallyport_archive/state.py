# SPDX-License-Identifier: GPL-3.0-or-later
"""What the chain says as a whole: which content of which file is sealed, what was removed, what is held. Pure."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sallyport_archive.hold import Hold
from sallyport_archive.places import ENDING, ArchiveError
from sallyport_archive.settings import rule_of

if TYPE_CHECKING:
    from sallyport_archive.chain import Entry


LATE = datetime.timedelta(minutes=10)
"""The day is that of reception, and a line is in its file within seconds: what comes so long after it is none of it."""
SKEW = datetime.timedelta(minutes=10)
"""A clock that is set right moves by less; entries that differ by more are a clock that was wrong, or a lie."""
USES = ("use", "hold", "release", "accept", "renewal")
"""Kinds of entries that somebody asked for; each is a line of the log of uses too."""


@dataclass(frozen=True)
class Content:
    """The beginning of a file.

    Attributes:
        size: in bytes.
        lines: how many.
        sha256: of it, hexadecimal.

    """

    size: int
    lines: int
    sha256: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as an entry has it."""
        return {"size": self.size, "lines": self.lines, "sha256": self.sha256}


def content_of(said: dict[str, Any]) -> Content:
    """Read a content from an entry."""
    found = Content(said["size"], said["lines"], said["sha256"])
    if not (isinstance(found.size, int) and isinstance(found.lines, int) and isinstance(found.sha256, str)):
        raise TypeError("no content")
    return found


@dataclass(frozen=True)
class Mark:
    """A content, and the entry that sealed it."""

    content: Content
    number: int
    time: str


@dataclass(frozen=True)
class Addition:
    """Lines that a file got after its day was over, between two seals.

    Attributes:
        path: of the file.
        lines: how many.
        number: of the entry that sealed them.
        time: of it.
        since: time of the seal that did not find them yet.

    """

    path: str
    lines: int
    number: int
    time: str
    since: str


@dataclass
class FileState:
    """What is known of one file.

    Attributes:
        marks: what was sealed, the longest last; empty when the file was removed.
        tombstone: the last entry by which it became another one than was sealed (`tombstone`, `accept`), or None.
        holds: ids of those that were in force then.

    """

    marks: list[Mark] = field(default_factory=list)
    tombstone: Entry | None = None
    holds: frozenset[str] = frozenset()

    @property
    def sealed(self) -> Content | None:
        """All that is sealed of it."""
        return self.marks[-1].content if self.marks else None


@dataclass
class State:
    """What the chain says.

    Attributes:
        files: by path.
        holds: that are in force, by id, the oldest first.
        seals: times of the seals, the oldest first.
        uses: entries that say who used the archive.
        doubts: removals that no rule explains, in plain words.
        removals: how many files were removed by each rule.
        additions: to files of past days.
        clocks: numbers of the entries whose wrong time somebody has explained.
        accepted: what was accepted, by whom and why, in plain words.
        held: removals while something was held, in plain words.

    """

    files: dict[str, FileState] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    seals: list[str] = field(default_factory=list)
    uses: list[Entry] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    removals: dict[str, int] = field(default_factory=dict)
    additions: list[Addition] = field(default_factory=list)
    clocks: set[int] = field(default_factory=set)
    accepted: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)

    def seal(self, entry: Entry) -> None:
        """Take a seal; it looked at all files, as each before it did."""
        last = self.seals[-1] if self.seals else ""
        self.seals.append(entry.time)
        for item in entry.content["files"]:
            path, content = item["path"], content_of(item)
            _day(path)
            known = self.files.setdefault(path, FileState())
            if last and _is_over(path, last):
                lines = content.lines - (known.sealed.lines if known.sealed else 0)
                self.additions.append(Addition(path, lines, entry.number, entry.time, last))
            known.marks.append(Mark(content, entry.number, entry.time))

    def accept(self, entry: Entry) -> None:
        """Take what somebody accepted: the time of an entry, or a file as it is. It is named for ever."""
        said = entry.content
        if "entry" in said:
            self.clocks.add(said["entry"])
            what = f"the time of entry {said['entry']}"
        else:
            self.replace(entry, said["found"])
            what = said["path"]
        self.accepted.append(f"{what}: accepted by {said['who']}, {entry.time}: {said['reason']}")

    def replace(self, entry: Entry, content: dict[str, Any] | None) -> None:
        """Take an entry by which a file became another one; who made it has seen what was added before."""
        path = entry.content["path"]
        _day(path)
        marks = [Mark(content_of(content), entry.number, entry.time)] if content else []
        self.files[path] = FileState(marks, entry, frozenset(self.holds))
        self.additions = [one for one in self.additions if one.path != path]


def _is_over(path: str, time: str) -> bool:
    """Tell whether the day of a file was over at a time, and all that came on it in its place."""
    day = datetime.datetime.combine(_day(path), datetime.time(), datetime.UTC)
    return datetime.datetime.fromisoformat(time) - day > datetime.timedelta(days=1) + LATE


def _day(path: str) -> datetime.date:
    """Return the day of a day file."""
    _, day, _ = path.split("/")
    return datetime.date.fromisoformat(day)


def _doubts(entry: Entry, before: State) -> list[str]:
    """Say what speaks against a removal: whoever has the key can sign one, but no rule removes what it should keep."""
    said, known = entry.content, before.files.get(entry.content["path"])
    was, found = content_of(said["was"]), []
    if known and not _begun_anew(entry, known, before):
        sealed = known.sealed
        if sealed is None:
            # but half a line
            found += ["nothing of it should have been left"] if was.size else []
        elif was.size < sealed.size or (was.size == sealed.size and was != sealed) or _repeats(entry, known):
            found.append("it was not what was sealed")
    name, _, days = str(said["rule"]).partition(" ")
    day = _day(said["path"])
    age = (entry.moment.date() - day).days
    stream = said["path"].split("/")[2].removesuffix(ENDING)
    if not (days.isascii() and days.isdigit()) or age <= int(days) or name != rule_of(stream):
        found.append(f"after {age} days, and its rule is {name} {days}")
    missing = [hold for hold in said["held_by"] if hold not in before.holds]
    if missing or (said["kept"] and not said["held_by"]):
        found.append(f"lines were kept without a hold in force {', '.join(missing)}".rstrip())
    return [f"{said['path']}: its removal by entry {entry.number}, {entry.time}, is not right: {why}" for why in found]


def _repeats(entry: Entry, known: FileState) -> bool:
    """Tell whether a removal is of the same content as the one before."""
    return known.tombstone is not None and known.tombstone.content.get("was") == entry.content["was"]


def _begun_anew(entry: Entry, known: FileState, before: State) -> bool:
    """Tell whether a removal may repeat the one before: whoever did that died, and then other lines were held.

    With the same holds, the same lines would have been kept, and no second tombstone would have been made.
    """
    return _repeats(entry, known) and known.holds != frozenset(before.holds)


def _while_held(entry: Entry, before: State) -> list[str]:
    """Name a removal while something was held: a seal has no hash of each line, so nobody can prove which were kept."""
    said, known = entry.content, before.files.get(entry.content["path"])
    holds = [name for name, hold in before.holds.items() if hold.near(_day(said["path"]))]
    lines, kept = content_of(said["was"]).lines, content_of(said["kept"]).lines if said["kept"] else 0
    what = f"{said['path']}: removed by entry {entry.number}, {entry.time}"
    found = [f"{what}, {kept} of {lines} lines kept, while there was {', '.join(holds)}"] if holds else []
    if known and _begun_anew(entry, known, before):
        found.append(f"{what}, once more, after what is held had changed")
    return found


def fold(entries: list[Entry], odd: list[str] | None = None) -> State:
    """Put together what the entries say.

    Args:
        entries: the chain.
        odd: gets the entries that say nothing that can be understood; None: that is an error.

    Returns:
        How things stand after the last of them.

    Raises:
        ArchiveError: what an entry says cannot be understood, so nothing is removed or held by it.

    """
    state = State()
    for entry in entries:
        try:
            _take(state, entry)
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            what = f"chain: entry {entry.number} ({entry.kind}) says what cannot be understood"
            if odd is None:
                raise ArchiveError(f"{what}; run sallyport-archive verify") from error
            odd.append(what)
    return state


def _take(state: State, entry: Entry) -> None:
    """Take one entry."""
    said = entry.content
    if entry.kind in USES:
        state.uses.append(entry)
    if entry.kind == "seal":
        state.seal(entry)
    elif entry.kind == "tombstone":
        state.doubts += _doubts(entry, state)
        state.held += _while_held(entry, state)
        rule = str(said["rule"])
        state.removals[rule] = state.removals.get(rule, 0) + 1
        state.replace(entry, said["kept"])
    elif entry.kind == "accept":
        state.accept(entry)
    elif entry.kind == "hold":
        state.holds[said["hold"]] = Hold.read(entry)
    elif entry.kind == "release":
        state.holds.pop(said["hold"], None)


def wrong_times(entries: list[Entry], explained: set[int], now: datetime.datetime) -> list[tuple[int, str]]:
    """Find the entries whose time cannot be: a removal goes by it, and so does what was added to a past day.

    Each is compared with the latest one before it, so that nothing creeps back in small steps. Of several in a row
    that are still to come, the first one is named.

    Args:
        entries: the chain.
        explained: numbers of those that somebody accepted; one that was still to come counts for all behind it, until
            the clock went back.
        now: the time.

    Returns:
        Their numbers, and what is wrong with each.

    """
    found: list[tuple[int, str]] = []
    latest: Entry | None = None
    told = False
    for entry in entries:
        back = latest is not None and latest.moment - entry.moment > SKEW
        ahead = entry.moment - now > SKEW
        told = told and not back
        what = f"entry {entry.number} ({entry.kind}) is of {entry.time}"
        if entry.number in explained:
            told = told or ahead or not back
        elif latest is not None and back:
            found.append((entry.number, f"{what}, and entry {latest.number} before it of {latest.time}"))
        elif ahead and not told:
            found.append((entry.number, f"{what}, which is still to come"))
        told = told or ahead
        if latest is None or back or entry.moment >= latest.moment:
            latest = entry
    return found


def newest(times: list[str], now: datetime.datetime) -> str:
    """Return the last time that is not still to come, else the last one: a wrong clock must not hide silence."""
    return next(
        (time for time in reversed(times) if datetime.datetime.fromisoformat(time) - now <= SKEW),
        times[-1],
    )
