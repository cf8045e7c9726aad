# SPDX-License-Identifier: GPL-3.0-or-later
"""A person with external IM and her contact at a partner: words, presence and contact lists, started by either."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from decision_point.client import error_of
from decision_point.outside import DOMAIN, PARTNER, certificates

if TYPE_CHECKING:
    from decision_point.client import Client
    from decision_point.outside import Outside

ALICE, CAROL = f"alice@{DOMAIN}", f"carol@{PARTNER}"
CLIENT = "{jabber:client}"
PUBSUB = "http://jabber.org/protocol/pubsub"
EXTRA = (
    "<show>away</show><status>out</status><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='v'/>"
    "<x xmlns='vcard-temp:x:update'><photo>abc</photo></x><anything xmlns='urn:x'/>"
)


def befriend(carol: Client) -> None:
    """Lets carol agree to be seen by alice, and ask to see her."""
    carol.write(f"<presence to='{ALICE}' type='subscribed'/><presence to='{ALICE}' type='subscribe'/>")


def test_both_write_and_each_message_is_one_event(outside: Outside) -> None:
    alice, carol = outside.client("alice"), outside.visitor("carol")
    number = alice.message(CAROL, "<body>hello carol</body>")
    got = carol.heard("hello carol")
    assert (got.get("from"), got.get("id"), got.get("type")) == (alice.jid, number, "chat")
    carol.message(ALICE, "<body>hello alice</body>", number="back")
    got = alice.heard("hello alice")
    assert (got.get("from"), got.get("id")) == (carol.jid, "back")
    sent, received = outside.events(kind="message")
    assert (sent["from"], sent["to"], sent["direction"]) == (alice.jid, CAROL, "out")
    assert (received["from"], received["to"], received["direction"]) == (carol.jid, ALICE, "in")
    assert {(e["verdict"], e["rule"]) for e in (sent, received)} == {("allowed", "partner")}


def test_the_contact_begins_and_the_person_is_away(outside: Outside) -> None:
    """What comes while nobody is signed in waits, as anywhere; the archive has it as well."""
    carol = outside.visitor("carol")
    carol.message(f"erik@{DOMAIN}", "<body>for later</body>")
    (event,) = outside.eventually(1, kind="message")
    assert event["verdict"] == "allowed"
    erik = outside.client("erik")
    erik.ask("set", "<query xmlns='urn:xmpp:mam:2'/>")
    assert "for later" in "".join("".join(e.itertext()) for e in erik.seen)
    assert len(outside.events(kind="message")) == 1


def test_contact_lists_have_the_contacts_of_current_partners(outside: Outside) -> None:
    listed = outside.client("alice").roster()
    assert listed[CAROL] == ("Carol Dahl", "both", ("Partner Ltd",))
    assert "carol@over.example" not in listed  # that partner's time is over
    assert not [address for address in listed if address.endswith(f"@{DOMAIN}")]  # colleagues have the internal server
    assert outside.client("bob").roster() == {}


def test_presence_goes_both_ways_and_lists_stay_the_sites(outside: Outside) -> None:
    outside.forget("carol")
    carol = outside.visitor("carol")
    befriend(carol)
    alice = outside.client("alice")
    carol.presence(alice.jid)
    alice.presence(carol.jid)
    carol.presence(ALICE, "subscribed")
    for teller, listener in ((carol, alice), (alice, carol)):
        listener.seen.clear()
        teller.write(f"<presence>{EXTRA}</presence>")
        seen = listener.came(lambda e: e.findtext(f"{CLIENT}show") == "away" and e.get("from") == teller.jid)  # noqa: B023
        # what would only lead to questions that are refused stays at home
        assert {child.tag.split("}")[1] for child in seen} == {"show", "status"}
    before = alice.roster()
    for kind in ("unsubscribe", "unsubscribed", "subscribe", "subscribed"):
        carol.write(f"<presence to='{ALICE}' type='{kind}'/>")
    carol.write("<presence type='unavailable'/>")
    alice.presence(carol.jid, "unavailable")
    assert alice.roster() == before
    assert not [e for e in alice.find("iq", type="set") if "roster" in e[0].tag]
    assert not [e for e in alice.find("presence") if "subscri" in (e.get("type") or "")]
    told = {(e["type"], e["verdict"], e["rule"]) for e in outside.events(kind="subscription")}
    assert told == {(kind, "allowed", "partner") for kind in ("unsubscribe", "unsubscribed", "subscribe", "subscribed")}
    alice.write("<presence type='unavailable'/>")
    carol.write("<presence/>")
    carol.presence(ALICE, "unavailable")
    befriend(carol)


def test_the_question_waits_for_a_contact_who_is_away(outside: Outside) -> None:
    """Asked while she is away, she says yes when she comes: no probe may have taken the question away."""
    outside.forget("carol")
    alice = outside.client("alice")
    alice.settle()
    time.sleep(1)  # all of it has arrived at her server before she comes
    carol = outside.visitor("carol")
    carol.presence(ALICE, "subscribe")
    carol.write(f"<presence to='{ALICE}' type='subscribed'/>")
    alice.presence(carol.jid)
    befriend(carol)


def test_a_probe_is_answered_for_a_contact(outside: Outside) -> None:
    alice, carol = outside.client("alice"), outside.visitor("carol")
    carol.write(f"<presence type='probe' to='{ALICE}'/>")
    carol.presence(alice.jid)
    alice.write("<presence type='unavailable'/>")
    alice.settle()
    carol.seen.clear()
    carol.write(f"<presence type='probe' to='{ALICE}'/>")
    carol.presence(ALICE, "unavailable")


def test_a_new_contact_is_in_the_list_at_once_and_asked_for_presence(outside: Outside) -> None:
    outside.change(partners={k: v for k, v in outside.policy["partners"].items() if k != PARTNER})
    carol = outside.visitor("carol")
    befriend(carol)
    alice = outside.client("alice")
    assert CAROL not in alice.roster()
    outside.change()
    assert alice.roster()[CAROL] == ("Carol Dahl", "both", ("Partner Ltd",))
    carol.presence(alice.jid)
    alice.presence(carol.jid)


QUESTIONS = {
    "ping": "<ping xmlns='urn:xmpp:ping'/>",
    "disco": "<query xmlns='http://jabber.org/protocol/disco#info'/>",
}


@pytest.mark.parametrize("name", list(QUESTIONS))
def test_two_questions_cross_the_border_and_are_answered(outside: Outside, name: str) -> None:
    alice, carol = outside.client("alice"), outside.visitor("carol")
    features = "<query xmlns='http://jabber.org/protocol/disco#info'><feature var='urn:x'/></query>"
    answer = {"ping": "<ride xmlns='urn:x'/>", "disco": features}[name]
    for asker, asked in ((alice, carol), (carol, alice)):
        asker.write(f"<iq type='get' id='{name}' to='{asked.jid}'>{QUESTIONS[name]}</iq>")
        asked.until(lambda e: e.get("id") == name and e.get("type") == "get")
        # a second answer, and one to a question that nobody asked, do not arrive
        for number in ("unasked", name, name):
            asked.write(f"<iq type='result' id='{number}' to='{asker.jid}'>{answer}</iq>")
        got = asker.until(lambda e: e.get("id") == name and e.get("type") == "result")
        assert [child.tag for child in got] == (
            ["{http://jabber.org/protocol/disco#info}query"] if name == "disco" else []
        )
        asked.message(asker.bare, "<body>marker</body>")
        asker.heard("marker")
        assert not [e for e in asker.seen if e.get("type") == "result"]
    assert [(e["kind"], e["verdict"], e["rule"]) for e in outside.events(kind="iq")] == [
        ("iq", "refused", "unasked")
    ] * 4
    # the accounts themselves answer as well
    assert carol.ask("get", QUESTIONS[name], ALICE).get("type") == "result"
    assert alice.ask("get", QUESTIONS[name], CAROL).get("type") == "result"


REFUSED_QUESTIONS = {
    "vcard": ("get", "<vCard xmlns='vcard-temp'/>"),
    "pubsub": (
        "get",
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:avatar:data'/></pubsub>",
    ),
    "publish": ("set", "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='n'/></pubsub>"),
    "last": ("get", "<query xmlns='jabber:iq:last'/>"),
    "version": ("get", "<query xmlns='jabber:iq:version'/>"),
    "items": ("get", "<query xmlns='http://jabber.org/protocol/disco#items'/>"),
    "archive": ("set", "<query xmlns='urn:xmpp:mam:2'/>"),
    "roster": ("set", "<query xmlns='jabber:iq:roster'><item jid='x@hostile.example'/></query>"),
    "register": ("set", "<query xmlns='jabber:iq:register'><remove/></query>"),
    "commands": ("set", "<command xmlns='http://jabber.org/protocol/commands' node='x'/>"),
    "set-ping": ("set", "<ping xmlns='urn:xmpp:ping'/>"),
    "loaded-ping": ("get", "<ping xmlns='urn:xmpp:ping'><x xmlns='urn:x'/></ping>"),
    "wordy-disco": ("get", "<query xmlns='http://jabber.org/protocol/disco#info'>words</query>"),
    "bytestreams": ("set", "<query xmlns='http://jabber.org/protocol/bytestreams' sid='s'/>"),
    "jingle": ("set", "<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s'/>"),
    "ibb": ("set", "<open xmlns='http://jabber.org/protocol/ibb' block-size='4096' sid='s'/>"),
    "si": ("set", "<si xmlns='http://jabber.org/protocol/si' id='a'/>"),
    "oob": ("set", "<query xmlns='jabber:iq:oob'><url>http://10.0.0.1/x</url></query>"),
    "bits": ("get", "<data xmlns='urn:xmpp:bob' cid='c'/>"),
    "upload": ("get", "<request xmlns='urn:xmpp:http:upload:0' filename='a' size='5'/>"),
}
RULES = {"jingle": "calls", **dict.fromkeys(("bytestreams", "ibb", "si", "oob", "bits"), "transfer")}


def test_no_other_question_crosses_the_border(outside: Outside) -> None:
    alice, carol = outside.client("alice"), outside.visitor("carol")
    for name, (kind, payload) in REFUSED_QUESTIONS.items():
        for asker, asked in ((alice, carol), (carol, alice)):
            outside.mark()
            for to in (asked.jid, asked.bare):
                assert error_of(asker.ask(kind, payload, to))[1] == "service-unavailable", (name, to)
            assert [(e["verdict"], e["rule"]) for e in outside.events(kind="iq")] == [
                ("refused", RULES.get(name, "partner-iq"))
            ] * 2, name
        assert not outside.events(kind="message")
    for client in (alice, carol):
        client.settle()
        assert not [e for e in client.find("iq") if e.get("type") in {"get", "set"}]


def test_errors_come_back_for_what_was_sent_and_carry_nothing(outside: Outside) -> None:
    alice, carol = outside.client("alice"), outside.peer(PARTNER, certificates()[PARTNER])
    carol.prove()
    number = alice.message(CAROL, "<body>are you there</body>")
    alice.settle()
    error = (
        "<body>buy this</body><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>http://x.example"
        "</gone><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>words</text><more xmlns='urn:x'/></error>"
    )
    for which in (number, number, "never-sent"):
        carol.write(f"<message type='error' id='{which}' from='{CAROL}/x' to='{alice.jid}'>{error}</message>")
    carol.write(f"<message type='error' from='{CAROL}/x' to='{alice.jid}'>{error}</message>")
    carol.write(f"<message type='chat' from='{CAROL}/x' to='{alice.jid}'><body>marker</body></message>")
    alice.heard("marker")
    (got,) = alice.find("message", type="error")
    assert error_of(got) == ("cancel", "gone", "")
    assert "".join(got.itertext()) == ""
    assert [(e["verdict"], e["rule"]) for e in outside.events(kind="message")] == [
        ("allowed", "partner"),
        ("allowed", "answer"),
        ("refused", "unasked"),
        ("refused", "unasked"),
        ("refused", "unasked"),
        ("allowed", "partner"),
    ]


def test_of_presence_only_what_is_known_goes_on(outside: Outside) -> None:
    """Built again, with bounds; what a contact tells with it is recorded, and the partner's links are left out."""
    outside.forget("carol")
    carol = outside.visitor("carol")
    befriend(carol)
    alice = outside.client("alice")
    carol.presence(alice.jid)
    alice.presence(carol.jid)
    long = "\N{GREEK SMALL LETTER OMEGA}" * 300
    loaded = (
        f"<show x='1'>away</show><priority x='1'>7</priority><status xml:lang='de' x='1'>{long}</status>"
        "<status>words<b xmlns='urn:x'/></status>"
        "<idle xmlns='urn:xmpp:idle:1' since='words'/><show>dnd</show><status xmlns='urn:x'>foreign</status>"
    )
    for teller, listener in ((carol, alice), (alice, carol)):
        outside.mark()
        listener.seen.clear()
        # an own person's client is told when its presence is not built as it must be
        said = loaded if teller is carol else loaded.replace("<status>words<b xmlns='urn:x'/></status>", "")
        teller.write(f"<presence>{said}</presence>")
        seen = listener.came(lambda e: e.findtext(f"{CLIENT}priority") == "7" and e.get("from") == teller.jid)  # noqa: B023
        language = "{http://www.w3.org/XML/1998/namespace}lang"
        assert [(child.tag.split("}")[1], child.text, dict(child.attrib)) for child in seen] == [
            ("show", "away", {}),
            ("priority", "7", {}),
            ("status", long[:256], {language: "de"}),
        ]
        told = [(e["from"], e["verdict"], e["rule"]) for e in outside.events(kind="presence")]
        assert told == ([(carol.jid, "allowed", "partner")] if teller is carol else [])
    alice.seen.clear()
    carol.write(
        f"<presence><show>xa</show><status>get https://{PARTNER}/x</status><status xml:lang='en'>ok</status></presence>"
    )
    seen = alice.came(lambda e: e.findtext(f"{CLIENT}show") == "xa")
    assert [child.text for child in seen] == ["xa", "ok"]


def test_questions_carry_nothing(outside: Outside) -> None:
    alice, carol = outside.client("alice"), outside.visitor("carol")
    disco = "http://jabber.org/protocol/disco#info"
    for asker, asked in ((alice, carol), (carol, alice)):
        for payload in (
            "<ping xmlns='urn:xmpp:ping' x='words'/>",
            "<ping xmlns='urn:xmpp:ping' node='words'/>",
            "<ping xmlns='urn:xmpp:ping' xmlns:y='urn:y' y:z='words'/>",
            f"<query xmlns='{disco}' x='words'/>",
            f"<query xmlns='{disco}' node='{'n' * 257}'/>",
        ):
            assert error_of(asker.ask("get", payload, asked.jid))[1] == "service-unavailable", payload
        number = "i" * 257
        asker.write(f"<iq type='get' id='{number}' to='{asked.jid}'><ping xmlns='urn:xmpp:ping'/></iq>")
        assert error_of(asker.until(lambda e, n=number: e.get("id") == n))[1] == "bad-request"  # type: ignore[misc]
        asker.write(f"<iq type='get' id='q' to='{asked.jid}'><query xmlns='{disco}' node='{'n' * 256}'/></iq>")
        asked.until(lambda e: e.get("id") == "q" and e.get("type") == "get")


def test_answers_are_built_again(outside: Outside) -> None:
    alice, carol = outside.client("alice"), outside.visitor("carol")
    disco = "http://jabber.org/protocol/disco#info"
    for asker, asked in ((alice, carol), (carol, alice)):
        asker.write(f"<iq type='get' id='q' to='{asked.jid}'><query xmlns='{disco}' node='n'/></iq>")
        asked.until(lambda e: e.get("id") == "q" and e.get("type") == "get")
        features = "".join(f"<feature var='urn:{n}' x='words'>words<x xmlns='urn:x'/></feature>" for n in range(300))
        asked.write(
            f"<iq type='result' id='q' to='{asker.jid}'><query xmlns='{disco}' node='n' x='words'>words"
            f"<x xmlns='jabber:x:data' type='result'/><identity category='client' type='pc' name='{'n' * 257}' x='1'/>"
            f"<identity name='x'/><feature/><feature var='{'v' * 257}'/><item/>{features}</query></iq>"
        )
        got = asker.until(lambda e: e.get("id") == "q" and e.get("type") == "result")
        (query,) = got
        assert dict(query.attrib) == {"node": "n"}
        assert "words" not in "".join(query.itertext())
        assert not [child for child in query if len(child)]
        assert len(query) == 200
        assert (query[0].tag, dict(query[0].attrib)) == (f"{{{disco}}}identity", {"category": "client", "type": "pc"})
        assert [dict(child.attrib) for child in query[1:]] == [{"var": f"urn:{n}"} for n in range(199)]


def test_ids_in_the_archive_are_the_archive_s(outside: Outside) -> None:
    alice, carol = outside.client("alice"), outside.visitor("carol")
    for writer, reader in ((carol, alice), (alice, carol)):
        forged = "".join(
            f"<stanza-id xmlns='urn:xmpp:sid:0' id='forged' by='{by}'/>"
            for by in (reader.bare, reader.bare.upper(), writer.bare, DOMAIN)
        )
        text = f"archived once, by {writer.bare}"
        writer.message(reader.bare, f"<body>{text}</body>{forged}<origin-id xmlns='urn:xmpp:sid:0' id='own'/>")
        got = reader.heard(text)
        assert got.find("{urn:xmpp:sid:0}origin-id") is not None
        ids = [(e.get("by"), e.get("id")) for e in got.findall("{urn:xmpp:sid:0}stanza-id")]
        assert "forged" not in [number for _, number in ids]
        if reader is alice:
            assert [by for by, _ in ids] == [ALICE]


def test_a_delay_is_the_partner_s_own(outside: Outside) -> None:
    alice, carol = outside.client("alice"), outside.visitor("carol")
    claims = (PARTNER, DOMAIN, ALICE, CAROL, f"x.{PARTNER}", "")
    delays = "".join(f"<delay xmlns='urn:xmpp:delay' from='{by}' stamp='2020-01-01T00:00:00Z'/>" for by in claims)
    nameless = "<delay xmlns='urn:xmpp:delay' stamp='2020-01-01T00:00:00Z'/>"
    carol.message(ALICE, f"<body>delayed</body>{delays}{nameless}")
    got = alice.heard("delayed")
    assert [e.get("from") for e in got.findall("{urn:xmpp:delay}delay")] == [PARTNER]


def test_what_is_archived_is_the_sites(outside: Outside) -> None:
    """No hint and no type keeps words out of the archive, or from a person's other devices."""
    alice, second, carol = outside.client("alice"), outside.client("alice", resource="two"), outside.visitor("carol")
    second.ask("set", "<enable xmlns='urn:xmpp:carbons:2'/>")
    hints = "".join(f"<{n} xmlns='urn:xmpp:hints'/>" for n in ("no-store", "no-permanent-store", "no-copy", "store"))
    for number, kind in enumerate(("chat", "headline")):
        for writer, reader in ((alice, carol), (carol, alice)):
            text = f"kept {number} of {writer.bare}"
            writer.message(reader.bare, f"<body>{text}</body>{hints}", kind)
            got = reader.heard(text)
            assert {child.tag for child in got if "hints" in child.tag} == {"{urn:xmpp:hints}store"}
            assert got.get("type", "normal") == {"chat": "chat", "headline": "normal"}[kind]
            second.settle()
            assert text in "".join("".join(e.itertext()) for e in second.seen) or kind == "headline"
    second.seen.clear()
    last = "<set xmlns='http://jabber.org/protocol/rsm'><max>20</max><before/></set>"
    second.ask("set", f"<query xmlns='urn:xmpp:mam:2'>{last}</query>")
    archived = "".join("".join(e.itertext()) for e in second.seen)
    for text in (f"kept {number} of {who}" for number in (0, 1) for who in (ALICE, CAROL)):
        assert text in archived
