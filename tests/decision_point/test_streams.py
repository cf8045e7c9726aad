# SPDX-License-Identifier: GPL-3.0-or-later
"""Streams of other servers: the partners' only, in both directions, each proven by its certificate; one event each."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import pytest
from acceptance.test_hostile import FILL
from acceptance.test_hostile import MALFORMED as NO_SERVER_WOULD_SEND

from decision_point.authorities import make
from decision_point.client import SASL, STREAM, error_of
from decision_point.outside import (
    ADDRESSES,
    DOMAIN,
    GOOD,
    HOSTILE,
    LIAR,
    NEVER,
    PARTNER,
    PRETENDERS,
    StreamError,
    certificates,
    partner,
    pretender,
)
from decision_point.server import EVENTS_PATH, instant
from decision_point.test_events import faults

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from decision_point.authorities import Pair
    from decision_point.outside import Outside, Peer

ALICE, CAROL = f"alice@{DOMAIN}", f"carol@{PARTNER}"
REFUSED = "This server does not exchange anything with that domain."
LOOK_ALIKE = "p\u0430rtner.example"  # with a Cyrillic a


def refusal(peer: Peer) -> StreamError:
    """Lets a peer do all that it can; returns how it was refused."""
    with pytest.raises(StreamError) as refused:
        peer.prove()
    return refused.value


def told(outside: Outside, count: int = 1, **wanted: str | None) -> list[tuple[Any, ...]]:
    """Waits for so many events of streams; returns what they say."""
    fields = ("type", "direction", "from", "to", "verdict", "rule")
    return [tuple(e[f] for f in fields) for e in outside.eventually(count, kind="stream", **wanted)]


@pytest.fixture
def pretenders(outside: Outside) -> Outside:
    """The external server with all pretenders among the partners."""
    entries = {domain: pretender(domain) for domain in PRETENDERS}
    outside.offset = outside.change(partners={**outside.policy["partners"], **entries})
    return outside


@pytest.mark.parametrize("direct", [False, True])
def test_a_partner_is_proven_by_its_certificate_and_may_send(outside: Outside, direct: bool) -> None:
    alice = outside.client("alice")
    outside.mark()
    peer = outside.peer(PARTNER, certificates()[PARTNER], direct=direct).prove()
    here = peer.socket.getsockname()[0]
    assert told(outside, address=here) == [("established", "in", PARTNER, DOMAIN, "allowed", "partner")]
    peer.write(f"<message type='chat' from='{CAROL}/x' to='{ALICE}'><body>by hand</body></message>")
    alice.heard("by hand")


@pytest.mark.parametrize(
    "domain",
    [HOSTILE, "sub.partner.example", f"{PARTNER}.", LOOK_ALIKE, "xn--prtner-9cd.example", "over.example", "", "x.y"],
)
def test_any_other_domain_is_refused_before_it_gets_an_answer(outside: Outside, domain: str) -> None:
    """Whatever it shows: it gets no feature, not even TLS."""
    peer = outside.peer(domain, certificates()[PARTNER])
    peer.open()
    with pytest.raises(StreamError) as refused:
        peer.expect("nothing")
    assert (refused.value.condition, refused.value.text) == ("policy-violation", REFUSED)
    rule = "not-current" if domain == "over.example" else "foreign-domain"
    assert told(outside) == [("refused", "in", domain or None, DOMAIN, "refused", rule)]
    assert not outside.events(verdict="allowed")


def test_the_same_with_tls_from_the_start(outside: Outside) -> None:
    fault = refusal(outside.peer(HOSTILE, certificates()[HOSTILE], direct=True))
    assert (fault.condition, fault.text) == ("policy-violation", REFUSED)
    assert told(outside) == [("refused", "in", HOSTILE, DOMAIN, "refused", "foreign-domain")]


def wrong_certificates() -> dict[str, tuple[str, Pair | None]]:
    """Returns certificates that prove nothing, each with the domain that shows it."""
    pairs = certificates()
    return {
        "none": (PARTNER, None),
        "self-signed": (PARTNER, make(PARTNER)),
        "of another authority": (PARTNER, make(PARTNER, pairs["other"])),
        "of a listed authority": (PARTNER, make(PARTNER, pairs["listed"])),
        "of an authority of the same name": (PARTNER, make(PARTNER, make("Authority theirs", authority=True))),
        "of no authority at all": (PARTNER, make(PARTNER, pairs[PARTNER])),
        "expired": (PARTNER, make(PARTNER, pairs["theirs"], first=-30, last=-1)),
        "not yet valid": (PARTNER, make(PARTNER, pairs["theirs"], first=1)),
        "of another name": (PARTNER, make("other.example", pairs["theirs"])),
        "of a name below": (PARTNER, make(f"sub.{PARTNER}", pairs["theirs"])),
        "of the look-alike": (PARTNER, make("xn--prtner-9cd.example", pairs["theirs"])),
        "the site's own": (PARTNER, pairs[DOMAIN]),
        "of a hostile server": (PARTNER, pairs[HOSTILE]),
        "in capitals, of a hostile server": (PARTNER.upper(), pairs[HOSTILE]),
        "of a partner's authority, for another partner": ("listed.example", make("listed.example", pairs["theirs"])),
        "of a partner's authority, for a pinned one": ("pinned.example", make("pinned.example", pairs["theirs"])),
        "expired, as it was pinned": ("stale.example", pairs["stale.example"]),
        "of another partner": (PARTNER, pairs["listed.example"]),
    }


@pytest.mark.parametrize("name", list(wrong_certificates()))
def test_a_certificate_that_proves_nothing(pretenders: Outside, name: str) -> None:
    domain, pair = wrong_certificates()[name]
    fault = refusal(pretenders.peer(domain, pair))
    assert fault.condition == "not-authorized"
    assert fault.text.startswith("The certificate of the other server ")
    assert told(pretenders) == [("refused", "in", domain.lower(), DOMAIN, "refused", "certificate")]
    (event,) = pretenders.events(kind="stream")
    assert event["reason"] == fault.text


@pytest.mark.parametrize("domain", sorted(GOOD))
def test_a_pin_and_a_listed_authority_prove_a_partner_as_well(pretenders: Outside, domain: str) -> None:
    pretenders.peer(domain, certificates()[domain]).prove()
    assert told(pretenders) == [("established", "in", domain, DOMAIN, "allowed", "partner")]


def test_an_intermediate_authority(outside: Outside) -> None:
    """The chain is followed; a chain over somebody who may sign nothing is not (see above)."""
    between = make("Between", certificates()["theirs"], authority=True)
    leaf = make(PARTNER, between)
    with pytest.raises(StreamError):
        outside.peer(PARTNER, leaf).prove()  # shown without the intermediate
    whole = type(leaf)(leaf.certificate, leaf.key, (between.certificate,))
    outside.peer(PARTNER, whole).prove()
    assert [e["rule"] for e in outside.eventually(2, kind="stream")] == ["certificate", "partner"]


@pytest.mark.parametrize("domain", list(PRETENDERS))
def test_the_other_direction(pretenders: Outside, domain: str) -> None:
    """What a person writes goes only to a server that has proven itself; else it comes back with the reason."""
    alice = pretenders.client("alice", available=False)
    number = alice.message(f"kim@{domain}")
    out: dict[str, str | None] = {"kind": "stream", "direction": "out", "to": domain}
    if domain in GOOD:
        kim = pretenders.visitor("kim", domain)
        kim.heard("hello")
        assert [e["verdict"] for e in pretenders.events(**out)] == ["allowed"]
        return
    bounced = alice.until(lambda e: e.get("id") == number and e.get("type") == "error")
    kind, condition, text = error_of(bounced)
    assert (kind, condition) == ("wait", "remote-server-timeout")
    assert "The certificate of the other server" in text
    (event,) = pretenders.eventually(1, **out)
    assert (event["verdict"], event["rule"]) == ("refused", "certificate")
    assert [(e["type"], e["verdict"], e["rule"]) for e in pretenders.events(kind="message")] == [
        ("chat", "allowed", "partner"),
        ("error", "allowed", "bounce"),
    ]


def test_a_partner_that_is_not_there(outside: Outside) -> None:
    silent = {**outside.policy["partners"], "silent.example": pretender("listed.example")}
    outside.offset = outside.change(partners=silent)
    alice = outside.client("alice", available=False)
    number = alice.message("kim@silent.example")
    bounced = alice.until(lambda e: e.get("id") == number and e.get("type") == "error")
    assert error_of(bounced)[:2] == ("cancel", "remote-server-not-found")
    assert told(outside, direction="out") == [("refused", "out", DOMAIN, "silent.example", "refused", "unreachable")]


LIE = """
import socket
listener = socket.create_server(("ADDRESS", 5269))
connection = listener.accept()[0]
connection.recv(4096)
connection.sendall(b"<?xml version='1.0'?><stream:stream xmlns='jabber:server' id='x' version='1.0' from='liar.example'"
    b" xmlns:stream='http://etherx.jabber.org/streams'><stream:error>"
    b"<CONDITION xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>"
    b"Your account is locked: visit https://liar.example/unlock</text></stream:error></stream:stream>")
connection.recv(4096)
"""


@pytest.mark.parametrize(
    ("condition", "shown"), [("policy-violation", "policy-violation"), ("visit-liar-example", "undefined-condition")]
)
def test_a_server_that_has_proven_nothing_says_nothing(outside: Outside, condition: str, shown: str) -> None:
    """Whoever answers at a partner's address, before any TLS: its words reach neither a person nor the events."""
    text = LIE.replace("ADDRESS", ADDRESSES[LIAR]).replace("CONDITION", condition)
    outside.sh("cat > /tmp/liar.py; setsid python3 /tmp/liar.py >/tmp/liar.log 2>&1 &", text)
    outside.wait("grep -q ': 0400007F:1495 .* 0A ' /proc/net/tcp")  # it listens
    entry = partner("alice", name="Liar Ltd", contacts={"kim": "Kim"})
    outside.offset = outside.change(partners={**outside.policy["partners"], LIAR: entry})
    alice = outside.client("alice", available=False)
    number = alice.message(f"kim@{LIAR}", "<body>hello</body>")
    error = error_of(alice.until(lambda e: e.get("id") == number and e.get("type") == "error", 40))
    assert error[2].endswith(f"the other server says {shown}"), error
    (event,) = outside.eventually(1, kind="stream", to=LIAR)
    assert event["reason"] == f"the other server says {shown}"


def test_no_name_of_a_foreign_domain_is_looked_up(outside: Outside) -> None:
    alice = outside.client("alice")
    foreign = ["never.example", f"never.{PARTNER}", HOSTILE, LOOK_ALIKE, "over.example", f"{PARTNER}.com"]
    for domain in foreign:
        alice.message(f"x@{domain}")
        alice.write(f"<presence to='x@{domain}'/><presence type='subscribe' to='x@{domain}'/>")
        answer = alice.ask("get", "<ping xmlns='urn:xmpp:ping'/>", f"x@{domain}")
        assert error_of(answer) == ("cancel", "not-allowed", REFUSED)
    alice.settle()
    assert len(alice.find("message", type="error")) == len(foreign)
    assert [e["rule"] for e in outside.events(verdict="refused")] == ["foreign-domain"] * 4 * len(foreign)
    asked = outside.asked_names()
    assert not [name for name in asked if "never" in name or "hostile" in name or "over.example" in name]


def test_dialback_alone_is_nothing(outside: Outside) -> None:
    """In the clear, and under TLS without a certificate; nobody is asked whether the key is right."""
    key = f"<db:result xmlns:db='jabber:server:dialback' from='{PARTNER}' to='{DOMAIN}'>abc</db:result>"
    peer = outside.peer(PARTNER, None)
    peer.open()
    features = peer.expect("features")
    assert [child.tag.split("}")[1] for child in features if "limits" not in child.tag] == ["starttls"]
    peer.write(key)
    with pytest.raises(StreamError):
        peer.expect("nothing")
    second = outside.peer(PARTNER, None)
    second.open()
    second.expect("features")
    second.write("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    second.expect("proceed")
    second.encrypt()
    second.open()
    second.write(key)
    with pytest.raises(StreamError):
        second.expect("nothing")
    assert {e["rule"] for e in outside.eventually(2, kind="stream")} == {"malformed", "certificate"}
    assert not outside.events(verdict="allowed")


@pytest.mark.parametrize("mechanism", ["dialback", "EXTERNAL"])
def test_whoever_says_that_a_stream_is_proven_is_not_believed(outside: Outside, mechanism: str) -> None:
    """A second line, should a module that authenticates in another way be loaded."""
    out = outside.shell(
        ">local seen; local session = {direction = 'incoming', type = 's2sin_unauthed', secure = true, hosts = {}, "
        f"from_host = '{PARTNER}', to_host = '{DOMAIN}', log = function() end, "
        "close = function(_, reason) seen = reason.condition end}; "
        f"prosody.hosts['{DOMAIN}'].events.fire_event('s2s-authenticated', "
        f"{{session = session, host = '{PARTNER}', mechanism = '{mechanism}'}}); "
        "return 'it is ' .. session.type .. ', ' .. tostring(seen)"
    )
    assert "it is s2sin_unauthed, not-authorized" in out
    assert told(outside, rule="certificate") == [("refused", "in", PARTNER, DOMAIN, "refused", "certificate")]


@pytest.mark.parametrize("what", ["bind", "message"])
@pytest.mark.parametrize("stage", ["clear", "tls"])
def test_stanzas_before_the_proof_end_the_stream(outside: Outside, stage: str, what: str) -> None:
    alice = outside.client("alice")
    outside.mark()
    peer = outside.peer(PARTNER, certificates()[PARTNER])
    if stage == "tls":
        peer.start()
    else:
        peer.open()
        peer.expect("features")
    stanza = f"<message type='chat' from='{CAROL}/x' to='{ALICE}'><body>too early</body></message>"
    bind = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
    peer.write({"bind": bind, "message": stanza}[what] + stanza)
    with pytest.raises(StreamError) as refused:
        peer.expect("nothing")
    assert refused.value.condition == "not-authorized"
    alice.settle()
    assert not alice.find("message")
    assert not outside.events(kind="message")
    here = peer.socket.getsockname()[0]
    assert told(outside, address=here) == [("refused", "in", PARTNER, DOMAIN, "refused", "handshake")]


@pytest.mark.parametrize("version", [" version='0.9'", ""])
def test_old_streams_are_nothing(outside: Outside, version: str) -> None:
    """They have no features, so there is no way to prove anything."""
    alice = outside.client("alice")
    outside.mark()
    peer = outside.peer(PARTNER, certificates()[PARTNER])
    peer.open(version)
    peer.write(f"<message type='chat' from='{CAROL}/x' to='{ALICE}'><body>old</body></message>")
    with pytest.raises(StreamError) as refused:
        peer.expect("nothing")
    assert refused.value.condition == "not-authorized"
    alice.settle()
    assert not alice.find("message")
    assert [e["rule"] for e in outside.events(from_=PARTNER, kind="stream", type="refused")] == ["handshake"]
    assert not outside.events(kind="message")


@pytest.mark.parametrize(
    "sender",
    [
        "alice@ext.test.example",
        "mallory@hostile.example",
        "carol@sub.partner.example",
        "carol@listed.example",
        "",
        "x@",
    ],
)
def test_somebody_elses_name(pretenders: Outside, sender: str) -> None:
    """A stream that was proven for one partner carries nothing in another name: it is ended, with one event."""
    alice = pretenders.client("alice")
    peer = pretenders.peer(PARTNER, certificates()[PARTNER]).prove()
    pretenders.eventually(1, kind="stream", direction="in", type="established")
    claim = f" from='{sender}'" if sender else ""
    peer.write(f"<message type='chat'{claim} to='{ALICE}'><body>I am another</body></message>")
    if sender == "x@":  # no address at all: answered, and nothing else
        peer.write(f"<message type='chat' from='{CAROL}' to='{ALICE}'><body>marker</body></message>")
        alice.heard("marker")
        assert [m for m in alice.bodies() if m == "I am another"] == []
        return
    with pytest.raises(StreamError) as refused:
        peer.expect("nothing")
    assert refused.value.condition == "not-authorized"
    assert told(pretenders, type="closed") == [("closed", "in", PARTNER, DOMAIN, "refused", "spoofed")]
    alice.settle()
    assert not alice.find("message")
    assert not pretenders.events(kind="message")


MALFORMED = {
    "entities": "<!DOCTYPE x [<!ENTITY a 'aaaa'>]><message/>",
    "comment": "<message><!-- x --></message>",
    "instruction": "<?php x ?>",
    "unbound": "<message><x:body>x</x:body></message>",
    "unbalanced": "<message></presence>",
    "not-utf-8": "<message><body>\udcff\udcfe</body></message>",
    "unknown": "<anything xmlns='urn:x'/>",
    "oversized": "<message><body>" + "x" * 400_000 + "</body></message>",
    "elsewhere": "<message type='chat' from='{carol}' to='x@other.example'><body>relay</body></message>",
}


@pytest.mark.parametrize("name", list(MALFORMED))
def test_what_is_built_wrongly_ends_the_stream_and_nothing_else(outside: Outside, name: str) -> None:
    alice, carol = outside.client("alice"), outside.visitor("carol")
    carol.message(ALICE, "<body>before</body>")
    alice.heard("before")
    outside.mark()
    peer = outside.peer(PARTNER, certificates()[PARTNER]).prove()
    outside.eventually(1, kind="stream", type="established")
    text = MALFORMED[name].replace("{carol}", CAROL)
    text = text.replace("<message>", f"<message type='chat' from='{CAROL}/x' to='{ALICE}'>")
    peer.socket.sendall(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(StreamError):
        peer.expect("nothing")
    assert told(outside, type="closed") == [("closed", "in", PARTNER, DOMAIN, "refused", "malformed")]
    assert not outside.events(kind="message")
    # alice and carol notice nothing
    carol.message(ALICE, "<body>after</body>")
    alice.heard("after")
    alice.message(CAROL, "<body>and back</body>")
    carol.heard("and back")
    assert len(outside.events(kind="message")) == 2


@pytest.mark.parametrize("kind", list(NO_SERVER_WOULD_SEND))
def test_what_no_server_would_send_is_one_event(outside: Outside, kind: str) -> None:
    """The same that the whole site is tried with (tests/acceptance/test_hostile.py)."""
    alice = outside.client("alice")
    peer = outside.peer(PARTNER, certificates()[PARTNER]).prove()
    outside.eventually(1, kind="stream", direction="in", type="established", address=peer.socket.getsockname()[0])
    alice.settle()
    outside.mark()
    text = NO_SERVER_WOULD_SEND[kind].replace("{a}", f"{{f}} to='{ALICE}'").replace("{f}", f"from='{CAROL}/x'")
    for key, value in {**FILL, "{fill}": "x" * 1_000_000, "{n}": "odd"}.items():
        text = text.replace(key, value)
    with contextlib.suppress(OSError):  # the server may end it before all of it was written
        peer.write(text)
    (event,) = outside.eventually(1)
    assert (event["verdict"], event["rule"], event["direction"]) == ("refused", "malformed", "in"), event
    assert (event["from"] or "").split("@")[-1].split("/")[0] == PARTNER
    alice.settle()
    assert not alice.find("message")
    assert len(outside.events()) == 1


KNOCKS = f"prosody.hosts['{DOMAIN}'].modules.sallyport.module:shared('/*/sallyport/core').knocks"


def test_knocking_again_and_again_fills_no_disk(outside: Outside) -> None:
    outside.shell(f">{KNOCKS}.window = 60; {KNOCKS}:pass(true); return 'as on a site'")
    outside.mark()
    for number in range(60):
        peer = outside.peer(HOSTILE if number % 2 else f"x{number}.example", None)
        peer.open()
        with pytest.raises(StreamError):
            peer.expect("nothing")
        peer.close()
    seen = outside.events(kind="stream")
    assert len(seen) == 20  # of one address in one minute
    assert len([e for e in seen if e["from"] == HOSTILE]) == 1
    # what was counted is told when the minute is over, at the latest when the decision point goes
    outside.shell(f"module:reload('sallyport', '{DOMAIN}')")
    sums = [e["count"] for e in outside.events(kind="stream") if "count" in e]
    assert len(seen) + sum(sums) == 60
    assert len(sums) == 2


def test_streams_that_prove_nothing_are_few(outside: Outside) -> None:
    """Of one address, whatever others do; a partner at another address is let in meanwhile, and this one later."""
    peers = [outside.peer(PARTNER, None) for _ in range(25)]
    refused = []
    for peer in peers:
        peer.open()
        try:
            peer.expect("features")
        except StreamError as fault:
            refused.append(fault.condition)
    assert refused == ["resource-constraint"] * 5
    assert told(outside, 5, direction="in") == [("refused", "in", PARTNER, DOMAIN, "refused", "rate")] * 5
    alice, carol = outside.client("alice"), outside.visitor("carol")
    carol.message(ALICE, "<body>meanwhile</body>")
    alice.heard("meanwhile")
    for peer in peers:
        peer.close()
    alice.settle()
    outside.peer(PARTNER, certificates()[PARTNER]).prove()


def test_nothing_that_only_connects_is_an_event(outside: Outside) -> None:
    outside.peer(PARTNER, None).close()
    outside.client("alice").settle()
    assert not outside.events(kind="stream", direction="in")


def both_streams(outside: Outside) -> tuple[Any, Any]:
    """Returns alice and carol, who see each other, with a stream in each direction."""
    alice, carol = outside.client("alice"), outside.visitor("carol")
    carol.write(f"<presence to='{ALICE}' type='subscribed'/><presence to='{ALICE}' type='subscribe'/>")
    alice.message(CAROL, "<body>there</body>")
    carol.heard("there")
    carol.message(ALICE, "<body>back</body>")
    alice.heard("back")
    carol.presence(alice.jid)
    return alice, carol


def ended(outside: Outside, rule: str) -> None:
    """Asserts that the streams in both directions were ended, with an event for each."""
    outside.eventually(2, kind="stream", type="closed")
    assert sorted(told(outside, 2, type="closed")) == [
        ("closed", "in", PARTNER, DOMAIN, "refused", rule),
        ("closed", "out", DOMAIN, PARTNER, "refused", rule),
    ]


def test_a_partner_that_leaves_the_policy(outside: Outside) -> None:
    """Streams, contact list and presence end at once; nothing goes either way any more."""
    alice, carol = both_streams(outside)
    status = outside.status()
    assert (status["partners"], status["next_change"]) == ([PARTNER], NEVER)
    assert status["streams"] >= 2
    carol.seen.clear()
    outside.change(partners={})
    ended(outside, "foreign-domain")
    status = outside.status()
    assert (status["partners"], status["streams"]) == ([], 0)
    assert not outside.events(kind="stream", type="refused", direction="out")  # nobody is called to be told
    alice.settle()
    assert CAROL not in alice.roster()
    (push,) = [e for e in alice.find("iq", type="set") if "roster" in e[0].tag]
    assert push[0][0].get("subscription") == "remove"
    carol.presence(alice.jid, "unavailable")  # she was told in time
    outside.mark()
    number = alice.message(CAROL)
    alice.settle()
    assert error_of(alice.find("message", id=number)[0]) == ("cancel", "not-allowed", REFUSED)
    number = carol.message(ALICE)
    carol.until(lambda e: e.get("id") == number and e.get("type") == "error")
    assert not [e for e in outside.events(verdict="allowed") if e["kind"] != "account"]
    outside.change()
    carol.message(ALICE, "<body>again</body>")
    alice.heard("again")


def test_a_partners_time_ends_by_the_clock(outside: Outside) -> None:
    end = instant(5)
    partners = {PARTNER: {**outside.policy["partners"][PARTNER], "until": end}}
    outside.offset = outside.change(partners=partners)
    alice, carol = both_streams(outside)
    assert instant(0) < end
    carol.presence(alice.jid, "unavailable")
    assert instant(-1.5) <= end <= instant(0)
    ended(outside, "not-current")
    alice.settle()
    assert CAROL not in alice.roster()
    number = alice.message(CAROL)
    alice.settle()
    assert error_of(alice.find("message", id=number)[0]) == ("cancel", "not-allowed", REFUSED)
    fault = refusal(outside.peer(PARTNER, certificates()[PARTNER]))
    assert fault.text == REFUSED


def test_a_partners_time_begins_by_the_clock(outside: Outside) -> None:
    partners = {PARTNER: {**outside.policy["partners"][PARTNER], "from": instant(2)}}
    outside.offset = outside.change(partners=partners)
    alice, carol = outside.client("alice"), outside.visitor("carol")
    assert CAROL not in alice.roster()
    alice.until(lambda e: e.find("{jabber:iq:roster}query") is not None and e.get("type") == "set")
    assert CAROL in alice.roster()
    carol.message(ALICE, "<body>open</body>")
    alice.heard("open")


def test_a_persons_time_ends_by_the_clock(outside: Outside) -> None:
    """The session ends, the contact sees it; the partner and everybody else stay."""
    end = instant(5)
    people = {**outside.policy["people"], "alice": {**outside.policy["people"]["alice"], "until": end}}
    outside.offset = outside.change(people=people)
    alice, carol = both_streams(outside)
    with pytest.raises(ConnectionError):
        alice.until(lambda _: False)
    assert instant(-1.5) <= end <= instant(0)
    carol.presence(alice.jid, "unavailable")
    outside.mark()
    number = carol.message(ALICE)
    bounced = carol.until(lambda e: e.get("id") == number and e.get("type") == "error")
    nobody = carol.message(f"nobody@{DOMAIN}")
    other = carol.until(lambda e: e.get("id") == nobody and e.get("type") == "error")
    assert error_of(bounced) == error_of(other)
    carol.message(f"erik@{DOMAIN}")
    assert [e["rule"] for e in outside.eventually(3, kind="message")] == ["stranger", "stranger", "partner"]
    assert not outside.events(kind="stream")
    outside.change(people={**people, "alice": {**people["alice"], "until": NEVER}})  # and her account is open again


def test_what_a_partner_is_known_by_changes(outside: Outside) -> None:
    alice, carol = both_streams(outside)
    entry = {**outside.policy["partners"][PARTNER], "fingerprints": [certificates()[PARTNER].fingerprint]}
    outside.change(partners={PARTNER: entry})
    ended(outside, "certificate")
    alice.message(CAROL, "<body>proven anew</body>")
    carol.heard("proven anew")


@pytest.fixture
def mended(outside: Outside) -> Iterator[Outside]:
    """A server whose good policy is put back at the end."""
    yield outside
    outside.put(json.dumps(outside.policy))
    outside.restart()


def test_without_a_policy_there_is_no_federation(mended: Outside) -> None:
    mended.sh("rm -f /etc/sallyport/policy.json")
    mended.restart()
    fault = refusal(mended.peer(PARTNER, certificates()[PARTNER]))
    assert fault.text == REFUSED
    assert told(mended, rule="no-policy", direction="in", type="refused")


def test_without_the_decision_point_there_is_no_federation(mended: Outside) -> None:
    """Streams end, no new one comes about, and what is still on its way in or out ends."""
    alice, carol = both_streams(mended)
    assert mended.status()["streams"] >= 2
    mended.shell(f"module:unload('sallyport', '{DOMAIN}')")
    # Prosody by itself would take this one: its authority is on Debian's list
    peer = mended.peer("listed.example", certificates()["listed.example"])
    peer.start()
    peer.write(f"<auth xmlns='{SASL}' mechanism='EXTERNAL'>=</auth>")
    peer.expect("success")
    with pytest.raises(StreamError) as refused:
        peer.expect("nothing")
    assert refused.value.text == "The server's decision point is not loaded."
    number = carol.message(ALICE, "<body>unguarded</body>")
    carol.until(lambda e: e.get("id") == number and e.get("type") == "error")
    # and should a stream be left, nothing comes over it, and nothing goes
    stanza = f"st.message({{from='{CAROL}/x', to='{ALICE}', type='chat'}}, 'unguarded')"
    origin = f"{{type = 's2sin', hosts = {{['{PARTNER}'] = {{authed = true}}}}, send = no, close = no}}"
    mended.shell(
        ">local st = require'prosody.util.stanza'; local function no() end; "
        f"prosody.core_process_stanza({origin}, {stanza}); return 'sent'"
    )
    before = mended.asked_names()
    mended.shell(
        ">local st = require'prosody.util.stanza'; prosody.core_route_stanza(nil, "
        f"st.message({{from='{ALICE}', to='x@listed.example'}}, 'out')); return 'sent'"
    )
    alice.ask("get", "<query xmlns='jabber:iq:roster'/>")
    assert "unguarded" not in alice.bodies()
    assert mended.asked_names() == before


def test_a_hostile_server_and_its_people_reach_nobody(outside: Outside) -> None:
    alice, mallory = outside.client("alice"), outside.visitor("mallory", HOSTILE)
    for kind in ("chat", "normal", "headline", "groupchat"):
        mallory.message(ALICE, "<body>spam</body>", kind)
        mallory.until(lambda e: e.tag.endswith("}message") and e.get("type") == "error")
    mallory.write(f"<presence to='{ALICE}' type='subscribe'/><presence to='{ALICE}'/>")
    answer = mallory.ask("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", DOMAIN)
    assert answer.get("type") == "error"
    alice.settle()
    assert not [e for e in alice.seen if HOSTILE in (e.get("from") or "")]
    events = outside.events(kind="stream", from_=HOSTILE)
    assert {e["rule"] for e in events} == {"foreign-domain"}
    assert not outside.events(from_=HOSTILE, verdict="allowed")


def test_events_of_streams_fit_the_schema(outside: Outside) -> None:
    outside.client("alice").settle()
    lines = [json.loads(line) for line in outside.sh(f"grep -h . {EVENTS_PATH}").splitlines()]
    assert {e["type"] for e in lines if e["kind"] == "stream"} >= {"established", "refused", "closed"}
    for event in lines:
        assert faults(event) == []


def test_the_features_offer_nothing_else(outside: Outside) -> None:
    peer = outside.peer(PARTNER, certificates()[PARTNER])
    names = {child.tag for child in peer.start()}
    assert {name for name in names if "dialback" in name or "bidi" in name or "starttls" in name} == set()
    assert f"{{{SASL}}}mechanisms" in names
    assert STREAM


def test_the_logs_hold_no_traceback(outside: Outside) -> None:
    log = outside.sh("cat /var/log/prosody/prosody.log")
    assert not [line for line in log.splitlines() if "Traceback" in line or "attempt to " in line][:3]
