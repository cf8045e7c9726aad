# SPDX-License-Identifier: GPL-3.0-or-later
"""The rooms of the policy: they exist, are closed to others, and cannot be changed by anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from decision_point.client import DOMAIN, ROOMS, Client, error_of
from decision_point.server import person

if TYPE_CHECKING:
    from decision_point.server import Server

MUC_USER = "http://jabber.org/protocol/muc#user"
NOT_A_MEMBER = "You are not a member of a room of this name."
STAFF = f"staff@{ROOMS}"
ROOM = f"prosody.hosts['{ROOMS}'].modules.muc.get_room_from_jid('{STAFF}')"  # in the server's own words
CARL_IN_STAFF = f">return 'is ' .. tostring({ROOM}:get_affiliation('carl@{DOMAIN}'))"


def enter(client: Client, room: str, nick: str = "") -> None:
    """Joins a room and waits until inside."""
    client.join(room, nick)
    me = f"{room}@{ROOMS}/{nick or client.name}"
    client.until(lambda e: e.get("from") == me and e.find(f".//{{{MUC_USER}}}status[@code='110']") is not None)
    client.until(lambda e: e.find("{jabber:client}subject") is not None)


def room_list(client: Client) -> set[str]:
    """Returns the rooms that the service shows to a client."""
    answer = client.ask("get", "<query xmlns='http://jabber.org/protocol/disco#items'/>", ROOMS)
    return {item.get("jid", "") for item in answer[0]}


def test_rooms_exist_with_their_titles_and_only_for_members(server: Server) -> None:
    alice, carl = server.client("alice"), server.client("carl")
    assert room_list(alice) == {STAFF, f"hall@{ROOMS}"}
    assert room_list(carl) == {f"board@{ROOMS}", f"hall@{ROOMS}"}
    info = alice.ask("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", STAFF)
    identity = info.find(".//{http://jabber.org/protocol/disco#info}identity")
    assert identity is not None
    assert identity.get("name") == "Staff"
    features = {f.get("var") for f in info.iter("{http://jabber.org/protocol/disco#info}feature")}
    assert {"muc_membersonly", "muc_persistent", "muc_hidden", "muc_nonanonymous", "urn:xmpp:mam:2"} <= features


def test_a_room_message_reaches_the_members_and_is_one_event(server: Server) -> None:
    alice, bob, erik = (server.client(n) for n in ("alice", "bob", "erik"))
    for client in (alice, bob, erik):
        enter(client, "staff")
    server.mark()
    alice.message(STAFF, "<body>to all</body>", "groupchat")
    for client in (alice, bob, erik):
        client.settle()
        assert client.bodies() == ["to all"]
    late = server.client("bob", resource="late")
    late.join("staff", "bob")
    late.until(lambda e: e.findtext("{jabber:client}body") == "to all")  # history
    late.ask("set", "<query xmlns='urn:xmpp:mam:2'/>", STAFF)  # and the archive
    assert "to all" in "".join("".join(e.itertext()) for e in late.find("message", from_=STAFF))
    (event,) = server.events()
    assert (event["kind"], event["type"], event["room"], event["rule"]) == ("message", "groupchat", STAFF, "room")


@pytest.mark.parametrize("room", ["staff", "nowhere"])
def test_a_closed_room_looks_like_none(server: Server, room: str) -> None:
    carl = server.client("carl")
    carl.join(room)
    carl.settle()
    (answer,) = carl.find("presence", from_=f"{room}@{ROOMS}/carl")
    assert error_of(answer) == ("auth", "registration-required", NOT_A_MEMBER)
    number = carl.message(f"{room}@{ROOMS}", kind="groupchat")
    private = carl.message(f"{room}@{ROOMS}/alice")
    for payload in ("<query xmlns='http://jabber.org/protocol/disco#info'/>", "<ping xmlns='urn:xmpp:ping'/>"):
        assert error_of(carl.ask("get", payload, f"{room}@{ROOMS}")) == ("cancel", "item-not-found", NOT_A_MEMBER)
    assert error_of(carl.ask("set", "<query xmlns='urn:xmpp:mam:2'/>", f"{room}@{ROOMS}"))[1] == "item-not-found"
    for wanted in (number, private):
        assert error_of(carl.find("message", id=wanted)[0]) == ("cancel", "item-not-found", NOT_A_MEMBER)
    assert {e["rule"] for e in server.events()} == {"room-closed"}


def test_nobody_makes_or_changes_a_room(server: Server) -> None:
    alice = server.client("alice")
    enter(alice, "staff")
    for address in (f"mine@{ROOMS}/alice", f"{ROOMS}/alice", ROOMS):
        alice.write(f"<presence to='{address}' id='j'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
        alice.settle()
        assert error_of(alice.find("presence", id="j")[-1])[1] == "registration-required"
    owner, admin = "http://jabber.org/protocol/muc#owner", "http://jabber.org/protocol/muc#admin"
    for kind, payload in (
        ("get", f"<query xmlns='{owner}'/>"),
        ("set", f"<query xmlns='{owner}'><x xmlns='jabber:x:data' type='submit'/></query>"),
        ("set", f"<query xmlns='{owner}'><destroy/></query>"),
        ("set", f"<query xmlns='{admin}'><item affiliation='member' jid='carl@{DOMAIN}'/></query>"),
        ("set", f"<query xmlns='{admin}'><item affiliation='outcast' jid='bob@{DOMAIN}'/></query>"),
        ("set", f"<query xmlns='{admin}'><item role='none' nick='alice'/></query>"),
        ("set", "<query xmlns='jabber:iq:register'><remove/></query>"),
        ("set", "<vCard xmlns='vcard-temp'/>"),
    ):
        server.mark()
        assert error_of(alice.ask(kind, payload, STAFF))[:2] == ("auth", "forbidden"), payload
        (event,) = server.events()
        assert (event["kind"], event["rule"]) == ("iq", "room-locked")
    assert room_list(alice) == {STAFF, f"hall@{ROOMS}"}


def test_members_ping_ask_and_set_the_subject(server: Server) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    enter(alice, "staff")
    enter(bob, "staff")
    assert alice.ask("get", "<ping xmlns='urn:xmpp:ping'/>", f"{STAFF}/alice").get("type") == "result"  # XEP-0410
    alice.message(STAFF, "<subject>lunch</subject>", "groupchat")
    alice.settle()
    bob.settle()
    assert bob.find("message", type="groupchat")[-1].findtext("{jabber:client}subject") == "lunch"
    question = "<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='member'/></query>"
    members = alice.ask("get", question, STAFF)
    assert {i.get("jid") for i in members[0]} == {f"{n}@{DOMAIN}" for n in ("alice", "bob", "erik")}
    for rank in ("owner", "admin"):
        count = f">local n = 0; for _ in {ROOM}:each_affiliation('{rank}') do n = n + 1 end return 'count ' .. n"
        assert "count 0" in server.shell(count)


def test_leaving_the_group_is_leaving_the_room(server: Server) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    enter(alice, "staff")
    enter(bob, "staff")
    server.change(people={**server.policy["people"], "bob": person("Bob Lind", "board")})
    bob.settle()
    left = bob.find("presence", from_=f"{STAFF}/bob", type="unavailable")
    assert left
    assert left[0].find(f".//{{{MUC_USER}}}status[@code='321']") is not None
    bob.join("staff")
    bob.settle()
    assert error_of(bob.find("presence", from_=f"{STAFF}/bob", type="error")[0])[1] == "registration-required"
    assert room_list(bob) == {f"board@{ROOMS}", f"hall@{ROOMS}"}
    alice.settle()
    assert alice.find("presence", from_=f"{STAFF}/bob", type="unavailable")


def test_a_room_that_left_the_policy_is_closed_and_comes_back(server: Server) -> None:
    alice = server.client("alice")
    enter(alice, "staff")
    alice.message(STAFF, "<body>kept</body>", "groupchat")
    alice.settle()
    server.change(rooms={k: v for k, v in server.policy["rooms"].items() if k != "staff"})
    alice.settle()
    assert alice.find("presence", from_=f"{STAFF}/alice", type="unavailable")
    assert room_list(alice) == {f"hall@{ROOMS}"}
    server.change(rooms={**server.policy["rooms"], "staff": {"title": "Staff again", "groups": ["staff"]}})
    enter(alice, "staff")
    alice.ask("set", "<query xmlns='urn:xmpp:mam:2'/>", STAFF)
    assert "kept" in "".join("".join(e.itertext()) for e in alice.find("message", from_=STAFF))


def test_hand_made_changes_of_a_room_are_mended_at_the_next_start(server: Server) -> None:
    server.shell(
        f">local r = {ROOM}; r._affiliations['carl@{DOMAIN}'] = 'owner';"
        "r:set_members_only(false); r:set_hidden(false); r:save(true); return 'done'"
    )
    server.restart()
    alice, carl = server.client("alice"), server.client("carl")
    assert STAFF not in room_list(carl)
    carl.join("staff")
    carl.settle()
    assert carl.find("presence", type="error")
    enter(alice, "staff")
    assert "is nil" in server.shell(CARL_IN_STAFF)


@pytest.mark.parametrize("how", ["mediated", "direct"])
@pytest.mark.parametrize(
    ("who", "room", "allowed"),
    [
        ("bob", "staff", True),
        ("bob", "hall", True),
        ("carl", "staff", False),  # may not talk, not entitled
        ("carl", "hall", False),  # entitled, may not talk
        ("bob", "board", False),  # the inviter is not entitled
        ("nobody", "staff", False),
        ("ghost", "staff", False),
        ("dora", "staff", False),
        ("bob", "nowhere", False),
    ],
)
def test_invitations(server: Server, who: str, room: str, allowed: bool, how: str) -> None:
    alice = server.client("alice")
    invited = server.client(who) if who in {"bob", "carl"} else None
    if invited:
        invited.seen.clear()
    address = f"{room}@{ROOMS}"
    if how == "mediated":
        number = alice.message(address, f"<x xmlns='{MUC_USER}'><invite to='{who}@{DOMAIN}'/></x>", "normal")
    else:
        number = alice.message(f"{who}@{DOMAIN}", f"<x xmlns='jabber:x:conference' jid='{address}'/>", "normal")
    alice.settle()
    if invited:
        invited.settle()
        assert bool(invited.find("message")) == allowed
    (event,) = server.events()
    assert event["kind"] == "invitation"
    assert event["verdict"] == ("allowed" if allowed else "refused")
    assert bool(alice.find("message", id=number, type="error")) != allowed
    if not allowed and room == "hall":
        assert error_of(alice.find("message", id=number)[0])[:2] == ("cancel", "not-allowed")
    assert "is nil" in server.shell(CARL_IN_STAFF)


def test_an_invitation_to_a_room_elsewhere_is_refused(server: Server) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    for inner in (
        "<x xmlns='jabber:x:conference' jid='room@foreign.example'/>",
        "<x xmlns='jabber:x:conference'/>",
        f"<x xmlns='{MUC_USER}'><invite from='erik@{DOMAIN}'/></x>",
    ):
        server.mark()
        alice.message(bob.bare, inner, "normal")
        alice.settle()
        bob.settle()
        assert not bob.find("message")
        (event,) = server.events()
        assert (event["kind"], event["verdict"], event["rule"]) == ("invitation", "refused", "invitation")


def test_private_messages_and_questions_in_a_room(server: Server) -> None:
    alice, bob, carl = (server.client(n) for n in ("alice", "bob", "carl"))
    for client in (alice, bob, carl):
        enter(client, "hall")
        client.seen.clear()  # what was said in the room before
    server.mark()
    hall = f"hall@{ROOMS}"
    alice.message(f"{hall}/bob", "<body>psst</body>")
    refused = alice.message(f"{hall}/carl", "<body>psst carl</body>")
    answer = alice.ask("get", "<query xmlns='jabber:iq:version'/>", f"{hall}/carl")
    assert error_of(answer)[:2] == ("cancel", "not-allowed")
    alice.settle()
    bob.settle()
    carl.settle()
    assert bob.bodies() == ["psst"]
    assert carl.bodies() == []
    assert error_of(alice.find("message", id=refused)[0])[:2] == ("cancel", "not-allowed")
    assert [(e["kind"], e["verdict"], e["rule"], e["person"]) for e in server.events()] == [
        ("message", "allowed", "room", bob.bare),
        ("message", "refused", "room-private", carl.bare),
        ("iq", "refused", "room-private", carl.bare),
    ]
    # the room's own errors still come
    gone = alice.message(f"{hall}/nobody-here")
    alice.settle()
    assert error_of(alice.find("message", id=gone)[0])[1] == "item-not-found"
    outside = server.client("erik")
    number = outside.message(hall, kind="groupchat")
    outside.settle()
    assert error_of(outside.find("message", id=number)[0])[1] == "not-acceptable"
    # both groups of the hall hear what is said to all
    carl.message(hall, "<body>to the hall</body>", "groupchat")
    carl.settle()
    alice.settle()
    assert "to the hall" in alice.bodies()
