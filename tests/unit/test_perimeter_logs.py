# SPDX-License-Identifier: GPL-3.0-or-later
"""What desktops make the gateway's services write is bounded, so that it pushes nobody else's lines out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from unit.sites import ROOT

FILES = ROOT / "roles" / "perimeter" / "files"
# squid writes into files of its own, which the rotation bounds
IN_THE_JOURNAL = ("unbound", "haproxy")


def bound(text: str) -> float:
    """Return how many lines a second a unit may write for long."""
    found = dict(re.findall(r"^LogRateLimit(IntervalSec|Burst)=(\d+)s?$", text, re.M))
    return int(found["Burst"]) / int(found["IntervalSec"]) if int(found.get("IntervalSec", 0)) else float("inf")


@pytest.mark.parametrize("service", IN_THE_JOURNAL)
def test_a_flood_of_refusals_does_not_fill_the_journal(service: str) -> None:
    assert bound((FILES / f"{service}-sandbox.conf").read_text(encoding="utf-8")) <= 100


def test_squid_s_own_files_are_bounded() -> None:
    assert "\tmaxsize 100M\n" in (FILES / "squid-logrotate").read_text(encoding="utf-8")


def test_the_controls_find_what_they_ask_for() -> None:
    """They ask for each name of the catalogue and one below it; all that is refused of it fits into one burst."""
    catalogue = yaml.safe_load(Path(ROOT / "plugins/plugin_utils/consumer_im.yml").read_text(encoding="utf-8"))
    asked = 2 * sum(len(entry.get("names", [])) for entry in catalogue)
    (burst,) = re.findall(r"^LogRateLimitBurst=(\d+)$", (FILES / "unbound-sandbox.conf").read_text(), re.M)
    # a question that gets no answer in time is asked up to four times
    assert asked * 2 < int(burst)
