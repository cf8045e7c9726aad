# SPDX-License-Identifier: GPL-3.0-or-later
"""Another company's server, played by hand: a stream that claims a domain, proves it or does not, and says anything.

With a certificate of the partner's authority it is the partner; with one argument changed it is somebody else. What it
sends is text as the control wrote it, so also what no server would send. Streams stay open until they are closed, so
that a control sees when the other side ends one.

Sources: RFC 6120 (streams, SASL EXTERNAL), XEP-0220 and XEP-0185 (dialback and its keys), XEP-0288 (both directions).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import select
import shutil
import ssl
import subprocess
import tempfile
import threading
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from probe.client import matches
from probe.stream import (
    SASL,
    SERVER,
    STREAMS,
    Refused,
    Stream,
    condition,
    local_name,
    mechanisms,
    tls_context,
)

BIDI = "urn:xmpp:bidi"
DIALBACK = "jabber:server:dialback"
CHUNK = 65536
POLL_SECONDS = 0.2


def dialback_key(secret: str, to: str, sender: str, number: str) -> str:
    """Make the key that the sender's own server would call right (XEP-0185).

    Args:
        secret: The secret of that server.
        to: The domain that is asked for.
        sender: The domain that is claimed.
        number: The id that the receiving server gave the stream.

    Returns:
        The key, hexadecimal.
    """
    hashed = hashlib.sha256(secret.encode()).hexdigest()
    return hmac.new(hashed.encode(), f"{to} {sender} {number}".encode(), "sha256").hexdigest()


def show_certificate(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Let a connection show a certificate.

    Args:
        context: Settings of the attempt.
        certificate: PEM, with those between it and the authority; empty for none.
        key: Its key, PEM.
    """
    if not certificate:
        return
    # the library takes it from files only
    with tempfile.TemporaryDirectory(prefix="sallyport-probe-") as folder:
        path = f"{folder}/pair.pem"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write(f"{key}\n{certificate}")
        context.load_cert_chain(path)


def other_certificate(domain: str, certificate: str = "", key: str = "", folder: str = "/etc/prosody/certs") -> None:
    """Let the Prosody on this host show another certificate for a domain, or its own again; runs as root.

    Args:
        domain: The domain.
        certificate: What to show, PEM; empty: its own again, which is kept beside it.
        key: Its key, PEM.
        folder: Where Prosody finds them.
    """
    for name, text in ((f"{domain}.crt", certificate), (f"{domain}.key", key)):
        path, kept = Path(folder) / name, Path(folder) / f"{name}.kept"
        if text:
            if not kept.exists():
                shutil.copy2(path, kept)
            # into the same file: owner and mode stay
            path.write_text(text, encoding="utf-8")
        elif kept.exists():
            path.write_bytes(kept.read_bytes())
            kept.unlink()
    subprocess.run(["prosodyctl", "reload"], check=True, capture_output=True, timeout=30)
    time.sleep(1)


class Peer(Stream):
    """One stream to another server, which may stay open.

    Args:
        host: Address of the server.
        port: TCP port.
        timeout: Seconds for each step until it is accepted.
    """

    def __init__(self, host: str, port: int, timeout: float) -> None:
        super().__init__(host, port, timeout)
        self.received: list[str] = []
        self.why = ""
        self.ended = 0.0
        self._lock = threading.Lock()
        self._news = threading.Condition()

    def prove(self, proof: str, features: ET.Element, to: str, sender: str, secret: str) -> None:
        """Say who is calling.

        Args:
            proof: ``external`` (by the certificate), ``dialback``, or ``nothing``.
            features: What the other side offered.
            to: The domain that is asked for.
            sender: The domain that is claimed.
            secret: For dialback.

        Raises:
            Refused: With the other side's answer.
        """
        if proof == "external":
            if "EXTERNAL" not in mechanisms(features):
                raise Refused(
                    "features", f"EXTERNAL is not offered, but {', '.join(mechanisms(features)) or 'nothing'}"
                )
            name = base64.b64encode(sender.encode()).decode()
            self.send(f"<auth xmlns='{SASL}' mechanism='EXTERNAL'>{name}</auth>")
            answer = self.read("success", "failure")
            if local_name(answer) == "failure":
                raise Refused("sasl", condition(answer))
            self.open(to, SERVER, sender)
        elif proof == "dialback":
            key = dialback_key(secret, to, sender, self.number)
            self.send(f"<db:result from={quoteattr(sender)} to={quoteattr(to)}>{key}</db:result>")
            answer = self.read("result")
            if answer.get("type") != "valid":
                error = answer.find("{*}error")
                raise Refused("dialback", condition(error) if error is not None else str(answer.get("type")))

    def listen(self) -> None:
        """From now on note what comes, without being asked."""
        self.socket.setblocking(False)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while not self.ended:
            try:
                select.select([self.socket], [], [], POLL_SECONDS)
                data = self._take()
                if data is not None:
                    self._note(data)
            except (OSError, ValueError) as error:
                self._end(f"{error}")
            except Refused as error:
                self._end(error.why)

    def _take(self) -> bytes | None:
        """Return what is there, None for nothing, no bytes at all for the end."""
        with self._lock, contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            return self.socket.recv(CHUNK)
        return None

    def _note(self, data: bytes) -> None:
        if not data:
            raise Refused("stream", "the server closed the connection")
        try:
            self.parser.feed(data)
        except ET.ParseError as error:
            raise Refused("stream", f"not XML: {error}") from error
        for element in self._complete():
            if element.tag == f"{{{STREAMS}}}error":
                # the end of the stream comes after it
                self.why = condition(element)
            with self._news:
                self.received.append(ET.tostring(element, encoding="unicode"))
                self._news.notify_all()
        if self.over:
            raise Refused("stream", "the server ended the stream")

    def _end(self, why: str) -> None:
        with self._news:
            self.why = self.why or why
            self.ended = time.time()
            self._news.notify_all()

    def put(self, text: str, timeout: float) -> int:
        """Send while what comes is noted.

        Args:
            text: As it is.
            timeout: Seconds in which the other side must have taken all of it.

        Returns:
            How many bytes it took.
        """
        data, at, end = text.encode(), 0, time.monotonic() + timeout
        while at < len(data) and not self.ended and time.monotonic() < end:
            select.select([], [self.socket], [], POLL_SECONDS)
            try:
                with self._lock, contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                    at += self.socket.send(data[at : at + CHUNK])
            except OSError as error:
                self._end(f"{error}")
        return at

    def wait(self, since: int, match: dict[str, Any], timeout: float) -> tuple[str, int]:
        """Wait for a stanza; returns it and the number to go on from; an empty text when the time or stream is over."""
        end = time.monotonic() + timeout
        with self._news:
            while True:
                for number, xml in enumerate(self.received[since:], since):
                    if matches(xml, match):
                        return xml, number + 1
                left = end - time.monotonic()
                if left <= 0 or self.ended:
                    return "", len(self.received)
                self._news.wait(left)


class Peers:
    """All streams of this probe, by the name that the control gave them."""

    def __init__(self) -> None:
        self._peers: dict[str, Peer] = {}

    def _get(self, name: str) -> Peer:
        if name not in self._peers:
            raise LookupError(f"no stream {name!r} is open here; there are: {', '.join(self._peers) or 'none'}")
        return self._peers[name]

    def peer_open(
        self,
        *,
        name: str,
        host: str,
        port: int,
        to: str,
        sender: str,
        mode: str = "starttls",
        proof: str = "external",
        certificate: str = "",
        key: str = "",
        secret: str = "",
        bidi: bool = True,
        ca_pem: str = "",
        max_version: str = "",
        ciphers: str = "",
        timeout: float = 10.0,
    ) -> dict[str, Any]:
        """Open a stream as another server, under a name; one of that name is closed first.

        Args:
            name: What the control calls it.
            host: Address of the server.
            port: TCP port.
            to: The domain that is asked for.
            sender: The domain that is claimed.
            mode: ``starttls``, ``direct`` (TLS from the first byte) or ``clear``.
            proof: ``external`` (by the certificate), ``dialback``, or ``nothing``: then it counts as accepted at once.
            certificate: What to show, PEM; empty for none.
            key: Its key, PEM.
            secret: For dialback, that of the claimed domain's own server.
            bidi: Ask for the other direction on the same connection, if it is offered.
            ca_pem: Certificates to trust, PEM; empty means that the other side's is not checked.
            max_version: Highest TLS version.
            ciphers: OpenSSL cipher list.
            timeout: Seconds for each step.

        Returns:
            ``result`` is ``accepted`` or ``refused`` (with ``step`` and ``why``); ``mechanisms`` and ``features`` that
            were offered once TLS was there; ``tls`` and ``cipher``.
        """
        self.peer_close(name)
        seen: dict[str, Any] = {"mechanisms": [], "features": []}
        peer: Peer | None = None
        try:
            context = tls_context(ca_pem, "", max_version, ciphers, alpn="xmpp-server" if mode == "direct" else "")
            show_certificate(context, certificate, key)
            peer = Peer(host, port, timeout)
            if mode == "direct":
                peer.encrypt(context, to)
            features = peer.open(to, SERVER, sender)
            if mode == "starttls":
                peer.starttls(features, context, to)
                features = peer.open(to, SERVER, sender)
            seen |= {"mechanisms": mechanisms(features), "features": [child.tag for child in features]}
            seen |= peer.tls_facts()
            if bidi and features.find(f"{{{BIDI}}}bidi") is not None:
                peer.send(f"<bidi xmlns='{BIDI}'/>")
            peer.prove(proof, features, to, sender, secret)
        except Refused as error:
            if peer is not None:
                peer.close()
            return {**seen, "result": "refused", "step": error.step, "why": error.why}
        peer.listen()
        self._peers[name] = peer
        return {**seen, "result": "accepted"}

    def peer_send(self, name: str, xml: str, *, times: int = 1, fill: int = 0, timeout: float = 60.0) -> dict[str, Any]:
        """Send text as it is.

        Args:
            name: Of the stream.
            xml: The text; ``{n}`` in it becomes a number from 0 on, ``{fill}`` as many letters as are wanted.
            times: How often.
            fill: How many letters.
            timeout: Seconds in which the other side must have taken all of it.

        Returns:
            ``taken``: how many bytes of ``size`` the other side took; ``next``: the number of the first stanza that can
            be an answer; ``seconds`` that it lasted.
        """
        peer = self._get(name)
        start, begun = len(peer.received), time.monotonic()
        filled = xml.replace("{fill}", "x" * fill)
        text = "".join(filled.replace("{n}", str(number)) for number in range(times))
        taken = peer.put(text, timeout)
        return {
            "taken": taken,
            "size": len(text.encode()),
            "next": start,
            "seconds": round(time.monotonic() - begun, 2),
        }

    def peer_wait(self, name: str, since: int, match: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Wait for a stanza on a stream; returns ``xml``, empty when none came, and ``next``."""
        xml, number = self._get(name).wait(since, match, timeout)
        return {"xml": xml, "next": number}

    def peer_received(self, name: str, since: int = 0) -> list[str]:
        """Return all that came on a stream from a number on."""
        return list(self._get(name).received[since:])

    def peer_state(self, name: str, wait: float = 0.0) -> dict[str, Any]:
        """Say whether a stream is still open.

        Args:
            name: Of the stream.
            wait: Seconds to wait for its end.

        Returns:
            ``open``; ``why`` it was ended, ``ended`` (when, seconds since 1970), and ``count`` of what came.
        """
        peer, end = self._get(name), time.monotonic() + wait
        while not peer.ended and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
        return {"open": not peer.ended, "why": peer.why, "ended": peer.ended, "count": len(peer.received)}

    def peer_close(self, name: str) -> None:
        """End a stream, if it is there."""
        peer = self._peers.pop(name, None)
        if peer is not None:
            peer.ended = peer.ended or time.time()
            peer.close()

    def close_all(self) -> None:
        """End every stream."""
        for name in list(self._peers):
            self.peer_close(name)
