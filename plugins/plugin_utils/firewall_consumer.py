# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway's chains against consumer services, and what a site permits of them."""

from __future__ import annotations

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
        yield f"chain consumer_{_word(service.id)}", [*_refused(here, service)]
    yield "chain consumer", [*_verdicts(services)]
    yield "chain outward", entry


def _refused(here: HostRules, service: consumer_im.ConsumerService) -> Iterator[str]:
    if service.permitted_until:
        for version in VERSIONS:
            if here.has("desktops", version):
                time = holding(service.permitted_from, service.permitted_until)
                yield f"{IP[version]} saddr @desktops{version} {' '.join(time)} return"
    for zone in BEHIND:
        for version in VERSIONS:
            if here.has(zone, version):
                prefix = f"sallyport consumer {zone} {service.id}"
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
    # a port that several use is that of one which is permitted, else it would be closed for it all the same
    ordered = sorted(services, key=lambda service: not service.permitted_until)
    for version in VERSIONS:
        found = [(str(net), one.id) for one in ordered for net in one.addresses(version)]
        yield from _map(f"{IP[version]} daddr", found)
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


def _word(text: str) -> str:
    """Return what nft takes as a name."""
    return text.replace("-", "_").replace(".", "_")


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
