#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Only the declared administrators get in and become root; the comparison is in module_utils/unix_accounts_plan.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: unix_accounts
short_description: Only the declared administrators get in and become root
version_added: "0.1.0"
description:
  - Administrators have an account with a home, the shell C(/bin/bash) and no password, in the group C(sudo); no date
    ends it. They become root without a password, since they have keys only.
  - Nobody else is in a privileged group, no account but root has the number 0, none has the number of an
    administrator, none is open without a password. An account with such a number gets its own and is locked.
  - C(/etc/sudoers) and C(/etc/sudoers.d) are the kit's as a whole. Foreign rules are moved to
    C(/var/lib/sallyport/removed/), never deleted.
  - Refuses, before anything is changed, to work when the account by which Ansible came is not an administrator.
  - Changes are made by Debian's own tools, and no password or hash is ever handed to one. Only accounts in the files
    of this host are looked at.
requirements:
  - the packages passwd and sudo on the host
options:
  administrators:
    description:
      - Account names of those who work on this host and become root.
      - With V(root) among them root loses its password; else its password is left alone.
    type: list
    elements: str
    required: true
  exclusive:
    description:
      - Whether other accounts of people (number 1000 and up, with a login shell) are locked, by password, by key and
        at once when somebody is signed in or lingers; and passwords of accounts of the system. They are not deleted.
    type: bool
    default: false
  privileged_groups:
    description: Groups that only administrators may be in. Those that are not there do not matter.
    type: list
    elements: str
    default:
      - root
      - sudo
      - wheel
      - admin
      - adm
      - staff
      - shadow
      - disk
      - kmem
      - systemd-journal
      - docker
      - lxd
      - incus
      - incus-admin
      - libvirt
  group_members:
    description: Accounts of services that may be in a privileged group all the same, by group.
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
    description: Says the same differences and changes nothing.
  diff_mode:
    support: full
    description: Shows the rules of sudo before and after, and the differences of accounts.
author: The Sallyport engineers (@sallyport)
"""

EXAMPLES = r"""
- name: Only administrators get in
  sallyport.im.unix_accounts:
    administrators: [ops]
    exclusive: true
"""

RETURN = r"""
differences:
  description: One line for each thing that is not as declared; the same in check mode.
  type: list
  elements: str
  returned: always
  sample: ["group sudo: has the members mallory, ops, should have ops"]
moved:
  description: Where foreign rules of sudo were moved, by the path at which they stood.
  type: dict
  returned: always
  sample:
    /etc/sudoers.d/x: /var/lib/sallyport/removed/20260101T120000Z-unix_accounts/etc/sudoers.d/x
"""

import os
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sallyport.im.plugins.module_utils.programs import ProgramError, missing, run
from ansible_collections.sallyport.im.plugins.module_utils.run_lock import LockError, RunLock
from ansible_collections.sallyport.im.plugins.module_utils.unix_accounts import AccountsError, read
from ansible_collections.sallyport.im.plugins.module_utils.unix_accounts_plan import Step, Wanted, refuse, steps
from ansible_collections.sallyport.im.plugins.module_utils.unix_accounts_sudo import Sudo, SudoChange

LOCK = "/run/sallyport/unix_accounts.lock"
TOOLS = ("useradd", "usermod", "chage", "gpasswd", "groupadd", "pwconv", "vipw", "visudo")
# A mended thing may uncover another one (a line that pwconv makes is compared then); more rounds than this are a fault.
ROUNDS = 3


def mend(wanted: Wanted, first: list[Step], today: int) -> None:
    """Run the commands of each step, and compare again until nothing is left.

    Args:
        wanted: What the site declares.
        first: The differences as they were found.
        today: Days since 1970.

    Raises:
        AccountsError: A tool refuses, or something differs still.
    """
    left = first
    for _round in range(ROUNDS):
        for step in left:
            for command in step.commands:
                done = run(command, 60, join=True)
                if done.status != 0:
                    raise AccountsError(f"{step.difference}; {command[0]} refuses: {done.out.strip()}")
        left = steps(wanted, read(), today)
        if not left:
            return
    raise AccountsError("cannot be mended: " + "; ".join(step.difference for step in left))


def diff_of(found: list[Step], changes: list[SudoChange]) -> list[dict[str, str]]:
    """Return what diff mode shows; nothing in it is secret.

    Args:
        found: Differences of accounts.
        changes: Differences of sudo.
    """
    diff = [
        {
            "before_header": change.path,
            "after_header": change.path,
            "before": change.before or ("" if change.text else f"{change.difference}\n"),
            "after": change.text or "",
        }
        for change in changes
    ]
    if found:
        lines = "".join(f"{step.difference}\n" for step in found)
        diff.append({"before_header": "accounts", "after_header": "accounts", "before": lines, "after": ""})
    return diff


def main() -> None:
    """Run the module."""
    spec: dict[str, Any] = {
        "administrators": {"type": "list", "elements": "str", "required": True},
        "exclusive": {"type": "bool", "default": False},
        "privileged_groups": {
            "type": "list",
            "elements": "str",
            "default": [
                *("root", "sudo", "wheel", "admin", "adm", "staff", "shadow", "disk", "kmem", "systemd-journal"),
                *("docker", "lxd", "incus", "incus-admin", "libvirt"),
            ],
        },
        "group_members": {"type": "dict", "default": {}},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    wanted = Wanted(**{name: module.params[name] for name in spec})
    differences: list[str] = []
    moved: dict[str, str] = {}
    today = int(time.time() // 86400)
    try:
        with RunLock(LOCK, 60):
            found = read()
            refuse(wanted, found, os.environ.get("SUDO_USER") or "root")
            sudo = Sudo()
            todo, changes = steps(wanted, found, today), sudo.changes(wanted.administrators)
            differences = [step.difference for step in todo] + [change.difference for change in changes]
            if differences and not module.check_mode:
                if lacking := missing(TOOLS):
                    raise AccountsError(f"{', '.join(lacking)}: not installed; needs the packages passwd and sudo")
                # sudo first: whoever loses the group that made root of them has the kit's rule by then
                moved = sudo.mend(changes)
                mend(wanted, todo, today)
    except (OSError, AccountsError, ProgramError, LockError) as error:
        module.fail_json(msg=f"accounts: {error}", differences=differences, moved=moved)
    diff = diff_of(todo, changes)
    module.exit_json(changed=bool(differences), differences=differences, moved=moved, diff=diff)


if __name__ == "__main__":
    main()
