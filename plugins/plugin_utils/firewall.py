# SPDX-License-Identifier: GPL-3.0-or-later
"""The firewall of one host, rendered from the table of flows as the text of one nftables table.

What ends at an instant ends in the kernel: a rule with the time in it needs nobody to take it away.

Sources: nft(8); RFC 4890 (ICMPv6 that must pass); RFC 2827 and RFC 3704 (sources that cannot come this way).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from ansible_collections.sallyport.im.plugins.plugin_utils import (
    firewall_consumer,
    firewall_desktops,
    firewall_partners,
    firewall_translation,
)
from ansible_collections.sallyport.im.plugins.plugin_utils.firewall_rules import ADMIN, COUNTED, HostRules
from ansible_collections.sallyport.im.plugins.plugin_utils.firewall_text import (
    IP,
    LOG_RATE,
    VERSIONS,
    block,
    hook,
    in_version,
    of_version,
    one_or_more,
    refuse,
)
from ansible_collections.sallyport.im.plugins.plugin_utils.flows import (
    GATEWAY,
    LOG_HOST,
    SERVICES,
    Flow,
)
from ansible_collections.sallyport.im.plugins.plugin_utils.host_list import OUTSIDE, Host
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site
from ansible_collections.sallyport.im.plugins.plugin_utils.values import Network

TABLE = "inet sallyport"
CONNECTIONS_PER_ADDRESS = 50
"""Connections that one address may have to the client ports at the same time; several people may share an address."""
PER_ADDRESS_ENTRIES = 16384
"""Addresses whose connections are counted at the same time, of those inside and of those outside each."""
CONNECTIONS_OF_SERVERS = 2048
"""Connections that all who are outside may have together, in each version of IP: too few to fill their set."""
HOST_PART = "ffff:ffff:ffff:ffff::"
"""Who is outside is counted in IPv6 by network: each has 2^64 addresses of its own."""
PROHIBITED = "reject with icmpx admin-prohibited"


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


class _Ruleset(HostRules):
    """The rules of one host while they are rendered."""

    def __init__(self, site: Site, host: Host, connections: int) -> None:
        super().__init__(site, host)
        self.connections = connections

    def text(self) -> str:
        blocks = [*self._sets(), *self._counters(), *self._chains()]
        return f"table {TABLE} {{\n" + "\n".join(block(head, lines) for head, lines in blocks) + "}\n"

    def _sets(self) -> Iterator[tuple[str, list[str]]]:
        zones: dict[str, Sequence[Network]] = {**self.networks, "site": self.of_site}
        if self.is_gateway:
            zones["hidden"] = [net for net in self.of_site if net.is_private]
        for zone, networks in zones.items():
            for version in VERSIONS:
                if found := of_version(networks, version):
                    elements = ", ".join(map(str, found))
                    kind = f"type ipv{version}_addr"
                    yield f"set {zone}{version}", [kind, "flags interval", f"elements = {{ {elements} }}"]
        counted = {_counted_in(flow.source) for flow in self.inbound() if flow.service in self.counted()}
        for name, version in itertools.product(sorted(counted), VERSIONS):
            size = f"size {PER_ADDRESS_ENTRIES}"
            yield f"set {name}{version}", [f"type ipv{version}_addr", size, "flags dynamic"]
        yield from firewall_desktops.sets(self)
        yield from firewall_translation.inputs(self)

    def _counters(self) -> Iterator[tuple[str, list[str]]]:
        for chain in ("input", "output", "forward"):
            yield f"counter refused_{chain}", []
        if self.is_gateway:
            yield "counter refused_consumer", []
            # one bound for all services together: a flood fills no disk
            yield "limit consumer", [LOG_RATE.removeprefix("limit ")]

    def _chains(self) -> Iterator[tuple[str, list[str]]]:
        yield "chain input", [*hook("input"), *self._input()]
        yield "chain output", [*hook("output"), *self._output()]
        yield "chain forward", [*hook("forward"), *self._forward()]
        if self.carries_partners:
            yield "chain partners", [*firewall_partners.chain(self)]
        yield from firewall_desktops.chains(self)
        if self.counted():
            yield "chain too_many", [*refuse("input", "too-many", "", "drop")]
        if self.is_gateway:
            yield from firewall_consumer.chains(self)
            yield "chain prerouting", [*firewall_translation.prerouting(self)]
            yield "chain postrouting", [*firewall_translation.postrouting(self)]
        elif self.host.group == LOG_HOST:
            yield "chain prerouting", [*firewall_translation.logs(self)]

    def _input(self) -> Iterator[str]:
        yield 'iifname "lo" accept'
        yield from firewall_desktops.arriving(self)
        if not self.is_gateway:
            yield from firewall_partners.every_packet(self)
        yield "ct state established,related accept"
        yield "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept"
        yield "icmpv6 type mld-listener-query ip6 saddr fe80::/10 accept"
        if self.is_gateway:
            # it stands in every zone, so it knows on which side an administrator's address belongs
            yield from self._spoofed("input")
        # before all else that could refuse them: administrators must get in, also on another way than the one back
        for flow in self.inbound():
            if flow.source == ADMIN:
                yield from self.rules(flow, self.own(flow.at))
        yield from refuse("input", "invalid", "ct state invalid", "drop")
        if not self.is_gateway:
            yield from self._spoofed("input")
        yield from self._too_many()
        for flow in self.inbound():
            if flow.source != ADMIN:
                yield from self.rules(flow, self.own(flow.at))
        yield from refuse("input", "no-flow", "", "drop")

    def _output(self) -> Iterator[str]:
        yield 'oifname "lo" accept'
        yield from firewall_desktops.leaving(self)
        if not self.is_gateway:
            yield from firewall_partners.every_packet(self)
        yield "ct state established,related accept"
        yield from self._answers()
        yield from refuse("output", "invalid", "ct state invalid", "drop")
        yield "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept"
        yield "icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report } accept"
        for flow in self.outbound():
            yield from self.rules(flow, self.addresses(flow, but=self.host))
        if "desktops" in self.host.addresses and not self.is_gateway:
            yield from firewall_consumer.permitted(self)
        yield from refuse("output", "no-flow", "", PROHIBITED)

    def _forward(self) -> Iterator[str]:
        if self.is_gateway:
            yield from firewall_partners.every_packet(self)
            yield "ct state established,related accept"
            yield from self._spoofed("forward")
            yield from self._through(administration=True)
            yield from refuse("forward", "invalid", "ct state invalid", "drop")
            yield from self._through(administration=False)
            yield from firewall_consumer.permitted(self)
            for version in VERSIONS:
                if of_version(self.of_site, version):
                    inner = f"{IP[version]} saddr @site{version}"
                    yield from refuse("forward", "no-flow", inner, PROHIBITED)
        yield from refuse("forward", "no-flow", "", "drop")

    def _through(self, *, administration: bool) -> Iterator[str]:
        for flow in self.flows:
            if GATEWAY not in (flow.source, flow.destination) and (flow.source == ADMIN) == administration:
                addresses = [to for to in self.addresses(flow) if self.passes(flow.source, to)]
                yield from self.rules(flow, addresses)

    def _answers(self) -> Iterator[str]:
        """Let the answers of sessions pass that the kernel began to follow only with these rules.

        Without it the very connection that brings the first rules hangs: its next packet is an answer, which looks new.
        """
        for flow in self.inbound():
            if (flow.source, flow.service) != (ADMIN, "ssh"):
                continue
            for version in VERSIONS:
                own = in_version(self.own(flow.at), version)
                if own and self.has(ADMIN, version):
                    words = [*self.to(own, version, "saddr"), f"{IP[version]} daddr @{ADMIN}{version}"]
                    words += [f"tcp sport {SERVICES['ssh'].port}", "tcp flags & (syn | ack) == ack"]
                    yield f'{" ".join(words)} accept comment "{flow.practice} ssh: answers"'

    def _spoofed(self, chain: str) -> Iterator[str]:
        """Refuse sources that cannot come in on this interface: the way back to them leads elsewhere (RFC 3704)."""
        yield from refuse(chain, "spoofed", "fib saddr . iif oif missing", "drop")

    def _too_many(self) -> Iterator[str]:
        """Refuse what is over the bound. Only sources that may come at all are counted: nobody else fills the set.

        An IPv6 address counts for itself inside the company; outside, the network does in which it is. An address that
        found no place in a full set is not counted, so it is refused: else whoever fills the set would have no bound.
        The bound of all comes last: what an address tries beyond its own is none of it.
        """
        wanted = [flow for flow in self.inbound() if flow.service in COUNTED]
        for source, at in sorted({(flow.source, flow.at) for flow in wanted}):
            names = [name for name in self.counted() if any(_is(flow, source, name, at) for flow in wanted)]
            ports = one_or_more([str(SERVICES[name].port) for name in names])
            for version in VERSIONS:
                there = in_version(self.own(at), version)
                if there and (source == OUTSIDE or self.has(source, version)):
                    who = f"{IP[version]} saddr"
                    if source == OUTSIDE and version == 6:
                        who = f"{who} & {HOST_PART}"
                    counted = f"@{_counted_in(source)}{version}"
                    words = " ".join([*self.from_(source, version), *self.to(there, version), f"tcp dport {ports}"])
                    yield f"{words} add {counted} {{ {who} ct count over {self.connections} }} goto too_many"
                    yield f"{words} {who} != {counted} goto too_many"
                    if source == OUTSIDE:
                        yield f"{words} ct count over {CONNECTIONS_OF_SERVERS} goto too_many"


def _counted_in(source: str) -> str:
    """Return the set of addresses whose connections are counted: who is outside takes no place of those inside."""
    return "outsiders" if source == OUTSIDE else "clients"


def _is(flow: Flow, source: str, service: str, at: str) -> bool:
    return (flow.source, flow.service, flow.at) == (source, service, at)
