# SPDX-License-Identifier: GPL-3.0-or-later
"""A firewall that would cut the control node off takes itself back; connections that are there outlive every change."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance.demo_site import ROOT, Demo, changed_copy
from acceptance.port_scan.places import PREFIX, docker
from ansible_collections.sallyport.im.plugins.plugin_utils.firewall import ruleset
from ansible_collections.sallyport.im.plugins.plugin_utils.site import load

HOST = "im-int"
ROLLBACK_SECONDS = 20
NETWORKS = re.compile(r"^    admin: \[[^,]*,", re.M)


class Knocker(threading.Thread):
    """Opens a new connection to the SSH server of a host again and again.

    Attributes:
        answers: each moment of a try, and whether the server greeted.
    """

    def __init__(self, address: str) -> None:
        """Begin when started."""
        super().__init__(daemon=True)
        self.address = address
        self.answers: list[tuple[float, bool]] = []
        self.over = threading.Event()

    def run(self) -> None:
        """Knock until it is over."""
        while not self.over.wait(0.1):
            begun, greeted = time.monotonic(), False
            with contextlib.suppress(OSError), socket.create_connection((self.address, 22), 1) as knock:
                greeted = knock.recv(4) == b"SSH-"
            self.answers.append((begun, greeted))

    def silent_seconds(self) -> float:
        """Return how long the server did not answer, from the first to the last try without a greeting."""
        silent = [moment for moment, greeted in self.answers if not greeted]
        return silent[-1] - silent[0] if silent else 0.0


@pytest.fixture
def knocker(demo: Demo) -> Iterator[Knocker]:
    knocks = Knocker(demo.facts.hosts[HOST].admin)
    knocks.start()
    yield knocks
    knocks.over.set()
    knocks.join()


def without_control_node(folder: Path, demo: Demo, seconds: int) -> Path:
    """Make an inventory in which the administrators' network has every host of the demo, and not the control node."""
    alone = ", ".join(f"{host.admin}/32" for host in demo.facts.hosts.values())

    def change(text: str) -> str:
        text = NETWORKS.sub(f"    admin: [{alone},", text)
        return f"{text.rstrip()}\n\n  firewall: {{rollback_seconds: {seconds}}}\n"

    return changed_copy(folder, change)


def rules(demo: Demo) -> str:
    """Return the rules in force, without the addresses whose connections are counted, and those for the next boot."""
    listed = demo.sh("nft -s list table inet sallyport; cat /etc/sallyport/firewall.nft")
    return re.sub(r"elements = \{[^}]* ct count [^}]*\}", "", listed)


def test_a_change_that_cuts_the_control_node_off_is_taken_back(demo: Demo, knocker: Knocker, tmp_path: Path) -> None:
    before = rules(demo)
    copy = without_control_node(tmp_path, demo, ROLLBACK_SECONDS)
    done = demo.play("--limit", HOST, "--tags", "firewall", inventory=copy)
    print(done.stdout)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    admin = demo.facts.hosts[HOST].admin
    assert re.search(rf"the flow [0-9.]+ -> {re.escape(admin)}:22 \(tcp, SSH", said), said[-3000:]
    assert "sallyport.networks.admin" in said
    assert "The former firewall is in force again" in said
    # the run has ended with a host that is reached, and not a moment before
    assert rules(demo) == before
    assert demo.sh("ls /var/lib/sallyport/guard /etc/systemd/system | grep -c guard- || true").strip() == "0"
    time.sleep(1)
    knocker.over.set()
    assert knocker.answers[-1][1]
    # it was in force, and not longer than it may
    print(f"cut off for {knocker.silent_seconds():.1f} s")
    assert ROLLBACK_SECONDS / 2 < knocker.silent_seconds() < ROLLBACK_SECONDS + 5


def test_a_reboot_takes_an_unconfirmed_change_back(demo: Demo, knocker: Knocker, tmp_path: Path) -> None:
    before = rules(demo)
    copy = without_control_node(tmp_path, demo, 600)
    words = demo.command("--limit", HOST, "--tags", "firewall", inventory=copy)
    run = subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        end = time.monotonic() + 120
        while knocker.silent_seconds() < 2:
            assert time.monotonic() < end, "the change was never made"
            assert run.poll() is None
            time.sleep(0.2)
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    docker("restart", "--time", "20", f"{PREFIX}{HOST}")
    end = time.monotonic() + 90
    while not knocker.answers[-1][1]:
        assert time.monotonic() < end, "the host is not reached again"
        time.sleep(0.5)
    assert rules(demo) == before
    assert demo.sh("ls /var/lib/sallyport/guard").strip() == ""
    assert demo.drift()[1] == []


def test_a_connection_outlives_a_change(demo: Demo) -> None:
    host = demo.facts.hosts[HOST]
    with subprocess.Popen(
        [*host.command(), "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as session:
        assert session.stdin is not None
        assert session.stdout is not None

        def alive(word: str) -> bool:
            assert session.stdin is not None
            assert session.stdout is not None
            session.stdin.write(f"{word}\n")
            session.stdin.flush()
            return session.stdout.readline() == f"{word}\n"

        assert alive("before")
        demo.sh("nft add rule inet sallyport input tcp dport 4444 accept; nft add table ip backdoor")
        assert demo.converge("--limit", HOST, "--tags", "firewall")[HOST] == 1
        assert alive("after")
        session.stdin.close()
    assert "4444" not in demo.sh("nft list ruleset")
    assert "backdoor" not in demo.sh("nft list tables")


@pytest.mark.parametrize("name", ["im-int", "im-ext", "gw", "desk"])
def test_the_kernel_takes_the_rules_of_each_host(demo: Demo, name: str) -> None:
    # in a namespace of its own: what is in force is not touched
    text = ruleset(load(demo.facts.folder, with_vault=False), name)
    done = subprocess.run(
        [*demo.facts.hosts[name].command(), "sudo unshare --net nft -f -"],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
