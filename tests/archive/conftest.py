# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the archive's tests: one log host for all, an empty archive for each."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from archive.log_host import ALICE, BOB, CARL, DAY, ROOM, LogHost, event, image, lines

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


def fill(host: LogHost) -> LogHost:
    """Makes the archive anew with a few events of every kind, ingested and sealed; returns the host."""
    host.clean()
    host.append(
        lines(
            event(body="The budget for Straße 5", time=f"{DAY}T10:00:00.000Z"),
            event(BOB, ALICE, body="thanks", subject="Budget", time=f"{DAY}T11:00:00.000Z"),
            event(CARL, ROOM, room=ROOM, body="lunch", time=f"{DAY}T12:00:00.000Z"),
            event(CARL, BOB, verdict="refused", rule="stranger", reason="Not allowed.", time=f"{DAY}T13:00:00.000Z"),
            event(kind="file", file="Budget_2026.xlsx", type="upload", time=f"{DAY}T14:00:00.000Z"),
        )
    )
    host.ingest()
    host.settle()
    host.ask("seal")
    return host
