# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy file: without a good one nothing is delivered, and a bad one never replaces a good one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from ansible_collections.sallyport.im.plugins.module_utils.prosody_accounts import Account, State, plan

from decision_point.client import DOMAIN, ROOMS, Client, SignInError, error_of
from decision_point.server import instant, person

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decision_point.server import Server

ALICE = {"name": "Alice", "groups": ["staff"], "from": None, "until": None}
BAD: dict[str, tuple[dict[str, object] | str | None, str]] = {
    "removed": (None, "No such file"),
    "empty": ("", "is not JSON"),
    "truncated": ('{"format": 3, "kit": "0.1.0", "people": {"al', "is not JSON"),
    "not-json": ("sallyport:\n  format: 3\n", "is not JSON"),
    "other-format": ({"format": 1}, "format: is 1, must be 3"),
    "wrong-domain": ({"domain": "im.other.example"}, 'domain: is "im.other.example"'),
    "unknown-field": ({"words": {}}, "policy.words: is a list, must be left out"),
    "type": ({"people": {"alice": {**ALICE, "name": 7}}}, "people.alice.name: is 7"),
    "unknown-group": ({"people": {"alice": {**ALICE, "groups": ["staf"]}}}, 'people.alice.groups[1]: is "staf"'),
    "instant": ({"people": {"alice": {**ALICE, "from": "2026-01-01"}}}, "people.alice.from"),
    "calls": ({"calls": True}, "calls: is true"),
}


def text_of(server: Server, bad: dict[str, object] | str | None) -> str | None:
    """Returns the text of a bad policy file."""
    return json.dumps({**server.policy, **bad}) if isinstance(bad, dict) else bad


def put(server: Server, text: str | None) -> None:
    """Writes or removes the policy file."""
    if text is None:
        server.sh("rm -f /etc/sallyport/policy.json")
    else:
        server.put(text)


@pytest.fixture
def mended(server: Server) -> Iterator[Server]:
    """A server whose good policy is put back at the end."""
    yield server
    server.put(json.dumps(server.policy))
    server.restart()


@pytest.mark.parametrize("name", list(BAD))
def test_a_bad_file_leaves_the_old_policy_in_force(server: Server, name: str) -> None:
    bad, says = BAD[name]
    alice, bob = server.client("alice"), server.client("bob")
    before = server.status()
    put(server, text_of(server, bad))
    server.sh("prosodyctl reload")  # what an administrator does
    with pytest.raises(AssertionError, match="exited"):
        server.sh(f"prosodyctl shell sallyport reload {DOMAIN}")  # what the deployment does
    after = server.status()
    assert after["sha256"] == before["sha256"]
    assert after["file_sha256"] != before["sha256"]
    assert says in after["error"]
    assert after["error"] in server.sh("cat /var/log/prosody/prosody.log")
    alice.message(bob.bare, "<body>still</body>")
    alice.settle()
    bob.settle()
    assert bob.bodies() == ["still"]


def test_reload_takes_a_good_policy(server: Server) -> None:
    server.put(json.dumps({**server.policy, "calls": "permit"}))
    server.sh("prosodyctl reload")
    server.wait(
        f"prosodyctl shell sallyport status {DOMAIN} | grep -q $(sha256sum /etc/sallyport/policy.json | cut -d' ' -f1)"
    )
    status = server.status()
    assert status["sha256"] == status["file_sha256"]
    assert status["error"] is None


@pytest.mark.parametrize("name", ["removed", "truncated", "other-format", "wrong-domain"])
def test_no_policy_at_the_start_means_nobody_signs_in(mended: Server, name: str) -> None:
    server = mended
    put(server, text_of(server, BAD[name][0]))
    server.restart()
    with pytest.raises(SignInError) as refused:
        server.client("alice")
    assert refused.value.condition == "temporary-auth-failure"
    assert "policy" in refused.value.text
    assert server.status()["state"] == "no-policy"
    assert server.events(kind="account", rule="no-policy")
    put(server, json.dumps(server.policy))
    server.sh(f"prosodyctl shell sallyport reload {DOMAIN}")
    assert server.client("alice").roster()


def test_open_sessions_without_a_policy_reach_nobody(mended: Server) -> None:
    """The decision point is loaded anew while the file is gone: sessions stay, and stay silent."""
    server = mended
    alice, bob = server.client("alice"), server.client("bob")
    put(server, None)
    server.shell(f"module:reload('sallyport', '{DOMAIN}')")
    silent(alice, bob, "no-policy", server)
    assert alice.ask("get", "<query xmlns='jabber:iq:roster'/>").get("type") == "result"


def test_open_sessions_without_the_module_reach_nobody(mended: Server) -> None:
    server = mended
    alice, bob = server.client("alice"), server.client("bob")
    server.shell(f"module:unload('sallyport', '{DOMAIN}')")
    silent(alice, bob, "", server)
    with pytest.raises(SignInError) as refused:
        server.client("erik")
    assert refused.value.condition == "temporary-auth-failure"


def test_a_module_that_does_not_load_lets_nobody_in(mended: Server) -> None:
    server = mended
    server.sh(
        "mkdir -p /tmp/broken/mod_sallyport"
        " && echo 'this is no Lua' > /tmp/broken/mod_sallyport/mod_sallyport.lua"
        " && sed -i 's#plugin_paths = {#plugin_paths = { \"/tmp/broken\",#' /etc/prosody/prosody.cfg.lua"
    )
    try:
        server.restart()
        with pytest.raises(SignInError) as refused:
            server.client("alice")
        assert refused.value.condition == "temporary-auth-failure"
    finally:
        server.sh("sed -i 's#\"/tmp/broken\",##' /etc/prosody/prosody.cfg.lua")


def nothing_to_change(states: dict[str, str], wanted: dict[str, str]) -> bool:
    """Tells whether a run of Ansible would leave these accounts as they are."""
    is_now = {name: Account(state.split()[0], keys=name != "hanna") for name, state in states.items()}
    should = {name: Account(state) for name, state in wanted.items()}
    return not plan(State(is_now), should, {})


def account(server: Server, name: str) -> str:
    """Returns the state of an account as plugins/module_utils/prosody_accounts.py takes it."""
    out = server.shell(
        f">local r = require'prosody.core.storagemanager'.open('{DOMAIN}', 'accounts'):get('{name}'); "
        "return 'state ' .. (not r.disabled and 'enabled' or (r.disabled_meta or r.stored_key) and 'disabled' "
        "or 'waiting') .. ' by ' .. (r.disabled and r.disabled_meta and r.disabled_meta.reason or 'nobody') .. '.'"
    )
    return out.split("state ")[1].split(".")[0]


def test_the_minute_comes(mended: Server) -> None:
    """Somebody's time ends, and another one's begins: lists, rooms, sessions and accounts follow without a run."""
    server = mended
    server.shell(f">require'prosody.core.usermanager'.create_user('hanna', nil, '{DOMAIN}')")
    change = instant(5)
    people = {
        **server.policy["people"],
        "bob": person("Bob Lind", "staff", last=change),
        "fred": person("Fred Later", "staff", first=change),
        "hanna": person("Hanna Later", "staff", first=change),
    }
    server.change(people=people)
    before = {name: account(server, name) for name in ("bob", "fred", "hanna")}
    assert list(before.values()) == ["enabled by nobody", "disabled by sallyport", "disabled by sallyport"]
    assert nothing_to_change(before, {"bob": "enabled", "fred": "disabled", "hanna": "disabled"})
    alice, bob = server.client("alice"), server.client("bob")
    for client in (alice, bob):
        client.join("staff")
        client.settle()
        client.seen.clear()
    with pytest.raises(SignInError):
        server.client("fred")
    server.mark()
    with pytest.raises(ConnectionError):
        bob.until(lambda _: False)
    assert instant(-1.5) <= change <= instant(0)
    alice.settle()
    assert alice.find("presence", type="unavailable", from_=bob.jid)
    assert alice.find("presence", type="unavailable", from_=f"staff@{ROOMS}/bob")
    assert set(alice.roster()) == {f"{name}@{DOMAIN}" for name in ("erik", "fred", "hanna")}
    number = alice.message(bob.jid)
    alice.settle()
    assert error_of(alice.find("message", id=number)[0])[1] == "not-allowed"
    with pytest.raises(SignInError):
        server.client("bob")
    assert server.client("fred").roster()
    # as a run would leave them: closed with a note, open, and waiting for an invitation
    after = {name: account(server, name) for name in ("bob", "fred", "hanna")}
    assert list(after.values()) == ["disabled by sallyport", "enabled by nobody", "waiting by nobody"]
    assert nothing_to_change(after, {"bob": "disabled", "fred": "enabled", "hanna": "enabled"})
    told = {(e["from"], e["type"], e["verdict"]) for e in server.events(kind="account") if e["type"] != "sign-in"}
    assert told == {(f"bob@{DOMAIN}", "closed", "refused"), (f"fred@{DOMAIN}", "opened", "allowed")}

    # his time is prolonged
    server.change(people={**people, "bob": person("Bob Lind", "staff", last="2999-01-01T00:00:00Z")})
    assert server.client("bob").roster()


def test_the_decision_point_loaded_anew_with_another_policy(mended: Server) -> None:
    """What an open session still holds from before counts for nothing."""
    server = mended
    alice, bob = server.client("alice"), server.client("bob")
    bob_elsewhere = {**server.policy["people"]["bob"], "groups": ["board"]}
    server.put(json.dumps({**server.policy, "people": {**server.policy["people"], "bob": bob_elsewhere}}))
    server.shell(f"module:reload('sallyport', '{DOMAIN}')")
    alice.until(lambda e: e.get("type") == "unavailable" and e.get("from") == bob.jid)
    assert set(alice.roster()) == {f"erik@{DOMAIN}"}
    number = alice.message(bob.jid)
    alice.settle()
    assert error_of(alice.find("message", id=number)[0])[1] == "not-allowed"
    # and a version of it that does not load leaves the old one at work
    server.sh(
        "mkdir -p /tmp/broken/mod_sallyport && echo 'error(\"at work\")' > /tmp/broken/mod_sallyport/mod_sallyport.lua"
        " && sed -i 's#plugin_paths = {#plugin_paths = { \"/tmp/broken\",#' /etc/prosody/prosody.cfg.lua"
        " && prosodyctl reload"
    )
    try:
        server.shell(f"module:reload('sallyport', '{DOMAIN}')")
        number = alice.message(bob.jid)
        alice.settle()
        bob.settle()
        assert alice.find("message", id=number, type="error")
        assert not bob.find("message")
    finally:
        server.sh("sed -i 's#\"/tmp/broken\",##' /etc/prosody/prosody.cfg.lua")


def silent(alice: Client, bob: Client, rule: str, server: Server) -> None:
    """Asserts that nothing goes from one to the other, whatever it is, and that the sender is told."""
    bob.settle()
    bob.seen.clear()
    server.mark()
    number = alice.message(bob.bare)
    alice.write(f"<presence to='{bob.bare}' id='p'/>")
    room = alice.message(f"staff@{ROOMS}", kind="groupchat")
    # the answer to the question comes last: what was sent before it has been handled
    answers = [alice.ask("get", "<ping xmlns='urn:xmpp:ping'/>", bob.jid)]
    for kind, wanted in (("message", number), ("presence", "p"), ("message", room)):
        answers += alice.find(kind, id=wanted)
    assert len(answers) == 4
    for answer in answers:
        assert error_of(answer)[:2] == ("cancel", "service-unavailable")
    bob.ask("get", "<query xmlns='jabber:iq:roster'/>")
    assert not [e for e in bob.seen if (e.get("from") or "").startswith("alice")]
    if rule:
        assert {e["rule"] for e in server.events()} == {rule}
