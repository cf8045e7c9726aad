# SPDX-License-Identifier: GPL-3.0-or-later
"""The account by which alerts are sent: whom it tells, sees it, and nobody sees anybody for being told the same."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from decision_point.client import error_of
from decision_point.server import POLICY

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from decision_point.server import Server

# as the kit compiles it; erik plays the account
SENDER = "sallyport-alerts"
READERS = ("alice", "carl")


def test_alerts_reach_those_who_are_told_and_nobody_else(server: Server) -> None:
    people, groups = copy.deepcopy(POLICY["people"]), copy.deepcopy(POLICY["groups"])
    own = {person: f"{SENDER}-{person}" for person in READERS}
    people["erik"]["groups"] = [SENDER]
    for person, group in own.items():
        people[person]["groups"].append(group)
        groups[group] = {"title": "Alerts", "sees": [group, SENDER]}
    groups[SENDER] = {"title": "Alerts", "sees": [SENDER, *own.values()]}
    server.change(people=people, groups=groups)
    sender, alice, carl, bob = (server.client(name) for name in ("erik", "alice", "carl", "bob"))
    for reader in (alice, carl):
        sender.message(reader.bare, "<body>ALERT</body>")
        reader.heard("ALERT")
        assert sender.bare in reader.roster()
    assert sender.bare not in bob.roster()
    for stranger, to in ((sender, bob), (bob, sender), (alice, carl)):
        number = stranger.message(to.bare, "<body>not for you</body>")

        def is_answer(stanza: Element, number: str = number) -> bool:
            return stanza.get("id") == number and stanza.get("type") == "error"

        refused = stranger.until(is_answer)
        assert error_of(refused)[1] == "not-allowed"
        to.settle()
        assert "not for you" not in to.bodies()
