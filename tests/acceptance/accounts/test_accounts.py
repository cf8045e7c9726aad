# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts and invitations against a real Prosody: 500 people, secrets, faults."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from acceptance.accounts.server import Server

SECRET = "Zq7-managed-secret-of-the-probe"
OTHERS = ["ann", "ben"]
PEOPLE = [f"person{i:03}" for i in range(500)]
WORD = "a long enough password"
PROBE: dict[str, Any] = {"name": "probe-a", "secret": "probe_a_password"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("site"))
    yield made
    made.remove()


@pytest.fixture(autouse=True)
def base(server: Server) -> None:
    """Ann and Ben have accounts and passwords; nobody else does."""
    server.accounts(OTHERS, undeclared="delete")
    result = server.accounts(OTHERS).result
    for name in result["without_password"]:
        assert server.page(token(server, name), WORD) == 200


def token(server: Server, name: str, **more: Any) -> str:
    """Invite; returns the token from the private file."""
    folder = server.scratch / "invitations"
    people = [{"name": n} for n in [*OTHERS, "new"]]
    run = server.module("xmpp_invitation", {"person": name, "accounts": people, "folder": str(folder), **more})
    assert not run.result.get("failed"), run.result
    found = re.search(r"invitation\?(\S+)", (folder / f"{name}.txt").read_text())
    assert found
    assert found[1] not in run.printed
    return found[1]


class Watch:
    """Looks for a text in the arguments and environment of all processes, as often as it can."""

    def __init__(self, text: str) -> None:
        self.text, self.seen, self.rounds = text.encode(), set[str](), 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._stop.is_set():
            for path in [*Path("/proc").glob("[0-9]*/cmdline"), *Path("/proc").glob("[0-9]*/environ")]:
                try:
                    content = path.read_bytes()
                except OSError:
                    continue
                if self.text in content:
                    self.seen.add(content.decode(errors="replace")[:80])
            self.rounds += 1

    def __enter__(self) -> Watch:
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop looking."""
        self._stop.set()
        self._thread.join()


def test_the_watch_sees_a_secret() -> None:
    with Watch("visible-in-the-arguments") as watch:
        subprocess.run(["sh", "-c", "sleep 0.5; : visible-in-the-arguments"], check=True)
    assert watch.seen


def state_of_others(server: Server) -> str:
    return server.shell(
        "cd /var/lib/prosody/im%2etest && find . -type f | grep -E '/(ann|ben)' | sort | xargs sha256sum"
    )


def test_five_hundred_people(server: Server) -> None:
    before = state_of_others(server)
    assert before.count("accounts/") == 2
    everybody = [{"name": n} for n in [*OTHERS, *PEOPLE]] + [PROBE]
    arguments = {"accounts": everybody, "passwords": {"probe-a": SECRET}}
    with Watch(SECRET) as watch:
        first = server.module("xmpp_accounts", arguments, "--diff", "-vvv")
    again = server.module("xmpp_accounts", arguments)
    print(f"\n500 people: {first.seconds:.1f} s, again {again.seconds:.1f} s, {watch.rounds} looks at the process list")
    assert len(first.result["outcome"]) == 501
    assert first.seconds < 20
    assert not again.result["changed"]
    assert again.result["differences"] == []
    assert state_of_others(server) == before
    assert watch.rounds > 3
    assert not watch.seen
    assert SECRET not in first.printed
    assert SECRET not in str(first.result)
    assert "<success" in server.sign_in("probe-a", SECRET)
    files = server.shell(f"grep -rl -e '{SECRET}' /var/log /var/lib /root /home /tmp /run /etc; true")
    assert files == ""
    assert "debug" in server.shell("head -200 /var/log/prosody/prosody.log")


def test_check_mode_says_the_same_and_does_nothing(server: Server) -> None:
    before = server.shell("cd /var/lib/prosody; find . -type f | sort | xargs sha256sum")
    foretold = server.accounts(["ann", "new"], "--check", "--diff")
    assert server.shell("cd /var/lib/prosody; find . -type f | sort | xargs sha256sum") == before
    done = server.accounts(["ann", "new"], "--diff")
    for key in ("changed", "differences", "outcome", "diff", "without_password"):
        assert foretold.result[key] == done.result[key], key
    assert done.result["differences"] == [
        "account ben: is enabled, should be disabled (stands in no site file)",
        "account new: is missing, should be waiting for its invitation, with role prosody:registered",
    ]


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"])
@pytest.mark.parametrize("password", ["", "x", WORD])
def test_nobody_signs_in_before_the_invitation(server: Server, mechanism: str, password: str) -> None:
    server.accounts([*OTHERS, "new"])
    said = server.sign_in("new", password, mechanism)
    assert "</failure>" in said or "<failure" in said, said
    assert "Traceback" not in server.shell("tail -20 /var/log/prosody/prosody.log")


def test_an_invitation_works_once_and_only_the_newest(server: Server) -> None:
    server.accounts([*OTHERS, "new"])
    old, new = token(server, "new"), token(server, "new")
    assert server.page(old, WORD) == 410
    assert server.page(new, "short") == 422
    assert server.page(new, WORD) == 200
    assert server.page(new, WORD + "2") == 410
    assert "<success" in server.sign_in("new", WORD)
    assert not server.accounts([*OTHERS, "new"]).result["changed"]


def test_a_closed_account_cannot_be_opened_with_an_old_invitation(server: Server) -> None:
    server.accounts([*OTHERS, "new"])
    forms = [token(server, "new"), token(server, "ben")]
    said = server.accounts(["ann"]).result["differences"]
    assert "invitation for ben: is open, should be void (stands in no site file)" in said
    assert [server.page(t, WORD + "2") for t in forms] == [410, 410]
    server.accounts(OTHERS)
    assert server.page(forms[1], WORD + "2") == 410
    assert "<success" in server.sign_in("ben", WORD), "closing and opening again must keep the password"


def test_an_invitation_for_any_name_is_found_and_voided(server: Server) -> None:
    server.shell("prosodyctl shell invite create_account im.test")
    said = server.accounts(OTHERS).result["differences"]
    assert said == ["invitation for an account of any name: is open, should be void (stands in no site file)"]
    assert not server.accounts(OTHERS).result["changed"]


def signed_in(server: Server, act: Callable[[], object]) -> str:
    """Act while ben is signed in; returns what his client saw."""
    said: list[str] = []
    client = threading.Thread(target=lambda: said.append(server.sign_in("ben", WORD, "SCRAM-SHA-256", "15")))
    client.start()
    time.sleep(1.5)
    act()
    client.join()
    return said[0]


def test_disabling_and_deleting_end_live_sessions(server: Server) -> None:
    assert "Account disabled" in signed_in(server, lambda: server.accounts(["ann"]))
    server.accounts(OTHERS)
    assert "Account deleted" in signed_in(server, lambda: server.accounts(["ann"], undeclared="delete"))


def test_accounts_and_passwords_that_somebody_changed_by_hand(server: Server) -> None:
    arguments = {"accounts": [{"name": n} for n in OTHERS] + [PROBE], "passwords": {"probe-a": SECRET}}
    server.module("xmpp_accounts", arguments)
    server.shell(
        """prosodyctl shell 'user:create("mallory@im.test", "whatever it is")'
        prosodyctl shell 'user:password("probe-a@im.test", "something else")'
        prosodyctl shell 'user:set_role("ann@im.test", "prosody:admin")'
        """
    )
    found = server.module("xmpp_accounts", arguments).result["differences"]
    assert found == [
        "account ann: has role prosody:admin, should have prosody:registered",
        "account mallory: is enabled, should be disabled (stands in no site file)",
        "account probe-a: has another password, should have the one of the vault",
    ]
    assert not server.module("xmpp_accounts", arguments).result["changed"]
    assert "account-disabled" in server.sign_in("mallory", "whatever it is")


def test_one_account_fails_and_the_others_are_done(server: Server) -> None:
    server.shell("mkdir -p '/var/lib/prosody/im%2etest/accounts/new1.dat'")
    try:
        result = server.accounts([*OTHERS, "new0", "new1", "new2"]).result
    finally:
        server.shell("rm -rf '/var/lib/prosody/im%2etest/accounts/new1.dat'")
    assert result["failed"]
    assert result["changed"]
    assert "1 of 5 accounts" in result["msg"]
    assert "new1" in result["msg"]
    assert result["outcome"].get("new0", "").startswith("created")
    assert result["outcome"].get("new2", "").startswith("created")
    rerun = server.accounts([*OTHERS, "new0", "new1", "new2"]).result
    assert not rerun.get("failed")
    assert list(rerun["outcome"]) == ["new1"]


def test_wrong_host_role_and_arguments(server: Server) -> None:
    assert "im.wrong is no VirtualHost" in server.accounts([], host="im.wrong").result["msg"]
    assert server.accounts(["x"], "--check", host="im.wrong").result["outcome"] == {
        "x": "created, waiting for its invitation"
    }
    entries = [{"name": "ann", "role": "boss"}]
    before = state_of_others(server)
    assert "no role boss; it has prosody:admin" in server.accounts([], accounts=entries).result["msg"]
    assert state_of_others(server) == before


def test_prosody_is_not_running(server: Server) -> None:
    server.stop()
    try:
        for options in ([], ["--check"]):
            assert "prosody.sock: No such file" in server.accounts(OTHERS, *options).result["msg"]
        fresh = server.accounts(["x"], "--check", host="im.new").result
        assert fresh["differences"] == [
            "account x: is missing, should be waiting for its invitation, with role prosody:registered"
        ]
    finally:
        server.start()
