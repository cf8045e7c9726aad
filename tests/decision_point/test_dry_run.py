# SPDX-License-Identifier: GPL-3.0-or-later
"""The dry run: what changed rules would have said of the archive, told without what they are there to stop."""

from __future__ import annotations

import copy
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from decision_point.client import ROOMS
from decision_point.test_rules import CARD, rule

if TYPE_CHECKING:
    from decision_point.server import Server


def replay(server: Server, rules: list[dict[str, Any]], lists: dict[str, str] | None = None) -> str:
    """Runs it; returns what it prints."""
    policy = {**copy.deepcopy(server.usual), "rules": rules, "lists": dict.fromkeys(lists or {}, "0" * 64)}
    document = json.dumps({"policy": json.dumps(policy), "lists": lists or {}})
    return server.sh(f"prosodyctl mod_sallyport dry-run {server.domain}", document)


def test_it_says_what_changed_rules_would_have_done(server: Server) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    alice.join("hall")
    alice.message(bob.bare, f"<body>dry run with {CARD}</body>")
    alice.message(bob.bare, "<body>dry run with a zebra</body>")
    bob.message(alice.bare, "<body>dry run of bob</body><subject>dry subject</subject>")
    alice.message(f"hall@{ROOMS}", "<body>dry run with a zebra in a room</body>", kind="groupchat")
    for client in (alice, bob):
        client.settle()
    before = server.status()
    server.mark()
    out = replay(
        server,
        [
            rule("cards", validators=["card"], keywords=["dry run"]),
            rule("zebras", "log", keyword_lists=["animals"], **{"from": ["alice"]}),
            rule("okapis", keywords=["okapi"]),
            rule("of-bob", "warn", keywords=["dry run"], **{"from": ["bob"]}),
            rule("subjects", "warn", keywords=["dry subject"]),
        ],
        {"animals": "zebra\ngnu\n"},
    )
    found = re.findall(r"^(\S+) +(log|warn|refuse) +(\d+)$", out, re.MULTILINE)
    assert found, out
    hits = {name: (action, int(count)) for name, action, count in found}
    assert hits == {
        "subjects": ("warn", 1),
        "cards": ("refuse", 1),
        "zebras": ("log", 2),
        "okapis": ("refuse", 0),
        "of-bob": ("warn", 1),
    }
    assert "    dry run with #### #### #### ####" in out.splitlines()
    assert "    dry subject | dry run of bob" in out.splitlines()
    assert "4111" not in out
    assert server.status() == before
    assert server.events(server=server.domain) == []


def test_it_says_why_it_cannot(server: Server) -> None:
    with pytest.raises(AssertionError, match="no policy in what was given"):
        server.sh(f"prosodyctl mod_sallyport dry-run {server.domain}", "{}")
    with pytest.raises(AssertionError, match="does not fit the version"):
        replay(server, [{"id": "x"}])
