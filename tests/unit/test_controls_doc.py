# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/controls.md says what the register of controls says."""

from __future__ import annotations

from system.controls import load_all
from system.controls_page import page
from unit.sites import ROOT


def test_the_page_of_the_controls_is_not_stale() -> None:
    assert (ROOT / "docs" / "controls.md").read_text(encoding="utf-8") == page(), "run: make docs"


def test_every_control_is_on_the_page() -> None:
    text = page()
    assert [name for name in load_all() if f"### {name}\n" not in text] == []
