# SPDX-License-Identifier: GPL-3.0-or-later
"""The register of controls: what is tried on a site to show that a practice works.

A control is a pytest function with an entry. It tries what is permitted and what is forbidden, says with ``seen`` what
the machine answered, and fails by an assertion. Tests, report, documentation and the mutation run all read this
register.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PRACTICES = tuple(f"R{number}" for number in range(1, 13))
PLACES = ("im_internal", "im_external", "log_host", "gateway", "desktops", "outside", "control_node")

# many restarts in a row are meant here, so systemd must not count them
RESTART = "systemctl reset-failed prosody; systemctl restart prosody"


class NotTried(Exception):
    """There is nothing here to try the control from, or trying it would disturb people; never the same as passed."""


class Amber(Exception):
    """What was found is an open choice of the site, neither right nor wrong."""


class NotApplicable(Exception):
    """The site does not have what this control is about."""


@dataclass(frozen=True)
class Breakage:
    r"""A change by hand on the host which must turn a control red.

    Attributes:
        file: Path on the host; empty when ``command`` alone does it.
        pattern: Regular expression (with ``^`` and ``$`` for lines); it must occur in the file.
        replacement: What to put in its place; ``\1`` is the first group.
        command: Shell command that makes the change effective, run again after the change was taken back.
        undo: Shell command that takes back what ``command`` did, for breakages without a file.
    """

    file: str = ""
    pattern: str = ""
    replacement: str = ""
    command: str = RESTART
    undo: str = ""

    def apply_to(self, text: str) -> str:
        """Return the broken text of the file.

        Raises:
            ValueError: When the pattern does not occur, so that nothing would be broken.
        """
        broken, count = re.subn(self.pattern, self.replacement, text, flags=re.MULTILINE)
        if not count or broken == text:
            raise ValueError(f"{self.file}: nothing to break, {self.pattern!r} does not occur or changes nothing")
        return broken


@dataclass(frozen=True)
class Control:
    """One entry of the register.

    Attributes:
        id: ``R5-login-without-tls``; begins with the practice.
        practice: ``R1`` to ``R12``.
        says: One sentence in plain words for the owner of the company.
        permitted: What is tried and must work, so that the refusal means something.
        forbidden: What is tried and must fail.
        tried_from: Host group it is tried from.
        on: Host group it is about.
        safe: May be run on a site where people work.
        breakage: What must turn it red.
        function: The test.
        file: Where the test stands.
    """

    id: str
    practice: str
    says: str
    permitted: str
    forbidden: str
    tried_from: str
    on: str
    safe: bool
    breakage: Breakage
    function: Callable[..., None]
    file: Path


REGISTER: dict[str, Control] = {}


def control(
    *,
    id: str,
    practice: str,
    says: str,
    permitted: str,
    forbidden: str,
    breakage: Breakage,
    tried_from: str = "desktops",
    on: str = "im_internal",
    safe: bool = True,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Enter a test function into the register.

    Args:
        id: See :class:`Control`, as the others.
        practice: The practice.
        says: Plain words.
        permitted: What must work.
        forbidden: What must fail.
        breakage: What must turn it red.
        tried_from: Host group it is tried from.
        on: Host group it is about.
        safe: May be run on a site where people work.

    Returns:
        A decorator that leaves the function as it is.

    Raises:
        ValueError: For an entry that says nothing, contradicts itself or is there already.
    """

    def enter(function: Callable[..., None]) -> Callable[..., None]:
        file = Path(inspect.getfile(function)).resolve()
        entry = Control(id, practice, says, permitted, forbidden, tried_from, on, safe, breakage, function, file)
        _check(entry)
        REGISTER[id] = entry
        function.control = entry  # type: ignore[attr-defined]  # read by the conftest from the collected function
        return function

    return enter


def _check(entry: Control) -> None:
    faults = [f"{name} says nothing" for name in ("says", "permitted", "forbidden") if not getattr(entry, name).strip()]
    if entry.practice not in PRACTICES:
        faults.append(f"practice {entry.practice!r} is none of {', '.join(PRACTICES)}")
    if not entry.id.startswith(f"{entry.practice}-") or not re.fullmatch(r"R\d+(-[a-z0-9]+)+", entry.id):
        faults.append(f"the id has to be {entry.practice}- and lower-case words joined by hyphens")
    faults += [
        f"{name} is {value!r}, allowed: {', '.join(PLACES)}"
        for name, value in (("tried_from", entry.tried_from), ("on", entry.on))
        if value not in PLACES
    ]
    if not entry.breakage.file and not entry.breakage.undo:
        faults.append("a breakage without a file needs an undo")
    there = REGISTER.get(entry.id)
    if there and (there.file, there.function.__name__) != (entry.file, entry.function.__name__):
        faults.append(f"{there.file} has it already")
    if faults:
        raise ValueError(f"control {entry.id}: " + "; ".join(faults))


def load_all() -> dict[str, Control]:
    """Return the whole register, also of files that this run does not collect."""
    there = {entry.file for entry in REGISTER.values()}
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        if file.resolve() not in there:
            importlib.import_module(f"system.{file.stem}")
    return dict(sorted(REGISTER.items(), key=lambda item: (int(item[1].practice[1:]), item[0])))


class Seen:
    """What the machine answered, collected while a control runs.

    Call it with a sentence, as ``seen("5222 answered: encryption-required")``.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, line: str, *more: Any) -> None:
        """Add a sentence; further values are joined to it by commas."""
        self.lines.append(line + (": " + ", ".join(str(value) for value in more) if more else ""))

    def clear(self) -> None:
        """Forget everything, for another attempt."""
        self.lines.clear()
