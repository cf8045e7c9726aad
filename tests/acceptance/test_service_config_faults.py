# SPDX-License-Identifier: GPL-3.0-or-later
"""A configuration run killed before each of its steps, on a real Prosody and on plain files: the next run ends it.

The transaction is that of the module, on the demo's internal server; its files are of its own.
"""

from __future__ import annotations

import base64
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from acceptance.demo_site import Demo

CHECKOUT = Path(__file__).resolve().parents[2]
DRIVER = Path(__file__).with_name("service_fault_driver.py")
FOLDER = "/run/sallyport-fault-kit"


def packed() -> str:
    """Return the host side of the kit and the driver, as a compressed archive in text."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path in sorted((CHECKOUT / "plugins/module_utils").glob("*.py")):
            archive.add(path, f"ansible_collections/sallyport/im/plugins/module_utils/{path.name}")
        archive.add(DRIVER, DRIVER.name)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def seen_by(demo: Demo, *arguments: str) -> list[dict[str, Any]]:
    """Run the driver on the internal server and return what it saw."""
    host = demo.server
    host.check_output("rm -rf %s && mkdir -m 700 %s", FOLDER, FOLDER)
    try:
        host.check_output("printf %%s %s | base64 -d | tar -xz -C " + FOLDER, packed())
        driver = f"python3 -B {FOLDER}/{DRIVER.name} {FOLDER}" + " %s" * len(arguments)
        said = host.check_output(driver, *arguments)
    finally:
        host.check_output("rm -rf %s", FOLDER)
    return [json.loads(line) for line in said.splitlines()]


@pytest.fixture(name="seen", scope="module")
def what_was_seen(demo: Demo) -> list[dict[str, Any]]:
    return seen_by(demo, "5222", demo.facts.service())


@pytest.fixture(name="seen_plain", scope="module")
def what_was_seen_of_plain_files(demo: Demo) -> list[dict[str, Any]]:
    return seen_by(demo, "plain")


def test_every_step_was_tried(seen: list[dict[str, Any]]) -> None:
    steps = [entry["killed_before"].split()[0] for entry in seen if "killed_before" in entry]
    assert len(steps) >= 10
    assert {"validate", "journal", "swap", "daemon-reload", "restart", "health", "record", "close"} <= set(steps)


def test_the_next_run_converges_and_forgets_no_reload(seen: list[dict[str, Any]]) -> None:
    for entry in seen:
        if "killed_before" in entry:
            assert entry["converged"], entry
            assert entry["loaded"], entry
            assert entry["check_said_the_same"], entry


def test_prosody_is_never_down_longer_than_one_restart(seen: list[dict[str, Any]]) -> None:
    for entry in seen:
        if "killed_before" in entry:
            # two restarts happen when the first one was not confirmed; each is a gap of its own
            assert entry["restarts"] <= 2, entry
            assert len(entry["gaps"]) <= entry["restarts"], entry
            assert max(entry["gaps"], default=0.0) < 3.0, entry


def test_what_does_not_start_is_put_back(seen: list[dict[str, Any]]) -> None:
    assert seen[-1].get("put_back") is True, seen[-1]


def test_plain_files_converge_after_a_kill_at_any_step(seen_plain: list[dict[str, Any]]) -> None:
    kills = [entry for entry in seen_plain if "killed_before" in entry]
    for seconds in (0, 3):
        steps = {entry["killed_before"].split()[0] for entry in kills if entry["seconds"] == seconds}
        assert {"journal", "write", "swap", "apply", "health", "record", "close"} <= steps
    for entry in kills:
        assert entry["converged"], entry
        assert entry["loaded"], entry
        assert entry["check_said_the_same"], entry


def test_a_guarded_change_of_a_killed_run_takes_itself_back(seen_plain: list[dict[str, Any]]) -> None:
    kills = [entry for entry in seen_plain if "killed_before" in entry]
    assert sum(entry["was_armed"] for entry in kills) >= 5
    assert all(entry["is_old_again"] for entry in kills), kills
    assert not any(entry["was_armed"] for entry in kills if entry["seconds"] == 0)


def test_what_the_programs_refuse_is_put_back(seen_plain: list[dict[str, Any]]) -> None:
    assert seen_plain[-1].get("put_back") is True, seen_plain[-1]
