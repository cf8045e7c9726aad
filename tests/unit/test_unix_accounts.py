# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts and sudo: each hand-made change is found and named, and nobody who is declared is locked out."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.sallyport.im.plugins.module_utils import atomic_files
from ansible_collections.sallyport.im.plugins.module_utils import unix_accounts_sudo as sudo_rules
from ansible_collections.sallyport.im.plugins.module_utils.programs import Done
from ansible_collections.sallyport.im.plugins.module_utils.unix_accounts import AccountsError, Found, Home, read
from ansible_collections.sallyport.im.plugins.module_utils.unix_accounts_plan import Wanted, refuse, steps

TODAY = 20_000
HASH = "$6$abc$def"
FILES = {
    "passwd": [
        "root:x:0:0:root:/root:/bin/bash",
        "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin",
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin",
        "ops:x:1000:1000::/home/ops:/bin/bash",
    ],
    "shadow": [
        f"root:{HASH}:19000:0:99999:7:::",
        "daemon:*:19000::::::",
        "nobody:*:19000::::::",
        "ops:*::0:99999:7:::",
    ],
    "group": ["root:x:0:", "daemon:x:1:", "sudo:x:27:ops", "adm:x:4:", "ops:x:1000:", "nogroup:x:65534:"],
    "gshadow": ["root:*::", "sudo:*::ops", "adm:*::"],
}
WANTED = Wanted(["ops"], True, ["root", "sudo", "adm", "docker"])


def host(place: Path, homes: dict[str, Home] | None = None, /, **changes: tuple[str, str]) -> Found:
    """A host with lines changed: where one begins with the first text the second replaces it, else it is added."""
    folder = place / "etc"
    folder.mkdir(exist_ok=True)
    for name, lines in FILES.items():
        old, new = changes.get(name, ("", ""))
        text = [new if old and line.startswith(old) else line for line in lines]
        text += new.split("\n") if new and new not in text else []
        (folder / name).write_text("".join(f"{line}\n" for line in text), encoding="utf-8", errors="surrogateescape")
    found = read(str(place))
    return Found(found.accounts, found.groups, homes or {"/home/ops": Home(1000, 0o700)}, found.signed_in)


def mended(found: Found, wanted: Wanted = WANTED) -> dict[str, list[str]]:
    return {step.difference: [" ".join(command) for command in step.commands] for step in steps(wanted, found, TODAY)}


def test_a_host_as_declared_has_no_differences(tmp_path: Path) -> None:
    assert mended(host(tmp_path)) == {}


def test_a_fresh_host_gets_the_administrators(tmp_path: Path) -> None:
    wanted = Wanted(["ops", "eve"], False, ["sudo"])
    assert mended(host(tmp_path), wanted) == {
        "account eve: is missing, should be an administrator's": [
            "useradd --create-home --shell /bin/bash --password * --key PASS_MAX_DAYS=99999 -- eve"
        ],
        "group sudo: has the members ops, should have eve, ops": ["gpasswd --members eve,ops -- sudo"],
    }
    left_over = host(tmp_path, {"/home/ops": Home(1000, 0o700), "/home/daemon": Home(7, 0o755)}, group=("", "eve:x:5:"))
    assert mended(left_over, wanted)["account eve: is missing, should be an administrator's"] == [
        "useradd --create-home --shell /bin/bash --password * --key PASS_MAX_DAYS=99999 --gid eve -- eve"
    ]


@pytest.mark.parametrize(
    ("file", "line", "difference", "command"),
    [
        ("passwd", "ops:x:1000:1000::/home/ops:/bin/sh", "shell /bin/sh", "usermod --shell /bin/bash -- ops"),
        ("passwd", "ops:x:1000:1000::/:/bin/bash", "no home of its own at /", "usermod --home /home/ops -- ops"),
        ("passwd", "ops:x:1000:77::/home/ops:/bin/bash", "group 77", "usermod --gid ops -- ops"),
        ("shadow", f"ops:{HASH}::0:99999:7:::", "has a password", "usermod --password * -- ops"),
        ("shadow", f"ops:!{HASH}::0:99999:7:::", "has a password", "usermod --password * -- ops"),
        ("shadow", "ops:!*::0:99999:7::1:", "has an end (day 1)", "chage --expiredate -1 --inactive -1 -- ops"),
        ("shadow", "ops:!:0:0:99999:7:::", "change its password", "chage --lastday -1 --maxdays 99999 -- ops"),
        ("shadow", "ops:!:19000:0:365:7:::", "change its password", "chage --lastday -1 --maxdays 99999 -- ops"),
        ("group", "sudo:x:27:", "members none, should have ops", "gpasswd --members ops -- sudo"),
    ],
)
def test_an_administrator_is_made_whole(tmp_path: Path, file: str, line: str, difference: str, command: str) -> None:
    changed = host(tmp_path, **{file: (line.split(":", 1)[0] + ":", line)})
    if file == "group":
        (tmp_path / "etc/gshadow").write_text("sudo:*::\n")
        changed = Found(read(str(tmp_path)).accounts, read(str(tmp_path)).groups, {"/home/ops": Home(1000, 0o700)})
    found = mended(changed)
    assert len(found) == 1, found
    (text,) = found
    assert difference in text
    assert found[text][0] == command


def test_a_home_is_the_accounts_own(tmp_path: Path) -> None:
    for home, command in (
        (Home(1000, 0o777), ["chmod go-w -- /home/ops"]),
        (Home(7, 0o700), ["install -d -o ops -g 1000 -m 0700 -- /home/ops"]),
        (Home(1000, 0o700, is_directory=False), ["install -d -o ops -g 1000 -m 0700 -- /home/ops"]),
    ):
        assert list(mended(host(tmp_path, {"/home/ops": home})).values()) == [command]


@pytest.mark.parametrize(
    ("changes", "difference", "command"),
    [
        (
            {"group": ("sudo:", "sudo:x:27:ops,mallory")},
            "group sudo: has the members mallory, ops, should have ops",
            "gpasswd --members ops -- sudo",
        ),
        (
            {"gshadow": ("adm:", "adm:*::mallory")},
            "group adm: has the members mallory, should have none",
            "gpasswd --members  -- adm",
        ),
        (
            {"gshadow": ("sudo:", f"sudo:{HASH}::ops")},
            "group sudo: has a password, should have none",
            "gpasswd --remove-password -- sudo",
        ),
        (
            {"gshadow": ("sudo:", "sudo:*:mallory:ops")},
            "group sudo: mallory may add members, should be nobody but root",
            "gpasswd --administrators  -- sudo",
        ),
        (
            {"passwd": ("daemon:", "daemon:x:1:27:daemon:/usr/sbin:/usr/sbin/nologin")},
            "account daemon: is of the group sudo, should be of group nogroup",
            "usermod --gid nogroup -- daemon",
        ),
        (
            {"shadow": ("daemon:", f"daemon:{HASH}:19000::::::")},
            "account daemon: has a password, should have none; it is no administrator's",
            "usermod --lock -- daemon",
        ),
        (
            {"passwd": ("daemon:", "daemon::1:1:daemon:/usr/sbin:/usr/sbin/nologin"), "shadow": ("daemon:", "x:*")},
            "account daemon: is open without a password, should have none that fits",
            "usermod --password * -- daemon",
        ),
    ],
)
def test_a_hand_made_door_is_found(
    tmp_path: Path, changes: dict[str, tuple[str, str]], difference: str, command: str
) -> None:
    assert command in mended(host(tmp_path, **changes))[difference]


@pytest.mark.parametrize("uid", [1001, 60000, 70000])
def test_strangers_are_locked_where_only_administrators_work(tmp_path: Path, uid: int) -> None:
    lines = {"passwd": ("", f"eve:x:{uid}:1000::/home/eve:/bin/zsh"), "shadow": ("", f"eve:{HASH}:19000:0:99999:7:::")}
    line = "account eve: can log in, should be locked; sallyport.administrators does not name it"
    assert mended(host(tmp_path, **lines)) == {line: ["usermod --lock --expiredate 1 -- eve"]}
    assert mended(host(tmp_path, **lines), Wanted(["ops"], False, ["sudo"])) == {}
    half = host(tmp_path, passwd=lines["passwd"], shadow=("", f"eve:!{HASH}:19000:0:99999:7:::"))
    assert list(mended(half)) == [line], "a key still opens an account whose password alone is locked"
    locked = host(tmp_path, passwd=lines["passwd"], shadow=("", f"eve:!{HASH}:19000:0:99999:7::1:"))
    assert mended(locked) == {}


def test_a_stranger_who_is_signed_in_is_sent_away(tmp_path: Path) -> None:
    users = tmp_path / "run/systemd/users"
    users.mkdir(parents=True)
    (users / "1001").write_text("NAME=eve\nSTATE=active\n")
    (users / "1000").write_text("NAME=ops\nSTATE=active\n")
    (users / "1002").write_text("NAME=old\nSTATE=closing\n")
    (users / "1003").write_text("NAME=bot\nSTATE=lingering\n")
    names = {"eve": 1001, "old": 1002, "bot": 1003}
    lines = "\n".join(f"{name}:x:{uid}:1000::/home/{name}:/bin/sh" for name, uid in names.items())
    found = host(tmp_path, passwd=("", lines), shadow=("", "\n".join(f"{name}:!:1:::::1:" for name in names)))
    result = mended(found)
    assert [line.split(",")[0] for line in result] == ["account eve: is signed in", "account bot: is signed in"]
    for (linger, send_away), uid in zip(result.values(), (1001, 1003), strict=True):
        assert linger == f"loginctl disable-linger {uid}"
        assert "loginctl terminate-user" in send_away
        assert send_away.endswith(f" sh {uid}")


def test_only_root_is_root(tmp_path: Path) -> None:
    lines = {"passwd": ("", "toor:x:0:1000::/root:/bin/bash"), "shadow": ("", "toor:*:19000::::::")}
    found = mended(host(tmp_path, **lines))
    (commands,) = found.values()
    assert list(found) == ["account toor: is root by its number 0, should be root only"]
    assert commands[0] == "usermod --lock --expiredate 1 --shell /usr/sbin/nologin -- toor"
    assert "s/^toor:\\([^:]*\\):0*:/toor:\\1:999:/" in commands[1]
    strange = mended(host(tmp_path, passwd=("", "a;reboot:x:0:1000::/:/bin/sh"), shadow=("", "a;reboot:*:1::::::")))
    assert "false" in strange["account a;reboot: is root by its number 0, should be root only"]


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("number", ["1000", "01000"])
def test_nobody_has_an_administrators_number(tmp_path: Path, exclusive: bool, number: str) -> None:
    line = f"eve:x:{number}:1000::/home/eve:/bin/sh"
    found = mended(
        host(tmp_path, passwd=("", line), shadow=("", "eve:*:1::::::")), Wanted(["ops"], exclusive, ["sudo"])
    )
    assert list(found) == ["account eve: is ops by its number 1000, should have its own and be locked"]
    ((lock, vipw),) = found.values()
    assert lock == "usermod --lock --expiredate 1 --shell /usr/sbin/nologin -- eve"
    editor = vipw.removeprefix("env EDITOR=").partition(" VISUAL=")[0]
    copy = tmp_path / "etc/passwd"
    subprocess.run(["sh", "-c", f'{editor} "$1"', "sh", str(copy)], check=True)
    assert [row for row in copy.read_text().splitlines() if row.startswith(("ops:", "eve:"))] == [
        "ops:x:1000:1000::/home/ops:/bin/bash",
        "eve:x:999:1000::/home/eve:/bin/sh",
    ]


def test_a_second_line_or_name_hides_nothing(tmp_path: Path) -> None:
    first = host(tmp_path, passwd=("ops:", "ops:x:0:1000::/home/ops:/bin/bash\nops:x:1000:1000::/home/ops:/bin/bash"))
    assert first.accounts["ops"].uid == 0
    other = mended(host(tmp_path, group=("", "harmless:x:4:eve\nsudo:x:27:eve")))
    assert list(other) == [
        "group sudo: has the members eve, ops, should have ops",
        "group harmless: has the members eve, should have none",
    ]


def test_accounts_of_services_may_be_named(tmp_path: Path) -> None:
    found = host(tmp_path, group=("adm:", "adm:x:4:daemon"))
    assert mended(found, Wanted(["ops"], True, ["adm"], {"adm": ["daemon"]})) == {}


def test_roots_password_is_touched_only_when_root_is_an_administrator(tmp_path: Path) -> None:
    found = mended(host(tmp_path), Wanted(["ops", "root"], True, ["sudo"]))
    assert found == {"account root: has a password, should have a key only": ["usermod --password * -- root"]}


def test_a_name_that_is_not_unicode_is_named_and_locked(tmp_path: Path) -> None:
    name = "e\udcffe"
    found = host(tmp_path, passwd=("", f"{name}:x:1005:5::/:/bin/sh"), shadow=("", f"{name}:{HASH}:1::::::"))
    ((line, commands),) = mended(found).items()
    assert line.encode("utf-8").startswith(b"account e\\udcffe: can log in")
    assert commands == [f"usermod --lock --expiredate 1 -- {name}"]


@pytest.mark.parametrize(
    ("administrators", "runs_as", "says"),
    [
        ([], "ops", "is empty"),
        (["Ops"], "Ops", "no account name"),
        (["-x"], "-x", "no account name"),
        (["daemon"], "daemon", "an account of the system"),
        (["eve"], "ops", "lacks 'ops'"),
        (["ops"], "root", "lacks 'root'"),
    ],
)
def test_what_would_lock_everybody_out_is_refused(
    tmp_path: Path, administrators: list[str], runs_as: str, says: str
) -> None:
    with pytest.raises(AccountsError, match=r"sallyport\.administrators.*" + says):
        refuse(Wanted(administrators, True, []), host(tmp_path), runs_as)
    refuse(WANTED, host(tmp_path), "ops")


@pytest.fixture(name="sudo")
def a_host_with_sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sudo_rules.Sudo:
    def visudo(argv: list[str], _seconds: float, *, join: bool) -> Done:
        assert join
        text = Path(argv[-1].removeprefix("--file=")).read_text()
        return Done(1, "syntax error") if "bad" in text else Done(0, "")

    monkeypatch.setattr(sudo_rules, "run", visudo)
    (tmp_path / "etc/sudoers.d").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text(
        "Conffiles:\n /etc/sudoers x\n /etc/sudoers.d/README 098f6bcd4621d373cade4e832627b4f6\n"
    )
    (tmp_path / "etc/sudoers.d/README").write_text("test")
    return sudo_rules.Sudo(str(tmp_path), os.geteuid(), os.getegid())


def test_sudo_is_the_kits_as_a_whole(sudo: sudo_rules.Sudo) -> None:
    assert sudo.mend(sudo.changes(["ops", "root"])) == {}
    assert sudo.changes(["root", "ops"]) == []
    assert "ops ALL=(ALL:ALL) NOPASSWD: ALL\n" in Path(sudo.root + sudo_rules.KIT).read_text()
    assert "root" not in Path(sudo.root + sudo_rules.KIT).read_text()
    assert [change.path for change in sudo.changes(["eve"])] == [sudo_rules.KIT]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/etc/sudoers", "another text"),
        ("/etc/sudoers.d/sallyport", "another text"),
        ("/etc/sudoers.d/README", "should not be"),
        ("/etc/sudoers.d/zz", "should not be"),
        ("/etc/sudoers.d/.hidden~", "should not be"),
    ],
)
def test_each_hand_made_rule_is_found_and_mended(sudo: sudo_rules.Sudo, path: str, says: str) -> None:
    sudo.mend(sudo.changes(["ops"]))
    place = Path(sudo.root + path)
    if place.exists():
        place.chmod(0o640)
    place.write_text("#1000 ALL=(ALL) ALL\n")
    place.chmod(0o440)
    (change,) = sudo.changes(["ops"])
    assert change.path == path
    assert says in change.difference
    moved = sudo.mend([change])
    assert sudo.changes(["ops"]) == []
    assert [Path(to).read_text() for to in moved.values()] == ["#1000 ALL=(ALL) ALL\n"] * (says == "should not be")


def test_rights_of_the_rules_count(sudo: sudo_rules.Sudo) -> None:
    sudo.mend(sudo.changes(["ops"]))
    Path(sudo.root + sudo_rules.MAIN).chmod(0o644)
    Path(sudo.root + sudo_rules.FOLDER).chmod(0o777)
    assert [change.path for change in sudo.changes(["ops"])] == [sudo_rules.FOLDER, sudo_rules.MAIN]


def test_a_rule_that_visudo_refuses_is_not_taken(sudo: sudo_rules.Sudo) -> None:
    sudo.mend(sudo.changes(["ops"]))
    with pytest.raises(AccountsError, match="syntax error"):
        sudo.mend(sudo.changes(["bad"]))
    assert "ops" in Path(sudo.root + sudo_rules.KIT).read_text()
    left = sorted(path.name for path in Path(sudo.root + sudo_rules.FOLDER).iterdir())
    assert left == ["README", "sallyport"]


def test_what_an_interrupted_run_left_is_no_obstacle(sudo: sudo_rules.Sudo) -> None:
    left = Path(atomic_files.beside(sudo.root + sudo_rules.KIT))
    left.write_text("half")
    assert sudo.mend(sudo.changes(["ops"])) == {}
    assert sudo.changes(["ops"]) == []
    left.write_text("half")
    assert list(sudo.mend(sudo.changes(["ops"]))) == [str(left).removeprefix(sudo.root)]
    assert sudo.changes(["ops"]) == []
