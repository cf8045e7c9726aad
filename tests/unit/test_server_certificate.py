# SPDX-License-Identifier: GPL-3.0-or-later
"""Key and certificate of a server: the action and the module together, on real files, with the real openssl."""

from __future__ import annotations

import datetime
import grp
import json
import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible_collections.sallyport.im.plugins.action import server_certificate as action
from ansible_collections.sallyport.im.plugins.modules import server_certificate as module
from ansible_collections.sallyport.im.plugins.plugin_utils import authority, vault
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

DOMAIN = "im.oslo.example"
USER = pwd.getpwuid(os.getuid()).pw_name
GROUP = grp.getgrgid(os.getgid()).gr_name


class Killed(BaseException):
    """The run ends here, as by kill -9."""


class Host:
    """A host: what the module does there, in a folder of this machine; and everything that travelled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.travelled: list[str] = []
        self.steps: list[str] = []
        self.die_before = ""
        self.openssl = shutil.which("openssl")

    def get_bin_path(self, _name: str) -> str | None:
        return self.openssl

    def run_command(self, command: list[str], umask: int) -> tuple[int, str, str]:
        done = subprocess.run(command, capture_output=True, text=True, check=False, umask=umask)
        self.travelled.append(" ".join(command))
        return done.returncode, done.stdout, done.stderr

    def execute(self, module_args: dict[str, Any], **_more: object) -> dict[str, Any]:
        step = module_args["step"]
        self.travelled.append(json.dumps(module_args))
        self.steps.append(step)
        if step == self.die_before:
            raise Killed
        store = module.Store(self, Path(module_args["directory"]), module_args["group"], (USER, GROUP))
        answer: dict[str, Any] = {"changed": step != "inspect"}
        try:
            if step == "inspect":
                answer.update(store.inspect())
            elif step == "request":
                answer.update(store.request())
            elif step == "install":
                store.install(module_args["folder"], module_args["chain"])
            else:
                store.tidy()
        except module.Fault as fault:
            answer = {"failed": True, "msg": str(fault)}
        answer = json.loads(json.dumps(answer))
        self.travelled.append(json.dumps(answer))
        return answer


class Site:
    """A site on the control node and its one host."""

    def __init__(self, folder: Path) -> None:
        self.inventory = folder / "oslo"
        self.inventory.mkdir()
        (self.inventory / vault.KEY_FILE).write_text("own", encoding="utf-8")
        (self.inventory / vault.KEY_FILE).chmod(0o600)
        self.host = Host(folder / "host" / "tls")
        self.key = ""
        self.new_authority()

    def new_authority(self, now: datetime.datetime | None = None) -> None:
        certificate, key = authority.make_authority("oslo", [DOMAIN], 10, now)
        self.key = key.decode()
        (self.inventory / action.AUTHORITY).write_bytes(certificate)
        vault.write_vault(self.inventory, {action.AUTHORITY_KEY: self.key}, replace=True)

    def run(self, *, check: bool = False, diff: bool = False, **changes: Any) -> dict[str, Any]:
        arguments = {
            "directory": str(self.host.folder),
            "common_name": DOMAIN,
            "dns": [DOMAIN, f"files.{DOMAIN}"],
            "srv": [f"_xmpp-client.{DOMAIN}"],
            "xmpp": [DOMAIN],
            "group": GROUP,
            **changes,
        }
        task = SimpleNamespace(args=arguments, check_mode=check, diff=diff, async_val=0, environment=None)
        connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="unused"))
        plugin: Any = action.ActionModule(task, connection, SimpleNamespace(), DataLoader(), None, None)
        plugin._execute_module = lambda module_name, module_args, task_vars: self.host.execute(module_args)
        result: dict[str, Any] = plugin.run(None, {"inventory_dir": str(self.inventory)})
        self.host.travelled.append(json.dumps(result))
        return result

    def in_place(self) -> tuple[bytes, bytes]:
        return (self.host.folder / module.CHAIN).read_bytes(), (self.host.folder / module.KEY).read_bytes()

    def verified(self) -> bool:
        """Tell whether key, certificate and authority belong together; for the authority openssl is asked."""
        chain, key = self.host.folder / module.CHAIN, self.host.folder / module.KEY
        signed = subprocess.run(
            ["openssl", "verify", "-CAfile", self.inventory / action.AUTHORITY, "-verify_hostname", DOMAIN, chain],
            capture_output=True, check=False,
        )  # fmt: skip
        public = x509.load_pem_x509_certificate(chain.read_bytes()).public_key()
        return signed.returncode == 0 and public == load_pem_private_key(key.read_bytes(), None).public_key()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.delenv(vault.KEY_FILE_VARIABLE, raising=False)
    return Site(tmp_path)


def everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    }


def test_the_first_run_makes_a_pair_that_works(site: Site) -> None:
    result = site.run()
    assert result["changed"] is True
    assert result["differences"][0] == f"certificate: is missing, should be one for {DOMAIN}"
    assert result["days_left"] in (89, 90)
    assert site.verified()
    assert stat.S_IMODE((site.host.folder / module.KEY).stat().st_mode) == 0o640
    assert stat.S_IMODE((site.host.folder / module.CHAIN).stat().st_mode) == 0o644


def test_the_second_run_changes_nothing_and_needs_no_vault(site: Site) -> None:
    first = site.run()
    before = everything(site.host.folder)
    (site.inventory / vault.VAULT).unlink()
    site.host.steps.clear()
    second = site.run()
    assert second["changed"] is False
    assert second["differences"] == []
    assert second["serial"] == first["serial"]
    assert site.host.steps == ["inspect"]
    assert everything(site.host.folder) == before


def test_check_mode_on_a_fresh_host(site: Site) -> None:
    site.host.openssl = None
    result = site.run(check=True, diff=True, group="nobody-made-this-group")
    assert result["changed"] is True
    assert not result.get("failed")
    assert result["differences"][0].startswith("certificate: is missing")
    assert "certificate: missing" in result["diff"]["before"]
    assert not site.host.folder.exists()
    assert site.host.steps == ["inspect"]


def test_check_mode_says_what_the_run_then_does(site: Site) -> None:
    site.run()
    before = everything(site.host.folder)
    asked = site.run(check=True, days=30)
    assert everything(site.host.folder) == before
    done = site.run(days=30)
    assert asked["differences"] == done["differences"] != []
    assert site.run(days=30)["changed"] is False


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"dns": [DOMAIN, f"files.{DOMAIN}", f"rooms.{DOMAIN}"]}, "names"),
        ({"srv": []}, "names"),
        ({"common_name": "chat"}, "common name"),
        ({"days": 30}, "lifetime"),
    ],
)
def test_renewed_when_the_site_changes(site: Site, changes: dict[str, Any], what: str) -> None:
    first = site.run()
    second = site.run(**changes)
    assert [line.split(":")[0] for line in second["differences"]] == [what]
    assert second["serial"] != first["serial"]
    assert site.verified()
    assert site.run(**changes)["changed"] is False


def test_renewed_when_a_third_of_its_life_is_left(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    now = authority.utc_now()
    monkeypatch.setattr(authority, "utc_now", lambda: now)
    site.run()
    old = site.in_place()
    monkeypatch.setattr(authority, "utc_now", lambda: now + datetime.timedelta(days=59))
    assert site.run()["changed"] is False
    monkeypatch.setattr(authority, "utc_now", lambda: now + datetime.timedelta(days=61))
    result = site.run()
    assert result["differences"] == [
        f"validity: is until {now + datetime.timedelta(days=90):%Y-%m-%d}, 29 days left, "
        "should be renewed when a third of 90 days is left"
    ]
    assert result["days_left"] == 90
    new = site.in_place()
    assert new[0] != old[0]
    assert new[1] != old[1]  # a new key as well


def test_renewed_when_the_authority_changes(site: Site) -> None:
    site.run()
    site.new_authority()
    assert not site.verified()
    result = site.run()
    assert [line.split(":")[0] for line in result["differences"]] == ["issuer"]
    assert site.verified()


@pytest.mark.parametrize("damage", ["key of another", "no key", "no certificate", "nonsense", "twice"])
def test_mended_after_damage(site: Site, damage: str) -> None:
    site.run()
    chain, key = site.host.folder / module.CHAIN, site.host.folder / module.KEY
    if damage == "key of another":
        subprocess.run(
            ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key.resolve()],
            check=True,
        )
    elif damage == "no key":
        key.resolve().unlink()
    elif damage == "no certificate":
        chain.unlink()
    elif damage == "nonsense":
        chain.resolve().write_text("nonsense", encoding="ascii")
    else:
        chain.resolve().write_bytes(chain.read_bytes() * 2)
    assert site.run()["changed"] is True
    assert site.verified()
    assert site.run()["changed"] is False


def test_rights_are_mended_without_a_new_certificate(site: Site) -> None:
    first = site.run()
    (site.host.folder / module.KEY).chmod(0o644)
    result = site.run()
    assert len(result["differences"]) == 1
    assert result["differences"][0].endswith(f"is {USER}:{GROUP} 0644, should be {USER}:{GROUP} 0640")
    assert result["serial"] == first["serial"]
    assert site.host.steps[-1] == "tidy"
    assert site.run()["changed"] is False


def test_a_file_put_there_by_hand_is_replaced(site: Site) -> None:
    site.run()
    chain = site.host.folder / module.CHAIN
    content = chain.read_bytes()
    chain.unlink()
    chain.write_bytes(content)
    result = site.run()
    assert result["differences"] == [f"{chain}: is a file, should be a link to current/fullchain.pem"]
    assert chain.is_symlink()


@pytest.mark.parametrize("die_before", ["request", "install"])
def test_a_killed_run_leaves_a_pair_and_the_next_one_finishes(site: Site, die_before: str) -> None:
    site.run()
    before = site.in_place()
    site.host.die_before = die_before
    with pytest.raises(Killed):
        site.run(days=30)
    assert site.in_place() == before
    assert site.verified()
    site.host.die_before = ""
    assert site.run(days=30)["changed"] is True
    assert site.verified()
    # no key that is not in use stays behind
    assert len(list(site.host.folder.rglob("privkey.pem"))) == 2
    assert site.run(days=30)["changed"] is False


def test_killed_at_any_operation_of_the_switch_the_pair_still_fits(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.run()
    deaths = 0
    for turn in range(30):
        left = turn

        def die_in_time(name: str, real: Any) -> Any:
            def operation(*arguments: Any, **more: Any) -> Any:
                nonlocal left
                if left == 0:
                    raise Killed(name)
                left -= 1
                return real(*arguments, **more)

            return operation

        with monkeypatch.context() as patch:
            for name in ("replace", "symlink_to", "unlink", "chmod", "write_text"):
                patch.setattr(Path, name, die_in_time(name, getattr(Path, name)))
            patch.setattr(shutil, "rmtree", die_in_time("rmtree", shutil.rmtree))
            patch.setattr(module, "sync", die_in_time("sync", module.sync))
            try:
                site.run(days=30 + turn)
            except Killed:
                deaths += 1
            else:
                break  # there was nothing left to die before
        assert site.verified(), turn
        # a service that starts now can read its key
        assert stat.S_IMODE((site.host.folder / module.KEY).stat().st_mode) == 0o640
        assert stat.S_IMODE((site.host.folder / module.KEY).resolve().parent.stat().st_mode) == 0o755
        assert not site.run(days=30 + turn).get("failed")
        assert site.verified()
        assert site.run(days=30 + turn)["changed"] is False
    assert deaths > 8
    assert site.verified()


def test_no_secret_travels(site: Site) -> None:
    site.run(diff=True)
    site.run(days=30)
    travelled = "\n".join(site.host.travelled)
    assert "BEGIN CERTIFICATE REQUEST" in travelled  # it was really recorded
    assert "PRIVATE KEY" not in travelled
    for secret in (site.key, site.in_place()[1].decode()):
        assert not any(line in travelled for line in secret.splitlines())


@pytest.mark.parametrize(
    ("obstacle", "says"),
    [("openssl", "install the package openssl"), ("group", "no group 'nobody-made-this-group'")],
)
def test_what_is_missing_on_the_host_is_named_before_anything_is_made(site: Site, obstacle: str, says: str) -> None:
    if obstacle == "openssl":
        site.host.openssl = None
        result = site.run()
    else:
        result = site.run(group="nobody-made-this-group")
    assert result["failed"] is True
    assert says in result["msg"]
    assert not site.host.folder.exists()


def test_a_fault_of_the_vault_touches_no_host(site: Site) -> None:
    (site.inventory / vault.KEY_FILE).unlink()
    result = site.run()
    assert result["failed"] is True
    assert "no password for it was found" in result["msg"]
    assert not site.host.folder.exists()


def test_a_missing_authority(site: Site) -> None:
    (site.inventory / action.AUTHORITY).unlink()
    result = site.run()
    assert result["failed"] is True
    assert str(site.inventory / action.AUTHORITY) in result["msg"]


def test_authority_and_vault_of_different_sites(site: Site) -> None:
    (site.inventory / action.AUTHORITY).write_bytes(authority.make_authority("oslo", [DOMAIN], 10)[0])
    result = site.run()
    assert "do not belong together" in result["msg"]
    assert not site.host.folder.exists()


@pytest.mark.parametrize(
    ("changes", "says"), [({"step": "install"}, "'step' is set by this action"), ({"days": 0}, "days: is 0")]
)
def test_wrong_parameters(site: Site, changes: dict[str, Any], says: str) -> None:
    result = site.run(**changes)
    assert result["failed"] is True
    assert says in result["msg"]


def test_an_authority_near_its_end_is_a_warning(site: Site) -> None:
    site.new_authority(authority.utc_now() - datetime.timedelta(days=3600))
    result = site.run()
    assert "ends in" in result["warnings"][0]
    assert site.run()["changed"] is False


@pytest.mark.parametrize(
    ("late", "says"), [(0, ""), (-299, ""), (7200, "2:00:00 behind"), (-90000, "1 day, 1:00:00 ahead of")]
)
def test_a_wrong_clock_is_named(late: int, says: str) -> None:
    warnings = action.clock_warnings(authority.utc_now().timestamp() - late)
    assert len(warnings) == bool(says)
    assert says in "".join(warnings)
