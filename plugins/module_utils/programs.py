# SPDX-License-Identifier: GPL-3.0-or-later
"""Start a program: never by a shell, never with an input, always with a time limit and in plain English."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass


class ProgramError(Exception):
    """A program is not installed or does not end; the text says which."""


@dataclass(frozen=True)
class Done:
    """How a program ended.

    Attributes:
        status: Its exit status; 0 is success.
        out: What it printed.
        err: What it said on standard error; empty when that was joined to `out`.
    """

    status: int
    out: str
    err: str = ""


def run(argv: Sequence[str], seconds: float, *, join: bool = False) -> Done:
    """Run a program to its end.

    Args:
        argv: Program and arguments.
        seconds: How long it may take.
        join: Whether standard error is joined to the output.

    Raises:
        ProgramError: It is not installed, cannot be started, or took longer.
    """
    try:
        # S603 asks to look at where the arguments come from: the kit's own code and the role's task, no shell
        done = subprocess.run(  # noqa: S603
            list(argv),
            env=environment(),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if join else subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ProgramError(f"{' '.join(argv)}: no answer within {seconds:g} s") from None
    except OSError as error:
        raise ProgramError(f"{argv[0]}: cannot be started: {error.strerror}") from error
    return Done(done.returncode, done.stdout, done.stderr or "")


def missing(programs: Sequence[str]) -> list[str]:
    """Return those of these programs that are not installed."""
    path = environment()["PATH"]
    return sorted({name for name in programs if shutil.which(name, path=path) is None})


def environment() -> dict[str, str]:
    """Return an environment in which programs are found and speak English, and nothing else of ours."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", "HOME": "/root"}
