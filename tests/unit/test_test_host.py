# SPDX-License-Identifier: GPL-3.0-or-later
"""What Docker is told of the demo's hosts."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sallyport.im.plugins.filter.test_host import test_host as describe

ZONES = {
    "admin": ["10.0.0.0/24", "fd00:0::/64"],
    "servers": ["10.0.1.0/24", "fd00:1::/64"],
    "desktops": ["10.0.2.0/24"],
    "outside": ["10.0.9.0/24", "fd00:9::/64"],
}
HOSTS: dict[str, dict[str, Any]] = {
    "server": {"ansible_host": "10.0.0.11", "sallyport_addresses": {"servers": ["10.0.1.11", "fd00:1::11"]}},
    "gw": {
        "ansible_host": "10.0.0.2",
        "sallyport_addresses": {
            "servers": ["10.0.1.2", "fd00:1::2"],
            "desktops": ["10.0.2.2"],
            "outside": ["10.0.9.2", "fd00:9::2"],
        },
    },
    "desk": {"ansible_host": "10.0.0.21", "sallyport_addresses": {"desktops": ["10.0.2.21"]}},
    "world": {"ansible_host": "10.0.9.31", "sallyport_addresses": {"outside": ["10.0.9.31", "fd00:9::31"]}},
}
GROUPS = {"gateway": ["gw"], "im_internal": ["server"], "outside": ["world"]}
NAMES = {"outside": ["partner.example", "chat.partner.example"]}


def described(name: str) -> dict[str, Any]:
    return describe(HOSTS, name, zones=ZONES, roles=GROUPS, names=NAMES, provider="10.0.8.0/24")


def test_a_host_stands_in_its_networks_and_in_that_of_administration() -> None:
    assert described("server")["networks"] == [
        {"name": "sallyport-servers", "ipv4_address": "10.0.1.11", "ipv6_address": "fd00:1::11"},
        {"name": "sallyport-admin", "ipv4_address": "10.0.0.11"},
    ]


def test_a_host_that_is_reached_at_its_own_address_stands_in_one_network() -> None:
    # the first one outside has a way to the real Internet beside
    assert described("world")["networks"][1:] == [{"name": "sallyport-provider"}]
    hosts = HOSTS | {"other": {"ansible_host": "10.0.9.32", "sallyport_addresses": {"outside": ["10.0.9.32"]}}}
    other = describe(hosts, "other", zones=ZONES, roles=GROUPS, names=NAMES, provider="10.0.8.0/24")
    assert [network["name"] for network in other["networks"]] == ["sallyport-outside"]
    assert other["environment"]["TEST_HOST_ROUTES"].startswith("default via 10.0.9.31,10.0.1.0/24 via 10.0.9.2,")


@pytest.mark.parametrize(
    ("name", "routes"),
    [
        ("server", "default via 10.0.1.2,default via fd00:1::2"),
        ("desk", "default via 10.0.2.2"),
        ("gw", "default via 10.0.9.31,default via fd00:9::31"),
        ("world", "default via 10.0.8.1,10.0.1.0/24 via 10.0.9.2,fd00:1::/64 via fd00:9::2,10.0.2.0/24 via 10.0.9.2"),
    ],
)
def test_every_way_leads_through_the_gateway(name: str, routes: str) -> None:
    assert described(name)["environment"]["TEST_HOST_ROUTES"] == routes


def test_who_leads_others_somewhere_hides_them_there() -> None:
    environment = described("gw")["environment"]
    assert environment["TEST_HOST_BEHIND"] == "10.0.1.0/24, 10.0.2.0/24"
    assert environment["TEST_HOST_NEAR"] == "10.0.0.0/24, 10.0.1.0/24, 10.0.2.0/24, 10.0.9.0/24"
    assert described("world")["environment"]["TEST_HOST_BEHIND"] == "10.0.9.0/24"
    assert "TEST_HOST_BEHIND" not in described("server")["environment"]


def test_names_lead_to_the_addresses_of_the_host() -> None:
    assert described("desk")["environment"]["TEST_HOST_NAMES"].split(",") == [
        "10.0.9.31 partner.example chat.partner.example",
        "fd00:9::31 partner.example chat.partner.example",
    ]


def test_an_address_in_no_network_is_refused_and_says_which_there_are() -> None:
    hosts = HOSTS | {"desk": HOSTS["desk"] | {"ansible_host": "192.168.7.7"}}
    with pytest.raises(ValueError, match=r"192\.168\.7\.7 is in no network .* admin 10\.0\.0\.0/24"):
        describe(hosts, "desk", zones=ZONES, roles=GROUPS, names=NAMES, provider="10.0.8.0/24")
