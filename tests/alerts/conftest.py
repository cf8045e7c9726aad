# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the alerts' tests: one log host for all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from decision_point.server import image

from alerts.log_host import LogHost

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = os.environ.get("SALLYPORT_TEST_NAME", "sallyport-alerts")


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogHost]:
    """The log host, for the whole run."""
    host = LogHost(NAME, image(), tmp_path_factory.mktemp("alerts"))
    yield host
    host.remove()
