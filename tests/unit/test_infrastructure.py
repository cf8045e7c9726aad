# SPDX-License-Identifier: GPL-3.0-or-later
"""Who gets into which host, and where hosts find names, time and updates."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.sallyport.im.plugins.plugin_utils.infrastructure import access, services
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site, load
from unit.sites import (
    BASE_HOSTS,
    BASE_SITE,
    EXTERNAL_HOSTS,
    EXTERNAL_SITE,
    PUBLIC_KEYS,
    base_site,
    external_site,
    make_site,
)


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
    found = services(site, site.host("gw"))
    assert {name: found[name] for name in ("time", "resolver", "updates", "relay")} == {
        "time": {"sources": ["192.0.2.123", "time.example.net"], "serve": inner},
        "resolver": {"nameservers": ["127.0.0.1"], "domain": "im.fjord.example"},
        "updates": {"proxy": "http://127.0.0.1:3128", "automatic": True},
        "relay": {
            "listen": ["10.20.1.2", "10.20.2.2"],
            "port": 3128,
            "clients": inner,
            "hosts": ["packages.example.net"],
            "signatures": ["database.clamav.net"],
            "signatures_by_tls": ["database.clamav.net"],
        },
    }
    dns = found["dns"]
    assert {name: dns[name] for name in dns.keys() - {"refused", "policies"}} == {
        "listen": ["10.20.1.2", "10.20.2.2"],
        "port": 53,
        "servers": ["10.20.1.0/24", "fd12:20:0:2::/64"],
        "desktops": ["10.20.2.0/24"],
        "dmz": [],
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
        "external_domain": "",
        "mail_relay": "",
        "mail_from": [],
        "private_names": [],
    }
    assert found["limits"] == {"permitted": [], "partners": []}


def test_the_gateway_refuses_the_names_of_the_catalogue(site: Site) -> None:
    dns = services(site, site.host("gw"))["dns"]
    assert {"signal", "telegram", "dns-google", "canary-firefox"} <= {*dns["refused"]}
    assert "dns-over-tls" not in dns["refused"], "it has no names"
    assert [*dns["policies"]] == [f"refused/{service}.zone" for service in dns["refused"]]
    assert dns["policies"]["refused/canary-firefox.zone"] == (
        "use-application-dns.net CNAME .\n*.use-application-dns.net CNAME .\n"
    )


def test_the_web_gate_is_for_desktops_and_for_what_is_outside(site: Site) -> None:
    web = services(site, site.host("gw"))["web"]
    assert web["names"]["signal.org"] == "signal"
    assert web["addresses"]["149.154.160.0/20"] == "telegram"
    assert {name: web[name] for name in web.keys() - {"names", "addresses"}} == {
        "listen": ["10.20.2.2"],
        "ports": {"web_intercept": 3180, "web_tls_intercept": 3443},
        "outside": {"web": 80, "web_tls": 443},
        "clients": ["10.20.2.0/24"],
        "inside": ["10.20.0.0/24", "fd12:20:0:1::/64", "10.20.1.0/24", "fd12:20:0:2::/64", "10.20.2.0/24"],
    }


def test_a_site_with_an_external_server(tmp_path: Path) -> None:
    site = external_site(tmp_path)
    found = services(site, site.host("gw"))
    dns = found["dns"]
    assert dns["dmz"] == ["10.20.3.0/24", "fd12:20:0:4::/64"]
    assert dns["external_domain"] == "ext.fjord.example"
    assert [record for record in dns["records"] if "ext.fjord" in record] == [
        "ext.fjord.example. IN A 10.20.3.12",
        "ext.fjord.example. IN AAAA fd12:20:0:4::12",
        "_xmpps-client._tcp.ext.fjord.example. IN SRV 0 0 5223 ext.fjord.example.",
        "_xmpp-client._tcp.ext.fjord.example. IN SRV 0 0 5222 ext.fjord.example.",
    ]
    assert [name for name in dns["policies"] if name.startswith("permitted/")] == [
        "permitted/irc.zone",
        "permitted/telegram.zone",
    ]
    assert dns["policies"]["permitted/telegram.zone"].startswith(
        "telegram.org CNAME rpz-passthru.\n*.telegram.org CNAME rpz-passthru.\n"
    )
    assert {"refused/irc.zone", "refused/telegram.zone"} <= dns["policies"].keys(), "for when the time is over"
    assert found["limits"] == {
        "permitted": [
            {"service": "irc", "from": "2026-02-01T00:00:00Z", "until": "2026-10-31T12:00:00Z"},
            {"service": "telegram", "from": "", "until": "2027-02-01T00:00:00Z"},
        ],
        "partners": [
            {"names": ["north.example"], "from": "", "until": "2027-07-01T00:00:00Z"},
            {"names": ["south.example", "xmpp.hoster.example"], "from": "", "until": "2026-12-31T17:30:00Z"},
            {"names": ["west.example"], "from": "2026-09-01T00:00:00Z", "until": "2027-04-01T00:00:00Z"},
        ],
    }
    assert services(site, site.host("im-ext"))["resolver"]["nameservers"] == ["10.20.3.2", "fd12:20:0:4::2"]


def test_names_of_a_partner_on_a_private_way_may_stand_for_private_addresses(tmp_path: Path) -> None:
    private = EXTERNAL_SITE.replace("[203.0.113.9/32]", "[172.16.9.0/24]").replace(
        "servers: [xmpp.hoster.example]", "servers: [xmpp.hoster.example, a.south.example]"
    )
    assert private.count("172.16.9") == private.count("a.south") == 1
    site = load(make_site(tmp_path, private, EXTERNAL_HOSTS))
    found = services(site, site.host("gw"))
    # those that are kept for documentation count as private, too
    assert found["dns"]["private_names"] == ["north.example", "west.example"]
    assert found["limits"]["partners"][1]["names"] == ["south.example", "xmpp.hoster.example"], "a name means all below"


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
