# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a service to its wanted files in named steps, each of which may be the last one that is reached.

The order is what makes it safe. Before the journal is written nothing live is touched. From then on either the
last step is reached, or the next run finds the journal: it goes on to what is wanted then, and if that fails
it returns to what the journal says stood there before the first interruption. That the service has loaded its
files is written down last, so that a reload that was not confirmed is done again.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.sallyport.im.plugins.module_utils import atomic_files
from ansible_collections.sallyport.im.plugins.module_utils.atomic_files import Found, look
from ansible_collections.sallyport.im.plugins.module_utils.private_view import (
    Stage,
    ViewError,
    run_validator,
)
from ansible_collections.sallyport.im.plugins.module_utils.programs import missing
from ansible_collections.sallyport.im.plugins.module_utils.service_health import Health
from ansible_collections.sallyport.im.plugins.module_utils.service_journal import Entry, Journal, StateError, Store
from ansible_collections.sallyport.im.plugins.module_utils.service_plan import (
    Plan,
    Record,
    Service,
    WantedDirectory,
    fingerprints,
    is_unit_file,
    make_plan,
    numbers,
)
from ansible_collections.sallyport.im.plugins.module_utils.systemd import Systemd, SystemdError, UnitState

Step = tuple[str, Callable[[], None]]


class Failure(Exception):
    """The transaction did not succeed; the text says what failed and how the service was left."""


@dataclass(frozen=True)
class Places:
    """Where the kit keeps its own files on a host.

    Attributes:
        state: Records and journals, for root only.
        removed: What was moved out of the way, by time.
        run: Stages and locks; gone after a reboot.
    """

    state: str = "/var/lib/sallyport/service_config"
    removed: str = "/var/lib/sallyport/removed"
    run: str = "/run/sallyport"


@dataclass
class Outcome:
    """What a run found and did.

    Attributes:
        differences: One line each: what was, and what should be.
        diff: Entries for Ansible's --diff.
        action: none, reload, restart or start.
        moved: Where foreign things were moved, by their path.
        validated: Whether the validators ran.
    """

    differences: list[str] = field(default_factory=list)
    diff: list[dict[str, str]] = field(default_factory=list)
    action: str = "none"
    moved: dict[str, str] = field(default_factory=dict)
    validated: bool = False


class Transaction:
    """One run for one service.

    Args:
        service: What should be.
        health: What the service must show afterwards.
        validate: Validators, each a program and its arguments.
        systemd: systemd of this machine.
        places: Where the kit keeps its own files.
        validator: Runs one validator on a stage; raises ViewError when it does not accept it.
        validate_seconds: How long each validator may take.
    """

    def __init__(
        self,
        service: Service,
        health: Health,
        *,
        validate: Sequence[Sequence[str]] = (),
        systemd: Systemd | None = None,
        places: Places | None = None,
        validator: Callable[[Sequence[str], Stage, float], None] = run_validator,
        validate_seconds: float = 60.0,
    ) -> None:
        """Take what is wanted; nothing is looked at yet."""
        self.service = service
        self.health = health
        self.validate = validate
        self.systemd = systemd or Systemd()
        self.places = places or Places()
        self.validator = validator
        self.validate_seconds = validate_seconds
        self.store = Store(self.places.state, service.unit)
        self.stage = Stage(f"{self.places.run}/{service.unit}.stage")
        self.outcome = Outcome()
        self.acted = False
        self.plan = Plan()
        self.before = UnitState()
        self.record = Record()
        self.journal: Journal | None = None
        self.directories: list[WantedDirectory] = []

    @property
    def lock_path(self) -> str:
        """The lock that a run of this service holds."""
        return f"{self.places.run}/{self.service.unit}.lock"

    def run(self, *, check: bool = False) -> Outcome:
        """Compare, and unless `check` is set, bring the service to what is wanted.

        Args:
            check: Only say what would be done.

        Returns:
            What was found and done; the same differences with and without `check`.

        Raises:
            Failure: It did not succeed; the live files are as they were before.
        """
        try:
            self._read(check=check)
            if check:
                self._check()
            elif self.outcome.differences:
                self._apply()
            else:
                self._refresh_record()
        except (OSError, StateError, SystemdError) as error:
            raise Failure(self.hide(str(error))) from error
        return self.outcome

    def perform(self, name: str, step: Callable[[], None]) -> None:
        """Do one step.

        Args:
            name: Its name, for example `swap /etc/prosody/prosody.cfg.lua`.
            step: What it does.
        """
        step()

    def steps(self) -> Iterator[Step]:
        """Yield the steps of the plan in their order."""
        interrupted = self.journal
        if self.plan.touches_files and self.validate:
            yield "stage", self._lay_out
            yield "validate", self._validate
            yield "clear stage", self.stage.remove
        yield "journal", self._open_journal
        yield from self._file_steps()
        if interrupted is not None:
            for entry in self._orphans(interrupted):
                yield f"put back {entry.path}", partial(atomic_files.put_back, entry.path, entry.before)
            yield "clear leftovers", partial(_clear_leftovers, interrupted)
        yield from self._unit_steps(must_prove=interrupted is not None)
        yield "record", self._save_record
        yield "close journal", self.store.close_journal

    def _file_steps(self) -> Iterator[Step]:
        """Yield what is done to files: all new ones are on the disk before the first takes its place."""
        plan = self.plan
        for path in plan.aside:
            yield f"move aside {path}", partial(self._move_aside, path)
        for directory in self.directories:
            yield f"directory {directory.path}", partial(_make, directory)
        for file in plan.write:
            uid, gid = _numbers(file.owner, file.group)
            write = partial(atomic_files.write_beside, file.path, file.content, uid, gid, file.mode)
            yield f"write {file.path}", write
        for file in plan.write:
            yield f"swap {file.path}", partial(atomic_files.take_place, file.path)
        for path in plan.remove:
            yield f"remove {path}", partial(atomic_files.drop, path)

    def _unit_steps(self, *, must_prove: bool) -> Iterator[Step]:
        """Yield what is done to the unit; `must_prove` asks for its health even when nothing is done to it."""
        plan = self.plan
        unit = self.service.unit
        if plan.unmask:
            yield "unmask", partial(self._systemctl, "unmask", unit)
        if plan.daemon_reload:
            yield "daemon-reload", partial(self._systemctl, "daemon-reload")
        if plan.action != "none":
            yield plan.action, self._act
        if plan.action != "none" or must_prove:
            yield "health", self._prove_health
        if plan.enable is not None:
            yield "enable", partial(self._systemctl, "enable" if plan.enable else "disable", unit)

    # --- looking ---

    def _read(self, *, check: bool) -> None:
        """Find out what is, and plan what to do."""
        try:
            self.before = self.systemd.settle(self.service.unit)
        except SystemdError:
            if not check:
                raise
            # a fresh host seen in check mode may not even have systemd answer yet
            self.before = UnitState()
        self.record = self.store.record()
        self.journal = self.store.journal()
        self.plan = make_plan(self.service, self.before, self.record)
        self.outcome.differences = list(self.plan.differences)
        self.outcome.diff = self.plan.diff
        self.outcome.action = self.plan.action
        if self.journal is not None:
            self.outcome.differences.append(
                f"unit {self.service.unit}: a run of {self.journal.started} was interrupted, should be finished"
            )

    def _check(self) -> None:
        """Let the validators judge in check mode too, when everything that they need exists already."""
        ready = not self.plan.unresolved and not missing([argv[0] for argv in self.validate])
        if self.validate and self.plan.touches_files and ready:
            try:
                self._lay_out()
                self._validate()
            finally:
                self.stage.remove()

    def _refresh_record(self) -> None:
        """Nothing differs: note whom the service belongs to after somebody else's restart, without a change."""
        loaded = fingerprints(self.service)
        record = Record(self.before.invocation, self.before.change, loaded)
        if record != self.record:
            self.store.save_record(record)

    # --- doing ---

    def _apply(self) -> None:
        self._refuse_impossible()
        self.directories = self._directories()
        try:
            for name, step in self.steps():
                self.perform(name, step)
        except (Failure, ViewError, OSError, StateError, SystemdError) as error:
            text = self.hide(str(error))
            with contextlib.suppress(OSError):
                self.stage.remove()
            if self.store.journal() is None:
                raise Failure(f"{text}\nNothing was changed: the files and the service are as they were.") from error
            raise Failure(f"{text}\n{self._roll_back()}") from error

    def _refuse_impossible(self) -> None:
        """Refuse what cannot work before anything is touched."""
        if self.plan.unresolved:
            raise Failure(
                f"{', '.join(self.plan.unresolved)}: not on this host. Install the package that makes it, or name"
                " another owner or group. Nothing was changed."
            )
        brings_unit = f"{self.service.unit_directory}/{self.service.unit}" in {file.path for file in self.plan.write}
        if not self.before.is_there and not brings_unit:
            raise Failure(
                f"unit {self.service.unit}: not on this host. Install its package first, or correct the name."
                " Nothing was changed."
            )

    def _lay_out(self) -> None:
        hidden = [*self.plan.aside, *self.plan.remove]
        self.stage.lay_out(self.plan.write, self.service.directories, hidden)

    def _validate(self) -> None:
        for argv in self.validate:
            try:
                self.validator(argv, self.stage, self.validate_seconds)
            except ViewError as error:
                raise Failure(self.hide(f"the new files of {self.service.unit} were not accepted: {error}")) from error
        self.outcome.validated = True

    def _open_journal(self) -> None:
        """Note what stands there now, and what stood there before an interrupted run."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        entries = [*self._aside_entries(now), *self._directory_entries(), *self._file_entries()]
        journal = Journal(self.before.invocation, self.before.change, self.before.is_active, now, entries)
        self.journal = journal.with_older(self.journal) if self.journal is not None else journal
        self.store.save_journal(self.journal)

    def _aside_entries(self, now: str) -> Iterator[Entry]:
        stamp = now.replace("-", "").replace(":", "")
        folder = f"{self.places.removed}/{stamp}"
        count = 1
        while Path(folder).exists():
            count += 1
            folder = f"{self.places.removed}/{stamp}-{count}"
        for path in self.plan.aside:
            self.outcome.moved[path] = folder + path
            yield Entry(path, look(path), folder + path, self._need(path, "reload"))

    def _directory_entries(self) -> Iterator[Entry]:
        for directory in self.directories:
            yield Entry(directory.path, self._found(directory.path), "", "reload")

    def _file_entries(self) -> Iterator[Entry]:
        for file in self.plan.write:
            yield Entry(file.path, self._found(file.path), "", self._need(file.path, file.on_change))
        for path in self.plan.remove:
            yield Entry(path, look(path), "", self._need(path, self.record.loaded[path]["on_change"]))

    def _orphans(self, interrupted: Journal) -> list[Entry]:
        """Return what an interrupted run wrote and nobody declares any more."""
        known = {file.path for file in self.service.files} | {place.path for place in self.service.directories}
        known |= set(self.record.loaded)
        return [entry for entry in reversed(interrupted.entries) if not entry.aside and entry.path not in known]

    def _found(self, path: str) -> Found:
        """Return what stands at a path once the foreign things have been moved away."""
        gone = any(path == away or path.startswith(away + "/") for away in self.plan.aside)
        return Found("absent") if gone else look(path)

    def _need(self, path: str, on_change: str) -> str:
        return "restart" if is_unit_file(self.service, path) else on_change

    def _directories(self) -> list[WantedDirectory]:
        """Return the directories to make: the declared ones, and missing parents of files."""
        declared = {directory.path: directory for directory in self.plan.make}
        for path in [*declared, *(file.path for file in self.plan.write)]:
            for parent in Path(path).parents:
                if not parent.exists() and str(parent) not in declared:
                    me = WantedDirectory(str(parent), str(os.geteuid()), str(os.getegid()), 0o755)
                    declared[str(parent)] = me
        return sorted(declared.values(), key=lambda directory: directory.path)

    def _move_aside(self, path: str) -> None:
        if os.path.lexists(path):
            atomic_files.move(path, self.outcome.moved[path])

    def _systemctl(self, *words: str) -> None:
        self.systemd.command(*words)

    def _act(self) -> None:
        self.acted = True
        self._bring_up(self.plan.action)

    def _bring_up(self, action: str) -> None:
        unit = self.service.unit
        if action != "reload":
            # systemd counts starts: a few runs in ten seconds would otherwise end with a service that stays down
            with contextlib.suppress(SystemdError):
                self.systemd.command("reset-failed", unit)
        try:
            self.systemd.command(action, unit)
        except SystemdError as error:
            raise Failure(f"{error}\n{self._last_lines()}") from error

    def _prove_health(self) -> None:
        fault = self.health.fault(self.systemd, self.service.unit)
        if fault is not None:
            raise Failure(f"after {self.plan.action}: {fault}\n{self._last_lines()}")

    def _save_record(self) -> None:
        state = self.systemd.show(self.service.unit)
        self.store.save_record(Record(state.invocation, state.change, fingerprints(self.service)))

    # --- undoing ---

    def _roll_back(self) -> str:
        """Put everything back and return one sentence about how the service was left."""
        try:
            return self._undo()
        except (Failure, OSError, StateError, SystemdError) as error:
            return self.hide(
                f"PUTTING BACK FAILED TOO: {error}\nThe journal {self.store.journal_path} keeps what stood there"
                " before; remove the cause and run again."
            )

    def _undo(self) -> str:
        unit = self.service.unit
        journal = self.store.journal()
        if journal is None:
            return "Nothing was changed."
        needs = [
            entry.on_change for entry in journal.entries if look(entry.path).fingerprint() != entry.before.fingerprint()
        ]
        journal.undo()
        if any(is_unit_file(self.service, entry.path) for entry in journal.entries):
            self._systemctl("daemon-reload")
        state = self.systemd.settle(unit)
        loaded_since = self.acted or (state.invocation, state.change) != (journal.invocation, journal.change)
        if not loaded_since:
            self.store.close_journal()
            return "The old files are back; the service was not touched."
        if not journal.was_active:
            self._systemctl("stop", unit)
            self.store.close_journal()
            return "The old files are back; the service, which did not run before, is stopped."
        action = (
            "start" if not state.is_active else "restart" if "restart" in needs or not state.can_reload else "reload"
        )
        if action == "reload" and self.plan.action in ("restart", "start"):
            action = "restart"
        self._bring_up(action)
        fault = self.health.fault(self.systemd, unit)
        state = self.systemd.show(unit)
        self.store.save_record(Record(state.invocation, state.change, self._loaded_again()))
        self.store.close_journal()
        if fault is not None:
            return f"The old files are back, but the service is not well with them either: {fault}"
        return f"The old files are back, and the service is well with them (after {action})."

    def _loaded_again(self) -> dict[str, dict[str, Any]]:
        """Return the record of the old set: the same paths, with what stands there now."""
        loaded = {}
        for path, entry in self.record.loaded.items():
            found = look(path, follow=entry["watched"])
            loaded[path] = {**entry, "is": found.digest() if entry["watched"] else found.fingerprint()}
        return loaded

    # --- speaking ---

    def _last_lines(self) -> str:
        lines = self.systemd.journal(self.service.unit)
        return "Last lines of its journal:\n" + "\n".join(f"  {line}" for line in lines) if lines else ""

    def hide(self, text: str) -> str:
        """Return a text without the words of secret files.

        Args:
            text: What a validator or a service said.
        """
        for file in self.service.files:
            if file.secret:
                content = file.content.decode("utf-8", errors="replace")
                for word in sorted(set(re.findall(r"[^\s\"'=;,{}()\[\]]{6,}", content)), key=len, reverse=True):
                    text = text.replace(word, "********")
        return text


def _clear_leftovers(interrupted: Journal) -> None:
    """Remove new files that an interrupted run had written beside their targets and not yet swapped in."""
    for entry in interrupted.entries:
        atomic_files.drop(atomic_files.beside(entry.path))


def _make(directory: WantedDirectory) -> None:
    """Make a directory, or give it its owner and mode."""
    uid, gid = _numbers(directory.owner, directory.group)
    if not Path(directory.path).is_dir():
        Path(directory.path).mkdir(mode=0o700)
        atomic_files.sync_directory(str(Path(directory.path).parent))
    atomic_files.own(directory.path, uid, gid, directory.mode)


def _numbers(owner: str, group: str) -> tuple[int, int]:
    """Return the numbers of a user and a group that are known to exist."""
    uid, gid = numbers(owner, group)
    if uid is None or gid is None:
        raise Failure(f"user {owner} or group {group}: not on this host")
    return uid, gid
