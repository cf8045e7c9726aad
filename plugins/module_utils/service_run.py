# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring several services about, one after the other, each under a lock of its own; and keep what was confirmed."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.sallyport.im.plugins.module_utils import service_guard
from ansible_collections.sallyport.im.plugins.module_utils.run_lock import LockError, RunLock
from ansible_collections.sallyport.im.plugins.module_utils.service_options import Job
from ansible_collections.sallyport.im.plugins.module_utils.service_transaction import (
    Failure,
    Outcome,
    Places,
    Transaction,
)
from ansible_collections.sallyport.im.plugins.module_utils.service_units import SeenUnits
from ansible_collections.sallyport.im.plugins.module_utils.systemd import Systemd, SystemdError


@dataclass
class Result:
    """What all entries together found and did.

    Attributes:
        differences: One line each, in the order of the entries.
        diff: Entries for Ansible's --diff.
        actions: What each entry needs, or was given.
        moved: Where foreign things were moved, by their path.
        validated: Entries whose validators ran.
        unconfirmed: The entry whose change waits for its confirmation, and the word for that.
        done: How many entries were brought about or compared.
        changed: Whether one of those differed.
        faults: What failed, each with the name of its entry.
    """

    differences: list[str] = field(default_factory=list)
    diff: list[dict[str, str]] = field(default_factory=list)
    actions: dict[str, str] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    validated: list[str] = field(default_factory=list)
    unconfirmed: dict[str, str] = field(default_factory=dict)
    done: int = 0
    changed: bool = False
    faults: list[str] = field(default_factory=list)

    def take(self, name: str, outcome: Outcome) -> None:
        """Add what one entry found and did.

        Args:
            name: The entry.
            outcome: Of its transaction, finished or not.
        """
        self.differences += outcome.differences
        self.diff += outcome.diff
        self.moved.update(outcome.moved)
        if outcome.action != "none":
            self.actions[name] = outcome.action
        if outcome.validated:
            self.validated.append(name)
        if outcome.token:
            self.unconfirmed[name] = outcome.token

    def answer(self) -> dict[str, Any]:
        """Return the module's answer."""
        answer: dict[str, Any] = {
            "changed": self.changed,
            "differences": self.differences,
            "diff": self.diff,
            "actions": self.actions,
            "moved": self.moved,
            "validated": self.validated,
            "done": self.done,
        }
        if self.unconfirmed:
            answer["unconfirmed"] = self.unconfirmed
        return answer


def run_all(
    jobs: Sequence[Job],
    lock_wait: float,
    *,
    check: bool = False,
    systemd: Systemd | None = None,
    places: Places | None = None,
) -> Result:
    """Bring all entries about, or compare them.

    The first one that fails ends the run, and so does one whose change waits for a confirmation: the time for that runs
    already, so the caller sees to it before the rest. In check mode all entries are compared.

    Args:
        jobs: The entries in their order.
        lock_wait: How long to wait for another run on the same entry, in seconds.
        check: Only say what would be done.
        systemd: systemd of this machine.
        places: Where the kit keeps its own files.
    """
    result = Result()
    systemd = systemd or _seen([job.service.unit for job in jobs if not job.service.plain])
    for number, job in enumerate(jobs, start=1):
        name = job.service.unit
        transaction = Transaction(
            job.service,
            job.health,
            validate=job.validate,
            systemd=systemd,
            places=places,
            validate_seconds=job.validate_seconds,
            confirm_seconds=job.confirm_seconds,
            settle_seconds=lock_wait + job.confirm_seconds,
        )
        try:
            with RunLock(transaction.lock_path, lock_wait):
                transaction.run(check=check)
        except (Failure, LockError) as error:
            result.faults.append(f"{name}: {error}")
        result.take(name, transaction.outcome)
        if result.faults and not check:
            rest = ", ".join(later.service.unit for later in jobs[number:])
            result.faults += [f"Not reached: {rest}."] if rest else []
            break
        result.done = number
        result.changed |= bool(transaction.outcome.differences)
        if result.unconfirmed:
            break
    return result


def confirm_all(tokens: Mapping[str, Any]) -> tuple[list[str], bool]:
    """Keep the changes that a new connection has proven.

    Args:
        tokens: The word that the first call gave out for each change that is kept, by the name of its entry.

    Returns:
        One line for each that is not kept, and whether old files have come back already.
    """
    late = []
    rolled_back = False
    for name, token in tokens.items():
        try:
            kept = service_guard.confirm(service_guard.guard_of(name), str(token))
        except OSError as error:
            late.append(f"{name}: cannot be confirmed: {error}")
            continue
        if not kept:
            late.append(f"{name}: nobody confirmed the new files in time, the old ones are back")
            rolled_back = True
    return late, rolled_back


def _seen(units: Sequence[str]) -> SeenUnits:
    systemd = SeenUnits()
    # a systemd that does not answer is told by the first transaction that needs it
    with contextlib.suppress(SystemdError):
        systemd.look_ahead(units)
    return systemd
