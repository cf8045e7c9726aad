# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the pages of days out of the files of the log host."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sallyport_alerts.day import Day
from sallyport_alerts.follow import STREAMS
from sallyport_alerts.outbox import write
from sallyport_alerts.page import render
from sallyport_alerts.service import day_of, oldest_day

HISTORY = Path("/var/lib/sallyport-alerts")
"""The state of the service."""
DAY_MINUTES = 1440


def records(path: Path) -> Iterator[dict[str, Any]]:
    """Read the lines of a file that are JSON objects; nothing when there is no such file."""
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return
    with stream:
        for line in stream:
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict):
                yield record


def collect(logs: Path, history: Path, day: str) -> Day:
    """Count a day.

    Args:
        logs: folder of the hosts.
        history: folder of the history of incidents.
        day: as 2027-06-30.

    Returns:
        Its figures.
    """
    found = Day(day)
    for folder in sorted(logs.glob(f"*/{day}")):
        for stream in STREAMS:
            try:
                for record in records(folder / f"{stream}.jsonl"):
                    found.take(folder.parent.name, stream, record)
            except OSError:
                # one file that cannot be read does not cost the page
                found.odd[folder.parent.name] += 1
    found.incidents = [*records(history / f"history-{day}.jsonl")]
    return found


def make(settings: Mapping[str, Any], days: list[str], now: float) -> None:
    """Make pages: of the days that are named, or of today, and of yesterday when that is not whole yet.

    Args:
        settings: /etc/sallyport/alerts.json.
        days: as 2027-06-30; empty for those two.
        now: the time, in seconds since 1970.
    """
    pages, today, yesterday = Path(settings["pages"]), day_of(now), day_of(now - 86400)
    if not days:
        totals = pages / f"{yesterday}.json"
        # one that was made while the day went on lacks its end
        whole = totals.exists() and day_of(totals.stat().st_mtime) > yesterday
        days = [today] if whole else [yesterday, today]
    for day in days:
        found = collect(Path(settings["logs"]), HISTORY, day)
        minutes = now % 86400 / 60 if day == today else DAY_MINUTES
        page = pages / f"{day}.html"
        beside = page.with_suffix(".new")
        beside.write_text(render(found, settings, minutes, now), encoding="utf-8")
        beside.chmod(0o640)
        beside.replace(page)
        # after the page: by this the mail of the day knows that it is there
        write(page.with_suffix(".json"), found.totals())
        page.with_suffix(".json").chmod(0o640)
    oldest = oldest_day(settings, now)
    for old in (*pages.glob("*.html"), *pages.glob("*.json")):
        # one that somebody has just asked for stays until the next hour
        if old.stem < oldest and old.stem not in days:
            old.unlink()
