# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe as another company's server, and on the web."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from probe.remote import Probe
from probe.servers import dialback_key

HEAD = b"<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' id='n1' version='1.0'>"


def test_a_key_agrees_with_the_example_of_xep_0185() -> None:
    key = dialback_key("s3cr3tf0rd14lb4ck", "xmpp.example.com", "example.org", "D60000229F")
    assert key == "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643"


class Other(threading.Thread):
    """Stands for the server that is called: says its lines, one after each text that it waits for."""

    def __init__(self, *lines: tuple[bytes, bytes]) -> None:
        super().__init__(daemon=True)
        self.lines = lines
        self.heard = b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self) -> None:
        caller, _ = self.listener.accept()
        for wanted, line in self.lines:
            while wanted not in self.heard:
                more = caller.recv(65536)
                assert more, "the caller has gone"
                self.heard += more
            caller.sendall(line)
        caller.close()


@pytest.fixture
def probe() -> Iterator[Probe]:
    started = Probe([], "here", python=sys.executable)
    yield started
    started.close()


OPEN: dict[str, Any] = {
    "name": "s",
    "host": "127.0.0.1",
    "to": "ext.t.example",
    "sender": "partner.example",
    "mode": "clear",
}


def test_a_stream_notes_what_comes_and_why_it_ends(probe: Probe) -> None:
    other = Other(
        (b"version", HEAD + b"<stream:features/>"),
        (b"id='m1'", b"<message type='error' id='m0'/><message type='error' id='m1'/>"),
        (b"bye", b"<stream:error><policy-violation xmlns='urn:e'/></stream:error></stream:stream>"),
    )
    assert probe.do("peer_open", **OPEN, port=other.port, proof="nothing")["result"] == "accepted"
    sent = probe.do("peer_send", name="s", xml="<message id='m{n}'>{fill}</message>", times=2, fill=3)
    assert sent["taken"] == sent["size"]
    assert "m1" in probe.do("peer_wait", name="s", since=sent["next"], match={"id": "m1"}, timeout=5)["xml"]
    assert probe.do("peer_state", name="s")["open"] is True
    probe.do("peer_send", name="s", xml="bye")
    state = probe.do("peer_state", name="s", wait=5)
    assert (state["open"], state["why"], state["count"]) == (False, "policy-violation", 3)
    assert b"<message id='m0'>xxx</message><message id='m1'>xxx</message>bye" in other.heard


def test_dialback_carries_the_key_of_the_stream(probe: Probe) -> None:
    answer = (
        b"<db:result xmlns:db='jabber:server:dialback' type='error'><error><remote-server-timeout/></error></db:result>"
    )
    other = Other((b"version", HEAD + b"<stream:features/>"), (b"</db:result>", answer))
    said = probe.do("peer_open", **OPEN, port=other.port, proof="dialback", secret="s")
    assert (said["result"], said["step"], said["why"]) == ("refused", "dialback", "remote-server-timeout")
    assert dialback_key("s", "ext.t.example", "partner.example", "n1").encode() in other.heard


def test_a_certificate_is_not_shown_where_it_is_not_asked_for(probe: Probe) -> None:
    other = Other((b"version", HEAD + b"<stream:features/>"))
    said = probe.do("peer_open", **OPEN, port=other.port, proof="external")
    assert (said["step"], said["why"]) == ("features", "EXTERNAL is not offered, but nothing")


def test_a_page_is_fetched_under_another_name(probe: Probe) -> None:
    other = Other((b"\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))
    said = probe.do("fetch", host="127.0.0.1", name="t.example", tls=False, port=other.port)
    assert (said["result"], said["status"], said["start"]) == ("answered", 200, "hi")
    assert b"Host: t.example" in other.heard
    closed = probe.do("fetch_all", targets=[{"host": "127.0.0.1", "name": "t.example", "port": 1}])
    assert (closed[0]["result"], closed[0]["step"]) == ("refused", "connect")
