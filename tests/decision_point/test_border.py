# SPDX-License-Identifier: GPL-3.0-or-later
"""What must not cross the border, in either direction: nothing of it arrives, each stanza is one event.

A server of the test's own speaks for the partner: it has the partner's certificate and may say anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from decision_point.client import error_of
from decision_point.outside import DOMAIN, HOSTILE, PARTNER, certificates, partner

if TYPE_CHECKING:
    from decision_point.client import Client
    from decision_point.outside import Outside, Peer

ALICE, CAROL, DAVE = f"alice@{DOMAIN}", f"carol@{PARTNER}", f"dave@{PARTNER}"
PUBSUB = "http://jabber.org/protocol/pubsub"
MUC_USER = "http://jabber.org/protocol/muc#user"
STRANGER = ("cancel", "not-allowed", "This address is not in your contact list.")
GONE = "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"

# every kind of stanza: name, type, children
KINDS = [
    *(("message", kind, "<body>x</body>") for kind in ("chat", "normal", "headline", "groupchat", "weird", "")),
    ("message", "error", GONE),
    *(
        ("presence", kind, "")
        for kind in ("", "unavailable", "probe", "subscribe", "subscribed", "unsubscribe", "unsubscribed", "weird")
    ),
    ("presence", "error", GONE),
    ("iq", "get", "<ping xmlns='urn:xmpp:ping'/>"),
    ("iq", "get", "<query xmlns='http://jabber.org/protocol/disco#info'/>"),
    ("iq", "get", "<vCard xmlns='vcard-temp'/>"),
    ("iq", "get", f"<pubsub xmlns='{PUBSUB}'><items node='n'/></pubsub>"),
    ("iq", "set", "<query xmlns='jabber:iq:roster'/>"),
    ("iq", "result", ""),
    ("iq", "error", GONE),
]


def stanza(name: str, kind: str, inner: str, to: str, *, number: str, sender: str = "") -> str:
    """Returns one stanza as text."""
    claim = f" from='{sender}'" if sender else ""
    attribute = f" type='{kind}'" if kind else ""
    return f"<{name}{attribute} id='{number}' to='{to}'{claim}>{inner}</{name}>"


class Border:
    """Alice at her desk, and a server that speaks for the partner."""

    def __init__(self, outside: Outside) -> None:
        """Lets both come."""
        self.outside = outside
        self.alice: Client = outside.client("alice")
        self.peer: Peer = outside.peer(PARTNER, certificates()[PARTNER]).prove()
        self.markers = 0
        self.barrier()
        self.alice.seen.clear()

    def say(self, name: str, kind: str, inner: str, to: str = ALICE, *, number: str = "n", sender: str = "") -> None:
        """Sends one stanza from the partner, as carol when nobody else is named."""
        self.peer.write(stanza(name, kind, inner, to, number=number, sender=sender or f"{CAROL}/x"))

    def barrier(self) -> None:
        """Waits until everything that was said has been handled; forgets the events of the marker itself."""
        self.markers += 1
        self.say("message", "chat", f"<body>marker {self.markers}</body>", number="marker")
        self.alice.heard(f"marker {self.markers}")

    def events(self) -> list[tuple[str, str, str]]:
        """Returns kind, verdict and rule of what was judged of the partner since the last mark, without markers."""
        found = self.outside.events(direction="in")
        return [
            (e["kind"], e["verdict"], e["rule"])
            for e in found
            if e["stanza_id"] != "marker" and e["kind"] != "stream" and "/x" in (e["from"] or "")
        ]


@pytest.fixture
def border(outside: Outside) -> Border:
    """Alice and a server that speaks for the partner, nothing said yet."""
    made = Border(outside)
    outside.mark()
    return made


@pytest.mark.parametrize(
    ("sender", "to"),
    [
        (DAVE, ALICE),  # not in the list
        (PARTNER, ALICE),  # the server itself
        (CAROL, f"bob@{DOMAIN}"),  # bob has no grant for this partner
        (CAROL, f"bob@{DOMAIN}/one"),
        (CAROL, f"nobody@{DOMAIN}"),
        (CAROL, f"probe-a@{DOMAIN}"),
        (CAROL, DOMAIN),
    ],
)
def test_no_kind_of_stanza_passes_from_or_to_a_stranger(border: Border, sender: str, to: str) -> None:
    bob = border.outside.client("bob")
    border.barrier()
    border.outside.mark()
    bob.settle()
    bob.seen.clear()
    for number, (name, kind, inner) in enumerate(KINDS):
        border.say(name, kind, inner, to, number=f"s{number}", sender=f"{sender}/x")
    border.barrier()
    bob.settle()
    assert not [e for e in border.alice.seen + bob.seen if (e.get("id") or "").startswith("s")]
    expected = {"presence": {"presence", "subscription"}, "message": {"message"}, "iq": {"iq", "roster"}}
    found = border.events()
    assert [(verdict, rule) for _, verdict, rule in found] == [("refused", "stranger")] * len(KINDS)
    assert all(event[0] in expected[kind[0]] for event, kind in zip(found, KINDS, strict=True))


def test_strangers_and_nobody_look_the_same_from_outside(outside: Outside) -> None:
    """Real people at the partner: they get the same errors, and silence for presence."""
    outside.client("alice")
    outside.client("bob")
    carol, dave = outside.visitor("carol"), outside.visitor("dave")
    for client, targets in (
        (dave, ("alice", "bob", "nobody")),
        (carol, ("bob", "nobody")),
    ):
        answers = []
        for target in targets:
            address = f"{target}@{DOMAIN}"
            number = client.message(address)
            answers.append(error_of(client.until(lambda e, n=number: e.get("id") == n)))  # type: ignore[misc]
            for payload in ("<ping xmlns='urn:xmpp:ping'/>", "<query xmlns='http://jabber.org/protocol/disco#info'/>"):
                answers.append(error_of(client.ask("get", payload, address)))
            client.write(f"<presence to='{address}'/><presence type='probe' to='{address}'/>")
            client.ask("get", "<ping xmlns='urn:xmpp:ping'/>", address)
            assert not [e for e in client.find("presence") if address in (e.get("from") or "")]
        assert set(answers) == {STRANGER}


@pytest.mark.parametrize(
    ("name", "to"),
    [
        *(("bob", to) for to in (CAROL, f"{CAROL}/one", DAVE, PARTNER)),  # bob has no grant for this partner
        *(("alice", to) for to in (DAVE, f"{DAVE}/one", PARTNER, f"nobody@{PARTNER}")),
    ],
)
def test_no_kind_of_stanza_passes_to_a_stranger(outside: Outside, name: str, to: str) -> None:
    client, carol = outside.client(name), outside.visitor("carol")
    dave = outside.visitor("dave")
    outside.mark()
    for number, (kind, attribute, inner) in enumerate(KINDS):
        client.write(stanza(kind, attribute, inner, to, number=f"s{number}"))
    client.settle()
    answered = {e.get("id"): error_of(e) for e in client.seen if (e.get("id") or "").startswith("s")}
    silent = {f"s{n}" for n, (_, attribute, _) in enumerate(KINDS) if attribute in {"error", "result"}}
    assert set(answered) == {f"s{n}" for n in range(len(KINDS))} - silent
    assert set(answered.values()) == {STRANGER}
    assert [(e["verdict"], e["rule"]) for e in outside.events(from_=client.jid)] == [("refused", "stranger")] * len(
        KINDS
    )
    outside.client("erik").message(CAROL, "<body>marker</body>")
    carol.heard("marker")
    for other in (carol, dave):
        other.settle()
        # alice's server asks carol for her presence, by itself
        asked = {"subscribe"} if other is carol and name == "alice" else set()
        assert not [e for e in other.seen if name in (e.get("from") or "") and e.get("type") not in asked]


def formatted(inner: str) -> str:
    """Returns formatted text (XEP-0071)."""
    body = f"<body xmlns='http://www.w3.org/1999/xhtml'>{inner}</body>"
    return f"<html xmlns='http://jabber.org/protocol/xhtml-im'>{body}</html>"


COPY = (
    "<{0} xmlns='{1}'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='bob@ext.test.example' "
    "to='alice@ext.test.example' type='chat'><body>I am bob</body></message></forwarded></{0}>"
)
FORM = "<x xmlns='jabber:x:data' type='form'><field var='a'/></x>"
CARRIERS = {
    "carbon": ("forged", COPY.format("received", "urn:xmpp:carbons:2")),
    "archive": ("forged", COPY.format("result", "urn:xmpp:mam:2")),
    "call": ("calls", "<propose xmlns='urn:xmpp:jingle-message:0' id='x'/>"),
    "invite-to-call": ("calls", "<invite xmlns='urn:xmpp:call-invites:0'/>"),
    "in-band": ("transfer", "<data xmlns='http://jabber.org/protocol/ibb' seq='0' sid='s'>AAAA</data>"),
    "bits": ("transfer", "<body>x</body><data xmlns='urn:xmpp:bob' cid='c'>AAAA</data>"),
    "file": (
        "transfer",
        "<propose xmlns='urn:xmpp:jingle-message:0' id='x'>"
        "<description xmlns='urn:xmpp:jingle:apps:file-transfer:5'/></propose>",
    ),
    "mediated": ("invitation", f"<x xmlns='{MUC_USER}'><invite to='{ALICE}'/></x>"),
    "mediated-from": ("invitation", f"<x xmlns='{MUC_USER}'><invite from='{DAVE}'/></x>"),
    "declined": ("invitation", f"<x xmlns='{MUC_USER}'><decline to='{ALICE}'/></x>"),
    "direct": ("invitation", "<x xmlns='jabber:x:conference' jid='room@rooms.partner.example'/>"),
    "direct-in-words": ("invitation", "<body>join</body><x xmlns='jabber:x:conference' jid='r@x.example'/>"),
    "room-status": ("partner-payload", f"<x xmlns='{MUC_USER}'><status code='104'/></x>"),
    "notification": (
        "partner-payload",
        f"<event xmlns='{PUBSUB}#event'><items node='urn:xmpp:avatar:metadata'/></event>",
    ),
    "form": ("partner-payload", FORM),
    "contacts": (
        "partner-payload",
        "<x xmlns='http://jabber.org/protocol/rosterx'><item jid='mallory@hostile.example'/></x>",
    ),
    "old-contacts": ("partner-payload", "<x xmlns='jabber:x:roster'><item jid='mallory@hostile.example'/></x>"),
    "confirmation": (
        "partner-payload",
        "<confirm xmlns='http://jabber.org/protocol/http-auth' id='a' url='http://x'/>",
    ),
    "addresses": (
        "partner-payload",
        "<addresses xmlns='http://jabber.org/protocol/address'><address type='ofrom'/></addresses>",
    ),
    "unknown": ("partner-payload", "<body>x</body><anything xmlns='urn:x'/>"),
    "hidden": ("partner-payload", "<body>x</body><thread>1<anything xmlns='urn:x'/></thread>"),
    "omemo": (
        "partner-payload",
        "<body>x</body><encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/></encrypted>",
    ),
    "named-encryption": ("partner-payload", "<body>?OTR:x</body><encryption xmlns='urn:xmpp:eme:0' namespace='otr'/>"),
    "openpgp": ("partner-payload", "<body>x</body><openpgp xmlns='urn:xmpp:openpgp:0'>AAAA</openpgp>"),
    "script": ("partner-payload", formatted("<p><script/></p>")),
    "script in an address": ("partner-payload", formatted("<a href='java&#10;script:alert(1)'>x</a>")),
    "script at an element": ("partner-payload", formatted("<p onmouseover='alert(1)'>x</p>")),
    "picture": ("partner-payload", formatted("<img src='https://news.example/x.png' alt='x'/>")),
    "picture in the text": ("partner-payload", formatted("<img src='data:image/png;base64,AAAA'/>")),
    "address of a program": ("partner-payload", formatted("<a href='smb://news.example/x'>x</a>")),
    "media-sharing": (
        "partner-payload",
        "<reference xmlns='urn:xmpp:reference:0'><media-sharing xmlns='urn:xmpp:sims:1'/></reference>",
    ),
    "file-sharing": ("partner-payload", "<file-sharing xmlns='urn:xmpp:sfs:0'/>"),
    "forwarded": (
        "partner-payload",
        "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'><body>x</body></message></forwarded>",
    ),
}


@pytest.mark.parametrize("direction", ["in", "out"])
def test_nothing_rides_on_a_message(outside: Outside, direction: str) -> None:
    if direction == "in":
        border = Border(outside)
    alice, carol = outside.client("alice", resource="two"), outside.visitor("carol")
    for name, (rule, inner) in CARRIERS.items():
        for kind in ("chat", "normal", "headline"):
            outside.mark()
            if direction == "in":
                border.say("message", kind, inner, number="ride")
                border.barrier()
                found = [(verdict, why) for _, verdict, why in border.events()]
                assert not [e for e in border.alice.seen if e.get("id") == "ride"]
            else:
                alice.message(CAROL, inner, kind, "ride")
                alice.settle()
                assert error_of(alice.find("message", id="ride")[-1])[1] in {"not-allowed", "service-unavailable"}
                found = [(e["verdict"], e["rule"]) for e in outside.events(from_=alice.jid)]
            assert found == [("refused", rule)], (name, kind)
    if direction == "out":
        alice.message(CAROL, "<body>marker</body>")
        carol.heard("marker")
        assert not [e for e in carol.seen if e.get("id") == "ride"]


PERMITTED = (
    "<thread>t</thread><active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/>"
    "<markable xmlns='urn:xmpp:chat-markers:0'/><replace xmlns='urn:xmpp:message-correct:0' id='x'/>"
    "<origin-id xmlns='urn:xmpp:sid:0' id='x'/><store xmlns='urn:xmpp:hints'/>"
    "<reply xmlns='urn:xmpp:reply:0' id='x'/>"
    "<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body start='0' end='1'/></fallback>"
    "<reactions xmlns='urn:xmpp:reactions:0' id='x'><reaction>+</reaction></reactions>"
    "<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>"
    "<p style='background: url(https://news.example/x.png)' class='c' title='t'>hi <em>you</em> "
    "<a href='https://news.example/x' style='color: red'>there</a></p></body></html>"
)


def test_what_clients_add_to_messages_crosses_both_ways(outside: Outside) -> None:
    alice, carol = outside.client("alice"), outside.visitor("carol")
    for writer, reader in ((alice, carol), (carol, alice)):
        writer.message(reader.bare, f"<body>all of it</body>{PERMITTED}")
        got = reader.heard("all of it")
        names = {child.tag.split("}")[1] for child in got}
        assert {"thread", "active", "request", "markable", "replace", "store", "reply", "fallback", "html"} <= names
        page = "{http://www.w3.org/1999/xhtml}"
        (words,), (link,) = got.iter(f"{page}p"), got.iter(f"{page}a")
        assert (words.attrib, link.attrib) == ({"title": "t"}, {"href": "https://news.example/x"})
    assert [e["verdict"] for e in outside.events(kind="message")] == ["allowed", "allowed"]


ODD = {
    "no id": "<iq type='get' from='{0}' to='{1}'><ping xmlns='urn:xmpp:ping'/></iq>",
    "no type": "<iq id='odd' from='{0}' to='{1}'><ping xmlns='urn:xmpp:ping'/></iq>",
    "an unknown type": "<iq type='x' id='odd' from='{0}' to='{1}'><ping xmlns='urn:xmpp:ping'/></iq>",
    "no child": "<iq type='get' id='odd' from='{0}' to='{1}'/>",
    "two children": "<iq type='get' id='odd' from='{0}' to='{1}'><ping xmlns='urn:xmpp:ping'/><x xmlns='u'/></iq>",
    "an unknown presence": "<presence type='x' id='odd' from='{0}' to='{1}'/>",
    "an unknown message": "<message type='x' id='odd' from='{0}' to='{1}'><body>odd</body></message>",
    "very deep": f"<message id='odd' from='{{0}}' to='{{1}}'>{'<x>' * 40}{'</x>' * 40}</message>",
    "very broad": f"<message id='odd' from='{{0}}' to='{{1}}'>{'<x/>' * 1100}</message>",
    "very long": f"<message id='odd' from='{{0}}' to='{{1}}' {' '.join(f'a{n}={n!r}' for n in map(str, range(70)))}/>",
}


@pytest.mark.parametrize("name", list(ODD))
@pytest.mark.parametrize("to", [ALICE, f"{ALICE}/one"])
def test_what_is_built_oddly(border: Border, name: str, to: str) -> None:
    border.peer.write(ODD[name].format(f"{CAROL}/x", to))
    border.barrier()
    assert [(verdict, rule) for _, verdict, rule in border.events()] == [("refused", "malformed")]
    assert not [e for e in border.alice.seen if e.get("id") == "odd"]


NO_ADDRESSES = ("a@@b", "@", "alice@", "@ext.test.example/x", f"{'n' * 1100}@{PARTNER}", f"a b@{PARTNER}", "x@y..z /")


@pytest.mark.parametrize("name", ["message", "presence", "iq"])
def test_what_has_an_address_that_is_none(border: Border, name: str) -> None:
    kind = {"message": "chat", "iq": "get"}.get(name, "")
    for address in NO_ADDRESSES:
        border.say(name, kind, "<body>x</body>", address, number="none")
        border.say(name, kind, "<body>x</body>", sender=address, number="none")
    border.say(name, kind, "<body>x</body>", "a@@b", sender=f"mallory@{HOSTILE}/x", number="none")
    border.barrier()
    fields = ("from", "to", "kind", "verdict", "rule", "direction")
    found = [tuple(e[f] for f in fields) for e in border.outside.events(stanza_id="none")]
    by_carol = (f"{CAROL}/x", DOMAIN, name, "refused", "malformed", "in")
    nameless = (PARTNER, ALICE, name, "refused", "malformed", "in")
    of_another = (PARTNER, DOMAIN, name, "refused", "malformed", "in")
    assert found == [by_carol, nameless] * len(NO_ADDRESSES) + [of_another]
    # nobody is told anything: the stream stays, the log does not take the address
    assert not border.outside.events(kind="stream")
    assert border.outside.sh("grep -c 'a@@b' /var/log/prosody/prosody.log || true").strip() == "0"


def test_answers_that_nobody_asked_for(border: Border) -> None:
    for to in (ALICE, border.alice.jid):
        for name in ("message", "presence", "iq"):
            border.say(name, "error", "<body>buy</body>" + GONE, to, number="u")
        border.say("iq", "result", "<query xmlns='http://jabber.org/protocol/disco#info'/>", to, number="u")
        border.say("iq", "result", "", to, number="disco")  # the id by which Prosody itself asks for capabilities
    border.barrier()
    assert [(verdict, rule) for _, verdict, rule in border.events()] == [("refused", "unasked")] * 10
    assert not [e for e in border.alice.seen if e.get("id") in {"u", "disco"}]


def test_an_answer_from_somebody_else(border: Border) -> None:
    border.alice.write(f"<iq type='get' id='q' to='{CAROL}/x'><ping xmlns='urn:xmpp:ping'/></iq>")
    border.alice.settle()
    border.outside.mark()
    border.say("iq", "result", "", border.alice.jid, number="q", sender=f"{CAROL}/other")
    border.say("iq", "result", "", f"{ALICE}/other", number="q")
    border.barrier()
    assert not [e for e in border.alice.seen if e.get("id") == "q" and e.get("type") == "result"]
    rules = [e["rule"] for e in border.outside.events(kind="iq")]
    assert rules == ["unasked", "unasked"]


LINKS = {
    "out-of-band": "<x xmlns='jabber:x:oob'><url>https://good.example/x</url></x>",
    "aesgcm": "<body>aesgcm://elsewhere.example/x#1</body>",
    "capitals": "<body>see HTTPS://FILES.PARTNER.EXAMPLE/x.exe</body>",
    "second body": "<body>fine</body><body xml:lang='de'>https://partner.example/x</body>",
    "xhtml": formatted("<a href='https://partner.example/x'>click</a>"),
    "data": "<body>data:image/png;base64,AAAA</body>",
    "number": "<body>https://127.0.0.2/x.exe</body>",
    "other number": "<body>http:0x7f000001</body>",
    "long number": "<body>https://[::1]/x</body>",
    "number in formatted text": formatted("<a href='http://127.1/x'>click</a>"),
    "subject": "<subject>https://partner.example/x</subject>",
}


def test_links_to_files_of_partners_follow_the_policy(outside: Outside) -> None:
    border = Border(outside)
    for name, inner in LINKS.items():
        outside.mark()
        border.say("message", "chat", "<body>look</body>" + inner, number=name)
        border.barrier()
        assert [(verdict, rule) for _, verdict, rule in border.events()] == [("refused", "partner-link")], name
        assert not [e for e in border.alice.seen if e.get("id") == name]
    border.say("message", "chat", "<body>https://news.example/partner.example</body>", number="elsewhere")
    border.alice.heard("https://news.example/partner.example")
    # what one of ours writes is hers
    carol = outside.visitor("carol")
    border.alice.message(CAROL, "<body>https://partner.example/yours</body>")
    carol.heard("https://partner.example/yours")
    outside.change(partner_links="permit")
    for name, inner in LINKS.items():
        outside.mark()
        border.say("message", "chat", "<body>look</body>" + inner, number=name)
        if name == "data":  # no link but the file itself: it would come in unscanned
            border.barrier()
            assert [(verdict, rule) for _, verdict, rule in border.events()] == [("refused", "transfer")]
        else:
            border.alice.came(lambda e, n=name: e.get("id") == n)  # type: ignore[misc]


def test_a_message_has_a_length(outside: Outside) -> None:
    border = Border(outside)
    outside.mark()
    # in lines: the parser keeps a long piece to itself until a good deal more has come
    long = f"{'x' * 99}\n" * 170
    border.say("message", "chat", f"<body>{long}</body>", number="long")
    border.barrier()
    assert [(verdict, rule) for _, verdict, rule in border.events()] == [("refused", "length")]
    assert not [e for e in border.alice.seen if e.get("id") == "long"]
    carol = outside.visitor("carol")
    border.alice.message(CAROL, f"<body>{long}</body>", number="mine")
    border.alice.settle()
    assert error_of(border.alice.find("message", id="mine")[0])[1] == "not-acceptable"
    border.alice.message(CAROL, f"<body>{long[:16000]}</body>")
    carol.heard(long[:16000])


def test_no_file_between_own_devices_either(outside: Outside) -> None:
    """There is no files service here, so there is no address that a program may fetch by itself."""
    alice, own = outside.client("alice"), outside.client("alice", resource="two")
    for inner in (
        "<data xmlns='urn:xmpp:bob' cid='c'>AAAA</data>",
        "<body>x</body><x xmlns='jabber:x:oob'><url>https://files.test.example/x</url></x>",
        "<body>data:text/html,x</body>",
    ):
        outside.mark()
        alice.message(own.jid, inner, number="mine")
        alice.settle()
        own.settle()
        assert not [e for e in own.seen if e.get("id") == "mine"]
        assert [(e["verdict"], e["rule"]) for e in outside.events(from_=alice.jid)] == [("refused", "transfer")]
    item = "<item id='1'><data xmlns='urn:xmpp:avatar:data'>AA</data></item>"
    picture = f"<publish node='urn:xmpp:avatar:data'>{item}</publish>"
    assert error_of(alice.ask("set", f"<pubsub xmlns='{PUBSUB}'>{picture}</pubsub>"))[1] == "service-unavailable"
    alice.message(own.jid, "<body>note</body>")
    own.heard("note")


def test_links_to_a_partner_s_servers_elsewhere_are_its_own(outside: Outside) -> None:
    outside.change(partners={PARTNER: partner("alice", servers=["xmpp.hoster.example"])})
    border = Border(outside)
    for number, text in enumerate(
        (
            "https://files.hoster.example/x",
            "hoster.example/x",
            "https:xmpp.hoster.example",
            f"www.{PARTNER}",
            f"{PARTNER}/x",
        )
    ):
        outside.mark()
        border.say("message", "chat", f"<body>{text}</body>", number=f"h{number}")
        border.barrier()
        assert [(verdict, rule) for _, verdict, rule in border.events()] == [("refused", "partner-link")], text
    border.say("message", "chat", f"<body>write to carol@{PARTNER}, not at hoster.example</body>")
    border.alice.heard(f"write to carol@{PARTNER}, not at hoster.example")


def test_a_whole_domain(outside: Outside) -> None:
    """Everybody there may be written to; those on the list are in the contact list."""
    outside.change(partners={PARTNER: partner("alice", whole_domain=True)})
    alice, dave = outside.client("alice"), outside.visitor("dave")
    assert set(alice.roster()) == {CAROL}
    dave.message(ALICE, "<body>from dave</body>")
    alice.heard("from dave")
    alice.message(DAVE, "<body>to dave</body>")
    dave.heard("to dave")
    outside.forget("dave")
    dave.write(f"<presence type='subscribe' to='{ALICE}'/>")
    dave.presence(ALICE, "subscribed")
    dave.presence(alice.jid)
    dave.write(f"<presence type='probe' to='{ALICE}'/>")
    dave.presence(alice.jid)
    dave.message(f"bob@{DOMAIN}")
    dave.until(lambda e: error_of(e) == STRANGER)
    outside.change()
    alice.settle()
    number = dave.message(ALICE)
    assert error_of(dave.until(lambda e: e.get("id") == number)) == STRANGER


def test_nothing_refused_is_kept(border: Border) -> None:
    """Not in the archive, not for later, not on other devices."""
    second = border.outside.client("alice", resource="two")
    second.ask("set", "<enable xmlns='urn:xmpp:carbons:2'/>")
    border.say("message", "chat", "<body>never kept</body>", number="a", sender=f"{DAVE}/x")
    border.say("message", "chat", "<body>never kept</body><x xmlns='jabber:x:oob'/>", number="b")
    border.say("message", "chat", "<body>never kept</body>", f"bob@{DOMAIN}", number="c")
    border.barrier()
    for client in (second, border.outside.client("bob")):
        client.ask("set", "<query xmlns='urn:xmpp:mam:2'/>")
        assert "never kept" not in "".join("".join(e.itertext()) for e in client.seen)


def test_the_clients_own_subscriptions_stay_refused(outside: Outside) -> None:
    alice, carol = outside.client("alice"), outside.visitor("carol")
    for kind in ("subscribe", "subscribed", "unsubscribe", "unsubscribed"):
        outside.mark()
        alice.write(f"<presence type='{kind}' to='{CAROL}' id='{kind}'/>")
        alice.settle()
        assert error_of(alice.find("presence", id=kind)[0])[:2] == ("cancel", "not-allowed")
        assert [(e["verdict"], e["rule"]) for e in outside.events(from_=alice.jid)] == [("refused", "roster-locked")]
    alice.message(CAROL, "<body>marker</body>")
    carol.heard("marker")
    assert not [e for e in carol.find("presence") if (e.get("type") or "").startswith("unsub")]
    assert CAROL in alice.roster()


def test_a_blocked_contact_is_blocked(outside: Outside) -> None:
    border = Border(outside)
    alice = border.alice
    try:
        alice.ask("set", f"<block xmlns='urn:xmpp:blocking'><item jid='{CAROL}'/></block>")
        border.say("message", "chat", "<body>blocked</body>")
        alice.settle()
        assert "blocked" not in alice.bodies()
    finally:
        alice.ask("set", "<unblock xmlns='urn:xmpp:blocking'/>")
    border.barrier()


def test_what_is_published_stays_here(outside: Outside) -> None:
    """The contact's program asks to be notified; neither it nor the server is told what a person publishes."""
    alice, carol = outside.client("alice"), outside.visitor("carol", available=False)
    carol.write(f"<presence type='subscribed' to='{ALICE}'/><presence type='subscribe' to='{ALICE}'/>")
    carol.write("<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='x' ver='new'/></presence>")
    carol.settle()
    mood = "http://jabber.org/protocol/mood"
    item = (
        f"<pubsub xmlns='{PUBSUB}'><publish node='{mood}'><item id='1'><mood xmlns='{mood}'/></item></publish></pubsub>"
    )
    assert alice.ask("set", item).get("type") == "result"
    alice.message(CAROL, "<body>marker</body>")
    carol.heard("marker")
    assert not [e for e in carol.find("message") if e.find(f"{{{PUBSUB}#event}}event") is not None]
    assert not [e for e in carol.find("iq") if ALICE in (e.get("from") or "")]
    assert not outside.events(verdict="refused")


def test_words_for_the_rooms_of_others(outside: Outside) -> None:
    alice = outside.client("alice")
    alice.write(
        f"<presence to='room@rooms.{PARTNER}/alice' id='j'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
    )
    alice.message(f"room@rooms.{PARTNER}", kind="groupchat", number="g")
    alice.message(CAROL, kind="groupchat", number="c")
    alice.message(f"x@{HOSTILE}", number="h")
    alice.settle()
    rules = {e["stanza_id"]: e["rule"] for e in outside.events(from_=alice.jid)}
    assert rules == {"j": "foreign-domain", "g": "foreign-domain", "c": "partner-room", "h": "foreign-domain"}
    assert f"rooms.{PARTNER}" not in " ".join(outside.asked_names())
