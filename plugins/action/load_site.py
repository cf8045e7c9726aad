# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plugin of `load_site`: reads and checks the whole site on the control node, without a connection to any host.

Ansible runs an action once for each host, in a process of its own. Reading a site takes milliseconds; what takes
longer, importing the model, happens here at the top, once, in the process from which those are forked.
"""

from __future__ import annotations

import datetime
import getpass
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars
from ansible_collections.sallyport.im.plugins.plugin_utils.derive import host_settings
from ansible_collections.sallyport.im.plugins.plugin_utils.faults import SiteFaults
from ansible_collections.sallyport.im.plugins.plugin_utils.site import SITE_FILE, load
from ansible_collections.sallyport.im.plugins.plugin_utils.vault import passwords_of


def message_for(name: str, folder: object, faults: SiteFaults, variables: Mapping[str, Any]) -> str:
    """Say what is wrong with the site, at length for one host only.

    Args:
        name: the host of this task.
        folder: folder of the site.
        faults: what is wrong.
        variables: the task's variables; the first of `ansible_play_hosts_all` gets all faults; that list does not
            shrink when a host fails, so it is the same host for all.

    Returns:
        The message of the failed task.
    """
    count = len(faults.faults)
    head = f"the site {folder} has {count} {'fault' if count == 1 else 'faults'}; no host was touched"
    first = next(iter(variables.get("ansible_play_hosts_all") or [name]))
    # every host fails, since all are of this site; forty faults a hundred times would help nobody
    return f"{head}\n{faults}" if name == first else f"{head}; they are named at the host {first}"


class ActionModule(ActionBase):
    """Reads the site of the inventory and returns what the roles must know of this host."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS: frozenset[str] = frozenset()

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read the site.

        Args:
            tmp: not used.
            task_vars: variables of the host; `inventory_dir` and `inventory_hostname` are read.

        Returns:
            The fact `sallyport_host`; never changed.

        Raises:
            AnsibleActionFail: the site has faults, all of which the message names; -e stands before it; the host is
                not in its list.
        """
        super().run(tmp, task_vars)
        self.validate_argument_spec({})
        variables = task_vars or {}
        name, folder = str(variables["inventory_hostname"]), variables.get("inventory_dir")
        if not folder:
            raise AnsibleActionFail(
                f"{name} comes from no folder of a site. Give one with -i, as -i inventories/oslo, "
                "which holds the host list as hosts.yml"
            )
        taken = sorted({"sallyport", "sallyport_host"} & load_extra_vars(self._loader).keys())
        if taken:
            raise AnsibleActionFail(
                f"-e gives {' and '.join(taken)}, which would win in silence over the site file; no host was "
                f"touched. Leave it out, and change {Path(str(folder)) / SITE_FILE} instead"
            )
        try:
            site = load(Path(str(folder)), passwords_of(self._loader))
        except SiteFaults as faults:
            raise AnsibleActionFail(message_for(name, folder, faults, variables)) from None
        try:
            settings = host_settings(site, name, datetime.datetime.now(datetime.UTC))
        except KeyError:
            raise AnsibleActionFail(
                f"{name} is not in {Path(str(folder)) / 'hosts.yml'}, the only host list that a site has; "
                f"its hosts are: {', '.join(host.name for host in site.hosts)}"
            ) from None
        if site.host(name).managed:
            self._keep_the_way_in([person.user for person in site.settings.administrators], variables)
        return {"changed": False, "ansible_facts": {"sallyport_host": settings}}

    def _keep_the_way_in(self, administrators: list[str], variables: Mapping[str, Any]) -> None:
        """Refuse a site that would lock out the account with which Ansible connects.

        Args:
            administrators: Unix accounts of the administrators.
            variables: the task's variables; ansible_connection and ansible_user are read.

        Raises:
            AnsibleActionFail: the account is not among them.
        """
        connection = str(variables.get("ansible_connection", "ssh")).rpartition(".")[2]
        if connection not in ("ssh", "smart", "paramiko", "paramiko_ssh"):
            return
        user = str(variables.get("ansible_user") or self._play_context.remote_user or getpass.getuser())
        if user not in administrators:
            raise AnsibleActionFail(
                f"Ansible connects as {user}, who is none of sallyport.administrators ({', '.join(administrators)}) "
                f"and would be locked out; no host was touched. Add {user} there, or set ansible_user in hosts.yml"
            )
