# SPDX-License-Identifier: GPL-3.0-or-later
"""The pure parts of the decision point, by busted: each file of tests/lua in a process of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from unit.sites import ROOT


@pytest.mark.parametrize("spec", sorted((ROOT / "tests/lua").glob("*_spec.lua")), ids=lambda spec: spec.stem)
def test_spec(spec: Path) -> None:
    done = subprocess.run(["busted", str(spec)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
