# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ports may answer to whom: by the kit's table of flows, and by a short list that somebody wrote by hand."""

from __future__ import annotations

import datetime

from acceptance.port_scan.places import Target
from acceptance.port_scan.sweep import Way
from ansible_collections.sallyport.im.plugins.plugin_utils.flows import (
    DIVERTED,
    INTERCEPTING,
    LOGS,
    SERVER_SERVICES,
    SERVICES,
    flows,
    published,
)
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site

GATEWAY_GIVES = {"udp/53", "tcp/53", "udp/123", "tcp/3128"}
BETWEEN_SERVERS = {"tcp/5269", "tcp/5270"}
# by the flows; whom the server has not admitted, as the stranger who knocks, reaches the last only
FOR_PEOPLE = {"tcp/5222", "tcp/5223", "tcp/5281", "tcp/5290"}
# zone from which, host, zone of its address
BY_HAND: dict[tuple[str, str, str], set[str]] = {
    ("admin", "im-int", "admin"): {"tcp/22", "icmp"},
    ("admin", "im-ext", "admin"): {"tcp/22", "icmp"},
    ("admin", "log", "admin"): {"tcp/22", "icmp"},
    ("admin", "gw", "admin"): {"tcp/22", "icmp"},
    ("admin", "desk", "admin"): {"tcp/22", "icmp"},
    ("desktops", "im-int", "servers"): FOR_PEOPLE,
    ("desktops", "im-ext", "dmz"): FOR_PEOPLE,
    ("desktops", "gw", "desktops"): GATEWAY_GIVES,
    # all of these are answered by the gateway, which looks at the name that is asked for
    ("desktops", "world", "outside"): {"tcp/80", "tcp/443", "tcp/53", "udp/53"},
    ("servers", "gw", "servers"): GATEWAY_GIVES,
    ("dmz", "gw", "dmz"): GATEWAY_GIVES,
    ("outside", "im-ext", "dmz"): BETWEEN_SERVERS,
}


def _name(service: str) -> str:
    known = SERVICES[service]
    return "icmp" if known.protocol == "icmp" else f"{known.protocol}/{known.port}"


def by_flows(site: Site, zone: str, host: str, at: str) -> set[str]:
    """Return the ports of a host that a zone may reach at its addresses in a zone, by the table of flows now."""
    now, group = datetime.datetime.now(datetime.UTC), site.host(host).group
    holding = [flow for flow in flows(site) if flow.source == zone and flow.holds(now)]
    found = {
        _name(flow.service)
        for flow in holding
        # what only one of the site's hosts may, and logs, come from its own address, and a stranger has another
        if (flow.destination, flow.at) == (group, at) and not flow.by and flow.service not in (*INTERCEPTING, LOGS)
    }
    if (zone, group, at) == ("desktops", "outside", "outside"):
        given = {flow.service for flow in holding if flow.destination == "gateway"}
        found |= {_name(asked) for asked, inward in DIVERTED.items() if inward in given}
    return found


def expected(site: Site, target: Target, way: Way) -> set[str]:
    """Return what may answer by a way, by the table of flows.

    Nothing at an address that the host list does not name. Past the gateway nothing either: the straight way to an
    address in another network is no way of the site.
    """
    if way.way != "gateway" or (way.address not in target.declared and way.at != "outside"):
        return set()
    found = by_flows(site, way.zone, target.name, way.at)
    if way.zone == "outside" and way.address in {outside for outside, _ in published(site)}:
        # the gateway hands these on to the external server
        found |= {_name(service) for service in SERVER_SERVICES} & by_flows(site, "outside", "im-ext", "dmz")
    return found
