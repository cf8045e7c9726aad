# SPDX-License-Identifier: GPL-3.0-or-later
"""What a desktop makes of what it finds on itself; the program that the role workstation puts there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sallyport.im.plugins.plugin_utils.desktops import AUTOMATIC, CHECKS
from unit.host_programs import load_program

CHECKS_PROGRAM = load_program("roles/workstation/files/desktop-checks")
NOW = 1_800_000_000.0
HOUR = 3600
SETTINGS: dict[str, Any] = {
    "addresses": ["10.20.2.21"],
    "automatic_updates": True,
    "refused_packages": ["pidgin"],
    "servers": [],
    "stale_hours": 48,
    "update_hours": 36,
}


def listed(**policies: str) -> dict[str, Any]:
    """Return what nft lists of a table whose hooks have these policies."""
    chains = [{"chain": {"type": "filter", "hook": hook, "policy": policy}} for hook, policy in policies.items()]
    return {"nftables": [{"metainfo": {}}, {"chain": {"name": "not_admitted"}}, *chains]}


SIGNATURES = {
    "fresh": ({"missing": [], "age_hours": 0.4}, ""),
    "to the hour": ({"missing": [], "age_hours": 48.0}, ""),
    "too old": ({"missing": [], "age_hours": 49.0}, "49 hours old, allowed are 48"),
    "never fetched": ({"missing": [], "age_hours": None}, "never fetched"),
    "none": ({"missing": ["main", "daily"], "age_hours": None}, "no signatures: main, daily"),
}


@pytest.mark.parametrize("case", SIGNATURES)
def test_signatures_are_judged_by_what_their_watch_says(case: str) -> None:
    state, reason = SIGNATURES[case]
    found = CHECKS_PROGRAM.signatures(state, 48)
    assert found["passed"] is not bool(reason)
    assert reason in found["reason"]


@pytest.mark.parametrize(
    ("answers", "passed"),
    [
        (("PONG", "stream: OK"), True),
        (("", ""), False),
        (("PONG", "stream: Something FOUND"), False),
        (("PONG", "INSTREAM size limit exceeded. ERROR"), False),
    ],
)
def test_the_scanner_must_answer_and_scan(answers: tuple[str, str], passed: bool) -> None:
    assert CHECKS_PROGRAM.scanner(answers)["passed"] is passed


FIREWALLS = {
    "in force": (listed(input="drop", output="drop", forward="drop"), ""),
    "nothing": (None, "not in force"),
    "open inwards": (listed(input="accept", output="drop"), "open by default: input"),
    "open outwards": (listed(input="drop", output="accept"), "open by default: output"),
    "without a hook": (listed(input="drop"), "open by default: output"),
}


@pytest.mark.parametrize("case", FIREWALLS)
def test_the_firewall_must_be_closed_by_default(case: str) -> None:
    table, reason = FIREWALLS[case]
    found = CHECKS_PROGRAM.firewall(table)
    assert found["passed"] is not bool(reason)
    assert reason in found["reason"]


UPDATES = {
    "none": ({}, HOUR, ""),
    "since yesterday": ({"libc6 2.42": NOW - 20 * HOUR}, HOUR, ""),
    "for too long": ({"libc6 2.42": NOW - 37 * HOUR, "new 1": NOW}, HOUR, "more than 36 hours: libc6 2.42"),
    "nobody knows": ({}, 8 * 24 * HOUR, "192 hours old"),
}


@pytest.mark.parametrize("case", UPDATES)
def test_security_updates_may_wait_for_the_night_and_no_longer(case: str) -> None:
    waiting, age, reason = UPDATES[case]
    found = CHECKS_PROGRAM.updates(waiting, NOW, 36, age)
    assert found["passed"] is not bool(reason)
    assert reason in found["reason"]


SIMULATED = """\
NOTE: This is only a simulation!
Inst libssl3t64 [3.5.1-1] (3.5.1-1+deb13u1 Debian-Security:13/stable-security [amd64])
Inst tzdata [2025b-4] (2025b-4+deb13u1 Debian:13.2/stable [all])
Inst linux-image-6.12.50+deb13-amd64 (6.12.50-1 Debian-Security:13/stable-security [amd64])
Conf libssl3t64 (3.5.1-1+deb13u1 Debian-Security:13/stable-security [amd64])
"""


def test_security_updates_are_those_of_the_security_archive() -> None:
    assert CHECKS_PROGRAM.security_updates(SIMULATED) == [
        "libssl3t64 3.5.1-1+deb13u1",
        "linux-image-6.12.50+deb13-amd64 6.12.50-1",
    ]


def test_apt_is_asked_only_after_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run(*words: str) -> str:
        asked.append(words)
        return SIMULATED

    monkeypatch.setattr(CHECKS_PROGRAM, "run", run)
    monkeypatch.setattr(CHECKS_PROGRAM, "NOTES", str(tmp_path / "notes" / "updates.json"))
    lists = tmp_path / "lists"
    lists.mkdir()
    monkeypatch.setattr(CHECKS_PROGRAM, "LISTS", (str(lists),))
    first = CHECKS_PROGRAM.waiting_updates(NOW)
    assert CHECKS_PROGRAM.waiting_updates(NOW + HOUR) == first
    assert len(asked) == 1
    (lists / "more").touch()
    later = CHECKS_PROGRAM.waiting_updates(NOW + 2 * HOUR)
    assert len(asked) == 2
    # what was seen before keeps its time
    assert later == first == dict.fromkeys(CHECKS_PROGRAM.security_updates(SIMULATED), NOW)


@pytest.mark.parametrize(
    ("setting", "timer", "passed"),
    [("1", "active", True), ("0", "active", False), ("", "active", False), ("1", "inactive", False)],
)
def test_updates_are_automatic_when_set_and_when_the_timer_runs(setting: str, timer: str, passed: bool) -> None:
    assert CHECKS_PROGRAM.automatic(setting, timer)["passed"] is passed


def test_programs_of_consumer_im_are_named() -> None:
    found = CHECKS_PROGRAM.consumer_clients(["bash", "pidgin", "gajim"], ["finch", "pidgin"])
    assert (found["passed"], found["reason"]) == (False, "programs of consumer IM are installed: pidgin")
    assert CHECKS_PROGRAM.consumer_clients(["bash", "gajim"], ["finch", "pidgin"])["passed"]


@pytest.mark.parametrize(
    ("uuids", "passed", "saw"),
    [
        (["LVM-x", "CRYPT-LUKS2-y"], True, "encrypted"),
        (["LVM-x"], False, "not encrypted"),
        ([], False, "not encrypted"),
        (None, True, "cannot be told here"),
    ],
)
def test_encryption_is_said_and_not_held_against_it(uuids: list[str] | None, passed: bool, saw: str) -> None:
    found = CHECKS_PROGRAM.encryption(uuids)
    assert (found["passed"], found["saw"], found["required"]) == (passed, saw, False)


def _sound(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, answer in {
        "watched_signatures": {"missing": [], "age_hours": 1.0},
        "ask_both": ("PONG", "stream: OK"),
        "table_in_force": listed(input="drop", output="drop"),
        "automatic_updates": ("1", "active"),
        "installed_packages": ["gajim"],
        "below_root": [],
    }.items():
        monkeypatch.setattr(CHECKS_PROGRAM, name, lambda answer=answer: answer)
    for name, given in {"waiting_updates": {}, "lists_age": 0}.items():
        monkeypatch.setattr(CHECKS_PROGRAM, name, lambda now, given=given: given)
    (tmp_path / "desktop.json").write_text(json.dumps(SETTINGS), encoding="utf-8")
    monkeypatch.setattr(CHECKS_PROGRAM, "SETTINGS", str(tmp_path / "desktop.json"))
    monkeypatch.setattr(CHECKS_PROGRAM.time, "time", lambda: NOW)


def test_a_sound_desktop_passes_though_its_disk_is_not_encrypted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _sound(monkeypatch, tmp_path)
    assert CHECKS_PROGRAM.main([]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["passed"]
    assert said["reasons"] == []
    assert {one["check"] for one in said["checks"] if one["required"]} == {*CHECKS, AUTOMATIC}


def test_what_cannot_be_checked_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _sound(monkeypatch, tmp_path)
    monkeypatch.setattr(CHECKS_PROGRAM, "SCANNER", str(tmp_path / "nobody"))
    monkeypatch.setattr(CHECKS_PROGRAM, "ask_both", lambda: CHECKS_PROGRAM.ask_scanner(b"zPING\0"))
    assert CHECKS_PROGRAM.main([]) == 1
    said = json.loads(capsys.readouterr().out)
    assert not said["passed"]
    assert [reason.partition(":")[0] for reason in said["reasons"]] == ["scanner"]


def test_where_a_person_installs_updates_nobody_asks_for_the_timer() -> None:
    found = CHECKS_PROGRAM.look({**SETTINGS, "automatic_updates": False}, NOW)
    assert AUTOMATIC not in {one["check"] for one in found}


def test_a_server_that_cannot_be_asked_is_another_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _sound(monkeypatch, tmp_path)
    ends = {(True, True): 0, (True, False): 1, (False, False): 2}
    for (asked, admitted), end in ends.items():
        outcome = {"asked": asked, "admitted": admitted, "reasons": [] if admitted else ["the server's reason"]}
        monkeypatch.setattr(CHECKS_PROGRAM, "present", lambda settings, document, outcome=outcome: [outcome])
        assert CHECKS_PROGRAM.main(["present"]) == end
        assert capsys.readouterr().err == ("" if admitted else "the server's reason\n")


def test_it_is_shown_from_each_address_to_each_of_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr(
        CHECKS_PROGRAM,
        "present_to",
        lambda server, to, own, document, settings: shown.append((server["name"], to, own)),
    )
    servers = [
        {"name": "im", "addresses": ["10.20.1.11", "fd12::11"]},
        {"name": "ext", "addresses": ["10.20.3.12"]},
    ]
    CHECKS_PROGRAM.present({"addresses": ["10.20.2.21", "fd12:2::21"], "servers": servers}, {})
    assert shown == [
        ("im", "10.20.1.11", "10.20.2.21"),
        ("im", "fd12::11", "fd12:2::21"),
        ("ext", "10.20.3.12", "10.20.2.21"),
    ]
