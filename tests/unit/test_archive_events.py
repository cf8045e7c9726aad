# SPDX-License-Identifier: GPL-3.0-or-later
"""What the archive reads from lines, and what it asks the database."""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path

import pytest
from sallyport_archive import day_file, events, page, words
from sallyport_archive.places import Places, day_files
from sallyport_archive.search import Query, phrase, statement
from sallyport_archive.table import visible
from unit.archive_host import ALICE, BOB, event


def test_an_event_is_read() -> None:
    read = events.read(event(3, body="Hello, WORLD", file="In_voice-2026.PDF", room="Hall@rooms.x/nick"))
    assert read.people == (ALICE, BOB)
    assert read.room == "hall@rooms.x"
    assert read.words == "in voice 2026 pdf hello world"
    assert read.time.isoformat() == "2026-03-01T00:00:03+00:00"
    assert json.loads(read.line)["file"] == "In_voice-2026.PDF"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not UTF-8 at byte 0"),
        (b'{"id": "\x00"}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not an object"),
        (b"9" * 5000, "not JSON"),
        (event(1).replace(b'"rule": "contact"', b'"rule": 5'), "rule is missing or no text"),
        (event(1).replace(b'"id": "', b'"id": "x'), "id is no UUID"),
        (event(1).replace(b"00000000-0000-0000-0000-000000000002", b"-" * 36), "id is no UUID"),
        (event(1, time="2026-02-30T00:00:00.000Z"), "time is no time"),
        (event(1, time="2026-02-03T00:00:00.000"), "time has no zone"),
        (event(1, time="0001-01-01T00:00:00.000+23:00"), "out of bounds"),
    ],
)
def test_what_is_no_event_is_refused_with_the_reason(line: bytes, says: str) -> None:
    with pytest.raises(events.LineError, match=says):
        events.read(line)


@pytest.mark.parametrize(
    "fields", [{"from": None, "to": None}, {"from": 5, "to": ["x"]}, {"readers": [1, {"person": 2}]}, {"readers": 5}]
)
def test_odd_addresses_do_no_harm(fields: dict[str, object]) -> None:
    assert set(events.read(event(1, **fields)).people) <= {ALICE, BOB}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "typed",
    ["Ren\u00e9@IM.example/desk", "rene\u0301@im.example", "RENE\u0301@im.example", "ren\u00e9\u200b@im.\uff45xample"],
)
def test_an_address_in_another_form_is_the_same(typed: str) -> None:
    assert events.bare(typed) in events.read(event(1, "ren\u00e9@im.example")).people
    assert ["ren\u00e9@im.example"] in statement([Query(people=[typed])])[1].values()
    # what turns into a slash is none
    assert events.bare("a\u2100b@im.example") == "aa/cb@im.example"


def test_what_postgresql_cannot_hold_is_not_given_to_it() -> None:
    read = events.read(event(1, "a\0b@x.example", body="nul \0 half \ud800 end", rule="a\0b"))
    for text in (*read.people, read.words, read.rule, read.line):
        assert "\0" not in text
        text.encode("utf-8")
    assert "end" in read.words.split()


def test_what_is_searched_for_has_a_bound() -> None:
    assert len(events.read(event(1, body="ﷺ " * 300_000)).words.encode()) <= events.INDEXED


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Straße", "STRASSE"),
        ("ﬁle", "file"),
        ("a\u200bb", "ab"),
        ("soft\u00adhyphen", "softhyphen"),
        ("\uff26ull", "full"),
        ("e\u0301", "é"),
    ],
)
def test_words_that_read_alike_are_alike(one: str, other: str) -> None:
    assert events.normal(one) == events.normal(other)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Invoice", "'invoice'"),
        ("invoice-2026.pdf", "'invoice' <-> '2026' <-> 'pdf'"),
        ("inv*", "'inv':*"),
        ("a' | 'b & !c:*D", "'a' <-> 'b' <-> 'c' <-> 'd'"),
        ("*", ""),
        ("\\'; DROP TABLE events; --", "'drop' <-> 'table' <-> 'events'"),
    ],
)
def test_words_become_a_query_of_words_only(text: str, query: str) -> None:
    assert phrase(text) == query


def test_nothing_that_is_asked_is_in_the_statement() -> None:
    evil = "x'; DROP TABLE events; --%s"
    query = Query([evil], [evil], [evil], evil, evil, evil, datetime.datetime.now(datetime.UTC), None, 5)
    text, values = statement([query, Query(rooms=[evil])])
    assert "DROP" not in text
    assert text.count("%(") == len(values) == 8
    assert statement([Query()])[0].endswith("WHERE (true) ORDER BY time DESC, id LIMIT %(limit)s")


def test_a_terminal_is_not_steered() -> None:
    assert visible("a\x1b[31mb\u202ec\x9bd\ne") == "a\ufffd[31mb\ufffdc\ufffdd e"


def test_the_page_is_text_and_nothing_else(tmp_path: Path) -> None:
    source, target = tmp_path / "events.jsonl", tmp_path / "events.html"
    evil = "</td><script>alert(1)</script><img src=//x onerror=y> \" ' &amp;\u202e"
    source.write_bytes(
        event(1, evil, evil, body=evil, file=evil, rule=evil, kind=evil, verdict=evil, type=evil, room=evil) + b"\n"
    )
    page.write_page(source, target, {"time": evil, "who": evil, "asked": {"people": [evil]}, "not_in_day_files": ["x"]})
    text = target.read_text()
    assert "<script" not in text
    assert "<img" not in text
    assert "\u202e" not in text
    assert "default-src &#x27;none&#x27;" in text
    assert "not in the sealed files any more" in text


def test_lines_are_read_when_they_are_whole(tmp_path: Path) -> None:
    file = tmp_path / "im.jsonl"
    file.write_bytes(b"one\n\ntwo\r\nhal")
    lines, behind = day_file.read_lines(file, 0)
    assert [(line.position, line.content) for line in lines] == [(0, b"one"), (4, b""), (5, b"two\r")]
    assert behind == 10
    assert day_file.read_lines(file, 10) == ([], 10)
    with file.open("ab") as target:
        target.write(b"f\n")
    assert day_file.read_lines(file, 10) == ([day_file.Line(10, b"half")], 15)


def test_long_lines_are_read_and_endless_ones_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(day_file, "CHUNK", 10)
    monkeypatch.setattr(day_file, "LONGEST", 30)
    file = tmp_path / "im.jsonl"
    file.write_bytes(b"a" * 25 + b"\nb\n" + b"c" * 95)
    assert day_file.read_lines(file, 0) == ([day_file.Line(0, b"a" * 25), day_file.Line(26, b"b")], 28)
    assert day_file.read_lines(file, 28) == ([], 28)
    with file.open("ab") as target:
        target.write(b"\nd\n")
    lines, behind = day_file.read_lines(file, 28)
    assert (lines, behind) == ([day_file.Line(28, b"c" * 10, whole=False)], 124)
    assert day_file.read_lines(file, behind) == ([day_file.Line(124, b"d")], 126)


def test_only_day_files_are_read(tmp_path: Path) -> None:
    hosts = Places(tmp_path).hosts
    for name in (
        "im-int/2026-03-01/im.jsonl",
        "im-int/2026-03-01/x.txt",
        "im-int/2026-02-30/im.jsonl",
        "im-int/old/im.jsonl",
    ):
        (hosts / name).parent.mkdir(parents=True, exist_ok=True)
        (hosts / name).touch()
    (hosts / "stray.jsonl").touch()
    (hosts / "im-int/2026-03-01/link.jsonl").symlink_to("/etc/passwd")
    (hosts / "im-int/2026-03-03").symlink_to("2026-03-01")
    (hosts / "im-int/2026-03-01/folder.jsonl").mkdir()
    assert [(file.path, file.stream) for file in day_files(hosts)] == [("im-int/2026-03-01/im.jsonl", "im")]
    with pytest.raises(OSError, match="symbolic links"):
        day_file.open_file(hosts / "im-int/2026-03-01/link.jsonl")


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-02-30", "9999-99-99"])
def test_a_wrong_time_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no time"):
        words.moment(text)


def test_a_day_counts_in_full() -> None:
    assert words.end("2026-03-31").isoformat() == "2026-04-01T00:00:00+00:00"
    assert words.end("2026-03-31T14:00:00Z").isoformat() == "2026-03-31T14:00:00+00:00"


@pytest.mark.parametrize(
    "text", ["0001-01-01", "0001-01-01T00:00:00+05:00", "1969-12-31", "9999-12-31", "9999-12-31T23:00:00Z"]
)
def test_a_time_at_the_edge_of_the_calendar_is_refused(text: str) -> None:
    for read in (words.moment, words.end):
        with pytest.raises(argparse.ArgumentTypeError, match="write a year from 1970 to 9998"):
            read(text)
    assert words.end("9998-12-31").year == 9999
