# SPDX-License-Identifier: GPL-3.0-or-later
"""The archive's seals: whatever is changed is named, and what is not changed is not."""

from __future__ import annotations

import datetime
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sallyport_archive import chain, holding, seal, signing, uses
from sallyport_archive.places import ArchiveError
from sallyport_archive.setting_up import make_key_and_chain
from sallyport_archive.verify import verify
from unit.archive_host import DAY, LogHost, event

Change = Callable[[LogHost], object]


@pytest.fixture
def host(tmp_path: Path) -> LogHost:
    """Two days of a host, sealed twice, one use."""
    made = LogHost(tmp_path / "log")
    made.add(*[event(n) for n in range(10)])
    made.add(b'{"message": "a line"}', stream="system")
    made.seal()
    made.add(*[event(n) for n in range(10, 20)])
    made.add(*[event(n) for n in range(20, 25)], day="2026-03-02")
    made.seal()
    uses.asked(made.places, "search", {"people": ["alice"], "rooms": []}, 3)
    return made


@pytest.fixture
def witness(host: LogHost, tmp_path: Path) -> Path:
    """What another host has."""
    return Path(shutil.copy(host.places.heads, tmp_path / "witness"))


def edit(file: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    file.write_bytes(b"".join(change(file.read_bytes().splitlines(keepends=True))))


def one_byte(host: LogHost) -> None:
    content = host.file().read_bytes()
    host.file().write_bytes(content.replace(b'"bytes": 300', b'"bytes": 301', 12).replace(b"301", b"300", 11))


def replace_by_link(host: LogHost) -> None:
    host.file().rename(host.file().with_name("x"))
    host.file().symlink_to("x")


def rewrite_chain(host: LogHost, keep: int, key: Path | None = None) -> None:
    """Make the chain anew from an entry on, as root could, with its key or another one."""
    lines = chain.complete_lines(host.places.chain)
    host.places.chain.write_bytes(b"".join(line + b"\n" for line in lines[:keep]))
    if key:
        shutil.copy(key, host.places.key)
        shutil.copy(signing.public_half(key), signing.public_half(host.places.key))
    host.places.uses.unlink(missing_ok=True)
    host.places.heads.unlink()
    host.seal()


def test_what_is_as_it_was_sealed_is_well(host: LogHost, witness: Path) -> None:
    found = host.verify(witness)
    assert found.problems == []
    assert found.files == 3
    assert found.entries == 4
    assert [note for note in found.notes if "up to entry 4" in note]


def test_without_a_witness_it_says_so(host: LogHost) -> None:
    found = host.verify()
    assert found.problems == []
    assert "no witness was asked" in found.notes[0]


def test_growth_is_fine_and_said(host: LogHost, witness: Path) -> None:
    host.add(event(99))
    host.add(event(98), day="2026-03-03")
    found = host.verify(witness)
    assert found.problems == []
    assert "since the last seal 1 files grew and 1 are new" in "\n".join(found.notes)


def seal_at(host: LogHost, time: str, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(chain, "now", lambda: f"{time}:00Z")
    host.seal()


def test_what_is_added_to_a_past_day_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = LogHost(tmp_path)

    def notes() -> list[str]:
        return [note for note in host.verify().notes if "added" in note]

    host.add(event(1), event(2))
    seal_at(host, f"{DAY}T12:00", monkeypatch)
    # what came before midnight may be sealed days later, when nothing could seal meanwhile
    host.add(event(3), event(4))
    host.add(event(1), day="2026-03-02")
    seal_at(host, "2026-03-03T00:09", monkeypatch)
    # and a line of the last second some minutes after midnight
    host.add(event(2), day="2026-03-02")
    seal_at(host, "2026-03-03T01:09", monkeypatch)
    assert notes() == []
    host.add(event(9), event(10), event(11))
    host.add(event(9), day="2026-02-07")
    seal_at(host, "2026-03-04T02:09", monkeypatch)
    seal_at(host, "2026-03-05T02:09", monkeypatch)
    assert notes() == [
        f"{path}: {count} lines were added after its day was over, between 2026-03-03T01:09:00Z and "
        "2026-03-04T02:09:00Z, entry 5; nothing that a host ships does that"
        for path, count in (("im-int/2026-02-07/im.jsonl", 1), (f"im-int/{DAY}/im.jsonl", 3))
    ]
    assert "added" not in host.wrong()
    # who accepts a file that was changed has seen it
    host.add(event(12))
    edit(host.file(), lambda lines: lines[1:])
    holding.accept(host.places, f"im-int/{DAY}/im.jsonl", "brought back from a copy")
    assert [note.partition(":")[0] for note in notes()] == ["im-int/2026-02-07/im.jsonl"]


def test_half_a_line_is_left_to_the_next_seal(host: LogHost) -> None:
    with host.file().open("ab") as target:
        target.write(b'{"half')
    assert host.seal() == []
    sealed = host.entries()[-1].content["files"]
    assert sealed == []
    with host.file().open("ab") as target:
        target.write(b'": 1}\n')
    host.seal()
    assert [(item["path"], item["lines"]) for item in host.entries()[-1].content["files"]] == [
        (f"im-int/{DAY}/im.jsonl", 21)
    ]


PATH = f"im-int/{DAY}/im.jsonl"
FILES: dict[str, tuple[Change, str]] = {
    "one byte": (one_byte, f"{PATH}: changed; the difference begins in lines 11 to 20, sealed by entry 3"),
    "a line removed": (
        lambda host: edit(host.file(), lambda lines: lines[:4] + lines[5:]),
        f"{PATH}: 1 of 20 lines and ",
    ),
    "a line removed, another added": (
        lambda host: edit(host.file(), lambda lines: [*lines[:4], *lines[5:], event(77, body="x" * 300) + b"\n"]),
        f"{PATH}: changed; the difference begins in lines 1 to 10",
    ),
    "a line put in": (
        lambda host: edit(host.file(), lambda lines: [*lines[:4], event(77, body="x") + b"\n", *lines[4:]]),
        f"{PATH}: changed, lines were taken out or put in; the difference begins in lines 1 to 10",
    ),
    "two lines exchanged": (
        lambda host: edit(host.file(), lambda lines: [lines[1], lines[0], *lines[2:]]),
        f"{PATH}: changed; the difference begins in lines 1 to 10, sealed by entry 2",
    ),
    "truncated": (lambda host: edit(host.file(), lambda lines: lines[:15]), f"{PATH}: 5 of 20 lines and "),
    "truncated to nothing": (lambda host: host.file().write_bytes(b""), f"{PATH}: 20 of 20 lines and "),
    "a file deleted": (lambda host: host.file().unlink(), f"{PATH}: deleted; 20 lines were sealed by entry 3"),
    "a day deleted": (lambda host: shutil.rmtree(host.file().parent), f"im-int/{DAY}: the whole day is deleted"),
    "a system line changed": (
        lambda host: host.file(stream="system").write_bytes(b'{"message": "b line"}\n'),
        f"im-int/{DAY}/system.jsonl: changed",
    ),
    "a link in its place": (
        replace_by_link,
        f"{PATH}: deleted",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_named(host: LogHost, witness: Path, name: str) -> None:
    change, says = FILES[name]
    change(host)
    assert says in host.wrong(witness)
    others = [line for line in host.wrong(witness).splitlines() if not line.startswith(f"im-int/{DAY}")]
    assert others == []


@pytest.mark.parametrize("name", FILES)
def test_a_seal_does_not_cover_a_change(host: LogHost, name: str) -> None:
    change, says = FILES[name]
    change(host)
    host.add(event(500), day="2026-03-02")
    problems = host.seal()
    # of equal length: only verify reads all of it
    assert problems or name in ("one byte", "two lines exchanged", "a system line changed")
    assert says in host.wrong()


def test_a_seal_over_a_changed_and_grown_file_says_so(host: LogHost) -> None:
    one_byte(host)
    host.add(event(500))
    assert host.seal() == [f"{PATH}: is not what was sealed"]
    assert f"{PATH}: changed" in host.wrong()


CHAIN: dict[str, tuple[Callable[[list[bytes]], list[bytes]], str]] = {
    "a seal removed": (lambda lines: [lines[0], *lines[2:]], "chain: entry 2 is missing"),
    "the first removed": (lambda lines: lines[1:], "chain: entry 1 is missing"),
    "two removed": (lambda lines: [lines[0], lines[3]], "chain: entries 2 to 3 are missing"),
    "the last removed": (lambda lines: lines[:-1], "witness: it has seen entries up to 4, the chain ends with 3"),
    "an entry changed": (
        lambda lines: [lines[0], lines[1].replace(b'"lines":10', b'"lines":11'), *lines[2:]],
        "chain: entry 2 (seal) is not as it was signed by this key",
    ),
    "the last one changed": (
        lambda lines: [*lines[:-1], lines[-1].replace(b'"found":3', b'"found":0')],
        "chain: entry 4 (use) is not as it was signed by this key",
    ),
    "another signature": (
        lambda lines: [lines[0], lines[1].replace(b'"signature":"U1NI', b'"signature":"U1NJ'), *lines[2:]],
        "witness: it has seen entry 2 with another signature",
    ),
    "something beside an entry": (
        lambda lines: [lines[0], lines[1].replace(b'{"entry":', b'{"also":1,"entry":'), *lines[2:]],
        "chain: entry 2 does not stand there as it was written",
    ),
    "an entry nested without end": (lambda lines: [lines[0], b"[" * 200_000 + b"\n"], "chain: line 2 is no entry"),
    "a time that is none": (
        lambda lines: [lines[0], lines[1].replace(b'"time":"20', b'"time":"x0')],
        "chain: line 2 is no entry",
    ),
    "a time without a zone": (lambda lines: [lines[0], re.sub(rb"(:\d\d)Z", rb"\1", lines[1])], "line 2 is no entry"),
    "an entry twice": (lambda lines: [lines[0], lines[1], lines[1], *lines[2:]], "out of order"),
    "no entry": (lambda lines: [lines[0], b"nonsense\n", *lines[2:]], "chain: line 2 is no entry"),
    "nothing left": (lambda _: [], "chain: it is missing or empty"),
}


@pytest.mark.parametrize("name", CHAIN)
def test_a_changed_chain_is_named(host: LogHost, witness: Path, name: str) -> None:
    change, says = CHAIN[name]
    edit(host.places.chain, change)
    assert says in host.wrong(witness)


ODD: dict[str, tuple[str, dict[str, Any]]] = {
    "no files": ("seal", {}),
    "files that are none": ("seal", {"files": {"a": 1}}),
    "no path": ("seal", {"files": [{"path": "x", "size": 1, "lines": 1, "sha256": ""}]}),
    "no day": ("seal", {"files": [{"path": "a/2026-99-99/im.jsonl", "size": 1, "lines": 1, "sha256": ""}]}),
    "no size": ("seal", {"files": [{"path": f"a/{DAY}/im.jsonl", "size": "1", "lines": 1, "sha256": ""}]}),
    "the last day": ("tombstone", {"path": "a/9999-12-31", "was": {}, "kept": None, "rule": "x 1", "held_by": []}),
    "no hold": ("hold", {"hold": ["x"], "people": 5}),
    "nothing accepted": ("accept", {"entry": []}),
}


@pytest.mark.parametrize("name", ODD)
def test_an_entry_that_says_nothing_of_sense_is_named(host: LogHost, name: str) -> None:
    """Whoever has the key can sign anything."""
    kind, content = ODD[name]
    with chain.locked(host.places):
        chain.append(host.places, kind, content)
    assert f"chain: entry 5 ({kind}) says what cannot be understood" in host.wrong(host.places.heads)
    with pytest.raises(ArchiveError, match=r"entry 5 .* cannot be understood"):
        host.seal()


def test_a_chain_that_root_signed_anew_is_found_by_the_witness(host: LogHost, witness: Path) -> None:
    one_byte(host)
    rewrite_chain(host, keep=1)
    uses.asked(host.places, "search", {"people": ["nobody"]}, 0)
    host.seal()
    # without the witness nothing is to be seen
    assert host.wrong() == ""
    assert "witness: it has seen another entry 2 (and 2 others): the chain was made anew" in host.wrong(witness)


def test_a_chain_begun_anew_with_another_key_is_found(host: LogHost, witness: Path, tmp_path: Path) -> None:
    genuine = host.public
    signing.make_key(tmp_path / "other")
    rewrite_chain(host, keep=1, key=tmp_path / "other")
    assert "chain: it was begun with another key" in host.wrong(witness)
    host.places.chain.unlink()
    chain.append(host.places, "key", {"public": host.public.strip()})
    host.seal()
    assert host.wrong() == ""
    assert "witness: it has seen another entry 1" in host.wrong(witness)
    found = verify(host.places, genuine, None, host.now)
    assert "chain: it was begun with another key" in found.problems


def test_a_witness_that_knows_nothing_or_is_silent_is_a_fault(host: LogHost, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_bytes(b"nothing of the kind\n")
    assert "witness: it has seen nothing of this chain" in host.wrong(empty)
    with pytest.raises(ArchiveError, match="witness's copy"):
        host.verify(tmp_path / "none")


def test_a_witness_may_have_it_as_messages_of_a_log(host: LogHost, witness: Path) -> None:
    wrapped = [json.dumps({"host": "log", "message": line}) for line in witness.read_text().splitlines()]
    witness.write_text("\n".join(["garbage", *wrapped, *wrapped]))
    assert host.wrong(witness) == ""


def test_a_forged_line_at_the_witness_is_told_from_a_genuine_one(host: LogHost, witness: Path) -> None:
    witness.write_text(witness.read_text() + json.dumps({"number": 2, "hash": "0" * 64, "signature": "AAAA"}) + "\n")
    assert "it has seen another entry 2, which this key did not sign" in host.wrong(witness)


def test_the_log_of_uses_is_checked_by_the_chain(host: LogHost) -> None:
    (line,) = host.places.uses.read_bytes().splitlines()
    host.places.uses.write_bytes(line.replace(b"alice", b"bobby") + b"\n")
    assert "archive-use.jsonl: the line of entry 4" in host.wrong()
    assert "archive-use.jsonl: line 1 is in no entry" in host.wrong()
    host.places.uses.unlink()
    assert "archive-use.jsonl: the line of entry 4" in host.wrong()


def test_a_writer_that_died_leaves_nothing_behind(host: LogHost) -> None:
    with host.places.chain.open("ab") as target:
        target.write(b'{"entry":{"kind":"se')
    heads = host.places.heads.read_bytes().splitlines(keepends=True)
    # it died before the head of the last entry was given away
    host.places.heads.write_bytes(b"".join(heads[:-1]))
    host.seal()
    assert [entry.number for entry in host.entries()] == [1, 2, 3, 4, 5]
    assert [json.loads(line)["number"] for line in host.places.heads.read_bytes().splitlines()] == [1, 2, 3, 4, 5]
    assert host.wrong(host.places.heads) == ""


def test_nobody_is_answered_when_it_cannot_be_noted(host: LogHost) -> None:
    host.places.key.unlink()
    with pytest.raises(ArchiveError, match="nothing can be signed"):
        uses.asked(host.places, "search", {}, 0)
    assert len(host.entries()) == 4


def test_an_old_seal_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(chain, "now", lambda: "2026-01-01T00:00:00Z")
        host = LogHost(tmp_path)
        assert "nothing was ever sealed" in host.wrong()
        seal.seal(host.places)
    assert "the last seal is of 2026-01-01T00:00:00Z" in host.wrong()
    assert "witness: it has seen nothing since entry 2" in host.wrong(host.places.heads)
    host.seal()
    assert host.wrong(host.places.heads) == ""


def after(**time: int) -> str:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(**time)
    return moment.strftime("%Y-%m-%dT%H:%M")


def test_a_time_that_goes_back_is_named_until_it_is_explained(host: LogHost, monkeypatch: pytest.MonkeyPatch) -> None:
    # as much as a clock moves that is set right
    with monkeypatch.context() as patch:
        seal_at(host, after(minutes=-8), patch)
    assert host.wrong(host.places.heads) == ""
    # by a seal of a past day, what was put into that day would pass for what came on it; in small steps, too
    with monkeypatch.context() as patch:
        for minutes in (-9, -17, -25):
            seal_at(host, after(minutes=minutes), patch)
    host.seal()
    named = host.wrong(host.places.heads)
    assert "chain: entry 7 (seal) is of" in named
    assert "and entry 4 before it of" in named
    assert named.count("the clock was wrong, or this time is a lie") == 1
    with pytest.raises(ArchiveError, match="names no time of entry 4"):
        holding.accept(host.places, "entry-4", "x")
    with pytest.raises(ArchiveError, match="needs a reason"):
        holding.accept(host.places, "entry-7", " ")
    holding.accept(host.places, "entry-7", "the clock stood")
    assert host.wrong(host.places.heads) == ""
    assert "the time of entry 7: accepted by" in "\n".join(host.verify().notes)
    with pytest.raises(ArchiveError, match="names no time of entry 7"):
        holding.accept(host.places, "entry-7", "x")


def test_a_time_that_is_still_to_come_is_named_and_hides_no_silence(
    host: LogHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        for days in (500, 600):
            seal_at(host, after(days=days), patch)
    assert "chain: entry 5 (seal) is of" in host.wrong()
    # the first one stands for all in a row
    assert host.wrong().count("which is still to come") == 1
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=300)
    silent = verify(host.places, host.public, host.places.heads, later).problems
    assert [line for line in silent if "the last seal is of" in line]
    assert [line for line in silent if "witness: it has seen nothing since" in line]
    # the clock is right again: both sides of that time are to be explained
    holding.accept(host.places, "entry-5", "a battery that was empty")
    assert "chain: entry 7 (accept) is of" in host.wrong()
    holding.accept(host.places, "entry-7", "a battery that was empty")
    host.seal()
    assert host.wrong(host.places.heads) == ""
    # and they explain none of later
    with monkeypatch.context() as patch:
        seal_at(host, after(days=500), patch)
    assert "chain: entry 10 (seal) is of" in host.wrong()


def test_a_lost_key_is_not_made_anew(host: LogHost) -> None:
    assert make_key_and_chain(host.places) == []
    host.places.key.unlink()
    with pytest.raises(ArchiveError, match="bring it back"):
        make_key_and_chain(host.places)
