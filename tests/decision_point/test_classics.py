# SPDX-License-Identifier: GPL-3.0-or-later
"""What blocking strangers classically breaks, and must not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from decision_point.client import DOMAIN, FILES, error_of

if TYPE_CHECKING:
    from decision_point.server import Server

SM = "urn:xmpp:sm:3"
PUBSUB = "http://jabber.org/protocol/pubsub"
MOOD = "http://jabber.org/protocol/mood"
NEWS = (
    f"<pubsub xmlns='{PUBSUB}'><publish node='{MOOD}'><item id='{{}}'><mood xmlns='{MOOD}'/></item></publish></pubsub>"
)
SLOT = "<request xmlns='urn:xmpp:http:upload:0' filename='a.txt' size='5' content-type='text/plain'/>"
GONE = "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"


def test_carbons(server: Server) -> None:
    alice, second, bob = server.client("alice"), server.client("alice", resource="two"), server.client("bob")
    second.ask("set", "<enable xmlns='urn:xmpp:carbons:2'/>")
    alice.message(bob.bare, "<body>out</body>")
    alice.settle()
    bob.message(alice.jid, "<body>in</body>")
    for client in (alice, bob, second):
        client.settle()
    carbons = [e for e in second.find("message") if any("carbons" in c.tag for c in e)]
    assert [next(iter(c)).tag.split("}")[1] for c in carbons] == ["sent", "received"]
    assert len(server.events()) == 2


def test_offline_delivery_and_archive(server: Server) -> None:
    alice = server.client("alice")
    alice.message(f"erik@{DOMAIN}", "<body>later</body>", number="off")
    alice.settle()
    assert not alice.find("message", type="error")
    erik = server.client("erik")
    erik.ask("set", "<query xmlns='urn:xmpp:mam:2'/>")
    text = "".join("".join(e.itertext()) for e in erik.seen)
    assert "later" in text
    assert len(server.events(kind="message")) == 1


def test_corrections_receipts_states_markers(server: Server) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    inners = {
        "correction": "<body>fixed</body><replace xmlns='urn:xmpp:message-correct:0' id='a'/>",
        "receipt": "<received xmlns='urn:xmpp:receipts' id='a'/>",
        "chat-state": "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
        "marker": "<displayed xmlns='urn:xmpp:chat-markers:0' id='a'/>",
        "reaction": "<reactions xmlns='urn:xmpp:reactions:0' id='a'/>",
    }
    for name, inner in inners.items():
        alice.message(bob.jid, inner, number=name)
    alice.settle()
    bob.settle()
    assert [e.get("id") for e in bob.find("message")] == list(inners)
    for event in server.events():
        assert event["verdict"] == "allowed"
        assert event["stanza_id"] in event["content"]


def test_stream_management_resumption(server: Server) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    bob.write(f"<enable xmlns='{SM}' resume='true'/>")
    enabled = bob.until(lambda e: e.tag == f"{{{SM}}}enabled")
    bob.close()
    alice.message(bob.jid, "<body>while away</body>")
    alice.settle()
    again = type(bob)(server.address, "bob")
    server.clients.append(again)
    again.authenticate()
    again.complete()
    again.write(f"<resume xmlns='{SM}' previd='{enabled.get('id')}' h='0'/>")
    again.until(lambda e: e.tag == f"{{{SM}}}resumed")
    again.until(lambda e: e.findtext("{jabber:client}body") == "while away")
    again.message(alice.bare, "<body>back</body>")
    again.settle()
    alice.settle()
    assert alice.bodies() == ["back"]
    assert [e["verdict"] for e in server.events(kind="message")] == ["allowed", "allowed"]


def test_own_bookmarks_and_own_server(server: Server) -> None:
    alice = server.client("alice")
    item = (
        f"<pubsub xmlns='{PUBSUB}'><publish node='urn:xmpp:bookmarks:1'><item id='staff@rooms.{DOMAIN}'>"
        "<conference xmlns='urn:xmpp:bookmarks:1' autojoin='true'/></item></publish></pubsub>"
    )
    assert alice.ask("set", item).get("type") == "result"
    assert alice.ask("set", item, alice.bare).get("type") == "result"
    for to, payload in (
        (DOMAIN, "<query xmlns='http://jabber.org/protocol/disco#info'/>"),
        (DOMAIN, "<query xmlns='http://jabber.org/protocol/disco#items'/>"),
        (DOMAIN, "<query xmlns='jabber:iq:version'/>"),
        ("", "<vCard xmlns='vcard-temp'/>"),
        ("", "<prefs xmlns='urn:xmpp:mam:2'/>"),
        ("", "<query xmlns='http://jabber.org/protocol/disco#info'/>"),
        (f"rooms.{DOMAIN}", "<query xmlns='http://jabber.org/protocol/disco#info'/>"),
    ):
        assert alice.ask("get", payload, to).get("type") == "result", payload
    assert not server.events()


def test_avatars_of_contacts(server: Server) -> None:
    alice, bob = server.client("alice"), server.client("bob", available=False)
    bob.write("<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='x' ver='unknown'/></presence>")
    question = bob.until(lambda e: e.get("id") == "disco")
    bob.write(
        f"<iq type='result' id='disco' to='{question.get('from')}'><query xmlns='http://jabber.org/protocol/disco#info'>"
        "<identity category='client' type='pc'/><feature var='urn:xmpp:avatar:metadata+notify'/></query></iq>"
    )
    bob.settle()
    alice.ask(
        "set",
        f"<pubsub xmlns='{PUBSUB}'><publish node='urn:xmpp:avatar:metadata'><item id='a1'>"
        "<metadata xmlns='urn:xmpp:avatar:metadata'/></item></publish></pubsub>",
    )
    bob.settle()
    assert [e for e in bob.find("message", type="headline") if e.get("from") == alice.bare]
    got = bob.ask("get", f"<pubsub xmlns='{PUBSUB}'><items node='urn:xmpp:avatar:metadata'/></pubsub>", alice.bare)
    assert got.get("type") == "result"
    assert not server.events()


def test_a_former_contact_gets_no_notification(server: Server) -> None:
    """A subscription that was made while it was allowed must not outlive the right to it."""
    alice, bob = server.client("alice"), server.client("bob")
    alice.ask("set", NEWS.format(1))
    done = bob.ask("set", f"<pubsub xmlns='{PUBSUB}'><subscribe node='{MOOD}' jid='{bob.bare}'/></pubsub>", alice.bare)
    assert done.get("type") == "result"
    people = {**server.policy["people"], "bob": {**server.policy["people"]["bob"], "groups": ["board"]}}
    server.change(people=people)
    bob.settle()
    bob.seen.clear()
    server.mark()
    alice.ask("set", NEWS.format(2))
    alice.settle()
    bob.settle()
    assert not bob.find("message")
    assert [(e["type"], e["verdict"]) for e in server.events()] == [("headline", "refused")]


def test_blocking_a_contact(server: Server) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    try:
        item = "<item jid='bob@im.test.example'/>"
        assert alice.ask("set", f"<block xmlns='urn:xmpp:blocking'>{item}</block>").get("type") == "result"
        bob.message(alice.bare, "<body>blocked</body>")
        bob.settle()
        assert alice.settle() is not None
        assert alice.bodies() == []
    finally:
        alice.ask("set", "<unblock xmlns='urn:xmpp:blocking'/>")
    bob.message(alice.bare, "<body>open again</body>")
    bob.settle()
    alice.settle()
    assert alice.bodies() == ["open again"]


def test_upload_slot(server: Server) -> None:
    alice = server.client("alice")
    slot = alice.ask("get", SLOT, FILES)
    assert slot.get("type") == "result", error_of(slot)
    assert slot.find(".//{urn:xmpp:http:upload:0}put") is not None


def test_errors_between_contacts_arrive(server: Server) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    alice.message(bob.jid, GONE, "error", "err")
    alice.write(f"<iq type='get' id='v' to='{bob.jid}'><query xmlns='jabber:iq:version'/></iq>")
    alice.settle()
    bob.until(lambda e: e.get("id") == "v")
    assert bob.find("message", id="err", type="error")
    bob.write(f"<iq type='error' id='v' to='{alice.jid}'>{GONE}</iq>")
    alice.until(lambda e: e.get("id") == "v" and e.get("type") == "error")


def test_messages_to_oneself(server: Server) -> None:
    alice, second = server.client("alice"), server.client("alice", resource="two")
    for to in ("", alice.bare, second.jid):
        alice.message(to, "<body>note</body>")
    alice.settle()
    second.settle()
    assert len(second.bodies()) >= 2
    assert not alice.find("message", type="error")
    assert {(e["verdict"], e["rule"]) for e in server.events()} == {("allowed", "self")}
    assert len(server.events()) == 3
    assert alice.ask("get", "<query xmlns='jabber:iq:last'/>", alice.bare).get("type") == "result"


def test_settings_of_the_site_stay(server: Server) -> None:
    alice = server.client("alice")
    prefs = alice.ask("set", "<prefs xmlns='urn:xmpp:mam:2' default='never'/>")
    assert error_of(prefs)[:2] == ("cancel", "not-allowed")
    for to in ("", DOMAIN):
        gone = alice.ask("set", "<query xmlns='jabber:iq:register'><remove/></query>", to)
        assert error_of(gone)[:2] == ("cancel", "not-allowed")
    assert [e["rule"] for e in server.events()] == ["archive-locked", "account-locked", "account-locked"]
    change = "<query xmlns='jabber:iq:register'><username>alice</username><password>{}</password></query>"
    try:
        assert alice.ask("set", change.format("a-new-password")).get("type") == "result"
        assert server.client("alice", password="a-new-password", resource="new").settle() is not None
        # the rule for passwords holds here too
        assert error_of(alice.ask("set", change.format("short")))[0] in {"modify", "cancel"}
    finally:
        server.accounts({"alice": "pw-alice"})


def test_the_log_of_the_server_holds_no_traceback(server: Server) -> None:
    log = server.sh("cat /var/log/prosody/prosody.log")
    assert not re.findall(r"^.*(?:Traceback|attempt to |stack traceback).*$", log, re.MULTILINE)[:3]
