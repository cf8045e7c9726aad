# SPDX-License-Identifier: GPL-3.0-or-later
"""The register of controls, the breakages, and what a control expects of a site."""

from __future__ import annotations

import dataclasses
import json
import socket
import struct
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.sallyport.im.plugins.plugin_utils.report import PRACTICES
from probe import network
from probe.client import matches
from probe.remote import Probe, ProbeError
from probe.stream import Refused, Scram, condition
from system import controls, mutation
from system.controls import Breakage, Control, NotApplicable, Seen, load_all
from system.network import Firewall, let_pass
from system.site_facts import HostFacts, SiteFacts
from system.test_r7_consumer_im import _by_port, catalogue
from system.test_r8_contacts import expected_contacts
from unit.sites import ROOT

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


def shipped(entry: Control) -> list[Path]:
    """Return the kit's file that a control breaks on the host; none when a run makes it there."""
    path = Path(entry.breakage.file)
    found = (ROOT / "roles").glob(f"*/files/**/{path.name}")
    return [one for one in found if one.parent.name in (path.parent.name, "files")]


BREAKS_THE_KIT = {name: entry for name, entry in REGISTER.items() if entry.breakage.file and shipped(entry)}


@pytest.mark.parametrize("entry", BREAKS_THE_KIT.values(), ids=list(BREAKS_THE_KIT))
def test_there_is_still_something_to_break(entry: Control) -> None:
    (file,) = shipped(entry)
    assert entry.breakage.apply_to(file.read_text(encoding="utf-8"))


def test_the_decision_point_is_among_what_is_broken() -> None:
    assert len(BREAKS_THE_KIT) > 10


def test_consumer_services_are_known_by_their_ports_of_either_protocol() -> None:
    services = catalogue()
    ports = _by_port([services["viber"], services["whatsapp"], services["discord"]])
    assert ports["tcp", 4244] == {"viber", "whatsapp"}
    assert ports["udp", 4244] == {"viber"}
    assert ports["udp", 65535] == {"discord"}, "it has no ports by TCP, and its name must be in the log all the same"


def test_practices_of_this_version_have_controls() -> None:
    assert {entry.practice for entry in REGISTER.values()} >= {"R1", "R2", "R5", "R7", "R8"}


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


def host(name: str, group: str, probe: bool = False, **variables: object) -> HostFacts:
    zones = {"servers": ["10.0.1.1", "fd00::1"], "outside": ["10.0.9.1"]}
    return HostFacts(name=name, group=group, admin="10.0.0.1", zones=zones, variables=variables, probe=probe)


def site_of(*hosts: HostFacts) -> SiteFacts:
    known = {one.name: one for one in hosts}
    return SiteFacts(folder=Path("/nowhere"), name="t", sallyport={"site": "t"}, hosts=known)


@pytest.mark.parametrize(("on", "expected"), [("gateway", "gw"), ("desktops", "two"), ("im_internal", "im")])
def test_the_host_that_a_control_is_about_is_broken(on: str, expected: str) -> None:
    site = site_of(
        host("im", "im_internal"), host("gw", "gateway"), host("one", "desktops"), host("two", "desktops", True)
    )
    entry = dataclasses.replace(next(iter(REGISTER.values())), on=on)
    assert mutation.broken_host(entry, site).name == expected


def test_a_control_about_a_host_that_is_not_there_is_not_mutated() -> None:
    entry = dataclasses.replace(next(iter(REGISTER.values())), on="gateway")
    with pytest.raises(LookupError, match="has no such host"):
        mutation.broken_host(entry, site_of(host("im", "im_internal")))


class Machine:
    """Stands for a testinfra host: remembers what was run, answers from a list of (part of the command, output)."""

    def __init__(self, *answers: tuple[str, str]) -> None:
        self.answers = list(answers)
        self.ran: list[str] = []

    def run(self, command: str, *arguments: str) -> SimpleNamespace:
        self.ran.append(command % arguments if arguments else command)
        for number, (part, output) in enumerate(self.answers):
            if part in command:
                # the last answer stays
                if sum(part in other for other, _ in self.answers) > 1:
                    del self.answers[number]
                return SimpleNamespace(rc=0, stdout=output, stderr="")
        return SimpleNamespace(rc=0, stdout="", stderr="")


def test_a_service_that_falls_over_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutation, "_answers", lambda _: True)
    machine = Machine(("--state=failed", "old.service\n"), ("--state=failed", "old.service\nunbound.service\n"))
    with pytest.raises(AssertionError, match=r"unbound\.service does not even run"):
        mutation.break_it(Breakage(command="true", undo="true"), machine, site_of())


def test_a_server_that_does_not_answer_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutation, "_answers", lambda _: False)
    with pytest.raises(AssertionError, match="does not answer at all"):
        mutation.break_it(Breakage(command="true", undo="true"), Machine(), site_of())


@pytest.mark.parametrize(("well", "noted"), [("the same", True), ("another thing", False)])
def test_what_does_not_apply_must_not_apply_to_a_well_site_either(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, well: str, noted: bool
) -> None:
    monkeypatch.setattr(mutation, "connect", lambda _: Machine())
    monkeypatch.setattr(mutation, "_answers", lambda _: True)
    words = iter(["the same", well])

    def attempt() -> None:
        raise NotApplicable(next(words))

    entry = dataclasses.replace(next(iter(REGISTER.values())), breakage=Breakage(command="true", undo="true"))
    with pytest.raises(NotApplicable if noted else AssertionError):
        mutation.run(entry, attempt, site_of(host("im", "im_internal")), tmp_path)
    assert (entry.id in mutation.finished(tmp_path)) is noted


def refusal(**more: object) -> str:
    return json.dumps({"oob.prefix": "sallyport output no-flow", "dest_ip": "10.0.9.1", "dest_port": 443, **more})


def test_refusals_are_found_in_the_log_of_a_firewall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    lines = [
        refusal(),
        refusal(dest_port=80) + "x",  # half written
        refusal(**{"oob.prefix": "sallyport forward no-flow", "dest_port": 25}),
        json.dumps({"oob.prefix": "sallyport output no-flow", "ip.daddr.str": "fd00::9", "icmp.type": 8}),
    ]
    firewall = Firewall(Machine(("tail", "\n".join(lines))), "here")
    wanted = [("10.0.9.1", 443), ("10.0.9.1", 80), ("10.0.9.1", 25), ("fd00:0::9", 0)]
    assert firewall.unlogged(0, "output", wanted) == ["10.0.9.1 25", "10.0.9.1 80"]


def test_a_counter_has_to_rise_by_what_was_tried() -> None:
    counters = [json.dumps({"nftables": [{"metainfo": {}}, {"counter": {"packets": number}}]}) for number in (5, 8)]
    firewall, seen = Firewall(Machine(*(("counter", text) for text in [*counters, counters[1]])), "here"), Seen()
    before = firewall.refused("input")
    firewall.rises("input", before, 3, seen)
    assert seen.lines == ["The firewall of here counted 3 refusals."]
    with pytest.raises(AssertionError, match="4 attempts, and the firewall of here refused 3"):
        firewall.rises("input", before, 4, seen)


def test_a_firewall_is_broken_by_a_rule_that_can_be_found_again() -> None:
    breakage = let_pass("forward", "tcp dport 22")
    assert breakage.command == (
        "nft 'insert rule inet sallyport forward tcp dport 22 accept comment \"sallyport-mutation\"'"
    )
    assert "sallyport-mutation" in breakage.undo
    assert "delete rule inet sallyport forward" in breakage.undo


def test_a_host_says_where_it_is_reached() -> None:
    plain, other = host("im", "im_internal"), host("gw", "gateway", ansible_port="2222", ansible_user="ops")
    assert (plain.ssh_port, plain.root, plain.over_network) == (22, True, True)
    assert (other.ssh_port, other.root) == (2222, False)
    assert plain.address("servers", 6) == "fd00::1"
    assert plain.all_addresses("servers") == ["10.0.1.1", "fd00::1"]
    with pytest.raises(LookupError, match="no IPv6 address in outside"):
        plain.address("outside", 6)


def test_knocking_tells_open_from_closed_and_listening_ends() -> None:
    probe = Probe([], "here", python=sys.executable)
    try:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        places = [("127.0.0.1", port, "tcp"), ("127.0.0.1", port, "udp")]
        assert probe.do("listen", places=places) == ["listens", "listens"]
        assert probe.do("listen", places=places) == ["in use", "in use"]
        assert [one["result"] for one in probe.do("knock", targets=[("127.0.0.1", port), ("127.0.0.1", 1)])] == [
            "connected",
            "refused",
        ]
        assert probe.do("udp_ask", host="127.0.0.1", port=port, text="hi")["data"] == b"hi".hex()
        probe.do("listen_no_more")
        assert probe.do("tcp_connect", host="127.0.0.1", port=port)["result"] == "refused"
        assert probe.do("udp_ask", host="127.0.0.1", port=port, text="hi")["result"] == "refused"
    finally:
        probe.close()


def test_answers_of_a_resolver_are_read() -> None:
    # RFC 1035, 4.1: a question for im.t.example, and an answer whose name points to it
    head = struct.pack("!HHHHHH", 1, 0x8180, 1, 2, 0, 0)
    question = network._name("im.t.example") + struct.pack("!HH", 1, 1)
    pointer = b"\xc0\x0c"
    records = b"".join(
        pointer + struct.pack("!HHIH", kind, 1, 60, len(data)) + data
        for kind, data in ((1, bytes([10, 0, 1, 11])), (28, bytes.fromhex("fd" + "00" * 14 + "0b")))
    )
    assert network._answers(head + question + records, 1) == ["10.0.1.11"]
    assert network._answers(head + question + records, 28) == ["fd00::b"]


def test_entries_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        next(iter(REGISTER.values())).safe = False  # type: ignore[misc]  # that it is refused is the test
