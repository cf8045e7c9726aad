# SPDX-License-Identifier: GPL-3.0-or-later
"""What Lynis says of the internal server on a kernel of its own, after a reboot: what is in force then counts."""

from __future__ import annotations

import re

import pytest
from acceptance.test_lynis import DOCUMENT, REPORT, documented, named
from machine.guest import Guest

LEAST_INDEX = 80


@pytest.fixture(scope="module")
def lynis(guest: Guest, knocks: object) -> dict[str, list[str]]:
    """Lynis's report: its lines by their key. The package is one of the machine's, for this."""
    assert knocks, "asked once, after the reboot: it takes minutes on an emulated processor"
    audit = "lynis audit system --quick --no-colors --quiet >/dev/null 2>&1"
    guest.sh(f"cd / && rm -f {REPORT} && {audit} || test -s {REPORT}")
    found: dict[str, list[str]] = {}
    for line in guest.sh(f"cat {REPORT}").splitlines():
        key, separator, value = line.partition("=")
        if separator:
            found.setdefault(key.removesuffix("[]"), []).append(value)
    return found


def test_the_index_is_high_enough(lynis: dict[str, list[str]]) -> None:
    assert int(lynis["hardening_index"][0]) >= LEAST_INDEX, lynis


def test_there_is_no_warning(lynis: dict[str, list[str]]) -> None:
    assert lynis.get("warning", []) == []


def test_no_test_is_skipped(guest: Guest, lynis: dict[str, list[str]]) -> None:
    assert guest.sh("ls /etc/lynis/*.prf").split() == ["/etc/lynis/default.prf"]
    assert not re.search(r"^\s*skip-test\s*=", guest.sh("cat /etc/lynis/default.prf"), re.MULTILINE)
    assert int(lynis["lynis_tests_done"][0]) > 200


def test_each_suggestion_has_its_reason(lynis: dict[str, list[str]]) -> None:
    answered = documented(DOCUMENT.read_text(encoding="utf-8"))
    here = {name for name, where in answered.items() if where != "container"}
    assert sorted(named(lynis) - here) == []
    # and no reason is left over
    assert sorted(here - named(lynis)) == []
