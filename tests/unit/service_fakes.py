# SPDX-License-Identifier: GPL-3.0-or-later
"""A systemd on paper, kept in a file so that it outlives a killed run as the real one does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ansible_collections.sallyport.im.plugins.module_utils.atomic_files import look
from ansible_collections.sallyport.im.plugins.module_utils.guard import Guard, GuardError
from ansible_collections.sallyport.im.plugins.module_utils.service_health import Health
from ansible_collections.sallyport.im.plugins.module_utils.systemd import Systemd, SystemdError, UnitState

UNIT = "demo.service"


class PaperSystemd(Systemd):
    """Remembers which files the service has loaded, and refuses those that say `broken`.

    A restart loads every file; a reload only those whose name ends with `.conf`.
    """

    def __init__(self, folder: Path) -> None:
        """Take over what the file says, or begin with a service that does not run."""
        self.folder = folder
        self.file = folder / "systemd.json"
        if not self.file.exists():
            state = UnitState("loaded", "inactive", "dead", "disabled", can_reload=True)
            self._save({"state": asdict(state), "loaded": {}, "calls": []})

    def read(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.file.read_text())
        return data

    def _save(self, data: dict[str, Any]) -> None:
        self.file.write_text(json.dumps(data))

    def show(self, unit: str) -> UnitState:
        assert unit == UNIT
        return UnitState(**self.read()["state"])

    def command(self, *words: str) -> str:
        data = self.read()
        data["calls"].append(" ".join(words))
        state = data["state"]
        verb = words[0]
        if verb in ("start", "restart", "reload"):
            live = {str(path): path.read_text() for path in sorted((self.folder / "live").rglob("*")) if path.is_file()}
            if verb == "reload":
                live = {path: text for path, text in live.items() if path.endswith((".conf", ".crt"))}
            data["loaded"] = {**data["loaded"], **live} if verb == "reload" else live
            broken = any("broken" in text for text in data["loaded"].values())
            state["change"] = str(time.monotonic_ns())
            state["changed"] = float(int(time.time()))
            state["active"] = "failed" if broken else "active"
            if verb != "reload":
                state["invocation"] = f"start-{time.monotonic_ns()}"
                state["started"] = float(int(time.time()))
            if verb == "reload" and any("refused" in text for text in live.values()):
                state["active"] = "active"
                self._save(data)
                raise SystemdError("systemctl reload: refused")
        elif verb == "stop":
            state["active"] = "inactive"
        elif verb in ("enable", "disable"):
            state["enabled"] = verb + "d"
        elif verb == "unmask":
            state["load"] = "loaded"
        self._save(data)
        return ""

    def journal(self, unit: str, lines: int = 15) -> list[str]:
        return ["the service says: password hunter2-hunter2"]


@dataclass(frozen=True)
class QuickHealth(Health):
    """Health without the waiting."""

    timeout: float = 0.0
    stay: float = 0.0


def tree(folder: Path) -> dict[str, str]:
    """Return everything under a folder with its fingerprint."""
    return {str(path.relative_to(folder)): look(str(path)).fingerprint() for path in sorted(folder.rglob("*"))}


class PaperGuard(Guard):
    """A guard whose time is over when the test says so. Its script is really run, with a systemctl that only notes."""

    def __init__(self, folder: Path) -> None:
        """Take a folder; nothing is armed yet."""
        super().__init__("paper", str(folder / "guard"), str(folder / "units"))
        self.tools = folder / "tools"
        self.tools.mkdir()
        self.notes = folder / "systemctl"
        systemctl = self.tools / "systemctl"
        systemctl.write_text(
            f'#!/bin/sh\necho "$*" >>{self.notes}\ncase $1 in is-system-running) echo running ;; esac\n'
        )
        systemctl.chmod(0o755)
        self.seconds = 0
        self.fired = 0
        self.broken = False

    def arm(self, script: str, seconds: int) -> None:
        """Keep the script until `fire` or `disarm`."""
        if self.broken or self.is_armed():
            raise GuardError("no timer here")
        self.folder.mkdir(parents=True)
        (self.folder / "restore").write_text(script)
        self.seconds = seconds

    def disarm(self) -> bool:
        """Forget the script."""
        was_armed = self.is_armed()
        shutil.rmtree(self.folder, ignore_errors=True)
        return was_armed

    def recover(self) -> bool:
        """Take back what nobody has confirmed, as if its time were over."""
        self.fire()
        return True

    def fire(self) -> None:
        """Let the time be over; the script is run twice, as after an interruption."""
        if self.is_armed():
            environment = {"PATH": f"{self.tools}:{os.environ['PATH']}"}
            for _ in range(2):
                subprocess.run(["sh", str(self.folder / "restore")], env=environment, check=True)
            self.fired += 1
            self.disarm()

    def asked(self) -> list[str]:
        """Return what the script has asked of systemctl."""
        return self.notes.read_text().splitlines() if self.notes.exists() else []
