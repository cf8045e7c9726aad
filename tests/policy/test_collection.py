# SPDX-License-Identifier: GPL-3.0-or-later
"""The checkout as a collection: everything has documentation, and the artifact holds what it should and no more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(sys.executable).parent
FOLDERS = {
    "module": "plugins/modules",
    "lookup": "plugins/lookup",
    "filter": "plugins/filter",
    "callback": "plugins/callback",
    "role": "roles",
}
MODULES = sorted(path.stem for path in (ROOT / FOLDERS["module"]).glob("*.py"))


def run(tool: str, *arguments: str, **environment: str) -> tuple[str, str]:
    """Run a tool of Ansible; returns what it printed and what it complained of."""
    done = subprocess.run(
        [str(TOOLS / tool), *arguments],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, done.stderr


def elsewhere(place: Path) -> dict[str, str]:
    """Return an environment in which Ansible knows the collections of a folder and nothing of the checkout."""
    (place / "ansible.cfg").touch()
    return {
        "ANSIBLE_CONFIG": str(place / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(place),
        "ANSIBLE_HOME": str(place / "home"),
        "PYTHONPATH": "",
    }


@pytest.fixture(scope="module")
def documented() -> dict[str, dict[str, object]]:
    """What Ansible finds in the collection, of each kind."""
    listed, complaints = run("ansible-doc", "--metadata-dump", "sallyport.im")
    assert not complaints
    found: dict[str, dict[str, object]] = json.loads(listed)["all"]
    return found


@pytest.mark.parametrize("kind", FOLDERS)
def test_everything_has_documentation(documented: dict[str, dict[str, object]], kind: str) -> None:
    names = [
        f"sallyport.im.{path.stem}"
        for path in sorted((ROOT / FOLDERS[kind]).iterdir())
        if not path.name.startswith(("_", "."))
    ]
    assert sorted(documented[kind]) == names
    text, complaints = run("ansible-doc", "-t", kind, *names)
    assert not complaints, "ansible-doc warns of something"
    if kind != "role":
        assert text.count("EXAMPLES") >= len(names) - (kind == "callback")


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection, built from the working tree and installed elsewhere."""
    place = tmp_path_factory.mktemp("artifact")
    # what lies about in a working tree must not get in, so that a clean one proves nothing
    run("ansible-galaxy", "collection", "build", "--output-path", str(place), str(ROOT))
    (packed,) = place.glob("*.tar.gz")
    run("ansible-galaxy", "collection", "install", "--offline", "-p", str(place), str(packed), **elsewhere(place))
    return place / "ansible_collections" / "sallyport" / "im"


def test_the_artifact_holds_no_site_no_secret_no_cache(artifact: Path) -> None:
    names = [str(path.relative_to(artifact)) for path in artifact.rglob("*") if path.is_file()]
    patterns = (
        *("inventories/*", "tests/*", "molecule/*", "collections/*", "reports/*", ".*", "*/.*", "*.pyc", "*.tar.gz"),
        *("*vault.yml", "*.key", "*.pem", "*.crt", "*.jsonl", "*__pycache__*"),
    )
    assert [name for name in names if any(fnmatch(name, pattern) for pattern in patterns)] == []
    for needed in ("README.md", "LICENSE", "CHANGELOG.md", "playbooks/site.yml", "meta/runtime.yml"):
        assert needed in names


def test_what_was_installed_works_without_the_checkout(artifact: Path) -> None:
    folders = ("modules", "module_utils", "plugin_utils", "action", "lookup", "filter", "callback")
    names = [
        f"ansible_collections.sallyport.im.plugins.{folder}.{path.stem}"
        for folder in folders
        for path in sorted((artifact / "plugins" / folder).glob("*.py"))
    ]
    assert len(names) > len(MODULES) + 20
    code = f"import importlib, sys; [importlib.import_module(name) for name in {names!r}]; print(*sys.modules)"
    # the folder of the installed collection and nothing of the checkout
    imported = subprocess.run(
        [sys.executable, "-c", code],
        cwd=artifact,
        env={"PYTHONPATH": str(artifact.parents[2]), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(artifact.parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert imported.returncode == 0, imported.stderr
    listed, _complaints = run(
        "ansible-doc", "-t", "module", "-l", "-j", "sallyport.im", **elsewhere(artifact.parents[2])
    )
    assert sorted(json.loads(listed)) == [f"sallyport.im.{name}" for name in MODULES]
