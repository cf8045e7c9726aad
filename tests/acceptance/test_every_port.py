# SPDX-License-Identifier: GPL-3.0-or-later
"""Every port of every host from every zone, IPv4 and IPv6: what answers is what the table of flows says, and no more.

On each host something listens on every port, so that only a firewall can keep a port silent; the counters of the
firewalls say how many packets they refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import pytest
from acceptance.demo_site import INVENTORY, Demo
from acceptance.port_scan.expected import BY_HAND, by_flows, expected
from acceptance.port_scan.places import Program, Stranger, Target, strangers, target
from acceptance.port_scan.sweep import LOOPBACKS, QUESTIONS, Found, Way, prove, sweep
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site, load

ZONES = ("admin", "servers", "desktops", "dmz", "outside")
HOSTS = ("im-int", "im-ext", "log", "gw", "desk", "world")
# nobody's firewall stands between these and the host outside
NEIGHBOURS_OF_WORLD = ("admin", "outside")
# which ways a firewall of the site has to have counted; on the others a packet may end before it
COUNTED = {("servers", "direct"), ("desktops", "direct"), ("dmz", "direct"), *((zone, "gateway") for zone in ZONES)}
ATTEMPTS = 3


@pytest.fixture(scope="module")
def site() -> Site:
    return load(INVENTORY, with_vault=False)


@pytest.fixture(scope="module")
def demo() -> Demo:
    """The demo site as it is; nothing of it is changed here."""
    return Demo()


@pytest.fixture(scope="module")
def places(demo: Demo) -> Iterator[dict[str, Stranger]]:
    with strangers(demo, ZONES) as made:
        yield made


def test_the_table_of_flows_says_what_somebody_wrote_by_hand(site: Site) -> None:
    combinations = itertools.product(ZONES, HOSTS, ZONES)
    derived = {key: found for key in combinations if (found := by_flows(site, *key))}
    assert derived == BY_HAND


@pytest.mark.parametrize("host", HOSTS)
def test_every_port(demo: Demo, site: Site, places: dict[str, Stranger], host: str) -> None:
    knocked = target(demo, host)
    senders = {zone: at for zone, at in places.items() if host != "world" or zone not in NEIGHBOURS_OF_WORLD}
    addresses = [address for found in knocked.addresses.values() for address in found]
    with Program(knocked.container, "sender.py") as prover:
        prover.do("hold", sources=[*LOOPBACKS.values()])
        with Program(knocked.container, "listener.py", *(a for a in addresses if not a.startswith("fe80"))) as listener:
            in_use = listener.read()
            prove(knocked, prover, in_use)
            gateway = target(demo, "gw")
            for attempt in range(ATTEMPTS):
                before = _refusals(knocked, gateway)
                found = sweep(knocked, senders, in_use, at_once=attempt == 0)
                counted = _refusals(knocked, gateway) - before
                refused = sum(result.refused for way, result in found.items() if (way.zone, way.way) in COUNTED)
                _no_more_than_permitted(site, knocked, found)
                if counted >= refused and not _missing(site, knocked, found):
                    break  # else packets were lost on the way: once more, less hurriedly
    print(f"{host}: {len(found)} ways, {refused} attempts to be refused, {counted} refusals counted")
    assert _open(found) == {way: ports for way in found if (ports := expected(site, knocked, way))}
    assert counted >= refused, f"{refused} packets were refused somewhere, the firewalls counted {counted}"
    assert {way.zone for way in found} == {*senders}
    assert {way.address for way in found} >= {address for address in addresses if not address.startswith("fe80")}


# the beginning of a conversation with a service, and of its answer
GREETINGS = {
    22: (b"SSH-2.0-control\r\n", b"SSH-2.0-"),
    53: ((17).to_bytes(2, "big") + bytes.fromhex(QUESTIONS[53]), b""),
    3128: (b"GET http://control.invalid/ HTTP/1.0\r\n\r\n", b"HTTP/1."),
    5222: (b"<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams'>", b"<?xml"),
}


def test_the_real_services_answer_whom_they_serve(site: Site, demo: Demo, places: dict[str, Stranger]) -> None:
    talked = []
    for (zone, host, at), ports in BY_HAND.items():
        if host == "world":
            continue
        stranger = places[zone]
        with Program(stranger.container, "sender.py") as sender:
            for address in target(demo, host).addresses[at]:
                if address not in target(demo, host).declared:
                    continue
                version = 6 if ":" in address else 4
                source = stranger.sources[version]
                if zone not in ("admin", at):
                    # the sweeps have left the last way that they tried: the one past the gateway
                    stranger.route(address, stranger.gateway[version])
                for port in {int(name.partition("/")[2]) for name in ports if name.startswith("tcp/")} & set(GREETINGS):
                    question, begins = GREETINGS[port]
                    answer = sender.do("talk", source=source, to=address, port=port, packet=question.hex())["answer"]
                    assert answer, f"{host} {address} port {port} says nothing to {zone}"
                    assert bytes.fromhex(answer).startswith(begins), f"{host} {address} port {port}: {answer}"
                    talked.append((zone, host, port))
    assert {port for _, _, port in talked} == set(GREETINGS)


def _refusals(*targets: Target) -> int:
    return sum(one.refusals() for one in {one.name: one for one in targets}.values())


def _open(found: Mapping[Way, Found]) -> dict[Way, set[str]]:
    return {way: result.open for way, result in found.items() if result.open}


def _no_more_than_permitted(site: Site, knocked: Target, found: Mapping[Way, Found]) -> None:
    more = {way: ports for way, result in found.items() if (ports := result.open - expected(site, knocked, way))}
    assert not more, "\n".join(
        f"from {way.zone} by the way '{way.way}' {way.address} answers on {len(ports)}: {sorted(ports)[:10]}"
        for way, ports in more.items()
    )


def _missing(site: Site, knocked: Target, found: Mapping[Way, Found]) -> bool:
    return any(expected(site, knocked, way) - result.open for way, result in found.items())
