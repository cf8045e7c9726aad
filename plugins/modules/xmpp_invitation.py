#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: make invitations with which people set their own passwords."""

from __future__ import annotations

DOCUMENTATION = r"""
module: xmpp_invitation
short_description: Make invitations with which people set their own passwords
version_added: 0.1.0
description:
  - Makes, for an account that exists on a Prosody 13 server, a token that sets the password of that one account,
    once, until it expires.
  - A new invitation makes all earlier ones of the same account void.
  - Serves for the first sign-in as well as for a forgotten password.
  - The password in force stays until the invitation is accepted.
  - Each invitation goes into a file of its own on the control node; the result has no token in it.
author: The Sallyport engineers
attributes:
  check_mode:
    description: Says for whom invitations would be made, makes none.
    support: full
  diff_mode:
    description: There is nothing to compare, an invitation is always a new one.
    support: none
options:
  host:
    description: Domain of the accounts, a VirtualHost of the server that loads mod_invites.
    type: str
    required: true
  person:
    description: Name of an account, or V(all) for all enabled people without a password.
    type: str
    required: true
  accounts:
    description:
      - The accounts of the site, as for M(sallyport.im.xmpp_accounts).
      - Only those that are enabled and whose C(secret) is empty can be invited; the kit manages the others' passwords.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The part before the C(@).
        type: str
        required: true
      enabled:
        description: Whether a sign-in is let in.
        type: bool
        default: true
      secret:
        description: Name of the vault's entry with the password; empty for a person.
        type: str
        default: ''
  folder:
    description:
      - Folder on the control node, kept at mode 0700. Each invitation becomes C(<name>.txt) with mode 0600 in it.
      - Required. Read by the action plugin.
    type: path
  note:
    description: What the address is for, told to the person in the file. Read by the action plugin.
    type: str
    default: ''
  hours:
    description: How long an invitation is valid, 1 to 720 hours.
    type: int
    default: 72
  socket:
    description: Admin socket of the server.
    type: path
    default: /var/lib/prosody/prosody.sock
  timeout:
    description: Seconds that one command to the server may take.
    type: int
    default: 30
seealso:
  - module: sallyport.im.xmpp_accounts
"""

EXAMPLES = r"""
- name: Alice gets an invitation
  sallyport.im.xmpp_invitation:
    host: im.demo.example
    person: alice
    accounts: "{{ sallyport_host.im.accounts }}"
    hours: 48
    folder: "{{ inventory_dir }}/invitations"
"""

RETURN = r"""
invitations:
  description: The invitations, by name of the account.
  returned: success
  type: list
  elements: dict
  contains:
    name: {description: The account., type: str, sample: alice}
    path: {description: The file on the control node., type: str, sample: inventories/demo/invitations/alice.txt}
    until: {description: "When it expires, RFC 3339 in UTC.", type: str, sample: "2026-11-25T17:00:00Z"}
names:
  description: For whom; in check mode, for whom they would be made.
  returned: success
  type: list
  elements: str
"""

from datetime import UTC, datetime
from difflib import get_close_matches

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sallyport.im.plugins.module_utils import prosody_accounts as accounts
from ansible_collections.sallyport.im.plugins.module_utils.prosody_admin import SOCKET, AdminError

ALL = "all"
ARGUMENTS: dict[str, object] = {
    "host": {"type": "str", "required": True},
    "person": {"type": "str", "required": True},
    "accounts": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "enabled": {"type": "bool", "default": True},
            "secret": {"type": "str", "default": "", "no_log": False},  # the name of a secret, not a secret
        },
    },
    "hours": {"type": "int", "default": 72},
    "socket": {"type": "path", "default": SOCKET},
    "timeout": {"type": "int", "default": 30},
}


def refusal(person: str, entries: list[dict[str, object]]) -> str:
    """Say why a person cannot be invited, or ""."""
    if not person:
        return f"person: nobody is named; add -e person=<id>, or -e person={ALL} for all without a password"
    people = {str(e["name"]): bool(e["enabled"]) for e in entries if not e["secret"]}
    if person in people:
        dates = f"person: {person} is not enabled today; change `from` or `until` in the site file, then run site.yml"
        return "" if people[person] else dates
    if any(e["name"] == person for e in entries):
        return (
            f"person: {person} is an account of the kit, its password is in the vault; name a person of the site file"
        )
    near = get_close_matches(person, people, 1)
    hint = f"did you mean {near[0]}?" if near else f"the site file has {len(people)} people"
    return f"person: {person!r} is not in the site file; {hint} (or {ALL} for everybody without a password)"


def run(module: AnsibleModule) -> dict[str, object]:
    """Do the work; returns the module's result, with `failed` and `msg` where something failed."""
    params = module.params
    person, host = params["person"], params["host"]
    why = "" if person == ALL else refusal(person, params["accounts"])
    if not 1 <= params["hours"] <= 720:
        why = f"hours: is {params['hours']}, must be 1 to 720"
    if why:
        return {"failed": True, "msg": why}
    with accounts.open_host(params["socket"], host, params["timeout"]) as session:
        if person == ALL:
            there = accounts.read(session, host).accounts
            names = [a["name"] for a in params["accounts"] if a["enabled"] and not a["secret"]]
            names = sorted(n for n in names if n not in there or not there[n].current)
        else:
            names = [person]
        if module.check_mode:
            return {"changed": bool(names), "names": names, "invitations": []}
        made, failed = accounts.invite(session, host, names, params["hours"] * 3600)
    for invitation in made:
        expires = datetime.fromtimestamp(float(str(invitation.pop("expires"))), UTC)
        invitation["until"] = f"{expires:%Y-%m-%dT%H:%M:%SZ}"
    result: dict[str, object] = {"changed": bool(made), "names": [str(m["name"]) for m in made], "invitations": made}
    if failed:
        result |= {"failed": True, "msg": "\n".join(f"person: {n} {why}" for n, why in sorted(failed.items()))}
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = run(module)
    except AdminError as error:
        module.fail_json(msg=f"invitations of {module.params['host']}: {error}")
    else:
        module.exit_json(**result) if not result.get("failed") else module.fail_json(**result)


if __name__ == "__main__":
    main()
