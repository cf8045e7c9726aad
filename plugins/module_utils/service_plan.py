# SPDX-License-Identifier: GPL-3.0-or-later
"""What a service's files should be, what they are, and what follows from the difference. Nothing is written here.

The plan is the same in check mode and in a real run; only the second one is carried out (service_transaction).
"""

from __future__ import annotations

import fnmatch
import grp
import os
import pwd
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.sallyport.im.plugins.module_utils.atomic_files import BESIDE_SUFFIX, Found, look
from ansible_collections.sallyport.im.plugins.module_utils.systemd import UnitState

ACTIONS = ("none", "reload", "restart")
# A reload ends a little after the files were read; what changed so shortly before counts as not yet loaded.
RELOAD_GRACE_SECONDS = 2.0
# States of a unit file in which `systemctl enable` has nothing to do.
ENABLED = frozenset({"enabled", "enabled-runtime", "static", "indirect", "generated", "alias", "linked", "transient"})


@dataclass(frozen=True)
class WantedFile:
    """A file as it should be.

    Attributes:
        path: Absolute path.
        content: Its bytes.
        owner: User, by name or number.
        group: Group, by name or number.
        mode: Permission bits.
        on_change: What the service needs when it changes: none, reload or restart.
        secret: Whether the content must not be shown.
    """

    path: str
    content: bytes
    owner: str = "root"
    group: str = "root"
    mode: int = 0o644
    on_change: str = "reload"
    secret: bool = False


@dataclass(frozen=True)
class WantedDirectory:
    """A directory as it should be.

    Attributes:
        path: Absolute path.
        owner: User, by name or number.
        group: Group, by name or number.
        mode: Permission bits.
        exclusive: Whether only declared files may stand in it.
        keep: Patterns, relative to the directory, of what may stand there besides.
    """

    path: str
    owner: str = "root"
    group: str = "root"
    mode: int = 0o755
    exclusive: bool = False
    keep: tuple[str, ...] = ()


@dataclass(frozen=True)
class Watched:
    """A file of somebody else's that the service must have loaded.

    Attributes:
        path: Absolute path; links are followed.
        on_change: What the service needs when its content changes: reload or restart.
    """

    path: str
    on_change: str = "reload"


@dataclass(frozen=True)
class Service:
    """A service and everything that it is configured with, or a set of plain files and how they are applied.

    Attributes:
        unit: The unit; the name of a set of plain files.
        enabled: Whether the unit starts at boot.
        files: Its files.
        directories: Its directories.
        watch: Files of somebody else's that it reads.
        unit_directory: Where unit files and drop-ins stand: what changes here needs a daemon-reload and a restart.
        plain: Whether there is no unit.
        apply: Programs, with their arguments, that take up plain files.
    """

    unit: str
    enabled: bool = True
    files: tuple[WantedFile, ...] = ()
    directories: tuple[WantedDirectory, ...] = ()
    watch: tuple[Watched, ...] = ()
    unit_directory: str = "/etc/systemd/system"
    plain: bool = False
    apply: tuple[tuple[str, ...], ...] = ()

    @property
    def title(self) -> str:
        """Return how a message names it."""
        return f"{'files' if self.plain else 'unit'} {self.unit}"

    def not_loaded(self, path: str, on_change: str) -> str:
        """Return the difference of a file that is right but not in force.

        Args:
            path: The file.
            on_change: What would bring it in force.
        """
        if self.plain:
            return f"file {path}: is not applied, should be"
        return f"unit {self.unit}: runs with another {path}, should {on_change}"


@dataclass
class Record:
    """What the running service was last successfully started or reloaded with.

    Attributes:
        invocation: Which start of the unit it was.
        change: Moment of the unit's last change of state then; a reload by somebody else moves it.
        loaded: Path to fingerprint, on_change and whether the file is only watched.
    """

    invocation: str = ""
    change: str = ""
    loaded: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class Plan:
    """What differs and what will be done about it.

    Attributes:
        differences: One line each: what is, and what should be.
        diff: Entries for Ansible's --diff.
        write: Files to write.
        remove: Files of an earlier run that are no longer declared.
        make: Directories to make or to give their owner and mode.
        aside: Foreign things to move out of exclusive directories.
        action: none, reload, restart, start, or for plain files apply.
        enable: Whether to enable (True) or disable (False) the unit; None when that is right.
        unmask: Whether somebody has masked the unit.
        daemon_reload: Whether systemd must read its unit files anew.
        unresolved: Users and groups that do not exist (yet).
    """

    differences: list[str] = field(default_factory=list)
    diff: list[dict[str, str]] = field(default_factory=list)
    write: list[WantedFile] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    make: list[WantedDirectory] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)
    action: str = "none"
    enable: bool | None = None
    unmask: bool = False
    daemon_reload: bool = False
    unresolved: list[str] = field(default_factory=list)

    @property
    def touches_files(self) -> bool:
        """Whether anything in the file system will change."""
        return bool(self.write or self.remove or self.make or self.aside)

    def need(self, on_change: str) -> None:
        """Raise the action to `on_change` if that is more."""
        if ACTIONS.index(on_change) > ACTIONS.index(self.action):
            self.action = on_change


def numbers(owner: str, group: str) -> tuple[int | None, int | None]:
    """Return the numbers of a user and a group, None for one that does not exist.

    Args:
        owner: User, by name or number.
        group: Group, by name or number.
    """
    return _number(owner, lambda name: pwd.getpwnam(name).pw_uid), _number(
        group, lambda name: grp.getgrnam(name).gr_gid
    )


def make_plan(service: Service, state: UnitState, record: Record) -> Plan:
    """Compare what is with what should be.

    Args:
        service: What should be.
        state: What systemd says of the unit.
        record: What the running service was last loaded with.

    Raises:
        OSError: A file cannot be read.
    """
    plan = Plan()
    _plan_directories(service, plan)
    _plan_files(service, plan)
    _plan_removals(service, record, plan)
    _plan_foreign(service, plan)
    if service.plain:
        _plan_stale_files(service, state, record, plan)
        plan.action = "apply" if service.apply and plan.action != "none" else "none"
    else:
        _plan_unit(service, state, record, plan)
    plan.unresolved = sorted(set(_unresolved(service)))
    return plan


def fingerprints(service: Service) -> dict[str, dict[str, Any]]:
    """Return what a record says of the service's files as they stand now."""
    loaded: dict[str, dict[str, Any]] = {}
    for file in service.files:
        loaded[file.path] = {"is": look(file.path).fingerprint(), "on_change": file.on_change, "watched": False}
    for watched in service.watch:
        seen = look(watched.path, follow=True).digest()
        loaded[watched.path] = {"is": seen, "on_change": watched.on_change, "watched": True}
    return loaded


def is_unit_file(service: Service, path: str) -> bool:
    """Whether systemd reads this file: it then needs a daemon-reload and a restart."""
    return path.startswith(service.unit_directory.rstrip("/") + "/")


def text_diff(path: str, before: Found, after: Found, *, secret: bool) -> dict[str, str]:
    """Return one entry for Ansible's --diff; a secret's content stays out of it."""
    entry = {"before_header": path, "after_header": path}
    for name, found in (("before", before), ("after", after)):
        lines = ""
        if found.kind != "absent":
            lines = f"# {found.kind} {found.mode:04o} {_user(found.uid)}:{_group(found.gid)}\n"
        if found.kind == "link":
            lines += f"-> {os.fsdecode(found.content)}\n"
        elif found.kind == "file" and not secret:
            lines += found.content.decode("utf-8", errors="replace")
        entry[name] = lines
    if secret and before.content != after.content:
        entry["after"] += "# the content differs; it is secret and not shown\n"
    return entry


def _plan_directories(service: Service, plan: Plan) -> None:
    for wanted in sorted(service.directories, key=lambda directory: directory.path):
        found = look(wanted.path)
        if found.kind not in ("absent", "directory"):
            plan.differences.append(f"directory {wanted.path}: is a {found.kind}, should be a directory")
            plan.aside.append(wanted.path)
            plan.make.append(wanted)
        elif found.kind == "absent":
            plan.differences.append(f"directory {wanted.path}: is absent, should be there")
            plan.make.append(wanted)
        else:
            faults = _owner_faults(found, wanted.owner, wanted.group, wanted.mode)
            plan.differences += [f"directory {wanted.path}: {fault}" for fault in faults]
            if faults:
                plan.make.append(wanted)


def _plan_files(service: Service, plan: Plan) -> None:
    for wanted in service.files:
        found = look(wanted.path)
        faults = []
        if found.kind == "absent":
            faults.append("is absent, should be there")
        elif found.kind != "file":
            faults.append(f"is a {found.kind}, should be a file")
        else:
            if found.content != wanted.content:
                faults.append("content differs")
            faults += _owner_faults(found, wanted.owner, wanted.group, wanted.mode)
        if not faults:
            continue
        if found.kind in ("directory", "other"):
            plan.aside.append(wanted.path)
        plan.differences += [f"file {wanted.path}: {fault}" for fault in faults]
        plan.write.append(wanted)
        uid, gid = numbers(wanted.owner, wanted.group)
        after = Found("file", -1 if uid is None else uid, -1 if gid is None else gid, wanted.mode, wanted.content)
        plan.diff.append(text_diff(wanted.path, found, after, secret=wanted.secret))
        if is_unit_file(service, wanted.path):
            plan.daemon_reload = True
            plan.need("restart")
        plan.need(wanted.on_change)


def _plan_removals(service: Service, record: Record, plan: Plan) -> None:
    declared = {file.path for file in service.files}
    for path, entry in sorted(record.loaded.items()):
        if entry["watched"] or path in declared:
            continue
        if is_unit_file(service, path):
            plan.daemon_reload = True
            plan.need("restart")
        plan.need(entry["on_change"])
        found = look(path)
        if found.kind == "absent":
            plan.differences.append(f"{service.title}: runs with {path}, which is gone")
        else:
            plan.differences.append(f"file {path}: is there from an earlier run, should not be")
            plan.remove.append(path)
            # what an earlier run wrote may have been a secret: its content is not shown
            plan.diff.append(text_diff(path, found, Found("absent"), secret=True))


def _plan_foreign(service: Service, plan: Plan) -> None:
    known = {file.path for file in service.files} | set(plan.remove)
    known |= {directory.path for directory in service.directories}
    for directory in service.directories:
        if directory.exclusive and look(directory.path).kind == "directory":
            for path in _foreign(directory, known, Path(directory.path)):
                plan.differences.append(f"{path}: is there, should not be")
                plan.aside.append(path)
                plan.need("restart" if is_unit_file(service, path) else "reload")
                plan.daemon_reload |= is_unit_file(service, path)


def _foreign(directory: WantedDirectory, known: set[str], place: Path) -> Iterator[str]:
    """Yield what stands under `place` and is neither declared nor kept; a foreign directory as a whole."""
    for entry in sorted(place.iterdir()):
        path = str(entry)
        relative = os.path.relpath(path, directory.path)
        if path in known or entry.name.endswith(BESIDE_SUFFIX):
            continue
        if any(fnmatch.fnmatchcase(relative, pattern) for pattern in directory.keep):
            continue
        holds_known = any(name.startswith(path + "/") for name in known)
        if holds_known and entry.is_dir() and not entry.is_symlink():
            yield from _foreign(directory, known, entry)
        else:
            yield path


def _plan_unit(service: Service, state: UnitState, record: Record, plan: Plan) -> None:
    unit = service.unit
    if state.load == "masked":
        plan.unmask = True
        plan.differences.append(f"unit {unit}: is masked, should not be")
    if state.stale:
        plan.daemon_reload = True
    _plan_stale_files(service, state, record, plan)
    if not state.is_active:
        plan.action = "start"
        plan.differences.append(f"unit {unit}: is {state.active if state.is_there else 'absent'}, should be active")
    elif plan.action == "reload" and not state.can_reload:
        plan.action = "restart"
    is_enabled = state.enabled in ENABLED
    if is_enabled != service.enabled and not (state.enabled == "static" and not service.enabled):
        plan.enable = service.enabled
        wanted = "enabled" if service.enabled else "disabled"
        plan.differences.append(f"unit {unit}: is {state.enabled or 'absent'} at boot, should be {wanted}")


def _plan_stale_files(service: Service, state: UnitState, record: Record, plan: Plan) -> None:
    """Find files that are right on the disk but that the running service has not loaded."""
    if not state.is_active:
        return
    rewritten = {file.path for file in plan.write}
    for file in service.files:
        if file.path in rewritten:
            continue
        on_change = "restart" if is_unit_file(service, file.path) else file.on_change
        found = look(file.path)
        if not is_loaded(file.path, (found.fingerprint(), found.changed), on_change, state=state, record=record):
            plan.differences.append(service.not_loaded(file.path, on_change))
            plan.need(on_change)
            plan.daemon_reload |= is_unit_file(service, file.path)
    for watched in service.watch:
        found = look(watched.path, follow=True)
        if not is_loaded(watched.path, (found.digest(), found.changed), watched.on_change, state=state, record=record):
            plan.differences.append(service.not_loaded(watched.path, watched.on_change))
            plan.need(watched.on_change)


def is_loaded(path: str, now: tuple[str, float], on_change: str, *, state: UnitState, record: Record) -> bool:
    """Whether the running service has loaded a file as it stands now.

    The record answers while nobody else has restarted or reloaded the service since it was made. Otherwise
    the time does: what did not change since that start or reload was read by it. In doubt the answer is no.

    Args:
        path: The file.
        now: Its fingerprint, or for a watched file the digest of its content; when it last changed, seconds since 1970.
        on_change: What the service needs to take it up: none, reload or restart.
        state: The unit's state.
        record: What it was last loaded with.
    """
    if on_change == "none":
        return True
    is_now, changed = now
    same_start = record.invocation == state.invocation and state.invocation != ""
    same_load = same_start and record.change == state.change
    if same_load or (same_start and on_change == "restart"):
        entry: Mapping[str, Any] = record.loaded.get(path, {})
        return bool(entry.get("is", "absent") == is_now)
    if is_now == "absent":
        return bool(record.loaded.get(path, {}).get("is", "absent") == "absent")
    since = state.started if on_change == "restart" else max(state.started, state.changed)
    return changed < since - RELOAD_GRACE_SECONDS


def _owner_faults(found: Found, owner: str, group: str, mode: int) -> list[str]:
    faults = []
    uid, gid = numbers(owner, group)
    if found.uid != uid:
        faults.append(f"owner is {_user(found.uid)}, should be {owner}")
    if found.gid != gid:
        faults.append(f"group is {_group(found.gid)}, should be {group}")
    if found.mode != mode:
        faults.append(f"mode is {found.mode:04o}, should be {mode:04o}")
    return faults


def _unresolved(service: Service) -> Iterator[str]:
    owners = [(file.owner, file.group) for file in service.files]
    owners += [(directory.owner, directory.group) for directory in service.directories]
    for owner, group in owners:
        uid, gid = numbers(owner, group)
        if uid is None:
            yield f"user {owner}"
        if gid is None:
            yield f"group {group}"


def _number(name: str, find: Any) -> int | None:
    if name.isdecimal():
        return int(name)
    try:
        return int(find(name))
    except KeyError:
        return None


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid) if uid >= 0 else "?"


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except (KeyError, OverflowError):
        return str(gid) if gid >= 0 else "?"
