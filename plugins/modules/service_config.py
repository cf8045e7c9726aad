#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configure a service in one transaction; the work is done in module_utils/service_transaction.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_config
short_description: Configure a service in one transaction
version_added: "0.1.0"
description:
  - Takes the whole set of files of a service. Compares it with what is there, validates the new files while the old
    ones still serve, swaps them in, reloads or restarts the service, probes its health, and puts everything back when
    the probe fails.
  - Remembers on the host what the running service was last successfully loaded with. A reload that an interrupted run
    did not reach is done by the next one; so is a swap that was interrupted half-way.
  - A reload that a person asks of systemd is noticed; a signal sent to the process by hand is not.
  - What stands in an exclusive directory without being declared is moved to C(/var/lib/sallyport/removed/), never
    deleted.
options:
  unit:
    description: The systemd unit, with its ending.
    type: str
    required: true
  enabled:
    description: Whether the unit starts at boot.
    type: bool
    default: true
  files: &files
    description: Files of the service. A file that an earlier run wrote and that is no longer listed is removed.
    type: list
    elements: dict
    default: []
    suboptions:
      path: &path
        description: Absolute path.
        type: str
        required: true
      content:
        description: The whole content, as text.
        type: str
        required: true
      owner: &owner
        description: User, by name or number.
        type: str
        default: root
      group: &group
        description: Group, by name or number.
        type: str
        default: root
      mode: &mode
        description: Permission bits as four octal digits in quotes.
        type: str
        default: "0644"
      on_change: &on_change
        description:
          - What the service needs to take up a change.
          - What stands under C(/etc/systemd/system) always needs a restart, and gets a daemon-reload too.
        type: str
        choices: [reload, restart, none]
        default: reload
  secret_files:
    description: As O(files), but the content is never shown, neither in a diff nor in a message.
    type: list
    elements: dict
    default: []
    suboptions:
      path: *path
      content:
        description: The whole content, as text.
        type: str
        required: true
      owner: *owner
      group: *group
      mode:
        description: Permission bits as four octal digits in quotes.
        type: str
        default: "0640"
      on_change: *on_change
  directories:
    description: Directories of the service.
    type: list
    elements: dict
    default: []
    suboptions:
      path: *path
      owner: *owner
      group: *group
      mode:
        description: Permission bits as four octal digits in quotes.
        type: str
        default: "0755"
      exclusive:
        description: Whether only declared files may stand in it; others are moved away.
        type: bool
        default: false
      keep:
        description: Patterns, relative to the directory, of what may stand there besides.
        type: list
        elements: str
        default: []
  watch:
    description:
      - Files of somebody else's that the service reads, for example certificates. When their content is another than
        at the last successful load, the service is reloaded.
    type: list
    elements: dict
    default: []
    suboptions:
      path: *path
      on_change: *on_change
  validate:
    description:
      - Commands, each a list of program and arguments, that must exit with 0 before anything live is touched.
      - They run in a mount namespace of their own in which the new files already stand in their places.
        C({stage}) in an argument becomes the directory that holds the new files at their full paths.
    type: list
    elements: list
    default: []
  validate_seconds:
    description: How long each command of O(validate) may take, in seconds.
    type: float
    default: 60
  health:
    description: What the service must show after a start, restart or reload, besides that its unit is and stays active.
    type: dict
    default: {}
    suboptions:
      tcp:
        description: Addresses and ports that must accept a connection.
        type: list
        elements: dict
        default: []
        suboptions:
          address:
            description: IPv4 or IPv6 address, or a host name.
            type: str
            required: true
          port:
            description: Port number.
            type: int
            required: true
      command:
        description: Program and arguments that must exit with 0.
        type: list
        elements: str
        default: []
      timeout:
        description: Seconds until all of it must be so.
        type: float
        default: 30
      stay:
        description: Seconds that the unit must stay active.
        type: float
        default: 1
  lock_wait:
    description: How long to wait for another run on the same service, in seconds.
    type: float
    default: 60
attributes:
  check_mode:
    support: full
    description: Says the same differences and writes nothing. Validates too when the validators are installed.
  diff_mode:
    support: full
    description: Shows each file before and after; not the content of secret ones.
author: The Sallyport engineers
"""

EXAMPLES = r"""
- name: Prosody runs with the site's settings
  sallyport.im.service_config:
    unit: prosody.service
    directories:
      - {path: /etc/prosody/conf.d, owner: root, group: prosody, mode: "0750", exclusive: true}
    files:
      - path: /etc/prosody/prosody.cfg.lua
        content: "{{ lookup('ansible.builtin.template', 'prosody.cfg.lua.j2') }}"
        group: prosody
        mode: "0640"
      - path: /etc/systemd/system/prosody.service.d/sallyport.conf
        content: "{{ lookup('ansible.builtin.file', 'sandbox.conf') }}"
    watch:
      - {path: /etc/sallyport/tls/fullchain.pem}
    validate:
      - [prosodyctl, check, config]
    health:
      tcp:
        - {address: 10.213.1.11, port: 5222}
"""

RETURN = r"""
differences:
  description: One line for each thing that was not as it should be; the same in check mode.
  type: list
  elements: str
  returned: always
  sample: ["file /etc/prosody/prosody.cfg.lua: content differs"]
action:
  description: What the service needs, or was given.
  type: str
  returned: success
  sample: reload
moved:
  description: Where things were moved that had no place, by the path at which they stood.
  type: dict
  returned: success
  sample: {/etc/prosody/conf.d/x.cfg.lua: /var/lib/sallyport/removed/20260101T120000Z/etc/prosody/conf.d/x.cfg.lua}
validated:
  description: Whether the validators ran on the new files.
  type: bool
  returned: success
"""

import re
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sallyport.im.plugins.module_utils.run_lock import LockError, RunLock
from ansible_collections.sallyport.im.plugins.module_utils.service_health import Health
from ansible_collections.sallyport.im.plugins.module_utils.service_plan import (
    Service,
    WantedDirectory,
    WantedFile,
    Watched,
)
from ansible_collections.sallyport.im.plugins.module_utils.service_transaction import Failure, Transaction

UNIT = re.compile(r"[A-Za-z0-9_.-]+(@[A-Za-z0-9_.-]*)?\.(service|socket|timer|path|mount|target)")
MODE = re.compile(r"[0-7]{4}")
TEXT = {"type": "str", "required": True}
CHANGE = {"type": "str", "choices": ["reload", "restart", "none"], "default": "reload"}
ROOT = {"type": "str", "default": "root"}


def file_options(mode: str, *, secret: bool) -> dict[str, Any]:
    """Return the options of one file.

    Args:
        mode: Default permission bits.
        secret: Whether the content is kept out of every output.
    """
    return {
        "path": TEXT,
        "content": {**TEXT, "no_log": secret},
        "owner": ROOT,
        "group": ROOT,
        "mode": {"type": "str", "default": mode},
        "on_change": CHANGE,
    }


def argument_spec() -> dict[str, Any]:
    """Return the module's options, as DOCUMENTATION describes them."""
    listed = {"type": "list", "elements": "dict", "default": []}
    directory = {
        "path": TEXT,
        "owner": ROOT,
        "group": ROOT,
        "mode": {"type": "str", "default": "0755"},
        "exclusive": {"type": "bool", "default": False},
        "keep": {"type": "list", "elements": "str", "default": []},
    }
    health = {
        "tcp": {**listed, "options": {"address": TEXT, "port": {"type": "int", "required": True}}},
        "command": {"type": "list", "elements": "str", "default": []},
        "timeout": {"type": "float", "default": 30},
        "stay": {"type": "float", "default": 1},
    }
    return {
        "unit": TEXT,
        "enabled": {"type": "bool", "default": True},
        "files": {**listed, "options": file_options("0644", secret=False)},
        # the option itself is no secret: each content in it is
        "secret_files": {**listed, "options": file_options("0640", secret=True), "no_log": False},
        "directories": {**listed, "options": directory},
        "watch": {**listed, "options": {"path": TEXT, "on_change": CHANGE}},
        "validate": {"type": "list", "elements": "list", "default": []},
        "validate_seconds": {"type": "float", "default": 60},
        "health": {"type": "dict", "default": {}, "options": health, "apply_defaults": True},
        "lock_wait": {"type": "float", "default": 60},
    }


def faults(params: dict[str, Any]) -> list[str]:
    """Return what is wrong with the options, all of it.

    Args:
        params: The module's parameters.
    """
    found = []
    if not UNIT.fullmatch(params["unit"]):
        found.append(f"unit: is {params['unit']!r}; a unit's name with its ending is needed, e.g. prosody.service")
    seen: set[str] = set()
    for option in ("files", "secret_files", "directories", "watch"):
        for entry in params[option]:
            path = entry["path"]
            # the path goes into the kit's own file names and mounts: it has to be the plain one
            if not path.startswith("/") or path.endswith("/") or {"", ".", ".."} & set(path[1:].split("/")):
                found.append(f"{option}: path is {path!r}; an absolute path without . and .. is needed")
            if path in seen:
                found.append(f"{option}: path {path} is declared twice; remove one of the two")
            seen.add(path)
            if "mode" in entry and not MODE.fullmatch(entry["mode"]):
                found.append(f"{option}: mode of {path} is {entry['mode']!r}; four octal digits in quotes: '0640'")
    found += [f"validate: {argv!r} is empty; a program is needed" for argv in params["validate"] if not argv]
    return found


def service_of(params: dict[str, Any]) -> Service:
    """Return the service that the options describe.

    Args:
        params: The module's parameters.
    """
    files = [
        WantedFile(
            entry["path"],
            entry["content"].encode("utf-8"),
            entry["owner"],
            entry["group"],
            int(entry["mode"], 8),
            entry["on_change"],
            option == "secret_files",
        )
        for option in ("files", "secret_files")
        for entry in params[option]
    ]
    directories = [
        WantedDirectory(
            entry["path"],
            entry["owner"],
            entry["group"],
            int(entry["mode"], 8),
            entry["exclusive"],
            tuple(entry["keep"]),
        )
        for entry in params["directories"]
    ]
    watch = tuple(Watched(entry["path"], entry["on_change"]) for entry in params["watch"])
    return Service(params["unit"], params["enabled"], tuple(files), tuple(directories), watch)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    found = faults(params)
    if found:
        module.fail_json(msg="\n".join(found), differences=[])
    health = params["health"]
    transaction = Transaction(
        service_of(params),
        Health(
            tuple((probe["address"], probe["port"]) for probe in health["tcp"]),
            tuple(health["command"]),
            health["timeout"],
            health["stay"],
        ),
        validate=[[str(word) for word in argv] for argv in params["validate"]],
        validate_seconds=params["validate_seconds"],
    )
    try:
        with RunLock(transaction.lock_path, params["lock_wait"]):
            outcome = transaction.run(check=module.check_mode)
    except (Failure, LockError) as error:
        module.fail_json(
            msg=f"{params['unit']}: {error}",
            differences=transaction.outcome.differences,
            diff=transaction.outcome.diff,
        )
    module.exit_json(
        changed=bool(outcome.differences),
        differences=outcome.differences,
        diff=outcome.diff,
        action=outcome.action,
        moved=outcome.moved,
        validated=outcome.validated,
    )


if __name__ == "__main__":
    main()
