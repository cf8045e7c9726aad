# SPDX-License-Identifier: GPL-3.0-or-later
"""The firewall of one host, rendered from the table of flows as the text of one nftables table.

What ends at an instant ends in the kernel: a rule with the time in it needs nobody to take it away.

Sources: nft(8); RFC 4890 (ICMPv6 that must pass); RFC 2827 and RFC 3704 (sources that cannot come this way).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_network

from ansible_collections.sallyport.im.plugins.plugin_utils import consumer_im
from ansible_collections.sallyport.im.plugins.plugin_utils.flows import (
    BEHIND,
    CLIENT_SERVICES,
    DIVERTED,
    GATEWAY,
    INTERCEPTING,
    SERVER_SERVICES,
    SERVICES,
    Flow,
    Service,
    flows,
    published,
)
from ansible_collections.sallyport.im.plugins.plugin_utils.host_list import OUTSIDE, Host
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site
from ansible_collections.sallyport.im.plugins.plugin_utils.site_file import Networks
from ansible_collections.sallyport.im.plugins.plugin_utils.values import Network

TABLE = "inet sallyport"
LOG_GROUP = 5
"""The group of NFLOG to which ulogd listens on the hosts."""
LOG_RATE = "limit rate 10/second burst 200 packets"
"""What is logged of the refusals; all of them are counted."""
LOG_BYTES = 128
"""How much of a refused packet is handed to the log daemon, which writes down fields of its headers only."""
CONNECTIONS_PER_ADDRESS = 50
"""Connections that one address may have to the client ports at the same time; several people may share an address."""
PER_ADDRESS_ENTRIES = 16384
"""Addresses whose connections are counted at the same time."""
HOST_PART = "ffff:ffff:ffff:ffff::"
"""Who is outside is counted in IPv6 by network: each has 2^64 addresses of its own."""
LONGEST_NAME = 80
"""Characters of a partner's domain in the comment of a rule, which may have 128 bytes."""
GOODBYE_RATE = "limit rate 1/second burst 50 packets"
"""What the external server may still send to partners of the past: enough to end its streams, and no conversation."""
PROHIBITED = "reject with icmpx admin-prohibited"
ADMIN = "admin"
VERSIONS = (4, 6)
_IP = {4: "ip", 6: "ip6"}
_ECHO = {4: "icmp type echo-request", 6: "icmpv6 type echo-request"}


def ruleset(site: Site, name: str, connections: int = CONNECTIONS_PER_ADDRESS) -> str:
    """Render the firewall of a host.

    Args:
        site: the site.
        name: the host's name in the host list.
        connections: connections that one address may have to the client ports at the same time.

    Returns:
        The text of `table inet sallyport`, whole, as `nft -f` takes it.

    Raises:
        KeyError: there is no such host.
    """
    return _Ruleset(site, site.host(name), connections).text()


class _Ruleset:
    """The rules of one host while they are rendered."""

    def __init__(self, site: Site, host: Host, connections: int) -> None:
        self.site = site
        self.host = host
        self.connections = connections
        self.flows = flows(site)
        self.is_gateway = host.group == GATEWAY
        self.networks = {zone: tuple(getattr(site.settings.networks, zone)) for zone in Networks.model_fields}
        self.carries_partners = bool(site.hosts_of("im_external")) and host.group in (GATEWAY, "im_external")

    def text(self) -> str:
        blocks = [*self._sets(), *self._counters(), *self._chains()]
        return f"table {TABLE} {{\n" + "\n".join(_block(head, lines) for head, lines in blocks) + "}\n"

    # what the rules speak of

    def _sets(self) -> Iterator[tuple[str, list[str]]]:
        zones: dict[str, Sequence[Network]] = {**self.networks, "site": [*_all(self.networks)]}
        if self.is_gateway:
            zones["hidden"] = [net for net in zones["site"] if net.is_private]
        for zone, networks in zones.items():
            for version in VERSIONS:
                if of_version := _of_version(networks, version):
                    elements = ", ".join(map(str, of_version))
                    kind = f"type ipv{version}_addr"
                    yield f"set {zone}{version}", [kind, "flags interval", f"elements = {{ {elements} }}"]
        if self._counted():
            for version in VERSIONS:
                size = f"size {PER_ADDRESS_ENTRIES}"
                yield f"set clients{version}", [f"type ipv{version}_addr", size, "flags dynamic"]

    def _counters(self) -> Iterator[tuple[str, list[str]]]:
        for chain in ("input", "output", "forward"):
            yield f"counter refused_{chain}", []
        if self.is_gateway:
            yield "counter refused_consumer", []
            # one bound for all services together: a flood fills no disk
            yield "limit consumer", [LOG_RATE.removeprefix("limit ")]

    def _has(self, zone: str, version: int) -> bool:
        return bool(_of_version(self.networks[zone], version))

    # chains

    def _chains(self) -> Iterator[tuple[str, list[str]]]:
        yield "chain input", [*_hook("input"), *self._input()]
        yield "chain output", [*_hook("output"), *self._output()]
        yield "chain forward", [*_hook("forward"), *self._forward()]
        if self.carries_partners:
            yield "chain partners", [*self._partners()]
        if self._counted():
            yield "chain too_many", [*_refuse("input", "too-many", "", "drop")]
        if self.is_gateway:
            yield from self._consumer()
            yield "chain prerouting", [*self._prerouting()]
            yield "chain postrouting", [*self._postrouting()]

    def _input(self) -> Iterator[str]:
        yield 'iifname "lo" accept'
        if not self.is_gateway:
            yield from self._to_partners()
        yield "ct state established,related accept"
        yield "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept"
        yield "icmpv6 type mld-listener-query ip6 saddr fe80::/10 accept"
        if self.is_gateway:
            # it stands in every zone, so it knows on which side an administrator's address belongs
            yield from self._spoofed("input")
        # before all else that could refuse them: administrators must get in, also on another way than the one back
        for flow in self._inbound():
            if flow.source == ADMIN:
                yield from self._rules(flow, self._own(flow.at))
        yield from _refuse("input", "invalid", "ct state invalid", "drop")
        if not self.is_gateway:
            yield from self._spoofed("input")
        yield from self._too_many()
        for flow in self._inbound():
            if flow.source != ADMIN:
                yield from self._rules(flow, self._own(flow.at))
        yield from _refuse("input", "no-flow", "", "drop")

    def _output(self) -> Iterator[str]:
        yield 'oifname "lo" accept'
        if not self.is_gateway:
            yield from self._to_partners()
        yield "ct state established,related accept"
        yield from self._answers()
        yield from _refuse("output", "invalid", "ct state invalid", "drop")
        yield "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept"
        yield "icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report } accept"
        for flow in self._outbound():
            yield from self._rules(flow, self._addresses(flow, but=self.host))
        if "desktops" in self.host.addresses and not self.is_gateway:
            yield from self._permitted_consumer()
        yield from _refuse("output", "no-flow", "", PROHIBITED)

    def _forward(self) -> Iterator[str]:
        if self.is_gateway:
            yield from self._to_partners()
            yield "ct state established,related accept"
            yield from self._spoofed("forward")
            yield from self._through(administration=True)
            yield from _refuse("forward", "invalid", "ct state invalid", "drop")
            yield from self._through(administration=False)
            yield from self._permitted_consumer()
            for version in VERSIONS:
                if _of_version([*_all(self.networks)], version):
                    inner = f"{_IP[version]} saddr @site{version}"
                    yield from _refuse("forward", "no-flow", inner, PROHIBITED)
        yield from _refuse("forward", "no-flow", "", "drop")

    def _through(self, *, administration: bool) -> Iterator[str]:
        for flow in self.flows:
            if GATEWAY not in (flow.source, flow.destination) and (flow.source == ADMIN) == administration:
                addresses = [to for to in self._addresses(flow) if self._passes(flow.source, to)]
                yield from self._rules(flow, addresses)

    def _to_partners(self) -> Iterator[str]:
        """Look at each packet between IM servers, also of connections that are open: a partner's time may be over.

        By the port for which the connection was opened; no other flow has these.
        """
        if self.carries_partners:
            ports = _one_or_more([str(SERVICES[service].port) for service in SERVER_SERVICES])
            yield f"meta l4proto tcp ct state established ct original proto-dst {ports} goto partners"

    def _partners(self) -> Iterator[str]:
        """Let open connections with partners go on, in both directions, as long as they may be opened.

        When that is over the server still has to say so, and nothing comes back.
        """
        for flow in self.flows:
            if flow.whom:
                for rule in self._rules(flow, self._addresses(flow)):
                    yield _of_connection(rule)
        for version in VERSIONS:
            if self._has("dmz", version):
                yield f'{_IP[version]} saddr @dmz{version} {GOODBYE_RATE} accept comment "R6 goodbye"'
        chain = "forward" if self.is_gateway else "input"
        yield from _refuse(chain, "partner", "", "reject with tcp reset")

    def _prerouting(self) -> Iterator[str]:
        """Hand what desktops ask for outside to the gateway's own services, and what partners ask for to the server."""
        yield "type nat hook prerouting priority dstnat; policy accept;"
        wanted = _one_or_more([str(SERVICES[service].port) for service in SERVER_SERVICES])
        for outside, inner in published(self.site):
            yield f"ip daddr {outside} tcp dport {wanted} dnat ip to {inner}"
        # whoever asks the gateway itself gets what the flows say, at each of its addresses
        yield "fib daddr type local accept"
        own = {flow.service for flow in self.flows if (flow.source, flow.destination) == ("desktops", GATEWAY)}
        for outward, inward in DIVERTED.items():
            for address in _at(self.host, "desktops") if inward in own else ():
                version = ip_address(address).version
                if self._has("desktops", version):
                    there = f"{_IP[version]} saddr @desktops{version} {_IP[version]} daddr != @site{version}"
                    to = f"[{address}]" if version == 6 else address
                    what = _what(SERVICES[outward], version)
                    yield f"{there} {what} dnat {_IP[version]} to {to}:{SERVICES[inward].port}"

    def _consumer(self) -> Iterator[tuple[str, list[str]]]:
        """Refuse consumer services by address, and name them where a port tells, before anything is diverted or passes.

        All packets of a direction are looked at and not only the first: what is open when a permission ends is over.
        """
        entry = ["type filter hook prerouting priority dstnat - 10; policy accept;"]
        for version in VERSIONS:
            if self._has("desktops", version):
                # a question for names is answered by the gateway, whomever it was meant for
                names = f"meta l4proto {{ tcp, udp }} th dport {SERVICES['dns'].port}"
                entry.append(f"{_IP[version]} saddr @desktops{version} {names} accept")
        for version in VERSIONS:
            if _of_version([*_all(self.networks)], version):
                ip = _IP[version]
                entry.append(
                    f"{ip} saddr @site{version} {ip} daddr != @site{version} ct direction original jump consumer"
                )
        services = consumer_im.rules(self.site)
        for service in services:
            yield f"chain consumer_{_word(service.id)}", [*self._refused_consumer(service)]
        yield "chain consumer", [*_verdicts(services)]
        yield "chain outward", entry

    def _refused_consumer(self, service: consumer_im.ConsumerService) -> Iterator[str]:
        if service.permitted_until:
            for version in VERSIONS:
                if self._has("desktops", version):
                    time = _while(service.permitted_from, service.permitted_until)
                    yield f"{_IP[version]} saddr @desktops{version} {' '.join(time)} return"
        for zone in BEHIND:
            for version in VERSIONS:
                if self._has(zone, version):
                    prefix = f"sallyport consumer {zone} {service.id}"
                    log = f'log prefix "{prefix}" group {LOG_GROUP} snaplen {LOG_BYTES}'
                    yield f'{_IP[version]} saddr @{zone}{version} limit name "consumer" {log}'
        yield "counter name refused_consumer drop"

    def _permitted_consumer(self) -> Iterator[str]:
        """Let desktops use the ports of a consumer service that the site permits, as long as it does.

        At its own addresses; where the catalogue knows none, at any outside.
        """
        for service in consumer_im.rules(self.site):
            if not service.permitted_until:
                continue
            time = _while(service.permitted_from, service.permitted_until)
            everywhere = not (service.addresses4 or service.addresses6)
            for version in VERSIONS:
                own = service.addresses(version)
                for protocol, ports in service.opened().items():
                    if self._has("desktops", version) and (own or everywhere):
                        there = self._to([OUTSIDE], version, only=own)
                        words = [f"{_IP[version]} saddr @desktops{version}", *there, *time]
                        words.append(f"{protocol} dport {_one_or_more([*ports])}")
                        yield f'{" ".join(words)} accept comment "R7 {service.id}"'

    def _postrouting(self) -> Iterator[str]:
        yield "type nat hook postrouting priority srcnat; policy accept;"
        for version in VERSIONS:
            if any(net.is_private for net in _of_version([*_all(self.networks)], version)):
                ip = _IP[version]
                yield f"{ip} saddr @hidden{version} {ip} daddr != @site{version} masquerade"

    # flows

    def _inbound(self) -> Iterator[Flow]:
        for flow in self.flows:
            if flow.destination == self.host.group and flow.source != GATEWAY and self._own(flow.at):
                yield flow

    def _outbound(self) -> Iterator[Flow]:
        # a host has an address for administration, and is no administrator for that; and the gateway, which stands in
        # every zone, opens only what the table gives to itself
        zones = (GATEWAY,) if self.is_gateway else tuple(self.host.addresses)
        for flow in self.flows:
            if flow.source in zones:
                yield _as_asked(flow)

    def _counted(self) -> list[str]:
        """Return the services of this host whose users may have so many connections at a time."""
        wanted = {flow.service for flow in self._inbound()}
        return [name for name in CLIENT_SERVICES + SERVER_SERVICES if name in wanted]

    def _own(self, zone: str) -> list[str]:
        return _at(self.host, zone)

    def _addresses(self, flow: Flow, but: Host | None = None) -> list[str]:
        if flow.destination == OUTSIDE:
            return [OUTSIDE]
        hosts = [host for host in self.site.hosts_of(flow.destination) if host is not but]
        return [address for host in hosts for address in _at(host, flow.at)]

    def _passes(self, zone: str, address: str) -> bool:
        """Tell whether a way from a zone to an address can lead over the gateway, and not within one network."""
        if OUTSIDE in (zone, address):
            return True
        if not _is_address(address):
            return False
        networks = _of_version(self.networks[zone], ip_address(address).version)
        return len(networks) > 1 or not any(ip_address(address) in net for net in networks)

    # rules

    def _rules(self, flow: Flow, addresses: Sequence[str]) -> Iterator[str]:
        service = SERVICES[flow.service]
        for version in VERSIONS:
            there = _in_version(addresses, version)
            if not there or (flow.source in self.networks and not self._has(flow.source, version)):
                continue
            only = [str(net) for net in _of_version([*map(ip_network, flow.only)], version)]
            if flow.only and not only:
                continue
            from_there = only if flow.source == OUTSIDE else []
            words = [*self._from(flow.source, version, from_there), *self._to(there, version, only=only)]
            if not words:
                words.append(f"meta nfproto ipv{version}")
            if flow.user:
                words.append(f'meta skuid "{flow.user}"')
            words += _while(flow.begins, flow.ends)
            words.append(_what(service, version))
            if flow.service in INTERCEPTING:
                words.append("ct status dnat")
            of = f" {flow.whom[:LONGEST_NAME]}" if flow.whom else ""
            yield " ".join([*words, f'accept comment "{flow.practice} {flow.service}{of}"'])

    def _from(self, source: str, version: int, only: Sequence[str] = ()) -> Iterator[str]:
        if source == OUTSIDE and only:
            yield f"{_IP[version]} saddr {_one_or_more(only)}"
        elif source == OUTSIDE:
            yield from self._not_ours("saddr", version)
        elif source != GATEWAY:
            yield f"{_IP[version]} saddr @{source}{version}"
            # a host of the list has its address for administration there too, and is no administrator for that
            listed = _in_version([host.admin_address for host in self.site.hosts], version)
            if source == ADMIN and (those := [address for address in listed if _is_address(address)]):
                yield f"{_IP[version]} saddr != {_one_or_more(sorted(those, key=ip_address))}"

    def _to(
        self, addresses: Sequence[str], version: int, field: str = "daddr", only: Sequence[str] = ()
    ) -> Iterator[str]:
        if OUTSIDE in addresses and only:
            yield f"{_IP[version]} {field} {_one_or_more(only)}"
        elif OUTSIDE in addresses:
            yield from self._not_ours(field, version)
        elif all(map(_is_address, addresses)):
            # a name that only the DNS knows is no address of a rule: then any address of this host is meant
            yield f"{_IP[version]} {field} {_one_or_more(addresses)}"

    def _not_ours(self, field: str, version: int) -> Iterator[str]:
        if _of_version([*_all(self.networks)], version):
            yield f"{_IP[version]} {field} != @site{version}"

    def _answers(self) -> Iterator[str]:
        """Let the answers of sessions pass that the kernel began to follow only with these rules.

        Without it the very connection that brings the first rules hangs: its next packet is an answer, which looks new.
        """
        for flow in self._inbound():
            if (flow.source, flow.service) != (ADMIN, "ssh"):
                continue
            for version in VERSIONS:
                own = _in_version(self._own(flow.at), version)
                if own and self._has(ADMIN, version):
                    words = [*self._to(own, version, "saddr"), f"{_IP[version]} daddr @{ADMIN}{version}"]
                    words += [f"tcp sport {SERVICES['ssh'].port}", "tcp flags & (syn | ack) == ack"]
                    yield f'{" ".join(words)} accept comment "{flow.practice} ssh: answers"'

    def _spoofed(self, chain: str) -> Iterator[str]:
        """Refuse sources that cannot come in on this interface: the way back to them leads elsewhere (RFC 3704)."""
        yield from _refuse(chain, "spoofed", "fib saddr . iif oif missing", "drop")

    def _too_many(self) -> Iterator[str]:
        """Refuse what is over the bound. Only sources that may come at all are counted: nobody else fills the set.

        An IPv6 address counts for itself inside the company; outside, the network does in which it is.
        """
        wanted = [flow for flow in self._inbound() if flow.service in CLIENT_SERVICES + SERVER_SERVICES]
        for source, at in sorted({(flow.source, flow.at) for flow in wanted}):
            names = [name for name in self._counted() if any(_is(flow, source, name, at) for flow in wanted)]
            ports = _one_or_more([str(SERVICES[name].port) for name in names])
            for version in VERSIONS:
                there = _in_version(self._own(at), version)
                if there and (source == OUTSIDE or self._has(source, version)):
                    who = f"{_IP[version]} saddr"
                    if source == OUTSIDE and version == 6:
                        who = f"{who} & {HOST_PART}"
                    count = f"{who} ct count over {self.connections}"
                    words = [*self._from(source, version), *self._to(there, version), f"tcp dport {ports}"]
                    yield f"{' '.join(words)} add @clients{version} {{ {count} }} goto too_many"


def _block(head: str, lines: Sequence[str]) -> str:
    return f"  {head} {{\n" + "".join(f"    {line}\n" for line in lines) + "  }\n"


def _hook(name: str) -> list[str]:
    return [f"type filter hook {name} priority filter; policy drop;"]


def _refuse(chain: str, reason: str, match: str, verdict: str) -> Iterator[str]:
    """Log some, count all, refuse all."""
    start = f"{match} " if match else ""
    yield f'{start}{LOG_RATE} log prefix "sallyport {chain} {reason}" group {LOG_GROUP} snaplen {LOG_BYTES}'
    yield f"{start}counter name refused_{chain} {verdict}"


def _of_connection(rule: str) -> str:
    """Return a rule that speaks of a connection's first packet as one that speaks of all its packets.

    Who opened it, who answers, and on which port: an address that was translated on the way does not matter.
    """
    for version in VERSIONS:
        rule = rule.replace(f"{_IP[version]} saddr", f"ct original {_IP[version]} saddr")
        rule = rule.replace(f"{_IP[version]} daddr", f"ct reply {_IP[version]} saddr")
    return rule.replace("tcp dport", "meta l4proto tcp ct original proto-dst")


def _what(service: Service, version: int) -> str:
    return _ECHO[version] if service.protocol == "icmp" else f"{service.protocol} dport {service.port}"


def _as_asked(flow: Flow) -> Flow:
    """Return a flow as the desktop sees it, which asks for something outside and does not know who answers."""
    for outward, inward in DIVERTED.items():
        if flow.service == inward and inward in INTERCEPTING:
            return replace(flow, destination=OUTSIDE, service=outward, at=OUTSIDE)
    return flow


def _verdicts(services: Sequence[consumer_im.ConsumerService]) -> Iterator[str]:
    """Look an address or a port up in one map each, whatever the number of services."""
    # a port that several use is that of one which is permitted, else it would be closed for it all the same
    ordered = sorted(services, key=lambda service: not service.permitted_until)
    for version in VERSIONS:
        found = [(str(net), one.id) for one in ordered for net in one.addresses(version)]
        yield from _map(f"{_IP[version]} daddr", found)
    for protocol in ("tcp", "udp"):
        found = []
        taken: list[tuple[int, int]] = []
        for one in ordered:
            for ports in one.tcp if protocol == "tcp" else one.udp:
                free = _without(_range(ports), taken)
                taken += free
                found += [(str(first) if first == last else f"{first}-{last}", one.id) for first, last in free]
        yield from _map(f"{protocol} dport", found)


def _map(field: str, found: Sequence[tuple[str, str]]) -> Iterator[str]:
    if found:
        yield f"{field} vmap {{ {', '.join(f'{value} : jump consumer_{_word(name)}' for value, name in found)} }}"


def _range(ports: str) -> tuple[int, int]:
    first, _, last = ports.partition("-")
    return int(first), int(last or first)


def _without(ports: tuple[int, int], taken: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return what of a range of ports is in no other."""
    left = [ports]
    for first, last in taken:
        left = [
            part
            for low, high in left
            for part in ((low, min(high, first - 1)), (max(low, last + 1), high))
            if part[0] <= part[1]
        ]
    return left


def _word(text: str) -> str:
    """Return what nft takes as a name."""
    return text.replace("-", "_").replace(".", "_")


def _while(begins: str, ends: str) -> list[str]:
    """Return what a rule says of the time in which it holds; nothing where there is no limit."""
    limits = ((">=", begins), ("<", ends))
    return [f"meta time {compared} {_seconds(instant)}" for compared, instant in limits if instant]


def _seconds(instant: str) -> int:
    """Return an instant in seconds since 1970: as a date, nft would read it in the host's time zone."""
    return int(datetime.datetime.fromisoformat(instant.replace("Z", "+00:00")).timestamp())


def _is(flow: Flow, source: str, service: str, at: str) -> bool:
    return (flow.source, flow.service, flow.at) == (source, service, at)


def _at(host: Host, zone: str) -> list[str]:
    return [host.admin_address] if zone == ADMIN else [*host.addresses.get(zone, ())]


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _in_version(addresses: Sequence[str], version: int) -> list[str]:
    """Pick the addresses of a version of IP; what is a name or `outside` belongs to both."""
    return [to for to in addresses if not _is_address(to) or ip_address(to).version == version]


def _of_version(networks: Sequence[Network], version: int) -> list[Network]:
    return [network for network in networks if network.version == version]


def _all(networks: dict[str, tuple[Network, ...]]) -> Iterator[Network]:
    for of_zone in networks.values():
        yield from of_zone


def _one_or_more(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{{ {', '.join(items)} }}"
