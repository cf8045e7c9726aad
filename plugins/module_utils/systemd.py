# SPDX-License-Identifier: GPL-3.0-or-later
"""The few things that the kit asks of systemd.

Sources: systemctl(1), org.freedesktop.systemd1(5), journalctl(1).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from ansible_collections.sallyport.im.plugins.module_utils.programs import ProgramError, run

SHOWN = (
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "InvocationID",
    "StateChangeTimestamp",
    "InactiveExitTimestamp",
    "StateChangeTimestampMonotonic",
    "NeedDaemonReload",
    "CanReload",
    "NRestarts",
    "Result",
)
# States in which a unit is on its way somewhere; it is worth a moment to wait where it arrives.
PASSING = frozenset({"activating", "deactivating", "reloading", "refreshing"})


class SystemdError(Exception):
    """systemd refused a command; the text says which, and what it answered."""


@dataclass(frozen=True)
class UnitState:
    """What systemd says of a unit.

    Attributes:
        load: loaded, not-found, masked, bad-setting, error.
        active: active, reloading, inactive, failed, activating, deactivating.
        sub: The finer state, for example running, dead, auto-restart.
        enabled: enabled, disabled, static, masked, ...; empty when there is no unit file.
        invocation: Identifier of this start of the unit; empty when it never started.
        change: Moment of the last change of state, microseconds since boot as text. A reload changes it too.
        changed: The same moment in whole seconds since 1970.
        started: When the unit began to start, whole seconds since 1970.
        stale: Whether unit files changed since systemd read them.
        can_reload: Whether the unit knows how to reload.
        restarts: How often systemd itself has restarted it.
        result: success, or why it failed.
    """

    load: str = "not-found"
    active: str = "inactive"
    sub: str = "dead"
    enabled: str = ""
    invocation: str = ""
    change: str = "0"
    changed: float = 0.0
    started: float = 0.0
    stale: bool = False
    can_reload: bool = False
    restarts: int = 0
    result: str = "success"

    @property
    def is_active(self) -> bool:
        """Whether the service runs."""
        return self.active in ("active", "reloading", "refreshing")

    @property
    def is_there(self) -> bool:
        """Whether systemd knows a unit file of this name."""
        return self.load != "not-found"


class Systemd:
    """systemd of this machine, by its command line tools."""

    def show(self, unit: str) -> UnitState:
        """Return the state of a unit; a unit that does not exist has load `not-found`.

        Args:
            unit: Full name, for example `prosody.service`.

        Raises:
            SystemdError: systemd does not answer.
        """
        text = self.command("show", "--timestamp=unix", "--property=" + ",".join(SHOWN), "--", unit)
        return parse_show(text)

    def settle(self, unit: str, seconds: float = 30.0) -> UnitState:
        """Return the state of a unit once it is not on its way to another one, or after `seconds`."""
        deadline = time.monotonic() + seconds
        state = self.show(unit)
        while state.active in PASSING and state.sub != "auto-restart" and time.monotonic() < deadline:
            time.sleep(0.1)
            state = self.show(unit)
        return state

    def command(self, *words: str) -> str:
        """Run systemctl and return what it says.

        Args:
            *words: Arguments of systemctl.

        Raises:
            SystemdError: It is not there or exits with an error.
        """
        try:
            done = run(["systemctl", "--no-pager", "--no-ask-password", *words], 300)
        except ProgramError as error:
            raise SystemdError(f"this host needs systemd: {error}") from error
        if done.status != 0:
            raise SystemdError(f"systemctl {' '.join(words)}: {(done.err or done.out).strip()}")
        return done.out

    def journal(self, unit: str, lines: int = 15) -> list[str]:
        """Return the last lines of a unit's journal, oldest first; none when it cannot be read."""
        argv = ["journalctl", "--no-pager", "--quiet", "--output=cat", f"--lines={lines}", f"--unit={unit}"]
        try:
            return run(argv, 20).out.splitlines()[-lines:]
        except ProgramError:
            return []


def parse_show(text: str) -> UnitState:
    """Return the state that `systemctl show --timestamp=unix` prints as `Key=value` lines."""
    said = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return UnitState(
        load=said.get("LoadState", "not-found"),
        active=said.get("ActiveState", "inactive"),
        sub=said.get("SubState", "dead"),
        enabled=said.get("UnitFileState", ""),
        invocation=said.get("InvocationID", ""),
        change=said.get("StateChangeTimestampMonotonic", "0"),
        changed=_seconds(said.get("StateChangeTimestamp", "")),
        started=_seconds(said.get("InactiveExitTimestamp", "")),
        stale=said.get("NeedDaemonReload") == "yes",
        can_reload=said.get("CanReload") == "yes",
        restarts=int(said.get("NRestarts") or 0),
        result=said.get("Result", "success"),
    )


def _seconds(stamp: str) -> float:
    """Return `@1700000000` as a number; 0 for an empty stamp or `n/a`."""
    return float(stamp[1:]) if stamp.startswith("@") else 0.0
