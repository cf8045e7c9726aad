# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked is found and nothing else, and what is asked wrongly is refused."""

from __future__ import annotations

import pytest

from archive.conftest import fill
from archive.log_host import ALICE, BOB, CARL, DAY, ROOM, LogHost


@pytest.fixture(scope="module")
def full(one_host: LogHost) -> LogHost:
    """The few events, for all tests of this file: they change nothing but the chain."""
    return fill(one_host)


@pytest.mark.parametrize(
    ("words", "hours"),
    [
        (("--person", ALICE), [14, 11, 10]),
        (("--person", f"{ALICE.upper()}/phone"), [14, 11, 10]),
        (("--person", ALICE, "--person", CARL), [14, 13, 12, 11, 10]),
        (("--room", ROOM), [12]),
        (("--room", ROOM, "--person", BOB), [14, 13, 12, 11, 10]),
        (("--word", "budget"), [14, 11, 10]),
        (("--word", "BUDG*"), [14, 11, 10]),
        (("--word", "budg"), []),
        (("--word", "strasse 5"), [10]),
        (("--word", "5 straße"), []),
        (("--word", "budget", "--word", "2026"), [14]),
        (("--word", "budget", "--person", CARL), []),
        (("--rule", "stranger"), [13]),
        (("--verdict", "refused"), [13]),
        (("--kind", "file"), [14]),
        (("--from", f"{DAY}T11:00:00Z", "--until", f"{DAY}T13:00:00Z"), [12, 11]),
        (("--until", DAY), [14, 13, 12, 11, 10]),
        (("--from", "2026-03-02"), []),
        (("--person", "' OR true --"), []),
        (("--rule", "x'; DROP TABLE events; --"), []),
        (("--word", "x'); DROP TABLE events; --"), []),
    ],
)
def test_events_are_found(full: LogHost, words: tuple[str, ...], hours: list[int]) -> None:
    assert [int(one["time"][11:13]) for one in full.found(*words)] == hours


def test_a_table_is_for_people(full: LogHost) -> None:
    said = full.ask("search", "--limit", "2").splitlines()
    assert len(said) == 3
    assert said[0].split() == ["time", "(UTC)", "verdict", "kind", "from", "to", "rule", "text"]
    assert said[1].startswith(f"{DAY} 14:00:00  allowed  file          {ALICE}")


@pytest.mark.parametrize(
    "words",
    [
        ("search", "--verdict", "maybe"),
        ("search", "--word", "!?"),
        ("search", "--from", "tomorrow"),
        ("search", "--limit", "-1"),
        ("export", "--reason", "x", "--to", "/root/out"),
        ("export", "--person", ALICE, "--to", "/root/out"),
        ("export", "--person", ALICE, "--reason", " ", "--to", "/root/out"),
        ("export", "--case", "none", "--reason", "x", "--to", "/root/out"),
        ("export", "--person", ALICE, "--reason", "x", "--to", "/root"),
        ("export", "--person", ALICE, "--reason", "x", "--to", "/nowhere/out"),
        ("hold", "--reason", "x"),
        ("hold", "--person", ALICE),
        ("release", "hold-1", "--reason", "x"),
        ("accept", "im-int/none", "--reason", "x"),
        ("verify", "--heads", "/nowhere"),
        ("expire",),
        ("nothing",),
    ],
)
def test_what_is_wrong_is_refused_and_leaves_nothing(full: LogHost, words: tuple[str, ...]) -> None:
    said = full.ask(*words, code=2)
    assert "Traceback" not in said
    assert "sallyport-archive" in said
    assert full.sh("ls -A /root | grep out || true") == ""
