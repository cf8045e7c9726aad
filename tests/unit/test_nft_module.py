# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module nftables makes of what nft and systemd say; both are played."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.sallyport.im.plugins.module_utils import nft_boot, nft_live
from ansible_collections.sallyport.im.plugins.module_utils.nft_boot import Boot
from ansible_collections.sallyport.im.plugins.module_utils.nft_live import NftError, foreign, way_back
from ansible_collections.sallyport.im.plugins.module_utils.nft_text import Table, parse
from ansible_collections.sallyport.im.plugins.module_utils.systemd import UnitState
from ansible_collections.sallyport.im.plugins.modules import nftables
from unit.test_nft_text import LISTED

PRESENT = ["inet sallyport", "ip nat", "ip docker0", "inet filter"]


@pytest.mark.parametrize(
    ("allowed", "found"),
    [
        ([], ["ip nat", "ip docker0", "inet filter"]),
        (["ip nat"], ["ip docker0", "inet filter"]),
        (["ip *"], ["inet filter"]),
        (["nat"], ["ip nat", "ip docker0", "inet filter"]),
        (["*"], []),
    ],
)
def test_tables_of_others(allowed: list[str], found: list[str]) -> None:
    assert foreign(PRESENT, allowed) == found


def test_the_way_back_restores_the_own_table_whatever_becomes_of_others() -> None:
    script = way_back(parse(LISTED), {"ip nat": "/removed/ip nat.nft"})
    assert "delete table inet sallyport\ntable inet sallyport {\n" in script
    assert "nft list table ip nat >/dev/null 2>&1 || nft -f '/removed/ip nat.nft' || echo" in script
    assert script.endswith("exit $status\n")
    assert "table inet sallyport {" not in way_back(None, {})


def test_a_table_cannot_end_the_script_that_restores_it() -> None:
    with pytest.raises(NftError, match="by hand"):
        way_back(Table("inet sallyport", (f'comment "{nft_live.END}"',)), {})


class Systemd:
    """systemd with given states."""

    states: dict[str, UnitState] = {}  # noqa: RUF012

    def show(self, unit: str) -> UnitState:
        """Tell the state."""
        return self.states.get(unit, UnitState())


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("RULES", "CLOSED", "UNIT_FILE"):
        monkeypatch.setattr(nft_boot, name, str(tmp_path / name.lower()))
    switches = tuple(str(tmp_path / name) for name in ("ip_forward", "forwarding", "absent"))
    for switch in switches[:2]:
        Path(switch).write_text("0\n")
    monkeypatch.setattr(nft_boot, "SWITCHES", switches)
    monkeypatch.setattr(nft_boot, "Systemd", Systemd)
    monkeypatch.setattr(Systemd, "states", {nft_boot.UNIT: UnitState("loaded", "active", enabled="enabled")})
    for path, text in Boot(parse(LISTED), forwarding=True).files().items():
        Path(path).write_text(text)
        Path(path).chmod(0o644 if path == nft_boot.UNIT_FILE else 0o600)
    return tmp_path


def differences(machine: Path, *, forwarding: bool = True) -> list[str]:
    lines = Boot(parse(LISTED), forwarding).differences()
    # the tests need not run as root
    as_setting = str(machine).replace("/", ".") + "."
    return [line.replace(f"{machine}/", "").replace(as_setting, "") for line in lines if "should be 0:0" not in line]


def test_what_stands_for_the_next_boot(machine: Path) -> None:
    assert len(differences(machine)) == 2  # the switches
    for name in ("ip_forward", "forwarding"):
        (machine / name).write_text("1\n")
    assert differences(machine) == []
    assert "echo 1 >" in (machine / "unit_file").read_text()
    assert differences(machine, forwarding=False) == [
        "file unit_file: is another text, should be that of the rules of this host",
        "kernel setting ip_forward: is 1, should be 0",
        "kernel setting forwarding: is 1, should be 0",
    ]


def test_each_thing_at_boot_is_named(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine / "rules").write_text("x")
    (machine / "closed").unlink()
    states = {
        nft_boot.UNIT: UnitState("loaded", "inactive", enabled="disabled"),
        nft_boot.DEBIANS: UnitState("loaded", "active", enabled="enabled"),
    }
    monkeypatch.setattr(Systemd, "states", states)
    assert differences(machine)[:5] == [
        "file rules: is another text, should be that of the rules of this host",
        "file closed: is absent, should be there",
        "unit sallyport-firewall.service: is disabled, should be enabled",
        "unit sallyport-firewall.service: is inactive, should be active",
        "unit nftables.service: is enabled and active, should be masked and inactive",
    ]


def see(monkeypatch: pytest.MonkeyPatch, *, check_mode: bool, **says: object) -> nftables.Seen:
    played = {
        "is_installed": True,
        "tables": PRESENT[:2],
        "own_table": parse(LISTED),
        "canonical": parse(LISTED),
        **says,
    }
    for name, answer in played.items():

        def play(*_args: object, answer: object = answer) -> object:
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(nft_live, name, play)
    monkeypatch.setattr(Boot, "differences", lambda _self: [])
    return nftables.see("text", [], False, check_mode=check_mode)


def test_a_fresh_host_in_check_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = ["table inet sallyport: is absent, should be there"]
    assert see(monkeypatch, check_mode=True, is_installed=False).differences == absent
    with pytest.raises(NftError, match="install"):
        see(monkeypatch, check_mode=False, is_installed=False)
    no_user = NftError("User does not exist\nmore")
    there = see(monkeypatch, check_mode=True, tables=["ip nat"], own_table=None, canonical=no_user)
    assert there.differences == [*absent, "table ip nat: is there, should not be"]
    later = see(monkeypatch, check_mode=True, tables=PRESENT[:1], canonical=no_user)
    assert later.differences == ["table inet sallyport: cannot be compared yet (User does not exist)"]
    with pytest.raises(NftError, match="User"):
        see(monkeypatch, check_mode=False, canonical=no_user)


def test_equal_tables_differ_in_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert see(monkeypatch, check_mode=False, tables=PRESENT[:1]).differences == []
    assert see(monkeypatch, check_mode=False).differences == ["table ip nat: is there, should not be"]
