# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain files that programs apply, and changes that take themselves back, on real files and with real programs."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sallyport.im.plugins.module_utils import service_guard
from ansible_collections.sallyport.im.plugins.module_utils.service_plan import Service, WantedDirectory, WantedFile
from ansible_collections.sallyport.im.plugins.module_utils.service_transaction import (
    Failure,
    Outcome,
    Places,
    Transaction,
)
from unit.service_fakes import UNIT, PaperGuard, PaperSystemd, QuickHealth, tree

ME = str(os.geteuid())
MY_GROUP = str(os.getegid())

# Takes up the files as a kernel would: what it has taken up stands in a folder; it refuses a file that says `broken`.
APPLY = """\
#!/bin/sh
cd "$1" && rm -rf loaded && mkdir loaded && cp live/* loaded/ 2>/dev/null
echo applied >>calls
! grep -qr broken loaded || { echo "refused: $(cat loaded/*)"; exit 3; }
"""


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
    """A set of plain files in a folder, and the program that applies them."""

    folder: Path
    confirm_seconds: int = 0

    def __post_init__(self) -> None:
        """Make the folder and the program."""
        self.live = self.folder / "live"
        self.live.mkdir()
        self.program = self.folder / "apply"
        self.program.write_text(APPLY)
        self.program.chmod(0o755)
        self.places = Places(str(self.folder / "state"), str(self.folder / "removed"), str(self.folder / "run"))
        self.guard = PaperGuard(self.folder)

    def service(self, word: str = "one", **changes: Any) -> Service:
        files = tuple(
            WantedFile(str(self.live / name), text.encode(), ME, MY_GROUP, 0o640, "reload", secret)
            for name, text, secret in (("a.rules", word, False), ("b.rules", f"hunter2-{word}", True))
        )
        apply = ((str(self.program), str(self.folder)),)
        return replace(Service("rules", True, files, plain=True, apply=apply), **changes)

    def transaction(self, service: Service, kind: type[Transaction] = Transaction) -> Transaction:
        return kind(service, QuickHealth(), places=self.places, guard=self.guard, confirm_seconds=self.confirm_seconds)

    def run(self, service: Service | None = None, *, check: bool = False) -> Outcome:
        return self.transaction(service or self.service()).run(check=check)

    def killed(self, service: Service, step: int) -> bool:
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

    def calls(self) -> int:
        calls = self.folder / "calls"
        return len(calls.read_text().splitlines()) if calls.exists() else 0

    def on_disk(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in self.live.iterdir()}

    def loaded(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in (self.folder / "loaded").iterdir()}


@pytest.fixture(name="bench")
def a_bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(name="settled")
def a_settled_bench(bench: Bench) -> Bench:
    bench.run()
    return bench


def test_plain_files_are_written_and_applied_once(bench: Bench) -> None:
    said = bench.run(check=True)
    assert bench.calls() == 0
    done = bench.run()
    assert done.differences == said.differences
    assert done.action == said.action == "apply"
    assert bench.loaded() == bench.on_disk() == {"a.rules": "one", "b.rules": "hunter2-one"}
    before = tree(bench.folder)
    assert (bench.run().differences, bench.calls()) == ([], 1)
    assert tree(bench.folder) == before


def test_a_program_may_be_one_of_the_files_that_it_applies(bench: Bench) -> None:
    bench.program.unlink()
    with pytest.raises(Failure, match="not on this host, but needed"):
        bench.run()
    brought = WantedFile(str(bench.program), APPLY.encode(), ME, MY_GROUP, 0o755, "reload")
    service = bench.service()
    assert bench.run(replace(service, files=(*service.files, brought))).action == "apply"
    assert bench.calls() == 1


def test_files_that_were_right_before_the_first_run_are_applied(bench: Bench) -> None:
    bench.run()
    (bench.folder / "state/rules.json").unlink()
    assert bench.run().differences == [
        f"file {bench.live}/{name}.rules: is not applied, should be" for name in ("a", "b")
    ]
    assert bench.run().differences == []


def test_other_programs_apply_the_same_files_again(settled: Bench) -> None:
    other = settled.service()
    other = replace(other, apply=(*other.apply, ("true",)))
    assert settled.run(other).differences == [
        f"file {settled.live}/{name}.rules: is not applied, should be" for name in ("a", "b")
    ]
    assert settled.run(other).differences == []


def test_what_the_programs_refuse_is_put_back_and_applied_again(settled: Bench) -> None:
    before = tree(settled.live)
    with pytest.raises(Failure, match=r"(?s)exit status 3: refused.*The old files are back and applied") as caught:
        settled.run(settled.service("broken"))
    assert "hunter2" not in str(caught.value)
    assert tree(settled.live) == before
    assert settled.loaded() == settled.on_disk()
    assert settled.run().differences == []


def test_programs_that_always_fail_leave_the_old_files_and_are_tried_again(settled: Bench) -> None:
    before = settled.on_disk()
    service = settled.service("two")
    hopeless = replace(service, apply=(*service.apply, ("false",)))
    with pytest.raises(Failure, match="old files are back, but the programs fail with them too: false"):
        settled.run(hopeless)
    assert settled.on_disk() == before
    assert not Path(settled.places.state, "rules.journal").exists()
    calls = settled.calls()
    assert len(settled.run().differences) == 2
    assert (settled.calls(), settled.run().differences) == (calls + 1, [])


def test_a_program_that_is_not_there_is_named_before_anything_is_touched(settled: Bench) -> None:
    before = tree(settled.folder)
    with pytest.raises(Failure, match=r"no-such-program: not on this host.*Nothing was changed"):
        settled.run(settled.service("two", apply=(("no-such-program",),)))
    assert tree(settled.live) == {name.removeprefix("live/"): m for name, m in before.items() if "live/" in name}


def test_files_without_programs(bench: Bench) -> None:
    files = tuple(replace(file, on_change="none") for file in bench.service().files)
    service = bench.service(files=files, apply=())
    assert bench.run(service).action == "none"
    assert bench.run(service).differences == []
    less = replace(service, files=files[:1])
    assert bench.run(less).differences == [f"file {bench.live}/b.rules: is there from an earlier run, should not be"]
    assert bench.run(less).differences == []


@pytest.mark.parametrize("step", range(10))
@pytest.mark.parametrize("then", ["one", "two", "broken"])
def test_killed_at_any_step(settled: Bench, step: int, then: str) -> None:
    was_killed = settled.killed(settled.service("two"), step)
    assert was_killed == (step < 9)
    if then == "broken":
        with pytest.raises(Failure):
            settled.run(settled.service("broken"))
        then = "one" if was_killed else "two"
    else:
        said = settled.run(settled.service(then), check=True).differences
        assert settled.run(settled.service(then)).differences == said
    assert settled.run(settled.service(then)).differences == []
    assert settled.loaded() == settled.on_disk() == {"a.rules": then, "b.rules": f"hunter2-{then}"}


# --- changes that take themselves back ---


@pytest.fixture(name="guarded")
def a_guarded_bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.run()
    bench.confirm_seconds = 30
    return bench


def test_a_confirmed_change_stays(guarded: Bench) -> None:
    outcome = guarded.run(guarded.service("two"))
    assert guarded.guard.seconds == 30
    assert guarded.run(guarded.service("two"), check=True).differences == [
        "files rules: its new files are not confirmed, should be"
    ]
    assert not service_guard.confirm(guarded.guard, "of another run")
    assert service_guard.confirm(guarded.guard, outcome.token)
    assert not service_guard.confirm(guarded.guard, outcome.token), "twice is too late"
    assert guarded.run(guarded.service("two")).differences == []
    assert guarded.loaded() == guarded.on_disk() == {"a.rules": "two", "b.rules": "hunter2-two"}


def test_nothing_is_armed_when_nothing_differs(guarded: Bench) -> None:
    assert guarded.run().token == ""
    assert not guarded.guard.is_armed()


def test_what_nobody_confirms_goes_back_and_is_tried_again(guarded: Bench) -> None:
    before = tree(guarded.live)
    first = guarded.service("two")
    first = replace(first, files=(*first.files[:1], replace(first.files[0], path=f"{guarded.live}/c.rules")))
    said = guarded.run(first).differences
    assert (sorted(guarded.on_disk()), guarded.guard.is_armed()) == (["a.rules", "c.rules"], True)
    guarded.guard.fire()
    assert tree(guarded.live) == before
    assert guarded.loaded() == guarded.on_disk()
    again = guarded.run(first)
    assert set(said) <= set(again.differences), "with the file that is no longer declared"
    assert service_guard.confirm(guarded.guard, again.token)
    assert sorted(guarded.on_disk()) == ["a.rules", "c.rules"]
    assert guarded.run(first).differences == []


def test_the_next_run_ends_what_nobody_has_confirmed(guarded: Bench) -> None:
    guarded.run(guarded.service("two"))
    outcome = guarded.run(guarded.service("three"))
    assert guarded.guard.fired == 1
    guarded.guard.fire()
    assert guarded.on_disk()["a.rules"] == "one"
    assert outcome.token


def test_a_change_that_fails_by_itself_leaves_nothing_armed(guarded: Bench) -> None:
    with pytest.raises(Failure, match="old files are back and applied"):
        guarded.run(guarded.service("broken"))
    assert not guarded.guard.is_armed()
    assert guarded.on_disk()["a.rules"] == "one"


def test_a_guard_that_cannot_be_armed_stops_the_run_before_the_swap(guarded: Bench) -> None:
    guarded.guard.broken = True
    with pytest.raises(Failure, match="no timer here"):
        guarded.run(guarded.service("two"))
    assert guarded.on_disk()["a.rules"] == "one"
    guarded.guard.broken = False
    assert guarded.run().differences == []


@pytest.mark.parametrize("step", range(11))
@pytest.mark.parametrize("wanted", ["one", "two"])
def test_killed_with_a_guard(guarded: Bench, step: int, wanted: str) -> None:
    was_killed = guarded.killed(guarded.service("two"), step)
    assert was_killed == (step < 10)
    outcome = guarded.run(guarded.service(wanted))
    assert not outcome.token or service_guard.confirm(guarded.guard, outcome.token)
    assert guarded.run(guarded.service(wanted)).differences == []
    assert guarded.loaded() == guarded.on_disk() == {"a.rules": wanted, "b.rules": f"hunter2-{wanted}"}


@pytest.mark.parametrize("step", range(10))
def test_killed_and_taken_back_by_the_guard_alone(guarded: Bench, step: int) -> None:
    before = tree(guarded.live)
    assert guarded.killed(guarded.service("two"), step)
    guarded.guard.fire()
    assert tree(guarded.live) == before
    assert guarded.loaded() == guarded.on_disk()


def test_everything_that_a_swap_can_change_is_restored(tmp_path: Path) -> None:
    """The script, run twice: files, links, directories and what was moved aside stand as before, to the last mode."""
    live = tmp_path / "live dir's"
    live.mkdir()
    (live / "empty").write_text("")
    (live / "END").write_bytes(bytes(range(256)))
    (live / "link").symlink_to("no where")
    (live / "exclusive").mkdir(mode=0o700)
    (live / "exclusive/foreign").write_text("foreign")
    (live / "exclusive/folder").mkdir()
    (live / "exclusive/folder/x").write_text("x")
    (live / "END").chmod(0o604)
    before = tree(live)
    systemd = PaperSystemd(tmp_path)
    places = Places(str(tmp_path / "state"), str(tmp_path / "removed"), str(tmp_path / "run"))
    names = ("empty", "END", "link", "exclusive/mine", "exclusive/folder", "new/deep/file")
    files = tuple(WantedFile(str(live / name), b"new", ME, MY_GROUP) for name in names)
    service = Service(UNIT, True, files, (WantedDirectory(str(live / "exclusive"), ME, MY_GROUP, 0o750, True),))
    systemd.command("start", UNIT)
    guard = PaperGuard(tmp_path)
    transaction = Transaction(service, QuickHealth(), systemd=systemd, places=places, guard=guard, confirm_seconds=20)
    outcome = transaction.run()
    assert outcome.token
    assert tree(live) != before
    script = (guard.folder / "restore").read_text()
    assert subprocess.run(["sh", "-n"], input=script, text=True, check=True).returncode == 0
    guard.fire()
    assert tree(live) == before
    asked = "is-system-running, disable X, reset-failed X, reload-or-restart X, is-active --quiet X"
    once = asked.replace("X", UNIT).split(", ")
    assert guard.asked() == once * 2
