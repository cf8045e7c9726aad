# SPDX-License-Identifier: GPL-3.0-or-later
"""What only a real kernel shows, looked at on the emulated machine in the place of the demo's internal server."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from machine.guest import Guest
from system.reach import connect
from system.site_facts import SiteFacts, read_site

ROOT = Path(__file__).resolve().parents[2]
KNOCKS = ROOT / ".cache" / "machine" / "knocks.json"


@pytest.fixture(scope="session")
def demo_facts() -> SiteFacts:
    """The demo as its files say it is."""
    return read_site(ROOT / os.environ.get("SALLYPORT_SITE", "inventories/demo"))


@pytest.fixture(scope="session")
def guest(demo_facts: SiteFacts) -> Guest:
    """The machine, with the administrator's eyes."""
    guest = Guest(connect(demo_facts.server()))
    where = guest.host.run("systemd-detect-virt --container").stdout.strip()
    if where != "none":
        pytest.fail(
            f"{demo_facts.server().name} is a container ({where}); start the machine: make machine", pytrace=False
        )
    return guest


@pytest.fixture(scope="session")
def knocks() -> dict[str, dict[str, dict[str, float]]]:
    """What answered while the machine rebooted, by address and port; see knock.py."""
    if not KNOCKS.exists():
        pytest.skip("the machine has not been rebooted yet; these are looked at afterwards")
    found: dict[str, Any] = json.loads(KNOCKS.read_text(encoding="utf-8"))
    return found
