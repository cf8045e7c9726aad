# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documentation names is there: make targets, links, files, playbooks."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *ROOT.glob("roles/*/README.md"),
]
NAMES = [str(document.relative_to(ROOT)) for document in DOCUMENTS]
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))

# words after `make` that are prose, and paths that are made on the machine or belong to a site of the reader's
FOLDERS = "docs|inventories/demo|inventories/example|playbooks|plugins|roles|setup|tests|molecule"
MADE_HERE = re.compile(r"inventories/demo/(\.ssh|invitations|\.vault-password|vault\.yml|ca\.crt)")


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def anchors(text: str) -> set[str]:
    """Return the anchors of a document's headings, as code forges make them."""
    heads = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def make_targets(text: str) -> set[str]:
    """Return the targets that a document tells people to make, in code only."""
    code = re.findall(r"^```.*?^```|^ {4}.*$|`[^`\n]+`", text, flags=re.MULTILINE | re.DOTALL)
    return {target for part in code for target in re.findall(r"\bmake ([a-z][a-z-]*)\b(?!:)", part)}


def broken_links(document: Path, text: str) -> list[str]:
    """Return the relative links of a document that lead nowhere."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)
    return broken


def missing_files(text: str) -> list[str]:
    """Return the files of the kit that a document names in code and that do not exist."""
    words = re.findall(rf"(?<![\w./-])(?:{FOLDERS})/[\w./-]*\w", text)
    return sorted({word for word in words if not MADE_HERE.match(word) and not (ROOT / word).exists()})


@pytest.mark.parametrize("name", NAMES)
def test_make_targets_exist(name: str) -> None:
    assert make_targets(text_of(name)) - TARGETS == set()


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    assert broken_links(ROOT / name, text_of(name)) == []


@pytest.mark.parametrize("name", NAMES)
def test_files_of_the_kit_exist(name: str) -> None:
    assert missing_files(text_of(name)) == []


def test_the_readme_is_short_and_complete() -> None:
    text = text_of("README.md")
    assert len(text.splitlines()) <= 200
    assert {"demo", "test", "check", "verify", "drift", "new-site", "clean"} <= make_targets(text)
    assert [f"R{number}" for number in range(1, 13) if f"\n| R{number} |" not in text] == []


def test_ci_calls_what_the_readme_calls() -> None:
    assert "make test" in text_of("README.md")
    assert "make test" in text_of(".ci/run")


def test_no_document_names_this_machine() -> None:
    found = {name: re.findall(r"(?:/home/|/root/|/tmp/)\S*", text_of(name)) for name in NAMES}
    assert {name: paths for name, paths in found.items() if paths} == {}


def test_documents_are_part_of_the_kit() -> None:
    ignored = subprocess.run(["git", "check-ignore", *NAMES], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ignored.stdout == ""


def test_the_checks_can_fail() -> None:
    assert make_targets("Say `make peace SITE=x`, or make tea.") == {"peace"}
    assert anchors("# One: two\n\n```\n# not one\n```\n## A person's way\n") == {"one-two", "a-persons-way"}
    assert broken_links(
        ROOT / "README.md", "[a](docs) [b](docs/none.md) [c](README.md#none) [d](https://x.example)"
    ) == [
        "docs/none.md",
        "README.md#none",
    ]
    assert missing_files("see `playbooks/site.yml` and `playbooks/no.yml`, inventories/demo/ca.crt") == [
        "playbooks/no.yml"
    ]
