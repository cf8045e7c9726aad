# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scanner is told: limits, sources, kinds; and what its watch says."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import re
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible_collections.sallyport.im.plugins.plugin_utils import antivirus
from ansible_collections.sallyport.im.plugins.plugin_utils.derive import host_settings
from ansible_collections.sallyport.im.plugins.plugin_utils.file_kinds import KINDS, UNREADABLE, signatures
from ansible_collections.sallyport.im.plugins.plugin_utils.site import load
from ansible_collections.sallyport.im.plugins.plugin_utils.site_file import AntivirusSignatures
from unit.sites import BASE_SITE, ROOT, make_site, moment

NOW = moment("2026-06-01")
FILES = ROOT / "roles" / "antivirus" / "files"
MEGABYTES = re.compile(r"(\d+)M")
CUSTOM = "antivirus: {signatures: {official: false, urls: ['https://signatures.example/ours.ndb']}}\n  sign_in:"


def program(name: str) -> ModuleType:
    """Load a program of the role, which has no ending."""
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_"), str(FILES / name))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def scanner(tmp_path: Path, host: str, text: str = BASE_SITE) -> dict[str, Any]:
    settings: dict[str, Any] = host_settings(load(make_site(tmp_path, text)), host, NOW)["antivirus"]
    return settings


def options(lines: list[list[str]], name: str) -> list[str]:
    return [value for key, value in lines if key == name]


@pytest.mark.parametrize("megabytes", [1, 20, 300, 512])
def test_a_file_of_the_largest_size_is_scanned_whole_in_archives_too(megabytes: int) -> None:
    found = antivirus.limits(megabytes, 60)
    sizes = {name: int(match[1]) for name, value in found.items() if (match := MEGABYTES.fullmatch(value))}
    assert sizes["StreamMaxLength"] > megabytes
    assert sizes["MaxFileSize"] > megabytes
    # itself, and once more in an archive of an archive
    assert sizes["MaxScanSize"] > 3 * megabytes
    # else clamd cuts a file in an archive off and calls the rest clean
    assert sizes["MaxFileSize"] == sizes["MaxScanSize"] < 2048
    # before who asks gives up
    assert found["MaxScanTime"] == "54000"
    assert antivirus.limits(megabytes, 5)["MaxScanTime"] == "3000"


def test_memory_and_room_follow_the_largest_upload() -> None:
    assert antivirus.memory(20, official=True) == 3072
    assert antivirus.memory(20, official=False) == 512
    assert antivirus.memory(512, official=False) == 192 + 4 * 4 * 512
    assert antivirus.room(20) == 4 * 220
    assert antivirus.room(512) == 4 * (512 + 2047)


def test_where_signatures_come_from() -> None:
    assert antivirus.hosts(AntivirusSignatures()) == ["database.clamav.net"]
    assert antivirus.hosts(AntivirusSignatures(mirror="mirror.example")) == ["mirror.example"]
    urls = ("http://b.example/x.ndb", "https://a.example/y/z.hdb", "https://a.example/w.hdb")
    assert antivirus.hosts(AntivirusSignatures(official=False, urls=urls)) == ["a.example", "b.example"]
    assert antivirus.hosts(AntivirusSignatures(official=False, urls=urls), "https") == ["a.example"]


def test_a_server_with_official_signatures(tmp_path: Path) -> None:
    found = scanner(tmp_path, "im-int")
    assert found["sets"] == ["main", "daily"]
    assert found["memory_megabytes"] == 3072
    assert found["room_megabytes"] == 880
    assert options(found["freshclam"], "DatabaseMirror") == ["database.clamav.net"]
    assert options(found["freshclam"], "ExcludeDatabase") == []
    assert options(found["freshclam"], "HTTPProxyServer") == ["10.20.1.2"]
    assert options(found["clamd"], "AlertExceedsMax") == ["yes"]
    assert options(found["clamd"], "AlertEncryptedArchive") == ["yes"]
    assert "Sallyport.Kind.executable.PE;" in found["kinds"]
    assert not found["on_access"]


def test_custom_signatures_leave_the_official_ones_out(tmp_path: Path) -> None:
    found = scanner(tmp_path, "im-int", BASE_SITE.replace("sign_in:", CUSTOM))
    assert found["sets"] == ["ours.ndb"]
    assert found["memory_megabytes"] == 512
    assert found["kept"] == ["freshclam.dat", "tmp.*", "ours.ndb"]
    assert options(found["freshclam"], "ExcludeDatabase") == ["main", "daily", "bytecode"]
    assert options(found["freshclam"], "DatabaseCustomURL") == ["https://signatures.example/ours.ndb"]


def test_a_mirror_of_the_official_ones(tmp_path: Path) -> None:
    text = BASE_SITE.replace("sign_in:", "antivirus: {signatures: {mirror: mirror.example}}\n  sign_in:")
    found = scanner(tmp_path, "im-int", text)
    assert options(found["freshclam"], "PrivateMirror") == ["mirror.example"]
    assert options(found["freshclam"], "DatabaseMirror") == []


def test_on_a_desktop_people_have_programs_of_their_own(tmp_path: Path) -> None:
    found = scanner(tmp_path, "desk")
    assert found["kinds"] == ""
    assert found["room_megabytes"] == 0
    assert options(found["clamd"], "AlertExceedsMax") == ["no"]
    assert options(found["clamd"], "AlertEncryptedDoc") == ["no"]
    assert "/home" in options(found["clamd"], "OnAccessIncludePath")
    assert found["on_access"]


def test_the_relay_fetches_from_exactly_these(tmp_path: Path) -> None:
    site = load(make_site(tmp_path, BASE_SITE.replace("sign_in:", CUSTOM)))
    assert host_settings(site, "gw", NOW)["relay"]["signatures"] == ["signatures.example"]
    assert "antivirus" not in host_settings(site, "gw", NOW)


def test_only_what_the_site_refuses_has_signatures() -> None:
    names = {line.split(";")[0].split(".")[2] for line in signatures(["scripts", "encrypted"]).splitlines()}
    assert names == {"script", "unreadable"}
    assert len(signatures(["executables", "scripts", "macros"]).splitlines()) == len(KINDS) + len(UNREADABLE)


def test_what_the_scanner_cannot_look_into_is_refused_whatever_the_site_says() -> None:
    lines = signatures([]).splitlines()
    assert {line.split(";")[0].split(".")[2] for line in lines} == {"unreadable"}
    assert len(lines) == len(UNREADABLE)
    assert signatures(["encrypted"]) == signatures([])


@pytest.mark.parametrize("kind", [*UNREADABLE, *KINDS], ids=lambda kind: str(kind.name))
def test_a_signature_is_whole(kind: Any) -> None:
    name, target, when, *patterns = kind.signature().split(";")
    assert re.fullmatch(r"Sallyport\.Kind\.(executable|script|macro|unreadable)\.[\w-]+", name)
    assert target == "Engine:81-255,Target:0"
    assert when.count("(") == when.count(")")
    numbers = {int(number) for number in re.findall(r"(?<![>=,\d])\d+", when)}
    assert numbers == set(range(len(patterns)))
    for pattern in patterns:
        assert re.fullmatch(r"(?:(?:\d+(?:,\d+)?|EOF-\d+):)?[0-9a-f(){}|?!]+(?:::[iwa]+)?", pattern), pattern


# the watch


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    module = program("signatures")
    for name, place in (("DATABASE", "sets"), ("NOTES", "notes")):
        (tmp_path / place).mkdir()
        monkeypatch.setattr(module, name, str(tmp_path / place))
    monkeypatch.setattr(module, "UPDATES", str(tmp_path / "notes" / "updates.json"))
    monkeypatch.setattr(module, "STATE", str(tmp_path / "notes" / "state.json"))
    monkeypatch.setattr(module, "SOCKET", str(tmp_path / "no-socket"))
    monkeypatch.setattr(module, "UNPACKED", str(tmp_path / "notes"))
    return module


def settings(*sets: str, official: bool = False) -> dict[str, Any]:
    return {"sets": [*sets], "official": official, "stale_hours": 48}


def test_a_set_that_is_empty_is_missing(watch: Any, tmp_path: Path) -> None:
    wanted = settings("ours.ndb", "daily")
    assert watch.missing(wanted) == ["ours.ndb", "daily"]
    (tmp_path / "sets" / "ours.ndb").write_text("", encoding="utf-8")
    (tmp_path / "sets" / "daily.cld").write_text("x", encoding="utf-8")
    assert watch.missing(wanted) == ["ours.ndb"]


def test_age_is_that_of_the_last_update_and_of_what_the_mirror_handed_out(watch: Any, tmp_path: Path) -> None:
    ours, now = settings("ours.ndb"), 1_800_000_000.0
    assert watch.age(ours, {"succeeded": now}, now) is None
    (tmp_path / "sets" / "ours.ndb").write_text("x", encoding="utf-8")
    assert watch.age(ours, {}, now) is None
    assert watch.age(ours, {"succeeded": now - 7200}, now) == 2
    official = settings("daily", official=True)
    head = "ClamAV-VDB:01 Jan 2027 08-00 +0000:27000:2:90:x:x:x:x"
    (tmp_path / "sets" / "daily.cvd").write_bytes(head.ljust(512).encode() + b"\x1f\x8b")
    assert round(watch.age(official, {"succeeded": now}, now)) == round((now - 1798790400) / 3600)


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({"missing": ["a.ndb"]}, "nothing is scanned: these signatures are missing: a.ndb"),
        ({"cramped": True}, "nothing is scanned: the disk is too full to unpack anything"),
        ({"answers": False}, "nothing is scanned: clamd does not answer"),
        ({"unloaded": True}, "clamd cannot load the new signatures"),
        ({"age_hours": 48.1}, "the signatures are too old: more than 48 hours"),
        ({"failure": "exit-code 5"}, "the last update of the signatures failed (exit-code 5)"),
        ({}, ""),
    ],
)
def test_what_is_wrong_is_said(watch: Any, state: dict[str, Any], says: str) -> None:
    well = {"missing": [], "cramped": False, "answers": True, "unloaded": False, "age_hours": 1.0, "failure": ""}
    assert [*watch.problems({**well, **state}, 48)] == ([says] if says else [])


def test_what_is_wrong_is_said_once(watch: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sets" / "ours.ndb").write_text("x", encoding="utf-8")
    watch.watch(settings("ours.ndb"))
    assert capsys.readouterr().out == "<1>nothing is scanned: clamd does not answer\n"
    watch.watch(settings("ours.ndb"))
    assert capsys.readouterr().out == ""
    assert watch.read(watch.STATE)["stale"] is True


@pytest.fixture
def told(watch: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let clamd answer; returns what systemd was told of it."""
    said: list[str] = []

    def run(command: list[str], **_how: Any) -> subprocess.CompletedProcess[str]:
        if command[1] == "show":
            return subprocess.CompletedProcess(command, 0, "@1000\n")
        said.append(" ".join(command[1:]))
        return subprocess.CompletedProcess(command, 1 if "cannot" in said else 0)

    monkeypatch.setattr(watch, "answers", lambda: True)
    monkeypatch.setattr(watch.subprocess, "run", run)
    return said


def test_new_signatures_are_loaded_once(watch: Any, tmp_path: Path, told: list[str]) -> None:
    ours = tmp_path / "sets" / "ours.ndb"
    (tmp_path / "sets" / "freshclam.dat").write_text("x", encoding="utf-8")
    ours.write_text("x", encoding="utf-8")
    os.utime(ours, (1700000000, 1700000000))
    for _ in range(2):
        watch.watch(settings("ours.ndb"))
    assert told == ["reload clamav-daemon.service"]
    assert watch.read(watch.STATE)["loaded"] == "ours.ndb:1:1700000000"
    ours.write_text("xy", encoding="utf-8")
    watch.watch(settings("ours.ndb"))
    assert len(told) == 2


def test_what_clamd_read_when_it_started_is_not_loaded_again(
    watch: Any, tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sets" / "ours.ndb").write_text("x", encoding="utf-8")
    monkeypatch.setattr(watch, "begun", lambda: 4_000_000_000.0)
    watch.watch(settings("ours.ndb"))
    assert told == []
    assert watch.read(watch.STATE)["loaded_at"] == 4_000_000_000.0


def test_a_scanner_that_lost_a_set_loads_nothing_and_is_stopped(watch: Any, told: list[str]) -> None:
    watch.watch(settings("ours.ndb"))
    assert told == ["--no-block restart clamav-daemon.service"]
    assert watch.read(watch.STATE)["loaded"] is None


def test_a_scanner_without_room_is_stopped(watch: Any, tmp_path: Path, told: list[str]) -> None:
    (tmp_path / "sets" / "ours.ndb").write_text("x", encoding="utf-8")
    watch.watch({**settings("ours.ndb"), "room_megabytes": 2**40})
    assert told == ["--no-block restart clamav-daemon.service"]


def test_what_could_not_be_loaded_does_not_count_as_loaded(watch: Any, tmp_path: Path, told: list[str]) -> None:
    (tmp_path / "sets" / "ours.ndb").write_text("x", encoding="utf-8")
    told.append("cannot")
    watch.watch(settings("ours.ndb"))
    state = watch.read(watch.STATE)
    assert (state["loaded"], state["unloaded"]) == (None, True)


def test_how_an_update_ended_is_noted(watch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    watch.updated({"SERVICE_RESULT": "success", "EXIT_STATUS": "0"})
    first = watch.read(watch.UPDATES)
    watch.updated({"SERVICE_RESULT": "exit-code", "EXIT_STATUS": "5"})
    then = watch.read(watch.UPDATES)
    assert then["succeeded"] == first["succeeded"]
    assert then["failure"] == "exit-code 5"
    assert capsys.readouterr().out.startswith("<3>the signatures could not be updated (exit-code 5)")


# the weekly scan


def test_kinds_and_limits_are_no_findings_of_a_scan() -> None:
    lines = [
        "/home/a: b/x y: Win.Test.EICAR_HDB-1 FOUND",
        "/home/s.sh: Sallyport.Kind.script.Shebang.UNOFFICIAL FOUND",
        "/home/big: Heuristics.Limits.Exceeded.MaxFileSize FOUND",
        "/home/z: Heuristics.Encrypted.Zip FOUND",
        "/home/gone: No such file or directory. ERROR",
    ]
    assert program("scan-files").findings(lines) == [("/home/a: b/x y", "Win.Test.EICAR_HDB-1")]


def test_a_scan_of_everything_takes_local_file_systems() -> None:
    mounts = [
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw",
        "2 1 8:2 / /srv/a\\040b rw - xfs /dev/sdb rw",
        "3 1 0:5 / /proc rw - proc proc rw",
        "4 1 0:6 / /mnt/far rw - nfs4 far:/ rw",
        "5 1 0:7 / /run/user/1000 rw - tmpfs tmpfs rw",
    ]
    assert [*program("scan-files").file_systems(mounts)] == ["/", "/srv/a b"]


def test_names_that_people_choose_make_no_lines_of_their_own() -> None:
    assert program("scan-files").plain("a\nb\x1b[2J") == "a\\x0ab\\x1b[2J"
