# SPDX-License-Identifier: GPL-3.0-or-later
"""What Lynis says of the internal server, and that docs/hardening.md answers each of its suggestions, and no others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance.demo_site import Demo

LEAST_INDEX = 75
REPORT = "/var/log/lynis-report.dat"
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "hardening.md"
# the first column of the table of suggestions
ROW = re.compile(r"^\| ([A-Z]+-\d{4}|LYNIS) \|.*\| (\S[^|]*) \|$", re.MULTILINE)
INSTALL = (
    "command -v lynis || { apt-get -qq update"
    " && DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends lynis >/dev/null; }"
)


def documented(text: str) -> dict[str, str]:
    """Return where each suggestion that the document answers occurs: everywhere, or only in a container or machine."""
    return dict(ROW.findall(text))


@pytest.fixture(scope="module")
def report(demo: Demo) -> Iterator[dict[str, list[str]]]:
    """Lynis's report of the internal server: its lines by their key. Lynis is taken away again."""
    demo.sh(INSTALL)
    # the package brings files whose rights are not the kit's
    demo.converge()
    demo.sh(
        f"cd / && rm -f {REPORT} && lynis audit system --quick --no-colors --quiet >/dev/null 2>&1 || test -s {REPORT}"
    )
    found: dict[str, list[str]] = {}
    for line in demo.sh(f"cat {REPORT}").splitlines():
        key, separator, value = line.partition("=")
        if separator:
            found.setdefault(key.removesuffix("[]"), []).append(value)
    yield found
    demo.sh("apt-get -qq purge --yes lynis >/dev/null")


def named(report: dict[str, list[str]]) -> set[str]:
    """Return the ids of the suggestions and warnings of a report."""
    return {value.split("|")[0] for key in ("suggestion", "warning") for value in report.get(key, [])}


def test_the_index_is_high_enough(report: dict[str, list[str]]) -> None:
    assert int(report["hardening_index"][0]) >= LEAST_INDEX, report


def test_there_is_no_warning(report: dict[str, list[str]]) -> None:
    assert report.get("warning", []) == []


def test_no_test_is_skipped_by_the_kit(demo: Demo, report: dict[str, list[str]]) -> None:
    profiles = demo.sh("cat /etc/lynis/*.prf ~/.lynis/*.prf 2>/dev/null || true")
    assert "Default Audit Template" in profiles, "the profile of the package was not found"
    assert re.findall(r"^\s*skip-test\s*=.*$", profiles, re.MULTILINE) == []
    assert demo.sh("ls /etc/lynis/*.prf").split() == ["/etc/lynis/default.prf"]
    assert int(report["lynis_tests_done"][0]) > 200


def test_each_suggestion_has_its_reason(report: dict[str, list[str]]) -> None:
    assert sorted(named(report) - documented(DOCUMENT.read_text(encoding="utf-8")).keys()) == []


def test_no_reason_is_left_over(report: dict[str, list[str]]) -> None:
    answered = documented(DOCUMENT.read_text(encoding="utf-8"))
    assert set(answered.values()) <= {"everywhere", "container", "machine"}
    # the demo's hosts are containers
    assert sorted({name for name, where in answered.items() if where != "machine"} - named(report)) == []


def test_the_rows_can_be_read() -> None:
    rows = "|---|---|---|---|", "| AUTH-9284 | a | b | everywhere |", "| LYNIS | c | d | container |"
    assert documented("\n".join(rows)) == {"AUTH-9284": "everywhere", "LYNIS": "container"}
