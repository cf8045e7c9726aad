# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles are told of each host."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest
from ansible_collections.sallyport.im.plugins.plugin_utils.derive import accounts, host_settings
from ansible_collections.sallyport.im.plugins.plugin_utils.firewall import ruleset
from ansible_collections.sallyport.im.plugins.plugin_utils.infrastructure import access, services
from ansible_collections.sallyport.im.plugins.plugin_utils.message_policy import compile_policy, policy_text
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site
from unit.sites import base_site

TODAY = datetime.date(2026, 6, 1)


def access_and_services(site: Site, name: str) -> dict[str, object]:
    host = site.host(name)
    return {"access": access(site, host), **services(site, host)}


def test_the_internal_server(tmp_path: Path) -> None:
    site = base_site(tmp_path)
    found = host_settings(site, "im-int", TODAY)
    im = found.pop("im")
    assert found.pop("packages") == sorted({*host_settings(site, "im-int", TODAY)["packages"]})
    for key, wanted in access_and_services(site, "im-int").items():
        assert found.pop(key) == wanted
    assert found.pop("firewall") == {"ruleset": ruleset(site, "im-int"), "rollback_seconds": 60}
    assert found == {
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
            "days": 90,
            "directory": "/etc/sallyport/tls",
        },
    }
    assert im.pop("policy") == policy_text(compile_policy(site))
    assert im.pop("accounts") == accounts(site, TODAY)
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
        "sign_in_attempts": 10,
        "sign_in_lockout_seconds": 900,
    }


def test_other_hosts_have_no_im_server(tmp_path: Path) -> None:
    site = base_site(tmp_path)
    managed = {"access", "accounts_exclusive", "firewall", "forwards", "resolver", "time", "updates"}
    common = {"name", "role", "site", "addresses", "packages"}
    assert {*host_settings(site, "world", TODAY)} == common
    assert {*host_settings(site, "desk", TODAY)} == common | managed
    assert {*host_settings(site, "gw", TODAY)} == common | managed | {"dns", "relay"}


def test_only_the_gateway_forwards_and_only_desktops_have_other_people(tmp_path: Path) -> None:
    site = base_site(tmp_path)
    found = {host: host_settings(site, host, TODAY) for host in ("im-int", "gw", "desk")}
    assert [host for host, settings in found.items() if settings["forwards"]] == ["gw"]
    assert [host for host, settings in found.items() if not settings["accounts_exclusive"]] == ["desk"]


def test_packages_follow_from_group_and_probe(tmp_path: Path) -> None:
    site = base_site(tmp_path)
    assert "prosody" in host_settings(site, "im-int", TODAY)["packages"]
    assert "prosody" not in host_settings(site, "desk", TODAY)["packages"]
    assert "python3-slixmpp" in host_settings(site, "desk", TODAY)["packages"]
    assert "python3-slixmpp" not in host_settings(site, "im-int", TODAY)["packages"]
    assert host_settings(site, "world", TODAY)["packages"] == []


@pytest.mark.parametrize(("day", "carl"), [("2025-12-31", False), ("2026-01-01", True), ("2027-07-01", False)])
def test_accounts(tmp_path: Path, day: str, carl: bool) -> None:
    assert accounts(base_site(tmp_path), datetime.date.fromisoformat(day)) == [
        {"name": "alice", "enabled": True, "secret": ""},
        {"name": "bob", "enabled": True, "secret": ""},
        {"name": "carl", "enabled": carl, "secret": ""},
        {"name": "probe-a", "enabled": True, "secret": "probe_a_password"},
        {"name": "probe-b", "enabled": True, "secret": "probe_b_password"},
        {"name": "probe-c", "enabled": True, "secret": "probe_c_password"},
    ]


def test_facts_are_plain_json(tmp_path: Path) -> None:
    site = base_site(tmp_path)
    for host in site.hosts:
        found = host_settings(site, host.name, TODAY)
        assert json.loads(json.dumps(found)) == found


def test_an_unknown_host_is_no_host(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        host_settings(base_site(tmp_path), "nix", TODAY)
