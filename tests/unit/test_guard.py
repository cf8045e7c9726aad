# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard: its own script is really run; only systemd is played."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.sallyport.im.plugins.module_utils import guard as guard_module
from ansible_collections.sallyport.im.plugins.module_utils.guard import Guard, GuardError
from ansible_collections.sallyport.im.plugins.module_utils.programs import Done
from ansible_collections.sallyport.im.plugins.module_utils.systemd import SystemdError, UnitState


class World:
    """A machine with a guard.

    Attributes:
        live: whether systemd has the timer.
        refuses: whether systemd takes no timer.
        started: the commands that were started.
    """

    def __init__(self, folder: Path) -> None:
        """Have no timer."""
        self.folder, self.live, self.refuses = folder, False, False
        self.started: list[list[str]] = []
        self.guard = Guard("test", root=str(folder / "guard"), units=str(folder / "units"))
        (folder / "units").mkdir()

    def run(self, argv: Sequence[str], seconds: float, *, join: bool = False) -> Done:
        """Play systemd-run; really run a shell."""
        self.started.append([*argv])
        if argv[0] == "systemd-run":
            self.live = not self.refuses
            return Done(1, "no timer today") if self.refuses else Done(0, "")
        done = subprocess.run([*argv], capture_output=True, text=True, timeout=10, check=False)
        return Done(done.returncode, done.stdout + done.stderr)

    def command(self, *words: str) -> str:
        """Play systemctl."""
        if words[0] == "stop" and not self.live:
            raise SystemdError("not loaded")
        self.live = False
        return ""

    def show(self, unit: str) -> UnitState:
        """Play systemctl show."""
        return UnitState(active="active" if self.live and unit.endswith(".timer") else "inactive")

    def fire(self) -> int:
        """Do what the timer does."""
        return subprocess.run(["/bin/sh", str(self.guard.folder / "fire")], check=False, timeout=10).returncode

    def left(self) -> list[str]:
        """List the files that are there."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if not path.is_dir())


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    found = World(tmp_path)
    monkeypatch.setattr(guard_module, "run", found.run)
    monkeypatch.setattr(guard_module, "Systemd", lambda: found)
    return found


def script(world: World, status: int = 0) -> str:
    return f"echo back >>{world.folder}/restored\nexit {status}\n"


def test_a_change_that_nobody_confirms_is_taken_back_once(world: World) -> None:
    world.guard.arm(script(world), 60)
    assert world.guard.is_armed()
    assert "--on-active=60" in world.started[0]
    assert world.left() == [
        "guard/test/fire",
        "guard/test/restore",
        "units/sallyport-guard-test-boot.service",
        "units/sysinit.target.wants/sallyport-guard-test-boot.service",
    ]
    assert world.fire() == 0
    assert not world.guard.is_armed()
    assert not world.guard.disarm()
    assert world.left() == ["restored"]
    assert (world.folder / "restored").read_text() == "back\n"


def test_at_boot_the_former_state_comes_after_the_firewall(world: World) -> None:
    world.guard.arm(script(world), 60)
    boot = (world.folder / "units/sallyport-guard-test-boot.service").read_text()
    assert "\nAfter=local-fs.target sallyport-firewall.service\n" in boot


def test_a_change_that_is_confirmed_stays(world: World) -> None:
    world.guard.arm(script(world), 60)
    assert world.guard.disarm()
    assert not world.live
    assert world.left() == []
    assert not world.guard.disarm()


def test_the_timer_that_comes_in_the_moment_of_the_confirmation_does_nothing(world: World) -> None:
    world.guard.arm(script(world), 60)
    (world.guard.folder / "restore").rename(world.guard.folder / "disarmed")
    assert world.fire() == 0
    assert not (world.folder / "restored").exists()


def test_a_script_that_fails_is_run_again(world: World) -> None:
    world.guard.arm(script(world, status=1), 60)
    assert world.fire() == 1
    assert world.guard.is_armed()
    assert not world.guard.disarm()
    (world.guard.folder / "firing").write_text(script(world))
    assert world.fire() == 0
    assert world.left() == ["restored"]


def test_a_second_change_has_to_wait(world: World) -> None:
    world.guard.arm(script(world), 60)
    with pytest.raises(GuardError, match="still waits"):
        world.guard.arm("false", 60)


def test_without_a_timer_nothing_is_armed(world: World) -> None:
    world.refuses = True
    with pytest.raises(GuardError, match="no timer today"):
        world.guard.arm(script(world), 60)
    assert world.left() == []


def test_what_a_killed_run_left_is_taken_back_by_the_next(world: World) -> None:
    world.guard.arm(script(world), 60)
    assert not world.guard.recover()  # its timer lives
    world.live = False
    assert world.guard.recover()
    assert world.left() == ["restored"]
    assert not world.guard.recover()


def test_a_recovery_that_fails_says_so(world: World) -> None:
    world.guard.arm("echo no space >&2; exit 1", 60)
    world.live = False
    with pytest.raises(GuardError, match="no space"):
        world.guard.recover()


def test_what_is_left_of_an_interrupted_confirmation_is_no_obstacle(world: World) -> None:
    world.guard.arm(script(world), 60)
    (world.guard.folder / "restore").rename(world.guard.folder / "disarmed")
    world.guard.arm(script(world), 30)
    assert world.guard.disarm()
    assert world.left() == []


@pytest.mark.parametrize("name", ["", "../x", "A", "a b"])
def test_names(name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        Guard(name)
