# SPDX-License-Identifier: GPL-3.0-or-later
"""The site's own rules on a real server: what is refused, warned of and noted, lists, and how they fail."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any

import pytest

from decision_point.client import DOMAIN, FILES, ROOMS, error_of
from decision_point.outside import DOMAIN as EXTERNAL
from decision_point.outside import PARTNER

if TYPE_CHECKING:
    from decision_point.outside import Outside
    from decision_point.server import Server

CARD = "4111 1111 1111 1111"  # of an issuer's documentation; nobody has it
ALICE = f"alice@{EXTERNAL}"
LISTS = "/etc/sallyport/lists"


def rule(name: str, action: str = "refuse", **conditions: Any) -> dict[str, Any]:
    """Returns a rule of the policy."""
    empty: dict[str, Any] = {
        "id": name,
        "reason": f"Because of {name}.",
        "action": action,
        "directions": ["inside", "in", "out"],
        "from": None,
        "to": None,
        "to_rooms": [],
        "hours": [],
        "rate": None,
        "lookalike": False,
        "lying": False,
    }
    lists = ("keywords", "keyword_lists", "patterns", "validators", "blocked", "blocked_lists", "extensions")
    return {**empty, **{key: [] for key in (*lists, "media_types")}, **conditions}


CARDS = rule("cards", validators=["card"])


def put_list(server: Server, name: str, text: str) -> str:
    """Writes a list beside the policy; returns its digest."""
    server.sh(f"mkdir -p {LISTS}; cat > {LISTS}/{name}.txt", text)
    return hashlib.sha256(text.encode()).hexdigest()


def test_what_a_rule_refuses_is_not_delivered(server: Server) -> None:
    server.offset = server.change(rules=[CARDS])
    alice, bob = server.client("alice"), server.client("bob")
    number = alice.message(bob.bare, f"<body>my card is {CARD}</body>")
    alice.message(bob.bare, "<body>my card is in the drawer</body>")
    alice.settle()
    bob.settle()
    assert error_of(alice.find("message", id=number)[0]) == ("modify", "policy-violation", "Because of cards.")
    assert bob.bodies() == ["my card is in the drawer"]
    refused, allowed = server.events(kind="message")
    assert (refused["verdict"], refused["rule"], refused["matched"], refused["action"]) == (
        "refused",
        "content",
        ["cards"],
        "refuse",
    )
    assert refused["reason"] == "Because of cards."
    assert (allowed["verdict"], "matched" in allowed) == ("allowed", False)


@pytest.mark.parametrize(
    "inner",
    [
        "<body>4111 1111</body><body xml:lang='sv'>4111-1111-1111-1111</body>",
        "<subject>4111111111111111</subject>",
        "<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>"
        "<p>4111<b>1111</b>1111<i>1111</i></p></body></html>",
        "<body>\uff14\uff11\uff11\uff11 1111 1111 1111</body>",
        "<body>4111, 1111, 1111, 1111</body>",
        "<body>con fid-ential</body>",
        "<body>con</body><subject>fidential</subject>",
        "<body>4111\u200b1111\u00ad1111\u20601111</body>",
        f"<body>x</body><x xmlns='jabber:x:oob'><url>https://{FILES}/1/4111-1111-1111-1111.txt</url></x>",
        "<body>x</body><nick xmlns='http://jabber.org/protocol/nick'>4111111111111111</nick>",
    ],
)
def test_no_way_around(server: Server, inner: str) -> None:
    server.offset = server.change(rules=[CARDS, rule("words", keywords=["confidential"])])
    alice, bob = server.client("alice"), server.client("bob")
    for to, kind in ((bob.bare, "chat"), (f"staff@{ROOMS}", "groupchat")):
        number = alice.message(to, inner, kind=kind)
        alice.settle()
        assert error_of(alice.find("message", id=number)[0])[1] == "policy-violation"
    bob.settle()
    assert bob.find("message") == []
    assert [event["rule"] for event in server.events(kind="message")] == ["content", "content"]


def test_messages_that_complete_each_other(server: Server) -> None:
    server.offset = server.change(rules=[CARDS])
    alice, bob = server.client("alice"), server.client("bob")
    first = alice.message(bob.bare, "<body>4111 1111</body>")
    second = alice.message(
        bob.bare, f"<body>1111 1111</body><replace xmlns='urn:xmpp:message-correct:0' id='{first}'/>"
    )
    alice.settle()
    bob.settle()
    assert error_of(alice.find("message", id=second)[0])[1] == "policy-violation"
    assert bob.bodies() == ["4111 1111"]


def test_presence_nicknames_and_names_of_files(server: Server) -> None:
    server.offset = server.change(rules=[rule("word", keywords=["falcon"]), rule("programs", extensions=["exe"])])
    alice, bob = server.client("alice"), server.client("bob")
    alice.write("<presence id='p1'><status>Falcon</status></presence>")
    alice.join("staff", "falcon")
    alice.settle()
    bob.settle()
    assert [error_of(e)[1] for e in alice.find("presence", type="error")] == ["policy-violation"] * 2
    assert not [e for e in bob.find("presence") if "alcon" in "".join(e.itertext())]
    for name, expected in (("falcon.pdf", "word"), ("setup.EXE", "programs"), ("report.pdf", "")):
        payload = f"<request xmlns='urn:xmpp:http:upload:0' filename='{name}' size='3'/>"
        answer = alice.ask("get", payload, FILES)
        assert error_of(answer)[2] == (f"Because of {expected}." if expected else "")
    assert [e["matched"] for e in server.events(kind="iq")] == [["word"], ["programs"]]


def test_a_warning_goes_to_the_sender_alone(server: Server) -> None:
    server.offset = server.change(rules=[rule("ids", "warn", validators=["id-no"]), rule("all", "log", to=["bob"])])
    alice, other, bob = server.client("alice"), server.client("alice", resource="two"), server.client("bob")
    alice.message(bob.bare, "<body>01010750160</body>")
    for client in (alice, other, bob):
        client.settle()
    assert [e.get("from") for e in alice.find("message", type="headline")] == [DOMAIN]
    assert alice.bodies() == ["Because of ids."]
    assert other.find("message", type="headline") == []
    assert bob.bodies() == ["01010750160"]
    (event,) = server.events(kind="message")
    assert (event["verdict"], event["rule"], event["matched"], event["action"]) == (
        "allowed",
        "contact",
        ["ids", "all"],
        "warn",
    )


def test_lists_are_taken_up_by_a_reload_and_fail_closed(server: Server) -> None:
    digest = put_list(server, "words", "falcon\neagle\n")
    rules = [rule("words", keyword_lists=["words"])]
    server.offset = server.change(rules=rules, lists={"words": digest})
    alice, bob = server.client("alice"), server.client("bob")

    def said(text: str) -> bool:
        number = alice.message(bob.bare, f"<body>{text}</body>")
        alice.settle()
        return not alice.find("message", id=number, type="error")

    assert [said(text) for text in ("the eagle", "the hawk")] == [False, True]
    digest = put_list(server, "words", "hawk\n")
    server.change(rules=rules, lists={"words": digest})
    assert [said(text) for text in ("an eagle", "a hawk")] == [True, False]
    # another list than the policy names, none at all, and a name that no list has
    for spoil in (f"echo dove >> {LISTS}/words.txt", f"rm {LISTS}/words.txt"):
        server.sh(spoil)
        answer = server.sh(f"prosodyctl shell sallyport reload {server.domain} 2>&1 || true")
        assert "words.txt" in answer
        assert [said(text) for text in ("one dove", "one hawk")] == [True, False]
    server.in_force = ""
    with pytest.raises(AssertionError, match="one of the lists"):
        server.change(rules=[rule("words", keyword_lists=["other"])])
    assert not said("two hawk")


def test_long_lists_are_in_force_at_once_and_cost_little(server: Server) -> None:
    """10,000 phrases and 100,000 links, half of them pages: a second on a slow machine, and nobody is signed out."""
    words = put_list(server, "many", "".join(f"word{n} of many\n" for n in range(10_000)))
    entries = (f"host{n}.bad.example\nhost{n}.half.example/a{n}/bad\n" for n in range(50_000))
    blocked = put_list(server, "blocked", "".join(entries))
    rules = [rule("words", keyword_lists=["many"]), rule("links", blocked_lists=["blocked"])]
    alice, bob = server.client("alice"), server.client("bob")
    begun = time.monotonic()
    server.offset = server.change(rules=rules, lists={"many": words, "blocked": blocked})
    assert time.monotonic() - begun < 5, "both calls of the shell, and the answer"
    for text in (
        "word9999 of many",
        "https://www.host49999.bad.example/x",
        "https://host49999.half.example/a49999/bad",
    ):
        number = alice.message(bob.bare, f"<body>{text}</body>")
        alice.settle()
        assert error_of(alice.find("message", id=number)[0])[1] == "policy-violation"
    passing = "word10000 of many at host50000.bad.example and https://host1.half.example/a2/bad"
    alice.message(bob.bare, f"<body>{passing}</body>")
    alice.settle()
    bob.settle()
    assert bob.bodies() == [passing]


def test_blocked_links_are_read_as_a_browser_reads_them(server: Server) -> None:
    server.offset = server.change(rules=[rule("links", blocked=["bad.example", "half.example/bad", "192.0.2.1"])])
    alice, bob = server.client("alice"), server.client("bob")
    anchor = (
        "<body>here</body><html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>"
        "<a href='http://user@32212&#10;25985/'>here</a></body></html>"
    )
    refused = [
        "<body>http://x@3221225985/</body>",
        "<body>http:/0xc0.0.513</body>",
        "<body>https:\\\\bad.example.\\x</body>",
        "<body>https://bad%E3%80%82example/</body>",
        "<body>https://half.example:443/a/%2e%2e/./b%61d</body>",
        anchor,
    ]
    for inner in refused:
        number = alice.message(bob.bare, inner)
        alice.settle()
        assert error_of(alice.find("message", id=number)[0])[1] == "policy-violation", inner
    passed = ["http://x@3221225986/", "https://half.example/bad/../good", "https://half.example/a/%2e%2e/badly"]
    for text in passed:
        alice.message(bob.bare, f"<body>{text}</body>")
    alice.settle()
    bob.settle()
    assert bob.bodies() == passed


def test_both_ways_across_the_border(outside: Outside) -> None:
    rules = [
        rule("cards", validators=["card"], directions=["out"]),
        rule("lures", "warn", lookalike=True, directions=["in"]),
    ]
    outside.offset = outside.change(rules=rules, names=["bank.example"])
    alice, carol = outside.client("alice"), outside.visitor("carol")
    number = alice.message(f"carol@{PARTNER}", f"<body>{CARD}</body>")
    alice.settle()
    assert error_of(alice.find("message", id=number)[0])[1] == "policy-violation"
    carol.message(ALICE, f"<body>{CARD}</body>")
    alice.heard(CARD)
    carol.message(ALICE, "<body>see https://bamk.example/x</body>")
    alice.heard("see https://bamk.example/x")
    alice.heard(f"About what carol@{PARTNER} sends you: Because of lures.")
    found = [(e["direction"], e["verdict"], e.get("matched")) for e in outside.events(kind="message")]
    assert found == [("out", "refused", ["cards"]), ("in", "allowed", None), ("in", "allowed", ["lures"])]
