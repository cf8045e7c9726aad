# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the archive's tests: one log host for all, an empty archive for each."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from archive.log_host import LogHost, image

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = os.environ.get("SALLYPORT_TEST_NAME", "sallyport-archive")


@pytest.fixture(scope="session")
def one_host() -> Iterator[LogHost]:
    """The log host, for the whole run."""
    host = LogHost(NAME, image())
    yield host
    host.remove()


@pytest.fixture
def host(one_host: LogHost) -> LogHost:
    """An empty archive, and nobody ingests."""
    one_host.clean()
    return one_host
