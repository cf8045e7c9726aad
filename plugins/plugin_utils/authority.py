# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificate authority of a site, and the certificates that it signs. Pure functions, control node only.

A host makes its own key and asks for a certificate; which names stand in it is decided here, from the site file, and
never by the request. Sources: RFC 5280 (X.509), RFC 4985 (SRVName), RFC 6120 13.7.1 (xmppAddr and certificates of XMPP
servers), RFC 9525 (names of services in certificates).
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

SRV_NAME = ObjectIdentifier("1.3.6.1.5.5.7.8.7")  # RFC 4985, id-on-dnsSRV, an IA5String
XMPP_ADDRESS = ObjectIdentifier("1.3.6.1.5.5.7.8.5")  # RFC 6120 13.7.1.4, id-on-xmppAddr, a UTF8String

LEEWAY = datetime.timedelta(minutes=5)  # a host whose clock is a little late must not refuse a new certificate
RENEW_AT = 3  # a certificate is renewed when less than one part in three of its life is left

_IA5_STRING = 0x16
_UTF8_STRING = 0x0C
_LONGEST_COMMON_NAME = 64  # RFC 5280, ub-common-name


NEXT = "run playbooks/site.yml, and let each device that the kit does not manage trust the new ca.crt"
"""What follows on a new authority."""
NEW_ONE = f"For a new authority: make new-authority SITE=<site>; then {NEXT}"
"""What to do when an authority cannot be used any more."""


class AuthorityFault(Exception):
    """The authority cannot do what was asked; the message says why and what to change."""


class Difference(NamedTuple):
    """Something that is not as it should be.

    Attributes:
        what: what differs, as `issuer` or a path.
        present: how it is.
        wanted: how it should be.
    """

    what: str
    present: str
    wanted: str

    def __str__(self) -> str:
        """Return it as one line."""
        return f"{self.what}: is {self.present}, should be {self.wanted}"


@dataclass(frozen=True)
class Names:
    """The names that a server certificate carries.

    Attributes:
        common_name: goes into the subject, for people who read certificates; no client decides by it (RFC 9525).
        dns: names of the server, for dNSName.
        srv: services and their domain, for SRVName, as `_xmpp-client.im.example.com`.
        xmpp: XMPP domains, for xmppAddr.
        client: whether it shows who asks, and not who answers: the certificate of a desktop, by which no server can be
            played.
    """

    common_name: str
    dns: tuple[str, ...]
    srv: tuple[str, ...] = ()
    xmpp: tuple[str, ...] = ()
    client: bool = False


@dataclass(frozen=True)
class Authority:
    """A site's authority, ready to sign.

    Attributes:
        certificate: public, ca.crt.
        key: secret, `ca_key` in the vault.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def __repr__(self) -> str:
        """Return a text that is safe to log."""
        return f"Authority({self.certificate.subject.rfc4514_string()!r})"


def utc_now() -> datetime.datetime:
    """Return the present time, UTC, in whole seconds, as certificates count it."""
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def _der_string(tag: int, text: str) -> bytes:
    """Encode a string in DER: its type, its length, its bytes (X.690 8.1.3)."""
    content = text.encode("ascii" if tag == _IA5_STRING else "utf-8")
    size = len(content)
    if size < 0x80:
        length = bytes([size])
    else:
        octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
        length = bytes([0x80 | len(octets)]) + octets
    return bytes([tag]) + length + content


def alternative_names(names: Names) -> x509.SubjectAlternativeName:
    """Build the subjectAltName of a server certificate.

    Args:
        names: the names; ASCII, internationalised domains in their xn-- form.

    Returns:
        dNSName, SRVName and xmppAddr entries, in this order and in the order given.

    Raises:
        AuthorityFault: a name is not ASCII, or there is no name at all.
    """
    everything = [*names.dns, *names.srv, *names.xmpp]
    if not names.dns:
        raise AuthorityFault("a server certificate needs at least one DNS name; the list `dns` is empty")
    for name in everything:
        if not name.isascii() or not name:
            raise AuthorityFault(f"{name!r} cannot stand in a certificate; write a domain in ASCII, in its xn-- form")
    entries: list[x509.GeneralName] = [x509.DNSName(name) for name in names.dns]
    entries += [x509.OtherName(SRV_NAME, _der_string(_IA5_STRING, name)) for name in names.srv]
    entries += [x509.OtherName(XMPP_ADDRESS, _der_string(_UTF8_STRING, name)) for name in names.xmpp]
    return x509.SubjectAlternativeName(entries)


def make_authority(
    site: str, domains: Sequence[str], years: int, now: datetime.datetime | None = None
) -> tuple[bytes, bytes]:
    """Make a new authority for a site.

    Args:
        site: name of the site; stands in the subject.
        domains: what the authority may sign for: these names and all names below them, and nothing else.
        years: how long it is valid, in years of 365 days.
        now: time to count from; the present when left out.

    Returns:
        Certificate and private key (EC P-384, PKCS #8, not encrypted: it belongs into the vault), both PEM.
    """
    start = now or utc_now()
    key = ec.generate_private_key(ec.SECP384R1())
    # the day tells one authority from its successor
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Sallyport CA of {site} {start:%Y-%m-%d}")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - LEEWAY)
        .not_valid_after(start + datetime.timedelta(days=365 * years))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        # Desktops trust this authority for everything they do, so it must not be able to vouch for anything but the
        # site's own names: a stolen key is then no key to the company's bank. SRVName and xmppAddr are other forms of
        # name, which a constraint on dNSName leaves alone (RFC 5280 4.2.1.10); OpenSSL and GnuTLS were seen to agree.
        .add_extension(
            x509.NameConstraints(
                permitted_subtrees=[x509.DNSName(domain) for domain in domains],
                excluded_subtrees=[
                    x509.IPAddress(ipaddress.ip_network("0.0.0.0/0")),
                    x509.IPAddress(ipaddress.ip_network("::/0")),
                ],
            ),
            critical=True,
        )
        .sign(key, hashes.SHA384())
    )
    return (
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def spki(key: ec.EllipticCurvePublicKey | object) -> bytes:
    """Return a public key as DER (SubjectPublicKeyInfo), the form in which two keys are compared.

    Args:
        key: a public key of the cryptography library.

    Returns:
        The bytes.

    Raises:
        AuthorityFault: it is not an elliptic-curve key.
    """
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise AuthorityFault(f"an elliptic-curve key is needed, this is {type(key).__name__}")
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def load_certificate(pem: bytes, what: str = "the certificate of the authority") -> x509.Certificate:
    """Parse one PEM certificate.

    Args:
        pem: the text of the file.
        what: what to call it in an error.

    Returns:
        The certificate.

    Raises:
        AuthorityFault: it is not a certificate.
    """
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise AuthorityFault(f"{what} is not a PEM certificate") from None


def load_authority(certificate_pem: bytes, key_pem: bytes, now: datetime.datetime | None = None) -> Authority:
    """Join certificate and key of an authority, and make sure that they can be used.

    Args:
        certificate_pem: content of ca.crt.
        key_pem: `ca_key` of the vault.
        now: the present, when left out.

    Returns:
        The authority.

    Raises:
        AuthorityFault: one of them is damaged, they do not belong together, or the authority's time is over.
    """
    certificate = load_certificate(certificate_pem)
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError):
        raise AuthorityFault("`ca_key` in the vault is not a private key in PEM (PKCS #8, not encrypted)") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise AuthorityFault("`ca_key` in the vault is not an elliptic-curve key")
    if spki(key.public_key()) != spki(certificate.public_key()):
        raise AuthorityFault(
            f"ca.crt and `ca_key` in the vault do not belong together; restore both from one backup. {NEW_ONE}"
        )
    if certificate.not_valid_after_utc <= (now or utc_now()):
        raise AuthorityFault(f"the site's authority ended on {certificate.not_valid_after_utc:%Y-%m-%d}. {NEW_ONE}")
    return Authority(certificate, key)


def permits(authority: x509.Certificate, name: str) -> bool:
    """Say whether an authority may sign for a DNS name, by its name constraints (RFC 5280 4.2.1.10).

    Args:
        authority: certificate of the authority.
        name: a DNS name.

    Returns:
        True when the name is one of the permitted domains or below one, or when the authority has no constraints.
    """
    try:
        constraints = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return True
    domains = [tree.value.lower() for tree in constraints.permitted_subtrees or [] if isinstance(tree, x509.DNSName)]
    return not domains or any(name.lower() == domain or name.lower().endswith(f".{domain}") for domain in domains)


def _expected_end(authority: x509.Certificate, start: datetime.datetime, days: int) -> datetime.datetime:
    """Return when a certificate made at `start` ends: after `days`, but not after its authority."""
    return min(start + datetime.timedelta(days=days), authority.not_valid_after_utc)


def sign(
    authority: Authority, request_pem: bytes, names: Names, days: int, now: datetime.datetime | None = None
) -> bytes:
    """Sign a server certificate for the key of a request, with the caller's names.

    Args:
        authority: who signs.
        request_pem: a PKCS #10 request; only its public key and its proof of possession are used, no name of it.
        names: the names of the certificate.
        days: how long it is valid; cut off where the authority ends.
        now: the present, when left out.

    Returns:
        The certificate, PEM. The chain needs nothing else: the authority itself is what clients trust already.

    Raises:
        AuthorityFault: the request is damaged, not signed by its own key or not for an EC P-256 key, or the authority
            may not sign one of the names.
    """
    try:
        request = x509.load_pem_x509_csr(request_pem)
    except ValueError:
        raise AuthorityFault("the host's request is not a PEM certificate request") from None
    key = request.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise AuthorityFault("the host's request is not for an EC P-256 key")
    if not request.is_signature_valid:
        raise AuthorityFault("the host's request is not signed by its own key")
    for name in names.dns:
        if not permits(authority.certificate, name):
            raise AuthorityFault(
                f"the site's authority may not sign for {name}, it was made for other domains (see `openssl x509 -in "
                f"ca.crt -noout -ext nameConstraints`). {NEW_ONE}"
            )
    start = now or utc_now()
    # a longer name does not fit into a subject; it may then be empty when subjectAltName is critical (RFC 5280 4.2.1.6)
    fits = 0 < len(names.common_name) <= _LONGEST_COMMON_NAME
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names.common_name)] if fits else [])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.certificate.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())  # 159 random bits
        .not_valid_before(start - LEEWAY)
        .not_valid_after(_expected_end(authority.certificate, start, days))
        .add_extension(alternative_names(names), critical=not fits)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        # one of the two only: a server opens no stream to another server, so it is never the client of a handshake
        .add_extension(x509.ExtendedKeyUsage([_usage(names)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(_authority_key_identifier(authority.certificate), critical=False)
        .sign(authority.key, hashes.SHA384())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def _usage(names: Names) -> ObjectIdentifier:
    return ExtendedKeyUsageOID.CLIENT_AUTH if names.client else ExtendedKeyUsageOID.SERVER_AUTH


def _readable_usage(certificate: x509.Certificate) -> str:
    """Say what a certificate is for, in words; of those for two things both."""
    words = {ExtendedKeyUsageOID.CLIENT_AUTH: "client", ExtendedKeyUsageOID.SERVER_AUTH: "server"}
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return "anything"
    return " and ".join(words.get(one, one.dotted_string) for one in usage)


def _authority_key_identifier(certificate: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    own = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Say whether an authority really signed a certificate; the signature counts, not the name of the issuer.

    Args:
        certificate: the certificate.
        authority: certificate of the authority.

    Returns:
        Whether issuer name and signature are the authority's.
    """
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def readable_names(certificate: x509.Certificate) -> list[str]:
    """List the names in a certificate in words, for messages and comparison.

    Args:
        certificate: any certificate.

    Returns:
        Entries as `dns im.example.com`, `srv _xmpp-client.im.example.com`, `xmpp im.example.com`, sorted.
    """
    try:
        entries = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return sorted(_readable(entry) for entry in entries)


def _readable(entry: x509.GeneralName) -> str:
    if isinstance(entry, x509.DNSName):
        return f"dns {entry.value}"
    if isinstance(entry, x509.OtherName):
        for kind, oid, tag in (("srv", SRV_NAME, _IA5_STRING), ("xmpp", XMPP_ADDRESS, _UTF8_STRING)):
            if entry.type_id == oid and entry.value[:1] == bytes([tag]):
                text = entry.value[2 if entry.value[1] < 0x80 else 2 + (entry.value[1] & 0x7F) :]
                return f"{kind} {text.decode('utf-8', 'replace')}"
        return f"other {entry.type_id.dotted_string} {entry.value.hex()}"
    return f"{type(entry).__name__} {entry.value}"


def days_left(certificate: x509.Certificate, now: datetime.datetime | None = None) -> int:
    """Return the whole days that a certificate is still valid; negative when its time is over.

    Args:
        certificate: any certificate.
        now: the present, when left out.
    """
    return (certificate.not_valid_after_utc - (now or utc_now())).days


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 fingerprint of a certificate, 64 hexadecimal digits.

    Args:
        certificate: any certificate.
    """
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


def _span(life: datetime.timedelta) -> str:
    """Write a span of time; hours and seconds only where there are any."""
    return f"{life.days} days" if life == datetime.timedelta(days=life.days) else str(life)


def differences_of(
    certificate: x509.Certificate,
    authority: x509.Certificate,
    names: Names,
    days: int,
    now: datetime.datetime | None = None,
) -> list[Difference]:
    """Compare a server certificate with the one that a site should have.

    Args:
        certificate: the one in use.
        authority: certificate of the site's authority.
        names: the names that it should carry, exactly these.
        days: how long a certificate should live.
        now: the present, when left out.

    Returns:
        Each reason to renew it; empty when it is good.
    """
    moment = now or utc_now()
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    differences = []

    def expect(what: str, present: str, wanted: str) -> None:
        if present != wanted:
            differences.append(Difference(what, present, wanted))

    issuer = certificate.issuer.rfc4514_string()
    if not signed_by(certificate, authority) and certificate.issuer == authority.subject:
        issuer += " (another one of this name)"
    expect("issuer", issuer, authority.subject.rfc4514_string())
    expect(
        "names",
        ", ".join(readable_names(certificate)) or "none",
        ", ".join(sorted(_readable(entry) for entry in alternative_names(names))),
    )
    common = [str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    fits = 0 < len(names.common_name) <= _LONGEST_COMMON_NAME
    expect("common name", ", ".join(common) or "none", names.common_name if fits else "none")
    expect("use", _readable_usage(certificate), "client" if names.client else "server")
    made = start + LEEWAY
    expect("lifetime", _span(end - made), _span(_expected_end(authority, made, days) - made))
    if start > moment:
        differences.append(Difference("validity", f"from {start:%Y-%m-%d %H:%M} UTC on", "valid now"))
    elif (end - moment) * RENEW_AT < end - start:
        left = f"until {end:%Y-%m-%d}, {days_left(certificate, moment)} days left"
        differences.append(Difference("validity", left, f"renewed when a third of {(end - start).days} days is left"))
    return differences
