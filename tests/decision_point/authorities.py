# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of servers for the tests: right ones, and each kind of wrong one."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, and the authorities between it and the one at the top."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    between: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> str:
        """The certificate as text, and the ones that are shown with it."""
        shown = (self.certificate, *self.between)
        return "".join(one.public_bytes(serialization.Encoding.PEM).decode() for one in shown)

    @property
    def key_pem(self) -> str:
        """The key as text."""
        form = serialization.PrivateFormat.PKCS8
        return self.key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()


def make(name: str, issuer: Pair | None = None, authority: bool = False, first: int = -1, last: int = 30) -> Pair:
    """Makes a certificate.

    Args:
        name: the domain that it is for, or the authority's name.
        issuer: whose key signs it; its own when there is none.
        authority: whether it may sign others.
        first: from when it is valid, in days from now.
        last: until when.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + first * DAY)
        .not_valid_after(NOW + last * DAY)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if not authority:
        built = built.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return Pair(built.sign(issuer.key if issuer else key, hashes.SHA256()), key)
