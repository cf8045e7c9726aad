# SPDX-License-Identifier: GPL-3.0-or-later
"""Signs in by SCRAM (RFC 5802, 7677) with nothing but the standard library; runs inside the test's container.

Arguments: host, name, password, mechanism (default SCRAM-SHA-256, or PLAIN), seconds to stay signed in (default 0).
Prints what the server said last.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import socket
import ssl
import sys

SASL = "urn:ietf:params:xml:ns:xmpp-sasl"


def b64(data: bytes | str) -> str:
    """Encode for SASL."""
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


class Stream:
    """A client's stream over direct TLS."""

    def __init__(self, host: str) -> None:
        """Connect and open the stream."""
        self.host = host
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # a scratch server's own certificate
        self.socket = context.wrap_socket(socket.create_connection(("127.0.0.1", 5223)), server_hostname=host)
        self.open()

    def open(self) -> None:
        """Open a stream and read its features."""
        head = f"<stream:stream to='{self.host}' xmlns='jabber:client'"
        self.ask(f"{head} xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>", "</stream:features>")

    def ask(self, text: str, until: str, seconds: float = 5) -> str:
        """Send, and read until a pattern appears, the connection ends or time is up."""
        self.socket.settimeout(seconds)
        self.socket.sendall(text.encode())
        seen = ""
        while not re.search(until, seen):
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                return seen + " (time is up)"
            if not data:
                return seen + " (closed)"
            seen += data.decode()
        return seen


def sign_in(host: str, name: str, password: str, mechanism: str = "SCRAM-SHA-256", stay: str = "0") -> str:
    """Sign in; returns the server's last words."""
    stream = Stream(host)
    end = "</?failure|<success|</stream:stream>"
    if mechanism == "PLAIN":
        auth = b64(f"\0{name}\0{password}")
        return stream.ask(f"<auth xmlns='{SASL}' mechanism='PLAIN'>{auth}</auth>", end)
    kind = "sha256" if "256" in mechanism else "sha1"
    first = f"n={name},r={os.urandom(12).hex()}"
    said = stream.ask(
        f"<auth xmlns='{SASL}' mechanism='{mechanism}'>{b64('n,,' + first)}</auth>", f"</challenge>|{end}"
    )
    challenge = re.search("<challenge[^>]*>([^<]*)", said)
    if not challenge:
        return said
    server_first = base64.b64decode(challenge[1]).decode()
    parts = dict(part.split("=", 1) for part in server_first.split(","))
    salted = hashlib.pbkdf2_hmac(kind, password.encode(), base64.b64decode(parts["s"]), int(parts["i"]))
    key = hmac.digest(salted, b"Client Key", kind)
    final = f"c={b64('n,,')},r={parts['r']}"
    signature = hmac.digest(hashlib.new(kind, key).digest(), f"{first},{server_first},{final}".encode(), kind)
    proof = b64(bytes(a ^ b for a, b in zip(key, signature, strict=True)))
    said = stream.ask(f"<response xmlns='{SASL}'>{b64(f'{final},p={proof}')}</response>", end)
    if float(stay) and "<success" in said:
        stream.open()
        said = stream.ask("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", "</iq>")
        said += stream.ask("<presence/>", "</stream:stream>", float(stay))
    return said


print(sign_in(*sys.argv[1:]))
