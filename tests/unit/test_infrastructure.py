# SPDX-License-Identifier: GPL-3.0-or-later
"""Who gets into which host, and where hosts find names, time and updates."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.sallyport.im.plugins.plugin_utils.infrastructure import access, services
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site, load
from unit.sites import BASE_HOSTS, BASE_SITE, PUBLIC_KEYS, base_site, make_site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return base_site(tmp_path)


def test_administrators_with_all_their_keys(site: Site) -> None:
    assert access(site, site.host("im-int")) == {
        "administrators": [
            {"user": "ops", "keys": [PUBLIC_KEYS["ops"]]},
            {"user": "eva", "keys": [PUBLIC_KEYS["eva"], PUBLIC_KEYS["ops"]]},
        ],
        "revoked_keys": [PUBLIC_KEYS["former"]],
        "networks": ["10.20.0.0/24", "fd12:20:0:1::/64"],
        "listen": ["10.20.0.11"],
        "banner": "Only for the people of Fjord.",
    }


def test_a_host_that_only_the_dns_knows_listens_everywhere(tmp_path: Path) -> None:
    hosts = BASE_HOSTS.replace("ansible_host: 10.20.0.11", "ansible_host: im-int.fjord.example")
    site = load(make_site(tmp_path, hosts=hosts))
    assert access(site, site.host("im-int"))["listen"] == []


@pytest.mark.parametrize(("host", "near"), [("im-int", "10.20.1.2"), ("desk", "10.20.2.2")])
def test_inner_hosts_ask_the_gateway_in_their_own_zone(site: Site, host: str, near: str) -> None:
    assert services(site, site.host(host)) == {
        "time": {"sources": [near], "serve": []},
        "resolver": {"nameservers": [near], "domain": "im.fjord.example"},
        "updates": {"proxy": f"http://{near}:3128", "automatic": True},
    }


def test_the_gateway_serves_the_zones_behind_it(site: Site) -> None:
    inner = ["10.20.1.0/24", "fd12:20:0:2::/64", "10.20.2.0/24"]
    assert services(site, site.host("gw")) == {
        "time": {"sources": ["192.0.2.123", "time.example.net"], "serve": inner},
        "resolver": {"nameservers": ["127.0.0.1"], "domain": "im.fjord.example"},
        "updates": {"proxy": "http://127.0.0.1:3128", "automatic": True},
        "relay": {
            "listen": ["10.20.1.2", "10.20.2.2"],
            "port": 3128,
            "clients": inner,
            "hosts": ["packages.example.net"],
        },
        "dns": {
            "listen": ["10.20.1.2", "10.20.2.2"],
            "port": 53,
            "servers": ["10.20.1.0/24", "fd12:20:0:2::/64"],
            "desktops": ["10.20.2.0/24"],
            "forwarders": ["192.0.2.53"],
            "records": [
                "im.fjord.example. IN A 10.20.1.11",
                "im.fjord.example. IN AAAA fd12:20:0:2::11",
                "files.im.fjord.example. IN A 10.20.1.11",
                "files.im.fjord.example. IN AAAA fd12:20:0:2::11",
                "_xmpps-client._tcp.im.fjord.example. IN SRV 0 0 5223 im.fjord.example.",
                "_xmpp-client._tcp.im.fjord.example. IN SRV 0 0 5222 im.fjord.example.",
            ],
            "domain": "im.fjord.example",
        },
    }


def test_without_package_sources_the_gateway_s_own_count(tmp_path: Path) -> None:
    site = load(make_site(tmp_path, BASE_SITE.replace("sources: [packages.example.net], ", "")))
    assert "hosts" not in services(site, site.host("gw"))["relay"]
    none = load(make_site(tmp_path / "none", BASE_SITE.replace("sources: [packages.example.net]", "sources: []")))
    assert services(none, none.host("gw"))["relay"]["hosts"] == []


def test_ipv4_is_preferred_and_an_ipv6_proxy_is_a_url(tmp_path: Path) -> None:
    both = BASE_HOSTS.replace("{servers: [10.20.1.2]", '{servers: ["fd12:20:0:2::2", 10.20.1.2]')
    site = load(make_site(tmp_path / "both", hosts=both))
    assert services(site, site.host("im-int"))["resolver"]["nameservers"] == ["10.20.1.2", "fd12:20:0:2::2"]
    six = BASE_HOSTS.replace("{servers: [10.20.1.2]", '{servers: ["fd12:20:0:2::2"]')
    site = load(make_site(tmp_path / "six", hosts=six))
    assert services(site, site.host("im-int"))["updates"]["proxy"] == "http://[fd12:20:0:2::2]:3128"
