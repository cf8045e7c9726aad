# SPDX-License-Identifier: GPL-3.0-or-later
"""A raw XMPP client for the tests of the decision point: it sends exactly what a test says.

Libraries answer, subscribe and repair on their own; a test of what a server refuses needs a client that does not.
Prosody handles stanzas one after the other, so `settle` (a ping and its answer) is a barrier: what the server sent
to this client before is in `seen` afterwards, and a test never has to sleep.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import os
import socket
import time
from typing import TYPE_CHECKING, cast
from xml.etree import ElementTree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

DOMAIN = "im.test.example"
ROOMS = "rooms.im.test.example"
FILES = "files.im.test.example"
FOREIGN = "foreign.example"
STREAM = "{http://etherx.jabber.org/streams}"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"
TIMEOUT = 10.0

Element = ElementTree.Element
_numbers = itertools.count(1)


class SignInError(Exception):
    """Signing in failed.

    Attributes:
        condition: the SASL condition (RFC 6120, 6.5).
    """

    def __init__(self, condition: str, text: str = "") -> None:
        """Keeps the condition, and the text for the person."""
        super().__init__(f"{condition}: {text}")
        self.condition = condition
        self.text = text


class Stream:
    """One XML stream over TCP, without TLS.

    Args:
        address: the server's address.
        port: its port.
        header: attributes of the stream's opening tag.
        source: local address to connect from; "" lets the kernel choose.
    """

    def __init__(self, address: str, port: int, header: str, source: str = "") -> None:
        """Connects; `open` starts the stream."""
        self.socket = socket.create_connection((address, port), TIMEOUT, (source, 0) if source else None)
        self.header = header
        self.seen: list[Element] = []
        self.id = ""

    def open(self, version: str = " version='1.0'") -> None:
        """Starts the stream, or starts it anew after signing in."""
        self.parser: ElementTree.XMLPullParser[Element] = ElementTree.XMLPullParser(["start", "end"])
        self.depth = 0
        self.root: Element | None = None
        self.write(
            f"<?xml version='1.0'?><stream:stream {self.header}{version} "
            "xmlns:stream='http://etherx.jabber.org/streams'>"
        )

    def write(self, text: str) -> None:
        """Sends text as it is."""
        self.socket.sendall(text.encode())

    def parsed(self) -> Iterator[tuple[str, Element]]:
        """Yields what the parser has found so far: "start" or "end", and the element."""
        for found in self.parser.read_events():
            yield cast("tuple[str, Element]", found)

    def read(self, timeout: float = TIMEOUT) -> Element | None:
        """Returns the next whole element, None when the stream ended; raises TimeoutError (seconds)."""
        limit = time.monotonic() + timeout
        while True:
            for event, element in self.parsed():
                if event == "start":
                    self.depth += 1
                    if self.depth == 1:
                        self.root, self.id = element, element.get("id", "")
                    continue
                self.depth -= 1
                if self.depth == 1:
                    assert self.root is not None
                    self.root.remove(element)
                    return element
                if self.depth == 0:
                    return None
            self.socket.settimeout(max(0.01, limit - time.monotonic()))
            data = self.socket.recv(65536)
            if not data:
                return None
            self.parser.feed(data)

    def until(self, wanted: Callable[[Element], bool], timeout: float = TIMEOUT) -> Element:
        """Reads until an element fits; keeps all others in `seen`. Raises TimeoutError or ConnectionError."""
        limit = time.monotonic() + timeout
        while True:
            element = self.read(limit - time.monotonic())
            if element is None:
                raise ConnectionError("the server ended the stream")
            if wanted(element):
                return element
            self.seen.append(element)

    def came(self, wanted: Callable[[Element], bool], timeout: float = TIMEOUT) -> Element:
        """Returns an element that was seen already or waits for it; each is returned once."""
        for element in self.seen:
            if wanted(element):
                self.seen.remove(element)
                return element
        return self.until(wanted, timeout)

    def close(self) -> None:
        """Ends the connection at once."""
        self.socket.close()


def _scram(password: str, nonce: str, challenge: str) -> str:
    """Returns the last SCRAM-SHA-256 message of a client (RFC 5802, RFC 7677)."""
    fields = dict(part.split("=", 1) for part in challenge.split(","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    final = f"c={base64.b64encode(b'n,,').decode()},r={fields['r']}"
    message = f"{nonce},{challenge},{final}".encode()
    signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    return f"{final},p={base64.b64encode(proof).decode()}"


class Client(Stream):
    """A person's session.

    Args:
        address: the server's address.
        name: local part of the account.
        password: its password.
        resource: the resource to bind, "" for none chosen.
        source: local address to connect from.
        domain: the server's domain.
        port: the server's port.
    """

    def __init__(
        self,
        address: str,
        name: str,
        password: str = "",
        *,
        resource: str = "one",
        source: str = "",
        domain: str = DOMAIN,
        port: int = 5222,
    ) -> None:
        """Connects; `sign_in` does the rest."""
        super().__init__(address, port, f"xmlns='jabber:client' to='{domain}'", source)
        self.name, self.password, self.resource, self.domain = name, password or f"pw-{name}", resource, domain
        self.bare = f"{name}@{domain}"
        self.jid = f"{self.bare}/{resource}"

    def authenticate(self, again: bool = False) -> None:
        """Asks for a challenge (SCRAM-SHA-256), on a stream that is open already when `again`; raises SignInError."""
        if not again:
            self.open()
            self.until(lambda e: e.tag == f"{STREAM}features")
        first = f"n={self.name},r={base64.b64encode(os.urandom(12)).decode()}"
        text = base64.b64encode(f"n,,{first}".encode()).decode()
        self.write(f"<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256'>{text}</auth>")
        self.challenge = base64.b64decode(self._sasl_answer().text or "").decode()
        self.finish = _scram(self.password, first, self.challenge)

    def complete(self) -> None:
        """Sends the proof of the password; raises SignInError."""
        self.write(f"<response xmlns='{SASL}'>{base64.b64encode(self.finish.encode()).decode()}</response>")
        self._sasl_answer()
        self.open()
        self.until(lambda e: e.tag == f"{STREAM}features")

    def _sasl_answer(self) -> Element:
        answer = self.until(lambda e: e.tag.startswith(f"{{{SASL}}}"))
        if answer.tag.endswith("}failure"):
            text = answer.findtext(f"{{{SASL}}}text") or ""
            raise SignInError(answer[0].tag.split("}")[1], text)
        return answer

    def sign_in(self, available: bool = True) -> Self:
        """Signs in, binds the resource, asks for the contact list and becomes available."""
        self.authenticate()
        self.complete()
        resource = f"<resource>{self.resource}</resource>" if self.resource else ""
        bound = self.ask("set", f"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{resource}</bind>")
        self.jid = bound.findtext(".//{urn:ietf:params:xml:ns:xmpp-bind}jid") or ""
        self.roster()
        if available:
            self.write("<presence/>")
            self.settle()
        return self

    def ask(self, kind: str, payload: str, to: str = "", timeout: float = TIMEOUT) -> Element:
        """Sends an IQ and returns the answer, be it a result or an error."""
        number = f"q{next(_numbers)}"
        target = f" to='{to}'" if to else ""
        self.write(f"<iq type='{kind}' id='{number}'{target}>{payload}</iq>")
        return self.until(
            lambda e: e.tag.endswith("}iq") and e.get("id") == number and e.get("type") in {"result", "error"}, timeout
        )

    def settle(self, timeout: float = TIMEOUT) -> list[Element]:
        """Waits until the server has handled everything sent so far; returns all that was seen."""
        self.ask("get", "<ping xmlns='urn:xmpp:ping'/>", self.domain, timeout)
        return self.seen

    def roster(self) -> dict[str, tuple[str, str, tuple[str, ...]]]:
        """Returns the contact list: address -> (name, subscription, groups)."""
        answer = self.ask("get", "<query xmlns='jabber:iq:roster'/>")
        self.version = answer[0].get("ver", "")
        return {
            item.get("jid", ""): (
                item.get("name", ""),
                item.get("subscription", ""),
                tuple(sorted(g.text or "" for g in item)),
            )
            for item in answer[0]
        }

    def message(self, to: str, inner: str = "<body>hello</body>", kind: str = "chat", number: str = "") -> str:
        """Sends a message; returns its id."""
        number = number or f"m{next(_numbers)}"
        target = f" to='{to}'" if to else ""
        self.write(f"<message type='{kind}' id='{number}'{target}>{inner}</message>")
        return number

    def join(self, room: str, nick: str = "") -> None:
        """Sends the presence that joins a room."""
        self.write(
            f"<presence to='{room}@{ROOMS}/{nick or self.name}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        )

    def find(self, kind: str, **attributes: str) -> list[Element]:
        """Returns the seen stanzas of a kind with these attributes (`from_` stands for from)."""
        wanted = {key.rstrip("_"): value for key, value in attributes.items()}
        return [e for e in self.seen if e.tag.endswith("}" + kind) and all(e.get(k) == v for k, v in wanted.items())]

    def heard(self, text: str) -> Element:
        """Waits for a message with this text."""
        return self.came(lambda e: e.findtext("{jabber:client}body") == text)

    def presence(self, sender: str, kind: str | None = None) -> Element:
        """Waits for presence of somebody: an address, or how it begins."""
        return self.came(
            lambda e: e.tag.endswith("}presence") and (e.get("from") or "").startswith(sender) and e.get("type") == kind
        )

    def bodies(self) -> list[str]:
        """Returns the texts of all messages that were seen and are no errors."""
        return [e.findtext("{jabber:client}body") or "" for e in self.find("message") if e.get("type") != "error"]


def error_of(element: Element) -> tuple[str, str, str]:
    """Returns type, condition and text of an error stanza; ("", "", "") of any other."""
    error = element.find("{jabber:client}error")
    if error is None:
        error = element.find("{jabber:component:accept}error")
    if error is None:
        error = element.find("{jabber:server}error")
    if error is None:
        return "", "", ""
    names = [e.tag.split("}")[1] for e in error if e.tag.startswith(f"{{{STANZAS}}}")]
    condition = next(name for name in names if name != "text")
    return error.get("type", ""), condition, error.findtext(f"{{{STANZAS}}}text") or ""


class Component(Stream):
    """An external component (XEP-0114) that stands for a foreign domain."""

    def __init__(self, address: str) -> None:
        """Connects and signs in."""
        super().__init__(address, 5347, f"xmlns='jabber:component:accept' to='{FOREIGN}'")
        self.open()
        while not self.id:
            self.socket.settimeout(TIMEOUT)
            self.parser.feed(self.socket.recv(4096))
            for _, element in self.parsed():
                self.depth, self.root, self.id = 1, element, element.get("id", "")
        digest = hashlib.sha1((self.id + "test").encode()).hexdigest()
        self.write(f"<handshake>{digest}</handshake>")
        self.until(lambda e: e.tag.endswith("}handshake"))
