# SPDX-License-Identifier: GPL-3.0-or-later
"""From where is knocked, and where at: the demo's containers, and a stranger in each of its networks.

The hosts filter what they send themselves. Whoever plugs a machine into a network does not, so the knocking is done by
a container of its own in each network, which is given away afterwards. In the network for administration Docker keeps
containers apart; there the control node itself knocks, as a container in its network.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from acceptance.demo_site import ROOT, Demo
from engine import DOCKER

# of everything that the demo has in Docker
PREFIX = "sallyport-"
FOLDER = Path(__file__).parent
# far from what the demo and Docker itself give away
LAST_NUMBER = 0xC8
REFUSALS = ("refused_input", "refused_forward", "refused_consumer")
PATIENCE_SECONDS = 2700


def docker(*words: str) -> str:
    """Run a command of Docker; it must succeed.

    Returns:
        What it printed.
    """
    done = subprocess.run([*DOCKER, *words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"docker {' '.join(words)[:200]}: {done.stderr}"
    return done.stdout


class Program:
    """A program of this folder that runs in a container and speaks JSON, a line each way.

    Args:
        container: name of the container.
        file: name of the program's file.
        arguments: what it is started with.
    """

    def __init__(self, container: str, file: str, *arguments: str) -> None:
        self.container = container
        text = (FOLDER / file).read_text(encoding="utf-8")
        words = [*DOCKER, "exec", "-i", container, "timeout", str(PATIENCE_SECONDS), "python3", "-uc", text, *arguments]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def do(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Let it do something and return the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": command, **arguments}) + "\n")
        self._process.stdin.flush()
        answer = self.read()
        assert "error" not in answer, f"{self.container}: {command} {arguments}: {answer['error']}"
        return answer

    def read(self) -> dict[str, Any]:
        """Return the next line that it says."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the program on {self.container} has ended"
        return dict(json.loads(line))

    def __enter__(self) -> Program:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End it by ending its input."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@dataclass(frozen=True)
class Target:
    """A host that is knocked on.

    Attributes:
        name: its name in the host list.
        addresses: every address that it has, by the zone in whose network it lies; those on the link alone as well.
        declared: addresses that the host list names.
    """

    name: str
    addresses: dict[str, list[str]]
    declared: frozenset[str]

    @property
    def container(self) -> str:
        """Name of its container."""
        return f"{PREFIX}{self.name}"

    def refusals(self) -> int:
        """Return how many packets its firewall has refused on the way in or through; 0 without a firewall."""
        try:
            listed = json.loads(docker("exec", self.container, "nft", "-j", "list", "counters"))["nftables"]
        except AssertionError:
            return 0
        counters = [entry["counter"] for entry in listed if "counter" in entry]
        return sum(
            entry["packets"] for entry in counters if entry["name"] in REFUSALS and entry["table"] == "sallyport"
        )


@dataclass(frozen=True)
class Stranger:
    """A place from which is knocked.

    Attributes:
        zone: its zone.
        container: name of the container.
        sources: its address of each version of IP.
        device: the device that leads into the zone.
        gateway: the gateway's address of each version, none for the control node, which stands in every network.
        bridge: Docker's own address in the network, IPv6.
    """

    zone: str
    container: str
    sources: dict[int, str]
    device: str
    gateway: dict[int, str]
    bridge: str

    def route(self, to: str, via: str) -> None:
        """Send packets for an address, or all others (`default`), by a way of our choice."""
        family = "-6" if ":" in via else "-4"
        docker("exec", self.container, "ip", family, "route", "replace", to, "via", via)


def zones_of(demo: Demo) -> dict[str, list[ipaddress.IPv4Network | ipaddress.IPv6Network]]:
    """Return the networks of the demo by zone, the outside among them."""
    networks = {**demo.facts.sallyport["networks"], "outside": []}
    for entry in json.loads(docker("network", "inspect", f"{PREFIX}outside"))[0]["IPAM"]["Config"]:
        networks["outside"].append(entry["Subnet"])
    return {zone: [ipaddress.ip_network(network) for network in found] for zone, found in networks.items()}


def target(demo: Demo, name: str) -> Target:
    """Find out every address of a host, from the host itself."""
    zones = zones_of(demo)
    by_device = {}
    found: dict[str, list[str]] = {}
    interfaces = json.loads(docker("exec", f"{PREFIX}{name}", "ip", "-j", "address"))
    for interface in interfaces:
        for entry in interface["addr_info"]:
            if entry["scope"] == "global":
                address = ipaddress.ip_address(entry["local"])
                zone = next((zone for zone, nets in zones.items() if any(address in net for net in nets)), "")
                if not zone:
                    continue  # the way of the outside into the real Internet
                by_device[interface["ifname"]] = zone
                found.setdefault(zone, []).append(str(address))
    for interface in interfaces:
        for entry in interface["addr_info"]:
            if entry["scope"] == "link" and interface["ifname"] in by_device:
                found[by_device[interface["ifname"]]].append(entry["local"])
    host = demo.facts.hosts[name]
    declared = {host.admin, *(address for addresses in host.zones.values() for address in addresses)}
    return Target(name, found, frozenset(declared))


def _bridge_device(network: dict[str, Any]) -> str:
    return str(network["Options"].get("com.docker.network.bridge.name") or f"br-{network['Id'][:12]}")


def _give_away(container: str) -> None:
    subprocess.run([*DOCKER, "rm", "--force", container], capture_output=True, timeout=120, check=False)


@contextlib.contextmanager
def strangers(demo: Demo, zones: Sequence[str]) -> Iterator[dict[str, Stranger]]:
    """Put a stranger into each zone, and take them away at the end."""
    image = subprocess.run([ROOT / "setup" / "image.sh"], capture_output=True, text=True, check=True).stdout.strip()
    gateway = demo.facts.in_group("gateway")[0]
    made: dict[str, Stranger] = {}
    try:
        for zone in zones:
            network = json.loads(docker("network", "inspect", f"{PREFIX}{zone}"))[0]
            nets = [ipaddress.ip_network(entry["Subnet"]) for entry in network["IPAM"]["Config"]]
            name = f"{PREFIX}stranger-{zone}"
            _give_away(name)
            run = ["run", "--detach", "--rm", "--name", name, "--label", "sallyport=1", "--cap-add", "NET_ADMIN"]
            sleep = [image, "sleep", str(PATIENCE_SECONDS)]
            if zone == "admin":
                docker(*run, "--network", "host", *sleep)
                sources: dict[int, str] = {net.version: str(net[1]) for net in nets}
                made[zone] = Stranger(zone, name, sources, _bridge_device(network), {}, "")
                continue
            sources = {net.version: str(net[LAST_NUMBER]) for net in nets}
            docker(*run, "--network", network["Name"], "--ip", sources[4], "--ip6", sources[6], *sleep)
            near: dict[int, str] = {ipaddress.ip_address(one).version: one for one in gateway.zones[zone]}
            bridge = next(str(net[1]) for net in nets if net.version == 6)
            made[zone] = Stranger(zone, name, sources, "eth0", near, bridge)
            for address in near.values():
                made[zone].route("default", address)
        yield made
    finally:
        for zone in zones:
            _give_away(f"{PREFIX}stranger-{zone}")
