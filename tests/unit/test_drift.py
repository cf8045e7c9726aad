# SPDX-License-Identifier: GPL-3.0-or-later
"""What the drift callback prints of a task's result, and what it keeps to itself."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.sallyport.im.plugins.callback.drift import CallbackModule, lines_of, site_name


class Screen:
    """Keeps what is displayed."""

    def __init__(self) -> None:
        """Begin empty."""
        self.lines: list[str] = []

    def display(self, text: str, color: str = "") -> None:
        self.lines.append(text)


def result(host: str, task: str, **said: Any) -> Any:
    return SimpleNamespace(host=SimpleNamespace(get_name=lambda: host), task_name=task, result=said)


@pytest.fixture(name="drift")
def a_callback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CallbackModule:
    callback = CallbackModule()
    options = {"file": str(tmp_path / "drift.jsonl"), "site": "demo"}
    monkeypatch.setattr(callback, "get_option", options.__getitem__)
    callback._display = Screen()
    return callback


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        ({"changed": False, "differences": []}, []),
        ({"changed": True, "differences": ["a: is b, should be c", "d"]}, ["a: is b, should be c", "d"]),
        ({"changed": True}, ["Task"]),
        (
            {"changed": True, "diff": {"before": "secret", "after": "secret", "after_header": "/etc/x"}},
            ["Task: /etc/x"],
        ),
        ({"changed": True, "diff": [{"before_header": "/a"}, {"after_header": "/b"}]}, ["Task: /a, /b"]),
        ({"changed": True, "censored": "no_log was set"}, ["Task"]),
        ({"changed": True, "results": [{"changed": True, "item": "x"}, {"changed": False, "item": "y"}]}, ["Task (x)"]),
        ({"changed": True, "results": [{"changed": True, "item": {"password": "hunter2"}}]}, ["Task"]),
    ],
)
def test_lines_of_a_result(said: dict[str, Any], lines: list[str]) -> None:
    assert list(lines_of(said, "Task")) == lines


def test_differences_are_printed_by_host_counted_and_written(drift: CallbackModule, tmp_path: Path) -> None:
    drift.v2_runner_on_ok(result("im-int", "Prosody", changed=True, differences=["one", "two"]))
    drift.v2_runner_on_ok(result("gw", "Rules", changed=True))
    drift.v2_runner_on_ok(result("gw", "Nothing", changed=False))
    drift.v2_playbook_on_stats(SimpleNamespace(processed={"im-int": 1, "gw": 1, "desk": 1}))
    assert drift._display.lines == ["gw:", "  Rules", "im-int:", "  one", "  two", "demo: 3 differences on 2 hosts"]
    rows = [json.loads(line) for line in (tmp_path / "drift.jsonl").read_text().splitlines()]
    assert rows[1] == {"host": "im-int", "task": "Prosody", "difference": "one"}
    assert len(rows) == 3


def test_no_difference_leaves_an_empty_file(drift: CallbackModule, tmp_path: Path) -> None:
    drift.v2_playbook_on_stats(SimpleNamespace(processed={"a": 1, "b": 1, "c": 1, "d": 1}))
    assert drift._display.lines == ["demo: no difference on 4 hosts"]
    assert (tmp_path / "drift.jsonl").read_text() == ""


def test_trouble_is_shown_and_counted(drift: CallbackModule) -> None:
    drift.v2_runner_on_failed(result("a", "Rules", msg="no such table"))
    drift.v2_runner_on_failed(result("a", "Optional", msg="never mind"), ignore_errors=True)
    drift.v2_runner_on_unreachable(result("b", "Facts", msg="no route"))
    drift.v2_playbook_on_stats(SimpleNamespace(processed={"a": 1}))
    assert drift._display.lines == [
        "a: failed: Rules: no such table",
        "b: cannot be reached: Facts: no route",
        "demo: not everything could be compared; 2 failures",
    ]


def test_nothing_looked_at_is_not_nothing_different(drift: CallbackModule) -> None:
    drift.v2_playbook_on_stats(SimpleNamespace(processed={}))
    assert drift._display.lines == ["demo: no host was looked at"]


def test_the_site_is_the_inventory(tmp_path: Path) -> None:
    site = tmp_path / "oslo"
    site.mkdir()
    assert site_name([str(site)]) == "oslo"
    assert site_name([str(site / "hosts.yml")]) == "oslo"
    assert site_name([]) == "site"


def test_what_a_host_says_cannot_steer_the_terminal(drift: CallbackModule) -> None:
    drift.v2_runner_on_ok(result("im-int", "Accounts", changed=True, differences=["account \x1b[2J\u202ex: is there"]))
    drift.v2_runner_on_failed(result("im-int", "Accounts", msg="one\ntwo \x1b[31m"))
    drift.v2_playbook_on_stats(SimpleNamespace(processed={"im-int": 1}))
    assert "  account \\u001b[2J\\u202ex: is there" in drift._display.lines
    assert any(line.endswith("one\ntwo \\u001b[31m") for line in drift._display.lines)
