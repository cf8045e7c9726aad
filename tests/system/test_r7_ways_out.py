# SPDX-License-Identifier: GPL-3.0-or-later
"""R7: what leaves the company leaves by the few ways that the site names, and nothing comes in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from probe.remote import Probe
from system.controls import NotTried, Seen, control
from system.network import Firewall, Opened, let_pass
from system.site_facts import SiteFacts

# the ports of what a site may permit its desktops; see docs/site-file.md, `outward`
WAYS = {"web": 80, "web_tls": 443, "imaps": 993, "submission": 587, "submissions": 465}
# messengers, mail, names, remote control and other servers' XMPP: what a desktop might use to get around the server
BY_THE_WAY = (22, 25, 53, 1194, 3478, 4244, 5222, 5223, 5228, 5269, 6667, 8443)
RESOLVER = 53
# what somebody from outside would look for
WANTED_INSIDE = (22, 80, 443, 445, 3389, 5222, 8099)
WANTED_AT_GATEWAY = (22, 53, 80, 123, 443, 3128)


def _permitted(facts: SiteFacts) -> list[int]:
    return [WAYS[str(name)] for name in facts.sallyport.get("outward", {}).get("desktops", [])]


def _refused(facts: SiteFacts) -> list[int]:
    return sorted({*BY_THE_WAY, *WAYS.values()} - {*_permitted(facts)})


def _try_out(probe: Probe, addresses: list[str], ports: list[int]) -> list[str]:
    """Try TCP ports; returns what got through."""
    outcomes = probe.do("knock", targets=[(address, port) for address in addresses for port in ports])
    return [f"{one['host']} {one['port']}" for one in outcomes if one["result"] == "connected"]


def _ask_names(probe: Probe, addresses: list[str]) -> list[str]:
    """Ask for a name by UDP; returns who answered."""
    asked = (
        (address, probe.do("ask_name", server=address, name="partner.example", timeout=1.5)) for address in addresses
    )
    return [f"{address} {RESOLVER} by UDP" for address, said in asked if said["result"] == "answered"]


def _open_there(probe: Probe, listen: Callable[..., None], addresses: list[str], ports: list[int]) -> None:
    listen(probe, addresses, ports)
    answers = probe.do("knock", targets=[(address, port) for address in addresses for port in ports])
    silent = [f"{one['host']} {one['port']}" for one in answers if one["result"] != "connected"]
    if silent:
        raise NotTried(f"nothing listens outside on {', '.join(silent)}, so a refusal would prove nothing")


@control(
    id="R7-desktops-ways-out",
    practice="R7",
    says="Desktops reach outside what the site permits them, and nothing else.",
    permitted="The permitted services outside, by IPv4 and IPv6; names, by the gateway's resolver.",
    forbidden="Fifteen other ports outside where something listens, and the resolver of somebody else.",
    on="desktops",
    breakage=let_pass("output"),
)
def test_desktops_ways_out(
    *, facts: SiteFacts, desk: Probe, desktop: Any, world_root: Probe, listen: Callable[..., None], seen: Seen
) -> None:
    addresses, permitted, refused = (
        facts.hosts[world_root.name].all_addresses("outside"),
        _permitted(facts),
        _refused(facts),
    )
    _open_there(world_root, listen, addresses, [*permitted, *refused])
    for outcome in desk.do("knock", targets=[(address, port) for address in addresses for port in permitted]):
        assert outcome["result"] == "connected", f"{outcome['host']} {outcome['port']}, permitted: {outcome['why']}"
    name = desk.do("ask_name", server=facts.gateway().address("desktops"), name=facts.domain)
    assert name["answers"], f"the gateway's resolver does not answer the desktop: {name['why']}"
    seen(f"{desk.name} reaches {world_root.name} on {', '.join(map(str, permitted)) or 'no port'}, and has names.")
    firewall = Firewall(desktop, desk.name)
    before = firewall.refused("output")
    through = _try_out(desk, addresses, refused) + _ask_names(desk, addresses)
    attempts = len(addresses) * (len(refused) + 1)
    assert not through, f"{desk.name} reaches {', '.join(through)}"
    seen(f"{attempts} other attempts, {', '.join(map(str, refused))} and names of somebody else's: none got through.")
    firewall.rises("output", before, attempts, seen)


@control(
    id="R7-gateway-lets-out",
    practice="R7",
    says="A computer without a firewall of its own gets no further: the gateway stops it.",
    permitted="The permitted services outside.",
    forbidden="The same ports as before but that for names, with the desktop's own firewall open for the moment.",
    on="gateway",
    safe=False,
    breakage=let_pass("forward"),
)
def test_gateway_lets_out(
    *,
    facts: SiteFacts,
    desk: Probe,
    desktop: Any,
    gateway: Any,
    world_root: Probe,
    listen: Callable[..., None],
    seen: Seen,
) -> None:
    addresses, permitted, refused = (
        facts.hosts[world_root.name].all_addresses("outside"),
        _permitted(facts),
        # a question for a name is answered by the gateway in the other's place: see R7-names-by-the-gateway-only
        [port for port in _refused(facts) if port != RESOLVER],
    )
    _open_there(world_root, listen, addresses, [*permitted, *refused])
    firewall = Firewall(gateway, facts.gateway().name)
    before, mark = firewall.refused("forward"), firewall.mark()
    with Opened(desktop):
        for outcome in desk.do("knock", targets=[(address, port) for address in addresses for port in permitted]):
            assert outcome["result"] == "connected", f"{outcome['host']} {outcome['port']}, permitted: {outcome['why']}"
        through = _try_out(desk, addresses, refused)
    attempts = len(addresses) * len(refused)
    assert not through, f"the gateway lets {desk.name} reach {', '.join(through)}"
    seen(f"{attempts} attempts with the desktop's own firewall open: none got through.")
    firewall.rises("forward", before, attempts, seen)
    unlogged = firewall.unlogged(mark, "forward", [(address, 8443) for address in addresses])
    assert not unlogged, f"refused and not logged: {', '.join(unlogged)}"


@control(
    id="R7-nothing-comes-in",
    practice="R7",
    says="From outside nobody reaches a computer of the company: the gateway forwards nothing.",
    permitted="The computer reaches the outside, by the same gateway; on its ports something listens for the moment.",
    forbidden="From outside, seven ports of a desktop, by IPv4 and IPv6.",
    tried_from="outside",
    on="gateway",
    breakage=let_pass("forward"),
)
def test_nothing_comes_in(
    *,
    facts: SiteFacts,
    desk: Probe,
    desk_root: Probe,
    world: Probe,
    gateway: Any,
    listen: Callable[..., None],
    seen: Seen,
) -> None:
    addresses = facts.hosts[desk.name].all_addresses("desktops")
    targets = [(address, port) for address in addresses for port in WANTED_INSIDE]
    _open_there(desk_root, listen, addresses, [*WANTED_INSIDE])
    outside = facts.hosts[world.name].all_addresses("outside")
    permitted = [(address, port) for address in outside for port in _permitted(facts)]
    assert all(one["result"] == "connected" for one in desk.do("knock", targets=permitted)), "the desktop gets nowhere"
    firewall = Firewall(gateway, facts.gateway().name)
    before = firewall.refused("forward")
    reached = [
        f"{one['host']} {one['port']}" for one in world.do("knock", targets=targets) if one["result"] == "connected"
    ]
    assert not reached, f"{world.name} reaches {', '.join(reached)}"
    seen(f"{world.name} reaches none of {len(targets)} ports of {desk.name} on which something listens.")
    if facts.demo:
        # elsewhere the Internet has no way to a private address, and nothing comes as far as the firewall
        firewall.rises("forward", before, len(targets), seen)


@control(
    id="R7-gateway-closed",
    practice="R7",
    says="The gateway itself serves nobody outside: no names, no relay, no time, no administration.",
    permitted="A desktop gets names, the relay and the time from it.",
    forbidden="From outside, six ports of the gateway at each of its addresses, where something listens.",
    tried_from="outside",
    on="gateway",
    breakage=let_pass("input"),
)
def test_gateway_closed(
    *,
    facts: SiteFacts,
    desk: Probe,
    world: Probe,
    inside_gateway: Probe,
    gateway: Any,
    listen: Callable[..., None],
    seen: Seen,
) -> None:
    host = facts.gateway()
    near = host.address("desktops")
    assert desk.do("ask_name", server=near, name=facts.domain)["answers"], "a desktop gets no names from the gateway"
    assert desk.do("ask_time", server=near)["result"] == "answered", "a desktop gets no time from the gateway"
    assert desk.do("tcp_connect", host=near, port=3128)["result"] == "connected", "a desktop does not reach the relay"
    seen(f"{desk.name} has names, the time and the relay from {host.name}.")
    addresses = host.all_addresses()
    listen(inside_gateway, addresses, WANTED_AT_GATEWAY)
    listen(inside_gateway, addresses, [53], "udp")
    targets = [(address, port) for address in addresses for port in WANTED_AT_GATEWAY]
    silent = [
        f"{one['host']} {one['port']}"
        for one in inside_gateway.do("knock", targets=targets)
        if one["result"] != "connected"
    ]
    assert not silent, f"nothing listens there, so nothing is proven: {', '.join(silent)}"
    firewall = Firewall(gateway, host.name)
    before = firewall.refused("input")
    outcomes = world.do("knock", targets=targets)
    reached = [f"{one['host']} {one['port']}" for one in outcomes if one["result"] == "connected"]
    for address in addresses:
        if world.do("ask_name", server=address, name=facts.domain, timeout=1.0)["result"] == "answered":
            reached.append(f"{address} 53 by UDP")
        if world.do("ask_time", server=address, timeout=1.0)["result"] == "answered":
            reached.append(f"{address} 123 by UDP")
    assert not reached, f"{world.name} reaches {', '.join(reached)}"
    seen(f"{world.name} reaches none of them, at {len(addresses)} addresses.")
    if facts.demo:
        firewall.rises("input", before, len(targets) + 2 * len(addresses), seen)
