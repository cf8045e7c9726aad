# SPDX-License-Identifier: GPL-3.0-or-later
"""The authorities of partners and of the mail relay: files below a site's folder with certificates (PEM, RFC 7468)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ansible_collections.sallyport.im.plugins.plugin_utils.faults import Location, show_value
from ansible_collections.sallyport.im.plugins.plugin_utils.site_file import SiteFile
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

ALLOWED = "a file with the certificate of the authority (-----BEGIN CERTIFICATE-----), as its owner gave it"
LONGEST_FILE = 262144
RELAY = "mail relay"
"""Stands for the relay among the domains of partners; no domain has a blank."""


def read_authority(folder: Path, path: str) -> str:
    """Read the authority of a partner, or of the mail relay.

    Args:
        folder: folder of the site.
        path: of the file, relative to it.

    Returns:
        The certificates, PEM, without whatever else stands in the file.

    Raises:
        ValueError: it cannot be read, holds no certificate, one that may not sign others, or none that is at the top.
    """
    try:
        with (folder / path).open("rb") as stream:
            content = stream.read(LONGEST_FILE + 1)
    except OSError as error:
        raise ValueError(f"the file {path} cannot be read: {error.strerror}") from None
    if len(content) > LONGEST_FILE:
        raise ValueError(f"the file {path} is longer than {LONGEST_FILE} bytes")
    if b"PRIVATE KEY" in content:
        raise ValueError(f"the file {path} holds a private key, which nobody but its owner may have")
    try:
        certificates = x509.load_pem_x509_certificates(content)
    except ValueError:
        raise ValueError(f"the file {path} holds no certificate that can be read") from None
    for certificate in certificates:
        try:
            signs = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except (x509.ExtensionNotFound, ValueError):
            signs = False
        if not signs:
            name = show_value(certificate.subject.rfc4514_string())
            raise ValueError(
                f"the file {path} holds the certificate of {name}, which is no authority and cannot sign others"
            )
    if not any(certificate.issuer == certificate.subject for certificate in certificates):
        name = show_value(certificates[0].issuer.rfc4514_string())
        raise ValueError(f"the file {path} does not hold the authority at the top: that of {name} is missing")
    return "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in certificates)


def authorities_of(folder: Path, settings: SiteFile) -> tuple[Mapping[str, str], list[tuple[Location, str, str]]]:
    """Read the authorities of all partners of a site, and of its mail relay.

    Args:
        folder: folder of the site.
        settings: its site file.

    Returns:
        PEM by the partner's domain, that of the relay by `RELAY`; and what is wrong: the way to the setting, what it
        is, what is allowed.
    """
    found: dict[str, str] = {}
    faults: list[tuple[Location, str, str]] = []
    files: list[tuple[str, str | None, Location]] = [
        (partner.domain, partner.authority, ("sallyport", "partners", number, "authority"))
        for number, partner in enumerate(settings.partners)
    ]
    if settings.alerts.mail is not None:
        files.append((RELAY, settings.alerts.mail.authority, ("sallyport", "alerts", "mail", "authority")))
    for name, path, location in files:
        if path is not None:
            try:
                found[name] = read_authority(folder, path)
            except ValueError as error:
                faults.append((location, str(error), ALLOWED))
    return found, faults
