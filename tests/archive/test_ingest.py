# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that comes gets into the database once, whatever happens to the program, the database and the lines."""

from __future__ import annotations

import json
import time

from archive.log_host import ALICE, BOB, DAY, HOSTS, LogHost, event, lines


def test_what_comes_is_found(host: LogHost) -> None:
    host.append(lines(event(body="hello world")))
    host.ingest()
    host.settle()
    assert [one["body"] for one in host.found("--person", ALICE)] == ["hello world"]
    host.append(lines(event(body="later")))
    host.append(lines(event(body="elsewhere")), host="im-ext", day="2026-03-02")
    # other streams are not events
    host.append(b'{"message": "a line"}\n', stream="system")
    time.sleep(2)
    assert host.settle()["events"] == 3
    assert host.status()["malformed"] == 0


def test_no_line_stands_in_the_way_of_others(host: LogHost) -> None:
    big = event(body="needle " + "x" * 1_000_000)
    many = event(body=" ".join(f"w{n:05}" for n in range(150_000)))
    bad = [
        b"\xff\xfe not utf-8",
        b'{"id": "\x00"}',
        b"",
        b"not json",
        b"[1, 2]",
        b"[" * 100_000,
        json.dumps({**event(), "id": "x"}).encode(),
        json.dumps({**event(), "time": "yesterday"}).encode(),
        json.dumps({**event(), "verdict": None}).encode(),
        b"z" * 1_000_000,
    ]
    good = [
        event(body="nul \0 surrogate \ud800 end"),
        event("a\0b@x.example", body="sender with nul"),
        event(rule="r\0", kind="k\0", room="room\0@x.example"),
        big,
        many,
        event(None, None),
        event(bytes=10**40, count=[1], readers=7, content={"x": 1}),
        event(time="0001-01-01T00:00:00.000Z"),
        event(time="9999-12-31T23:59:59.999Z"),
        event(body="w" * 3000),
    ]
    host.append(lines(event(body="first")))
    for one in bad:
        host.append(one + b"\n")
        host.append(lines(event(body="between")))
    host.append(lines(*good))
    host.ingest()
    said = host.settle()
    assert said["events"] == 1 + len(bad) + len(good)
    assert said["malformed"] == len(bad)
    assert len(host.found("--word", "needle")) == 1
    assert len(host.found("--word", "w00001")) == 1
    assert len(host.found("--person", "a\ufffdb@x.example")) == 1
    # they are kept
    assert host.sql("SELECT count(*) FROM malformed WHERE line = '\\xfffe206e6f74207574662d38'") == "1"
    assert "verdict is missing" in host.sql("SELECT string_agg(reason, ' ') FROM malformed")


def test_half_a_line_waits_for_its_end(host: LogHost) -> None:
    line = lines(event(body="whole"))
    host.append(line[:100])
    host.ingest()
    time.sleep(2.5)
    assert host.status()["events"] == 0
    assert host.status()["malformed"] == 0
    host.append(line[100:-1])
    time.sleep(1.5)
    assert host.status()["events"] == 0
    host.append(line[-1:])
    assert host.settle()["events"] == 1


def test_a_repeated_event_counts_once_and_an_impostor_is_kept_apart(host: LogHost) -> None:
    one = event(body="genuine")
    host.append(lines(one, one, {**one, "body": "forged"}))
    host.append(lines(one, {**one, "body": "forged again"}), day="2026-03-02")
    host.ingest()
    said = host.settle()
    assert (said["events"], said["malformed"]) == (1, 2)
    assert [found["body"] for found in host.found()] == ["genuine"]
    assert host.sql("SELECT DISTINCT reason FROM malformed") == f"another event has the id {one['id']}"


def test_a_service_that_is_killed_loses_and_doubles_nothing(host: LogHost) -> None:
    total = 20_000
    host.append(lines(*[event(body=f"number {n}") for n in range(total)]))
    kills = 0
    while True:
        host.ingest()
        # first while it begins, then later and later
        time.sleep(0.3 + 0.3 * kills)
        if host.status()["behind_bytes"] == 0:
            break
        host.kill()
        kills += 1
        assert kills < 60
    assert kills, "it was never killed in the middle"
    assert (
        host.sql("SELECT count(*), count(DISTINCT id), count(DISTINCT line) FROM events") == f"{total}|{total}|{total}"
    )
    assert host.status()["malformed"] == 0


def test_a_database_that_is_down_is_waited_for(host: LogHost) -> None:
    host.append(lines(*[event() for _ in range(5000)]))
    service = host.ingest()
    time.sleep(1)
    host.database("stop")
    try:
        host.append(lines(*[event() for _ in range(1000)]))
        time.sleep(3)
        assert service.poll() is None
        assert "is running" in host.ask("search", code=2) or "fails" in host.ask("search", code=2)
        assert host.status()["database"] != ""
    finally:
        host.database("start")
    assert host.settle()["events"] == 6000
    assert "waiting for it" in host.kill("TERM")


def test_two_at_once_do_the_work_once(host: LogHost) -> None:
    host.append(lines(*[event() for _ in range(5000)]))
    host.ingest()
    host.ingest()
    assert host.settle()["events"] == 5000
    time.sleep(2)
    assert "another one ingests" in host.kill("TERM")


def test_what_cannot_be_read_stops_nothing_else(host: LogHost) -> None:
    host.append(lines(event()), host="a-first")
    host.sh(f"chmod 000 {HOSTS}/a-first")
    host.append(lines(event()), host="im-int")
    host.sh(f"chmod 000 {HOSTS}/a-first; touch {HOSTS}/stray; ln -s /etc {HOSTS}/im-int/2026-03-09")
    host.ingest()
    time.sleep(2.5)
    assert host.sql("SELECT count(*) FROM events") == "1"
    host.sh(f"chmod 750 {HOSTS}/a-first")
    assert host.settle()["events"] == 2
    assert "cannot be read" in host.kill("TERM")


def test_the_database_can_be_made_again_from_the_files(host: LogHost) -> None:
    host.append(lines(*[event() for _ in range(100)]))
    host.ingest()
    host.settle()
    before = host.sql("SELECT md5(string_agg(id::text || words::text || line, '' ORDER BY id)) FROM events")
    host.sql("TRUNCATE events, malformed, files")
    assert host.settle()["events"] == 100
    assert host.sql("SELECT md5(string_agg(id::text || words::text || line, '' ORDER BY id)) FROM events") == before


def test_a_file_that_was_cut_is_read_again(host: LogHost) -> None:
    host.append(lines(event(body="one"), event(body="two")))
    host.ingest()
    host.settle()
    host.sh(f"f={HOSTS}/im-int/{DAY}/im.jsonl; head -n 1 $f >/root/cut; cat /root/cut >$f")
    host.append(lines(event(BOB, ALICE, body="three", id="00000000-0000-0000-0000-000000000001")))
    time.sleep(2.5)
    # what was there stays in the database: it is evidence
    assert sorted(one["body"] for one in host.found()) == ["one", "three", "two"]


def test_it_is_fast_enough(host: LogHost) -> None:
    total = 50_000
    host.append(
        lines(*[event(body=f"number {n} of many words that somebody says to somebody else") for n in range(total)])
    )
    began = time.monotonic()
    host.ingest()
    host.settle()
    seconds = time.monotonic() - began
    used = host.sh(
        "ps -eo cputimes,args | awk '/sallyport-archive ingest$|sallyport_archive \\[local\\]/ {s += $1} END {print s}'"
    )
    print(f"\n{total} events in {seconds:.1f} s, {used.strip()} s of processor time")
    # the machine may be busy with other things; processor time is the measure
    assert total / max(1.0, float(used)) > 5000
