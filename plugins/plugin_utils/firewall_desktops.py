# SPDX-License-Identifier: GPL-3.0-or-later
"""Which desktops a server's firewall lets to its client ports: those that are admitted at this moment."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.sallyport.im.plugins.plugin_utils.firewall_rules import HostRules
from ansible_collections.sallyport.im.plugins.plugin_utils.firewall_text import IP, VERSIONS, one_or_more, refuse
from ansible_collections.sallyport.im.plugins.plugin_utils.flows import ADMISSION, CLIENT_SERVICES, SERVICES

ADMITTED = "admitted"
"""How the sets begin that hold the desktops' addresses which are admitted; the service of that name fills them."""
ADMITTED_ENTRIES = 16384
"""Addresses that may be admitted at the same time."""


def sets(here: HostRules) -> Iterator[tuple[str, list[str]]]:
    """Render the sets of admitted addresses, empty.

    Args:
        here: the host.

    Yields:
        The head of each set, and its lines.
    """
    if _admits(here):
        for version in VERSIONS:
            kind, size = f"type ipv{version}_addr", f"size {ADMITTED_ENTRIES}"
            yield f"set {ADMITTED}{version}", [kind, size, "flags dynamic,timeout"]


def chains(here: HostRules) -> Iterator[tuple[str, list[str]]]:
    """Render what is done with packets of who is not admitted.

    Args:
        here: the host.

    Yields:
        The head of each chain, and its lines.
    """
    if _admits(here):
        yield "chain not_admitted", [*refuse("input", "not-admitted", "", "reject with tcp reset")]
        yield "chain not_admitted_any_more", [*refuse("output", "not-admitted", "", "reject with tcp reset")]


def arriving(here: HostRules) -> Iterator[str]:
    """Look at each packet from a desktop to a client port, also of connections that are open: admission may be over.

    Args:
        here: the host.

    Yields:
        Rules for the beginning of the input chain.
    """
    yield from _not_admitted(here, "saddr", "dport", "goto not_admitted")


def leaving(here: HostRules) -> Iterator[str]:
    """Look at each answer to a desktop likewise, but for the reset by which the server says that it is over.

    Args:
        here: the host.

    Yields:
        Rules for the beginning of the output chain.
    """
    yield from _not_admitted(here, "daddr", "sport", "tcp flags & rst == 0 goto not_admitted_any_more")


def _admits(here: HostRules) -> bool:
    return any(flow.service == ADMISSION for flow in here.inbound())


def _not_admitted(here: HostRules, address: str, port: str, verdict: str) -> Iterator[str]:
    # desktops only; nobody else has a flow for these ports
    if _admits(here):
        ports = one_or_more([str(SERVICES[service].port) for service in CLIENT_SERVICES])
        for version in VERSIONS:
            if here.has("desktops", version):
                who = f"{IP[version]} {address}"
                yield f"tcp {port} {ports} {who} @desktops{version} {who} != @{ADMITTED}{version} {verdict}"
