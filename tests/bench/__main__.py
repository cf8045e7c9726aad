# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench`: what a run costs, on the demo's internal server, as ratios in one run.

The internal server is made anew twice, so what people had on the demo is gone afterwards; `make demo` brings it back.
"""

from __future__ import annotations

import datetime
import statistics

from ansible_collections.sallyport.im.plugins.plugin_utils.derive import host_settings
from ansible_collections.sallyport.im.plugins.plugin_utils.site import load

from bench.hosts import INVENTORY, anew, bare_install, play

HOST = "im-int"
REPEATS = 3


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
    print(f"\n{'':32}{'seconds':>8}{'x bare':>8}")
    for name, seconds, ratio, note in rows:
        print(f"{name:32}{seconds:8.1f}{ratio:8.2f}  {note}")


if __name__ == "__main__":
    main()
