# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about roles: their arguments are specified, defaulted and used; they stay thin."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path
from typing import Any

import pytest
from policy.rules import ROLES, ROOT, flatten, read

MOST_TASKS = 6
SOURCES = {".yml", ".j2", ".py", ".lua"}
WORLD = [ROOT / "playbooks" / "templates" / name for name in ("partner.cfg.lua.j2", "world-unbound.conf.j2")]
"""What other companies run in the demo. They know the ports of XMPP by themselves, as real ones do: one that the kit
changed by mistake must not change there as well."""


def specification(role: Path) -> dict[str, Any]:
    """Read the options of the role's main entry point."""
    content = read(role / "meta" / "argument_specs.yml")
    options: dict[str, Any] = content["argument_specs"]["main"].get("options", {})
    return options


def text_of(role: Path) -> str:
    """Join everything in which the role may use a variable."""
    files = [*role.glob("tasks/*.yml"), *role.glob("handlers/*.yml"), *role.glob("vars/**/*.yml"), *role.rglob("*.j2")]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def defaults(role: Path) -> dict[str, Any]:
    """Read the role's defaults."""
    file = role / "defaults" / "main.yml"
    return (read(file) or {}) if file.exists() else {}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_defaults_are_those_of_the_specification(role: Path) -> None:
    specified = {name: option["default"] for name, option in specification(role).items() if "default" in option}
    assert specified == defaults(role)


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_argument_is_used(role: Path) -> None:
    text = text_of(role)
    unused = [name for name in specification(role) if not re.search(rf"\b{name}\b", text)]
    assert not unused, f"roles/{role.name}: specified, used nowhere"


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_private_variable_is_used(role: Path) -> None:
    """A variable of vars/ or a registered result that nothing reads is a left-over."""
    text = text_of(role)
    private = set(re.findall(rf"\b__{role.name}_\w+", text))
    unused = {name for name in private if len(re.findall(rf"\b{name}\b", text)) < 2}
    assert not unused, f"roles/{role.name}: set, read nowhere"


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_variables_carry_the_name_of_the_role(role: Path) -> None:
    """`sallyport_host` is the one argument that all roles share: what the site file says of this host."""
    names = {*specification(role), *defaults(role)} - {"sallyport_host"}
    foreign = [name for name in names if not name.startswith(f"{role.name}_")]
    assert not foreign, f"roles/{role.name}: public variables start with {role.name}_"


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_a_role_is_thin(role: Path) -> None:
    count = sum(len(list(flatten(file, read(file)))) for file in role.glob("tasks/*.yml"))
    assert 0 < count <= MOST_TASKS


def numbers(file: Path) -> list[tuple[int, str]]:
    """List what stands in a file as a number: in Python its number tokens, elsewhere all but comments.

    Args:
        file: a source file of the kit.

    Returns:
        Line number and text of each.

    """
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        return [(token.start[0], token.string) for token in tokens if token.type == tokenize.NUMBER]
    return [(n, line) for n, line in enumerate(text.splitlines(), 1) if not line.lstrip().startswith(("#", "--"))]


def test_port_numbers_stand_in_the_flow_table_only() -> None:
    """A port that stands elsewhere is one that the firewall does not know of."""
    ports = re.compile(r"\b(5222|5223|5269|5270|5280|5281|5290)\b")
    sources = [
        f for d in ("roles", "playbooks", "plugins") for f in sorted((ROOT / d).rglob("*")) if f.suffix in SOURCES
    ]
    table = ROOT / "plugins" / "plugin_utils" / "flows.py"
    assert all(file in sources for file in WORLD), "a file of the outside has another name"
    assert any(ports.search(text) for _, text in numbers(table)), "the rule cannot see a port where there is one"
    found = [
        f"{file.relative_to(ROOT)}:{line}: {text.strip()}"
        for file in sources
        if file != table and file not in WORLD
        for line, text in numbers(file)
        if ports.search(text)
    ]
    assert not found, "\n".join(found)
