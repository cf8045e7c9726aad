# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plugin of `xmpp_invitation`: the module makes the invitations, this puts them where one person reads them.

The tokens go from the module's result straight into files on the control node; what Ansible prints, records or hands to
callbacks has only paths and dates.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ansible.plugins.action import ActionBase

MODULE = "sallyport.im.xmpp_invitation"


def text_of(invitation: Mapping[str, str], host: str, note: str = "") -> str:
    """Write what the person reads.

    Args:
        invitation: an entry of the module's `invitations`.
        host: domain of the account.
        note: what the address is for; a paragraph of its own when it is not empty.

    Returns:
        The text; the link stands alone on a line of its own.
    """
    if invitation["url"]:
        todo = (
            f"Open this link in a browser on a computer of the company and choose your password:\n\n{invitation['url']}"
        )
    else:
        todo = f"Open this address with a chat program that understands invitations:\n\n{invitation['uri']}"
    until = invitation["until"].replace("T", " ").removesuffix(":00Z").removesuffix("Z")
    purpose = f"{note}\n\n" if note else ""
    return (
        f"Your address for instant messages: {invitation['name']}@{host}\n\n{purpose}{todo}\n\n"
        f"It works once, until {until} (UTC). Keep it to yourself: whoever has it can choose the password.\n"
    )


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all.

    Args:
        path: the file; its folder is made, or tightened, to mode 0700, the file gets 0600. Folders above are made alike
            where they are missing.
        text: its content.

    Raises:
        OSError: when the folder or the file cannot be written.
    """
    for folder in reversed([path.parent, *path.parent.parents]):
        if not folder.exists():
            # another host's invitation may come at the same time
            folder.mkdir(mode=0o700, exist_ok=True)
    path.parent.chmod(0o700)
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    beside.replace(path)


def names_of(accounts: object) -> frozenset[str]:
    """Return the names of the accounts of a task: no others are taken from a host's answer.

    Args:
        accounts: the task's parameter.
    """
    entries = accounts if isinstance(accounts, list) else []
    return frozenset(str(entry["name"]) for entry in entries if isinstance(entry, Mapping) and entry.get("name"))


class ActionModule(ActionBase):
    """The action `sallyport.im.xmpp_invitation`: runs the module, keeps the tokens from its result."""

    def run(self, tmp: str | None = None, task_vars: dict[str, object] | None = None) -> dict[str, object]:
        """Run the action.

        Args:
            tmp: unused, as in all action plugins.
            task_vars: variables of the host.

        Returns:
            The module's result, with paths in place of tokens.
        """
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        folder, note = arguments.pop("folder", None), str(arguments.pop("note", None) or "")
        if not folder:
            return {"failed": True, "msg": "folder: is required; name the folder on the control node for invitations"}
        # -vvv prints what a module answers; the connection leaves it out only when the play's context says so
        context = self._connection._play_context
        loud, context.no_log = context.no_log, True
        try:
            result: dict[str, object] = self._execute_module(
                module_name=MODULE, module_args=arguments, task_vars=task_vars, wrap_async=False
            )
        finally:
            context.no_log = loud
        made = result.pop("invitations", [])
        result.pop("invocation", None)
        written: list[dict[str, str]] = []
        known = names_of(arguments.get("accounts"))
        for invitation in made if isinstance(made, list) else []:
            # the name becomes a file here: a host that somebody has taken over must not choose where
            if invitation["name"] not in known or "/" in invitation["name"]:
                why = f"the host answered with an invitation for {invitation['name']!r}, which was not asked for"
                return {**result, "failed": True, "msg": why, "invitations": written}
            path = Path(str(folder)) / f"{invitation['name']}.txt"
            try:
                write_private(path, text_of(invitation, str(arguments.get("host")), note))
            except OSError as error:
                why = f"{path}: {error.strerror}; the invitation of {invitation['name']} is lost, make a new one"
                return {**result, "failed": True, "msg": why, "invitations": written}
            written.append({"name": invitation["name"], "path": str(path), "until": invitation["until"]})
        return {**result, "invitations": written}
