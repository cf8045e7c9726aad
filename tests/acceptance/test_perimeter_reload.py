# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway takes new rules, names and gates without dropping a permitted connection, and never a wrong one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance.demo_site import Demo, changed_copy
from acceptance.outside_talk import Talk, signed_up

GATEWAY = "gw"


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """The demo site, its gateway converged before and after."""
    site = Demo()
    site.converge("--limit", GATEWAY)
    yield site
    site.converge("--limit", GATEWAY)


def in_force(demo: Demo) -> str:
    """Return the gateway's rules in force, without what is only counted."""
    listed = demo.sh("nft -s list table inet sallyport; cat /etc/sallyport/firewall.nft", GATEWAY)
    return re.sub(r"elements = \{[^}]* ct count [^}]*\}", "", listed)


def processes(demo: Demo) -> str:
    """Return how often the gateway's services were started."""
    return demo.sh("systemctl show -p NRestarts,ExecMainStartTimestamp haproxy squid", GATEWAY)


class Open:
    """Connections through the gateway, one of each kind that the site permits."""

    def __init__(self, talk: Talk) -> None:
        """Open them: to the internal and the external server, from a partner, to a website."""
        facts = talk.demo.facts
        self.talk = talk
        self.inside = signed_up(talk.demo, talk.desk, "alice", facts.internal())
        self.peer = talk.peer_of_partner()
        resolver = facts.near(facts.in_group("desktops")[0])[0]
        found = talk.desk.do("ask_name", server=resolver, name="website.example")
        self.website = found["answers"][0]
        self.visit("tls", tls=True)
        self.visit("plain", tls=False)

    def visit(self, name: str, *, tls: bool) -> None:
        """Open a connection to the website, in the place of one of the same name."""
        visit = {"name": name, "host": self.website, "server_name": "website.example", "tls": tls}
        assert self.talk.desk.do("visit_open", **visit)["result"] == "answered", f"the website does not answer: {name}"

    def all_go_on(self) -> None:
        """Make sure that each is the very connection that it was.

        The plain one gets its next answer from the gate to which it was opened. A gate that was followed by another
        says with the answer that it is the last, as is HTTP's way; so the plain one is opened anew for the next change.
        """
        for client in (self.inside, self.talk.alice):
            assert client.probe.do("state", name=client.bare)["online"], f"{client.bare} was disconnected"
            client.ping()
        assert self.peer.state(1)["open"], f"the partner's stream was ended: {self.peer.state()['why']}"
        assert self.talk.hears(self.talk.alice, self.talk.carol)
        for name in ("tls", "plain"):
            again = self.talk.desk.do("visit_again", name=name)
            assert again["result"] == "answered", f"the connection to the website was ended ({name}): {again['why']}"
        self.visit("plain", tls=False)


def test_permitted_connections_outlive_a_change(talk: Talk, tmp_path: Path) -> None:
    kept = Open(talk)
    # rules by hand, a foreign table: all of it is taken back by a new set of rules
    talk.demo.sh("nft add rule inet sallyport forward tcp dport 4444 accept; nft add table ip backdoor", GATEWAY)
    changed = talk.demo.converge("--limit", GATEWAY, "--tags", "firewall")
    assert changed[GATEWAY] == 1
    assert "4444" not in in_force(talk.demo)
    kept.all_go_on()
    # a service more is permitted: rules, names and the gate for the web all change
    words = "\n  consumer_im: {permitted: [{service: slack, reason: Project, until: 2099-12-31}]}\n"
    copy = changed_copy(tmp_path, lambda text: text.rstrip() + "\n" + words)
    talk.demo.converge("--limit", GATEWAY, "--tags", "firewall,perimeter", inventory=copy)
    kept.all_go_on()
    talk.demo.converge("--limit", GATEWAY, "--tags", "firewall,perimeter")
    kept.all_go_on()


WRONG = {
    "no rules at all": "this is no ruleset",
    "half a table": "table inet sallyport { chain input { type filter hook input priority filter; policy drop;",
    "an unknown set": "table inet sallyport { chain c { type filter hook input priority 0; ip saddr @none accept; } }",
    "another table": "table inet other { chain input { type filter hook input priority 0; policy accept; } }",
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_ruleset_never_becomes_live(talk: Talk, kind: str) -> None:
    kept, before = Open(talk), in_force(talk.demo)
    done = talk.demo.play("--limit", GATEWAY, "--tags", "firewall", "-e", f"firewall_ruleset='{WRONG[kind]}'")
    print(done.stdout[-1500:])
    assert done.returncode != 0, f"{kind} was taken"
    assert in_force(talk.demo) == before
    kept.all_go_on()


@pytest.mark.parametrize(
    "wrong", ["perimeter_web_connections=many", "perimeter_dns_questions=many", "perimeter_relay_cache_megabytes=many"]
)
def test_wrong_settings_of_a_service_never_become_live(talk: Talk, wrong: str) -> None:
    kept, before = Open(talk), processes(talk.demo)
    done = talk.demo.play("--limit", GATEWAY, "--tags", "perimeter", "-e", wrong)
    print(done.stdout[-1500:])
    assert done.returncode != 0, f"{wrong} was taken"
    assert processes(talk.demo) == before
    kept.all_go_on()
