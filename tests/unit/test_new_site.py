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
from ansible_collections.sallyport.im.plugins.plugin_utils.site import (
    ALERTS_PASSWORD,
    AUTHORITY,
    EVENT_KEY,
    EXTERNAL_VAULT_KEYS,
    HOST_LIST,
    RELAY_PASSWORD,
    SITE_FILE,
    VAULT_KEYS,
    load,
)
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


def refusal(inventories: Path, site: str, domain: str, network: str = "", external: str = "") -> str:
    """Try to make a site that must be refused, and make sure that nothing was made."""
    before = everything(inventories)
    with pytest.raises(new_site.NewSiteFault) as caught:
        new_site.make_site(site, domain, inventories, new_site.read_block(network) if network else None, external)
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
    assert site.external_domain is None
    assert not site.hosts_of("im_external")


def test_a_new_site_with_an_external_server_is_valid_after_the_same(inventories: Path) -> None:
    folder = new_site.make_site("oslo", "im.oslo.example", inventories, external="ext.oslo.example")
    fill_in_the_marked(folder)
    site = load(folder)
    assert site.domains == ("im.oslo.example", "ext.oslo.example")
    assert site.settings.partners == ()
    (server,) = site.hosts_of("im_external")
    (gateway,) = site.hosts_of("gateway")
    four, six = site.settings.networks.dmz
    assert (four.version, six.version, str(four)) == (4, 6, "10.20.3.0/24")
    assert server.admin_address == "10.20.0.12"
    assert server.addresses == {"dmz": ("10.20.3.12", str(six[0x12]))}
    assert gateway.addresses["dmz"] == ("10.20.3.2", str(six[2]))
    assert {"im.oslo.example", "ext.oslo.example"} == {
        use.value for use in new_site.uses_of(folder) if use.what == "domain" and str(use.value).count(".") == 2
    }


@pytest.mark.parametrize("external", ["", "ext.oslo.example"])
def test_what_a_new_site_can_have_stands_in_it_in_one_way_or_the_other(inventories: Path, external: str) -> None:
    folder = new_site.make_site("oslo", "im.oslo.example", inventories, external=external)
    for file in (SITE_FILE, HOST_LIST):
        lines = (folder / file).read_text("utf-8").splitlines()
        assert not [line for line in lines if "# + " in line or line.lstrip().startswith("# #")]
        for word in ("external: ", "dmz: [", "im_external:", "partners: []"):
            found = [line for line in lines if line.lstrip("# ").startswith(word)]
            assert all(line.lstrip().startswith("#") != bool(external) for line in found), found
    said = "".join((folder / file).read_text("utf-8") for file in (SITE_FILE, HOST_LIST))
    for word in ("external: ", "dmz: [", "im_external:", "partners: []"):
        assert word in said


def test_who_adds_an_external_server_later_takes_away_the_signs_of_a_comment(inventories: Path) -> None:
    folder = new_site.make_site("oslo", "im.oslo.example", inventories)
    fill_in_the_marked(folder)
    example = inventories / new_site.EXAMPLE
    for file in (SITE_FILE, HOST_LIST):
        optional = [line for line in (example / file).read_text("utf-8").splitlines() if "# + " in line]
        assert optional
        text = (folder / file).read_text("utf-8")
        for line in optional:
            as_comment = re.sub(r"# \+ (# )?", "# ", line)
            assert as_comment in text
            if "# + # " not in line:
                text = text.replace(as_comment, line.replace("# + ", ""))
        values = {
            'domain of the IM service for partners[^"]*': "ext.oslo.example",
            'network in which the external[^"]*': "10.20.3.0/24",
            "address of the external server in the zone admin": "10.20.0.12",
            "address of the external server in the zone dmz": "10.20.3.12",
            "address of the gateway in the zone dmz": "10.20.3.2",
        }
        for what, value in values.items():
            text = re.sub(f'"CHANGE-ME: {what}"', value, text)
        (folder / file).write_text(text, "utf-8")
    with pytest.raises(SiteFaults) as raised:
        load(folder)
    # only the authority was made for one domain; that of the probes was there from the beginning
    assert [fault.message for fault in raised.value.faults] == [
        "the site's authority may not sign for ext.oslo.example, it was made for other domains"
    ]
    new_site.renew_authority(folder)
    assert load(folder).external_domain == "ext.oslo.example"


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
                assert after == re.sub(r"# \+ (# )?", "# ", before)


def test_its_vault_holds_fresh_secrets_and_its_authority_works(inventories: Path) -> None:
    folder = new_site.make_site("oslo", "im.oslo.example", inventories)
    held = vault.read_vault(folder)
    # those of an external server are there before one is, so that it can be added
    own = EVENT_KEY.keys() | ALERTS_PASSWORD.keys()
    assert held.keys() == VAULT_KEYS.keys() | EXTERNAL_VAULT_KEYS.keys() | own
    signer = authority.load_authority((folder / "ca.crt").read_bytes(), str(held["ca_key"]).encode())
    assert authority.permits(signer.certificate, "files.im.oslo.example")
    assert not authority.permits(signer.certificate, "im.bergen.example")
    assert not authority.permits(signer.certificate, "ext.oslo.example")
    probes = [str(value) for name, value in held.items() if name != "ca_key"]
    assert len(set(probes)) == len(probes) == 8
    assert min(len(password) for password in probes) >= 43
    assert len((folder / vault.KEY_FILE).read_text().strip()) >= 43


def test_its_authority_signs_for_the_external_server_and_for_no_partner(inventories: Path) -> None:
    folder = new_site.make_site("oslo", "im.oslo.example", inventories, external="ext.oslo.example")
    certificate = authority.load_certificate((folder / "ca.crt").read_bytes())
    for name in ("im.oslo.example", "files.im.oslo.example", "ext.oslo.example"):
        assert authority.permits(certificate, name)
    for name in ("oslo.example", "partner.example", "next.oslo.example"):
        assert not authority.permits(certificate, name)


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
        external = f"ext{number}.example.org" if number % 2 else ""
        folder = new_site.make_site(f"site{number}", f"im{number}.example.org", inventories, external=external)
        assert new_site.collisions_with_others(folder) == []
    networks = [
        use.value
        for folder in new_site.sites_in(inventories)
        for use in new_site.uses_of(folder)
        if use.what == "network"
    ]
    # three zones, and a fourth of those with an external server, each IPv4 and IPv6; and those of the demo
    assert len(networks) == len(set(networks)) == 10 * 6 + 5 * 2 + 8


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


@pytest.mark.parametrize("external", ["im.oslo.example", "ext.oslo.example", "files.im.oslo.example"])
def test_an_external_domain_that_is_used_already_names_both_places(inventories: Path, external: str) -> None:
    new_site.make_site("oslo", "im.oslo.example", inventories, external="ext.oslo.example")
    message = refusal(inventories, "bergen", "im.bergen.example", external=external)
    assert re.search(
        rf"domain {external} \(\S+/bergen/group_vars/all/site\.yml:\d+\) is used already: "
        rf"domain {external} \(\S+/oslo/group_vars/all/site\.yml:\d+\)",
        message,
    )


@pytest.mark.parametrize("external", ["im.oslo.example", "rooms.im.oslo.example", "files.im.oslo.example"])
def test_the_two_servers_have_domains_of_their_own(inventories: Path, external: str) -> None:
    message = refusal(inventories, "oslo", "im.oslo.example", external=external)
    assert message.startswith(
        f'the domain "{external}": this domain is one of the internal server\n  allowed: a domain of'
    )


@pytest.mark.parametrize("external", ["ext_x.example", "EXT.oslo.example", "10.0.0.1", "ext", "ext.x\n"])
def test_bad_external_domains(inventories: Path, external: str) -> None:
    assert "allowed: a full domain name" in refusal(inventories, "oslo", "im.oslo.example", external=external)


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


def test_what_comes_next_with_an_external_server_is_printed(
    inventories: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["oslo", "im.oslo.example", "--external", "ext.oslo.example", "--inventories", str(inventories)]
    assert new_site.main(arguments) == 0
    printed = [line.strip() for line in capsys.readouterr().out.splitlines()]
    within, _, public = "\n".join(printed).partition("In the public DNS")
    assert "ext.oslo.example. IN A 10.20.3.12" in within
    assert "_xmpps-client._tcp.ext.oslo.example. IN SRV 0 0 5223 ext.oslo.example." in within
    assert "-server._tcp" not in within
    assert "files.ext" not in within
    assert "ext.oslo.example. IN A <address>" in public
    assert "_xmpp-server._tcp.ext.oslo.example. IN SRV 0 0 5269 ext.oslo.example." in public
    assert "_xmpps-server._tcp.ext.oslo.example. IN SRV 0 0 5270 ext.oslo.example." in public
    # what only the company uses is nobody else's business
    assert "im.oslo.example" not in public.replace("ext.oslo.example", "")
    assert "10.20." not in public
    assert new_site.main(["bergen", "im.bergen.example", "--inventories", str(inventories)]) == 0
    assert "public DNS" not in capsys.readouterr().out


def test_make_hands_the_external_domain_on() -> None:
    def told(*settings: str) -> str:
        command = [
            "make",
            "--dry-run",
            "--old-file=.venv/ready",
            "new-site",
            "SITE=oslo",
            "DOMAIN=im.oslo.example",
            *settings,
        ]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert "new_site oslo im.oslo.example --external ext.oslo.example --network 10.30.0.0/16" in told(
        "EXTERNAL=ext.oslo.example", "NETWORK=10.30.0.0/16"
    )
    assert "--external" not in told()


def test_the_command_line_says_what_is_wrong(inventories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = subprocess.run(
        [sys.executable, "-m", new_site.__name__, "Oslo", "im.oslo.example"],
        env=os.environ | {"PYTHONPATH": str(ROOT / "collections")},
        cwd=inventories.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert refused.returncode == 1
    assert refused.stderr.startswith('new site: the site "Oslo": ')
    monkeypatch.chdir(inventories.parent)
    with pytest.raises(SystemExit, match="2"):
        new_site.main(["oslo"])
    assert new_site.main(["oslo", "im.oslo.example"]) == 0
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


def test_the_demo_s_secrets_are_of_both_servers_and_old_ones_are_made_anew(inventories: Path) -> None:
    new_site.demo_secrets(inventories)
    folder = inventories / "demo"
    held = vault.read_vault(folder)
    own = EVENT_KEY.keys() | ALERTS_PASSWORD.keys() | RELAY_PASSWORD.keys()
    assert held.keys() == VAULT_KEYS.keys() | EXTERNAL_VAULT_KEYS.keys() | own | {"demo_passwords"}
    signer = authority.load_certificate((folder / "ca.crt").read_bytes())
    assert authority.permits(signer, "ext.demo.example")
    assert authority.permits(signer, "im.demo.example")
    # as they were when the demo had one server: without these passwords, and for one domain
    password = (folder / vault.KEY_FILE).read_bytes().strip()
    for name in (vault.VAULT,):
        (folder / name).unlink()
    vault.write_vault(folder, {key: held[key] for key in held if "external" not in key}, passwords=[password])
    assert new_site.demo_secrets(inventories) is True
    for name in (vault.KEY_FILE, vault.VAULT, "ca.crt"):
        (folder / name).unlink()
    passwords = held["demo_passwords"]
    new_site.make_secrets(folder, "demo", ["im.demo.example"], {"demo_passwords": passwords})
    assert new_site.demo_secrets(inventories) is True
    assert new_site.demo_secrets(inventories) is False


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
