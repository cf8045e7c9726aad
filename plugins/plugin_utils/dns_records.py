# SPDX-License-Identifier: GPL-3.0-or-later
"""The DNS records that clients of a site need, in the notation of zone files (RFC 1035, section 5.1)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from ansible_collections.sallyport.im.plugins.plugin_utils.flows import ports


def dns_records(domain: str, addresses: Iterable[str]) -> list[str]:
    """List the DNS records of the internal server.

    Args:
        domain: its domain.
        addresses: its service addresses, IPv4 and IPv6.

    Returns:
        A or AAAA for the server and its files, SRV for both ways to sign in (RFC 6120 3.2.1, XEP-0368). Rooms need
        none: clients reach them through the server.

    Raises:
        ValueError: an address is none.
    """
    known = [ipaddress.ip_address(address) for address in addresses]
    records = []
    for name in (domain, f"files.{domain}"):
        records += [f"{name}. IN {'A' if address.version == 4 else 'AAAA'} {address}" for address in known]
    for service, port in ports("xmpps", "xmpp").items():
        records.append(f"_{service}-client._tcp.{domain}. IN SRV 0 0 {port} {domain}.")
    return records
