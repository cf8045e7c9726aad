# SPDX-License-Identifier: GPL-3.0-or-later
"""Say which of the files found should have other rights, and give them those.

Sources: dpkg-statoverride(1), chmod(1), inode(7).
"""

from __future__ import annotations

import fnmatch
import grp
import os
import pwd
import re
import stat
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.sallyport.im.plugins.module_utils import atomic_files
from ansible_collections.sallyport.im.plugins.module_utils.file_permissions import (
    LENDING,
    SHARED,
    Seen,
    change,
    owned,
    seen,
)
from ansible_collections.sallyport.im.plugins.module_utils.programs import run

REMOVED = "/var/lib/sallyport/removed"
OVERRIDES = "/var/lib/dpkg/statoverride"
# Programs that have capabilities from their Debian package; on any other a person has set them (setcap).
CAPABLE = (
    *("/usr/bin/ping", "/usr/bin/mtr-packet", "/usr/bin/dumpcap"),
    "/usr/lib/*/gstreamer1.0/gstreamer-1.0/gst-ptp-helper",
)
MODE = re.compile(r"[0-7]{3,4}", re.ASCII)


class PermissionsError(Exception):
    """What is asked for is malformed or cannot be done; the text says why."""


@dataclass(frozen=True)
class Change:
    """One file or directory whose rights differ.

    Attributes:
        thing: What was found.
        difference: One line: what is, what should be.
        mode: Permission bits that it should have.
        owner: Owner and group that it should have; None when they do not matter.
        override: Whether dpkg is told, so that an upgrade of its package keeps these rights.
        aside: Whether it is moved away: its rights are right for another name of the same file.
        uncap: Whether it loses its capabilities.
    """

    thing: Seen
    difference: str
    mode: int
    owner: tuple[int, int] | None = None
    override: bool = False
    aside: bool = False
    uncap: bool = False


def judge(
    found: Iterable[Seen], may: Sequence[str], may_be_open: Sequence[str], packaged: frozenset[str]
) -> list[Change]:
    """Return what of the things found should have other rights.

    Args:
        found: What the search has stopped at.
        may: Programs of packages that may lend rights, or have capabilities.
        may_be_open: Paths that anybody may write all the same.
        packaged: Which of the paths found packages own.
    """
    things = list(found)
    right = {(thing.device, thing.inode) for thing in things if thing.path in may and thing.path in packaged}
    result = []
    for thing in sorted(things, key=lambda thing: thing.path):
        mode, said = thing.permissions, []
        is_packaged = thing.path in packaged
        aside = override = False
        if thing.lends and not (is_packaged and thing.path in may):
            mode &= ~LENDING
            aside = not is_packaged and (thing.device, thing.inode) in right
            override = is_packaged
            bits = " and ".join(
                word for bit, word in ((stat.S_ISUID, "setuid"), (stat.S_ISGID, "setgid")) if thing.mode & bit
            )
            said.append(f"is {bits} and " + ("not on the list" if is_packaged else "no package's"))
        uncap = thing.capable and not (is_packaged and (thing.path in may or _may_be_capable(thing.path)))
        if uncap:
            said.append("has capabilities and is " + ("not on the list" if is_packaged else "no package's"))
        if thing.mode & stat.S_IWOTH and thing.path not in may_be_open:
            mode &= ~stat.S_IWOTH
            said.append("can be written by anybody")
        if aside:
            line = f"{thing.name}: {said[0]}, should not be there: it is one file with a program of a package"
        else:
            line = f"{thing.name}: {', '.join(said)} ({thing.permissions:04o}), should be {mode:04o}"
        if said:
            result.append(Change(thing, line, mode, override=override, aside=aside, uncap=uncap))
    return result


def shared_places(places: Sequence[str] = SHARED) -> list[Change]:
    """Return those places of everybody in which one may remove what is another's.

    Args:
        places: Directories.
    """
    result = []
    for path in places:
        thing = _look(path)
        if thing and stat.S_ISDIR(thing.mode) and thing.mode & stat.S_IWOTH and not thing.mode & stat.S_ISVTX:
            mode = thing.permissions | stat.S_ISVTX
            line = f"{path}: can be written by anybody ({thing.permissions:04o}), should be {mode:04o}"
            result.append(Change(thing, line, mode))
    return result


def declared(paths: Mapping[str, Any]) -> list[Change]:
    """Return what differs from a table of owners and modes; what is not there does not matter.

    Args:
        paths: By path, which may hold `*`: owner, group and mode, each of them optional.

    Raises:
        PermissionsError: The table is malformed, or names a user or group that this host does not have.
    """
    result = []
    for pattern in sorted(paths):
        rights = paths[pattern]
        if not pattern.startswith("/") or not isinstance(rights, dict) or set(rights) - {"owner", "group", "mode"}:
            raise PermissionsError(f"paths: {pattern}: must be an absolute path with owner, group and mode")
        mode = rights.get("mode")
        if mode is not None and not (isinstance(mode, str) and MODE.fullmatch(mode)):
            raise PermissionsError(f"paths: {pattern}: mode is {mode!r}, allowed is a text like '0640', in quotes")
        for path in sorted(Path("/").glob(pattern.lstrip("/"))) if "*" in pattern else [Path(pattern)]:
            thing = _look(os.path.realpath(path))
            if thing:
                result += _compare(thing, rights, int(mode, 8) if mode else thing.permissions)
    return [Change(one.thing, one.difference, one.mode, one.owner, override=_is_program(one.thing)) for one in result]


def apply(changes: Sequence[Change]) -> dict[str, str]:
    """Give each thing the rights that it should have.

    Args:
        changes: What differs.

    Returns:
        Where things were moved, by the path at which they stood.

    Raises:
        OSError: Something cannot be changed.
        PermissionsError: dpkg refuses.
    """
    moved = {}
    aside = f"{REMOVED}/{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-file_permissions"
    kept = _overrides()
    for one in changes:
        path = one.thing.path
        if one.aside:
            atomic_files.move(path, aside + path)
            moved[one.thing.name] = aside + one.thing.name
            continue
        if one.override:
            uid, gid = one.owner or (one.thing.uid, one.thing.gid)
            rule = (_user_name(uid), _group_name(gid), f"{one.mode:o}", path)
            if rule not in kept:
                # an older rule for the same file gives way
                command = ["dpkg-statoverride", "--force-statoverride-add", "--add", *rule]
                done = run(command, 60, join=True)
                if done.status != 0:
                    raise PermissionsError(f"{one.thing.name}: dpkg-statoverride refuses: {done.out.strip()}")
        change(one.thing, one.mode, one.owner, uncap=one.uncap)
    return moved


def _compare(thing: Seen, rights: Mapping[str, str], mode: int) -> list[Change]:
    uid = _number(pwd.getpwnam, "owner", rights.get("owner"), thing.uid)
    gid = _number(grp.getgrnam, "group", rights.get("group"), thing.gid)
    if (thing.uid, thing.gid, thing.permissions) == (uid, gid, mode):
        return []
    is_now = f"{_user_name(thing.uid)}:{_group_name(thing.gid)} {thing.permissions:04o}"
    should = f"{_user_name(uid)}:{_group_name(gid)} {mode:04o}"
    return [Change(thing, f"{thing.name}: is {is_now}, should be {should}", mode, (uid, gid))]


def _may_be_capable(path: str) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in CAPABLE)


def _is_program(thing: Seen) -> bool:
    """Whether an upgrade of its package would undo a change: not so for directories and configuration."""
    return thing.path.startswith("/usr/") and stat.S_ISREG(thing.mode) and bool(owned([thing.path]))


def _look(path: str) -> Seen | None:
    try:
        return seen(path, os.lstat(path))
    except OSError:
        return None


def _overrides(path: str = OVERRIDES) -> set[tuple[str, str, str, str]]:
    """Return what dpkg has been told: user, group, mode and path."""
    place = Path(path)
    text = place.read_text(encoding="utf-8", errors="surrogateescape") if place.is_file() else ""
    rows = [line.split(" ", 3) for line in text.splitlines()]
    return {(row[0], row[1], row[2].lstrip("0"), row[3]) for row in rows if len(row) == 4}


def _number(ask: Any, what: str, name: str | None, default: int) -> int:
    if name is None:
        return default
    try:
        return int(ask(name)[2])
    except (KeyError, TypeError):
        raise PermissionsError(f"paths: {what} {name!r} is not known on this host") from None


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return f"#{gid}"
