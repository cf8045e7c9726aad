# SPDX-License-Identifier: GPL-3.0-or-later
"""How long things are kept. Without settings nothing is removed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sallyport_archive.places import MESSAGES, ArchiveError

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("messages_days", "system_days")


@dataclass(frozen=True)
class Settings:
    """What the site says.

    Attributes:
        messages_days: days for which IM events are kept after the day on which they came.
        system_days: the same for all other lines.

    """

    messages_days: int
    system_days: int

    def days(self, stream: str) -> tuple[int, str]:
        """Return for how many days a stream is kept, and by which rule."""
        name = rule_of(stream)
        days: int = getattr(self, name)
        return days, f"{name} {days}"


def rule_of(stream: str) -> str:
    """Return the name of the rule by which a stream goes."""
    return NAMES[0] if stream == MESSAGES else NAMES[1]


def load(file: Path) -> Settings:
    """Read the settings.

    Args:
        file: JSON with `messages_days` and `system_days`, whole numbers from 1 on.

    Returns:
        The settings.

    Raises:
        ArchiveError: the file is missing or wrong.

    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArchiveError(f"{file}: {error.strerror}; without it nothing is removed") from error
    except ValueError as error:
        raise ArchiveError(f"{file}: not JSON: {error}; nothing is removed") from error
    return Settings(*(_days(file, found, name) for name in NAMES))


def _days(file: Path, found: object, name: str) -> int:
    value = found.get(name) if isinstance(found, dict) else None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ArchiveError(f"{file}: {name}: is {value!r}, should be a number of days from 1 on; nothing is removed")
    return value
