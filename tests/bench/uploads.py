# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scanner costs whoever shares a file, and the others meanwhile, from the demo's desktop over TLS."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from typing import Any

from acceptance.demo_site import INVENTORY, Demo
from ansible_collections.sallyport.im.plugins.plugin_utils.vault import read_vault
from probe.remote import Probe
from system.talk import Client
from system.test_r11_files import UPLOAD

from bench.plain import plain

MEGABYTE = 1024 * 1024
SIZES = (1, 10, 20)
REPEATS = 3
PINGS_AT_REST = 200
# reads the file from the page cache, as clamd does with what Prosody has just written
ALONE = """
head -c {bytes} /dev/urandom >/tmp/sallyport-bench && cat /tmp/sallyport-bench >/dev/null
start=$(date +%s%N); clamdscan --fdpass --no-summary /tmp/sallyport-bench >/dev/null || exit 1; end=$(date +%s%N)
rm /tmp/sallyport-bench; echo $((end - start))
"""


def share(demo: Demo, desk: Probe, person: Client, size: int) -> float:
    """Share random bytes; returns the seconds from the first byte to the answer."""
    answer = person.ask("get", f"<request xmlns='{UPLOAD}' filename='bench.bin' size='{size}'/>", to=demo.facts.files)
    put = answer.find(f".//{{{UPLOAD}}}put")
    if put is None:
        raise RuntimeError("no place for a file was given")
    headers = {str(header.get("name")): header.text or "" for header in put}
    where: dict[str, Any] = {"ca_pem": demo.facts.ca_pem(), "address": demo.facts.service()}
    start = time.monotonic()
    sent = desk.do("upload", url=put.get("url", ""), headers=headers, size=size, timeout=130, **where)
    if sent["status"] != 201:
        raise RuntimeError(f"a file was answered {sent['status']}: {sent['words']}")
    return time.monotonic() - start


def shares(demo: Demo, desk: Probe, secret: str) -> dict[int, float]:
    """Share files of each size with the server that runs; returns the seconds by the size in MB."""
    writer = Client(desk, demo.facts.internal(), "probe-a", secret).online()
    return {
        megabytes: statistics.median(share(demo, desk, writer, megabytes * MEGABYTE) for _ in range(REPEATS))
        for megabytes in SIZES
    }


def alone(demo: Demo, size: int) -> float:
    """Return the seconds of clamdscan for random bytes, on the server itself."""
    return int(demo.server.check_output(ALONE.format(bytes=size))) / 1e9


def pings(person: Client, until: threading.Event, most: int = 100_000) -> list[float]:
    """Return the seconds of pings to the server, one after the other."""
    found: list[float] = []
    while not until.is_set() and len(found) < most:
        start = time.monotonic()
        person.ping()
        found.append(time.monotonic() - start)
    return found


def rows() -> Iterator[str]:
    """Measure.

    Yields:
        Lines for the page of figures.
    """
    demo = Demo()
    secrets = read_vault(INVENTORY)
    desk, other = (Probe(demo.facts.in_group("desktops")[0].command(), "desk") for _ in range(2))
    try:
        secret = str(secrets["probe_a_password"])
        with plain(demo):
            without = shares(demo, desk, secret)
        whole = shares(demo, desk, secret)
        for megabytes in SIZES:
            scanned = statistics.median(alone(demo, megabytes * MEGABYTE) for _ in range(REPEATS))
            yield (
                f"{f'a file of {megabytes} MB':32}{whole[megabytes]:8.2f}{whole[megabytes] / without[megabytes]:8.2f}  "
                f"{without[megabytes]:.2f} s without the kit; clamdscan alone {scanned:.2f} s"
            )
        # the other way round: who has shared so much has used up what a person may share in a day
        writer = Client(desk, demo.facts.internal(), "probe-b", str(secrets["probe_b_password"])).online()
        talker = Client(other, demo.facts.internal(), "probe-a", secret).online()
        still = pings(talker, threading.Event(), PINGS_AT_REST)
        over, meanwhile = threading.Event(), list[float]()
        counting = threading.Thread(target=lambda: meanwhile.extend(pings(talker, over)))
        counting.start()
        share(demo, desk, writer, SIZES[-1] * MEGABYTE)
        over.set()
        counting.join()
        yield (
            f"{f'worst ping during {SIZES[-1]} MB':32}{max(meanwhile):8.3f}{max(meanwhile) / max(still):8.2f}  "
            f"of {len(meanwhile)}; at rest {max(still):.3f} s"
        )
    finally:
        desk.close()
        other.close()
