# SPDX-License-Identifier: GPL-3.0-or-later
"""A person and a contact more: live within ten seconds of starting people.yml, and nobody's session dropped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from acceptance.demo_site import INVENTORY, changed_copy
from acceptance.outside_talk import Talk, own_people, people, signed_up
from system.outside import PARTNER, UNLISTED

LIMIT_SECONDS = 10.0
PATIENCE_SECONDS = 60.0
NEW = "frida"


demo = pytest.fixture(scope="module")(own_people)


def more(text: str) -> str:
    """Add a person who may talk to the partner, and one of the partner's people."""
    entry = f"    - {{id: {NEW}, name: Frida Öberg, groups: [staff], external: {{reason: Fair, until: 2099-12-31}}}}\n"
    text = text.replace("\n  # played by `world`", f"\n{entry}\n  # played by `world`", 1)
    text = text.replace("contacts: {carol: Carol Dahl}", f"contacts: {{carol: Carol Dahl, {UNLISTED}: Dave Eng}}", 1)
    return text.replace("people: [alice]", f"people: [alice, {NEW}]", 1)


def seconds_until(true: Callable[[], bool], begun: float) -> float:
    """Return how long it took until something was so."""
    while not true():
        assert time.monotonic() - begun < PATIENCE_SECONDS, "it never came"
        time.sleep(0.2)
    return time.monotonic() - begun


def test_a_person_and_a_contact_more_are_live_within_seconds(talk: Talk, tmp_path: Path) -> None:
    demo, facts = talk.demo, talk.demo.facts
    alice, bob = (signed_up(demo, talk.desk, name, facts.internal()) for name in ("alice", "bob"))
    peer = talk.peer_of_partner()
    open_before = {client.bare: client.mark() for client in (alice, bob, talk.alice, talk.carol)}
    newcomer, contact = f"{NEW}@{facts.domain}", f"{UNLISTED}@{PARTNER}"
    assert newcomer not in alice.contacts()
    assert contact not in talk.alice.contacts()
    copy = changed_copy(tmp_path, more)
    run = threading.Thread(target=people, args=(demo, copy))
    begun = time.monotonic()
    run.start()
    took = {
        "the colleague": seconds_until(lambda: newcomer in alice.contacts(), begun),
        "the contact": seconds_until(lambda: contact in talk.alice.contacts(), begun),
    }
    run.join()
    whole = time.monotonic() - begun
    print(", ".join(f"{what} after {seconds:.1f} s" for what, seconds in took.items()), f"; the run {whole:.1f} s")
    try:
        assert max(took.values()) <= LIMIT_SECONDS, took
        for client in (alice, bob, talk.alice, talk.carol):
            state = client.probe.do("state", name=client.bare)
            assert state["online"], f"{client.bare} was signed out"
            # a client that had come back would have begun to count anew
            assert state["count"] >= open_before[client.bare]
        assert peer.state()["open"], f"the partner's stream was ended: {peer.state()['why']}"
        talk.both_hear()
        assert talk.hears(bob, alice), "colleagues do not hear each other any more"
        # it waits for its owner's invitation, and is none of the open ones yet
        accounts = talk.machine.run("prosodyctl shell user list %s", facts.external_domain).stdout.split()
        assert f"{NEW}@{facts.external_domain}" in accounts, f"there is no account for the new person: {accounts}"
    finally:
        people(demo, INVENTORY)
    assert newcomer not in alice.contacts()
    assert contact not in talk.alice.contacts()
    peer.close()
