# SPDX-License-Identifier: GPL-3.0-or-later
"""The report: what a machine answered stays text, and nothing untried looks passed."""

from __future__ import annotations

import datetime
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from ansible_collections.sallyport.im.plugins.plugin_utils.report import (
    PRACTICES,
    STATUSES,
    Result,
    document,
    page,
    worst,
    write,
)

NOW = datetime.datetime(2026, 3, 1, 9, 30, tzinfo=datetime.UTC)


def result(status: str = "pass", practice: str = "R5", **more: str) -> Result:
    given = {"id": f"{practice}-x", "says": "Says.", "seen": "Seen.", "tried_from": "desk", "on": "im-int", **more}
    return Result(practice=practice, status=status, time=NOW, **given)


def html(*results: Result) -> str:
    return page(kit="0.1.0", site="demo", results=results, time=NOW)


class Reader(HTMLParser):
    """Collects tags and where they point to."""

    void = frozenset({"meta", "br", "link", "img", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.targets: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.void:
            self.open.append(tag)
        for name, value in attrs:
            if name in {"src", "href", "action", "style"}:
                self.targets.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], "not_tried"),
        (["pass"], "pass"),
        (["pass", "fail", "not_tried"], "fail"),
        (["pass", "not_tried"], "not_tried"),
        (["pass", "amber"], "amber"),
        (["pass", "not_applicable"], "pass"),
        (["not_applicable"], "not_applicable"),
        (["amber", "not_tried"], "not_tried"),
    ],
)
def test_the_worst_status_decides(statuses: list[str], expected: str) -> None:
    assert worst(statuses) == expected


def test_json_has_the_published_shape() -> None:
    data = document(kit="0.1.0", site="demo", results=[result(id="R5-plain")], time=NOW)
    assert {key: data[key] for key in ("kit", "site", "time")} == {
        "kit": "0.1.0",
        "site": "demo",
        "time": "2026-03-01T09:30:00Z",
    }
    assert list(data["practices"]) == [f"R{number}" for number in range(1, 13)]
    assert data["practices"]["R5"] == {
        "status": "pass",
        "controls": [
            {"id": "R5-plain", "status": "pass", "says": "Says.", "seen": "Seen.", "from": "desk", "on": "im-int"}
        ],
    }
    assert data["practices"]["R2"] == {"status": "not_tried", "controls": []}


@pytest.mark.parametrize("wrong", [result(practice="R13"), result(status="green")])
def test_unknown_words_are_refused(wrong: Result) -> None:
    with pytest.raises(ValueError, match=r"is none of (R1|fail)"):
        document(kit="0.1.0", site="demo", results=[wrong], time=NOW)


@pytest.mark.parametrize("field", ["seen", "says", "id", "on", "tried_from"])
def test_what_a_machine_says_stays_text(field: str) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&"
    text = html(result(**{field: evil}))
    tags = Reader(text).tags
    assert "script" not in tags
    assert "img" not in tags
    assert "&lt;script&gt;" in text


def test_page_is_whole_and_needs_nothing_from_elsewhere() -> None:
    text = html(*(result(status, practice) for status in STATUSES for practice in PRACTICES))
    reader = Reader(text)
    assert reader.open == []
    assert not {"script", "link", "img", "iframe", "object"} & set(reader.tags)
    assert all(target.startswith("#") and target[1:] in reader.ids for target in reader.targets)
    assert "url(" not in text
    assert "@import" not in text


@pytest.mark.parametrize("status", STATUSES)
def test_each_status_has_a_word_and_a_shape(status: str) -> None:
    word, shape = STATUSES[status]
    text = html(result(status))
    assert word in text
    assert f'aria-hidden="true">{shape}<' in text
    assert len({shape for _, shape in STATUSES.values()}) == len(STATUSES)


def test_untried_practices_are_called_so() -> None:
    text = html(result())
    assert text.count("Its checks come with a later version of the kit.") == 11
    assert "11 practices are not covered by this version and not proven." in text


@pytest.mark.parametrize(
    ("results", "headline"),
    [
        ([], "Nothing was tried"),
        ([result("pass")], "Everything that was tried works"),
        ([result("pass"), result("not_tried")], "Nothing failed, but not all was tried"),
        ([result("pass"), result("not_tried"), result("fail")], "1 check failed"),
        ([result("pass"), result("amber")], "Everything that was tried works"),
    ],
)
def test_headline(results: list[Result], headline: str) -> None:
    assert f"<h1>{headline}</h1>" in html(*results)


def test_write(tmp_path: Path) -> None:
    page_file, data_file = write(tmp_path / "new" / "demo", kit="0.1.0", site="demo", results=[result()], time=NOW)
    assert page_file.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert json.loads(data_file.read_text(encoding="utf-8"))["site"] == "demo"


def test_what_is_not_checked_whole_has_not_passed_whole() -> None:
    partly, whole = html(result("pass", "R5")), html(result("pass", "R1"))
    assert PRACTICES["R5"].later
    assert not PRACTICES["R1"].later
    assert "Passed in part" in partly
    assert "Passed in part" not in whole
