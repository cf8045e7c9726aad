# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about plays and tasks that no linter knows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from policy.rules import PLAYBOOKS, ROOT, Task, plays, read, tasks

# a lookup of a secret, or an argument that carries one
SECRET = re.compile(r"sallyport\.im\.secret|password(?!_file)|private_key_content|passphrase", re.IGNORECASE)
# options of the kit's modules that Ansible masks by itself, since the module declares them no_log
MASKED = {"sallyport.im.xmpp_accounts": {"passwords"}}
FREE = "ansible.builtin.free"
"""The strategy by which machines do not wait for each other."""
TASKS = list(tasks())
PLAYS = list(plays())


def test_there_are_playbooks_to_check() -> None:
    assert PLAYBOOKS
    assert TASKS
    assert PLAYS


@pytest.mark.parametrize(("file", "play"), PLAYS, ids=lambda value: value.name if isinstance(value, Path) else "")
def test_a_play_stops_at_the_first_error(file: Path, play: dict[str, Any]) -> None:
    """Where the machines do not wait for each other, Ansible cannot: then one before it that does has read the site."""
    where = f"{file.relative_to(ROOT)}, play '{play.get('name')}'"
    if play.get("strategy") != FREE:
        assert play.get("any_errors_fatal") is True, where
        return
    assert "any_errors_fatal" not in play, f"{where}: Ansible does not heed it with {FREE}"
    first = read(file)[0]
    assert first["any_errors_fatal"] is True, where
    assert first["hosts"] == play["hosts"], f"{where}: for other machines than those for which the site was read"
    assert any("sallyport.im.load_site" in task for task in first["tasks"]), where


@pytest.mark.parametrize(("file", "play"), PLAYS, ids=lambda value: value.name if isinstance(value, Path) else "")
def test_a_play_gathers_nothing_that_it_does_not_use(file: Path, play: dict[str, Any]) -> None:
    if play.get("gather_facts", True):
        text = file.read_text(encoding="utf-8") + "".join(
            path.read_text(encoding="utf-8")
            for role in play.get("roles", [])
            for path in (ROOT / "roles" / str(role.get("role", role)).rpartition(".")[2]).rglob("*.yml")
        )
        assert "ansible_facts" in text, f"{file.relative_to(ROOT)}, play '{play.get('name')}' gathers facts for nothing"


def carries_secret(task: Task) -> bool:
    """Say whether a task's arguments name a secret outside of a masked option."""
    body = {}
    # what a masked option is given may be put together in the task's own variables: those are never printed
    beside = {"name", "when", "register", "tags", *({"vars"} if MASKED.keys() & task.body.keys() else ())}
    for key, value in task.body.items():
        if key in beside:
            continue
        masked = MASKED.get(key, set())
        body[key] = {k: v for k, v in value.items() if k not in masked} if isinstance(value, dict) else value
    return SECRET.search(yaml.safe_dump(body)) is not None


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_a_task_with_a_secret_is_not_logged(task: Task) -> None:
    if carries_secret(task):
        assert task.body.get("no_log") is True, f"{task} names a secret and lacks no_log: true"


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_a_condition_is_a_boolean(task: Task) -> None:
    """A `when` that is a bare variable or a number passes by truthiness; ansible-core 2.19 refuses it at run time."""
    conditions = task.body.get("when", [])
    for condition in conditions if isinstance(conditions, list) else [conditions]:
        if isinstance(condition, bool):
            continue
        assert re.search(r"\b(is|not|in|and|or|bool)\b|==|!=|[<>]|\|\s*bool", str(condition)), (
            f"{task}: when: {condition} is not a comparison; write `is defined`, `| bool` or a comparison"
        )


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_a_task_that_check_mode_does_not_stop_is_a_command(task: Task) -> None:
    if task.body.get("check_mode") is False:
        modules = {key for key in task.body if key.startswith(("ansible.", "community.", "sallyport."))}
        assert modules == {"ansible.builtin.command"}, f"{task}: modules know by themselves what check mode is"


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_a_task_is_named(task: Task) -> None:
    """An import of a playbook's part is named by what it imports."""
    if not any(key.endswith(("import_tasks", "include_tasks")) for key in task.body):
        assert task.body.get("name"), f"{task}: a task needs a name, it is what the operator reads"


def test_the_rules_find_a_secret_without_no_log() -> None:
    """The rule itself must be able to fail."""
    bad = Task(ROOT / "x.yml", {"name": "x", "ansible.builtin.shell": "echo {{ lookup('sallyport.im.secret', 'a') }}"})
    good = Task(ROOT / "x.yml", {"name": "x", "sallyport.im.xmpp_accounts": {"passwords": "{{ password_of }}"}})
    assert carries_secret(bad)
    assert not carries_secret(good)
