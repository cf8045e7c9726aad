# SPDX-License-Identifier: GPL-3.0-or-later
"""What takes up the files of an entry: a unit of systemd, or for plain files the programs that apply them.

A transaction talks to both in the same words, so that its journal, its put-back and its record serve plain files too.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.sallyport.im.plugins.module_utils.atomic_files import look, make_private, write
from ansible_collections.sallyport.im.plugins.module_utils.programs import ProgramError, missing, run
from ansible_collections.sallyport.im.plugins.module_utils.systemd import (
    PASSING,
    SHOWN,
    Systemd,
    SystemdError,
    UnitState,
    parse_show,
)

APPLY_SECONDS = 300.0
APPLYING = frozenset({"apply", "start", "restart", "reload"})


@dataclass
class SeenUnits(Systemd):
    """systemd, asked for many units at once: each of the answers is used once, and only while nothing was done.

    A run that changes nothing thus starts systemctl once, however many units it compares.
    """

    seen: dict[str, UnitState] = field(default_factory=dict)

    def look_ahead(self, units: Sequence[str]) -> None:
        """Ask for the state of several units in one call.

        Args:
            units: Their full names.

        Raises:
            SystemdError: systemd does not answer.
        """
        if len(units) < 2:
            return
        blocks = self.command("show", "--timestamp=unix", "--property=" + ",".join(SHOWN), "--", *units)
        states = [parse_show(block) for block in blocks.strip().split("\n\n")]
        # as many answers as questions, in their order (systemctl(1)); else each unit is asked for by itself
        if len(states) == len(units):
            self.seen = {unit: state for unit, state in zip(units, states, strict=True) if state.active not in PASSING}

    def show(self, unit: str) -> UnitState:
        """Return the state of a unit: the one seen ahead if there is one, otherwise systemd's answer now."""
        ahead = self.seen.pop(unit, None)
        return ahead if ahead is not None else super().show(unit)

    def command(self, *words: str) -> str:
        """Run systemctl; what was seen ahead is forgotten unless it only looks."""
        if words[0] != "show":
            self.seen.clear()
        return super().command(*words)


class Programs(Systemd):
    """The programs that apply a set of plain files, seen as a unit that always runs and knows how to reload.

    Args:
        argvs: Programs with their arguments, in their order; may be none.
        mark: File that says when they last began to run. It takes the part of systemd's time of the last reload: after
            a run that was killed the next one sees by it that the programs may have read what was then put back.
    """

    def __init__(self, argvs: Sequence[Sequence[str]], mark: str) -> None:
        """Take the programs; none is run yet."""
        self.argvs = [list(argv) for argv in argvs]
        self.mark = mark

    def missing(self) -> list[str]:
        """Return the programs that are not installed."""
        return missing([argv[0] for argv in self.argvs])

    def show(self, unit: str) -> UnitState:
        """Return a state that is always active; other programs than last time count as another start."""
        programs = hashlib.sha256(json.dumps(self.argvs).encode()).hexdigest()
        last = look(self.mark).content.decode("ascii", errors="replace").strip()
        return UnitState("loaded", "active", "running", "static", programs, last, can_reload=True)

    def command(self, *words: str) -> str:
        """Run the programs for each word by which a unit would read its files anew; pass on a daemon-reload.

        Raises:
            SystemdError: One of them is not there, takes too long or exits with an error; the ones after it do not run.
        """
        if words[0] == "daemon-reload":
            return super().command(*words)
        if words[0] in APPLYING and self.argvs:
            make_private(str(Path(self.mark).parent))
            write(self.mark, f"{time.time_ns()}\n".encode(), os.geteuid(), os.getegid(), 0o600)
            for argv in self.argvs:
                self._run(argv)
        return ""

    def journal(self, unit: str, lines: int = 15) -> list[str]:
        """Return nothing: what a program says is in the error that it ends with."""
        return []

    def _run(self, argv: list[str]) -> None:
        try:
            done = run(argv, APPLY_SECONDS, join=True)
        except ProgramError as error:
            raise SystemdError(str(error)) from error
        if done.status != 0:
            said = done.out.strip()[-2000:] or "(no output)"
            raise SystemdError(f"{' '.join(argv)}: exit status {done.status}: {said}")
