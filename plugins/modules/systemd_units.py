#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove and stop systemd units that nobody declared.

What is put on the host by hand is found by module_utils/foreign_units.py, what runs by module_utils/running_units.py.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: systemd_units
short_description: Only declared systemd units are on the host, and run
version_added: "0.1.0"
description:
  - Compares the unit files, drop-ins and enabling links in the unit directories with what Debian packages own and with
    a list of the kit's own.
  - A foreign unit is stopped, disabled and moved to C(/var/lib/sallyport/removed/), never deleted. When it stands in
    front of a package's unit, or is a drop-in of one, that unit is not stopped but restarted as the package made it.
  - A drop-in of the message bus (dbus, dbus-broker) or of systemd-logind is moved away like any other, but these
    services are not restarted, since everything else depends on them; nor are instances of a template. They go back to
    what the package made at the next boot.
  - Links that enable a package's unit, and masks (links to C(/dev/null)), are left alone.
  - With O(may_run) only units that it names run or are started; others of a package's too are stopped, disabled and
    masked. The kit remembers what it has masked, and unmasks a unit that may run later; to enable and start it is
    for whoever wants it.
options:
  allowed:
    description:
      - Patterns of what the kit itself puts there. With a slash they match the path, without one the unit's name.
      - An empty list means that only packages' units may be there.
    type: list
    elements: str
    default: []
  may_run:
    description:
      - Patterns of names of the services, sockets, timers and paths that may be active or enabled. Not looked at when
        it is not given; it cannot be empty, since a host on which nothing may run cannot be reached.
      - A list that lacks what the host, or this very run, stands on (SSH, the message bus, the journal, what carries
        its network) is refused, before anything is changed; C(ssh.socket) is, as long as C(ssh.service) does not run.
    type: list
    elements: str
attributes:
  check_mode:
    support: full
    description: Says the same differences and changes nothing.
  diff_mode:
    support: full
    description: Lists the paths that go.
author: The Sallyport engineers
"""

EXAMPLES = r"""
- name: Nothing runs that was not declared
  sallyport.im.systemd_units:
    allowed:
      - /etc/systemd/system/prosody.service.d/sallyport.conf
    may_run: [ssh.service, dbus.*, "systemd-*", prosody.service]
"""

RETURN = r"""
differences:
  description: One line for each thing that should not be there; the same in check mode.
  type: list
  elements: str
  returned: always
  sample: ["unit backdoor.service: is there, should not be (/etc/systemd/system/backdoor.service)"]
moved:
  description: Where things were moved, by the path at which they stood.
  type: dict
  returned: always
  sample:
    /etc/systemd/system/x.service: /var/lib/sallyport/removed/20260101T120000Z-units/etc/systemd/system/x.service
"""

import contextlib
import json
import os
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sallyport.im.plugins.module_utils.atomic_files import drop, look, make_private, move, write
from ansible_collections.sallyport.im.plugins.module_utils.foreign_units import Foreign, Search, owned_paths
from ansible_collections.sallyport.im.plugins.module_utils.run_lock import LockError, RunLock
from ansible_collections.sallyport.im.plugins.module_utils.running_units import Running
from ansible_collections.sallyport.im.plugins.module_utils.systemd import Systemd, SystemdError

REMOVED = "/var/lib/sallyport/removed"
# Units that are to be restarted and may not be yet: what an interrupted run leaves for the next one.
PENDING = "/var/lib/sallyport/systemd_units.json"
LOCK = "/run/sallyport/systemd_units.lock"
# Restarting these takes the ground away from everything else; they are freed at the next boot.
NEVER_RESTARTED = frozenset({"dbus.service", "dbus-broker.service", "systemd-logind.service"})


def pending(path: str = PENDING) -> list[str]:
    """Return the units that an interrupted run did not come to restart.

    Args:
        path: The file that remembers them.
    """
    try:
        units = json.loads(look(path).content or b"[]")
    except ValueError:
        units = []
    return [str(unit) for unit in units] if isinstance(units, list) else []


def remove(found: list[Foreign], left: list[str], systemd: Systemd) -> dict[str, str]:
    """Stop, disable and move away what is foreign.

    Args:
        found: What is foreign.
        left: Units that an interrupted run left to restart.
        systemd: systemd of this machine.

    Returns:
        Where things were moved, by the path at which they stood.

    Raises:
        OSError: Something cannot be moved.
        SystemdError: systemd does not obey.
    """
    restart = sorted({*left, *(thing.unit for thing in found if thing.kind in ("override", "drop-in"))})
    make_private(str(Path(PENDING).parent))
    write(PENDING, json.dumps(restart).encode(), os.geteuid(), os.getegid(), 0o600)
    for thing in found:
        if thing.kind == "unit":
            # a unit that is not loaded, or has nothing to disable, is as good as stopped; what still runs
            # afterwards is found below
            with contextlib.suppress(SystemdError):
                systemd.command("disable", "--now", thing.unit)
    folder = f"{REMOVED}/{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-units"
    moved = {}
    for thing in found:
        # `disable` has removed the links of foreign units already
        if os.path.lexists(thing.path):
            move(thing.path, folder + thing.path)
            moved[thing.path] = folder + thing.path
    systemd.command("daemon-reload")
    for thing in found:
        if thing.kind in ("unit", "link") and "@." not in thing.unit:
            state = systemd.show(thing.unit)
            if not state.is_there and state.is_active:
                systemd.command("stop", thing.unit)
            if state.active == "failed":
                systemd.command("reset-failed", thing.unit)
    for unit in restart:
        if unit not in NEVER_RESTARTED and "@." not in unit:
            systemd.command("try-restart", unit)
    drop(PENDING)
    return moved


def main() -> None:
    """Run the module."""
    spec = {
        "allowed": {"type": "list", "elements": "str", "default": []},
        "may_run": {"type": "list", "elements": "str"},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    may_run = module.params["may_run"]
    if may_run == []:
        module.fail_json(msg="systemd units: may_run: is empty, should name what may run, ssh.service at least")
    differences: list[str] = []
    moved: dict[str, str] = {}
    before = after = ""
    try:
        with RunLock(LOCK, 60):
            systemd = Systemd()
            found = Search(owned_paths(), module.params["allowed"]).foreign()
            left = pending()
            # a link to a foreign unit goes with it, and is not one more thing to tell
            units = {thing.unit for thing in found if thing.kind == "unit"}
            differences = [thing.difference() for thing in found if thing.kind != "link" or thing.unit not in units]
            differences += [f"unit {unit}: runs with a removed drop-in, should be restarted" for unit in left]
            running = Running(may_run or (), systemd)
            # a foreign unit goes as a whole, and is told once
            unwanted = [unit for unit in running.unwanted() if unit.name not in units] if may_run else []
            freed = running.freed() if may_run else []
            removing = bool(differences)
            differences += [unit.difference() for unit in unwanted]
            differences += [f"unit {name}: is masked by an earlier run, should be free" for name in freed]
            before = "".join(f"{thing.path}\n" for thing in found) + "".join(f"{unit.name}\n" for unit in unwanted)
            after = "".join(f"{name}\n" for name in freed)
            if not module.check_mode:
                if removing:
                    moved = remove(found, left, systemd)
                if unwanted:
                    running.stop(unwanted)
                if freed:
                    running.free(freed)
    except (OSError, SystemdError, LockError) as error:
        module.fail_json(msg=f"systemd units: {error}", differences=differences)
    diff = {"before_header": "undeclared units", "after_header": "freed units", "before": before, "after": after}
    module.exit_json(
        changed=bool(differences), differences=differences, moved=moved, diff=[diff] if before or after else []
    )


if __name__ == "__main__":
    main()
