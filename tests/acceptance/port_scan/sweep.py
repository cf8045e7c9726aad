# SPDX-License-Identifier: GPL-3.0-or-later
"""Knock on every port of a host from every zone, by every way that leads there, and count.

Three ways lead to an address:

- ``gateway``: as the network is meant to be, over the gateway where the address lies in another network;
- ``direct``: straight to the host in the own network, for an address that it has in another one. Linux takes packets
  for any of its addresses on any interface, so that the gateway is passed by;
- ``bridge``: over the machine that carries the containers, which forwards IPv6 between Docker's networks.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from acceptance.port_scan.places import Program, Stranger, Target

PORTS = 65535
# connections and questions of the host itself that are under way; each is a port on which nothing else can listen
MOST_IN_USE = 64
ATTEMPTS = 3
LOOPBACKS = {4: "127.0.0.2", 6: "::1"}
# what a program that speaks DNS or NTP answers: a question for the root's name servers, a client's packet (RFC 5905)
QUESTIONS = {53: "abcd01000001000000000000" + "00" + "00020001", 123: "23" + "00" * 47}


@dataclass(frozen=True, order=True)
class Way:
    """How somebody knocks.

    Attributes:
        zone: from where.
        way: ``gateway``, ``direct`` or ``bridge``.
        at: zone of the address.
        address: the address.
    """

    zone: str
    way: str
    at: str
    address: str


@dataclass
class Found:
    """What came of it.

    Attributes:
        open: what was answered, as ``tcp/22``, ``udp/53``, ``icmp``.
        refused: how many packets went out for which nothing came back.
    """

    open: set[str]
    refused: int


def version(address: str) -> int:
    """Return the version of IP of an address."""
    return ipaddress.ip_address(address).version


def ways(stranger: Stranger, target: Target) -> Iterator[Way]:
    """List the ways from a place to a host, those over the gateway first."""
    near = target.addresses.get(stranger.zone, [])
    far = [(at, a) for at, found in target.addresses.items() for a in found if at != stranger.zone]
    far = [(at, address) for at, address in far if not ipaddress.ip_address(address).is_link_local]
    for address in near:
        yield Way(stranger.zone, "gateway", stranger.zone, address)
    if stranger.gateway:
        for at, address in far:
            yield Way(stranger.zone, "gateway", at, address)
    own_gateway = set(near) & set(stranger.gateway.values())
    for at, address in far:
        # where the host is the gateway itself, the straight way is the usual one
        if near and not own_gateway and version(address) in {version(there) for there in near}:
            yield Way(stranger.zone, "direct", at, address)
    for at, address in far:
        if stranger.bridge and version(address) == 6:
            yield Way(stranger.zone, "bridge", at, address)


def prepare(stranger: Stranger, target: Target, way: Way) -> str:
    """Set the routes for a way, and return the device to be named, if any."""
    if stranger.zone == "admin":
        # the control node stands in every network; only the named device keeps it in this one
        return stranger.device if way.way == "direct" or ipaddress.ip_address(way.address).is_link_local else ""
    if ipaddress.ip_address(way.address).is_link_local:
        return stranger.device
    if way.at != stranger.zone:
        ip = version(way.address)
        via = {"gateway": stranger.gateway[ip], "bridge": stranger.bridge}.get(way.way)
        if via is None:
            near = target.addresses[stranger.zone]
            via = next(there for there in near if version(there) == ip)
        stranger.route(way.address, via)
    return ""


def knock(sender: Program, stranger: Stranger, target: Target, way: Way, in_use: Mapping[str, list[int]]) -> Found:
    """Knock on every port of an address by one way."""
    device = prepare(stranger, target, way)
    source = stranger.sources[version(way.address)]
    to = f"{way.address}%{device}" if ipaddress.ip_address(way.address).is_link_local else way.address
    if ":" in to and "%" in to:
        device = ""
    where = {"source": source, "to": to, "device": device}
    found = Found(set(), 0)
    for protocol in ("tcp", "udp"):
        answer = sender.do(protocol, **where)
        answered = set(answer["answered"])
        found.refused += PORTS - len(answered) - sum(answer["failed"].values())
        if protocol == "udp" and not device and "%" not in to:
            for port in set(QUESTIONS) & set(in_use["udp"]) - answered:
                if sender.do("ask", source=source, to=way.address, port=port, packet=QUESTIONS[port], wait=1)["answer"]:
                    answered.add(port)
        found.open |= {f"{protocol}/{port}" for port in answered}
    if sender.do("ping", **where)["answered"]:
        found.open.add("icmp")
    return found


def prove(target: Target, prover: Program, in_use: Mapping[str, list[int]]) -> None:
    """Make sure that something answers on every port of the host, seen from the host itself.

    Args:
        target: the host.
        prover: the sender on the host itself; holds a socket on each of `LOOPBACKS`.
        in_use: ports that something of the host itself uses; what does not echo is silent here, and the zones that may
            use it ask it in its own language.

    Raises:
        AssertionError: when a port is silent, so that silence elsewhere would prove nothing.
    """
    for ip, loopback in LOOPBACKS.items():
        own = next((a for found in target.addresses.values() for a in found if version(a) == ip), "")
        if own:
            for protocol, source in (("tcp", own), ("udp", loopback)):
                silent = {*range(1, PORTS + 1)}
                for _ in range(ATTEMPTS):
                    # a busy machine loses some
                    if missing := silent - {*in_use[protocol]}:
                        said = prover.do(protocol, source=source, to=own, ports=sorted(missing), quiet=1.0)
                        silent -= {*said["answered"]}
                assert silent <= {*in_use[protocol]}, (
                    f"{target.name}: {protocol} on {own} is silent: {sorted(silent)[:20]}"
                )
                assert len(silent) <= MOST_IN_USE, f"{target.name}: {len(silent)} {protocol} ports of {own} are in use"


def sweep(
    target: Target, places: Mapping[str, Stranger], in_use: Mapping[str, list[int]], *, at_once: bool
) -> dict[Way, Found]:
    """Knock on a host from every place.

    Args:
        target: the host.
        places: the places, by zone.
        in_use: ports on which real services answer, by protocol.
        at_once: from all places at the same time; quicker, and packets may get lost on a busy machine.

    Returns:
        What was found, by way.
    """

    def from_place(stranger: Stranger) -> dict[Way, Found]:
        with Program(stranger.container, "sender.py") as sender:
            return {way: knock(sender, stranger, target, way, in_use) for way in ways(stranger, target)}

    found: dict[Way, Found] = {}
    with ThreadPoolExecutor(len(places) if at_once else 1) as pool:
        for part in pool.map(from_place, places.values()):
            found |= part
    return found
