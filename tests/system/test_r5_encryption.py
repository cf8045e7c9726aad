# SPDX-License-Identifier: GPL-3.0-or-later
"""R5: nothing is accepted in the clear."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ObjectIdentifier
from probe.remote import Probe
from system.attempts import CONFIG, sign_in, told
from system.controls import RESTART, Breakage, Seen, control
from system.site_facts import Service, SiteFacts

OLD: dict[str, Any] = {"min_version": "1.1", "max_version": "1.1", "ciphers": "DEFAULT@SECLEVEL=0"}
SRV_NAME = ObjectIdentifier("1.3.6.1.5.5.7.8.7")  # RFC 4985
XMPP_ADDRESS = ObjectIdentifier("1.3.6.1.5.5.7.8.5")  # RFC 6120, 13.7.1.4
# the pair in force is a link to one of the versions; the broken one is a version of its own
OTHER_CERTIFICATE = Breakage(
    command=(
        "cd /etc/sallyport/tls && install -d versions/broken && cp -a current/. versions/broken"
        " && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=other.example"
        " -addext subjectAltName=DNS:other.example -keyout /run/broken.key -out /run/broken.crt 2>/dev/null"
        " && cat /run/broken.key >versions/broken/privkey.pem && cat /run/broken.crt >versions/broken/fullchain.pem"
        " && cp -P current current.kept && ln -sfn versions/broken current"
        f" && {{ {RESTART}; }}"
    ),
    undo=(
        # also right after a breaking that was stopped half-way
        "cd /etc/sallyport/tls; if test -L current.kept; then mv -T current.kept current; fi;"
        f" rm -rf versions/broken /run/broken.key /run/broken.crt; {RESTART}"
    ),
)


@control(
    id="R5-login-without-tls",
    practice="R5",
    says="Nobody can sign in without encryption.",
    permitted="Signing in over STARTTLS and over direct TLS.",
    forbidden="The same sign-in without TLS, on the same port; at each server.",
    breakage=Breakage(CONFIG, r"^c2s_require_encryption = true", "c2s_require_encryption = false"),
)
def test_login_without_tls(
    facts: SiteFacts, desk: Probe, password_at: Callable[[Service, str], str], seen: Seen
) -> None:
    for host, service in facts.im_servers():
        secret = password_at(service, "probe-a")
        for mode, name in (("starttls", "STARTTLS on 5222"), ("direct", "Direct TLS on 5223")):
            answer = sign_in(desk, facts, "probe-a", secret, service=service, mode=mode)
            assert answer["result"] == "signed in", f"{host.name}, {name}: {told(answer)}"
            seen(f"{host.name}, {name}: {told(answer)}.")
        for mechanism in ("SCRAM-SHA-256", "PLAIN"):
            # the clear-text attempt never carries the real password
            tried: dict[str, Any] = {"service": service, "mode": "clear", "mechanism": mechanism}
            answer = sign_in(desk, facts, "probe-a", "not-the-password", **tried)
            assert answer["result"] == "refused", f"{host.name}, {mechanism} without TLS: {told(answer)}"
            assert "encryption-required" in answer["why"], f"{mechanism} without TLS was answered: {told(answer)}"
            assert not answer["offered"], f"without TLS {host.name} offers {', '.join(answer['offered'])}"
            seen(f"{host.name}, {mechanism} without TLS: {answer['why']}.")


@control(
    id="R5-old-tls",
    practice="R5",
    says="Old encryption that has been broken (TLS 1.1) is refused.",
    permitted="TLS 1.2; and the same old client at a control server that allows TLS 1.1.",
    forbidden="TLS 1.1 on both ports of each server.",
    breakage=Breakage(
        CONFIG,
        r'^\s*ciphers = "[^"]*";',
        '\tprotocol = "tlsv1_1+"; ciphers = "DEFAULT@SECLEVEL=0"; ',
    ),
)
def test_old_tls(facts: SiteFacts, desk: Probe, seen: Seen) -> None:
    control_server = desk.do("old_tls_start", version="1.1")
    try:
        answer = desk.do("tls_handshake", **control_server, server_name="control.invalid", **OLD)
    finally:
        desk.do("old_tls_stop")
    assert answer["result"] == "agreed", f"this client cannot do TLS 1.1 anywhere, so nothing is proven: {told(answer)}"
    seen(f"The same client at a control server: {told(answer)}.")
    for (host, service), (port, starttls) in itertools.product(facts.im_servers(), ((5222, True), (5223, False))):
        common: dict[str, Any] = {
            "host": service.address,
            "port": port,
            "server_name": service.domain,
            "starttls": starttls,
        }
        answer = desk.do("tls_handshake", **common, ca_pem=service.ca_pem, max_version="1.2")
        assert answer["result"] == "agreed", f"TLS 1.2 on {port}: {told(answer)}"
        assert answer["tls"] == "TLSv1.2", f"asked for TLS 1.2, got {answer['tls']}"
        assert answer["cipher"].startswith("ECDHE-"), f"no forward secrecy: {answer['cipher']}"
        old = desk.do("tls_handshake", **common, **OLD)
        assert old["result"] == "refused", f"TLS 1.1 on {port}: {told(old)}"
        assert old["step"] == "tls", f"TLS 1.1 on {port} did not get as far as TLS: {told(old)}"
        assert "alert" in old["why"].lower(), f"not the server refused TLS 1.1 on {port}: {told(old)}"
        seen(f"{host.name} {port}: TLS 1.2 {told(answer)}; TLS 1.1 {told(old)}.")


@control(
    id="R5-plain",
    practice="R5",
    says="A password is never sent to the server as such, not even inside encryption.",
    permitted="Signing in by SCRAM-SHA-256, with and without channel binding.",
    forbidden="Signing in by PLAIN; older mechanisms in the offer.",
    breakage=Breakage(CONFIG, r'"PLAIN";', ""),
)
def test_plain(facts: SiteFacts, desk: Probe, password_at: Callable[[Service, str], str], seen: Seen) -> None:
    for host, service in facts.im_servers():
        secret, at = password_at(service, "probe-a"), {"service": service}
        answer = sign_in(desk, facts, "probe-a", secret, **at)
        assert answer["result"] == "signed in", f"{host.name}, SCRAM-SHA-256: {told(answer)}"
        bound = sign_in(desk, facts, "probe-a", secret, **at, mechanism="SCRAM-SHA-256-PLUS", max_version="1.2")
        assert bound["result"] == "signed in", f"{host.name}, SCRAM-SHA-256-PLUS: {told(bound)}"
        assert set(answer["offered"]) == {"SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"}, (
            f"{host.name} offers {', '.join(answer['offered'])}"
        )
        plain = sign_in(desk, facts, "probe-a", secret, **at, mechanism="PLAIN")
        assert plain["result"] == "refused", f"{host.name}: PLAIN with the right password was taken"
        assert plain["why"].startswith("invalid-mechanism"), f"PLAIN was refused for another reason: {told(plain)}"
        offered = ", ".join(answer["offered"])
        seen(f"{host.name} offers {offered}; both signed in. PLAIN with the right password: {plain['why']}.")


@control(
    id="R5-certificate-names",
    practice="R5",
    says="The server proves who it is, so that nobody can pretend to be it.",
    permitted="The certificate is accepted for the site's own names and made by the site's own authority.",
    forbidden="The same certificate for another name, and without that authority's signature.",
    breakage=OTHER_CERTIFICATE,
)
def test_certificate_names(facts: SiteFacts, desk: Probe, seen: Seen) -> None:
    for host, service in facts.im_servers():
        internal, ca = host.group == "im_internal", service.ca_pem
        where: dict[str, Any] = {"host": service.address, "port": 5223}
        good = desk.do("tls_handshake", **where, server_name=service.domain, ca_pem=ca)
        assert good["result"] == "agreed", f"the certificate of {service.domain} is not accepted: {told(good)}"
        name = facts.files if internal else service.domain
        web = desk.do("tls_handshake", host=service.address, port=5281, server_name=name, ca_pem=ca)
        assert web["result"] == "agreed", f"the certificate of {name} is not accepted: {told(web)}"
        for name in ("other.example", PARENT.format(service.domain)):
            bad = desk.do("tls_handshake", **where, server_name=name, ca_pem=ca)
            assert bad["result"] == "refused", f"the certificate is taken for {name}"
            assert any(word in bad["why"].lower() for word in ("match", "unrecognized")), (
                f"refused for another reason: {told(bad)}"
            )
        names = _names(good["certificate"])
        domains = {facts.domain, facts.rooms, facts.files} if internal else {service.domain}
        kinds = ("client",) if internal else ("client", "server")
        services = {f"_{way}-{kind}.{service.domain}" for way in ("xmpp", "xmpps") for kind in kinds}
        assert names["dns"] == domains, f"the certificate of {host.name} names {names['dns']}"
        assert names["xmpp"] == domains, f"as XMPP addresses it names {names['xmpp']}"
        assert names["srv"] == services, f"as services it names {names['srv']}"
        seen(f"{host.name}: accepted for {', '.join(sorted(domains))}; refused for other.example.")
        seen(f"It also names {', '.join(sorted(services))}.")


PARENT = "evil-{}"


def _names(pem: str) -> dict[str, set[str]]:
    certificate = x509.load_pem_x509_certificate(pem.encode())
    alternative: Any = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    found: dict[str, set[str]] = {
        "dns": set(alternative.get_values_for_type(x509.DNSName)),
        "srv": set(),
        "xmpp": set(),
    }
    for other in alternative.get_values_for_type(x509.OtherName):
        # DER of a short string: one byte of type, one of length, then the text
        text = other.value[2:].decode()
        if other.type_id == SRV_NAME:
            found["srv"].add(text)
        elif other.type_id == XMPP_ADDRESS:
            found["xmpp"].add(text)
    return found
