# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom the servers let in, and for how long; the service that the role admission puts there."""

from __future__ import annotations

import asyncio
import errno
import json
import re
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sallyport.im.plugins.plugin_utils.desktops import CHECKS
from unit.host_programs import ROOT, load_program
from unit.sites import moment

ADMISSION = load_program("roles/admission/files/admission")
NOW = moment("2026-06-01 12:00").timestamp()
HOURS4 = 4 * 3600
SETTINGS: dict[str, Any] = {
    "seconds": HOURS4,
    "table": "inet sallyport",
    "sets": {"4": "admitted4", "6": "admitted6"},
    "checks": [*CHECKS],
    "desktops": {
        "desk": {
            "certificate": "desk.desktops.im.example",
            "person": "alice",
            "addresses": ["10.20.2.21", "fd12::21"],
        },
        "spare": {"certificate": "spare.desktops.im.example", "person": "", "addresses": ["10.20.2.22"]},
    },
    "attested": [
        {
            "id": "macbook",
            "person": "bob",
            "system": "macos",
            "addresses": ["10.20.2.50"],
            "by": "Eva",
            "from": "2026-06-01T00:00:00Z",
            "until": "2026-07-01T00:00:00Z",
        }
    ],
}
SOUND = {"checks": [{"check": name, "passed": True} for name in CHECKS]}
UNSOUND = {"checks": [*SOUND["checks"][1:], {"check": CHECKS[0], "passed": False, "reason": "too old"}]}
MACBOOK = "10.20.2.50"


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The service, with a clock of its own and without a firewall."""
    monkeypatch.setattr(ADMISSION, "STATE", str(tmp_path / "state.json"))
    monkeypatch.setattr(ADMISSION.time, "time", lambda: NOW)
    found = ADMISSION.Service(SETTINGS, {})
    monkeypatch.setattr(found, "keep_sets", lambda: "")
    return found


def kept(tmp_path: Path) -> Any:
    return json.loads((tmp_path / "state.json").read_text(encoding="utf-8"))


NAMES = {
    "of a desktop": ([("DNS", "desk.desktops.im.example")], "desk"),
    "of another": ([("DNS", "spare.desktops.im.example")], "spare"),
    "of a server": ([("DNS", "im.example"), ("DNS", "rooms.im.example")], ""),
    "of two": ([("DNS", "desk.desktops.im.example"), ("DNS", "spare.desktops.im.example")], ""),
    "of one that is gone": ([("DNS", "old.desktops.im.example")], ""),
    "of a person": ([("email", "desk.desktops.im.example")], ""),
}


@pytest.mark.parametrize("case", NAMES)
def test_a_certificate_is_that_of_one_desktop_or_of_none(case: str) -> None:
    names, desktop = NAMES[case]
    assert ADMISSION.desktop_of(SETTINGS, {"subjectAltName": tuple(names)}) == desktop


def test_without_a_certificate_it_is_nobody() -> None:
    assert ADMISSION.desktop_of(SETTINGS, None) == ""


SHOWN: dict[str, tuple[Any, list[str]]] = {
    "all is well": (SOUND, []),
    "one has failed": (UNSOUND, [f"{CHECKS[0]}: too old"]),
    "one was left out": ({"checks": SOUND["checks"][1:]}, [f"{CHECKS[0]}: was not checked"]),
    "none": ({"checks": []}, [f"{name}: was not checked" for name in CHECKS]),
    "it only says so": ({"passed": True}, [f"{name}: was not checked" for name in CHECKS]),
    "no list": ([], [f"{name}: was not checked" for name in CHECKS]),
    "yes is not true": (
        {"checks": [{"check": name, "passed": "yes"} for name in CHECKS]},
        [f"{n}: failed" for n in CHECKS],
    ),
}


@pytest.mark.parametrize("case", SHOWN)
def test_each_check_must_have_been_shown_and_passed(case: str) -> None:
    document, reasons = SHOWN[case]
    assert ADMISSION.judge(SETTINGS, document) == reasons


def test_a_sound_desktop_is_admitted_at_the_address_from_which_it_came(service: Any, tmp_path: Path) -> None:
    answer = service.take("desk", "10.20.2.21", SOUND)
    assert answer == {"admitted": True, "until": "2026-06-01T16:00:00Z", "reasons": []}
    assert ADMISSION.wanted(SETTINGS, service.state, NOW + 1) == {"10.20.2.21": NOW + HOURS4, MACBOOK: NOW + 1 + HOURS4}
    service.take("desk", "fd12::21", SOUND)
    assert {*kept(tmp_path)["desk"]["addresses"]} == {"10.20.2.21", "fd12::21"}


def test_it_is_admitted_at_no_other_address(service: Any) -> None:
    answer = service.take("desk", "10.20.2.22", SOUND)
    assert not answer["admitted"]
    assert "10.20.2.22 is no address of desk" in answer["reasons"][0]
    assert service.state == {}
    # nor by what somebody wrote into the state
    forged = {"desk": {"addresses": {"10.20.2.22": NOW}, "reasons": [], "when": NOW}}
    assert {*ADMISSION.wanted(SETTINGS, forged, NOW)} == {MACBOOK}


def test_failed_checks_end_it_at_once_at_every_address(service: Any, tmp_path: Path) -> None:
    service.take("desk", "10.20.2.21", SOUND)
    service.take("desk", "fd12::21", SOUND)
    answer = service.take("desk", "10.20.2.21", UNSOUND)
    assert answer["reasons"] == [f"{CHECKS[0]}: too old"]
    assert kept(tmp_path)["desk"]["addresses"] == {}
    assert {*ADMISSION.wanted(SETTINGS, service.state, NOW)} == {MACBOOK}


def test_a_firewall_that_does_not_take_it_admits_nobody(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "keep_sets", lambda: "no such table")
    answer = service.take("desk", "10.20.2.21", SOUND)
    assert not answer["admitted"]
    assert "no such table" in answer["reasons"][0]


def test_it_lapses_when_nobody_renews(service: Any, capsys: pytest.CaptureFixture[str]) -> None:
    service.take("desk", "10.20.2.21", SOUND)
    service.lapses(NOW + HOURS4 - 1)
    assert service.state["desk"]["addresses"]
    assert {*ADMISSION.wanted(SETTINGS, service.state, NOW + HOURS4)} == {MACBOOK}
    service.lapses(NOW + HOURS4)
    service.lapses(NOW + HOURS4 + 1)
    assert capsys.readouterr().err.count("lapsed") == 1
    desk = ADMISSION.report(SETTINGS, service.state, NOW + HOURS4)[0]
    assert (desk["admitted"], desk["reasons"]) == (False, ["nobody has renewed it in time"])


def test_another_length_holds_for_those_who_are_admitted_already(service: Any) -> None:
    service.take("desk", "10.20.2.21", SOUND)
    shorter = {**SETTINGS, "seconds": 60, "attested": []}
    assert ADMISSION.wanted(shorter, service.state, NOW + 59) == {"10.20.2.21": NOW + 60}
    assert ADMISSION.wanted(shorter, service.state, NOW + 60) == {}


def test_a_clock_that_was_set_back_gives_no_more_time(service: Any) -> None:
    service.take("desk", "10.20.2.21", SOUND)
    alone = {**SETTINGS, "attested": []}
    assert ADMISSION.wanted(alone, service.state, NOW - 24 * 3600) == {}
    assert ADMISSION.wanted(alone, service.state, NOW - 5) == {"10.20.2.21": NOW + HOURS4}


def test_who_left_the_host_list_is_forgotten() -> None:
    old = {"addresses": {"10.20.2.99": NOW}, "reasons": [], "when": NOW}
    assert ADMISSION.Service(SETTINGS, {"old": old}).state == {}


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-05-31 23:59:59", 0.0),
        ("2026-06-01 00:00", HOURS4),
        # no longer than to its end
        ("2026-06-30 23:00", 3600.0),
        ("2026-07-01 00:00", 0.0),
    ],
)
def test_what_is_attested_holds_by_the_clock(now: str, until: float) -> None:
    at = moment(now).timestamp()
    assert ADMISSION.wanted(SETTINGS, {}, at) == ({MACBOOK: at + until} if until else {})


CHANGES: dict[str, tuple[dict[str, float | None], list[str], dict[str, int]]] = {
    "it is missing": ({}, [], {"a": 3600}),
    "it is there": ({"a": 3600.0}, [], {}),
    "rounded": ({"a": 3598.0}, [], {}),
    "its time is too short": ({"a": 1800.0}, ["a"], {"a": 3600}),
    "its time is too long": ({"a": 7200.0}, ["a"], {"a": 3600}),
    "it has no end": ({"a": None}, ["a"], {"a": 3600}),
    "another is there": ({"a": 3600.0, "b": 60.0}, ["b"], {}),
}


@pytest.mark.parametrize("case", CHANGES)
def test_the_sets_are_made_what_they_should_be(case: str) -> None:
    live, out, new = CHANGES[case]
    assert ADMISSION.changes(live, {"a": NOW + 3600}, HOURS4, NOW) == (out, new)


def test_what_is_attested_is_renewed_a_few_times_a_day() -> None:
    should = {"a": NOW + HOURS4}
    assert ADMISSION.changes({"a": HOURS4 * 0.8}, should, HOURS4, NOW) == ([], {})
    assert ADMISSION.changes({"a": HOURS4 * 0.7}, should, HOURS4, NOW) == (["a"], {"a": HOURS4})


def test_an_entry_is_never_gone_for_a_moment() -> None:
    """Whatever the times, an entry of the kernel's is renewed before it lapses, as long as it should not."""
    for seconds in (60, 3600, HOURS4):
        left: float = 0.0
        for second in range(0, 2 * seconds, 2):
            # somebody renews at a quarter of the time
            until = NOW + second - second % (seconds // 4) + seconds
            _, new = ADMISSION.changes({"a": left} if left else {}, {"a": until}, seconds, NOW + second)
            left = new.get("a", left) - 2
            assert left > 0, (seconds, second)


def test_one_script_takes_out_and_puts_in() -> None:
    words = ADMISSION.script(SETTINGS, ["10.20.2.21", "fd12::21"], {"10.20.2.21": 60, "fd12::21": 61, "fd12::22": 62})
    assert words == (
        "delete element inet sallyport admitted4 { 10.20.2.21 }\n"
        "add element inet sallyport admitted4 { 10.20.2.21 timeout 60s }\n"
        "delete element inet sallyport admitted6 { fd12::21 }\n"
        "add element inet sallyport admitted6 { fd12::21 timeout 61s, fd12::22 timeout 62s }\n"
    )


TABLE = """\
table inet sallyport {
  set admitted4 { type ipv4_addr; size 100; flags dynamic,timeout; elements = { 10.20.2.21 timeout 60s, 10.20.2.9 } }
  set admitted6 { type ipv6_addr; size 100; flags dynamic,timeout; }
}
"""


def test_nft_s_own_words_are_understood(tmp_path: Path) -> None:
    script = ADMISSION.script(SETTINGS, ["10.20.2.9"], {"10.20.2.22": 30, "fd12::21": 61})
    (tmp_path / "table.nft").write_text(TABLE, encoding="utf-8")
    (tmp_path / "script.nft").write_text(script, encoding="utf-8")
    listing = "nft -j list set inet sallyport admitted4; nft -j list set inet sallyport admitted6"
    shell = f"nft -f {tmp_path}/table.nft && nft -f {tmp_path}/script.nft && {{ {listing}; }}"
    done = subprocess.run(
        ["unshare", "--net", "--", "sh", "-c", shell], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, float | None] = {}
    for line in done.stdout.splitlines():
        found |= ADMISSION.in_force(json.loads(line))
    assert {*found} == {"10.20.2.21", "10.20.2.22", "fd12::21"}
    assert all(left is not None and 25 <= left <= 61 for left in found.values())


def test_the_report_names_each_desktop_and_why(service: Any) -> None:
    service.take("desk", "10.20.2.21", SOUND)
    lines = [ADMISSION.in_words(entry) for entry in ADMISSION.report(SETTINGS, service.state, NOW)]
    assert lines == [
        "desk (alice): admitted at 10.20.2.21 until 2026-06-01T16:00:00Z, checked",
        "spare (nobody named): not admitted: it has never shown its checks here",
        "macbook (bob): admitted at 10.20.2.50 until 2026-07-01T00:00:00Z, attested by Eva, macos",
    ]
    service.take("desk", "10.20.2.21", UNSOUND)
    later = ADMISSION.report(SETTINGS, service.state, moment("2026-07-01").timestamp())
    assert ADMISSION.in_words(later[0]) == f"desk (alice): not admitted: {CHECKS[0]}: too old"
    assert "not admitted: attested from 2026-06-01T00:00:00Z until" in ADMISSION.in_words(later[2])


def test_what_a_desktop_says_is_one_bounded_line() -> None:
    checks: list[dict[str, Any]] = [
        {"check": CHECKS[0], "reason": "a\n\x1b[2Jb\u202ec" + "x" * 1000},
        *SOUND["checks"][1:],
    ]
    (reason,) = ADMISSION.judge(SETTINGS, {"checks": checks})
    assert reason.startswith(f"{CHECKS[0]}: a\\x0a\\x1b[2Jb\\x202ecxxx")
    assert reason.isprintable()
    assert len(reason) <= len(CHECKS[0]) + 2 + 300
    (reason,) = ADMISSION.judge(SETTINGS, {"checks": [{**checks[0], "reason": "\0" * 1000}, *checks[1:]]})
    assert len(reason) <= len(CHECKS[0]) + 2 + 300


def _full(monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ADMISSION.os, "fsync", fsync)


def test_on_a_full_disk_a_refused_desktop_does_not_come_back(
    service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    service.take("desk", "10.20.2.21", SOUND)
    assert kept(tmp_path)["desk"]["addresses"]
    looked = iter(["looked"])
    monkeypatch.setattr(service, "keep_sets", lambda: next(looked) and "")
    _full(monkeypatch)
    assert service.take("desk", "10.20.2.21", UNSOUND)["reasons"] == [f"{CHECKS[0]}: too old"]
    assert [*looked] == [], "the firewall was not told"
    again = ADMISSION.Service(SETTINGS, ADMISSION.read(ADMISSION.STATE, {}))
    assert {*ADMISSION.wanted(SETTINGS, again.state, NOW)} == {MACBOOK}
    assert "No space left" in capsys.readouterr().err


def test_on_a_full_disk_others_are_admitted_and_lapse(
    service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.take("desk", "10.20.2.21", SOUND)
    _full(monkeypatch)
    assert service.take("spare", "10.20.2.22", SOUND)["admitted"]
    # what was written stays: it admits nobody who was refused
    assert {*kept(tmp_path)} == {"desk"}
    service.lapses(NOW + HOURS4)
    assert service.state["spare"]["addresses"] == {}


def _key_pair(folder: Path) -> None:
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=x"
    names = "subjectAltName=DNS:desk.desktops.im.example"
    files = ["-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")]
    subprocess.run([*words.split(), "-addext", names, *files], capture_output=True, check=True)


def test_connections_count_before_somebody_says_who_it_is(
    service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who opens many and says nothing keeps neither others out nor the descriptors; who ends them may come again."""
    _key_pair(tmp_path)
    monkeypatch.setattr(ADMISSION, "TALK_SECONDS", 20)
    desk = {**SETTINGS["desktops"]["desk"], "addresses": ["127.0.0.1"]}
    pem = str(tmp_path / "fullchain.pem")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    listening = {"listen": ["127.0.0.1"], "port": port, "certificate": str(tmp_path), "authority": pem}
    service.settings = {**SETTINGS, **listening, "desktops": {"desk": desk}}
    context = ssl.create_default_context(cafile=pem)
    context.load_cert_chain(pem, str(tmp_path / "privkey.pem"))

    async def show() -> Any:
        secured: dict[str, Any] = {
            "ssl": context,
            "server_hostname": "desk.desktops.im.example",
            "local_addr": ("127.0.0.1", 0),
        }
        reader, writer = await asyncio.open_connection("127.0.0.1", port, **secured)
        writer.write(json.dumps(SOUND).encode() + b"\n")
        line = await asyncio.wait_for(reader.readline(), 10)
        writer.close()
        return json.loads(line)

    async def silent(own: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", port, local_addr=(own, 0))

    async def closed(reader: asyncio.StreamReader) -> bool:
        try:
            return await asyncio.wait_for(reader.read(1), 0.3) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    async def all_of_it() -> None:
        serving = asyncio.create_task(service.serve())
        await asyncio.sleep(0.1)
        assert (await show())["admitted"]
        held = [await silent("127.0.0.2") for _ in range(ADMISSION.MOST_OF_ONE + 1)]
        assert [await closed(reader) for reader, _ in held] == [False] * ADMISSION.MOST_OF_ONE + [True]
        assert (await show())["admitted"], "another address may not be kept out"
        monkeypatch.setattr(ADMISSION, "MOST_TALKS", ADMISSION.MOST_OF_ONE)
        reader, _ = await silent("127.0.0.3")
        assert await closed(reader), "all together are bounded as well"
        for _, writer in held:
            writer.close()
        await asyncio.sleep(0.2)
        assert (await show())["admitted"]
        assert service.talks.total() == 0
        serving.cancel()

    asyncio.run(all_of_it())


def test_the_unit_has_descriptors_for_all_talks() -> None:
    unit = (ROOT / "roles/admission/files/admission.service").read_text(encoding="utf-8")
    limit = re.search(r"^LimitNOFILE=(\d+)$", unit, re.M)
    assert limit
    assert int(limit[1]) >= 2 * ADMISSION.MOST_TALKS
