# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel refuses: modules, confined programs, settings, core dumps, programs on file systems without any."""

from __future__ import annotations

import fnmatch
import re

import pytest
from machine.guest import Guest

MODPROBE = "/etc/modprobe.d/sallyport.conf"
SYSCTL = "/etc/sysctl.d/60-sallyport.conf"
# network protocols that nobody needs and that had holes; Debian's kernel has all of them
REFUSED = ("dccp", "sctp", "rds", "tipc")
# some settings that this kernel must have had, whatever else stands in the role's file
EXPECTED = {
    "kernel.kptr_restrict": {"1", "2"},
    "kernel.dmesg_restrict": {"1"},
    "kernel.unprivileged_bpf_disabled": {"1", "2"},
    "kernel.yama.ptrace_scope": {"1", "2", "3"},
    "fs.protected_symlinks": {"1"},
    "fs.protected_hardlinks": {"1"},
    "fs.suid_dumpable": {"0"},
    "net.ipv4.ip_forward": {"0"},
    "net.ipv4.conf.all.accept_redirects": {"0"},
    "net.ipv6.conf.all.accept_redirects": {"0"},
    "net.ipv4.conf.all.accept_source_route": {"0"},
}
MOUNTS = {
    "/home": {"nodev", "nosuid", "noexec"},
    "/tmp": {"nodev", "nosuid", "noexec"},
    "/dev/shm": {"nodev", "nosuid", "noexec"},
    "/var": {"nodev", "nosuid"},
    "/var/log": {"nodev", "nosuid", "noexec"},
    "/var/tmp": {"nodev", "nosuid", "noexec"},
}


def test_the_kernel_is_debians_own(guest: Guest) -> None:
    release = guest.sh("uname -r").strip()
    assert re.fullmatch(r"[\d.]+\+deb13(-cloud)?-amd64", release), release
    assert guest.sh(f"dpkg-query -W -f '${{db:Status-Status}}' linux-image-{release}") == "installed"


@pytest.mark.parametrize("module", REFUSED)
def test_a_blacklisted_module_is_refused(guest: Guest, module: str) -> None:
    assert guest.tried(f"modinfo -n {module}")[0] == 0, f"this kernel has no {module}, so nothing is proven"
    code, said = guest.tried(f"modprobe {module}")
    loaded = guest.sh("cut -d ' ' -f 1 /proc/modules").split()
    guest.tried(f"modprobe -r {module}")
    assert module not in loaded, f"{module} was loaded: {said}"
    assert code != 0, f"modprobe {module} says that it worked"


def test_a_permitted_module_loads(guest: Guest) -> None:
    guest.sh("modprobe dummy numdummies=0")
    assert "dummy" in guest.sh("cut -d ' ' -f 1 /proc/modules").split()
    guest.sh("modprobe -r dummy")


def test_no_blacklisted_module_is_loaded_nor_could_be(guest: Guest) -> None:
    listed = set(re.findall(r"^(?:blacklist|install)\s+(\S+)", guest.sh(f"cat {MODPROBE}"), re.MULTILINE))
    assert set(REFUSED) <= listed
    names = {name.replace("-", "_") for name in listed}
    assert not names & set(guest.sh("cut -d ' ' -f 1 /proc/modules").split())
    # "blacklist" alone ends automatic loading by an alias and nothing else
    wanted = " ".join(sorted(listed))
    plans = guest.tried(f"for name in {wanted}; do modprobe --dry-run --show-depends $name; done")[1]
    files = re.findall(r"^insmod \S*/([^/]+)\.ko", plans, re.MULTILINE)
    assert not names & {name.replace("-", "_") for name in files}, plans


def test_kernel_settings_are_live_as_declared(guest: Guest) -> None:
    declared = guest.settings(SYSCTL)
    assert len(declared) > 10
    # this kernel offers all of them: a container's excuse does not hold here
    patterns = {name.lstrip("-").replace(".", "/"): value for name, value in declared.items()}
    lines = guest.sh(f"cd /proc/sys && grep -H '' {' '.join(patterns)}").splitlines()
    live = dict(line.split(":", 1) for line in lines)
    # a name of its own goes before one with *, which stands for every interface
    wanted = {}
    for pattern in sorted(patterns, key=lambda pattern: "*" not in pattern):
        fits = fnmatch.filter(live, pattern)
        assert fits, f"{pattern}: this kernel has no such setting"
        wanted.update(dict.fromkeys(fits, patterns[pattern]))
    differ = {
        name: f"{live[name]}, not {value}" for name, value in wanted.items() if _words(live[name]) != _words(value)
    }
    assert not differ, differ


def _words(value: str) -> list[str]:
    return value.split()


def test_kernel_settings_that_matter_are_live(guest: Guest) -> None:
    found = dict(zip(EXPECTED, guest.sh(f"sysctl -n {' '.join(EXPECTED)}").split(), strict=True))
    wrong = {name: value for name, value in found.items() if value not in EXPECTED[name]}
    assert not wrong, wrong


@pytest.mark.parametrize("place", MOUNTS)
def test_mount_options(guest: Guest, place: str) -> None:
    options = set(guest.sh(f"findmnt --noheadings --output OPTIONS --mountpoint {place}").strip().split(","))
    assert options >= MOUNTS[place], options


@pytest.mark.parametrize("place", [place for place in MOUNTS if "noexec" in MOUNTS[place]])
def test_no_program_starts_from_there(guest: Guest, place: str) -> None:
    program = f"{place}/sallyport-test-program"
    try:
        guest.sh(f"cp /usr/bin/true {program} && chmod 755 {program}")
        code, said = guest.tried(program)
        assert code == 126, f"{program} ended with {code}: {said}"
        # the same file is good elsewhere
        guest.sh(f"cp {program} /usr/local/bin/sallyport-test-program && /usr/local/bin/sallyport-test-program")
    finally:
        guest.sh(f"rm -f {program} /usr/local/bin/sallyport-test-program")


def test_no_core_is_dumped(guest: Guest) -> None:
    """A service and a shell of a person crash; nothing of them is left."""
    marker = "/run/sallyport-core-marker"
    crash = "ulimit -c; kill -SEGV $$"
    try:
        guest.sh(f"touch {marker}")
        service = guest.tried(f"systemd-run --wait --pipe --collect --quiet -p WorkingDirectory=/run sh -c '{crash}'")
        person = guest.tried(f"su - ops -s /bin/bash -c '{crash}'")
        assert service[0] != 0, service
        assert service[1].split()[0] == "0", service
        assert person[1].split()[0] == "0", person
        places = "/run /home /var/lib/systemd/coredump /var/crash /tmp /var/tmp"
        left = guest.tried(
            f"find {places} -xdev -newer {marker} -type f \\( -name 'core*' -o -name '*.zst' \\) 2>/dev/null"
        )
        assert not left[1].strip(), left
    finally:
        guest.sh(f"rm -f {marker}")


def test_apparmor_confines(guest: Guest) -> None:
    assert guest.sh("cat /sys/module/apparmor/parameters/enabled").strip() == "Y"
    profiles = guest.sh("cat /sys/kernel/security/apparmor/profiles").splitlines()
    mode = dict(line.rstrip(")").rsplit(" (", 1) for line in profiles)
    assert mode.get("/usr/sbin/chronyd") == "enforce", mode.get("/usr/sbin/chronyd")
    process = guest.sh("cat /proc/$(pgrep -o -x chronyd)/attr/current").strip()
    assert process == "/usr/sbin/chronyd (enforce)"


def test_a_confined_program_is_refused_something(guest: Guest) -> None:
    """Chronyd reads the settings that it is given, but not where its profile does not let it, root though it is."""
    text = "port 0\\ncmdport 0\\npidfile /run/chrony/sallyport-test.pid\\n"
    places = {"there": "/etc/chrony/sallyport-test.conf", "elsewhere": "/etc/sallyport-test.conf"}
    try:
        for place in places.values():
            guest.sh(f"printf '{text}' >{place}")
        # -p prints the settings and ends
        code, said = guest.tried(f"/usr/sbin/chronyd -p -f {places['there']}")
        assert code == 0, f"not even from there: {said}"
        code, said = guest.tried(f"/usr/sbin/chronyd -p -f {places['elsewhere']}")
        assert code != 0, "the profile let it read a file anywhere"
        assert "ermission denied" in said, said
    finally:
        guest.sh(f"rm -f {' '.join(places.values())}")
