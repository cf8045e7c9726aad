# SPDX-License-Identifier: GPL-3.0-or-later
"""Wrong sites: all faults of each are named at once, each with path, what is allowed, nearest name, file, line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.sallyport.im.plugins.plugin_utils.faults import Fault, SiteFaults
from ansible_collections.sallyport.im.plugins.plugin_utils.site import load
from unit.sites import BASES, FAULTY, SPECIAL, make_site

CASES = sorted(FAULTY.glob("*.yml"))


def changed(text: str, changes: list[dict[str, str]]) -> str:
    for change in changes:
        assert change["replace"] in text, f"the base has no {change['replace']!r}"
        text = text.replace(change["replace"], change["by"], 1)
    return text


def matches(fault: Fault, expected: dict[str, str]) -> bool:
    line = ""
    if fault.line and fault.file.is_file():
        line = fault.file.read_text(encoding="utf-8", errors="replace").splitlines()[fault.line - 1]
    return (
        fault.path == expected["path"]
        and expected["says"] in fault.message
        and expected.get("allowed", "") in fault.allowed
        and expected.get("nearest", fault.nearest) == fault.nearest
        and expected.get("on", "") in line
    )


def test_there_are_at_least_a_hundred() -> None:
    assert len(CASES) >= 100


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_all_faults_are_named_at_once(case: Path, tmp_path: Path) -> None:
    # everything as text: to YAML 1.1 the name `on` would be true
    wanted: dict[str, Any] = yaml.load(case.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    site, hosts = BASES[wanted.get("base", "base")]
    folder = make_site(tmp_path, changed(site, wanted.get("site.yml", [])), changed(hosts, wanted.get("hosts.yml", [])))
    if "special" in wanted:
        SPECIAL[wanted["special"]](folder)
    with pytest.raises(SiteFaults) as raised:
        load(folder)
    faults = list(raised.value.faults)
    for expected in wanted["faults"]:
        found = [fault for fault in faults if matches(fault, expected)]
        assert found, f"not named: {expected}\n{raised.value}"
        faults.remove(found[0])
    assert not faults, f"named without being expected:\n{SiteFaults(faults)}"
    for fault in raised.value.faults:
        assert fault.path or fault.file.name in fault.place
        assert fault.line or not fault.path
    assert re.fullmatch(r"[^\x00-\x09\x0b-\x1f\x7f-\x9f]*", str(raised.value)), (
        "a control character reaches the terminal"
    )


@pytest.mark.parametrize("base", BASES)
def test_the_base_of_all_these_has_no_fault(tmp_path: Path, base: str) -> None:
    assert load(make_site(tmp_path, *BASES[base])).name == "oslo"


def test_a_folder_that_does_not_exist_names_those_that_do(tmp_path: Path) -> None:
    make_site(tmp_path)
    with pytest.raises(SiteFaults, match="oslo"):
        load(tmp_path / "olso")
