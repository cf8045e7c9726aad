# SPDX-License-Identifier: GPL-3.0-or-later
"""What a site has chosen: encryption between devices, and what people are told of the monitoring."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from decision_point.client import DOMAIN, ROOMS, error_of
from decision_point.outside import PARTNER

if TYPE_CHECKING:
    from decision_point.outside import Outside
    from decision_point.server import Server

PUBSUB = "http://jabber.org/protocol/pubsub"
AXOLOTL = "eu.siacs.conversations.axolotl"
HIDDEN = {
    "OMEMO": f"<encrypted xmlns='{AXOLOTL}'><header sid='1'><key rid='2'>AAAA</key><iv>AAAA</iv></header>"
    "<payload>AAAA</payload></encrypted><encryption xmlns='urn:xmpp:eme:0' namespace='eu.siacs.conversations.axolotl'/>"
    "<body>Encrypted.</body>",
    "OMEMO 2": "<encrypted xmlns='urn:xmpp:omemo:2'><header sid='1'/><payload>AAAA</payload></encrypted>",
    "OpenPGP": "<openpgp xmlns='urn:xmpp:openpgp:0'>AAAA</openpgp>",
    "old OpenPGP": "<body>Encrypted.</body><x xmlns='jabber:x:encrypted'>AAAA</x>",
    "OTR": "<body>?OTR:AAMC AAAA.</body>",
}
DEVICES = (
    f"<pubsub xmlns='{PUBSUB}'><publish node='{AXOLOTL}.devicelist'><item id='current'>"
    f"<list xmlns='{AXOLOTL}'><device id='1'/></list></item></publish></pubsub>"
)
SMUGGLED = (
    f"<pubsub xmlns='{PUBSUB}'><publish node='{AXOLOTL}.bundles:1'><item id='current'>"
    "<file xmlns='urn:x'>MZ</file></item></publish></pubsub>"
)


@pytest.mark.parametrize("inner", HIDDEN.values(), ids=HIDDEN)
def test_encryption_between_devices_where_it_is_permitted(server: Server, inner: str) -> None:
    server.offset = server.change(end_to_end_encryption="permit")
    alice, bob = server.client("alice"), server.client("bob")
    for to, kind in ((bob.bare, "chat"), (f"hall@{ROOMS}", "groupchat")):
        if kind == "groupchat":
            alice.join("hall")
        number = alice.message(to, inner, kind=kind)
        alice.settle()
        assert alice.find("message", id=number, type="error") == []
    bob.settle()
    assert len(bob.find("message", type="chat")) == 1
    events = server.events(kind="message")
    assert [("encrypted" in e["content"], e["verdict"], e.get("body")) for e in events] == [(True, "allowed", None)] * 2


@pytest.mark.parametrize("inner", HIDDEN.values(), ids=HIDDEN)
def test_encryption_between_devices_where_it_is_not(server: Server, inner: str) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    number = alice.message(bob.bare, inner)
    alice.settle()
    bob.settle()
    assert error_of(alice.find("message", id=number)[0])[1] == "not-acceptable"
    assert bob.find("message") == []


def test_keys(server: Server) -> None:
    alice = server.client("alice")
    assert error_of(alice.ask("set", DEVICES))[1] == "not-acceptable"
    server.offset = server.change(end_to_end_encryption="permit")
    assert error_of(alice.ask("set", DEVICES)) == ("", "", "")
    assert error_of(alice.ask("set", SMUGGLED))[1] == "service-unavailable"
    alice.ask("set", f"<pubsub xmlns='{PUBSUB}#owner'><delete node='{AXOLOTL}.devicelist'/></pubsub>")


def test_across_the_border_it_stays_forbidden(outside: Outside) -> None:
    outside.offset = outside.change(end_to_end_encryption="permit")
    alice = outside.client("alice")
    number = alice.message(f"carol@{PARTNER}", HIDDEN["OMEMO"])
    alice.settle()
    assert error_of(alice.find("message", id=number)[0])[1] == "not-allowed"


def test_people_are_told_once_of_the_monitoring(server: Server) -> None:
    alice = server.client("alice")
    assert alice.bodies() == []
    server.change(notice="You are monitored.\n\nDu blir övervakad.")
    for _ in range(2):
        alice = server.client("alice", resource="told")
        alice.settle()
        alice.settle()
        said = [e for e in alice.find("message") if "monitored" in "".join(e.itertext())]
        assert [e.get("from") for e in said] == ([DOMAIN] if _ == 0 else [])
        alice.close()
    alice = server.client("alice")
    alice.ask(
        "set", "<query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'><before/></set></query>"
    )
    assert "övervakad" in "".join("".join(e.itertext()) for e in alice.seen)
    server.change(notice="Other words.")
    bob, alice = server.client("bob"), server.client("alice", resource="again")
    for client in (bob, alice):
        client.settle()
        client.settle()
        assert "Other words." in client.bodies()


def test_rooms_say_so_in_their_subject(server: Server) -> None:
    server.change(notice="Rooms are monitored.")
    alice = server.client("alice")
    alice.join("staff")
    alice.settle()
    subjects = [e.findtext("{jabber:client}subject") for e in alice.find("message", type="groupchat")]
    assert "Rooms are monitored." in subjects
    number = alice.message(f"staff@{ROOMS}", "<subject>Lunch</subject>", kind="groupchat")
    other = alice.message(f"staff@{ROOMS}", "<body>x</body><subject>Lunch</subject>", kind="groupchat")
    alice.settle()
    for wanted in (number, other):
        assert error_of(alice.find("message", id=wanted)[0])[:2] == ("auth", "forbidden")
    assert [e["rule"] for e in server.events(kind="message", verdict="refused")] == ["room-locked"] * 2
    server.change()
    alice.message(f"staff@{ROOMS}", "<subject/>", kind="groupchat")
    alice.settle()
