# SPDX-License-Identifier: GPL-3.0-or-later
"""Sites for tests: folders like those below inventories/, made from small texts."""

from __future__ import annotations

import datetime
import functools
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from ansible_collections.sallyport.im.plugins.plugin_utils.authority import make_authority
from ansible_collections.sallyport.im.plugins.plugin_utils.site import AUTHORITY, HOST_LIST, SITE_FILE, Site, load
from ansible_collections.sallyport.im.plugins.plugin_utils.vault import write_vault
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

FAULTY = Path(__file__).parent / "faulty_sites"
BASE_SITE = (FAULTY / "base" / "site.yml").read_text(encoding="utf-8")
BASE_HOSTS = (FAULTY / "base" / "hosts.yml").read_text(encoding="utf-8")
EXTERNAL_SITE = (FAULTY / "external" / "site.yml").read_text(encoding="utf-8")
EXTERNAL_HOSTS = (FAULTY / "external" / "hosts.yml").read_text(encoding="utf-8")
BASES = {"base": (BASE_SITE, BASE_HOSTS), "external": (EXTERNAL_SITE, EXTERNAL_HOSTS)}
"""Sites without a fault: one with an internal server only; one with an external server and three partners."""
LOG_HOST = """    log_host:
      hosts:
        log:
          ansible_host: 10.20.0.14
          sallyport_addresses: {servers: [10.20.1.14, "fd12:20:0:2::14"]}
    gateway:"""
"""Takes the place of the line `gateway:` in the host list of the base, which has no log host."""
ROOT = Path(__file__).resolve().parents[2]
PASSWORD = b"only for tests"
AUTHORITY_OF_OSLO = make_authority("oslo", ["im.fjord.example", "ext.fjord.example"], 10)
AUTHORITY_OF_NORTH = make_authority("north", ["north.example"], 10)
SECRETS: Mapping[str, object] = {
    "ca_key": AUTHORITY_OF_OSLO[1].decode(),
    "probe_a_password": "a",
    "probe_b_password": "b",
    "probe_c_password": "c",
    "external_probe_a_password": "d",
    "external_probe_b_password": "e",
    "external_probe_c_password": "f",
}


PARTNER_FILE = "partners/north.crt"
PUBLIC_KEYS = {
    "ops": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAjtN//1nj7BGMbfHaD3hQ3oRWFFndyJHBhsi29OLPcX ops@fjord",
    "eva": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKhjCS9J/Z6N2SwsbYhGAe22QOrQDtcKRCzXx13m6/Q+ eva@fjord",
    "former": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFNrDAOFsFoK+Q1B8du0wRv904BwhmiCB0mRIiMWC55A former@fjord",
}
"""Keys of administrators, by the name of their file below administrators/; nobody has the private halves."""


@functools.cache
def vault_bytes(keys: tuple[str, ...] = tuple(SECRETS), password: bytes = PASSWORD) -> bytes:
    """Encrypt a vault once for all tests; it takes a tenth of a second."""
    with tempfile.TemporaryDirectory() as folder:
        return write_vault(Path(folder), {key: SECRETS[key] for key in keys}, passwords=[password]).read_bytes()


def make_site(parent: Path, site: str = BASE_SITE, hosts: str = BASE_HOSTS) -> Path:
    """Make the folder of a site without a fault, or with those of the texts."""
    folder = parent / "oslo"
    (folder / SITE_FILE).parent.mkdir(parents=True, exist_ok=True)
    (folder / SITE_FILE).write_text(site, encoding="utf-8")
    (folder / HOST_LIST).write_text(hosts, encoding="utf-8")
    (folder / "vault.yml").write_bytes(vault_bytes())
    (folder / AUTHORITY).write_bytes(AUTHORITY_OF_OSLO[0])
    (folder / "administrators").mkdir(exist_ok=True)
    for name, public in PUBLIC_KEYS.items():
        (folder / "administrators" / f"{name}.pub").write_text(f"# of {name}\n{public}\n", encoding="utf-8")
    (folder / "partners").mkdir(exist_ok=True)
    (folder / PARTNER_FILE).write_bytes(AUTHORITY_OF_NORTH[0])
    key = folder / ".vault-password"
    key.touch(mode=0o600)
    key.write_bytes(PASSWORD)
    return folder


def base_site(parent: Path) -> Site:
    """Load the site without a fault."""
    return load(make_site(parent))


def external_site(parent: Path) -> Site:
    """Load the site without a fault that has an external server."""
    return load(make_site(parent, EXTERNAL_SITE, EXTERNAL_HOSTS))


def moment(text: str) -> datetime.datetime:
    """Read a time of a test, as 2026-06-01 12:30 or 2026-06-01 12:30:59; UTC."""
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)


def server_certificate(name: str, issuer: str = "", *, signs: bool = False) -> bytes:
    """Make the certificate of a server, which signs itself and is no authority; or that of one below another."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject, above = (x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, of)]) for of in (name, issuer or name))
    builder = x509.CertificateBuilder(above, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(moment("2026-01-01")).not_valid_after(moment("2036-01-01"))
    builder = builder.add_extension(x509.BasicConstraints(ca=signs, path_length=None), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _no_vault(folder: Path) -> None:
    (folder / "vault.yml").unlink()


def _wrong_password(folder: Path) -> None:
    (folder / ".vault-password").write_bytes(b"another")


def _no_password(folder: Path) -> None:
    (folder / ".vault-password").unlink()


def _plain_vault(folder: Path) -> None:
    (folder / "vault.yml").write_text("ca_key: x\n", encoding="utf-8")


def _incomplete_vault(folder: Path) -> None:
    (folder / "vault.yml").write_bytes(vault_bytes(("probe_a_password", "probe_c_password")))


def _list_and_empty(folder: Path) -> None:
    (folder / SITE_FILE).write_text("- sallyport\n", encoding="utf-8")
    (folder / HOST_LIST).write_text("# nothing yet\n", encoding="utf-8")


def _huge_and_folder(folder: Path) -> None:
    with (folder / SITE_FILE).open("r+b") as stream:
        stream.truncate(50 * 1024 * 1024)
    (folder / HOST_LIST).unlink()
    (folder / HOST_LIST).mkdir()


def _latin1_and_missing(folder: Path) -> None:
    (folder / SITE_FILE).write_bytes(BASE_SITE.replace("Fjord AS", "Blåbær AS").encode("latin-1"))
    (folder / HOST_LIST).unlink()


def _deep(folder: Path) -> None:
    (folder / SITE_FILE).write_text("sallyport: " + "[" * 400_000, encoding="utf-8")


def _no_authority(folder: Path) -> None:
    (folder / AUTHORITY).unlink()


def _foreign_authority(folder: Path) -> None:
    (folder / AUTHORITY).write_bytes(make_authority("oslo", ["im.fjord.example"], 10)[0])


def _no_external_secrets(folder: Path) -> None:
    (folder / "vault.yml").write_bytes(vault_bytes(tuple(key for key in SECRETS if "external" not in key)))


def _no_partner_file(folder: Path) -> None:
    (folder / PARTNER_FILE).unlink()


def _partner_folder(folder: Path) -> None:
    (folder / PARTNER_FILE).unlink()
    (folder / PARTNER_FILE).mkdir()


def _partner_garbage(folder: Path) -> None:
    (folder / PARTNER_FILE).write_text(
        "-----BEGIN CERTIFICATE-----\nbm90IG9uZQ==\n-----END CERTIFICATE-----\n", encoding="utf-8"
    )


def _partner_empty(folder: Path) -> None:
    (folder / PARTNER_FILE).write_bytes(b"")


def _partner_large(folder: Path) -> None:
    (folder / PARTNER_FILE).write_bytes(AUTHORITY_OF_NORTH[0] * 1000)


def _partner_server(folder: Path) -> None:
    """The authority first, then a server, whose name writes to the terminal."""
    (folder / PARTNER_FILE).write_bytes(AUTHORITY_OF_NORTH[0] + server_certificate("xmpp\x1b[31m.north.example"))


def _partner_below(folder: Path) -> None:
    (folder / PARTNER_FILE).write_bytes(server_certificate("north issuing", "north root", signs=True))


def _partner_key(folder: Path) -> None:
    (folder / PARTNER_FILE).write_bytes(b"".join(AUTHORITY_OF_NORTH))


def _lists_of_rules(folder: Path) -> None:
    (folder / "rules").mkdir()
    for name, content in {
        "empty": b"# nothing\n",
        "binary": b"\xff\xfe",
        "good": b"# words\nfalcon\nProject X\n",
        "hosts": b"0.0.0.0 Bad.example # a hosts file\nhttps://worse.example/page/?q=1\n",
        "bad": b"fine.example\nnot a name\n",
    }.items():
        (folder / "rules" / f"{name}.txt").write_bytes(content)


SPECIAL: Mapping[str, Callable[[Path], None]] = {
    "lists-of-rules": _lists_of_rules,
    "no_vault": _no_vault,
    "wrong_password": _wrong_password,
    "no_password": _no_password,
    "plain_vault": _plain_vault,
    "incomplete_vault": _incomplete_vault,
    "list_and_empty": _list_and_empty,
    "huge_and_folder": _huge_and_folder,
    "latin1_and_missing": _latin1_and_missing,
    "deep": _deep,
    "no_authority": _no_authority,
    "foreign_authority": _foreign_authority,
    "no_external_secrets": _no_external_secrets,
    "no_partner_file": _no_partner_file,
    "partner_folder": _partner_folder,
    "partner_garbage": _partner_garbage,
    "partner_empty": _partner_empty,
    "partner_large": _partner_large,
    "partner_server": _partner_server,
    "partner_below": _partner_below,
    "partner_key": _partner_key,
}
"""Faults that are no change of a text, by the name that the data files use."""
