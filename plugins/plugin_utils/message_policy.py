# SPDX-License-Identifier: GPL-3.0-or-later
"""The message policy: who may write to whom. Compiled here into one JSON document, decided by the server's module.

Its vocabulary: a group *sees* groups; a person may write to another when a group of the one sees a group of the other.
Seeing is symmetrical. Who is in no group sees nobody, and nobody sees them. On the external server a person sees the
contacts of those partners whose entry names the person.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.sallyport.im.plugins.plugin_utils.content_rules import compile_rules
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site
from ansible_collections.sallyport.im.plugins.plugin_utils.site_file import Limited, Partner, Person
from ansible_collections.sallyport.im.plugins.plugin_utils.values import KIT_PREFIX, PROBE_GROUP, PROBE_PREFIX, instant
from ansible_collections.sallyport.im.plugins.plugin_utils.version import KIT_VERSION

FORMAT = 3
"""Version of the document; the server's module refuses any other."""
INTERNAL, EXTERNAL = "internal", "external"
"""The two kinds of servers. A site has one internal server, and an external one when it has partners."""
RATES = {"messages_per_minute": 240, "burst": 120}
"""What one sender who is not of the site may send; above it, it is spam. A busy contact stays below: his client answers
each message with a receipt and a marker, and tells when he types."""
Policy = Mapping[str, Any]


@dataclass(frozen=True)
class Probe:
    """An account of the kit's own controls.

    Attributes:
        id: first part of its address.
        name: its name as others read it.
        groups: its groups; the one without any is the stranger.
    """

    id: str
    name: str
    groups: tuple[str, ...]

    def secret(self, profile: str) -> str:
        """Return the key of its password in the vault; the two servers share none."""
        key = f"{self.id.replace('-', '_')}_password"
        return key if profile == INTERNAL else f"{EXTERNAL}_{key}"


PROBES = tuple(
    Probe(f"{PROBE_PREFIX}{letter}", f"Probe {letter.upper()}", groups)
    for letter, groups in (("a", (PROBE_GROUP,)), ("b", (PROBE_GROUP,)), ("c", ()))
)
"""Accounts of the controls. They see each other, but for the stranger, and nobody else sees them."""


@dataclass(frozen=True)
class Sender:
    """The account by which the log host tells people what goes wrong, on the internal server.

    Attributes:
        id: first part of its address.
        name: its name as others read it.
        secret: the key of its password in the vault.
    """

    id: str
    name: str
    secret: str


ALERTS = Sender(f"{KIT_PREFIX}alerts", "Alerts", "alerts_password")
"""Whom it writes to, sees it, and nobody else does."""


def compile_policy(site: Site, profile: str = INTERNAL) -> dict[str, Any]:
    """Compile the message policy of one of a site's servers.

    Args:
        site: the site.
        profile: `internal`, for the people among themselves; or `external`, for those of them who may talk to partners.

    Returns:
        The document, format 3, made of what JSON has. It holds what is over or has not begun as well, with its
        instants: the server follows the clock by itself. The order of people and groups in the site file does not
        matter.

    Raises:
        ValueError: the site has no external server.
    """
    policy = _internal(site) if profile == INTERNAL else _external(site)
    probes = {
        probe.id: {"name": probe.name, "groups": sorted(probe.groups), "from": None, "until": None} for probe in PROBES
    }
    return {
        "format": FORMAT,
        "kit": KIT_VERSION,
        "site": site.name,
        "profile": profile,
        **policy,
        "people": dict(sorted((policy["people"] | probes).items())),
        "groups": dict(sorted((policy["groups"] | {PROBE_GROUP: {"title": "Probes", "sees": [PROBE_GROUP]}}).items())),
        "partner_links": site.settings.external.partner_links,
        "rates": dict(RATES),
        "body": site.settings.logging.body,
        "end_to_end_encryption": site.settings.end_to_end_encryption,
        "notice": notice_text(site),
        **compile_rules(site, profile),
    }


def _internal(site: Site) -> dict[str, Any]:
    groups = site.settings.groups
    sees = {group: {group} for group in groups}
    for group, settings in groups.items():
        for other in settings.contacts:
            sees[group].add(other)
            sees[other].add(group)
    rooms = {group: settings.title for group, settings in groups.items() if settings.room} | {PROBE_GROUP: "Probes"}
    people = {person.id: _entry(person, person.begins, person.ends, person.groups) for person in site.people}
    titles = {group: settings.title for group, settings in groups.items()}
    if site.settings.alerts.people:
        # a group for each: for being told the same, nobody sees anybody
        own = {person: f"{ALERTS.id}-{person}" for person in site.settings.alerts.people}
        for person, group in own.items():
            people[person]["groups"] = sorted([*people[person]["groups"], group])
        people[ALERTS.id] = {"name": ALERTS.name, "groups": [ALERTS.id], "from": None, "until": None}
        sees |= {group: {group, ALERTS.id} for group in own.values()} | {ALERTS.id: {ALERTS.id, *own.values()}}
        titles |= dict.fromkeys((ALERTS.id, *own.values()), ALERTS.name)
    return {
        "domain": site.domain,
        "rooms_domain": site.rooms_domain,
        "files_domain": site.files_domain,
        "people": people,
        "groups": {group: {"title": title, "sees": sorted(sees[group])} for group, title in titles.items()},
        "rooms": {group: {"title": title, "groups": [group]} for group, title in sorted(rooms.items())},
        "calls": site.settings.calls,
        "partners": {},
    }


def _external(site: Site) -> dict[str, Any]:
    if site.external_domain is None:
        raise ValueError(f"the site {site.name} has no external server")
    people = [person for person in site.people if person.external is not None]
    return {
        "domain": site.external_domain,
        "rooms_domain": None,
        "files_domain": None,
        # in no group: among themselves people use the internal server
        "people": {person.id: _entry(person, *_granted(person), ()) for person in people},
        "groups": {},
        "rooms": {},
        "calls": "refuse",
        "partners": {
            partner.domain: {
                "name": partner.name,
                "from": partner.begins,
                "until": partner.ends,
                "people": sorted(person.id for person in people if may_have(partner, person)),
                "contacts": dict(sorted(partner.contacts.items())),
                "whole_domain": partner.whole_domain,
                "authority": site.authorities.get(partner.domain),
                "fingerprints": sorted(partner.fingerprints),
                # whose files count as the partner's
                "servers": sorted(partner.servers),
            }
            for partner in sorted(site.settings.partners, key=lambda partner: partner.domain)
        },
    }


def may_have(partner: Partner, person: Person) -> bool:
    """Tell whether a partner's entry is for a person, by the names alone.

    Args:
        partner: the entry.
        person: the person.

    Returns:
        Whether the person is named, or one of the person's groups; with neither list, everybody is meant.
    """
    if partner.people is None and partner.groups is None:
        return True
    return person.id in (partner.people or ()) or not {*person.groups}.isdisjoint(partner.groups or ())


def _granted(person: Person) -> tuple[str | None, str | None]:
    """Return from when and until when a person has external IM: while both the grant and the account hold."""
    both: list[Limited] = [person] + ([person.external] if person.external else [])
    starts = [entry.begins for entry in both if entry.begins]
    ends = [entry.ends for entry in both if entry.ends]
    return max(starts, default=None), min(ends, default=None)


def _entry(person: Person, begins: str | None, ends: str | None, groups: tuple[str, ...]) -> dict[str, Any]:
    return {"name": person.name, "groups": sorted(groups), "from": begins, "until": ends}


def notice_text(site: Site) -> str:
    """Write what people are told about being monitored.

    Args:
        site: the site.

    Returns:
        The texts of all its languages, in the order of the site file, with an empty line between them; empty for none.
    """
    return "\n\n".join(text.replace("{company}", site.settings.company) for text in site.settings.notice.values())


def policy_text(policy: Policy) -> str:
    """Write a policy as the file that the server reads.

    Args:
        policy: the document.

    Returns:
        JSON (RFC 8259) in a stable order, a line for each small thing so that a diff shows who changed, with a line
        break at its end.
    """
    return json.dumps(policy, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def _holds(entry: Mapping[str, Any], now: str) -> bool:
    return (entry["from"] or now) <= now and (entry["until"] is None or now < entry["until"])


def enabled(policy: Policy, person: str, now: datetime.datetime) -> bool:
    """Tell whether a person may use the service.

    Args:
        policy: the document.
        person: an id; may be unknown.
        now: the time.

    Returns:
        Whether the person is in the policy and the time lies between its instants, the second one excluded.
    """
    entry = policy["people"].get(person)
    return entry is not None and _holds(entry, instant(now))


def may_write(policy: Policy, sender: str, receiver: str, now: datetime.datetime) -> bool:
    """Tell whether one person may write to another; the server's module decides by the same rule.

    Args:
        policy: the document.
        sender: an id; may be unknown.
        receiver: an id; may be unknown.
        now: the time.

    Returns:
        Whether both may use the service and a group of the one sees a group of the other.
    """
    if not (enabled(policy, sender, now) and enabled(policy, receiver, now)):
        return False
    seen = {other for group in policy["people"][sender]["groups"] for other in policy["groups"][group]["sees"]}
    return not seen.isdisjoint(policy["people"][receiver]["groups"])


def contacts(policy: Policy, person: str, now: datetime.datetime) -> tuple[str, ...]:
    """List the people on a person's contact list.

    Args:
        policy: the document.
        person: an id; may be unknown.
        now: the time.

    Returns:
        Ids, and addresses at partners; each sorted, without the person's own.
    """
    ours = [other for other in sorted(policy["people"]) if other != person and may_write(policy, person, other, now)]
    theirs = [
        f"{contact}@{domain}"
        for domain, partner in sorted(policy["partners"].items())
        if enabled(policy, person, now) and _holds(partner, instant(now)) and person in partner["people"]
        for contact in partner["contacts"]
    ]
    return (*ours, *theirs)
