# SPDX-License-Identifier: GPL-3.0-or-later
"""A desktop's access lapses by itself and comes back by itself; the client comes only to a desktop that is sound.

The times are those of a real site made short: a minute of admission, shown anew each quarter of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from acceptance.demo_site import Demo
from system.desktops import aged_signatures, in_sets, knock_from, listed, told, until_admitted
from system.reach import connect
from system.site_facts import HostFacts

SECONDS = 60
QUARTER = SECONDS // 4
# the timer's own grain, the checks themselves, and a little
SLACK = 5
TAGS = ("--tags", "admission,workstation")
SHORT = ("-e", f"admission_seconds={SECONDS}", "-e", f"workstation_renew_seconds={QUARTER}")
PORT = 5222
FLUSH = "nft flush ruleset"
RULES = "nft -f /etc/sallyport/firewall.nft"
STOP, START = (
    "systemctl stop sallyport-desktop.timer",
    "systemctl start sallyport-desktop.timer sallyport-desktop.service",
)
# what a client notices of its open connection: prints when it broke, and how
HOLD = """
import socket, sys, time
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 5) as held:
    print("open", flush=True)
    end = time.time() + float(sys.argv[3])
    try:
        names = "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
        held.sendall(f"<?xml version='1.0'?><stream:stream {names} to='{sys.argv[4]}' version='1.0'>".encode())
        while time.time() < end:
            held.sendall(b" ")
            time.sleep(0.5)
    except OSError as error:
        print(type(error).__name__)
"""


class Place:
    """The demo's desktop and its internal server, with short times.

    Args:
        demo: the site.
    """

    def __init__(self, demo: Demo) -> None:
        self.demo = demo
        self.host: HostFacts = next(host for host in demo.facts.in_group("desktops") if host.probe)
        self.desktop: Any = connect(self.host)
        self.servers = [connect(host) for host, _ in demo.facts.im_servers()]
        self.server = self.servers[0]

    def reaches(self) -> bool:
        """Tell whether the desktop reaches the server, by each version of IP in the same way."""
        there = self.demo.facts.server().all_addresses("servers")
        own = self.host.all_addresses("desktops")
        ways = [(to, mine, PORT) for to in there for mine in own if (":" in to) == (":" in mine)]
        said = {word == "connected" for word in knock_from(self.desktop, ways)}
        assert len(said) == 1, "one version of IP is open, and the other closed"
        return said.pop()

    def sh(self, command: str) -> None:
        """Do something on the desktop."""
        done = self.desktop.run(command)
        assert done.rc == 0, f"{command}: {done.stderr}"

    def loses(self, reason: str, within: float) -> None:
        """See that the desktop loses the server by itself, and why the server says so."""
        after = until_admitted(self.server, self.host, admitted=False, seconds=within)
        entry = listed(self.server)[self.host.name]
        assert any(reason in one for one in entry["reasons"]), told(entry)
        assert not self.reaches(), "it is not admitted, and reaches the server"
        assert not {*self.host.all_addresses("desktops")} & in_sets(self.server)
        print(f"after {after:.1f} s: {told(entry)}")

    def gets_back(self) -> None:
        """See that the desktop gets the server back by itself."""
        after = until_admitted(self.server, self.host, admitted=True, seconds=QUARTER + SLACK)
        assert self.reaches()
        print(f"back after {after:.1f} s")


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    demo = Demo()
    demo.converge(*TAGS, *SHORT)
    found = Place(demo)
    try:
        yield found
    finally:
        found.desktop.run(RULES)
        found.desktop.run(START)
        demo.converge(*TAGS)


def test_short_times_change_nothing_else(place: Place) -> None:
    place.gets_back()
    assert {*place.demo.converge(*TAGS, *SHORT).values()} == {0}
    # it is renewed: longer than the whole time it goes on
    end = time.monotonic() + SECONDS + QUARTER
    while time.monotonic() < end:
        assert place.reaches()
        time.sleep(1)


def test_a_firewall_flushed_by_hand(place: Place) -> None:
    facts = place.demo.facts
    held = f"timeout {SECONDS} python3 -c %s %s %s %s %s"
    begun = time.monotonic()
    try:
        words = (HOLD, facts.service(), str(PORT), str(QUARTER + SLACK), facts.domain)
        said = place.desktop.run(f"{FLUSH}; {held}", *words).stdout.split()
        assert said in (["open", "ConnectionResetError"], ["open", "BrokenPipeError"]), said
        place.loses("firewall is not in force", max(1.0, begun + QUARTER + SLACK - time.monotonic()))
    finally:
        place.sh(RULES)
    place.gets_back()


def test_signatures_that_are_old(place: Place) -> None:
    with aged_signatures(place.desktop):
        place.loses("signatures of the antivirus are 960 hours old", QUARTER + SLACK)
    place.gets_back()


@pytest.mark.parametrize("service", ["runs", "stopped"])
def test_nobody_renews(place: Place, service: str) -> None:
    """The kernel counts the time: also without the service on the servers, it ends, and nobody new gets in."""
    place.gets_back()
    place.sh(STOP)
    shown = time.monotonic()
    try:
        if service == "stopped":
            for server in place.servers:
                server.run("systemctl stop sallyport-admission")
        time.sleep(SECONDS - QUARTER - SLACK)
        assert place.reaches(), "it was closed too early"
        time.sleep(max(0.0, shown + SECONDS + SLACK - time.monotonic()))
        assert not place.reaches(), f"nobody has renewed it for {SECONDS} s, and it reaches the server"
        if service == "stopped":
            place.desktop.run("systemctl start sallyport-desktop.service")
            assert not place.reaches(), "it was let in with nobody there who lets in"
        else:
            place.loses("nobody has renewed it", SLACK)
    finally:
        for server in place.servers:
            server.run("systemctl start sallyport-admission")
            time.sleep(1)
        place.desktop.run(START)
    place.gets_back()


@pytest.fixture
def without_client(place: Place) -> Iterator[None]:
    place.sh("DEBIAN_FRONTEND=noninteractive apt-get remove --yes --quiet gajim >/dev/null")
    yield
    place.demo.converge(*TAGS, *SHORT)


def test_the_client_comes_to_a_sound_desktop_only(place: Place, without_client: None) -> None:
    def installed() -> bool:
        return bool(place.desktop.run("test -x /usr/bin/gajim").rc == 0)

    assert not installed()
    with aged_signatures(place.desktop):
        refused = place.demo.play(*TAGS, *SHORT)
        said = " ".join(refused.stdout.split())
        assert refused.returncode != 0, said
        assert f"{place.host.name} is not sound, so it gets no IM client" in said
        assert "signatures: the signatures of the antivirus are 960 hours old" in said
        assert not installed(), "the client was installed on a desktop that is not sound"
    place.demo.converge(*TAGS, *SHORT)
    assert installed()
    assert place.reaches()


def test_a_server_that_starts_anew_remembers(place: Place) -> None:
    """Its firewall begins with empty sets at boot, as after this; what holds is put in again within seconds."""

    def soon(wanted: Callable[[], bool]) -> float:
        start = time.monotonic()
        while not wanted():
            assert time.monotonic() - start < SLACK
            time.sleep(0.2)
        return time.monotonic() - start

    place.gets_back()
    place.sh(STOP)
    try:
        place.server.run("systemctl stop sallyport-admission; nft -f /etc/sallyport/firewall.nft")
        assert not place.reaches()
        place.server.run("systemctl start sallyport-admission")
        print(f"open again after {soon(place.reaches):.1f} s")
    finally:
        place.desktop.run(START)
