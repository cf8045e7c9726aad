#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configure a service in one transaction; the work is done in module_utils/service_transaction.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_config
short_description: Configure services, each in one transaction
version_added: "0.1.0"
description:
  - Takes the whole set of files of each service. Compares it with what is there, validates the new files while the old
    ones still serve, swaps them in, reloads or restarts the service, probes its health, and puts everything back when
    the probe fails.
  - Takes sets of plain files too, which no unit of their own reads. Programs apply them, and when one of these fails
    the old files are put back and applied again.
  - Remembers on the host what the running service was last successfully loaded with. A reload that an interrupted run
    did not reach is done by the next one; so is a swap that was interrupted half-way.
  - A reload that a person asks of systemd is noticed; a signal sent to the process by hand is not.
  - What stands in an exclusive directory without being declared is moved to C(/var/lib/sallyport/removed/), never
    deleted.
options:
  services:
    description:
      - The services and sets of plain files, in the order in which they are brought about.
      - The first one that fails ends the run; what was done before it stays, and is named in the result. In check mode
        all of them are compared.
    type: list
    elements: dict
    required: true
    suboptions:
      unit:
        description: The systemd unit, with its ending. Either this or O(services[].name) is needed.
        type: str
      name:
        description: Name of a set of plain files; small letters, digits, underscores and hyphens.
        type: str
      apply:
        description:
          - Programs with their arguments that take up the plain files, run in this order when one of the files was
            changed. All must exit with 0.
          - They must be the same when run twice. Only with O(services[].name).
        type: list
        elements: list
        default: []
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
              - What the service needs to take up a change. For plain files, V(reload) and V(restart) both mean that
                O(services[].apply) is run.
              - What stands under C(/etc/systemd/system) always needs a restart, and gets a daemon-reload too.
            type: str
            choices: [reload, restart, none]
            default: reload
      secret_files:
        description: As O(services[].files), but the content is never shown, neither in a diff nor in a message.
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
          - Files of somebody else's that the service reads, for example certificates. When their content is another
            than at the last successful load, the service is reloaded.
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
        description: How long each command of O(services[].validate) may take, in seconds.
        type: float
        default: 60
      health:
        description:
          - What the service must show after a start, restart or reload, besides that its unit is and stays active; or
            after plain files were applied.
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
            description: Seconds that the unit must stay active. Of no meaning for plain files.
            type: float
            default: 1
      confirm_seconds:
        description:
          - For what decides who reaches the host, for example its SSH server. When not V(0), the old files come back by
            themselves, and the unit is reloaded or restarted with them, this many seconds after the first new one took
            its place, unless the control node has opened a new connection to the host meanwhile. The task sees to that.
          - V(0), or V(15) to V(600). It has to last for the reload or restart and O(services[].health) too.
          - The old files also come back when the host reboots in that time. The task then fails, and so does one that
            finds no new connection; the next run sees the difference and tries again.
        type: int
        default: 0
  lock_wait:
    description:
      - How long to wait for another run on the same service, in seconds; O(services[].confirm_seconds) longer when that
        run's change is not confirmed yet.
    type: float
    default: 60
  confirm:
    description:
      - For the action plugin only, which calls the module a second time over a new connection. Names of services whose
        change is kept, with the word that the first call gave out for each.
    type: dict
    default: {}
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
    services:
      - unit: prosody.service
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

- name: The SSH server takes only keys, and the audit rules are loaded
  sallyport.im.service_config:
    services:
      - unit: ssh.service
        files:
          - path: /etc/ssh/sshd_config.d/10-sallyport.conf
            content: "PasswordAuthentication no\n"
            mode: "0600"
        validate:
          - [sshd, -t]
        confirm_seconds: 60
      - name: audit-rules
        files:
          - path: /etc/audit/rules.d/sallyport.rules
            content: "{{ lookup('ansible.builtin.file', 'audit.rules') }}"
            mode: "0640"
        apply:
          - [augenrules, --load]
"""

RETURN = r"""
differences:
  description: One line for each thing that was not as it should be; the same in check mode.
  type: list
  elements: str
  returned: always
  sample: ["file /etc/prosody/prosody.cfg.lua: content differs"]
actions:
  description: What each service needs, or was given; those that need nothing are left out.
  type: dict
  returned: always
  sample: {prosody.service: reload, audit-rules: apply}
moved:
  description: Where things were moved that had no place, by the path at which they stood.
  type: dict
  returned: always
  sample: {/etc/prosody/conf.d/x.cfg.lua: /var/lib/sallyport/removed/20260101T120000Z/etc/prosody/conf.d/x.cfg.lua}
validated:
  description: The services whose validators ran on the new files.
  type: list
  elements: str
  returned: always
  sample: [prosody.service]
unconfirmed:
  description:
    - For the action plugin only, which takes it out. The service whose change waits for a new connection, with the word
      that confirms it. The services after it were not looked at yet.
  type: dict
  returned: when a change waits for its confirmation
rolled_back:
  description: For the action plugin only. Old files had come back before the confirmation came.
  type: bool
  returned: when a confirmation fails
done:
  description: For the action plugin only, which takes it out. How many services were brought about or compared.
  type: int
  returned: always
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sallyport.im.plugins.module_utils.service_options import faults, jobs_of
from ansible_collections.sallyport.im.plugins.module_utils.service_run import Result, confirm_all, run_all

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
    entry = {
        "unit": {"type": "str"},
        "name": {"type": "str"},
        "apply": {"type": "list", "elements": "list", "default": []},
        "enabled": {"type": "bool", "default": True},
        "files": {**listed, "options": file_options("0644", secret=False)},
        # the option itself is no secret: each content in it is
        "secret_files": {**listed, "options": file_options("0640", secret=True), "no_log": False},
        "directories": {**listed, "options": directory},
        "watch": {**listed, "options": {"path": TEXT, "on_change": CHANGE}},
        "validate": {"type": "list", "elements": "list", "default": []},
        "validate_seconds": {"type": "float", "default": 60},
        "health": {"type": "dict", "default": {}, "options": health, "apply_defaults": True},
        "confirm_seconds": {"type": "int", "default": 0},
    }
    either = [["unit", "name"]]
    return {
        "services": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": entry,
            "required_one_of": either,
            "mutually_exclusive": either,
        },
        "lock_wait": {"type": "float", "default": 60},
        "confirm": {"type": "dict", "default": {}},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    found = faults(params["services"])
    if found:
        module.fail_json(msg="\n".join(found), **Result().answer())
    late, rolled_back = ([], False) if module.check_mode else confirm_all(params["confirm"])
    if late:
        module.fail_json(msg="\n".join(late), rolled_back=rolled_back, **Result().answer())
    result = run_all(jobs_of(params["services"]), params["lock_wait"], check=module.check_mode)
    if result.faults:
        module.fail_json(msg="\n".join(result.faults), **result.answer())
    module.exit_json(**result.answer())


if __name__ == "__main__":
    main()
