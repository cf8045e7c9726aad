# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of flows, guarded by hand-written lists: what the derivation gives for the demo stands here in full."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.sallyport.im.plugins.plugin_utils.flows import (
    INTERCEPTING,
    SERVER_SERVICES,
    SERVICES,
    expected_reachability,
    flows,
    ports,
    published,
)
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site, load
from unit.sites import BASE_HOSTS, BASE_SITE, EXTERNAL_HOSTS, EXTERNAL_SITE, ROOT, external_site, make_site, moment

NOW = moment("2026-06-01")
PERMITTED_IN_THE_DEMO = {
    ("admin", "im_internal", "ssh"),
    ("admin", "im_internal", "ping"),
    ("admin", "im_external", "ssh"),
    ("admin", "im_external", "ping"),
    ("admin", "log_host", "ssh"),
    ("admin", "log_host", "ping"),
    ("admin", "gateway", "ssh"),
    ("admin", "gateway", "ping"),
    ("admin", "desktops", "ssh"),
    ("admin", "desktops", "ping"),
    ("desktops", "im_internal", "xmpp"),
    ("desktops", "im_internal", "xmpps"),
    ("desktops", "im_internal", "https"),
    ("desktops", "im_internal", "admission"),
    ("desktops", "im_external", "xmpp"),
    ("desktops", "im_external", "xmpps"),
    ("desktops", "im_external", "https"),
    ("desktops", "im_external", "admission"),
    # the internal server and the gateway, each by itself
    ("servers", "log_host", "logs"),
    ("dmz", "log_host", "logs"),
    ("desktops", "log_host", "logs"),
    # the log host alone: to the witness of its archive
    ("servers", "gateway", "logs"),
    # the log host alone: metrics, and alerts by message and by mail
    ("servers", "im_internal", "https"),
    ("servers", "im_external", "https"),
    ("servers", "im_internal", "xmpps"),
    ("servers", "outside", "submission"),
    ("servers", "gateway", "dns"),
    ("servers", "gateway", "dns_tcp"),
    ("servers", "gateway", "ntp"),
    ("servers", "gateway", "relay"),
    ("dmz", "gateway", "dns"),
    ("dmz", "gateway", "dns_tcp"),
    ("dmz", "gateway", "ntp"),
    ("dmz", "gateway", "relay"),
    ("desktops", "gateway", "dns"),
    ("desktops", "gateway", "dns_tcp"),
    ("desktops", "gateway", "ntp"),
    ("desktops", "gateway", "relay"),
    # pages that a desktop asks for outside; by themselves these are not reached
    ("desktops", "gateway", "web_intercept"),
    ("desktops", "gateway", "web_tls_intercept"),
    ("gateway", "outside", "dns"),
    ("gateway", "outside", "dns_tcp"),
    ("gateway", "outside", "ntp"),
    ("gateway", "outside", "web"),
    ("gateway", "outside", "web_tls"),
}
SENDERS = ("im_internal", "im_external", "gateway", "desktops")
OF_PARTNERS_OF_THE_DEMO = {
    ("outside", "im_external", "xmpp_servers", "partner.example", "2100-01-01T00:00:00Z"),
    ("outside", "im_external", "xmpps_servers", "partner.example", "2100-01-01T00:00:00Z"),
    ("dmz", "outside", "xmpp_servers", "partner.example", "2100-01-01T00:00:00Z"),
    ("dmz", "outside", "xmpps_servers", "partner.example", "2100-01-01T00:00:00Z"),
    ("outside", "im_external", "xmpp_servers", "former.example", "2026-01-01T00:00:00Z"),
    ("outside", "im_external", "xmpps_servers", "former.example", "2026-01-01T00:00:00Z"),
    ("dmz", "outside", "xmpp_servers", "former.example", "2026-01-01T00:00:00Z"),
    ("dmz", "outside", "xmpps_servers", "former.example", "2026-01-01T00:00:00Z"),
}
CONNECTIONS_OF_THE_DEMO = {
    ("localhost", "im-int", "10.213.0.11", "tcp", 22),
    ("localhost", "im-ext", "10.213.0.12", "tcp", 22),
    ("localhost", "log", "10.213.0.14", "tcp", 22),
    ("localhost", "gw", "10.213.0.2", "tcp", 22),
    ("localhost", "desk", "10.213.0.21", "tcp", 22),
    ("localhost", "im-int", "10.213.0.11", "icmp", 0),
    ("localhost", "im-ext", "10.213.0.12", "icmp", 0),
    ("localhost", "log", "10.213.0.14", "icmp", 0),
    ("localhost", "gw", "10.213.0.2", "icmp", 0),
    ("localhost", "desk", "10.213.0.21", "icmp", 0),
    ("desk", "im-int", "10.213.1.11", "tcp", 5222),
    ("desk", "im-int", "10.213.1.11", "tcp", 5223),
    ("desk", "im-int", "10.213.1.11", "tcp", 5281),
    ("desk", "im-int", "10.213.1.11", "tcp", 5290),
    ("desk", "im-int", "fd21:3:1::11", "tcp", 5222),
    ("desk", "im-int", "fd21:3:1::11", "tcp", 5223),
    ("desk", "im-int", "fd21:3:1::11", "tcp", 5281),
    ("desk", "im-int", "fd21:3:1::11", "tcp", 5290),
    ("desk", "im-ext", "10.213.3.12", "tcp", 5222),
    ("desk", "im-ext", "10.213.3.12", "tcp", 5223),
    ("desk", "im-ext", "10.213.3.12", "tcp", 5281),
    ("desk", "im-ext", "10.213.3.12", "tcp", 5290),
    ("desk", "im-ext", "fd21:3:3::12", "tcp", 5222),
    ("desk", "im-ext", "fd21:3:3::12", "tcp", 5223),
    ("desk", "im-ext", "fd21:3:3::12", "tcp", 5281),
    ("desk", "im-ext", "fd21:3:3::12", "tcp", 5290),
    ("desk", "log", "10.213.1.14", "tcp", 20514),
    ("desk", "log", "fd21:3:1::14", "tcp", 20514),
    ("desk", "gw", "10.213.2.2", "udp", 53),
    ("desk", "gw", "10.213.2.2", "tcp", 53),
    ("desk", "gw", "10.213.2.2", "udp", 123),
    ("desk", "gw", "10.213.2.2", "tcp", 3128),
    ("desk", "gw", "fd21:3:2::2", "udp", 53),
    ("desk", "gw", "fd21:3:2::2", "tcp", 53),
    ("desk", "gw", "fd21:3:2::2", "udp", 123),
    ("desk", "gw", "fd21:3:2::2", "tcp", 3128),
    # at the gateway's address outside, partners find the external server
    ("world", "gw", "10.213.9.2", "tcp", 5269),
    ("world", "gw", "10.213.9.2", "tcp", 5270),
    ("world", "im-ext", "10.213.3.12", "tcp", 5269),
    ("world", "im-ext", "10.213.3.12", "tcp", 5270),
    ("world", "im-ext", "fd21:3:3::12", "tcp", 5269),
    ("world", "im-ext", "fd21:3:3::12", "tcp", 5270),
}


@pytest.fixture(scope="module")
def demo() -> Site:
    return load(ROOT / "inventories" / "demo", with_vault=False)


def test_the_demo_permits_exactly_this(demo: Site) -> None:
    found = flows(demo)
    # two programs of the gateway fetch pages, each for itself
    by = [(flow.source, flow.destination, flow.service, flow.user, flow.by) for flow in found if not flow.whom]
    assert {flow[:3] for flow in by} == PERMITTED_IN_THE_DEMO
    assert len(set(by)) == len(by) == len(PERMITTED_IN_THE_DEMO) + 2 + 1
    assert {flow[4] for flow in by if flow[2] == "logs" and flow[1] == "log_host"} == set(SENDERS)
    assert {flow[4] for flow in by if flow[2] == "logs" and flow[1] == "gateway"} == {"log_host"}
    assert all(flow.by for flow in found if flow.service == "logs")
    assert {flow.by for flow in found if flow.practice == "R10"} == {"log_host"}
    assert {flow.user for flow in found if flow.user} == {"unbound", "_chrony", "proxy", "haproxy"}
    assert all(flow.source == "gateway" for flow in found if flow.user)
    assert not any(flow.begins or flow.ends or flow.only for flow in found if not flow.whom)


def test_the_demo_s_partners_have_exactly_these_ways(demo: Site) -> None:
    found = [(flow.source, flow.destination, flow.service, flow.whom, flow.ends) for flow in flows(demo) if flow.whom]
    assert set(found) == OF_PARTNERS_OF_THE_DEMO
    assert len(found) == len(OF_PARTNERS_OF_THE_DEMO)


def test_the_demo_lets_exactly_these_connections_through(demo: Site) -> None:
    permitted = {
        (a.source, a.destination, a.address, a.protocol, a.port)
        for a in expected_reachability(demo, NOW)
        if a.permitted
    }
    assert permitted == CONNECTIONS_OF_THE_DEMO


def test_every_service_is_tried_from_every_probe_at_every_address(demo: Site) -> None:
    attempts = expected_reachability(demo, NOW)
    tried = {(a.source, a.address, a.service) for a in attempts}
    for service in SERVICES:
        assert ("world", "10.213.1.11", service) in tried
        assert ("world", "fd21:3:1::11", service) in tried
        assert ("world", "10.213.2.21", service) in tried
        assert ("world", "10.213.3.12", service) in tried
        assert ("world", "10.213.9.2", service) in tried
        assert ("desk", "fd21:3:3::12", service) in tried
        assert ("desk", "10.213.0.11", service) in tried
    assert len(set(attempts)) == len(attempts)


def test_only_partners_servers_come_in_from_outside(demo: Site) -> None:
    from_outside = [attempt for attempt in expected_reachability(demo, NOW) if attempt.source_zone == "outside"]
    assert len(from_outside) > 20
    permitted = {(attempt.destination, attempt.service) for attempt in from_outside if attempt.permitted}
    assert permitted == {(host, service) for host in ("gw", "im-ext") for service in ("xmpp_servers", "xmpps_servers")}
    assert all(attempt.practice == "R6" for attempt in from_outside if attempt.permitted)


def test_nobody_tries_himself_or_what_is_not_the_site_s(demo: Site) -> None:
    attempts = expected_reachability(demo, NOW)
    assert not [attempt for attempt in attempts if attempt.source == attempt.destination]
    assert not [attempt for attempt in attempts if attempt.destination == "world"]


def test_only_the_external_server_talks_to_servers(demo: Site) -> None:
    between = {(flow.source, flow.destination) for flow in flows(demo) if flow.service in SERVER_SERVICES}
    assert between == {("outside", "im_external"), ("dmz", "outside")}
    assert "http" not in {flow.service for flow in flows(demo)}
    # and with colleagues' server it does not talk at all
    ways = {(flow.source, flow.destination) for flow in flows(demo)}
    assert not ways & {("dmz", "im_internal"), ("outside", "gateway")}
    out = [flow for flow in flows(demo) if flow.source == "servers" and flow.destination in ("im_external", "outside")]
    assert {(flow.service, flow.by) for flow in out} == {("https", "log_host"), ("submission", "log_host")}


def test_without_an_external_server_no_server_talks_to_another(tmp_path: Path) -> None:
    found = flows(load(make_site(tmp_path)))
    assert not {flow.service for flow in found} & {*SERVER_SERVICES, "http"}
    assert not {flow.source for flow in found} & {"outside", "dmz"}


def test_without_a_log_host_nobody_hands_logs_to_anybody(tmp_path: Path) -> None:
    assert "logs" not in {flow.service for flow in flows(load(make_site(tmp_path)))}


def test_a_partner_comes_from_its_addresses_while_it_is_one(tmp_path: Path) -> None:
    found = [flow for flow in flows(external_site(tmp_path)) if flow.service == "xmpp_servers"]
    assert [(flow.source, flow.destination, flow.whom, flow.only, flow.begins, flow.ends) for flow in found] == [
        (source, destination, whom, only, begins, ends)
        for source, destination in (("dmz", "outside"), ("outside", "im_external"))
        for whom, only, begins, ends in (
            ("north.example", ("198.51.100.16/28", "198.51.100.64/32", "2001:db8:51::/64"), "", "2027-07-01T00:00:00Z"),
            ("south.example", (), "", "2026-12-31T17:30:00Z"),
            ("west.example", ("203.0.113.9/32",), "2026-09-01T00:00:00Z", "2027-04-01T00:00:00Z"),
        )
    ]


WORLDS = {
    "in the partner's addresses": ("198.51.100.20", "2001:db8:51::20", "2026-12-31 17:30", "both"),
    "of IPv4 only": ("198.51.100.20", "2001:db8:7::31", "2026-12-31 17:30", "IPv4"),
    "of IPv6 only": ("192.0.2.31", "2001:db8:51::20", "2026-12-31 17:30", "IPv6"),
    "beside the partner's addresses": ("198.51.100.32", "2001:db8:52::20", "2026-12-31 17:30", "neither"),
    "while one partner comes from anywhere": ("192.0.2.31", "2001:db8::31", "2026-12-31 17:29:59", "both"),
    "in the last second": ("198.51.100.20", "2001:db8:51::20", "2027-06-30 23:59:59", "both"),
    "when all is over": ("198.51.100.20", "2001:db8:51::20", "2027-07-01", "neither"),
    "in the last second of one of IPv4 only": ("203.0.113.9", "2001:db8::31", "2027-03-31 23:59:59", "IPv4"),
    "of one that is over": ("203.0.113.9", "2001:db8::31", "2027-04-01", "neither"),
}
"""Where the host outside stands, when it tries, and over which version of IP it gets in."""


@pytest.mark.parametrize(("four", "six", "now", "over"), WORLDS.values(), ids=WORLDS)
def test_who_reaches_the_external_server_from_outside(tmp_path: Path, four: str, six: str, now: str, over: str) -> None:
    hosts = EXTERNAL_HOSTS.replace("198.51.100.20", four).replace("2001:db8:7::31", six)
    found = server_attempts(load(make_site(tmp_path, EXTERNAL_SITE, hosts)), now)
    for service in SERVER_SERVICES:
        # at the gateway's address, which means the external server, and at its own
        assert found["192.0.2.7", service] is (over in ("both", "IPv4"))
        assert found["10.20.3.12", service] is (over in ("both", "IPv4"))
        assert found["fd12:20:0:4::12", service] is (over in ("both", "IPv6"))
        # the gateway's own address of IPv6 means the gateway, and the internal server is nobody's
        assert not found["2001:db8:7::2", service]
        assert not found["10.20.1.11", service]


@pytest.mark.parametrize(("now", "may"), [("2026-08-31 23:59:59", False), ("2026-09-01", True)])
def test_a_partner_that_has_not_begun_does_not_come_in(tmp_path: Path, now: str, may: bool) -> None:
    # with an address of its own, the partner that comes from anywhere is none any more
    text = EXTERNAL_SITE.replace("servers: [xmpp.hoster.example]", "addresses: [192.0.2.240/32]")
    hosts = EXTERNAL_HOSTS.replace("198.51.100.20", "203.0.113.9")
    found = server_attempts(load(make_site(tmp_path, text, hosts)), now)
    assert found["192.0.2.7", "xmpp_servers"] is may


def server_attempts(site: Site, now: str) -> dict[tuple[str, str], bool]:
    """Say which addresses the host outside reaches as a server does, by address and service."""
    return {
        (attempt.address, attempt.service): attempt.permitted
        for attempt in expected_reachability(site, moment(now))
        if attempt.source == "world" and attempt.source_zone == "outside" and attempt.service in SERVER_SERVICES
    }


def test_what_answers_in_the_place_of_others_is_reached_by_nobody_who_asks_for_it(tmp_path: Path) -> None:
    site = external_site(tmp_path)
    assert {flow.service for flow in flows(site)} >= {*INTERCEPTING}
    asked = [attempt for attempt in expected_reachability(site, NOW) if attempt.service in INTERCEPTING]
    assert asked
    assert not [attempt for attempt in asked if attempt.permitted]


def test_the_external_server_is_published_at_the_gateway(tmp_path: Path) -> None:
    assert published(external_site(tmp_path)) == (("192.0.2.7", "10.20.3.12"),)
    assert published(load(make_site(tmp_path / "without"))) == ()


def test_an_empty_zone_has_no_flows(tmp_path: Path) -> None:
    site = BASE_SITE.replace("desktops: [10.20.2.0/24]", "desktops: []")
    hosts = BASE_HOSTS[: BASE_HOSTS.index("    desktops:")].replace(" desktops: [10.20.2.2],", "")
    found = flows(load(make_site(tmp_path, site, hosts)))
    assert {flow.source for flow in found} == {"admin", "servers", "gateway"}
    assert "desktops" not in {flow.destination for flow in found}


def test_nothing_leaves_that_the_site_does_not_name(tmp_path: Path) -> None:
    site = BASE_SITE.replace("  outward: {desktops: [web, web_tls]}\n", "")
    found = [flow for flow in flows(load(make_site(tmp_path, site))) if flow.destination == "outside"]
    assert {flow.source for flow in found} == {"gateway"}
    mail = BASE_SITE.replace("[web, web_tls]", "[imaps]")
    to_desktops = [flow.service for flow in flows(load(make_site(tmp_path, mail))) if flow.source == "desktops"]
    assert "imaps" in to_desktops
    assert not {*INTERCEPTING} & {*to_desktops}
    assert all(flow.user for flow in found)


def test_every_flow_has_a_reason_and_a_service(demo: Site) -> None:
    for flow in flows(demo):
        assert flow.service in SERVICES
        assert flow.practice[0] == "R"
        assert 1 <= int(flow.practice[1:]) <= 12
        assert flow.why


def test_ports() -> None:
    assert ports("xmpp", "xmpps", "https") == {"xmpp": 5222, "xmpps": 5223, "https": 5281}
    assert len({(service.protocol, service.port) for service in SERVICES.values()}) == len(SERVICES)
    with pytest.raises(KeyError):
        ports("telnet")
