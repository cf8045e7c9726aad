# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the accounts and groups of this host from its own files, and say what of them is a door.

Only the files are read, not the name service: what a directory service adds is not this host's to change.

Sources: passwd(5), shadow(5), group(5), gshadow(5), shells(5).
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

# Shells that end a login at once; an empty shell means /bin/sh.
NO_LOGIN = frozenset({"nologin", "false", "true", "sync", "halt", "shutdown"})
# A password field that no password matches: locked, or never set. A hash behind the `!` could be unlocked again.
NO_PASSWORD = re.compile(r"[!*]+", re.ASCII)
FIRST_PERSON = 1000  # login.defs(5), UID_MIN of Debian
NOBODY = 65534
SESSIONS = "run/systemd/users"


class AccountsError(Exception):
    """What is asked for cannot be, or a tool refused; the text says what to do."""


@dataclass(frozen=True)
class Home:
    """A home directory.

    Attributes:
        uid: Owner's number.
        mode: Permission bits.
        is_directory: Whether it is one.
    """

    uid: int
    mode: int
    is_directory: bool = True


@dataclass(frozen=True)
class Account:
    """One line of passwd(5) with its line of shadow(5).

    Attributes:
        name: Login name.
        uid: Its number.
        gid: Number of its own group.
        home: Home directory.
        shell: Login shell.
        password: The password field that counts.
        shadowed: Whether the password stands in shadow, as it should.
        changed: Day of the last change of the password as it stands there; `0` asks for a new one at login.
        maximum: Days until a new password is asked for, as it stands there.
        inactive: Days of grace after that, as it stands there.
        expires: Day of the account's end, as it stands there.
    """

    name: str
    uid: int
    gid: int
    home: str = ""
    shell: str = "/usr/sbin/nologin"
    password: str = "*"  # noqa: S105 the field of an account that has none
    shadowed: bool = True
    changed: str = ""
    maximum: str = ""
    inactive: str = ""
    expires: str = ""

    @property
    def can_log_in(self) -> bool:
        """Whether its shell lets somebody work on the host."""
        return self.shell.rsplit("/", 1)[-1] not in NO_LOGIN

    @property
    def has_password(self) -> bool:
        """Whether some password, the empty one too, opens it."""
        return not self.password.startswith(("!", "*"))

    @property
    def is_person(self) -> bool:
        """Whether somebody may work with it: a number of a person, and a shell."""
        return self.uid >= FIRST_PERSON and self.uid != NOBODY and self.can_log_in

    def is_locked(self, today: int) -> bool:
        """Return whether neither a password nor a key opens it.

        Args:
            today: Days since 1970.
        """
        return self.password.startswith("!") and 1 <= number(self.expires, 0) < today


@dataclass(frozen=True)
class Group:
    """One line of group(5) with its line of gshadow(5).

    Attributes:
        name: Its name.
        gid: Its number.
        members: Who is in it by either file.
        has_password: Whether a password lets anybody in (newgrp).
        keepers: Who may add members (gpasswd -A).
    """

    name: str
    gid: int
    members: frozenset[str] = frozenset()
    has_password: bool = False
    keepers: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Found:
    """The accounts of a host.

    Attributes:
        accounts: All of them, by name.
        groups: All of them, by name.
        homes: Home directories that exist, by path.
        signed_in: Numbers of those who have a session now, or processes that go on without one (lingering).
    """

    accounts: Mapping[str, Account]
    groups: Mapping[str, Group]
    homes: Mapping[str, Home] = field(default_factory=dict)
    signed_in: frozenset[int] = frozenset()


def read(root: str = "/") -> Found:
    """Return the accounts and groups of a host.

    Args:
        root: Where its file system begins.

    Raises:
        AccountsError: Its passwd or group file cannot be read.
    """
    place = Path(root)
    # of two lines with one name the first counts
    shadow = {row[0]: row for row in reversed(_rows(place / "etc/shadow", 9))}
    accounts = {}
    for row in reversed(_rows(place / "etc/passwd", 7, needed=True)):
        secret = shadow.get(row[0])
        shadowed = row[1] == "x" and secret is not None
        aging = secret or [""] * 9
        # without a line in shadow nothing matches `x`
        password = aging[1] if shadowed else ("!" if row[1] == "x" else row[1])
        accounts[row[0]] = Account(
            name=row[0],
            uid=number(row[2], -1),
            gid=number(row[3], -1),
            home=row[5],
            shell=row[6],
            password=password,
            shadowed=shadowed,
            changed=aging[2],
            maximum=aging[4],
            inactive=aging[6],
            expires=aging[7],
        )
    if "root" not in accounts:
        raise AccountsError(f"{place / 'etc/passwd'}: has no account root; mend it first (vipw, pwck)")
    homes = {account.home: home for account in accounts.values() if (home := _home(place, account.home))}
    in_order = dict(reversed(accounts.items()))
    return Found(in_order, _groups(place), homes, _signed_in(place / SESSIONS))


def number(text: str, default: int) -> int:
    """Return a number of these files; `default` for what is none.

    Args:
        text: The field.
        default: What an empty or broken field means.
    """
    return int(text) if re.fullmatch(r"-?[0-9]+", text, re.ASCII) else default


def shown(text: str) -> str:
    """Return a name of this host in a form that can be printed; anybody may have chosen it.

    Args:
        text: The name.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _groups(place: Path) -> dict[str, Group]:
    secrets = {row[0]: row for row in reversed(_rows(place / "etc/gshadow", 4))}
    groups: dict[str, Group] = {}
    for row in _rows(place / "etc/group", 4, needed=True):
        secret = secrets.get(row[0], ["", "", "", ""])
        # whoever stands in any line of a group is in it
        before = groups.get(row[0], Group(row[0], number(row[2], -1)))
        groups[row[0]] = Group(
            name=row[0],
            gid=before.gid,
            members=before.members | _names(row[3]) | _names(secret[3]),
            has_password=bool(secret[1]) and not secret[1].startswith(("!", "*")),
            keepers=_names(secret[2]),
        )
    return groups


def _names(text: str) -> frozenset[str]:
    return frozenset(name for name in text.split(",") if name)


def _rows(path: Path, width: int, *, needed: bool = False) -> list[list[str]]:
    """Return the lines of a file, each as exactly `width` fields; lines without a name are left out."""
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        if needed:
            raise AccountsError(f"{path}: cannot be read: {error.strerror}") from error
        return []
    rows = [line.split(":") for line in text.splitlines() if not line.startswith(("#", ":")) and ":" in line]
    return [(row + [""] * width)[:width] for row in rows]


def _home(place: Path, path: str) -> Home | None:
    try:
        status = (place / path.lstrip("/")).stat()
    except OSError:
        return None
    return Home(status.st_uid, stat.S_IMODE(status.st_mode), stat.S_ISDIR(status.st_mode))


def _signed_in(place: Path) -> frozenset[int]:
    """Return whom systemd-logind knows to be at work; none where it does not run."""
    found = set()
    for path in place.iterdir() if place.is_dir() else ():
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        if path.name.isdigit() and {"STATE=active", "STATE=online", "STATE=lingering"} & set(lines):
            found.add(int(path.name))
    return frozenset(found)
