# SPDX-License-Identifier: GPL-3.0-or-later
"""Moments: what a date or a minute of a site file means to the second, and what is none."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
import yaml
from ansible_collections.sallyport.im.plugins.plugin_utils.message_policy import compile_policy, enabled
from ansible_collections.sallyport.im.plugins.plugin_utils.site import load
from ansible_collections.sallyport.im.plugins.plugin_utils.site_file import External, Limited
from ansible_collections.sallyport.im.plugins.plugin_utils.values import Moment, instant, read_moment
from ansible_collections.sallyport.im.plugins.plugin_utils.yaml_source import read
from hypothesis import given
from hypothesis import strategies as st
from unit.sites import EXTERNAL_HOSTS, EXTERNAL_SITE, make_site, moment

MOMENTS = st.one_of(
    st.dates(datetime.date(2000, 1, 1), datetime.date(2199, 12, 31)).map(str),
    st.datetimes(datetime.datetime(2000, 1, 1), datetime.datetime(2199, 12, 31)).map("{:%Y-%m-%d %H:%M}".format),
)
"""Any moment, as a site file has it."""


@pytest.mark.parametrize(
    ("text", "begins", "over"),
    [
        ("2027-06-30", "2027-06-30T00:00:00Z", "2027-07-01T00:00:00Z"),
        ("2027-06-30 17:30", "2027-06-30T17:30:00Z", "2027-06-30T17:30:00Z"),
        ("2027-06-30 00:00", "2027-06-30T00:00:00Z", "2027-06-30T00:00:00Z"),
        ("2028-02-28", "2028-02-28T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("2026-12-31", "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("2199-12-31", "2199-12-31T00:00:00Z", "2200-01-01T00:00:00Z"),
        # a summer in which clocks are changed makes no difference: all of it is UTC
        ("2027-03-28", "2027-03-28T00:00:00Z", "2027-03-29T00:00:00Z"),
    ],
)
def test_the_instants_of_a_moment(text: str, begins: str, over: str) -> None:
    found = read_moment(text)
    assert (instant(found.begins), instant(found.over)) == (begins, over)
    assert str(found) == text
    assert read_moment(found) is found


def test_yaml_s_own_date_is_the_same_as_its_text(tmp_path: Path) -> None:
    file = tmp_path / "x.yml"
    file.write_text('a: 2027-06-30\nb: "2027-06-30"\nc: 2027-06-30 17:30\nd: "2027-06-30 17:30"\n', encoding="utf-8")
    value = read(file).value
    assert isinstance(value, dict)
    plain, quoted, minute, quoted_minute = (read_moment(item) for item in value.values())
    assert plain == quoted == Moment(datetime.date(2027, 6, 30))
    assert minute == quoted_minute == Moment(datetime.date(2027, 6, 30), datetime.time(17, 30))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("2027-02-29", "there is no such day"),
        ("2027-06-31", "there is no such day"),
        ("2027-13-01", "there is no such day"),
        ("2027-02-29 10:00", "there is no such minute"),
        ("2027-06-30 24:00", "there is no such minute"),
        ("2027-06-30 17:60", "there is no such minute"),
        ("1999-12-31", "too far away"),
        ("2200-01-01 00:00", "too far away"),
        ("1999-12-31 23:59", "too far away"),
        ("2027-06-30 17:30:00", "not a date"),
        ("2027-06-30 17", "not a date"),
        ("2027-06-30 7:30", "not a date"),
        ("2027-06-30T17:30", "not a date"),
        ("2027-06-30 17:30Z", "not a date"),
        ("2027-06-30  17:30", "not a date"),
        ("2027-06-30 17:30\n", "not a date"),
        ("٢٠٢٧-06-30 17:30", "not a date"),
        ("17:30", "not a date"),
        ("", "not a date"),
        (20270630, "not a date"),
        (None, "not a date"),
        (True, "not a date"),
    ],
)
def test_what_is_no_moment(value: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_moment(value)


@pytest.mark.parametrize("text", ["2027-06-30 17:30:00", "2027-06-30 17:30:59", "2027-06-30T17:30:00Z"])
def test_seconds_are_refused_as_yaml_reads_them(text: str) -> None:
    with pytest.raises(ValueError, match="this has seconds; write the minute, as 2027-06-30 17:30"):
        read_moment(yaml.safe_load(text))


@given(one=MOMENTS, other=MOMENTS)
def test_instants_compare_as_text(one: str, other: str) -> None:
    first, second = read_moment(one), read_moment(other)
    assert (instant(first.begins) < instant(second.begins)) == (first.begins < second.begins)
    assert (instant(first.over) < instant(second.over)) == (first.over < second.over)
    assert first.over - first.begins in (datetime.timedelta(), datetime.timedelta(days=1))


def test_an_instant_is_of_utc_wherever_it_was_said() -> None:
    east = datetime.timezone(datetime.timedelta(hours=5, minutes=45))
    assert instant(datetime.datetime(2027, 1, 1, 2, 0, 59, tzinfo=east)) == "2026-12-31T20:15:59Z"


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        ("2026-03-01 07:59:59", "not started, begins 2026-03-01 08:00"),
        ("2026-03-01 08:00:00", ""),
        ("2026-12-31 17:29:59", ""),
        ("2026-12-31 17:30:00", "expired, ended 2026-12-31 17:30"),
    ],
)
def test_what_holds_for_a_time(now: str, reason: str) -> None:
    found = Limited.model_validate({"from": "2026-03-01 08:00", "until": "2026-12-31 17:30"})
    assert found.why_disabled(moment(now)) == reason
    assert found.enabled(moment(now)) == (not reason)
    assert (found.begins, found.ends) == ("2026-03-01T08:00:00Z", "2026-12-31T17:30:00Z")


def test_what_has_no_limits_always_holds() -> None:
    found = Limited.model_validate({})
    assert (found.begins, found.ends) == (None, None)
    assert found.enabled(moment("2000-01-01"))
    assert found.enabled(moment("2199-12-31"))


def test_a_moment_is_written_as_it_was_read() -> None:
    given_ = {"from": "2026-03-01 08:00", "until": "2026-12-31", "reason": "Audit"}
    assert External.model_validate(given_).model_dump(mode="json") == given_


GRANTS = {
    "the grant ends first": ("until: 2027-12-31", "until: 2027-06-30", (None, "2027-07-01T00:00:00Z")),
    "the account ends first": ("until: 2027-06-30 16:30", "until: 2027-06-30", (None, "2027-06-30T16:30:00Z")),
    "both end with the day": ("until: 2027-06-30", "until: 2027-07-01 00:00", (None, "2027-07-01T00:00:00Z")),
    "the account has no end": (
        "from: 2026-01-01",
        "until: 2027-06-30",
        ("2026-01-01T00:00:00Z", "2027-07-01T00:00:00Z"),
    ),
    "the grant begins last": (
        "from: 2026-01-01",
        "from: 2026-01-01 00:01, until: 2027-06-30",
        ("2026-01-01T00:01:00Z", "2027-07-01T00:00:00Z"),
    ),
    "the account begins last": (
        "from: 2026-05-01",
        "from: 2026-01-01, until: 2027-06-30",
        ("2026-05-01T00:00:00Z", "2027-07-01T00:00:00Z"),
    ),
    "they never meet": (
        "until: 2026-01-31",
        "from: 2026-02-01, until: 2027-06-30",
        ("2026-02-01T00:00:00Z", "2026-02-01T00:00:00Z"),
    ),
    "the grant begins when the account has long ended": (
        "until: 2026-01-31",
        "from: 2026-03-01, until: 2027-06-30",
        ("2026-03-01T00:00:00Z", "2026-02-01T00:00:00Z"),
    ),
}


@pytest.mark.parametrize(("account", "grant", "instants"), GRANTS.values(), ids=GRANTS)
def test_external_im_lasts_while_both_the_account_and_the_grant_do(
    tmp_path: Path, account: str, grant: str, instants: tuple[str | None, str]
) -> None:
    alice = "groups: [staff], external: {reason: Project North, until: 2027-06-30}"
    text = EXTERNAL_SITE.replace(alice, f"groups: [staff], {account}, external: {{reason: Project North, {grant}}}")
    assert text != EXTERNAL_SITE
    policy = compile_policy(load(make_site(tmp_path, text, EXTERNAL_HOSTS)), "external")
    assert (policy["people"]["alice"]["from"], policy["people"]["alice"]["until"]) == instants
    begins, ends = instants
    last = moment(ends.replace("T", " ").removesuffix("Z")) - datetime.timedelta(seconds=1)
    assert enabled(policy, "alice", last) == ((begins or "") < ends)
    assert not enabled(policy, "alice", last + datetime.timedelta(seconds=1))
