# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `test_host`: what Docker must know of one host of the demo site."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Any

DOCUMENTATION = r"""
name: test_host
short_description: What Docker must know of one host of the demo site
version_added: 0.1.0
description:
  - Says from the inventory alone in which networks a test host stands, by which routes it reaches the others,
    and which names it finds.
  - Hosts of the site go through the gateway to every other network, and the gateway through the first host outside,
    which is the Internet for it. That one reaches the site through the gateway, and the real Internet through a network
    of its own.
  - Used by C(playbooks/test_hosts.yml) only. It knows nothing of a real site.
positional: _input, name
options:
  _input:
    description: Variables of all hosts, as in C(hostvars). Each host has C(ansible_host) and C(sallyport_addresses).
    type: dict
    required: true
  name:
    description: The host.
    type: str
    required: true
  zones:
    description: Networks by name, each a list of at most one IPv4 and one IPv6 network. Must have V(outside).
    type: dict
    required: true
  roles:
    description:
      - Names of the hosts by group, as in C(groups). Read are V(gateway), V(outside) and the groups of O(names).
    type: dict
    required: true
  names:
    description: Names that are in no DNS, by group, each a list; all hosts find the group's first host under them.
    type: dict
    required: true
  provider:
    description: Network through which the first host of the group V(outside) reaches the real Internet, IPv4.
    type: str
    required: true
author:
  - The Sallyport engineers
"""

EXAMPLES = r"""
- name: Networks of a test host
  ansible.builtin.debug:
    msg: "{{ hostvars | sallyport.im.test_host('desk', zones=zones, roles=groups, names={}, provider='10.0.8.0/24') }}"
  vars:
    zones: {servers: [10.0.1.0/24], outside: [10.0.9.0/24]}
"""

RETURN = r"""
_value:
  description:
    - C(networks) for M(community.docker.docker_container), C(environment) for the image's boot script.
  type: dict
"""

Addresses = dict[str, list[str]]


def zone_of(address: str, zones: Mapping[str, Iterable[str]]) -> str:
    """Find the network of an address.

    Args:
        address: IPv4 or IPv6.
        zones: networks by name, as CIDR.

    Returns:
        The name of the network that holds the address.

    Raises:
        ValueError: when none does; says which networks there are.

    """
    for name, networks in zones.items():
        if any(ipaddress.ip_address(address) in ipaddress.ip_network(network) for network in networks):
            return name
    known = ", ".join(f"{name} {' '.join(networks)}" for name, networks in zones.items())
    raise ValueError(f"{address} is in no network of the demo site. Choose one inside: {known}")


def addresses_of(variables: Mapping[str, Any], zones: Mapping[str, Iterable[str]]) -> Addresses:
    """List a host's addresses by network, the one that Ansible uses included.

    Args:
        variables: the host's, with `ansible_host` and `sallyport_addresses`.
        zones: networks by name, as CIDR.

    Returns:
        Addresses by name of the network.

    """
    result: Addresses = {zone: list(addresses) for zone, addresses in variables["sallyport_addresses"].items()}
    reached = str(variables["ansible_host"])
    own = result.setdefault(zone_of(reached, zones), [])
    if reached not in own:
        own.append(reached)
    return result


def by_version(addresses: Iterable[str]) -> dict[int, str]:
    """Pick the first address or network of each IP version.

    Args:
        addresses: addresses or networks.

    Returns:
        The first of version 4 and of version 6, where there is one.

    """
    result: dict[int, str] = {}
    for address in addresses:
        result.setdefault(ipaddress.ip_interface(address).version, address)
    return result


def routes(
    own: Addresses, gateway: Addresses, player: Addresses, zones: Mapping[str, Iterable[str]], provider: str
) -> list[str]:
    """Say how a host reaches the networks in which it does not stand.

    Args:
        own: the host's addresses by network.
        gateway: the gateway's addresses by network; the same as `own` for the gateway itself.
        player: those of the host that is the Internet for the gateway.
        zones: networks by name, as CIDR.
        provider: the network through which the player reaches the real Internet.

    Returns:
        Arguments of `ip route replace`, such as `default via 10.0.0.1`.

    """
    if own == gateway:
        return [f"default via {address}" for address in by_version(player["outside"]).values()]
    if "outside" not in own:
        shared = next(zone for zone in own if zone in gateway and zone != "admin")
        return [f"default via {address}" for address in by_version(gateway[shared]).values()]
    # Docker gives the first address of a network to the machine itself, which leads to the Internet in IPv4 only
    result = [f"default via {ipaddress.ip_network(provider)[1] if own == player else by_version(player['outside'])[4]}"]
    near = by_version(gateway["outside"])
    for zone, networks in zones.items():
        if zone in gateway and zone not in {"admin", *own}:
            result += [f"{net} via {near[version]}" for version, net in by_version(networks).items() if version in near]
    return result


def test_host(
    hostvars: Mapping[str, Any],
    name: str,
    *,
    zones: Mapping[str, list[str]],
    roles: Mapping[str, list[str]],
    names: Mapping[str, Iterable[str]],
    provider: str,
) -> dict[str, Any]:
    """Say what Docker must know of one host of the demo site.

    Args:
        hostvars: variables of all hosts.
        name: the host.
        zones: networks by name, as CIDR; `outside` among them.
        roles: names of hosts by group; `gateway`, `outside` and those of `names` are read.
        names: names by group, under which all hosts find the group's first host.
        provider: network through which the first host of `outside` reaches the real Internet.

    Returns:
        `networks` and `environment`, as the filter's documentation says.

    Raises:
        ValueError: when an address is in none of the networks.

    """
    own = addresses_of(hostvars[name], zones)
    gateway_name = roles["gateway"][0]
    gateway = addresses_of(hostvars[gateway_name], zones)
    networks = []
    for zone, addresses in own.items():
        versions = by_version(addresses)
        entry = {"name": f"sallyport-{zone}"}
        entry |= {f"ipv{version}_address": address for version, address in versions.items()}
        networks.append(entry)
    lines = []
    for group, group_names in names.items():
        found = hostvars[roles[group][0]]["sallyport_addresses"]
        for addresses in found.values():
            lines += [" ".join([address, *group_names]) for address in by_version(addresses).values()]
    player = addresses_of(hostvars[roles["outside"][0]], zones)
    environment = {
        "TEST_HOST_ROUTES": ",".join(routes(own, gateway, player, zones, provider)),
        "TEST_HOST_NAMES": ",".join(lines),
    }
    # whoever leads others somewhere hides them there
    behind = [zone for zone in own if zone not in {"admin", "outside"}] if name == gateway_name else []
    if own == player:
        behind = ["outside"]
        networks.append({"name": "sallyport-provider"})
    if behind:
        environment["TEST_HOST_BEHIND"] = ", ".join(by_version(zones[zone])[4] for zone in behind)
        environment["TEST_HOST_NEAR"] = ", ".join(by_version(nets)[4] for nets in zones.values())
    return {"networks": networks, "environment": environment}


class FilterModule:
    """Ansible's entry to the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filter.

        Returns:
            The function by the filter's name.

        """
        return {"test_host": test_host}
