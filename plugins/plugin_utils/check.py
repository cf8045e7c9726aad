# SPDX-License-Identifier: GPL-3.0-or-later
"""`make check`: read a site, name everything that is wrong with it at once, touch no host.

Run as `python -m ansible_collections.sallyport.im.plugins.plugin_utils.check inventories/oslo`.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.sallyport.im.plugins.plugin_utils import authority, consumer_im, schema
from ansible_collections.sallyport.im.plugins.plugin_utils.faults import SiteFaults
from ansible_collections.sallyport.im.plugins.plugin_utils.flows import flows
from ansible_collections.sallyport.im.plugins.plugin_utils.message_policy import (
    EXTERNAL,
    PROBES,
    compile_policy,
    contacts,
)
from ansible_collections.sallyport.im.plugins.plugin_utils.new_site import collisions_with_others
from ansible_collections.sallyport.im.plugins.plugin_utils.site import AUTHORITY, Site, load

DAYS_OF_WARNING = 180
"""Days before its end from which on a new authority is advised; people's own devices have to be given it by hand."""
MOST_LISTED = 20
"""Names that the summary lists before it says how many more there are."""


def summary(site: Site, now: datetime.datetime) -> str:
    """Describe a site in a few lines.

    Args:
        site: the site.
        now: the time.

    Returns:
        Text for a terminal.
    """
    policy = compile_policy(site)
    disabled = [(person.id, reason) for person in site.people if (reason := person.why_disabled(now))]
    active = [person.id for person in site.people if person.enabled(now)]
    alone = [person for person in active if not contacts(policy, person, now)]
    rooms = [group for group in site.settings.groups if group in policy["rooms"]]
    lines = [
        f"{site.name}: no fault in {site.count} settings",
        "",
        f"  company   {site.settings.company}, {site.domain}",
        f"  hosts     {', '.join(f'{host.name} ({host.group})' for host in site.hosts)}",
        f"  groups    {_some(list(site.settings.groups))}; rooms: {_some(rooms)}",
        f"  people    {len(site.people)}, of whom {len(active)} may sign in; {len(PROBES)} accounts for the controls",
    ]
    if site.settings.rules:
        actions = Counter(rule.action for rule in site.settings.rules)
        lines.append(f"  rules     {', '.join(f'{count} {action}' for action, count in sorted(actions.items()))}")
    lines += [f"  disabled  {person}: {reason}" for person, reason in disabled[:MOST_LISTED]]
    if len(disabled) > MOST_LISTED:
        lines.append(f"            and {len(disabled) - MOST_LISTED} more")
    if alone:
        lines.append(f"  alone     {_some(alone)}: sees nobody and is seen by nobody")
    lines += _desktops(site, now)
    lines += _external(site, now)
    lines.append(f"  authority {_authority(site, now.date())}")
    lines.append("  flows     " + "\n            ".join(_flow_lines(site)))
    return "\n".join(lines)


def _desktops(site: Site, now: datetime.datetime) -> list[str]:
    """Say which computers the servers let in; nothing where there is nothing to say."""
    settings = site.settings.desktops
    if settings.admission == "open":
        return ["  desktops  any computer in their networks reaches the servers: admission is open"]
    states = [(one, one.why_disabled(now) or f"until {one.until}") for one in settings.attested]
    return [f"  attested  {one.id} ({one.person}, {one.system}): {state} (by {one.by})" for one, state in states]


def _external(site: Site, now: datetime.datetime) -> list[str]:
    """Say who may talk to whom outside, until when, and which consumer services are permitted."""
    if site.external_domain is None:
        return []
    granted = {person.id: (person, person.external) for person in site.people if person.external}
    lines = [f"  external  {site.external_domain}: {_some([*granted]) if granted else 'nobody'} may talk to partners"]
    for name, (person, grant) in granted.items():
        # it lasts as long as the account does, at most
        first = min(filter(None, (grant.until, person.until)), key=lambda moment: moment.over)
        state = grant.why_disabled(now) or person.why_disabled(now) or f"until {first}"
        lines.append(f"            {name}: {state} ({grant.reason})")
    policy = compile_policy(site, EXTERNAL)
    for partner in site.settings.partners:
        state = partner.why_disabled(now) or f"until {partner.until}"
        count = len(partner.contacts)
        whom = f"{count} {'person' if count == 1 else 'people'} there"
        whom += " and everybody else of it" if partner.whole_domain else ""
        where = "from its addresses" if partner.addresses else "from any address"
        ours = _some(policy["partners"][partner.domain]["people"])
        lines.append(f"  partner   {partner.domain} ({partner.name}): {state}; {ours} with {whom}; {where}")
    services = {service.id: service for service in consumer_im.rules(site)}
    for permitted in site.settings.consumer_im.permitted:
        state = permitted.why_disabled(now) or f"until {permitted.until}"
        ports = services[permitted.service].opens_what()
        lines.append("; ".join(filter(None, (f"  permitted {permitted.service}: {state} ({permitted.reason})", ports))))
    return lines


def _authority(site: Site, today: datetime.date) -> str:
    """Say when the authority ends; without it nobody can sign in any more."""
    end = authority.load_certificate((site.folder / AUTHORITY).read_bytes()).not_valid_after_utc.date()
    soon = (end - today).days < DAYS_OF_WARNING
    return f"valid until {end}{f', which is soon. {authority.NEW_ONE}' if soon else ''}"


def _flow_lines(site: Site) -> list[str]:
    table: dict[tuple[str, str], list[str]] = {}
    for flow in flows(site):
        table.setdefault((flow.source, flow.destination), []).append(flow.service)
    # each partner has flows of its own, for the same services
    return [
        f"{source} to {group}: {', '.join(dict.fromkeys(services))}" for (source, group), services in table.items()
    ] or ["none"]


def _some(names: list[str]) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return ", ".join(names[:MOST_LISTED]) + more


def _whole(folder: Path) -> Site:
    """Read a site, and compare it with the other sites beside it."""
    beside = collisions_with_others(folder) if folder.is_dir() else []
    try:
        site = load(folder)
    except SiteFaults as faults:
        raise SiteFaults([*faults.faults, *beside]) from None
    if beside:
        raise SiteFaults(beside)
    return site


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: its arguments; those of the process when None.

    Returns:
        Exit code: 0 without a fault, 1 with faults.
    """
    parser = argparse.ArgumentParser(prog="check", description="Read and check a site; no host is touched.")
    parser.add_argument("site", type=Path, nargs="?", help="folder of the site, as inventories/oslo")
    parser.add_argument("--schema", action="store_true", help="print the JSON Schema of a site file instead")
    parser.add_argument("--reference", action="store_true", help="print the reference of a site file instead")
    chosen = parser.parse_args(arguments)
    if chosen.schema or chosen.reference:
        sys.stdout.write(schema.json_schema() if chosen.schema else schema.reference())
        return 0
    if chosen.site is None:
        parser.error("name the folder of a site, as inventories/oslo")
    try:
        site = _whole(chosen.site)
    except SiteFaults as faults:
        count = len(faults.faults)
        print(f"{chosen.site.name}: {count} {'fault' if count == 1 else 'faults'}; no host was touched\n\n{faults}")
        return 1
    print(summary(site, datetime.datetime.now(datetime.UTC)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
