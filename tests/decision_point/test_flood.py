# SPDX-License-Identifier: GPL-3.0-or-later
"""Ten thousand stanzas in a burst: the sender gets no further, each is one event, and the others notice nothing."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from decision_point.client import error_of
from decision_point.outside import DOMAIN, PARTNER, certificates, partner

if TYPE_CHECKING:
    from collections.abc import Callable

    from decision_point.outside import Outside

ALICE, ERIK, CAROL, DAVE = f"alice@{DOMAIN}", f"erik@{DOMAIN}", f"carol@{PARTNER}", f"dave@{PARTNER}"
MANY = 10_000
RATES = {"messages_per_minute": 60, "burst": 30}
QUICK = 2.0  # seconds; a message without any flood takes some hundredths


def flood(outside: Outside, sender: str, to: str) -> threading.Thread:
    """Sends many messages as fast as they go, from a server with the partner's certificate."""
    peer = outside.peer(PARTNER, certificates()[PARTNER]).prove()
    text = f"<message type='chat' id='flood' from='{sender}/one' to='{to}'><body>buy</body></message>"

    def send() -> None:
        for _ in range(100):
            peer.write(text * (MANY // 100))

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def handled(outside: Outside) -> int:
    """Returns how many events of the flood there are."""
    return int(outside.ask(f"tail -c +{outside.offset + 1} /var/log/prosody/im-events.jsonl | grep -c flood"))


def until_handled(outside: Outside, count: int) -> None:
    """Waits, not for ever, until so many of the flood's stanzas are in the events."""
    limit = time.monotonic() + 15
    while handled(outside) < count and time.monotonic() < limit:
        time.sleep(0.1)


def slowest(outside: Outside, talk: Callable[[int], None]) -> float:
    """Lets people talk until the flood is over; returns the longest time that one exchange took."""
    worst, turn = 0.0, 0
    while handled(outside) < MANY:
        begun = time.monotonic()
        talk(turn)
        worst = max(worst, time.monotonic() - begun)
        turn += 1
        assert turn < 29, f"{handled(outside)} of {MANY} were judged"  # carol has a rate of her own
        time.sleep(0.5)
    assert turn >= 2, "the flood was over before anybody could have noticed it"
    return worst


def verdicts(outside: Outside) -> dict[tuple[str, str], int]:
    """Counts what was decided on the flood."""
    counts: dict[tuple[str, str], int] = {}
    for event in outside.events(stanza_id="flood"):
        key = (event["verdict"], event["rule"])
        counts[key] = counts.get(key, 0) + 1
    return counts


@pytest.fixture
def limited(outside: Outside) -> Outside:
    """The external server with the rates of a site, and no memory of what was sent before."""
    outside.shell(f"module:reload('sallyport', '{DOMAIN}')")
    outside.offset = outside.change(rates=RATES)
    return outside


def test_a_stranger_floods_and_a_contact_talks(limited: Outside) -> None:
    alice, carol, dave = limited.client("alice"), limited.visitor("carol"), limited.visitor("dave")
    limited.mark()
    thread = flood(limited, DAVE, ALICE)

    def talk(turn: int) -> None:
        carol.message(ALICE, f"<body>in {turn}</body>")
        alice.heard(f"in {turn}")
        alice.message(CAROL, f"<body>out {turn}</body>")
        carol.heard(f"out {turn}")

    worst = slowest(limited, talk)
    thread.join()
    print(f"slowest exchange in both directions during the flood: {worst * 1000:.0f} ms")
    assert worst < QUICK
    counts = verdicts(limited)
    assert set(counts) == {("refused", "stranger"), ("refused", "rate")}
    assert sum(counts.values()) == MANY
    assert 30 <= counts["refused", "stranger"] < 120
    assert not [e for e in limited.events(verdict="refused") if e["from"] in {alice.jid, carol.jid}]
    assert "buy" not in alice.bodies()
    # one answer for each of the first, then one a second: nothing is amplified
    alice.message(CAROL, "<body>marker</body>")
    carol.heard("marker")
    dave.settle()
    answers = [error_of(e)[1] for e in dave.find("message", id="flood")]
    assert 30 < len(answers) < 200
    assert set(answers) == {"not-allowed", "resource-constraint"}


def test_a_contact_floods_and_everybody_else_talks(limited: Outside) -> None:
    """What is over the rate is refused, also when it comes from a contact; her other words wait for their turn."""
    alice, erik = limited.client("alice"), limited.client("erik")
    limited.mark()
    thread = flood(limited, CAROL, ALICE)
    steps: list[Any] = []

    def talk(turn: int) -> None:
        alice.settle()
        number = erik.message(CAROL, f"<body>{turn}</body>")
        erik.settle()
        steps.append(number)

    worst = slowest(limited, talk)
    thread.join()
    print(f"slowest answer during the flood: {worst * 1000:.0f} ms")
    assert worst < QUICK
    counts = verdicts(limited)
    assert set(counts) == {("allowed", "partner"), ("refused", "rate")}
    assert sum(counts.values()) == MANY
    assert 30 <= counts["allowed", "partner"] < 120
    alice.settle()
    assert alice.bodies().count("buy") == counts["allowed", "partner"]
    assert len(limited.events(from_=erik.jid, verdict="allowed")) == len(steps)


def test_many_strangers_of_one_domain(limited: Outside) -> None:
    """Ever new senders, each with one stanza: strangers wear out what their domain may send, contacts do not."""
    peer = limited.peer(PARTNER, certificates()[PARTNER]).prove()
    alice, carol = limited.client("alice"), limited.visitor("carol")
    limited.mark()
    text = "".join(
        f"<message type='chat' id='flood' from='s{n}@{PARTNER}/x' to='{ALICE}'><body>buy</body></message>"
        for n in range(2000)
    )
    peer.write(text)
    carol.message(ALICE, "<body>between</body>")
    alice.heard("between")
    until_handled(limited, 2000)
    counts = verdicts(limited)
    assert sum(counts.values()) == 2000
    assert 300 <= counts["refused", "stranger"] < 500
    assert counts["refused", "rate"] > 1400


def test_many_of_a_whole_domain_do_not_silence_its_contacts(limited: Outside) -> None:
    limited.offset = limited.change(rates=RATES, partners={PARTNER: partner("alice", whole_domain=True)})
    peer = limited.peer(PARTNER, certificates()[PARTNER]).prove()
    alice, carol = limited.client("alice"), limited.visitor("carol")
    limited.mark()
    text = "".join(
        f"<message type='chat' id='flood' from='s{n}@{PARTNER}/x' to='{ALICE}'><body>buy</body></message>"
        for n in range(2000)
    )
    peer.write(text)
    until_handled(limited, 1000)
    carol.message(ALICE, "<body>between</body>")
    alice.heard("between")
    until_handled(limited, 2000)
    counts = verdicts(limited)
    assert sum(counts.values()) == 2000
    assert 300 <= counts["allowed", "partner"] < 500
    assert counts["refused", "rate"] > 1400


def test_stanzas_without_addresses_are_measured_as_well(limited: Outside) -> None:
    peer = limited.peer(PARTNER, certificates()[PARTNER]).prove()
    alice, carol = limited.client("alice"), limited.visitor("carol")
    limited.mark()
    for addresses in (f"from='{DAVE}/one' to='a@@b'", f"from='@@/' to='{ALICE}'"):
        peer.write(f"<message type='chat' id='flood' {addresses}><body>buy</body></message>" * 1000)
    carol.message(ALICE, "<body>between</body>")
    alice.heard("between")
    until_handled(limited, 2000)
    counts = verdicts(limited)
    assert sum(counts.values()) == 2000
    assert 60 <= counts["refused", "malformed"] < 100
    assert counts["refused", "rate"] > 1900


def test_a_flood_of_refusals_is_counted_and_adds_up(limited: Outside) -> None:
    """With the minute that a site has (made short): few lines, and none of the stanzas is forgotten."""
    core = f"prosody.hosts['{DOMAIN}'].modules.sallyport.module:shared('/*/sallyport/core')"
    limited.shell(f">{core}.refusals.window = 5")
    peer = limited.peer(PARTNER, certificates()[PARTNER]).prove()
    limited.mark()
    text = f"<message type='chat' id='flood' from='{DAVE}/one' to='{ALICE}'><body>buy</body></message>"
    for _ in range(20):
        peer.write(text * (MANY // 20))

    def told() -> list[dict[str, Any]]:
        return limited.events(stanza_id="flood")

    end = time.monotonic() + 40
    while sum(e.get("count", 1) for e in told()) < MANY and time.monotonic() < end:
        time.sleep(0.5)
    limited.shell(f">{core}.refusals.window = 0")
    events = told()
    assert sum(e.get("count", 1) for e in events) == MANY
    assert 600 <= len(events) < MANY / 2
    assert {(e["verdict"], e["kind"]) for e in events} == {("refused", "message")}
    assert {e["from"] for e in events} == {f"{DAVE}/one"}
