# SPDX-License-Identifier: GPL-3.0-or-later
"""What xmpp_accounts and xmpp_invitation decide, without a server."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.sallyport.im.plugins.action import xmpp_invitation as invitation_action
from ansible_collections.sallyport.im.plugins.module_utils import prosody_accounts as accounts
from ansible_collections.sallyport.im.plugins.module_utils import prosody_admin as admin
from ansible_collections.sallyport.im.plugins.module_utils.prosody_accounts import Account, State
from ansible_collections.sallyport.im.plugins.modules import xmpp_accounts, xmpp_invitation
from hypothesis import given
from hypothesis import strategies as st

OPEN = Account("enabled", keys=True, current=True)
WAITING = Account("waiting")
CLOSED = Account("disabled", keys=True, current=True)
WISH, NO = Account("enabled"), Account("disabled")
SECRET = "the-secret-of-the-probe"


def lines(state: State, wanted: dict[str, Account], delete: bool = False) -> list[str]:
    """Plan, and return what it says."""
    return [line for step in accounts.plan(state, wanted, {}, delete=delete) for line in step.differences]


@pytest.mark.parametrize(
    ("is_now", "wish", "says"),
    [
        (None, WISH, ["account x: is missing, should be waiting for its invitation, with role prosody:registered"]),
        (None, NO, ["account x: is missing, should be disabled, with role prosody:registered"]),
        (WAITING, WISH, []),
        (OPEN, WISH, []),
        (CLOSED, NO, []),
        (CLOSED, WISH, ["account x: is disabled, should be enabled"]),
        (Account("disabled"), WISH, ["account x: is disabled, should be waiting for its invitation"]),
        (OPEN, NO, ["account x: is enabled, should be disabled"]),
        (WAITING, NO, ["account x: is waiting for its invitation, should be disabled"]),
        (
            Account("enabled"),
            WISH,
            ["account x: is enabled without a password, should be waiting for its invitation"],
        ),
        (OPEN, None, ["account x: is enabled, should be disabled (stands in no site file)"]),
        (WAITING, None, ["account x: is waiting for its invitation, should be disabled (stands in no site file)"]),
        (CLOSED, None, []),
        (
            Account("enabled", "prosody:admin", True, True),
            WISH,
            ["account x: has role prosody:admin, should have prosody:registered"],
        ),
        (Account("", error="cannot be read"), WISH, []),
    ],
)
def test_one_account(is_now: Account | None, wish: Account | None, says: list[str]) -> None:
    assert lines(State({"x": is_now} if is_now else {}), {"x": wish} if wish else {}) == says


def test_undeclared_accounts_are_deleted_on_request() -> None:
    assert lines(State({"x": CLOSED}), {}, delete=True) == [
        "account x: exists, should be deleted (stands in no site file)"
    ]


@pytest.mark.parametrize(
    ("state", "wish", "says"),
    [
        (OPEN, WISH, []),
        (CLOSED, NO, ["invitation for x: is open, should be void (the account is disabled)"]),
        (CLOSED, None, ["invitation for x: is open, should be void (stands in no site file)"]),
    ],
)
def test_invitations_end_with_the_account(state: Account, wish: Account | None, says: list[str]) -> None:
    assert lines(State({"x": state}, invitations=frozenset({"x"})), {"x": wish} if wish else {}) == says


def test_an_invitation_for_any_name_is_void() -> None:
    found = lines(State({}, invitations=frozenset({""})), {})
    assert found == ["invitation for an account of any name: is open, should be void (stands in no site file)"]


@pytest.mark.parametrize(
    ("is_now", "same", "wish", "sets"),
    [
        (OPEN, frozenset({"x"}), WISH, False),
        (OPEN, frozenset(), WISH, True),
        (CLOSED, frozenset(), WISH, True),
        (None, frozenset(), WISH, True),
        (CLOSED, frozenset(), NO, False),
    ],
)
def test_a_managed_password(is_now: Account | None, same: frozenset[str], wish: Account, sets: bool) -> None:
    steps = accounts.plan(State({"x": is_now} if is_now else {}), {"x": wish}, {"x": SECRET}, same)
    assert any("password" in step.todo for step in steps) is sets
    assert all(SECRET not in line for step in steps for line in step.differences)


NAMES = st.sampled_from(["ann", "ben", "cid", "dan"])
ROLES = st.sampled_from(["prosody:registered", "prosody:admin", ""])
STATES = st.builds(Account, st.sampled_from(["enabled", "disabled", "waiting"]), ROLES, st.booleans()).map(
    lambda a: Account(a.state, a.role, a.keys and a.state != "waiting", a.keys and a.state != "waiting")
)
WISHES = st.builds(Account, st.sampled_from(["enabled", "disabled"]))


@given(st.dictionaries(NAMES, STATES), st.dictionaries(NAMES, WISHES), st.booleans())
def test_a_second_run_finds_nothing(now: dict[str, Account], wanted: dict[str, Account], delete: bool) -> None:
    state = State(now)
    then = State(accounts.after(state, accounts.plan(state, wanted, {}, delete=delete)))
    assert accounts.plan(then, wanted, {}, delete=delete) == []
    assert all(a.state == "disabled" for n, a in then.accounts.items() if n not in wanted)


@given(st.dictionaries(NAMES, STATES), st.dictionaries(NAMES, WISHES))
def test_no_plan_touches_the_password_of_a_person(now: dict[str, Account], wanted: dict[str, Account]) -> None:
    assert all("password" not in step.todo for step in accounts.plan(State(now), wanted, {}))


@pytest.mark.parametrize("name", ["", "Alice", "a b", "a@b", "a/b", "a\n", "a'", "x" * 1024])
def test_bad_names(name: str) -> None:
    assert accounts.bad_name(name)


@pytest.mark.parametrize("name", ["alice", "probe-a", "åsa.ek", "x_1"])
def test_good_names(name: str) -> None:
    assert not accounts.bad_name(name)


def test_all_faults_of_the_arguments_at_once() -> None:
    entries: list[dict[str, object]] = [
        {"name": "Alice", "secret": ""},
        {"name": "bob", "secret": ""},
        {"name": "bob", "secret": ""},
        {"name": "probe-a", "secret": "probe_a_password"},
    ]
    found = xmpp_accounts.faults(entries, {"carl": "x", "bob": 7})
    assert found == [
        "accounts: 'Alice' must be written in small letters: alice",
        "accounts: bob stands there 2 times; name it once",
        "passwords: has no entry for probe-a, whose secret is probe_a_password; put it there",
        "passwords: carl is not in accounts; add the account or drop the password",
        "passwords: the one of bob is no text; quote it in the vault",
    ]


def test_the_program_fits_one_command() -> None:
    assert len(accounts.PROGRAM.replace("<", "&lt;").replace(">", "&gt;")) < admin.LINE_BYTES - 100


class Session:
    """Stands for the socket: the second command is lost."""

    def __init__(self) -> None:
        self.calls = 0

    def call(self, function: str, argument: object) -> object:
        self.calls += 1
        if self.calls == 2:
            raise admin.Unreachable("gone")
        return {"failed": [{"name": "n0001", "error": "console:9: disk full"}]}


def test_a_lost_connection_names_all_that_was_not_answered() -> None:
    steps = [accounts.Step(f"n{i:04}", {"create": True, "role": accounts.ROLE}, ()) for i in range(300)]
    session = Session()
    failed = accounts.apply(session, "h", steps)
    assert session.calls == 2
    assert failed.pop("n0001") == "disk full"
    assert set(failed.values()) == {"gone"}
    assert "n0299" in failed
    assert "n0000" not in failed
    assert 100 < len(failed) < 299


def test_data_on_the_disk_is_found(tmp_path: Path) -> None:
    (tmp_path / "im%2edemo%2dx%2eexample" / "accounts").mkdir(parents=True)
    assert accounts.has_data(str(tmp_path / "prosody.sock"), "im.demo-x.example")
    assert not accounts.has_data(str(tmp_path / "prosody.sock"), "im.demo.example")


PEOPLE: list[dict[str, object]] = [
    {"name": "alice", "enabled": True, "secret": ""},
    {"name": "dora", "enabled": False, "secret": ""},
    {"name": "probe-a", "enabled": True, "secret": "probe_a_password"},
]


@pytest.mark.parametrize(
    ("person", "says"),
    [
        ("alice", "^$"),
        ("alcie", "not in the site file; did you mean alice"),
        ("zzz", "the site file has 2 people"),
        ("dora", "not enabled today"),
        ("probe-a", "account of the kit"),
        ("", "nobody is named"),
    ],
)
def test_who_may_be_invited(person: str, says: str) -> None:
    assert re.search(says, xmpp_invitation.refusal(person, PEOPLE))


def test_an_invitation_is_a_private_file(tmp_path: Path) -> None:
    folder = tmp_path / "invitations"
    folder.mkdir(mode=0o755)
    made = {"name": "alice", "url": "https://x/?t", "uri": "xmpp:a", "until": "2026-11-25T17:33:17Z"}
    text = invitation_action.text_of(made, "im.demo.example")
    invitation_action.write_private(folder / "alice.txt", "old")
    invitation_action.write_private(folder / "alice.txt", text)
    assert [p.name for p in folder.iterdir()] == ["alice.txt"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "alice.txt").stat().st_mode) == 0o600
    assert "https://x/?t" in (folder / "alice.txt").read_text().splitlines()


def test_folders_on_the_way_to_an_invitation_are_private_too(tmp_path: Path) -> None:
    """The second invitation of a person lies one folder below the first, and may be written before it."""
    (tmp_path / "site").mkdir(mode=0o755)
    invitation_action.write_private(tmp_path / "site" / "invitations" / "external" / "alice.txt", "text")
    folders = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_dir()}
    assert folders == {"site": 0o755, "invitations": 0o700, "external": 0o700}
    invitation_action.write_private(tmp_path / "site" / "invitations" / "alice.txt", "text")
    assert (tmp_path / "site" / "invitations" / "external" / "alice.txt").read_text() == "text"


def test_an_invitation_says_what_the_address_is_for() -> None:
    made = {"name": "alice", "url": "https://x/?t", "uri": "xmpp:a", "until": "2026-11-25T17:33:00Z"}
    text = invitation_action.text_of(made, "ext.demo.example", "This address is for partners, and for nothing else.")
    assert text == (
        "Your address for instant messages: alice@ext.demo.example\n\n"
        "This address is for partners, and for nothing else.\n\n"
        "Open this link in a browser on a computer of the company and choose your password:\n\n"
        "https://x/?t\n\n"
        "It works once, until 2026-11-25 17:33 (UTC). Keep it to yourself: whoever has it can choose the password.\n"
    )
    assert "\n\n\n" not in invitation_action.text_of(made, "im.demo.example")


def test_the_note_of_a_task_reaches_the_person_and_not_the_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = Taken("alice", tmp_path / "invitations")
    action._task.args["note"] = "For partners."
    run_action(action, monkeypatch)
    assert "\n\nFor partners.\n\n" in (tmp_path / "invitations" / "alice.txt").read_text()
    assert action.given == [{"accounts": PEOPLE, "host": "im.demo.example", "person": "alice"}]
    # nothing given is no text either
    action._task.args["note"] = None
    run_action(action, monkeypatch)
    assert "None" not in (tmp_path / "invitations" / "alice.txt").read_text()


def test_an_invitation_without_a_page_names_the_address() -> None:
    made = {"name": "alice", "url": "", "uri": "xmpp:a?register", "until": "2026-11-25T17:33:17Z"}
    assert "\nxmpp:a?register\n" in invitation_action.text_of(made, "h")


def test_only_names_of_the_task_become_files() -> None:
    assert invitation_action.names_of(PEOPLE) == {"alice", "dora", "probe-a"}
    assert invitation_action.names_of("[]") == frozenset()


class Taken(invitation_action.ActionModule):
    """The action on a host that somebody has taken over."""

    def __init__(self, name: str, folder: Path) -> None:
        arguments = {"accounts": PEOPLE, "folder": str(folder), "host": "im.demo.example", "person": "alice"}
        self._task = SimpleNamespace(args=arguments, async_val=0, check_mode=False, diff=False)
        self._connection = SimpleNamespace(_play_context=SimpleNamespace(no_log=False))
        self._name = name
        self.seen_by_vvv: list[bool] = []
        self.given: list[object] = []

    def _execute_module(self, module_args: object = None, **_: object) -> dict[str, object]:
        self.given.append(module_args)
        self.seen_by_vvv.append(not self._connection._play_context.no_log)
        made = {"name": self._name, "url": "https://x/?secret", "uri": "xmpp:a", "until": "2026-11-25T17:33:17Z"}
        return {"changed": True, "invitations": [made]}


def run_action(action: Taken, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    monkeypatch.setattr(ActionBase, "run", lambda *_: {})
    return action.run(None, {})


@pytest.mark.parametrize("name", ["../alice", "mallory", "/etc/cron.d/x"])
def test_a_host_cannot_choose_where_an_invitation_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    answer = run_action(Taken(name, tmp_path / "invitations"), monkeypatch)
    assert answer["failed"]
    assert not list(tmp_path.rglob("*"))


def test_a_token_is_neither_in_the_result_nor_shown_by_vvv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    action = Taken("alice", tmp_path / "invitations")
    answer = run_action(action, monkeypatch)
    assert "secret" not in str(answer)
    assert "secret" in (tmp_path / "invitations" / "alice.txt").read_text()
    assert action.seen_by_vvv == [False]
    assert action._connection._play_context.no_log is False
