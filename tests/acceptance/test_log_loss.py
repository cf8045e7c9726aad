# SPDX-License-Identifier: GPL-3.0-or-later
"""No event is lost on its way to the log host: not while that is away or full, not by a kill, not at a rotation.

On the demo, with 100,000 events. SALLYPORT_LOG_LOSS names another inventory, SALLYPORT_LOG_LOSS_EVENTS another number.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from acceptance.demo_site import INVENTORY
from system.reach import connect
from system.site_facts import SiteFacts, read_site

COUNT = int(os.environ.get("SALLYPORT_LOG_LOSS_EVENTS", "100000"))
EVENTS = "/var/log/prosody/im-events.jsonl"
ARCHIVE = "/var/log/sallyport/hosts"
ROOM = "/etc/sallyport/log-host/room"
SENDER, TAKER = "sallyport-events", "sallyport-log-host"
PATIENCE = 120
"""Seconds without anything new after which what is missing is lost."""
WRITER = f"""import sys, time
mark, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for start in range(first, last, 500):
    with open("{EVENTS}", "a", encoding="utf-8") as stream:
        for number in range(start, min(start + 500, last)):
            stream.write('{{"id":"%s-%d","kind":"test","text":"%s"}}\\n' % (mark, number, "x" * 300))
    time.sleep(0.02)
"""


class Way:
    """The way of events, from the server to the log host.

    Attributes:
        sender: testinfra host of the server.
        taker: testinfra host of the log host.
        name: name of the server.
    """

    def __init__(self, facts: SiteFacts) -> None:
        """Find both ends."""
        self.sender, self.taker = connect(facts.server()), connect(facts.log_host())
        self.name = facts.server().name

    def write(self, mark: str, first: int, last: int) -> None:
        """Let the server's user write events, as the server itself does."""
        done = self.sender.run("runuser -u prosody -- python3 -c %s %s %s %s", WRITER, mark, str(first), str(last))
        assert done.rc == 0, done.stderr

    def arrived(self, mark: str) -> list[int]:
        """Return the numbers of the events that the log host has, repeats included."""
        script = f"cat {ARCHIVE}/{self.name}/*/im.jsonl | grep -o '\"id\":\"{mark}-[0-9]*' | sed 's/.*-//'"
        return [int(word) for word in self.taker.run(script).stdout.split()]

    def all_arrive(self, mark: str, count: int) -> list[int]:
        """Wait until all events are there.

        Returns:
            Their numbers, repeats included.
        """
        found: list[int] = []
        moved = time.monotonic()
        while len(set(found)) < count and time.monotonic() - moved < PATIENCE:
            time.sleep(3)
            now = self.arrived(mark)
            if len(now) != len(found):
                found, moved = now, time.monotonic()
        missing = sorted({*range(count)} - {*found})
        said = self.sender.run("journalctl -u %s -n 20 -o cat --no-pager", SENDER).stdout
        assert not missing, f"{len(missing)} of {count} events are lost: {missing[:20]}\n{said}"
        return found


@pytest.fixture(scope="module")
def way() -> Iterator[Way]:
    found = Way(read_site(Path(os.environ.get("SALLYPORT_LOG_LOSS") or INVENTORY)))
    yield found
    for machine, unit in ((found.taker, TAKER), (found.sender, SENDER)):
        machine.run("systemctl reset-failed %s; systemctl start %s", unit, unit)


def mark() -> str:
    return f"loss{time.time_ns()}"


def test_log_host_away_and_both_sides_killed_and_started_anew(way: Way) -> None:
    name, chance = mark(), random.Random(9)
    way.taker.run("systemctl stop %s", TAKER)
    for part in range(5):
        way.write(name, part * COUNT // 10, (part + 1) * COUNT // 10)
        way.sender.run("systemctl kill --signal=KILL %s", SENDER)
    assert way.arrived(name) == []
    way.taker.run("systemctl start %s", TAKER)
    deeds: list[tuple[Any, str, str]] = [
        (machine, deed, unit)
        for machine, unit in ((way.sender, SENDER), (way.taker, TAKER))
        for deed in ("systemctl kill --signal=KILL %s", "systemctl restart %s")
    ]
    for part, (machine, deed, unit) in zip(range(5, 10), [*deeds, *chance.sample(deeds, 4)], strict=False):
        way.write(name, part * COUNT // 10, (part + 1) * COUNT // 10)
        machine.run(deed, unit)
    for machine, deed, unit in chance.sample(deeds, 4):
        time.sleep(chance.uniform(0.5, 3))
        machine.run(deed, unit)
    found = way.all_arrive(name, COUNT)
    print(f"{COUNT} events written, all there, {len(found) - COUNT} repeats")


@pytest.mark.parametrize("running", [True, False])
def test_files_are_put_away_and_packed_on_the_way(way: Way, running: bool) -> None:
    name, count = mark(), COUNT // 10
    if not running:
        way.sender.run("systemctl stop %s", SENDER)
    for part in range(4):
        way.write(name, part * count // 4, (part + 1) * count // 4)
        # as logrotate does, which packs what it put away before
        turned = way.sender.run(
            f"for old in {EVENTS}-*; do case $old in *.gz|*'*') ;; *) gzip $old ;; esac; done;"
            f" mv {EVENTS} {EVENTS}-$(date +%Y%m%d-%s)"
        )
        assert turned.rc == 0, turned.stderr
        time.sleep(1.1)  # their names tell seconds
    way.write(name, count, count)
    way.sender.run("systemctl start %s", SENDER)
    found = way.all_arrive(name, count)
    assert found == sorted(found) or len(found) > count, "events came in another order than they were written"


def test_a_full_disk_of_the_log_host_loses_nothing(way: Way) -> None:
    name, count = mark(), 2000
    way.write(name, 0, count // 2)
    # as if the disk had become full: more must be free than there is
    way.taker.run("cp -p %s /root/room && echo 99999999 >%s", ROOM, ROOM)
    try:
        time.sleep(5)
        assert way.taker.run("systemctl is-active %s", TAKER).stdout.strip() != "active", "logs are taken without room"
        way.write(name, count // 2, count)
        assert way.taker.run("systemctl start %s", TAKER).rc == 0
        assert way.taker.run("systemctl is-active %s", TAKER).stdout.strip() != "active", "it starts without room"
        assert len({*way.arrived(name)}) <= count // 2
        alerts = way.taker.run("journalctl -p alert -t log-room --since=-1min -o cat --no-pager").stdout
        assert "no room for logs" in alerts
    finally:
        way.taker.run("cp -p /root/room %s", ROOM)
    way.all_arrive(name, count)
