# SPDX-License-Identifier: GPL-3.0-or-later
"""What the policy tests read: the kit's own YAML, found the way Ansible finds it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yml"))
SCENARIO_FILES = sorted((ROOT / "molecule").rglob("*.yml"))
BLOCKS = ("block", "rescue", "always")


@dataclass(frozen=True)
class Task:
    """One task of a playbook or role.

    Attributes:
        file: where it stands.
        body: the task's mapping as YAML gives it.

    """

    file: Path
    body: dict[str, Any]

    def __str__(self) -> str:
        """Name the task as a reader of a failed test would look for it."""
        return f"{self.file.relative_to(ROOT)}: {self.body.get('name', '(a task without a name)')}"


def read(path: Path) -> Any:
    """Read one YAML file.

    Args:
        path: the file.

    Returns:
        What stands in it; None for an empty file.

    """
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def flatten(file: Path, bodies: list[dict[str, Any]] | None) -> Iterator[Task]:
    """Walk a list of tasks, and into blocks.

    Args:
        file: where the list stands.
        bodies: the tasks' mappings.

    Yields:
        Each task; a block itself is not one.

    """
    for body in bodies or []:
        inner = [key for key in BLOCKS if key in body]
        for key in inner:
            yield from flatten(file, body[key])
        if not inner:
            yield Task(file, body)


def plays() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Find every play that has hosts.

    Yields:
        The file and the play's mapping, of the playbooks and of Molecule's scenarios.

    """
    for file in [*PLAYBOOKS, *SCENARIO_FILES]:
        content = read(file)
        for play in content if isinstance(content, list) else []:
            if "hosts" in play:
                yield file, play


def tasks() -> Iterator[Task]:
    """Find every task of the kit.

    Yields:
        The tasks of playbooks, scenarios, and roles (handlers too).

    """
    for file, play in plays():
        for key in ("pre_tasks", "tasks", "post_tasks", "handlers"):
            yield from flatten(file, play.get(key))
    for role in ROLES:
        for file in sorted([*role.glob("tasks/*.yml"), *role.glob("handlers/*.yml")]):
            yield from flatten(file, read(file))
