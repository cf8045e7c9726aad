# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module nftables makes of what nft and systemd say; both are played."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.sallyport.im.plugins.action import nftables as action_module
from ansible_collections.sallyport.im.plugins.module_utils import guard as guard_module
from ansible_collections.sallyport.im.plugins.module_utils import nft_boot, nft_live
from ansible_collections.sallyport.im.plugins.module_utils.guard import Guard
from ansible_collections.sallyport.im.plugins.module_utils.nft_boot import Boot
from ansible_collections.sallyport.im.plugins.module_utils.nft_live import NftError, foreign, way_back
from ansible_collections.sallyport.im.plugins.module_utils.nft_text import Table, parse
from ansible_collections.sallyport.im.plugins.module_utils.programs import Done
from ansible_collections.sallyport.im.plugins.module_utils.run_lock import RunLock
from ansible_collections.sallyport.im.plugins.module_utils.service_guard import RUN_LINE
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
    script = way_back(parse(LISTED), {"ip nat": "/removed/ip nat.nft"}, "word")
    assert script.startswith(f"#!/bin/sh\n{RUN_LINE}word\n")
    assert "delete table inet sallyport\ntable inet sallyport {\n" in script
    assert "nft list table ip nat >/dev/null 2>&1 || nft -f '/removed/ip nat.nft' || echo" in script
    assert script.endswith("exit $status\n")
    assert "table inet sallyport {" not in way_back(None, {}, "")


def test_a_table_cannot_end_the_script_that_restores_it() -> None:
    with pytest.raises(NftError, match="by hand"):
        way_back(Table("inet sallyport", (f'comment "{nft_live.END}"',)), {}, "")


class Systemd:
    """systemd with given states."""

    states: dict[str, UnitState] = {}  # noqa: RUF012
    asked: list[str] = []  # noqa: RUF012

    def show(self, unit: str) -> UnitState:
        """Tell the state."""
        return self.states.get(unit, UnitState())

    def command(self, *words: str) -> str:
        """Remember the command."""
        self.asked.append(" ".join(words))
        return ""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("RULES", "CLOSED", "UNIT_FILE"):
        monkeypatch.setattr(nft_boot, name, str(tmp_path / name.lower()))
    switches = tuple(str(tmp_path / name) for name in ("ip_forward", "forwarding", "absent"))
    for switch in switches[:2]:
        Path(switch).write_text("0\n")
    monkeypatch.setattr(nft_boot, "SWITCHES", switches)
    monkeypatch.setattr(nft_boot, "Systemd", Systemd)
    monkeypatch.setattr(nft_boot, "WITHOUT_FLUSH", str(tmp_path / "nftables.service.d/sallyport.conf"))
    monkeypatch.setattr(nft_boot, "write", lambda path, text, *_: Path(path).write_bytes(text))
    monkeypatch.setattr(Systemd, "asked", [])
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


class End(Exception):
    """The module has answered."""


class Module:
    """AnsibleModule with given parameters."""

    def __init__(self, check_mode: bool, **params: object) -> None:
        """Take the parameters."""
        defaults = {"ruleset": "text", "allowed_tables": [], "rollback_seconds": 60, "forwarding": False}
        self.params = {**defaults, "step": "apply", "token": "", **params}
        self.check_mode = check_mode
        self.answer: dict[str, Any] = {}

    def exit_json(self, **answer: object) -> None:
        """Answer."""
        self.answer = answer
        raise End

    def fail_json(self, **answer: object) -> None:
        """Answer with a failure."""
        self.exit_json(failed=True, **answer)


class Firewall:
    """A host whose nft and systemd are played, with a real guard.

    Attributes:
        done: what was done, in order.
        refuses: whether nft refuses the former table.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have no table in force yet."""
        self.monkeypatch, self.live, self.refuses = monkeypatch, False, False
        self.done: list[str] = []
        (folder / "units").mkdir()
        self.guard = Guard("nftables", root=str(folder / "guard"), units=str(folder / "units"))
        places: dict[tuple[object, str], object] = {
            (nftables, "RunLock"): lambda _path, wait: RunLock(str(folder / "lock"), wait),
            (nftables, "Guard"): lambda _name: self.guard,
            (nftables, "Systemd"): Systemd,
            (guard_module, "Systemd"): Systemd,
            (guard_module, "run"): lambda *_args, **_named: Done(0, ""),
            (nft_live, "apply"): self.apply,
            (nft_live, "check"): self.check,
            (nft_boot, "canonical"): lambda text: parse(text[text.index("table inet sallyport {") :]),
            (Boot, "bring_about"): lambda _self: self.done.append("boot files"),
        }
        for (place, name), played in places.items():
            monkeypatch.setattr(place, name, played)

    def apply(self, _text: str, _remove: Sequence[str]) -> None:
        """Be in force."""
        assert self.guard.is_armed()
        self.done.append("apply")
        self.live = True

    def check(self, _text: str) -> None:
        """Say what nft would say."""
        self.done.append("check")
        if self.refuses:
            raise NftError("the former table could not be put back")

    def run(self, *, check_mode: bool = False, live: Table | None = None, **params: object) -> dict[str, Any]:
        """Run the module and return its answer."""
        module = Module(check_mode, **params)
        before = parse(LISTED) if self.live else live
        present = PRESENT[:1] if before else []
        played = {"is_installed": True, "tables": present, "own_table": before, "canonical": parse(LISTED)}
        for name, answer in played.items():
            self.monkeypatch.setattr(nft_live, name, lambda *_args, answer=answer: answer)
        boot = ["file rules: is absent, should be there"] if "boot files" not in self.done else []
        self.monkeypatch.setattr(Boot, "differences", lambda _self: boot)
        self.monkeypatch.setattr(nftables, "AnsibleModule", lambda **_spec: module)
        with pytest.raises(End):
            nftables.main()
        return module.answer


@pytest.fixture
def firewall(machine: Path, monkeypatch: pytest.MonkeyPatch) -> Firewall:
    monkeypatch.setattr(Systemd, "states", {"sallyport-guard-nftables.timer": UnitState("loaded", "active")})
    return Firewall(machine, monkeypatch)


def test_rules_that_nobody_has_proven_are_not_written_for_the_next_boot(firewall: Firewall) -> None:
    assert firewall.run()["armed"]
    again = firewall.run()
    assert again["failed"]
    assert "still waits" in again["msg"]
    assert "firewall: its new rules are not confirmed, should be" in firewall.run(check_mode=True)["differences"]
    assert "boot files" not in firewall.done


def test_only_the_run_that_made_a_change_confirms_it(firewall: Firewall) -> None:
    token = firewall.run()["token"]
    for other in ("", "of another run"):
        assert firewall.run(step="confirm", token=other)["rolled_back"]
    assert firewall.guard.is_armed()
    assert "boot files" not in firewall.done
    assert firewall.run(step="confirm", token=token) == {"changed": True}
    assert firewall.done[-1] == "boot files"
    assert "token" not in firewall.run(), "nothing to confirm"


def test_debians_unit_is_masked_only_when_the_change_is_confirmed(
    firewall: Firewall, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = {nft_boot.DEBIANS: UnitState("loaded", "active", enabled="enabled")}
    monkeypatch.setattr(Systemd, "states", states)
    assert firewall.run()["armed"]
    assert "stop nftables.service" in Systemd.asked
    assert not any(words.startswith("mask") for words in Systemd.asked)
    nft_boot.silence_debians(Systemd())  # type: ignore[arg-type]
    assert "mask --quiet nftables.service" in Systemd.asked


def test_without_a_table_in_force_the_way_back_is_what_the_next_boot_brings(firewall: Firewall) -> None:
    firewall.run()
    assert "table inet sallyport {" in (firewall.guard.folder / "restore").read_text()


def test_without_proven_rules_the_way_back_is_no_table(firewall: Firewall) -> None:
    Path(nft_boot.RULES).unlink()
    firewall.run()
    assert "table inet sallyport {" not in (firewall.guard.folder / "restore").read_text()


def test_a_table_that_could_not_come_back_is_not_replaced(firewall: Firewall) -> None:
    firewall.refuses = True
    answer = firewall.run(live=Table("inet sallyport", ()))
    assert "could not be put back" in answer["msg"]
    assert firewall.done == ["check"]
    assert not firewall.guard.is_armed()


def test_the_former_table_is_checked_as_the_way_back_would_load_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Sequence[str]] = []

    def play(argv: Sequence[str], _seconds: float) -> Done:
        asked.append([*argv[:3], Path(argv[3]).read_text()])
        return Done(1, "", "no such user")

    monkeypatch.setattr(nft_live, "run", play)
    with pytest.raises(NftError, match=r"nothing was changed: .*no such user"):
        nft_live.check("table inet sallyport {\n}\n")
    assert asked == [["nft", "-c", "-f", nft_live.whole("table inet sallyport {\n}\n")]]


def act(monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run the action; return its result, and the arguments of the confirmation."""
    confirmed: dict[str, Any] = {}

    def prove(_action: object, _module: str, given: dict[str, Any], *_rest: object) -> dict[str, Any]:
        confirmed.update(given)
        return {"changed": True}

    class Task:
        args = arguments

    class Played(action_module.ActionModule):
        def __init__(self) -> None:
            self._task = Task()

        def _execute_module(self, **_asked: Any) -> dict[str, Any]:
            return {"changed": True, "armed": True, "token": "word"}

    monkeypatch.setattr(ActionBase, "run", lambda *_args: {})
    monkeypatch.setattr(action_module, "prove", prove)
    return Played().run(), confirmed


def test_the_action_hands_the_word_of_the_run_to_its_confirmation(monkeypatch: pytest.MonkeyPatch) -> None:
    result, confirmed = act(monkeypatch, {"ruleset": "text"})
    assert result == {"changed": True, "armed": False}
    assert confirmed == {"ruleset": "text", "step": "confirm", "token": "word"}


@pytest.mark.parametrize("name", ["step", "token"])
def test_a_task_does_not_confirm_by_itself(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result, confirmed = act(monkeypatch, {"ruleset": "text", name: "confirm"})
    assert result["failed"]
    assert f"'{name}' is set by this action itself" in result["msg"]
    assert not confirmed


TIMED = """\
table inet sallyport {
	set admitted4 {
		type ipv4_addr
		size 16384
		flags dynamic,timeout
	}

	set clients4 {
		type ipv4_addr
		flags dynamic
	}
}
"""
IN_FORCE = {
    "nftables": [
        {"set": {"name": "admitted4", "elem": [{"elem": {"val": "10.20.2.21", "timeout": 60, "expires": 41}}]}},
        {"set": {"name": "admitted6", "elem": [{"elem": {"val": "fd12::21", "timeout": 60, "expires": 40}}]}},
        {"set": {"name": "clients4", "elem": [{"elem": {"val": "10.20.2.22", "expires": 9}}, "10.20.2.23"]}},
    ]
}


@pytest.mark.parametrize(
    ("wanted", "present", "words"),
    [
        (TIMED, PRESENT, "add element inet sallyport admitted4 { 10.20.2.21 timeout 41s }\n"),
        # the first table of a host, and one without such a set
        (TIMED, ["ip nat"], ""),
        (LISTED, PRESENT, ""),
    ],
)
def test_what_holds_for_a_time_goes_over_to_the_new_table(
    monkeypatch: pytest.MonkeyPatch, wanted: str, present: list[str], words: str
) -> None:
    monkeypatch.setattr(nft_live, "tables", lambda: present)
    monkeypatch.setattr(nft_live, "_nft", lambda *_words: json.dumps(IN_FORCE))
    assert nft_live.held(parse(wanted)) == words


def test_what_holds_for_a_time_goes_back_with_the_old_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nft_live, "tables", lambda: PRESENT)
    monkeypatch.setattr(nft_live, "_nft", lambda *_words: json.dumps(IN_FORCE))
    script = way_back(parse(TIMED), {}, "word")
    assert f"}}\nadd element inet sallyport admitted4 {{ 10.20.2.21 timeout 41s }}\n{nft_live.END}\n" in script
