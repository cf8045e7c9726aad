# SPDX-License-Identifier: GPL-3.0-or-later
"""Stanzas that are small on the wire and huge in memory: Prosody keeps a namespace's name once for each use of it.

Whoever sends one, a partner, a stranger at a partner's or a colleague: her stream ends, and nobody else notices.
"""

from __future__ import annotations

import contextlib
import ssl
import time
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from decision_point.client import DOMAIN as INTERNAL
from decision_point.client import STREAM, Stream
from decision_point.outside import DOMAIN, PARTNER, certificates

if TYPE_CHECKING:
    from decision_point.client import Client
    from decision_point.outside import Outside
    from decision_point.server import Server

ALICE = f"alice@{DOMAIN}"
QUICK = 1.0  # seconds
AT_MOST = 60_000  # KiB that the server's memory may grow by; the worst of these take up to ten times as much when kept
MORE = " " * 150_000  # the parser keeps a long piece to itself until more has come
PROCESS = "/proc/$(cat /run/prosody/prosody.pid)"
NAME = "urn:" + "n" * 30_000
ATTRIBUTES = " ".join(f"p:a{number}=''" for number in range(1200))
SWELLING = {
    "elements in one namespace": f"<x xmlns='{NAME}'>{'<a/>' * 5000}</x>",
    "attributes in one namespace": f"<x xmlns:p='{NAME[:12_000]}' {ATTRIBUTES}/>",
    "attributes of many elements": f"<x xmlns:p='{NAME}'>" + "<a p:a='' p:b='' p:c=''/>" * 900 + "</x>",
    "a prefix on each element": f"<x xmlns:p='{NAME}'>{'<p:a/>' * 5000}</x>",
    "more elements than any stanza has": f"<x xmlns='urn:x'>{'<a/>' * 1500}</x>",
}
PLACES = ("<message type='chat' {a} id='w'>{t}</message>", "<iq type='set' {a} id='w'>{t}</iq>")


def memory(server: Server, field: str) -> int:
    """Returns a figure of the server's memory, in KiB."""
    return int(server.ask(f"grep {field}: {PROCESS}/status").split()[1])


def ends(stream: Stream) -> bool:
    """Returns whether the server ends this stream."""
    with contextlib.suppress(ConnectionError, ssl.SSLError, ElementTree.ParseError):
        try:
            while (element := stream.read(5)) is not None:
                if element.tag == f"{STREAM}error":
                    return True
        except TimeoutError:
            return False
    return True


def endured(server: Server, sender: Stream, text: str, other: Client) -> None:
    """Sends something that swells; the stream must end by it, the memory must not grow, others must be answered."""
    before = memory(server, "VmRSS")
    server.sh(f"echo 5 > {PROCESS}/clear_refs")  # the highest figure begins anew
    with contextlib.suppress(OSError):  # the stream may end before all of it was written
        sender.write(text + MORE)
    time.sleep(0.05)
    begun = time.monotonic()
    other.settle(timeout=60)
    taken = time.monotonic() - begun
    grown = memory(server, "VmHWM") - before
    print(f"{len(text)} bytes: {grown / 1024:.0f} MB more, an answer took {taken * 1000:.0f} ms")
    assert grown < AT_MOST
    assert taken < QUICK
    assert ends(sender)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", SWELLING)
@pytest.mark.parametrize("sender", ["carol", "nobody"])
def test_from_a_partner(outside: Outside, sender: str, kind: str, place: str) -> None:
    alice = outside.client("alice")
    peer = outside.peer(PARTNER, certificates()[PARTNER]).prove()
    outside.eventually(1, kind="stream", direction="in", type="established", address=peer.socket.getsockname()[0])
    outside.mark()
    stanza = place.replace("{a}", f"from='{sender}@{PARTNER}/x' to='{ALICE}'").replace("{t}", SWELLING[kind])
    endured(outside, peer, stanza, alice)
    (event,) = outside.eventually(1, verdict="refused")
    assert (event["kind"], event["type"], event["rule"]) == ("stream", "closed", "malformed")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", SWELLING)
def test_from_a_colleague(server: Server, kind: str, place: str) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    stanza = place.replace("{a}", f"to='bob@{INTERNAL}'").replace("{t}", SWELLING[kind])
    endured(server, alice, stanza, bob)


@pytest.mark.parametrize("kind", SWELLING)
def test_from_one_of_ours_outside(outside: Outside, kind: str) -> None:
    alice, erik = outside.client("alice"), outside.client("erik")
    endured(outside, alice, f"<message to='carol@{PARTNER}'>{SWELLING[kind]}</message>", erik)


def test_a_stanza_that_is_never_finished(server: Server) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    text = SWELLING["elements in one namespace"].removesuffix("</x>")
    endured(server, alice, f"<message to='bob@{INTERNAL}'>{text}", bob)


@pytest.mark.parametrize("port", [5222, 5269])
def test_before_anything_is_proven(outside: Outside, port: int) -> None:
    """There are 10,000 bytes for it, and the same holds within them; what is declared there holds for all."""
    alice = outside.client("alice")
    kind = "client" if port == 5222 else "server"
    for name, inner in ((NAME[:4000], ""), ("urn:x", "<x>" + "<a/>" * 1500 + "</x>")):
        header = f"xmlns='jabber:{kind}' from='{PARTNER}' to='{DOMAIN}' version='1.0' xmlns:p='{name}'"
        stranger = Stream(outside.address, port, header)
        outside.clients.append(stranger)
        stranger.open("")
        endured(outside, stranger, inner, alice)
