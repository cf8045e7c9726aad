# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel settings: what is compared and set, and that a container never changes its machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.sallyport.im.plugins.module_utils import atomic_files
from ansible_collections.sallyport.im.plugins.module_utils import kernel_settings as module
from ansible_collections.sallyport.im.plugins.module_utils.kernel_settings import KernelError, Module, Setting, Settings
from ansible_collections.sallyport.im.plugins.module_utils.programs import Done
from ansible_collections.sallyport.im.plugins.modules import kernel_settings as task

VALUES = {
    "kernel/kptr_restrict": "0\n",
    "kernel/printk": "4\t4\t1\t7\n",
    "net/ipv4/conf/all/rp_filter": "0\n",
    "net/ipv4/conf/eth0.10/rp_filter": "0\n",
    "net/ipv4/conf/lo/rp_filter": "1\n",
}


@pytest.fixture(name="kernel")
def a_kernel(tmp_path: Path) -> Path:
    root = tmp_path / "sys"
    for name, value in VALUES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(value)
    return root


def values(kernel: Path) -> dict[str, str]:
    return {name: (kernel / name).read_text() for name in VALUES}


def test_values_are_compared_as_the_kernel_means_them(kernel: Path) -> None:
    live = Settings(False, str(kernel))
    found = live.compare({"kernel.printk": "4 4 1  7", "kernel.kptr_restrict": True, "kernel.absent": 1})
    assert found == [
        Setting("kernel.absent", None, "1"),
        Setting("kernel.kptr_restrict", "0", "1"),
        Setting("kernel.printk", "4 4 1 7", "4 4 1 7"),
    ]
    assert [setting.is_right for setting in found] == [False, False, True]
    assert found[1].difference() == "kernel.kptr_restrict: is 0, should be 1"


def test_a_star_is_every_interface_and_a_name_goes_first(kernel: Path) -> None:
    live = Settings(False, str(kernel))
    found = live.compare({"net.ipv4.conf.lo.rp_filter": 0, "net.ipv4.conf.*.rp_filter": 2})
    assert {setting.name: setting.wanted for setting in found} == {
        "net.ipv4.conf.all.rp_filter": "2",
        "net.ipv4.conf.eth0/10.rp_filter": "2",
        "net.ipv4.conf.lo.rp_filter": "0",
    }


def test_a_machine_sets_what_differs_and_tells_what_the_kernel_keeps(
    kernel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = Settings(False, str(kernel))
    for setting in live.compare({"kernel.kptr_restrict": 2, "net.ipv4.conf.eth0/10.rp_filter": 1}):
        assert not live.may_write(setting)
        assert not live.write(setting)
    assert (kernel / "kernel/kptr_restrict").read_text().split() == ["2"]
    assert (kernel / "net/ipv4/conf/eth0.10/rp_filter").read_text().split() == ["1"]
    monkeypatch.setattr(Settings, "_read", staticmethod(lambda _place: "0"))
    assert live.write(Setting("kernel.kptr_restrict", "0", "1")) == "the kernel keeps 0"
    assert "the kernel refuses" in live.write(Setting("kernel.absent.too", "0", "1"))


def test_from_a_container_only_the_network_is_ever_written(kernel: Path) -> None:
    live = Settings(True, str(kernel))
    # as in a container in which all of /proc/sys may be written
    for name in ("kernel.kptr_restrict", "kernel.printk", "network.x", "netx.y"):
        setting = Setting(name, "0", "9")
        assert "belongs to the machine" in live.may_write(setting)
        assert "belongs to the machine" in live.write(setting)
    assert values(kernel) == VALUES
    assert not live.write(Setting("net.ipv4.conf.all.rp_filter", "0", "9"))
    assert values(kernel) == VALUES | {"net/ipv4/conf/all/rp_filter": "9\n"}


@pytest.mark.parametrize(
    "name", ["net.//.kernel.kptr_restrict", "net/../kernel", "net", "net.ipv4.", "", "a b.c", "/x.y"]
)
def test_a_name_that_leads_elsewhere_is_refused(kernel: Path, name: str) -> None:
    for live in (Settings(True, str(kernel)), Settings(False, str(kernel))):
        with pytest.raises(KernelError):
            live.compare({name: 1})
        with pytest.raises(KernelError):
            live.write(Setting(name, "0", "1"))
    assert values(kernel) == VALUES


def test_a_link_out_of_the_network_is_not_followed_in_a_container(kernel: Path) -> None:
    (kernel / "net/out").symlink_to(kernel / "kernel")
    assert "belongs to the machine" in Settings(True, str(kernel)).write(Setting("net.out.kptr_restrict", "0", "2"))
    assert values(kernel) == VALUES


def test_what_a_container_may_only_read_is_not_a_difference(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_is_read_only", lambda _place: True)
    setting = Setting("net.ipv4.conf.all.rp_filter", "0", "1")
    assert Settings(True, str(kernel)).may_write(setting) == "this container may only read it"
    # on a machine it is tried, and then it is a failure
    assert not Settings(False, str(kernel)).may_write(setting)


@pytest.mark.parametrize(
    ("status", "out", "container"), [(0, "docker\n", True), (1, "none\n", False), (0, "wsl\n", True)]
)
def test_a_container_is_known(monkeypatch: pytest.MonkeyPatch, status: int, out: str, container: bool) -> None:
    monkeypatch.setattr(module, "run", lambda *_: Done(status, out))
    assert module.in_container() is container
    monkeypatch.setattr(module, "run", lambda *_: Done(1, "", "no"))
    with pytest.raises(KernelError, match="cannot tell"):
        module.in_container()


def test_the_file_holds_nothing_that_a_container_must_not_set_at_boot() -> None:
    sysctls = {"net.ipv4.conf.*.rp_filter": 1, "kernel.kptr_restrict": 2}
    assert module.sysctl_text(sysctls, False).splitlines()[1:] == [
        "kernel.kptr_restrict = 2",
        "net.ipv4.conf.*.rp_filter = 1",
    ]
    lines = module.sysctl_text(sysctls, True).splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["net.ipv4.conf.*.rp_filter = 1"]


def test_modules_are_kept_out_and_found(tmp_path: Path) -> None:
    assert module.modprobe_text(["sctp", "dccp"]).splitlines()[1:] == [
        *("blacklist dccp", "install dccp /bin/false", "blacklist sctp", "install sctp /bin/false")
    ]
    with pytest.raises(KernelError, match="no name of a module"):
        module.modprobe_text(["x\ninstall y z"])
    table = tmp_path / "modules"
    table.write_text("usb_storage 90112 1 uas, Live 0x0\nsctp 4 0 - Live 0x0\nother 1 0 - Live 0x0\n")
    assert module.loaded_modules(["usb-storage", "sctp"], str(table)) == [
        Module("usb_storage", True),
        Module("sctp", False),
    ]
    assert module.loaded_modules(["sctp"], str(tmp_path / "absent")) == []
    (tmp_path / "6.1").mkdir()
    (tmp_path / "6.1/modules.builtin").write_text("kernel/fs/squashfs/squashfs.ko\nkernel/fs/f-s.ko\n")
    assert module.built_in(["squashfs", "f_s", "sctp"], "6.1", str(tmp_path)) == ["f_s", "squashfs"]


def test_a_file_that_would_undo_a_setting_is_found(tmp_path: Path) -> None:
    here, there = tmp_path / "etc", tmp_path / "run"
    here.mkdir()
    there.mkdir()
    (here / "10-first.conf").write_text("kernel.kptr_restrict = 0\n")
    (here / "99-zz.conf").write_text("# kernel.x=3\n-kernel/kptr_restrict=0\nkernel.other = 5\n")
    (there / "99-zz.conf").write_text("kernel.other.x = 0\n")
    (there / "zz.conf").write_text("kernel.kptr_restrict =  2\n")
    found = list(module.later_files({"kernel.kptr_restrict": 2, "kernel.other.x": 1}, [str(here), str(there)]))
    assert [path for path, _line in found] == [f"{here}/99-zz.conf"]
    assert "sets kernel.kptr_restrict otherwise at the next boot" in found[0][1]


@pytest.fixture(name="place")
def a_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "SYSCTL_FILE", str(tmp_path / "etc/60-sallyport.conf"))
    monkeypatch.setattr(module, "MODPROBE_FILE", str(tmp_path / "modprobe.d/sallyport.conf"))
    monkeypatch.setattr(module, "loaded_modules", lambda _names: [])
    monkeypatch.setattr(module, "built_in", lambda *_: [])
    monkeypatch.setattr(module, "later_files", lambda *_: iter(()))
    monkeypatch.setattr(task, "REMOVED", str(tmp_path / "removed"))
    monkeypatch.setattr(atomic_files, "write", lambda path, content, *_: Path(path).write_bytes(content))
    return tmp_path


def lines(work: task.Work) -> list[str]:
    return [line for line in work.differences if not line.startswith("/")]


def test_a_machine_is_mended_and_then_has_no_differences(place: Path, kernel: Path) -> None:
    live = Settings(False, str(kernel))
    work = task.compare({"kernel.kptr_restrict": 2}, ["sctp"], live)
    assert lines(work) == ["kernel.kptr_restrict: is 0, should be 2"]
    assert len(work.differences) == 3
    task.mend(work, live)
    again = task.compare({"kernel.kptr_restrict": 2}, ["sctp"], live)
    assert lines(again) == []
    assert not again.settings
    assert not again.not_applicable


def test_a_machine_that_does_not_take_a_value_fails(place: Path, kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Settings, "write", lambda *_: "the kernel keeps 0")
    live = Settings(False, str(kernel))
    with pytest.raises(KernelError, match=r"kernel\.kptr_restrict: is 0, should be 2; the kernel keeps 0"):
        task.mend(task.compare({"kernel.kptr_restrict": 2}, [], live), live)


def test_modules_are_unloaded_or_named(place: Path, kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(module, "loaded_modules", lambda _names: [Module("sctp", False), Module("dccp", True)])
    monkeypatch.setattr(module, "built_in", lambda *_: ["squashfs"])

    def modprobe(argv: list[str], _seconds: float, *, join: bool) -> Done:
        assert join
        calls.append(argv)
        return Done(0, "")

    monkeypatch.setattr(task, "run", modprobe)
    for container in (True, False):
        live = Settings(container, str(kernel))
        work = task.compare({}, ["sctp"], live)
        told = " ".join(work.not_applicable)
        assert "module dccp" in told
        assert "module squashfs" in told
        assert ("module sctp" in told) is container
        task.mend(work, live)
    assert calls == [["modprobe", "--remove", "sctp"]]


@pytest.mark.parametrize(
    ("table", "carries"),
    [
        (["usb_storage 9 1 uas, Live 0x0", "uas 4 0 - Live 0x0"], []),
        (["usb_storage 9 2 uas, Live 0x0", "uas 4 0 - Live 0x0"], ["usb_storage"]),
        (["usb_storage 9 1 uas, Live 0x0", "uas 4 1 - Live 0x0"], ["usb_storage", "uas"]),
        (["usb_storage 9 1 ums_realtek, Live 0x0", "ums_realtek 4 1 - Live 0x0"], ["usb_storage"]),
        (["usb_storage 9 1 - Live 0x0"], ["usb_storage"]),
        (["sctp 9 3 - Live 0x0", "usb_storage 9 - -"], []),
    ],
)
def test_a_module_on_which_a_disk_hangs_is_known(tmp_path: Path, table: list[str], carries: list[str]) -> None:
    (tmp_path / "modules").write_text("".join(f"{line}\n" for line in table))
    found = module.loaded_modules(["usb-storage", "uas", "sctp"], str(tmp_path / "modules"))
    assert [one.name for one in found if one.carries_disk] == carries


def test_a_disk_is_not_taken_from_its_machine(place: Path, kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "loaded_modules", lambda _names: [Module("uas", True, carries_disk=True)])
    with pytest.raises(KernelError, match=r"module uas: .*a disk of this machine hangs on it.*baseline_allowed_mod"):
        task.compare({}, ["uas"], Settings(False, str(kernel)))
    assert list(place.iterdir()) == [kernel]
    work = task.compare({}, ["uas"], Settings(True, str(kernel)))
    assert "module uas" in " ".join(work.not_applicable)


def test_a_container_names_what_it_leaves(place: Path, kernel: Path) -> None:
    live = Settings(True, str(kernel))
    sysctls = {
        "kernel.kptr_restrict": 2,
        "kernel.printk": "4 4 1 7",
        "kernel.absent": 1,
        "net.ipv4.conf.all.rp_filter": 1,
    }
    work = task.compare(sysctls, [], live)
    assert work.not_applicable == [
        "kernel.absent: this kernel does not offer it here",
        "kernel.kptr_restrict: is 0, should be 2; it belongs to the machine that this container runs on",
    ]
    assert lines(work) == ["net.ipv4.conf.all.rp_filter: is 0, should be 1"]
    task.mend(work, live)
    assert values(kernel) == VALUES | {"net/ipv4/conf/all/rp_filter": "1\n"}


def test_switches_that_set_others_come_first() -> None:
    names = {"net.ipv4.conf.all.accept_redirects": 0, "net.ipv4.ip_forward": 0, "net.ipv6.conf.all.forwarding": 0}
    lines = module.sysctl_text(names, container=False).splitlines()[1:]
    assert [line.split()[0] for line in lines] == [
        "net.ipv4.ip_forward",
        "net.ipv6.conf.all.forwarding",
        "net.ipv4.conf.all.accept_redirects",
    ]
