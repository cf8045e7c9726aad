# SPDX-License-Identifier: GPL-3.0-or-later
"""Low-level attempts: a TCP connection, a TLS handshake, an XML stream spoken by hand.

Controls use these to try what a well-behaved client never does: to sign in without TLS, with an old TLS version, with
PLAIN, to register an account, to open a server-to-server stream. The permitted and the forbidden attempt are the same
function with one argument changed, so that the difference in the outcome has one cause only.

Runs on the probe host with nothing but Python's standard library. Sources: RFC 6120 (streams, STARTTLS, SASL,
binding), RFC 5802 and RFC 7677 (SCRAM-SHA-256), XEP-0077 (registration), XEP-0445 (invitations).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import socket
import ssl
import time
import warnings
import xml.etree.ElementTree as ET
from typing import Any
from xml.sax.saxutils import escape, quoteattr

STREAMS = "http://etherx.jabber.org/streams"
CLIENT = "jabber:client"
SERVER = "jabber:server"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
TLS = "urn:ietf:params:xml:ns:xmpp-tls"
BIND = "urn:ietf:params:xml:ns:xmpp-bind"
REGISTER = "jabber:iq:register"
PREAUTH = "urn:xmpp:pars:0"

VERSIONS = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}


class Refused(Exception):
    """The other side did not let the attempt through.

    Args:
        step: Where it ended: ``connect``, ``tls``, ``stream``, ``features``, ``sasl``, ``bind``, ``register``.
        why: The answer of the other side, or of the operating system, in its own words.
    """

    def __init__(self, step: str, why: str) -> None:
        super().__init__(f"{step}: {why}")
        self.step = step
        self.why = why


def local_name(element: ET.Element) -> str:
    """Return the name of an element without its namespace."""
    return element.tag.rpartition("}")[2]


def condition(element: ET.Element) -> str:
    """Describe an error element by the names of its conditions and its text, if there is one."""
    names = [local_name(child) for child in element if local_name(child) != "text"]
    text = next((child.text for child in element if local_name(child) == "text" and child.text), None)
    return " ".join(names or [local_name(element)]) + (f" ({text})" if text else "")


def tcp_connect(host: str, port: int, timeout: float = 5.0) -> dict[str, Any]:
    """Try to open a TCP connection and close it again.

    Args:
        host: Address or name.
        port: TCP port.
        timeout: Seconds to wait for an answer.

    Returns:
        ``result`` (``connected``, ``refused``, ``timeout`` or ``unreachable``) and ``why``, the words of the system.
    """
    try:
        with socket.create_connection((host, port), timeout):
            return {"result": "connected", "why": ""}
    except ConnectionRefusedError as error:
        return {"result": "refused", "why": str(error)}
    except TimeoutError as error:
        return {"result": "timeout", "why": str(error)}
    except OSError as error:
        return {"result": "unreachable", "why": str(error)}


def tls_context(
    ca_pem: str = "", min_version: str = "", max_version: str = "", ciphers: str = "", alpn: str = ""
) -> ssl.SSLContext:
    """Make the TLS settings of one attempt.

    Args:
        ca_pem: The certificates to trust, PEM. Empty: the other side's certificate is not checked.
        min_version: ``1.0`` to ``1.3``; empty means Python's default.
        max_version: As ``min_version``.
        ciphers: OpenSSL cipher list; TLS before 1.2 needs ``DEFAULT@SECLEVEL=0``.
        alpn: Application protocol to offer, ``xmpp-client`` for direct TLS (XEP-0368).

    Returns:
        The context; it checks names as RFC 9525 wants when ``ca_pem`` is given.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca_pem:
        context.load_verify_locations(cadata=ca_pem)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if ciphers:
        context.set_ciphers(ciphers)
    with warnings.catch_warnings():
        # old versions are asked for on purpose, to see them refused
        warnings.simplefilter("ignore", DeprecationWarning)
        if min_version:
            context.minimum_version = VERSIONS[min_version]
        if max_version:
            context.maximum_version = VERSIONS[max_version]
    if alpn:
        context.set_alpn_protocols([alpn])
    return context


class Stream:
    """One XML stream over one socket, read element by element.

    Args:
        host: Address of the server.
        port: TCP port.
        timeout: Seconds for each read.

    Raises:
        Refused: When the connection cannot be made.
    """

    def __init__(self, host: str, port: int, timeout: float = 10.0) -> None:
        self.timeout = timeout
        try:
            self.socket: socket.socket | ssl.SSLSocket = socket.create_connection((host, port), timeout)
        except OSError as error:
            raise Refused("connect", f"{error}") from error
        self._restart()

    def _restart(self) -> None:
        self.parser: Any = ET.XMLPullParser(("start", "end", "start-ns"))
        self.depth = 0
        self.over = False
        self.namespace = ""  # the default one of the other side's stream: it says whom it takes us for
        self.number = ""  # the id that the other side gave the stream

    def encrypt(self, context: ssl.SSLContext, server_name: str) -> None:
        """Put TLS on the connection.

        Args:
            context: Settings of the attempt.
            server_name: The name asked for (SNI) and, if the context checks, expected in the certificate.

        Raises:
            Refused: With the alert or the failed check.
        """
        try:
            self.socket = context.wrap_socket(self.socket, server_hostname=server_name)
        except OSError as error:
            raise Refused("tls", f"{error}") from error
        self._restart()

    def tls_facts(self) -> dict[str, Any]:
        """Return version and cipher of the connection, or an empty dictionary without TLS."""
        if not isinstance(self.socket, ssl.SSLSocket):
            return {}
        cipher = self.socket.cipher()
        return {"tls": self.socket.version() or "", "cipher": cipher[0] if cipher else ""}

    def send(self, text: str) -> None:
        """Send text as it is.

        Raises:
            Refused: When the connection is gone.
        """
        try:
            self.socket.sendall(text.encode())
        except OSError as error:
            raise Refused("stream", f"{error}") from error

    def open(self, to: str, namespace: str = CLIENT, sender: str = "") -> ET.Element:
        """Open a stream and read the features that the server offers.

        Args:
            to: The domain asked for.
            namespace: ``jabber:client`` or ``jabber:server``.
            sender: The ``from`` of the stream; servers must give one.

        Returns:
            The ``features`` element.

        Raises:
            Refused: With the stream error, or that the server closed.
        """
        self._restart()
        origin = f" from={quoteattr(sender)}" if sender else ""
        dialback = " xmlns:db='jabber:server:dialback'" if namespace == SERVER else ""
        self.send(
            f"<?xml version='1.0'?><stream:stream xmlns='{namespace}' xmlns:stream='{STREAMS}'{dialback}"
            f" to={quoteattr(to)}{origin} version='1.0' xml:lang='en'>"
        )
        return self.read("features")

    def read(self, *wanted: str) -> ET.Element:
        """Read until an element with one of these names is complete.

        Args:
            wanted: Local names; with none given, the next element counts.

        Returns:
            The element.

        Raises:
            Refused: With the stream error that came instead, at the end of the stream, or when the time is over.
        """
        end = time.monotonic() + self.timeout
        while True:
            for element in self._complete():
                name = local_name(element)
                if name == "error" and element.tag.startswith(f"{{{STREAMS}}}"):
                    raise Refused("stream", condition(element))
                if not wanted or name in wanted:
                    return element
            left = end - time.monotonic()
            if left <= 0:
                raise Refused("stream", f"no answer in {self.timeout:g} s")
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(65536)
            except TimeoutError as error:
                raise Refused("stream", f"no answer in {self.timeout:g} s") from error
            except OSError as error:
                raise Refused("stream", f"{error}") from error
            if not data:
                raise Refused("stream", "the server closed the connection")
            try:
                self.parser.feed(data)
            except ET.ParseError as error:
                raise Refused("stream", f"not XML: {error}") from error

    def _complete(self) -> list[ET.Element]:
        found: list[ET.Element] = []
        for event, element in self.parser.read_events():
            if event == "start-ns":
                prefix, uri = element
                if self.depth == 0 and not prefix:
                    self.namespace = uri
            elif event == "start":
                if self.depth == 0:
                    self.number = element.get("id", "")
                self.depth += 1
            else:
                self.depth -= 1
                if self.depth == 1:
                    found.append(element)
                elif self.depth == 0:
                    self.over = True
        if self.over and not found:
            raise Refused("stream", "the server ended the stream")
        return found

    def starttls(self, features: ET.Element, context: ssl.SSLContext, server_name: str) -> None:
        """Change to TLS inside the stream (RFC 6120, 5.4).

        Raises:
            Refused: When it is not offered or fails.
        """
        if features.find(f"{{{TLS}}}starttls") is None:
            raise Refused("features", "STARTTLS is not offered")
        self.send(f"<starttls xmlns='{TLS}'/>")
        if local_name(self.read("proceed", "failure")) == "failure":
            raise Refused("tls", "the server answered STARTTLS with a failure")
        self.encrypt(context, server_name)

    def close(self) -> None:
        """End the stream and the connection; errors no longer matter here."""
        try:
            self.socket.sendall(b"</stream:stream>")
        except OSError:
            pass
        finally:
            self.socket.close()


def mechanisms(features: ET.Element) -> list[str]:
    """Return the names of the SASL mechanisms in a ``features`` element."""
    return [child.text or "" for child in features.iter(f"{{{SASL}}}mechanism")]


def _channel_binding(stream: Stream) -> bytes:
    """Return the channel binding of RFC 5929, tls-unique: Python knows no other, and it ends with TLS 1.2."""
    if isinstance(stream.socket, ssl.SSLSocket):
        value = stream.socket.get_channel_binding("tls-unique")
        if value:
            return value
    raise Refused("sasl", "no channel binding value on this side")


class Scram:
    """The client side of SCRAM-SHA-256 (RFC 5802, RFC 7677), with or without channel binding.

    Args:
        user: Name of the account.
        password: Its password.
        binding: Channel binding bytes for ``-PLUS`` (tls-unique), or None for the mechanism without.
    """

    def __init__(self, user: str, password: str, binding: bytes | None = None) -> None:
        self.password = password.encode()
        self.gs2 = b"n,," if binding is None else b"p=tls-unique,,"
        self.binding = binding or b""
        name = user.replace("=", "=3D").replace(",", "=2C")
        self.nonce = secrets.token_urlsafe(24)
        self.bare = f"n={name},r={self.nonce}"
        self.signature = b""

    def first(self) -> bytes:
        """Return the first message."""
        return self.gs2 + self.bare.encode()

    def final(self, challenge: bytes) -> bytes:
        """Return the answer to the server's challenge.

        Raises:
            Refused: When the server's nonce does not continue ours.
        """
        text = challenge.decode()
        fields = dict(part.split("=", 1) for part in text.split(","))
        if not fields["r"].startswith(self.nonce) or fields["r"] == self.nonce:
            raise Refused("sasl", "the server's nonce is wrong")
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(fields["s"]), int(fields["i"]))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        channel = base64.b64encode(self.gs2 + self.binding).decode()
        without_proof = f"c={channel},r={fields['r']}"
        message = f"{self.bare},{text},{without_proof}".encode()
        signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signature, strict=True))).decode()
        self.signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
        return f"{without_proof},p={proof}".encode()

    def server_proved(self, success: bytes) -> bool:
        """Tell whether the server showed that it knows the password too."""
        fields = dict(part.split("=", 1) for part in success.decode().split(",") if "=" in part)
        return hmac.compare_digest(base64.b64decode(fields.get("v", "")), self.signature)


def _authenticate(stream: Stream, mechanism: str, user: str, password: str) -> None:
    """Do one SASL exchange, whether or not the server offered the mechanism.

    Raises:
        Refused: With the failure's condition.
    """
    scram: Scram | None = None
    if mechanism == "PLAIN":
        first = f"\0{user}\0{password}".encode()
    else:
        scram = Scram(user, password, _channel_binding(stream) if mechanism.endswith("-PLUS") else None)
        first = scram.first()
    stream.send(f"<auth xmlns='{SASL}' mechanism='{mechanism}'>{base64.b64encode(first).decode()}</auth>")
    while True:
        answer = stream.read("challenge", "success", "failure")
        name = local_name(answer)
        if name == "failure":
            raise Refused("sasl", condition(answer))
        data = base64.b64decode(answer.text or "")
        if name == "success":
            if scram is not None and not scram.server_proved(data):
                raise Refused("sasl", "the server did not prove that it knows the password")
            return
        if scram is None:
            raise Refused("sasl", "an unexpected challenge")
        stream.send(f"<response xmlns='{SASL}'>{base64.b64encode(scram.final(data)).decode()}</response>")


def _begin(
    host: str, port: int, domain: str, *, mode: str, context: ssl.SSLContext, timeout: float
) -> tuple[Stream, ET.Element]:
    """Connect and come to the features that are offered before sign-in."""
    stream = Stream(host, port, timeout)
    try:
        if mode == "direct":
            stream.encrypt(context, domain)
        features = stream.open(domain)
        if mode == "starttls":
            stream.starttls(features, context, domain)
            features = stream.open(domain)
    except Refused:
        stream.close()
        raise
    return stream, features


def _bind(stream: Stream, domain: str) -> str:
    """Begin the stream anew after signing in, and return the address that the server gives."""
    stream.open(domain)
    stream.send(f"<iq type='set' id='bind'><bind xmlns='{BIND}'/></iq>")
    answer = stream.read("iq")
    jid = answer.find(f".//{{{BIND}}}jid")
    if answer.get("type") != "result" or jid is None:
        error = answer.find("{*}error")
        raise Refused("bind", condition(error) if error is not None else "no address was given")
    return jid.text or ""


def online(*, host: str, port: int, domain: str, user: str, password: str, context: ssl.SSLContext) -> Stream:
    """Sign in over TLS from the first byte, and stay.

    Args:
        host: Address of the server.
        port: TCP port of direct TLS.
        domain: XMPP domain of the account.
        user: Name of the account, before the ``@``.
        password: Its password.
        context: Settings of TLS.

    Returns:
        The stream, with an address.

    Raises:
        Refused: As the server said.
    """
    stream, _features = _begin(host, port, domain, mode="direct", context=context, timeout=30)
    _authenticate(stream, "SCRAM-SHA-256", user, password)
    _bind(stream, domain)
    return stream


def sign_in(
    *,
    host: str,
    port: int,
    domain: str,
    user: str,
    password: str,
    mode: str = "starttls",
    mechanism: str = "SCRAM-SHA-256",
    ca_pem: str = "",
    min_version: str = "",
    max_version: str = "",
    ciphers: str = "",
    timeout: float = 10.0,
) -> dict[str, Any]:
    """Sign in, bind a resource, sign out: one attempt with exactly these settings.

    Args:
        host: Address of the server.
        port: TCP port.
        domain: XMPP domain of the account.
        user: Name of the account, before the ``@``.
        password: Its password.
        mode: ``starttls``, ``direct`` (TLS from the first byte) or ``clear`` (no TLS at all).
        mechanism: ``SCRAM-SHA-256``, ``SCRAM-SHA-256-PLUS`` or ``PLAIN``; tried even when it is not offered.
        ca_pem: Certificates to trust, PEM; empty means that the server's certificate is not checked.
        min_version: Lowest TLS version, ``1.0`` to ``1.3``.
        max_version: Highest TLS version.
        ciphers: OpenSSL cipher list.
        timeout: Seconds for each answer.

    Returns:
        ``result`` is ``signed in`` (with ``jid``) or ``refused`` (with ``step`` and ``why``); ``offered`` lists the
        SASL mechanisms seen, ``tls`` and ``cipher`` what was agreed.
    """
    seen: dict[str, Any] = {"offered": []}
    stream: Stream | None = None
    try:
        context = tls_context(ca_pem, min_version, max_version, ciphers, alpn="xmpp-client" if mode == "direct" else "")
        stream, features = _begin(host, port, domain, mode=mode, context=context, timeout=timeout)
        seen.update(stream.tls_facts())
        seen["offered"] = mechanisms(features)
        _authenticate(stream, mechanism, user, password)
        return {**seen, "result": "signed in", "jid": _bind(stream, domain)}
    except Refused as error:
        return {**seen, "result": "refused", "step": error.step, "why": error.why}
    finally:
        if stream is not None:
            stream.close()


def features_before_sign_in(
    *, host: str, port: int, domain: str, mode: str = "starttls", ca_pem: str = "", timeout: float = 10.0
) -> dict[str, Any]:
    """Return what a server offers to somebody who has not signed in.

    Args:
        host: Address of the server.
        port: TCP port.
        domain: XMPP domain.
        mode: ``starttls``, ``direct`` or ``clear``.
        ca_pem: Certificates to trust; empty means unchecked.
        timeout: Seconds for each answer.

    Returns:
        ``result`` is ``answered`` with ``features`` (names with namespaces) and ``mechanisms``, or ``refused`` with
        ``step`` and ``why``.
    """
    try:
        stream, features = _begin(host, port, domain, mode=mode, context=tls_context(ca_pem), timeout=timeout)
    except Refused as error:
        return {"result": "refused", "step": error.step, "why": error.why}
    stream.close()
    return {
        "result": "answered",
        "features": [child.tag for child in features],
        "mechanisms": mechanisms(features),
        **stream.tls_facts(),
    }


def register(
    *,
    host: str,
    port: int,
    domain: str,
    user: str,
    password: str,
    token: str = "",
    mode: str = "starttls",
    ca_pem: str = "",
    timeout: float = 10.0,
) -> dict[str, Any]:
    """Ask the server for a new account, with or without an invitation.

    Args:
        host: Address of the server.
        port: TCP port.
        domain: XMPP domain.
        user: Wanted name.
        password: Wanted password.
        token: Invitation token (XEP-0445); empty means that none is shown.
        mode: ``starttls``, ``direct`` or ``clear``.
        ca_pem: Certificates to trust; empty means unchecked.
        timeout: Seconds for each answer.

    Returns:
        ``result`` is ``registered`` or ``refused`` (with ``step`` and ``why``); ``offered`` tells whether the features
        before sign-in name registration.
    """
    seen: dict[str, Any] = {"offered": False}
    stream: Stream | None = None
    try:
        stream, features = _begin(host, port, domain, mode=mode, context=tls_context(ca_pem), timeout=timeout)
        seen["offered"] = any("register" in child.tag for child in features)
        if token:
            _ask(stream, domain, f"<preauth xmlns='{PREAUTH}' token={quoteattr(token)}/>", "invitation")
        _ask(
            stream,
            domain,
            f"<query xmlns='{REGISTER}'><username>{escape(user)}</username>"
            f"<password>{escape(password)}</password></query>",
            "register",
        )
        return {**seen, "result": "registered"}
    except Refused as error:
        return {**seen, "result": "refused", "step": error.step, "why": error.why}
    finally:
        if stream is not None:
            stream.close()


def _ask(stream: Stream, domain: str, payload: str, step: str) -> None:
    number = secrets.token_hex(4)
    stream.send(f"<iq type='set' id='{number}' to={quoteattr(domain)}>{payload}</iq>")
    answer = stream.read("iq")
    if answer.get("type") != "result":
        error = answer.find("{*}error")
        raise Refused(step, condition(error) if error is not None else "refused without a reason")


def server_stream(
    *, host: str, port: int, to: str, sender: str, mode: str = "clear", timeout: float = 10.0
) -> dict[str, Any]:
    """Open a stream as another server would.

    Args:
        host: Address of the server.
        port: TCP port: 5269, 5270 (``direct``), or a client port that should not accept it.
        to: The domain that is asked for.
        sender: The domain that the stream says it comes from.
        mode: ``clear`` (as servers begin, before STARTTLS), ``starttls`` or ``direct``.
        timeout: Seconds for each answer.

    Returns:
        ``result`` is ``opened`` with the features offered, or ``refused`` with ``step`` and ``why``.
    """
    stream: Stream | None = None
    try:
        stream = Stream(host, port, timeout)
        context = tls_context(alpn="xmpp-server" if mode == "direct" else "")
        if mode == "direct":
            stream.encrypt(context, to)
        features = stream.open(to, SERVER, sender)
        if stream.namespace != SERVER:
            raise Refused("stream", f"answered as to a client ({stream.namespace})")
        if mode == "starttls":
            stream.starttls(features, context, to)
            features = stream.open(to, SERVER, sender)
        return {"result": "opened", "features": [child.tag for child in features], **stream.tls_facts()}
    except Refused as error:
        return {"result": "refused", "step": error.step, "why": error.why}
    finally:
        if stream is not None:
            stream.close()


def tls_handshake(
    *,
    host: str,
    port: int,
    server_name: str,
    starttls: bool = False,
    ca_pem: str = "",
    min_version: str = "",
    max_version: str = "",
    ciphers: str = "",
    timeout: float = 10.0,
) -> dict[str, Any]:
    """Do a TLS handshake and look at what was agreed.

    Args:
        host: Address of the server.
        port: TCP port.
        server_name: Name asked for, and expected in the certificate when ``ca_pem`` is given.
        starttls: Begin with an XMPP stream and change to TLS in it.
        ca_pem: Certificates to trust; empty means unchecked.
        min_version: Lowest TLS version, ``1.0`` to ``1.3``.
        max_version: Highest TLS version.
        ciphers: OpenSSL cipher list.
        timeout: Seconds for each answer.

    Returns:
        ``result`` is ``agreed`` (with ``tls``, ``cipher`` and ``certificate``, PEM) or ``refused`` (``step``, ``why``).
    """
    stream: Stream | None = None
    try:
        context = tls_context(ca_pem, min_version, max_version, ciphers)
        stream = Stream(host, port, timeout)
        if starttls:
            stream.starttls(stream.open(server_name), context, server_name)
        else:
            stream.encrypt(context, server_name)
        certificate = stream.socket.getpeercert(binary_form=True) if isinstance(stream.socket, ssl.SSLSocket) else None
        return {
            "result": "agreed",
            **stream.tls_facts(),
            "certificate": ssl.DER_cert_to_PEM_cert(certificate) if certificate else "",
        }
    except Refused as error:
        return {"result": "refused", "step": error.step, "why": error.why}
    finally:
        if stream is not None:
            stream.close()
