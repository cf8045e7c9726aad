# SPDX-License-Identifier: GPL-3.0-or-later
"""The site's authority: what it signs is judged by openssl, by real bytes, and not by the library that made it."""

from __future__ import annotations

import datetime
import subprocess
from pathlib import Path

import pytest
from ansible_collections.sallyport.im.plugins.plugin_utils import authority
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

DOMAIN = "im.oslo.example"
NAMES = authority.Names(
    common_name=DOMAIN,
    dns=(DOMAIN, f"rooms.{DOMAIN}", f"files.{DOMAIN}"),
    srv=(f"_xmpp-client.{DOMAIN}", f"_xmpps-client.{DOMAIN}"),
    xmpp=(DOMAIN, f"rooms.{DOMAIN}", f"files.{DOMAIN}"),
)
DAY = datetime.timedelta(days=1)


def request_of(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, *names: str) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bank.example")])
    )
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def made() -> tuple[bytes, bytes]:
    return authority.make_authority("oslo", [DOMAIN], 10)


@pytest.fixture(scope="module")
def signer(made: tuple[bytes, bytes]) -> authority.Authority:
    return authority.load_authority(*made)


@pytest.fixture
def files(tmp_path: Path, made: tuple[bytes, bytes]) -> Path:
    (tmp_path / "ca.crt").write_bytes(made[0])
    return tmp_path


def openssl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)


def verify(folder: Path, certificate: bytes, host: str) -> subprocess.CompletedProcess[str]:
    file = folder / "leaf.pem"
    file.write_bytes(certificate)
    return openssl(
        "verify", "-x509_strict", "-purpose", "sslserver", "-no-CApath", "-no-CAstore",
        "-CAfile", str(folder / "ca.crt"), "-verify_hostname", host, str(file),
    )  # fmt: skip


def text_of(file: Path) -> str:
    return openssl("x509", "-in", str(file), "-noout", "-text").stdout


def certificate_of(
    signer: authority.Authority,
    key: ec.EllipticCurvePrivateKey,
    names: authority.Names = NAMES,
    days: int = 90,
    now: datetime.datetime | None = None,
) -> x509.Certificate:
    return x509.load_pem_x509_certificate(authority.sign(signer, request_of(key), names, days, now))


def test_openssl_accepts_each_name_and_no_other(
    files: Path, signer: authority.Authority, key: ec.EllipticCurvePrivateKey
) -> None:
    certificate = authority.sign(signer, request_of(key), NAMES, 90)
    for host in NAMES.dns:
        assert verify(files, certificate, host).returncode == 0, host
    for host in ("oslo.example", f"other.{DOMAIN}", "bank.example"):
        refused = verify(files, certificate, host)
        assert refused.returncode != 0
        assert "hostname mismatch" in refused.stderr


def test_openssl_reads_the_names_of_xmpp(
    files: Path, signer: authority.Authority, key: ec.EllipticCurvePrivateKey
) -> None:
    file = files / "leaf.pem"
    file.write_bytes(authority.sign(signer, request_of(key), NAMES, 90))
    # the version of OpenSSL that knows these object identifiers by name is the one of Debian 12 and later
    text = text_of(file)
    for name in NAMES.srv:
        assert f"SRVName::{name}" in text
    for name in NAMES.xmpp:
        assert f"XmppAddr::{name}" in text
    parsed = openssl("asn1parse", "-in", str(file)).stdout
    assert "CA:FALSE" in text
    assert "TLS Web Server Authentication" in text
    assert "TLS Web Client Authentication" not in text
    assert "Digital Signature" in text
    assert "ecdsa-with-SHA384" in parsed


def test_the_bytes_of_the_names_are_those_of_the_standards() -> None:
    entries = list(authority.alternative_names(authority.Names("a.b", ("a.b",), ("_x.a.b",), ("a.b",))))
    assert entries[1] == x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.7"), b"\x16\x06_x.a.b")  # IA5String
    assert entries[2] == x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.5"), b"\x0c\x03a.b")  # UTF8String


def test_long_names_survive(files: Path, signer: authority.Authority, key: ec.EllipticCurvePrivateKey) -> None:
    long = ".".join(["a" * 60, "b" * 60, "c" * 60, DOMAIN])
    names = authority.Names(long, (long,), (f"_xmpp-client.{long}",), (long,))
    certificate = authority.sign(signer, request_of(key), names, 90)
    assert verify(files, certificate, long).returncode == 0
    assert f"SRVName::_xmpp-client.{long}" in text_of(files / "leaf.pem")
    parsed = x509.load_pem_x509_certificate(certificate)
    assert authority.differences_of(parsed, signer.certificate, names, 90) == []
    assert f"srv _xmpp-client.{long}" in authority.readable_names(parsed)


def test_a_host_cannot_choose_its_names(
    files: Path, signer: authority.Authority, key: ec.EllipticCurvePrivateKey
) -> None:
    certificate = authority.sign(signer, request_of(key, f"evil.{DOMAIN}", "bank.example"), NAMES, 90)
    assert verify(files, certificate, f"evil.{DOMAIN}").returncode != 0
    assert "bank.example" not in text_of(files / "leaf.pem")


def test_the_authority_cannot_vouch_for_the_rest_of_the_world(
    files: Path, signer: authority.Authority, key: ec.EllipticCurvePrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = authority.Names("bank.example", ("bank.example",), (), ("bank.example",))
    with pytest.raises(authority.AuthorityFault, match=r"may not sign for bank\.example"):
        authority.sign(signer, request_of(key), elsewhere, 90)
    # and when somebody signs with the stolen key all the same, clients refuse
    monkeypatch.setattr(authority, "permits", lambda *_: True)
    refused = verify(files, authority.sign(signer, request_of(key), elsewhere, 90), "bank.example")
    assert refused.returncode != 0
    assert "permitted subtree violation" in refused.stderr


def test_the_authority_signs_servers_only_and_no_further_authority(files: Path) -> None:
    text = text_of(files / "ca.crt")
    assert "CA:TRUE, pathlen:0" in text
    assert "Certificate Sign, CRL Sign" in text
    assert "X509v3 Name Constraints: critical" in text
    assert "secp384r1" in text
    assert openssl("verify", "-x509_strict", "-CAfile", str(files / "ca.crt"), str(files / "ca.crt")).returncode == 0


@pytest.mark.parametrize(("name", "allowed"), [(DOMAIN, True), (f"a.b.{DOMAIN}", True), (f"x{DOMAIN}", False)])
def test_permits(signer: authority.Authority, name: str, allowed: bool) -> None:
    assert authority.permits(signer.certificate, name) is allowed


def test_lives_and_serial_numbers(signer: authority.Authority, key: ec.EllipticCurvePrivateKey) -> None:
    now = authority.utc_now()
    first, second = certificate_of(signer, key, now=now), certificate_of(signer, key, now=now)
    assert first.not_valid_before_utc == now - datetime.timedelta(minutes=5)
    assert first.not_valid_after_utc == now + 90 * DAY
    assert first.serial_number != second.serial_number
    assert first.serial_number.bit_length() > 64
    whole = signer.certificate
    assert whole.not_valid_after_utc - whole.not_valid_before_utc == 3650 * DAY + datetime.timedelta(minutes=5)


def test_a_certificate_ends_with_its_authority(key: ec.EllipticCurvePrivateKey) -> None:
    now = authority.utc_now()
    old = authority.load_authority(*authority.make_authority("oslo", [DOMAIN], 1, now - 335 * DAY), now=now)
    certificate = certificate_of(old, key, now=now)
    assert certificate.not_valid_after_utc == old.certificate.not_valid_after_utc
    # and is not renewed for that in each run
    assert authority.differences_of(certificate, old.certificate, NAMES, 90, now) == []


def test_a_good_certificate_has_no_differences(signer: authority.Authority, key: ec.EllipticCurvePrivateKey) -> None:
    assert authority.differences_of(certificate_of(signer, key), signer.certificate, NAMES, 90) == []


@pytest.mark.parametrize(("age", "renewed"), [(0, False), (59, False), (61, True), (89, True), (91, True)])
def test_renewed_in_the_last_third_of_its_life(
    signer: authority.Authority, key: ec.EllipticCurvePrivateKey, age: int, renewed: bool
) -> None:
    now = authority.utc_now()
    certificate = certificate_of(signer, key, now=now)
    found = authority.differences_of(certificate, signer.certificate, NAMES, 90, now + age * DAY)
    assert [difference.what for difference in found] == (["validity"] if renewed else [])
    assert authority.days_left(certificate, now + age * DAY) == 90 - age


@pytest.mark.parametrize(
    ("names", "days", "what"),
    [
        (authority.Names(DOMAIN, (*NAMES.dns, f"new.{DOMAIN}"), NAMES.srv, NAMES.xmpp), 90, ["names"]),
        (authority.Names(DOMAIN, NAMES.dns[:2], NAMES.srv, NAMES.xmpp), 90, ["names"]),
        (authority.Names(DOMAIN, NAMES.dns, NAMES.srv[:1], NAMES.xmpp), 90, ["names"]),
        (authority.Names(DOMAIN, NAMES.dns, NAMES.srv, ()), 90, ["names"]),
        (authority.Names("chat", NAMES.dns, NAMES.srv, NAMES.xmpp), 90, ["common name"]),
        (NAMES, 30, ["lifetime"]),
        (authority.Names(DOMAIN, tuple(reversed(NAMES.dns)), NAMES.srv, NAMES.xmpp), 90, []),
    ],
)
def test_what_the_site_changed_is_found(
    signer: authority.Authority, key: ec.EllipticCurvePrivateKey, names: authority.Names, days: int, what: list[str]
) -> None:
    found = authority.differences_of(certificate_of(signer, key), signer.certificate, names, days)
    assert [difference.what for difference in found] == what


def test_another_authority_of_the_same_name_is_told_apart(
    signer: authority.Authority, key: ec.EllipticCurvePrivateKey
) -> None:
    other = authority.load_authority(*authority.make_authority("oslo", [DOMAIN], 10))
    assert other.certificate.subject == signer.certificate.subject
    certificate = certificate_of(other, key)
    assert not authority.signed_by(certificate, signer.certificate)
    assert authority.signed_by(certificate, other.certificate)
    assert [found.what for found in authority.differences_of(certificate, signer.certificate, NAMES, 90)] == ["issuer"]


@pytest.mark.parametrize(
    ("client", "purpose", "other"), [(True, "sslclient", "sslserver"), (False, "sslserver", "sslclient")]
)
def test_a_certificate_is_for_one_side_only(
    files: Path, signer: authority.Authority, *, client: bool, purpose: str, other: str
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    names = authority.Names(f"desk.desktops.{DOMAIN}", (f"desk.desktops.{DOMAIN}",), client=client)
    (files / "device.pem").write_bytes(authority.sign(signer, request_of(key), names, 90))
    verify = ("verify", "-CAfile", str(files / "ca.crt"), "-purpose")
    assert openssl(*verify, purpose, str(files / "device.pem")).returncode == 0
    refused = openssl(*verify, other, str(files / "device.pem"))
    assert refused.returncode != 0
    assert "purpose" in refused.stderr


def test_what_a_certificate_is_for_is_compared(signer: authority.Authority, key: ec.EllipticCurvePrivateKey) -> None:
    made = authority.load_certificate(authority.sign(signer, request_of(key), NAMES, 90))
    wanted = authority.Names(NAMES.common_name, NAMES.dns, NAMES.srv, NAMES.xmpp, client=True)
    assert [str(one) for one in authority.differences_of(made, signer.certificate, wanted, 90)] == [
        "use: is server, should be client"
    ]


def test_a_difference_is_one_line() -> None:
    assert str(authority.Difference("names", "a", "b")) == "names: is a, should be b"


def test_requests_that_are_refused(signer: authority.Authority, key: ec.EllipticCurvePrivateKey) -> None:
    with pytest.raises(authority.AuthorityFault, match="not a PEM certificate request"):
        authority.sign(signer, b"nonsense", NAMES, 90)
    with pytest.raises(authority.AuthorityFault, match="not for an EC P-256 key"):
        authority.sign(signer, request_of(ec.generate_private_key(ec.SECP384R1())), NAMES, 90)
    with pytest.raises(authority.AuthorityFault, match="not for an EC P-256 key"):
        authority.sign(signer, request_of(rsa.generate_private_key(65537, 2048)), NAMES, 90)
    der = bytearray(x509.load_pem_x509_csr(request_of(key)).public_bytes(serialization.Encoding.DER))
    place = der.index(b"bank.example")
    der[place : place + 4] = b"tank"  # the signature is now one of other content
    forged = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(authority.AuthorityFault, match="not signed by its own key"):
        authority.sign(signer, forged, NAMES, 90)


@pytest.mark.parametrize("names", [authority.Names("a", ()), authority.Names("å", ("å.example",))])
def test_names_that_no_certificate_can_carry(names: authority.Names) -> None:
    with pytest.raises(authority.AuthorityFault):
        authority.alternative_names(names)


def test_an_authority_that_does_not_fit_together(made: tuple[bytes, bytes]) -> None:
    _other, foreign = authority.make_authority("oslo", [DOMAIN], 10)
    with pytest.raises(authority.AuthorityFault, match="do not belong together"):
        authority.load_authority(made[0], foreign)
    with pytest.raises(authority.AuthorityFault, match="not a PEM certificate"):
        authority.load_authority(b"x", made[1])
    with pytest.raises(authority.AuthorityFault, match="not a private key"):
        authority.load_authority(made[0], b"x")
    with pytest.raises(authority.AuthorityFault, match="ended on"):
        authority.load_authority(*made, now=authority.utc_now() + 3651 * DAY)


def test_the_key_is_never_in_a_text(made: tuple[bytes, bytes], signer: authority.Authority) -> None:
    lines = made[1].decode().splitlines()
    assert "oslo" in repr(signer)
    assert not any(line in repr(signer) for line in lines)
