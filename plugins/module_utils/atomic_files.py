# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are looked at, written and put back whole: a reader sees the old file or the new one, never a part.

Sources: rename(2), fsync(2), path_resolution(7).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# A file that is being written stands beside its target under this hidden name. It ends unlike any
# configuration file, so that an include by pattern (conf.d/*.cfg.lua) does not take it up.
BESIDE_SUFFIX = ".sallyport-new"


@dataclass(frozen=True)
class Found:
    """What stands at a path.

    Attributes:
        kind: absent, file, link, directory or other (socket, device, ...).
        uid: Owner's number, -1 when absent.
        gid: Group's number, -1 when absent.
        mode: Permission bits, for example 0o640.
        content: Bytes of a file; the target of a link, encoded; empty else.
        changed: Time of the last change of content or metadata (ctime), seconds since 1970.
    """

    kind: str
    uid: int = -1
    gid: int = -1
    mode: int = 0
    content: bytes = b""
    changed: float = 0.0

    def fingerprint(self) -> str:
        """Return one line that differs when content, owner, group, mode or kind differ."""
        if self.kind == "absent":
            return "absent"
        digest = hashlib.sha256(self.content).hexdigest()
        return f"{self.kind} {self.mode:04o} {self.uid}:{self.gid} sha256:{digest}"

    def digest(self) -> str:
        """Return one line that differs when the content differs; `absent` when there is none."""
        return "absent" if self.kind == "absent" else "sha256:" + hashlib.sha256(self.content).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return the form that goes into a journal; `from_json` reads it."""
        return {
            "kind": self.kind,
            "uid": self.uid,
            "gid": self.gid,
            "mode": self.mode,
            "content": base64.b64encode(self.content).decode("ascii"),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Found:
        """Return what `to_json` was given.

        Args:
            data: A value made by `to_json`.
        """
        return cls(
            kind=str(data["kind"]),
            uid=int(data["uid"]),
            gid=int(data["gid"]),
            mode=int(data["mode"]),
            content=base64.b64decode(data["content"]),
        )


def look(path: str, *, follow: bool = False) -> Found:
    """Return what stands at `path`.

    Args:
        path: Absolute path.
        follow: Whether a symbolic link is followed; a link is reported as such otherwise.

    Raises:
        OSError: The path cannot be read, for another reason than that it is not there.
    """
    try:
        status = Path(path).stat() if follow else Path(path).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return Found("absent")
    common = (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))
    if stat.S_ISREG(status.st_mode):
        return Found("file", *common, Path(path).read_bytes(), status.st_ctime)
    if stat.S_ISLNK(status.st_mode):
        return Found("link", *common, os.fsencode(Path(path).readlink()), status.st_ctime)
    return Found("directory" if stat.S_ISDIR(status.st_mode) else "other", *common, b"", status.st_ctime)


def beside(path: str) -> str:
    """Return the hidden name under which the new file of `path` stands until it takes its place."""
    head, tail = os.path.split(path)
    return str(Path(head) / f".{tail}{BESIDE_SUFFIX}")


def write_beside(path: str, content: bytes, uid: int, gid: int, mode: int) -> None:
    """Write a whole file beside `path`, with its owner and mode, down to the disk.

    Args:
        path: Absolute path of the target.
        content: Bytes of the file.
        uid: Owner's number.
        gid: Group's number.
        mode: Permission bits.

    Raises:
        OSError: The file cannot be written.
    """
    name = beside(path)
    drop(name)
    # O_EXCL and O_NOFOLLOW: nobody may put a link there in between; 0600 until the owner is right
    handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
        stream.flush()
        if (os.fstat(handle).st_uid, os.fstat(handle).st_gid) != (uid, gid):
            os.fchown(handle, uid, gid)
        os.fchmod(handle, mode)
        os.fsync(handle)


def take_place(path: str) -> None:
    """Let the file written by `write_beside` take the place of `path`, in one step."""
    Path(beside(path)).replace(path)
    sync_directory(str(Path(path).parent))


def write(path: str, content: bytes, uid: int, gid: int, mode: int) -> None:
    """Write a file whole and at once; the arguments are those of `write_beside`."""
    write_beside(path, content, uid, gid, mode)
    take_place(path)


def put_back(path: str, before: Found) -> None:
    """Make `path` be again what it was.

    Args:
        path: Absolute path.
        before: A file, a link, a directory (its owner and mode only), or absent.

    Raises:
        OSError: It cannot be done.
    """
    drop(beside(path))
    now = look(path)
    if now.fingerprint() == before.fingerprint():
        return
    if before.kind == "absent":
        if now.kind == "directory":
            # a directory that somebody has put something into meanwhile stays
            with contextlib.suppress(OSError):
                Path(path).rmdir()
        else:
            drop(path)
    elif before.kind == "directory":
        own(path, before.uid, before.gid, before.mode)
    elif before.kind == "link":
        Path(beside(path)).symlink_to(os.fsdecode(before.content))
        os.lchown(beside(path), before.uid, before.gid)
        take_place(path)
    else:
        write(path, before.content, before.uid, before.gid, before.mode)


def own(path: str, uid: int, gid: int, mode: int) -> None:
    """Give a directory its owner, group and mode."""
    status = Path(path).stat()
    if (status.st_uid, status.st_gid) != (uid, gid):
        os.chown(path, uid, gid)
    Path(path).chmod(mode)


def drop(path: str) -> None:
    """Remove a file or link if it is there."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        Path(path).unlink()
        sync_directory(str(Path(path).parent))


def sync_directory(path: str) -> None:
    """Bring the names in a directory down to the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def move(path: str, to: str) -> None:
    """Move a file, link or whole directory, to another file system too; what stands at `to` is always whole.

    Args:
        path: What is moved.
        to: Absolute path where it shall stand; its parents are made, for root only.

    Raises:
        OSError: It cannot be moved; `path` is then still whole.
    """
    make_private(str(Path(to).parent))
    try:
        Path(path).rename(to)
    except OSError:
        # another file system: copy under a name of its own first, so that `to` is there only when whole
        part = to + ".part"
        erase(part)
        if Path(path).is_dir() and not Path(path).is_symlink():
            shutil.copytree(path, part, symlinks=True, copy_function=_copy_owned)
        else:
            _copy_owned(path, part)
        Path(part).rename(to)
        sync_directory(str(Path(to).parent))
        erase(path)
    sync_directory(str(Path(to).parent))
    sync_directory(str(Path(path).parent))


def move_back(path: str, to: str) -> None:
    """Undo `move(path, to)`, finished or interrupted at any point."""
    if os.path.lexists(to):
        erase(path)
        move(to, path)
    erase(to + ".part")


def erase(path: str) -> None:
    """Remove whatever stands at `path`, if anything."""
    if Path(path).is_dir() and not Path(path).is_symlink():
        shutil.rmtree(path)
    else:
        drop(path)


def make_private(path: str) -> None:
    """Make a directory, and its missing parents, that only its owner may enter."""
    missing = [place for place in [Path(path), *Path(path).parents] if not place.exists()]
    for place in reversed(missing):
        place.mkdir(mode=0o700, exist_ok=True)


def _copy_owned(source: str, target: str) -> str:
    """Copy one file or link with its mode, times, owner and group."""
    shutil.copy2(source, target, follow_symlinks=False)
    status = Path(source).lstat()
    os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
    return target
