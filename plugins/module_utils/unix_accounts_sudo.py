# SPDX-License-Identifier: GPL-3.0-or-later
"""Who becomes root by sudo: the kit writes /etc/sudoers and /etc/sudoers.d as a whole.

Sources: sudoers(5), visudo(8); the modes are those of Debian's package, the folder's are stricter.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.sallyport.im.plugins.module_utils import atomic_files
from ansible_collections.sallyport.im.plugins.module_utils.programs import ProgramError, run
from ansible_collections.sallyport.im.plugins.module_utils.unix_accounts import AccountsError, shown

MAIN = "/etc/sudoers"
FOLDER = "/etc/sudoers.d"
KIT = "/etc/sudoers.d/sallyport"
README = "/etc/sudoers.d/README"
DPKG_STATUS = "/var/lib/dpkg/status"
REMOVED = "/var/lib/sallyport/removed"
FILE_MODE = 0o440
FOLDER_MODE = 0o750

MAIN_TEXT = """\
# Written by Sallyport; a change here is undone by its next run. Who may use sudo: sallyport.administrators.
Defaults env_reset
Defaults secure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# a program that stays behind does not keep the terminal (CVE-2005-4890)
Defaults use_pty
Defaults !visiblepw
Defaults passwd_tries=3
Defaults timestamp_timeout=5
Defaults logfile="/var/log/sudo.log"

root ALL=(ALL:ALL) ALL

@includedir /etc/sudoers.d
"""


@dataclass(frozen=True)
class SudoChange:
    """Something about sudo that is not as it should be.

    Attributes:
        path: What it is about.
        difference: One line: what is, what should be.
        text: What the file should hold; None when it should not be there, or when it is the folder.
        before: What it holds, for the diff.
        is_folder: Whether it is /etc/sudoers.d itself.
    """

    path: str
    difference: str
    text: str | None = None
    before: str = ""
    is_folder: bool = False


def kit_text(administrators: Sequence[str]) -> str:
    """Return the text of /etc/sudoers.d/sallyport: administrators have keys and no passwords, so none is asked for.

    Args:
        administrators: Their account names.
    """
    lines = ["# Written by Sallyport from sallyport.administrators."]
    lines += [f"{name} ALL=(ALL:ALL) NOPASSWD: ALL" for name in sorted(set(administrators)) if name != "root"]
    return "\n".join(lines) + "\n"


class Sudo:
    """The rules of sudo on a host.

    Args:
        root: Where its file system begins.
        owner: Number of the user that all of it should belong to.
        group: Number of the group.
    """

    def __init__(self, root: str = "/", owner: int = 0, group: int = 0) -> None:
        """Take the place; nothing is looked at yet."""
        self.root = root.rstrip("/")
        self.owner = owner
        self.group = group

    def changes(self, administrators: Sequence[str]) -> list[SudoChange]:
        """Return what differs, in the order in which it is to be mended: nobody who is declared loses sudo meanwhile.

        Args:
            administrators: Who may become root.

        Raises:
            OSError: Something cannot be read.
        """
        found = []
        folder = atomic_files.look(self.root + FOLDER)
        is_folder = folder.kind == "directory"
        if not is_folder or (folder.uid, folder.gid, folder.mode) != (self.owner, self.group, FOLDER_MODE):
            text = _rights(folder) if is_folder else folder.kind
            should = f"should be user 0, group 0, mode {FOLDER_MODE:04o}"
            found.append(SudoChange(FOLDER, f"{FOLDER}: is {text}, {should}", is_folder=True))
        found += self._file(KIT, kit_text(administrators), "the administrators' rules only")
        if is_folder:
            for entry in sorted(Path(self.root + FOLDER).iterdir()):
                path = f"{FOLDER}/{entry.name}"
                if path != KIT and not (path == README and self._is_packaged(path)):
                    text = f"{shown(path)}: is there, should not be: only the kit says who may use sudo"
                    found.append(SudoChange(path, text, before=f"{shown(path)}\n"))
        # last: visudo follows its @includedir, and a rule there that is broken has been moved away by then
        return found + self._file(MAIN, MAIN_TEXT, "the kit's text")

    def mend(self, changes: Sequence[SudoChange]) -> dict[str, str]:
        """Make it so.

        Args:
            changes: What `changes` found.

        Returns:
            Where foreign rules were moved, by the path at which they stood.

        Raises:
            AccountsError: visudo does not accept a file, or is not installed; the old one is still in place.
            OSError: Something cannot be written or moved.
        """
        moved = {}
        aside = f"{self.root}{REMOVED}/{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-unix_accounts"
        for change in changes:
            place = self.root + change.path
            kind = atomic_files.look(place).kind
            if change.is_folder:
                if kind not in ("directory", "absent"):
                    atomic_files.move(place, aside + change.path)
                    moved[change.path] = aside + change.path
                Path(place).mkdir(exist_ok=True)
                atomic_files.own(place, self.owner, self.group, FOLDER_MODE)
            elif change.text is None:
                # what an interrupted run left beside the kit's file is gone with the writing of that file
                if kind != "absent":
                    atomic_files.move(place, aside + change.path)
                    moved[change.path] = aside + change.path
            else:
                if kind in ("directory", "other"):
                    atomic_files.move(place, aside + change.path)
                    moved[change.path] = aside + change.path
                self._write(place, change.text)
        return moved

    def _file(self, path: str, text: str, what: str) -> list[SudoChange]:
        now = atomic_files.look(self.root + path)
        before = now.content.decode("utf-8", "replace") if now.kind == "file" else ""
        if now.kind != "file":
            state = f"is {now.kind}, should be a file with {what}"
        elif now.content != text.encode():
            state = f"has another text, should have {what}"
        elif (now.uid, now.gid, now.mode) != (self.owner, self.group, FILE_MODE):
            state = f"is {_rights(now)}, should be user 0, group 0, mode {FILE_MODE:04o}"
        else:
            return []
        return [SudoChange(path, f"{path}: {state}", text, before)]

    def _write(self, place: str, text: str) -> None:
        atomic_files.write_beside(place, text.encode(), self.owner, self.group, FILE_MODE)
        new = atomic_files.beside(place)
        try:
            done = run(["visudo", "--check", "--quiet", "--strict", f"--file={new}"], 20, join=True)
            if done.status != 0:
                raise AccountsError(f"{place}: visudo does not accept it: {done.out.strip()}")
        except (ProgramError, AccountsError) as error:
            atomic_files.drop(new)
            raise AccountsError(str(error)) from error
        atomic_files.take_place(place)

    def _is_packaged(self, path: str) -> bool:
        """Whether a file is as its Debian package brought it, by the digest that dpkg keeps of it."""
        status = Path(self.root + DPKG_STATUS)
        text = status.read_text(encoding="utf-8", errors="replace") if status.is_file() else ""
        known = re.search(rf"^ {re.escape(path)} ([0-9a-f]{{32}})$", text, re.MULTILINE)
        now = atomic_files.look(self.root + path)
        # dpkg knows no other digest; it tells a changed file, not a forged one, and a forger would be root already
        digest = hashlib.md5(now.content, usedforsecurity=False).hexdigest()
        return now.kind == "file" and known is not None and known.group(1) == digest


def _rights(found: atomic_files.Found) -> str:
    return f"user {found.uid}, group {found.gid}, mode {found.mode:04o}"
