# SPDX-License-Identifier: GPL-3.0-or-later
"""The message policy: who may write to whom. Compiled here into one JSON document, decided by the server's module.

Its vocabulary: a group *sees* groups; a person may write to another when a group of the one sees a group of the other.
Seeing is symmetrical. Who is in no group sees nobody, and nobody sees them.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site
from ansible_collections.sallyport.im.plugins.plugin_utils.site_file import Person
from ansible_collections.sallyport.im.plugins.plugin_utils.values import PROBE_GROUP, PROBE_PREFIX
from ansible_collections.sallyport.im.plugins.plugin_utils.version import KIT_VERSION

FORMAT = 1
"""Version of the document; the server's module refuses any other."""
Policy = Mapping[str, Any]


@dataclass(frozen=True)
class Probe:
    """An account of the kit's own controls.

    Attributes:
        id: first part of its address.
        name: its name as others read it.
        groups: its groups; the one without any is the stranger.
        secret: key of its password in the vault.
    """

    id: str
    name: str
    groups: tuple[str, ...]
    secret: str


PROBES = tuple(
    Probe(f"{PROBE_PREFIX}{letter}", f"Probe {letter.upper()}", groups, f"probe_{letter}_password")
    for letter, groups in (("a", (PROBE_GROUP,)), ("b", (PROBE_GROUP,)), ("c", ()))
)
"""Accounts of the controls. They see each other, but for the stranger, and nobody else sees them."""


def compile_policy(site: Site) -> dict[str, Any]:
    """Compile the message policy of a site.

    Args:
        site: the site.

    Returns:
        The document, format 1, made of what JSON has. The order of people and groups in the site file does not matter.
    """
    groups = site.settings.groups
    sees = {group: {group} for group in (*groups, PROBE_GROUP)}
    for group, settings in groups.items():
        for other in settings.contacts:
            sees[group].add(other)
            sees[other].add(group)
    titles = {group: settings.title for group, settings in groups.items()} | {PROBE_GROUP: "Probes"}
    rooms = [group for group, settings in groups.items() if settings.room] + [PROBE_GROUP]
    people = {person.id: _entry(person) for person in site.people} | {
        probe.id: {"name": probe.name, "groups": sorted(probe.groups), "from": None, "until": None} for probe in PROBES
    }
    return {
        "format": FORMAT,
        "kit": KIT_VERSION,
        "site": site.name,
        "domain": site.domain,
        "rooms_domain": site.rooms_domain,
        "files_domain": site.files_domain,
        "people": dict(sorted(people.items())),
        "groups": {group: {"title": titles[group], "sees": sorted(sees[group])} for group in sorted(sees)},
        "rooms": {group: {"title": titles[group], "groups": [group]} for group in sorted(rooms)},
        "calls": site.settings.calls,
    }


def _entry(person: Person) -> dict[str, Any]:
    return {
        "name": person.name,
        "groups": sorted(person.groups),
        "from": person.starts.isoformat() if person.starts else None,
        "until": person.until.isoformat() if person.until else None,
    }


def policy_text(policy: Policy) -> str:
    """Write a policy as the file that the server reads.

    Args:
        policy: the document.

    Returns:
        JSON (RFC 8259) in a stable order, a line for each small thing so that a diff shows who changed, with a line
        break at its end.
    """
    return json.dumps(policy, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def enabled(policy: Policy, person: str, today: datetime.date) -> bool:
    """Tell whether a person may use the service.

    Args:
        policy: the document.
        person: an id; may be unknown.
        today: the day, in UTC.

    Returns:
        Whether the person is in the policy and the day lies between its dates, both inclusive.
    """
    entry = policy["people"].get(person)
    if entry is None:
        return False
    day = today.isoformat()
    return (entry["from"] or day) <= day <= (entry["until"] or day)


def may_write(policy: Policy, sender: str, receiver: str, today: datetime.date) -> bool:
    """Tell whether one person may write to another; the server's module decides by the same rule.

    Args:
        policy: the document.
        sender: an id; may be unknown.
        receiver: an id; may be unknown.
        today: the day, in UTC.

    Returns:
        Whether both may use the service and a group of the one sees a group of the other.
    """
    if not (enabled(policy, sender, today) and enabled(policy, receiver, today)):
        return False
    seen = {other for group in policy["people"][sender]["groups"] for other in policy["groups"][group]["sees"]}
    return not seen.isdisjoint(policy["people"][receiver]["groups"])


def contacts(policy: Policy, person: str, today: datetime.date) -> tuple[str, ...]:
    """List the people on a person's contact list.

    Args:
        policy: the document.
        person: an id; may be unknown.
        today: the day, in UTC.

    Returns:
        Ids, sorted, without the person's own.
    """
    return tuple(
        other for other in sorted(policy["people"]) if other != person and may_write(policy, person, other, today)
    )
