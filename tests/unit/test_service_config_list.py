# SPDX-License-Identifier: GPL-3.0-or-later
"""A list of services: its options, its order, and the action that proves by a new connection what it must."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible_collections.sallyport.im.plugins.action import service_config as action
from ansible_collections.sallyport.im.plugins.module_utils import service_run, service_units
from ansible_collections.sallyport.im.plugins.module_utils.programs import Done
from ansible_collections.sallyport.im.plugins.module_utils.service_options import Job, faults, jobs_of
from ansible_collections.sallyport.im.plugins.module_utils.service_plan import Service, WantedFile
from ansible_collections.sallyport.im.plugins.module_utils.service_transaction import Places
from ansible_collections.sallyport.im.plugins.module_utils.systemd import Systemd, SystemdError
from ansible_collections.sallyport.im.plugins.plugin_utils import new_connection
from ansible_collections.sallyport.im.plugins.plugin_utils.new_connection import NotProvenError, Session
from unit.service_fakes import QuickHealth

ME = str(os.geteuid())
MY_GROUP = str(os.getegid())


def entry(**changes: Any) -> dict[str, Any]:
    """Return an entry as the module's options deliver it."""
    defaults: dict[str, Any] = {"unit": None, "name": None, "enabled": True, "validate_seconds": 60}
    defaults |= {key: [] for key in ("apply", "files", "secret_files", "directories", "watch", "validate")}
    defaults |= {"health": {"tcp": [], "command": [], "timeout": 30, "stay": 1}, "confirm_seconds": 0}
    return defaults | changes


def a_file(path: str, **changes: str) -> dict[str, str]:
    common = {"content": "ä", "owner": "root", "group": "root", "mode": "0640", "on_change": "reload"}
    return {"path": path, **common, **changes}


# --- options ---


def test_wrong_options_are_named_all_at_once_with_their_entry() -> None:
    twice = a_file("etc/x", mode="416")
    entries = [
        entry(unit="prosody", files=[twice, twice], watch=[{"path": "/a/../b", "on_change": "reload"}], validate=[[]]),
        entry(unit="ssh.service", apply=[["true"]], confirm_seconds=14),
        entry(name="p.am", apply=[[]], confirm_seconds=601, files=[a_file("/etc/y")]),
        entry(name="pam", watch=[{"path": "/x", "on_change": "reload"}], secret_files=[a_file("/etc/y")]),
        entry(name="pam"),
    ]
    assert faults(entries) == [
        "prosody: unit is 'prosody'; a unit's name with its ending is needed, e.g. prosody.service",
        "prosody: validate: [] is empty; a program is needed",
        "prosody: files: path is 'etc/x'; an absolute path without . and .. is needed",
        "prosody: files: mode of etc/x is '416'; four octal digits in quotes: '0640'",
        "prosody: files: path is 'etc/x'; an absolute path without . and .. is needed",
        "prosody: files: path etc/x is declared twice; remove one of the two",
        "prosody: files: mode of etc/x is '416'; four octal digits in quotes: '0640'",
        "prosody: watch: path is '/a/../b'; an absolute path without . and .. is needed",
        "ssh.service: apply is for plain files; a unit is reloaded or restarted",
        "ssh.service: confirm_seconds is 14; 0, or 15 to 600 is allowed",
        "p.am: name is 'p.am'; small letters, digits, underscores and hyphens are allowed",
        "p.am: apply: [] is empty; a program is needed",
        "p.am: confirm_seconds is 601; 0, or 15 to 600 is allowed",
        "pam: watch needs programs that apply what has changed; add apply",
        "pam: path /etc/y is declared for p.am too; remove one of the two",
        "pam: is declared twice; put both into one entry",
    ]


def test_options_become_jobs() -> None:
    entries = [
        entry(unit="prosody.service", enabled=False, secret_files=[a_file("/etc/x")], validate=[["nft", 1]]),
        entry(name="audit", enabled=False, apply=[["augenrules", "--load"]], files=[a_file("/etc/a")]),
        entry(name="banner", files=[a_file("/etc/b")], confirm_seconds=60),
    ]
    assert faults(entries) == []
    unit, audit, banner = jobs_of(entries)
    assert unit.service.files == (WantedFile("/etc/x", "ä".encode(), "root", "root", 0o640, "reload", True),)
    assert (unit.service.enabled, unit.validate, unit.health.stay) == (False, (("nft", "1"),), 1)
    assert (audit.service.plain, audit.service.enabled, audit.health.stay) == (True, True, 0)
    assert audit.service.apply == (("augenrules", "--load"),)
    assert banner.service.files[0].on_change == "none", "nothing could apply it"
    assert banner.confirm_seconds == 60


# --- the list ---


@pytest.fixture(name="places")
def some_places(tmp_path: Path) -> Places:
    return Places(str(tmp_path / "state"), str(tmp_path / "removed"), str(tmp_path / "run"))


def jobs(folder: Path, *applies: str) -> list[Job]:
    """Return plain files `p0`, `p1`, ... each applied by the program of that place."""
    return [
        Job(
            Service(
                f"p{number}",
                files=(WantedFile(str(folder / f"p{number}.conf"), b"x", ME, MY_GROUP),),
                plain=True,
                apply=((program,),),
            ),
            QuickHealth(),
        )
        for number, program in enumerate(applies)
    ]


def test_the_first_failure_ends_the_run_and_names_its_entry(tmp_path: Path, places: Places) -> None:
    wanted = jobs(tmp_path, "true", "false", "true")
    said = service_run.run_all(wanted, 1, places=places, check=True)
    assert (said.done, len(said.differences), said.actions) == (3, 3, {f"p{n}": "apply" for n in range(3)})
    done = service_run.run_all(wanted, 1, places=places)
    assert done.faults[0].startswith("p1: false: exit status 1")
    assert done.faults[1:] == ["Not reached: p2."]
    assert done.differences == said.differences[:2]
    assert (done.done, done.changed) == (1, True)
    assert [path.name for path in sorted(tmp_path.glob("*.conf"))] == ["p0.conf"]


def test_check_mode_compares_all_of_them(tmp_path: Path, places: Places) -> None:
    wanted = jobs(tmp_path, "true", "true", "true")
    (tmp_path / "state").mkdir()
    (tmp_path / "state/p0.json").write_text("{")
    said = service_run.run_all(wanted, 1, places=places, check=True)
    assert [fault.split(":")[0] for fault in said.faults] == ["p0"]
    assert said.differences == [f"file {tmp_path}/p{n}.conf: is absent, should be there" for n in (1, 2)]


def test_many_units_are_asked_for_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def systemctl(self: Systemd, *words: str) -> str:
        asked.append([word for word in words if "." in word])
        return "\n\n".join(f"LoadState=loaded\nActiveState=active\nInvocationID={unit}" for unit in asked[-1])

    monkeypatch.setattr(Systemd, "command", systemctl)
    systemd = service_units.SeenUnits()
    systemd.look_ahead(["a.service", "b.service", "c.service"])
    assert systemd.show("b.service").invocation == "b.service"
    assert asked == [["a.service", "b.service", "c.service"]]
    systemd.show("b.service")
    assert asked[1:] == [["b.service"]], "an answer is used once"
    systemd.command("daemon-reload")
    systemd.show("a.service")
    assert asked[3:] == [["a.service"]], "what was done may have changed the others"


def test_programs_stop_at_the_first_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def run(argv: list[str], seconds: float, *, join: bool = False) -> Done:
        ran.append(argv[0])
        return Done(1 if argv[0] == "b" else 0, "no", "")

    monkeypatch.setattr(service_units, "run", run)
    programs = service_units.Programs([["a"], ["b"], ["c"]], str(tmp_path / "state/x.applied"))
    before = programs.show("x")
    for word in ("enable", "disable", "stop", "reset-failed", "unmask"):
        programs.command(word, "x")
    assert programs.show("x") == before
    with pytest.raises(SystemdError, match="b: exit status 1: no"):
        programs.command("apply", "x")
    assert ran == ["a", "b"]
    assert programs.show("x").change != before.change


# --- the action ---


class Host:
    """A host whose module answers what it was told to; and what it was asked."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)
        self.asked: list[list[str]] = []

    def execute(self, module_args: Mapping[str, Any]) -> dict[str, Any]:
        self.asked.append([one.get("unit") or one["name"] for one in module_args["services"]])
        return self.answers.pop(0)


SERVICES = [{"name": "a"}, {"unit": "ssh.service", "confirm_seconds": 40}, {"name": "b"}]


def played(host: Host, prove: Any, monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> dict[str, Any]:
    monkeypatch.setattr(new_connection, "prove", prove)
    task = SimpleNamespace(
        args={"services": SERVICES, **arguments}, check_mode=False, diff=False, async_val=0, environment=None
    )
    connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="unused"))
    plugin: Any = action.ActionModule(task, connection, SimpleNamespace(), DataLoader(), None, None)
    plugin._execute_module = lambda module_name, module_args, task_vars: host.execute(module_args)
    result: dict[str, Any] = plugin.run(None, {})
    return result


def test_the_action_confirms_and_goes_on_with_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    first = {"changed": True, "differences": ["d1"], "actions": {"ssh.service": "reload"}, "done": 2}
    host = Host(
        {**first, "unconfirmed": {"ssh.service": "token"}},
        {"changed": False, "differences": ["d2"], "actions": {"b": "apply"}, "done": 1},
    )
    proven: list[Any] = []

    def prove(plugin: Any, name: str, arguments: Any, variables: Any, seconds: int) -> dict[str, Any]:
        proven.append((arguments, seconds))
        return {"changed": False}

    result = played(host, prove, monkeypatch)
    assert proven == [({"services": [], "confirm": {"ssh.service": "token"}}, 40)]
    assert host.asked == [["a", "ssh.service", "b"], ["b"]]
    assert (result["differences"], result["changed"]) == (["d1", "d2"], True)
    assert result["actions"] == {"ssh.service": "reload", "b": "apply"}
    assert not {"unconfirmed", "done", "failed"} & set(result)


def test_the_action_proves_nothing_when_nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host({"changed": False, "differences": [], "done": 3})
    assert not played(host, None, monkeypatch).get("failed")
    host = Host({"failed": True, "msg": "a: no", "changed": False, "differences": ["d1"], "done": 0})
    result = played(host, None, monkeypatch)
    assert (result["failed"], result["msg"], result["differences"]) == (True, "a: no", ["d1"])
    assert played(Host(), None, monkeypatch, confirm={"x": "y"})["msg"].startswith("confirm: is set by this action")


def test_the_action_says_who_was_refused_and_what_was_not_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"changed": True, "differences": ["d1"], "done": 2, "unconfirmed": {"ssh.service": "t"}}

    def refused(*_arguments: Any) -> dict[str, Any]:
        raise NotProvenError(Session("10.0.0.1", "5000", "10.0.0.2", "22"), True, {}, "Permission denied")

    result = played(Host(answer), refused, monkeypatch)
    assert result["failed"]
    for part in ("ssh.service: no new", "from 10.0.0.1 to 10.0.0.2 port 22", "put the former", "Not reached: b."):
        assert part in result["msg"]
    assert result["differences"] == ["d1"]
    late = {"failed": True, "msg": "ssh.service: nobody confirmed the new files in time, the old ones are back"}
    result = played(Host(answer), lambda *_arguments: late, monkeypatch)
    assert result["msg"] == f"{late['msg']}\nNot reached: b."
