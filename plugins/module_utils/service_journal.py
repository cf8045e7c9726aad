# SPDX-License-Identifier: GPL-3.0-or-later
"""What a transaction remembers on the disk: what the service was loaded with, and how to undo a swap.

Both are JSON files for root only, each replaced whole. The journal is there exactly while a swap is not yet
confirmed: a run that finds one knows that an earlier run was interrupted, and what stood there before it.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.sallyport.im.plugins.module_utils.atomic_files import (
    Found,
    drop,
    look,
    make_private,
    move_back,
    put_back,
    write,
)
from ansible_collections.sallyport.im.plugins.module_utils.service_plan import Record

FORMAT = 1


class StateError(Exception):
    """A file of the kit's own state cannot be used; the text says which one and what to do."""


@dataclass(frozen=True)
class Entry:
    """One thing that a swap changes.

    Attributes:
        path: Absolute path.
        before: What stood there before.
        aside: Where it was moved; empty for a file or directory that is only written.
        on_change: What the service needs when it is put back.
    """

    path: str
    before: Found
    aside: str = ""
    on_change: str = "reload"


@dataclass
class Journal:
    """How to undo a swap.

    Attributes:
        invocation: Start of the unit that last ran with the old files.
        change: Its last change of state then.
        was_active: Whether the service ran before.
        started: When the first interrupted run began, as a text for people.
        entries: What the swap changes, in its order.
    """

    invocation: str = ""
    change: str = ""
    was_active: bool = True
    started: str = ""
    entries: list[Entry] = field(default_factory=list)

    def undo(self) -> None:
        """Put everything back; safe to repeat after an interruption.

        Raises:
            OSError: Something cannot be put back.
        """
        for entry in reversed(self.entries):
            if entry.aside:
                move_back(entry.path, entry.aside)
            else:
                put_back(entry.path, entry.before)

    def with_older(self, older: Journal) -> Journal:
        """Return this journal with the beginnings that an interrupted run had already noted."""
        known = {entry.path for entry in older.entries}
        fresh = [entry for entry in self.entries if entry.path not in known or entry.aside]
        return Journal(older.invocation, older.change, older.was_active, older.started, [*older.entries, *fresh])


class Store:
    """The state files of one unit.

    Args:
        directory: Where they stand.
        unit: The unit's name.
    """

    def __init__(self, directory: str, unit: str) -> None:
        """Name the files; nothing is read yet."""
        self.directory = directory
        self.record_path = f"{directory}/{unit}.json"
        self.journal_path = f"{directory}/{unit}.journal"

    def record(self) -> Record:
        """Return what the service was last loaded with; an empty record when nothing is known.

        Raises:
            StateError: The file is damaged or of another version.
        """
        data = self._read(self.record_path)
        return Record(data["invocation"], data["change"], data["loaded"]) if data else Record()

    def save_record(self, record: Record) -> None:
        """Remember what the service is loaded with."""
        self._write(
            self.record_path,
            {"invocation": record.invocation, "change": record.change, "loaded": record.loaded},
        )

    def journal(self) -> Journal | None:
        """Return the journal of an interrupted run, if there is one.

        Raises:
            StateError: The file is damaged or of another version.
        """
        data = self._read(self.journal_path)
        if not data:
            return None
        entries = [
            Entry(entry["path"], Found.from_json(entry["before"]), entry["aside"], entry["on_change"])
            for entry in data["entries"]
        ]
        return Journal(data["invocation"], data["change"], data["was_active"], data["started"], entries)

    def save_journal(self, journal: Journal) -> None:
        """Remember how to undo the swap that begins now."""
        entries = [
            {"path": entry.path, "before": entry.before.to_json(), "aside": entry.aside, "on_change": entry.on_change}
            for entry in journal.entries
        ]
        self._write(
            self.journal_path,
            {
                "invocation": journal.invocation,
                "change": journal.change,
                "was_active": journal.was_active,
                "started": journal.started,
                "entries": entries,
            },
        )

    def close_journal(self) -> None:
        """Forget how to undo: the swap is confirmed, or undone."""
        drop(self.journal_path)

    def _read(self, path: str) -> dict[str, Any]:
        found = look(path)
        if found.kind == "absent":
            return {}
        try:
            data = json.loads(found.content)
        except ValueError:
            data = None
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise StateError(
                f"{path}: is not a state file of format {FORMAT}; it was damaged or written by another version of the"
                " kit. Compare the service's files yourself, then remove it: the next run will reload the service"
            )
        return data

    def _write(self, path: str, data: dict[str, Any]) -> None:
        make_private(self.directory)
        text = json.dumps({"format": FORMAT, **data}, indent=1, sort_keys=True) + "\n"
        write(path, text.encode(), os.geteuid(), os.getegid(), 0o600)
