# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the alerts' settings that need the people or the host list as well."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.sallyport.im.plugins.plugin_utils.faults import Fault, Location, nearest, show_value
from ansible_collections.sallyport.im.plugins.plugin_utils.flows import LOG_HOST
from ansible_collections.sallyport.im.plugins.plugin_utils.host_list import Host
from ansible_collections.sallyport.im.plugins.plugin_utils.references import ROOT, find
from ansible_collections.sallyport.im.plugins.plugin_utils.values import PLACEHOLDER
from ansible_collections.sallyport.im.plugins.plugin_utils.yaml_source import Source

ALERTS: Location = (*ROOT, "alerts")


def check_alerts(source: Source, host_source: Source, hosts: tuple[Host, ...]) -> Iterator[Fault]:
    """Check who is told of alerts, and that there is a machine that tells.

    Args:
        source: the site file.
        host_source: the host list.
        hosts: its hosts.

    Yields:
        The faults.
    """
    receivers = find(source, (*ALERTS, "people"), tuple) or ()
    mail = find(source, (*ALERTS, "mail"), dict)
    if (receivers or mail) and not any(host.group == LOG_HOST for host in hosts):
        yield host_source.fault(
            ("all", "children"),
            "there is no log host, so nobody would send the alerts of sallyport.alerts",
            allowed=f"a host in the group {LOG_HOST}, with sallyport_addresses: {{servers: [<address>]}}",
        )
    known = [
        name
        for number in range(len(find(source, (*ROOT, "people"), tuple) or ()))
        if (name := find(source, (*ROOT, "people", number, "id"), str)) is not None
    ]
    seen: set[str] = set()
    for number in range(len(receivers)):
        here: Location = (*ALERTS, "people", number)
        person = find(source, here, str)
        if person is None or person.startswith(PLACEHOLDER):
            continue
        shown = show_value(person)
        if person in seen:
            yield source.fault(here, f"{shown} stands twice in this list", value=shown, allowed="each person once")
        elif person not in known:
            yield source.fault(
                here,
                f"{shown}: there is no such person",
                value=shown,
                allowed="the id of a person under sallyport.people",
                nearest=nearest(person, known),
            )
        seen.add(person)
