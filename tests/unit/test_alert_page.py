# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of the day: its figures, that nothing of a log becomes markup, and that it needs nothing from elsewhere."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from sallyport_alerts import chart, pages
from sallyport_alerts.day import MOST_KEYS, Day
from sallyport_alerts.page import render
from sallyport_alerts.reading import MOST_COUNT

DAY = "2027-01-15"
SETTINGS = {
    "site": "demo",
    "host": "log",
    "messages_days": 90,
    "hosts": {"im-int": "im_internal", "gw": "gateway", "desk": "desktops"},
}
MARKUP = "<script>alert(1)</script>&\"'"


def event(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": str(number),
        "time": f"{DAY}T{number % 24:02}:00:00.000Z",
        "kind": "message",
        "from": "alice@im.demo.example/x",
        "verdict": "allowed",
        "rule": "contact",
        **more,
    }


def a_day() -> Day:
    day = Day(DAY)
    for number in range(48):
        day.take("im-int", "im", event(number))
    day.take("im-int", "im", event(47))  # again
    day.take("im-int", "im", event(100, verdict="refused", rule="stranger", count=7))
    day.take("im-int", "im", event(101, kind="file", type="upload", verdict="refused", rule="virus", signature=MARKUP))
    day.take("im-int", "im", event(102, kind="file", type="upload", rule="clean"))
    refused = {"kind": "account", "type": "sign-in", "verdict": "refused", "address": "10.0.0.9"}
    day.take("im-int", "im", event(103, rule="wrong-password", **refused))
    health = {"disks": [{"at": "/", "free_percent": 5.0}], "failed": ["x.service"], "certificates": [{"days": 9.0}]}
    day.take("im-int", "system", {"program": "sallyport-health", "message": f" {json.dumps(health)}"})
    return day


class Reader(HTMLParser):
    """What a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]

    def handle_data(self, data: str) -> None:
        self.text += data


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    return reader


def test_the_figures() -> None:
    day = a_day()
    assert day.totals() == {
        "day": DAY,
        "messages": 48,
        "refused": 9,
        "infected": 1,
        "sign_in_failures": 1,
        "incidents": 0,
    }
    assert day.allowed == [2] * 24
    assert day.rules == {"stranger": 7, "virus": 1, "wrong-password": 1}


def test_the_page_shows_them_and_needs_nothing_from_elsewhere() -> None:
    day = a_day()
    opened = {"what": "opened", "kind": "disk", "where": "log", "who": MARKUP, "since": 0, "count": 1, "says": MARKUP}
    day.incidents = [{**opened, "time": 1_800_000_000}]
    text = render(day, SETTINGS, 1440, 1_800_000_000)
    reader = read(text)
    assert not {"script", "link", "img", "iframe", "object", "form"} & {*reader.tags}
    assert reader.sources == []
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text
    for shown in (
        "stranger",
        "alice@im.demo.example",
        "10.0.0.9",
        "x.service",
        "A disk is nearly full",
        "nothing came",
    ):
        assert shown in reader.text
    assert "prefers-color-scheme: dark" in text


def test_what_strangers_choose_is_no_markup() -> None:
    day = Day(DAY)
    for number, field in enumerate(("from", "rule", "address", "signature", "server")):
        day.take("im-int", "im", event(number, verdict="refused", kind="account", type="sign-in", **{field: MARKUP}))
        day.take(
            "im-int", "im", event(50 + number, verdict="refused", kind="file", type="quarantine", **{field: MARKUP})
        )
    for failed in ([MARKUP], []):
        health = {"failed": failed, "disks": [{"at": MARKUP, "free_percent": 1.0}]}
        day.take("im-int", "system", {"program": "sallyport-health", "message": json.dumps(health)})
        reader = read(render(day, SETTINGS, 1440, 0))
        assert "script" not in reader.tags
        assert "<script>" in reader.text


@pytest.mark.parametrize(
    "odd",
    [
        {"queue_megabytes": "<h1>all is well</h1>"},
        {"certificates": [{"file": "a", "days": "x"}]},
        {"disks": [{"at": "/"}]},
        {"disks": [{"at": "/", "free_percent": None}]},
        {"disks": [{"at": "/", "free_percent": 10**400}]},
        {"disks": [{"at": "/", "free_percent": 50.0, "inodes_free_percent": "x"}]},
        {"disks": 5},
        {"failed": 5},
        {"failed": [{}]},
        {"offset_seconds": "x"},
        {"antivirus": [1]},
        {"antivirus": {"age_hours": []}},
        [],
        "[" * 200_000,
        "no json",
    ],
)
def test_an_odd_line_of_health_is_shown_as_such_and_stops_nothing(odd: object) -> None:
    message = odd if isinstance(odd, str) else json.dumps(odd)
    day = Day(DAY)
    line = {"program": "sallyport-health", "message": message}
    day.take("im-int", "system", line)
    text = render(day, SETTINGS, 1, 0)
    assert "all is well" not in text
    assert "odd lines" in text
    day.take("im-int", "system", line | {"message": json.dumps({"disks": [{"at": "/srv", "free_percent": 1}]})})
    day.take("im-int", "system", line)
    text = render(day, SETTINGS, 3, 0)
    assert "odd lines" in text
    assert "/srv nearly full" in text, "its last word of the right form"
    assert "gaps" not in text


def test_odd_events_are_counted_as_far_as_they_go() -> None:
    day = Day(DAY)
    odd_ones: list[dict[str, Any]] = [{"time": f"{DAY}T²³:00"}, {"count": 10**400}, {"kind": []}, {"rule": {}}]
    for number, odd in enumerate(odd_ones):
        day.take("im-int", "im", event(number, verdict="refused", **odd))
    assert sum(day.refused) == 3 + MOST_COUNT
    render(day, SETTINGS, 1, 0)


def test_no_free_inode_is_a_full_disk() -> None:
    day = Day(DAY)
    for free, full in ((0.0, True), (None, False), (50.0, False)):
        health = {"disks": [{"at": "/", "free_percent": 50.0, "inodes_free_percent": free}]}
        day.take("im-int", "system", {"program": "sallyport-health", "message": json.dumps(health)})
        assert ("nearly full" in render(day, SETTINGS, 1, 0)) is full


def test_the_day_with_nothing() -> None:
    text = read(render(Day(DAY), SETTINGS, 0, 0)).text
    assert "Nothing was refused." in text
    assert "None: nothing began" in text


@pytest.mark.parametrize(
    ("most", "end"), [(0, 5), (4, 5), (5, 5), (6, 10), (11, 20), (201, 500), (999, 1000), (1001, 2000)]
)
def test_the_axis_ends_at_a_number_that_people_like(most: int, end: int) -> None:
    assert chart.ceiling(most) == end


@pytest.mark.parametrize(
    ("number", "shown"), [(0.0, "0"), (2.5, "2.5"), (750.0, "750"), (25e3, "25k"), (1e5, "100k"), (25e5, "2.5M")]
)
def test_an_axis_has_short_numbers(number: float, shown: str) -> None:
    assert chart.short(number) == shown


def test_the_chart_is_xml_and_fits() -> None:
    picture = ET.fromstring(chart.hours([0, 1, 100000] + [5] * 21, [3, 0, 100000] + [0] * 21))
    for bar in picture.iter("rect"):
        assert float(bar.attrib["y"]) >= chart.TOP - 0.1
        assert float(bar.attrib["y"]) + float(bar.attrib["height"]) <= chart.HEIGHT - chart.BOTTOM + 0.1
    assert "200000 delivered" not in ET.tostring(picture, encoding="unicode")


def test_a_flood_of_senders_takes_no_more_memory() -> None:
    day = Day(DAY)
    for number in range(MOST_KEYS + 500):
        day.take("im-int", "im", event(number, **{"from": f"p{number}@else.example"}))
    assert len(day.senders) == MOST_KEYS + 1
    assert day.senders["others"] == 500


def test_pages_are_made_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logs, out = tmp_path / "hosts", tmp_path / "pages"
    (logs / "im-int" / DAY).mkdir(parents=True)
    (logs / "log").mkdir()
    # neither is a file of lines
    (logs / "gw" / DAY / "system.jsonl").mkdir(parents=True)
    (logs / "desk").mkdir()
    (logs / "desk" / DAY).touch()
    out.mkdir()
    lines = [json.dumps(event(1)), "no json", "[]", json.dumps(event(2))]
    (logs / "im-int" / DAY / "im.jsonl").write_text("\n".join(lines), encoding="utf-8")
    opened = {"what": "opened", "kind": "gone", "where": "a", "who": "b", "time": 0, "count": 1, "says": ""}
    (tmp_path / f"history-{DAY}.jsonl").write_text(f"{json.dumps(opened)}\n", encoding="utf-8")
    monkeypatch.setattr(pages, "HISTORY", tmp_path)
    for name in ("2026-10-17.html", "2026-10-17.json", "2026-10-18.html"):
        (out / name).touch()
    now = 1_800_000_000 + 86400.0
    settings = {**SETTINGS, "logs": str(logs), "pages": str(out)}
    pages.make(settings, [], now)
    (out / "2026-10-18.html").unlink()  # still within the time for messages
    assert sorted(path.name for path in out.iterdir()) == [
        "2027-01-15.html",
        "2027-01-15.json",
        "2027-01-16.html",
        "2027-01-16.json",
    ]
    assert json.loads((out / f"{DAY}.json").read_text())["messages"] == 2
    assert {oct(path.stat().st_mode & 0o777) for path in out.iterdir()} == {"0o640"}
    assert (out / f"{DAY}.html").read_text().count("odd lines") == 2
    assert re.search(r"incidents began</dt><dd>1<", (out / f"{DAY}.html").read_text())
