# SPDX-License-Identifier: GPL-3.0-or-later
"""The transaction of service_config on real files, with a systemd on paper; a killed run is really killed."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sallyport.im.plugins.module_utils.private_view import Stage, ViewError
from ansible_collections.sallyport.im.plugins.module_utils.run_lock import LockError, RunLock
from ansible_collections.sallyport.im.plugins.module_utils.service_plan import (
    Service,
    WantedDirectory,
    WantedFile,
    Watched,
)
from ansible_collections.sallyport.im.plugins.module_utils.service_transaction import (
    Failure,
    Outcome,
    Places,
    Transaction,
)
from ansible_collections.sallyport.im.plugins.module_utils.systemd import UnitState
from unit.service_fakes import UNIT, PaperGuard, PaperSystemd, QuickHealth, tree

ME = str(os.geteuid())
MY_GROUP = str(os.getegid())


def accept(argv: Sequence[str], stage: Stage, seconds: float) -> None:
    """A validator that reads the staged files and refuses `invalid`."""
    for path in Path(stage.root).rglob("*"):
        if path.is_file() and "invalid" in path.read_text():
            raise ViewError(f"{argv[0]}: exit status 1: {path.name} says {path.read_text()}")


class Killed(Transaction):
    """A transaction whose process is killed before a step."""

    kill_at = 10_000
    reached = 0

    def perform(self, name: str, step: Callable[[], None]) -> None:
        if self.reached == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.reached += 1
        super().perform(name, step)


@dataclass
class Bench:
    """A service in a folder."""

    folder: Path

    def __post_init__(self) -> None:
        """Make the folder and a service that does not run."""
        self.live = self.folder / "live"
        self.live.mkdir()
        self.systemd = PaperSystemd(self.folder)
        self.guard = PaperGuard(self.folder)
        self.places = Places(str(self.folder / "state"), str(self.folder / "removed"), str(self.folder / "run"))

    def service(self, *, conf: str = "one", plugin: str = "one", **changes: Any) -> Service:
        files = (
            self.file("etc/main.conf", conf),
            self.file("lib/plugin.lua", plugin, on_change="restart"),
            self.file("etc/secret.conf", "hunter2-hunter2", secret=True, mode=0o600),
        )
        directory = WantedDirectory(str(self.live / "etc"), ME, MY_GROUP, 0o750, True, ("kept*",))
        watch = (Watched(str(self.live / "tls.crt")),)
        return replace(Service(UNIT, True, files, (directory,), watch, str(self.live / "systemd")), **changes)

    def file(self, name: str, content: str, **more: Any) -> WantedFile:
        return WantedFile(str(self.live / name), content.encode(), ME, MY_GROUP, **{"mode": 0o640, **more})

    def transaction(self, service: Service, kind: type[Transaction] = Transaction) -> Transaction:
        return kind(
            service,
            QuickHealth(),
            validate=[["true"]],
            systemd=self.systemd,
            places=self.places,
            validator=accept,
            guard=self.guard,
        )

    def run(self, service: Service | None = None, *, check: bool = False) -> Outcome:
        return self.transaction(service or self.service()).run(check=check)

    def killed(self, service: Service, step: int) -> bool:
        """Run in a child that is killed before step number `step`; return whether it came that far."""
        child = os.fork()
        if child == 0:
            try:
                transaction = self.transaction(service, Killed)
                assert isinstance(transaction, Killed)
                transaction.kill_at = step
                transaction.run()
            finally:
                os._exit(0)
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])

    def calls(self) -> list[str]:
        calls: list[str] = self.systemd.read()["calls"]
        return calls

    def forget_calls(self) -> None:
        data = self.systemd.read()
        data["calls"] = []
        self.systemd.file.write_text(json.dumps(data))

    def loaded(self) -> dict[str, str]:
        loaded: dict[str, str] = self.systemd.read()["loaded"]
        return {str(Path(path).relative_to(self.live)): text for path, text in loaded.items()}

    def on_disk(self) -> dict[str, str]:
        return {str(path.relative_to(self.live)): path.read_text() for path in self.live.rglob("*") if path.is_file()}


@pytest.fixture(name="bench")
def a_bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(name="settled")
def a_settled_bench(bench: Bench) -> Bench:
    (bench.live / "tls.crt").write_text("certificate 1")
    bench.run()
    bench.forget_calls()
    return bench


def test_a_fresh_service_is_made_started_and_enabled(bench: Bench) -> None:
    outcome = bench.run()
    assert outcome.action == "start"
    assert bench.on_disk() == bench.loaded()
    assert bench.calls() == ["reset-failed demo.service", "start demo.service", "enable demo.service"]
    assert (bench.live / "etc").stat().st_mode & 0o7777 == 0o750
    assert (bench.live / "etc/secret.conf").stat().st_mode & 0o7777 == 0o600


def test_a_second_run_does_nothing_and_asks_systemd_once(settled: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tree(settled.folder)
    asked: list[str] = []
    show = settled.systemd.show

    def counted(unit: str) -> UnitState:
        asked.append(unit)
        return show(unit)

    monkeypatch.setattr(settled.systemd, "show", counted)
    outcome = settled.run()
    assert (outcome.differences, outcome.diff, outcome.action) == ([], [], "none")
    assert asked == [UNIT]
    assert tree(settled.folder) == before


@pytest.mark.parametrize(
    ("change", "action"),
    [
        ({"conf": "two"}, "reload"),
        ({"plugin": "two"}, "restart"),
        ({"conf": "two", "plugin": "two"}, "restart"),
    ],
)
def test_a_change_costs_what_it_needs(settled: Bench, change: dict[str, str], action: str) -> None:
    said = settled.run(settled.service(**change), check=True)
    assert settled.calls() == []
    done = settled.run(settled.service(**change))
    assert done.differences == said.differences
    assert done.diff == said.diff
    counters = [] if action == "reload" else ["reset-failed demo.service"]
    assert settled.calls() == [*counters, f"{action} demo.service"]
    assert settled.loaded() == settled.on_disk()
    assert settled.run(settled.service(**change)).differences == []


def test_check_mode_writes_nothing(settled: Bench) -> None:
    before = tree(settled.folder)
    outcome = settled.run(settled.service(conf="two"), check=True)
    assert outcome.differences == [f"file {settled.live}/etc/main.conf: content differs"]
    assert {name: mark for name, mark in tree(settled.folder).items() if not name.startswith("run")} == {
        name: mark for name, mark in before.items() if not name.startswith("run")
    }


def test_check_mode_on_a_host_without_anything(bench: Bench) -> None:
    files = (replace(bench.file("etc/main.conf", "one"), owner="nobody-here", group="nobody-here"),)
    service = bench.service(files=files)
    outcome = bench.run(service, check=True)
    assert f"file {bench.live}/etc/main.conf: is absent, should be there" in outcome.differences
    assert not outcome.validated
    with pytest.raises(Failure, match="user nobody-here: not on this host"):
        bench.run(service)
    assert bench.on_disk() == {}


def test_hand_made_changes_are_named_and_mended(settled: Bench) -> None:
    main = settled.live / "etc/main.conf"
    main.write_text("by hand")
    main.chmod(0o666)
    (settled.live / "etc/extra.conf").write_text("foreign")
    (settled.live / "etc/kept.conf").write_text("kept")
    outcome = settled.run()
    assert outcome.differences == [
        f"file {main}: content differs",
        f"file {main}: mode is 0666, should be 0640",
        f"{settled.live}/etc/extra.conf: is there, should not be",
    ]
    moved = outcome.moved[str(settled.live / "etc/extra.conf")]
    assert Path(moved).read_text() == "foreign"
    assert moved.startswith(str(settled.folder / "removed"))
    assert sorted(settled.on_disk()) == [
        "etc/kept.conf",
        "etc/main.conf",
        "etc/secret.conf",
        "lib/plugin.lua",
        "tls.crt",
    ]
    assert settled.run().differences == []


def test_a_link_in_the_place_of_a_file_is_replaced_and_its_end_left_alone(settled: Bench) -> None:
    elsewhere = settled.folder / "elsewhere"
    elsewhere.write_text("one")
    (settled.live / "etc/main.conf").unlink()
    (settled.live / "etc/main.conf").symlink_to(elsewhere)
    assert settled.run().differences == [f"file {settled.live}/etc/main.conf: is a link, should be a file"]
    assert not (settled.live / "etc/main.conf").is_symlink()
    assert elsewhere.read_text() == "one"


def test_a_new_certificate_is_loaded(settled: Bench) -> None:
    (settled.live / "tls.crt").write_text("certificate 2")
    assert settled.run().differences == [f"unit demo.service: runs with another {settled.live}/tls.crt, should reload"]
    assert settled.calls() == ["reload demo.service"]
    assert settled.loaded()["tls.crt"] == "certificate 2"
    assert settled.run().differences == []


def test_a_file_that_is_no_longer_declared_goes(settled: Bench) -> None:
    less = settled.service()
    less = replace(less, files=less.files[:1] + less.files[2:])
    outcome = settled.run(less)
    assert outcome.differences == [f"file {settled.live}/lib/plugin.lua: is there from an earlier run, should not be"]
    assert settled.calls() == ["reset-failed demo.service", "restart demo.service"]
    assert settled.run(less).differences == []


def test_a_drop_in_is_read_by_systemd_and_restarts(settled: Bench) -> None:
    service = settled.service()
    more = replace(service, files=(*service.files, settled.file("systemd/demo.service.d/x.conf", "[Service]")))
    settled.run(more)
    assert settled.calls() == ["daemon-reload", "reset-failed demo.service", "restart demo.service"]


def test_what_does_not_validate_touches_nothing(settled: Bench) -> None:
    before = tree(settled.live)
    with pytest.raises(Failure, match=r"(?s)main\.conf says invalid.*Nothing was changed"):
        settled.run(settled.service(conf="invalid"))
    assert tree(settled.live) == before
    assert settled.calls() == []
    with pytest.raises(Failure, match="invalid"):
        settled.run(settled.service(conf="invalid"), check=True)


@pytest.mark.parametrize("word", ["broken", "refused"])
def test_what_is_not_healthy_is_put_back(settled: Bench, word: str) -> None:
    (settled.live / "etc/extra.conf").write_text("foreign")
    (settled.live / "etc/main.conf").chmod(0o604)
    before = tree(settled.live)
    service = settled.service(conf=word)
    service = replace(service, files=(*service.files, settled.file("new/deep/x.conf", "new")))
    with pytest.raises(Failure, match="old files are back, and the service is well") as caught:
        settled.run(service)
    assert tree(settled.live) == before
    assert settled.systemd.show(UNIT).active == "active"
    assert settled.loaded() == settled.on_disk() or word == "refused"
    assert settled.loaded()["etc/main.conf"] == "one"
    assert "hunter2" not in str(caught.value)
    assert not Path(settled.places.state, f"{UNIT}.journal").exists()


def test_a_service_that_never_ran_is_stopped_again(bench: Bench) -> None:
    with pytest.raises(Failure, match="did not run before, is stopped"):
        bench.run(bench.service(conf="broken"))
    assert bench.on_disk() == {}
    assert bench.systemd.show(UNIT).active == "inactive"


@pytest.mark.parametrize("step", range(15))
@pytest.mark.parametrize("change", [{"conf": "two"}, {"conf": "two", "plugin": "two"}], ids=["reload", "restart"])
def test_killed_at_any_step_the_next_run_finishes(settled: Bench, change: dict[str, str], step: int) -> None:
    (settled.live / "etc/extra.conf").write_text("foreign")
    wanted = settled.service(**change)
    was_killed = settled.killed(wanted, step)
    said = settled.run(wanted, check=True).differences
    assert settled.run(wanted).differences == said
    assert settled.loaded() == settled.on_disk(), "a reload was forgotten"
    assert settled.on_disk() == {
        "etc/main.conf": "two",
        "etc/secret.conf": "hunter2-hunter2",
        "lib/plugin.lua": change.get("plugin", "one"),
        "tls.crt": "certificate 1",
    }
    assert "stop demo.service" not in settled.calls()
    assert settled.run(wanted).differences == []
    removed = [path for path in (settled.folder / "removed").rglob("extra.conf") if path.is_file()]
    assert [path.read_text() for path in removed] == ["foreign"]
    assert not list(settled.live.rglob("*.sallyport-new"))
    assert was_killed or step > 10, "a transaction has more steps than that"


@pytest.mark.parametrize("step", range(13))
@pytest.mark.parametrize("then", ["one", "invalid", "broken"])
def test_killed_and_then_wanted_otherwise(settled: Bench, step: int, then: str) -> None:
    """After a kill the site file is taken back, or replaced by one that cannot work: the old state returns."""
    before = settled.on_disk()
    service = settled.service(conf="two", plugin="two")
    service = replace(service, files=(*service.files, settled.file("lib/new.lua", "new", on_change="restart")))
    settled.killed(service, step)
    if then == "one":
        settled.run()
    else:
        with pytest.raises(Failure):
            settled.run(settled.service(conf=then))
    assert settled.on_disk() == before
    assert settled.loaded() == before
    assert settled.run().differences == []
    assert settled.loaded() == before


def test_killed_while_it_was_put_back(settled: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    before = settled.on_disk()
    transaction = settled.transaction(settled.service(conf="broken", plugin="two"))
    monkeypatch.setattr(transaction, "_roll_back", lambda: "killed here")
    with pytest.raises(Failure, match="killed here"):
        transaction.run()
    with pytest.raises(Failure, match="invalid"):
        settled.run(settled.service(conf="invalid"))
    assert settled.on_disk() == before
    assert settled.loaded() == before


def test_somebody_else_reloaded_a_hand_made_change_and_took_it_back(settled: Bench) -> None:
    main = settled.live / "etc/main.conf"
    main.write_text("by hand")
    settled.systemd.command("reload", UNIT)
    main.write_text("one")
    settled.forget_calls()
    assert f"unit demo.service: runs with another {main}, should reload" in settled.run().differences
    assert settled.loaded() == settled.on_disk()


def test_a_restart_by_somebody_else_is_no_difference(settled: Bench) -> None:
    settled.systemd.command("restart", UNIT)
    data = settled.systemd.read()
    data["state"]["started"] = data["state"]["changed"] = time.time() + 60
    settled.systemd.file.write_text(json.dumps(data))
    assert settled.run().differences == []


def test_a_stopped_and_disabled_service_comes_back(settled: Bench) -> None:
    settled.systemd.command("stop", UNIT)
    settled.systemd.command("disable", UNIT)
    assert settled.run().differences == [
        "unit demo.service: is inactive, should be active",
        "unit demo.service: is disabled at boot, should be enabled",
    ]
    assert settled.systemd.show(UNIT).active == "active"


def test_secrets_are_in_no_output(bench: Bench) -> None:
    outcome = bench.run()
    assert "hunter2" not in str(outcome.diff)
    assert "it is secret and not shown" in str(outcome.diff)
    service = bench.service()
    with pytest.raises(Failure) as caught:
        bench.run(replace(service, files=(bench.file("etc/secret.conf", "invalid hunter3-hunter3", secret=True),)))
    assert "hunter3" not in str(caught.value)


def test_a_damaged_state_file_is_named(settled: Bench) -> None:
    path = Path(settled.places.state, f"{UNIT}.json")
    path.write_text("{")
    with pytest.raises(Failure, match=f"{path}: is not a state file of format 1"):
        settled.run()


def test_two_runs_do_not_interleave(tmp_path: Path) -> None:
    path = str(tmp_path / "run/x.lock")
    with RunLock(path, 0), pytest.raises(LockError, match=f"process {os.getpid()}.*did not end within 0.2 s"):
        RunLock(path, 0.2).__enter__()
    with RunLock(path, 0):
        pass
