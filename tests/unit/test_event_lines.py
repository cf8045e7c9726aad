# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests read of an event file while a server writes to it."""

from __future__ import annotations

import pytest
from event_lines import whole_lines

FILE = '{"n":1}\n{"n":2}\n{"n":3}\n'


@pytest.mark.parametrize("length", range(len(FILE) + 1))
def test_lines_under_way_are_not_read(length: int) -> None:
    read = FILE[:length]
    assert whole_lines(read) == FILE.split("\n")[: read.count("\n")]


@pytest.mark.parametrize("mark", range(1, len(FILE) + 1))
def test_only_lines_that_begin_after_the_mark_are_read(mark: int) -> None:
    # the byte before the mark is read as well
    wanted = FILE.split("\n")[FILE[: mark - 1].count("\n") + 1 : -1]
    assert whole_lines(FILE[mark - 1 :], cut=True) == wanted


def test_separators_within_a_text_end_no_line() -> None:
    assert whole_lines('{"body":"a\u2028b\u0085c"}\n') == ['{"body":"a\u2028b\u0085c"}']
