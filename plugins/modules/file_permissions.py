#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""No program lends rights that nobody declared; the rules are in module_utils/file_permissions_plan.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: file_permissions
short_description: Only declared programs lend rights, and nothing of the system is open to everybody
version_added: "0.1.0"
description:
  - Goes through the local file systems once. A setuid or setgid program keeps the bit only when a Debian package owns
    it and O(may) names it. One of a package that O(may) does not name loses it through dpkg-statoverride, so that an
    upgrade keeps it off; a foreign one loses it, and its capabilities.
  - A program of a package loses capabilities that somebody has given it; ping, mtr-packet, dumpcap and gst-ptp-helper
    have theirs from their packages and keep them, as does what O(may) names.
  - Files and directories that anybody may write lose that right outside of people's homes and the temporary places.
    A directory with the sticky bit may stay so, but not where programs and rules stand (C(/etc), C(/usr) and such).
  - Gives the files of a table their owner, group and mode.
  - Images of containers (C(/var/lib/docker) and such) and file systems of other machines are not looked at.
  - A second name (hard link) of a program that may lend rights is moved to C(/var/lib/sallyport/removed/), since both
    names have the same bits. Nothing is deleted.
options:
  may:
    description:
      - Paths of programs of packages that may be setuid or setgid, or have capabilities. Those that are not there do
        not matter.
      - A list without C(/usr/bin/sudo) is refused when this very run became root by it.
    type: list
    elements: path
    required: true
  may_be_open:
    description: Paths that anybody may write all the same.
    type: list
    elements: path
    default: []
  leave:
    description: Patterns of directories that are not entered at all.
    type: list
    elements: str
    default: []
  paths:
    description:
      - Owner, group and mode by path, each of them optional; C(*) in a path stands for any name. What is not there
        does not matter.
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
    description: Says the same differences and changes nothing.
  diff_mode:
    support: full
    description: Shows the rights before and after.
author: The Sallyport engineers (@sallyport)
"""

EXAMPLES = r"""
- name: Only these programs lend rights
  sallyport.im.file_permissions:
    may: [/usr/bin/sudo, /usr/bin/passwd, /usr/sbin/unix_chkpwd]
    paths:
      /etc/ssh/sshd_config: {owner: root, group: root, mode: "0600"}
      /etc/cron.*: {mode: "0700"}
"""

RETURN = r"""
differences:
  description: One line for each thing whose rights are not as they should be; the same in check mode.
  type: list
  elements: str
  returned: always
  sample: ["/usr/local/bin/x: is setuid and no package's (4755), should be 0755"]
moved:
  description: Where second names of programs were moved, by the path at which they stood.
  type: dict
  returned: always
  sample: {}
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sallyport.im.plugins.module_utils.file_permissions import local_mounts, owned, search
from ansible_collections.sallyport.im.plugins.module_utils.file_permissions_plan import (
    Change,
    PermissionsError,
    apply,
    declared,
    judge,
    shared_places,
)
from ansible_collections.sallyport.im.plugins.module_utils.programs import ProgramError
from ansible_collections.sallyport.im.plugins.module_utils.run_lock import LockError, RunLock

LOCK = "/run/sallyport/file_permissions.lock"
SUDO = "/usr/bin/sudo"


def compare(params: dict[str, Any]) -> list[Change]:
    """Return all that differs on this host.

    Args:
        params: The module's arguments.

    Raises:
        OSError: The table of mounts cannot be read.
        PermissionsError: The table of paths is malformed.
    """
    local, every = local_mounts()
    found = list(search(local, every, params["leave"]))
    packaged = owned(thing.path for thing in found)
    return judge(found, params["may"], params["may_be_open"], packaged) + shared_places() + declared(params["paths"])


def main() -> None:
    """Run the module."""
    spec = {
        "may": {"type": "list", "elements": "path", "required": True},
        "may_be_open": {"type": "list", "elements": "path", "default": []},
        "leave": {"type": "list", "elements": "str", "default": []},
        "paths": {"type": "dict", "default": {}},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    changes: list[Change] = []
    moved: dict[str, str] = {}
    try:
        if os.environ.get("SUDO_USER") and SUDO not in module.params["may"]:
            raise PermissionsError(f"may: lacks {SUDO}, by which this run became root; add it. Nothing was changed")
        with RunLock(LOCK, 60):
            changes = compare(module.params)
            if changes and not module.check_mode:
                moved = apply(changes)
    except (OSError, PermissionsError, ProgramError, LockError) as error:
        module.fail_json(msg=f"file permissions: {error}", differences=[one.difference for one in changes], moved=moved)
    differences = [one.difference for one in changes]
    before = "".join(f"{one.thing.permissions:04o} {one.thing.name}\n" for one in changes)
    after = "".join(f"{one.mode:04o} {one.thing.name}\n" for one in changes if not one.aside)
    diff = {"before_header": "permissions", "after_header": "permissions", "before": before, "after": after}
    module.exit_json(changed=bool(changes), differences=differences, moved=moved, diff=[diff] if changes else [])


if __name__ == "__main__":
    main()
