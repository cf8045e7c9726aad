# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways round the policy that a penetration tester tries: each fails, and leaves exactly one event."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from decision_point.client import DOMAIN, FILES, ROOMS, STREAM, Client, SignInError, Stream, error_of
from decision_point.server import person

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from decision_point.server import Server

PUBSUB = "http://jabber.org/protocol/pubsub"
NODE = "http://jabber.org/protocol/tune"
SM = "urn:xmpp:sm:3"
MUC_USER = "http://jabber.org/protocol/muc#user"
COPY = (
    "<{name} xmlns='{xmlns}'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' "
    "from='carl@im.test.example/one' to='bob@im.test.example/one' type='chat'>"
    "<body>I am carl</body></message></forwarded></{name}>"
)
FORGERIES = {
    "carbon-received": COPY.format(name="received", xmlns="urn:xmpp:carbons:2"),
    "carbon-sent": COPY.format(name="sent", xmlns="urn:xmpp:carbons:2"),
    "archive": COPY.format(name="result", xmlns="urn:xmpp:mam:2"),
    "archive-end": "<fin xmlns='urn:xmpp:mam:2' complete='true'/>",
}


def ids(client: Client, number: str) -> list[Element]:
    """Returns the seen stanzas with this id."""
    return [e for e in client.seen if e.get("id") == number]


@pytest.mark.parametrize("kind", ["chat", "normal", "headline", "error"])
@pytest.mark.parametrize("name", list(FORGERIES))
def test_copies_and_archive_answers_are_the_servers_only(server: Server, name: str, kind: str) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    for to in (bob.jid, bob.bare):
        server.mark()
        alice.message(to, FORGERIES[name], kind, "forged")
        alice.settle()
        bob.settle()
        assert not ids(bob, "forged")
        assert [(e["verdict"], e["rule"]) for e in server.events()] == [("refused", "forged")]
    assert len(ids(alice, "forged")) == (0 if kind == "error" else 2)


def test_a_roster_push_does_not_come_from_a_colleague(server: Server) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    other = server.client("alice", resource="two")
    push = "<query xmlns='jabber:iq:roster'><item jid='evil@foreign.example' subscription='both'/></query>"
    for to, receiver in ((bob.jid, bob), (bob.bare, bob), (other.jid, other)):
        receiver.seen.clear()
        server.mark()
        answer = alice.ask("set", push, to)
        assert error_of(answer)[:2] == ("cancel", "not-allowed")
        receiver.settle()
        assert not receiver.find("iq", type="set")
        assert [e["rule"] for e in server.events()] == ["roster-locked"]


@pytest.mark.parametrize("place", ["person", "occupant", "self"])
@pytest.mark.parametrize(
    "payload",
    [
        "<si xmlns='http://jabber.org/protocol/si' id='a' profile='http://jabber.org/protocol/si/profile/file-transfer'/>",
        "<open xmlns='http://jabber.org/protocol/ibb' block-size='4096' sid='s'/>",
        "<data xmlns='http://jabber.org/protocol/ibb' seq='0' sid='s'>AAAA</data>",
        "<query xmlns='http://jabber.org/protocol/bytestreams' sid='s'/>",
        "<query xmlns='jabber:iq:oob'><url>http://10.0.0.1/x</url></query>",
        "<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s'/>",
    ],
)
def test_files_do_not_go_from_device_to_device(server: Server, payload: str, place: str) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    to = {"person": bob.jid, "occupant": f"staff@{ROOMS}/bob", "self": f"{alice.bare}/two"}[place]
    if place == "occupant":
        for client in (alice, bob):
            client.join("staff")
            client.settle()
    server.mark()
    assert error_of(alice.ask("set", payload, to))[:2] == ("cancel", "service-unavailable")
    alice.message(to, payload, number="in-message")
    alice.settle()
    bob.settle()
    assert not [e for e in bob.seen if e.tag.endswith("}iq") and e.get("type") == "set" and "roster" not in e[0].tag]
    rules = [e["rule"] for e in server.events()]
    assert rules == ["calls" if "jingle" in payload else "transfer"] * 2


@pytest.mark.parametrize(
    "inner", ["<remove/>", "<remove xmlns='urn:x'/>", "<remove xmlns='urn:x'/><username>a</username>"]
)
def test_an_account_is_not_removed_by_its_owner(server: Server, inner: str) -> None:
    alice = server.client("alice")
    for to in ("", alice.bare, DOMAIN):
        answer = alice.ask("set", f"<query xmlns='jabber:iq:register'>{inner}</query>", to)
        assert error_of(answer)[:2] == ("cancel", "not-allowed")
    assert [e["rule"] for e in server.events()] == ["account-locked"] * 3
    assert server.client("alice", resource="again").roster()


STRANGER_IQ = {
    "items": ("get", f"<pubsub xmlns='{PUBSUB}'><items node='urn:xmpp:bookmarks:1'/></pubsub>"),
    "devices": ("get", f"<pubsub xmlns='{PUBSUB}'><items node='eu.siacs.conversations.axolotl.devicelist'/></pubsub>"),
    "subscribe": ("set", f"<pubsub xmlns='{PUBSUB}'><subscribe node='{NODE}' jid='alice@{DOMAIN}'/></pubsub>"),
    "publish": (
        "set",
        f"<pubsub xmlns='{PUBSUB}'><publish node='{NODE}'><item><tune xmlns='{NODE}'/></item></publish></pubsub>",
    ),
    "owner": ("get", f"<pubsub xmlns='{PUBSUB}#owner'><configure node='{NODE}'/></pubsub>"),
    "nodes": ("get", "<query xmlns='http://jabber.org/protocol/disco#items'/>"),
    "archive": ("set", "<query xmlns='urn:xmpp:mam:2'/>"),
    "vcard4": ("get", "<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'/>"),
    "time": ("get", "<time xmlns='urn:xmpp:time'/>"),
    "commands": ("set", "<command xmlns='http://jabber.org/protocol/commands' node='x' action='execute'/>"),
}


@pytest.mark.parametrize("name", list(STRANGER_IQ))
def test_nothing_that_a_stranger_published_can_be_read(server: Server, name: str) -> None:
    """An open access model of the owner's own making changes nothing."""
    alice, carl = server.client("alice"), server.client("carl")
    config = (
        "<publish-options><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>"
        f"{PUBSUB}#publish-options</value></field><field var='pubsub#access_model'><value>open</value></field></x>"
        "</publish-options>"
    )
    made = carl.ask(
        "set",
        f"<pubsub xmlns='{PUBSUB}'><publish node='{NODE}'><item id='1'><tune xmlns='{NODE}'/></item>"
        f"</publish>{config}</pubsub>",
    )
    assert made.get("type") == "result"
    server.mark()
    kind, payload = STRANGER_IQ[name]
    asked = error_of(alice.ask(kind, payload, f"carl@{DOMAIN}"))
    assert asked == error_of(alice.ask(kind, payload, f"nobody@{DOMAIN}"))
    assert asked[:2] == ("cancel", "not-allowed")
    assert [e["rule"] for e in server.events()] == ["stranger", "stranger"]


def test_a_stranger_is_not_notified_through_capabilities_or_the_nodes_owner(server: Server) -> None:
    alice, carl = server.client("alice"), server.client("carl")
    caps = "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='x' ver='v'/>"
    carl.write(f"<presence to='{alice.bare}'>{caps}</presence><presence to='{alice.jid}'>{caps}</presence>")
    carl.settle()
    alice.ask(
        "set",
        f"<pubsub xmlns='{PUBSUB}'><publish node='{NODE}'><item id='1'><tune xmlns='{NODE}'/></item></publish>"
        f"</pubsub>",
    )
    # the owner subscribes the stranger herself
    alice.ask(
        "set",
        f"<pubsub xmlns='{PUBSUB}#owner'><subscriptions node='{NODE}'><subscription jid='{carl.bare}' "
        "subscription='subscribed'/></subscriptions></pubsub>",
    )
    alice.ask("set", f"<pubsub xmlns='{PUBSUB}'><subscribe node='{NODE}' jid='{carl.bare}'/></pubsub>")
    alice.ask(
        "set",
        f"<pubsub xmlns='{PUBSUB}'><publish node='{NODE}'><item id='2'><tune xmlns='{NODE}'/></item></publish>"
        f"</pubsub>",
    )
    alice.settle()
    carl.settle()
    assert not [e for e in carl.seen if (e.get("from") or "").startswith("alice") and e.get("type") != "error"]
    assert not [e for e in alice.seen if (e.get("from") or "").startswith("carl") and e.get("type") != "error"]


@pytest.mark.parametrize(
    "to", [DOMAIN, f"{DOMAIN}/x", f"{DOMAIN}/announce/online", f"{ROOMS}/x", FILES, f"x@{FILES}/y"]
)
def test_words_to_services_reach_nobody(server: Server, to: str) -> None:
    alice, carl, bob = (server.client(n) for n in ("alice", "carl", "bob"))
    for kind in ("chat", "normal", "headline", "groupchat", "error"):
        alice.message(to, kind=kind)
    alice.settle()
    for other in (carl, bob):
        other.settle()
        assert not other.find("message")
    assert len(server.events(kind="message")) == 5


def test_many_invitations_in_one_message(server: Server) -> None:
    alice, bob, carl = (server.client(n) for n in ("alice", "bob", "carl"))
    hall = f"hall@{ROOMS}"
    for inner in (
        f"<x xmlns='{MUC_USER}'><invite to='{bob.bare}'/><invite to='{carl.bare}'/></x>",
        f"<x xmlns='{MUC_USER}'><invite to='{bob.bare}'/></x><x xmlns='{MUC_USER}'><invite to='{carl.bare}'/></x>",
        f"<x xmlns='{MUC_USER}'><status code='1'/><invite to='{carl.bare}'/></x>",
        f"<x xmlns='{MUC_USER}'><decline to='{carl.bare}'/></x>",
        f"<x xmlns='{MUC_USER}'><decline to='{hall}/carl'/></x>",
        f"<x xmlns='{MUC_USER}'><decline to='{hall}/nobody'/></x>",
        f"<x xmlns='{MUC_USER}'><invite to='CARL@{DOMAIN}'/></x>",
        f"<x xmlns='{MUC_USER}'><invite/></x>",
        f"<x xmlns='{MUC_USER}'><invite to='{carl.jid}'/></x>",
    ):
        for client in (bob, carl):
            client.join("hall")
            client.settle()
            client.seen.clear()
        server.mark()
        alice.message(hall, inner, "normal")
        alice.settle()
        for client in (bob, carl):
            client.settle()
            assert not client.find("message"), inner
        assert [(e["verdict"], e["rule"]) for e in server.events()] == [("refused", "invitation")], inner


def test_private_words_to_a_stranger_in_a_shared_room(server: Server) -> None:
    alice, carl = server.client("alice"), server.client("carl")
    for client in (alice, carl):
        client.join("hall")
        client.settle()
        client.seen.clear()
    there = f"hall@{ROOMS}/carl"
    for kind in ("chat", "normal", "headline", "error"):
        alice.message(there, kind=kind, number=f"pm-{kind}")
    for payload in ("<vCard xmlns='vcard-temp'/>", "<ping xmlns='urn:xmpp:ping'/>"):
        assert error_of(alice.ask("get", payload, there))[:2] == ("cancel", "not-allowed")
    alice.write(f"<iq type='result' id='r' to='{there}'/>")
    alice.settle()
    # carl takes another nickname: the old one is nobody, the new one is still a stranger
    carl.join("hall", "other")
    carl.settle()
    alice.message(f"hall@{ROOMS}/other", number="hop")
    alice.settle()
    carl.settle()
    assert not carl.find("message", type="chat")
    assert not [e for e in carl.seen if (e.get("id") or "").startswith(("pm-", "hop")) or e.get("id") == "r"]
    assert [e["rule"] for e in server.events()] == ["room-private"] * 8


def test_a_subject_or_voice_or_nickname_by_somebody_outside(server: Server) -> None:
    alice, carl = server.client("alice"), server.client("carl")
    alice.join("staff")
    alice.settle()
    alice.seen.clear()
    staff = f"staff@{ROOMS}"
    voice = (
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#request</value>"
        "</field><field var='muc#role'><value>participant</value></field></x>"
    )
    carl.message(staff, "<subject>mine</subject>", "groupchat")
    carl.message(staff, voice, "normal")
    for kind, payload in (
        ("get", "<query xmlns='jabber:iq:register'/>"),
        ("set", "<query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'/></query>"),
        ("get", "<query xmlns='http://jabber.org/protocol/disco#info' node='x-roomuser-item'/>"),
        ("get", "<unique xmlns='http://jabber.org/protocol/muc#unique'/>"),
    ):
        assert error_of(carl.ask(kind, payload, staff))[1] == "item-not-found"
    for kind in ("", "unavailable", "probe", "subscribe", "error", "weird"):
        attribute = f" type='{kind}'" if kind else ""
        carl.write(f"<presence to='{staff}/carl' id='w'{attribute}><status>x</status></presence>")
    carl.settle()
    alice.settle()
    assert not [e for e in alice.seen if not e.tag.endswith("}iq")]
    assert {(e["verdict"], e["rule"]) for e in server.events()} == {("refused", "room-closed")}
    assert len(server.events()) == 12


@pytest.mark.parametrize("kind", ["chat", "normal", "headline", "groupchat", "error", "weird"])
def test_no_type_of_message_passes_to_a_stranger(server: Server, kind: str) -> None:
    alice, carl = server.client("alice"), server.client("carl")
    for to in (carl.bare, carl.jid, f"CARL@{DOMAIN.upper()}/one", f"carl@{DOMAIN}."):
        alice.message(to, "<body>x</body><no-copy xmlns='urn:xmpp:hints'/><private xmlns='urn:xmpp:carbons:2'/>", kind)
    alice.settle()
    carl.settle()
    assert not carl.find("message")
    assert [e["verdict"] for e in server.events()] == ["refused"] * 4


def test_sessions_of_one_account_are_bounded(server: Server) -> None:
    server.client("alice", resource="sleeps").write(f"<enable xmlns='{SM}' resume='true'/>")
    sleeper = server.clients[-1]
    sleeper.until(lambda e: e.tag == f"{{{SM}}}enabled")
    sleeper.close()
    asleep = f">return prosody.full_sessions['alice@{DOMAIN}/sleeps'].hibernating and 'asleep' or 'awake'"
    while "awake" in server.shell(asleep):
        time.sleep(0.1)
    for number in range(8):  # sallyport_sessions, prosody.cfg.lua
        server.client("alice", resource=f"r{number}")
    assert "gone" in server.shell(f">return prosody.full_sessions['alice@{DOMAIN}/sleeps'] and 'there' or 'gone'")
    one_more = Client(server.address, "alice", resource="more")
    server.clients.append(one_more)
    one_more.authenticate()
    one_more.complete()
    bound = one_more.ask("set", "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>more</resource></bind>")
    assert error_of(bound)[:2] == ("wait", "resource-constraint")
    assert server.client("bob").roster()


@pytest.mark.parametrize("how", ["removed", "moved"])
def test_resuming_after_the_right_has_gone(server: Server, how: str) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    bob.write(f"<enable xmlns='{SM}' resume='true'/>")
    enabled = bob.until(lambda e: e.tag == f"{{{SM}}}enabled")
    bob.close()
    people = {k: v for k, v in server.policy["people"].items() if k != "bob" or how == "moved"}
    if how == "moved":
        people["bob"] = person("Bob Lind", "board")
    server.change(people=people)
    server.mark()
    number = alice.message(f"bob@{DOMAIN}", "<body>too late</body>")
    alice.settle()
    assert error_of(ids(alice, number)[0])[:2] == ("cancel", "not-allowed")
    again = Client(server.address, "bob")
    server.clients.append(again)
    if how == "removed":
        with pytest.raises(SignInError):
            again.sign_in()
        return
    again.authenticate()
    again.complete()
    again.write(f"<resume xmlns='{SM}' previd='{enabled.get('id')}' h='0'/>")
    again.until(lambda e: e.tag == f"{{{SM}}}resumed")
    again.settle()
    assert set(again.roster()) == {f"carl@{DOMAIN}"}
    assert "too late" not in again.bodies()


def test_directed_presence_ends_with_the_right(server: Server) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    alice.write(f"<presence to='{bob.bare}'/>")
    alice.join("hall")
    alice.settle()
    server.change(people={**server.policy["people"], "bob": person("Bob Lind", "board")})
    bob.settle()
    bob.seen.clear()
    alice.write("<presence><status>secret</status></presence><presence type='unavailable'/>")
    alice.ask("get", "<query xmlns='jabber:iq:roster'/>")
    bob.settle()
    assert not [e for e in bob.seen if (e.get("from") or "").startswith("alice")]


HOSTILE = {
    "entities": "<!DOCTYPE x [<!ENTITY a 'aaaa'>]><message to='bob@im.test.example'><body>&a;</body></message>",
    "comment": "<message to='bob@im.test.example'><!-- x --><body>x</body></message>",
    "instruction": "<?php x ?>",
    "unbound-prefix": "<message to='bob@im.test.example'><x:body>x</x:body></message>",
    "utf-8": "<message to='bob@im.test.example'><body>\udcff\udcfe</body></message>",
    "too-large": "<message to='bob@im.test.example'><body>" + "x" * 600_000 + "</body></message>",
    "foreign-stanza": "<message xmlns='jabber:server' to='bob@im.test.example'><body>x</body></message>",
    "unknown-element": "<anything xmlns='urn:x'/>",
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_hostile_xml_ends_the_stream_and_nothing_else(server: Server, name: str) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    with contextlib.suppress(ConnectionError):  # the stream may end before all of it was written
        alice.socket.sendall(HOSTILE[name].encode("utf-8", "surrogateescape"))
    with pytest.raises((ConnectionError, SyntaxError)):
        alice.until(lambda _: False, 5)
    assert bob.settle() is not None
    assert not bob.find("message")
    assert not server.events(verdict="allowed")


def test_deep_nesting_is_delivered_or_refused_and_nothing_breaks(server: Server) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    for depth in (100, 5_000, 30_000):
        try:
            alice.write(f"<message to='carl@{DOMAIN}' type='chat'>" + "<a>" * depth + "</a>" * depth + "</message>")
            alice.write(f"<message to='{bob.bare}' type='chat'>" + "<a>" * depth + "</a>" * depth + "</message>")
            alice.settle()
        except (ConnectionError, OSError):
            alice = server.client("alice", resource="anew")
    assert server.client("erik").settle() is not None
    assert not [e for e in server.events(verdict="allowed") if e["to"] and e["to"].startswith("carl")]


@pytest.mark.parametrize("to", [ROOMS, FILES, "im.other.example", ""])
def test_nobody_signs_in_at_another_host(server: Server, to: str) -> None:
    stream = Stream(server.address, 5222, f"xmlns='jabber:client' to='{to}'")
    stream.open()
    stream.write(
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>biwsbj1hbGljZSxyPWFiYw==</auth>"
    )
    for _ in range(4):
        element = stream.read(5)
        if element is None:
            break
        assert "challenge" not in element.tag
        assert "success" not in element.tag
        if element.tag != f"{STREAM}features":
            break
    stream.close()


def test_events_have_a_bound(server: Server) -> None:
    alice = server.client("alice")
    long = "ü" * 1750  # a longer tag would wait in the XML parser for more (expat's reparse deferral)
    alice.write(f"<message to='carl@{DOMAIN}' id='{long}' type='x'><body>x</body></message>")
    name = "ü" * 128  # the longest that a namespace may have (test_swelling.py)
    alice.ask("get", f"<query xmlns='{name}'/>", f"carl@{DOMAIN}")
    message, question = server.events()
    assert (message["stanza_id"], question["content"]) == ("ü" * 1535 + "…", [name])
