# SPDX-License-Identifier: GPL-3.0-or-later
"""What the connections with partners may do, at each of their packets: what ends, ends for open ones too."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.sallyport.im.plugins.plugin_utils.firewall_rules import HostRules
from ansible_collections.sallyport.im.plugins.plugin_utils.firewall_text import (
    IP,
    VERSIONS,
    in_version,
    one_or_more,
    refuse,
)
from ansible_collections.sallyport.im.plugins.plugin_utils.flows import SERVER_SERVICES, SERVICES

GOODBYE_RATE = "limit rate 1/second burst 50 packets"
"""What the external server may still send to partners of the past: enough to end its streams, and no conversation."""


def every_packet(here: HostRules) -> Iterator[str]:
    """Look at each packet between IM servers, also of connections that are open: a partner's time may be over.

    By the port for which the connection was opened; no other flow has these.
    """
    if here.carries_partners:
        ports = one_or_more([str(SERVICES[service].port) for service in SERVER_SERVICES])
        yield f"meta l4proto tcp ct state established ct original proto-dst {ports} goto partners"


def chain(here: HostRules) -> Iterator[str]:
    """Let open connections with partners go on, in both directions, as long as they may be opened.

    When that is over the server still has to say so, and nothing comes back.
    """
    for flow in here.flows:
        if flow.whom:
            for rule in here.rules(flow, here.addresses(flow)):
                yield _of_connection(rule)
    for version in VERSIONS:
        own = [address for host in here.site.hosts_of("im_external") for address in host.addresses["dmz"]]
        if server := in_version(own, version):
            yield f'{IP[version]} saddr {one_or_more(server)} {GOODBYE_RATE} accept comment "R6 goodbye"'
    direction = "forward" if here.is_gateway else "input"
    yield from refuse(direction, "partner", "", "reject with tcp reset")


def _of_connection(rule: str) -> str:
    """Return a rule that speaks of a connection's first packet as one that speaks of all its packets.

    Who opened it, who answers, and on which port: an address that was translated on the way does not matter.
    """
    for version in VERSIONS:
        rule = rule.replace(f"{IP[version]} saddr", f"ct original {IP[version]} saddr")
        rule = rule.replace(f"{IP[version]} daddr", f"ct reply {IP[version]} saddr")
    return rule.replace("tcp dport", "meta l4proto tcp ct original proto-dst")
