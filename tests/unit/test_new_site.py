# SPDX-License-Identifier: GPL-3.0-or-later
"""Making new sites from the kit's own example: whole or not at all, with secrets and addresses of their own."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.sallyport.im.plugins.plugin_utils import authority, check, new_site, vault, yaml_source
from ansible_collections.sallyport.im.plugins.plugin_utils.faults import SiteFaults
from ansible_collections.sallyport.im.plugins.plugin_utils.site import AUTHORITY, HOST_LIST, SITE_FILE, load
from cryptography import x509
from unit.sites import PUBLIC_KEYS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def inventories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of sites with the example and the demo of the kit, as git has them."""
    monkeypatch.delenv(vault.KEY_FILE_VARIABLE, raising=False)
    folder = tmp_path / "inventories"
    private = shutil.ignore_patterns(vault.KEY_FILE, vault.VAULT, AUTHORITY.name, "invitations", ".ssh")
    for name in (new_site.EXAMPLE, new_site.DEMO):
        shutil.copytree(ROOT / "inventories" / name, folder / name, ignore=private)
    return folder


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refusal(inventories: Path, site: str, domain: str, network: str = "") -> str:
    """Try to make a site that must be refused, and make sure that nothing was made."""
    before = everything(inventories)
    with pytest.raises(new_site.NewSiteFault) as caught:
        new_site.make_site(site, domain, inventories, new_site.read_block(network) if network else None)
    assert everything(inventories) == before
    assert not list(inventories.glob(".*"))
    return str(caught.value)


def fill_in_the_marked(folder: Path) -> None:
    """Do what the administrator does, and only that."""
    file = folder / SITE_FILE
    text = file.read_text("utf-8")
    text = re.sub(r'company: "CHANGE-ME[^"]*"', "company: Oslo AS", text)
    text = re.sub(r'administrator: "CHANGE-ME[^"]*"', "administrator: it@oslo.example", text)
    text = re.sub(r'"CHANGE-ME: file with your public SSH key[^"]*"', "administrators/eva.pub", text)
    file.write_text(text, "utf-8")
    (folder / "administrators").mkdir(exist_ok=True)
    (folder / "administrators" / "eva.pub").write_text(f"{PUBLIC_KEYS['eva']}\n", "utf-8")
    file = folder / HOST_LIST
    text = re.sub(r'"CHANGE-ME: address of the gateway towards[^"]*"', "192.0.2.7", file.read_text("utf-8"))
    file.write_text(text, "utf-8")


def test_a_new_site_is_valid_after_the_marked_settings_are_filled_in(inventories: Path) -> None:
    folder = new_site.make_site("oslo", "im.oslo.example", inventories)
    fill_in_the_marked(folder)
    site = load(folder)
    assert site.settings.site == "oslo"
    assert site.settings.domains.internal == "im.oslo.example"


def test_its_files_are_all_there_with_the_right_modes(inventories: Path) -> None:
    folder = new_site.make_site("oslo", "im.oslo.example", inventories)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes[vault.KEY_FILE] == 0o600
    assert modes[vault.VAULT] == 0o600
    assert modes[new_site.INVITATIONS] == 0o700
    assert set(everything(inventories / new_site.EXAMPLE)) <= set(everything(folder))
    assert not list(inventories.glob(".*"))


def test_comments_and_layout_of_the_example_stay(inventories: Path) -> None:
    folder = new_site.make_site("oslo", "im.oslo.example", inventories)
    for file in (SITE_FILE, HOST_LIST):
        old = (inventories / new_site.EXAMPLE / file).read_text("utf-8").splitlines()
        new = (folder / file).read_text("utf-8").splitlines()
        assert len(new) == len(old)
        for before, after in zip(old, new, strict=True):
            if "CHANGE-ME" not in before and "example" not in before:
                assert after == before


def test_its_vault_holds_fresh_secrets_and_its_authority_works(inventories: Path) -> None:
    folder = new_site.make_site("oslo", "im.oslo.example", inventories)
    held = vault.read_vault(folder)
    assert held.keys() == {"ca_key", "probe_a_password", "probe_b_password", "probe_c_password"}
    signer = authority.load_authority((folder / "ca.crt").read_bytes(), str(held["ca_key"]).encode())
    assert authority.permits(signer.certificate, "files.im.oslo.example")
    assert not authority.permits(signer.certificate, "im.bergen.example")
    probes = [str(value) for name, value in held.items() if name != "ca_key"]
    assert len(set(probes)) == 3
    assert min(len(password) for password in probes) >= 43
    assert len((folder / vault.KEY_FILE).read_text().strip()) >= 43


def test_no_secret_of_one_site_is_found_in_another(inventories: Path) -> None:
    sites = [new_site.make_site(name, f"im.{name}.example", inventories) for name in ("oslo", "bergen")]
    for here, there in (sites, reversed(sites)):
        held = vault.read_vault(here)
        mine = [line for value in held.values() for line in str(value).splitlines() if "PRIVATE KEY" not in line]
        mine += [(here / vault.KEY_FILE).read_text().strip(), *(here / "ca.crt").read_text().splitlines()[1:-1]]
        assert len(mine) > 10
        foreign = everything(there)
        foreign["decrypted"] = repr(vault.read_vault(there)).encode()
        for name, content in foreign.items():
            assert not [secret for secret in mine if secret.encode() in content], name
        # nor does the password of one open the other
        own = (there / vault.KEY_FILE).read_bytes()
        (there / vault.KEY_FILE).write_bytes((here / vault.KEY_FILE).read_bytes())
        with pytest.raises(vault.VaultFault, match="is wrong"):
            vault.read_vault(there)
        (there / vault.KEY_FILE).write_bytes(own)


def test_no_secret_stands_in_clear_in_the_site(inventories: Path) -> None:
    folder = new_site.make_site("oslo", "im.oslo.example", inventories)
    values = [line for value in vault.read_vault(folder).values() for line in str(value).splitlines()]
    for name, content in everything(folder).items():
        assert not [value for value in values if value.encode() in content], name


def test_ten_sites_never_collide(inventories: Path) -> None:
    for number in range(10):
        folder = new_site.make_site(f"site{number}", f"im{number}.example.org", inventories)
        assert new_site.collisions_with_others(folder) == []
    networks = [
        use.value
        for folder in new_site.sites_in(inventories)
        for use in new_site.uses_of(folder)
        if use.what == "network"
    ]
    assert len(networks) == len(set(networks)) >= 66


def test_an_existing_site_is_not_overwritten(inventories: Path) -> None:
    folder = new_site.make_site("oslo", "im.oslo.example", inventories)
    assert f"{folder} exists already" in refusal(inventories, "oslo", "im.other.example")


def test_a_name_that_another_inventory_gives_itself(inventories: Path) -> None:
    folder = new_site.make_site("oslo", "im.oslo.example", inventories)
    folder.rename(inventories / "oslo-old")
    message = refusal(inventories, "oslo", "im.other.example")
    assert f"site name oslo ({inventories}/oslo/group_vars/all/site.yml:8)" in message
    assert f"({inventories}/oslo-old/group_vars/all/site.yml:8)" in message


@pytest.mark.parametrize("domain", ["im.oslo.example", "rooms.im.oslo.example"])
def test_a_domain_that_is_used_already_names_both_places(inventories: Path, domain: str) -> None:
    oslo = new_site.make_site("oslo", "im.oslo.example", inventories)
    line = yaml_source.read(oslo / SITE_FILE).line(("sallyport", "domains", "internal"))
    message = refusal(inventories, "bergen", domain)
    assert f"domain {domain} ({inventories}/bergen/group_vars/all/site.yml:{line}) is used already" in message
    assert f"({inventories}/oslo/group_vars/all/site.yml:{line})" in message


def test_a_network_that_is_used_already_names_both_places(inventories: Path) -> None:
    new_site.make_site("oslo", "im.oslo.example", inventories, new_site.read_block("10.30.0.0/16"))
    message = refusal(inventories, "bergen", "im.bergen.example", "10.30.0.0/22")
    assert re.search(
        r"network 10\.30\.1\.0/24 \(\S+/bergen/group_vars/all/site\.yml:\d+\) is used already: "
        r"network 10\.30\.1\.0/24 \(\S+/oslo/group_vars/all/site\.yml:\d+\)",
        message,
    )
    assert re.search(r"address 10\.30\.1\.11 \(\S+/bergen/hosts\.yml:\d+\) is used already", message)


def test_a_network_around_the_address_of_a_foreign_host(inventories: Path) -> None:
    other = inventories / "odd"
    other.mkdir()
    (other / "hosts.yml").write_text(
        "all:\n  children:\n    outside:\n      hosts:\n        x:\n          ansible_host: 10.40.1.77\n", "utf-8"
    )
    message = refusal(inventories, "bergen", "im.bergen.example", "10.40.0.0/16")
    assert f"address 10.40.1.77 ({inventories}/odd/hosts.yml:6)" in message


def test_the_network_that_was_named_is_used(inventories: Path) -> None:
    folder = new_site.make_site("oslo", "im.oslo.example", inventories, new_site.read_block("192.168.4.0/22"))
    values = {str(use.value) for use in new_site.uses_of(folder)}
    assert {"192.168.4.0/24", "192.168.5.0/24", "192.168.6.0/24", "192.168.5.11", "192.168.4.11"} <= values


@pytest.mark.parametrize("network", ["10.0.0.0/24", "10.0.0.1/16", "fd00::/16", "oslo", "10.0.0.0"])
def test_networks_that_cannot_be_divided(network: str) -> None:
    with pytest.raises(new_site.NewSiteFault, match="allowed: an IPv4 network"):
        new_site.read_block(network)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"a: [", b"- 1\n", b"sallyport: 3\n", b"sallyport: {domains: [x], networks: 7, site: {a: 1}}\n"],
)
def test_faulty_neighbours_do_no_harm(inventories: Path, content: bytes) -> None:
    for file in (SITE_FILE, HOST_LIST):
        (inventories / "broken" / file).parent.mkdir(parents=True, exist_ok=True)
        (inventories / "broken" / file).write_bytes(content)
    (inventories / "empty").mkdir()
    assert new_site.make_site("oslo", "im.oslo.example", inventories).is_dir()


@pytest.mark.parametrize("site", ["", "Oslo", "9oslo", "../oslo", "oslo/x", "-x", "o" * 32, "o s", ".new-x"])
def test_bad_names(inventories: Path, site: str) -> None:
    assert "allowed: small letters" in refusal(inventories, site, "im.oslo.example")


@pytest.mark.parametrize("site", ["demo", "example"])
def test_names_of_the_kit(inventories: Path, site: str) -> None:
    assert "belongs to the kit" in refusal(inventories, site, "im.oslo.example")


@pytest.mark.parametrize("domain", ["", "oslo", "im_x.example", "IM.oslo.example", "10.0.0.1", "im..example", "im.x\n"])
def test_bad_domains(inventories: Path, domain: str) -> None:
    assert "allowed: a full domain name" in refusal(inventories, "oslo", domain)


def test_a_missing_example(inventories: Path) -> None:
    shutil.rmtree(inventories / "example")
    assert "git checkout" in refusal(inventories, "oslo", "im.oslo.example")


def test_an_example_that_was_edited(inventories: Path) -> None:
    file = inventories / "example" / SITE_FILE
    file.write_text(file.read_text("utf-8").replace("  site: example", "  site: mine"), "utf-8")
    assert "could not be filled in" in refusal(inventories, "oslo", "im.oslo.example")


def test_what_a_killed_run_left_is_cleared_away(inventories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(authority, "make_authority", die)
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)  # as kill -9, which clears nothing away
        with pytest.raises(Killed):
            new_site.make_site("oslo", "im.oslo.example", inventories)
    assert not (inventories / "oslo").exists()
    assert (inventories / ".new-oslo" / vault.KEY_FILE).exists()
    assert new_site.make_site("oslo", "im.oslo.example", inventories).is_dir()
    assert not list(inventories.glob(".*"))


def test_what_comes_next_is_printed(inventories: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert new_site.main(["oslo", "im.oslo.example", "--inventories", str(inventories)]) == 0
    printed = capsys.readouterr().out
    folder = inventories / "oslo"
    for place in new_site.marked(folder):
        assert place in printed
    assert 'company: "CHANGE-ME' in printed
    assert "im.oslo.example. IN A 10.20.1.11" in printed
    assert "files.im.oslo.example. IN AAAA fd" in printed
    assert "_xmpp-client._tcp.im.oslo.example. IN SRV 0 0 5222 im.oslo.example." in printed
    assert "_xmpps-client._tcp.im.oslo.example. IN SRV 0 0 5223 im.oslo.example." in printed
    assert "make check SITE=oslo" in printed
    held = vault.read_vault(folder)
    for value in [*held.values(), (folder / vault.KEY_FILE).read_text()]:
        assert not [line for line in str(value).splitlines() if line in printed]


def test_the_command_line_says_what_is_wrong(inventories: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ansible_collections.sallyport.im.plugins.plugin_utils.new_site", *arguments],
            env=os.environ | {"PYTHONPATH": str(ROOT / "collections")},
            cwd=inventories.parent, capture_output=True, text=True, check=False,
        )  # fmt: skip

    refused = run("Oslo", "im.oslo.example")
    assert refused.returncode == 1
    assert refused.stderr.startswith('new site: the site "Oslo": ')
    assert run("oslo").returncode == 2
    assert run("oslo", "im.oslo.example").returncode == 0
    assert (inventories / "oslo").is_dir()


def test_the_demo_gets_secrets_once(inventories: Path) -> None:
    assert new_site.demo_secrets(inventories) is True
    folder = inventories / "demo"
    held = vault.read_vault(folder)
    passwords = held["demo_passwords"]
    assert isinstance(passwords, dict)
    assert set(passwords) == {"alice", "bob"}
    before = everything(folder)
    assert new_site.demo_secrets(inventories) is False
    assert everything(folder) == before


@pytest.mark.parametrize("lost", [vault.KEY_FILE, vault.VAULT, "ca.crt"])
def test_secrets_of_the_demo_that_do_not_fit_are_made_anew(inventories: Path, lost: str) -> None:
    new_site.demo_secrets(inventories)
    folder = inventories / "demo"
    (folder / lost).unlink()
    assert new_site.demo_secrets(inventories) is True
    authority.load_authority((folder / "ca.crt").read_bytes(), str(vault.read_vault(folder)["ca_key"]).encode())
    assert new_site.demo_secrets(inventories) is False


def test_a_wrong_environment_does_not_cost_the_demo_its_secrets(
    inventories: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_site.demo_secrets(inventories)
    before = everything(inventories)
    monkeypatch.setenv(vault.KEY_FILE_VARIABLE, "/nowhere/at-all")
    with pytest.raises(vault.VaultFault, match="/nowhere/at-all"):
        new_site.demo_secrets(inventories)
    assert everything(inventories) == before


def test_the_authority_lives_as_long_as_the_site_file_says(inventories: Path) -> None:
    file = inventories / "example" / SITE_FILE
    file.write_text(f"{file.read_text('utf-8')}\n  certificates: {{server_days: 90, ca_years: 3}}\n", "utf-8")
    folder = new_site.make_site("oslo", "im.oslo.example", inventories)
    certificate = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days == 3 * 365


def test_check_names_collisions_with_other_sites_beside_other_faults(
    inventories: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = new_site.make_site("oslo", "im.oslo.example", inventories)
    fill_in_the_marked(folder)
    assert check.main([str(folder)]) == 0
    copied = inventories / "bergen"
    shutil.copytree(folder, copied)
    capsys.readouterr()
    assert check.main([f"{copied}/"]) == 1
    said = capsys.readouterr().out
    assert re.search(r"domain im.oslo.example is used already:.*oslo/group_vars/all/site.yml:\d+", said, re.DOTALL)
    assert "sallyport.site" in said, "its own faults are still named"


def test_a_new_authority_for_another_domain(inventories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = new_site.make_site("oslo", "im.oslo.example", inventories)
    fill_in_the_marked(folder)
    before = vault.read_vault(folder)
    # a wrong password that is found first must not become that of the vault
    wrong = inventories / "wrong"
    wrong.write_text("another", "utf-8")
    monkeypatch.setenv(vault.KEY_FILE_VARIABLE, str(wrong))
    file = folder / SITE_FILE
    file.write_text(file.read_text("utf-8").replace("im.oslo.example", "im.oslo.test"), "utf-8")
    with pytest.raises(SiteFaults, match=r"may not sign for im\.oslo\.test"):
        load(folder)
    assert new_site.main(["oslo", "--authority", "--inventories", str(inventories)]) == 0
    monkeypatch.delenv(vault.KEY_FILE_VARIABLE)
    assert load(folder).domain == "im.oslo.test"
    after = vault.read_vault(folder)
    assert {key for key in before if before[key] != after[key]} == {"ca_key"}


def test_an_authority_is_not_made_for_a_faulty_site(inventories: Path) -> None:
    folder = new_site.make_site("oslo", "im.oslo.example", inventories)
    before = everything(folder)
    assert new_site.main(["oslo", "--authority", "--inventories", str(inventories)]) == 1
    assert new_site.main(["bergen", "--authority", "--inventories", str(inventories)]) == 1
    assert everything(folder) == before
