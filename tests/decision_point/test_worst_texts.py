# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts that are slow to look through for careless patterns: whoever sends them, everybody else is answered at once."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from decision_point.client import DOMAIN as INTERNAL
from decision_point.outside import DOMAIN, PARTNER, certificates

if TYPE_CHECKING:
    from decision_point.client import Client, Stream
    from decision_point.outside import Outside
    from decision_point.server import Server

ALICE = f"alice@{DOMAIN}"
QUICK = 1.0  # seconds; an answer takes some hundredths, a careless pattern half a minute for the first of these
TEXTS = ("a", "1", ",", " ", "a:", "a:/", "http:", "a/", "a.b/", "data:a/", "https://1", "\N{ZERO WIDTH SPACE}", "[a:")
PUBSUB = "http://jabber.org/protocol/pubsub"
XHTML = "<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>{}</body></html>"
PLACES = {
    "body": "<message type='chat' {a} id='w'><body>{t}</body></message>",
    "subject": "<message type='chat' {a} id='w'><subject>{t}</subject></message>",
    "id": "<message type='chat' {a} id='{t}'><body>x</body></message>",
    "link": "<message type='chat' {a} id='w'><x xmlns='jabber:x:oob'><url>https://{t}</url></x></message>",
    "formatted": "<message type='chat' {a} id='w'>" + XHTML.format("<p style='{t}'>{t}</p>") + "</message>",
    "address": "<message type='chat' {a} id='w'>" + XHTML.format("<a href='{t}'>x</a>") + "</message>",
    "name": "<message type='chat' {a} id='w'><x xmlns='{t}'/></message>",
    "words": "<presence {a} id='w'><status>{t}</status></presence>",
    "question": "<iq type='get' {a} id='w'><query xmlns='http://jabber.org/protocol/disco#info' node='{t}'/></iq>",
    "node": f"<iq type='set' {{a}} id='w'><pubsub xmlns='{PUBSUB}'><publish node='{{t}}'/></pubsub></iq>",
}


def stanzas(addresses: str, size: int) -> list[str]:
    """Returns one stanza for each place and each text; a place that has its text twice has half of it in each."""
    made = []
    for place in PLACES.values():
        for text in TEXTS:
            each = size // len(text.encode()) // place.count("{t}")
            made.append(place.replace("{a}", addresses).replace("{t}", text * each))
    return made


def slowest(client: Client) -> float:
    """Returns how long an answer takes that waits for whatever was sent before."""
    begun = time.monotonic()
    client.ask("get", "<ping xmlns='urn:xmpp:ping'/>", client.bare.split("@")[1], timeout=60)
    return time.monotonic() - begun


def is_over(stream: Stream) -> bool:
    """Returns whether the server has ended this stream: for a namespace, or together with what the parser had kept."""
    stream.socket.settimeout(0.01)
    try:
        while stream.socket.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    finally:
        stream.socket.settimeout(10)
    return True


# what is short enough for a message; the longest attribute that the parser does not keep; the longest stanza
@pytest.mark.parametrize("size", [14_000, 30_000, 60_000])
@pytest.mark.parametrize("sender", ["carol", "nobody"])
def test_from_a_partner(outside: Outside, sender: str, size: int) -> None:
    alice = outside.client("alice")
    peer = outside.peer(PARTNER, certificates()[PARTNER]).prove()
    worst = 0.0
    for text in stanzas(f"from='{sender}@{PARTNER}/x' to='{ALICE}'", size):
        if is_over(peer):
            peer = outside.peer(PARTNER, certificates()[PARTNER]).prove()
        try:
            peer.write(text)
        except OSError:
            # the server ended the stream for the text before only now
            peer = outside.peer(PARTNER, certificates()[PARTNER]).prove()
            # or for this one, while it was on its way
            with contextlib.suppress(OSError):
                peer.write(text)
        time.sleep(0.02)
        worst = max(worst, slowest(alice))
        assert worst < QUICK, (text[:200], worst)
    print(f"slowest answer beside {sender}'s texts: {worst * 1000:.0f} ms")


def test_to_a_colleague(server: Server) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    for text in stanzas(f"to='bob@{INTERNAL}'", 14_000):
        if is_over(alice):
            alice = server.client("alice")
        alice.write(text)
        time.sleep(0.02)
        taken = slowest(bob)
        assert taken < QUICK, (text[:200], taken)
