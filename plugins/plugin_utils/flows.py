# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of flows: who may open a connection to whom, on which service, and why. What is not in it is forbidden.

The only place of the kit where a port number stands. Firewalls, the controls and the report are made from it.
"""

from __future__ import annotations

import datetime
import ipaddress
import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.sallyport.im.plugins.plugin_utils.host_list import GROUPS, OUTSIDE, Host, addresses_of
from ansible_collections.sallyport.im.plugins.plugin_utils.values import instant, is_address

if TYPE_CHECKING:
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
        whom: the partner whose flow it is, by its domain; empty for what is no partner's.
        only: networks of what is outside; empty for all of it.
        begins: the instant from which on it holds, as `2027-06-30T17:30:00Z`; empty when it always did.
        ends: the first instant at which it does not hold any more; empty for no end.
        by: the group whose hosts alone may open it, at their own addresses; empty for all of the zone.
    """

    source: str
    destination: str
    service: str
    at: str
    practice: str
    why: str
    user: str = ""
    whom: str = ""
    only: tuple[str, ...] = ()
    begins: str = ""
    ends: str = ""
    by: str = ""

    def holds(self, now: datetime.datetime) -> bool:
        """Tell whether it holds at a time."""
        return self.begins <= instant(now) and (not self.ends or instant(now) < self.ends)

    def meets(self, addresses: tuple[str, ...]) -> bool:
        """Tell whether it is for one of these addresses outside."""
        networks = [ipaddress.ip_network(text) for text in self.only]
        return not networks or any(ipaddress.ip_address(one) in network for one in addresses for network in networks)


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
        permitted: whether the table has a flow for it; `admission` may stand between all the same.
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
        Service("admission", 5290, "desktops show that they are sound, mutual TLS (the port is the kit's)"),
        Service("dns", 53, "names (RFC 1035)", "udp"),
        Service("dns_tcp", 53, "names, long answers (RFC 7766)"),
        Service("ntp", 123, "time (RFC 5905)", "udp"),
        Service("relay", 3128, "the relay for Debian's updates (the port is Squid's)"),
        Service("web", 80, "pages and packages without encryption (RFC 9110)"),
        Service("web_tls", 443, "pages and packages over TLS (RFC 9110)"),
        Service("logs", 20514, "the hosts' logs, RELP over mutual TLS (the port is the kit's)"),
        Service("prometheus", 9090, "metrics on the log host, for itself alone (the port is Prometheus')"),
        Service("imaps", 993, "reading mail over TLS (RFC 8314)"),
        Service("submission", 587, "sending mail, STARTTLS (RFC 6409)"),
        Service("submissions", 465, "sending mail over TLS (RFC 8314)"),
        # the gateway takes these in the place of what a desktop asks for outside
        Service("web_intercept", 3180, "pages without encryption, looked at on their way out (the port is the kit's)"),
        Service("web_tls_intercept", 3443, "pages over TLS, looked at on their way out (the port is the kit's)"),
        # no flow of an internal server has these; the controls knock on them
        Service("xmpp_servers", 5269, "XMPP between servers, STARTTLS (RFC 6120)"),
        Service("xmpps_servers", 5270, "XMPP between servers, TLS from the first byte (XEP-0368)"),
        Service("http", 5280, "HTTP without encryption (the port is Prosody's)"),
    )
}
"""All services that the kit knows, permitted or not."""

CLIENT_SERVICES = ("xmpp", "xmpps", "https")
"""What a client needs of an IM server."""
IM_SERVERS = {
    "im_internal": ("servers", "R1", "People's clients use the internal IM server"),
    "im_external": ("dmz", "R4", "Clients of people with external IM use the external server"),
}
"""The groups of IM servers, with the zone in which clients find them, the practice, and why."""
ADMISSION = "admission"
"""By what a desktop shows an IM server that it is sound; what is in `CLIENT_SERVICES` is open to it only then."""
SERVER_SERVICES = ("xmpp_servers", "xmpps_servers")
"""What IM servers use among each other."""
DIVERTED = {"dns": "dns", "dns_tcp": "dns_tcp", "web": "web_intercept", "web_tls": "web_tls_intercept"}
"""What a desktop asks for outside, and the gateway's own service that answers in its place."""
INTERCEPTING = ("web_intercept", "web_tls_intercept")
"""Services that are reached only by what was on its way outside, and never by asking for them."""
LOG_HOST = "log_host"
"""The group of the one host that keeps what the others log."""
LOGS = "logs"
"""By what a host hands its logs over. The log host's firewall leads each host, by its address, to the input that takes
that host's certificate only; nobody who asks for an input itself reaches it. The gateway, the witness, takes by it the
heads of the archive's chain from the log host."""
LOG_INPUTS = range(20600, 24696)
"""The ports of these inputs."""
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
    ("web", "haproxy", "The web gate fetches what desktops ask for"),
    ("web_tls", "haproxy", "The web gate fetches what desktops ask for"),
)
"""What the gateway itself opens to the outside: service, the Unix user of Debian's package, and why."""
BEHIND = ("servers", "desktops", "dmz")
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
    parts = (_administration, _messaging, _federation, _logging, _alerts, _gateway, _outward)
    return tuple(sorted(flow for part in parts for flow in part(site)))


def _administration(site: Site) -> Iterator[Flow]:
    for group in {host.group for host in site.hosts if host.managed}:
        yield Flow("admin", group, "ssh", "admin", "R2", "Administrators and the kit work on the machine")
        yield Flow("admin", group, "ping", "admin", "R2", "Administrators see whether the machine is there")


def _messaging(site: Site) -> Iterator[Flow]:
    for group, (at, practice, why) in IM_SERVERS.items():
        if site.settings.networks.desktops and site.hosts_of(group):
            for service in CLIENT_SERVICES:
                yield Flow("desktops", group, service, at, practice, why)
            if site.settings.desktops.admission == "required":
                yield Flow("desktops", group, ADMISSION, at, "R3", "Desktops show the server that they are sound")


def _federation(site: Site) -> Iterator[Flow]:
    if not site.hosts_of("im_external"):
        return
    for partner, service in itertools.product(site.settings.partners, SERVER_SERVICES):
        why = f"The servers of {partner.domain} and ours exchange what people write"
        limits = (partner.domain, tuple(map(str, partner.addresses)), partner.begins or "", partner.ends or "")
        yield Flow(OUTSIDE, "im_external", service, "dmz", "R6", why, "", *limits)
        yield Flow("dmz", OUTSIDE, service, OUTSIDE, "R6", why, "", *limits, by="im_external")


def published(site: Site) -> tuple[tuple[str, str], ...]:
    """List the addresses at which the outside finds a machine whose own address is the site's only.

    Args:
        site: the site.

    Returns:
        Pairs: an address of the gateway outside, and the private one of the external server that is meant by it, for
        its `SERVER_SERVICES`. IPv4 only; in IPv6 every machine has an address of its own.
    """
    return tuple(
        (outside, inner)
        for host in site.hosts_of("im_external")
        for inner in [address for address in host.addresses["dmz"] if "." in address][:1]
        for gateway in site.hosts_of(GATEWAY)
        for outside in gateway.addresses[OUTSIDE]
        if "." in outside and ipaddress.ip_address(inner).is_private
    )


def log_inputs(site: Site) -> dict[str, int]:
    """Give each host that hands its logs over the port of its own input.

    Args:
        site: the site.

    Returns:
        Ports by name of the host, the log host's own among them; none where the site has no log host. A host that comes
        or goes changes no other's, but for a rare clash: while firewall and inputs change one after the other, nobody
        knocks on another's input.
    """
    found: dict[str, int] = {}
    for name in sorted(host.name for host in site.hosts if host.managed and site.hosts_of(LOG_HOST)):
        wanted = zlib.crc32(name.encode())
        places = (LOG_INPUTS[(wanted + step) % len(LOG_INPUTS)] for step in itertools.count())
        found[name] = next(port for port in places if port not in found.values())
    return found


def log_zone(host: Host) -> str:
    """Return the zone from which a host reaches the log host: its own, and of the gateway that of the servers."""
    return GROUPS[host.group].needs[0]


def _logging(site: Site) -> Iterator[Flow]:
    why = "Every machine hands its logs to the log host"
    senders = [site.host(name) for name in log_inputs(site)]
    for zone, group in sorted({(log_zone(host), host.group) for host in senders if host.group != LOG_HOST}):
        yield Flow(zone, LOG_HOST, LOGS, "servers", "R9", why, by=group)
    if senders:
        why = "The gateway keeps the heads of the archive's chain, out of the log host's reach"
        yield Flow("servers", GATEWAY, LOGS, "servers", "R9", why, by=LOG_HOST)


def _alerts(site: Site) -> Iterator[Flow]:
    if not site.hosts_of(LOG_HOST):
        return
    settings = site.settings.alerts
    for group, (at, _practice, _why) in IM_SERVERS.items():
        if site.hosts_of(group):
            why = "The log host asks the server what it counts"
            yield Flow("servers", group, "https", at, "R10", why, by=LOG_HOST)
    if settings.people:
        why = "The log host tells people by message what goes wrong"
        yield Flow("servers", "im_internal", "xmpps", "servers", "R10", why, by=LOG_HOST)
    if settings.mail:
        # of a name only the resolver knows the addresses
        only = (settings.mail.relay,) if is_address(settings.mail.relay) else ()
        why = "The log host tells people by mail what goes wrong"
        yield Flow("servers", OUTSIDE, settings.mail.service, OUTSIDE, "R10", why, only=only, by=LOG_HOST)


def _gateway(site: Site) -> Iterator[Flow]:
    for zone, (service, why) in itertools.product(BEHIND, GATEWAY_SERVICES.items()):
        if any(host.addresses.get(zone) for host in site.hosts_of(GATEWAY)):
            yield Flow(zone, GATEWAY, service, zone, "R2" if service in ("ntp", "relay") else "R7", why)


def _outward(site: Site) -> Iterator[Flow]:
    if site.settings.networks.desktops:
        for permitted in site.settings.outward.desktops:
            if permitted in DIVERTED:
                why = "Pages are fetched through the gateway, which looks at the name of the site"
                yield Flow("desktops", GATEWAY, DIVERTED[permitted], "desktops", "R7", why)
            else:
                yield Flow(
                    "desktops", OUTSIDE, permitted, OUTSIDE, "R7", "People's computers use what the site permits"
                )
    if site.hosts_of(GATEWAY):
        for service, user, why in GATEWAY_ERRANDS:
            yield Flow(GATEWAY, OUTSIDE, service, OUTSIDE, "R7", why, user)


def expected_reachability(site: Site, now: datetime.datetime) -> tuple[Attempt, ...]:
    """List what can be tried on a site, and what must come of it.

    Args:
        site: the site.
        now: when it is tried.

    Returns:
        For the control node and each host with `sallyport_probe`, from each zone in which it stands, to each address of
        every other managed host, each service: whether it is permitted. What the zone for administration may, only
        the control node may: a host of the list has an address there too, and is no administrator for that. Sorted.
    """
    table: dict[tuple[str, str, str, str], list[Flow]] = {}
    for flow in flows(site):
        table.setdefault((flow.source, flow.destination, flow.service, flow.at), []).append(flow)
    meant = {outside: ("im_external", "dmz") for outside, _inner in published(site)}
    sources = [(CONTROL_NODE, "admin", (), ""), *_sources(site)]
    targets = [entry for entry in addresses_of(site.hosts) if entry[0].managed]
    found = []
    for (source, zone, own, kind), (host, at, address), service in itertools.product(
        sources, targets, SERVICES.values()
    ):
        if source == host.name:
            continue
        group, place = (host.group, at)
        if address in meant and service.name in SERVER_SERVICES:
            group, place = meant[address]
        # a partner may have given addresses of one version of IP only
        like = tuple(one for one in own if (":" in one) == (":" in address))
        may = [
            flow
            for flow in table.get((zone, group, service.name, place), ())
            if flow.holds(now) and flow.meets(like) and flow.by in ("", kind) and service.name not in INTERCEPTING
        ]
        meets = may[0] if may and (zone != "admin" or source == CONTROL_NODE) else None
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
                permitted=meets is not None,
                practice=meets.practice if meets else "",
                why=meets.why if meets else "",
            )
        )
    return tuple(sorted(found))


def _sources(site: Site) -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    for host in site.hosts:
        if host.probe:
            for zone in ("admin", *host.addresses):
                yield host.name, zone, host.addresses.get(zone, ()), host.group
