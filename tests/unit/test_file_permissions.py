# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that lend rights and places open to everybody, on a folder that looks like a host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.sallyport.im.plugins.module_utils import file_permissions_plan as plan
from ansible_collections.sallyport.im.plugins.module_utils.file_permissions import (
    Seen,
    change,
    local_mounts,
    owned,
    search,
    seen,
)
from ansible_collections.sallyport.im.plugins.module_utils.file_permissions_plan import PermissionsError
from ansible_collections.sallyport.im.plugins.module_utils.programs import Done


def put(path: Path, mode: int, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture(name="place")
def a_host(tmp_path: Path) -> Path:
    # a folder of its own: the parents that pytest makes are none of the host's
    place = tmp_path / "host"
    put(place / "bin/sudo", 0o4755)
    put(place / "bin/mount", 0o6755)
    put(place / "bin/plain", 0o755)
    (place / "shared").mkdir()
    (place / "shared").chmod(0o1777)
    return place


def stopped_at(place: Path, **how: list[str]) -> list[str]:
    found = search([str(place)], how.get("mounts", []), how.get("leave", []), how.get("peoples", []))
    return sorted(str(Path(thing.path).relative_to(place)) for thing in found)


def judged(place: Path, may: list[str], packaged: list[str]) -> list[plan.Change]:
    found = search([str(place)], [], [], [])
    return plan.judge(found, [f"{place}/{name}" for name in may], [], frozenset(f"{place}/{name}" for name in packaged))


def test_the_search_stops_at_what_lends_rights_or_is_open(place: Path) -> None:
    assert stopped_at(place) == ["bin/mount", "bin/sudo"]
    put(place / "opt/open", 0o666)
    (place / "opt").chmod(0o777)
    (place / "link").symlink_to(place / "opt/open")
    assert stopped_at(place) == ["bin/mount", "bin/sudo", "opt", "opt/open"]


def test_borders_and_exceptions_of_the_search(place: Path) -> None:
    put(place / "home/eve/open", 0o666)
    put(place / "home/eve/lends", 0o4777)
    put(place / "other/lends", 0o4755)
    put(place / "images/lends", 0o4755)
    (place / "home/eve").chmod(0o777)
    how = {"mounts": [f"{place}/other"], "leave": [f"{place}/im*"], "peoples": [f"{place}/home"]}
    assert stopped_at(place, **how) == ["bin/mount", "bin/sudo", "home/eve/lends"]


def test_a_name_that_is_not_unicode_hides_nothing(place: Path) -> None:
    name = os.fsencode(place) + b"/bin/a\xff\n"
    with open(name, "wb"):  # noqa: PTH123 the name is bytes
        pass
    os.chmod(name, 0o4755)  # noqa: PTH101
    (one,) = judged(place, ["bin/sudo", "bin/mount"], ["bin/sudo", "bin/mount"])
    one.difference.encode("utf-8")
    plan.apply([one])
    assert os.stat(name).st_mode & 0o7777 == 0o755  # noqa: PTH116


def test_only_listed_programs_of_packages_keep_the_bit(place: Path) -> None:
    assert judged(place, ["bin/sudo", "bin/mount"], ["bin/sudo", "bin/mount"]) == []
    mount, sudo = judged(place, ["bin/sudo"], ["bin/mount"])
    assert mount.difference == f"{place}/bin/mount: is setuid and setgid and not on the list (6755), should be 0755"
    assert mount.override
    assert sudo.difference == f"{place}/bin/sudo: is setuid and no package's (4755), should be 0755"
    assert not sudo.override
    assert not sudo.aside


def test_a_package_program_is_kept_without_the_bit_by_dpkg(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []

    def dpkg(argv: list[str], _seconds: float, *, join: bool) -> Done:
        calls.append(argv)
        assert join
        return Done(0, "")

    monkeypatch.setattr(plan, "run", dpkg)
    changes = judged(place, ["bin/sudo"], ["bin/mount", "bin/sudo"])
    plan.apply(changes)
    user, group = plan._user_name(os.geteuid()), plan._group_name(os.getegid())
    assert calls == [
        ["dpkg-statoverride", "--force-statoverride-add", "--add", user, group, "755", f"{place}/bin/mount"]
    ]
    assert judged(place, ["bin/sudo"], ["bin/mount", "bin/sudo"]) == []
    # told already: only the bit goes
    (place / "bin/mount").chmod(0o4755)
    monkeypatch.setattr(plan, "_overrides", lambda: {(user, group, "755", f"{place}/bin/mount")})
    plan.apply(judged(place, ["bin/sudo"], ["bin/mount", "bin/sudo"]))
    assert len(calls) == 1
    assert (place / "bin/mount").stat().st_mode & 0o7777 == 0o755


def test_a_refusal_of_dpkg_is_told(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "run", lambda *_, **__: Done(2, "locked"))
    with pytest.raises(PermissionsError, match=r"bin/mount: dpkg-statoverride refuses: locked"):
        plan.apply(judged(place, ["bin/sudo"], ["bin/mount", "bin/sudo"]))


def test_a_second_name_of_a_listed_program_is_moved_away(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "REMOVED", str(place.parent / "removed"))
    os.link(place / "bin/sudo", place / "sh")
    (one,) = judged(place, ["bin/sudo", "bin/mount"], ["bin/sudo", "bin/mount"])
    assert "one file with a program of a package" in one.difference
    moved = plan.apply([one])
    assert list(moved) == [f"{place}/sh"]
    assert Path(moved[f"{place}/sh"]).is_file()
    assert not (place / "sh").exists()
    assert (place / "bin/sudo").stat().st_mode & 0o7777 == 0o4755


def test_what_is_open_is_closed_and_a_sticky_bit_does_where_no_rules_stand(place: Path) -> None:
    put(place / "open", 0o646)
    (place / "drop").mkdir()
    (place / "drop").chmod(0o777)
    found = judged(place, ["bin/sudo", "bin/mount"], ["bin/sudo", "bin/mount"])
    assert [(Path(one.thing.path).name, f"{one.mode:o}") for one in found] == [("drop", "775"), ("open", "644")]
    plan.apply(found)
    assert judged(place, ["bin/sudo", "bin/mount"], ["bin/sudo", "bin/mount"]) == []
    allowed = plan.judge(search([str(place)], []), [], [f"{place}/open"], frozenset())
    assert f"{place}/open" not in [one.thing.path for one in allowed]


def test_a_shared_place_gets_its_sticky_bit_back(place: Path) -> None:
    (place / "shared").chmod(0o777)
    places = [f"{place}/shared", f"{place}/absent"]
    (one,) = plan.shared_places(places)
    assert one.difference.endswith("(0777), should be 1777")
    plan.apply([one])
    assert plan.shared_places(places) == []


def test_a_table_of_rights(place: Path) -> None:
    put(place / "etc/a.key", 0o644)
    put(place / "etc/b.key", 0o600)
    table = {f"{place}/etc/*.key": {"mode": "0600"}, f"{place}/absent": {"owner": "nobody-knows"}}
    (one,) = plan.declared(table)
    assert one.difference.startswith(f"{place}/etc/a.key: is ")
    assert not one.override
    plan.apply([one])
    assert plan.declared(table) == []


@pytest.mark.parametrize(
    ("path", "rights", "says"),
    [
        ("etc", {"mode": "0600"}, "absolute path"),
        ("/etc", {"mod": "0600"}, "absolute path"),
        ("/etc", "0600", "absolute path"),
        ("/etc", {"mode": 384}, "in quotes"),
        ("/etc", {"mode": "999"}, "in quotes"),
        ("/etc", {"owner": "nobody-knows"}, "not known"),
    ],
)
def test_a_malformed_table_is_refused(path: str, rights: object, says: str) -> None:
    with pytest.raises(PermissionsError, match=says):
        plan.declared({path: rights})


def test_another_file_in_the_place_of_the_one_seen_is_left_alone(place: Path) -> None:
    thing = seen(str(place / "bin/mount"), os.lstat(place / "bin/mount"))
    (place / "bin/mount").rename(place / "bin/old")
    (place / "bin/mount").symlink_to(place / "bin/sudo")
    with pytest.raises(OSError, match="another file stands there now"):
        change(thing, 0o700)
    assert (place / "bin/sudo").stat().st_mode & 0o7777 == 0o4755


def test_capabilities_of_foreign_programs_are_named() -> None:
    foreign = Seen("/opt/x", 1, 2, 0o100755, 0, 0, capable=True)
    (one,) = plan.judge([foreign], [], [], frozenset())
    assert one.uncap
    assert one.difference == "/opt/x: has capabilities and is no package's (0755), should be 0755"


def test_a_package_program_keeps_only_the_capabilities_of_its_package() -> None:
    helper = "/usr/lib/x86_64-linux-gnu/gstreamer1.0/gstreamer-1.0/gst-ptp-helper"
    python = "/usr/bin/python3.11"
    paths = ["/usr/bin/ping", "/usr/bin/mtr-packet", "/usr/bin/dumpcap", helper, python]
    things = [Seen(path, 1, number, 0o100755, 0, 0, capable=True) for number, path in enumerate(paths)]
    (one,) = plan.judge(things, [], [], frozenset(paths))
    assert one.difference == f"{python}: has capabilities and is not on the list (0755), should be 0755"
    assert one.uncap
    assert not one.override
    assert plan.judge(things, [python], [], frozenset(paths)) == []
    assert [change.thing.path for change in plan.judge(things, [python], [], frozenset())] == sorted(paths)


def test_mounts_and_owners_are_read(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text(
        "1 0 8:1 / / rw shared:1 - ext4 /dev/vda rw\n"
        "2 1 0:5 / /proc rw - proc proc rw\n"
        "3 1 0:6 / /mnt/a\\040b rw master:2 - xfs /dev/vdb rw\n"
        "4 1 0:7 / /srv rw - nfs4 server:/x rw\n"
    )
    assert local_mounts(str(tmp_path / "mountinfo")) == (["/", "/mnt/a b"], ["/", "/proc", "/mnt/a b", "/srv"])
    (tmp_path / "a.list").write_bytes(b"/.\n/bin/su\n/usr/bin/sudo\n\xff\n")
    paths = ["/usr/bin/su", "/usr/bin/sudo", "/usr/local/bin/su", "/usr/bin/s"]
    assert owned(paths, str(tmp_path)) == {"/usr/bin/su", "/usr/bin/sudo"}
    assert owned([], str(tmp_path)) == frozenset()
