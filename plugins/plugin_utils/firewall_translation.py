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
    LOG_HOST,
    LOGS,
    SERVER_SERVICES,
    SERVICES,
    log_inputs,
    log_zone,
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


def inputs(here: HostRules) -> Iterator[tuple[str, list[str]]]:
    """Render the maps by which the log host knows the input of each host: its address, and the port.

    Args:
        here: the host.

    Yields:
        The head of each map, and its lines.
    """
    if here.host.group == LOG_HOST:
        ports = log_inputs(here.site)
        hosts = [here.site.host(name) for name in ports if name != here.host.name]
        places = [(address, ports[host.name]) for host in hosts for address in host.addresses.get(log_zone(host), ())]
        for version in VERSIONS:
            if found := [f"{address} : {port}" for address, port in places if ip_address(address).version == version]:
                kind = f"type ipv{version}_addr : inet_service"
                yield f"map {LOGS}{version}", [kind, f"elements = {{ {', '.join(found)} }}"]


def logs(here: HostRules) -> Iterator[str]:
    """Lead each host that hands over its logs to its own input, by its address; nobody else finds one."""
    yield "type nat hook prerouting priority dstnat; policy accept;"
    maps = {head.removeprefix("map ") for head, _lines in inputs(here)}
    for address in here.own("servers"):
        version = ip_address(address).version
        if f"{LOGS}{version}" in maps:
            ip = IP[version]
            yield f"{ip} daddr {address} tcp dport {SERVICES[LOGS].port} redirect to :{ip} saddr map @{LOGS}{version}"
