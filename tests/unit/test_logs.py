# SPDX-License-Identifier: GPL-3.0-or-later
"""Who hands which logs to whom, and that the program that hands over events leaves out no line."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible_collections.sallyport.im.plugins.plugin_utils.derive import host_settings
from ansible_collections.sallyport.im.plugins.plugin_utils.flows import LOG_INPUTS, log_inputs
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site, load
from unit.host_programs import ROOT, load_program
from unit.sites import BASE_HOSTS, BASE_SITE, EXTERNAL_HOSTS, EXTERNAL_SITE, make_site, moment

NOW = moment("2026-06-01")
LOG_HOST = """    log_host:
      hosts:
        log:
          ansible_host: 10.20.0.14
          sallyport_addresses: {servers: [10.20.1.14, "fd12:20:0:2::14"]}
"""
SECOND_DESK = """        {name}:
          ansible_host: 10.20.0.{number}
          sallyport_addresses: {{desktops: [10.20.2.{number}]}}
"""
ship: Any = load_program("roles/log_shipping/files/ship-events")


def logged_site(folder: Path, desks: int = 0, text: str = EXTERNAL_SITE) -> Site:
    """Load a site with a log host, and further desktops before the one that is there."""
    more = "".join(SECOND_DESK.format(name=f"a{number}", number=number) for number in range(100, 100 + desks))
    hosts = EXTERNAL_HOSTS.replace("    desktops:\n      hosts:\n", f"{LOG_HOST}    desktops:\n      hosts:\n{more}")
    return load(make_site(folder, text, hosts))


def test_each_host_has_an_input_of_its_own_that_newcomers_do_not_move(tmp_path: Path) -> None:
    before = log_inputs(logged_site(tmp_path / "before"))
    after = log_inputs(logged_site(tmp_path / "after", desks=100))
    assert {*before} == {"im-int", "im-ext", "gw", "desk", "log"}
    assert len({*after.values()}) == len(after) == len(before) + 100
    assert {*after.values()} <= {*LOG_INPUTS}
    assert {name: after[name] for name in before} == before


def test_a_site_without_a_log_host_ships_nothing(tmp_path: Path) -> None:
    site = load(make_site(tmp_path, BASE_SITE, BASE_HOSTS))
    assert log_inputs(site) == {}
    settings = host_settings(site, "im-int", NOW)
    assert "log_shipping" not in settings
    assert "rsyslog" not in settings["packages"]
    gateway = host_settings(site, "gw", NOW)
    assert "log_witness" not in gateway
    assert "sallyport-witness.service" not in gateway["health"]["units"]


def test_what_a_host_knows_of_the_log_host(tmp_path: Path) -> None:
    site = logged_site(tmp_path)
    port = log_inputs(site)
    for name, events in (("im-int", True), ("im-ext", True), ("gw", False), ("desk", False), ("log", False)):
        settings = host_settings(site, name, NOW)
        shipping = settings["log_shipping"]
        assert shipping["certificate"]["dns"] == [f"{name}.logs.im.fjord.example"]
        assert shipping["certificate"]["client"] is True
        assert (shipping["name"], shipping["address"]) == ("logs.im.fjord.example", "10.20.1.14")
        assert shipping["port"] == (port["log"] if name == "log" else 20514)
        assert bool(shipping["events"]) is events
        assert (shipping["queue_megabytes"], shipping["messages_days"]) == (1024, 365)
        if events:
            assert settings["im"]["log_room"] == settings["health"]["events"] == ship.ROOM
        assert {"rsyslog", "rsyslog-relp", "openssl"} <= {*settings["packages"]}
        assert ("log_host" in settings) is (name == "log")


def test_a_server_refuses_only_where_the_site_says_so(tmp_path: Path) -> None:
    site = logged_site(tmp_path, text=f"{EXTERNAL_SITE}  logging: {{when_full: alarm}}\n")
    for name in ("im-int", "im-ext"):
        assert host_settings(site, name, NOW)["im"]["log_room"] == ""


def test_copies_are_kept_as_long_as_what_they_are_of(tmp_path: Path) -> None:
    """The line for systemd-tmpfiles, done by it."""
    variables = yaml.safe_load((ROOT / "roles/log_shipping/vars/main.yml").read_text(encoding="utf-8"))
    files = {file["path"]: file["content"] for file in variables["__log_shipping_events_service"]["files"]}
    text = files["/etc/tmpfiles.d/sallyport-events.conf"]
    line = jinja2.Template(text).render(log_shipping_settings={"messages_days": 3}).splitlines()[1]
    folder = tmp_path / "damaged"
    assert Path(ship.KEPT).parts[1:] == Path(line.split()[1]).parts[1:]
    (tmp_path / "tmpfiles.conf").write_text(line.replace(ship.KEPT, str(folder)) + "\n", encoding="utf-8")
    clean = ["systemd-tmpfiles", "--clean", str(tmp_path / "tmpfiles.conf")]
    subprocess.run(clean, check=True)
    assert not folder.exists()
    folder.mkdir()
    for name, days in (("old", 3.1), ("new", 2.9)):
        (folder / name).touch()
        os.utime(folder / name, (time.time(), time.time() - days * 86400))
    subprocess.run(clean, check=True)
    assert [file.name for file in folder.iterdir()] == ["new"]


def test_the_log_host_knows_each_host_by_certificate_and_port(tmp_path: Path) -> None:
    site = logged_site(tmp_path)
    taking = host_settings(site, "log", NOW)["log_host"]
    assert taking["listen"] == ["10.20.1.14", "fd12:20:0:2::14"]
    assert taking["certificate"]["client"] is False
    assert {one["host"]: one["port"] for one in taking["senders"]} == log_inputs(site)
    assert all(one["certificate"] == f"{one['host']}.logs.im.fjord.example" for one in taking["senders"])


def test_the_gateway_is_the_witness_of_the_log_host_alone(tmp_path: Path) -> None:
    site = logged_site(tmp_path)
    settings = {name: host_settings(site, name, NOW) for name in log_inputs(site)}
    assert {name for name, found in settings.items() if "log_witness" in found} == {"gw"}
    assert {name for name, found in settings.items() if "witness" in found["log_shipping"]} == {"log"}
    witness = settings["gw"]["log_witness"]
    assert (witness["listen"], witness["port"]) == (["10.20.1.2", "fd12:20:0:2::2"], 20514)
    assert witness["sender"] == "log.logs.im.fjord.example"
    assert witness["certificate"]["dns"] == ["witness.im.fjord.example"]
    assert witness["certificate"]["client"] is False
    assert settings["log"]["log_shipping"]["witness"] == {
        "name": "witness.im.fjord.example",
        "address": "10.20.1.2",
        "port": 20514,
    }
    # a name and a folder of their own each
    certificates = [witness["certificate"], settings["log"]["log_host"]["certificate"]]
    certificates += [found["log_shipping"]["certificate"] for found in settings.values()]
    assert len({one["common_name"] for one in certificates}) == len(certificates)
    assert len({one["directory"] for one in certificates}) == 3


def test_what_waits_already_needs_no_further_room(tmp_path: Path) -> None:
    """The script that looks at the disk, with other paths: free room, the queue, and the events that wait."""
    tasks = yaml.safe_load((ROOT / "roles/log_shipping/tasks/disk.yml").read_text(encoding="utf-8"))
    script = tasks[0]["ansible.builtin.command"]["argv"][2].replace("/run/", f"{tmp_path}/run/")
    script = script.replace("/var/lib", str(tmp_path))

    def counted() -> list[int]:
        done = subprocess.run(["sh", "-c", script], check=True, capture_output=True, text=True)
        assert done.stderr == ""
        return [int(line) for line in done.stdout.split()][1:]

    assert counted() == []
    (tmp_path / "run/sallyport-events").mkdir(parents=True)
    (tmp_path / "run/sallyport-events/room").write_text(f"{900 << 20}\n")
    assert counted() == [900]
    (tmp_path / "sallyport-logs").mkdir()
    (tmp_path / "sallyport-logs" / "lines").write_bytes(b"x" * (2 << 20))
    assert counted() in ([2, 900], [3, 900])


SUDO = {"_EXE": "/usr/bin/sudo", "_COMM": "sudo", "_CAP_EFFECTIVE": "1ffffffffff", "_UID": "1000"}
JOURNAL: list[tuple[bool, dict[str, str]]] = [
    (True, SUDO),
    # a container, where the journal does not see the program
    (True, {**SUDO, "_EXE": "", "_CAP_EFFECTIVE": "a82435fb"}),
    (True, {"_TRANSPORT": "kernel"}),
    (True, {"_SYSTEMD_UNIT": "ssh.service", "_EXE": "/usr/lib/openssh/sshd-session", "_CAP_EFFECTIVE": "1ffffffffff"}),
    (True, {"_SYSTEMD_UNIT": "prosody.service", "_CAP_EFFECTIVE": "0"}),
    (True, {"_SYSTEMD_UNIT": "sallyport-health.service", "_UID": "0"}),
    (True, {"_PID": "1", "UNIT": "prosody.service"}),
    # another program of that name; sudo with LD_PRELOAD, which no_new_privs permits; one that was gone too soon
    (False, {**SUDO, "_EXE": "/home/eva/sudo", "_CAP_EFFECTIVE": "0"}),
    (False, {**SUDO, "_EXE": "/home/eva/sudo"}),
    (False, {**SUDO, "_EXE": "", "_CAP_EFFECTIVE": "0"}),
    (False, {**SUDO, "_CAP_EFFECTIVE": "0"}),
    # a session, where there is no logind
    (False, {"_SYSTEMD_UNIT": "ssh.service", "_EXE": "", "_COMM": "sudo", "_CAP_EFFECTIVE": "0"}),
    (False, {"_COMM": "sudo"}),
    (False, {"SYSLOG_IDENTIFIER": "sallyport-health", "_EXE": "/usr/bin/logger", "_CAP_EFFECTIVE": "1ffffffffff"}),
    (False, {"UNIT": "prosody.service", "_PID": "4242"}),
]


@pytest.mark.parametrize(("taken", "line"), JOURNAL)
def test_a_line_is_chosen_by_what_the_journal_sees(taken: bool, line: dict[str, str]) -> None:
    """The condition of the template, its operators put into Python's."""
    role = ROOT / "roles/log_shipping"
    defaults = yaml.safe_load((role / "defaults/main.yml").read_text(encoding="utf-8"))
    lists = {
        "log_shipping_units": ["prosody.service", "ssh.service"],
        "log_shipping_programs": defaults["log_shipping_programs"],
    }
    text = (role / "templates/rsyslog.conf.j2").read_text(encoding="utf-8")
    condition = text.partition("\nif ")[2].partition(" then {")[0]
    for name, values in lists.items():
        condition = condition.replace(f"{{{{ {name} | to_json }}}}", json.dumps(values))
        names = json.dumps([Path(value).name for value in values])
        condition = condition.replace(f"{{{{ {name} | map('basename') | to_json }}}}", names)
    condition = re.sub(r"\$!(\w+) startswith (\S+)", r'said("\1").startswith(\2)', condition)
    condition = re.sub(r"\$!(\w+) == \[", r'said("\1") in [', condition)
    condition = re.sub(r"\$!(\w+)", r'said("\1")', condition)
    assert eval(f"({condition})", {"said": lambda name: line.get(name, "")}) is taken


# --- the program that hands over events ---


@pytest.fixture
def events(tmp_path: Path) -> Path:
    return tmp_path / "im-events.jsonl"


def write(path: Path, *numbers: int, end: str = "\n") -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.write("".join(f'{{"id":"{number}"}}{end}' for number in numbers))


def put_away(path: Path, number: int, *, packed: bool = False, seconds: int = 60) -> Path:
    """Rename a file as logrotate does, some seconds after it was last written."""
    target = path.with_name(f"{path.name}-2026060{number}-178000000{number}")
    path.rename(target)
    then = time.time() - seconds
    if packed:
        content = target.read_bytes()
        target.unlink()
        target = target.with_name(f"{target.name}.gz")
        target.write_bytes(gzip.compress(content))
    os.utime(target, (then, then))
    return target


def position_at(folder: Path) -> Any:
    return ship.Position(str(folder / "position.json"))


def drain(reader: Any, limit: int = 100) -> Iterator[tuple[str, str, int]]:
    for line, first, offset in reader.lines(limit):
        yield json.loads(line)["id"], first, offset


def all_of(path: Path, position: Any) -> str:
    return " ".join(number for number, _first, _offset in drain(ship.Events(str(path), position)))


def test_only_whole_lines_are_handed_over(tmp_path: Path, events: Path) -> None:
    reader = ship.Events(str(events), position_at(tmp_path))
    assert reader.lines(10) == []
    write(events, 1, 2)
    write(events, 3, end="")
    assert [entry[0] for entry in drain(reader)] == ["1", "2"]
    assert reader.lines(10) == []
    with events.open("a", encoding="utf-8") as stream:
        stream.write("\n")
    assert [entry[0] for entry in drain(reader)] == ["3"]


def test_a_line_is_handed_over_byte_for_byte(tmp_path: Path, events: Path) -> None:
    line = '{"body": "é\\u0001 \\"\\\\ #012  "} '.encode() + b"\t\x7f\xff"
    events.write_bytes(line + b"\n\n" + line + b"\n")
    assert [entry[0] for entry in ship.Events(str(events), position_at(tmp_path)).lines(10)] == [line, b"", line]


def test_what_was_not_acknowledged_is_handed_over_again(tmp_path: Path, events: Path) -> None:
    write(events, *range(5))
    entries = [*drain(ship.Events(str(events), position_at(tmp_path)))]
    position_at(tmp_path).note(*entries[2][1:])
    assert all_of(events, position_at(tmp_path)) == "3 4"
    # a note that cannot be read is none: all of it again, and nothing left out
    (tmp_path / "position.json").write_text("{", encoding="utf-8")
    assert all_of(events, position_at(tmp_path)) == "0 1 2 3 4"


@pytest.mark.parametrize("packed", [False, True])
def test_files_that_are_put_away_meanwhile_are_read_to_their_ends(tmp_path: Path, events: Path, packed: bool) -> None:
    write(events, 1, 2, 3)
    position = position_at(tmp_path)
    entries = [*drain(ship.Events(str(events), position))]
    position.note(*entries[0][1:])
    put_away(events, 1, packed=packed)
    write(events, 4, 5)
    put_away(events, 2, packed=packed)
    assert all_of(events, position) == "2 3 4 5"
    write(events, 6)
    assert all_of(events, position) == "2 3 4 5 6"


def test_a_file_is_put_away_under_the_reader_and_packed(tmp_path: Path, events: Path) -> None:
    write(events, 1)
    reader = ship.Events(str(events), position_at(tmp_path))
    assert [entry[0] for entry in drain(reader)] == ["1"]
    away = put_away(events, 1, seconds=0)
    write(events, 3)
    # the server still writes into the old one for a moment
    write(away, 2)
    assert [entry[0] for entry in drain(reader)] == ["2"]
    os.utime(away, (time.time() - 60, time.time() - 60))
    away.with_name(f"{away.name}.gz").write_bytes(gzip.compress(away.read_bytes()))
    away.unlink()
    assert [entry[0] for entry in drain(reader)] == ["3"]
    write(events, 4)
    assert [entry[0] for entry in drain(reader)] == ["4"]


def test_a_file_and_its_packed_copy_are_one(events: Path) -> None:
    write(events, 1)
    away = put_away(events, 1)
    away.with_name(f"{away.name}.gz").write_bytes(b"half of it")
    assert ship.files_of(str(events)) == [str(away), str(events)]


HARMS: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda packed: packed[: len(packed) // 2],
    "nothing": lambda packed: b"",
    "no header": lambda packed: b"x" * len(packed),
    "a wrong sum": lambda packed: packed[:-6] + b"xx" + packed[-4:],
    "a hole": lambda packed: packed[: len(packed) // 2] + b"\xff" * 40 + packed[len(packed) // 2 + 40 :],
    "garbage behind it": lambda packed: packed + b"garbage",
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_packed_file_holds_up_nothing(
    tmp_path: Path, events: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], harm: str
) -> None:
    monkeypatch.setattr(ship, "KEPT", str(tmp_path / "damaged"))
    write(events, 1)
    before = put_away(events, 1, packed=True)
    # of such a size that it is unpacked in several pieces
    write(events, *(int.from_bytes(hashlib.sha256(b"%d" % number).digest()) for number in range(2000)))
    lines = events.read_bytes().splitlines()
    bad = put_away(events, 2, packed=True)
    bad.write_bytes(HARMS[harm](bad.read_bytes()))
    os.utime(bad, (time.time() - 60, time.time() - 60))
    write(events, 8)
    put_away(events, 3, packed=True)
    write(events, 9)
    position = position_at(tmp_path)
    found = ship.Events(str(events), position).lines(10000)
    read = [line for line, _first, _offset in found]
    assert read[0] == b'{"id":"1"}'
    assert read[-2:] == [b'{"id":"8"}', b'{"id":"9"}']
    whole = read[1:-2]
    assert whole == lines[: len(whole)] or harm == "a hole"
    least, most = {"cut off": (950, 1050), "nothing": (0, 0), "no header": (0, 0), "a hole": (950, 2000)}.get(
        harm, (2000, 2000)
    )
    assert least <= len(whole) <= most
    (said,) = capsys.readouterr().out.splitlines()
    assert said.startswith(f"<1>{bad} is damaged: after {found[-3][2] if whole else 0} bytes of events ")
    assert (tmp_path / "damaged" / bad.name).read_bytes() == bad.read_bytes()
    # told once; and from before it, behind it, or within it, nothing is left out
    for number, rest in ((0, len(whole) + 2), (len(found) - 3, 2), (len(found) - 2, 1)):
        position.note(*found[number][1:])
        assert len(ship.Events(str(events), position_at(tmp_path)).lines(10000)) == rest
    assert capsys.readouterr().out == ""
    assert ship.waiting(str(events), position) > 0
    assert before.exists()


def test_a_damaged_file_of_which_no_copy_can_be_kept(
    tmp_path: Path, events: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(ship, "KEPT", str(tmp_path / "file" / "damaged"))
    write(events, 1)
    bad = put_away(events, 1, packed=True)
    bad.write_bytes(b"")
    os.utime(bad, (time.time() - 60, time.time() - 60))
    write(events, 2)
    assert all_of(events, position_at(tmp_path)) == "2"
    assert "no copy is kept: " in capsys.readouterr().out


def test_a_packed_file_of_two_parts(tmp_path: Path, events: Path) -> None:
    write(events, 1)
    away = put_away(events, 1, packed=True)
    away.write_bytes(away.read_bytes() + gzip.compress(b'{"id":"2"}\n'))
    os.utime(away, (time.time() - 60, time.time() - 60))
    write(events, 3)
    assert all_of(events, position_at(tmp_path)) == "1 2 3"


# packed at no time of day: the name of a test is the same for each process that runs a share of them
@pytest.mark.parametrize("behind", [b"", gzip.compress(b'{"id":"2"}\n', mtime=0)])
def test_zeros_behind_a_packed_part_are_no_damage(
    tmp_path: Path, events: Path, capsys: pytest.CaptureFixture[str], behind: bytes
) -> None:
    write(events, 1)
    away = put_away(events, 1, packed=True)
    away.write_bytes(away.read_bytes() + bytes(3 * ship.PIECE) + behind)
    os.utime(away, (time.time() - 60, time.time() - 60))
    write(events, 3)
    assert all_of(events, position_at(tmp_path)) == ("1 2 3" if behind else "1 3")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("size", [10, 5000, ship.LONGEST - 1, ship.LONGEST])
@pytest.mark.parametrize("packed", [False, True])
def test_a_file_is_known_whatever_the_length_of_its_first_line(
    tmp_path: Path, events: Path, size: int, packed: bool
) -> None:
    first = b"a" * size
    events.write_bytes(first + b'\n{"id":"1"}\n')
    position = position_at(tmp_path)
    reader = ship.Events(str(events), position)
    lines = reader.lines(10)
    assert [line for line, _first, _offset in lines] == [first, b'{"id":"1"}']
    # what an earlier version noted of a short line is still known
    if size < 4096:
        assert lines[0][1] == hashlib.sha256(first + b"\n").hexdigest()
    position.note(*lines[0][1:])
    os.utime(events, (time.time() - 60, time.time() - 60))
    put_away(events, 1, packed=packed)
    write(events, 2)
    put_away(events, 2, packed=packed)
    write(events, 3)
    assert all_of(events, position_at(tmp_path)) == "1 2 3"
    assert [number for number, _first, _offset in drain(reader)] == ["2", "3"]


def test_a_file_is_known_by_more_than_what_people_write(tmp_path: Path, events: Path) -> None:
    """The keys of an event are in order, and the text of a message stands before the id."""
    body = b'{"body":"' + b"the report of the day " * 1000 + b'","id":"%d"}\n'
    position = position_at(tmp_path)
    for number in (1, 2, 3):
        events.write_bytes(body % (10 * number) + b'{"id":"%d"}\n' % (10 * number + 1))
        if number == 1:
            position.note(*next(iter(drain(ship.Events(str(events), position))))[1:])
        put_away(events, number)
    assert all_of(events, position) == "11 20 21 30 31"


def test_an_empty_first_line_is_no_event_and_no_name(tmp_path: Path, events: Path) -> None:
    """After a write that failed, the server begins its next event on a line of its own."""
    position = position_at(tmp_path)
    for number in (1, 3, 5):
        events.write_bytes(b'\n{"id":"%d"}\n{"id":"%d"}\n' % (number, number + 1))
        put_away(events, number)
    entries = [*drain(ship.Events(str(events), position))]
    assert [number for number, _first, _offset in entries] == ["1", "2", "3", "4", "5", "6"]
    position.note(*entries[2][1:])
    assert all_of(events, position_at(tmp_path)) == "4 5 6"


@pytest.mark.parametrize("after", ["", "6 7", "6 7 8 9"])
def test_what_a_power_cut_took_from_the_file_costs_nothing_that_comes_later(
    tmp_path: Path, events: Path, after: str
) -> None:
    write(events, 1, 2, 3)
    kept = events.stat().st_size
    write(events, 4, 5)
    (*_, last) = ship.Events(str(events), position_at(tmp_path)).lines(10)
    position_at(tmp_path).note(*last[1:], last[0][-ship.ENDING :])
    # these were not on the disk yet
    os.truncate(events, kept)
    write(events, *map(int, after.split()))
    assert all_of(events, position_at(tmp_path)) == f"1 2 3 {after}".strip()


def test_a_place_is_known_again_behind_a_line_without_an_end(tmp_path: Path, events: Path) -> None:
    write(events, 1)
    write(events, 2, end="")
    put_away(events, 1)
    write(events, 3)
    _one, two, _three = ship.Events(str(events), position_at(tmp_path)).lines(10)
    position_at(tmp_path).note(*two[1:], two[0][-ship.ENDING :])
    assert all_of(events, position_at(tmp_path)) == "3"


def test_a_file_that_is_cut_under_the_reader_is_read_anew(tmp_path: Path, events: Path) -> None:
    write(events, 1, 2, 3)
    reader = ship.Events(str(events), position_at(tmp_path))
    assert [number for number, _first, _offset in drain(reader)] == ["1", "2", "3"]
    os.truncate(events, 0)
    write(events, 4)
    with pytest.raises(ship.Broken, match="shorter than what was read"):
        reader.lines(10)


@pytest.mark.parametrize("packed", [False, True])
def test_an_empty_file_among_those_put_away_hides_none(tmp_path: Path, events: Path, packed: bool) -> None:
    for number in (1, 2, 3):
        events.touch()
        if number != 2:
            write(events, number)
        put_away(events, number, packed=packed)
    write(events, 4)
    (events.parent / f"{events.name}-20260600-old").mkdir()
    assert all_of(events, position_at(tmp_path)) == "1 3 4"


def test_a_file_that_is_removed_while_it_is_read_hides_none(tmp_path: Path, events: Path) -> None:
    away = []
    for number in (1, 2, 3):
        write(events, number)
        away.append(put_away(events, number))
    write(events, 4)
    reader = ship.Events(str(events), position_at(tmp_path))
    away[0].unlink()
    assert [number for number, _first, _offset in drain(reader)] == ["1", "2", "3", "4"]


def test_a_file_is_known_while_its_first_line_is_written(events: Path) -> None:
    events.write_bytes(b"a" * (ship.BEGINNING - 1))
    assert ship.identity(str(events)) == ""
    known = []
    for more in (b"a", b"a", b"\n", b"b\n"):
        with events.open("ab") as stream:
            stream.write(more)
        known.append(ship.identity(str(events)))
    assert len({*known}) == 1
    assert known[0]


def test_no_more_bytes_than_fit_into_the_memory_are_on_their_way(tmp_path: Path, events: Path) -> None:
    events.write_bytes((b"a" * 300_000 + b"\n") * 20)
    reader = ship.Events(str(events), position_at(tmp_path))
    sizes = []
    while lines := reader.lines(ship.WINDOW):
        sizes.append([len(line) for line, _first, _offset in lines])
    assert sizes == [[300_000] * 4] * 5
    assert reader.lines(ship.WINDOW, 0) == []


@pytest.mark.parametrize("where", ["first", "last", "packed"])
def test_a_line_that_is_too_long_is_kept_here_and_holds_up_nothing(
    tmp_path: Path, events: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    monkeypatch.setattr(ship, "KEPT", str(tmp_path / "damaged"))
    long = b"l" * (2 * ship.LONGEST + 7)
    whole = b"w" * ship.LONGEST
    lines = [long, b"1", whole] if where == "first" else [whole, b"1", long]
    position = position_at(tmp_path)
    reader = ship.Events(str(events), position)
    # not whole yet
    events.write_bytes(b"\n".join(lines))
    expected = [None if line is long else line for line in lines]
    at = expected.index(None)
    if where == "packed":
        put_away(events, 1, packed=True)
        write(events, 9)
        expected.append(b'{"id":"9"}')
    else:
        given = [line for line, _first, _offset in reader.lines(10)]
        assert given == expected[:2]
        with events.open("ab") as stream:
            stream.write(b"\n")
    found = ship.Events(str(events), position).lines(10)
    if where != "packed":
        assert [line for line, _first, _offset in reader.lines(10)] == expected[2:]
    assert [line for line, _first, _offset in found] == expected
    before = found[at - 1][2] if at else 0
    said = {*capsys.readouterr().out.splitlines()}
    (kept,) = (tmp_path / "damaged").iterdir()
    name = f"{events}-20260601-1780000001.gz" if where == "packed" else str(events)
    size = len(long) + (where != "packed")
    assert said == {
        f"<1>{name} has a line that is too long: after {before} bytes of events, {size} bytes, kept as {kept}"
    }
    assert kept.read_bytes() == long + (b"" if where == "packed" else b"\n")
    # once is enough, and what follows is known
    position.note(*found[at][1:])
    rest = [line for line, _first, _offset in ship.Events(str(events), position_at(tmp_path)).lines(10)]
    assert rest == expected[at + 1 :]
    assert capsys.readouterr().out == ""


def test_a_line_that_is_too_long_counts_as_handed_over(
    tmp_path: Path, events: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log host gets what is before it and behind it, and the position goes on behind it."""
    for name in ("KEPT", "ROOM"):
        monkeypatch.setattr(ship, name, str(tmp_path / name))
    events.write_bytes(b"1\n" + b"l" * (ship.LONGEST + 1) + b"\n2\n" + b"l" * ship.LARGEST + b"\n")
    sent: list[bytes] = []

    class Host:
        """Takes all; then the connection ends."""

        def __init__(self) -> None:
            self.open: list[Any] = []

        def send(self, _command: bytes, *parts: tuple[bytes, Any]) -> None:
            for data, meaning in parts:
                assert len(data) <= ship.LARGEST
                sent.append(data.removeprefix(ship.HEADER))
                self.open.append(meaning)

        def answers(self, seconds: float) -> list[Any]:
            if seconds and not self.open:
                raise ship.Broken("over")
            found, self.open = self.open, []
            return found

    position = position_at(tmp_path)
    settings = {"queue_megabytes": 64, "events": str(events)}
    with pytest.raises(ship.Broken, match="over"):
        ship.hand_over(Host(), ship.Events(str(events), position), position, ship.Watch(settings), settings)
    assert sent == [b"1", b"2"]
    assert position_at(tmp_path).offset == events.stat().st_size
    assert ship.waiting(str(events), position) == 0


def test_how_much_waits(tmp_path: Path, events: Path) -> None:
    position = position_at(tmp_path)
    assert ship.waiting(str(events), position) == 0
    write(events, 1, 2)
    size = events.stat().st_size
    assert ship.waiting(str(events), position) == size
    entries = [*drain(ship.Events(str(events), position))]
    position.note(*entries[0][1:])
    assert ship.waiting(str(events), position) == size // 2
    put_away(events, 1)
    write(events, 3)
    assert ship.waiting(str(events), position) == size
    position.note(*entries[1][1:])
    assert ship.waiting(str(events), position) == size // 2


def test_a_mark_is_fresh_while_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mark = tmp_path / "room"
    monkeypatch.setattr(ship, "ROOM", str(mark))
    settings = {"queue_megabytes": 1}
    megabyte = 1024 * 1024
    watch = ship.Watch(settings)
    assert not mark.exists(), "nothing is known yet"
    seen = []
    for part in (0.5, 0.89, 0.91, 0.85, 0.95, 0.79, 0.85):
        watch.look(int(part * megabyte), "")
        seen.append(time.time() - mark.stat().st_mtime < 5)
    assert seen == [True, True, False, False, False, True, True]
    said = capsys.readouterr().out.splitlines()
    # the first line is for an alert that a run before this one may have raised
    assert [line[:3] for line in said] == ["<5>", "<1>", "<5>"]
    # what is fresh is made fresh again, and a restart keeps that there is no room
    os.utime(mark, (1000, 1000))
    watch.look(0, "")
    assert time.time() - mark.stat().st_mtime < 5
    watch.look(megabyte, "")
    after = ship.Watch(settings)
    capsys.readouterr()
    after.look(int(0.85 * megabyte), "")
    assert mark.stat().st_mtime == 0
    assert capsys.readouterr().out == ""


def test_the_mark_is_there_before_the_log_host_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "im-events.jsonl", 1, 2)
    settings = {"queue_megabytes": 1, "events": str(tmp_path / "im-events.jsonl")}
    (tmp_path / "events.json").write_text(json.dumps(settings))
    for name, file in (("SETTINGS", "events.json"), ("STATE", "position.json"), ("ROOM", "room")):
        monkeypatch.setattr(ship, name, str(tmp_path / file))
    called: list[str] = []

    def connect(_: Any) -> None:
        called.append("room" if (tmp_path / "room").exists() else "nothing")
        raise SystemExit

    monkeypatch.setattr(ship, "LogHost", connect)
    with pytest.raises(SystemExit):
        ship.main()
    assert called == ["room"]
    assert (tmp_path / "room").read_text() == "22\n"


def test_a_person_is_told_when_the_log_host_is_away_for_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(ship, "ROOM", str(tmp_path / "room"))
    now = [1000.0]
    monkeypatch.setattr(ship.time, "monotonic", lambda: now[0])
    watch = ship.Watch({"queue_megabytes": 64})
    for seconds in (10, ship.SILENCE + 1, ship.SILENCE + 60, ship.SILENCE + ship.HOUR + 60):
        now[0] = 1000.0 + seconds
        watch.look(7, "no route")
    watch.took()
    watch.took()
    said = [line for line in capsys.readouterr().out.splitlines() if "room" not in line]
    assert [line[:3] for line in said] == ["<1>", "<1>", "<5>"]
    assert "7 bytes wait: no route" in said[0]


def test_what_a_run_told_of_before_a_restart_is_taken_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(ship, "ROOM", str(tmp_path / "room"))
    watch = ship.Watch({"queue_megabytes": 1})
    for _ in range(2):
        watch.took()
        watch.look(7, "")
    says = capsys.readouterr().out.splitlines()
    assert [line.rpartition(": ")[2] for line in says] == ["<5>the log host takes events again", "enough room again"]


FRAMES = {
    b"1 rsp 6 200 OK\n": [(1, b"rsp", b"200 OK")],
    b"12 rsp 6 200 OK\n0 serverclose 0\n": [(12, b"rsp", b"200 OK"), (0, b"serverclose", b"")],
    b"1 rsp 6 200 O": [],
    b"1 rsp": [],
    b"1 rsp 1": [],
}


@pytest.mark.parametrize(("arrived", "frames"), FRAMES.items())
def test_frames_of_the_log_host(arrived: bytes, frames: list[tuple[int, bytes, bytes]]) -> None:
    host = object.__new__(ship.LogHost)
    host.received = arrived
    found = []
    while frame := host._frame():
        found.append(frame)
    assert found == frames
