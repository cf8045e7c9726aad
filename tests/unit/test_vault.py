# SPDX-License-Identifier: GPL-3.0-or-later
"""The vault of a site: where its password comes from, and that each fault says what to change."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleLookupError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.sallyport.im.plugins.lookup.secret import LookupModule
from ansible_collections.sallyport.im.plugins.plugin_utils import vault

SECRETS = {"probe_a_password": "grün-7312", "demo_passwords": {"alice": "eleven-9041"}}


@pytest.fixture(autouse=True)
def _no_password_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(vault.KEY_FILE_VARIABLE, raising=False)


def password_file(file: Path, password: str, mode: int = 0o600) -> Path:
    file.write_text(f"{password}\n", encoding="utf-8")
    file.chmod(mode)
    return file


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "oslo"
    folder.mkdir()
    password_file(folder / vault.KEY_FILE, "own")
    vault.write_vault(folder, SECRETS)
    return folder


def fault(folder: Path, *passwords: bytes) -> vault.VaultFault:
    with pytest.raises(vault.VaultFault) as caught:
        vault.read_vault(folder, passwords)
    # a traceback that is printed must not bring along what the first error knew
    assert caught.value.__cause__ is None
    return caught.value


def test_what_was_written_is_read(site: Path) -> None:
    assert vault.read_vault(site) == SECRETS


def test_the_file_is_private_encrypted_and_alone(site: Path) -> None:
    file = site / vault.VAULT
    content = file.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert VaultLib.is_encrypted(content)
    assert b"7312" not in content
    assert b"9041" not in content
    assert sorted(path.name for path in site.iterdir()) == [vault.KEY_FILE, vault.VAULT]


def test_a_vault_is_replaced_only_on_purpose(site: Path) -> None:
    before = (site / vault.VAULT).read_bytes()
    with pytest.raises(vault.VaultFault, match="is not overwritten"):
        vault.write_vault(site, {"a": "b"})
    assert (site / vault.VAULT).read_bytes() == before
    vault.write_vault(site, {"a": "b"}, replace=True)
    assert vault.read_vault(site) == {"a": "b"}


@pytest.mark.parametrize("source", ["given", "variable", "own"])
def test_each_source_of_the_password_opens_it(site: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (site / vault.KEY_FILE).unlink()
    given: list[bytes] = []
    if source == "given":
        given = [b"own"]
    elif source == "variable":
        monkeypatch.setenv(vault.KEY_FILE_VARIABLE, str(password_file(site.parent / "elsewhere", "own")))
    else:
        password_file(site / vault.KEY_FILE, "own")
    assert vault.read_vault(site, given) == SECRETS


def test_passwords_are_tried_in_order(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(vault.KEY_FILE_VARIABLE, str(password_file(site.parent / "elsewhere", "second")))
    assert vault.find_passwords(site, [b"first"]) == [b"first", b"second", b"own"]
    # a password of another vault, as in a run with several --vault-id, does no harm
    assert vault.read_vault(site, [b"first"]) == SECRETS


def test_a_script_may_print_the_password(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = site.parent / "script"
    script.write_text("#!/bin/sh\necho own\n", encoding="utf-8")
    script.chmod(0o700)
    (site / vault.KEY_FILE).unlink()
    monkeypatch.setenv(vault.KEY_FILE_VARIABLE, str(script))
    assert vault.read_vault(site) == SECRETS


def test_a_missing_vault(tmp_path: Path) -> None:
    found = fault(tmp_path)
    assert found.file == tmp_path / vault.VAULT
    assert "there is no such file" in found.message
    assert str(found.file) in str(found)


def test_a_vault_that_is_not_encrypted(site: Path) -> None:
    (site / vault.VAULT).write_text("ca_key: open-to-all-5150\n", encoding="utf-8")
    found = fault(site)
    assert "not encrypted" in found.message
    assert "ansible-vault encrypt" in found.message
    assert "5150" not in str(found)


def test_no_password(site: Path) -> None:
    (site / vault.KEY_FILE).unlink()
    found = fault(site)
    assert "no password for it was found" in found.message
    assert str(site / vault.KEY_FILE) in found.message
    assert vault.KEY_FILE_VARIABLE in found.message


def test_a_wrong_password(site: Path) -> None:
    password_file(site / vault.KEY_FILE, "wrong-6006")
    found = fault(site)
    assert "the password is wrong" in found.message
    assert "6006" not in str(found)


def test_a_damaged_vault(site: Path) -> None:
    content = (site / vault.VAULT).read_bytes()
    (site / vault.VAULT).write_bytes(content[:200] + content[281:])
    assert "damaged" in fault(site).message


@pytest.mark.parametrize(
    ("plain", "says"),
    [
        (b"- a\n- b\n", "not a mapping"),
        (b"7: x\n", "not a mapping"),
        (b"a: [4242\n", "not YAML"),
        (b"", "not a mapping"),
    ],
)
def test_a_vault_that_holds_something_else(site: Path, plain: bytes, says: str) -> None:
    content = VaultLib([("default", VaultSecret(b"own"))]).encrypt(plain)
    (site / vault.VAULT).write_bytes(content)
    found = fault(site)
    assert says in found.message
    assert "4242" not in str(found)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_password_that_others_can_read_is_refused(site: Path, mode: int) -> None:
    (site / vault.KEY_FILE).chmod(mode)
    found = fault(site)
    assert found.file == site / vault.KEY_FILE
    assert f"{mode:04o}" in found.message
    assert "chmod 600" in found.message


def test_a_named_password_file_that_is_missing(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(vault.KEY_FILE_VARIABLE, str(site / "nowhere"))
    assert fault(site).file == site / "nowhere"


def test_an_empty_password_file(site: Path) -> None:
    password_file(site / vault.KEY_FILE, "")
    assert fault(site).file == site / vault.KEY_FILE


def lookup(folder: Path | None, *names: str) -> list[Any]:
    plugin = LookupModule(loader=DataLoader())
    found: list[Any] = plugin.run(list(names), {} if folder is None else {"inventory_dir": str(folder)})
    return found


def test_the_lookup_reads_secrets_by_name(site: Path) -> None:
    assert lookup(site, "probe_a_password", "demo_passwords.alice") == ["grün-7312", "eleven-9041"]


@pytest.mark.parametrize("name", ["probe_a_pasword", "demo_passwords.alicia", "probe_a_password.x"])
def test_the_lookup_names_what_there_is_but_no_value(site: Path, name: str) -> None:
    with pytest.raises(AnsibleLookupError) as caught:
        lookup(site, name)
    assert name in str(caught.value)
    assert str(site / vault.VAULT) in str(caught.value)
    assert "7312" not in str(caught.value)
    assert "9041" not in str(caught.value)


def test_the_lookup_suggests_the_nearest_name(site: Path) -> None:
    with pytest.raises(AnsibleLookupError, match="did you mean 'probe_a_password'"):
        lookup(site, "probe_a_pasword")


def test_the_lookup_needs_an_inventory_folder() -> None:
    with pytest.raises(AnsibleLookupError, match="-i inventories/"):
        lookup(None, "probe_a_password")


def test_the_lookup_passes_faults_of_the_vault_on(site: Path) -> None:
    (site / vault.KEY_FILE).unlink()
    with pytest.raises(AnsibleLookupError, match="no password for it was found"):
        lookup(site, "probe_a_password")
