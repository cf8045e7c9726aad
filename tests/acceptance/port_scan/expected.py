# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ports may answer to whom: by the kit's table of flows, and by a short list that somebody wrote by hand."""

from __future__ import annotations

from acceptance.port_scan.places import Target
from acceptance.port_scan.sweep import Way
from ansible_collections.sallyport.im.plugins.plugin_utils.flows import SERVICES, flows
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site

GATEWAY_GIVES = {"udp/53", "tcp/53", "udp/123", "tcp/3128"}
# zone from which, host, zone of its address
BY_HAND: dict[tuple[str, str, str], set[str]] = {
    ("admin", "im-int", "admin"): {"tcp/22", "icmp"},
    ("admin", "gw", "admin"): {"tcp/22", "icmp"},
    ("admin", "desk", "admin"): {"tcp/22", "icmp"},
    ("desktops", "im-int", "servers"): {"tcp/5222", "tcp/5223", "tcp/5281"},
    ("desktops", "gw", "desktops"): GATEWAY_GIVES,
    ("desktops", "world", "outside"): {"tcp/80", "tcp/443"},
    ("servers", "gw", "servers"): GATEWAY_GIVES,
}


def by_flows(site: Site, zone: str, host: str, at: str) -> set[str]:
    """Return the ports of a host that a zone may reach at its addresses in a zone, by the table of flows."""
    group = site.host(host).group
    found = set()
    for flow in flows(site):
        if (flow.source, flow.destination, flow.at) == (zone, group, at):
            service = SERVICES[flow.service]
            found.add("icmp" if service.protocol == "icmp" else f"{service.protocol}/{service.port}")
    return found


def expected(site: Site, target: Target, way: Way) -> set[str]:
    """Return what may answer by a way, by the table of flows.

    Nothing at an address that the host list does not name. Past the gateway nothing either: the straight way to an
    address in another network is no way of the site.
    """
    if way.way != "gateway" or (way.address not in target.declared and way.at != "outside"):
        return set()
    return by_flows(site, way.zone, target.name, way.at)
