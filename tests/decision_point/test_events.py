# SPDX-License-Identifier: GPL-3.0-or-later
"""The event file: one JSON line for each verdict, nothing smuggled in, nothing passes unrecorded."""

from __future__ import annotations

import hmac
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from decision_point.client import DOMAIN, ROOMS, Client, error_of
from decision_point.server import EVENTS_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decision_point.server import Server

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/im-event.schema.json").read_text(encoding="utf-8"))


def faults(event: dict[str, Any]) -> list[str]:
    """Checks an event against the published schema (the few keywords that it uses)."""
    found = [f"missing {name}" for name in SCHEMA["required"] if name not in event]
    types = {"string": str, "integer": int, "null": type(None), "array": list}
    for name, value in event.items():
        rule = SCHEMA["properties"].get(name)
        if rule is None:
            found.append(f"unknown {name}")
            continue
        kinds = rule.get("type", [])
        kinds = kinds if isinstance(kinds, list) else [kinds]
        if kinds and not any(isinstance(value, types[k]) for k in kinds):
            found.append(f"{name}: {value!r}")
        if "enum" in rule and value not in rule["enum"]:
            found.append(f"{name}: {value!r}")
        if "const" in rule and value != rule["const"]:
            found.append(f"{name}: {value!r}")
        if "pattern" in rule and isinstance(value, str) and not re.search(rule["pattern"], value):
            found.append(f"{name}: {value!r}")
    return found


def test_every_event_fits_the_schema(server: Server) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    alice.message(bob.bare)
    alice.message(f"carl@{DOMAIN}")
    alice.message(f"bob@{DOMAIN}", f"<x xmlns='jabber:x:conference' jid='staff@{ROOMS}'/>")
    alice.write(f"<presence to='{bob.bare}' type='subscribe'/><presence to='carl@{DOMAIN}'/>")
    alice.ask("set", "<query xmlns='jabber:iq:roster'/>")
    alice.ask("get", "<ping xmlns='urn:xmpp:ping'/>", f"carl@{DOMAIN}")
    alice.ask("set", "<query xmlns='jabber:iq:register'><remove/></query>")
    events = server.events(server=DOMAIN)
    elsewhere = {"stream", "file"}  # test_streams.py, test_uploads.py
    assert {e["kind"] for e in events} == set(SCHEMA["properties"]["kind"]["enum"]) - elsewhere
    for event in [json.loads(line) for line in server.sh(f"cat {EVENTS_PATH}").splitlines()]:
        assert faults(event) == []
    assert len({e["id"] for e in events}) == len(events)


def test_nothing_is_smuggled_into_the_file(server: Server) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    server.mark()
    evil = "x&#10;{&quot;v&quot;:1}&#13;&#9;\\&quot;\u2028\u0085\U0001f600"
    alice.write(f"<message to='{bob.bare}' id='{evil}' type='chat'><body>b</body></message>")
    alice.write(f"<message to='{bob.bare}' id='t' type='{evil}'><body>b</body></message>")
    alice.settle()
    raw = server.sh(f"tail -c +{server.offset + 1} {EVENTS_PATH}")
    assert raw.count("\n") == 2
    first, second = (json.loads(line) for line in raw.split("\n")[:2])
    assert first["stanza_id"] == 'x\n{"v":1}\r\t\\"\u2028\u0085\U0001f600'
    assert second["type"].startswith("x")


def test_rotation(server: Server) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    alice.message(bob.bare)
    alice.settle()
    server.sh(f"mv {EVENTS_PATH} {EVENTS_PATH}.1; sleep 1.2")
    alice.message(bob.bare, number="after")
    alice.settle()
    assert '"after"' in server.sh(f"cat {EVENTS_PATH}")
    assert '"after"' not in server.sh(f"cat {EVENTS_PATH}.1")
    assert server.sh(f"stat -c '%a %U' {EVENTS_PATH}").split() == ["640", "prosody"]


def test_what_cannot_be_recorded_is_refused(server: Server) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    server.sh(f"mv {EVENTS_PATH} {EVENTS_PATH}.kept; mkdir {EVENTS_PATH}; sleep 1.2")
    try:
        number = alice.message(bob.bare, "<body>unrecorded</body>")
        room = alice.message(f"staff@{ROOMS}", kind="groupchat")
        stranger = alice.message(f"carl@{DOMAIN}")
        alice.settle()
        bob.settle()
        for wanted in (number, room):
            assert error_of(alice.find("message", id=wanted)[0])[:2] == ("wait", "resource-constraint")
        assert error_of(alice.find("message", id=stranger)[0])[:2] == ("cancel", "not-allowed")
        assert bob.bodies() == []
        assert "what cannot be recorded is refused" in server.log_tail()
        late = Client(server.address, "bob", resource="late")
        late.authenticate()
        late.complete()
        answer = late.ask("set", "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>")
        assert error_of(answer)[:2] == ("wait", "resource-constraint")
        late.close()
    finally:
        server.sh(f"rmdir {EVENTS_PATH}; mv {EVENTS_PATH}.kept {EVENTS_PATH}; sleep 1.2")
    alice.message(bob.bare, "<body>again</body>")
    alice.settle()
    bob.settle()
    assert bob.bodies() == ["again"]


ROOM = "/run/sallyport-events/room"
CONFIG = "/etc/prosody/prosody.cfg.lua"


@pytest.fixture
def refusing(server: Server) -> Iterator[Server]:
    """The server of a site with `when_full: refuse`, before anything has said that there is room."""
    server.sh(f"sed -i '1i sallyport_log_room = \"{ROOM}\"' {CONFIG}; mkdir -m 0755 $(dirname {ROOM})")
    server.restart()
    yield server
    server.sh(f"sed -i /sallyport_log_room/d {CONFIG}; rm -r $(dirname {ROOM})")
    server.restart()


def test_nobody_says_that_the_log_host_has_room(refusing: Server) -> None:
    """What must say so has not started yet; too much waits; it cannot start; it was stopped."""
    server = refusing
    alice, bob = server.client("alice"), server.client("bob")
    delivered: list[str] = []
    for number, mark in enumerate(("true", "touch --date=@0 room", "rm room", "touch --date=-6min room")):
        server.sh(f"cd $(dirname {ROOM}); {mark}; sleep 1.1")
        server.mark()
        refused = alice.message(bob.bare, "<body>too much</body>")
        alice.settle()
        bob.settle()
        assert error_of(alice.find("message", id=refused, type="error")[0])[:2] == ("wait", "resource-constraint")
        assert bob.bodies() == delivered
        event = server.events(kind="message")[-1]
        assert (event["verdict"], event["rule"]) == ("refused", "log")
        # as the service writes it: root's here, and for all to see
        server.sh(f"umask 022; rm -f {ROOM}; echo 7 >{ROOM}; sleep 1.1")
        alice.message(bob.bare, f"<body>room {number}</body>")
        alice.settle()
        bob.settle()
        delivered.append(f"room {number}")
        assert bob.bodies() == delivered


def test_a_full_disk(server: Server) -> None:
    """Nothing passes while nothing can be recorded; afterwards each line but the torn one is whole."""
    alice, bob = server.client("alice"), server.client("bob")
    server.mark()
    server.sh("dd if=/dev/zero of=/var/log/prosody/filler bs=64k 2>/dev/null || true")
    try:
        numbers = [alice.message(bob.bare, f"<body>{n}</body>", number=f"full-{n:0300}") for n in range(40)]
        alice.settle()
        bob.settle()
        refused = [n for n in numbers if alice.find("message", id=n, type="error")]
        # the last page of the file may take a few more lines
        assert len(refused) > 20
        assert error_of(alice.find("message", id=refused[-1])[0])[:2] == ("wait", "resource-constraint")
        assert len(bob.bodies()) == len(numbers) - len(refused)
    finally:
        server.sh("rm -f /var/log/prosody/filler")
    delivered = len(bob.bodies())
    alice.message(bob.bare, "<body>again</body>")
    alice.settle()
    bob.settle()
    assert bob.bodies()[-1] == "again"
    whole = torn = 0
    for line in server.sh(f"tail -c +{server.offset + 1} {EVENTS_PATH}").splitlines():
        try:
            json.loads(line)
            whole += 1
        except ValueError:
            torn += 1
    assert whole == delivered + 1
    assert torn <= 1
    # without the torn line, in the same file
    server.sh(f"grep '}}$' {EVENTS_PATH} >/tmp/whole; cat /tmp/whole >{EVENTS_PATH}")


def test_signing_in_is_one_event_with_the_address(server: Server) -> None:
    server.client("alice")
    (event,) = server.events(kind="account")
    assert (event["type"], event["rule"], event["verdict"]) == ("sign-in", "signed-in", "allowed")
    assert event["from"] == f"alice@{DOMAIN}"
    assert re.fullmatch(r"[0-9a-f.:]+", event["address"])
    assert faults(event) == []


def test_what_is_done_to_accounts(server: Server) -> None:
    """By the administration's shell, as by the kit's modules and by invitations: all of them use the same calls."""
    jid = f"newcomer@{DOMAIN}"
    for command in (
        f"user create {jid} first-password",
        f"user password {jid} second-password",
        f"user disable {jid}",
        f"user enable {jid}",
        f"user delete {jid}",
    ):
        server.sh(f"prosodyctl shell {command}")
    events = server.events(kind="account", from_=jid)
    types = [event["type"] for event in events if event["type"] != "role"]
    # making one sets its password, and opens it, as events of their own
    assert types[0] == "created"
    assert types[-3:] == ["disabled", "enabled", "deleted"]
    assert set(types[1:-3]) == {"password", "enabled"} or set(types[1:-3]) == {"password"}
    assert all(faults(event) == [] for event in events)
    assert "second-password" not in json.dumps(events)


def test_archives_that_are_searched(server: Server) -> None:
    alice = server.client("alice")
    alice.join("staff")
    alice.settle()
    server.mark()
    for to in ("", f"staff@{ROOMS}"):
        alice.ask("set", "<query xmlns='urn:xmpp:mam:2'/>", to)
    alice.ask("get", "<query xmlns='urn:xmpp:mam:2'/>")
    found = [(e["kind"], e["content"], e["room"]) for e in server.events(server=DOMAIN)]
    assert found == [("iq", ["urn:xmpp:mam:2"], None), ("iq", ["urn:xmpp:mam:2"], f"staff@{ROOMS}")]


def test_rooms_are_entered_and_left(server: Server) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    for client in (alice, bob):
        client.join("staff")
        client.settle()
    alice.write(f"<presence to='staff@{ROOMS}/alice'><show>away</show></presence>")
    alice.write(f"<presence to='staff@{ROOMS}/alice' type='unavailable'/>")
    alice.settle()
    bob.write("</stream:stream>")
    alice.settle()
    server.wait(f"test $(tail -c +{server.offset + 1} {EVENTS_PATH} | grep -c leave) = 2")
    found = [(e["kind"], e["from"], e["room"], e["content"]) for e in server.events(kind="presence")]
    room = f"staff@{ROOMS}"
    assert found == [
        ("presence", alice.jid, room, ["join"]),
        ("presence", bob.jid, room, ["join"]),
        ("presence", alice.jid, room, ["leave"]),
        ("presence", bob.jid, room, ["leave"]),
    ]


def test_one_event_for_several_devices_and_a_room(server: Server) -> None:
    alice, second, bob = server.client("alice"), server.client("alice", resource="two"), server.client("bob")
    for client in (alice, second, bob):
        client.ask("set", "<enable xmlns='urn:xmpp:carbons:2'/>")
    for client, nick in ((alice, "alice"), (second, "alice"), (bob, "bob")):
        client.join("hall", nick)
        client.settle()
    server.mark()
    alice.message(bob.bare, "<body>one</body>")
    alice.message(f"hall@{ROOMS}", "<body>two</body>", kind="groupchat")
    alice.message(f"hall@{ROOMS}", "<subject>three</subject>", kind="groupchat")
    for client in (alice, second, bob):
        client.settle()
        client.ask("set", "<query xmlns='urn:xmpp:mam:2'/>")
    found = [(e["body"], e["content"]) for e in server.events(kind="message")]
    assert found == [("one", ["body"]), ("two", ["body"]), ("three", ["subject"])]


def test_words_are_recorded_as_the_site_says(server: Server) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    text = "Grüße, " + "x" * 9000
    two = "<body>one</body><body xml:lang='de'>eins</body><subject>s</subject>"
    token = f"see https://{DOMAIN}:5281/invitation?AbC_d-1234 soon"
    for inner in (
        f"<body>{text}</body>",
        two,
        f"<body>{token}</body>",
        "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
    ):
        alice.message(bob.bare, inner)
    alice.message(f"carl@{DOMAIN}", "<body>to a stranger</body>")
    alice.message(bob.bare, "<body>hidden</body><encrypted xmlns='urn:xmpp:omemo:2'/>")
    alice.message(bob.bare, "<body>?OTRv3? hidden</body>")
    alice.settle()
    expected = [text, "one\neins", f"see https://{DOMAIN}:5281/invitation?… soon", None, "to a stranger", None, None]
    events = server.events(kind="message")
    assert [event.get("body") for event in events] == expected
    assert [event["subject"] for event in events if "subject" in event] == ["s"]
    assert [fault for event in events for fault in faults(event)] == []

    server.offset = server.change(body="none")
    alice.message(bob.bare, "<body>nothing of this</body>")
    alice.settle()
    assert "nothing of this" not in server.ask(f"tail -c +{server.offset + 1} {EVENTS_PATH}")

    key = "k" * 43
    server.sh("mkdir -p /etc/sallyport/secrets; cat > /etc/sallyport/secrets/event-key", key)
    server.offset = server.change(body="hash")
    alice.message(bob.bare, "<body>Grüße</body><subject>Plan</subject>")
    alice.settle()
    (event,) = server.events(kind="message")
    for name, words in (("body", "Grüße"), ("subject", "Plan")):
        assert event[f"{name}_hash"] == hmac.digest(key.encode(), words.encode(), "sha256").hex()
        assert name not in event
    assert faults(event) == []


FORMATTED = (
    "<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>"
    "<p>con<strong>fid</strong>ential, see <a href='https://shop.example/plan'>here</a></p></body></html>"
)


def test_all_that_a_reader_may_see_is_recorded(server: Server) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    alice.join("hall")
    alice.settle()
    server.mark()
    inner = f"<body>hello</body>{FORMATTED}"
    alice.message(bob.bare, f"{inner}<subject>the plan</subject>")
    alice.message(f"hall@{ROOMS}", inner, kind="groupchat")
    alice.settle()
    words = "hello\nconfidential, see here <https://shop.example/plan>"
    events = server.events(kind="message")
    assert [(event["body"], event.get("subject")) for event in events] == [(words, "the plan"), (words, None)]
    assert [fault for event in events for fault in faults(event)] == []
    server.offset = server.change(body="none")
    alice.message(bob.bare, f"{inner}<subject>the plan</subject>")
    alice.settle()
    (event,) = server.events(kind="message")
    assert {"body", "subject", "body_hash", "subject_hash"}.isdisjoint(event)
    assert "plan" not in server.ask(f"tail -c +{server.offset + 1} {EVENTS_PATH}")


def test_no_digest_without_a_key(server: Server) -> None:
    """A policy that wants digests is not taken while there is no key for them."""
    server.sh("rm -f /etc/sallyport/secrets/event-key")
    before = server.status()["sha256"]
    with pytest.raises(AssertionError, match="event-key"):
        server.change(body="hash")
    assert server.status()["sha256"] == before


@pytest.mark.parametrize("kind", ["chat", "normal", "headline", "groupchat", "error", "strange"])
def test_one_event_for_each_message_of_any_type(server: Server, kind: str) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    alice.message(bob.bare, kind=kind)
    alice.settle()
    bob.settle()
    assert [(e["kind"], e["type"]) for e in server.events()] == [("message", kind)]
