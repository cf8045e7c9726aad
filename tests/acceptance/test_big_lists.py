# SPDX-License-Identifier: GPL-3.0-or-later
"""10,000 keywords and 100,000 blocked links: live within ten seconds, no session dropped, nothing else refused."""

from __future__ import annotations

import contextlib
import random
import subprocess
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from acceptance.demo_site import INVENTORY, ROOT, changed_copy
from acceptance.outside_talk import Talk, change_of, own_people, people, signed_up
from acceptance.test_people_live import LIMIT_SECONDS, seconds_until
from system.talk import Client, fresh

SEED, WORDS, LINKS, SAMPLE, AT_ONCE = 11, 10_000, 100_000, 200, 40
LONGEST_PING_SECONDS = 5.0
RULES = """  rules:
    - {id: many-words, reason: One of many words., action: refuse, keyword_files: [rules/many-words.txt]}
    - id: many-links
      reason: One of many links.
      action: refuse
      links: {blocked_files: [rules/many-links.txt]}
"""


@dataclass(frozen=True)
class Lists:
    """What is looked for.

    Attributes:
        words: words and phrases.
        links: domains and pages.
    """

    words: list[str]
    links: list[str]

    def sample(self) -> list[str]:
        """Return texts that meet them, as somebody may write them."""
        chosen = random.Random(SEED + 1)
        words = [f"it is about {word.title()}, again" for word in chosen.sample(self.words, SAMPLE)]
        return words + [f"see https://{link}?x=1 and tell me" for link in chosen.sample(self.links, SAMPLE)]


def made() -> Lists:
    """Make the lists, the same each time; no word of any language is in them."""
    chosen = random.Random(SEED)

    def word() -> str:
        return "zq" + "".join(chosen.choices("bcdfghjklmnpqrstvwxz", k=chosen.randint(9, 12)))

    words = {f"{word()} {word()}" if number % 2 else word() for number in range(WORDS)}
    links = {
        f"{word()}.{word()}.example/{word()}/{word()}" if number % 2 else f"{word()}.example" for number in range(LINKS)
    }
    assert (len(words), len(links)) == (WORDS, LINKS)
    return Lists(sorted(words), sorted(links))


demo = pytest.fixture(scope="module")(own_people)


def refused(sender: Client, to: str, texts: list[str]) -> list[str]:
    """Send messages; return those texts that were refused."""
    since, sent = sender.mark(), {}
    for number, text in enumerate(texts, 1):
        one = fresh("big")
        sent[one] = text
        sender.say(to, text, id=one)
        if number % AT_ONCE == 0:
            sender.ping()
    sender.ping()  # the server answers in order
    answers = [ET.fromstring(xml) for xml in sender.received(since, "error")]
    ids = {answer.get("id") for answer in answers if answer.get("type") == "error"}
    return [text for one, text in sent.items() if one in ids]


@contextlib.contextmanager
def pinging(clients: list[Client]) -> Iterator[list[float]]:
    """Ping the server all the time; the list gets the seconds that each answer took."""
    took: list[float] = []
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            for client in clients:
                begun = time.monotonic()
                try:
                    client.ping()
                finally:
                    took.append(time.monotonic() - begun)
            over.wait(0.2)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield took
    finally:
        over.set()
        worker.join()


def sentences() -> list[str]:
    """Return ordinary sentences."""
    script = 'for _, one in ipairs(dofile("tests/lua/sentences.lua")) do print(one) end'
    return subprocess.run(
        ["lua", "-e", script], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_long_lists_are_live_within_seconds(talk: Talk, tmp_path: Path) -> None:
    demo, facts, lists = talk.demo, talk.demo.facts, made()
    alice, bob = (signed_up(demo, talk.desk, name, facts.internal()) for name in ("alice", "bob"))
    clients = [alice, bob, talk.alice]
    newest = [f"now {lists.words[-1]}", f"now https://{lists.links[-1]}"]
    assert refused(alice, bob.bare, newest) == refused(talk.alice, talk.carol.bare, newest) == []
    before = {client.bare: client.mark() for client in clients}
    copy = changed_copy(tmp_path, change_of(r"^  rules:\n", RULES))
    (copy / "rules" / "many-words.txt").write_text("\n".join(lists.words) + "\n", encoding="utf-8")
    (copy / "rules" / "many-links.txt").write_text("\n".join(lists.links) + "\n", encoding="utf-8")
    run = threading.Thread(target=people, args=(demo, copy))
    try:
        with pinging(clients) as pings:
            begun = time.monotonic()
            run.start()
            took = {
                "inside": seconds_until(lambda: refused(alice, bob.bare, newest) == newest, begun),
                "to a partner": seconds_until(lambda: refused(talk.alice, talk.carol.bare, newest) == newest, begun),
            }
            run.join()
        whole = time.monotonic() - begun
        print(", ".join(f"{what} after {seconds:.1f} s" for what, seconds in took.items()), f"; the run {whole:.1f} s")
        print(f"{len(pings)} pings were answered, the slowest after {max(pings):.1f} s")
        assert max(took.values()) <= LIMIT_SECONDS, took
        assert max(pings) <= LONGEST_PING_SECONDS
        for client in clients:
            state = client.probe.do("state", name=client.bare)
            assert state["online"], f"{client.bare} was signed out"
            # a client that had come back would have begun to count anew
            assert state["count"] >= before[client.bare]
        sample = lists.sample()
        assert refused(alice, bob.bare, sample) == sample
        ordinary, since = sentences(), bob.mark()
        assert refused(alice, bob.bare, ordinary) == []
        bob.ping()
        assert bob.mark() - since >= len(ordinary)
    finally:
        if run.is_alive():
            run.join()
        people(demo, INVENTORY)
    assert refused(alice, bob.bare, newest) == []
