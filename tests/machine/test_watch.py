# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machine notices and how it reacts: audit, time, lockout, units."""

from __future__ import annotations

import re
import secrets
import time

import pytest
from machine.guest import Guest

# files whose change the audit has to note, whatever key the role gives it
WATCHED = ("/etc/passwd", "/etc/shadow", "/etc/sudoers")
LOCKED_AFTER = 5


def test_audit_rules_are_loaded(guest: Guest) -> None:
    assert re.search(r"^enabled [12]$", guest.sh("auditctl -s"), re.MULTILINE)
    loaded = guest.sh("auditctl -l")
    for path in WATCHED:
        assert re.search(rf"path={path}\b|-w {path}\b", loaded), f"no rule for {path}: {loaded}"
    # as many as the files declare: a rule that the kernel did not take is missing without a word
    declared = guest.sh("cat /etc/audit/rules.d/*.rules | grep -cE '^-(a|w) '").strip()
    assert len(loaded.splitlines()) == int(declared), f"{len(loaded.splitlines())} loaded, {declared} declared"


@pytest.mark.parametrize("path", WATCHED)
def test_a_change_of_a_watched_file_is_noted(guest: Guest, path: str) -> None:
    began = guest.sh("date +%s.%N").strip()
    # a change that changes nothing
    guest.sh(f"chmod --reference={path} {path}")
    noted = ""
    for _ in range(10):
        noted = guest.tried(f"ausearch --input-logs --file {path} --format raw --start recent")[1]
        times = [float(at) for at in re.findall(r"msg=audit\(([\d.]+):", noted)]
        if any(at >= float(began) - 0.1 for at in times):
            break
        time.sleep(1)
    else:
        pytest.fail(f"no event of {path} since {began}: {noted[-1500:]}")
    # whose it was, through sudo
    last = noted[noted.rindex("type=SYSCALL") :]
    assert re.search(r'exe="?/usr/bin/chmod', last), last


def test_the_clock_is_disciplined(guest: Guest) -> None:
    """Of a real machine chronyd may set the clock, and it has somebody to ask."""
    assert " -x" not in guest.sh("tr '\\0' ' ' </proc/$(pgrep -o -x chronyd)/cmdline")
    for _ in range(30):
        tracking = guest.sh("chronyc -c tracking").strip().split(",")
        if tracking[0] not in ("00000000", "7F7F0101"):
            break
        time.sleep(4)
    sources = guest.sh("chronyc -n sources")
    assert tracking[0] not in ("00000000", "7F7F0101"), f"no source was chosen: {sources}"
    assert tracking[-1] == "Normal", tracking
    assert abs(float(tracking[4])) < 1.0, f"off by {tracking[4]} s"
    assert guest.sh("timedatectl show --property=NTPSynchronized --value").strip() == "yes"


def test_no_unit_failed(guest: Guest) -> None:
    failed = guest.sh("systemctl list-units --failed --no-legend --plain")
    assert not failed.strip(), failed
    assert guest.tried("systemctl is-system-running")[1].strip() == "running"


def test_wrong_passwords_lock_an_account(guest: Guest) -> None:
    """At the machine itself, from the right password to the lock and back.

    Of the programs that ask for a password, a server keeps sudo. It lets this account do nothing, but says so only to
    whoever knows the password.
    """
    name, right = "sallyport-lock", secrets.token_urlsafe(24)

    def taken(word: str) -> bool:
        # the word comes by standard input and stands in no list of processes
        become = f"runuser -u {name} -- env LC_ALL=C sudo --stdin --reset-timestamp true"
        said = guest.tried(f"printf '%s\\n' '{word}' | {become}")[1]
        return "not in the sudoers file" in said or "not allowed to" in said or "may not run sudo" in said

    try:
        guest.sh(f"useradd --no-create-home --shell /bin/bash {name}")
        guest.sh(f"printf '%s\\n' '{name}:{right}' | chpasswd")
        assert taken(right), "not even the right password is taken"
        for _ in range(LOCKED_AFTER):
            assert not taken(secrets.token_urlsafe(24)), "a wrong password was taken"
        assert not taken(right), f"after {LOCKED_AFTER} wrong passwords the right one was taken"
        assert re.search(r"^\d{4}-\d\d-\d\d ", guest.sh(f"faillock --user {name}"), re.MULTILINE)
        guest.sh(f"faillock --user {name} --reset")
        assert taken(right), "the lock was not taken away"
    finally:
        guest.tried(f"faillock --user {name} --reset; userdel --force {name}")
