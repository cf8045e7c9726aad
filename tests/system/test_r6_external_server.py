# SPDX-License-Identifier: GPL-3.0-or-later
"""R6: the server for outside contacts is locked down like the internal one; it reaches other servers, and nothing else.

That it is hardened alike, the controls of R2 and R5 show: they look at every server of the site.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from probe.remote import Probe
from system.controls import Breakage, NotTried, Seen, control
from system.desktops import declared_port
from system.network import RELAY_PORT, RELAY_RESTART, Firewall, Opened, archives, let_pass
from system.outside import DIRECT_PORT, PARTNER, STREAMS_PORT
from system.site_facts import SiteFacts
from system.talk import fresh

FOR_PEOPLE = (5222, 5223, 5281)
BETWEEN_SERVERS = (STREAMS_PORT, DIRECT_PORT)
# what somebody might look for on it: administration, mail, names, web, databases, the ports for people
KNOCKED = (22, 25, 53, 80, 443, 3128, 3306, 5280, 8099, *FOR_PEOPLE)
# what somebody might send by from it: mail, names, web, messengers
WAYS_OUT = (22, 25, 53, 80, 443, 853, 1194, 4244, 5190, 5222, 6667, 8443)
UDP_OUT = (53, 123, 443, 853, 4500)
ASKED = "/var/log/unbound/queries.log"
UNBOUND = "/etc/unbound/unbound.conf"
SQUID = "/etc/squid/squid.conf"


def _targets(facts: SiteFacts) -> list[str]:
    """Return the addresses at which the outside might look for it."""
    return [facts.gateway().address("outside"), *facts.external_server().all_addresses("dmz")]


def _reached(probe: Probe, targets: list[tuple[str, int]]) -> list[str]:
    return [
        f"{one['host']} {one['port']}" for one in probe.do("knock", targets=targets) if one["result"] == "connected"
    ]


def _given(probe: Probe | None) -> Probe:
    assert probe is not None, "the site has an external server and there is no probe on it"
    return probe


@control(
    id="R6-only-declared-ports",
    practice="R6",
    says="The outside server does nothing but messaging: no other service can be reached on it.",
    permitted="Administration, the ports for people, those for other servers and the admission of desktops answer.",
    forbidden="Any other port that listens for the network.",
    tried_from="im_external",
    on="im_external",
    breakage=Breakage(
        command="systemd-run --unit=sallyport-mutation python3 -m http.server 8099 && sleep 1",
        undo="systemctl stop sallyport-mutation",
    ),
)
def test_only_declared_ports(facts: SiteFacts, external: Any, desk: Probe, seen: Seen) -> None:
    host = facts.external_server()
    declared = {host.ssh_port, *FOR_PEOPLE, *BETWEEN_SERVERS, *declared_port(facts)}
    listening = set()
    for line in external.run("ss -Hltun").stdout.splitlines():
        address, _, port = line.split()[4].rpartition(":")
        # what only the machine itself reaches is no service to anybody
        if not re.match(r"127\.|\[::1\]|::1$", address):
            listening.add(int(port))
    more, less = sorted(listening - declared), sorted(declared - listening)
    assert not more, f"{host.name}: further ports listen: {', '.join(map(str, more))}"
    assert not less, f"{host.name}: ports of the service do not listen: {', '.join(map(str, less))}"
    for port in FOR_PEOPLE:
        answer = desk.do("tcp_connect", host=host.address("dmz"), port=port)
        assert answer["result"] == "connected", f"port {port} does not answer the desktop: {answer['why']}"
    seen(f"{host.name} listens on {', '.join(map(str, sorted(listening)))}; a desktop reaches those for people.")


@control(
    id="R6-reached-by-servers-only",
    practice="R6",
    says="From outside only the two ports for other companies' servers can be reached, at the company's one address.",
    permitted="Both ports, by IPv4 at the gateway's address and by IPv6.",
    forbidden="Twelve other ports, where for the moment something listens.",
    tried_from="outside",
    on="gateway",
    # the external server refuses as well, so what must be missed is that the gateway does
    breakage=let_pass("forward"),
)
def test_reached_by_servers_only(
    *,
    facts: SiteFacts,
    world: Probe,
    inside_external: Probe | None,
    gateway: Any,
    listen: Callable[..., None],
    seen: Seen,
) -> None:
    host = facts.external_server()
    outside, own = facts.gateway().address("outside"), host.all_addresses("dmz")
    by_name = [outside, *(address for address in own if ":" in address)]
    if not facts.partners_today():
        raise NotTried("no partner is current, so that nothing is open for one")
    missing = [
        f"{address} {port}"
        for address in by_name
        for port in BETWEEN_SERVERS
        if f"{address} {port}" not in _reached(world, [(address, port)])
    ]
    assert not missing, f"{world.name} does not reach {', '.join(missing)}"
    seen(f"{world.name} reaches {', '.join(map(str, BETWEEN_SERVERS))} at {' and '.join(by_name)}.")
    anywhere = [domain for domain, partner in facts.partners_today().items() if not partner.get("addresses")]
    if anywhere:
        seen(f"These ports are open to any address, since the entry of {' and '.join(anywhere)} names no addresses.")
    listen(_given(inside_external), own, KNOCKED)
    targets = [(address, port) for address in own for port in KNOCKED]
    silent = {f"{address} {port}" for address, port in targets} - {*_reached(_given(inside_external), targets)}
    assert not silent, f"nothing listens on {', '.join(sorted(silent))}, so nothing is proven"
    firewall = Firewall(gateway, facts.gateway().name)
    before = firewall.refused("forward")
    reached = _reached(world, [*targets, *((outside, port) for port in KNOCKED)])
    assert not reached, f"{world.name} reaches {', '.join(reached)}"
    seen(f"{len(KNOCKED)} other ports at {len(own) + 1} addresses: none can be reached.")
    if facts.demo:
        # elsewhere the Internet has no way to a private address, and nothing comes as far as the firewall
        firewall.rises("forward", before, len(targets), seen)


def _try_out(probe: Probe, addresses: list[str]) -> tuple[list[str], int]:
    """Try to get out by TCP, UDP and echo requests; returns what got through, and how many attempts there were."""
    through = _reached(probe, [(address, port) for address in addresses for port in WAYS_OUT])
    for address in addresses:
        for port in UDP_OUT:
            if probe.do("udp_ask", host=address, port=port, text="out", timeout=0.7)["result"] == "answered":
                through.append(f"{address} {port} by UDP")
        if probe.do("ping", host=address, timeout=1)["result"] == "answered":
            through.append(f"{address} by echo requests")
    return through, len(addresses) * (len(WAYS_OUT) + len(UDP_OUT) + 1)


@dataclass(frozen=True)
class WayOut:
    """The way from the external server to the host outside, on which something listens for the moment."""

    facts: SiteFacts
    probe: Probe | None
    world: Probe
    world_root: Probe
    listen: Callable[..., None]

    def leads_to_servers_only(
        self, firewall: Firewall, chain: str, logged: Sequence[int], seen: Seen, opened: Opened | None = None
    ) -> None:
        """Make sure that it ends at ports of servers, and that a firewall counts and logs what it refuses.

        Args:
            firewall: The firewall that has to refuse.
            chain: Its chain.
            logged: The ports of which each refusal has to be in its log; 0 for an echo request.
            seen: Where to say it.
            opened: Another firewall, open for the moment.
        """
        host, probe = self.facts.external_server(), _given(self.probe)
        addresses = self.facts.hosts[self.world.name].all_addresses("outside")
        self.listen(self.world_root, addresses, [*WAYS_OUT, *BETWEEN_SERVERS])
        self.listen(self.world_root, addresses, UDP_OUT, "udp")
        wanted = [(address, port) for address in addresses for port in BETWEEN_SERVERS]
        with opened or nullcontext():
            missing = {f"{address} {port}" for address, port in wanted} - {*_reached(probe, wanted)}
            before, mark = firewall.refused(chain), firewall.mark()
            through, attempts = _try_out(probe, addresses)
        assert not missing, f"{host.name} does not reach {', '.join(sorted(missing))}"
        seen(f"{host.name} reaches {', '.join(map(str, BETWEEN_SERVERS))} of {self.world.name}.")
        assert not through, f"the firewall of {firewall.name} lets {host.name} reach {', '.join(through)}"
        seen(f"{attempts} other attempts, where something listens: none got through.")
        firewall.rises(chain, before, attempts, seen)
        unlogged = firewall.unlogged(mark, chain, [(address, port) for address in addresses for port in logged])
        assert not unlogged, f"refused and not logged: {', '.join(unlogged)}"


@pytest.fixture
def way_out(
    facts: SiteFacts, inside_external: Probe | None, world: Probe, world_root: Probe, listen: Callable[..., None]
) -> WayOut:
    """Return the way out of the external server; nothing is tried yet."""
    return WayOut(facts, inside_external, world, world_root, listen)


@control(
    id="R6-reaches-servers-only",
    practice="R6",
    says="The outside server reaches the two ports of other companies' servers outside, and no other port of anybody.",
    permitted="Both ports of the host outside, by IPv4 and IPv6.",
    forbidden="Mail, names, web, messengers and others, by TCP, UDP and echo requests, where something listens.",
    tried_from="im_external",
    on="im_external",
    breakage=let_pass("output"),
)
def test_reaches_servers_only(facts: SiteFacts, external: Any, way_out: WayOut, seen: Seen) -> None:
    own = Firewall(external, facts.external_server().name)
    way_out.leads_to_servers_only(own, "output", (443, 4500, 0), seen)


@control(
    id="R6-no-tunnel-by-the-relay",
    practice="R6",
    says="The gateway's relay brings the outside server packages, and opens no tunnel through which more could leave.",
    permitted="A file of Debian's archive through the relay.",
    forbidden="A tunnel to each host from which packages come, and to the host outside.",
    tried_from="im_external",
    on="gateway",
    breakage=Breakage(
        SQUID,
        r"^http_access allow fetching plain plain_port$",
        "http_access allow all",
        command=RELAY_RESTART,
    ),
)
def test_no_tunnel_by_the_relay(
    *, facts: SiteFacts, inside_external: Probe | None, external: Any, world: Probe, seen: Seen
) -> None:
    host, probe = facts.external_server(), _given(inside_external)
    relay, found = facts.gateway().address("dmz"), archives(external)
    if not found:
        raise NotTried(f"no packages of {host.name} come without TLS, so the relay has to open tunnels to their hosts")
    suite = external.run(". /etc/os-release && echo $VERSION_CODENAME").stdout.strip()
    url = f"{found[0]}dists/{suite}/Release"
    fetched = probe.do("through_relay", relay=relay, port=RELAY_PORT, method="GET", target=url)
    assert fetched["status"] == 200, f"{url} does not come through the relay: {fetched['status']} {fetched['why']}"
    seen(f"{url} came through the relay.")
    sources = {str(urlsplit(archive).hostname) for archive in found}
    for name in (*sorted(sources), facts.hosts[world.name].address("outside")):
        answer = probe.do("through_relay", relay=relay, port=RELAY_PORT, method="CONNECT", target=f"{name}:443")
        assert answer["status"] == 403, f"a tunnel to {name}: the relay answered {answer['status']} {answer['why']}"
    seen(f"Tunnels to {len(sources)} hosts of packages and to {world.name}: none was opened.")


@control(
    id="R6-gateway-stops-it",
    practice="R6",
    says="Were the outside server's own firewall gone, the gateway would still let nothing else out of it.",
    permitted="Both ports of other companies' servers.",
    forbidden="The same as before, with the server's own firewall open for the moment.",
    tried_from="im_external",
    on="gateway",
    safe=False,
    breakage=let_pass("forward"),
)
def test_gateway_stops_it(facts: SiteFacts, external: Any, gateway: Any, way_out: WayOut, seen: Seen) -> None:
    firewall = Firewall(gateway, facts.gateway().name)
    way_out.leads_to_servers_only(firewall, "forward", (443,), seen, Opened(external))


@control(
    id="R6-no-way-inside",
    practice="R6",
    says="Who had got into the outside server would still not get inside: not to the internal server, to no desktop.",
    permitted="Desktops reach the internal server, by the same gateway; on the ports something listens for the moment.",
    forbidden="From the outside server, its firewall open: each of these ports at the internal server and a desktop.",
    tried_from="im_external",
    on="gateway",
    safe=False,
    breakage=let_pass("forward"),
)
def test_no_way_inside(
    *,
    facts: SiteFacts,
    inside_external: Probe | None,
    inside: Probe,
    desk: Probe,
    desk_root: Probe,
    external: Any,
    gateway: Any,
    listen: Callable[..., None],
    seen: Seen,
) -> None:
    host, probe = facts.external_server(), _given(inside_external)
    places = [
        (inside, facts.server().all_addresses("servers")),
        (desk_root, facts.hosts[desk.name].all_addresses("desktops")),
    ]
    targets = []
    for there, addresses in places:
        listen(there, addresses, KNOCKED)
        own = [(address, port) for address in addresses for port in KNOCKED]
        silent = {f"{address} {port}" for address, port in own} - {*_reached(there, own)}
        assert not silent, f"nothing listens on {', '.join(sorted(silent))}, so nothing is proven"
        targets += own
    assert len(_reached(desk, [(facts.service(), port) for port in FOR_PEOPLE])) == len(FOR_PEOPLE), (
        "a desktop does not reach the internal server either"
    )
    firewall = Firewall(gateway, facts.gateway().name)
    before = firewall.refused("forward")
    with Opened(external):
        reached = _reached(probe, targets)
    assert not reached, f"{host.name} reaches {', '.join(reached)}"
    seen(f"{host.name}, its own firewall open, reaches none of {len(targets)} ports inside on which something listens.")
    firewall.rises("forward", before, len(targets), seen)


@control(
    id="R6-names-of-partners-only",
    practice="R6",
    says="The outside server finds the names of current partners and the site's own, and no others: no tunnel there.",
    permitted="The partner's servers and addresses.",
    forbidden="Any other name, by UDP and TCP, and that of a partner whose entry is over; nobody outside hears of it.",
    tried_from="im_external",
    on="gateway",
    breakage=Breakage(
        UNBOUND,
        r'(view:\n\tname: "dmz"\n\tview-first: no\n)\tlocal-zone: "\." refuse\n',
        r'\1\tlocal-zone: "." transparent\n',
        command="systemctl reset-failed unbound; systemctl restart unbound",
    ),
)
def test_names_of_partners_only(
    *, facts: SiteFacts, inside_external: Probe | None, world_root: Probe, desk: Probe, seen: Seen
) -> None:
    host, probe = facts.external_server(), _given(inside_external)
    resolver = facts.near(host)[0]
    found = probe.do("ask_name", server=resolver, name=PARTNER)
    if PARTNER not in facts.partners_today():
        raise NotTried("the partner that the controls know is no partner of this site")
    assert found["answers"], f"{host.name} does not find {PARTNER}: {found['why']}"
    servers = probe.do("ask_name", server=resolver, name=f"_xmpp-server._tcp.{PARTNER}", kind="SRV")
    assert servers["answers"], f"{host.name} does not find the servers of {PARTNER}: {servers['why']}"
    own = probe.do("ask_name", server=resolver, name=facts.external_domain)
    assert own["answers"], f"{host.name} does not find its own name: {own['why']}"
    seen(f"{host.name} finds {PARTNER} ({', '.join(found['answers'])}), its servers, and itself.")
    size, tunnel = world_root.do("file_size", path=ASKED), "tunnel.example"
    known = f"{fresh('desk')}.{tunnel}"
    if not desk.do("ask_name", server=facts.near(facts.hosts[desk.name])[0], name=known, kind="TXT")["answers"]:
        raise NotTried(f"nobody outside answers for names below {tunnel}")
    over = [one["domain"] for one in facts.sallyport.get("partners", []) if one["domain"] not in facts.partners_today()]
    for name in (f"{fresh('secret')}.{tunnel}", "website.example", f"{PARTNER}.{tunnel}", "packages.example", *over):
        for protocol in ("udp", "tcp"):
            answer = probe.do("ask_name", server=resolver, name=name, protocol=protocol)
            assert not answer["answers"], f"{host.name} finds {name}: {answer['answers']}"
            assert answer["rcode"] == "REFUSED", f"{name} was answered {answer['rcode'] or answer['why']}"
        asked = world_root.do("lines_since", path=ASKED, offset=size, containing=f" {name}. ")
        assert not asked, f"{world_root.name} was asked for {name}: {asked[0]}"
        seen(f"{name}: refused, and nobody outside was asked.")
