# SPDX-License-Identifier: GPL-3.0-or-later
"""Contact lists come from the groups, cannot be changed, and follow the policy while people are signed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from decision_point.client import DOMAIN, Client, error_of
from decision_point.server import person

if TYPE_CHECKING:
    from decision_point.server import Server

LOCKED = ("cancel", "not-allowed", "Contact lists come from the groups of the site and cannot be changed here.")


def pushes(client: Client) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """Returns the roster pushes that a client got: address -> (subscription, name, groups)."""
    found = {}
    for iq in client.find("iq", type="set"):
        for item in iq.iter("{jabber:iq:roster}item"):
            groups = tuple(group.text or "" for group in item)
            found[item.get("jid", "")] = (item.get("subscription", ""), item.get("name", ""), groups)
    return found


def test_lists_come_from_the_groups(server: Server) -> None:
    alice, carl = server.client("alice"), server.client("carl")
    assert alice.roster() == {
        f"bob@{DOMAIN}": ("Bob Lind", "both", ("Staff",)),
        f"erik@{DOMAIN}": ("Erik Ö", "both", ("Staff",)),
    }
    assert carl.roster() == {}


def test_groups_that_see_each_other_are_in_each_others_lists_with_titles(server: Server) -> None:
    server.change(
        groups={
            "staff": {"title": "Staff", "sees": ["board", "staff"]},
            "board": {"title": "The Board", "sees": ["board", "staff"]},
        }
    )
    assert server.client("carl").roster() == {
        f"{n}@{DOMAIN}": (t, "both", ("Staff",))
        for n, t in (("alice", "Alice Ek"), ("bob", "Bob Lind"), ("erik", "Erik Ö"))
    }
    assert server.client("alice").roster()[f"carl@{DOMAIN}"] == ("Carl Ny", "both", ("The Board",))


def test_a_title_that_the_reader_does_not_see_stays_hidden(server: Server) -> None:
    server.change(people={**server.policy["people"], "bob": person("Bob Lind", "staff", "board")})
    assert server.client("alice").roster()[f"bob@{DOMAIN}"][2] == ("Staff",)


@pytest.mark.parametrize(
    "item",
    [
        "<item jid='carl@im.test.example'/>",
        "<item jid='x@foreign.example' name='x'/>",
        "<item jid='bob@im.test.example' name='Bobby'/>",
        "<item jid='bob@im.test.example' subscription='remove'/>",
    ],
)
def test_lists_cannot_be_changed(server: Server, item: str) -> None:
    alice = server.client("alice")
    before = alice.roster()
    for to in ("", alice.bare, DOMAIN):
        server.mark()
        assert error_of(alice.ask("set", f"<query xmlns='jabber:iq:roster'>{item}</query>", to)) == LOCKED
        (event,) = server.events()
        assert (event["kind"], event["verdict"], event["rule"]) == ("roster", "refused", "roster-locked")
    assert alice.roster() == before
    assert not pushes(alice)


@pytest.mark.parametrize("kind", ["subscribe", "subscribed", "unsubscribe", "unsubscribed"])
def test_subscriptions_between_contacts_are_refused(server: Server, kind: str) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    bob.seen.clear()
    alice.write(f"<presence to='{bob.bare}' type='{kind}' id='s'/>")
    alice.settle()
    bob.settle()
    assert error_of(alice.find("presence", id="s")[0]) == LOCKED
    assert not bob.find("presence", id="s")
    assert f"bob@{DOMAIN}" in alice.roster()
    assert f"alice@{DOMAIN}" in bob.roster()
    (event,) = server.events()
    assert (event["kind"], event["type"]) == ("subscription", kind)
    assert (event["verdict"], event["rule"]) == ("refused", "roster-locked")


def test_contacts_see_each_others_presence(server: Server) -> None:
    alice = server.client("alice")
    bob = server.client("bob")
    alice.settle()
    assert alice.find("presence", from_=bob.jid)
    assert bob.find("presence", from_=alice.jid)
    server.mark()
    bob.write("<presence><show>away</show></presence>")
    bob.settle()
    alice.settle()
    assert alice.find("presence", from_=bob.jid)[-1].findtext("{jabber:client}show") == "away"
    assert not server.events()  # presence among contacts is no event
    bob.write("<presence type='unavailable'/>")
    bob.settle()
    alice.settle()
    assert alice.find("presence", from_=bob.jid, type="unavailable")


def test_a_new_policy_reaches_open_sessions(server: Server) -> None:
    alice, bob, carl = server.client("alice"), server.client("bob"), server.client("carl")
    old = alice.version
    for client in (alice, bob, carl):
        client.seen.clear()

    # carl joins staff: lists, presence and words at once
    server.change(people={**server.policy["people"], "carl": person("Carl Ny", "board", "staff")})
    for client in (alice, bob, carl):
        client.settle()
    assert pushes(alice) == {f"carl@{DOMAIN}": ("both", "Carl Ny", ("Staff",))}
    assert set(pushes(carl)) == {f"{n}@{DOMAIN}" for n in ("alice", "bob", "erik")}
    assert alice.find("presence", from_=carl.jid)
    assert carl.find("presence", from_=alice.jid)
    assert carl.find("presence", from_=bob.jid)
    assert alice.roster()[f"carl@{DOMAIN}"] == ("Carl Ny", "both", ("Staff",))
    assert alice.version != old
    alice.message(carl.jid, "<body>welcome</body>")
    alice.settle()
    carl.settle()
    assert carl.bodies() == ["welcome"]

    # his name changes
    for client in (alice, carl):
        client.seen.clear()
    server.change(people={**server.policy["people"], "carl": person("Carl New", "board", "staff")})
    alice.settle()
    assert pushes(alice) == {f"carl@{DOMAIN}": ("both", "Carl New", ("Staff",))}
    assert not alice.find("presence", from_=carl.jid)

    # and he leaves
    for client in (alice, carl):
        client.seen.clear()
    server.change()
    alice.settle()
    carl.settle()
    assert pushes(alice) == {f"carl@{DOMAIN}": ("remove", "", ())}
    assert {k: v[0] for k, v in pushes(carl).items()} == {f"{n}@{DOMAIN}": "remove" for n in ("alice", "bob", "erik")}
    assert alice.find("presence", from_=carl.jid, type="unavailable")
    assert carl.find("presence", from_=alice.jid, type="unavailable")
    alice.seen.clear()
    carl.write("<presence><show>dnd</show></presence>")
    carl.settle()
    alice.settle()
    assert not alice.find("presence", from_=carl.jid)


def test_an_old_version_gets_the_new_list(server: Server) -> None:
    alice = server.client("alice")
    same = alice.ask("get", f"<query xmlns='jabber:iq:roster' ver='{alice.version}'/>")
    assert len(same) == 0  # RFC 6121, 2.6.3: nothing has changed
    alice.close()
    server.change(people={**server.policy["people"], "carl": person("Carl Ny", "staff")})
    again = server.client("alice")
    answer = again.ask("get", f"<query xmlns='jabber:iq:roster' ver='{alice.version}'/>")
    assert len(answer[0]) == 3


def test_nothing_is_stored(server: Server) -> None:
    server.client("alice")
    server.client("bob")
    assert server.sh("find /var/lib/prosody -path '*roster*' -name '*.dat'") == ""


def test_a_stored_list_of_earlier_times_counts_for_nothing(server: Server) -> None:
    server.sh(
        "cd /var/lib/prosody/im%2etest%2eexample && mkdir -p roster"
        " && cat > roster/erik.dat && chown -R prosody roster",
        'return {["carl@im.test.example"]={subscription="both",groups={}},'
        '[false]={version=3,pending={["x@foreign.example"]=true}}};',
    )
    try:
        assert set(server.client("erik").roster()) == {f"alice@{DOMAIN}", f"bob@{DOMAIN}"}
    finally:
        server.sh("rm -r /var/lib/prosody/im%2etest%2eexample/roster")
