# SPDX-License-Identifier: GPL-3.0-or-later
"""R11: a file reaches others by the site's file service only, where it is scanned; no other path carries one."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from system.attempts import VERDICT, arrives, from_friend, from_server, one_refusal, refused_between, void
from system.controls import Breakage, Seen, control
from system.site_facts import SiteFacts
from system.talk import Client, Events, fresh, why

TRANSFERS = VERDICT.replace("verdict", "transfers")
# what a program begins with, and enough of it to be more than an id
BLOB = base64.b64encode(b"MZ\x90\0 a file that nobody looked at " + bytes(range(200))).decode()
PUBSUB, BITS, IBB = "http://jabber.org/protocol/pubsub", "urn:xmpp:bob", "http://jabber.org/protocol/ibb"
JINGLE, FILE = "urn:xmpp:jingle:1", "urn:xmpp:jingle:apps:file-transfer:5"
# a node that no program uses, so that trying it changes nothing of anybody's
NODE = "urn:sallyport:probe"
NICK = "http://jabber.org/protocol/nick"

ANYTHING_GOES = Breakage(VERDICT, r"if facts\.carries then return M\.refuse\(facts\.carries\); end", "")


def _offer(transport: str) -> str:
    return (
        f"<jingle xmlns='{JINGLE}' action='session-initiate' sid='s'><content creator='initiator' name='f'>"
        f"<description xmlns='{FILE}'><file><name>a.exe</name></file></description>"
        f"<transport xmlns='urn:xmpp:jingle:transports:{transport}' sid='t'/></content></jingle>"
    )


def _listed(names: Iterable[str]) -> str:
    words = ", ".join(names)
    return words[0].upper() + words[1:]


BETWEEN_DEVICES = {
    "a file over SOCKS5": _offer("s5b:1"),
    "a file in band": _offer("ibb:1"),
    "a file over ICE": _offer("ice-udp:1"),
    "bytes in band": f"<data xmlns='{IBB}' seq='0' sid='s'>{BLOB}</data>",
    "an old stream": "<si xmlns='http://jabber.org/protocol/si' profile='http://jabber.org/protocol/si/profile/file-transfer'/>",
    "bytes over SOCKS5": "<query xmlns='http://jabber.org/protocol/bytestreams' sid='s'/>",
    "an address on a device": "<query xmlns='jabber:iq:oob'><url>http://192.0.2.1/a.exe</url></query>",
    "bits of binary": f"<data xmlns='{BITS}' cid='c'>{BLOB}</data>",
    "a card with a picture": f"<vCard xmlns='vcard-temp'><PHOTO><BINVAL>{BLOB}</BINVAL></PHOTO></vCard>",
}


@control(
    id="R11-transfers-between-devices",
    practice="R11",
    says="No file goes from desktop to desktop past the server, in whatever way a program offers it.",
    permitted="A message to the same colleague; a question to the colleague's program.",
    forbidden="Offering and sending a file, in nine ways.",
    breakage=ANYTHING_GOES,
)
def test_between_devices(client: Callable[[str], Client], events: Events, seen: Seen) -> None:
    person, friend = client("probe-a"), client("probe-b")
    answer = person.ask("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", to=friend.full)
    assert answer.get("type") == "result", f"a question to a colleague's program was answered with {why(answer)}"
    seen("A question to a colleague's program was answered.")
    for payload in BETWEEN_DEVICES.values():
        refused_between(
            person,
            friend,
            lambda number, payload=payload: f"<iq type='set' to='{friend.full}' id='{number}'>{payload}</iq>",  # type: ignore[misc]
            events=events,
            later=from_friend(person, friend),
            rule="transfer",
            condition="service-unavailable",
        )
    seen(f"{_listed(BETWEEN_DEVICES)}: each refused at once, not delivered, one event (transfer).")


WRITTEN = {
    "bits of binary": ("transfer", f"<data xmlns='{BITS}' cid='c'>{BLOB}</data>"),
    "bytes in band": ("transfer", f"<data xmlns='{IBB}' seq='0' sid='s'>{BLOB}</data>"),
    "a file as an address": ("transfer", f"<body>data:application/x-msdownload;base64,{BLOB}</body>"),
    "a file elsewhere, to be fetched": (
        "transfer",
        "<body>x</body><x xmlns='jabber:x:oob'><url>https://files.example/a.exe</url></x>",
    ),
    "a picture elsewhere, to be fetched": (
        "transfer",
        "<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>"
        "<img src='https://files.example/a.png' alt='x'/></body></html>",
    ),
    "something that nobody knows": ("transfer", f"<body>x</body><file xmlns='urn:sallyport:probe'>{BLOB}</file>"),
    "words without end": ("length", f"<body>{(BLOB + chr(10)) * 60}</body>"),
    "something encrypted from end to end": (
        "encrypted",
        f"<body>x</body><encrypted xmlns='urn:xmpp:omemo:2'><payload>{BLOB}</payload></encrypted>",
    ),
}
CONDITIONS = {"transfer": "service-unavailable", "length": "not-acceptable", "encrypted": "not-acceptable"}


@control(
    id="R11-transfers-in-messages",
    practice="R11",
    says="A message carries words, and links to files that were scanned; it carries no file.",
    permitted="A message with a link to the site's own files service.",
    forbidden="A file in a message, or an address that a program fetches by itself; to a colleague and a room.",
    breakage=Breakage(
        TRANSFERS, r'if bytes > LONGEST\.message then return "length"; end', "if true then return nil; end"
    ),
)
def test_in_messages(facts: SiteFacts, client: Callable[[str], Client], events: Events, seen: Seen) -> None:
    person, friend = client("probe-a"), client("probe-b")
    url = f"https://{facts.files}:5281/file_share/{fresh('file')}/a.png"
    text = f"<body>{url}</body><x xmlns='jabber:x:oob'><url>{url}</url></x>"
    arrives(person, friend, f"<message to='{friend.bare}' type='chat' id='{fresh('m')}'>{text}</message>", url)
    seen("A link to a file at the files service arrived.")
    room = f"probes@{facts.rooms}"
    for member in (person, friend):
        assert member.join(room) is not None, f"{room} did not let {member.bare} in"
    try:
        for words, (rule, payload) in WRITTEN.items():
            # a control of its own says what follows from that choice
            if rule == "encrypted" and facts.sallyport.get("end_to_end_encryption") == "permit":
                continue
            for kind, to in (("chat", friend.bare), ("groupchat", room)):
                refused_between(
                    person,
                    friend,
                    lambda number, kind=kind, to=to, payload=payload: (  # type: ignore[misc]
                        f"<message to='{to}' type='{kind}' id='{number}'>{payload}</message>"
                    ),
                    events=events,
                    later=from_friend(person, friend),
                    rule=rule,
                    condition=CONDITIONS[rule],
                )
            seen(
                f"{words[0].upper()}{words[1:]}, to a colleague and to a room: refused, not delivered, one "
                f"event ({rule})."
            )
    finally:
        for member in (person, friend):
            member.leave(room)


@control(
    id="R11-transfers-with-presence",
    practice="R11",
    says="What is told to all contacts at once, that somebody is there, carries no file.",
    permitted="Presence with words.",
    forbidden="Presence with a picture or another file in it, to all and to one.",
    breakage=Breakage(
        TRANSFERS, r'if bytes > LONGEST\.presence then return "length"; end', "if true then return nil; end"
    ),
)
def test_with_presence(client: Callable[[str], Client], events: Events, seen: Seen) -> None:
    person, friend = client("probe-a"), client("probe-b")
    text, since = fresh("there"), friend.mark()
    person.send(f"<presence><status>{text}</status></presence>")
    assert friend.wait(since, 5, tag="presence", contains=[text]) is not None, "presence with words did not arrive"
    seen("Presence with words arrived.")
    for words, payload in (
        ("a picture", f"<x xmlns='vcard-temp:x:update'><photo>{BLOB}</photo></x>"),
        ("bits of binary", f"<data xmlns='{BITS}' cid='c'>{BLOB}</data>"),
    ):
        for target in ("", f" to='{friend.bare}'"):
            refused_between(
                person,
                friend,
                lambda number, target=target, payload=payload: f"<presence id='{number}'{target}>{payload}</presence>",  # type: ignore[misc]
                events=events,
                later=from_friend(person, friend),
                rule="transfer",
                condition="service-unavailable",
            )
        seen(f"{words[0].upper()}{words[1:]}, to all and to one: refused, nobody saw it, one event each (transfer).")


KEPT = {
    "a node of one's own": f"<pubsub xmlns='{PUBSUB}'><publish node='{NODE}'><item id='a'>"
    f"<file xmlns='urn:x'>{BLOB}</file></item></publish></pubsub>",
    "a picture of oneself": (
        f"<pubsub xmlns='{PUBSUB}'><publish node='urn:xmpp:avatar:data'><item id='a'>"
        f"<data xmlns='urn:xmpp:avatar:data'>"
        f"{BLOB}</data></item></publish></pubsub>"
    ),
    "a card with a picture": f"<vCard xmlns='vcard-temp'><PHOTO><BINVAL>{BLOB}</BINVAL></PHOTO></vCard>",
    "private storage": f"<query xmlns='jabber:iq:private'><file xmlns='{NODE}'>{BLOB}</file></query>",
}


@contextmanager
def taken_back(person: Client) -> Iterator[None]:
    """Take back what a broken server took: of a probe's account, where nobody misses anything."""
    try:
        yield
    finally:
        for node in (NODE, "urn:xmpp:avatar:data", "urn:xmpp:avatar:metadata"):
            person.ask("set", f"<pubsub xmlns='{PUBSUB}#owner'><delete node='{node}'/></pubsub>")
        person.ask("set", "<vCard xmlns='vcard-temp'/>")
        person.ask("set", f"<query xmlns='jabber:iq:private'><file xmlns='{NODE}'/></query>")


@control(
    id="R11-transfers-left-at-the-server",
    practice="R11",
    says="Nobody can leave a file at the server but with the files service: not as a picture, a card or a setting.",
    permitted="Publishing a nickname, which a colleague reads.",
    forbidden="Leaving a file in four places; a colleague who then reads there finds nothing of it.",
    breakage=Breakage(TRANSFERS, r"return published\.refused\(payload, keys\) or ", "return "),
)
def test_left_at_the_server(client: Callable[[str], Client], events: Events, seen: Seen) -> None:
    person, friend = client("probe-a"), client("probe-b")
    name = fresh("nick")
    nick = f"<item id='current'><nick xmlns='{NICK}'>{name}</nick></item>"
    with taken_back(person):
        made = person.ask("set", f"<pubsub xmlns='{PUBSUB}'><publish node='{NICK}'>{nick}</publish></pubsub>")
        assert made.get("type") == "result", f"publishing a nickname was answered with {why(made)}"
        read = friend.ask("get", f"<pubsub xmlns='{PUBSUB}'><items node='{NICK}'/></pubsub>", to=person.bare)
        assert name in "".join(read.itertext()), "the colleague did not find the nickname"
        seen("A nickname was published, and read by a colleague.")
        for words, payload in KEPT.items():
            mark, number = events.mark(), fresh("kept")
            start = person.send(f"<iq type='set' id='{number}'>{payload}</iq>")
            answer = person.wait(start, 5, id=number)
            assert answer is not None, f"{words}: no answer"
            assert answer.get("type") == "error", f"{words}: a file was taken and kept"
            assert "service-unavailable" in why(answer), f"{words}: {why(answer)}"
            one_refusal(events, mark, number, "transfer")
            seen(f"{words[0].upper()}{words[1:]}: {why(answer)}; event iq/transfer.")
        for question in (
            *(f"<pubsub xmlns='{PUBSUB}'><items node='{node}'/></pubsub>" for node in (NODE, "urn:xmpp:avatar:data")),
            "<vCard xmlns='vcard-temp'/>",
        ):
            found = friend.ask("get", question, to=person.bare)
            assert BLOB[:40] not in "".join(found.itertext()), f"a colleague finds the file: {question[:60]}"
        seen("A colleague finds nothing of it.")


@control(
    id="R11-transfers-in-answers",
    practice="R11",
    says="A program's answer carries only what was asked for, and nothing comes that nobody asked for.",
    permitted="An answer to a question that was asked.",
    forbidden="The same answer to no question; an error that brings a file along.",
    breakage=Breakage(VERDICT, r"and facts\.device and not facts\.asked then", "and false then"),
)
def test_in_answers(client: Callable[[str], Client], events: Events, seen: Seen) -> None:
    person, friend = client("probe-a"), client("probe-b")
    answer = friend.ask("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", to=person.full)
    assert answer.get("type") == "result", f"a question was answered with {why(answer)}"
    seen("A question was answered.")
    mark, since, number = events.mark(), friend.mark(), fresh("unasked")
    person.send(f"<iq type='result' id='{number}' to='{friend.full}'><ping xmlns='urn:xmpp:ping'/></iq>")
    error = (
        f"<data xmlns='{BITS}'>{BLOB}</data><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
        f"<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>{BLOB}</text></error>"
    )
    person.send(f"<message type='error' id='{fresh('error')}' to='{friend.full}'>{error}</message>")
    last = fresh("last")
    void(person.say(friend.bare, last))
    assert friend.wait(since, 5, contains=[last]) is not None, "a permitted message did not arrive"
    assert not friend.received(since, number), "an answer that nobody asked for arrived"
    assert not friend.received(since, BLOB[:40]), "an error brought a file along"
    event = one_refusal(events, mark, number, "unasked")
    seen(
        f"An answer to no question: not delivered; event {event['kind']}/{event['rule']}. An error arrived "
        f"without the file."
    )


@control(
    id="R11-transfers-of-the-external-server",
    practice="R11",
    says="The external server carries no file either: not between people, and not for its own keeping.",
    permitted="A message to a colleague on the external server.",
    forbidden="Files in questions and messages to a colleague, and left at the server.",
    on="im_external",
    breakage=ANYTHING_GOES,
)
def test_external(
    facts: SiteFacts, external_client: Callable[[str], Client], external_events: Events, seen: Seen
) -> None:
    facts.external_server()
    person, friend = external_client("probe-a"), external_client("probe-b")
    text = fresh("hello")
    arrives(person, friend, f"<message to='{friend.bare}' id='{text}' type='chat'><body>{text}</body></message>", text)
    seen("A colleague's message arrived.")
    attempts: dict[str, Callable[[str], str]] = {}
    for words, payload in {**BETWEEN_DEVICES, "a bit": f"<data xmlns='{BITS}' cid='c'>{BLOB}</data>"}.items():
        attempts[f"{words}, asked"] = lambda n, p=payload: f"<iq type='set' to='{friend.full}' id='{n}'>{p}</iq>"  # type: ignore[misc]
    for words in ("bits of binary", "bytes in band", "a file as an address", "a file elsewhere, to be fetched"):
        payload = WRITTEN[words][1]
        attempts[f"{words}, written"] = lambda n, p=payload: f"<message to='{friend.bare}' id='{n}'>{p}</message>"  # type: ignore[misc]
    for words, payload in KEPT.items():
        attempts[f"{words}, left there"] = lambda n, p=payload: f"<iq type='set' id='{n}'>{p}</iq>"  # type: ignore[misc]
    with taken_back(person):
        for stanza in attempts.values():
            refused_between(
                person,
                friend,
                stanza,
                events=external_events,
                later=from_server(friend),
                rule="transfer",
                condition="service-unavailable",
            )
    seen(f"{_listed(attempts)}: each refused, not delivered, one event (transfer).")
