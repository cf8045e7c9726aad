# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may write to whom: the compiled policy has the properties that everything else leans on."""

from __future__ import annotations

import datetime
import itertools
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.sallyport.im.plugins.plugin_utils.message_policy import (
    compile_policy,
    contacts,
    enabled,
    may_write,
    policy_text,
)
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site, load
from ansible_collections.sallyport.im.plugins.plugin_utils.site_file import NOTICE, SiteFile
from ansible_collections.sallyport.im.plugins.plugin_utils.vault import write_vault
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.sites import (
    AUTHORITY_OF_NORTH,
    BASE_HOSTS,
    BASE_SITE,
    EXTERNAL_HOSTS,
    EXTERNAL_SITE,
    LOG_HOST,
    PASSWORD,
    ROOT,
    SECRETS,
    base_site,
    external_site,
    make_site,
    moment,
)
from unit.test_site import NOW as ANY_TIME
from unit.test_site import valid_external_settings, valid_settings

NOW = moment("2026-06-01")
SECOND = datetime.timedelta(seconds=1)


def site_of(content: dict[str, Any]) -> Site:
    """Make a site without files."""
    text = json.dumps(content["sallyport"], default=str)
    return Site(Path("inventories/oslo"), SiteFile.model_validate_json(text), ())


def starts(entry: dict[str, Any]) -> datetime.datetime:
    """Read when an entry begins, from the site file alone."""
    return moment(str(entry.get("from", "1900-01-01")))


def stops(entry: dict[str, Any]) -> datetime.datetime:
    """Read when an entry is over, from the site file alone: a date lasts for all of it."""
    text = str(entry.get("until", "2900-01-01"))
    return moment(text) + datetime.timedelta(days=0 if ":" in text else 1)


def holds(entry: dict[str, Any], now: datetime.datetime) -> bool:
    """Tell whether an entry holds, from the site file alone."""
    return starts(entry) <= now < stops(entry)


@settings(max_examples=60, deadline=None)
@given(content=valid_settings(), now=ANY_TIME)
def test_writing_is_symmetrical(content: dict[str, Any], now: datetime.datetime) -> None:
    policy = compile_policy(site_of(content))
    for one, other in itertools.product(policy["people"], repeat=2):
        assert may_write(policy, one, other, now) == may_write(policy, other, one, now)
    for group, entry in policy["groups"].items():
        assert group in entry["sees"]
        assert all(group in policy["groups"][other]["sees"] for other in entry["sees"])


@settings(max_examples=60, deadline=None)
@given(content=valid_settings(), now=ANY_TIME)
def test_nobody_sees_a_stranger(content: dict[str, Any], now: datetime.datetime) -> None:
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
        both = enabled(policy, one["id"], now) and enabled(policy, other["id"], now)
        assert may_write(policy, one["id"], other["id"], now) == (bool(reasons) and both)


@settings(max_examples=60, deadline=None)
@given(content=valid_settings(), now=ANY_TIME)
def test_probes_see_each_other_and_no_person(content: dict[str, Any], now: datetime.datetime) -> None:
    policy = compile_policy(site_of(content))
    assert contacts(policy, "probe-a", now) == ("probe-b",)
    assert contacts(policy, "probe-c", now) == ()
    for person in content["sallyport"]["people"]:
        assert not {"probe-a", "probe-b", "probe-c"} & {*contacts(policy, person["id"], now)}


@settings(max_examples=60, deadline=None)
@given(content=valid_settings(), now=ANY_TIME)
def test_out_of_their_time_people_neither_write_nor_receive(content: dict[str, Any], now: datetime.datetime) -> None:
    policy = compile_policy(site_of(content))
    for person in content["sallyport"]["people"]:
        inside = holds(person, now)
        assert enabled(policy, person["id"], now) == inside
        if not inside:
            assert contacts(policy, person["id"], now) == ()


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
    assert not may_write(policy, "alice", "alice", NOW)
    alone = yaml.safe_load(BASE_SITE)
    for person in alone["sallyport"]["people"]:
        person["groups"] = []
    assert contacts(compile_policy(site_of(alone)), "alice", NOW) == ()


def test_the_whole_document(tmp_path: Path) -> None:
    """Format 3 in full, as the internal server's module expects it."""
    assert compile_policy(base_site(tmp_path)) == {
        "format": 3,
        "kit": "0.1.0",
        "site": "oslo",
        "profile": "internal",
        "domain": "im.fjord.example",
        "rooms_domain": "rooms.im.fjord.example",
        "files_domain": "files.im.fjord.example",
        "people": {
            "alice": {"name": "Alice Ek", "groups": ["staff"], "from": None, "until": None},
            "bob": {"name": "Bob Li", "groups": ["board", "staff"], "from": None, "until": None},
            "carl": {
                "name": "Carl Ny",
                "groups": ["board"],
                "from": "2026-01-01T00:00:00Z",
                "until": "2027-07-01T00:00:00Z",
            },
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
        "partners": {},
        "partner_links": "refuse",
        "rates": {"messages_per_minute": 240, "burst": 120},
        "body": "full",
        "end_to_end_encryption": "forbid",
        "notice": NOTICE.replace("{company}", "Fjord AS"),
        "rules": [],
        "lists": {},
        "names": [],
        "zone": [["1970-01-01T00:00:00Z", 0]],
    }


def test_the_whole_document_of_the_external_server(tmp_path: Path) -> None:
    """Dora, who has no leave, is not in it; nobody is in a group but the probes."""
    site = external_site(tmp_path)
    assert compile_policy(site, "external") == {
        "format": 3,
        "kit": "0.1.0",
        "site": "oslo",
        "profile": "external",
        "domain": "ext.fjord.example",
        "rooms_domain": None,
        "files_domain": None,
        "people": {
            "alice": {"name": "Alice Ek", "groups": [], "from": None, "until": "2027-07-01T00:00:00Z"},
            "bob": {"name": "Bob Li", "groups": [], "from": "2026-03-01T08:00:00Z", "until": "2027-01-01T00:00:00Z"},
            "carl": {"name": "Carl Ny", "groups": [], "from": "2026-01-01T00:00:00Z", "until": "2026-11-30T16:30:00Z"},
            "probe-a": {"name": "Probe A", "groups": ["probes"], "from": None, "until": None},
            "probe-b": {"name": "Probe B", "groups": ["probes"], "from": None, "until": None},
            "probe-c": {"name": "Probe C", "groups": [], "from": None, "until": None},
        },
        "groups": {"probes": {"title": "Probes", "sees": ["probes"]}},
        "rooms": {},
        "calls": "refuse",
        "partners": {
            "north.example": {
                "name": "North Ltd",
                "from": None,
                "until": "2027-07-01T00:00:00Z",
                "people": ["alice"],
                "contacts": {"nora": "Nora Dahl", "ole": "Ole Lund"},
                "whole_domain": False,
                "authority": AUTHORITY_OF_NORTH[0].decode(),
                "fingerprints": [],
                "servers": [],
            },
            "south.example": {
                "name": "South AB",
                "from": None,
                "until": "2026-12-31T17:30:00Z",
                "people": ["bob", "carl"],
                "contacts": {},
                "whole_domain": True,
                "authority": None,
                "fingerprints": ["1f1e1d1c1b1a191817161514131211100f0e0d0c0b0a09080706050403020100"],
                "servers": ["xmpp.hoster.example"],
            },
            "west.example": {
                "name": "West Inc",
                "from": "2026-09-01T00:00:00Z",
                "until": "2027-04-01T00:00:00Z",
                "people": ["alice", "bob", "carl"],
                "contacts": {"will": "Will Oz"},
                "whole_domain": False,
                "authority": None,
                "fingerprints": [],
                "servers": [],
            },
        },
        "partner_links": "permit",
        "rates": {"messages_per_minute": 240, "burst": 120},
        "body": "full",
        "end_to_end_encryption": "forbid",
        "notice": NOTICE.replace("{company}", "Fjord AS"),
        "rules": [],
        "lists": {},
        "names": [],
        "zone": [["1970-01-01T00:00:00Z", 0]],
    }
    assert compile_policy(site)["partners"] == {}
    assert compile_policy(site)["people"]["dora"]["groups"] == ["staff"]


def test_a_site_without_partners_has_no_external_policy(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the site oslo has no external server"):
        compile_policy(base_site(tmp_path), "external")


WHOM = {
    "by name": ("people: [alice, bob]", ["alice", "bob"]),
    "by group": ("groups: [board]", ["bob", "carl"]),
    "by both": ("people: [alice], groups: [board]", ["alice", "bob", "carl"]),
    "by a group of which one has no leave": ("groups: [staff]", ["alice", "bob"]),
    "nobody by name, but a group": ("people: [], groups: [board]", ["bob", "carl"]),
    "nobody by name": ("people: []", []),
    "nobody by group": ("groups: []", []),
    "nobody by both": ("people: [], groups: []", []),
    "everybody who has leave": ("whole_domain: false", ["alice", "bob", "carl"]),
}


@pytest.mark.parametrize(("entry", "people"), WHOM.values(), ids=WHOM)
def test_whom_a_partner_s_entry_is_for(tmp_path: Path, entry: str, people: list[str]) -> None:
    lines = "".join(f"      {part}\n" for part in re.split(r", (?=groups)", entry))
    text = EXTERNAL_SITE.replace("      people: [alice]\n", lines)
    policy = compile_policy(load(make_site(tmp_path, text, EXTERNAL_HOSTS)), "external")
    assert policy["partners"]["north.example"]["people"] == people


@settings(max_examples=80, deadline=None)
@given(content=valid_external_settings(), now=ANY_TIME)
def test_a_partner_is_seen_by_exactly_those_of_its_entry(content: dict[str, Any], now: datetime.datetime) -> None:
    """Judged from the site file alone: person, leave and partner must hold, and the entry be for the person."""
    policy = compile_policy(site_of(content), "external")
    for person in content["sallyport"]["people"]:
        may = "external" in person and holds(person, now) and holds(person["external"], now)
        wanted = set()
        for partner in content["sallyport"]["partners"]:
            people, groups = partner.get("people"), partner.get("groups")
            named = (people is None and groups is None) or person["id"] in (people or [])
            named = named or bool({*person["groups"]} & {*(groups or [])})
            if may and named and holds(partner, now):
                wanted |= {f"{contact}@{partner['domain']}" for contact in partner["contacts"]}
        found = contacts(policy, person["id"], now)
        # partner by partner, each in the order of the names
        assert [*found] == sorted(wanted, key=lambda address: address.split("@")[::-1])
        assert enabled(policy, person["id"], now) == may


@settings(max_examples=80, deadline=None)
@given(content=valid_external_settings(), now=ANY_TIME)
def test_nobody_without_leave_stands_in_the_external_policy(content: dict[str, Any], now: datetime.datetime) -> None:
    policy = compile_policy(site_of(content), "external")
    given_ = {person["id"] for person in content["sallyport"]["people"] if "external" in person}
    assert policy["people"].keys() == given_ | {"probe-a", "probe-b", "probe-c"}
    for partner in policy["partners"].values():
        assert {*partner["people"]} <= given_
        assert partner["until"] is not None
    for person in content["sallyport"]["people"]:
        if person["id"] not in given_:
            assert not enabled(policy, person["id"], now)


@settings(max_examples=80, deadline=None)
@given(content=valid_external_settings(), now=ANY_TIME)
def test_on_the_external_server_colleagues_do_not_see_each_other(
    content: dict[str, Any], now: datetime.datetime
) -> None:
    policy = compile_policy(site_of(content), "external")
    people = [person["id"] for person in content["sallyport"]["people"]]
    for one, other in itertools.product(people, [*people, "probe-a", "probe-b", "probe-c"]):
        assert not may_write(policy, one, other, now)
        assert not may_write(policy, other, one, now)
        assert other not in contacts(policy, one, now)
    assert contacts(policy, "probe-a", now) == ("probe-b",)
    assert contacts(policy, "probe-b", now) == ("probe-a",)
    assert contacts(policy, "probe-c", now) == ()


@settings(max_examples=80, deadline=None)
@given(content=valid_external_settings())
def test_a_contact_is_there_from_the_first_second_to_the_last(content: dict[str, Any]) -> None:
    """Both sides of each end: what opens a contact and what closes it, each tried at its second and the one before."""
    content["sallyport"]["partners"] += [
        {"domain": "always.test", "name": "A", "owner": "O", "until": "2199-12-31", "contacts": {"ann": "Ann"}}
    ]
    policy = compile_policy(site_of(content), "external")
    for person in content["sallyport"]["people"]:
        if "external" not in person:
            continue
        for partner in content["sallyport"]["partners"]:
            if person["id"] not in policy["partners"][partner["domain"]]["people"]:
                continue
            both = [person, person["external"], partner]
            first, last = max(map(starts, both)), min(map(stops, both))
            theirs = {f"{contact}@{partner['domain']}" for contact in partner["contacts"]}
            before = [first - SECOND] if any("from" in entry for entry in both) else []
            for time in (*before, first, last - SECOND, last):
                there = first <= time < last
                found = {*contacts(policy, person["id"], time)} & theirs
                assert found == (theirs if there else set()), (person, partner, time)


@settings(max_examples=60, deadline=None)
@given(content=valid_external_settings(), seed=st.integers())
def test_the_order_of_partners_and_lists_does_not_matter(content: dict[str, Any], seed: int) -> None:
    shuffled: dict[str, Any] = json.loads(json.dumps(content, default=str))
    dice = random.Random(seed)
    for entries in (shuffled["sallyport"]["people"], shuffled["sallyport"]["partners"]):
        dice.shuffle(entries)
    for partner in shuffled["sallyport"]["partners"]:
        pairs = [*partner["contacts"].items()]
        dice.shuffle(pairs)
        partner["contacts"] = dict(pairs)
        for key in ("people", "groups", "servers", "addresses"):
            dice.shuffle(partner.get(key, []))
    one, other = site_of(content), site_of(shuffled)
    assert policy_text(compile_policy(one, "external")) == policy_text(compile_policy(other, "external"))
    assert compile_policy(one, "external") == json.loads(policy_text(compile_policy(other, "external")))


@settings(max_examples=60, deadline=None)
@given(content=valid_external_settings(), now=ANY_TIME)
def test_partners_change_nothing_of_the_internal_policy(content: dict[str, Any], now: datetime.datetime) -> None:
    with_partners = compile_policy(site_of(content))
    without: dict[str, Any] = json.loads(json.dumps(content, default=str))
    without["sallyport"]["partners"] = []
    for person in without["sallyport"]["people"]:
        person.pop("external", None)
    assert compile_policy(site_of(without)) == with_partners
    for person in content["sallyport"]["people"]:
        assert not [contact for contact in contacts(with_partners, person["id"], now) if "@" in contact]


def test_the_demo_s_people() -> None:
    """Alice and bob see each other; carl sees none of them; dora left. At the partner, only alice sees carol."""
    demo = load(ROOT / "inventories" / "demo", with_vault=False)
    policy = compile_policy(demo)
    assert {person: contacts(policy, person, NOW) for person in ("alice", "bob", "carl", "dora")} == {
        # she is told of alerts
        "alice": ("bob", "sallyport-alerts"),
        "bob": ("alice",),
        "carl": (),
        "dora": (),
    }
    outside = compile_policy(demo, "external")
    assert {person: contacts(outside, person, NOW) for person in ("alice", "bob", "carl", "dora")} == {
        "alice": ("carol@partner.example",),
        "bob": (),
        "carl": (),
        "dora": (),
    }


def test_who_is_told_of_alerts_sees_their_sender_and_nobody_more(tmp_path: Path) -> None:
    alerts = "alerts: {people: [alice, carl]}\n  sign_in:"
    folder = make_site(tmp_path, BASE_SITE.replace("sign_in:", alerts), BASE_HOSTS.replace("    gateway:", LOG_HOST))
    (folder / "vault.yml").unlink()
    write_vault(folder, {**SECRETS, "alerts_password": "x"}, passwords=[PASSWORD])
    site = load(folder)
    policy = compile_policy(site)
    without = compile_policy(load(make_site(tmp_path / "without")))
    now = moment("2026-06-01")
    assert contacts(policy, "sallyport-alerts", now) == ("alice", "carl")
    for person in ("alice", "bob", "carl"):
        own = {*contacts(policy, person, now)} - {*contacts(without, person, now)}
        assert own == ({"sallyport-alerts"} if person != "bob" else set())
    assert not may_write(policy, "probe-a", "sallyport-alerts", now)
    assert policy["rooms"] == without["rooms"], "and it has no room"
