#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: bring the accounts of a Prosody server in line with the people of the site."""

from __future__ import annotations

DOCUMENTATION = r"""
module: xmpp_accounts
short_description: Bring the accounts of a Prosody server in line with the people of the site
version_added: 0.1.0
description:
  - Compares all accounts of one host of a Prosody 13 server with a list; makes, enables, disables, deletes accounts.
  - An account of a person is made without a password; nobody can sign in to it until its owner has accepted an
    invitation, see M(sallyport.im.xmpp_invitation).
  - Passwords of people are never read, set or removed, also not when an account is enabled again.
  - Disabling and deleting end the live sessions of an account and make its open invitations void.
  - Works over the server's admin socket, hundreds of accounts in a few commands.
  - No secret reaches an argument list, a log or a diff.
  - Must run as root or as the user of Prosody.
  - Prosody needs its module C(admin_shell) and the authentication C(internal_hashed).
author: The Sallyport engineers
attributes:
  check_mode:
    description:
      - Reads the server and reports exactly what would change.
      - Where no server answers and none of its accounts lie on the disk, the host counts as empty.
    support: full
  diff_mode:
    description: Shows the accounts before and after, a line each, without passwords.
    support: full
options:
  host:
    description: Domain of the accounts, a VirtualHost of the server.
    type: str
    required: true
  accounts:
    description: All accounts that the host should have. An empty list means nobody.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The part before the C(@), in small letters.
        type: str
        required: true
      enabled:
        description: Whether a sign-in is let in.
        type: bool
        default: true
      role:
        description: Name of a role of the server.
        type: str
        default: prosody:registered
      secret:
        description:
          - Name of the vault's entry that holds the password of a service account; empty for a person.
          - Says only that O(passwords) has an entry for this account; a missing one is a fault.
        type: str
        default: ''
  passwords:
    description: Passwords of service accounts, by account name. Set only where the server has another one.
    type: dict
    default: {}
  undeclared:
    description:
      - What becomes of accounts that are not in O(accounts).
      - V(disable) keeps their archive for its retention; V(delete) removes them with all their data.
    type: str
    choices: [disable, delete]
    default: disable
  socket:
    description: Admin socket of the server.
    type: path
    default: /var/lib/prosody/prosody.sock
  timeout:
    description: Seconds that one command to the server may take.
    type: int
    default: 30
seealso:
  - module: sallyport.im.xmpp_invitation
"""

EXAMPLES = r"""
- name: The accounts are those of the site file
  sallyport.im.xmpp_accounts:
    host: "{{ sallyport_host.im.domain }}"
    accounts: "{{ sallyport_host.im.accounts }}"
    passwords: "{{ dict(managed | map(attribute='name') | zip(query('sallyport.im.secret', *names))) }}"
  vars:
    managed: "{{ sallyport_host.im.accounts | selectattr('secret') | list }}"
    names: "{{ managed | map(attribute='secret') | list }}"

- name: Alice may sign in, Dora may not, everybody else is removed
  sallyport.im.xmpp_accounts:
    host: im.demo.example
    accounts:
      - name: alice
      - {name: dora, enabled: false}
    undeclared: delete
"""

RETURN = r"""
differences:
  description: What differed from the list before this run, a line each; the same in check mode.
  returned: always
  type: list
  elements: str
  sample: ["account mallory: is enabled, should be disabled (stands in no site file)"]
outcome:
  description: What was done, or would be in check mode, to each account that differed; why, if it failed.
  returned: always
  type: dict
  sample: {alice: "created, waiting for its invitation", mallory: disabled}
without_password:
  description: Enabled accounts of the list that have no password yet, so that nobody can sign in to them.
  returned: always
  type: list
  elements: str
  sample: [alice]
"""

from collections import Counter
from collections.abc import Mapping

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sallyport.im.plugins.module_utils import prosody_accounts as accounts
from ansible_collections.sallyport.im.plugins.module_utils.prosody_admin import (
    SOCKET,
    AdminError,
    AdminSocket,
    Unreachable,
)

ARGUMENTS: dict[str, object] = {
    "host": {"type": "str", "required": True},
    "accounts": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "enabled": {"type": "bool", "default": True},
            "role": {"type": "str", "default": accounts.ROLE},
            "secret": {"type": "str", "default": "", "no_log": False},  # the name of a secret, not a secret
        },
    },
    "passwords": {"type": "dict", "default": {}, "no_log": True},
    "undeclared": {"type": "str", "choices": ["disable", "delete"], "default": "disable"},
    "socket": {"type": "path", "default": SOCKET},
    "timeout": {"type": "int", "default": 30},
}
DONE = {"create": "created", "delete": "deleted", "role": "role set", "password": "password set"}
DONE |= {"void": "invitation voided"}


def faults(entries: list[dict[str, object]], passwords: Mapping[str, object]) -> list[str]:
    """Return what is wrong with the arguments themselves, a line each."""
    names = Counter(str(e["name"]) for e in entries)
    says = [f"accounts: {name!r} {why}" for name in names if (why := accounts.bad_name(name))]
    says += [f"accounts: {name} stands there {n} times; name it once" for name, n in names.items() if n > 1]
    says += [
        f"passwords: has no entry for {e['name']}, whose secret is {e['secret']}; put it there"
        for e in entries
        if e["secret"] and not passwords.get(str(e["name"]))
    ]
    for name, password in passwords.items():
        if name not in names:
            says.append(f"passwords: {name} is not in accounts; add the account or drop the password")
        elif not isinstance(password, str):
            says.append(f"passwords: the one of {name} is no text; quote it in the vault")
    return says


def look(module: AnsibleModule, wanted: Mapping[str, accounts.Account]) -> tuple[AdminSocket | None, accounts.State]:
    """Connect and read; (None, an empty state) for a host that is still to be made, in check mode."""
    path, host = module.params["socket"], module.params["host"]
    try:
        session = accounts.open_host(path, host, module.params["timeout"])
    except (Unreachable, accounts.UnknownHost):
        if module.check_mode and not accounts.has_data(path, host):
            return None, accounts.State(roles=frozenset(a.role for a in wanted.values()))
        raise
    return session, accounts.read(session, host)


def outcome(steps: list[accounts.Step], failed: Mapping[str, str]) -> dict[str, str]:
    """Return a few words for each step."""
    done = {}
    for step in steps:
        words = [DONE[k] for k in step.todo if k in DONE and not ("create" in step.todo and k == "role")]
        if "state" in step.todo:
            words.append(accounts.WORDS[str(step.todo["state"])])
        done[step.name or "(any name)"] = f"failed: {failed[step.name]}" if step.name in failed else ", ".join(words)
    return done


def run(module: AnsibleModule) -> dict[str, object]:
    """Do the work; returns the module's result, with `failed` and `msg` where something failed."""
    params = module.params
    passwords: dict[str, str] = params["passwords"]
    wrong = faults(params["accounts"], passwords)
    if wrong:
        return {"failed": True, "msg": "\n".join(wrong), "differences": []}
    wanted = {
        a["name"]: accounts.Account("enabled" if a["enabled"] else "disabled", a["role"]) for a in params["accounts"]
    }
    session, state = look(module, wanted)
    unknown = sorted({a.role for a in wanted.values()} - state.roles)
    if unknown:
        return {
            "failed": True,
            "msg": f"accounts: the server has no role {', '.join(unknown)}; it has {', '.join(sorted(state.roles))}",
            "differences": [],
        }
    same = accounts.same_passwords(session, params["host"], passwords) if session and passwords else frozenset[str]()
    steps = accounts.plan(state, wanted, passwords, same, params["undeclared"] == "delete")
    failed = {name: f"cannot be read: {a.error}" for name, a in state.accounts.items() if a.error}
    if session and not module.check_mode:
        failed |= accounts.apply(session, params["host"], steps)
    then = accounts.after(state, steps)
    result: dict[str, object] = {
        "changed": any(s.name not in failed for s in steps),
        "differences": [line for s in steps for line in s.differences],
        "outcome": outcome(steps, failed),
        "without_password": sorted(n for n, a in wanted.items() if a.state == "enabled" and not then[n].current),
    }
    if steps and module._diff:
        result["diff"] = {
            "before_header": f"accounts of {params['host']}",
            "after_header": f"accounts of {params['host']}",
            "before": accounts.picture(state.accounts),
            "after": accounts.picture(then),
        }
    if failed:
        lines = "\n".join(f"account {n or '(any name)'}: {why}" for n, why in sorted(failed.items()))
        count = f"{len(failed)} of {len(then)} accounts are not as they should be, the others are"
        result |= {"failed": True, "msg": f"{count}:\n{lines}"}
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = run(module)
    except AdminError as error:
        module.fail_json(msg=f"accounts of {module.params['host']}: {error}", differences=[])
    else:
        module.exit_json(**result) if not result.get("failed") else module.fail_json(**result)


if __name__ == "__main__":
    main()
