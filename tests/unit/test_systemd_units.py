# SPDX-License-Identifier: GPL-3.0-or-later
"""The search for foreign systemd units, on a folder that looks like a host."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.sallyport.im.plugins.module_utils.foreign_units import Foreign, Search, owned_paths


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
    assert foreign(place, unit) == []


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
