# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the long tests. Those on the demo leave it converged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from acceptance.demo_site import Demo
from acceptance.outside_talk import Talk, talking


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """The demo site, converged before and after."""
    site = Demo()
    site.converge()
    yield site
    site.converge()


@pytest.fixture
def talk(demo: Demo) -> Iterator[Talk]:
    """A person and the partner's contact who hear each other."""
    with talking(demo) as both:
        both.both_hear()
        yield both
