# SPDX-License-Identifier: GPL-3.0-or-later
"""Retention, holds and tombstones of the archive: what is over goes, what is held stays, and all of it is proven."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from sallyport_archive import chain, holding, retention, seal
from sallyport_archive.contents import contents
from sallyport_archive.places import ArchiveError
from sallyport_archive.state import Content
from unit.archive_host import ALICE, BOB, CARL, LogHost, event

OLD, FRESH = "2026-01-01", "2026-03-25"
NOW = datetime.datetime(2026, 3, 31, 3, tzinfo=datetime.UTC)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LogHost:
    """An old day and a new one, sealed a day ago."""
    monkeypatch.setattr(chain, "now", lambda: "2026-03-30T03:00:00Z")
    made = LogHost(tmp_path)
    made.settings(30, 10)
    made.add(*[event(n, (ALICE, CARL)[n % 2], BOB, OLD) for n in range(6)], day=OLD)
    made.add(b'{"message": "alice\\u0040im.demo.example signed in"}', b'{"message": "other"}', day=OLD, stream="system")
    made.add(event(50, day=FRESH), day=FRESH)
    made.add(b'{"message": "other"}', day="2026-03-15", stream="system")
    made.seal()
    monkeypatch.setattr(chain, "now", lambda: NOW.strftime("%Y-%m-%dT%H:%M:%SZ"))
    return made


def expire(host: LogHost) -> tuple[list[str], list[str]]:
    return retention.expire(host.places, NOW)


def hold(host: LogHost, *people: str, rooms: tuple[str, ...] = (), span: tuple[str, str] | None = None) -> str:
    first, end = (datetime.datetime.fromisoformat(text) for text in span) if span else (None, None)
    return holding.hold(
        host.places, people=list(people), rooms=list(rooms), case="c", span=(first, end), reason="a case"
    )


def wrong(host: LogHost) -> list[str]:
    """Return the problems that are none of the clock of this test."""
    return [
        line
        for line in host.verify(host.places.heads).problems
        if "last seal" not in line and "nothing since" not in line
    ]


def test_what_its_time_is_over_for_goes_and_is_proven(host: LogHost) -> None:
    done, problems = expire(host)
    assert problems == []
    assert done == [
        f"removed 6 lines of im-int/{OLD}/im.jsonl (messages_days 30)",
        f"removed 2 lines of im-int/{OLD}/system.jsonl (system_days 10)",
        "removed 1 lines of im-int/2026-03-15/system.jsonl (system_days 10)",
    ]
    assert not host.file(OLD).parent.exists()
    assert host.file(FRESH).exists()
    assert wrong(host) == []
    stone = host.entries()[2]
    assert stone.kind == "tombstone"
    assert stone.content["was"]["lines"] == stone.content["removed_lines"] == 6
    assert stone.content["rule"] == "messages_days 30"
    assert host.seal() == []
    assert expire(host) == ([], [])


@pytest.mark.parametrize(("age", "gone"), [(30, False), (31, True)])
def test_the_last_day_is_kept_in_full(host: LogHost, age: int, gone: bool) -> None:
    day = (NOW.date() - datetime.timedelta(days=age)).isoformat()
    host.add(event(1, day=day), day=day)
    expire(host)
    assert host.file(day).exists() is not gone


def test_what_was_never_sealed_gets_a_tombstone_too(host: LogHost) -> None:
    host.add(event(7, day=OLD), day=OLD, host="im-ext")
    assert f"removed 1 lines of im-ext/{OLD}/im.jsonl (messages_days 30)" in expire(host)[0]
    assert wrong(host) == []


def test_what_is_held_stays(host: LogHost) -> None:
    before = host.file(OLD).read_bytes().splitlines()
    name = hold(host, ALICE)
    hold(host, "nobody@im.demo.example")
    done, problems = expire(host)
    assert problems == []
    assert done[:2] == [
        f"removed 3 lines of im-int/{OLD}/im.jsonl (messages_days 30); 3 are held",
        f"removed 1 lines of im-int/{OLD}/system.jsonl (system_days 10); 1 are held",
    ]
    assert host.file(OLD).read_bytes().splitlines() == before[::2]
    stone = next(entry for entry in host.entries() if entry.kind == "tombstone")
    assert stone.content["held_by"] == [name]
    assert wrong(host) == []
    # once more: nothing to do
    assert expire(host) == ([], [])
    assert [entry.kind for entry in host.entries()].count("tombstone") == 3
    # and a change of what is held is seen
    host.file(OLD).write_bytes(host.file(OLD).read_bytes().replace(b"300", b"301", 1))
    assert f"im-int/{OLD}/im.jsonl: changed" in "\n".join(wrong(host))


def test_what_is_released_goes(host: LogHost) -> None:
    first, second = hold(host, ALICE), hold(host, CARL, span=(f"{OLD}T00:00:00Z", f"{OLD}T00:00:03Z"))
    expire(host)
    assert len(host.file(OLD).read_bytes().splitlines()) == 4
    holding.release(host.places, first, "closed")
    assert [held.id for held in holding.holds(host.places)] == [second]
    expire(host)
    assert [json.loads(line)["from"] for line in host.file(OLD).read_bytes().splitlines()] == [f"{CARL}/desk"]
    holding.release(host.places, second, "closed")
    expire(host)
    assert not host.file(OLD).exists()
    assert wrong(host) == []
    assert [json.loads(line)["kind"] for line in host.places.uses.read_bytes().splitlines()] == [
        "hold",
        "hold",
        "release",
        "release",
    ]


@pytest.mark.parametrize(
    "span", [("0001-01-01T00:00:00Z", "2030-01-01T00:00:00Z"), ("2020-01-01T00:00:00Z", "9999-12-31T23:00:00Z")]
)
def test_a_hold_to_the_edge_of_the_calendar_holds(host: LogHost, span: tuple[str, str]) -> None:
    hold(host, ALICE, span=span)
    done, problems = expire(host)
    assert problems == []
    assert [line.rpartition("; ")[2] for line in done[:2]] == ["3 are held", "1 are held"]


def test_a_room_is_held(host: LogHost) -> None:
    room = "hall@rooms.im.demo.example"
    host.add(event(9, day=OLD, room=room, to=room), day=OLD)
    hold(host, rooms=(room,))
    expire(host)
    assert len(host.file(OLD).read_bytes().splitlines()) == 1


def test_the_receiver_the_readers_and_odd_capitals_are_held(host: LogHost) -> None:
    readers = [{"person": "Dora@IM.demo.example", "times": 1}]
    host.add(event(9, "x@a.example", "y@a.example", OLD, readers=readers), day=OLD)
    host.add(
        event(10, "x@a.example", "DORA@im.demo.example/phone", OLD),
        b"\xff broken dora@im.demo.example",
        b"\xff other",
        day=OLD,
    )
    hold(host, "dora@im.demo.example")
    expire(host)
    assert len(host.file(OLD).read_bytes().splitlines()) == 3


def test_an_address_of_another_form_is_held(host: LogHost) -> None:
    person = "ren\u00e9@im.demo.example"
    host.add(event(9, person, "y@a.example", OLD), f"broken {person}".encode(), b"\xff other", day=OLD)
    with chain.locked(host.places):
        # as an entry of before has it
        said = {"hold": "hold-3", "case": "", "people": ["rene\u0301@im.demo.example"], "rooms": [], "who": "eva"}
        chain.append(host.places, "hold", {**said, "from": None, "until": None, "reason": "x"})
    expire(host)
    assert len(host.file(OLD).read_bytes().splitlines()) == 2
    hold(host, "rene\u0301@im.demo.example")
    assert holding.for_servers(host.places)["holds"][1]["people"] == [person]


@pytest.mark.parametrize(
    ("people", "reason", "says"),
    [
        ([], "x", "needs somebody"),
        ([ALICE], " ", "needs a reason"),
        (["alice"], "x", "is no address"),
        ([ALICE + " "], "x", "no address"),
    ],
)
def test_a_hold_that_holds_nothing_is_refused(host: LogHost, people: list[str], reason: str, says: str) -> None:
    with pytest.raises(ArchiveError, match=says):
        holding.hold(host.places, people=people, rooms=[], case="", span=(None, None), reason=reason)
    with pytest.raises(ArchiveError, match="ends before it begins"):
        holding.hold(host.places, people=[ALICE], rooms=[], case="", span=(NOW, NOW), reason="x")
    with pytest.raises(ArchiveError, match="in force: none"):
        holding.release(host.places, "hold-1", "x")
    assert len(host.entries()) == 2


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "[]",
        "{}",
        '{"messages_days": 0, "system_days": 1}',
        '{"messages_days": true, "system_days": 1}',
        '{"messages_days": "30", "system_days": 1}',
        '{"messages_days": 30}',
    ],
)
def test_without_good_settings_nothing_is_removed(host: LogHost, text: str | None) -> None:
    host.places.settings.unlink()
    if text is not None:
        host.places.settings.write_text(text)
    with pytest.raises(ArchiveError, match="nothing is removed"):
        expire(host)
    assert host.file(OLD).exists()


def test_a_clock_that_jumped_removes_nothing(host: LogHost) -> None:
    with pytest.raises(ArchiveError, match="the clock may have jumped"):
        retention.expire(host.places, NOW + datetime.timedelta(days=4000))
    with pytest.raises(ArchiveError, match="the clock may have jumped"):
        retention.expire(host.places, NOW - datetime.timedelta(days=1))
    assert host.file(FRESH).exists()
    # a seal of the same wrong clock does not help at once
    seal.seal(host.places)
    with pytest.raises(ArchiveError, match="the clock may have jumped"):
        retention.expire(host.places, NOW + datetime.timedelta(hours=80))


def test_a_broken_chain_removes_nothing(host: LogHost) -> None:
    lines = host.places.chain.read_bytes().splitlines(keepends=True)
    host.places.chain.write_bytes(lines[1])
    with pytest.raises(ArchiveError, match="entry 1 is missing"):
        expire(host)
    assert host.file(OLD).exists()


def test_a_changed_file_stays_as_evidence_until_it_is_accepted(host: LogHost) -> None:
    host.file(OLD).write_bytes(host.file(OLD).read_bytes().replace(b"300", b"301", 1))
    done, problems = expire(host)
    assert problems == [f"im-int/{OLD}/im.jsonl: not removed: it is not what was sealed; see sallyport-archive verify"]
    assert len(done) == 2
    with pytest.raises(ArchiveError, match="needs a reason"):
        holding.accept(host.places, f"im-int/{OLD}/im.jsonl", "")
    with pytest.raises(ArchiveError, match="is what was sealed"):
        holding.accept(host.places, f"im-int/{FRESH}/im.jsonl", "x")
    with pytest.raises(ArchiveError, match="never sealed"):
        holding.accept(host.places, "im-int/none", "x")
    holding.accept(host.places, f"im-int/{OLD}/im.jsonl", "a restore from the backup")
    assert wrong(host) == []
    assert "accepted by" in "\n".join(host.verify().notes)
    assert expire(host)[0] == [f"removed 6 lines of im-int/{OLD}/im.jsonl (messages_days 30)"]
    assert wrong(host) == []


def test_a_file_that_came_back_is_named(host: LogHost) -> None:
    content = host.file(OLD).read_bytes()
    expire(host)
    host.add(*content.splitlines()[:2], day=OLD)
    assert f"im-int/{OLD}/im.jsonl: is there again; it was removed by entry 3" in wrong(host)
    assert f"im-int/{OLD}/im.jsonl: is there again after it was removed" in host.seal()
    assert expire(host)[1] == [
        f"im-int/{OLD}/im.jsonl: not removed: it is not what was sealed; see sallyport-archive verify"
    ]


@pytest.mark.parametrize("held", [False, True])
def test_a_run_that_died_is_finished(host: LogHost, monkeypatch: pytest.MonkeyPatch, held: bool) -> None:
    if held:
        hold(host, ALICE)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(retention, "_swap", die)
        with pytest.raises(KeyboardInterrupt):
            expire(host)
    assert len(host.file(OLD).read_bytes().splitlines()) == 6
    assert wrong(host) == []
    assert "its removal is not finished" in "\n".join(host.verify().notes)
    # a changed file is none of an unfinished removal
    good = host.file(OLD).read_bytes()
    host.file(OLD).write_bytes(good.replace(b"300", b"301", 1))
    assert wrong(host) != []
    host.file(OLD).write_bytes(good)
    done, problems = expire(host)
    assert problems == []
    assert len(done) == 3
    assert host.file(OLD).exists() is held
    assert wrong(host) == []
    stones = [entry for entry in host.entries() if entry.kind == "tombstone"]
    assert len(stones) == 3
    assert not [path for path in host.places.hosts.rglob("*") if path.name.endswith(".new")]


FORGED: dict[str, dict[str, Any]] = {
    "a change": {"kept": {"size": 5, "lines": 1, "sha256": "0" * 64}},
    "a day": {"kept": None},
    "the rule of other lines": {"kept": None, "rule": "system_days 10"},
    "a rule that is none": {"kept": None, "rule": "because"},
    "a hold that is none": {"kept": {"size": 5, "lines": 1, "sha256": "0" * 64}, "held_by": ["hold-9"]},
    "another content": {"was": {"size": 5, "lines": 1, "sha256": "0" * 64}, "kept": None},
}


# an old day goes by the rule
CASES = [(day, how) for day in (OLD, FRESH) for how in FORGED if (day, how) != (OLD, "a day")]


@pytest.mark.parametrize(("day", "how"), CASES)
def test_a_removal_that_no_rule_explains_is_named(host: LogHost, day: str, how: str) -> None:
    """Whoever has the key can sign a tombstone."""
    path = f"im-int/{day}/im.jsonl"
    was = contents(host.file(day), [host.file(day).stat().st_size])[0]
    plain = {"path": path, "was": was.as_dict(), "removed_lines": 0, "rule": "messages_days 30", "held_by": []}
    host.file(day).unlink()
    with chain.locked(host.places):
        chain.append(host.places, "tombstone", {**plain, **FORGED[how]})
    assert f"{path}: its removal by entry" in host.wrong()


@pytest.mark.parametrize("held", [ALICE, "nobody@im.demo.example"])
def test_half_a_line_at_the_end_stays_while_something_is_held(host: LogHost, held: str) -> None:
    with host.file(OLD).open("ab") as target:
        target.write(event(7, ALICE, BOB, OLD))
    name = hold(host, held)
    done = expire(host)[0][0]
    assert done.startswith(f"removed {3 if held == ALICE else 6} lines of im-int/{OLD}/im.jsonl")
    *lines, tail = host.file(OLD).read_bytes().split(b"\n")
    assert len(lines) == (3 if held == ALICE else 0)
    assert tail == event(7, ALICE, BOB, OLD)
    assert wrong(host) == []
    assert host.seal() == []
    assert expire(host) == ([], [])
    holding.release(host.places, name, "closed")
    assert expire(host)[1] == []
    assert not host.file(OLD).exists()
    assert wrong(host) == []
    assert expire(host) == ([], [])


def test_half_a_line_that_was_removed_excuses_no_file(host: LogHost) -> None:
    host.add(day=OLD, host="im-ext").write_bytes(b"half a line")
    expire(host)
    host.add(event(1, ALICE, BOB, OLD, body="made up"), day=OLD, host="im-ext")
    assert f"im-ext/{OLD}/im.jsonl: is there again; it was removed by entry 3" in wrong(host)


def bury(host: LogHost, was: Content, kept: Content | None, by: list[str]) -> None:
    """Sign a tombstone, as whoever has the key can."""
    content = {"path": f"im-int/{OLD}/im.jsonl", "was": was.as_dict(), "kept": kept.as_dict() if kept else None}
    with chain.locked(host.places):
        rest = {"removed_lines": 1, "rule": "messages_days 30", "held_by": by}
        chain.append(host.places, "tombstone", {**content, **rest})


def whole(file: Path) -> Content:
    return contents(file, [file.stat().st_size])[0]


def test_a_removal_is_no_excuse_for_another_one(host: LogHost) -> None:
    path, was = f"im-int/{OLD}/im.jsonl", whole(host.file(OLD))
    name = hold(host, ALICE)
    expire(host)
    assert wrong(host) == []
    assert f"{path}: removed by entry 4, 2026-03-31T03:00:00Z, 3 of 6 lines kept, while there was {name}" in (
        host.verify().notes
    )
    # what was kept is replaced, by a tombstone of the same content
    host.file(OLD).write_bytes(event(1, ALICE, BOB, OLD, body="not so") + b"\n")
    bury(host, was, whole(host.file(OLD)), [name])
    assert f"{path}: its removal by entry 7, 2026-03-31T03:00:00Z, is not right: it was not what was sealed" in (
        wrong(host)
    )


def test_nothing_is_kept_of_what_was_removed(host: LogHost) -> None:
    expire(host)
    name = hold(host, ALICE)
    host.add(event(1, ALICE, BOB, OLD, body="made up"), day=OLD)
    bury(host, whole(host.file(OLD)), whole(host.file(OLD)), [name])
    assert "is not right: nothing of it should have been left" in "\n".join(wrong(host))


def test_a_removal_that_died_may_be_begun_anew_for_a_new_hold(host: LogHost, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(retention, "_swap", lambda *_: None)
        expire(host)
    hold(host, ALICE)
    expire(host)
    assert len(host.file(OLD).read_bytes().splitlines()) == 3
    assert wrong(host) == []
    assert "once more, after what is held had changed" in "\n".join(host.verify().notes)


def test_who_accepted_what_stays_named(host: LogHost) -> None:
    path = f"im-int/{OLD}/im.jsonl"
    for old, new in ((b"300", b"301"), (b"301", b"302")):
        host.file(OLD).write_bytes(host.file(OLD).read_bytes().replace(old, new, 1))
        holding.accept(host.places, path, f"now {new.decode()}")
    bury(host, whole(host.file(OLD)), whole(host.file(OLD)), [hold(host, ALICE)])
    named = [note.rpartition(": ")[2] for note in host.verify().notes if f"{path}: accepted by" in note]
    assert named == ["now 301", "now 302"]


def test_what_was_removed_is_counted_by_rule(host: LogHost) -> None:
    expire(host)
    found = host.verify()
    assert "1 files were removed by the rule messages_days 30" in found.notes
    assert not [problem for problem in found.problems if "removal" in problem]


def test_a_hold_that_comes_while_files_are_removed_counts(host: LogHost, monkeypatch: pytest.MonkeyPatch) -> None:
    swap = retention._swap

    def and_hold(file: Any, kept: Any) -> None:
        swap(file, kept)
        monkeypatch.setattr(retention, "_swap", swap)
        hold(host, ALICE)

    monkeypatch.setattr(retention, "_swap", and_hold)
    done, problems = expire(host)
    assert not problems
    assert len(done) > 1
    kept = host.file(OLD, stream="system").read_bytes().splitlines()
    assert kept == [b'{"message": "alice\\u0040im.demo.example signed in"}']
