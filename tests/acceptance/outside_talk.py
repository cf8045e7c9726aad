# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's people and partners for the acceptance tests: who talks, over which stream, and what the server noted."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acceptance.demo_site import INVENTORY, Demo
from ansible_collections.sallyport.im.plugins.plugin_utils.vault import read_vault
from probe.remote import Probe
from system.attempts import accept, invite, sign_in
from system.outside import CONTACT, HOSTILE, INTRUDER, PARTNER, Pair, Peer, partner_authority
from system.reach import connect
from system.site_facts import Service
from system.talk import Client, Events, fresh

PERSON = "alice"


@dataclass
class Talk:
    """Both sides of the conversation.

    Attributes:
        demo: The site.
        desk: Probe on the desktop.
        world: Probe outside.
        alice: The person with leave, signed in at the external server.
        carol: The partner's contact, signed in at her own server.
        machine: The external server, with the administrator's eyes.
        events: What it noted.
    """

    demo: Demo
    desk: Probe
    world: Probe
    alice: Client
    carol: Client
    machine: Any
    events: Events

    def pair(self, **settings: Any) -> Pair:
        """Make a certificate that proves the partner's name."""
        return partner_authority(self.demo.facts.folder).sign(PARTNER, **settings)

    def peer(self, domain: str = PARTNER) -> Peer:
        """Return a stream that is not open yet."""
        return Peer(self.world, self.demo.facts, domain)

    def peer_of_partner(self) -> Peer:
        """Return an open stream of the partner's own server."""
        return self.peer().accepted(self.pair())

    def hears(self, receiver: Client, sender: Client, patience: float = 15.0) -> bool:
        """Tell whether what one writes reaches the other."""
        text, since = fresh("word"), receiver.mark()
        sender.say(receiver.bare, text)
        return receiver.wait(since, patience, contains=[text], sender=sender.bare) is not None

    def both_hear(self) -> None:
        """Make sure that both hear each other."""
        assert self.hears(self.carol, self.alice), "carol does not get what alice writes"
        assert self.hears(self.alice, self.carol), "alice does not get what carol writes"


def password_of(demo: Demo, account: str) -> str:
    """Return the password of somebody of the demo, or of somebody outside."""
    kept = demo.facts.folder / ".ssh" / f"{account}.password"
    if kept.exists():
        return kept.read_text(encoding="utf-8").strip()
    known: Any = read_vault(demo.facts.folder)["demo_passwords"]
    return str(known[account])


def signed_up(demo: Demo, desk: Probe, person: str, service: Service) -> Client:
    """Sign somebody in at a server, after an invitation if need be."""
    secret = password_of(demo, person)
    if sign_in(desk, demo.facts, person, secret, service=service)["result"] != "signed in":
        group = "im_internal" if service.domain == demo.facts.domain else "im_external"
        accept(desk, invite(connect(demo.facts.in_group(group)[0]), person, service), secret, service)
    return Client(desk, service, person, secret).online()


@contextlib.contextmanager
def talking(demo: Demo) -> Iterator[Talk]:
    """Sign both in, befriended, and out again at the end."""
    facts = demo.facts
    desk = Probe(facts.in_group("desktops")[0].command(), "desk")
    world = Probe(facts.in_group("outside")[0].command(), "world")
    try:
        authority = (facts.folder / "partners" / "partner.crt").read_text(encoding="utf-8")
        alice = signed_up(demo, desk, PERSON, facts.external())
        carol = Client(world, Service(PARTNER, "127.0.0.1", authority), CONTACT, password_of(demo, CONTACT)).online()
        carol.send(f"<presence to='{alice.bare}' type='subscribed'/>")
        carol.send(f"<presence to='{alice.bare}' type='subscribe'/>")
        machine = connect(facts.external_server())
        yield Talk(demo, desk, world, alice, carol, machine, Events(machine))
    finally:
        desk.close()
        world.close()


def intruder(talk: Talk) -> Client:
    """Sign somebody in at the hostile server, whose certificate it signed itself."""
    shown = talk.world.do("tls_handshake", host="127.0.0.1", port=5222, server_name=HOSTILE, starttls=True)
    service = Service(HOSTILE, "127.0.0.1", shown["certificate"])
    return Client(talk.world, service, INTRUDER, password_of(talk.demo, INTRUDER)).online()


def change_of(pattern: str, replacement: str) -> Callable[[str], str]:
    """Return what changes a site file in one place."""

    def change(text: str) -> str:
        changed, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        assert count == 1, f"{pattern!r} occurs {count} times in the demo's site file"
        return changed

    return change


def people(demo: Demo, inventory: Path) -> str:
    """Run playbooks/people.yml; it must succeed. Returns what it printed."""
    done = demo.play_people(inventory)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


def own_people() -> Iterator[Demo]:
    """Yield the demo site; its people, partners and lists are its own before and after. For use as a fixture."""
    site = Demo()
    people(site, INVENTORY)
    yield site
    people(site, INVENTORY)
