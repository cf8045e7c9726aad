# SPDX-License-Identifier: GPL-3.0-or-later
"""The DNS records that clients of a site need, in the notation of zone files (RFC 1035, section 5.1)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from ansible_collections.sallyport.im.plugins.plugin_utils.flows import ports


def dns_records(domain: str, addresses: Iterable[str], *, files: bool = True, partners: bool = False) -> list[str]:
    """List the DNS records of an IM server.

    Args:
        domain: its domain.
        addresses: its service addresses, IPv4 and IPv6.
        files: whether it has a file service.
        partners: whether the records are for other servers, and not for the people's clients.

    Returns:
        A or AAAA for the server and its files, SRV for both ways to sign in (RFC 6120 3.2.1, XEP-0368), or for both
        ways between servers. Rooms need none: clients reach them through the server.

    Raises:
        ValueError: an address is none.
    """
    known = [ipaddress.ip_address(address) for address in addresses]
    records = []
    for name in (domain, f"files.{domain}") if files else (domain,):
        records += [f"{name}. IN {'A' if address.version == 4 else 'AAAA'} {address}" for address in known]
    ways = ports("xmpps_servers", "xmpp_servers") if partners else ports("xmpps", "xmpp")
    for service, port in ways.items():
        name = service.removesuffix("_servers")
        records.append(f"_{name}-{'server' if partners else 'client'}._tcp.{domain}. IN SRV 0 0 {port} {domain}.")
    return records
