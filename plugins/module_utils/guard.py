# SPDX-License-Identifier: GPL-3.0-or-later
"""A change that takes itself back, armed before it is made, disarmed by who has seen that the host is still reached.

An armed guard is a folder with the script `restore`, a timer that runs it, and a unit that runs it at the next boot,
since a timer does not outlive one. Whoever renames `restore` first has the say, the timer or the one who disarms;
rename(2) is atomic, so it is never both. The folder is gone when nothing is armed.

Sources: systemd-run(1), systemd.timer(5), systemd.unit(5), rename(2).
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from pathlib import Path

from ansible_collections.sallyport.im.plugins.module_utils.atomic_files import drop, erase, make_private, write
from ansible_collections.sallyport.im.plugins.module_utils.programs import ProgramError, run
from ansible_collections.sallyport.im.plugins.module_utils.systemd import Systemd, SystemdError

ROOT = "/var/lib/sallyport/guard"
UNITS = "/etc/systemd/system"
# Early enough that no service of the host has read its files yet, late enough that they are mounted.
BOOT_TARGET = "sysinit.target"

FIRE = """\
#!/bin/sh
# Takes a change back that nobody has confirmed; made by module_utils/guard.py.
cd {folder} 2>/dev/null || exit 0
mv -T restore firing 2>/dev/null
[ -e firing ] || exit 0
echo "nobody confirmed the change of {name}: the former state is put back"
sh ./firing || exit 1
rm -f {link} {unit}
rm -rf {folder}
"""

BOOT_UNIT = """\
# Made by Sallyport while a change waits for its confirmation; goes with it.
[Unit]
Description=Take back the change of {name} that nobody confirmed before the reboot
DefaultDependencies=no
RequiresMountsFor={folder}
ConditionPathExists={folder}
# the former rules come last, whatever the firewall loads at boot
After=local-fs.target sallyport-firewall.service
Before={target} shutdown.target

[Service]
Type=oneshot
ExecStart=/bin/sh {folder}/fire
"""


class GuardError(Exception):
    """A guard cannot be armed, disarmed or recovered; the text says why."""


class Guard:
    """The guard of one kind of change, for example `nftables`.

    Args:
        name: What is guarded; small letters, digits, underscores and hyphens.
        root: Folder of all guards.
        units: Folder of the units of this machine.

    Raises:
        ValueError: The name is not such a one.
    """

    def __init__(self, name: str, root: str = ROOT, units: str = UNITS) -> None:
        """Name the guard; nothing is armed yet."""
        if not re.fullmatch(r"[a-z][a-z0-9_-]*", name):
            raise ValueError(f"{name!r} is no name of a guard")
        self.name = name
        self.folder = Path(root, name)
        self.unit = f"sallyport-guard-{name}"
        self._boot_unit = Path(units, f"{self.unit}-boot.service")
        self._boot_link = Path(units, f"{BOOT_TARGET}.wants", self._boot_unit.name)

    def is_armed(self) -> bool:
        """Tell whether a change waits for its confirmation, or is being taken back right now."""
        return (self.folder / "restore").exists() or (self.folder / "firing").exists()

    def arm(self, script: str, seconds: int) -> None:
        """Have a script run after a time, or at the next boot, unless `disarm` is called before.

        Args:
            script: For /bin/sh, run by root. Puts everything back, and does no harm when the change was never made or
                was made in part. A status other than 0 means that it did not succeed; it is then run again.
            seconds: The time, from now on.

        Raises:
            GuardError: It is armed already, or systemd takes no timer; nothing is armed then that was not before.
            OSError: The script cannot be written.
        """
        if self.is_armed():
            raise GuardError(
                f"an earlier change of {self.name} still waits for its confirmation; it is taken back by itself within"
                f" its time (systemctl list-timers {self.unit}.timer), then run again"
            )
        self._clear()
        make_private(str(self.folder))
        places = {"folder": self.folder, "link": self._boot_link, "unit": self._boot_unit}
        fire = FIRE.format(name=self.name, **{key: shlex.quote(str(path)) for key, path in places.items()})
        self._write(self.folder / "fire", fire, 0o700)
        boot = BOOT_UNIT.format(name=self.name, folder=self.folder, target=BOOT_TARGET)
        self._write(self._boot_unit, boot, 0o644)
        self._boot_link.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._boot_link.symlink_to(self._boot_unit)
        # last: from here on it is armed
        self._write(self.folder / "restore", script, 0o700)
        try:
            done = run(self._timer(seconds), 60, join=True)
        except ProgramError as error:
            self._clear()
            raise GuardError(f"the change of {self.name} cannot be guarded, so it is not made: {error}") from error
        if done.status != 0:
            self._clear()
            raise GuardError(f"the change of {self.name} cannot be guarded, so it is not made: {done.out.strip()}")

    def disarm(self) -> bool:
        """Keep the change.

        Returns:
            Whether it was kept; False when it has been taken back already, or is being taken back.

        Raises:
            OSError: The folder cannot be changed.
        """
        try:
            (self.folder / "restore").rename(self.folder / "disarmed")
        except (FileNotFoundError, NotADirectoryError):
            return False
        self._clear()
        return True

    def recover(self) -> bool:
        """Take back what a killed run left armed without a timer; call it before a new change is planned.

        Returns:
            Whether something was taken back.

        Raises:
            GuardError: The script of that run does not succeed.
        """
        if not self.is_armed() or self._timer_lives():
            return False
        try:
            done = run(["/bin/sh", str(self.folder / "fire")], 120, join=True)
        except ProgramError as error:
            raise GuardError(f"an interrupted change of {self.name} cannot be taken back: {error}") from error
        # when the timer has fired between the two looks above, there is nothing left to run, and all is well
        if self.is_armed():
            raise GuardError(f"an interrupted change of {self.name} cannot be taken back: {done.out.strip()}")
        return True

    def _timer(self, seconds: int) -> list[str]:
        """Return the command that starts the timer."""
        return [
            "systemd-run",
            "--quiet",
            "--collect",
            f"--unit={self.unit}",
            f"--on-active={seconds}",
            "--timer-property=AccuracySec=1s",
            # a script that fails once (a lock, a full moment) is tried again until it succeeds
            "--property=Type=oneshot",
            "--property=Restart=on-failure",
            "--property=RestartSec=5",
            "/bin/sh",
            str(self.folder / "fire"),
        ]

    def _timer_lives(self) -> bool:
        systemd = Systemd()
        try:
            states = [systemd.show(f"{self.unit}.{kind}") for kind in ("timer", "service")]
        except SystemdError as error:
            raise GuardError(str(error)) from error
        return any(state.active in ("active", "activating", "reloading", "deactivating") for state in states)

    def _clear(self) -> None:
        """Leave nothing of a guard that is not armed, or no longer."""
        for kind in ("timer", "service"):
            # what is not loaded cannot be stopped, and need not be
            with contextlib.suppress(SystemdError):
                Systemd().command("stop", f"{self.unit}.{kind}")
        drop(str(self._boot_link))
        drop(str(self._boot_unit))
        erase(str(self.folder))

    def _write(self, path: Path, text: str, mode: int) -> None:
        write(str(path), text.encode(), os.geteuid(), os.getegid(), mode)
