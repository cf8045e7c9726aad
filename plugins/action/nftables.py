# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plugin of `nftables`: confirms a change over a new connection, or says which flow is missing."""

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible_collections.sallyport.im.plugins.plugin_utils.new_connection import NotProvenError, prove

MODULE = "sallyport.im.nftables"
DEFAULT_SECONDS = 60


def explain(error: NotProvenError, host: str, seconds: int) -> str:
    """Say what a change of the firewall has cut off, and what to do.

    Args:
        error: what was seen.
        host: the host's name in the inventory.
        seconds: the time of the roll-back.

    Returns:
        The message of the task.
    """
    session = error.session
    flow = "the flow from the control node to its SSH port"
    advice = "the control node's address must lie in one of `sallyport.networks.admin` of the site file"
    if session:
        flow = f"the flow {session.client} -> {session.server}:{session.server_port} (tcp, SSH from the control node)"
        advice = (
            f"{session.client} must lie in one of `sallyport.networks.admin` of the site file, and {session.server} "
            f"must be the `ansible_host` of {host} in the host list"
        )
    state = (
        f"The former firewall is in force again, {host} is reached"
        if error.reached
        else f"{host} is not reached; it puts its former firewall back by itself after {seconds} s, look at its console"
    )
    return f"the new firewall of {host} cuts the control node off: {flow} is missing. {state}. To mend it: {advice}."


class ActionModule(ActionBase):
    """The action `sallyport.im.nftables`."""

    def run(self, tmp: str | None = None, task_vars: dict[str, object] | None = None) -> dict[str, object]:
        """Bring the firewall of the host to what the task asks for.

        Args:
            tmp: not used any more by Ansible.
            task_vars: variables of the task.

        Returns:
            The result of the task, see RETURN in the module.
        """
        result: dict[str, object] = super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = dict(self._task.args)
        for name in ("step", "token"):
            if name in arguments:
                result.update(failed=True, msg=f"the parameter '{name}' is set by this action itself; remove it")
                return result
        answer: dict[str, object] = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=variables)
        token = answer.pop("token", "")
        result.update(answer)
        if not answer.get("armed") or answer.get("failed") or "unreachable" in answer:
            return result
        seconds = int(str(arguments.get("rollback_seconds") or DEFAULT_SECONDS))
        try:
            confirmation = {**arguments, "step": "confirm", "token": token}
            kept = prove(self, MODULE, confirmation, variables, seconds)
        except NotProvenError as error:
            host = str(variables.get("inventory_hostname") or "the host")
            result.update(failed=True, changed=not error.reached, msg=explain(error, host, seconds))
        else:
            if kept.get("failed"):
                result.update(failed=True, msg=kept.get("msg"))
        result["armed"] = False
        return result
