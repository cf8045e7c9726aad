# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the accounts of a host with those that a site declares, and name the commands that mend each difference.

Nothing is done here, and nothing is deleted by what is named here: an account that should not be used is locked.

Sources: useradd(8), usermod(8), chage(1), gpasswd(1), pwconv(8), vipw(8), sudo group of Debian (base-passwd's
users-and-groups).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.sallyport.im.plugins.module_utils.unix_accounts import (
    FIRST_PERSON,
    NO_PASSWORD,
    Account,
    AccountsError,
    Found,
    Group,
    Home,
    number,
    shown,
)

SHELL = "/bin/bash"
# What useradd of Debian takes without --badname; capital letters are left out on purpose.
NAME = re.compile(r"[a-z_][a-z0-9_-]{0,30}", re.ASCII)
# Names that vipw's editor may be given; others must be mended by hand.
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*", re.ASCII)
SUDO = "sudo"
SYSTEM_NUMBERS = range(999, 199, -1)  # login.defs(5): SYS_UID_MIN, SYS_UID_MAX
# Whoever lingered may be gone as soon as that is forbidden, and terminate-user then knows nobody.
SEND_AWAY = 'loginctl terminate-user "$1" || ! loginctl show-user "$1" >/dev/null 2>&1'
NEVER = 99999  # shadow(5): a maximum of so many days is none


@dataclass(frozen=True)
class Wanted:
    """What a site declares.

    Attributes:
        administrators: Who works on this host and becomes root.
        exclusive: Whether other people's accounts are locked.
        privileged_groups: Groups that only administrators may be in.
        group_members: Accounts of services that may be in one of them all the same, by group.
    """

    administrators: Sequence[str]
    exclusive: bool
    privileged_groups: Sequence[str]
    group_members: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One difference and what mends it.

    Attributes:
        difference: One line: what is, what should be.
        commands: Programs to run, in order, with their arguments.
    """

    difference: str
    commands: tuple[tuple[str, ...], ...]


def refuse(wanted: Wanted, found: Found, runs_as: str) -> None:
    """Refuse what would lock the administrators out, before anything is changed.

    Args:
        wanted: What the site declares.
        found: The accounts of the host.
        runs_as: The account by which Ansible came, the one that used sudo.

    Raises:
        AccountsError: The list is empty, holds something that is no person's name, or lacks that account.
    """
    if not wanted.administrators:
        raise AccountsError("sallyport.administrators: is empty, should name at least one account")
    for name in wanted.administrators:
        account = found.accounts.get(name)
        if not NAME.fullmatch(name):
            raise AccountsError(
                f"sallyport.administrators: {shown(name)!r} is no account name; allowed are small letters, digits,"
                " _ and -, at most 31, a letter or _ first"
            )
        if account and name != "root" and account.uid < FIRST_PERSON:
            raise AccountsError(
                f"sallyport.administrators: {name!r} is an account of the system here (number {account.uid});"
                " choose another name"
            )
    if runs_as not in wanted.administrators:
        raise AccountsError(
            f"sallyport.administrators: lacks {shown(runs_as)!r}, the account by which Ansible came to this host, and"
            f" would lock it out; add it, or come as one of {', '.join(wanted.administrators)} (ansible_user)."
            " Nothing was changed"
        )


def steps(wanted: Wanted, found: Found, today: int) -> list[Step]:
    """Return the differences in an order in which they can be mended; none when all is as declared.

    Args:
        wanted: What the site declares.
        found: The accounts of the host.
        today: Days since 1970.
    """
    result: list[Step] = list(_shadow(found))
    for name in wanted.administrators:
        account = found.accounts.get(name)
        if account is None:
            result.append(_new(name, found))
        else:
            result += _administrator(account, found)
    numbers = {found.groups[name].gid for name in wanted.privileged_groups if name in found.groups}
    # the kernel knows a group by its number only, so a second name for one is as good as the first
    others = [group.name for group in found.groups.values() if group.gid in numbers]
    for group in dict.fromkeys([*wanted.privileged_groups, *others]):
        if group in found.groups:
            result += _group(found.groups[group], wanted, found)
        elif group == SUDO:
            members = ",".join(name for name in wanted.administrators if name != "root")
            make = (("groupadd", "--system", SUDO), ("gpasswd", "--members", members, SUDO))
            result.append(Step("group sudo: is missing, should be there", make))
    result += _second_roots(wanted, found)
    result += _strangers(wanted, found, today)
    return result


def _shadow(found: Found) -> Iterator[Step]:
    """Passwords stand in shadow, where only root reads them, and an empty one opens nothing."""
    bare = [shown(account.name) for account in found.accounts.values() if not account.shadowed]
    if bare:
        text = f"accounts {', '.join(bare)}: have no password field in /etc/shadow, should have one"
        yield Step(text, (("pwconv",),))
    for account in found.accounts.values():
        if account.password == "":
            text = f"account {shown(account.name)}: is open without a password, should have none that fits"
            yield Step(text, (("usermod", "--password", "*", "--", account.name),))


def _new(name: str, found: Found) -> Step:
    command = ["useradd", "--create-home", "--shell", SHELL, "--password", "*", "--key", f"PASS_MAX_DAYS={NEVER}"]
    if name in found.groups:
        command += ["--gid", name]
    commands = [(*command, "--", name)]
    home = f"/home/{name}"
    if home in found.homes:
        # left over from an account of that name; useradd would leave it to its former owner
        commands.append(("install", "-d", "-o", name, "-m", "0700", "--", home))
    return Step(f"account {name}: is missing, should be an administrator's", tuple(commands))


def _administrator(account: Account, found: Found) -> Iterator[Step]:
    """An administrator has a key and nothing else, and no date after which the key would stop to work."""
    name = account.name
    if account.shell != SHELL:
        text = f"account {name}: has the shell {shown(account.shell) or 'none'}, should have {SHELL}"
        yield Step(text, (("usermod", "--shell", SHELL, "--", name),))
    if account.password and not NO_PASSWORD.fullmatch(account.password):
        text = f"account {name}: has a password, should have a key only"
        yield Step(text, (("usermod", "--password", "*", "--", name),))
    aging = (account.expires, account.inactive)
    if any(text not in ("", "-1") for text in aging):
        text = f"account {name}: has an end (day {account.expires or account.inactive}), should have none"
        yield Step(text, (("chage", "--expiredate", "-1", "--inactive", "-1", "--", name),))
    # PAM asks for a new password at login, which somebody with a key alone cannot give
    if account.changed == "0" or 0 <= number(account.maximum, NEVER) < NEVER:
        text = f"account {name}: must change its password at some day, should never have to"
        yield Step(text, (("chage", "--lastday", "-1", "--maxdays", str(NEVER), "--", name),))
    if name == "root":
        return
    if account.gid not in {group.gid for group in found.groups.values()}:
        text = f"account {name}: is of the group {account.gid}, which is not there, should be of one that is"
        commands = ("usermod", "--gid", name, "--", name) if name in found.groups else None
        make = ("groupadd", "--gid", str(account.gid), "--", name)
        yield Step(text, (commands or make,))
    yield from _home(account, found.homes.get(account.home))


def _home(account: Account, home: Home | None) -> Iterator[Step]:
    name, path = account.name, account.home
    # nobody but the account itself may put files into its home; nothing outside /home is ever given to an account
    if home and home.is_directory and home.uid == account.uid:
        if home.mode & 0o022:
            text = (
                f"account {name}: has a home {home.mode:04o} that others may write, should be {home.mode & ~0o022:04o}"
            )
            yield Step(text, (("chmod", "go-w", "--", path),))
        return
    text = f"account {name}: has no home of its own at {shown(path) or 'any place'}, should have one"
    commands: list[tuple[str, ...]] = []
    if not re.fullmatch(r"/home/(?!\.)[^/]+", path):
        path = f"/home/{name}"
        commands.append(("usermod", "--home", path, "--", name))
    commands.append(("install", "-d", "-o", name, "-g", str(account.gid), "-m", "0700", "--", path))
    yield Step(text, tuple(commands))


def _group(group: Group, wanted: Wanted, found: Found) -> Iterator[Step]:
    people = {name for name in wanted.administrators if name != "root"}
    allowed = people | set(wanted.group_members.get(group.name, ()))
    members = people | (group.members & allowed) if group.name == SUDO else group.members & allowed
    # root is in need of no group; that it is in one changes nothing
    members |= group.members & {"root"}
    if members != group.members:
        text = f"group {group.name}: has the members {_list(group.members)}, should have {_list(members)}"
        yield Step(text, (("gpasswd", "--members", ",".join(sorted(members)), "--", group.name),))
    if group.has_password:
        text = f"group {group.name}: has a password, should have none"
        yield Step(text, (("gpasswd", "--remove-password", "--", group.name),))
    if group.keepers - {"root"}:
        text = f"group {group.name}: {_list(group.keepers)} may add members, should be nobody but root"
        yield Step(text, (("gpasswd", "--administrators", "", "--", group.name),))
    for account in found.accounts.values():
        if account.gid == group.gid and account.name not in allowed | {"root"}:
            text = f"account {shown(account.name)}: is of the group {group.name}, should be of group nogroup"
            yield Step(text, (("usermod", "--gid", "nogroup", "--", account.name),))


def _shares(account: Account, wanted: Wanted, found: Found) -> str:
    """Return which administrator's number an account has that is none; sudo and files know people by it."""
    people = {found.accounts[name].uid: name for name in wanted.administrators if name in found.accounts}
    return "" if account.name in wanted.administrators else people.get(account.uid, "")


def _second_roots(wanted: Wanted, found: Found) -> Iterator[Step]:
    """Only root is root, and whoever has an administrator's number becomes root as that one does by sudo.

    usermod does not renumber an account whose number a process has, so vipw does.
    """
    taken = {account.uid for account in found.accounts.values()}
    free = (uid for uid in SYSTEM_NUMBERS if uid not in taken)
    for account in found.accounts.values():
        name, twin = account.name, _shares(account, wanted, found)
        if name == "root" or (account.uid != 0 and not twin):
            continue
        text = f"account {shown(name)}: is root by its number 0, should be root only"
        if account.uid != 0:
            text = f"account {shown(name)}: is {twin} by its number {account.uid}, should have its own and be locked"
        lock = ("usermod", "--lock", "--expiredate", "1", "--shell", "/usr/sbin/nologin", "--", name)
        if not PLAIN_NAME.fullmatch(name):
            yield Step(text, (lock, ("false",)))
            continue
        # vipw takes a file whose time did not change as one that was not edited, and looks at whole seconds
        digits = f"0*{account.uid or ''}"
        editor = (
            f"edit() {{ sed -i 's/^{name}:\\([^:]*\\):{digits}:/{name}:\\1:{next(free)}:/' \"$1\""
            ' && touch -d "5 seconds" "$1"; }; edit'
        )
        yield Step(text, (lock, ("env", f"EDITOR={editor}", f"VISUAL={editor}", "vipw", "--quiet")))


def _strangers(wanted: Wanted, found: Found, today: int) -> Iterator[Step]:
    """Where only administrators work, what others could come in by is locked."""
    if not wanted.exclusive:
        return
    for account in found.accounts.values():
        if account.name in wanted.administrators or account.uid == 0 or _shares(account, wanted, found):
            continue
        name = account.name
        if account.is_person and not account.is_locked(today):
            text = f"account {shown(name)}: can log in, should be locked; sallyport.administrators does not name it"
            yield Step(text, (("usermod", "--lock", "--expiredate", "1", "--", name),))
        elif not account.is_person and account.password and account.has_password:
            text = f"account {shown(name)}: has a password, should have none; it is no administrator's"
            yield Step(text, (("usermod", "--lock", "--", name),))
        if account.is_person and account.uid in found.signed_in and _alone(account, found):
            text = f"account {shown(name)}: is signed in, should be locked; sallyport.administrators does not name it"
            uid = str(account.uid)
            yield Step(text, (("loginctl", "disable-linger", uid), ("sh", "-c", SEND_AWAY, "sh", uid)))


def _alone(account: Account, found: Found) -> bool:
    """Whether no other account has this number: sessions are known by it."""
    return sum(other.uid == account.uid for other in found.accounts.values()) == 1


def _list(names: frozenset[str] | set[str]) -> str:
    return ", ".join(shown(name) for name in sorted(names)) or "none"
