# SPDX-License-Identifier: GPL-3.0-or-later
"""Five hundred people who all see each other: signing in, reloading and writing stay quick."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from decision_point.client import ROOMS, Client
from decision_point.server import person

if TYPE_CHECKING:
    from decision_point.server import Server

PEOPLE = 500
ONLINE = 60


def test_five_hundred_people_in_one_group(server: Server) -> None:
    people = {f"p{n}": person(f"Person {n}", "staff") for n in range(PEOPLE)}
    server.accounts({f"p{n}": f"pw-p{n}" for n in range(ONLINE)})
    figures = {}

    begun = time.monotonic()
    server.load({**server.policy, "people": people})
    figures["policy of 500, nobody online (with two shell calls)"] = time.monotonic() - begun

    first = server.client("p0", available=False)
    begun = time.monotonic()
    assert len(first.roster()) == PEOPLE - 1
    figures["contact list of 499, asked for and read"] = time.monotonic() - begun
    clients: list[Client] = [first]
    begun = time.monotonic()
    for number in range(1, ONLINE):
        clients.append(server.client(f"p{number}"))
    figures["sign-in with presence, each of 59"] = (time.monotonic() - begun) / (ONLINE - 1)
    assert len(clients[-1].roster()) == PEOPLE - 1

    # a hundred newcomers, told to sixty open sessions, while one of them keeps asking
    more = {**people, **{f"n{n}": person(f"New {n}", "staff") for n in range(100)}}
    out = server.shell(">local c = os.clock(); prosody.events.fire_event('x'); return 'cpu ' .. c")
    before = float(out.split("cpu ")[1].split()[0].strip("'"))
    begun = time.monotonic()
    server.load({**server.policy, "people": more})
    figures["100 newcomers told to 60 open sessions (with shell calls)"] = time.monotonic() - begun
    begun = time.monotonic()
    first.settle()
    figures["answer to a ping right after"] = time.monotonic() - begun
    out = server.shell(">return 'cpu ' .. os.clock()")
    figures["processor time of that reload"] = float(out.split("cpu ")[1].split()[0].strip("'")) - before
    pushes = [e for e in first.find("iq", type="set") if e.find("{jabber:iq:roster}query") is not None]
    assert len(pushes) == 100
    assert len(first.roster()) == PEOPLE + 99

    begun = time.monotonic()
    for _ in range(200):
        first.message(clients[1].bare)
    first.settle()
    figures["a message to a contact"] = (time.monotonic() - begun) / 200
    begun = time.monotonic()
    first.join("staff")
    first.until(
        lambda e: e.find("{jabber:client}subject") is not None and (e.get("from") or "").startswith(f"staff@{ROOMS}")
    )
    figures["joining the room of 600"] = time.monotonic() - begun
    for what, seconds in figures.items():
        print(f"{what}: {seconds * 1000:.1f} ms")
    assert figures["contact list of 499, asked for and read"] < 1
    assert figures["sign-in with presence, each of 59"] < 1
    assert figures["answer to a ping right after"] < 1
    assert figures["100 newcomers told to 60 open sessions (with shell calls)"] < 8
