# SPDX-License-Identifier: GPL-3.0-or-later
"""The event file: one JSON line for each verdict, nothing smuggled in, nothing passes unrecorded."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from decision_point.client import DOMAIN, ROOMS, error_of
from decision_point.server import EVENTS_PATH

if TYPE_CHECKING:
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
    events = server.events()
    elsewhere = {"stream", "file"}  # test_streams.py, test_uploads.py
    assert {e["kind"] for e in events} == set(SCHEMA["properties"]["kind"]["enum"]) - elsewhere
    for event in [json.loads(line) for line in server.sh(f"cat {EVENTS_PATH}").splitlines()]:
        assert faults(event) == []
    assert len({e["id"] for e in events}) == len(events)


def test_nothing_is_smuggled_into_the_file(server: Server) -> None:
    alice, bob = server.client("alice"), server.client("bob")
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
    finally:
        server.sh(f"rmdir {EVENTS_PATH}; mv {EVENTS_PATH}.kept {EVENTS_PATH}; sleep 1.2")
    alice.message(bob.bare, "<body>again</body>")
    alice.settle()
    bob.settle()
    assert bob.bodies() == ["again"]


def test_a_full_disk(server: Server) -> None:
    """Nothing passes while nothing can be recorded; afterwards each line but the torn one is whole."""
    alice, bob = server.client("alice"), server.client("bob")
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


@pytest.mark.parametrize("kind", ["chat", "normal", "headline", "groupchat", "error", "strange"])
def test_one_event_for_each_message_of_any_type(server: Server, kind: str) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    alice.message(bob.bare, kind=kind)
    alice.settle()
    bob.settle()
    assert [(e["kind"], e["type"]) for e in server.events()] == [("message", kind)]
