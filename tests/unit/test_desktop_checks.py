# SPDX-License-Identifier: GPL-3.0-or-later
"""What a desktop makes of what it finds on itself; the program that the role workstation puts there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.sallyport.im.plugins.plugin_utils.desktops import AUTOMATIC, CHECKS
from unit.host_programs import load_program
from unit.sites import ROOT

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
    "nobody knows": ({}, 9 * 24 * HOUR, "216 hours old"),
    "no security archive": ({}, None, "no lists of a security archive"),
}


@pytest.mark.parametrize("case", UPDATES)
def test_security_updates_may_wait_for_the_night_and_no_longer(case: str) -> None:
    waiting, age, reason = UPDATES[case]
    found = CHECKS_PROGRAM.updates(waiting, NOW, 36, age)
    assert found["passed"] is not bool(reason)
    assert reason in found["reason"]


def release(label: str, date: str) -> str:
    """Return how a file begins that an archive signed."""
    begins = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n"
    return f"{begins}Origin: Debian\nLabel: {label}\nSuite: stable\nDate: {date}\nSHA256:\n 0 1 security/x\n"


OLD, NEW = "Tue, 05 Jan 2027 08:00:00 UTC", "Fri, 15 Jan 2027 07:00:00 UTC"
LISTS: dict[str, tuple[dict[str, str], float | None]] = {
    "fresh": ({"a_InRelease": release("Debian", OLD), "s_InRelease": release("Debian-Security", NEW)}, HOUR),
    "only the others are": (
        {"a_InRelease": release("Debian", NEW), "s_Release": release("Debian-Security", OLD)},
        240 * HOUR,
    ),
    "no security archive": ({"a_InRelease": release("Debian", NEW)}, None),
    "nothing": ({}, None),
}


@pytest.mark.parametrize("case", LISTS)
def test_lists_are_as_old_as_what_the_security_archive_signed(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, age = LISTS[case]
    (tmp_path / "partial").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(CHECKS_PROGRAM, "LISTS", (str(tmp_path), str(tmp_path / "partial")))
    for path in (tmp_path, *tmp_path.iterdir()):
        # an update that fetched nothing has just changed it
        os.utime(path, (NOW, NOW))
    assert CHECKS_PROGRAM.lists_age(NOW) == age


def test_old_lists_are_fetched_before_they_are_held_against_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ages, started = [9 * 24 * HOUR, HOUR], []
    monkeypatch.setattr(CHECKS_PROGRAM, "lists_age", lambda now: ages.pop(0))
    monkeypatch.setattr(CHECKS_PROGRAM.subprocess, "run", lambda words, **_: started.append(words))
    assert CHECKS_PROGRAM.fresh_lists(NOW) == HOUR
    assert started == [["systemctl", "start", "apt-daily.service"]]
    ages = [HOUR]
    assert CHECKS_PROGRAM.fresh_lists(NOW) == HOUR
    assert len(started) == 1


@pytest.mark.parametrize(
    ("state", "program", "passed", "saw"),
    [
        ("active", "clamonacc", True, "files are scanned as they are opened"),
        ("active", "on-access", True, "not applicable here: the kernel does not offer it"),
        ("active", "sleep", False, "active, sleep"),
        ("activating", "clamonacc", False, "activating, clamonacc"),
        ("inactive", "", False, "inactive, nothing runs"),
    ],
)
def test_files_are_scanned_as_they_are_opened_where_the_kernel_offers_it(
    state: str, program: str, passed: bool, saw: str
) -> None:
    found = CHECKS_PROGRAM.on_access(state, program)
    assert (found["passed"], found["saw"], found["required"]) == (passed, saw, True)


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
        "on_access_runs": ("active", "clamonacc"),
    }.items():
        monkeypatch.setattr(CHECKS_PROGRAM, name, lambda answer=answer: answer)
    for name, given in {"waiting_updates": {}, "fresh_lists": 0}.items():
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
    assert CHECKS_PROGRAM.main([]) == 3
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
    ends = {(True, True): 0, (True, False): 3, (False, False): 2}
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


def test_without_its_certificate_it_asks_nobody_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _sound(monkeypatch, tmp_path)
    servers = [{"name": "im", "port": 5290, "addresses": ["127.0.0.1"]}]
    told = {**SETTINGS, "addresses": ["127.0.0.1"], "servers": servers}
    told |= {"authority": str(tmp_path / "none"), "certificate": str(tmp_path)}
    (tmp_path / "desktop.json").write_text(json.dumps(told), encoding="utf-8")
    assert CHECKS_PROGRAM.main(["present"]) == 2
    said = json.loads(capsys.readouterr().out)
    assert [one["asked"] for one in said["admission"]] == [False]
    assert "No such file" in said["admission"][0]["reasons"][0]


def test_a_crash_is_no_answer_to_the_unit(tmp_path: Path) -> None:
    unit = (ROOT / "roles/workstation/files/desktop.service").read_text(encoding="utf-8")
    assert f"SuccessExitStatus={CHECKS_PROGRAM.NOT_SOUND}\n" in unit
    done = subprocess.run([sys.executable, "-c", "raise KeyError"], capture_output=True, check=False)
    assert done.returncode not in {CHECKS_PROGRAM.NOT_SOUND, CHECKS_PROGRAM.NOT_ASKED, 0}


SAID = '{"passed": true, "reasons": []}'
TRACEBACK = {"rc": 1, "stdout": "", "stderr": "Traceback …", "msg": "non-zero return code"}
MISSING = {"rc": 2, "stdout": "", "stderr": "", "msg": "Error executing command."}
LOOKED: dict[str, tuple[dict[str, Any], bool, bool, bool]] = {
    "it is sound": ({"rc": 0, "stdout": SAID}, False, False, True),
    "a server was not asked": ({"rc": 2, "stdout": SAID, "msg": "non-zero return code"}, False, False, True),
    "it is not sound": ({"rc": 3, "stdout": SAID.replace("true", "false")}, False, False, False),
    "it crashed": (TRACEBACK, False, True, True),
    "it crashed in a check": (TRACEBACK, True, True, True),
    "it crashed after its answer": ({"rc": 1, "stdout": SAID}, False, True, True),
    "it is not there": (MISSING, False, True, True),
    "another crash in a check": ({**TRACEBACK, "rc": 2}, True, True, True),
    "it is not there yet": (MISSING, True, False, True),
}


@pytest.mark.parametrize("case", LOOKED)
def test_a_program_that_did_not_answer_ends_the_run(case: str) -> None:
    looked, checking, fails, passed = LOOKED[case]
    role, loader = ROOT / "roles" / "workstation", DataLoader()
    variables = {
        **loader.load_from_file(str(role / "vars" / "main.yml"), trusted_as_template=True),
        "__workstation_looked": looked,
        "ansible_check_mode": checking,
    }
    tasks = loader.load_from_file(str(role / "tasks" / "main.yml"), trusted_as_template=True)
    (task,) = [one for one in tasks if one.get("register") == "__workstation_looked"]
    templar = Templar(loader=loader, variables=variables)
    expression = trust_as_template("{{ (" + str(task["failed_when"]) + ") | bool }}")
    assert templar.template(expression) is fails
    if not fails:
        # what comes after it goes by this
        assert templar.template(trust_as_template("{{ __workstation_found.passed | bool }}")) is passed
