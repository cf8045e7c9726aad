# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove that a host is still reached after a change of what reaches it: confirm the change over a new connection.

The host's own guard (module_utils/guard.py) has the last word: it takes the change back when nobody confirms in time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.utils.display import Display

GRACE_SECONDS = 90
"""How long after the host's own time we still wait until it is reached again: the roll-back, and the last attempt."""
PAUSE_SECONDS = 1.0
REMOTE = "SSH_CONNECTION"  # ssh(1): "client address, client port, server address, server port"


@dataclass(frozen=True)
class Session:
    """The two ends of an SSH connection, as the host sees them.

    Attributes:
        client: address of the control node.
        client_port: its port; another one for each connection.
        server: address of the host.
        server_port: its port.
    """

    client: str = ""
    client_port: str = ""
    server: str = ""
    server_port: str = ""

    def __bool__(self) -> bool:
        """Tell whether there is such a connection; other ways to a host have none."""
        return bool(self.client)


class NotProvenError(AnsibleActionFail):
    """No new connection came about in time. The change was taken back, unless `reached` is false.

    Attributes:
        session: the connection over which the change was made.
        reached: whether the host could be reached again afterwards.
        answer: what the module said then; empty when the host was not reached.
        reason: what the last attempt that failed said.
    """

    def __init__(self, session: Session, reached: bool, answer: Mapping[str, Any], reason: str) -> None:
        """Remember what was seen."""
        self.session, self.reached, self.answer, self.reason = session, reached, dict(answer), reason
        state = (
            "the host has put the former state back and is reached again"
            if reached
            else "the host is not reached at all any more; look at it from its console"
        )
        super().__init__(f"no new connection to the host came about after the change ({reason}); {state}")


def session_of(action: Any) -> Session:
    """Ask the host for both ends of the present connection; opens one when there is none.

    Args:
        action: the action plugin.

    Returns:
        The session; an empty one when the host is not reached over SSH.

    Raises:
        AnsibleConnectionFailure: the host is not reached.
    """
    # not as root: sudo takes the variable away
    answer = action._low_level_execute_command(f'echo "${REMOTE}"', sudoable=False)
    words = str(answer.get("stdout", "")).strip().split()
    return Session(*words) if len(words) == 4 else Session()


def prove(
    action: Any, module_name: str, module_args: Mapping[str, Any], task_vars: Mapping[str, Any], seconds: int
) -> dict[str, Any]:
    """Close the connection to the host, open a new one, and run the module that confirms the change there.

    Args:
        action: the action plugin.
        module_name: the module that disarms the guard.
        module_args: its arguments. It must fail with `rolled_back` when the guard has fired already.
        task_vars: variables of the task.
        seconds: the time of the host's guard.

    Returns:
        What the module said.

    Raises:
        NotProvenError: no new connection came about in time. Raised only after the host has rolled back and is reached
            again, or after a time in which it should have been.
    """
    started = time.monotonic()
    reason = ""
    try:
        before = session_of(action)
    except AnsibleConnectionFailure as error:
        # the old connection has died with the change
        before, reason = Session(), _short(error)
    while time.monotonic() < started + seconds + GRACE_SECONDS:
        try:
            action._connection.reset()
            now = session_of(action)
            if before and now == before:
                reason = "only the old connection answers"
            else:
                answer: dict[str, Any] = action._execute_module(
                    module_name=module_name, module_args=dict(module_args), task_vars=task_vars
                )
                if "unreachable" not in answer:
                    # who had to try again and came too late was cut off by the change
                    if answer.get("failed") and answer.get("rolled_back") and reason:
                        raise NotProvenError(before or now, True, answer, reason)
                    return answer
                reason = str(answer.get("msg", "unreachable"))
        except AnsibleConnectionFailure as error:
            reason = _short(error)
            Display().vv(f"no new connection yet: {reason}")
        time.sleep(PAUSE_SECONDS)
    raise NotProvenError(before, False, {}, reason)


def _short(error: Exception) -> str:
    """Return the last line of what SSH said, without the words that Ansible puts around it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
