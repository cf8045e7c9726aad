# SPDX-License-Identifier: GPL-3.0-or-later
"""A hold: what must be kept although its time is over. Pure."""

from __future__ import annotations

import contextlib
import datetime
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sallyport_archive import events

if TYPE_CHECKING:
    from sallyport_archive.chain import Entry

AROUND = datetime.timedelta(days=1)
"""Lines that tell no time of their own go by the day of their file, and one more on each side."""


@dataclass(frozen=True)
class Hold:
    """What is held, by whom and why.

    Attributes:
        id: its name, as `hold-3`: the number of the entry that made it.
        case: name of the case, or empty.
        people: bare addresses.
        rooms: bare addresses.
        first: events from this moment on; None: from the beginning.
        end: events before this moment; None: all later ones.
        who: asked for it.
        since: when.
        reason: why.

    """

    id: str
    case: str
    people: frozenset[str]
    rooms: frozenset[str]
    first: datetime.datetime | None
    end: datetime.datetime | None
    who: str
    since: str
    reason: str

    @classmethod
    def read(cls, entry: Entry) -> Hold:
        """Read a hold from the entry that made it."""
        said = entry.content
        return cls(
            id=said["hold"],
            case=said["case"],
            # once more: an older entry may have another form of it
            people=frozenset(map(events.bare, said["people"])),
            rooms=frozenset(map(events.bare, said["rooms"])),
            first=_moment(said["from"]),
            end=_moment(said["until"]),
            who=said["who"],
            since=entry.time,
            reason=said["reason"],
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it for other programs."""
        return {**self.for_servers(), "case": self.case, "who": self.who, "since": self.since, "reason": self.reason}

    def for_servers(self) -> dict[str, Any]:
        """Return what an IM server has to know to keep files: not the case, not the reason, nobody's name who asked."""
        return {
            "hold": self.id,
            "people": sorted(self.people),
            "rooms": sorted(self.rooms),
            "from": self.first.isoformat() if self.first else None,
            "until": self.end.isoformat() if self.end else None,
        }

    def covers(self, line: bytes, day: datetime.date) -> bool:
        """Tell whether a line of a day file is held.

        An event goes by its people, its room and its time. Any other line is held when it contains one of the
        addresses: rather too much is kept than too little.

        Args:
            line: without its end.
            day: of the file.

        Returns:
            Whether it is.

        """
        try:
            event = events.read(line)
        except events.LineError:
            return self.near(day) and self._named(line)
        if (self.first and event.time < self.first) or (self.end and event.time >= self.end):
            return False
        return not self.people.isdisjoint(event.people) or event.room in self.rooms

    def near(self, day: datetime.date) -> bool:
        """Tell whether the file of a day may have lines that are held."""
        # a difference has no end of the calendar to run over
        after_first = self.first is None or self.first.date() - day <= AROUND
        return after_first and (self.end is None or day - self.end.date() <= AROUND)

    def _named(self, line: bytes) -> bool:
        text = line.decode("utf-8", "replace")
        with contextlib.suppress(ValueError, RecursionError):
            # addresses may be written with \u escapes
            text = json.dumps(json.loads(text), ensure_ascii=False)
        text = events.folded(text)
        return any(address in text for address in self.people | self.rooms)


def _moment(text: str | None) -> datetime.datetime | None:
    return datetime.datetime.fromisoformat(text).astimezone(datetime.UTC) if text else None
