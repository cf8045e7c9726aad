# SPDX-License-Identifier: GPL-3.0-or-later
"""The search for foreign and for undeclared systemd units, on a folder that looks like a host."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.sallyport.im.plugins.module_utils.foreign_units import Foreign, Search, owned_paths
from ansible_collections.sallyport.im.plugins.module_utils.running_units import MASKED, MASKS, Running, Unwanted
from ansible_collections.sallyport.im.plugins.module_utils.systemd import Systemd, SystemdError


@pytest.fixture(name="place")
def a_host(tmp_path: Path) -> Path:
    for name in ("etc/multi-user.target.wants", "etc/ssh.service.d", "lib"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("ssh.service", "getty@.service", "cron.service"):
        (tmp_path / "lib" / name).write_text("[Service]")
    (tmp_path / "etc/multi-user.target.wants/cron.service").symlink_to(tmp_path / "lib/cron.service")
    (tmp_path / "etc/multi-user.target.wants/getty@tty1.service").symlink_to(tmp_path / "lib/getty@.service")
    (tmp_path / "etc/sshd.service").symlink_to(tmp_path / "lib/ssh.service")
    (tmp_path / "etc/rpcbind.service").symlink_to("/dev/null")
    return tmp_path


def foreign(place: Path, *allowed: str) -> list[tuple[str, str, str]]:
    owned = [f"{place}/lib/{name}" for name in ("ssh.service", "getty@.service", "cron.service")]
    found = Search(owned, allowed, [f"{place}/etc", f"{place}/lib", f"{place}/absent"]).foreign()
    return [(str(Path(thing.path).relative_to(place)), thing.unit, thing.kind) for thing in found]


def test_what_packages_made_is_not_foreign(place: Path) -> None:
    assert foreign(place) == []


@pytest.mark.parametrize(
    ("name", "unit", "kind"),
    [
        ("etc/backdoor.service", "backdoor.service", "unit"),
        ("etc/backdoor.timer", "backdoor.timer", "unit"),
        ("lib/backdoor.service", "backdoor.service", "unit"),
        ("etc/ssh.service", "ssh.service", "override"),
        ("etc/getty@tty1.service", "getty@tty1.service", "override"),
        ("etc/ssh.service.d/evil.conf", "ssh.service", "drop-in"),
        ("etc/multi-user.target.wants/evil.service", "evil.service", "link"),
    ],
)
def test_what_a_person_made_is_found_and_may_be_allowed(place: Path, name: str, unit: str, kind: str) -> None:
    (place / name).write_text("[Service]")
    assert foreign(place) == [(name, unit, kind)]
    assert foreign(place, f"{place}/{name}") == []
    assert foreign(place, f"{place}/{name}x", "x" + unit) == [(name, unit, kind)]
    # a unit that may be there may not be changed for that
    assert foreign(place, unit) == ([(name, unit, kind)] if kind == "drop-in" else [])


def test_a_link_to_a_program_elsewhere_is_found(place: Path) -> None:
    (place / "opt.service").write_text("[Service]")
    (place / "etc/opt.service").symlink_to(place / "opt.service")
    (place / "etc/multi-user.target.wants/gone.service").symlink_to(place / "lib/gone.service")
    assert foreign(place) == [
        ("etc/multi-user.target.wants/gone.service", "gone.service", "link"),
        ("etc/opt.service", "opt.service", "link"),
    ]


def test_what_systemd_does_not_read_is_left_alone(place: Path) -> None:
    (place / "etc/README").write_text("")
    (place / "etc/ssh.service.d/notes.txt").write_text("")
    assert foreign(place) == []


def test_dpkg_lists_are_read_with_both_names_of_lib(tmp_path: Path) -> None:
    (tmp_path / "a.list").write_text("/.\n/lib/systemd/system/a.service\n/usr/bin/a\n")
    (tmp_path / "b.list").write_text("/usr/lib/systemd/system/b.service\n")
    owned = owned_paths(str(tmp_path))
    assert owned == {"/usr/lib/systemd/system/a.service", "/usr/lib/systemd/system/b.service"}


def test_a_difference_says_what_is_and_what_should_be() -> None:
    text = Foreign("/etc/systemd/system/x.service", "x.service", "unit").difference()
    assert text == "unit x.service: is there, should not be (/etc/systemd/system/x.service)"


class FakeSystemd(Systemd):
    """systemd of a folder: what runs is a set, masks are links."""

    def __init__(self, root: Path, active: set[str]) -> None:
        self.root = root
        self.active = active
        self.commands: list[str] = []

    def command(self, *words: str) -> str:
        verb, names = words[0], words[words.index("--") + 1 :] if "--" in words else words[1:]
        if verb == "list-units":
            rows = [{"unit": name, "active": "active"} for name in sorted(self.active)]
            return json.dumps([*rows, {"unit": "old.service", "active": "failed"}])
        self.commands.append(f"{verb} {' '.join(names)}".strip())
        for name in names:
            mask = Path(f"{self.root}{MASKS}/{name}")
            if verb == "mask":
                mask.symlink_to("/dev/null")
            elif verb == "unmask":
                mask.unlink()
            elif verb == "stop":
                self.active.discard(name)
            elif verb == "disable":
                for link in self.root.glob(f"etc/systemd/system/*.wants/{name}"):
                    link.unlink()
        return ""


@pytest.fixture(name="systemd")
def a_running_host(tmp_path: Path) -> FakeSystemd:
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/system.slice/carrier.service/inner\n")
    for name in ("ssh.service", "cups.service", "notes.txt"):
        (wants / name).symlink_to(f"/usr/lib/systemd/system/{name}")
    return FakeSystemd(tmp_path, {"ssh.service", "cups.socket", "atd.timer", "systemd-journald.service"})


def running(systemd: FakeSystemd, *may_run: str) -> Running:
    return Running(["ssh.service", "systemd-*", *may_run], systemd, str(systemd.root))


def test_what_runs_or_would_be_started_is_found(systemd: FakeSystemd) -> None:
    assert running(systemd).unwanted() == [
        Unwanted("atd.timer", True, False),
        Unwanted("cups.socket", True, False),
        Unwanted("cups.service", False, True),
    ]
    assert running(systemd, "atd.*", "cups.*").unwanted() == []
    assert Unwanted("a.timer", True, True).difference() == "unit a.timer: runs, should not be"
    assert Unwanted("a.timer", False, True).difference() == "unit a.timer: would be started, should not be"


def test_it_is_stopped_disabled_and_masked_and_given_free_when_it_may_run(systemd: FakeSystemd) -> None:
    host = running(systemd)
    host.stop(host.unwanted())
    assert systemd.active == {"ssh.service", "systemd-journald.service"}
    assert systemd.commands.index("mask cups.service") < systemd.commands.index(
        "stop atd.timer cups.socket cups.service"
    )
    assert host.unwanted() == []
    assert host.masked() == ["atd.timer", "cups.service", "cups.socket"]
    assert host.freed() == []
    later = running(systemd, "cups.*")
    assert later.freed() == ["cups.service", "cups.socket"]
    later.free(later.freed())
    assert later.freed() == []
    assert later.masked() == ["atd.timer"]


def test_a_mask_that_the_kit_did_not_make_stays(systemd: FakeSystemd) -> None:
    Path(f"{systemd.root}{MASKS}/rpcbind.service").symlink_to("/dev/null")
    assert running(systemd, "rpcbind.service").freed() == []


def test_a_transient_unit_is_stopped_and_not_masked(systemd: FakeSystemd) -> None:
    place = systemd.root / "run/systemd/transient"
    place.mkdir(parents=True)
    (place / "run-1.service").write_text("")
    systemd.active.add("run-1.service")
    host = running(systemd, "cups.*", "atd.*")
    host.stop(host.unwanted())
    assert systemd.commands == ["daemon-reload", "stop run-1.service", "reset-failed run-1.service"]
    assert not Path(f"{systemd.root}{MASKED}").exists()


@pytest.mark.parametrize(
    "vital",
    [
        *("ssh.service", "carrier.service", "dbus.socket", "user@1000.service", "ssh@1-10.0.0.1:22-10.0.0.2:9.service"),
        *("sshd@1.service", "NetworkManager.service", "wpa_supplicant@wlan0.service", "netplan-wpa-wlan0.service"),
        *("wg-quick@wg0.service", "openvpn-client@x.service", "strongswan-starter.service", "tailscaled.service"),
        *("dhcpcd@eth0.service", "connman.service", "iscsid.service", "open-iscsi.service", "ifup@eth0.service"),
    ],
)
def test_a_list_without_what_the_run_stands_on_is_refused(systemd: FakeSystemd, vital: str) -> None:
    systemd.active.add(vital)
    with pytest.raises(SystemdError, match=f"may_run: would stop .*{vital}"):
        Running(["systemd-*"], systemd, str(systemd.root)).unwanted()
    assert systemd.commands == []


def test_the_socket_of_ssh_is_vital_only_while_the_service_does_not_run(systemd: FakeSystemd) -> None:
    sockets = systemd.root / "etc/systemd/system/sockets.target.wants"
    sockets.mkdir()
    (sockets / "ssh.socket").symlink_to("/usr/lib/systemd/system/ssh.socket")
    merely_enabled = running(systemd, "cups.*", "atd.*")
    assert merely_enabled.unwanted() == [Unwanted("ssh.socket", False, True)]
    systemd.active.add("ssh.socket")
    both = running(systemd, "cups.*", "atd.*")
    assert both.unwanted() == [Unwanted("ssh.socket", True, True)]
    systemd.active.discard("ssh.service")
    with pytest.raises(SystemdError, match=r"ssh\.socket.*at the console: systemctl disable --now ssh\.socket && "):
        running(systemd).unwanted()
    assert running(systemd, "cups.*", "atd.*", "ssh.socket").unwanted() == []
    assert systemd.commands == []
    systemd.active.add("ssh.service")
    both.stop(both.unwanted())
    assert systemd.active == {"ssh.service", "cups.socket", "atd.timer", "systemd-journald.service"}


def test_a_unit_that_does_not_stop_is_told(systemd: FakeSystemd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "active", frozenset(systemd.active) | {"cups.socket"})
    host = running(systemd)
    monkeypatch.setattr(host, "_active", lambda: {"cups.socket"})
    monkeypatch.setattr(systemd, "command", lambda *_: "")
    with pytest.raises(SystemdError, match=r"cups\.socket.*still run"):
        host.stop([Unwanted("cups.socket", True, False)])
