# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway is switched off and on while somebody tries all the time: nothing forbidden ever passes, from the start.

Who tries is a machine of its own in the desktops' network, since a desktop of the site would refuse by itself. What
arrives is counted by the kernel of the host outside, before any program there.

A container is not switched on like a machine: Docker plugs its networks in before it sets what the kernel is to do with
them, and for those milliseconds its kernel forwards as this machine does. A machine's kernel begins without forwarding.
So the count begins when Docker says that the first process of the gateway runs, which is before it has loaded a rule.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from acceptance.demo_site import Demo
from acceptance.port_scan.places import PREFIX, Stranger, docker, strangers
from engine import DOCKER

GATEWAY, WORLD = f"{PREFIX}gw", f"{PREFIX}world"
FORBIDDEN_PORT = 4444  # no service of the kit has it
PERMITTED_PORT = 80  # outward.desktops of the demo has it, and a website answers on `world`
BOOT_SECONDS = 90

COUNTER = f"""
table inet power_off
delete table inet power_off
table inet power_off {{
  counter forbidden {{ }}
  chain arrives {{
    type filter hook prerouting priority raw; policy accept;
    tcp dport {FORBIDDEN_PORT} tcp flags & (syn | ack) == syn counter name forbidden
    udp dport {FORBIDDEN_PORT} counter name forbidden
  }}
}}
"""

LISTENER = """
import select, socket, sys
port, listeners = int(sys.argv[1]), []
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    listener = socket.socket(socket.AF_INET6, kind)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("::", port))
    listeners.append(listener)
listeners[0].listen()
print("ready", flush=True)
while sys.stdin not in (found := select.select([sys.stdin, *listeners], [], [])[0]):
    for listener in found:
        if listener is listeners[0]:
            listener.accept()[0].close()
        else:
            data, peer = listener.recvfrom(100)
            listener.sendto(data, peer)
"""

# a thread for each way, so that one that hangs holds up no other; a line for each success
SENDER = """
import json, os, socket, sys, threading, time
def tries(kind, address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    while True:
        with socket.socket(family, kind) as sender:
            sender.settimeout(0.25)
            try:
                sender.connect((address, port))
                if kind == socket.SOCK_DGRAM:
                    sender.send(b"x")
                    sender.recv(10)
                # one write, so that no other thread's comes in between
                os.write(1, (json.dumps({"port": port, "address": address}) + "\\n").encode())
            except OSError:
                pass
        time.sleep(0.02)
permitted, forbidden, *addresses = sys.argv[1:]
for address in addresses:
    for kind, port in ((1, int(permitted)), (1, int(forbidden)), (2, int(forbidden))):
        threading.Thread(target=tries, args=(kind, address, port), daemon=True).start()
sys.stdin.read()
"""


@dataclass
class Running:
    """A program in a container, ended by the end of its input.

    Attributes:
        process: docker exec.
        said: the lines that it has said.
        rest: the beginning of the next one.
    """

    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)
    rest: str = ""

    def listen(self, seconds: float) -> list[str]:
        """Return what it says within a time."""
        assert self.process.stdout is not None
        end, before = time.monotonic() + seconds, len(self.said)
        while (left := end - time.monotonic()) > 0:
            if select.select([self.process.stdout], [], [], left)[0]:
                text = os.read(self.process.stdout.fileno(), 65536).decode()
                if not text:
                    break
                *lines, self.rest = (self.rest + text).split("\n")
                self.said += lines
        return self.said[before:]

    def first(self) -> str:
        """Wait for the first thing that it says, and return it; nothing when it says nothing."""
        for _ in range(20):
            if said := self.listen(1):
                return said[0]
        return ""


@contextlib.contextmanager
def running(container: str, program: str, *arguments: str) -> Iterator[Running]:
    """Run a Python program in a container."""
    words = [*DOCKER, "exec", "-i", container, "python3", "-uc", program, *arguments]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Running(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


def arrived() -> int:
    """Return how many forbidden packets have reached the host outside."""
    listed = json.loads(docker("exec", WORLD, "nft", "-j", "list", "counter", "inet", "power_off", "forbidden"))
    return int(next(entry["counter"]["packets"] for entry in listed["nftables"] if "counter" in entry))


def forget() -> None:
    """Count from zero again."""
    docker("exec", WORLD, "nft", "reset", "counters", "table", "inet", "power_off")


def ports(lines: list[str]) -> set[tuple[str, int]]:
    """Return where the sender came through."""
    return {(entry["address"], entry["port"]) for entry in map(json.loads, lines)}


@pytest.fixture(scope="module")
def counted() -> Iterator[None]:
    """Let the host outside count."""
    subprocess.run([*DOCKER, "exec", "-i", WORLD, "nft", "-f", "-"], input=COUNTER, text=True, timeout=30, check=True)
    yield
    docker("exec", WORLD, "nft", "delete", "table", "inet", "power_off")


@pytest.fixture(scope="module")
def places(demo: Demo) -> Iterator[dict[str, Stranger]]:
    with strangers(demo, ("desktops", "outside")) as made:
        yield made


def test_a_gateway_that_is_switched_on_lets_nothing_through_before_its_rules(
    demo: Demo, counted: None, places: dict[str, Stranger]
) -> None:
    addresses = demo.facts.hosts["world"].zones["outside"]
    ways = {(address, PERMITTED_PORT) for address in addresses}
    arguments = [str(PERMITTED_PORT), str(FORBIDDEN_PORT), *addresses]
    with running(WORLD, LISTENER, str(FORBIDDEN_PORT)) as listener:
        assert listener.first() == "ready"
        # the instruments work: who stands outside gets an answer, and is counted
        with running(places["outside"].container, SENDER, *arguments) as neighbour:
            neighbour.first()
            assert {(address, FORBIDDEN_PORT) for address in addresses} <= ports(neighbour.listen(3))
        assert arrived() > 0
        forget()

        with running(places["desktops"].container, SENDER, *arguments) as sender:
            sender.first()
            assert ports(sender.listen(3)) == ways
            docker("stop", "--time", "20", GATEWAY)
            sender.listen(1)
            assert ports(sender.listen(2)) == set()
            # while it goes down nothing passes either
            assert arrived() == 0
            docker("start", GATEWAY)
            forget()
            started = time.monotonic()
            back: set[tuple[str, int]] = set()
            while not ways <= back and time.monotonic() < started + BOOT_SECONDS:
                back |= ports(sender.listen(1))
            print(f"permitted ways work again {time.monotonic() - started:.0f} s after the start")
            assert ways <= back
            sender.listen(1)
            assert ports(sender.listen(5)) == ways
        assert arrived() == 0

    rules = docker("exec", GATEWAY, "systemctl", "show", "--property=ActiveState,Result", "sallyport-firewall.service")
    assert sorted(rules.split(), reverse=True) == ["Result=success", "ActiveState=active"]
