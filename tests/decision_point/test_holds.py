# SPDX-License-Identifier: GPL-3.0-or-later
"""Legal holds: what people share stays past its retention, until the release and no longer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sallyport_archive import events
from sallyport_archive.shared_files import files_of

from decision_point.client import DOMAIN, FILES, ROOMS, Client
from decision_point.conftest import NAME
from decision_point.server import image, instant
from decision_point.uploads import Scanned, Slot, noise, sha256

HOLDS = "/etc/sallyport/holds.json"
ALICE, HALL = f"alice@{DOMAIN}", f"hall@{ROOMS}"
WEEK = 8 * 86400
"""More than the retention, which is a week here, in seconds."""


@pytest.fixture(scope="module")
def one_scanned() -> Iterator[Scanned]:
    """The server with a scanner, for all tests here."""
    server = Scanned(f"{NAME}-holds", image())
    yield server
    server.remove()


@pytest.fixture
def scanned(one_scanned: Scanned) -> Iterator[Scanned]:
    """The same with nothing held and no file."""
    hold(one_scanned)
    prune(one_scanned)
    one_scanned.offset = one_scanned.change()
    yield one_scanned
    one_scanned.end()


def put(scanned: Scanned, text: str, mode: str = "0640") -> None:
    """Writes the file of the holds, as the control node does."""
    scanned.sh(f"cat >{HOLDS}.new; chgrp prosody {HOLDS}.new; chmod {mode} {HOLDS}.new; mv {HOLDS}.new {HOLDS}", text)


def hold(scanned: Scanned, **given: Any) -> None:
    """Puts one hold in force, or none."""
    one = {"hold": "hold-1", "people": [], "rooms": [], "from": None, "until": None, **given}
    put(scanned, json.dumps({"format": 1, "holds": [one] if given else []}))
    scanned.until(holds=1 if given else 0, **({} if given else {"held": 0}))


def prune(scanned: Scanned) -> None:
    """Does what the server does each day, a week later."""
    task = f"for _, t in ipairs(require'prosody.core.modulemanager'.get_items('task', '{FILES}')) do"
    said = scanned.shell(
        f">{task} if t.name == 'Remove expired files' then t:run(os.time() + {WEEK}) return 'pruned' end end"
    )
    assert "pruned" in said, said


def share(scanned: Scanned, client: Client) -> tuple[Slot, str]:
    """Shares a file; returns its place and hash."""
    data = noise(1000)
    slot, status, words = scanned.share(client, data)
    assert status == 201, words
    return slot, sha256(data)


def kept(scanned: Scanned) -> set[str]:
    """Returns the hashes of the files that are kept."""
    lines = scanned.sh(f"cd {scanned.held}; find . -name '*.bin' -exec sha256sum {{}} +").splitlines()
    return {line.split()[0] for line in lines}


def exported(scanned: Scanned, upload: dict[str, Any]) -> None:
    """Copies a file as docs/archive.md says, by what an export makes of its event."""
    (file,) = files_of(events.read(json.dumps(upload).encode()), "im-int")
    scanned.sh("rm -rf /tmp/files; mkdir /tmp/files; tar -C /var/lib/prosody -cT - | tar -C /tmp/files -x", file.path)
    assert f"{file.path}: OK" in scanned.sh("cd /tmp/files; sha256sum -c", f"{file.sha256}  {file.path}\n")


def test_what_is_held_stays_until_the_release_and_nothing_else_does(scanned: Scanned) -> None:
    alice, bob = scanned.client("alice"), scanned.client("bob")
    hold(scanned, people=[ALICE])
    (hers, her_hash), (his, _) = share(scanned, alice), share(scanned, bob)
    (sent, sent_hash), (fetched, fetched_hash) = share(scanned, bob), share(scanned, bob)
    bob.message(ALICE, f"<body>Look: {sent.url}</body>")
    alice.heard(f"Look: {sent.url}")
    # from an address with two people on it: nobody knows who it was
    assert his.get()[0] == 200
    # alice alone is there by now: it is she who fetches
    bob.close()
    scanned.wait(f"! prosodyctl shell c2s show | grep -q bob@{DOMAIN}")
    assert fetched.get()[0] == 200
    scanned.until(held=3)
    prune(scanned)
    assert [slot.get()[0] for slot in (hers, sent, fetched, his)] == [410] * 4
    assert kept(scanned) == {her_hash, sent_hash, fetched_hash}
    exported(scanned, scanned.event(hers, "upload"))
    # what the server knows of a file is cleared away at the start, and each hour
    scanned.restart()
    scanned.until(scanner="ready", holds=1, held=3, pending=0)
    assert [slot.get()[0] for slot in (hers, sent, fetched, his)] == [410, 410, 410, 404]
    assert kept(scanned) == {her_hash, sent_hash, fetched_hash}
    hold(scanned)
    assert kept(scanned) == set()
    assert hers.get()[0] == 404


def test_a_room_and_a_span_of_time(scanned: Scanned) -> None:
    alice, bob = scanned.client("alice"), scanned.client("bob")
    hold(scanned, rooms=[HALL])
    (in_room, room_hash), (aside, _) = share(scanned, bob), share(scanned, bob)
    bob.join("hall")
    bob.message(HALL, f"<body>{in_room.url}</body>", "groupchat")
    bob.message(ALICE, f"<body>{aside.url}</body>")
    alice.heard(aside.url)
    scanned.until(held=1)
    assert kept(scanned) == {room_hash}
    hold(scanned, people=[f"bob@{DOMAIN}"], until=instant(-3600))
    scanned.until(held=0)
    hold(scanned, people=[f"bob@{DOMAIN}"], **{"from": instant(-3600), "until": instant(3600)})
    scanned.until(held=2)
    # what was shared before may be passed on later
    hold(scanned, people=[f"bob@{DOMAIN}"], **{"from": instant(3600)})
    scanned.until(held=2)


def test_whom_an_address_reaches_before_its_file_and_behind_a_nickname(scanned: Scanned) -> None:
    alice, bob = scanned.client("alice"), scanned.client("bob")
    hold(scanned, people=[ALICE])
    data = noise(1000)
    early = scanned.slot(bob, "early.bin", len(data))
    bob.message(ALICE, f"<body>soon: {early.url}</body>")
    alice.heard(f"soon: {early.url}")
    assert early.put(data)[0] == 201
    scanned.until(held=1)
    later, later_hash = share(scanned, bob)
    for client in (alice, bob):
        client.join("hall")
    bob.message(f"{HALL}/alice", f"<body>{later.url}</body>")
    alice.heard(later.url)
    scanned.until(held=2)
    assert kept(scanned) == {sha256(data), later_hash}


@pytest.mark.parametrize("fault", ["malformed", "missing", "unreadable"])
def test_nothing_is_removed_while_nobody_knows_what_is_held(scanned: Scanned, fault: str) -> None:
    slot, digest = share(scanned, scanned.client("bob"))
    if fault == "malformed":
        put(scanned, json.dumps({"format": 1, "holds": [{"people": None}]}))
    elif fault == "missing":
        scanned.sh(f"rm {HOLDS}")
    else:
        put(scanned, json.dumps({"format": 1, "holds": []}), mode="0600")
    scanned.until(holds=None, held=1)
    prune(scanned)
    scanned.restart()
    scanned.until(holds=None, held=1, scanner="ready")
    assert kept(scanned) == {digest}
    assert "Nobody knows what is held" in scanned.sh("cat /var/log/prosody/prosody.log")
    hold(scanned)
    assert kept(scanned) == set()
    assert slot.get()[0] == 404


def test_a_held_file_in_quarantine(scanned: Scanned) -> None:
    data = b"sallyport-held-" + noise(8).hex().encode()
    alice = scanned.client("alice")
    hold(scanned, people=[ALICE])
    slot, *_ = scanned.share(alice, data)
    scanned.until(held=1)
    scanned.sign("held.ndb", {"Held": data})
    scanned.reload()
    scanned.until(quarantined=1, held=1)
    # its retention is over
    record = scanned.lies_at(slot, "sallyport_files").replace(".bin", ".dat")
    scanned.sh(f"sed -i 's/\\(\\[\"over\"\\] = \\)[0-9]*/\\11/' {record}; grep -q '\"over\".* = 1;' {record}")
    scanned.restart()
    scanned.until(quarantined=0, held=1, scanner="ready")
    assert slot.get()[0] == 410
    scanned.sh(f"test ! -e {scanned.lies_at(slot, 'sallyport_quarantine')}")
    assert kept(scanned) == {sha256(data)}
