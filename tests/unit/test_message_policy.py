# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may write to whom: the compiled policy has the properties that everything else leans on."""

from __future__ import annotations

import datetime
import itertools
import json
import random
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.sallyport.im.plugins.plugin_utils.message_policy import (
    compile_policy,
    contacts,
    enabled,
    may_write,
    policy_text,
)
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site, load
from ansible_collections.sallyport.im.plugins.plugin_utils.site_file import SiteFile
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.sites import BASE_SITE, ROOT, base_site
from unit.test_site import DAYS, valid_settings

TODAY = datetime.date(2026, 6, 1)


def site_of(content: dict[str, Any]) -> Site:
    """Make a site without files."""
    text = json.dumps(content["sallyport"], default=str)
    return Site(Path("inventories/oslo"), SiteFile.model_validate_json(text), ())


@settings(max_examples=60, deadline=None)
@given(content=valid_settings(), today=DAYS)
def test_writing_is_symmetrical(content: dict[str, Any], today: datetime.date) -> None:
    policy = compile_policy(site_of(content))
    for one, other in itertools.product(policy["people"], repeat=2):
        assert may_write(policy, one, other, today) == may_write(policy, other, one, today)
    for group, entry in policy["groups"].items():
        assert group in entry["sees"]
        assert all(group in policy["groups"][other]["sees"] for other in entry["sees"])


@settings(max_examples=60, deadline=None)
@given(content=valid_settings(), today=DAYS)
def test_nobody_sees_a_stranger(content: dict[str, Any], today: datetime.date) -> None:
    """Judged from the site file alone, without anything that the compiler made."""
    policy = compile_policy(site_of(content))
    groups, people = content["sallyport"]["groups"], content["sallyport"]["people"]
    named = {(a, b) for a, entry in groups.items() for b in entry["contacts"]}
    for one, other in itertools.combinations(people, 2):
        reasons = [
            (a, b)
            for a, b in itertools.product(one["groups"], other["groups"])
            if a == b or (a, b) in named or (b, a) in named
        ]
        both = enabled(policy, one["id"], today) and enabled(policy, other["id"], today)
        assert may_write(policy, one["id"], other["id"], today) == (bool(reasons) and both)


@settings(max_examples=60, deadline=None)
@given(content=valid_settings(), today=DAYS)
def test_probes_see_each_other_and_no_person(content: dict[str, Any], today: datetime.date) -> None:
    policy = compile_policy(site_of(content))
    assert contacts(policy, "probe-a", today) == ("probe-b",)
    assert contacts(policy, "probe-c", today) == ()
    for person in content["sallyport"]["people"]:
        assert not {"probe-a", "probe-b", "probe-c"} & {*contacts(policy, person["id"], today)}


@settings(max_examples=60, deadline=None)
@given(content=valid_settings(), today=DAYS)
def test_out_of_their_dates_people_neither_write_nor_receive(content: dict[str, Any], today: datetime.date) -> None:
    policy = compile_policy(site_of(content))
    for person in content["sallyport"]["people"]:
        start, end = str(person.get("from", "0")), str(person.get("until", "9"))
        inside = start <= today.isoformat() <= end
        assert enabled(policy, person["id"], today) == inside
        if not inside:
            assert contacts(policy, person["id"], today) == ()


@settings(max_examples=60, deadline=None)
@given(content=valid_settings(), seed=st.integers())
def test_the_order_of_the_file_does_not_matter(content: dict[str, Any], seed: int) -> None:
    shuffled: dict[str, Any] = json.loads(json.dumps(content, default=str))
    dice = random.Random(seed)
    dice.shuffle(shuffled["sallyport"]["people"])
    groups = [*shuffled["sallyport"]["groups"].items()]
    dice.shuffle(groups)
    shuffled["sallyport"]["groups"] = dict(groups)
    for entry in [*shuffled["sallyport"]["people"]]:
        dice.shuffle(entry["groups"])
    assert policy_text(compile_policy(site_of(shuffled))) == policy_text(compile_policy(site_of(content)))


@settings(max_examples=60, deadline=None)
@given(content=valid_settings())
def test_the_text_is_the_policy(content: dict[str, Any]) -> None:
    policy = compile_policy(site_of(content))
    text = policy_text(policy)
    assert json.loads(text) == policy
    assert text.endswith("}\n")


def test_empty_means_nobody() -> None:
    content = yaml.safe_load(BASE_SITE)
    content["sallyport"]["people"] = []
    content["sallyport"]["groups"] = {}
    policy = compile_policy(site_of(content))
    assert {*policy["people"]} == {"probe-a", "probe-b", "probe-c"}
    assert not may_write(policy, "alice", "alice", TODAY)
    alone = yaml.safe_load(BASE_SITE)
    for person in alone["sallyport"]["people"]:
        person["groups"] = []
    assert contacts(compile_policy(site_of(alone)), "alice", TODAY) == ()


def test_the_whole_document(tmp_path: Path) -> None:
    """Format 1 in full, as the server's module expects it."""
    assert compile_policy(base_site(tmp_path)) == {
        "format": 1,
        "kit": "0.1.0",
        "site": "oslo",
        "domain": "im.fjord.example",
        "rooms_domain": "rooms.im.fjord.example",
        "files_domain": "files.im.fjord.example",
        "people": {
            "alice": {"name": "Alice Ek", "groups": ["staff"], "from": None, "until": None},
            "bob": {"name": "Bob Li", "groups": ["board", "staff"], "from": None, "until": None},
            "carl": {"name": "Carl Ny", "groups": ["board"], "from": "2026-01-01", "until": "2027-06-30"},
            "probe-a": {"name": "Probe A", "groups": ["probes"], "from": None, "until": None},
            "probe-b": {"name": "Probe B", "groups": ["probes"], "from": None, "until": None},
            "probe-c": {"name": "Probe C", "groups": [], "from": None, "until": None},
        },
        "groups": {
            "board": {"title": "Board", "sees": ["board", "staff"]},
            "probes": {"title": "Probes", "sees": ["probes"]},
            "staff": {"title": "Staff", "sees": ["board", "staff"]},
        },
        "rooms": {
            "probes": {"title": "Probes", "groups": ["probes"]},
            "staff": {"title": "Staff", "groups": ["staff"]},
        },
        "calls": "refuse",
    }


def test_the_demo_s_people() -> None:
    """Alice and bob see each other; carl sees none of them; dora left."""
    policy = compile_policy(load(ROOT / "inventories" / "demo", with_vault=False))
    assert {person: contacts(policy, person, TODAY) for person in ("alice", "bob", "carl", "dora")} == {
        "alice": ("bob",),
        "bob": ("alice",),
        "carl": (),
        "dora": (),
    }
