# SPDX-License-Identifier: GPL-3.0-or-later
"""Other companies' servers, for the controls: their certificates, true and false, and what they may send.

The demo's partner is played by a real server, and its authority's key is on the control node: so a control can speak as
the partner itself, or as somebody who lacks one thing that the partner has.
"""

from __future__ import annotations

import datetime
import functools
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from probe.remote import Probe
from system.controls import Breakage, NotTried
from system.site_facts import SiteFacts

# the demo's partner, whom the controls play; and the text from which its server makes its keys for dialback
PARTNER, CONTACT, UNLISTED = "partner.example", "carol", "dave"
HOSTILE, INTRUDER = "hostile.example", "mallory"
DIALBACK_SECRET = "known to the controls"
STREAMS_PORT, DIRECT_PORT = 5269, 5270
PARTNER_LOG = "/var/log/prosody/prosody.log"
POLICY = "/etc/sallyport/policy.json"
READ_AGAIN = "prosodyctl reload && sleep 2"
# as if somebody had entered the hostile domain as a partner, with all that the true one has
HOSTILE_WELCOME = Breakage(
    POLICY,
    rf'\n( *)"{re.escape(PARTNER)}": (\{{[\s\S]*?\n\1\}})',
    rf'\n\1"{HOSTILE}": \2,\n\1"{PARTNER}": \2',
    command=READ_AGAIN,
)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, PEM."""

    certificate: str
    key: str = field(repr=False)


class Authority:
    """Somebody who signs certificates.

    Args:
        certificate: Its own.
        key: Its key.
    """

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self._key = key

    @classmethod
    def kept(cls, certificate: Path, key: Path) -> Authority:
        """Read one from files.

        Raises:
            NotTried: When the key is not here, as on any site but the demo.
        """
        if not key.exists():
            raise NotTried("nobody but the partner has the key of its authority, as it should be")
        loaded = serialization.load_pem_private_key(key.read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey), f"{key} is of another kind"
        return cls(x509.load_pem_x509_certificate(certificate.read_bytes()), loaded)

    @classmethod
    def made(cls, like: Authority) -> Authority:
        """Make one that bears the name of another and is not that one."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = like.certificate.subject
        built = _builder(name, name, key, -1, 1).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        return cls(built.sign(key, hashes.SHA256()), key)

    def sign(self, name: str, begins: float = -1, ends: float = 1) -> Pair:
        """Certify a name.

        Args:
            name: A domain.
            begins: From when on the certificate holds, days from now.
            ends: Until when.

        Returns:
            A new pair.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = _of_server(_builder(subject, self.certificate.subject, key, begins, ends), name)
        return _pair(certificate.sign(self._key, hashes.SHA256()), key)


def self_signed(name: str) -> Pair:
    """Make a certificate that nobody but its holder signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return _pair(_of_server(_builder(subject, subject, key, -1, 1), name).sign(key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, begins: float, ends: float
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=begins))
        .not_valid_after(now + datetime.timedelta(days=ends))
    )


def _of_server(builder: x509.CertificateBuilder, name: str) -> x509.CertificateBuilder:
    uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    return (
        builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(uses, critical=False)
    )


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    plain = serialization.NoEncryption()
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return Pair(certificate.public_bytes(serialization.Encoding.PEM).decode(), text.decode())


@functools.cache
def partner_authority(folder: Path) -> Authority:
    """Return the authority of the demo's partner.

    Args:
        folder: Of the site.

    Raises:
        NotTried: On any other site.
    """
    return Authority.kept(folder / "partners" / "partner.crt", folder / ".ssh" / "partner-authority.key")


def outside_address(facts: SiteFacts, version: int = 4) -> str:
    """Return where the external server is found from outside: by IPv4 at its gateway, by IPv6 at its own address.

    Raises:
        NotApplicable: When the site has none.
    """
    host = facts.external_server()
    return facts.gateway().address("outside") if version == 4 else host.address("dmz", 6)


class Peer:
    """A stream to the external server as another company's server.

    Args:
        probe: Where it comes from.
        facts: The site.
        domain: The domain that it claims.
    """

    def __init__(self, probe: Probe, facts: SiteFacts, domain: str = PARTNER) -> None:
        self.probe = probe
        self.facts = facts
        self.domain = domain
        self.name = f"{domain}-{secrets.token_hex(4)}"

    def open(self, pair: Pair | None = None, version: int = 4, **settings: Any) -> dict[str, Any]:
        """Open it; see `probe.servers.Peers.peer_open` for settings and answer."""
        mode = settings.get("mode", "starttls")
        given = {
            "host": outside_address(self.facts, version),
            "port": DIRECT_PORT if mode == "direct" else STREAMS_PORT,
            "to": self.facts.external_domain,
            "sender": self.domain,
            "certificate": pair.certificate if pair else "",
            "key": pair.key if pair else "",
        }
        answer: dict[str, Any] = self.probe.do("peer_open", name=self.name, **{**given, **settings})
        return answer

    def accepted(self, pair: Pair, version: int = 4, **settings: Any) -> Peer:
        """Open it as somebody who is permitted to.

        Raises:
            AssertionError: When it is refused.
        """
        answer = self.open(pair, version, **settings)
        assert answer["result"] == "accepted", (
            f"{self.domain} is permitted and was refused at {answer['step']}: {answer['why']}"
        )
        return self

    def send(self, xml: str, **more: Any) -> dict[str, Any]:
        """Send text; see `probe.servers.Peers.peer_send`."""
        answer: dict[str, Any] = self.probe.do("peer_send", name=self.name, xml=xml, **more)
        return answer

    def state(self, wait: float = 0.0) -> dict[str, Any]:
        """Say whether it is open; see `probe.servers.Peers.peer_state`."""
        answer: dict[str, Any] = self.probe.do("peer_state", patience=wait + 30, name=self.name, wait=wait)
        return answer

    def ended(self, wait: float = 5.0) -> bool:
        """Tell whether the server ends it within a time."""
        return not self.state(wait)["open"]

    def received(self) -> list[str]:
        """Return all that came on it."""
        answer: list[str] = self.probe.do("peer_received", name=self.name)
        return answer

    def close(self) -> None:
        """End it."""
        self.probe.do("peer_close", name=self.name)


@dataclass(frozen=True)
class Kind:
    """A kind of stanza that can carry something to somebody.

    Attributes:
        element: message, presence or iq.
        type: Its type; empty for none.
        carries: What is in it; ``{n}`` becomes its id, so that it is found again wherever it comes to light.
    """

    element: str
    type: str = ""
    carries: str = ""

    @property
    def answered(self) -> bool:
        """Whether its refusal is told to the sender; errors and results never are, or two servers would never end."""
        return self.type not in ("error", "result")

    def stanza(self, number: str, to: str, sender: str = "") -> str:
        """Make one.

        Args:
            number: Its id.
            to: To whom.
            sender: From whom; a client leaves that to its server.
        """
        attributes = {"from": sender, "to": to, "type": self.type, "id": number}
        words = "".join(f" {name}={quoteattr(value)}" for name, value in attributes.items() if value)
        return f"<{self.element}{words}>{self.carries.replace('{n}', number)}</{self.element}>"


BODY, STATUS = "<body>{n}</body>", "<status>{n}</status>"
GONE = "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>{n}</gone></error>"
DISCO = "http://jabber.org/protocol/disco#info"
PUBSUB = "http://jabber.org/protocol/pubsub"
INVITED = "<invite from='{n}@hostile.example'><reason>{n}</reason></invite>"
COPY = "<forwarded xmlns='urn:xmpp:forward:0'><message><body>{n}</body></message></forwarded>"
KINDS: dict[str, Kind] = {
    "message": Kind("message", "", BODY),
    "chat message": Kind("message", "chat", BODY),
    "headline": Kind("message", "headline", BODY),
    "message to a room": Kind("message", "groupchat", BODY),
    "error message": Kind("message", "error", BODY + GONE),
    "typing": Kind("message", "chat", "<composing xmlns='http://jabber.org/protocol/chatstates'/>"),
    "invitation into a room": Kind(
        "message", "", "<x xmlns='jabber:x:conference' jid='{n}@hostile.example' reason='{n}'/>"
    ),
    "invitation by a room": Kind("message", "", f"<x xmlns='http://jabber.org/protocol/muc#user'>{INVITED}</x>"),
    "published item": Kind(
        "message", "headline", f"<event xmlns='{PUBSUB}#event'><items node='{{n}}'><item>{{n}}</item></items></event>"
    ),
    "forged copy": Kind("message", "", f"<received xmlns='urn:xmpp:carbons:2'>{COPY}</received>"),
    "presence": Kind("presence", "", STATUS),
    "absence": Kind("presence", "unavailable", STATUS),
    "request to subscribe": Kind("presence", "subscribe", STATUS),
    "consent to subscribe": Kind("presence", "subscribed"),
    "end of a subscription": Kind("presence", "unsubscribe"),
    "refusal to subscribe": Kind("presence", "unsubscribed"),
    "presence probe": Kind("presence", "probe"),
    "error presence": Kind("presence", "error", STATUS + GONE),
    "question": Kind("iq", "get", f"<query xmlns='{DISCO}' node='{{n}}'/>"),
    "order": Kind("iq", "set", "<query xmlns='jabber:iq:roster'><item jid='{n}@hostile.example'/></query>"),
    "question for what is published": Kind("iq", "get", f"<pubsub xmlns='{PUBSUB}'><items node='{{n}}'/></pubsub>"),
    "unasked answer": Kind("iq", "result", f"<query xmlns='{DISCO}'><identity name='{{n}}'/></query>"),
    "error answer": Kind("iq", "error", GONE),
}
"""Every kind, by what it is."""


def amount(events: Sequence[dict[str, Any]]) -> int:
    """Return for how many stanzas or streams some events stand: what repeats itself may be counted in one."""
    return sum(int(event.get("count") or 1) for event in events)
