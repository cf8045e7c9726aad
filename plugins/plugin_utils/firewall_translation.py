# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose addresses the gateway changes on the way: what it answers itself or hands on, and what it hides."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from ansible_collections.sallyport.im.plugins.plugin_utils.firewall_rules import HostRules
from ansible_collections.sallyport.im.plugins.plugin_utils.firewall_text import (
    IP,
    VERSIONS,
    of_service,
    of_version,
    one_or_more,
)
from ansible_collections.sallyport.im.plugins.plugin_utils.flows import (
    DIVERTED,
    GATEWAY,
    SERVER_SERVICES,
    SERVICES,
    published,
)


def prerouting(here: HostRules) -> Iterator[str]:
    """Hand what desktops ask for outside to the gateway's own services, and what partners ask for to the server."""
    yield "type nat hook prerouting priority dstnat; policy accept;"
    wanted = one_or_more([str(SERVICES[service].port) for service in SERVER_SERVICES])
    for outside, inner in published(here.site):
        yield f"ip daddr {outside} tcp dport {wanted} dnat ip to {inner}"
    # whoever asks the gateway itself gets what the flows say, at each of its addresses
    yield "fib daddr type local accept"
    own = {flow.service for flow in here.flows if (flow.source, flow.destination) == ("desktops", GATEWAY)}
    for outward, inward in DIVERTED.items():
        for address in here.own("desktops") if inward in own else ():
            version = ip_address(address).version
            if here.has("desktops", version):
                there = f"{IP[version]} saddr @desktops{version} {IP[version]} daddr != @site{version}"
                to = f"[{address}]" if version == 6 else address
                what = of_service(SERVICES[outward], version)
                yield f"{there} {what} dnat {IP[version]} to {to}:{SERVICES[inward].port}"


def postrouting(here: HostRules) -> Iterator[str]:
    """Hide private addresses behind the gateway's own."""
    yield "type nat hook postrouting priority srcnat; policy accept;"
    for version in VERSIONS:
        if any(net.is_private for net in of_version(here.of_site, version)):
            ip = IP[version]
            yield f"{ip} saddr @hidden{version} {ip} daddr != @site{version} masquerade"
