#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns what Docker knows of a test host into the files with which a machine takes its place.

Called by `setup/machine.sh`: the JSON of `docker inspect` and of `docker network inspect` in, a tree of files out.
Prints a line for each network: its bridge on this machine, and the hardware address of the machine's interface there.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
from pathlib import Path
from typing import Any

Container = dict[str, Any]
Networks = list[dict[str, Any]]


def hardware_address(ipv4: str) -> str:
    """Make a hardware address from an IPv4 address, as Docker has long done it, so that neighbours need not forget any.

    Args:
        ipv4: the interface's address.

    Returns:
        A locally administered address (IEEE 802, section 8.2).
    """
    return ":".join(f"{byte:02x}" for byte in (0x02, 0x42, *ipaddress.IPv4Address(ipv4).packed))


def bridge(network: dict[str, Any]) -> str:
    """Name the bridge of a Docker network.

    Args:
        network: an entry of `docker network inspect`.

    Returns:
        The interface's name; Docker's default is the beginning of the network's id.
    """
    given = (network.get("Options") or {}).get("com.docker.network.bridge.name")
    return str(given or f"br-{network['Id'][:12]}")


def environment(container: Container) -> dict[str, str]:
    """Read the environment that a test host was given.

    Args:
        container: the entry of `docker inspect`.

    Returns:
        Values by name.
    """
    return dict(line.split("=", 1) for line in container["Config"]["Env"])


def interfaces(container: Container, networks: Networks) -> list[dict[str, Any]]:
    """List the interfaces that a machine in the container's place has.

    Args:
        container: the entry of `docker inspect`; it may be stopped, so only its settings are read.
        networks: what `docker network inspect` says of its networks.

    Returns:
        Entries with `name`, `bridge`, `mac`, `addresses` (with prefix length) and `subnets`; sorted by address.

    Raises:
        LookupError: a network gives the container no fixed IPv4 address.
    """
    found = []
    attached = container["NetworkSettings"]["Networks"]
    for network in networks:
        fixed = attached[network["Name"]]["IPAMConfig"] or {}
        subnets = [ipaddress.ip_network(entry["Subnet"]) for entry in network["IPAM"]["Config"]]
        given = [ipaddress.ip_address(fixed[key]) for key in ("IPv4Address", "IPv6Address") if fixed.get(key)]
        if not given or given[0].version != 4:
            raise LookupError(f"the container has no fixed IPv4 address in {network['Name']}")
        addresses = [f"{one}/{net.prefixlen}" for one in given for net in subnets if one in net]
        found.append(
            {
                "name": network["Name"],
                "bridge": bridge(network),
                "mac": hardware_address(str(given[0])),
                "addresses": addresses,
                "subnets": subnets,
            }
        )
    return sorted(found, key=lambda entry: ipaddress.ip_interface(entry["addresses"][0]))


def routes(container: Container) -> list[tuple[str, str]]:
    """List the routes of a test host.

    Args:
        container: the entry of `docker inspect`.

    Returns:
        Pairs of destination (`default`, or a network) and next hop.
    """
    lines = environment(container).get("TEST_HOST_ROUTES", "").split(",")
    return [(words[0], words[2]) for words in map(str.split, lines) if words]


def network_file(interface: dict[str, Any], ways: list[tuple[str, str]]) -> str:
    """Write the settings of one interface for systemd-networkd (systemd.network(5)).

    Args:
        interface: an entry of `interfaces`.
        ways: the host's routes; those whose next hop is here are taken.

    Returns:
        The text of a .network file.
    """
    lines = ["[Match]", f"MACAddress={interface['mac']}", "", "[Network]", "IPv6AcceptRA=no"]
    lines += [f"Address={address}" for address in interface["addresses"]]
    for to, hop in ways:
        if any(ipaddress.ip_address(hop) in net for net in interface["subnets"]):
            default = "::/0" if ":" in hop else "0.0.0.0/0"
            lines += ["", "[Route]", f"Destination={default if to == 'default' else to}", f"Gateway={hop}"]
    return "\n".join(lines) + "\n"


def files(container: Container, networks: Networks) -> dict[str, str]:
    """Write what makes a machine this host: its name, its interfaces and routes, whom it asks for names.

    Args:
        container: the entry of `docker inspect`.
        networks: what `docker network inspect` says of its networks.

    Returns:
        Texts by path below /.
    """
    name = container["Config"]["Hostname"]
    ways = routes(container)
    known = environment(container).get("TEST_HOST_NAMES", "")
    texts = {
        "etc/hostname": f"{name}\n",
        "etc/hosts": "".join(
            f"{line}\n"
            for line in ["127.0.0.1 localhost", f"127.0.1.1 {name}", "::1 localhost", *filter(None, known.split(","))]
        ),
        # the next hop is the gateway, and the gateway has the resolver
        "etc/resolv.conf": "".join(f"nameserver {hop}\n" for to, hop in ways if to == "default"),
    }
    for number, interface in enumerate(interfaces(container, networks)):
        texts[f"etc/systemd/network/1{number}-{interface['name']}.network"] = network_file(interface, ways)
    return texts


def main() -> None:
    """Read the two files, write the tree, print the interfaces."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("container", type=Path)
    parser.add_argument("networks", type=Path)
    parser.add_argument("tree", type=Path)
    given = parser.parse_args()
    container = json.loads(given.container.read_text(encoding="utf-8"))[0]
    networks = json.loads(given.networks.read_text(encoding="utf-8"))
    for path, text in files(container, networks).items():
        target = given.tree / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    for interface in interfaces(container, networks):
        print(interface["bridge"], interface["mac"])


if __name__ == "__main__":
    main()
