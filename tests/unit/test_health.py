# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host says of itself: what is looked at where, and what cannot be found out."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.sallyport.im.plugins.plugin_utils.monitoring import health
from ansible_collections.sallyport.im.plugins.plugin_utils.site import load
from unit.host_programs import load_program
from unit.sites import BASE_HOSTS, BASE_SITE, LOG_HOST, make_site

program = load_program("roles/health/files/health")
SETTINGS = {
    "host": "im-int",
    "units": ["prosody.service"],
    "certificates": [],
    "scanner": True,
    "holds": True,
    "queue": "/nonexistent",
    "events": "",
}


def test_each_host_is_asked_for_its_own_units(tmp_path: Path) -> None:
    site = load(make_site(tmp_path))
    server, gateway = (health(site, site.host(name)) for name in ("im-int", "gw"))
    assert {"prosody.service", "clamav-daemon.service", "sallyport-admission.service"} <= {*server["units"]}
    assert "unbound.service" in gateway["units"]
    assert "prosody.service" not in gateway["units"]
    assert (server["scanner"], gateway["scanner"]) == (True, False)
    assert (server["holds"], gateway["holds"]) == (True, False)


@pytest.fixture(autouse=True)
def no_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask no apt: it takes seconds, and what it would say is this machine's."""
    monkeypatch.setattr(program, "updates", lambda: 0)


HOLD = {"people": ["alice@im.demo.example"], "rooms": [], "from": None, "until": "2026-03-02T00:00:00+00:00"}
HELD = json.dumps({"format": 1, "chain": "aa", "number": 2, "holds": [HOLD]})


@pytest.fixture
def holds_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the server was told of the legal holds."""
    file = tmp_path / "holds.json"
    monkeypatch.setattr(program, "HOLDS", str(file))
    file.write_text(HELD)
    file.chmod(0o644)
    return file


def test_the_number_of_holds_is_told_and_that_nobody_knows_it(holds_file: Path) -> None:
    assert program.holds({"holds": False}) is None
    found = program.look(SETTINGS, 0)
    assert (found["holds"], "holds: " in " ".join(found["faults"])) == (1, False)
    holds_file.unlink()
    found = program.look(SETTINGS, 0)
    assert (found["holds"], "holds: " in " ".join(found["faults"])) == (None, True)


def test_holds_that_prosody_may_not_read_are_known_to_nobody(holds_file: Path) -> None:
    # the group is not Prosody's
    holds_file.chmod(0o640)
    with pytest.raises(ValueError, match="cannot be read by Prosody"):
        program.holds(SETTINGS)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"format": 2, "holds": []}', '{"format": 1}', '{"format": 1, "holds": null}']
)
def test_holds_of_another_format_are_known_to_nobody(holds_file: Path, text: str) -> None:
    holds_file.write_text(text)
    with pytest.raises((ValueError, KeyError)):
        program.holds(SETTINGS)


@pytest.mark.parametrize(
    "bad",
    [
        None,
        {**HOLD, "people": []},
        {**HOLD, "people": "alice@im.demo.example"},
        {**HOLD, "rooms": ["hall"]},
        {**HOLD, "until": "soon"},
        {"people": ["alice@im.demo.example"], "rooms": []},
    ],
)
def test_a_hold_that_prosody_would_not_understand(holds_file: Path, bad: object) -> None:
    holds_file.write_text(json.dumps({"format": 1, "holds": [HOLD, bad]}))
    with pytest.raises(ValueError, match="hold 2 is not as it should be"):
        program.holds(SETTINGS)


def test_a_file_system_is_told_once_and_files_are_none(tmp_path: Path) -> None:
    table = tmp_path / "mounts"
    (tmp_path / "a b").mkdir()
    plain = tmp_path / "file"
    plain.touch()
    place = str(tmp_path / "a b").replace(" ", "\\040")
    table.write_text(
        f"proc /proc proc rw 0 0\n/dev/a {place} ext4 rw 0 0\n"
        f"/dev/a {tmp_path} ext4 rw 0 0\n/dev/b {plain} ext4 rw 0 0\n"
    )
    (found,) = program.disks(str(table))
    assert found["at"] == str(tmp_path)
    assert 0 <= found["free_percent"] <= 100


def test_the_days_of_a_certificate(tmp_path: Path) -> None:
    file = tmp_path / "fullchain.pem"
    words = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-noenc",
        "-subj",
        "/CN=x",
    ]
    subprocess.run([*words, "-days", "5", "-keyout", "/dev/null", "-out", file], check=True, capture_output=True)
    (tmp_path / "link.pem").symlink_to(file)
    found = program.certificates({"certificates": [f"{tmp_path}/*.pem"]}, time.time())
    assert len(found) == 1, "two names of one certificate"
    assert 4.9 < found[0]["days"] <= 5


def test_what_waits_is_counted_with_the_events(tmp_path: Path) -> None:
    """What waits in the file of events lies in no folder of the queue."""
    (tmp_path / "queue").mkdir()
    with (tmp_path / "queue" / "lines.1").open("wb") as stream:
        stream.truncate(3 << 20)
    settings = {**SETTINGS, "queue": str(tmp_path / "queue"), "events": str(tmp_path / "room")}
    found = program.look(settings, 0)
    assert found["queue_megabytes"] is None, "nobody has said how much it is"
    assert any(fault.startswith("queue_megabytes: ") for fault in found["faults"])
    (tmp_path / "room").write_text(f"{5 << 20}\n")
    assert program.queue(settings) == 8
    assert program.queue({**settings, "events": ""}) == 3


def test_only_a_server_with_a_log_host_has_events_that_wait(tmp_path: Path) -> None:
    bare = load(make_site(tmp_path / "bare"))
    logged = load(make_site(tmp_path / "logged", BASE_SITE, BASE_HOSTS.replace("    gateway:", LOG_HOST)))
    says = "/run/sallyport-events/room"
    assert [health(site, site.host("im-int"))["events"] for site in (bare, logged)] == ["", says]
    assert [health(logged, logged.host(name))["events"] for name in ("gw", "log")] == ["", ""]


def test_what_cannot_be_found_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "SIGNATURES", "/nonexistent/state.json")
    monkeypatch.setenv("PATH", "/nonexistent")
    found = program.look(SETTINGS, 0)
    assert found["antivirus"] is None
    assert found["failed"] is None
    said = " ".join(found["faults"])
    assert "antivirus: " in said
    assert "failed: " in said
    assert found["time"] == "1970-01-01T00:00:00Z"


def test_the_line_is_never_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "health.json").write_text(json.dumps(SETTINGS))
    monkeypatch.setattr(program, "SETTINGS", str(tmp_path / "health.json"))
    monkeypatch.setattr(program, "look", lambda _settings, _now: {"failed": ["x" * 300] * 100})
    program.main([])
    line = capsys.readouterr().out
    assert len(line) < 8192
    assert json.loads(line)["faults"]
