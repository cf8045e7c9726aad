# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the decision point's tests: one server of each profile for all, a clean event window for each test."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from decision_point.outside import Outside
from decision_point.server import Server, image

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = os.environ.get("SALLYPORT_TEST_NAME", "sallyport-decision-point")


@pytest.fixture(scope="session")
def one_server() -> Iterator[Server]:
    """The internal server, for the whole run."""
    server = Server(NAME, image())
    yield server
    server.remove()


@pytest.fixture
def server(one_server: Server) -> Iterator[Server]:
    """The internal server with the usual policy in force and no event in the window."""
    one_server.offset = one_server.change()
    yield one_server
    one_server.end()


@pytest.fixture(scope="session")
def one_outside() -> Iterator[Outside]:
    """The external server and its neighbours, for the whole run."""
    outside = Outside(f"{NAME}-outside", image())
    yield outside
    outside.remove()


@pytest.fixture
def outside(one_outside: Outside) -> Iterator[Outside]:
    """The external server with the usual policy in force and no event in the window."""
    one_outside.offset = one_outside.change()
    yield one_outside
    one_outside.end()
