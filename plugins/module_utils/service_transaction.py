# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a service to its wanted files in named steps, each of which may be the last one that is reached.

The order is what makes it safe. Before the journal is written nothing live is touched. From then on either the
last step is reached, or the next run finds the journal: it goes on to what is wanted then, and if that fails
it returns to what the journal says stood there before the first interruption. That the service has loaded its
files is written down last, so that a reload that was not confirmed is done again.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ansible_collections.sallyport.im.plugins.module_utils import atomic_files, service_guard
from ansible_collections.sallyport.im.plugins.module_utils.atomic_files import look
from ansible_collections.sallyport.im.plugins.module_utils.guard import Guard, GuardError
from ansible_collections.sallyport.im.plugins.module_utils.private_view import (
    Stage,
    ViewError,
    run_validator,
)
from ansible_collections.sallyport.im.plugins.module_utils.programs import missing
from ansible_collections.sallyport.im.plugins.module_utils.service_health import Health
from ansible_collections.sallyport.im.plugins.module_utils.service_journal import Journal, StateError, Store
from ansible_collections.sallyport.im.plugins.module_utils.service_plan import (
    Plan,
    Record,
    Service,
    WantedDirectory,
    fingerprints,
    is_unit_file,
    make_plan,
)
from ansible_collections.sallyport.im.plugins.module_utils.service_swap import (
    Swap,
    clear_leftovers,
    known_numbers,
    make_directory,
    obstacle_of,
)
from ansible_collections.sallyport.im.plugins.module_utils.service_units import Programs
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
        action: none, reload, restart, start, or for plain files apply.
        moved: Where foreign things were moved, by their path.
        validated: Whether the validators ran.
        token: Not empty when the change is taken back unless it is confirmed with this word.
    """

    differences: list[str] = field(default_factory=list)
    diff: list[dict[str, str]] = field(default_factory=list)
    action: str = "none"
    moved: dict[str, str] = field(default_factory=dict)
    validated: bool = False
    token: str = ""


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
        confirm_seconds: When not 0, the old files come back by themselves after that time unless somebody confirms the
            new ones.
        settle_seconds: How long to wait for the confirmation of an earlier run, or for its old files to come back.
        guard: What brings them back.
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
        confirm_seconds: int = 0,
        settle_seconds: float = 60.0,
        guard: Guard | None = None,
    ) -> None:
        """Take what is wanted; nothing is looked at yet."""
        self.service = service
        self.health = health
        self.validate = validate
        self.places = places or Places()
        applied = Programs(service.apply, f"{self.places.state}/{service.unit}.applied")
        self.systemd = applied if service.plain else systemd or Systemd()
        self.validator = validator
        self.validate_seconds = validate_seconds
        self.confirm_seconds = confirm_seconds
        self.settle_seconds = settle_seconds
        self.guard = guard or service_guard.guard_of(service.unit)
        self.store = Store(self.places.state, service.unit)
        self.stage = Stage(f"{self.places.run}/{service.unit}.stage")
        self.outcome = Outcome()
        self.acted = False
        self.plan = Plan()
        self.before = UnitState()
        self.record = Record()
        self.journal: Journal | None = None
        self.swap = Swap(service, self.plan, self.record, self.places.removed)
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
        except (OSError, StateError, SystemdError, GuardError) as error:
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
        if self.confirm_seconds:
            yield "arm", self._arm
        yield from self._file_steps()
        if interrupted is not None:
            for entry in self.swap.orphans(interrupted):
                yield f"put back {entry.path}", partial(atomic_files.put_back, entry.path, entry.before)
            yield "clear leftovers", partial(clear_leftovers, interrupted)
        yield from self._unit_steps(must_prove=interrupted is not None)
        yield "record", self._save_record
        yield "close journal", self.store.close_journal

    def _file_steps(self) -> Iterator[Step]:
        """Yield what is done to files: all new ones are on the disk before the first takes its place."""
        plan = self.plan
        for path in plan.aside:
            yield f"move aside {path}", partial(self.swap.move_aside, path)
        for directory in self.directories:
            yield f"directory {directory.path}", partial(make_directory, directory)
        for file in plan.write:
            uid, gid = known_numbers(file.owner, file.group)
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
        if not check:
            self._settle_guard()
        self.record = self.store.record()
        self.journal = self.store.journal()
        self.before = self._state(check=check)
        self.plan = make_plan(self.service, self.before, self.record)
        if self.plan.differences:
            # systemd may have been asked for all units at once, a moment ago: nothing is done on an old answer
            now = self._state(check=check)
            if now != self.before:
                self.before = now
                self.plan = make_plan(self.service, now, self.record)
        self.outcome.differences = list(self.plan.differences)
        self.outcome.diff = self.plan.diff
        self.outcome.action = self.plan.action
        if self.journal is not None:
            self.outcome.differences.append(
                f"{self.service.title}: a run of {self.journal.started} was interrupted, should be finished"
            )
        if check and self.guard.is_armed():
            self.outcome.differences.append(f"{self.service.title}: its new files are not confirmed, should be")

    def _state(self, *, check: bool) -> UnitState:
        try:
            return self.systemd.settle(self.service.unit)
        except SystemdError:
            if not check:
                raise
            # a fresh host seen in check mode may not even have systemd answer yet
            return UnitState()

    def _settle_guard(self) -> None:
        """Wait for the end of an earlier change that nobody has confirmed yet, as for a lock."""
        if not service_guard.settle(self.guard, self.settle_seconds):
            raise Failure(
                "an earlier change still waits for its confirmation, or cannot be taken back: see"
                f" systemctl status '{self.guard.unit}.*'. Nothing was changed."
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
        obstacle = obstacle_of(self.service, self.plan, self.before, self.systemd)
        if obstacle:
            raise Failure(f"{obstacle} Nothing was changed.")
        self.swap = Swap(self.service, self.plan, self.record, self.places.removed)
        self.directories = self.swap.directories()
        try:
            for name, step in self.steps():
                self.perform(name, step)
        except (Failure, ViewError, OSError, StateError, SystemdError, GuardError) as error:
            text = self.hide(str(error))
            self.outcome.token = ""
            with contextlib.suppress(OSError):
                self.stage.remove()
            if self.store.journal() is None:
                self._disarm()
                raise Failure(f"{text}\nNothing was changed: the files and the service are as they were.") from error
            said = self._roll_back()
            if self.store.journal() is None:
                self._disarm()
            # else putting back did not succeed: what is armed stays so, and tries it with its own means
            raise Failure(f"{text}\n{said}") from error

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
        entries = self.swap.entries()
        self.outcome.moved = self.swap.moved
        journal = Journal(self.before.invocation, self.before.change, self.before.is_active, now, entries)
        self.journal = journal.with_older(self.journal) if self.journal is not None else journal
        self.store.save_journal(self.journal)

    def _arm(self) -> None:
        """Have the old files come back by themselves; those of before an interrupted run, if there was one."""
        if self.journal is None:
            raise Failure("nothing is noted that could be put back")
        token = service_guard.new_token()
        restore = service_guard.Restore(self.service, self.plan, self.journal, self.store.record_path)
        self.guard.arm(restore.script(token), self.confirm_seconds)
        self.outcome.token = token

    def _disarm(self) -> None:
        with contextlib.suppress(OSError):
            self.guard.disarm()

    def _systemctl(self, *words: str) -> None:
        self.systemd.command(*words)

    def _act(self) -> None:
        self.acted = True
        self._bring_up(self.plan.action)

    def _bring_up(self, action: str) -> None:
        unit = self.service.unit
        if action in ("start", "restart"):
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
        return self._load_old(state, needs)

    def _load_old(self, state: UnitState, needs: Sequence[str]) -> str:
        """Let the service load its old files again; return how it was left."""
        unit = self.service.unit
        action = (
            "start" if not state.is_active else "restart" if "restart" in needs or not state.can_reload else "reload"
        )
        if action == "reload" and self.plan.action in ("restart", "start"):
            action = "restart"
        if self.service.plain:
            action = "apply"
        try:
            self._bring_up(action)
        except Failure as error:
            if not self.service.plain:
                raise
            # what the programs have taken up is unknown; their mark says so to the next run, which applies all anew
            self.store.close_journal()
            return f"The old files are back, but the programs fail with them too: {error}"
        fault = self.health.fault(self.systemd, unit)
        state = self.systemd.show(unit)
        self.store.save_record(Record(state.invocation, state.change, self._loaded_again()))
        self.store.close_journal()
        if fault is not None:
            return f"The old files are back, but {self.service.unit} is not well with them either: {fault}"
        if self.service.plain:
            return "The old files are back and applied."
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
