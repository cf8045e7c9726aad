# SPDX-License-Identifier: GPL-3.0-or-later
"""A marked file is carried along every path but an upload: refused, recorded once, seen by nobody and kept nowhere."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from decision_point.client import DOMAIN, FILES, ROOMS, error_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decision_point.client import Client, Element
    from decision_point.server import Server

# what an executable begins with, long enough to be more than an id
FILE = b"MZ\x90\0 marked file: " + bytes(range(256))
BLOB = base64.b64encode(FILE).decode()
DATA = f"data:application/x-msdownload;base64,{BLOB}"
MARK = BLOB[:24]
# in lines: the server's parser keeps a long piece to itself until a good deal more has come
LONG = f"{BLOB}\n" * 45

STAFF = f"staff@{ROOMS}"
PUBSUB = "http://jabber.org/protocol/pubsub"
IBB, BOB, SI = "http://jabber.org/protocol/ibb", "urn:xmpp:bob", "http://jabber.org/protocol/si"
JINGLE, FT = "urn:xmpp:jingle:1", "urn:xmpp:jingle:apps:file-transfer:5"
SHARED, METADATA, URL_DATA = "urn:xmpp:sfs:0", "urn:xmpp:file:metadata:0", "http://jabber.org/protocol/url-data"
XHTML = "http://www.w3.org/1999/xhtml"
AVATAR, CARD = "urn:xmpp:avatar", "urn:ietf:params:xml:ns:vcard-4.0"
BOOKMARK = "urn:xmpp:bookmarks:1"


def html(inner: str) -> str:
    """Returns formatted text (XEP-0071)."""
    return f"<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='{XHTML}'><p>x{inner}</p></body></html>"


def offer(transport: str, description: str = "") -> str:
    """Returns the beginning of a file transfer (XEP-0234) over some transport."""
    about = description or (f"<description xmlns='{FT}'><file><name>{MARK}</name><size>9</size></file></description>")
    return (
        f"<jingle xmlns='{JINGLE}' action='session-initiate' sid='s'><content creator='initiator' name='f'>{about}"
        f"<transport xmlns='{transport}' sid='t'/></content></jingle>"
    )


def shared(source: str, more: str = "") -> str:
    """Returns a shared file (XEP-0447) that lies at a source."""
    return (
        f"<file-sharing xmlns='{SHARED}'><file xmlns='{METADATA}'><name>{MARK}</name>{more}</file>"
        f"<sources>{source}</sources></file-sharing>"
    )


CHANNEL = (
    "<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='application'/>",
    "<description xmlns='urn:xmpp:jingle:apps:webrtc-datachannel:1'/>",
)
ELSEWHERE = f"https://files.elsewhere.example/{MARK}.exe"

# In a message: name -> rule, content.
MESSAGES = {
    "in-band bytes": ("transfer", f"<data xmlns='{IBB}' seq='0' sid='s'>{BLOB}</data>"),
    "bits of binary": ("transfer", f"<data xmlns='{BOB}' cid='sha1+x@bob.xmpp.org' type='image/png'>{BLOB}</data>"),
    "few bits of binary": ("transfer", f"<data xmlns='{BOB}' cid='c'>{MARK}</data>"),
    "bits beside words": ("transfer", f"<body>hello</body><data xmlns='{BOB}' cid='c'>{BLOB}</data>"),
    "data address in words": ("transfer", f"<body>see {DATA}</body>"),
    "data address in another language": ("transfer", f"<body>hi</body><body xml:lang='de'>{DATA}</body>"),
    "data address in a subject": ("transfer", f"<subject>{DATA}</subject>"),
    "data address in an attribute": (
        "transfer",
        f"<body>x</body><replace xmlns='urn:xmpp:message-correct:0' id='{DATA}'/>",
    ),
    "data address with unseen marks": ("transfer", f"<body>da&#x200b;ta:text/html;base64,{BLOB}</body>"),
    "picture in formatted text": ("transfer", html(f"<img src='{DATA}' alt='x'/>")),
    "picture by its name": ("transfer", html(f"<img src='cid:{MARK}@bob.xmpp.org' alt='x'/>")),
    "picture elsewhere": ("transfer", html(f"<img src='{ELSEWHERE}' alt='x'/>")),
    "picture in a style": ("transfer", html(f"<span style='background: URL({ELSEWHERE})'>x</span>")),
    "script in formatted text": ("transfer", html(f"<script>{BLOB}</script>")),
    "key of a file elsewhere": ("transfer", f"<body>aesgcm://files.elsewhere.example/x#{BLOB}</body>"),
    "file elsewhere": ("transfer", f"<body>x</body><x xmlns='jabber:x:oob'><url>{ELSEWHERE}</url></x>"),
    "file at a name alike": (
        "transfer",
        f"<x xmlns='jabber:x:oob'><url>https://{FILES}.elsewhere.example/{MARK}</url></x>",
    ),
    "file at a user alike": (
        "transfer",
        f"<x xmlns='jabber:x:oob'><url>https://{FILES}@elsewhere.example/{MARK}</url></x>",
    ),
    "file in the clear": ("transfer", f"<x xmlns='jabber:x:oob'><url>http://{FILES}/{MARK}</url></x>"),
    "shared file elsewhere": ("transfer", shared(f"<url-data xmlns='{URL_DATA}' target='{ELSEWHERE}'/>")),
    "shared file inside": ("transfer", shared(f"<url-data xmlns='{URL_DATA}' target='{DATA}'/>")),
    "shared file from a device": ("transfer", shared(f"<jinglepub xmlns='urn:xmpp:jinglepub:1' from='{MARK}'/>")),
    "shared file encrypted": ("transfer", shared(f"<encrypted xmlns='urn:xmpp:esfs:0'><key>{BLOB}</key></encrypted>")),
    "more sources": (
        "transfer",
        f"<sources xmlns='{SHARED}' id='1'><url-data xmlns='{URL_DATA}' target='{ELSEWHERE}'/></sources>",
    ),
    "reference to media": (
        "transfer",
        f"<body>x</body><reference xmlns='urn:xmpp:reference:0' type='data' uri='{ELSEWHERE}'/>",
    ),
    "media sharing": (
        "transfer",
        f"<reference xmlns='urn:xmpp:reference:0' type='data'><media-sharing xmlns='urn:xmpp:sims:1'><sources>"
        f"<reference xmlns='urn:xmpp:reference:0' type='data' uri='{ELSEWHERE}'/></sources></media-sharing>"
        f"</reference>",
    ),
    "form with media": (
        "transfer",
        f"<x xmlns='jabber:x:data' type='form'><field var='a'><media xmlns='urn:xmpp:media-element'>"
        f"<uri type='image/png'>"
        f"{DATA}</uri></media></field></x>",
    ),
    "form": ("transfer", f"<x xmlns='jabber:x:data' type='form'><field var='a'><value>{BLOB}</value></field></x>"),
    "notification": (
        "transfer",
        f"<event xmlns='{PUBSUB}#event'><items node='{AVATAR}:data'><item>"
        f"<data xmlns='{AVATAR}:data'>{BLOB}</data></item>"
        "</items></event>",
    ),
    "forwarded": (
        "transfer",
        f"<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'><body>{MARK}</body></message>"
        f"</forwarded>",
    ),
    "card": ("transfer", f"<vCard xmlns='vcard-temp'><PHOTO><BINVAL>{BLOB}</BINVAL></PHOTO></vCard>"),
    "new kind of content": ("transfer", f"<body>x</body><anything xmlns='urn:example:new'>{BLOB}</anything>"),
    "within a known kind": ("transfer", f"<thread><x xmlns='urn:example:new'>{BLOB}</x></thread>"),
    "offer of a file": (
        "transfer",
        f"<propose xmlns='urn:xmpp:jingle-message:0' id='{MARK}'><description xmlns='{FT}'/></propose>",
    ),
    "publication of a file": ("transfer", f"<start xmlns='urn:xmpp:jinglepub:1' id='{MARK}'/>"),
    "very long words": ("length", f"<body>{LONG}</body>"),
    "very long formatted text": ("length", html(LONG)),
    "OMEMO": ("encrypted", f"<encrypted xmlns='eu.siacs.conversations.axolotl'><payload>{BLOB}</payload></encrypted>"),
    "OMEMO 2": (
        "encrypted",
        f"<body>x</body><encrypted xmlns='urn:xmpp:omemo:2'><payload>{BLOB}</payload></encrypted>",
    ),
    "OpenPGP": ("encrypted", f"<openpgp xmlns='urn:xmpp:openpgp:0'>{BLOB}</openpgp>"),
    "old OpenPGP": ("encrypted", f"<body>x</body><x xmlns='jabber:x:encrypted'>{BLOB}</x>"),
    "OpenPGP in words": ("encrypted", f"<body>-----BEGIN PGP MESSAGE-----\n\n{BLOB}</body>"),
    "OTR": ("encrypted", f"<body>?OTR:{BLOB}.</body>"),
    "some other encryption": (
        "encrypted",
        f"<body>{MARK}</body><encryption xmlns='urn:xmpp:eme:0' namespace='urn:x'/>",
    ),
}
CONDITIONS = {"transfer": "service-unavailable", "length": "not-acceptable", "encrypted": "not-acceptable"}

# To a device: name -> type, content.
QUESTIONS = {
    "file over SOCKS5": ("set", offer("urn:xmpp:jingle:transports:s5b:1")),
    "file in band": ("set", offer("urn:xmpp:jingle:transports:ibb:1")),
    "file over ICE": ("set", offer("urn:xmpp:jingle:transports:ice-udp:1")),
    "file over newer ICE": ("set", offer("urn:xmpp:jingle:transports:ice:0")),
    "old file transfer": (
        "set",
        offer("urn:xmpp:jingle:transports:s5b:1", f"<description xmlns='{FT[:-1]}3'>{MARK}</description>"),
    ),
    "raw data": (
        "set",
        offer(
            "urn:xmpp:jingle:transports:ice-udp:1", f"<description xmlns='urn:xmpp:jingle:apps:x'>{MARK}</description>"
        ),
    ),
    "channel for data": ("set", offer("urn:xmpp:jingle:transports:dtls-sctp:1", CHANNEL[0])),
    "other channel for data": ("set", offer("urn:xmpp:jingle:transports:ice-udp:1", CHANNEL[1])),
    "stream initiation": (
        "set",
        f"<si xmlns='{SI}' id='a' profile='{SI}/profile/file-transfer'><file xmlns='{SI}/profile/file-transfer' "
        f"name='{MARK}' size='9'/></si>",
    ),
    "opening in-band bytes": ("set", f"<open xmlns='{IBB}' block-size='4096' sid='{MARK}'/>"),
    "in-band bytes": ("set", f"<data xmlns='{IBB}' seq='0' sid='s'>{BLOB}</data>"),
    "SOCKS5": (
        "set",
        f"<query xmlns='http://jabber.org/protocol/bytestreams' sid='{MARK}'>"
        f"<streamhost host='10.0.0.1' port='1'/></query>",
    ),
    "address of a device": ("set", f"<query xmlns='jabber:iq:oob'><url>http://10.0.0.1/{MARK}</url></query>"),
    "published stream": ("get", f"<start xmlns='http://jabber.org/protocol/sipub' id='{MARK}'/>"),
    "bits of binary": ("get", f"<data xmlns='{BOB}' cid='{MARK}'/>"),
    "bits of binary, unasked": ("set", f"<data xmlns='{BOB}' cid='c'>{BLOB}</data>"),
    "card": ("set", f"<vCard xmlns='vcard-temp'><PHOTO><BINVAL>{BLOB}</BINVAL></PHOTO></vCard>"),
    "command": ("set", f"<command xmlns='http://jabber.org/protocol/commands' node='x'><note>{BLOB}</note></command>"),
    "publication": (
        "set",
        f"<pubsub xmlns='{PUBSUB}'><publish node='{BOOKMARK}'><item>{BLOB}</item></publish></pubsub>",
    ),
    "contacts": ("set", f"<x xmlns='http://jabber.org/protocol/rosterx'><item jid='{MARK}@x'/></x>"),
    "loaded ping": ("get", f"<ping xmlns='urn:xmpp:ping'><x xmlns='urn:x'>{BLOB}</x></ping>"),
    "loaded question": ("get", f"<query xmlns='http://jabber.org/protocol/disco#info' node='{BLOB}'/>"),
    "new question": ("get", f"<query xmlns='urn:example:new'>{BLOB}</query>"),
}


def publish(node: str, inner: str, more: str = "") -> str:
    """Returns the publication of one item."""
    return f"<pubsub xmlns='{PUBSUB}'><publish node='{node}'><item id='i'>{inner}</item></publish>{more}</pubsub>"


def settings(form: str, name: str, value: str) -> str:
    """Returns settings of a node."""
    return (
        f"<{form}><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>"
        f"<value>{PUBSUB}#node_config</value></field>"
        f"<field var='{name}'><value>{value}</value></field></x></{form}>"
    )


# To be kept by the server: name -> rule, content.
KEPT = {
    "picture": ("transfer", publish(f"{AVATAR}:data", f"<data xmlns='{AVATAR}:data'>{BLOB}</data>")),
    "picture elsewhere": (
        "transfer",
        publish(
            f"{AVATAR}:metadata",
            f"<metadata xmlns='{AVATAR}:metadata'><info id='{MARK}' url='{ELSEWHERE}'/></metadata>",
        ),
    ),
    "card with a picture": ("transfer", f"<vCard xmlns='vcard-temp'><PHOTO><BINVAL>{BLOB}</BINVAL></PHOTO></vCard>"),
    "card with a sound": (
        "transfer",
        f"<vCard xmlns='vcard-temp'><FN>A</FN><SOUND><BINVAL>{BLOB}</BINVAL></SOUND></vCard>",
    ),
    "card with a picture elsewhere": (
        "transfer",
        f"<vCard xmlns='vcard-temp'><PHOTO><EXTVAL>{ELSEWHERE}</EXTVAL></PHOTO></vCard>",
    ),
    "card with a card": (
        "transfer",
        f"<vCard xmlns='vcard-temp'><AGENT><vCard><FN>{BLOB}</FN></vCard></AGENT></vCard>",
    ),
    "card with an address": ("transfer", f"<vCard xmlns='vcard-temp'><URL>{DATA}</URL></vCard>"),
    "card with something new": ("transfer", f"<vCard xmlns='vcard-temp'><x xmlns='urn:x'>{BLOB}</x></vCard>"),
    "long card": ("transfer", f"<vCard xmlns='vcard-temp'><NOTE>{LONG[:9000]}</NOTE></vCard>"),
    "new card": ("transfer", f"<vcard xmlns='{CARD}'><photo><uri>{DATA}</uri></photo></vcard>"),
    "new card's address": ("transfer", f"<vcard xmlns='{CARD}'><url><uri>{DATA}</uri></url></vcard>"),
    "published card": (
        "transfer",
        publish("urn:xmpp:vcard4", f"<vcard xmlns='{CARD}'><photo><uri>{DATA}</uri></photo></vcard>"),
    ),
    "node of one's own": ("transfer", publish("mine", f"<file xmlns='urn:x'>{BLOB}</file>")),
    "article": (
        "transfer",
        publish("urn:xmpp:microblog:0", f"<entry xmlns='http://www.w3.org/2005/Atom'>{BLOB}</entry>"),
    ),
    "stickers": ("transfer", publish("urn:xmpp:stickers:0", f"<pack xmlns='urn:xmpp:stickers:0'>{BLOB}</pack>")),
    "bits of binary": ("transfer", publish(BOOKMARK, f"<data xmlns='{BOB}' cid='c'>{BLOB}</data>")),
    "something else as a bookmark": ("transfer", publish(BOOKMARK, f"<file xmlns='urn:x'>{BLOB}</file>")),
    "long bookmark": ("transfer", publish(BOOKMARK, f"<conference xmlns='{BOOKMARK}' name='{BLOB * 8}'/>")),
    "bookmark and more": (
        "transfer",
        publish(BOOKMARK, f"<conference xmlns='{BOOKMARK}'/><file xmlns='urn:x'>{BLOB}</file>"),
    ),
    "long nickname": (
        "transfer",
        publish("http://jabber.org/protocol/nick", f"<nick xmlns='http://jabber.org/protocol/nick'>{BLOB * 3}</nick>"),
    ),
    "two kinds at once": (
        "transfer",
        f"<pubsub xmlns='{PUBSUB}'><retract node='x'/><publish node='mine'><item>{BLOB}</item></publish></pubsub>",
    ),
    "name of a node": ("transfer", f"<pubsub xmlns='{PUBSUB}'><create node='{BLOB}'/></pubsub>"),
    "title of a node": (
        "transfer",
        publish(
            "http://jabber.org/protocol/nick",
            "<nick xmlns='http://jabber.org/protocol/nick'/>",
            settings("publish-options", "pubsub#title", BLOB * 6),
        ),
    ),
    "settings of a node": (
        "transfer",
        f"<pubsub xmlns='{PUBSUB}#owner'>{settings('configure', 'pubsub#title', BLOB * 6)}</pubsub>",
    ),
    "private storage": ("transfer", f"<query xmlns='jabber:iq:private'><file xmlns='urn:x'>{BLOB}</file></query>"),
    "file among bookmarks": (
        "transfer",
        f"<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'><file>{BLOB}</file></storage></query>",
    ),
    "address among bookmarks": (
        "transfer",
        f"<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'><url name='x' url='{DATA}'/>"
        f"</storage></query>",
    ),
    "long private storage": (
        "length",
        f"<query xmlns='jabber:iq:private'><storage xmlns='storage:rosternotes'><note>{LONG * 2}</note>"
        f"</storage></query>",
    ),
    "registration": (
        "transfer",
        f"<query xmlns='jabber:iq:register'><username>alice</username><misc>{BLOB * 6}</misc></query>",
    ),
    "command": (
        "transfer",
        f"<command xmlns='http://jabber.org/protocol/commands' node='x'><note>{BLOB}</note></command>",
    ),
    "something new": ("transfer", f"<query xmlns='urn:example:new'>{BLOB}</query>"),
    "keys": (
        "encrypted",
        publish(
            "eu.siacs.conversations.axolotl.devicelist",
            f"<list xmlns='eu.siacs.conversations.axolotl'><device id='{MARK}'/></list>",
        ),
    ),
    "newer keys": (
        "encrypted",
        publish("urn:xmpp:omemo:2:bundles", f"<bundle xmlns='urn:xmpp:omemo:2'>{BLOB}</bundle>"),
    ),
    "OpenPGP keys": (
        "encrypted",
        publish("urn:xmpp:openpgp:0:public-keys", f"<pubkey xmlns='urn:xmpp:openpgp:0'>{BLOB}</pubkey>"),
    ),
}

PRESENCES = {
    "picture": ("transfer", f"<x xmlns='vcard-temp:x:update'><photo>{BLOB}</photo></x>"),
    "short picture": ("transfer", f"<x xmlns='vcard-temp:x:update'><photo>{MARK}</photo></x>"),
    "card": ("transfer", f"<vCard xmlns='vcard-temp'><PHOTO><BINVAL>{MARK}</BINVAL></PHOTO></vCard>"),
    "bits of binary": ("transfer", f"<show>away</show><data xmlns='{BOB}' cid='c'>{MARK}</data>"),
    "data address": ("transfer", f"<status>{DATA}</status>"),
    "something new": ("transfer", f"<anything xmlns='urn:example:new'>{BLOB}</anything>"),
    "in words": ("transfer", f"<status>x<anything xmlns='urn:example:new'>{MARK}</anything></status>"),
    "long": ("length", f"<status>{LONG[:5000]}</status>"),
}


def holds_mark(elements: list[Element]) -> list[str]:
    """Returns those that hold something of the file."""
    return [text for e in elements if MARK in (text := ElementTree.tostring(e, "unicode"))]


class Office:
    """Alice with two devices, and bob, all in one room."""

    def __init__(self, server: Server) -> None:
        """Signs them in."""
        self.server = server
        self.alice, self.bob = server.client("alice"), server.client("bob")
        self.own = server.client("alice", resource="two")
        self.own.ask("set", "<enable xmlns='urn:xmpp:carbons:2'/>")
        for client, nick in ((self.alice, "alice"), (self.bob, "bob")):
            client.join("staff", nick)
            client.settle()
        self.forget()

    def forget(self) -> None:
        """Begins anew with what is seen and recorded."""
        for client in (self.alice, self.bob, self.own):
            client.settle()
            client.seen.clear()
        self.server.mark()

    def devices(self) -> dict[str, str]:
        """Returns where something can be delivered."""
        return {"colleague": self.bob.jid, "occupant": f"{STAFF}/bob", "own device": self.own.jid}

    def nothing_came(self) -> None:
        """Makes sure that nobody saw anything of the file."""
        # the sender first: when the server has handled what she sent, all of it is under way
        for client in (self.alice, self.bob, self.own):
            client.settle()
        for client in (self.bob, self.own):
            assert not holds_mark(client.seen), client.jid

    def nothing_is_kept(self) -> None:
        """Makes sure that the server keeps nothing of the file."""
        assert self.server.sh(f"grep -rlF '{MARK}' /var/lib/prosody || true") == ""

    def one_event(self, rule: str, kind: str) -> None:
        """Makes sure that there is just this event."""
        found = [(e["kind"], e["verdict"], e["rule"]) for e in self.server.events()]
        assert found == [(kind, "refused", rule)]


@pytest.fixture
def office(server: Server) -> Iterator[Office]:
    """The people of these tests; afterwards nothing of the file may be kept anywhere."""
    found = Office(server)
    yield found
    found.nothing_is_kept()


@pytest.mark.parametrize("name", list(MESSAGES))
def test_in_a_message(office: Office, name: str) -> None:
    rule, inner = MESSAGES[name]
    places = {
        **office.devices(),
        "colleague anywhere": office.bob.bare,
        "room": STAFF,
        "own account": office.alice.bare,
    }
    for place, to in places.items():
        office.forget()
        office.alice.message(to, inner, "groupchat" if place == "room" else "chat", "carried")
        office.nothing_came()
        (answer,) = office.alice.find("message", id="carried")
        assert error_of(answer)[1] == CONDITIONS[rule], place
        office.one_event(rule, "message")


@pytest.mark.parametrize("name", list(QUESTIONS))
def test_from_device_to_device(office: Office, name: str) -> None:
    kind, payload = QUESTIONS[name]
    for calls in ("refuse", "permit"):
        office.server.change(calls=calls)
        for place, to in office.devices().items():
            office.forget()
            assert error_of(office.alice.ask(kind, payload, to))[:2] == ("cancel", "service-unavailable"), (
                place,
                calls,
            )
            office.nothing_came()
            office.one_event("transfer", "iq")


@pytest.mark.parametrize("name", list(KEPT))
def test_left_at_the_server(office: Office, name: str) -> None:
    rule, payload = KEPT[name]
    for to in ("", office.alice.bare, office.bob.bare, DOMAIN, FILES, ROOMS):
        office.forget()
        assert error_of(office.alice.ask("set", payload, to))[1] == CONDITIONS[rule], to
        office.nothing_came()
        office.one_event(rule, "iq")


@pytest.mark.parametrize("name", list(PRESENCES))
def test_with_presence(office: Office, name: str) -> None:
    rule, inner = PRESENCES[name]
    for to in ("", office.bob.bare, office.bob.jid, f"{STAFF}/alice", office.own.jid):
        office.forget()
        target = f" to='{to}'" if to else ""
        office.alice.write(f"<presence id='carried'{target}>{inner}</presence>")
        office.nothing_came()
        (answer,) = office.alice.find("presence", id="carried")
        assert error_of(answer)[1] == CONDITIONS[rule], to
        office.one_event(rule, "presence")
    # who comes later is not told either
    late = office.server.client("erik")
    late.settle()
    assert not holds_mark(late.seen)


def test_in_an_answer_that_nobody_asked_for(office: Office) -> None:
    for kind in ("result", "error"):
        for to in office.devices().values():
            office.forget()
            office.alice.write(f"<iq type='{kind}' id='u' to='{to}'><data xmlns='{BOB}'>{BLOB}</data></iq>")
            office.nothing_came()
            assert not office.alice.find("iq", id="u")
            office.one_event("unasked", "iq")


ANSWERS = {
    "bits of binary": f"<data xmlns='{BOB}' cid='c'>{BLOB}</data>",
    "another answer": f"<vCard xmlns='vcard-temp'><PHOTO><BINVAL>{BLOB}</BINVAL></PHOTO></vCard>",
    "a form with a picture": (
        "<query xmlns='http://jabber.org/protocol/disco#info'><x xmlns='jabber:x:data' type='result'><field var='a'>"
        f"<media xmlns='urn:xmpp:media-element'><uri type='x'>{DATA}</uri></media></field></x></query>"
    ),
    "a data address": f"<query xmlns='jabber:iq:version'><name>{DATA}</name></query>",
    "long": f"<query xmlns='jabber:iq:version'><name>{LONG[:9000]}</name></query>",
    "words": f"{BLOB}",
}


@pytest.mark.parametrize("name", list(ANSWERS))
def test_in_an_answer_that_was_asked_for(office: Office, name: str) -> None:
    for place, to in office.devices().items():
        if place == "own device":
            continue
        office.forget()
        office.alice.write(f"<iq type='get' id='v' to='{to}'><query xmlns='jabber:iq:version'/></iq>")
        question = office.bob.until(lambda e: e.tag.endswith("}iq") and e.get("type") == "get")
        office.bob.write(
            f"<iq type='result' id='{question.get('id')}' to='{question.get('from')}'>{ANSWERS[name]}</iq>"
        )
        for client in (office.bob, office.alice):
            client.settle()
        assert not holds_mark(office.alice.seen)
        office.one_event("transfer", "iq")


def test_in_an_error(office: Office) -> None:
    """An error passes, and says nothing but what kind of error it is."""
    error = (
        f"<body>{MARK}</body><data xmlns='{BOB}'>{BLOB}</data><error type='cancel'><gone "
        f"xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>{MARK}</gone>"
        f"<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>{BLOB}"
        f"</text><more xmlns='urn:x'>{BLOB}</more></error>"
    )
    for to in office.devices().values():
        for name in ("message", "presence"):
            office.alice.write(f"<{name} type='error' id='e' to='{to}'>{error}</{name}>")
    office.alice.write(f"<message type='error' id='e' to='{STAFF}'>{error}</message>")
    office.nothing_came()
    assert error_of(office.bob.find("message", type="error")[0]) == ("cancel", "gone", "")
    office.forget()
    office.bob.write(f"<iq type='get' id='v' to='{office.alice.jid}'><query xmlns='jabber:iq:version'/></iq>")
    office.alice.until(lambda e: e.get("id") == "v")
    office.alice.write(f"<iq type='error' id='v' to='{office.bob.jid}'>{error}</iq>")
    got = office.bob.until(lambda e: e.get("id") == "v")
    assert error_of(got) == ("cancel", "gone", "")
    assert not holds_mark([got])


# Permitted neighbours ----------------------------------------------------------------------------------------------


def slot(client: Client) -> str:
    """Returns the address of a file that is to be uploaded."""
    request = "<request xmlns='urn:xmpp:http:upload:0' filename='a b.txt' size='5' content-type='text/plain'/>"
    answer = client.ask("get", request, FILES).find(".//{urn:xmpp:http:upload:0}get")
    assert answer is not None
    return answer.get("url", "").replace("http://", "https://")  # these tests have no TLS


def test_an_uploaded_file_is_shared(office: Office) -> None:
    url = slot(office.alice)
    thumbnail = f"<thumbnail xmlns='urn:xmpp:thumbs:1' uri='{DATA}' media-type='image/png'/>"
    for place, to in (*office.devices().items(), ("room", STAFF), ("colleague anywhere", office.bob.bare)):
        office.forget()
        inner = f"<body>{url}</body><x xmlns='jabber:x:oob'><url>{url}</url></x>" + html(f"<img src='{url}' alt='x'/>")
        reader = office.own if place == "own device" else office.bob
        office.alice.message(to, inner, "groupchat" if place == "room" else "chat")
        assert reader.heard(url).findtext("{jabber:x:oob}x/{jabber:x:oob}url") == url
        office.alice.message(
            to,
            "<body>a picture</body>" + shared(f"<url-data xmlns='{URL_DATA}' target='{url}'/>").replace(MARK, "a.png"),
            "groupchat" if place == "room" else "chat",
        )
        assert reader.heard("a picture").find(f"{{{SHARED}}}file-sharing/{{{SHARED}}}sources") is not None
        assert [e["verdict"] for e in office.server.events()] == ["allowed", "allowed"]
    office.alice.message(
        office.bob.bare,
        "<body>small</body>"
        + shared(f"<url-data xmlns='{URL_DATA}' target='{url}'/>", thumbnail).replace(MARK, "a.png"),
    )
    got = office.bob.heard("small")
    assert got.find(f".//{{{METADATA}}}name") is not None
    assert got.find(".//{urn:xmpp:thumbs:1}thumbnail") is None


CHAT = (
    "<thread>t</thread><active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/>"
    "<markable xmlns='urn:xmpp:chat-markers:0'/><replace xmlns='urn:xmpp:message-correct:0' id='x'/>"
    "<origin-id xmlns='urn:xmpp:sid:0' id='x'/><store xmlns='urn:xmpp:hints'/><private xmlns='urn:xmpp:carbons:2'/>"
    "<reply xmlns='urn:xmpp:reply:0' id='x' to='bob@im.test.example'/><unstyled xmlns='urn:xmpp:styling:0'/>"
    "<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body start='0' end='1'/></fallback>"
    "<reactions xmlns='urn:xmpp:reactions:0' id='x'><reaction>+</reaction></reactions>"
    "<reference xmlns='urn:xmpp:reference:0' begin='0' end='3' type='mention' uri='xmpp:bob@im.test.example'/>"
    "<nick xmlns='http://jabber.org/protocol/nick'>Al</nick><attention xmlns='urn:xmpp:attention:0'/>"
    "<retract xmlns='urn:xmpp:message-retract:1' id='x'/><delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/>"
)


def test_what_clients_add_to_chat(office: Office) -> None:
    words = "data: 5, see https://news.example/?u=data " + "ö" * 4000
    for to in (office.bob.jid, office.bob.bare, STAFF, f"{STAFF}/bob"):
        kind = "groupchat" if to == STAFF else "chat"
        muc = "<x xmlns='http://jabber.org/protocol/muc#user'/>"
        office.alice.message(to, f"<body>{words}</body>{CHAT}{html(' <em>you</em>')}{muc}", kind)
        got = office.bob.heard(words)
        sent = ElementTree.fromstring(f"<m xmlns='jabber:client'>{CHAT}{html('')}{muc}</m>")
        missing = {child.tag for child in sent} - {child.tag for child in got}
        # the server takes for itself what is meant for it
        assert missing <= {"{urn:xmpp:carbons:2}private", "{http://jabber.org/protocol/muc#user}x"}


def test_something_small_and_new_is_taken_off(office: Office) -> None:
    for to in (office.bob.jid, STAFF):
        office.alice.message(
            to,
            "<body>fine</body><later xmlns='urn:example:new' a='1'>x</later>",
            "groupchat" if to == STAFF else "chat",
        )
        assert "new" not in ElementTree.tostring(office.bob.heard("fine"), "unicode")
    office.alice.write("<presence><status>here</status><later xmlns='urn:example:new'>x</later></presence>")
    got = office.bob.presence(office.alice.jid)
    assert not [child for child in got if child.tag.endswith("later")]
    assert {e["verdict"] for e in office.server.events()} == {"allowed"}


def test_presence_is_seen(office: Office) -> None:
    inner = (
        "<show>away</show><status>back at one</status><priority>5</priority><nick xmlns='http://jabber.org/protocol/nick'>Al</nick>"
        "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://gajim.org' "
        "ver='q07IKJEyjvHSyhy//CH0CxmKi8w='/>"
        "<idle xmlns='urn:xmpp:idle:1' since='2026-01-01T00:00:00Z'/>"
        "<x xmlns='vcard-temp:x:update'><photo>01b87fcd030b72895ff8e88db57ec525450f000d</photo></x>"
    )
    office.alice.write(f"<presence>{inner}</presence>")
    got = office.bob.presence(office.alice.jid)
    assert [child.tag for child in got] == [
        e.tag for e in ElementTree.fromstring(f"<m xmlns='jabber:client'>{inner}</m>")
    ]
    assert not office.server.events()


INFO = (
    "<query xmlns='http://jabber.org/protocol/disco#info'><identity category='client' type='pc' name='x'/>"
    "<feature var='urn:xmpp:ping'/><x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'>"
    "<value>urn:xmpp:dataforms:softwareinfo</value></field><field var='os'><value>Linux</value></field></x></query>"
)
QUESTIONS_AND_ANSWERS = {
    "<ping xmlns='urn:xmpp:ping'/>": "",
    "<query xmlns='http://jabber.org/protocol/disco#info' "
    "node='https://gajim.org#q07IKJEyjvHSyhy//CH0CxmKi8w='/>": INFO,
    "<query xmlns='http://jabber.org/protocol/disco#items'/>": (
        "<query xmlns='http://jabber.org/protocol/disco#items'><item jid='a@b' name='x'/></query>"
    ),
    "<query xmlns='jabber:iq:version'/>": "<query xmlns='jabber:iq:version'><name>X</name><version>1</version></query>",
    "<query xmlns='jabber:iq:last'/>": "<query xmlns='jabber:iq:last' seconds='3'/>",
    "<time xmlns='urn:xmpp:time'/>": "<time xmlns='urn:xmpp:time'><tzo>+01:00</tzo>"
    "<utc>2026-01-01T00:00:00Z</utc></time>",
}


def test_devices_ask_and_answer(office: Office) -> None:
    for question, answer in QUESTIONS_AND_ANSWERS.items():
        for to, asked in ((office.bob.jid, office.bob), (f"{STAFF}/bob", office.bob), (office.own.jid, office.own)):
            office.alice.write(f"<iq type='get' id='ask' to='{to}'>{question}</iq>")
            came = asked.until(lambda e: e.tag.endswith("}iq") and e.get("type") == "get")
            reply = f"<iq type='result' id='{came.get('id')}' to='{came.get('from')}'>{answer}</iq>"
            asked.write(reply)
            got = office.alice.until(lambda e: e.get("id") == "ask")
            assert got.get("type") == "result"
            assert [child.tag for child in got.iter()][1:] == [
                child.tag for child in ElementTree.fromstring(f"<m xmlns='jabber:client'>{answer}</m>").iter()
            ][1:]
            # once
            office.server.mark()
            asked.write(reply)
            asked.settle()
            assert [e["rule"] for e in office.server.events()] == ["unasked"]
    office.alice.settle()
    assert not office.alice.find("iq", id="ask")


CALL = (
    "<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s'><content creator='initiator' name='voice'>"
    "<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='{media}'><payload-type id='111' name='opus'>"
    "<parameter name='a' "
    "value='1'/><rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='nack'/></payload-type></description>"
    "<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='x' pwd='y'>"
    "<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' "
    "hash='sha-256' setup='actpass'>00:11</fingerprint><candidate ip='10.0.0.1' port='5000'/></transport></content>"
    "<group xmlns='urn:xmpp:jingle:apps:grouping:0' semantics='BUNDLE'><content name='voice'/></group></jingle>"
)
PROPOSAL = (
    "<propose xmlns='urn:xmpp:jingle-message:0' id='x'>"
    "<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/></propose>"
)


def test_calls_where_the_site_permits_them(office: Office) -> None:
    office.server.change(calls="permit")
    for media in ("audio", "video"):
        office.forget()
        office.alice.write(f"<iq type='set' id='call' to='{office.bob.jid}'>{CALL.format(media=media)}</iq>")
        came = office.bob.until(lambda e: e.get("id") == "call")
        assert came.find(".//{urn:xmpp:jingle:apps:dtls:0}fingerprint") is not None
        office.bob.write(f"<iq type='result' id='call' to='{office.alice.jid}'/>")
        office.alice.until(lambda e: e.get("id") == "call" and e.get("type") == "result")
    office.alice.message(office.bob.jid, PROPOSAL, number="propose")
    office.bob.came(lambda e: e.get("id") == "propose")
    office.forget()
    # and no channel for data beside the voice
    sneaked = CALL.format(media="audio").replace(
        "</transport>", "<sctpmap xmlns='urn:xmpp:jingle:transports:dtls-sctp:1'/></transport>"
    )
    assert error_of(office.alice.ask("set", sneaked, office.bob.jid))[1] == "service-unavailable"
    office.nothing_came()
    office.one_event("transfer", "iq")


PUBLISHED = {
    "bookmark": publish(
        BOOKMARK,
        f"<conference xmlns='{BOOKMARK}' name='Staff' autojoin='true'><nick>al</nick><extensions>"
        "<pinned xmlns='urn:xmpp:bookmarks-pinning:0'/></extensions></conference>",
    ),
    "nickname": publish("http://jabber.org/protocol/nick", "<nick xmlns='http://jabber.org/protocol/nick'>Al</nick>"),
    "mood": publish(
        "http://jabber.org/protocol/mood", "<mood xmlns='http://jabber.org/protocol/mood'><happy/><text>x</text></mood>"
    ),
    "read": publish(
        "urn:xmpp:mds:displayed:0",
        "<displayed xmlns='urn:xmpp:mds:displayed:0'><stanza-id xmlns='urn:xmpp:sid:0' id='a' by='b'/></displayed>",
    ),
    "no picture": publish(f"{AVATAR}:metadata", f"<metadata xmlns='{AVATAR}:metadata'/>"),
    "card": f"<vcard xmlns='{CARD}'><fn><text>Alice</text></fn><tel><uri>tel:+1</uri></tel></vcard>",
    "old card": "<vCard xmlns='vcard-temp'><FN>Alice</FN><TEL><WORK/><NUMBER>1</NUMBER></TEL></vCard>",
    "private bookmarks": (
        "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'>"
        "<conference jid='staff@rooms.im.test.example' "
        "name='Staff'><nick>al</nick></conference></storage></query>"
    ),
    "blocked": "<block xmlns='urn:xmpp:blocking'><item jid='erik@im.test.example'/></block>",
    "unblocked": "<unblock xmlns='urn:xmpp:blocking'><item jid='erik@im.test.example'/></unblock>",
}


def test_what_people_need_is_kept(office: Office) -> None:
    for name, payload in PUBLISHED.items():
        answer = office.alice.ask("set", payload)
        assert answer.get("type") == "result" or (name, error_of(answer)[1]) == (
            "private bookmarks",
            "feature-not-implemented",
        ), (
            name,
            error_of(answer),
        )
    got = office.bob.ask(
        "get", f"<pubsub xmlns='{PUBSUB}'><items node='http://jabber.org/protocol/nick'/></pubsub>", office.alice.bare
    )
    assert got.findtext(".//{http://jabber.org/protocol/nick}nick") == "Al"
    card = office.bob.ask("get", "<vCard xmlns='vcard-temp'/>", office.alice.bare)
    assert card.findtext(".//{vcard-temp}FN") == "Alice"
    assert not office.server.events()


def test_very_deep_and_very_broad(office: Office) -> None:
    for inner in ("<x>" * 40 + "</x>" * 40, "<x/>" * 1100):
        office.forget()
        office.alice.message(office.bob.jid, inner, number="odd")
        office.nothing_came()
        assert error_of(office.alice.find("message", id="odd")[0])[1] == "bad-request"
        office.one_event("malformed", "message")


def test_no_proxy_for_files(office: Office) -> None:
    items = office.alice.ask("get", "<query xmlns='http://jabber.org/protocol/disco#items'/>", DOMAIN)
    assert {item.get("jid") for item in items[0]} <= {ROOMS, FILES, "foreign.example"}
    loaded = office.server.shell(
        ">local n = 0 for _, h in pairs(prosody.hosts) do if h.modules.proxy65 then n = n + 1 end end return "
        "'proxies ' .. n"
    )
    assert "proxies 0" in loaded
