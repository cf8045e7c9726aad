# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles are told of each host."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.sallyport.im.plugins.plugin_utils.derive import accounts, host_settings
from ansible_collections.sallyport.im.plugins.plugin_utils.desktops import admission_settings
from ansible_collections.sallyport.im.plugins.plugin_utils.firewall import ruleset
from ansible_collections.sallyport.im.plugins.plugin_utils.infrastructure import access, scanner, services
from ansible_collections.sallyport.im.plugins.plugin_utils.message_policy import compile_policy, policy_text
from ansible_collections.sallyport.im.plugins.plugin_utils.monitoring import health
from ansible_collections.sallyport.im.plugins.plugin_utils.site import EXTERNAL_VAULT_KEYS, VAULT_KEYS, Site, load
from unit.sites import BASES, EXTERNAL_HOSTS, EXTERNAL_SITE, base_site, external_site, make_site, moment

NOW = moment("2026-06-01")
PROFILES = ("internal", "external")


def access_and_services(site: Site, name: str) -> dict[str, object]:
    host = site.host(name)
    return {"access": access(site, host), "health": health(site, host), **services(site, host)}


def test_the_internal_server(tmp_path: Path) -> None:
    site = base_site(tmp_path)
    found = host_settings(site, "im-int", NOW)
    im = found.pop("im")
    assert found.pop("packages") == sorted({*host_settings(site, "im-int", NOW)["packages"]})
    for key, wanted in access_and_services(site, "im-int").items():
        assert found.pop(key) == wanted
    assert found.pop("firewall") == {"ruleset": ruleset(site, "im-int"), "rollback_seconds": 60}
    assert found.pop("antivirus") == scanner(site, site.host("im-int"))
    assert found == {
        "invitation_note": "",
        "accounts_exclusive": True,
        "forwards": False,
        "name": "im-int",
        "role": "im_internal",
        "site": "oslo",
        "addresses": {"servers": ["10.20.1.11", "fd12:20:0:2::11"]},
        "certificate": {
            "common_name": "im.fjord.example",
            "dns": ["im.fjord.example", "rooms.im.fjord.example", "files.im.fjord.example"],
            "srv": ["_xmpp-client.im.fjord.example", "_xmpps-client.im.fjord.example"],
            "xmpp": ["im.fjord.example", "rooms.im.fjord.example", "files.im.fjord.example"],
            "client": False,
            "days": 90,
            "directory": "/etc/sallyport/tls",
            "group": "prosody",
        },
        "admission": admission_settings(site, site.host("im-int")),
    }
    assert im.pop("policy") == policy_text(compile_policy(site))
    assert im.pop("accounts") == accounts(site, "internal", NOW)
    assert im == {
        "profile": "internal",
        "domain": "im.fjord.example",
        "rooms_domain": "rooms.im.fjord.example",
        "files_domain": "files.im.fjord.example",
        "listen": ["10.20.1.11", "fd12:20:0:2::11"],
        "ports": {"xmpp": 5222, "xmpps": 5223, "https": 5281},
        "administrator": "it@fjord.example",
        "company": "Fjord AS",
        "calls": "refuse",
        "messages_days": 365,
        "files_days": 30,
        "max_file_bytes": 20_971_520,
        "daily_bytes_per_person": 209_715_200,
        "scan_seconds": 60,
        "sign_in_attempts": 10,
        "sign_in_lockout_seconds": 900,
        "body": "full",
        "end_to_end_encryption": "forbid",
        "lists": [],
        "log_room": "",
        "metrics_from": [],
    }


def test_the_external_server(tmp_path: Path) -> None:
    """What differs from the internal one: names, ports, no rooms, no files, a certificate for other servers."""
    site = external_site(tmp_path)
    found = host_settings(site, "im-ext", NOW)
    im = found.pop("im")
    for key, wanted in access_and_services(site, "im-ext").items():
        assert found.pop(key) == wanted
    assert "This address is for partners of Fjord AS" in found.pop("invitation_note")
    assert found.pop("packages") == host_settings(site, "im-int", NOW)["packages"]
    assert found.pop("antivirus") == scanner(site, site.host("im-ext"))
    assert found == {
        "accounts_exclusive": True,
        "forwards": False,
        "firewall": {"ruleset": ruleset(site, "im-ext"), "rollback_seconds": 60},
        "name": "im-ext",
        "role": "im_external",
        "site": "oslo",
        "addresses": {"dmz": ["10.20.3.12", "fd12:20:0:4::12"]},
        "certificate": {
            "common_name": "ext.fjord.example",
            "dns": ["ext.fjord.example"],
            "srv": [
                "_xmpp-client.ext.fjord.example",
                "_xmpps-client.ext.fjord.example",
                "_xmpp-server.ext.fjord.example",
                "_xmpps-server.ext.fjord.example",
            ],
            "xmpp": ["ext.fjord.example"],
            "client": False,
            "days": 90,
            "directory": "/etc/sallyport/tls",
            "group": "prosody",
        },
        "admission": admission_settings(site, site.host("im-ext")),
    }
    assert im.pop("policy") == policy_text(compile_policy(site, "external"))
    assert im.pop("accounts") == accounts(site, "external", NOW)
    assert im == {
        "profile": "external",
        "domain": "ext.fjord.example",
        "rooms_domain": "",
        "files_domain": "",
        "listen": ["10.20.3.12", "fd12:20:0:4::12"],
        "ports": {"xmpp": 5222, "xmpps": 5223, "https": 5281, "xmpp_servers": 5269, "xmpps_servers": 5270},
        "administrator": "it@fjord.example",
        "company": "Fjord AS",
        "calls": "refuse",
        "messages_days": 365,
        "files_days": 30,
        "max_file_bytes": 20_971_520,
        "daily_bytes_per_person": 209_715_200,
        "scan_seconds": 60,
        "sign_in_attempts": 10,
        "sign_in_lockout_seconds": 900,
        "body": "full",
        "end_to_end_encryption": "forbid",
        "lists": [],
        "log_room": "",
        "metrics_from": [],
    }


def test_calls_are_a_choice_of_the_internal_server_only(tmp_path: Path) -> None:
    text = EXTERNAL_SITE.replace("  external: {partner_links", "  calls: permit\n  external: {partner_links")
    site = load(make_site(tmp_path, text, EXTERNAL_HOSTS))
    assert host_settings(site, "im-int", NOW)["im"]["calls"] == "permit"
    assert host_settings(site, "im-ext", NOW)["im"]["calls"] == "refuse"


def test_an_external_server_changes_little_of_the_internal_one(tmp_path: Path) -> None:
    site = external_site(tmp_path)
    internal = host_settings(site, "im-int", NOW)
    assert internal["im"]["ports"] == {"xmpp": 5222, "xmpps": 5223, "https": 5281}
    assert internal["certificate"]["srv"] == ["_xmpp-client.im.fjord.example", "_xmpps-client.im.fjord.example"]
    assert json.loads(internal["im"]["policy"])["partners"] == {}


def test_invitations_say_which_of_two_addresses_is_for_what(tmp_path: Path) -> None:
    site = external_site(tmp_path)
    assert host_settings(site, "im-int", NOW)["invitation_note"] == (
        "This address is for colleagues: whose address ends in @im.fjord.example."
    )
    outside = host_settings(site, "im-ext", NOW)["invitation_note"]
    assert outside.startswith("This address is for partners of Fjord AS, and for nothing else.")
    assert "a second account" in outside
    assert outside.endswith("the one that ends in @im.fjord.example.")
    assert "invitation_note" not in host_settings(site, "gw", NOW)


@pytest.mark.parametrize(
    ("now", "enabled"),
    [
        ("2025-12-31 23:59:59", ["alice"]),
        ("2026-01-01", ["alice", "carl"]),
        ("2026-03-01 08:00", ["alice", "bob", "carl"]),
        ("2026-11-30 16:29:59", ["alice", "bob", "carl"]),
        ("2026-11-30 16:30", ["alice", "bob"]),
        ("2027-01-01", ["alice"]),
        ("2027-07-01", []),
    ],
)
def test_accounts_of_the_external_server(tmp_path: Path, now: str, enabled: list[str]) -> None:
    """Of people only those with leave; who comes later or is over is disabled. The probes have other secrets."""
    people = [{"name": name, "enabled": name in enabled, "secret": ""} for name in ("alice", "bob", "carl")]
    assert accounts(external_site(tmp_path), "external", moment(now)) == [
        *people,
        {"name": "probe-a", "enabled": True, "secret": "external_probe_a_password"},
        {"name": "probe-b", "enabled": True, "secret": "external_probe_b_password"},
        {"name": "probe-c", "enabled": True, "secret": "external_probe_c_password"},
    ]


def test_the_secrets_of_accounts_are_in_the_vault_of_every_such_site(tmp_path: Path) -> None:
    site = external_site(tmp_path)
    needed = {profile: {one["secret"] for one in accounts(site, profile, NOW)} - {""} for profile in PROFILES}
    assert needed["internal"] == VAULT_KEYS.keys() - {"ca_key"}
    assert needed["external"] == {*EXTERNAL_VAULT_KEYS}
    assert not needed["internal"] & needed["external"]


def test_other_hosts_have_no_im_server(tmp_path: Path) -> None:
    site = base_site(tmp_path)
    managed = {"access", "accounts_exclusive", "firewall", "forwards", "health", "resolver", "time", "updates"}
    common = {"name", "role", "site", "addresses", "packages"}
    assert {*host_settings(site, "world", NOW)} == common
    assert {*host_settings(site, "desk", NOW)} == common | managed | {"antivirus", "desktop", "certificate"}
    assert {*host_settings(site, "gw", NOW)} == common | managed | {"dns", "limits", "relay", "web"}


def test_only_the_gateway_forwards_and_only_desktops_have_other_people(tmp_path: Path) -> None:
    site = base_site(tmp_path)
    found = {host: host_settings(site, host, NOW) for host in ("im-int", "gw", "desk")}
    assert [host for host, settings in found.items() if settings["forwards"]] == ["gw"]
    assert [host for host, settings in found.items() if not settings["accounts_exclusive"]] == ["desk"]


def test_packages_follow_from_group_and_probe(tmp_path: Path) -> None:
    site = base_site(tmp_path)
    assert "prosody" in host_settings(site, "im-int", NOW)["packages"]
    assert "prosody" in host_settings(external_site(tmp_path / "external"), "im-ext", NOW)["packages"]
    assert "prosody" not in host_settings(site, "desk", NOW)["packages"]
    assert "python3-slixmpp" in host_settings(site, "desk", NOW)["packages"]
    assert "python3-slixmpp" not in host_settings(site, "im-int", NOW)["packages"]
    assert host_settings(site, "world", NOW)["packages"] == []


@pytest.mark.parametrize(("day", "carl"), [("2025-12-31", False), ("2026-01-01", True), ("2027-07-01", False)])
def test_accounts(tmp_path: Path, day: str, carl: bool) -> None:
    assert accounts(base_site(tmp_path), "internal", moment(day)) == [
        {"name": "alice", "enabled": True, "secret": ""},
        {"name": "bob", "enabled": True, "secret": ""},
        {"name": "carl", "enabled": carl, "secret": ""},
        {"name": "probe-a", "enabled": True, "secret": "probe_a_password"},
        {"name": "probe-b", "enabled": True, "secret": "probe_b_password"},
        {"name": "probe-c", "enabled": True, "secret": "probe_c_password"},
    ]


@pytest.mark.parametrize("base", BASES)
def test_facts_are_plain_json(tmp_path: Path, base: str) -> None:
    site = load(make_site(tmp_path, *BASES[base]))
    for host in site.hosts:
        found = host_settings(site, host.name, NOW)
        assert json.loads(json.dumps(found)) == found


def test_an_unknown_host_is_no_host(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        host_settings(base_site(tmp_path), "nix", NOW)
