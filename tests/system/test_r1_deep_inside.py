# SPDX-License-Identifier: GPL-3.0-or-later
"""R1: the server stands deep inside: from outside no packet reaches it, and it reaches nothing outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from probe.remote import Probe
from system.controls import Breakage, NotTried, Seen, control
from system.network import RELAY_PORT, RELAY_RESTART, Firewall, Opened, archives, let_pass, told
from system.site_facts import SiteFacts
from system.talk import fresh

CLIENTS = (5222, 5223, 5281)
# what a server might be asked for: mail, names, web, XMPP of servers, databases, remote desktops
KNOCKED = (*CLIENTS, 22, 25, 53, 80, 443, 3306, 3389, 5269, 5270, 5280)
TCP_OUTSIDE = (25, 53, 80, 443, 5222, 5269, 8443)
UDP_OUTSIDE = (53, 123, 443, 4500)
TUNNEL = "tunnel.example"
# the provider's resolver of the demo, which notes what is asked below the tunnel's domain
ASKED = "/var/log/unbound/queries.log"
RELAY_LOG = "/var/log/squid/access.log"


def outside_of(facts: SiteFacts, world: Probe) -> list[str]:
    """Return the addresses of the host outside, IPv4 and IPv6."""
    return facts.hosts[world.name].all_addresses("outside")


@control(
    id="R1-unreachable-from-outside",
    practice="R1",
    says="From outside the company no packet reaches the server; the gateway's firewall refuses it before.",
    permitted="A desktop reaches the messaging ports; on the other ports something listens for the moment.",
    forbidden="From outside, thirteen ports of the server, by IPv4 and IPv6.",
    tried_from="outside",
    on="gateway",
    breakage=let_pass("forward"),
)
def test_unreachable_from_outside(
    *,
    facts: SiteFacts,
    desk: Probe,
    world: Probe,
    inside: Probe,
    gateway: Any,
    listen: Callable[..., None],
    seen: Seen,
) -> None:
    addresses = facts.server().all_addresses("servers")
    listen(inside, addresses, KNOCKED)
    targets = [(address, port) for address in addresses for port in KNOCKED]
    silent = [f"{one['host']} {one['port']}" for one in inside.do("knock", targets=targets) if one["why"]]
    assert not silent, f"nothing listens there, so nothing is proven: {', '.join(silent)}"
    for outcome in desk.do("knock", targets=[(address, port) for address in addresses for port in CLIENTS]):
        assert outcome["result"] == "connected", f"a desktop does not reach port {outcome['port']}: {told(outcome)}"
    seen(f"{len(targets)} ports listen; the desktop reaches those for messaging.")
    firewall = Firewall(gateway, facts.gateway().name)
    before = firewall.refused("forward")
    reached = [
        f"{one['host']} {one['port']}" for one in world.do("knock", targets=targets) if one["result"] == "connected"
    ]
    assert not reached, f"{world.name} reaches {', '.join(reached)}"
    seen(f"{world.name} reaches none of them.")
    if facts.demo:
        # elsewhere the Internet has no way to a private address, and nothing comes as far as the firewall
        firewall.rises("forward", before, len(targets), seen)


def _try_everything(probe: Probe, addresses: list[str]) -> tuple[list[str], int]:
    """Try to get out by TCP, UDP and echo requests; returns what got through, and how many attempts there were."""
    outcomes = probe.do("knock", targets=[(address, port) for address in addresses for port in TCP_OUTSIDE])
    through = [f"TCP {one['host']} {one['port']}" for one in outcomes if one["result"] == "connected"]
    for address in addresses:
        for port in UDP_OUTSIDE:
            if probe.do("udp_ask", host=address, port=port, text="out", timeout=0.7)["result"] == "answered":
                through.append(f"UDP {address} {port}")
        if probe.do("ping", host=address, timeout=1)["result"] == "answered":
            through.append(f"echo {address}")
    return through, len(addresses) * (len(TCP_OUTSIDE) + len(UDP_OUTSIDE) + 1)


@control(
    id="R1-server-gets-nowhere",
    practice="R1",
    says="Even somebody who had got into the server could send nothing out: its firewall refuses and logs it.",
    permitted="The server finds the site's names, has the time from the gateway and fetches Debian's updates.",
    forbidden="From the server to the outside: TCP, UDP and echo requests, IPv4 and IPv6, where something listens.",
    tried_from="im_internal",
    breakage=let_pass("output"),
)
def test_server_gets_nowhere(
    *,
    facts: SiteFacts,
    inside: Probe,
    desk: Probe,
    world: Probe,
    world_root: Probe,
    server: Any,
    listen: Callable[..., None],
    seen: Seen,
) -> None:
    gateway = facts.gateway().address("servers")
    name = inside.do("ask_name", server=gateway, name=facts.domain)
    assert facts.service() in name["answers"], f"the server does not find its own name {facts.domain}: {name['why']}"
    time = inside.do("ask_time", server=gateway)
    assert time["result"] == "answered", f"the gateway does not tell the server the time: {time['why']}"
    assert abs(time["off"]) < 1, f"the clocks of server and gateway are {time['off']} seconds apart"
    suite = server.run(". /etc/os-release && echo $VERSION_CODENAME").stdout.strip()
    url = f"{archives(server)[0]}dists/{suite}/Release"
    fetched = inside.do("through_relay", relay=gateway, port=RELAY_PORT, method="GET", target=url)
    assert fetched["status"] == 200, f"{url} does not come through the relay: {fetched['status']} {fetched['why']}"
    assert suite in fetched["start"], f"what came is no release of Debian: {fetched['start'][:80]!r}"
    seen(f"By way of the gateway: {facts.domain}, the time ({time['off']} s apart), {suite}'s Release file.")
    addresses = outside_of(facts, world)
    listen(world_root, addresses, TCP_OUTSIDE)
    listen(world_root, addresses, UDP_OUTSIDE, "udp")
    web = desk.do("knock", targets=[(address, 443) for address in addresses])
    assert all(one["result"] == "connected" for one in web), f"not even a desktop reaches {world.name}: {web}"
    firewall = Firewall(server, facts.server().name)
    before, mark = firewall.refused("output"), firewall.mark()
    through, attempts = _try_everything(inside, addresses)
    assert not through, f"the server gets out: {', '.join(through)}"
    seen(f"{attempts} attempts to reach {world.name}, which a desktop reaches: none got through.")
    firewall.rises("output", before, attempts, seen)
    unlogged = firewall.unlogged(mark, "output", [(address, port) for address in addresses for port in (443, 4500, 0)])
    assert not unlogged, f"refused and not logged: {', '.join(unlogged)}"
    seen("Each kind stands in its log.")


@control(
    id="R1-gateway-stops-the-server",
    practice="R1",
    says="Were the server's own firewall gone, the gateway would still let nothing out of it.",
    permitted="A desktop reaches the website outside, by the same gateway.",
    forbidden="The same as before, with the server's own firewall open for the moment.",
    tried_from="im_internal",
    on="gateway",
    safe=False,
    breakage=let_pass("forward"),
)
def test_gateway_stops_the_server(
    *,
    facts: SiteFacts,
    inside: Probe,
    desk: Probe,
    world: Probe,
    world_root: Probe,
    server: Any,
    gateway: Any,
    listen: Callable[..., None],
    seen: Seen,
) -> None:
    addresses = outside_of(facts, world)
    listen(world_root, addresses, TCP_OUTSIDE)
    listen(world_root, addresses, UDP_OUTSIDE, "udp")
    web = desk.do("knock", targets=[(address, 443) for address in addresses])
    assert all(one["result"] == "connected" for one in web), f"not even a desktop reaches {world.name}: {web}"
    firewall = Firewall(gateway, facts.gateway().name)
    before, mark = firewall.refused("forward"), firewall.mark()
    with Opened(server):
        through, attempts = _try_everything(inside, addresses)
    assert not through, f"the gateway lets the server out: {', '.join(through)}"
    seen(f"{attempts} attempts, none got through.")
    firewall.rises("forward", before, attempts, seen)
    unlogged = firewall.unlogged(mark, "forward", [(address, 443) for address in addresses])
    assert not unlogged, f"refused and not logged: {', '.join(unlogged)}"


@control(
    id="R1-no-tunnel-through-names",
    practice="R1",
    says="Nobody carries data out of the server hidden in questions for names: only the site's own are answered.",
    permitted="The site's names from the server; any name from a desktop, which the outside then notes.",
    forbidden="A name below a foreign domain, asked by the server by UDP and TCP.",
    tried_from="im_internal",
    on="gateway",
    breakage=Breakage(
        "/etc/unbound/unbound.conf",
        # as if the servers were desktops
        r"(refuse_non_local|allow)\n\taccess-control-view: .*$",
        "allow",
        command="systemctl reset-failed unbound; systemctl restart unbound",
    ),
)
def test_no_tunnel_through_names(
    *, facts: SiteFacts, inside: Probe, desk: Probe, world_root: Probe, gateway: Any, seen: Seen
) -> None:
    there = facts.gateway()
    own = inside.do("ask_name", server=there.address("servers"), name=facts.domain)
    assert own["answers"], f"the server does not find {facts.domain}: {own['why']}"
    size = world_root.do("file_size", path=ASKED)
    permitted = f"{fresh('desk')}.{TUNNEL}"
    answer = desk.do("ask_name", server=there.address("desktops"), name=permitted, kind="TXT")
    if not answer["answers"] or not world_root.do("lines_since", path=ASKED, offset=size, containing=permitted):
        raise NotTried(f"nobody outside notes who asks for names below {TUNNEL}: {answer['why']}")
    seen(f"The server finds {facts.domain}; a desktop's question for {permitted} came as far as {world_root.name}.")
    since = gateway.run("date +%s").stdout.strip()
    for protocol in ("udp", "tcp"):
        secret = f"{fresh('secret')}.{TUNNEL}"
        refused = inside.do("ask_name", server=there.address("servers"), name=secret, kind="TXT", protocol=protocol)
        noted = world_root.do("lines_since", path=ASKED, offset=size, containing=secret)
        assert not noted, f"{world_root.name} learnt of {secret}: {noted[0]}"
        assert refused["rcode"] == "REFUSED", f"the gateway's resolver answered {refused['rcode'] or refused['why']}"
        log = gateway.run("journalctl --quiet --no-pager -o cat -u unbound --since @%s", since).stdout
        assert secret in log, f"the resolver refused {secret} and did not write it down"
        seen(f"The server's question for {secret} by {protocol.upper()}: refused and logged, and unknown outside.")


@control(
    id="R1-relay-for-updates-only",
    practice="R1",
    says="The relay fetches Debian's updates for the server, and nothing from anywhere else.",
    permitted="A file of Debian's archive through the relay.",
    forbidden="Another website, its bare address, another port of the archive, sending something; any tunnel.",
    tried_from="im_internal",
    on="gateway",
    breakage=Breakage("/etc/squid/squid.conf", r"^http_access deny !sources$", "", command=RELAY_RESTART),
)
def test_relay_for_updates_only(
    *, facts: SiteFacts, inside: Probe, desk: Probe, world: Probe, server: Any, gateway: Any, seen: Seen
) -> None:
    relay, archive = facts.gateway().address("servers"), archives(server)[0]
    source = urlsplit(archive).netloc
    suite = server.run(". /etc/os-release && echo $VERSION_CODENAME").stdout.strip()
    url = f"{archive}dists/{suite}/Release"
    fetched = inside.do("through_relay", relay=relay, port=RELAY_PORT, method="GET", target=url)
    assert fetched["status"] == 200, f"{url} does not come through the relay: {fetched['status']} {fetched['why']}"
    website = facts.hosts[world.name].address("outside")
    if desk.do("tcp_connect", host=website, port=80)["result"] != "connected":
        raise NotTried(f"the website on {world.name} answers nobody")
    seen(f"{url} came through the relay.")
    page = fresh("page")
    for method, target in (
        ("GET", f"http://{website}/{page}"),
        ("GET", f"http://partner.example/{page}"),
        ("CONNECT", f"{website}:443"),
        # in a tunnel to a host of many, one of the others could be asked for
        ("CONNECT", f"{source}:443"),
        ("CONNECT", f"{source}:22"),
        ("POST", f"http://{source}/{page}"),
    ):
        size = int(gateway.run("stat -c %%s %s", RELAY_LOG).stdout.split()[0])
        answer = inside.do("through_relay", relay=relay, port=RELAY_PORT, method=method, target=target)
        assert answer["status"] == 403, f"{method} {target}: the relay answered {answer['status']} {answer['why']}"
        log = gateway.run(f"tail -c +{size + 1} %s", RELAY_LOG).stdout
        line = next((line for line in log.splitlines() if target in line), "")
        assert "DENIED" in line, f"{method} {target} is not in the relay's log: {log[-300:]!r}"
        seen(f"{method} {target}: 403, logged.")
