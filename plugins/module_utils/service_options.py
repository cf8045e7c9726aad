# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of service_config: what is wrong with them, and what they ask for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.sallyport.im.plugins.module_utils.service_health import Health
from ansible_collections.sallyport.im.plugins.module_utils.service_plan import (
    Service,
    WantedDirectory,
    WantedFile,
    Watched,
)

UNIT = re.compile(r"[A-Za-z0-9_.-]+(@[A-Za-z0-9_.-]*)?\.(service|socket|timer|path|mount|target)")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")  # without a dot: it is never the name of a unit
MODE = re.compile(r"[0-7]{4}")
# Less than the first cannot be told from a slow host; more than the second is no roll-back.
CONFIRM_SECONDS = range(15, 601)


@dataclass(frozen=True)
class Job:
    """One entry of the list of services.

    Attributes:
        service: What should be.
        health: What it must show afterwards.
        validate: Validators, each a program and its arguments.
        validate_seconds: How long each of them may take.
        confirm_seconds: After which time the old files come back unless confirmed; 0 for never.
    """

    service: Service
    health: Health
    validate: tuple[tuple[str, ...], ...] = ()
    validate_seconds: float = 60.0
    confirm_seconds: int = 0


def faults(entries: Sequence[dict[str, Any]]) -> list[str]:
    """Return what is wrong with the options, all of it.

    Args:
        entries: The module's `services`.
    """
    found: list[str] = []
    names: set[str] = set()
    seen: dict[str, str] = {}
    for entry in entries:
        name = entry["unit"] or entry["name"]
        if name in names:
            found.append(f"{name}: is declared twice; put both into one entry")
        names.add(name)
        found += [f"{name}: {fault}" for fault in _entry_faults(entry)]
        found += [f"{name}: {fault}" for fault in _path_faults(entry)]
        for option in ("files", "secret_files", "directories"):
            for place in entry[option]:
                other = seen.setdefault(place["path"], name)
                # a directory may belong to several entries, for example one for drop-ins
                if other != name and option != "directories":
                    found.append(f"{name}: path {place['path']} is declared for {other} too; remove one of the two")
    return found


def jobs_of(entries: Sequence[dict[str, Any]]) -> list[Job]:
    """Return what the options ask for.

    Args:
        entries: The module's `services`, without faults.
    """
    return [_job(entry) for entry in entries]


def _entry_faults(entry: dict[str, Any]) -> Iterator[str]:
    if entry["unit"] is not None:
        if not UNIT.fullmatch(entry["unit"]):
            yield f"unit is {entry['unit']!r}; a unit's name with its ending is needed, e.g. prosody.service"
        if entry["apply"]:
            yield "apply is for plain files; a unit is reloaded or restarted"
    else:
        if not NAME.fullmatch(entry["name"]):
            yield f"name is {entry['name']!r}; small letters, digits, underscores and hyphens are allowed"
        if entry["watch"] and not entry["apply"]:
            yield "watch needs programs that apply what has changed; add apply"
    for option in ("apply", "validate"):
        yield from (f"{option}: {argv!r} is empty; a program is needed" for argv in entry[option] if not argv)
    seconds = entry["confirm_seconds"]
    if seconds != 0 and seconds not in CONFIRM_SECONDS:
        yield f"confirm_seconds is {seconds}; 0, or {CONFIRM_SECONDS[0]} to {CONFIRM_SECONDS[-1]} is allowed"


def _path_faults(entry: dict[str, Any]) -> Iterator[str]:
    seen: set[str] = set()
    for option in ("files", "secret_files", "directories", "watch"):
        for place in entry[option]:
            path = place["path"]
            # the path goes into the kit's own file names and mounts: it has to be the plain one
            if not path.startswith("/") or path.endswith("/") or {"", ".", ".."} & set(path[1:].split("/")):
                yield f"{option}: path is {path!r}; an absolute path without . and .. is needed"
            if path in seen:
                yield f"{option}: path {path} is declared twice; remove one of the two"
            seen.add(path)
            if "mode" in place and not MODE.fullmatch(place["mode"]):
                yield f"{option}: mode of {path} is {place['mode']!r}; four octal digits in quotes: '0640'"


def _job(entry: dict[str, Any]) -> Job:
    plain = entry["unit"] is None
    apply = tuple(tuple(str(word) for word in argv) for argv in entry["apply"])
    service = Service(
        entry["name"] if plain else entry["unit"],
        # plain files have nothing that starts at boot
        plain or entry["enabled"],
        tuple(_files(entry, applied=bool(apply) or not plain)),
        tuple(_directories(entry)),
        tuple(Watched(place["path"], place["on_change"]) for place in entry["watch"]),
        plain=plain,
        apply=apply,
    )
    probes = entry["health"]
    health = Health(
        tuple((probe["address"], probe["port"]) for probe in probes["tcp"]),
        tuple(probes["command"]),
        probes["timeout"],
        # nothing runs that could end again
        0.0 if plain else probes["stay"],
    )
    validate = tuple(tuple(str(word) for word in argv) for argv in entry["validate"])
    return Job(service, health, validate, entry["validate_seconds"], entry["confirm_seconds"])


def _files(entry: dict[str, Any], *, applied: bool) -> Iterator[WantedFile]:
    for option in ("files", "secret_files"):
        for place in entry[option]:
            yield WantedFile(
                place["path"],
                place["content"].encode("utf-8"),
                place["owner"],
                place["group"],
                int(place["mode"], 8),
                place["on_change"] if applied else "none",
                option == "secret_files",
            )


def _directories(entry: dict[str, Any]) -> Iterator[WantedDirectory]:
    for place in entry["directories"]:
        yield WantedDirectory(
            place["path"],
            place["owner"],
            place["group"],
            int(place["mode"], 8),
            place["exclusive"],
            tuple(place["keep"]),
        )
