# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the decision point's tests: one server for all, a clean event window for each test."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from decision_point.server import Server, image

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def one_server() -> Iterator[Server]:
    """The server, for the whole run."""
    server = Server(os.environ.get("SALLYPORT_TEST_NAME", "sallyport-decision-point"), image())
    yield server
    server.remove()


@pytest.fixture
def server(one_server: Server) -> Iterator[Server]:
    """The server with the usual policy in force and no event in the window."""
    one_server.offset = one_server.change()
    yield one_server
    one_server.end()
