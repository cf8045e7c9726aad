# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of flows, guarded by hand-written lists: what the derivation gives for the demo stands here in full."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.sallyport.im.plugins.plugin_utils.flows import (
    SERVICES,
    expected_reachability,
    flows,
    ports,
)
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site, load
from unit.sites import BASE_HOSTS, BASE_SITE, ROOT, make_site

PERMITTED_IN_THE_DEMO = {
    ("admin", "im_internal", "ssh"),
    ("admin", "im_internal", "ping"),
    ("admin", "gateway", "ssh"),
    ("admin", "gateway", "ping"),
    ("admin", "desktops", "ssh"),
    ("admin", "desktops", "ping"),
    ("desktops", "im_internal", "xmpp"),
    ("desktops", "im_internal", "xmpps"),
    ("desktops", "im_internal", "https"),
    ("servers", "gateway", "dns"),
    ("servers", "gateway", "dns_tcp"),
    ("servers", "gateway", "ntp"),
    ("servers", "gateway", "relay"),
    ("desktops", "gateway", "dns"),
    ("desktops", "gateway", "dns_tcp"),
    ("desktops", "gateway", "ntp"),
    ("desktops", "gateway", "relay"),
    ("desktops", "outside", "web"),
    ("desktops", "outside", "web_tls"),
    ("gateway", "outside", "dns"),
    ("gateway", "outside", "dns_tcp"),
    ("gateway", "outside", "ntp"),
    ("gateway", "outside", "web"),
    ("gateway", "outside", "web_tls"),
}
CONNECTIONS_OF_THE_DEMO = {
    ("localhost", "im-int", "10.213.0.11", "tcp", 22),
    ("localhost", "gw", "10.213.0.2", "tcp", 22),
    ("localhost", "desk", "10.213.0.21", "tcp", 22),
    ("localhost", "im-int", "10.213.0.11", "icmp", 0),
    ("localhost", "gw", "10.213.0.2", "icmp", 0),
    ("localhost", "desk", "10.213.0.21", "icmp", 0),
    ("desk", "im-int", "10.213.1.11", "tcp", 5222),
    ("desk", "im-int", "10.213.1.11", "tcp", 5223),
    ("desk", "im-int", "10.213.1.11", "tcp", 5281),
    ("desk", "im-int", "fd21:3:1::11", "tcp", 5222),
    ("desk", "im-int", "fd21:3:1::11", "tcp", 5223),
    ("desk", "im-int", "fd21:3:1::11", "tcp", 5281),
    ("desk", "gw", "10.213.2.2", "udp", 53),
    ("desk", "gw", "10.213.2.2", "tcp", 53),
    ("desk", "gw", "10.213.2.2", "udp", 123),
    ("desk", "gw", "10.213.2.2", "tcp", 3128),
    ("desk", "gw", "fd21:3:2::2", "udp", 53),
    ("desk", "gw", "fd21:3:2::2", "tcp", 53),
    ("desk", "gw", "fd21:3:2::2", "udp", 123),
    ("desk", "gw", "fd21:3:2::2", "tcp", 3128),
}


@pytest.fixture(scope="module")
def demo() -> Site:
    return load(ROOT / "inventories" / "demo", with_vault=False)


def test_the_demo_permits_exactly_this(demo: Site) -> None:
    found = [(flow.source, flow.destination, flow.service) for flow in flows(demo)]
    assert set(found) == PERMITTED_IN_THE_DEMO
    assert len(found) == len(PERMITTED_IN_THE_DEMO)


def test_the_demo_lets_exactly_these_connections_through(demo: Site) -> None:
    permitted = {
        (a.source, a.destination, a.address, a.protocol, a.port) for a in expected_reachability(demo) if a.permitted
    }
    assert permitted == CONNECTIONS_OF_THE_DEMO


def test_every_service_is_tried_from_every_probe_at_every_address(demo: Site) -> None:
    attempts = expected_reachability(demo)
    tried = {(a.source, a.address, a.service) for a in attempts}
    for service in SERVICES:
        assert ("world", "10.213.1.11", service) in tried
        assert ("world", "fd21:3:1::11", service) in tried
        assert ("world", "10.213.2.21", service) in tried
        assert ("desk", "10.213.0.11", service) in tried
    assert len(set(attempts)) == len(attempts)


def test_nothing_comes_in_from_outside(demo: Site) -> None:
    from_outside = [attempt for attempt in expected_reachability(demo) if attempt.source_zone == "outside"]
    assert len(from_outside) > 20
    assert not [attempt for attempt in from_outside if attempt.permitted]


def test_nobody_tries_himself_or_what_is_not_the_site_s(demo: Site) -> None:
    attempts = expected_reachability(demo)
    assert not [attempt for attempt in attempts if attempt.source == attempt.destination]
    assert not [attempt for attempt in attempts if attempt.destination == "world"]


def test_servers_talk_to_no_servers(demo: Site) -> None:
    assert not {flow.service for flow in flows(demo)} & {"xmpp_servers", "xmpps_servers", "http"}


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
