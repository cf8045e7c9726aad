# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be wrong with a site, in a form that tells its administrator what to change and where.

All faults of a site are collected and shown at once: an administrator who mends one and meets the next loses patience.
"""

from __future__ import annotations

import datetime
import difflib
import json
import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

Step = str | int
Location = tuple[Step, ...]
PLAIN_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
LONGEST_VALUE = 60
"""Characters of a wrong value that a message quotes."""
WIDTH = 100
"""Characters of a line of a message."""


def show_location(location: Iterable[Step]) -> str:
    """Write the way to a setting as people write it.

    Args:
        location: keys and list positions from the file's top.

    Returns:
        As `sallyport.people[3].groups[0]`; list positions count from 0, as Ansible counts them.
    """
    text = ""
    for step in location:
        if isinstance(step, int):
            text += f"[{step}]"
        elif PLAIN_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{show_value(step)}]"
    return text


def show_value(value: object) -> str:
    """Quote a value for a message, short and safe to print on a terminal.

    Args:
        value: what stands in the file.

    Returns:
        Text in quotes with control characters escaped, other values as YAML writes them, what is long cut off.
    """
    match value:
        case bool() | None:
            text = {True: "true", False: "false", None: "nothing"}[value]
        case str():
            # what does not print (escape sequences, marks that turn the writing direction) is shown by its number
            text = "".join(
                mark if mark.isprintable() else json.dumps(mark)[1:-1] for mark in json.dumps(value, ensure_ascii=False)
            )
        case Mapping():
            text = "a mapping" if value else "an empty mapping"
        case tuple() | list():
            text = f"a list of {len(value)}" if value else "an empty list"
        case datetime.date():
            text = value.isoformat()
        case _:
            text = str(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def nearest(wrong: object, allowed: Iterable[str]) -> str | None:
    """Find the valid name that was probably meant.

    Args:
        wrong: what was written.
        allowed: the valid names.

    Returns:
        The most similar one; None when none is similar.
    """
    if not isinstance(wrong, str):
        return None
    by_folded = {name.casefold(): name for name in sorted(allowed)}
    found = difflib.get_close_matches(wrong.casefold()[:200], by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def _wrapped(text: str, indent: str) -> list[str]:
    """Break a long line for a terminal; never inside of a path, which may have to be copied."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent="  " + indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        message: what is wrong, in plain words; with `path` in front it is a whole sentence.
        file: the file that must be changed.
        line: line in it, counted from 1; 0 when no line can be named (the file is missing, say).
        location: the way to the setting inside the file; empty when the whole file is meant.
        value: what stands there, quoted for a message; empty when nothing does.
        allowed: what may stand there; empty when the message says it all.
        nearest: the valid name that was probably meant.
    """

    message: str
    file: Path
    line: int = 0
    location: Location = ()
    value: str = ""
    allowed: str = ""
    nearest: str | None = None

    @property
    def path(self) -> str:
        """The way to the setting, as `sallyport.people[3].groups[0]`; empty when the whole file is meant."""
        return show_location(self.location)

    @property
    def place(self) -> str:
        """File and line, as `inventories/oslo/hosts.yml:12`; relative to the current folder when it lies below it."""
        file = self.file
        if file.is_absolute() and file.is_relative_to(Path.cwd()):
            file = file.relative_to(Path.cwd())
        return f"{file}:{self.line}" if self.line else str(file)

    def __str__(self) -> str:
        """Show the fault in two or three lines: what, what instead, where."""
        head = f"{self.path}: {self.message}" if self.path else self.message
        lines = _wrapped(head, "")
        if self.allowed:
            lines += _wrapped(f"allowed: {self.allowed}", "  ")
        if self.nearest is not None:
            lines.append(f"  did you mean {show_value(self.nearest)}?")
        lines.append(f"  at {self.place}")
        return "\n".join(lines)


class SiteFaults(Exception):
    """A site has faults; holds all of them.

    Attributes:
        faults: in the order of files and lines, without repeats.
    """

    def __init__(self, faults: Iterable[Fault]) -> None:
        """Sort the faults.

        Args:
            faults: at least one, in any order.
        """
        unique = dict.fromkeys(faults)
        self.faults = tuple(sorted(unique, key=lambda fault: (str(fault.file), fault.line, fault.path, fault.message)))
        super().__init__(self.faults)

    def __str__(self) -> str:
        """Show all faults, numbered."""
        width = len(str(len(self.faults)))
        shown = []
        for number, fault in enumerate(self.faults, start=1):
            first, *rest = str(fault).splitlines()
            shown.append("\n".join([f"{number:>{width}}. {first}", *(" " * (width + 2) + line for line in rest)]))
        return "\n".join(shown)
