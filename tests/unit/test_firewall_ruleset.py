# SPDX-License-Identifier: GPL-3.0-or-later
"""The rulesets of a small site, whole, as they were checked by hand rule by rule; and what other sites make of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.sallyport.im.plugins.plugin_utils.firewall import ruleset
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site, load
from unit.sites import BASE_HOSTS, BASE_SITE, make_site

EXPECTED = Path(__file__).parent / "rulesets"


def site_of(folder: Path, changes: dict[str, str]) -> Site:
    """Load the small site with changed texts."""
    site, hosts = BASE_SITE, BASE_HOSTS
    for before, after in changes.items():
        assert before in site + hosts, before
        site, hosts = site.replace(before, after), hosts.replace(before, after)
    return load(make_site(folder, site, hosts))


def chain(text: str, name: str) -> list[str]:
    """Return the rules of a chain."""
    found = re.search(rf"  chain {name} \{{\n(.*?)\n  \}}", text, re.S)
    assert found, text
    return [line.strip() for line in found[1].splitlines()]


@pytest.mark.parametrize("host", ["gw", "im-int", "desk"])
def test_the_whole_ruleset_of_each_host(tmp_path: Path, host: str) -> None:
    assert ruleset(site_of(tmp_path, {}), host) == (EXPECTED / f"{host}.nft").read_text(encoding="utf-8")


def test_no_such_host(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        ruleset(site_of(tmp_path, {}), "nobody")


@pytest.mark.parametrize("name", ["input", "output", "forward"])
@pytest.mark.parametrize("host", ["gw", "im-int", "desk"])
def test_every_chain_ends_with_a_refusal_that_is_counted(tmp_path: Path, host: str, name: str) -> None:
    rules = chain(ruleset(site_of(tmp_path, {}), host), name)
    assert rules[0] == f"type filter hook {name} priority filter; policy drop;"
    assert re.fullmatch(rf"counter name refused_{name} (drop|reject with icmpx admin-prohibited)", rules[-1])


CASES = {
    "the bound is a parameter's": ({}, "im-int input", "ct count over 50 }", True),
    "nobody may go out": (
        {"outward: {desktops: [web, web_tls]}": "outward: {desktops: []}"},
        "gw forward",
        "80",
        False,
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
    for host in ("gw", "im-int", "desk"):
        rules = chain(ruleset(site_of(tmp_path, {}), host), "input")
        ssh = next(place for place, rule in enumerate(rules) if rule.endswith('comment "R2 ssh"'))
        refused = [rule for rule in rules[:ssh] if "counter name" in rule]
        # the gateway knows on which side an administrator's address belongs
        assert [("fib saddr" in rule) for rule in refused] == ([True] if host == "gw" else [])


def test_a_host_of_the_list_is_no_administrator(tmp_path: Path) -> None:
    for host in ("gw", "im-int", "desk"):
        rules = chain(ruleset(site_of(tmp_path, {}), host), "input")
        opened = [rule for rule in rules if "ip saddr @admin4" in rule and "accept" in rule]
        assert opened
        assert all("ip saddr != { 10.20.0.2, 10.20.0.11, 10.20.0.21, 10.20.0.31 }" in rule for rule in opened)


def test_the_gateway_itself_opens_only_what_its_services_need(tmp_path: Path) -> None:
    rules = chain(ruleset(site_of(tmp_path, {}), "gw"), "output")
    opened = [rule for rule in rules if "accept comment" in rule and "answers" not in rule]
    assert opened
    assert all("meta skuid" in rule for rule in opened)
