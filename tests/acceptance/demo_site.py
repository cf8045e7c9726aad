# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo site as the acceptance tests handle it: runs of its playbook, its hosts, a changed copy of its inventory."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from system.reach import connect
from system.site_facts import SiteFacts, read_site

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = ROOT / "inventories" / "demo"
LIMIT_SECONDS = 300


class Demo:
    """The demo site, converged by `make demo` or `make test` before.

    Attributes:
        facts: the site as its files say it is.
        server: testinfra host of the internal server.
    """

    def __init__(self) -> None:
        """Read the site."""
        self.facts: SiteFacts = read_site(INVENTORY)
        self.server: Any = connect(self.facts.server())

    def command(self, *arguments: str, inventory: Path = INVENTORY) -> list[str]:
        """Return the words of a run of the site's playbook."""
        return ["ansible-playbook", "-i", str(inventory), str(ROOT / "playbooks" / "site.yml"), *arguments]

    def play(self, *arguments: str, inventory: Path = INVENTORY) -> subprocess.CompletedProcess[str]:
        """Run the site's playbook to its end."""
        words = self.command(*arguments, inventory=inventory)
        return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)

    def play_people(self, inventory: Path = INVENTORY) -> subprocess.CompletedProcess[str]:
        """Run playbooks/people.yml to its end: people and partners alone."""
        words = ["ansible-playbook", "-i", str(inventory), str(ROOT / "playbooks" / "people.yml")]
        return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)

    def converge(self, *arguments: str, inventory: Path = INVENTORY) -> dict[str, int]:
        """Run the site's playbook; it must succeed.

        Returns:
            Tasks that changed something, by host.
        """
        done = self.play("--diff", *arguments, inventory=inventory)
        print(done.stdout)  # pytest shows it when the test fails
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        return {host: int(count) for host, count in re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", done.stdout, re.M)}

    def drift(self) -> tuple[int, list[dict[str, str]], str]:
        """Run `make drift`.

        Returns:
            Its exit code, the differences that it noted, and what it printed.
        """
        done = subprocess.run(
            ["make", "drift", "SITE=demo"], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
        )
        noted = (ROOT / ".cache" / "drift-demo.jsonl").read_text(encoding="utf-8").splitlines()
        return done.returncode, [json.loads(line) for line in noted], done.stdout + done.stderr

    def run(self, script: str, host: str = "") -> Any:
        """Run a shell script as root, on the internal server unless another host is named.

        Returns:
            What testinfra says of it: rc, stdout, stderr.
        """
        return (connect(self.facts.hosts[host]) if host else self.server).run(script)

    def sh(self, script: str, host: str = "") -> str:
        """Run a shell script as `run` does; it must succeed.

        Returns:
            What it printed.
        """
        result = self.run(script, host)
        assert result.rc == 0, f"{script}: {result.stdout}{result.stderr}"
        return str(result.stdout)


def changed_copy(folder: Path, change: Callable[[str], str]) -> Path:
    """Copy the demo's inventory and change its site file.

    Args:
        folder: where the copy goes.
        change: takes the text of site.yml and returns the new one; another one than before.

    Returns:
        The folder of the copied inventory; its name is still `demo`.
    """
    copy = folder / "demo"
    shutil.copytree(INVENTORY, copy, dirs_exist_ok=True)
    file = copy / "group_vars" / "all" / "site.yml"
    before = file.read_text(encoding="utf-8")
    after = change(before)
    assert after != before
    file.write_text(after, encoding="utf-8")
    return copy
