# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plugin of `service_config`: proves by a new connection that the host is still reached, and then goes on.

A run that changes nothing of what decides about connections costs one call of the module.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.sallyport.im.plugins.plugin_utils import new_connection

MODULE = "sallyport.im.service_config"
LONGEST_SECONDS = 600  # of confirm_seconds, see the module


def empty() -> dict[str, Any]:
    """Return the answer of a module that was asked for nothing."""
    return {"changed": False, "differences": [], "diff": [], "actions": {}, "moved": {}, "validated": []}


def merge(total: dict[str, Any], answer: Mapping[str, Any]) -> None:
    """Add what one call of the module answered to what the ones before it did.

    Args:
        total: The answer of the task so far.
        answer: Of one call.
    """
    for key in ("differences", "diff", "validated"):
        total[key] = [*total[key], *(answer.get(key) or [])]
    for key in ("actions", "moved"):
        total[key] = {**total[key], **(answer.get(key) or {})}
    ours = {*empty(), "unconfirmed", "done"}
    total.update({key: value for key, value in answer.items() if key not in ours})
    total["changed"] = bool(total["changed"] or answer.get("changed"))


def seconds_of(entries: list[Any], names: Mapping[str, str]) -> int:
    """Return how long the hosts' own guards wait for a confirmation.

    Args:
        entries: The task's `services`.
        names: The entries that wait for it.
    """
    waits = [
        int(entry.get("confirm_seconds") or 0)
        for entry in entries
        if isinstance(entry, Mapping) and (entry.get("unit") or entry.get("name")) in names
    ]
    return max(waits, default=LONGEST_SECONDS)


def reason_of(name: str, error: new_connection.NotProvenError) -> str:
    """Return what a person is told when nobody could connect any more.

    Args:
        name: The entry whose files were the cause.
        error: What was seen.
    """
    here = f" from {error.session.client}" if error.session else ""
    there = f" to {error.session.server} port {error.session.server_port}" if error.session else ""
    return (
        f"{name}: {error}. The new files of {name} refuse the connection of the control node{here}{there}: correct what"
        " they allow (addresses, users, keys), and run again."
    )


class ActionModule(ActionBase):
    """The action `sallyport.im.service_config`."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Bring the services about.

        Args:
            tmp: Unused, as in all action plugins.
            task_vars: Variables of the host.

        Returns:
            The result of the task, see RETURN in the module.
        """
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        total = empty()
        if "confirm" in arguments:
            why = "confirm: is set by this action itself; remove it"
            return {**result, **total, "failed": True, "msg": why}
        while True:
            answer = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
            merge(total, answer)
            waiting: dict[str, str] = answer.get("unconfirmed") or {}
            if answer.get("failed") or not waiting:
                return {**result, **total}
            rest = arguments["services"][int(answer["done"]) :]
            fault = self._confirm(waiting, arguments["services"], task_vars or {})
            if fault:
                left = ", ".join(str(entry.get("unit") or entry.get("name")) for entry in rest)
                why = f"{fault}\nNot reached: {left}." if left else fault
                return {**result, **total, "failed": True, "msg": why}
            if not rest:
                return {**result, **total}
            arguments = {**arguments, "services": rest}

    def _confirm(self, waiting: dict[str, str], entries: list[Any], task_vars: Mapping[str, Any]) -> str:
        """Prove that a new connection comes about; return what is wrong, or nothing."""
        confirmation = {"services": [], "confirm": waiting}
        name = ", ".join(waiting)
        try:
            answer = new_connection.prove(self, MODULE, confirmation, task_vars, seconds_of(entries, waiting))
        except new_connection.NotProvenError as error:
            return reason_of(name, error)
        return str(answer.get("msg", f"{name}: cannot be confirmed")) if answer.get("failed") else ""
