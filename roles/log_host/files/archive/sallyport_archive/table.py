# SPDX-License-Identifier: GPL-3.0-or-later
"""Events as lines on a terminal. Nothing that somebody wrote can steer the terminal."""

from __future__ import annotations

import shutil
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sallyport_archive.search import Found

WIDTHS = (19, 7, 12, 28, 28, 14)
HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
HEADINGS = ("time (UTC)", "verdict", "kind", "from", "to", "rule", "text")


def visible(text: str) -> str:
    """Return a text without anything that a terminal obeys, or that hides or turns round what follows."""
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if character in "\n\t":
        return " "
    # the joiners make letters of Persian and Indian scripts, and pictures of several
    hidden = unicodedata.category(character) in HIDDEN and character not in "\u200c\u200d"
    return "\ufffd" if hidden else character


def said(fields: dict[str, Any]) -> str:
    """Return what an event carries that a person reads: text, file, reason."""
    parts = [fields.get(name) for name in ("subject", "body", "file", "reason")]
    return " | ".join(part for part in parts if isinstance(part, str) and part)


def table(found: Iterable[Found]) -> Iterator[str]:
    """Show events, one a line.

    Args:
        found: the events.

    Yields:
        A line of headings, and one for each event, cut at the width of the terminal.

    """
    width = shutil.get_terminal_size((160, 24)).columns
    yield _row(HEADINGS, width)
    for item in found:
        event = item.event
        fields = [event.fields.get(name) or "" for name in ("from", "to")]
        yield _row(
            (
                event.time.strftime("%Y-%m-%d %H:%M:%S"),
                event.verdict,
                event.kind,
                *[str(address).partition("/")[0] for address in fields],
                event.rule,
                said(event.fields),
            ),
            width,
        )


def _row(cells: tuple[str, ...], width: int) -> str:
    padded = [f"{visible(cell)[:wide]:<{wide}}" for cell, wide in zip(cells, WIDTHS, strict=False)]
    return f"{'  '.join(padded)}  {visible(cells[-1])}".rstrip()[:width]
