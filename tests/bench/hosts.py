# SPDX-License-Identifier: GPL-3.0-or-later
"""What the measurements do to the demo's hosts: run a playbook, make a host anew, install on it by hand."""

from __future__ import annotations

import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import docker

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = ROOT / "inventories" / "demo"
LIMIT_SECONDS = 900


@dataclass(frozen=True)
class Run:
    """One run of a playbook.

    Attributes:
        seconds: its time on the wall.
        tasks: tasks that ran on the host.
        changed: tasks that changed it.

    """

    seconds: float
    tasks: int
    changed: int


def play(playbook: str, host: str, *arguments: str, limit: str = "", inventory: Path = INVENTORY) -> Run:
    """Run a playbook on one host of the demo.

    Args:
        playbook: its file in playbooks/.
        host: name in the inventory.
        *arguments: further arguments of ansible-playbook.
        limit: hosts that are part of the run; that host alone when empty.
        inventory: folder of the site.

    Returns:
        What it took.

    Raises:
        RuntimeError: the run failed; the text holds the end of its output.

    """
    command = ["ansible-playbook", "-i", str(inventory), f"playbooks/{playbook}", "--limit", limit or host, *arguments]
    start = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)
    seconds = time.monotonic() - start
    recap = re.search(rf"^{re.escape(host)}\s+: ok=(\d+)\s+changed=(\d+)", done.stdout, re.MULTILINE)
    if done.returncode or recap is None:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    return Run(seconds, int(recap[1]), int(recap[2]))


def anew(host: str) -> None:
    """Throw a test host away and make it again from the image.

    Args:
        host: name in the inventory.

    """
    engine = docker.from_env()
    try:
        engine.containers.get(f"sallyport-{host}").remove(force=True)
    finally:
        engine.close()
    # all of them, since their keys stand in one file
    play("test_hosts.yml", host, limit="all")


def bare_install(host: str, packages: list[str], relay: str) -> float:
    """Install packages on a test host with apt-get and nothing else; none of their services is started.

    Args:
        host: name in the inventory; fresh from the image.
        packages: names of Debian packages.
        relay: URL of the gateway's relay; there is no other way to the packages.

    Returns:
        Seconds on the wall.

    Raises:
        RuntimeError: apt-get failed.

    """
    engine = docker.from_env()
    try:
        container = engine.containers.get(f"sallyport-{host}")
        # as the kit installs them: a service that starts before it has settings may take its time until it fails
        install = (
            "printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d && "
            f"apt-get -qq update && apt-get -qq install --yes --no-install-recommends {' '.join(packages)}"
        )
        environment = {"DEBIAN_FRONTEND": "noninteractive", "http_proxy": relay}
        start = time.monotonic()
        done = container.exec_run(["sh", "-c", install], environment=environment)
        if done.exit_code:
            raise RuntimeError(f"{install}\n{str(done.output)[-2000:]}")
        return time.monotonic() - start
    finally:
        engine.close()
