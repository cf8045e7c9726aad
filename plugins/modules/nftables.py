#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""The firewall of a host; the work is in module_utils/nft_*.py, the proof of being reached in the action plugin."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nftables
short_description: The firewall of a host is one table, and a change that cuts the control node off takes itself back
version_added: "0.2.0"
description:
  - Compares the table C(inet sallyport) that is in force with the wanted one, rule by rule, and replaces it in one
    step. Established connections live on. What its sets with a timeout hold stays in them for the rest of its time.
  - Tables of others are removed unless they are allowed. Their text is saved below C(/var/lib/sallyport/removed/).
  - A change is guarded. The host puts the former tables back by itself unless the control node has reached it over a
    new connection within O(rollback_seconds); the task then fails and names the flow that is missing. The rules for
    the next boot are written only after that, so that a reboot takes an unconfirmed change back as well. A run that
    finds an earlier change not confirmed yet fails; in check mode it says so as a difference.
  - C(sallyport-firewall.service) loads the rules at boot, before any network is up. Debian's own C(nftables.service)
    is masked, since it flushes all tables when it is stopped.
options:
  ruleset:
    description: The text of C(table inet sallyport), whole, as C(nft -f) takes it.
    type: str
    required: true
  allowed_tables:
    description: Tables of others that may stay, as patterns of family and name, for example V(ip docker*).
    type: list
    elements: str
    default: []
  rollback_seconds:
    description: Seconds after which the host puts the former tables back, unless it is confirmed.
    type: int
    default: 60
  forwarding:
    description: Whether the host forwards packets; switched on only with the rules in force, at boot as well.
    type: bool
    default: false
  step:
    description: Set by the action plugin; not for a task.
    type: str
    choices: [apply, confirm]
    default: apply
  token:
    description: Set by the action plugin; not for a task. The word of the run whose change is confirmed.
    type: str
    default: ""
requirements:
  - nftables and systemd on the host, root with CAP_NET_ADMIN and CAP_SYS_ADMIN
attributes:
  check_mode:
    support: full
    description: Says the same differences and changes nothing. Works where nft is not installed yet.
  diff_mode:
    support: full
    description: The stateless texts of the tables.
author: The Sallyport engineers (@sallyport)
"""

EXAMPLES = r"""
- name: Only the flows of the site pass
  sallyport.im.nftables:
    ruleset: "{{ sallyport_host.firewall.ruleset }}"
    rollback_seconds: "{{ sallyport_host.firewall.rollback_seconds }}"
    forwarding: "{{ sallyport_host.forwards }}"
"""

RETURN = r"""
differences:
  description: One line for each rule, set element, table, file or switch that is not as it should be; the same in check
    mode.
  type: list
  elements: str
  returned: always
  sample:
    - "rule in chain input: `tcp dport 4444 accept` is too much"
    - "table ip backdoor: is there, should not be"
removed:
  description: Where the texts of removed tables are, by table.
  type: dict
  returned: success
  sample: {"ip backdoor": /var/lib/sallyport/removed/20260101T120000Z-nftables/ip-backdoor.nft}
armed:
  description: Whether the change still waits for its confirmation; the action plugin gives it.
  type: bool
  returned: success
token:
  description: For the action plugin only, which takes it out. The word that confirms the change.
  type: str
  returned: when a change waits for its confirmation
rolled_back:
  description: For the action plugin only. The change to be confirmed has been taken back before.
  type: bool
  returned: when a confirmation comes too late
"""

import os
import time
from dataclasses import dataclass

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sallyport.im.plugins.module_utils import nft_live, service_guard
from ansible_collections.sallyport.im.plugins.module_utils.atomic_files import make_private, write
from ansible_collections.sallyport.im.plugins.module_utils.guard import Guard, GuardError
from ansible_collections.sallyport.im.plugins.module_utils.nft_boot import Boot, proven, stop_debians
from ansible_collections.sallyport.im.plugins.module_utils.nft_live import NftError
from ansible_collections.sallyport.im.plugins.module_utils.nft_text import Table, compare
from ansible_collections.sallyport.im.plugins.module_utils.run_lock import LockError, RunLock
from ansible_collections.sallyport.im.plugins.module_utils.systemd import Systemd, SystemdError

LOCK = "/run/sallyport/nftables.lock"
REMOVED = "/var/lib/sallyport/removed"
GUARD = "nftables"
UNCONFIRMED = (
    "an earlier change of nftables still waits for its confirmation; it is kept or taken back by itself within its"
    " time, then run again"
)


@dataclass(frozen=True)
class Seen:
    """What is in force, beside what should be.

    Attributes:
        live: the own table in force; None when there is none.
        wanted: the one that should be; None when it cannot be known yet, in check mode.
        foreign: tables of others that should not be there.
        tables: one line for each difference of the tables.
        boot: one line for each difference of what stands for the next boot.
    """

    live: Table | None
    wanted: Table | None
    foreign: tuple[str, ...]
    tables: tuple[str, ...]
    boot: tuple[str, ...]

    @property
    def differences(self) -> list[str]:
        """All of them."""
        return [*self.tables, *self.boot]


def see(ruleset: str, allowed: list[str], forwarding: bool, *, check_mode: bool) -> Seen:
    """Compare what is in force with what should be.

    Args:
        ruleset: the wanted own table.
        allowed: patterns of others' tables.
        forwarding: whether the host forwards.
        check_mode: whether packages and users may be missing that a real run would have installed before.

    Raises:
        NftError: nft is missing or refuses the rules.
        OSError: A file cannot be read.
        SystemdError: systemd does not answer.
    """
    if not nft_live.is_installed():
        if not check_mode:
            raise NftError("nft is missing on this host; install the package nftables")
        return Seen(None, None, (), (f"table {nft_live.OWN}: is absent, should be there",), ())
    present = nft_live.tables()
    live = nft_live.own_table(present)
    foreign = tuple(nft_live.foreign(present, allowed))
    lines = [f"table {table}: is there, should not be" for table in foreign]
    try:
        wanted = nft_live.canonical(ruleset)
    except NftError as error:
        if not check_mode:
            raise
        what = f"table {nft_live.OWN}: is absent, should be there"
        if live is not None:
            what = f"table {nft_live.OWN}: cannot be compared yet ({str(error).splitlines()[0]})"
        return Seen(live, None, foreign, (what, *lines), ())
    boot = Boot(wanted, forwarding).differences()
    return Seen(live, wanted, foreign, (*compare(live, wanted), *lines), tuple(boot))


def change(seen: Seen, wanted: Table, guard: Guard, seconds: int, token: str) -> dict[str, str]:
    """Put the wanted tables in force, with a guard that takes them back.

    Args:
        seen: what is in force.
        wanted: the own table that should be.
        guard: the guard; it is armed afterwards.
        seconds: its time.
        token: names the run, so that no other one confirms it.

    Returns:
        Files with the texts of the tables that were removed, by table.

    Raises:
        GuardError: It cannot be armed; nothing was changed.
        NftError: nft refuses the new table, or would refuse the former one; nothing was changed.
        OSError: A file cannot be written; nothing was changed.
        SystemdError: systemd does not obey; nothing was changed.
    """
    folder = f"{REMOVED}/{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-nftables"
    saved = {}
    for table in seen.foreign:
        make_private(folder)
        saved[table] = f"{folder}/{table.replace(' ', '-').replace('/', '_')}.nft"
        write(saved[table], nft_live.listing(table).encode(), os.geteuid(), os.getegid(), 0o600)
    # without a table in force, the way back leads to what the next boot would bring
    before = seen.live or proven()
    if before:
        nft_live.check(before.text())
    # before ours is there: a stop later would be a flush of it. Not masked yet: after a roll-back it is needed at boot
    stop_debians(Systemd())
    guard.arm(nft_live.way_back(before, saved, token), seconds)
    try:
        nft_live.apply(wanted.text() + nft_live.held(wanted), seen.foreign)
    except NftError:
        guard.disarm()
        raise
    return saved


def main() -> None:
    """Run the module."""
    spec = {
        "ruleset": {"type": "str", "required": True},
        "allowed_tables": {"type": "list", "elements": "str", "default": []},
        "rollback_seconds": {"type": "int", "default": 60},
        "forwarding": {"type": "bool", "default": False},
        "step": {"type": "str", "choices": ["apply", "confirm"], "default": "apply"},
        # it names a run, and opens nothing
        "token": {"type": "str", "default": "", "no_log": False},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    if module.params["rollback_seconds"] < 1:
        module.fail_json(msg="rollback_seconds: allowed is a number of seconds from 1 on")
    differences: list[str] = []
    try:
        with RunLock(LOCK, 60):
            guard = Guard(GUARD)
            if module.params["step"] == "confirm":
                confirm(module, guard)
            if not module.check_mode:
                guard.recover()
            unconfirmed = guard.is_armed()
            if unconfirmed and not module.check_mode:
                raise GuardError(UNCONFIRMED)
            seen = see(
                module.params["ruleset"],
                module.params["allowed_tables"],
                module.params["forwarding"],
                check_mode=module.check_mode,
            )
            differences = seen.differences
            if unconfirmed:
                differences.append("firewall: its new rules are not confirmed, should be")
            removed: dict[str, str] = {}
            answer: dict[str, str] = {}
            diff = texts(seen, module.params["ruleset"])
            if seen.wanted is not None and differences and not module.check_mode:
                if seen.tables:
                    answer["token"] = service_guard.new_token()
                    seconds = module.params["rollback_seconds"]
                    removed = change(seen, seen.wanted, guard, seconds, answer["token"])
                else:
                    Boot(seen.wanted, module.params["forwarding"]).bring_about()
            module.exit_json(
                changed=bool(differences),
                differences=differences,
                removed=removed,
                armed=bool(seen.tables) and not module.check_mode,
                diff=diff,
                **answer,
            )
    except (OSError, ValueError, SystemdError, LockError, GuardError, NftError) as error:
        module.fail_json(msg=f"firewall: {error}", differences=differences)


def confirm(module: AnsibleModule, guard: Guard) -> None:
    """Keep the change and write it down for the next boot; ends the module.

    Args:
        module: the module.
        guard: the guard that was armed with the change.
    """
    # another run can have armed it only after this one's change was taken back
    if not service_guard.confirm(guard, module.params["token"]):
        module.fail_json(msg="the former tables have been put back already", rolled_back=True)
    Boot(nft_live.canonical(module.params["ruleset"]), module.params["forwarding"]).bring_about()
    module.exit_json(changed=True)


def texts(seen: Seen, ruleset: str) -> dict[str, str]:
    """Return the diff of a run.

    Args:
        seen: what was in force, and what should be.
        ruleset: the wanted text as the task gave it, for a host that cannot load it yet.
    """
    before = seen.live.text() if seen.live else ""
    after = seen.wanted.text() if seen.wanted else ruleset
    before += "".join(nft_live.listing(table) for table in seen.foreign)
    notes = "".join(f"# {line}\n" for line in seen.boot)
    return {"before_header": "nftables", "after_header": "nftables", "before": before + notes, "after": after}


if __name__ == "__main__":
    main()
