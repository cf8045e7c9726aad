# SPDX-License-Identifier: GPL-3.0-or-later
"""Follows the files in which the log host keeps what hosts send: hosts/<host>/<day>/<stream>.jsonl."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STREAMS = ("system", "im")
MOST_BYTES = 4 * 1024 * 1024
"""So much of a file is read at a time, so that one host does not keep the others waiting."""


@dataclass
class Follower:
    """Where reading has come to.

    Attributes:
        root: folder of the hosts.
        places: offset and inode by path, relative to `root`.
        behind: whether there was more to read than was read.
        unread: why a file could not be read the last time, by host and stream.
    """

    root: Path
    places: dict[str, list[int]] = field(default_factory=dict)
    behind: bool = False
    unread: dict[tuple[str, str], str] = field(default_factory=dict)

    def lines(self, today: str, first: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Read what is new.

        Args:
            today: the day of today (UTC), as 2027-06-30.
            first: the first day that is of interest.

        Yields:
            Host, stream and line. What is no JSON object is passed over; half a line waits for its end.
        """
        self.behind, self.unread = False, {}
        # by name: a year of days is not looked through each time
        begin, end = map(datetime.date.fromisoformat, (first, today))
        days = [str(begin + datetime.timedelta(days=number)) for number in range((end - begin).days + 1)]
        hosts = sorted(path for path in self.root.iterdir() if path.is_dir())
        paths = [host / day / f"{stream}.jsonl" for host in hosts for day in days for stream in STREAMS]
        names = {str(path.relative_to(self.root)) for path in paths}
        self.places = {name: place for name, place in self.places.items() if name in names}
        for path in paths:
            for record in self._read(path):
                yield path.parent.parent.name, path.stem, record

    def _read(self, path: Path) -> Iterator[dict[str, Any]]:
        name = str(path.relative_to(self.root))
        try:
            with path.open("rb") as stream:
                inode = path.stat().st_ino
                offset, known = self.places.get(name, [0, inode])
                size = stream.seek(0, 2)
                # another file, or one that was cut: from its beginning
                if known != inode or size < offset:
                    offset = 0
                stream.seek(offset)
                block = stream.read(MOST_BYTES)
        except FileNotFoundError:
            return
        except OSError as error:
            # the others are read all the same
            self.unread[path.parent.parent.name, path.stem] = f"{name}: {error.strerror}"
            return
        whole = block.rfind(b"\n") + 1
        if not whole and len(block) == MOST_BYTES:
            # no line is that long
            whole = len(block)
        self.behind |= len(block) == MOST_BYTES
        self.places[name] = [offset + whole, inode]
        for line in block[:whole].splitlines():
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict):
                yield record
