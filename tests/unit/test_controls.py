# SPDX-License-Identifier: GPL-3.0-or-later
"""The register of controls, the breakages, and what a control expects of a site."""

from __future__ import annotations

import dataclasses
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sallyport.im.plugins.plugin_utils.report import PRACTICES
from probe.client import matches
from probe.remote import Probe, ProbeError
from probe.stream import Refused, Scram, condition
from system import controls, mutation
from system.controls import Breakage, Control, Seen, load_all
from system.site_facts import SiteFacts
from system.test_r8_contacts import expected_contacts

REGISTER = load_all()
BREAKAGE = Breakage("/etc/x", "a", "b")


def enter(**changes: object) -> None:
    given: dict[str, Any] = {
        "id": "R5-thing",
        "practice": "R5",
        "says": "Words.",
        "permitted": "This.",
        "forbidden": "That.",
        "breakage": BREAKAGE,
        **changes,
    }
    controls.control(**given)(lambda: None)


@pytest.mark.parametrize("entry", REGISTER.values(), ids=list(REGISTER))
def test_entries_are_fit_for_an_owner(entry: Control) -> None:
    assert entry.practice in PRACTICES
    assert entry.says.endswith(".")
    assert len(entry.says) <= 130
    assert entry.function.__name__.startswith("test_")
    assert "seen" in mutation.parameters(entry)


def test_practices_of_this_version_have_controls() -> None:
    assert {entry.practice for entry in REGISTER.values()} >= {"R1", "R5", "R8"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": "R1-thing"}, "has to be R5-"),
        ({"id": "R5-Thing"}, "lower-case"),
        ({"practice": "R13", "id": "R13-thing"}, "none of R1"),
        ({"says": " "}, "says says nothing"),
        ({"forbidden": ""}, "forbidden says nothing"),
        ({"tried_from": "moon"}, "'moon', allowed"),
        ({"breakage": Breakage(command="true")}, "needs an undo"),
        ({"id": "R5-plain"}, "has it already"),
    ],
)
def test_a_wrong_entry_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        enter(**changes)


def test_breakage_changes_what_it_names() -> None:
    assert Breakage("/f", r"^(\s*)x = 1$", r"\1x = 2").apply_to("a\n  x = 1\n") == "a\n  x = 2\n"


@pytest.mark.parametrize(("pattern", "replacement"), [("absent", "x"), ("here", "here")])
def test_a_breakage_that_breaks_nothing_is_a_fault(pattern: str, replacement: str) -> None:
    with pytest.raises(ValueError, match="nothing to break"):
        Breakage("/f", pattern, replacement).apply_to("it is here")


@pytest.mark.parametrize(
    ("wanted", "done", "expected"),
    [
        ("R", set[str](), True),
        ("R", {"R5-plain"}, False),
        ("R5", {"R5-plain"}, True),
        ("R5-plain", set[str](), True),
        ("R5-pl", set[str](), False),
        ("R1", set[str](), False),
    ],
)
def test_what_a_mutation_run_does(wanted: str, done: set[str], expected: bool) -> None:
    assert mutation.chosen("R5-plain", wanted, done) is expected


def test_seen_joins_values() -> None:
    seen = Seen()
    seen("Open", 22, 5222)
    assert seen.lines == ["Open: 22, 5222"]
    seen.clear()
    assert seen.lines == []


def facts(groups: dict[str, object], people: list[dict[str, object]]) -> SiteFacts:
    sallyport = {"site": "t", "domains": {"internal": "im.t.example"}, "groups": groups, "people": people}
    return SiteFacts(folder=Path("/nowhere"), name="t", sallyport=sallyport, hosts={})


def test_expected_contacts_follow_groups_dates_and_symmetry() -> None:
    site = facts(
        {"staff": {"contacts": ["board"]}, "board": {}, "lab": {}},
        [
            {"id": "ann", "groups": ["staff"]},
            {"id": "ben", "groups": ["board"]},
            {"id": "cid", "groups": ["lab"]},
            {"id": "old", "groups": ["staff"], "until": "2020-01-01"},
            {"id": "new", "groups": ["staff"], "from": "2999-01-01"},
        ],
    )
    assert expected_contacts(site, "ann") == {"ben@im.t.example"}
    assert expected_contacts(site, "ben") == {"ann@im.t.example"}
    assert expected_contacts(site, "cid") == set()


MESSAGE = "<message xmlns='jabber:client' from='a@x/phone' id='1' type='chat'><body>hi</body></message>"


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({}, True),
        ({"tag": "message", "from": "a@x", "contains": ["hi"]}, True),
        ({"from": "a@x/phone"}, True),
        ({"from": "a"}, False),
        ({"from": "b@x"}, False),
        ({"tag": "iq"}, False),
        ({"type": "error"}, False),
        ({"type": ""}, False),
        ({"contains": ["hi", "bye"]}, False),
    ],
)
def test_which_stanza_is_waited_for(match: dict[str, object], expected: bool) -> None:
    assert matches(MESSAGE, match) is expected


def test_scram_agrees_with_rfc_7677() -> None:
    # the example of RFC 7677, section 3
    scram = Scram("user", "pencil")
    scram.nonce = "rOprNGfwEbeRWgbNEkqO"
    scram.bare = f"n=user,r={scram.nonce}"
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    answer = scram.final(f"r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".encode())
    assert answer == f"c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=".encode()
    assert scram.server_proved(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    assert not scram.server_proved(b"v=AAAATRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    with pytest.raises(Refused, match="nonce"):
        scram.final(b"r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")


def test_a_condition_is_told_in_the_words_of_the_protocol() -> None:
    error = ET.fromstring("<error><not-allowed xmlns='urn:x'/><text xmlns='urn:x'>No.</text></error>")
    assert condition(error) == "not-allowed (No.)"


def test_probe_answers_and_ends() -> None:
    probe = Probe([], "here", python=sys.executable)
    try:
        assert probe.do("file_size", path="/nowhere/at/all") == 0
        assert probe.do("tcp_connect", host="127.0.0.1", port=1)["result"] == "refused"
        with pytest.raises(ProbeError, match="LookupError: no client 'x'"):
            probe.do("wait", name="x", since=0, match={}, timeout=0)
        with pytest.raises(ProbeError, match="KeyError"):
            probe.do("no_such_thing")
    finally:
        probe.close()
    with pytest.raises((ProbeError, ValueError)):
        probe.do("file_size", path="/")


def test_probe_says_why_it_could_not_start() -> None:
    with pytest.raises(ProbeError, match="no such host"):
        Probe(["sh", "-c", "echo no such host >&2; exit 255; :"], "there").do("file_size", path="/")


def test_entries_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        next(iter(REGISTER.values())).safe = False  # type: ignore[misc]  # that it is refused is the test
