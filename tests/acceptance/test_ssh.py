# SPDX-License-Identifier: GPL-3.0-or-later
"""The administrator's key gets in before, during and after every run; also one that changes SSH and the firewall."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from acceptance.demo_site import INVENTORY, Demo, changed_copy
from system.site_facts import HostFacts

# an attempt that takes longer has failed: a person would have given up
LONGEST_SECONDS = 10
PAUSE_SECONDS = 0.4


class Visitor(threading.Thread):
    """Signs in at a host again and again, each time by a new connection.

    Attributes:
        host: the host.
        took: how long each attempt took, in seconds.
        failed: what went wrong, with the second since the beginning.
    """

    def __init__(self, host: HostFacts) -> None:
        """Begin when started."""
        super().__init__(daemon=True)
        self.host = host
        self.took: list[float] = []
        self.failed: list[str] = []
        self.over = threading.Event()

    def visit(self) -> str:
        """Sign in once; returns what went wrong."""
        # a connection that is shared with others would prove nothing
        options = ["-o", f"ConnectTimeout={LONGEST_SECONDS}", "-o", "ControlMaster=no", "-o", "ControlPath=none"]
        # sshd that reads its settings anew listens nowhere for some milliseconds; ssh then knocks again after a second
        options += ["-o", "ConnectionAttempts=3"]
        words = [*self.host.command(), "echo in"]
        words[1:1] = options
        try:
            # ssh would make our own input non-blocking, which Ansible does not bear
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return f"no answer in {LONGEST_SECONDS} s"
        return "" if done.stdout.strip() == "in" else f"{done.returncode}: {done.stderr.strip()[-200:]}"

    def run(self) -> None:
        """Sign in until it is over."""
        begin = time.monotonic()
        while not self.over.is_set():
            start = time.monotonic()
            if wrong := self.visit():
                self.failed.append(f"second {start - begin:.1f}: {wrong}")
            self.took.append(time.monotonic() - start)
            self.over.wait(PAUSE_SECONDS)


@contextlib.contextmanager
def visiting(demo: Demo) -> Iterator[dict[str, Visitor]]:
    """Sign in at every managed host for as long as it lasts, and at least once before and after."""
    hosts = [host for host in demo.facts.hosts.values() if host.group != "outside"]
    visitors = {host.name: Visitor(host) for host in hosts}
    for visitor in visitors.values():
        assert visitor.visit() == "", f"{visitor.host.name}: not even before"
        visitor.start()
    try:
        yield visitors
    finally:
        for visitor in visitors.values():
            visitor.over.set()
        for visitor in visitors.values():
            visitor.join(2 * LONGEST_SECONDS)
    for visitor in visitors.values():
        assert visitor.visit() == "", f"{visitor.host.name}: not afterwards"


def nobody_was_kept_out(visitors: dict[str, Visitor], seconds: float) -> None:
    """Make sure that no attempt failed, and that there were enough of them to notice."""
    for name, visitor in visitors.items():
        print(f"{name}: {len(visitor.took)} times in {seconds:.0f} s, the slowest took {max(visitor.took):.2f} s")
    assert {name: visitor.failed for name, visitor in visitors.items() if visitor.failed} == {}
    for name, visitor in visitors.items():
        slowest = PAUSE_SECONDS + max(visitor.took) + 0.5
        assert len(visitor.took) >= seconds / slowest - 2, f"{name}: too few attempts to say anything"


def with_more_administration(text: str) -> str:
    """Add a network for administration: SSH's own settings name it, and the firewalls do."""
    return text.replace("    admin: [", "    admin: [10.213.200.0/24, ")


def test_during_a_run_that_changes_nothing(demo: Demo) -> None:
    begin = time.monotonic()
    with visiting(demo) as visitors:
        assert set(demo.converge().values()) == {0}
        nobody_was_kept_out(visitors, time.monotonic() - begin)


def test_during_a_run_that_changes_ssh_and_the_firewall(demo: Demo, tmp_path: Path) -> None:
    for inventory in (changed_copy(tmp_path, with_more_administration), INVENTORY):
        begin = time.monotonic()
        with visiting(demo) as visitors:
            counts = demo.converge(inventory=inventory)
            assert all(counts[name] >= 2 for name in visitors), f"a run that changes neither SSH nor firewall: {counts}"
            nobody_was_kept_out(visitors, time.monotonic() - begin)


def test_during_a_restart_of_ssh_and_firewall(demo: Demo) -> None:
    begin = time.monotonic()
    with visiting(demo) as visitors:
        demo.sh("systemctl restart sallyport-firewall.service; systemctl reload ssh.service")
        time.sleep(5)
        nobody_was_kept_out(visitors, time.monotonic() - begin)
