# SPDX-License-Identifier: GPL-3.0-or-later
"""Is a service well: does its unit run and stay, do its ports answer, does its own check succeed?"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

from ansible_collections.sallyport.im.plugins.module_utils.programs import ProgramError, run
from ansible_collections.sallyport.im.plugins.module_utils.systemd import Systemd, UnitState


@dataclass(frozen=True)
class Health:
    """What a service must show after it was started or reloaded.

    Attributes:
        tcp: Addresses and ports that must accept a connection.
        command: Program and arguments that must exit with 0; empty for none.
        timeout: Seconds until all of it must be so.
        stay: Seconds that it must stay so.
    """

    tcp: tuple[tuple[str, int], ...] = ()
    command: tuple[str, ...] = ()
    timeout: float = 30.0
    stay: float = 1.0

    def fault(self, systemd: Systemd, unit: str) -> str | None:
        """Wait until the service is well and has stayed so; return None, or what is wrong with it.

        Args:
            systemd: systemd of this machine.
            unit: The service's unit.
        """
        deadline = time.monotonic() + self.timeout
        while True:
            state = systemd.show(unit)
            fault = self._fault_now(state, unit, deadline)
            if fault is None:
                break
            if time.monotonic() >= deadline or (state.active == "failed" and state.sub != "auto-restart"):
                return fault
            time.sleep(0.2)
        time.sleep(self.stay)
        later = systemd.show(unit)
        if (later.invocation, later.restarts) != (state.invocation, state.restarts) or not later.is_active:
            return f"unit {unit} did not stay up: it is {later.active} ({later.result}) after {self.stay:g} s"
        return self._fault_now(later, unit, deadline)

    def _fault_now(self, state: UnitState, unit: str, deadline: float) -> str | None:
        if state.active != "active":
            return f"unit {unit} is {state.active} ({state.sub}, result {state.result}), should be active"
        for address, port in self.tcp:
            try:
                socket.create_connection((address, port), timeout=max(0.5, deadline - time.monotonic())).close()
            except OSError as error:
                return f"{address} port {port}/tcp does not answer: {error.strerror or error}"
        return self._command_fault(deadline)

    def _command_fault(self, deadline: float) -> str | None:
        if not self.command:
            return None
        name = " ".join(self.command)
        try:
            done = run(self.command, max(1.0, deadline - time.monotonic()), join=True)
        except ProgramError as error:
            return str(error)
        return None if done.status == 0 else f"{name}: exit status {done.status}: {done.out.strip()[-2000:]}"
