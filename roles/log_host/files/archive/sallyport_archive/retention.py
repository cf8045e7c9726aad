# SPDX-License-Identifier: GPL-3.0-or-later
"""Removes files whose time is over, but what is held, and leaves a signed tombstone for each."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import struct
from typing import TYPE_CHECKING, Any

from sallyport_archive import chain, settings
from sallyport_archive.contents import contents, whole_lines
from sallyport_archive.day_file import open_file
from sallyport_archive.places import ArchiveError, day_files
from sallyport_archive.state import Content, FileState, content_of, fold

if TYPE_CHECKING:
    from pathlib import Path

    from sallyport_archive.hold import Hold
    from sallyport_archive.places import DayFile, Places

STEADY = datetime.timedelta(hours=20)
RECENT = datetime.timedelta(hours=72)
# linux/fs.h
GET_FLAGS, SET_FLAGS, APPEND_ONLY = 0x80086601, 0x40086602, 0x20


def expire(places: Places, now: datetime.datetime) -> tuple[list[str], list[str]]:
    """Remove what its time is over for from the files. The database is brought in line by `forgetting`.

    Args:
        places: where things are.
        now: the time.

    Returns:
        What was removed, and what could not be, in plain words.

    Raises:
        ArchiveError: nothing can be removed: no settings, a broken chain, a clock that cannot be trusted.

    """
    kept_for = settings.load(places.settings)
    done: list[str] = []
    problems: list[str] = []
    with chain.files_locked(places):
        state = fold(chain.read(places))
        over = [(file, *kept_for.days(file.stream)) for file in day_files(places.hosts)]
        over = [(file, days, rule) for file, days, rule in over if (now.date() - file.day).days > days]
        if over:
            _trust(now, state.seals)
        for file, _, rule in over:
            # a hold may have come since the last file
            holds = [*fold(chain.read(places)).holds.values()]
            try:
                said = _expire(places, file, state.files.get(file.path), holds, rule)
            except OSError as error:
                problems.append(f"{file.path}: not removed: {error.strerror}")
                continue
            if said:
                (problems if said.startswith(file.path) else done).append(said)
    return done, problems


def _trust(now: datetime.datetime, seals: list[str]) -> None:
    """Refuse to remove anything by a clock that jumped: a seal must be a day old, by the same clock."""
    ages = [now - datetime.datetime.fromisoformat(time) for time in seals]
    if not any(STEADY <= age <= RECENT for age in ages):
        raise ArchiveError(
            f"nothing is removed: no seal is between {STEADY // datetime.timedelta(hours=1)} and "
            f"{RECENT // datetime.timedelta(hours=1)} hours old, so the clock may have jumped, "
            "or the archive was off or is new; it goes on by itself a day later"
        )


def _expire(places: Places, file: DayFile, known: FileState | None, holds: list[Hold], rule: str) -> str:
    """Remove one file, or what of it is not held.

    Returns what was done, empty when nothing; when it cannot be done, that begins with the path.
    """
    size = whole_lines(file.file)
    beginnings = [known.sealed.size, size] if known and known.sealed and known.sealed.size < size else [size]
    found = contents(file.file, beginnings)
    buried = known.tombstone.content if known and known.tombstone and known.tombstone.kind == "tombstone" else None
    # whoever removed it died after the tombstone was written
    unfinished = buried is not None and content_of(buried["was"]) == found[-1]
    if not unfinished and known and (found[0] != known.sealed if known.sealed else size):
        return f"{file.path}: not removed: it is not what was sealed; see sallyport-archive verify"
    # half a line at the end may be a held person's
    tail = file.file.stat().st_size - size if any(hold.near(file.day) for hold in holds) else 0
    kept, held_by = _write_held(file, holds, size, tail)
    if (kept == found[-1] and kept.lines) or (tail and not size):
        _beside(file.file).unlink(missing_ok=True)
        return ""
    if not (unfinished and buried and buried["kept"] == (kept.as_dict() if kept.lines else None)):
        reasons = {"rule": rule, "held_by": held_by}
        _bury(places, file, found[-1], kept, reasons)
    _swap(file.file, kept.size + tail)
    return f"removed {found[-1].lines - kept.lines} lines of {file.path} ({rule})" + (
        f"; {kept.lines} are held" if kept.lines else ""
    )


def _bury(places: Places, file: DayFile, was: Content, kept: Content, reasons: dict[str, Any]) -> None:
    content: dict[str, Any] = {
        "path": file.path,
        "was": was.as_dict(),
        "kept": kept.as_dict() if kept.lines else None,
        "removed_lines": was.lines - kept.lines,
        **reasons,
    }
    with chain.locked(places):
        chain.append(places, "tombstone", content)


def _beside(file: Path) -> Path:
    return file.with_name(f".{file.name}.new")


def _write_held(file: DayFile, holds: list[Hold], size: int, tail: int) -> tuple[Content, list[str]]:
    """Write the held lines of a file beside it, and its tail; returns what the lines are, and the ids of the holds."""
    lines, by, new = 0, set[str](), _beside(file.file)
    if not holds:
        return Content(0, 0, ""), []
    new.unlink(missing_ok=True)
    # the folder is another user's: nothing of his may be written through
    own = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open_file(file.file) as source, os.fdopen(own, "wb") as target:
        status = os.fstat(source.fileno())
        os.fchown(target.fileno(), status.st_uid, status.st_gid)
        os.fchmod(target.fileno(), status.st_mode & 0o777)
        while source.tell() < size:
            line = source.readline()
            if held := {hold.id for hold in holds if hold.covers(line.removesuffix(b"\n"), file.day)}:
                by |= held
                target.write(line)
                lines += 1
        length = target.tell()
        target.write(source.read(tail))
        target.flush()
        os.fsync(target.fileno())
    return (contents(new, [length])[0] if lines else Content(0, 0, "")), sorted(by)


def _swap(file: Path, left: int) -> None:
    """Put what is left, so many bytes, in the place of the file, or remove it."""
    _let_it_change(file)
    if left:
        _beside(file).replace(file)
    else:
        _beside(file).unlink(missing_ok=True)
        file.unlink()
        with contextlib.suppress(OSError):
            file.parent.rmdir()


def _let_it_change(file: Path) -> None:
    """Take the mark off a file that says that it is only appended to, where the file system knows such a mark."""
    with open_file(file) as stream, contextlib.suppress(OSError):
        (flags,) = struct.unpack("l", fcntl.ioctl(stream, GET_FLAGS, struct.pack("l", 0)))
        if flags & APPEND_ONLY:
            fcntl.ioctl(stream, SET_FLAGS, struct.pack("l", flags & ~APPEND_ONLY))
