# SPDX-License-Identifier: GPL-3.0-or-later
"""What the flows of a site are for one of its hosts, and the rules that they become there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_network

from ansible_collections.sallyport.im.plugins.plugin_utils.firewall_text import (
    IP,
    VERSIONS,
    holding,
    in_version,
    is_address,
    of_service,
    of_version,
    one_or_more,
)
from ansible_collections.sallyport.im.plugins.plugin_utils.flows import (
    ADMISSION,
    CLIENT_SERVICES,
    DIVERTED,
    GATEWAY,
    INTERCEPTING,
    LOG_HOST,
    LOG_INPUTS,
    LOGS,
    SERVER_SERVICES,
    SERVICES,
    Flow,
    flows,
)
from ansible_collections.sallyport.im.plugins.plugin_utils.host_list import OUTSIDE, Host
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site
from ansible_collections.sallyport.im.plugins.plugin_utils.site_file import Networks

LONGEST_NAME = 80
"""Characters of a partner's domain in the comment of a rule, which may have 128 bytes."""
COUNTED = (*CLIENT_SERVICES, ADMISSION, *SERVER_SERVICES)
"""Services whose users may have so many connections at a time."""
ADMIN = "admin"


class HostRules:
    """The flows of a site as one host has them, and their rules.

    Attributes:
        site: the site.
        host: the host.
        flows: all flows of the site.
        is_gateway: whether the host stands in every zone.
        networks: the networks of each zone.
        of_site: the networks of all zones.
        carries_partners: whether connections with partners pass the host.
    """

    def __init__(self, site: Site, host: Host) -> None:
        """Take a site, and one host of it."""
        self.site = site
        self.host = host
        self.flows = flows(site)
        self.is_gateway = host.group == GATEWAY
        self.networks = {zone: tuple(getattr(site.settings.networks, zone)) for zone in Networks.model_fields}
        self.of_site = [network for of_zone in self.networks.values() for network in of_zone]
        self.carries_partners = bool(site.hosts_of("im_external")) and host.group in (GATEWAY, "im_external")

    def has(self, zone: str, version: int) -> bool:
        """Tell whether a zone has networks of a version of IP."""
        return bool(of_version(self.networks[zone], version))

    def inbound(self) -> Iterator[Flow]:
        """Give the flows that come to this host."""
        for flow in self.flows:
            if flow.destination == self.host.group and flow.source != GATEWAY and self.own(flow.at):
                yield flow

    def outbound(self) -> Iterator[Flow]:
        """Give the flows that this host opens."""
        # a host has an address for administration, and is no administrator for that; and the gateway, which stands in
        # every zone, opens only what the table gives to itself
        zones = (GATEWAY,) if self.is_gateway else tuple(self.host.addresses)
        for flow in self.flows:
            if flow.by == self.host.group if flow.by else flow.source in zones:
                yield _as_asked(flow)

    def counted(self) -> list[str]:
        """Return the services of this host whose users may have so many connections at a time."""
        wanted = {flow.service for flow in self.inbound()}
        return [name for name in COUNTED if name in wanted]

    def own(self, zone: str) -> list[str]:
        """Return the addresses of this host in a zone."""
        return _at(self.host, zone)

    def addresses(self, flow: Flow, but: Host | None = None) -> list[str]:
        """Return where a flow goes; one host may be left out."""
        if flow.destination == OUTSIDE:
            return [OUTSIDE]
        hosts = [host for host in self.site.hosts_of(flow.destination) if host is not but]
        return [address for host in hosts for address in _at(host, flow.at)]

    def openers(self, flow: Flow, version: int) -> list[str]:
        """Return the addresses of those who alone may open a flow; none where all of the zone may."""
        hosts = self.site.hosts_of(flow.by) if flow.by else ()
        return in_version([address for host in hosts for address in _at(host, flow.source)], version)

    def passes(self, zone: str, address: str) -> bool:
        """Tell whether a way from a zone to an address can lead over the gateway, and not within one network."""
        if OUTSIDE in (zone, address):
            return True
        if not is_address(address):
            return False
        networks = of_version(self.networks[zone], ip_address(address).version)
        return len(networks) > 1 or not any(ip_address(address) in net for net in networks)

    def rules(self, flow: Flow, addresses: Sequence[str]) -> Iterator[str]:
        """Let a flow to these addresses pass."""
        service = SERVICES[flow.service]
        for version in VERSIONS:
            there = in_version(addresses, version)
            if not there or (flow.source in self.networks and not self.has(flow.source, version)):
                continue
            only = [str(net) for net in of_version([*map(ip_network, flow.only)], version)]
            if flow.only and not only:
                continue
            from_there = only if flow.source == OUTSIDE else self.openers(flow, version)
            if flow.by and not from_there:
                continue
            words = [*self.from_(flow.source, version, from_there), *self.to(there, version, only=only)]
            if not words:
                words.append(f"meta nfproto ipv{version}")
            if flow.user:
                words.append(f'meta skuid "{flow.user}"')
            words += holding(flow.begins, flow.ends)
            led = flow.service == LOGS and flow.destination == self.host.group == LOG_HOST
            if led:
                words.append(f"tcp dport {LOG_INPUTS[0]}-{LOG_INPUTS[-1]}")
            else:
                words.append(of_service(service, version))
            if led or flow.service in INTERCEPTING:
                words.append("ct status dnat")
            of = f" {flow.whom[:LONGEST_NAME]}" if flow.whom else ""
            yield " ".join([*words, f'accept comment "{flow.practice} {flow.service}{of}"'])

    def from_(self, source: str, version: int, only: Sequence[str] = ()) -> Iterator[str]:
        """Say from where a packet comes; nothing where it may be anywhere."""
        if only:
            yield f"{IP[version]} saddr {one_or_more(only)}"
        elif source == OUTSIDE:
            yield from self.not_ours("saddr", version)
        elif source != GATEWAY:
            yield f"{IP[version]} saddr @{source}{version}"
            # a host of the list has its address for administration there too, and is no administrator for that
            listed = in_version([host.admin_address for host in self.site.hosts], version)
            if source == ADMIN and (those := [address for address in listed if is_address(address)]):
                yield f"{IP[version]} saddr != {one_or_more(sorted(those, key=ip_address))}"

    def to(
        self, addresses: Sequence[str], version: int, field: str = "daddr", only: Sequence[str] = ()
    ) -> Iterator[str]:
        """Say to where a packet goes; nothing where it may be anywhere."""
        if OUTSIDE in addresses and only:
            yield f"{IP[version]} {field} {one_or_more(only)}"
        elif OUTSIDE in addresses:
            yield from self.not_ours(field, version)
        elif all(map(is_address, addresses)):
            # a name that only the DNS knows is no address of a rule: then any address of this host is meant
            yield f"{IP[version]} {field} {one_or_more(addresses)}"

    def not_ours(self, field: str, version: int) -> Iterator[str]:
        """Say that an address is in none of the site's networks."""
        if of_version(self.of_site, version):
            yield f"{IP[version]} {field} != @site{version}"


def _at(host: Host, zone: str) -> list[str]:
    return [host.admin_address] if zone == ADMIN else [*host.addresses.get(zone, ())]


def _as_asked(flow: Flow) -> Flow:
    """Return a flow as the desktop sees it, which asks for something outside and does not know who answers."""
    for outward, inward in DIVERTED.items():
        if flow.service == inward and inward in INTERCEPTING:
            return replace(flow, destination=OUTSIDE, service=outward, at=OUTSIDE)
    return flow
