# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench`: what a run costs, on the demo's internal server and for people and partners, as ratios in one run.

The internal server is made anew twice, so what people had on the demo is gone afterwards; `make demo` brings it back.
"""

from __future__ import annotations

import datetime
import statistics
import tempfile
from pathlib import Path

from acceptance.demo_site import changed_copy
from ansible_collections.sallyport.im.plugins.plugin_utils.derive import host_settings
from ansible_collections.sallyport.im.plugins.plugin_utils.site import load

from bench import messages, uploads
from bench.hosts import INVENTORY, anew, bare_install, play

HOST = "im-int"
REPEATS = 3
GATEWAY = "gw"
SERVERS = "all:!desk:!world"


def more(text: str) -> str:
    """Add a person and a partner to the demo's site file."""
    person = "    - {id: frida, name: Frida Berg, groups: [staff], external: {reason: Fair, until: 2099-12-31}}\n"
    partner = (
        "    - {domain: new.example, name: New Ltd, owner: Alice Ek, until: 2099-12-31, contacts: {eva: Eva Dahl}}\n"
    )
    text = text.replace("  people:\n", f"  people:\n{person}", 1)
    return text.replace("  partners:\n", f"  partners:\n{partner}", 1)


def people() -> list[tuple[str, float, int]]:
    """Measure people.yml: unchanged, with a person and a partner more, and back again.

    Returns:
        What was done, its seconds, and the tasks that changed the gateway.
    """
    unchanged = [play("people.yml", GATEWAY, limit=SERVERS) for _ in range(REPEATS)]
    with tempfile.TemporaryDirectory() as folder:
        added = play("people.yml", GATEWAY, limit=SERVERS, inventory=changed_copy(Path(folder), more))
    removed = play("people.yml", GATEWAY, limit=SERVERS)
    return [
        ("people.yml, unchanged", statistics.median(run.seconds for run in unchanged), unchanged[0].changed),
        ("a person and a partner more", added.seconds, added.changed),
        ("and both away again", removed.seconds, removed.changed),
    ]


def main() -> None:
    """Measure, and print a table."""
    settings = host_settings(load(INVENTORY), HOST, datetime.datetime.now(datetime.UTC))
    packages = settings["packages"]
    print(f"== a bare install of the {len(packages)} packages of {HOST} ==", flush=True)
    anew(HOST)
    bare = bare_install(HOST, packages, settings["updates"]["proxy"])
    print("== the kit on a fresh host ==", flush=True)
    anew(HOST)
    cold = play("site.yml", HOST)
    print(f"== the same again, {REPEATS} times ==", flush=True)
    again = [play("site.yml", HOST) for _ in range(REPEATS)]
    checks = [play("site.yml", HOST, "--check") for _ in range(REPEATS)]
    rerun = statistics.median(run.seconds for run in again)
    check = statistics.median(run.seconds for run in checks)
    rows = [
        ("bare install of the packages", bare, 1.0, ""),
        ("first run of the kit", cold.seconds, cold.seconds / bare, f"bare + {cold.seconds - bare:.0f} s"),
        ("unchanged run", rerun, rerun / bare, f"{again[0].tasks} tasks, changed={sum(run.changed for run in again)}"),
        ("unchanged run, check mode", check, check / bare, f"changed={sum(run.changed for run in checks)}"),
    ]
    print("== people.yml ==", flush=True)
    rows += [
        (name, seconds, seconds / rerun, f"changed={changed} on gw; x unchanged run")
        for name, seconds, changed in people()
    ]
    print(f"\n{'':32}{'seconds':>8}{'x bare':>8}")
    for name, seconds, ratio, note in rows:
        print(f"{name:32}{seconds:8.1f}{ratio:8.2f}  {note}")
    print("\n== files ==", flush=True)
    # the server that was made anew knows of no desktop yet: this one shows itself
    play("site.yml", "desk", "--tags", "workstation")
    print(f"{'':32}{'seconds':>8}{'x plain':>8}")
    for line in uploads.rows():
        print(line, flush=True)
    print(f"\n== messages ==\n{'':32}{'a second':>8}{'x plain':>8}", flush=True)
    for line in messages.rows():
        print(line, flush=True)


if __name__ == "__main__":
    main()
