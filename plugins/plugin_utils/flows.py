# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of flows: who may open a connection to whom, on which service, and why. What is not in it is forbidden.

The only place of the kit where a port number stands. Firewalls, the controls and the report are made from it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from ansible_collections.sallyport.im.plugins.plugin_utils.host_list import OUTSIDE, addresses_of
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site

GATEWAY = "gateway"
"""The group of the one host between the zones. As the source of a flow it means that host itself, with any address."""
CONTROL_NODE = "localhost"
"""The machine that runs the kit; it stands in the zone admin and is in no host list."""


@dataclass(frozen=True, order=True)
class Service:
    """Something that listens.

    Attributes:
        name: its name in the kit.
        port: its port; 0 for ICMP.
        title: in plain words, with the source of the port.
        protocol: tcp, udp, or icmp: an echo request, of either version of IP.
    """

    name: str
    port: int
    title: str
    protocol: str = "tcp"


@dataclass(frozen=True, order=True)
class Flow:
    """Leave to open a connection.

    Attributes:
        source: the zone from which it comes, or `gateway`: the gateway itself. The zone `outside` is whatever is in
            none of the site's networks.
        destination: the group of hosts to which it goes, or `outside`.
        service: name of the service.
        at: the zone whose addresses of the destination are meant; `outside` for what is outside.
        practice: the practice that it serves, R1 to R12.
        why: in plain words.
        user: the Unix user whose processes alone may open it; only of the gateway itself.
    """

    source: str
    destination: str
    service: str
    at: str
    practice: str
    why: str
    user: str = ""


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
        protocol: tcp, udp or icmp.
        port: its port; 0 for ICMP.
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
    protocol: str
    port: int
    permitted: bool
    practice: str
    why: str


SERVICES = {
    service.name: service
    for service in (
        Service("ssh", 22, "administration over SSH (RFC 4253)"),
        Service("ping", 0, "echo request (RFC 792, RFC 4443)", "icmp"),
        Service("xmpp", 5222, "XMPP for clients, STARTTLS (RFC 6120)"),
        Service("xmpps", 5223, "XMPP for clients, TLS from the first byte (XEP-0368)"),
        Service("https", 5281, "file transfer over HTTPS (XEP-0363; the port is Prosody's)"),
        Service("dns", 53, "names (RFC 1035)", "udp"),
        Service("dns_tcp", 53, "names, long answers (RFC 7766)"),
        Service("ntp", 123, "time (RFC 5905)", "udp"),
        Service("relay", 3128, "the relay for Debian's updates (the port is Squid's)"),
        Service("web", 80, "pages and packages without encryption (RFC 9110)"),
        Service("web_tls", 443, "pages and packages over TLS (RFC 9110)"),
        Service("imaps", 993, "reading mail over TLS (RFC 8314)"),
        Service("submission", 587, "sending mail, STARTTLS (RFC 6409)"),
        Service("submissions", 465, "sending mail over TLS (RFC 8314)"),
        # no flow of an internal server has these; the controls knock on them
        Service("xmpp_servers", 5269, "XMPP between servers, STARTTLS (RFC 6120)"),
        Service("xmpps_servers", 5270, "XMPP between servers, TLS from the first byte (XEP-0368)"),
        Service("http", 5280, "HTTP without encryption (the port is Prosody's)"),
    )
}
"""All services that the kit knows, permitted or not."""

CLIENT_SERVICES = ("xmpp", "xmpps", "https")
"""What a client needs of an IM server."""
GATEWAY_SERVICES = {
    "dns": "The gateway resolves names; no other resolver is reached",
    "dns_tcp": "The gateway resolves names; no other resolver is reached",
    "ntp": "The gateway tells the time",
    "relay": "Updates come through the gateway's relay, and nothing else does",
}
"""What the gateway does for the zones behind it, and why."""
GATEWAY_ERRANDS = (
    ("dns", "unbound", "The gateway's resolver asks others"),
    ("dns_tcp", "unbound", "The gateway's resolver asks others"),
    ("ntp", "_chrony", "The gateway asks for the time"),
    ("web", "proxy", "The relay fetches Debian's updates"),
    ("web_tls", "proxy", "The relay fetches Debian's updates"),
)
"""What the gateway itself opens to the outside: service, the Unix user of Debian's package, and why."""
BEHIND = ("servers", "desktops")
"""The zones behind the gateway."""


def ports(*services: str) -> dict[str, int]:
    """Look up ports.

    Args:
        *services: names of services.

    Returns:
        Their ports by name.

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
    return tuple(sorted([*_administration(site), *_messaging(site), *_gateway(site), *_outward(site)]))


def _administration(site: Site) -> Iterator[Flow]:
    for group in {host.group for host in site.hosts if host.managed}:
        yield Flow("admin", group, "ssh", "admin", "R2", "Administrators and the kit work on the machine")
        yield Flow("admin", group, "ping", "admin", "R2", "Administrators see whether the machine is there")


def _messaging(site: Site) -> Iterator[Flow]:
    if site.settings.networks.desktops and site.hosts_of("im_internal"):
        why = "People's clients use the internal IM server"
        for service in CLIENT_SERVICES:
            yield Flow("desktops", "im_internal", service, "servers", "R1", why)


def _gateway(site: Site) -> Iterator[Flow]:
    for zone, (service, why) in itertools.product(BEHIND, GATEWAY_SERVICES.items()):
        if any(host.addresses.get(zone) for host in site.hosts_of(GATEWAY)):
            yield Flow(zone, GATEWAY, service, zone, "R2" if service in ("ntp", "relay") else "R7", why)


def _outward(site: Site) -> Iterator[Flow]:
    if site.settings.networks.desktops:
        for permitted in site.settings.outward.desktops:
            yield Flow("desktops", OUTSIDE, permitted, OUTSIDE, "R7", "People's computers use what the site permits")
    if site.hosts_of(GATEWAY):
        for service, user, why in GATEWAY_ERRANDS:
            yield Flow(GATEWAY, OUTSIDE, service, OUTSIDE, "R7", why, user)


def expected_reachability(site: Site) -> tuple[Attempt, ...]:
    """List what can be tried on a site, and what must come of it.

    Args:
        site: the site.

    Returns:
        For the control node and each host with `sallyport_probe`, from each zone in which it stands, to each address of
        every other managed host, each service: whether it is permitted. What the zone for administration may, only
        the control node may: a host of the list has an address there too, and is no administrator for that. Sorted.
    """
    permitted = {(flow.source, flow.destination, flow.service, flow.at): flow for flow in flows(site)}
    sources = [(CONTROL_NODE, "admin"), *_sources(site)]
    targets = [entry for entry in addresses_of(site.hosts) if entry[0].managed]
    found = []
    for (source, zone), (host, at, address), service in itertools.product(sources, targets, SERVICES.values()):
        if source == host.name:
            continue
        flow = (
            permitted.get((zone, host.group, service.name, at)) if zone != "admin" or source == CONTROL_NODE else None
        )
        found.append(
            Attempt(
                source=source,
                source_zone=zone,
                destination=host.name,
                destination_zone=at,
                address=address,
                service=service.name,
                protocol=service.protocol,
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
            for zone in ("admin", *host.addresses):
                yield host.name, zone
