# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway's chains against consumer services, and what a site permits of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from ansible_collections.sallyport.im.plugins.plugin_utils import consumer_im
from ansible_collections.sallyport.im.plugins.plugin_utils.firewall_rules import HostRules
from ansible_collections.sallyport.im.plugins.plugin_utils.firewall_text import (
    IP,
    LOG_BYTES,
    LOG_GROUP,
    VERSIONS,
    holding,
    of_version,
    one_or_more,
)
from ansible_collections.sallyport.im.plugins.plugin_utils.flows import BEHIND, SERVICES
from ansible_collections.sallyport.im.plugins.plugin_utils.host_list import OUTSIDE


def chains(here: HostRules) -> Iterator[tuple[str, list[str]]]:
    """Refuse consumer services by address, and name them where a port tells, before anything is diverted or passes.

    All packets of a direction are looked at and not only the first: what is open when a permission ends is over.
    """
    entry = ["type filter hook prerouting priority dstnat - 10; policy accept;"]
    for version in VERSIONS:
        if here.has("desktops", version):
            # a question for names is answered by the gateway, whomever it was meant for
            names = f"meta l4proto {{ tcp, udp }} th dport {SERVICES['dns'].port}"
            entry.append(f"{IP[version]} saddr @desktops{version} {names} accept")
    for version in VERSIONS:
        if of_version(here.of_site, version):
            ip = IP[version]
            entry.append(f"{ip} saddr @site{version} {ip} daddr != @site{version} ct direction original jump consumer")
    services = consumer_im.rules(here.site)
    for service in services:
        yield f"chain {_chain(service.id)}", [*_refused(here, [service])]
    for name, users in _shared(services).items():
        yield f"chain {_chain(name)}", [*_refused(here, users)]
    yield "chain consumer", [*_verdicts(services)]
    yield "chain outward", entry


def _refused(here: HostRules, services: Sequence[consumer_im.ConsumerService]) -> Iterator[str]:
    """Refuse what belongs to some services when none of them is permitted at the moment; the log has the first."""
    for service in services:
        for version in VERSIONS if service.permitted_until else ():
            if here.has("desktops", version):
                time = holding(service.permitted_from, service.permitted_until)
                yield f"{IP[version]} saddr @desktops{version} {' '.join(time)} return"
    for zone in BEHIND:
        for version in VERSIONS:
            if here.has(zone, version):
                prefix = f"sallyport consumer {zone} {services[0].id}"
                log = f'log prefix "{prefix}" group {LOG_GROUP} snaplen {LOG_BYTES}'
                yield f'{IP[version]} saddr @{zone}{version} limit name "consumer" {log}'
    yield "counter name refused_consumer drop"


def permitted(here: HostRules) -> Iterator[str]:
    """Let desktops use the ports of a consumer service that the site permits, as long as it does.

    At its own addresses; where the catalogue knows none, at any outside.
    """
    for service in consumer_im.rules(here.site):
        if not service.permitted_until:
            continue
        time = holding(service.permitted_from, service.permitted_until)
        everywhere = not (service.addresses4 or service.addresses6)
        for version in VERSIONS:
            own = service.addresses(version)
            for protocol, ports in service.opened().items():
                if here.has("desktops", version) and (own or everywhere):
                    there = here.to([OUTSIDE], version, only=own)
                    words = [f"{IP[version]} saddr @desktops{version}", *there, *time]
                    words.append(f"{protocol} dport {one_or_more([*ports])}")
                    yield f'{" ".join(words)} accept comment "R7 {service.id}"'


def _verdicts(services: Sequence[consumer_im.ConsumerService]) -> Iterator[str]:
    """Look an address or a port up in one map each, whatever the number of services."""
    # a port that several use is that of one which is permitted, else it would be closed for it all the same; where
    # several are it is of all of these
    shared = _shared(services)
    ordered = sorted(services, key=lambda service: not service.permitted_until)
    for version in VERSIONS:
        found = [(str(net), one.id) for one in ordered for net in one.addresses(version)]
        yield from _map(f"{IP[version]} daddr", found)
    for protocol in ("tcp", "udp"):
        found = [(name.partition("-")[2], name) for name in shared if name.startswith(protocol)]
        taken = [_range(ports) for ports, _ in found]
        for one in ordered:
            for ports in _ports(one, protocol):
                free = _without(_range(ports), taken)
                taken += free
                found += [(_text(*part), one.id) for part in free]
        yield from _map(f"{protocol} dport", found)


def _map(field: str, found: Sequence[tuple[str, str]]) -> Iterator[str]:
    if found:
        yield f"{field} vmap {{ {', '.join(f'{value} : jump {_chain(name)}' for value, name in found)} }}"


def _shared(services: Sequence[consumer_im.ConsumerService]) -> dict[str, list[consumer_im.ConsumerService]]:
    """Return the ports that several permitted services use, as `tcp-4244` or `udp-5000-5010`, with all of these."""
    found = {}
    for protocol in ("tcp", "udp"):
        used = [(_range(ports), one) for one in services if one.permitted_until for ports in _ports(one, protocol)]
        edges = sorted({edge for (first, last), _ in used for edge in (first, last + 1)})
        for first, after in itertools.pairwise(edges):
            users = [one for (low, high), one in used if low <= first and after - 1 <= high]
            if len(users) > 1:
                found[f"{protocol}-{_text(first, after - 1)}"] = users
    return found


def _chain(name: str) -> str:
    """Return what nft takes as the name of a chain."""
    return f"consumer_{name.replace('-', '_').replace('.', '_')}"


def _ports(service: consumer_im.ConsumerService, protocol: str) -> tuple[str, ...]:
    return service.tcp if protocol == "tcp" else service.udp


def _text(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


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
