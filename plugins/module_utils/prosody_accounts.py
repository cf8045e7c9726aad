# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts of a Prosody server: what is there, what should be, and the steps between.

`plan` is a pure function; `read` and `apply` carry it over the admin socket, many accounts to a command.

A person's account is made without a password: Prosody then stores no keys that a sign-in could match, and keeps the
account disabled; it is "waiting". (Enabled without keys, Prosody 13.0.1 fails in the middle of a sign-in and leaves the
connection hanging.) Her password comes into being when she accepts an invitation, which also enables the account.
Nothing here reads, sets or removes it. An account that is closed on purpose carries a note beside `disabled`: that is
how the two are told apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ansible_collections.sallyport.im.plugins.module_utils.prosody_admin import AdminError, AdminSocket, batches

ROLE = "prosody:registered"
WORDS = {"enabled": "enabled", "disabled": "disabled", "waiting": "waiting for its invitation"}
_FORBIDDEN = frozenset("\"&'/:<>@")

# What runs in the server. Everything that varies comes as JSON in one string; see lua_string.
PROGRAM = r"""
local json, storage = require "prosody.util.json", require "prosody.core.storagemanager"
local users, config = require "prosody.core.usermanager", require "prosody.core.configmanager"
local nodeprep = require "prosody.util.encodings".stringprep.nodeprep

local function invitations(host, visit)
	local store = storage.open(host, "invite_token")
	for token, invite in pairs(store:get(nil) or {}) do
		local extra = invite.additional_data
		if invite.expires > os.time() then visit(token, extra and extra.allow_reset or "", invite) end
	end
end

local function state_of(record)
	if not record.disabled then return "enabled" end
	return (record.disabled_meta or record.stored_key) and "disabled" or "waiting"
end

local function void(host, name)
	local map, tokens = storage.open(host, "invite_token", "map"), {}
	invitations(host, function (token, account) if account == name then tokens[#tokens+1] = token end end)
	for _, token in ipairs(tokens) do assert(map:set(nil, token, nil)) end
end

function sallyport_host(text)
	local host = json.decode(text).host
	local known = prosody.hosts[host]
	return json.encode({ known = known ~= nil and known.type == "local" })
end

function sallyport_read(text)
	local host = json.decode(text).host
	local store, found, roles, open = storage.open(host, "accounts"), {}, {}, {}
	local digits = config.get(host, "password_hash") == "SHA-256" and 64 or 40
	for name in users.users(host) do
		local record, err = store:get(name)
		local role, why = users.get_user_role(name, host)
		local entry = { name = name, role = role and role.name or "", error = not record and (err or "no data") or nil }
		if record then
			entry.keys = record.stored_key ~= nil
			entry.current = entry.keys and #record.stored_key == digits
			entry.state = state_of(record)
		end
		if not role and why ~= "unknown-role" then entry.error = entry.error or tostring(why) end
		found[#found+1] = entry
	end
	for name in pairs(users.get_all_roles(host)) do roles[#roles+1] = name end
	invitations(host, function (_, account) open[#open+1] = account end)
	return json.encode({ accounts = found, roles = roles, invitations = open })
end

function sallyport_test(text)
	local a, same = json.decode(text), {}
	for _, item in ipairs(a.items) do
		if users.test_password(item.name, a.host, item.password) then same[#same+1] = item.name end
	end
	return json.encode({ same = same })
end

local function step(host, o)
	if o.create then
		assert(nodeprep(o.name, true) == o.name, "not a name that an account can have")
		assert(not users.get_account_info(o.name, host), "was made by somebody else meanwhile")
		assert(users.create_user(o.name, nil, host))
	end
	if o.role and (users.get_user_role(o.name, host) or {}).name ~= o.role then
		assert(users.set_user_role(o.name, host, o.role))
	end
	if o.password then assert(users.set_password(o.name, o.password, host)) end
	if o.state == "enabled" then assert(users.enable_user(o.name, host)) end
	if o.state == "waiting" then assert(users.disable_user(o.name, host)) end
	if o.state == "disabled" then
		assert(users.disable_user(o.name, host, { reason = "sallyport", when = os.time() }))
	end
	if o.delete then assert(users.delete_user(o.name, host)) end
	if o.void or o.delete or o.state == "disabled" then void(host, o.name) end
end

function sallyport_apply(text)
	local a, failed = json.decode(text), {}
	for _, o in ipairs(a.items) do
		local ok, err = pcall(step, a.host, o)
		if not ok then failed[#failed+1] = { name = o.name, error = tostring(err) } end
	end
	return json.encode({ failed = failed })
end

function sallyport_invite(text)
	local a, made, failed = json.decode(text), {}, {}
	local mod = prosody.hosts[a.host].modules.invites
	assert(mod, "mod_invites is not loaded on this host")
	for _, name in ipairs(a.items) do
		local ok, err = pcall(function ()
			local record = storage.open(a.host, "accounts"):get(name)
			assert(record, "has no account on the server: run playbooks/site.yml first")
			assert(state_of(record) ~= "disabled", "is disabled on the server: run playbooks/site.yml first")
			void(a.host, name)
			local i = assert(mod.create_account_reset(name, a.seconds))
			local url = i.landing_page or ""
			made[#made+1] = { name = name, uri = i.uri, url = url, token = i.token, expires = i.expires }
		end)
		if not ok then failed[#failed+1] = { name = name, error = tostring(err) } end
	end
	return json.encode({ made = made, failed = failed })
end
"""


class UnknownHost(AdminError):
    """The server runs, but does not serve this domain."""


class Caller(Protocol):
    """What of AdminSocket is needed here."""

    def call(self, function: str, argument: object) -> object:
        """Call a Lua function with a JSON value."""


@dataclass(frozen=True)
class Account:
    """An account as it is (or should be).

    Attributes:
        state: `enabled`; `disabled` on purpose; or `waiting`, disabled because it has no password yet. As a wish,
            `enabled` or `disabled`.
        role: name of its role, "" when Prosody does not know the stored one.
        keys: whether keys of a password are stored. Meaningless in a wish.
        current: whether they fit the server's `password_hash`; others are worth nothing any more.
        error: why the server could not read it, "" when it could.
    """

    state: str
    role: str = ROLE
    keys: bool = False
    current: bool = False
    error: str = ""


@dataclass(frozen=True)
class State:
    """What matters of a host: accounts by name, roles that exist, for whom invitations are open ("" for any name)."""

    accounts: Mapping[str, Account] = field(default_factory=dict)
    roles: frozenset[str] = frozenset({ROLE})
    invitations: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Step:
    """What is done to one account, in one go on the server, and the lines that say so."""

    name: str
    todo: Mapping[str, object]
    differences: tuple[str, ...]


def bad_name(name: str) -> str:
    """Say why a text cannot name an account, or "" (RFC 7622, 3.3; RFC 6122 appendix A)."""
    if not name or len(name.encode()) > 1023:
        return "must have 1 to 1023 bytes"
    if name != name.casefold():
        return f"must be written in small letters: {name.casefold()}"
    bad = sorted({c for c in name if c in _FORBIDDEN or c.isspace() or not c.isprintable()})
    return f"must not contain {' '.join(map(repr, bad))}" if bad else ""


def plan(
    state: State,
    wanted: Mapping[str, Account],
    passwords: Mapping[str, str],
    same: frozenset[str] = frozenset(),
    delete: bool = False,
) -> list[Step]:
    """Compute the steps from what is to what should be.

    Args:
        state: what is.
        wanted: the accounts of the site.
        passwords: managed passwords, by account. Accounts that are not in here keep theirs, whatever it is.
        same: accounts whose managed password is in force already.
        delete: delete accounts that are not wanted, with all their data; else they are disabled.

    Returns:
        Steps in order of name; none when nothing differs. Accounts that the server could not read are left alone.
    """
    steps = []
    for name in sorted({*state.accounts, *wanted, *state.invitations}):
        is_now, should = state.accounts.get(name), wanted.get(name)
        if is_now and is_now.error:
            continue
        if should is None:
            step = _unwanted(name, is_now, delete, name in state.invitations)
        else:
            step = _wanted(name, is_now, should, target(is_now, should, name in passwords), name in state.invitations)
            if name in passwords and name not in same and should.state == "enabled":
                step = _with_password(step, passwords[name], is_now is None)
        if step.todo:
            steps.append(step)
    return steps


def _unwanted(name: str, is_now: Account | None, delete: bool, invited: bool) -> Step:
    """One account that stands in no site file, or an invitation for an account that does not exist."""
    todo: dict[str, object] = {}
    says = []
    if is_now and delete:
        todo["delete"] = True
        says.append(f"account {name}: exists, should be deleted (stands in no site file)")
    elif is_now and is_now.state != "disabled":
        todo["state"] = "disabled"
        says.append(f"account {name}: is {WORDS[is_now.state]}, should be disabled (stands in no site file)")
    if invited:
        todo["void"] = True
        whom = name or "an account of any name"
        says.append(f"invitation for {whom}: is open, should be void (stands in no site file)")
    return Step(name, todo, tuple(says))


def target(is_now: Account | None, should: Account, managed: bool) -> str:
    """Return the state that an account of the site should be in: enabled only with a password."""
    if should.state == "disabled":
        return "disabled"
    return "enabled" if managed or (is_now and is_now.keys) else "waiting"


def _wanted(name: str, is_now: Account | None, should: Account, state: str, invited: bool) -> Step:
    """One account of the site, but for its password."""
    todo: dict[str, object] = {}
    says = []
    if is_now is None:
        todo |= {"create": True, "role": should.role, "state": state}
        says.append(f"account {name}: is missing, should be {WORDS[state]}, with role {should.role}")
    else:
        if is_now.state != state:
            todo["state"] = state
            without = "" if is_now.keys or is_now.state != "enabled" else " without a password"
            says.append(f"account {name}: is {WORDS[is_now.state]}{without}, should be {WORDS[state]}")
        if is_now.role != should.role:
            todo["role"] = should.role
            says.append(f"account {name}: has role {is_now.role or '(unknown)'}, should have {should.role}")
    if invited and state == "disabled":
        todo["void"] = True
        says.append(f"invitation for {name}: is open, should be void (the account is disabled)")
    return Step(name, todo, tuple(says))


def _with_password(step: Step, password: str, fresh: bool) -> Step:
    says = () if fresh else (f"account {step.name}: has another password, should have the one of the vault",)
    return Step(step.name, {**step.todo, "password": password}, step.differences + says)


def picture(accounts: Mapping[str, Account]) -> str:
    """Write accounts as text for a diff, a line each."""
    return "".join(f"{n}: {WORDS[a.state]}, {a.role or '(unknown role)'}\n" for n, a in sorted(accounts.items()))


def after(state: State, steps: Iterable[Step]) -> dict[str, Account]:
    """Return the accounts as they are when all steps have succeeded."""
    result = dict(state.accounts)
    for step in steps:
        if "delete" in step.todo:
            result.pop(step.name)
        elif step.name in result or "create" in step.todo:
            old = result.get(step.name, Account("waiting"))
            keys = old.keys or "password" in step.todo
            current = old.current or "password" in step.todo
            new_state, role = str(step.todo.get("state", old.state)), str(step.todo.get("role", old.role))
            result[step.name] = Account(new_state, role, keys, current)
    return result


def has_data(socket_path: str, host: str) -> bool:
    """Tell whether accounts of a host lie on the disk beside the socket (Prosody writes `.` as `%2e`)."""
    folder = "".join(c if c.isascii() and c.isalnum() else "".join(f"%{b:02x}" for b in c.encode()) for c in host)
    return (Path(socket_path).parent / folder / "accounts").is_dir()


def open_host(path: str, host: str, timeout: float) -> AdminSocket:
    """Connect, load the program and make sure that the server has this host.

    Raises:
        Unreachable: when nobody listens.
        AdminError: when the host is not one of the server's.
    """
    session = AdminSocket(path, timeout)
    try:
        session.run(PROGRAM)
        if not _table(session.call("sallyport_host", {"host": host})).get("known"):
            raise UnknownHost(
                f"host: {host} is no VirtualHost of this Prosody; add it to its configuration and restart it"
            )
    except BaseException:
        session.close()
        raise
    return session


def read(session: Caller, host: str) -> State:
    """Read the whole state in one call."""
    answer = _table(session.call("sallyport_read", {"host": host}))
    accounts = {
        str(e["name"]): Account(
            str(e.get("state", "")),
            str(e["role"]),
            bool(e.get("keys")),
            bool(e.get("current")),
            str(e.get("error", "")),
        )
        for e in _tables(answer, "accounts")
    }
    return State(accounts, frozenset(_texts(answer, "roles")), frozenset(_texts(answer, "invitations")))


def same_passwords(session: Caller, host: str, passwords: Mapping[str, str]) -> frozenset[str]:
    """Return the accounts whose password is this one already. A disabled account is never among them."""
    same: set[str] = set()
    for batch in batches({"name": n, "password": p} for n, p in passwords.items()):
        same.update(_texts(_table(session.call("sallyport_test", {"host": host, "items": batch})), "same"))
    return frozenset(same)


def apply(session: Caller, host: str, steps: Iterable[Step]) -> dict[str, str]:
    """Carry out steps, each for itself.

    Returns:
        What failed: the server's words by account name. When the connection is lost, all that was not answered.
    """
    failed: dict[str, str] = {}
    lost = ""
    for batch in batches({"name": s.name, **s.todo} for s in steps):
        if not lost:
            try:
                failed |= _failures(_table(session.call("sallyport_apply", {"host": host, "items": batch})))
                continue
            except AdminError as error:
                lost = str(error)
        failed |= {str(item["name"]): lost for item in batch}
    return failed


def invite(
    session: Caller, host: str, names: Iterable[str], seconds: int
) -> tuple[list[dict[str, object]], dict[str, str]]:
    """Make an invitation for each account, voiding its earlier ones.

    Returns:
        The invitations (name, token, uri, url, expires as seconds since 1970), and what failed by name.
    """
    made: list[dict[str, object]] = []
    failed: dict[str, str] = {}
    for batch in batches(names):
        answer = _table(session.call("sallyport_invite", {"host": host, "seconds": seconds, "items": batch}))
        made += _tables(answer, "made")
        failed |= _failures(answer)
    return made, failed


def _failures(answer: Mapping[str, object]) -> dict[str, str]:
    """Return what failed by name, without the place in our own Lua (`console:12: `)."""
    failed = {}
    for entry in _tables(answer, "failed"):
        place, _, rest = str(entry["error"]).partition(": ")
        failed[str(entry["name"])] = rest if place.startswith("console:") else str(entry["error"])
    return failed


def _table(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise AdminError(f"the server answered {type(value).__name__} where a table is due")
    return value


def _tables(answer: Mapping[str, object], key: str) -> list[dict[str, object]]:
    return [_table(v) for v in _list(answer, key)]


def _texts(answer: Mapping[str, object], key: str) -> list[str]:
    return [str(v) for v in _list(answer, key)]


def _list(answer: Mapping[str, object], key: str) -> list[object]:
    value = answer.get(key)
    return value if isinstance(value, list) else []  # Lua's empty table is {} in JSON
