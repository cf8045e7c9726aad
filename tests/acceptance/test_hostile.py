# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that a hostile server can send: nothing is delivered, everything is noted, and nobody else notices.

Where the controls of R5 and R8 try one of a kind, this tries masses, and what no server would send.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from acceptance.demo_site import Demo
from acceptance.outside_talk import Talk, intruder, talking
from system.outside import (
    CONTACT,
    DIALBACK_SECRET,
    HOSTILE,
    KINDS,
    PARTNER,
    UNLISTED,
    Authority,
    Pair,
    Peer,
    amount,
    partner_authority,
    self_signed,
)
from system.talk import fresh

# what repeats itself is counted for a minute and told at its end
MINUTE_SECONDS = 66
BURST = 10_000
# what one sender outside may send
AT_ONCE, PER_SECOND = 120, 4
# look-alikes: Cyrillic letters (as IDN has them, and as they are), other endings, parts more and less
LOOK_ALIKES = (
    "xn--prtner-4nf.example",
    "p\u0430rtner.example",
    "partner.examp1e",
    "partnerexample",
    "chat.partner.example",
    "partner.example.hostile.example",
    "example",
)


@pytest.fixture(scope="module")
def demo() -> Demo:
    """The demo site as it is; nothing of it is changed here."""
    return Demo()


@pytest.fixture(scope="module")
def talk(demo: Demo) -> Iterator[Talk]:
    with talking(demo) as both:
        both.both_hear()
        yield both


@pytest.fixture(autouse=True)
def nobody_notices(talk: Talk) -> Iterator[None]:
    """Make sure that both are still signed in, talk as before, and that the server is the same process."""
    before = _process(talk)
    yield
    for client in (talk.alice, talk.carol):
        assert client.probe.do("state", name=client.bare)["online"], f"{client.bare} was signed out"
    _until_it_passes(talk)
    assert talk.hears(talk.carol, talk.alice), "carol does not get what alice writes"
    assert _process(talk) == before, "the server was started anew"


def _process(talk: Talk) -> str:
    return str(talk.machine.run("systemctl show -p MainPID prosody").stdout.strip())


def _until_it_passes(talk: Talk) -> None:
    """Wait until what carol writes arrives: the server takes only so much of one sender in a minute."""
    end = time.monotonic() + 60
    while not talk.hears(talk.alice, talk.carol, 4):
        assert time.monotonic() < end, "alice does not get what carol writes"


def streams(talk: Talk, mark: int) -> list[dict[str, Any]]:
    """Return the events of refused streams since a mark."""
    return [one for one in talk.events.since(mark) if one["kind"] == "stream" and one["verdict"] == "refused"]


def test_streams_that_prove_nothing(talk: Talk) -> None:
    authority = partner_authority(talk.demo.facts.folder)
    false: list[tuple[Pair | None, dict[str, Any]]] = [
        (Authority.made(authority).sign(PARTNER), {}),
        (authority.sign(PARTNER, begins=-3, ends=-0.01), {}),
        (self_signed(PARTNER), {}),
        (self_signed(PARTNER), {"mode": "direct"}),
        (authority.sign("other.example"), {}),
        (None, {}),
        (None, {"proof": "dialback", "secret": DIALBACK_SECRET}),
        (self_signed(PARTNER), {"proof": "dialback", "secret": DIALBACK_SECRET}),
    ]
    mark = talk.events.mark()
    for pair, settings in false:
        for version in (4, 6):
            answer = talk.peer().open(pair, version, **settings)
            assert (answer["result"], answer["step"] != "connect") == ("refused", True), (settings, version, answer)
    time.sleep(MINUTE_SECONDS)
    noted = [event for event in streams(talk, mark) if event["from"] == PARTNER]
    assert amount(noted) == 2 * len(false), noted
    assert {event["rule"] for event in noted} == {"certificate"}, noted


def test_domains_that_are_nobody_s(talk: Talk) -> None:
    authority, mark = partner_authority(talk.demo.facts.folder), talk.events.mark()
    for domain in (HOSTILE, *LOOK_ALIKES):
        name = domain if domain.isascii() else domain.encode("idna").decode()
        for pair in (self_signed(name), authority.sign(name)):
            answer = talk.peer(domain).open(pair)
            assert (answer["result"], answer["step"] != "connect") == ("refused", True), (domain, answer)
    time.sleep(MINUTE_SECONDS)
    noted = streams(talk, mark)
    assert amount(noted) == 2 * (1 + len(LOOK_ALIKES)), noted
    assert {event["rule"] for event in noted} <= {"foreign-domain", "malformed"}, noted


def test_a_real_hostile_server(talk: Talk) -> None:
    # its own people write by it: it calls, shows its certificate, and asks to be asked back
    mark, since, mallory = talk.events.mark(), talk.alice.mark(), intruder(talk)
    number = fresh("mallory")
    mallory.say(talk.alice.bare, number)
    end = time.monotonic() + 30
    while not (noted := [one for one in streams(talk, mark) if one["from"] == HOSTILE]):
        assert time.monotonic() < end, "the hostile server never called"
        time.sleep(1)
    assert {event["rule"] for event in noted} == {"foreign-domain"}, noted
    assert not talk.alice.received(since, number)


SPOOFED = {
    "another domain": f"{CONTACT}@{HOSTILE}/x",
    "a part of the domain": f"{CONTACT}@chat.{PARTNER}/x",
    "a colleague": "probe-b@{own}/x",
    "herself": "{person}/x",
    "the server": "{own}",
    "nobody": "",
}


def test_names_that_are_not_those_of_the_stream(talk: Talk) -> None:
    own, person = talk.demo.facts.external_domain, talk.alice.bare
    since, mark, numbers = talk.alice.mark(), talk.events.mark(), []
    for claimed, pattern in SPOOFED.items():
        peer, number = talk.peer_of_partner(), fresh("spoofed")
        numbers.append(number)
        peer.send(KINDS["chat message"].stanza(number, person, pattern.format(own=own, person=person)))
        assert peer.ended(5), f"{claimed}: the stream stays open"
        peer.close()
    # equal events of a minute are told as one, with their number
    time.sleep(MINUTE_SECONDS)
    noted = talk.events.since(mark)
    assert not [number for number in numbers if talk.alice.received(since, number)]
    assert not [event for event in noted if event.get("stanza_id") in numbers and event["verdict"] == "allowed"], noted
    closed = [event for event in noted if event["kind"] == "stream" and event["rule"] == "spoofed"]
    assert amount(closed) == len(SPOOFED), closed


# {f} is from, {a} from and to, {n} the id
MALFORMED = {
    "an end without a beginning": "</message>",
    "a beginning that fits no end": "<message {a} id='{n}'><body>{n}</message></body>",
    "an entity": "<!DOCTYPE x [<!ENTITY e '{n}'>]><message {a} id='{n}'><body>&e;</body></message>",
    "an unknown entity": "<message {a} id='{n}'><body>&nbsp;{n}</body></message>",
    "a comment": "<!-- {n} --><message {a} id='{n}'><body>{n}</body></message>",
    "an instruction": "<?php {n} ?><message {a} id='{n}'><body>{n}</body></message>",
    "an undeclared prefix": "<message {a} id='{n}'><e:body>{n}</e:body></message>",
    "an attribute twice": "<message {a} id='{n}' id='x'><body>{n}</body></message>",
    "a forbidden character": "<message {a} id='{n}'><body>&#1;{n}</body></message>",
    "another kind of stanza": "<order {a} id='{n}'><body>{n}</body></order>",
    "a stanza of clients": "<message xmlns='jabber:client' {a} id='{n}'><body>{n}</body></message>",
    "no receiver": "<message {f} id='{n}'><body>{n}</body></message>",
    "a receiver that is no address": "<message {f} to='@@/' id='{n}'><body>{n}</body></message>",
    "a receiver elsewhere": "<message {f} to='x@hostile.example' id='{n}'><body>{n}</body></message>",
    "an unknown type": "<message {a} type='order' id='{n}'><body>{n}</body></message>",
    "an iq without a type": "<iq {a} id='{n}'><query xmlns='jabber:iq:roster'/></iq>",
    "an iq with two questions": "<iq {a} type='get' id='{n}'><a xmlns='urn:a'/><b xmlns='urn:b'/></iq>",
    "another stream inside": "<stream:stream {a} id='{n}' version='1.0'></stream:stream>",
    "a body of a megabyte": "<message {a} id='{n}'><body>{fill}{n}</body></message>",
    "an id of a megabyte": "<message {a} id='{n}{fill}'><body>{n}</body></message>",
    "five thousand levels": "<message {a} id='{n}'>{deep}</message>",
    "ten thousand children": "<message {a} id='{n}'>{many}</message>",
    "five thousand attributes": "<message {a} id='{n}' {attributes}><body>{n}</body></message>{more}",
}
FILL = {
    "{deep}": "<x xmlns='urn:x'>" + "<y>" * 5000 + "</y>" * 5000 + "</x>",
    "{many}": "<z xmlns='urn:z'/>" * 10_000,
    "{more}": " " * 100_000,  # the parser keeps a long piece to itself until more has come
    "{attributes}": " ".join(f"a{number}='1'" for number in range(5000)),
}


def malformed(talk: Talk, kind: str, number: str) -> str:
    """Return what is sent, with this id in it."""
    sender = f"from='{CONTACT}@{PARTNER}/x'"
    text = MALFORMED[kind].replace("{a}", f"{sender} to='{talk.alice.bare}'").replace("{f}", sender)
    text = text.replace("{n}", number)
    for key, value in FILL.items():
        text = text.replace(key, value)
    return text


@pytest.mark.parametrize("kind", MALFORMED)
def test_what_no_server_would_send(talk: Talk, kind: str) -> None:
    number, since = fresh("malformed"), talk.alice.mark()
    text = malformed(talk, kind, number)
    peer = talk.peer_of_partner()
    sent = peer.send(text, fill=1_000_000, timeout=30)
    state = peer.state(3)
    print(f"{kind}: {sent['taken']} of {sent['size']} bytes taken, {'open' if state['open'] else state['why']}")
    assert not talk.alice.received(since, number)
    peer.close()
    # one sender's nonsense is nobody else's: another stream works at once
    other = talk.peer_of_partner()
    assert other.state()["open"]
    other.close()


def test_what_no_server_would_send_is_noted(talk: Talk) -> None:
    # each is one event: that of the stanza, or that of the stream which ends by it
    time.sleep(MINUTE_SECONDS)  # what was counted before is told by then, and the sender's measure is full again
    mark = talk.events.mark()
    for kind in MALFORMED:
        peer = talk.peer_of_partner()
        peer.send(malformed(talk, kind, fresh("noted")), fill=1_000_000, timeout=30)
        peer.state(3)
        peer.close()
    time.sleep(MINUTE_SECONDS)
    noted = [event for event in talk.events.since(mark) if event["rule"] == "malformed"]
    assert {event["verdict"] for event in noted} == {"refused"}, noted
    assert {event["from"] for event in noted} <= {PARTNER, f"{CONTACT}@{PARTNER}/x"}, noted
    assert amount(noted) == len(MALFORMED), noted


# what the contact herself may not send, as it carries something that looks like something else
CARRIERS = [
    "message to a room",
    "error message",
    "invitation into a room",
    "invitation by a room",
    "published item",
    "forged copy",
    "error presence",
    "order",
    "question for what is published",
    "unasked answer",
    "error answer",
]


def test_carriers_of_a_contact(talk: Talk) -> None:
    _until_it_passes(talk)
    time.sleep(MINUTE_SECONDS)  # what was counted before is told by then, and the sender's measure is full again
    peer, mark, since = talk.peer_of_partner(), talk.events.mark(), talk.alice.mark()
    numbers = {fresh("carrier"): kind for kind in CARRIERS}
    for number, kind in numbers.items():
        peer.send(KINDS[kind].stanza(number, talk.alice.bare, f"{CONTACT}@{PARTNER}/x"))
    time.sleep(5)
    events = talk.events.since(mark)
    for number, kind in numbers.items():
        own = [event for event in events if event.get("stanza_id") == number]
        assert [event["verdict"] for event in own] == ["refused"], f"{kind}: {own}"
        assert own[0]["rule"] not in ("rate", "stranger"), f"{kind}: {own}"
        assert not talk.alice.received(since, number), f"{kind} arrived"
        print(f"{kind}: {own[0]['rule']}")
    peer.close()


def burst(talk: Talk, peer: Peer, sender: str, times: int) -> tuple[str, dict[str, Any]]:
    """Send many messages to alice; returns the beginning of their ids, and what came of it."""
    prefix = fresh("burst")
    words = f"from='{sender}' to='{talk.alice.bare}' type='chat' id='{prefix}-{{n}}'"
    return prefix, peer.send(f"<message {words}><body>{prefix}-{{n}}.</body></message>", times=times, timeout=80)


def noted_of_burst(talk: Talk, mark: int, prefix: str) -> list[dict[str, Any]]:
    """Return the events of a burst; waits until they stand for all of it, the last ones until their minute is over."""
    script = f"tail -c +{mark + 1} /var/log/prosody/im-events.jsonl | grep -F '{prefix}-' || true"
    end = time.monotonic() + MINUTE_SECONDS + 60
    while True:
        lines = talk.demo.sh(script, talk.demo.facts.external_server().name).splitlines()
        events = [json.loads(line) for line in lines]
        if amount(events) >= BURST or time.monotonic() > end:
            assert len({event["id"] for event in events}) == len(events), "an event stands there twice"
            single = [event["stanza_id"] for event in events if not event.get("count")]
            assert len({*single}) == len(single), "a stanza has two events"
            return events
        time.sleep(2)


def test_ten_thousand_stanzas_of_a_stranger(talk: Talk) -> None:
    peer, mark, since = talk.peer_of_partner(), talk.events.mark(), talk.alice.mark()
    prefix, sent = burst(talk, peer, f"{UNLISTED}@{PARTNER}/x", BURST)
    assert sent["taken"] == sent["size"], sent
    # meanwhile both go on as ever
    slowest = 0.0
    for _ in range(5):
        begun = time.monotonic()
        assert talk.hears(talk.alice, talk.carol, 15), "alice does not get what carol writes"
        slowest = max(slowest, time.monotonic() - begun)
    noted = noted_of_burst(talk, mark, prefix)
    print(f"sent in {sent['seconds']} s; the slowest message meanwhile took {slowest:.2f} s")
    assert amount(noted) == BURST
    assert len(noted) < BURST / 5, "a flood fills the disk"
    assert {event["verdict"] for event in noted} == {"refused"}
    assert {event["rule"] for event in noted} <= {"stranger", "rate"}
    assert not talk.alice.received(since, f"{prefix}-")
    assert slowest < 10
    peer.close()


def test_ten_thousand_stanzas_of_a_contact(talk: Talk) -> None:
    peer, mark, since, begun = talk.peer_of_partner(), talk.events.mark(), talk.alice.mark(), time.monotonic()
    prefix, sent = burst(talk, peer, f"{CONTACT}@{PARTNER}/flood", BURST)
    assert sent["taken"] == sent["size"], sent
    noted = noted_of_burst(talk, mark, prefix)
    lasted = time.monotonic() - begun
    allowed = sum(event["verdict"] == "allowed" for event in noted)
    arrived = len(talk.alice.received(since, f"{prefix}-"))
    print(f"{allowed} of {amount(noted)} let through in {lasted:.0f} s, {arrived} arrived")
    assert amount(noted) == BURST
    assert {event["rule"] for event in noted if event["verdict"] == "refused"} == {"rate"}
    assert arrived == allowed
    assert 0 < arrived <= AT_ONCE + PER_SECOND * (lasted + 2), "more than docs/decision-point.md says"
    peer.close()
