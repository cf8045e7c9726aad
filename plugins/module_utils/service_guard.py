# SPDX-License-Identifier: GPL-3.0-or-later
"""A change of a service's files that takes itself back unless a new connection to the host confirms it.

The guard (module_utils/guard.py) gets one script that holds the former files itself: it restores them with nothing but
a shell and coreutils, whatever became of the kit's code and of Python meanwhile. A timer runs it when the time is over;
after a reboot the guard's own unit does, before any service of the host has read its files.

Sources: sh(1), systemctl(1), systemd.unit(5).
"""

from __future__ import annotations

import base64
import os
import re
import shlex
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from ansible_collections.sallyport.im.plugins.module_utils.atomic_files import Found, beside, look
from ansible_collections.sallyport.im.plugins.module_utils.guard import Guard, GuardError
from ansible_collections.sallyport.im.plugins.module_utils.service_journal import Entry, Journal
from ansible_collections.sallyport.im.plugins.module_utils.service_plan import Plan, Service, is_unit_file

# The line after `#!/bin/sh` names the run, so that a run which comes too late does not confirm another one's work.
RUN_LINE = "# run "

HEAD = """\
set -u
failed=0
# Run at boot, this stands before every service: it may only queue what it asks of systemd, or both would wait for ever.
wait= limit=
case "$(systemctl is-system-running 2>/dev/null)" in initializing | '') wait=--no-block limit='timeout 60' ;; esac
put_file() {
  rm -f "$1"
  (umask 077 && set -C && base64 -d >"$1") && chown "$3" "$1" && chmod "$4" "$1" && sync "$1" && mv -fT "$1" "$2" ||
    failed=1
}
put_link() { rm -f "$1" && ln -s "$4" "$1" && chown -h "$3" "$1" && mv -fT "$1" "$2" || failed=1; }
put_directory() { mkdir -p "$1" && chown "$2" "$1" && chmod "$3" "$1" || failed=1; }
take_away() {
  if [ -d "$1" ] && [ ! -L "$1" ]; then rmdir "$1" 2>/dev/null || :; else rm -f "$1" || failed=1; fi
}
move_back() {
  if [ -e "$2" ] || [ -L "$2" ]; then rm -rf "$1" && mv -T "$2" "$1" || failed=1; fi
}
"""


def guard_of(name: str) -> Guard:
    """Return the guard of an entry.

    Args:
        name: A unit with its ending, or the name of a set of plain files, which has no dot.
    """
    kind = "unit" if "." in name else "files"
    return Guard(f"{kind}-{re.sub('[^a-z0-9_-]', '-', name.lower())}")


def new_token() -> str:
    """Return a word that names one run."""
    return uuid.uuid4().hex


def confirm(guard: Guard, token: str) -> bool:
    """Keep the change that a run has made.

    Args:
        guard: The guard of the entry.
        token: The word that the run gave out.

    Returns:
        Whether it was kept; False when it was taken back already.

    Raises:
        OSError: The guard's files cannot be read or changed.
    """
    script = look(str(guard.folder / "restore")).content.decode("utf-8", errors="replace")
    return f"\n{RUN_LINE}{token}\n" in script and guard.disarm()


def settle(guard: Guard, seconds: float) -> bool:
    """Wait until an earlier change of the same entry is confirmed or taken back.

    Args:
        guard: The guard of the entry.
        seconds: How long to wait.

    Returns:
        Whether nothing is armed any more.

    Raises:
        GuardError: A run that was killed cannot be taken back.
    """
    deadline = time.monotonic() + seconds
    while guard.is_armed():
        try:
            guard.recover()
        except GuardError:
            # it may have fired by itself between our look at it and our attempt
            if guard.is_armed():
                raise
        if not guard.is_armed():
            break
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.5)
    return True


@dataclass(frozen=True)
class Restore:
    """What the guard's script puts back.

    Attributes:
        service: The entry.
        plan: What the run does.
        journal: What stands there before it; with what stood there before an interrupted run.
        record: Path of the record of what the service was last loaded with: it goes back too, so that the next run
            knows the files of that time.
    """

    service: Service
    plan: Plan
    journal: Journal
    record: str

    def script(self, token: str) -> str:
        """Return the script, for /bin/sh; it may be run again after an interruption.

        Args:
            token: Names the run.
        """
        lines = ["#!/bin/sh", RUN_LINE + token, HEAD.rstrip("\n")]
        for entry in reversed(self.journal.entries):
            lines += self._entry(entry)
        lines += self._entry(Entry(self.record, look(self.record)))
        lines += self._plain() if self.service.plain else self._unit()
        return "\n".join([*lines, "exit $failed", ""])

    def _entry(self, entry: Entry) -> Iterator[str]:
        if entry.aside:
            yield f"move_back {shlex.quote(entry.path)} {shlex.quote(entry.aside)}"
            return
        path, new = shlex.quote(entry.path), shlex.quote(beside(entry.path))
        found: Found = entry.before
        owner, mode = f"{found.uid}:{found.gid}", f"{found.mode:04o}"
        if found.kind == "file":
            yield f"put_file {new} {path} {owner} {mode} <<'END'"
            # a line of base64 has a multiple of four characters, so none of it is `END`
            yield from base64.encodebytes(found.content).decode("ascii").splitlines()
            yield "END"
        elif found.kind == "link":
            yield f"put_link {new} {path} {owner} {shlex.quote(os.fsdecode(found.content))}"
        elif found.kind == "directory":
            yield f"put_directory {path} {owner} {mode}"
        else:
            yield f"rm -f {new}"
            yield f"take_away {path}"

    def _unit(self) -> Iterator[str]:
        unit = shlex.quote(self.service.unit)
        if self.plan.daemon_reload or any(is_unit_file(self.service, entry.path) for entry in self.journal.entries):
            yield "systemctl daemon-reload || failed=1"
        if self.plan.enable is not None:
            yield f"systemctl $wait {'disable' if self.plan.enable else 'enable'} {unit} || :"
        if not self.journal.was_active:
            yield f"systemctl $wait stop {unit} || :"
            return
        restart = f"systemctl $wait restart {unit} || failed=1"
        yield f"systemctl reset-failed {unit} 2>/dev/null || :"
        needs = {entry.on_change for entry in self.journal.entries}
        if self.plan.action == "reload" and "restart" not in needs:
            again = f"systemctl $wait reload-or-restart {unit} && systemctl is-active --quiet {unit}"
            yield f"{{ {again}; }} || {restart}"
        else:
            yield restart

    def _plain(self) -> Iterator[str]:
        if self.plan.daemon_reload:
            yield "systemctl daemon-reload || failed=1"
        for argv in self.service.apply:
            # at boot what it needs may not be there yet, and the files are read anyway by who reads them at boot
            yield f'$limit {shlex.join(argv)} || [ -n "$limit" ] || failed=1'
