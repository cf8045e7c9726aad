# SPDX-License-Identifier: GPL-3.0-or-later
"""Find systemd units that neither a Debian package nor the kit has put on this host.

Sources: systemd.unit(5) for the directories and their order, dpkg-query(1), systemctl(1).
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# Where units can be put by hand; the last one belongs to packages, so what no package owns is foreign there too.
UNIT_DIRECTORIES = (
    "/etc/systemd/system",
    "/etc/systemd/system.control",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
)
DPKG_LISTS = "/var/lib/dpkg/info"
UNIT_NAME = re.compile(
    r".+\.(service|socket|timer|path|mount|automount|swap|target|device|slice|scope)", re.ASCII | re.DOTALL
)
LINK_DIRECTORY = re.compile(r"(?P<unit>.+)\.(wants|requires|upholds)")


@dataclass(frozen=True)
class Foreign:
    """One thing that should not be there.

    Attributes:
        path: Where it stands.
        unit: The unit that it is, changes or starts.
        kind: unit (a unit of its own), override (in front of a package's unit), drop-in, or link.
    """

    path: str
    unit: str
    kind: str

    def difference(self) -> str:
        """Return one line for people: what is, and what should be."""
        what = {
            "unit": f"unit {self.unit}: is there, should not be",
            "override": f"unit {self.unit}: is replaced by hand, should be the package's",
            "drop-in": f"unit {self.unit}: is changed by a drop-in, should be the package's",
            "link": f"unit {self.unit}: is started or named by a link, should not be",
        }[self.kind]
        return f"{what} ({self.path})"


def owned_paths(lists: str = DPKG_LISTS) -> frozenset[str]:
    """Return the unit paths that Debian packages own, with /lib and /usr/lib as the one directory that they are.

    Args:
        lists: Directory of dpkg's file lists.
    """
    owned = set()
    for name in Path(lists).glob("*.list"):
        for line in name.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            if "/systemd/system" in line:
                owned.add("/usr" + line if line.startswith("/lib/") else line)
    return frozenset(owned)


class Search:
    """Looks through the unit directories.

    Args:
        owned: Paths that packages own.
        allowed: Patterns of the kit's own: with a slash they match the path, else the unit's name.
        directories: Where to look.
    """

    def __init__(
        self, owned: Iterable[str], allowed: Sequence[str], directories: Sequence[str] = UNIT_DIRECTORIES
    ) -> None:
        """Take what is known; nothing is looked at yet."""
        self.owned = frozenset(owned)
        self.allowed = tuple(allowed)
        self.directories = tuple(directories)

    def foreign(self) -> list[Foreign]:
        """Return what should not be there, in a stable order.

        Raises:
            OSError: A directory cannot be read.
        """
        found: list[Foreign] = []
        for directory in self.directories:
            place = Path(directory)
            if place.is_dir():
                for entry in sorted(place.iterdir()):
                    found += self._look_at(entry)
        return found

    def _look_at(self, entry: Path) -> Iterator[Foreign]:
        if entry.is_dir() and not entry.is_symlink():
            links = LINK_DIRECTORY.fullmatch(entry.name)
            for inner in sorted(entry.iterdir()):
                if links and not self._is_known(inner, inner.name) and not self._leads_to_known(inner):
                    yield Foreign(str(inner), inner.name, "link")
                # systemd reads only *.conf in a drop-in directory
                if entry.name.endswith(".d") and inner.name.endswith(".conf"):
                    unit = entry.name[: -len(".d")]
                    # the kit's unit is no reason to leave a change of it alone
                    if not self._is_known(inner, ""):
                        yield Foreign(str(inner), unit, "drop-in")
        elif UNIT_NAME.fullmatch(entry.name) and not self._is_known(entry, entry.name):
            if entry.is_symlink():
                if not self._leads_to_known(entry):
                    yield Foreign(str(entry), entry.name, "override" if self._packaged(entry) else "link")
            else:
                yield Foreign(str(entry), entry.name, "override" if self._packaged(entry) else "unit")

    def _is_known(self, entry: Path, unit: str) -> bool:
        path = str(entry)
        if path in self.owned:
            return True
        return any(fnmatch.fnmatchcase(path if "/" in glob else unit, glob) for glob in self.allowed)

    def _leads_to_known(self, entry: Path) -> bool:
        """Whether a link's end is a package's or the kit's unit, or /dev/null, which only takes away."""
        if not entry.is_symlink():
            return False
        end = os.path.realpath(entry)
        end = "/usr" + end if end.startswith("/lib/") else end
        return end == os.devnull or self._is_known(Path(end), Path(end).name)

    def _packaged(self, entry: Path) -> bool:
        """Whether a package has a unit of this name elsewhere: then it must not be stopped, only freed."""
        template = re.sub(r"@[^.]*\.", "@.", entry.name)
        names = {entry.name, template}
        return any(
            f"{directory}/{name}" in self.owned and f"{directory}/{name}" != str(entry)
            for directory in self.directories
            for name in names
        )
