# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things lie on the log host, and the files of a day."""

from __future__ import annotations

import datetime
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = re.compile(r"\d{4}-\d\d-\d\d")
ENDING = ".jsonl"
MESSAGES = "im"


class ArchiveError(Exception):
    """Something that the person who runs the program must know and can change; the text says what."""


@dataclass(frozen=True)
class DayFile:
    """What one host shipped in one stream and was received on one day.

    Attributes:
        path: below the folder of all hosts, as `im-int/2026-03-01/im.jsonl`; the name under which it is sealed.
        file: where it lies.
        host: name of the host.
        day: the day of reception, UTC.
        stream: `im` or `system`.

    """

    path: str
    file: Path
    host: str
    day: datetime.date
    stream: str


@dataclass(frozen=True)
class Places:
    """The files of the archive; tests give them another root."""

    root: Path = Path("/")

    @property
    def hosts(self) -> Path:
        """The folder in which the log host stores what it receives."""
        return self.root / "var/log/sallyport/hosts"

    @property
    def heads(self) -> Path:
        """The newest entries' numbers and hashes, one a line, for the witness."""
        return self.root / "var/log/sallyport/heads.jsonl"

    @property
    def uses(self) -> Path:
        """Who used the archive for what."""
        return self.root / "var/log/sallyport/archive-use.jsonl"

    @property
    def chain(self) -> Path:
        """The signed chain of all entries."""
        return self.root / "var/lib/sallyport-archive/chain.jsonl"

    @property
    def key(self) -> Path:
        """The private key that signs; its public half lies beside it, with the ending .pub."""
        return self.root / "var/lib/sallyport-archive/key"

    @property
    def new_key(self) -> Path:
        """The key that is to take its place, until it has."""
        return self.key.with_name("new-key")

    @property
    def settings(self) -> Path:
        """How long things are kept."""
        return self.root / "etc/sallyport/archive.json"


def day_files(hosts: Path, unreadable: list[str] | None = None) -> Iterator[DayFile]:
    """List the day files, those of hosts and days in order.

    Links and what does not look like a day file are passed over.

    Args:
        hosts: the folder of all hosts.
        unreadable: gets the folders that cannot be read; None: that is an error.

    Yields:
        Each file.

    Raises:
        OSError: a folder cannot be read.

    """
    for host in _items(hosts, unreadable):
        for day in _items(host.path, unreadable) if host.is_dir(follow_symlinks=False) else []:
            date = _date(day.name)
            if date is None or not day.is_dir(follow_symlinks=False):
                continue
            for item in _items(day.path, unreadable):
                if item.name.endswith(ENDING) and item.is_file(follow_symlinks=False):
                    path = f"{host.name}/{day.name}/{item.name}"
                    yield DayFile(path, Path(item.path), host.name, date, item.name.removesuffix(ENDING))


def _items(folder: Path | str, unreadable: list[str] | None) -> list[os.DirEntry[str]]:
    """Return what is in a folder, by name; nothing when it is not there or was removed meanwhile."""
    try:
        with os.scandir(folder) as items:
            return sorted(items, key=lambda item: item.name)
    except FileNotFoundError:
        return []
    except OSError:
        if unreadable is None:
            raise
        unreadable.append(str(folder))
        return []


def _date(text: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text) if DAY.fullmatch(text) else None
    except ValueError:
        return None
