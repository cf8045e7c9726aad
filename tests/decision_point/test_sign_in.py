# SPDX-License-Identifier: GPL-3.0-or-later
"""Signing in: people of the policy only, and no guessing of passwords."""

from __future__ import annotations

import base64
import re
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from decision_point.client import DOMAIN, SASL, STREAM, Client, SignInError, error_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decision_point.server import Server

LOCKOUT = 8.0  # seconds, prosody.cfg.lua


def elsewhere(server: Server) -> str:
    """Returns another address of this machine from which the server can be reached."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((server.address, 9))
        usual = probe.getsockname()[0]
    shown = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout.split()
    others = [a for a in shown if "." in a and a != usual]
    assert others, "this machine has one address only; add another one to a bridge"
    return others[0]


def refusal(server: Server, name: str, password: str = "", source: str = "") -> SignInError:
    """Tries to sign in, which must fail; returns how."""
    client = Client(server.address, name, password, source=source)
    with pytest.raises(SignInError) as refused:
        client.sign_in()
    client.close()
    return refused.value


@pytest.fixture
def unlocked(server: Server) -> Iterator[Server]:
    """A server that forgets the wrong passwords of the test at its end."""
    yield server
    server.restart()


def challenge(server: Server, name: str) -> tuple[str, str]:
    """Asks for a challenge and goes away; returns salt and iteration count."""
    client = Client(server.address, name)
    client.authenticate()
    client.close()
    fields = dict(part.split("=", 1) for part in client.challenge.split(","))
    return fields["s"], fields["i"]


def test_a_challenge_does_not_tell_whether_an_account_exists(unlocked: Server) -> None:
    """RFC 5802, 9: somebody who asks with all names of a telephone book learns nothing, before or after a restart."""
    server = unlocked
    names = ("alice", "dora", "ghost", "nobody", "another")
    before = {name: challenge(server, name) for name in names}
    assert before == {name: challenge(server, name) for name in names}
    assert len({salt for salt, _ in before.values()}) == len(names)
    assert len({iterations for _, iterations in before.values()}) == 1
    uuid = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
    assert all(uuid.fullmatch(base64.b64decode(salt).decode()) for salt, _ in before.values())
    assert not server.events()
    server.restart()
    assert before == {name: challenge(server, name) for name in names}


def test_many_attempts_on_one_connection_count_like_any(unlocked: Server) -> None:
    server = unlocked
    client = Client(server.address, "alice", "wrong")
    for number in range(10):
        client.authenticate(again=number > 0)
        with pytest.raises(SignInError) as refused:
            client.complete()
        assert refused.value.condition == "not-authorized"
        client.write(f"<abort xmlns='{SASL}'/>")
        client.until(lambda e: e.tag == f"{{{SASL}}}failure")
    with pytest.raises(SignInError) as refused:
        client.authenticate(again=True)
    assert refused.value.condition == "temporary-auth-failure"
    client.close()
    assert len(server.events(rule="wrong-password")) == 10


@pytest.mark.parametrize(
    "mechanism", ["PLAIN", "SCRAM-SHA-1", "DIGEST-MD5", "ANONYMOUS", "EXTERNAL", "OAUTHBEARER", "NONE"]
)
def test_mechanisms_that_are_not_offered(server: Server, mechanism: str) -> None:
    client = Client(server.address, "alice")
    client.open()
    features = client.until(lambda e: e.tag == f"{STREAM}features")
    assert {e.text for e in features.iter(f"{{{SASL}}}mechanism")} == {"SCRAM-SHA-256"}
    text = base64.b64encode(b"\0alice\0pw-alice").decode()
    client.write(f"<auth xmlns='{SASL}' mechanism='{mechanism}'>{text}</auth>")
    answer = client.until(lambda e: e.tag.startswith(f"{{{SASL}}}"))
    assert answer.tag == f"{{{SASL}}}failure"
    assert answer[0].tag.split("}")[1] in {"invalid-mechanism", "encryption-required"}
    client.close()


@pytest.mark.parametrize("name", ["dora", "fred", "ghost"])
def test_only_people_of_the_policy_sign_in(server: Server, name: str) -> None:
    assert refusal(server, name).condition == "not-authorized"
    (event,) = server.events()
    assert (event["kind"], event["verdict"], event["rule"]) == ("account", "refused", "sender")
    assert event["from"] == f"{name}@{DOMAIN}"
    assert event["address"]


def test_a_stranger_looks_like_nobody(server: Server) -> None:
    ghost, nobody = refusal(server, "ghost"), refusal(server, "nobody")
    assert (ghost.condition, ghost.text) == (nobody.condition, nobody.text)


def test_a_closed_account_looks_like_none(server: Server) -> None:
    server.shell(f">require'prosody.core.usermanager'.disable_user('erik', '{DOMAIN}')")
    try:
        closed, nobody = refusal(server, "erik"), refusal(server, "nobody")
        assert (closed.condition, closed.text) == (nobody.condition, nobody.text)
        assert server.events(rule="disabled")
    finally:
        server.shell(f">require'prosody.core.usermanager'.enable_user('erik', '{DOMAIN}')")


def test_lockout_here_and_not_elsewhere(unlocked: Server) -> None:
    server = unlocked
    other = elsewhere(server)
    for _ in range(10):
        assert refusal(server, "alice", "wrong").condition == "not-authorized"
    begun = time.monotonic()
    late = refusal(server, "alice")  # the right password
    assert late.condition == "temporary-auth-failure"
    assert "later" in late.text
    assert server.client("alice", source=other).roster()  # she herself, elsewhere
    assert server.client("bob").roster()  # somebody else, here
    assert len(server.events(rule="wrong-password")) == 10
    assert len(server.events(rule="lockout")) == 1
    assert server.events(rule="locked-out")
    assert "wrong" not in {value for e in server.events() for value in e.values() if isinstance(value, str)}
    time.sleep(max(0.0, LOCKOUT - (time.monotonic() - begun)) + 0.5)
    assert server.client("alice", resource="after").roster()


def test_exchanges_begun_before_the_lockout_cannot_be_finished_in_it(unlocked: Server) -> None:
    server = unlocked
    early = Client(server.address, "bob")
    early.authenticate()
    for _ in range(10):
        refusal(server, "bob", "wrong")
    with pytest.raises(SignInError) as refused:
        early.complete()
    assert refused.value.condition == "temporary-auth-failure"


@pytest.mark.parametrize("step", ["proof", "address"])
def test_out_of_the_policy_in_the_middle_of_signing_in(unlocked: Server, step: str) -> None:
    server = unlocked
    bob = Client(server.address, "bob")
    server.clients.append(bob)
    bob.authenticate()
    if step == "address":
        bob.complete()
    server.change(people={k: v for k, v in server.policy["people"].items() if k != "bob"})
    if step == "proof":
        with pytest.raises(SignInError) as refused:
            bob.complete()
        assert refused.value.condition == "not-authorized"
    else:
        answer = bob.ask("set", "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>")
        assert error_of(answer)[:2] == ("cancel", "not-allowed")


def test_a_right_password_clears_the_count(unlocked: Server) -> None:
    server = unlocked
    for _ in range(2):
        for _ in range(9):
            refusal(server, "erik", "wrong")
        assert server.client("erik").roster()


def test_guessing_over_many_accounts_locks_the_address(unlocked: Server) -> None:
    server = unlocked
    for number in range(40):
        assert refusal(server, f"name{number}", "wrong").condition == "not-authorized"
    assert refusal(server, "alice").condition == "temporary-auth-failure"
    assert server.client("alice", source=elsewhere(server)).roster()
    assert len(server.events(rule="sender")) == 40
    assert len(server.events(rule="lockout")) == 1


def test_the_provider_is_still_the_usual_one(server: Server) -> None:
    out = server.shell(
        f">local um, d = require'prosody.core.usermanager', '{DOMAIN}';"
        "local r = {}; local function add(v) r[#r+1] = tostring(v) end;"
        "add(um.test_password('alice', d, 'pw-alice')); add(um.test_password('alice', d, 'no'));"
        "add(um.create_user('temp', nil, d)); add(um.user_is_enabled('temp', d));"
        "add(um.set_password('temp', 'pw-temp', d)); add(um.enable_user('temp', d));"
        "add(um.user_is_enabled('temp', d)); add(um.get_account_info('temp', d).enabled);"
        "add(um.get_user_role('temp', d).name); add(um.disable_user('temp', d));"
        "add(um.delete_user('temp', d)); add(um.user_exists('temp', d)); return table.concat(r, ' ')"
    )
    assert "true nil true false true true true true prosody:registered true true nil" in out
    server.accounts({"erik": "changed"})
    assert refusal(server, "erik").condition == "not-authorized"
    assert server.client("erik", password="changed").roster()
    server.accounts({"erik": "pw-erik"})
    assert server.client("erik", resource="again").roster()
