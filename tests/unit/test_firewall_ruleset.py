# SPDX-License-Identifier: GPL-3.0-or-later
"""The rulesets of two small sites, whole, as they were checked by hand rule by rule; what other sites make of them.

The catalogue of consumer services grows with the world; a small one stands here in its place, so the rulesets stay.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.sallyport.im.plugins.plugin_utils import consumer_im
from ansible_collections.sallyport.im.plugins.plugin_utils.firewall import ruleset
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site, load
from unit.sites import BASES, make_site, moment

EXPECTED = Path(__file__).parent / "rulesets"
HOSTS = [("base", "gw"), ("base", "im-int"), ("base", "desk")]
HOSTS += [("external", "gw"), ("external", "im-ext"), ("external", "im-int"), ("external", "desk")]
BY_HAND = [*HOSTS[:3], ("external", "gw"), ("external", "im-ext")]
WITH_LOG_HOST = {
    "    gateway:\n": """    log_host:
      hosts:
        log:
          ansible_host: 10.20.0.14
          sallyport_addresses: {servers: [10.20.1.14, "fd12:20:0:2::14"]}
    gateway:
"""
}
CATALOGUE = """
- {id: irc, kind: service, title: IRC, tcp: [194, 6660-6669], source: a test, checked: 2026-01-01}
- id: telegram
  kind: service
  title: Telegram
  addresses: [149.154.160.0/20, "2001:67c:4e8::/48"]
  source: a test
  checked: 2026-01-01
- id: viber
  kind: service
  title: Viber
  tcp: [4244, 6665-6670]
  udp: [4244, 7985-7987]
  source: a test
  checked: 2026-01-01
- id: nine
  kind: service
  title: Nine
  udp: [3478]
  addresses: [198.51.100.96/28]
  source: a test
  checked: 2026-01-01
- {id: voice, kind: service, title: V, udp: [50000-65535], opens: false, source: a test, checked: 2026-01-01}
- id: dns-nine
  kind: resolver
  title: Nine
  tcp: [853]
  udp: [853]
  addresses: [9.9.9.9/32, "2620:fe::fe/128"]
  source: a test
  checked: 2026-01-01
- {id: canary, kind: canary, title: A name only, names: [canary.example], source: a test, checked: 2026-01-01}
"""
"""A service by port, two of whose ports another one uses; one by address, one by both; one whose ports stay closed; a
resolver; and a name."""
REAL_CATALOGUE = consumer_im.catalogue


@pytest.fixture(autouse=True)
def small_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the small catalogue in the place of the kit's."""
    entries = consumer_im.parse(CATALOGUE)
    monkeypatch.setattr(consumer_im, "catalogue", lambda: entries)


def site_of(folder: Path, changes: dict[str, str], base: str = "base") -> Site:
    """Load a small site with changed texts."""
    site, hosts = BASES[base]
    for before, after in changes.items():
        assert before in site + hosts, before
        site, hosts = site.replace(before, after), hosts.replace(before, after)
    return load(make_site(folder, site, hosts))


def chain(text: str, name: str) -> list[str]:
    """Return the rules of a chain."""
    found = re.search(rf"  chain {name} \{{\n(.*?)\n  \}}", text, re.S)
    assert found, text
    return [line.strip() for line in found[1].splitlines()]


@pytest.mark.parametrize(("base", "host"), BY_HAND)
def test_the_whole_ruleset_of_each_host(tmp_path: Path, base: str, host: str) -> None:
    expected = EXPECTED / ("" if base == "base" else base) / f"{host}.nft"
    assert ruleset(site_of(tmp_path, {}, base), host) == expected.read_text(encoding="utf-8")


def test_the_whole_ruleset_of_the_log_host(tmp_path: Path) -> None:
    expected = EXPECTED / "external" / "log.nft"
    assert ruleset(site_of(tmp_path, WITH_LOG_HOST, "external"), "log") == expected.read_text(encoding="utf-8")


TO_THE_LOG_HOST = {
    "im-int output": ["ip saddr 10.20.1.11 ip daddr 10.20.1.14 tcp dport 20514 accept"],
    "im-ext output": ["ip saddr 10.20.3.12 ip daddr 10.20.1.14 tcp dport 20514 accept"],
    "desk output": ["ip saddr 10.20.2.21 ip daddr 10.20.1.14 tcp dport 20514 accept"],
    # by itself, and those of other zones through it
    "gw output": ["ip saddr 10.20.1.2 ip daddr 10.20.1.14 tcp dport 20514 accept"],
    # of the log host itself, the witness of its archive
    "gw input": ["ip saddr 10.20.1.14 ip daddr 10.20.1.2 tcp dport 20514 accept"],
    "log output": ["ip saddr 10.20.1.14 ip daddr 10.20.1.2 tcp dport 20514 accept"],
    "im-int input": [],
    "log forward": [],
    "gw forward": [
        "ip saddr 10.20.2.21 ip daddr 10.20.1.14 tcp dport 20514 accept",
        "ip saddr 10.20.3.12 ip daddr 10.20.1.14 tcp dport 20514 accept",
    ],
}


@pytest.mark.parametrize(("place", "rules"), TO_THE_LOG_HOST.items(), ids=TO_THE_LOG_HOST)
def test_each_host_reaches_the_log_host_and_nobody_else_does(tmp_path: Path, place: str, rules: list[str]) -> None:
    host, name = place.split()
    text = ruleset(site_of(tmp_path, WITH_LOG_HOST, "external"), host)
    found = [rule for rule in chain(text, name) if "20514" in rule and rule.startswith("ip saddr")]
    assert found == [f'{rule} comment "R9 logs"' for rule in rules]


RELAY = "alerts: {mail: {relay: 192.0.2.25, from: a@fjord.example, to: [it@fjord.example]}}"
BY_THE_LOG_HOST = {
    "log output": ["ip saddr 10.20.1.14 ip daddr 192.0.2.25/32 tcp dport 587 accept"],
    "gw forward": ["ip saddr 10.20.1.14 ip daddr 192.0.2.25/32 tcp dport 587 accept"],
    "im-int output": [],
}


@pytest.mark.parametrize(("place", "rules"), BY_THE_LOG_HOST.items(), ids=BY_THE_LOG_HOST)
def test_the_log_host_alone_reaches_the_mail_relay_and_nothing_else_there(
    tmp_path: Path, place: str, rules: list[str]
) -> None:
    host, name = place.split()
    changes = {**WITH_LOG_HOST, "  format: 1\n": f"  format: 1\n  {RELAY}\n"}
    found = [rule for rule in chain(ruleset(site_of(tmp_path, changes, "external"), host), name) if "587" in rule]
    assert found == [f'{rule} comment "R10 submission"' for rule in rules]


def test_no_such_host(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        ruleset(site_of(tmp_path, {}), "nobody")


@pytest.mark.parametrize("name", ["input", "output", "forward"])
@pytest.mark.parametrize(("base", "host"), HOSTS)
def test_every_chain_ends_with_a_refusal_that_is_counted(tmp_path: Path, base: str, host: str, name: str) -> None:
    rules = chain(ruleset(site_of(tmp_path, {}, base), host), name)
    assert rules[0] == f"type filter hook {name} priority filter; policy drop;"
    assert re.fullmatch(rf"counter name refused_{name} (drop|reject with icmpx admin-prohibited)", rules[-1])


CASES = {
    "the bound is a parameter's": ({}, "im-int input", "ct count over 50 }", True),
    "nobody may go out": (
        {"outward: {desktops: [web, web_tls]}": "outward: {desktops: []}"},
        "desk output",
        "80",
        False,
    ),
    "nobody's pages are taken": (
        {"outward: {desktops: [web, web_tls]}": "outward: {desktops: []}"},
        "gw prerouting",
        "80",
        False,
    ),
    "names are answered in any case": (
        {"outward: {desktops: [web, web_tls]}": "outward: {desktops: []}"},
        "gw prerouting",
        "ip saddr @desktops4 ip daddr != @site4 udp dport 53 dnat ip to 10.20.2.2:53",
        True,
    ),
    "mail may go out": (
        {"outward: {desktops: [web, web_tls]}": "outward: {desktops: [imaps]}"},
        "gw forward",
        'ip saddr @desktops4 ip daddr != @site4 tcp dport 993 accept comment "R7 imaps"',
        True,
    ),
    "a host that only the DNS knows is administered at any address": (
        {"ansible_host: 10.20.0.11": "ansible_host: im-int.fjord.example"},
        "im-int input",
        'ip saddr @admin4 ip saddr != { 10.20.0.2, 10.20.0.21, 10.20.0.31 } tcp dport 22 accept comment "R2 ssh"',
        True,
    ),
    "administrators of another network pass the gateway": (
        {"admin: [10.20.0.0/24": "admin: [10.20.0.0/24, 10.20.9.0/24"},
        "gw forward",
        '10.20.0.21, 10.20.0.31 } ip daddr 10.20.0.11 tcp dport 22 accept comment "R2 ssh"',
        True,
    ),
    "administrators of one network do not pass the gateway": ({}, "gw forward", "@admin4", False),
    "without IPv6 all of IPv6 is outside": (
        {', "fd12:20:0:1::/64"': "", ', "fd12:20:0:2::/64"': "", ', "fd12:20:0:2::11"': ""},
        "gw output",
        'meta nfproto ipv6 meta skuid "proxy" tcp dport 80 accept comment "R7 web"',
        True,
    ),
    "public addresses are not hidden": (
        {"servers: [10.20.1.0/24": "servers: [198.18.1.0/24", "10.20.1.": "198.18.1."},
        "gw postrouting",
        "ip saddr @hidden4 ip daddr != @site4 masquerade",
        True,
    ),
}


@pytest.mark.parametrize(("changes", "place", "text", "there"), CASES.values(), ids=CASES)
def test_what_other_sites_make_of_it(
    tmp_path: Path, changes: dict[str, str], place: str, text: str, there: bool
) -> None:
    host, name = place.split()
    rules = chain(ruleset(site_of(tmp_path, changes), host), name)
    assert any(text in rule for rule in rules) is there, "\n".join(rules)


def test_the_bound_can_be_set(tmp_path: Path) -> None:
    assert "ct count over 7 }" in ruleset(site_of(tmp_path, {}), "im-int", connections=7)


def test_administration_is_served_before_anything_that_refuses(tmp_path: Path) -> None:
    for base, host in HOSTS:
        rules = chain(ruleset(site_of(tmp_path, {}, base), host), "input")
        ssh = next(place for place, rule in enumerate(rules) if rule.endswith('comment "R2 ssh"'))
        refused = [rule for rule in rules[:ssh] if "counter name" in rule]
        # the gateway knows on which side an administrator's address belongs
        assert [("fib saddr" in rule) for rule in refused] == ([True] if host == "gw" else [])


def test_a_host_of_the_list_is_no_administrator(tmp_path: Path) -> None:
    for base, host in HOSTS:
        rules = chain(ruleset(site_of(tmp_path, {}, base), host), "input")
        opened = [rule for rule in rules if "ip saddr @admin4" in rule and "accept" in rule]
        assert opened
        listed = "10.20.0.11, 10.20.0.12" if base == "external" else "10.20.0.11"
        assert all(f"ip saddr != {{ 10.20.0.2, {listed}, 10.20.0.21, 10.20.0.31 }}" in rule for rule in opened)


EXTERNAL_CASES = {
    "a partner without addresses may come from any": (
        {"      addresses: [203.0.113.9/32]\n": "", "      from: 2026-09-01\n": ""},
        "gw forward",
        'ip saddr != @site4 ip daddr 10.20.3.12 meta time < 1806537600 tcp dport 5269 accept comment "R6 xmpp_servers',
        True,
    ),
    "the internal server reaches nobody": ({}, "gw forward", "@servers4", False),
    "a public address needs no other": (
        {"10.20.3.": "8.8.3."},
        "gw prerouting",
        "5269",
        False,
    ),
    "whichever version of IP stands first": (
        {'dmz: [10.20.3.12, "fd12:20:0:4::12"]': 'dmz: ["fd12:20:0:4::12", 10.20.3.12]'},
        "gw prerouting",
        "ip daddr 192.0.2.7 tcp dport { 5269, 5270 } dnat ip to 10.20.3.12",
        True,
    ),
    "without IPv4 nothing is handed on": (
        {'dmz: [10.20.3.12, "fd12:20:0:4::12"]': 'dmz: ["fd12:20:0:4::12"]'},
        "gw prerouting",
        "5269",
        False,
    ),
    "each address of the gateway is one of the server": (
        {"outside: [192.0.2.7,": "outside: [192.0.2.7, 192.0.2.8,"},
        "gw prerouting",
        "ip daddr 192.0.2.8 tcp dport { 5269, 5270 } dnat ip to 10.20.3.12",
        True,
    ),
    "what is not permitted has no way back": (
        {"{service: irc,": "{service: viber,"},
        "gw consumer_irc",
        "return",
        False,
    ),
    "a port that two use is the permitted one's": (
        {"{service: irc,": "{service: viber,"},
        "gw consumer",
        "6665-6670 : jump consumer_viber, 194 : jump consumer_irc, 6660-6664 : jump consumer_irc,",
        True,
    ),
    "a permitted service goes out of the desktop itself": (
        {"from: 2026-02-01, ": ""},
        "desk output",
        "ip daddr != @site4 meta time < 1793448000 tcp dport { 194, 6660-6669 } accept",
        True,
    ),
    "ports of a service with addresses are opened there only": (
        {"{service: irc,": "{service: nine,"},
        "gw forward",
        "ip daddr 198.51.100.96/28 meta time >= 1769904000 meta time < 1793448000 udp dport 3478 accept",
        True,
    ),
    "and in no version of IP in which it has none": (
        {"{service: irc,": "{service: nine,"},
        "gw forward",
        "ip6 saddr @desktops6 ip6 daddr != @site6 meta time >= 1769904000",
        False,
    ),
    "ports that stay closed": ({"{service: irc,": "{service: voice,"}, "gw forward", "50000", False),
    "nobody else may use what desktops may": (
        {},
        "gw consumer_irc",
        "@dmz4 meta time",
        False,
    ),
    "names of services are left to the resolver": ({}, "gw consumer", "canary", False),
}


@pytest.mark.parametrize(("changes", "place", "text", "there"), EXTERNAL_CASES.values(), ids=EXTERNAL_CASES)
def test_what_other_external_sites_make_of_it(
    tmp_path: Path, changes: dict[str, str], place: str, text: str, there: bool
) -> None:
    host, name = place.split()
    rules = chain(ruleset(site_of(tmp_path, changes, "external"), host), name)
    assert any(text in rule for rule in rules) is there, "\n".join(rules)


def test_what_a_desktop_asks_for_is_taken_at_the_gateway_and_not_at_the_desktop(tmp_path: Path) -> None:
    """Who asks for a page does not know that the gateway answers; only the gateway sees its own ports."""
    site = site_of(tmp_path, {}, "external")
    desk, gateway = chain(ruleset(site, "desk"), "output"), chain(ruleset(site, "gw"), "input")
    for port in (80, 443):
        assert any(f"ip daddr != @site4 tcp dport {port} accept" in rule for rule in desk)
        assert any(f"ip6 daddr != @site6 tcp dport {port} accept" in rule for rule in desk)
    for port in (3180, 3443):
        assert not [rule for rule in desk if f"dport {port}" in rule]
        taken = [rule for rule in gateway if f"dport {port}" in rule]
        assert len(taken) == 2
        # asked for by itself, nobody reaches it
        assert all(f"tcp dport {port} ct status dnat accept" in rule for rule in taken)


def test_consumer_services_are_refused_before_anything_is_diverted_or_let_through(tmp_path: Path) -> None:
    text = ruleset(site_of(tmp_path, {}, "external"), "gw")
    outward = chain(text, "outward")
    assert outward[0] == "type filter hook prerouting priority dstnat - 10; policy accept;"
    assert chain(text, "prerouting")[0] == "type nat hook prerouting priority dstnat; policy accept;"
    looked_at = [rule for rule in outward if "jump consumer" in rule]
    assert len(looked_at) == 2
    # not only the first packet: what is open when a permission ends is over as well
    assert not [rule for rule in looked_at if "state" in rule or "new" in rule]
    for service in ("irc", "telegram", "viber", "dns_nine", "canary"):
        assert chain(text, f"consumer_{service}")[-1] == "counter name refused_consumer drop"
        logged = [rule for rule in chain(text, f"consumer_{service}") if "log prefix" in rule]
        assert len(logged) == 6
        assert all('limit name "consumer" log prefix "sallyport consumer ' in rule for rule in logged)
    assert not re.search(r"jump consumer|consumer_", ruleset(site_of(tmp_path, {}, "external"), "im-ext"))


def test_a_port_of_two_permitted_services_is_open_in_the_time_of_each(tmp_path: Path) -> None:
    text = ruleset(site_of(tmp_path, {"{service: telegram,": "{service: viber,"}, "external"), "gw")
    (tcp,) = [rule for rule in chain(text, "consumer") if rule.startswith("tcp dport vmap")]
    assert "{ 6665-6669 : jump consumer_tcp_6665_6669, 194 : jump consumer_irc, 6660-6664 : jump consumer_irc, " in tcp
    assert ", 4244 : jump consumer_viber, 6670 : jump consumer_viber, " in tcp
    irc = "meta time >= 1769904000 meta time < 1793448000 return"
    viber = f"meta time < {int(moment('2027-02-01').timestamp())} return"
    shared = chain(text, "consumer_tcp_6665_6669")
    assert [rule for rule in shared if "return" in rule] == [
        f"{ip} saddr @desktops{version} {time}" for time in (irc, viber) for ip, version in (("ip", 4), ("ip6", 6))
    ]
    # after their time it is refused like any, and the log names the first of them
    assert shared[4:] == chain(text, "consumer_irc")[2:]
    # what one of them uses alone has its own time only
    assert [rule for rule in chain(text, "consumer_irc") if "return" in rule] == shared[:2]
    assert [rule for rule in chain(text, "consumer_viber") if "return" in rule] == shared[2:4]


def test_only_the_ports_between_servers_lead_out_of_the_external_server_and_in(tmp_path: Path) -> None:
    site = site_of(tmp_path, {}, "external")
    for host, name in (("gw", "forward"), ("im-ext", "output"), ("im-ext", "input")):
        rules = [rule for rule in chain(ruleset(site, host), name) if "accept comment" in rule]
        partners = [rule for rule in rules if re.search(r'"R6 [a-z_]+ (north|south|west)\.example"', rule)]
        # five rules for each port in each direction: north and south in both versions of IP, west in one
        assert len(partners) == (20 if host == "gw" else 10)
        assert {found for rule in partners for found in re.findall(r"dport (\S+)", rule)} == {"5269", "5270"}
        assert all(f"meta time < {END[rule.rpartition(' ')[2]]} " in rule for rule in partners)
        assert all(("meta time >=" in rule) == ("west.example" in rule) for rule in partners)
        others = [rule for rule in rules if rule not in partners]
        assert not [rule for rule in others if re.search(r"saddr != @site|saddr @dmz\d ip6? daddr != @site", rule)]


def test_an_open_connection_with_a_partner_goes_on_only_as_long_as_it_may_be_opened(tmp_path: Path) -> None:
    site = site_of(tmp_path, {}, "external")
    look = "meta l4proto tcp ct state established ct original proto-dst { 5269, 5270 } goto partners"
    for host, names in (("gw", ["forward"]), ("im-ext", ["input", "output"])):
        text = ruleset(site, host)
        for name in names:
            rules = chain(text, name)
            assert rules.index(look) + 1 == rules.index("ct state established,related accept")
        partners = chain(text, "partners")
        # a rule for each that opens a connection, with the same times
        opened = [rule for name in names for rule in chain(text, name) if re.search(r'"R6 .*\.example"', rule)]
        times = [re.findall(r"meta time \S+ \d+|comment .*", rule) for rule in opened]
        kept = [rule for rule in partners if "accept" in rule and "goodbye" not in rule]
        assert sorted(re.findall(r"meta time \S+ \d+|comment .*", rule) for rule in kept) == sorted(times)
        # of the connection and not of the packet: both directions, whatever was translated
        assert all(re.match(r"ct original ip6? saddr .* ct reply ip6? saddr ", rule) for rule in kept)
        after = partners[len(kept) :]
        assert [rule for rule in after if "accept" in rule] == [
            f'{ip} saddr {own} limit rate 1/second burst 50 packets accept comment "R6 goodbye"'
            for ip, own in (("ip", "10.20.3.12"), ("ip6", "fd12:20:0:4::12"))
        ]
        assert re.fullmatch(r"counter name refused_(forward|input) reject with tcp reset", after[-1])


def test_of_the_external_server_s_network_nobody_else_talks_to_partners(tmp_path: Path) -> None:
    site = site_of(tmp_path, {}, "external")
    for host, names in (("gw", ["forward", "partners"]), ("im-ext", ["output", "partners"])):
        text = ruleset(site, host)
        for name in names:
            rules = [rule for rule in chain(text, name) if re.search(r'comment "R6 (\S+ \S+\.example|goodbye)"', rule)]
            ours = [
                rule
                for rule in rules
                if re.match(r"(ct original )?(ip saddr 10\.20\.3\.12|ip6 saddr fd12:\S+:12) ", rule)
            ]
            assert len(ours) == {"forward": 10, "output": 10, "partners": 12}[name]
            assert not [rule for rule in rules if "@dmz" in rule]


def test_administration_is_not_looked_at_for_partners(tmp_path: Path) -> None:
    for base, host in HOSTS:
        text = ruleset(site_of(tmp_path, {}, base), host)
        looks = [line for line in text.splitlines() if "partners" in line and "goto" in line]
        assert len(looks) == {"gw": 1, "im-ext": 2}.get(host, 0) * (base == "external")
        assert all("ct original proto-dst { 5269, 5270 }" in line for line in looks)


def test_without_any_partner_open_connections_with_those_of_the_past_end(tmp_path: Path) -> None:
    site, hosts = BASES["external"]
    parted = re.sub(r"\n  partners:\n(    .*\n)+", "\n", site)
    assert parted != site
    text = ruleset(load(make_site(tmp_path, parted, hosts)), "gw")
    assert [rule for rule in chain(text, "partners") if "accept" in rule and "goodbye" not in rule] == []
    assert any("goto partners" in rule for rule in chain(text, "forward"))


END = {
    'north.example"': int(moment("2027-07-01").timestamp()),
    'south.example"': int(moment("2026-12-31 17:30").timestamp()),
    'west.example"': int(moment("2027-04-01").timestamp()),
}
"""When the rules of each partner end, in seconds since 1970."""


def test_the_longest_name_of_a_partner_fits_into_a_comment(tmp_path: Path) -> None:
    name = ".".join(["x" * 50] * 4) + ".example"
    text = ruleset(site_of(tmp_path, {"west.example": name}, "external"), "gw")
    comments = re.findall(r'comment "([^"]*)"', text)
    assert max(map(len, comments)) > 80
    # of 128 bytes one is nft's own
    assert max(map(len, comments)) < 128


def test_instants_are_seconds_wherever_the_kit_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a date nft would take the host's own time zone."""
    site = site_of(tmp_path, {}, "external")
    here = ruleset(site, "gw")
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    try:
        assert ruleset(site, "gw") == here
    finally:
        monkeypatch.undo()
        time.tzset()
    assert {int(number) for number in re.findall(r"meta time \S+ (\S+)", here)} >= {*END.values()}


def test_no_ruleset_takes_away_what_is_not_its_own(tmp_path: Path) -> None:
    for base, host in HOSTS:
        text = ruleset(site_of(tmp_path, {}, base), host)
        assert text.startswith("table inet sallyport {\n")
        assert not re.search(r"\bflush\b|\bdelete\b|^table .*^table ", text, re.S | re.M)


@pytest.fixture(scope="module")
def nft() -> list[str]:
    """The command that parses rulesets, in a network of its own; the kit needs nftables on its hosts only."""
    command = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--net", "nft", "-f", "-"]
    if not shutil.which("nft", path=PATH):
        pytest.fail("Debian's package nftables is not here; this brings it: setup/packages.sh python3", pytrace=False)
    tried = subprocess.run(command, input=b"", env={"PATH": PATH}, capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"no network of one's own can be made here: {tried.stderr.decode().strip()}")
    return command


PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"


@pytest.mark.parametrize("catalogue", ["small", "real"])
@pytest.mark.parametrize("place", HOSTS, ids=" ".join)
def test_nft_takes_every_ruleset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nft: list[str], place: tuple[str, str], catalogue: str
) -> None:
    """Taken by the kernel, not only parsed; users of the hosts' packages are unknown here."""
    base, host = place
    if catalogue == "real":
        monkeypatch.setattr(consumer_im, "catalogue", REAL_CATALOGUE)
    text = re.sub(r'meta skuid "[a-z_]+"', "meta skuid 1", ruleset(site_of(tmp_path, {}, base), host))
    done = subprocess.run(nft, input=text.encode(), env={"PATH": PATH}, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_nft_refuses_what_is_none(nft: list[str]) -> None:
    """The test above can fail."""
    text = "table inet sallyport {\n  chain x {\n    tcp dport vmap { 1-5 : accept, 3 : drop }\n  }\n}\n"
    assert subprocess.run(nft, input=text.encode(), env={"PATH": PATH}, capture_output=True, check=False).returncode


def test_the_gateway_itself_opens_only_what_its_services_need(tmp_path: Path) -> None:
    rules = chain(ruleset(site_of(tmp_path, {}), "gw"), "output")
    opened = [rule for rule in rules if "accept comment" in rule and "answers" not in rule]
    assert opened
    assert all("meta skuid" in rule for rule in opened)
