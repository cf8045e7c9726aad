# SPDX-License-Identifier: GPL-3.0-or-later
"""2,000 stanzas of every kind, by real clients through both servers: exactly their events are on the log host."""

from __future__ import annotations

import collections
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from acceptance.demo_site import Demo
from acceptance.outside_talk import Talk, signed_up, talking
from event_lines import whole_lines
from system.reach import connect
from system.talk import Client, fresh

COUNT = 2000
AT_ONCE = 40
ARCHIVE = "/var/log/sallyport/hosts"
PATIENCE = 60
SEED = 6


@dataclass(frozen=True)
class Kind:
    """A kind of stanza, and the one event that it must leave, or none.

    Attributes:
        name: what it is.
        xml: the stanza; {id}, {to} (the other person), {stranger}, {room}, {domain} and {file} are filled in.
        event: kind, verdict and rule of its event; None when it is not recorded.
    """

    name: str
    xml: str
    event: tuple[str, str, str] | None


def message(
    name: str, inner: str, rule: str = "", *, kind: str = "message", to: str = "{to}", how: str = "chat"
) -> Kind:
    """Return a message; without a rule it goes through."""
    event = (kind, "refused" if rule else "allowed", rule)
    return Kind(name, f"<message type='{how}' to='{to}' id='{{id}}'>{inner}</message>", event)


def question(name: str, how: str, inner: str, event: tuple[str, str, str] | None, to: str = "{to}") -> Kind:
    """Return a question to somebody, or to the own server when `to` is empty."""
    target = f" to='{to}'" if to else ""
    return Kind(name, f"<iq type='{how}'{target} id='{{id}}'>{inner}</iq>", event)


BODY = "<body>word {id}</body>"
OMEMO = f"<encrypted xmlns='urn:xmpp:omemo:2'/>{BODY}"
SHARED = (
    message("chat", BODY),
    message("two languages", f"{BODY}<body xml:lang='de'>Wort</body>"),
    message("correction", f"{BODY}<replace xmlns='urn:xmpp:message-correct:0' id='x'/>"),
    message("reaction", "<reactions xmlns='urn:xmpp:reactions:0' id='x'><reaction>👍</reaction></reactions>"),
    message("retraction", f"{BODY}<retract xmlns='urn:xmpp:message-retract:1' id='x'/>"),
    message("reply", f"{BODY}<reply xmlns='urn:xmpp:reply:0' id='x' to='{{to}}'/>"),
    message("receipt", "<received xmlns='urn:xmpp:receipts' id='x'/>"),
    message("typing", "<composing xmlns='http://jabber.org/protocol/chatstates'/>"),
    message("to a stranger", BODY, "stranger", to="{stranger}"),
    message("to a foreign domain", BODY, "foreign-domain", to="somebody@foreign.example"),
    message("too long", "<body>" + "x" * 17000 + "</body>", "length"),
    message("forged copy", "<sent xmlns='urn:xmpp:carbons:2'/>", "forged"),
    Kind(
        "subscription", "<presence type='subscribe' to='{to}' id='{id}'/>", ("subscription", "refused", "roster-locked")
    ),
    question("roster read", "get", "<query xmlns='jabber:iq:roster'/>", None, to=""),
    question(
        "roster change",
        "set",
        "<query xmlns='jabber:iq:roster'><item jid='{to}' name='x'/></query>",
        ("roster", "refused", "roster-locked"),
        to="",
    ),
    question("ping of the server", "get", "<ping xmlns='urn:xmpp:ping'/>", None, to="{domain}"),
    question(
        "leaving for good",
        "set",
        "<query xmlns='jabber:iq:register'><remove/></query>",
        ("account", "refused", "account-locked"),
        to="",
    ),
)
INSIDE = (
    *SHARED,
    message("OMEMO", OMEMO, "encrypted"),
    message("card number", "<body>4111 1111 1111 1111</body>", "content"),
    message("in a room", BODY, to="{room}", how="groupchat"),
    message("subject of a room", "<subject>x {id}</subject>", "room-locked", to="{room}", how="groupchat"),
    message(
        "invitation of a stranger",
        "<x xmlns='http://jabber.org/protocol/muc#user'><invite to='{stranger}'/></x>",
        "invitation",
        kind="invitation",
        to="{room}",
        how="normal",
    ),
    question(
        "in-band bytes",
        "set",
        "<open xmlns='http://jabber.org/protocol/ibb' sid='a' block-size='4096'/>",
        ("iq", "refused", "transfer"),
        to="{to}/probe",
    ),
    question(
        "place for a file",
        "get",
        "<request xmlns='urn:xmpp:http:upload:0' filename='plan.txt' size='9'/>",
        None,
        to="{file}",
    ),
)
OUTWARD = (
    *SHARED,
    message("OMEMO", OMEMO, "partner-payload"),
    question(
        "question to a partner",
        "get",
        "<query xmlns='jabber:iq:version'/>",
        ("iq", "refused", "partner-iq"),
        to="{to}/probe",
    ),
    message(
        "invitation across the border",
        "<x xmlns='jabber:x:conference' jid='{room}'/>",
        "invitation",
        kind="invitation",
        how="normal",
    ),
)


@pytest.fixture
def talk() -> Iterator[Talk]:
    with talking(Demo()) as both:
        both.both_hear()
        yield both


def send_all(sender: Client, kinds: tuple[Kind, ...], count: int, words: dict[str, str]) -> dict[str, Kind]:
    """Send so many stanzas in a mixed order; returns what each id is."""
    order = random.Random(SEED)
    sent = {}
    for number in range(count):
        # each kind at least once, then at random
        kind = kinds[number] if number < len(kinds) else order.choice(kinds)
        one = fresh("mix")
        sent[one] = kind
        sender.send(kind.xml.format(id=one, **words))
        if number % AT_ONCE == AT_ONCE - 1:
            sender.ping()
    sender.ping()
    return sent


def lines_of(machine: Any, path: str, wanted: dict[str, Kind]) -> list[str]:
    """Return the lines of events that have one of these ids."""
    # sed adds no line feed to a line that has none yet
    read = machine.run(f'cat {path} | sed -n \'/"stanza_id":"mix-/p\'').stdout
    return [line for line in whole_lines(read) if json.loads(line)["stanza_id"] in wanted]


def told(line: str) -> tuple[str, str, str]:
    """Return what an event says: kind, verdict, and the rule of a refusal."""
    event = json.loads(line)
    return event["kind"], event["verdict"], event["rule"] if event["verdict"] == "refused" else ""


def test_each_stanza_leaves_exactly_its_event(talk: Talk) -> None:
    facts = talk.demo.facts
    alice, bob = (signed_up(talk.demo, talk.desk, name, facts.internal()) for name in ("alice", "bob"))
    room, file = f"staff@{facts.rooms}", facts.files
    alice.join(room)
    bob.join(room)
    inside = {"to": bob.bare, "stranger": f"carl@{facts.domain}", "room": room, "domain": facts.domain, "file": file}
    outward = inside | {"to": talk.carol.bare, "stranger": "dave@partner.example", "domain": talk.alice.service.domain}
    cases = (
        (facts.server(), send_all(alice, INSIDE, COUNT // 2, inside)),
        (facts.external_server(), send_all(talk.alice, OUTWARD, COUNT // 2, outward)),
    )
    log_host = connect(facts.log_host())
    for host, sent in cases:
        wanted = {one: kind.event for one, kind in sent.items() if kind.event}
        path, end = f"{ARCHIVE}/{host.name}/*/im.jsonl", time.monotonic() + PATIENCE
        written = lines_of(connect(host), "/var/log/prosody/im-events.jsonl", sent)
        kept = lines_of(log_host, path, sent)
        while len(kept) < len(written) and time.monotonic() < end:
            time.sleep(1)
            kept = lines_of(log_host, path, sent)
        found = collections.defaultdict(list)
        for line in kept:
            found[json.loads(line)["stanza_id"]].append(told(line))
        wrong = [
            f"{sent[one].name}: {found.get(one, 'no event')}, should be {wanted.get(one, 'no event')}"
            for one in sent
            if found.get(one, []) != ([wanted[one]] if one in wanted else [])
        ]
        assert not wrong, f"{host.name}: {len(wrong)} of {len(sent)}: " + "\n".join(sorted(set(wrong))[:30])
        assert sorted(kept) == sorted(written), "what is kept is not byte for byte what was written"
        print(f"{host.name}: {len(sent)} stanzas of {len({*sent.values()})} kinds, {len(kept)} events, each one once")
