# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of a ruleset: blocks, matches and verdicts as nft takes them, and addresses by their version of IP.

Source: nft(8).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from ansible_collections.sallyport.im.plugins.plugin_utils.flows import Service
from ansible_collections.sallyport.im.plugins.plugin_utils.values import Network

LOG_GROUP = 5
"""The group of NFLOG to which ulogd listens on the hosts."""
LOG_RATE = "limit rate 10/second burst 200 packets"
"""What is logged of the refusals; all of them are counted."""
LOG_BYTES = 128
"""How much of a refused packet is handed to the log daemon, which writes down fields of its headers only."""
VERSIONS = (4, 6)
IP = {4: "ip", 6: "ip6"}
_ECHO = {4: "icmp type echo-request", 6: "icmpv6 type echo-request"}


def block(head: str, lines: Sequence[str]) -> str:
    """Return a named part of the table."""
    return f"  {head} {{\n" + "".join(f"    {line}\n" for line in lines) + "  }\n"


def hook(name: str) -> list[str]:
    """Return the first line of a chain through which all packets of a direction go."""
    return [f"type filter hook {name} priority filter; policy drop;"]


def refuse(chain: str, reason: str, match: str, verdict: str) -> Iterator[str]:
    """Log some, count all, refuse all."""
    start = f"{match} " if match else ""
    yield f'{start}{LOG_RATE} log prefix "sallyport {chain} {reason}" group {LOG_GROUP} snaplen {LOG_BYTES}'
    yield f"{start}counter name refused_{chain} {verdict}"


def one_or_more(items: Sequence[str]) -> str:
    """Return what a packet's field is compared with."""
    return items[0] if len(items) == 1 else f"{{ {', '.join(items)} }}"


def of_service(service: Service, version: int) -> str:
    """Return how a service is known by the first packet that asks for it."""
    return _ECHO[version] if service.protocol == "icmp" else f"{service.protocol} dport {service.port}"


def holding(begins: str, ends: str) -> list[str]:
    """Return what a rule says of the time in which it holds; nothing where there is no limit."""
    limits = ((">=", begins), ("<", ends))
    return [f"meta time {compared} {_seconds(instant)}" for compared, instant in limits if instant]


def _seconds(instant: str) -> int:
    """Return an instant in seconds since 1970: as a date, nft would read it in the host's time zone."""
    return int(datetime.datetime.fromisoformat(instant.replace("Z", "+00:00")).timestamp())


def is_address(text: str) -> bool:
    """Tell an address from a name and from `outside`."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def in_version(addresses: Sequence[str], version: int) -> list[str]:
    """Pick the addresses of a version of IP; what is a name or `outside` belongs to both."""
    return [to for to in addresses if not is_address(to) or ip_address(to).version == version]


def of_version(networks: Sequence[Network], version: int) -> list[Network]:
    """Pick the networks of a version of IP."""
    return [network for network in networks if network.version == version]
