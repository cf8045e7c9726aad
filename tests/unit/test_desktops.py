# SPDX-License-Identifier: GPL-3.0-or-later
"""What desktops and servers are told of each other."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from ansible_collections.sallyport.im.plugins.plugin_utils import consumer_im, desktops
from ansible_collections.sallyport.im.plugins.plugin_utils.derive import host_settings
from ansible_collections.sallyport.im.plugins.plugin_utils.firewall import ruleset
from ansible_collections.sallyport.im.plugins.plugin_utils.flows import flows
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site, load
from unit.sites import EXTERNAL_HOSTS, EXTERNAL_SITE, make_site, moment

NOW = moment("2026-06-01")
SETTINGS = """\
  desktops:
    hours: 8
    attested:
      - id: macbook
        person: bob
        system: macos
        addresses: [10.20.2.50]
        by: Eva
        from: 2026-06-01
        until: 2026-06-30 12:00
"""
OPEN = "  desktops: {admission: open}\n"


def site_of(folder: Path, settings: str = SETTINGS) -> Site:
    hosts = EXTERNAL_HOSTS.replace('::21"]}\n', '::21"]}\n          sallyport_person: bob\n')
    return load(make_site(folder, EXTERNAL_SITE.rstrip("\n") + "\n" + settings, hosts))


def test_what_a_desktop_is_told(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    found = host_settings(site, "desk", NOW)
    assert found["desktop"] == {
        "desktop": "desk",
        "addresses": ["10.20.2.21", "fd12:20:0:3::21"],
        "servers": [
            {"name": "im.fjord.example", "port": 5290, "addresses": ["10.20.1.11", "fd12:20:0:2::11"]},
            {"name": "ext.fjord.example", "port": 5290, "addresses": ["10.20.3.12", "fd12:20:0:4::12"]},
        ],
        "stale_hours": 48,
        "automatic_updates": True,
        "refused_packages": desktops.refused_packages(site, NOW),
        "client_packages": ["gajim"],
        "renew_seconds": 7200,
        "accounts": [
            {"address": "bob@im.fjord.example", "title": "Fjord AS"},
            {"address": "bob@ext.fjord.example", "title": "Fjord AS: partners"},
        ],
    }
    assert found["certificate"]["dns"] == ["desk.desktops.im.fjord.example"]
    assert found["certificate"]["client"]
    assert "openssl" in found["packages"]
    assert "gajim" not in found["packages"], "it comes only after the checks"


@pytest.mark.parametrize("server", ["im-int", "im-ext"])
def test_what_a_server_is_told(tmp_path: Path, server: str) -> None:
    site = site_of(tmp_path)
    assert host_settings(site, server, NOW)["admission"] == {
        "listen": [address for found in site.host(server).addresses.values() for address in found],
        "port": 5290,
        "seconds": 28800,
        "table": "inet sallyport",
        "sets": {"4": "admitted4", "6": "admitted6"},
        "checks": ["signatures", "scanner", "on-access", "firewall", "updates", "consumer-im", "automatic-updates"],
        "desktops": {
            "desk": {
                "certificate": "desk.desktops.im.fjord.example",
                "person": "bob",
                "addresses": ["10.20.2.21", "fd12:20:0:3::21"],
            }
        },
        "attested": [
            {
                "id": "macbook",
                "person": "bob",
                "system": "macos",
                "addresses": ["10.20.2.50"],
                "by": "Eva",
                "from": "2026-06-01T00:00:00Z",
                "until": "2026-06-30T12:00:00Z",
            }
        ],
    }


def test_the_sets_are_those_of_the_firewall(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    text = ruleset(site, "im-int")
    for name in host_settings(site, "im-int", NOW)["admission"]["sets"].values():
        assert f"  set {name} {{" in text
        assert f"!= @{name} goto not_admitted" in text
        assert f"!= @{name} tcp flags & rst == 0 goto not_admitted_any_more" in text


def test_with_open_doors_nobody_is_asked(tmp_path: Path) -> None:
    site = site_of(tmp_path, OPEN)
    assert "admission" not in host_settings(site, "im-int", NOW)
    assert host_settings(site, "desk", NOW)["desktop"]["servers"] == []
    assert not [flow for flow in flows(site) if flow.service == "admission"]
    assert "admitted" not in ruleset(site, "im-int")
    assert 'tcp dport 5222 accept comment "R1 xmpp"' in ruleset(site, "im-int")


def test_every_program_of_consumer_im_is_for_an_entry_of_the_catalogue() -> None:
    named = {name for needs in desktops.CONSUMER_CLIENTS.values() for name in needs}
    assert named <= {*consumer_im.services()}


@pytest.mark.parametrize(
    ("now", "irssi", "telegram"),
    [
        ("2026-01-15", True, False),
        ("2026-06-01", False, False),
        ("2026-11-01", True, False),
        ("2027-03-01", True, True),
    ],
)
def test_what_is_permitted_for_a_time_is_kept_out_only_then(
    tmp_path: Path, now: str, irssi: bool, telegram: bool
) -> None:
    found = desktops.refused_packages(site_of(tmp_path), moment(now))
    assert ("irssi" in found, "telegram-desktop" in found) == (irssi, telegram)
    # what speaks several networks is never right
    assert "pidgin" in found
    assert not {"gajim", "dino-im"} & {*found}


def test_updates_by_hand_are_not_asked_for(tmp_path: Path) -> None:
    site = site_of(tmp_path, "  updates: {automatic: false}\n")
    assert "automatic-updates" not in host_settings(site, "im-int", NOW)["admission"]["checks"]
    assert host_settings(site, "desk", NOW)["desktop"]["automatic_updates"] is False


def test_whose_time_is_over_has_no_account_to_set_up(tmp_path: Path) -> None:
    late = datetime.datetime(2027, 1, 15, tzinfo=datetime.UTC)
    accounts = host_settings(site_of(tmp_path), "desk", late)["desktop"]["accounts"]
    assert [one["address"] for one in accounts] == ["bob@im.fjord.example"]
