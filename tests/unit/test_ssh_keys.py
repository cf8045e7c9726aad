# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys with which administrators get in: read from files, and refused when they would let nobody or anybody in."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from ansible_collections.sallyport.im.plugins.plugin_utils.faults import SiteFaults
from ansible_collections.sallyport.im.plugins.plugin_utils.site import load
from ansible_collections.sallyport.im.plugins.plugin_utils.ssh_keys import read_keys
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from unit.sites import PUBLIC_KEYS, base_site, make_site

KIND = b"sk-ssh-ed25519@openssh.com"
# kind, 32 bytes of key, application (PROTOCOL.u2f of OpenSSH); each with its length in front
BLOB = b"".join(len(part).to_bytes(4, "big") + part for part in (KIND, bytes(32), b"ssh:"))
TOKEN = f"{KIND.decode()} {base64.b64encode(BLOB).decode()} token"


def short_rsa() -> str:
    key = generate_private_key(65537, 2048).public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def test_a_file_may_hold_several_keys_and_comments(tmp_path: Path) -> None:
    (tmp_path / "eva.pub").write_text(f"# laptop\n{PUBLIC_KEYS['eva']}\n\n{TOKEN}\n", encoding="utf-8")
    assert read_keys(tmp_path, "eva.pub") == (PUBLIC_KEYS["eva"], TOKEN)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "holds no key"),
        ("# nothing yet\n", "holds no key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\n", "private key, which belongs"),
        (PUBLIC_KEYS["eva"][:60], "line 1: this key is damaged"),
        (f"{PUBLIC_KEYS['eva']}\nssh-dss AAAAB3NzaC1kc3M= old\n", "line 2: this is no public key of a kind"),
        (f'command="/bin/sh" {PUBLIC_KEYS["eva"]}', "options in front of it"),
        (f"{PUBLIC_KEYS['eva']} \x1b[31m", "do not print"),
        (short_rsa(), "2048 bits"),
        ("ssh-ed25519", "no public key"),
        (f"{KIND.decode()} not-base64 x", "this key is damaged"),
        (f"{KIND.decode()} {base64.b64encode(BLOB[:50]).decode()} x", "this key is damaged"),
        (f"{PUBLIC_KEYS['eva']}\n" * 900, "is longer than 65536 bytes"),
    ],
)
def test_what_is_no_safe_key_is_refused(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "eva.pub").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"^the file eva\.pub") as caught:
        read_keys(tmp_path, "eva.pub")
    assert says in str(caught.value)


def test_a_site_has_its_keys_by_file(tmp_path: Path) -> None:
    site = base_site(tmp_path)
    assert site.keys == {f"administrators/{name}.pub": (key,) for name, key in PUBLIC_KEYS.items()}


def test_a_missing_file_is_named_with_its_setting(tmp_path: Path) -> None:
    folder = make_site(tmp_path)
    (folder / "administrators" / "former.pub").unlink()
    with pytest.raises(SiteFaults) as caught:
        load(folder)
    (fault,) = caught.value.faults
    assert fault.location == ("sallyport", "revoked_keys", 0)
    assert "administrators/former.pub cannot be read: No such file" in fault.message


def test_nobody_locks_an_administrator_out_by_revoking_all_keys(tmp_path: Path) -> None:
    folder = make_site(tmp_path)
    (folder / "administrators" / "former.pub").write_text(PUBLIC_KEYS["ops"].replace("ops@", "else@"), "utf-8")
    with pytest.raises(SiteFaults) as caught:
        load(folder)
    (fault,) = caught.value.faults
    assert fault.location == ("sallyport", "administrators", 0, "keys")
    assert "every key of ops is revoked" in fault.message
