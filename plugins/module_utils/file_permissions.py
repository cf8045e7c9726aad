# SPDX-License-Identifier: GPL-3.0-or-later
"""Find files that lend rights to whoever starts them, and files and directories that anybody may write.

The search goes through the local file systems once. It takes names as bytes, so that no name can hide a file, and
changes a file only by a handle of the very file that it has looked at, so that no link can lead it astray.

Sources: inode(7), capabilities(7), xattr(7), proc_pid_mountinfo(5), open(2) for O_PATH, dpkg(1).
"""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# File systems whose files are on this machine and may hold programs.
LOCAL = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "overlay", "tmpfs", "ramfs", "vfat", "jfs", "reiserfs"}
)
MOUNTS = "/proc/self/mountinfo"
DPKG_LISTS = "/var/lib/dpkg/info"
# What others answer for: images of containers hold their own systems, and the kit's own is closed to all but root.
NOT_LOOKED_AT = (
    *("/proc", "/sys", "/var/lib/docker", "/var/lib/containerd", "/var/lib/containers", "/var/lib/lxc"),
    *("/var/lib/machines", "/run/docker", "/run/containerd", "/snap", "/var/lib/snapd", "/var/lib/sallyport/removed"),
)
# Places of people and of everybody, where they may open what is theirs; programs there are looked at all the same.
PEOPLES = ("/home", "/root", "/tmp", "/var/tmp", "/dev/shm", "/run/user", "/run/screen")  # noqa: S108 looked at only
# Of these, the ones that are everybody's: nobody may remove what another has put there.
SHARED = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 looked at only
# Here even a sticky bit does not make a writable directory right: who adds a file there adds a rule or a program.
SYSTEM = ("/etc", "/usr", "/boot", "/opt", "/root", "/bin", "/sbin", "/lib", "/lib64", "/var/spool/cron")
LENDING = stat.S_ISUID | stat.S_ISGID
CAPABILITY = "security.capability"


@dataclass(frozen=True)
class Seen:
    """A file or directory that the search has stopped at.

    Attributes:
        path: Where it stands; names that are not UTF-8 as the operating system's own form (PEP 383).
        device: Number of its file system.
        inode: Its number there.
        mode: Its type and permission bits.
        uid: Owner's number.
        gid: Group's number.
        capable: Whether it has capabilities of its own.
    """

    path: str
    device: int
    inode: int
    mode: int
    uid: int
    gid: int
    capable: bool = False

    @property
    def permissions(self) -> int:
        """Permission bits, for example 0o4755."""
        return stat.S_IMODE(self.mode)

    @property
    def lends(self) -> bool:
        """Whether it is a program that runs with rights of its owner or group."""
        return stat.S_ISREG(self.mode) and bool(self.mode & LENDING)

    @property
    def name(self) -> str:
        """The path in a form that can be printed."""
        return self.path.encode("utf-8", "backslashreplace").decode("utf-8")


def seen(path: str, status: os.stat_result, *, capable: bool = False) -> Seen:
    """Return what was found at a path.

    Args:
        path: Where.
        status: What lstat(2) says of it.
        capable: Whether it has capabilities of its own.
    """
    return Seen(path, status.st_dev, status.st_ino, status.st_mode, status.st_uid, status.st_gid, capable)


def local_mounts(table: str = MOUNTS) -> tuple[list[str], list[str]]:
    """Return where local file systems are mounted, and where any is: the search goes from one to the next.

    Args:
        table: The kernel's list.
    """
    local: dict[str, None] = {}
    every: dict[str, None] = {}
    for line in Path(table).read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        head, _dash, tail = line.partition(" - ")
        path = _plain(head.split(" ")[4])
        # of two on one place the later one is seen
        local.pop(path, None)
        every[path] = None
        if tail.split(" ")[0] in LOCAL:
            local[path] = None
    return list(local), list(every)


def search(
    roots: Sequence[str], mounts: Iterable[str], leave: Sequence[str] = (), peoples: Sequence[str] = PEOPLES
) -> Iterator[Seen]:
    """Yield each program that lends rights, and each file or directory that anybody may write and should not.

    Args:
        roots: Where to begin; below each of them no other file system is entered.
        mounts: Where file systems are mounted.
        leave: Patterns of paths that are not entered.
        peoples: Places where people may open what is theirs.

    What cannot be read, since it went away meanwhile, is passed over.
    """
    borders = {os.fsencode(path) for path in mounts} | {os.fsencode(path) for path in NOT_LOOKED_AT}
    patterns = [os.fsencode(pattern) for pattern in leave]
    for root in roots:
        if below(root, NOT_LOOKED_AT) or any(fnmatch.fnmatchcase(os.fsencode(root), pattern) for pattern in patterns):
            continue
        todo = [os.fsencode(root)]
        first = True
        while todo:
            folder = todo.pop()
            theirs = below(os.fsdecode(folder), peoples)
            if first and Path(root).is_dir() and not theirs:
                yield from _open_place(folder, os.lstat(folder))
            first = False
            try:
                entries = os.scandir(folder)
            except OSError:
                continue
            with entries:
                for entry in entries:
                    if entry.is_symlink():
                        continue
                    try:
                        if entry.is_dir(follow_symlinks=False):
                            if entry.path in borders or any(fnmatch.fnmatchcase(entry.path, p) for p in patterns):
                                continue
                            todo.append(entry.path)
                            if not theirs and entry.path not in _bytes(peoples):
                                yield from _open_place(entry.path, entry.stat(follow_symlinks=False))
                        elif entry.is_file(follow_symlinks=False):
                            yield from _file(entry, theirs)
                    except OSError:
                        continue


def _file(entry: os.DirEntry[bytes], theirs: bool) -> Iterator[Seen]:
    status = entry.stat(follow_symlinks=False)
    mode = status.st_mode
    capable = bool(mode & 0o111) and _is_capable(entry.path)
    if mode & LENDING or capable or (mode & stat.S_IWOTH and not theirs):
        yield seen(os.fsdecode(entry.path), status, capable=capable)


def _open_place(path: bytes, status: os.stat_result) -> Iterator[Seen]:
    """A directory that anybody may write: wrong without the sticky bit, and wrong in any case where rules stand."""
    if status.st_mode & stat.S_IWOTH:
        text = os.fsdecode(path)
        if not status.st_mode & stat.S_ISVTX or below(text, SYSTEM):
            yield seen(text, status)


def below(path: str, places: Sequence[str]) -> bool:
    """Return whether a path is one of these places or in one.

    Args:
        path: Absolute path.
        places: Absolute paths.
    """
    return any(path == place or path.startswith(place + "/") for place in places)


def owned(paths: Iterable[str], lists: str = DPKG_LISTS) -> frozenset[str]:
    """Return those of these paths that Debian packages own; /bin and /usr/bin are one place, and so for the others.

    Args:
        paths: Where files stand.
        lists: Directory of dpkg's file lists.
    """
    names = {}
    for path in paths:
        names[path] = path
        if path.startswith(("/usr/bin/", "/usr/sbin/", "/usr/lib")):
            names[path.removeprefix("/usr")] = path
    if not names:
        return frozenset()
    wanted = {os.fsencode(name): path for name, path in names.items()}
    found = set()
    for place in Path(lists).glob("*.list"):
        found |= {wanted[line] for line in wanted.keys() & set(place.read_bytes().split(b"\n"))}
    return frozenset(found)


def change(thing: Seen, mode: int | None = None, owner: tuple[int, int] | None = None, *, uncap: bool = False) -> None:
    """Give the very file that was seen another mode or owner.

    Args:
        thing: The file or directory.
        mode: Its new permission bits.
        owner: Its new owner and group, by number.
        uncap: Whether its capabilities go.

    Raises:
        OSError: It cannot be changed, or another file stands in its place now.
    """
    handle = os.open(thing.path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        now = os.fstat(handle)
        if (now.st_dev, now.st_ino) != (thing.device, thing.inode):
            raise OSError(f"{thing.name}: another file stands there now; run again")
        # the kernel's own link to the file behind the handle; O_PATH itself allows no change
        exact = f"/proc/self/fd/{handle}"
        if uncap and thing.capable:
            os.removexattr(exact, CAPABILITY)
        if owner is not None and owner != (now.st_uid, now.st_gid):
            os.chown(exact, *owner)
        # after chown, which takes setuid away
        if mode is not None:
            Path(exact).chmod(mode)
    finally:
        os.close(handle)


def _is_capable(path: bytes) -> bool:
    try:
        return bool(os.getxattr(path, CAPABILITY, follow_symlinks=False))
    except OSError:
        return False


def _bytes(places: Sequence[str]) -> frozenset[bytes]:
    return frozenset(os.fsencode(place) for place in places)


def _plain(text: str) -> str:
    """Undo the kernel's octal escapes of blanks in a path."""
    for escape, mark in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(escape, mark)
    return text
