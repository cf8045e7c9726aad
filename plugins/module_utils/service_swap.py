# SPDX-License-Identifier: GPL-3.0-or-later
"""What a swap of files will change, noted before it begins: from these entries everything can be put back.

And what of it can be done by itself: directories, owners, what is in the way.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.sallyport.im.plugins.module_utils import atomic_files
from ansible_collections.sallyport.im.plugins.module_utils.atomic_files import Found, look
from ansible_collections.sallyport.im.plugins.module_utils.service_journal import Entry, Journal
from ansible_collections.sallyport.im.plugins.module_utils.service_plan import (
    Plan,
    Record,
    Service,
    WantedDirectory,
    is_unit_file,
    numbers,
)
from ansible_collections.sallyport.im.plugins.module_utils.service_units import Programs
from ansible_collections.sallyport.im.plugins.module_utils.systemd import Systemd, UnitState


@dataclass
class Swap:
    """The changes of one run.

    Attributes:
        service: What should be.
        plan: What will be done.
        record: What the service was last loaded with.
        removed: Where foreign things are moved to, by time.
        moved: Where each of them goes, by its path; known once the entries are.
    """

    service: Service
    plan: Plan
    record: Record
    removed: str
    moved: dict[str, str] = field(default_factory=dict)

    def directories(self) -> list[WantedDirectory]:
        """Return the directories to make: the declared ones, and missing parents of files."""
        declared = {directory.path: directory for directory in self.plan.make}
        for path in [*declared, *(file.path for file in self.plan.write)]:
            for parent in Path(path).parents:
                if not parent.exists() and str(parent) not in declared:
                    me = WantedDirectory(str(parent), str(os.geteuid()), str(os.getegid()), 0o755)
                    declared[str(parent)] = me
        return sorted(declared.values(), key=lambda directory: directory.path)

    def entries(self) -> list[Entry]:
        """Return what stands now at each place that will change, in the order of the changes."""
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        return [*self._aside(now), *self._directories(), *self._files()]

    def orphans(self, interrupted: Journal) -> list[Entry]:
        """Return what an interrupted run wrote and nobody declares any more.

        Args:
            interrupted: The journal of that run.
        """
        known = {file.path for file in self.service.files} | {place.path for place in self.service.directories}
        known |= set(self.record.loaded)
        return [entry for entry in reversed(interrupted.entries) if not entry.aside and entry.path not in known]

    def move_aside(self, path: str) -> None:
        """Move a foreign thing to the place that was noted for it.

        Args:
            path: Where it stands, unless an interrupted run has moved it already.
        """
        if os.path.lexists(path):
            atomic_files.move(path, self.moved[path])

    def _aside(self, stamp: str) -> Iterator[Entry]:
        folder = f"{self.removed}/{stamp}"
        count = 1
        while Path(folder).exists():
            count += 1
            folder = f"{self.removed}/{stamp}-{count}"
        for path in self.plan.aside:
            self.moved[path] = folder + path
            yield Entry(path, look(path), folder + path, self._need(path, "reload"))

    def _directories(self) -> Iterator[Entry]:
        for directory in self.directories():
            yield Entry(directory.path, self._found(directory.path), "", "reload")

    def _files(self) -> Iterator[Entry]:
        for file in self.plan.write:
            yield Entry(file.path, self._found(file.path), "", self._need(file.path, file.on_change))
        for path in self.plan.remove:
            yield Entry(path, look(path), "", self._need(path, self.record.loaded[path]["on_change"]))

    def _found(self, path: str) -> Found:
        """Return what stands at a path once the foreign things have been moved away."""
        gone = any(path == away or path.startswith(away + "/") for away in self.plan.aside)
        return Found("absent") if gone else look(path)

    def _need(self, path: str, on_change: str) -> str:
        return "restart" if is_unit_file(self.service, path) else on_change


def obstacle_of(service: Service, plan: Plan, state: UnitState, systemd: Systemd) -> str:
    """Return why a plan cannot be carried out on this host; nothing when it can be tried.

    Args:
        service: What should be.
        plan: What would be done.
        state: The unit's state.
        systemd: systemd, or the programs that apply plain files.
    """
    if plan.unresolved:
        return (
            f"{', '.join(plan.unresolved)}: not on this host. Install the package that makes it, or name"
            " another owner or group."
        )
    absent = set(systemd.missing() if isinstance(systemd, Programs) else [])
    # a program may be one of the files that it applies
    absent -= {file.path for file in service.files}
    if absent:
        return (
            f"{', '.join(sorted(absent))}: not on this host, but needed to apply the files."
            " Install the package that brings it."
        )
    brings_unit = f"{service.unit_directory}/{service.unit}" in {file.path for file in plan.write}
    if not state.is_there and not brings_unit:
        return f"unit {service.unit}: not on this host. Install its package first, or correct the name."
    return ""


def clear_leftovers(interrupted: Journal) -> None:
    """Remove new files that an interrupted run had written beside their targets and not yet swapped in.

    Args:
        interrupted: The journal of that run.
    """
    for entry in interrupted.entries:
        atomic_files.drop(atomic_files.beside(entry.path))


def make_directory(directory: WantedDirectory) -> None:
    """Make a directory, or give it its owner and mode.

    Args:
        directory: As it should be.

    Raises:
        OSError: It cannot be made.
    """
    uid, gid = known_numbers(directory.owner, directory.group)
    if not Path(directory.path).is_dir():
        Path(directory.path).mkdir(mode=0o700)
        atomic_files.sync_directory(str(Path(directory.path).parent))
    atomic_files.own(directory.path, uid, gid, directory.mode)


def known_numbers(owner: str, group: str) -> tuple[int, int]:
    """Return the numbers of a user and a group that exist; `obstacle_of` has told of those that do not.

    Args:
        owner: User, by name or number.
        group: Group, by name or number.

    Raises:
        OSError: One of them has gone meanwhile.
    """
    uid, gid = numbers(owner, group)
    if uid is None or gid is None:
        raise OSError(f"user {owner} or group {group}: not on this host any more")
    return uid, gid
