# SPDX-License-Identifier: GPL-3.0-or-later
"""Who reaches whom: contacts do, strangers do not, and a stranger cannot be told from nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from decision_point.client import DOMAIN, FOREIGN, ROOMS, Component, error_of

if TYPE_CHECKING:
    from decision_point.server import Server

REFUSED = ("cancel", "not-allowed", "This address is not in your contact list.")
PAYLOADS = {
    "disco": ("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>"),
    "vcard": ("get", "<vCard xmlns='vcard-temp'/>"),
    "pep": ("get", "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:avatar:data'/></pubsub>"),
    "pep-subscribe": (
        "set",
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'><subscribe node='x' jid='alice@im.test.example'/></pubsub>",
    ),
    "last": ("get", "<query xmlns='jabber:iq:last'/>"),
    "ping": ("get", "<ping xmlns='urn:xmpp:ping'/>"),
    "jingle": ("set", "<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s'/>"),
    "ibb": ("set", "<open xmlns='http://jabber.org/protocol/ibb' block-size='4096' sid='s'/>"),
    "socks5": ("set", "<query xmlns='http://jabber.org/protocol/bytestreams' sid='s'/>"),
    "roster": ("set", "<query xmlns='jabber:iq:roster'/>"),
    "unknown": ("get", "<anything xmlns='urn:example:new'/>"),
}
# A member of another group, an expired one, one who has not started, a hand-made account, nobody at all.
STRANGERS = ("carl", "dora", "fred", "ghost", "nobody")


def test_contacts_write_to_each_other_and_each_message_is_one_event(server: Server) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    alice.message(bob.jid, "<body>full</body>")
    alice.message(bob.bare, "<body>bare</body>", number="here")
    alice.settle()
    bob.settle()
    assert bob.bodies() == ["full", "bare"]
    assert len(server.events(kind="message")) == 2
    event = server.events(stanza_id="here")[0]
    assert (event["verdict"], event["rule"], event["from"], event["to"]) == ("allowed", "contact", alice.jid, bob.bare)
    assert event["content"] == ["body"]
    assert event["body"] == "bare"


def test_ids_in_the_archive_are_the_archive_s(server: Server) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    hall = f"hall@{ROOMS}"
    for client in (alice, bob):
        client.join("hall")
        client.settle()
    forged = "".join(
        f"<stanza-id xmlns='urn:xmpp:sid:0' id='forged' by='{by}'/>" for by in (alice.bare, bob.bare, hall, DOMAIN)
    )
    for to, kind, archive in ((bob.bare, "chat", bob.bare), (bob.jid, "normal", bob.bare), (hall, "groupchat", hall)):
        alice.message(to, f"<body>archived once, {kind}</body>{forged}", kind)
        got = bob.heard(f"archived once, {kind}")
        ids = [(e.get("by"), e.get("id") == "forged") for e in got.findall("{urn:xmpp:sid:0}stanza-id")]
        assert ids == [(archive, False)], to


@pytest.mark.parametrize("resource", ["", "/one"])
@pytest.mark.parametrize("stranger", STRANGERS)
def test_message_to_a_stranger(server: Server, stranger: str, resource: str) -> None:
    alice = server.client("alice")
    carl = server.client("carl")
    number = alice.message(f"{stranger}@{DOMAIN}{resource}")
    alice.settle()
    carl.settle()
    (answer,) = alice.find("message", id=number)
    assert error_of(answer) == REFUSED
    assert not carl.find("message")
    (event,) = server.events(kind="message")
    assert (event["verdict"], event["rule"]) == ("refused", "stranger")


def test_refused_message_is_nowhere_kept(server: Server) -> None:
    alice = server.client("alice")
    other = server.client("alice", resource="two")
    other.ask("set", "<enable xmlns='urn:xmpp:carbons:2'/>")
    alice.message(f"carl@{DOMAIN}", "<body>never kept</body>")
    alice.settle()
    assert not [e for e in other.settle() if e.tag.endswith("}message")]  # no carbon
    alice.ask("set", "<query xmlns='urn:xmpp:mam:2'/>")
    assert "never kept" not in "".join("".join(e.itertext()) for e in alice.seen)  # not in the sender's archive
    carl = server.client("carl")
    carl.settle()
    assert not carl.find("message")  # not stored offline
    carl.ask("set", "<query xmlns='urn:xmpp:mam:2'/>")
    assert "never kept" not in "".join("".join(e.itertext()) for e in carl.seen)


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize("name", list(PAYLOADS))
def test_iq_to_a_stranger(server: Server, name: str, stranger: str) -> None:
    alice = server.client("alice")
    kind, payload = PAYLOADS[name]
    for resource in ("", "/one"):
        server.mark()
        assert error_of(alice.ask(kind, payload, f"{stranger}@{DOMAIN}{resource}")) == REFUSED
        (event,) = server.events()
        assert (event["kind"], event["verdict"], event["rule"], event["type"]) == ("iq", "refused", "stranger", kind)


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize("kind", ["", "unavailable", "probe", "subscribe", "subscribed", "unsubscribe", "unsubscribed"])
def test_presence_to_a_stranger(server: Server, kind: str, stranger: str) -> None:
    alice, carl = server.client("alice"), server.client("carl")
    carl.settle()
    carl.seen.clear()
    attribute = f" type='{kind}'" if kind else ""
    alice.write(f"<presence to='{stranger}@{DOMAIN}' id='p'{attribute}/>")
    alice.settle()
    carl.settle()
    (answer,) = alice.find("presence", id="p")
    assert answer.get("type") == "error"
    assert error_of(answer) == REFUSED
    assert not carl.seen
    (event,) = server.events()
    assert event["kind"] == ("subscription" if "subscribe" in kind else "presence")
    assert (event["verdict"], event["rule"]) == ("refused", "stranger")
    assert set(alice.roster()) == {f"bob@{DOMAIN}", f"erik@{DOMAIN}"}


def test_errors_and_results_get_no_answer(server: Server) -> None:
    alice, carl = server.client("alice"), server.client("carl")
    for stanza in ("message", "presence", "iq"):
        alice.write(
            f"<{stanza} type='error' id='e' to='{carl.jid}'><error type='cancel'>"
            "<gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></" + stanza + ">"
        )
    alice.write(f"<iq type='result' id='r' to='{carl.jid}'/>")
    alice.seen.clear()
    alice.settle()
    carl.settle()
    assert not [e for e in alice.seen if e.get("id") in {"e", "r"}]
    assert not [e for e in carl.seen if e.get("id") in {"e", "r"}]
    assert [e["verdict"] for e in server.events()] == ["refused"] * 4


def test_foreign_domain_both_ways(server: Server) -> None:
    alice = server.client("alice")
    foreign = Component(server.address)
    number = alice.message(f"x@{FOREIGN}")
    assert error_of(alice.ask("get", "<ping xmlns='urn:xmpp:ping'/>", FOREIGN))[1] == "not-allowed"
    alice.write(f"<presence to='x@{FOREIGN}' type='subscribe' id='s'/>")
    alice.settle()
    assert error_of(alice.find("message", id=number)[0])[:2] == ("cancel", "not-allowed")
    assert error_of(alice.find("presence", id="s")[0])[:2] == ("cancel", "not-allowed")
    assert {e["rule"] for e in server.events()} == {"foreign-domain"}

    server.mark()
    alice.seen.clear()
    targets = [
        alice.bare,
        alice.jid,
        f"nobody@{DOMAIN}",
        DOMAIN,
        f"staff@rooms.{DOMAIN}",
        f"rooms.{DOMAIN}",
        f"files.{DOMAIN}",
    ]
    for place, target in enumerate(targets):
        for stanza, inner in (("message", "<body>x</body>"), ("presence", ""), ("iq", "<ping xmlns='urn:xmpp:ping'/>")):
            kind = " type='get'" if stanza == "iq" else ""
            foreign.write(f"<{stanza} from='x@{FOREIGN}' to='{target}' id='{stanza}{place}'{kind}>{inner}</{stanza}>")
    for _ in range(2 * len(targets) + 3):  # on the people's own domain presence gets no answer
        answer = foreign.until(lambda e: e.get("type") == "error")
        assert error_of(answer)[:2] == ("cancel", "not-allowed")
    alice.settle()
    assert not [e for e in alice.seen if FOREIGN in (e.get("from") or "")]
    assert len(server.events(verdict="refused", rule="foreign-domain")) == 3 * len(targets)
    foreign.close()


def test_somebody_removed_while_signed_in_reaches_nobody(server: Server) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    people = {k: v for k, v in server.policy["people"].items() if k != "bob"}
    server.change(people=people)
    with pytest.raises(ConnectionError):  # his sessions are ended
        bob.until(lambda _: False)
    alice.settle()
    assert alice.find("presence", type="unavailable", from_=bob.jid)
    number = alice.message(bob.bare)
    alice.settle()
    assert error_of(alice.find("message", id=number)[0]) == REFUSED


@pytest.mark.parametrize(
    "stanza",
    [
        "<message type='chat' id='c' to='{to}'><propose xmlns='urn:xmpp:jingle-message:0' id='x'/></message>",
        "<message type='chat' id='c' to='{to}'><body>x</body><invite xmlns='urn:xmpp:call-invites:0'/></message>",
        "<iq type='set' id='c' to='{to}'><jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s'/></iq>",
    ],
)
def test_calls_follow_the_policy(server: Server, stanza: str) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    alice.write(stanza.format(to=bob.jid))
    alice.settle()
    bob.settle()
    (answer,) = [e for e in alice.seen if e.get("id") == "c"]
    assert error_of(answer) == (
        "cancel",
        "service-unavailable",
        "Calls are switched off on this server.",
    )
    assert not [e for e in bob.seen if e.get("id") == "c"]
    assert [e["rule"] for e in server.events()] == ["calls"]

    server.change(calls="permit")
    alice.write(stanza.format(to=bob.jid))
    alice.settle()
    bob.settle()
    assert [e for e in bob.seen if e.get("id") == "c"]
