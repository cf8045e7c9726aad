# SPDX-License-Identifier: GPL-3.0-or-later
"""R7: messages leave only through the company's own servers: consumer messengers, and the ways around, are closed."""

from __future__ import annotations

import functools
import ipaddress
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from probe.remote import Probe
from system.controls import Amber, Breakage, NotApplicable, NotTried, Seen, control
from system.network import TABLE, Firewall, Opened, consumer_lines, let_pass, told
from system.site_facts import SiteFacts, in_force
from system.talk import fresh

CATALOGUE = Path(__file__).resolve().parents[2] / "plugins" / "plugin_utils" / "consumer_im.yml"
WEBSITE = "website.example"
ASKED = "/var/log/unbound/queries.log"
VISITED = "/var/log/nginx/access.log"
GATE_LOG = "journalctl --quiet --no-pager -o cat -u haproxy --since @%s"
NAMES_LOG = "journalctl --quiet --no-pager -o cat -u unbound --since @%s"
# a packet that is refused without an answer is sent again within the time that is waited for it; the log notes two
# hundred at once, and ten more each second
PAUSE_SECONDS = 20
# as if somebody had taken the catalogue and the diversions out of the gateway's rules, and let all through
UNGUARDED = Breakage(
    command=f"for chain in outward prerouting; do nft flush chain {TABLE} $chain; done; {let_pass('forward').command}",
    undo="nft -f /etc/sallyport/firewall.nft",
)


@dataclass(frozen=True)
class Service:
    """An entry of the catalogue, as its file says it.

    Attributes:
        id: Its id there.
        kind: service, resolver or canary.
        names: Its names; each means all below it.
        tcp: A port of each range.
        udp: The same by UDP.
        networks: Its own.
    """

    id: str
    kind: str
    names: tuple[str, ...]
    tcp: tuple[int, ...]
    udp: tuple[int, ...]
    networks: tuple[str, ...]

    def addresses(self) -> list[str]:
        """Return an address in each of its networks."""
        return [str(net[net.num_addresses // 2]) for net in map(ipaddress.ip_network, self.networks)]


def _ends(ranges: Iterable[object]) -> tuple[int, ...]:
    return tuple(sorted({int(port) for one in ranges for port in str(one).split("-")}))


@functools.cache
def catalogue() -> dict[str, Service]:
    """Return the entries, by id."""
    entries = yaml.safe_load(CATALOGUE.read_text(encoding="utf-8"))
    return {
        entry["id"]: Service(
            id=entry["id"],
            kind=entry["kind"],
            names=tuple(entry.get("names", [])),
            tcp=_ends(entry.get("tcp", [])),
            udp=_ends(entry.get("udp", [])),
            networks=tuple(map(str, entry.get("addresses", []))),
        )
        for entry in entries
    }


def permitted(facts: SiteFacts) -> dict[str, dict[str, Any]]:
    """Return the services that the site permits now, by id."""
    entries = facts.sallyport.get("consumer_im", {}).get("permitted", [])
    return {str(entry["service"]): entry for entry in entries if in_force(entry)}


def refused(facts: SiteFacts) -> list[Service]:
    """Return all that must be refused now."""
    return [service for service in catalogue().values() if service.id not in permitted(facts)]


@dataclass(frozen=True)
class Website:
    """A website outside that may be visited, at an address that answers for everything.

    Attributes:
        addresses: Its addresses, IPv4 and IPv6.
    """

    addresses: tuple[str, ...]

    def visit(self, probe: Probe, name: str = WEBSITE, *, tls: bool = True) -> list[dict[str, Any]]:
        """Ask each of its addresses for a page under a name."""
        targets = [{"host": address, "name": name, "tls": tls} for address in self.addresses]
        return list(probe.do("fetch_all", targets=targets))


@pytest.fixture
def website(facts: SiteFacts, desk: Probe) -> Website:
    """The demo's website, found and visited by a desktop as it is meant to be."""
    resolver = facts.near(facts.hosts[desk.name])[0]
    answers = [desk.do("ask_name", server=resolver, name=WEBSITE, kind=kind)["answers"] for kind in ("A", "AAAA")]
    found = Website(tuple(address for of_kind in answers for address in of_kind))
    if not found.addresses:
        # elsewhere nobody answers for the services of others
        (pytest.fail if facts.demo else pytest.skip)(f"not tried: there is no {WEBSITE} that a desktop could visit")
    return found


def visited(website: Website, probe: Probe, seen: Seen) -> None:
    """Make sure that the website can be visited: then a refusal under another name means something."""
    for tls in (True, False):
        for one in website.visit(probe, tls=tls):
            assert one.get("status") == 200, f"{WEBSITE} at {one['host']}, tls {tls}: {one.get('why') or one['status']}"
    seen(f"{probe.name} visits {WEBSITE} at {' and '.join(website.addresses)}, with and without TLS.")


def _reached(outcomes: Iterable[dict[str, Any]]) -> list[str]:
    return [f"{one['host']} {one['port']}" for one in outcomes if one["result"] == "connected"]


def _named(gateway: Any, mark: int, zone: str, wanted: set[str]) -> set[str]:
    """Return which services the gateway's log does not name since a mark; waits for it."""
    missing = wanted
    for _ in range(10):
        missing = wanted - consumer_lines(gateway, mark, zone)
        if not missing:
            break
        time.sleep(0.5)
    return missing


def _try_ports(probe: Probe, addresses: list[str], services: list[Service]) -> tuple[list[str], int]:
    """Knock on a port of each range of each service; returns what answered, and how many attempts there were."""
    tcp = sorted({port for service in services for port in service.tcp})
    udp = sorted({port for service in services for port in service.udp})
    through = _reached(probe.do("knock", targets=[(address, port) for address in addresses for port in tcp]))
    for address in addresses:
        for port in udp:
            if probe.do("udp_ask", host=address, port=port, text="hello", timeout=0.4)["result"] == "answered":
                through.append(f"{address} {port} by UDP")
    return through, len(addresses) * (len(tcp) + len(udp))


def _by_port(services: list[Service]) -> dict[tuple[str, int], set[str]]:
    """Return whose port each is, TCP or UDP: one of several services names only one of them in the log."""
    found: dict[tuple[str, int], set[str]] = {}
    for service in services:
        for port in [*(("tcp", port) for port in service.tcp), *(("udp", port) for port in service.udp)]:
            found.setdefault(port, set()).add(service.id)
    return found


@control(
    id="R7-consumer-by-port",
    practice="R7",
    says="Consumer messengers and encrypted questions for names do not get out on their own ports.",
    permitted="The website, by the same gateway; outside something listens on all these ports.",
    forbidden="Both ends of every range of ports in the catalogue, TCP and UDP, with the desktop's own firewall open.",
    on="gateway",
    safe=False,
    breakage=UNGUARDED,
)
def test_consumer_by_port(
    *,
    facts: SiteFacts,
    desk: Probe,
    desktop: Any,
    gateway: Any,
    world_root: Probe,
    website: Website,
    listen: Callable[..., None],
    seen: Seen,
) -> None:
    visited(website, desk, seen)
    services = refused(facts)
    addresses = facts.hosts[world_root.name].all_addresses("outside")
    for protocol in ("tcp", "udp"):
        ports = sorted({port for one in services for port in (one.tcp if protocol == "tcp" else one.udp)})
        listen(world_root, addresses, ports, protocol)
    firewall = Firewall(gateway, facts.gateway().name)
    # who has no port alone has a neighbour's name in the log
    alone = {next(iter(ids)) for ids in _by_port(services).values() if len(ids) == 1}
    attempts, unnamed = 0, alone
    with Opened(desktop):
        for address in addresses:
            before, mark = firewall.refused("forward"), firewall.mark()
            through, tried = _try_ports(desk, [address], services)
            assert not through, f"{desk.name} reaches {', '.join(through)}"
            firewall.rises("forward", before, tried, seen)
            unnamed = _named(gateway, mark, "desktops", unnamed)
            attempts += tried
            time.sleep(PAUSE_SECONDS)
    assert not unnamed, f"refused and not named in the log: {', '.join(sorted(unnamed))}"
    seen(f"{attempts} attempts at {len(addresses)} addresses: none got through.")
    seen(f"The log names each of the {len(alone)} that have a port alone, TCP or UDP: {', '.join(sorted(alone))}.")


@control(
    id="R7-consumer-by-address",
    practice="R7",
    says="Messengers and public resolvers with addresses of their own cannot be reached there, whatever the port.",
    permitted="The website, on the same ports at another address outside.",
    forbidden="An address in each network of the catalogue, on the ports for the web; the desktop's firewall open.",
    on="gateway",
    safe=False,
    breakage=UNGUARDED,
)
def test_consumer_by_address(
    *, facts: SiteFacts, desk: Probe, desktop: Any, gateway: Any, world: Probe, website: Website, seen: Seen
) -> None:
    visited(website, desk, seen)
    services = [service for service in refused(facts) if service.networks]
    addresses = [address for service in services for address in service.addresses()]
    played = world.do("fetch_all", targets=[{"host": "127.0.0.1", "name": "", "tls": False}])
    assert played[0].get("status") == 200, f"nothing answers on {world.name}, so nothing is proven"
    firewall = Firewall(gateway, facts.gateway().name)
    before, mark = firewall.refused("forward"), firewall.mark()
    with Opened(desktop):
        for port in (443, 80):
            reached = _reached(desk.do("knock", targets=[(address, port) for address in addresses]))
            assert not reached, f"{desk.name} reaches {', '.join(reached)}"
            if port == 443:
                named = consumer_lines(gateway, mark, "desktops")
                time.sleep(PAUSE_SECONDS)
    firewall.rises("forward", before, 2 * len(addresses), seen)
    assert named, "none of it stands in the log"
    seen(f"{len(addresses)} addresses of {len(services)} services: none answers; the log names {len(named)} of them.")


def _asked(probe: Probe, resolver: str, name: str) -> dict[str, Any]:
    """Ask for a name, and again when there is no answer: the resolver takes only so many questions in a second."""
    answer: dict[str, Any] = {}
    for _ in range(4):
        answer = probe.do("ask_name", server=resolver, name=name, timeout=2)
        if answer["result"] == "answered":
            break
    return answer


@control(
    id="R7-consumer-by-name",
    practice="R7",
    says="The names of consumer messengers and public resolvers do not exist for the company's computers.",
    permitted="The website's name, by the same resolver.",
    forbidden="Every name of the catalogue, and one below each.",
    on="gateway",
    breakage=Breakage(
        "/etc/unbound/unbound.conf",
        r'^\trpz-log-name: "whatsapp"$',
        '\trpz-log-name: "whatsapp"\n\trpz-action-override: disabled',
        command="systemctl reset-failed unbound; systemctl restart unbound",
    ),
)
def test_consumer_by_name(*, facts: SiteFacts, desk: Probe, gateway: Any, website: Website, seen: Seen) -> None:
    resolver, names = facts.near(facts.hosts[desk.name])[0], 0
    assert website.addresses
    seen(f"{desk.name} finds {WEBSITE} at {' and '.join(website.addresses)}.")
    since = gateway.run("date +%s").stdout.strip()
    for service in refused(facts):
        for name in [*service.names, *(f"{fresh('www')}.{own}" for own in service.names)]:
            answer = _asked(desk, resolver, name)
            rcode = answer["rcode"] or answer["why"]
            assert not answer["answers"], f"{service.id}: {name} was answered {', '.join(answer['answers'])}"
            # a program that asks whether it may pass the resolver by takes either for a no
            wanted = ("NXDOMAIN", "NOERROR") if service.kind == "canary" else ("NXDOMAIN",)
            assert rcode in wanted, f"{service.id}: {name} was answered {rcode}"
            names += 1
    log = gateway.run(NAMES_LOG, since).stdout
    named = [service for service in refused(facts) if service.names and service.kind != "canary"]
    unnamed = [service.id for service in named if f"[{service.id}]" not in log]
    assert not unnamed, f"refused and not named in the resolver's log: {', '.join(unnamed)}"
    seen(f"{names} names of {len(refused(facts))} entries: none exists; the resolver's log names each entry.")


@control(
    id="R7-consumer-by-name-in-tls",
    practice="R7",
    says="Who has a messenger's address from elsewhere still gets no page under its name: the gateway reads the name.",
    permitted="The website, at the same address.",
    forbidden="Every name of the catalogue, in TLS and in plain HTTP, at the website's address; and no name at all.",
    on="gateway",
    breakage=Breakage(
        "/etc/haproxy/names.map",
        r"^(\.\S+) .*$",
        r"\1.never -",
        command="systemctl reset-failed haproxy; systemctl restart haproxy && sleep 1",
    ),
)
def test_consumer_by_name_in_tls(
    *, facts: SiteFacts, desk: Probe, world_root: Probe, gateway: Any, website: Website, seen: Seen
) -> None:
    visited(website, desk, seen)
    size, since = world_root.do("file_size", path=VISITED), gateway.run("date +%s").stdout.strip()
    services = [service for service in refused(facts) if service.names and service.kind != "canary"]
    names = [(service, name) for service in services for name in service.names]
    for tls in (True, False):
        targets = [{"host": website.addresses[0], "name": name, "tls": tls} for _, name in names]
        targets += [{"host": address, "name": "", "tls": tls} for address in website.addresses]
        for one in desk.do("fetch_all", targets=targets, patience=300):
            assert one.get("status") != 200, f"{one['name'] or 'no name'} at {one['host']}, tls {tls}: {one['start']!r}"
    for _, name in names:
        passed = world_root.do("lines_since", path=VISITED, offset=size, containing=f'"{name}"')
        assert not passed, f"{world_root.name} was asked for {name}: {passed[0]}"
    log = gateway.run(GATE_LOG, since).stdout
    unnamed = sorted({service.id for service in services if f"service={service.id} " not in log})
    assert not unnamed, f"refused and not named in the gate's log: {', '.join(unnamed)}"
    zone = "zone=desktops" in log
    assert zone, f"the gate's log does not say from which zone: {log[:200]!r}"
    seen(f"{len(names)} names at {website.addresses[0]}, with and without TLS: no page came, nobody outside was asked.")
    seen("The gate's log names each service, the zone and the rule.")


@control(
    id="R7-names-by-the-gateway-only",
    practice="R7",
    says="Names come from the gateway and from nowhere else; the known ways around it are closed.",
    permitted="The site's own name and the website's from the gateway.",
    forbidden="Somebody else's resolver, by UDP, TCP, TLS and HTTPS; the web over UDP; records that hide names.",
    on="gateway",
    safe=False,
    breakage=UNGUARDED,
)
def test_names_by_the_gateway_only(
    *,
    facts: SiteFacts,
    desk: Probe,
    desktop: Any,
    world_root: Probe,
    website: Website,
    listen: Callable[..., None],
    seen: Seen,
) -> None:
    others = [*facts.hosts[world_root.name].all_addresses("outside"), *website.addresses]
    resolver = facts.near(facts.hosts[desk.name])[0]
    listen(world_root, facts.hosts[world_root.name].all_addresses("outside"), [443], "udp")
    own = world_root.do("ask_over_https", host="127.0.0.1", resolver="dns.google", name=WEBSITE)
    assert own["answers"], f"nobody outside answers questions over HTTPS, so nothing is proven: {own['why']}"
    size = world_root.do("file_size", path=ASKED)
    with Opened(desktop):
        for address in others:
            for protocol in ("udp", "tcp"):
                answer = desk.do("ask_name", server=address, name=facts.domain, protocol=protocol)
                assert facts.service() in answer["answers"], (
                    f"a question to {address} by {protocol} was not answered by the gateway: {told(answer)}"
                )
            over_tls = desk.do("ask_over_tls", host=address, resolver="dns.google", name=WEBSITE, timeout=3)
            assert over_tls["result"] == "refused", f"{address} answers over TLS: {over_tls['answers']}"
            for name in ("dns.google", "", "cloudflare-dns.com"):
                over_https = desk.do("ask_over_https", host=address, resolver=name, name=WEBSITE, timeout=4)
                assert over_https["result"] == "refused", f"{address} answers as {name!r} over HTTPS: {over_https}"
            quic = desk.do("udp_ask", host=address, port=443, text="initial", timeout=1.5)
            assert quic["result"] != "answered", f"{address} answers on port 443 by UDP"
    asked_there = world_root.do("lines_since", path=ASKED, offset=size, containing=facts.domain)
    assert not asked_there, f"{world_root.name} was asked for {facts.domain}: {asked_there[0]}"
    seen(f"Questions to {len(others)} other addresses, by UDP and TCP: the gateway answered, nobody else saw one.")
    seen("Over TLS (853), over HTTPS under three names, and the web over UDP: refused.")
    server = facts.hosts[world_root.name].address("outside")
    there = world_root.do("ask_name", server=server, name=WEBSITE, kind="HTTPS")
    assert there["answers"], f"{WEBSITE} has no record that hides names, so nothing is proven: {there['why']}"
    hidden = desk.do("ask_name", server=resolver, name=WEBSITE, kind="HTTPS")
    assert not hidden["answers"], f"records that hide names are answered: {hidden['answers']}"
    for name in ("use-application-dns.net", "mask.icloud.com", "mask-h2.icloud.com"):
        answer = desk.do("ask_name", server=resolver, name=name)
        assert answer["rcode"] == "NXDOMAIN", f"{name} was answered {answer['rcode'] or answer['why']}"
    seen("Records that hide names: none. Programs that ask whether they may pass the resolver by hear no.")


@control(
    id="R7-servers-reach-no-messenger",
    practice="R7",
    says="Nor do the servers reach a consumer messenger: not by port, not by address, not by name.",
    permitted="A desktop visits the website.",
    forbidden="From the outside server, its firewall open: ports, addresses and names of the catalogue.",
    tried_from="im_external",
    on="gateway",
    safe=False,
    breakage=UNGUARDED,
)
def test_servers_reach_no_messenger(
    *,
    facts: SiteFacts,
    desk: Probe,
    inside_external: Probe | None,
    external: Any,
    gateway: Any,
    world_root: Probe,
    website: Website,
    listen: Callable[..., None],
    seen: Seen,
) -> None:
    host = facts.external_server()
    assert inside_external is not None, f"there is no probe on {host.name}"
    visited(website, desk, seen)
    services = list(catalogue().values())
    address = facts.hosts[world_root.name].address("outside")
    for protocol in ("tcp", "udp"):
        ports = sorted({port for one in services for port in (one.tcp if protocol == "tcp" else one.udp)})
        listen(world_root, [address], ports, protocol)
    firewall = Firewall(gateway, facts.gateway().name)
    before, mark = firewall.refused("forward"), firewall.mark()
    with Opened(external):
        through, attempts = _try_ports(inside_external, [address], services)
        targets = [(one, 443) for service in services for one in service.addresses()]
        targets += [(one, port) for one in website.addresses for port in (80, 443)]
        through += _reached(inside_external.do("knock", targets=targets))
    assert not through, f"{host.name} reaches {', '.join(through)}"
    firewall.rises("forward", before, attempts + len(targets), seen)
    assert consumer_lines(gateway, mark, "dmz"), "none of it stands in the log as what it is"
    for service in services:
        for name in service.names[:1]:
            answer = inside_external.do("ask_name", server=facts.near(host)[0], name=name)
            assert not answer["answers"], f"{host.name} finds {name}: {answer['answers']}"
    seen(f"{attempts + len(targets)} attempts from {host.name}: none got through; the names do not exist for it.")


@control(
    id="R7-consumer-permitted",
    practice="R7",
    says="A consumer messenger that the site permits works under its name, and only as long as it is permitted.",
    permitted="Each service that the site permits now.",
    forbidden="One whose permission is over.",
    on="gateway",
    breakage=let_pass("forward"),
)
def test_consumer_permitted(*, facts: SiteFacts, desk: Probe, website: Website, seen: Seen) -> None:
    entries = facts.sallyport.get("consumer_im", {}).get("permitted", [])
    if not entries:
        raise NotApplicable("The site permits no consumer messenger.")
    resolver, now = facts.near(facts.hosts[desk.name])[0], permitted(facts)
    for entry in entries:
        service = catalogue()[str(entry["service"])]
        if not service.names:
            raise NotTried(f"{service.id} has no name that could be tried")
        name = service.names[0]
        answer = desk.do("ask_name", server=resolver, name=name)
        page = website.visit(desk, name)[0]
        if service.id in now:
            assert answer["answers"], f"{service.id} is permitted and {name} is not found: {answer['why']}"
            assert page.get("status") == 200, f"{service.id} is permitted and {name} gives no page: {page}"
            seen(f"{service.id}: works; {entry['reason']}, until {entry['until']}.")
        else:
            assert not answer["answers"], f"the permission of {service.id} is over and {name} is found"
            assert page.get("status") != 200, f"the permission of {service.id} is over and {name} gives a page"
            seen(f"{service.id}: refused; the permission is over.")
    if now:
        words = "; ".join(f"{name}: {entry['reason']}, until {entry['until']}" for name, entry in sorted(now.items()))
        raise Amber(f"The site permits consumer messengers; what is written there passes the company by. {words}.")
