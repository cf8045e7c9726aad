# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of flows: who may open a connection to whom, on which service, and why. What is not in it is forbidden.

The only place of the kit where a port number stands. Firewalls, the controls and the report are made from it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from ansible_collections.sallyport.im.plugins.plugin_utils.host_list import addresses_of
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site

CONTROL_NODE = "localhost"
"""The machine that runs the kit; it stands in the zone admin and is in no host list."""


@dataclass(frozen=True, order=True)
class Service:
    """Something that listens.

    Attributes:
        name: its name in the kit.
        port: its TCP port.
        title: in plain words, with the source of the port.
    """

    name: str
    port: int
    title: str


@dataclass(frozen=True, order=True)
class Flow:
    """Leave to open a connection.

    Attributes:
        source: the zone from which it comes.
        destination: the group of hosts to which it goes.
        service: name of the service.
        at: the zone whose addresses of the destination are meant.
        practice: the practice that it serves, R1 to R12.
        why: in plain words.
    """

    source: str
    destination: str
    service: str
    at: str
    practice: str
    why: str


@dataclass(frozen=True, order=True)
class Attempt:
    """One connection that can be tried, and whether it may succeed.

    Attributes:
        source: name of the host that tries it, or `localhost` for the control node.
        source_zone: the zone from whose address it is tried.
        destination: name of the host that it goes to.
        destination_zone: the zone of the address that it goes to.
        address: that address, IPv4 or IPv6.
        service: name of the service.
        port: its TCP port.
        permitted: whether the table has a flow for it.
        practice: the practice of that flow; empty when it is forbidden.
        why: the reason of that flow; empty when it is forbidden.
    """

    source: str
    source_zone: str
    destination: str
    destination_zone: str
    address: str
    service: str
    port: int
    permitted: bool
    practice: str
    why: str


SERVICES = {
    service.name: service
    for service in (
        Service("ssh", 22, "administration over SSH (RFC 4253)"),
        Service("xmpp", 5222, "XMPP for clients, STARTTLS (RFC 6120)"),
        Service("xmpps", 5223, "XMPP for clients, TLS from the first byte (XEP-0368)"),
        Service("https", 5281, "file transfer over HTTPS (XEP-0363; the port is Prosody's)"),
        # no flow of an internal server has these; the controls knock on them
        Service("xmpp_servers", 5269, "XMPP between servers, STARTTLS (RFC 6120)"),
        Service("xmpps_servers", 5270, "XMPP between servers, TLS from the first byte (XEP-0368)"),
        Service("http", 5280, "HTTP without encryption (the port is Prosody's)"),
    )
}
"""All services that the kit knows, permitted or not."""

CLIENT_SERVICES = ("xmpp", "xmpps", "https")
"""What a client needs of an IM server."""


def ports(*services: str) -> dict[str, int]:
    """Look up ports.

    Args:
        *services: names of services.

    Returns:
        Their TCP ports by name.

    Raises:
        KeyError: there is no such service.
    """
    return {service: SERVICES[service].port for service in services}


def flows(site: Site) -> tuple[Flow, ...]:
    """List every permitted flow of a site.

    Args:
        site: the site.

    Returns:
        The flows, sorted. A zone without a network has none.
    """
    found: list[Flow] = []
    for group in {host.group for host in site.hosts if host.managed}:
        found.append(Flow("admin", group, "ssh", "admin", "R2", "Administrators and the kit work on the machine"))
    if site.settings.networks.desktops and site.hosts_of("im_internal"):
        for service in CLIENT_SERVICES:
            found.append(
                Flow("desktops", "im_internal", service, "servers", "R1", "People's clients use the internal IM server")
            )
    return tuple(sorted(found))


def expected_reachability(site: Site) -> tuple[Attempt, ...]:
    """List what can be tried on a site, and what must come of it.

    Args:
        site: the site.

    Returns:
        For the control node and each host with `sallyport_probe`, from each zone in which it stands, to each address of
        every other managed host, each service: whether it is permitted. From a host's own zone for administration
        nothing is tried; that zone is tried from the control node. Sorted.
    """
    permitted = {(flow.source, flow.destination, flow.service, flow.at): flow for flow in flows(site)}
    sources = [(CONTROL_NODE, "admin"), *_sources(site)]
    targets = [entry for entry in addresses_of(site.hosts) if entry[0].managed]
    found = []
    for (source, zone), (host, at, address), service in itertools.product(sources, targets, SERVICES.values()):
        if source == host.name:
            continue
        flow = permitted.get((zone, host.group, service.name, at))
        found.append(
            Attempt(
                source=source,
                source_zone=zone,
                destination=host.name,
                destination_zone=at,
                address=address,
                service=service.name,
                port=service.port,
                permitted=flow is not None,
                practice=flow.practice if flow else "",
                why=flow.why if flow else "",
            )
        )
    return tuple(sorted(found))


def _sources(site: Site) -> Iterator[tuple[str, str]]:
    for host in site.hosts:
        if host.probe:
            for zone in host.addresses:
                yield host.name, zone
