# SPDX-License-Identifier: GPL-3.0-or-later
"""R8, R11: outside the company only the agreed contacts of current partners, and only for whom they are meant."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from probe.remote import Probe
from system.controls import Amber, Breakage, Seen, control
from system.outside import (
    CONTACT,
    HOSTILE,
    HOSTILE_WELCOME,
    INTRUDER,
    KINDS,
    PARTNER,
    PARTNER_LOG,
    POLICY,
    READ_AGAIN,
    UNLISTED,
    Peer,
    amount,
    partner_authority,
)
from system.site_facts import SiteFacts
from system.talk import Client, Events, fresh, why
from system.test_r5_federation import person_and_partner

FROM_CONTACT = f"{CONTACT}@{PARTNER}/control"
REST_SECONDS = 15
# everybody at the partner, for all who have leave, as if somebody had widened its entry
WIDER = Breakage(
    POLICY,
    r'"people": \[\n *"[^\]]*\],\n((?: *"(?:servers|until)": [^\n]*\n)+ *)"whole_domain": false',
    r'"people": ["alice", "probe-a"],\n\1"whole_domain": true',
    command=READ_AGAIN,
)


def expected_partner_contacts(facts: SiteFacts, person: str) -> set[str]:
    """Return whom a person sees at the external server, worked out from the site file alone."""
    return {
        f"{contact}@{domain}"
        for domain, partner in facts.partners_today().items()
        if person in facts.may_talk_to(partner)
        for contact in partner.get("contacts", {})
    }


@pytest.fixture
def partner_server(facts: SiteFacts, world: Probe) -> Iterator[Callable[[], Peer]]:
    """A stream as the partner's own server, once it is asked for."""
    opened: list[Peer] = []

    def get() -> Peer:
        facts.external_server()
        if not opened:
            opened.append(Peer(world, facts).accepted(partner_authority(facts.folder).sign(PARTNER)))
        return opened[0]

    yield get
    for peer in opened:
        peer.close()


@pytest.fixture
def granted(
    facts: SiteFacts, external_client: Callable[[str], Client], external_people: list[str]
) -> Callable[[], Client]:
    """A person who may talk to the partner, signed in to the external server once she is asked for."""

    def get() -> Client:
        facts.external_server()
        return external_client(person_and_partner(facts, external_people))

    return get


def events_of(events: Events, mark: int, numbers: list[str], patience: float = 5.0) -> list[dict[str, Any]]:
    """Return the events of some stanzas, as soon as there is one for each, or when the time is over."""
    end = time.monotonic() + patience
    while True:
        found = [event for event in events.since(mark) if event.get("stanza_id") in numbers]
        if {event["stanza_id"] for event in found} >= {*numbers} or time.monotonic() >= end:
            return found
        time.sleep(0.5)


def noted_once(events: Events, mark: int, kinds: dict[str, str]) -> set[str]:
    """Make sure that each of some stanzas left exactly one event, which says that it was refused.

    Args:
        events: The event file.
        mark: From where to look.
        kinds: What each was, by its id.

    Returns:
        The rules that refused them.
    """
    found = events_of(events, mark, list(kinds))
    for number, kind in kinds.items():
        own = [event for event in found if event["stanza_id"] == number]
        assert amount(own) == 1, f"{kind}: the server has to note exactly one event and noted {len(own)}"
        assert own[0]["verdict"] == "refused", f"{kind}: the event says {own[0]['verdict']!r}"
    return {event["rule"] for event in found}


def from_outside(peer: Peer, receiver: Client, *, sender: str, events: Events, later: Callable[[], None]) -> str:
    """Send every kind of stanza from outside, and make sure that nothing arrives and each is noted once.

    Args:
        peer: The stream.
        receiver: Who must not get any of it.
        sender: From whom.
        events: The event file.
        later: Does something permitted that reaches the receiver after all of it.

    Returns:
        Words for the report.
    """
    mark, since = events.mark(), receiver.mark()
    numbers = {fresh("out"): kind for kind in KINDS}
    peer.send("".join(KINDS[kind].stanza(number, receiver.bare, sender) for number, kind in numbers.items()))
    rules = noted_once(events, mark, numbers)
    later()
    for number, kind in numbers.items():
        arrived = receiver.received(since, number)
        assert not arrived, f"{kind} from {sender} arrived at {receiver.bare}: {arrived[0][:200]}"
    assert peer.state()["open"], f"the stream was ended meanwhile: {peer.state()['why']}"
    words = f"{len(numbers)} kinds of stanza, none arrived, one event each ({', '.join(sorted(rules))})"
    return f"{sender.partition('/')[0]} to {receiver.bare}: {words}."


def to_outside(sender: Client, to: str, events: Events, world: Probe) -> str:
    """Send every kind of stanza out, and make sure that each comes back, is noted once, and that nobody outside has it.

    Args:
        sender: Who sends.
        to: To whom.
        events: The event file.
        world: Where the other server's log is.

    Returns:
        Words for the report.
    """
    mark, size = events.mark(), world.do("file_size", path=PARTNER_LOG)
    numbers = {fresh("in"): kind for kind in KINDS}
    start = sender.mark()
    for number, kind in numbers.items():
        sender.send(KINDS[kind].stanza(number, to))
    conditions = set()
    for number, kind in numbers.items():
        if KINDS[kind].answered:
            answer = sender.wait(start, 10, id=number, type="error")
            assert answer is not None, f"{kind} from {sender.bare} to {to} did not come back"
            conditions.add(why(answer).partition(" (")[0])
    rules = noted_once(events, mark, numbers)
    time.sleep(1)
    gone = [kind for n, kind in numbers.items() if world.do("lines_since", path=PARTNER_LOG, offset=size, containing=n)]
    assert not gone, f"{', '.join(gone)} from {sender.bare} reached {world.name}"
    words = f"{len(numbers)} kinds of stanza, all came back ({', '.join(sorted(conditions))})"
    return f"{sender.bare} to {to}: {words}, one event each ({', '.join(sorted(rules))}); none left."


def arrived_from_contact(peer: Peer, receiver: Client) -> Callable[[], None]:
    """Return what sends a permitted message of the contact over the same stream and waits for it."""

    def later() -> None:
        text, since = fresh("later"), receiver.mark()
        peer.send(
            f"<message from='{FROM_CONTACT}' to='{receiver.bare}' type='chat' id='{text}'><body>{text}</body></message>"
        )
        assert receiver.wait(since, 10, contains=[text]) is not None, (
            f"the permitted message after it did not reach {receiver.bare} either, so nothing is proven"
        )

    return later


@control(
    id="R8-partner-contacts",
    practice="R8",
    says="In the list for outside contacts stand the agreed people of one's partners, and nobody else.",
    permitted="Each contact of a partner whose entry names the person.",
    forbidden="Colleagues, contacts of partners that are over or meant for others; adding somebody.",
    on="im_external",
    breakage=Breakage(POLICY, rf'"{CONTACT}": ', rf'"{UNLISTED}": "Dave", "{CONTACT}": ', command=READ_AGAIN),
)
def test_partner_contacts(
    facts: SiteFacts, external_client: Callable[[str], Client], external_people: list[str], seen: Seen
) -> None:
    facts.external_server()
    domain = facts.external_domain
    expected = {"probe-a": {f"probe-b@{domain}"}, "probe-b": {f"probe-a@{domain}"}, "probe-c": set[str]()}
    expected |= {person: expected_partner_contacts(facts, person) for person in external_people}
    for person, contacts in expected.items():
        owner = external_client(person)
        found = owner.contacts()
        assert set(found) == contacts, f"{person} sees {sorted(found)} and should see {sorted(contacts)}"
        assert set(found.values()) <= {"both"}, f"{person}: not all see each other: {found}"
        seen(f"{person} sees {', '.join(sorted(found)) or 'nobody'}.")
    added = external_client("probe-a").ask(
        "set", f"<query xmlns='jabber:iq:roster'><item jid='{INTRUDER}@{HOSTILE}' name='Mallory'/></query>"
    )
    assert added.get("type") == "error", "somebody could be added to the list by hand"
    seen(f"Adding {INTRUDER}@{HOSTILE} by hand: {why(added)}.")


@control(
    id="R8-partner-talk",
    practice="R8",
    says="A person with leave and the agreed contact of the partner write to each other, and see who is there.",
    permitted="Both begin conversations, with real clients; presence both ways; each stands in the other's list.",
    forbidden="A second event, or none, for a message that went through.",
    on="im_external",
    breakage=Breakage(POLICY, rf'"{CONTACT}": ', '"caroline": ', command=READ_AGAIN),
)
def test_partner_talk(
    *,
    granted: Callable[[], Client],
    partner_client: Callable[[str], Client],
    external_events: Events,
    seen: Seen,
) -> None:
    person = granted()
    contact = partner_client(f"{CONTACT}@{PARTNER}")
    # as she does once, with a click on each question of her program
    contact.send(f"<presence to='{person.bare}' type='subscribed'/>")
    contact.send(f"<presence to='{person.bare}' type='subscribe'/>")
    for sender, receiver in ((person, contact), (contact, person)):
        text, mark, since = fresh("hello"), external_events.mark(), receiver.mark()
        sender.say(receiver.bare, text)
        got = receiver.wait(since, 15, contains=[text], sender=sender.bare)
        assert got is not None, f"what {sender.bare} wrote to {receiver.bare} did not arrive, although it is permitted"
        events = events_of(external_events, mark, [text])
        assert [event["verdict"] for event in events] == ["allowed"], f"events of a message that went through: {events}"
        seen(f"{sender.bare} wrote to {receiver.bare}; one event ({events[0]['rule']}).")
    for watcher, watched in ((contact, person), (person, contact)):
        for state, show in (("away", "<show>away</show>"), ("there", "")):
            text, since = fresh(state), watcher.mark()
            watched.send(f"<presence>{show}<status>{text}</status></presence>")
            noticed = watcher.wait(since, 15, tag="presence", contains=[text], sender=watched.bare)
            assert noticed is not None, f"{watcher.bare} does not see that {watched.bare} is {state}"
        seen(f"{watcher.bare} sees when {watched.bare} is away or there.")
    for owner, other in ((person, contact), (contact, person)):
        found = owner.contacts()
        assert found.get(other.bare) == "both", f"in the list of {owner.bare} {other.bare} stands so: {found}"
    seen("Each stands in the other's contact list, both ways.")


@control(
    id="R8-partner-for-whom-it-is-meant",
    practice="R8",
    says="A partner whose entry names certain people talks to nobody else of the company, in neither direction.",
    permitted="The person whom the entry names gets a message of the contact.",
    forbidden="Every kind of stanza between the contact and others with an account; some to a person without one.",
    on="im_external",
    breakage=WIDER,
)
def test_partner_for_whom_it_is_meant(
    *,
    facts: SiteFacts,
    world: Probe,
    external_client: Callable[[str], Client],
    granted: Callable[[], Client],
    partner_server: Callable[[], Peer],
    external_events: Events,
    seen: Seen,
) -> None:
    person = granted()
    other, friend, peer = external_client("probe-a"), external_client("probe-b"), partner_server()
    arrived_from_contact(peer, person)()
    seen(f"{CONTACT}@{PARTNER} wrote to {person.bare}.")

    def later() -> None:
        text, since = fresh("later"), other.mark()
        friend.say(other.bare, text)
        assert other.wait(since, 5, contains=[text]) is not None, f"nothing reaches {other.bare}, so nothing is proven"

    seen(from_outside(peer, other, sender=FROM_CONTACT, events=external_events, later=later))
    seen(to_outside(other, f"{CONTACT}@{PARTNER}", external_events, world))
    without = sorted(facts.people_today().keys() - facts.granted_today().keys())
    mark, numbers = external_events.mark(), dict[str, str]()
    for name in without[:1]:
        for kind in ("chat message", "presence", "request to subscribe", "question", "invitation into a room"):
            number = fresh("nobody")
            numbers[number] = kind
            peer.send(KINDS[kind].stanza(number, f"{name}@{facts.external_domain}", FROM_CONTACT))
        rules = noted_once(external_events, mark, numbers)
        seen(f"{CONTACT}@{PARTNER} to {name}, who has no leave: refused, one event each ({', '.join(sorted(rules))}).")


@control(
    id="R8-partner-strangers",
    practice="R8",
    says="Whoever works at the partner and is not an agreed contact reaches nobody, and is reached by nobody.",
    permitted="The agreed contact's message, over the same stream, after all of it.",
    forbidden="Every kind of stanza between the person with leave and somebody else there; false names in its stream.",
    on="im_external",
    breakage=WIDER,
)
def test_partner_strangers(
    *,
    facts: SiteFacts,
    world: Probe,
    granted: Callable[[], Client],
    partner_server: Callable[[], Peer],
    external_events: Events,
    seen: Seen,
) -> None:
    person, peer = granted(), partner_server()
    sender = f"{UNLISTED}@{PARTNER}/control"
    later = arrived_from_contact(peer, person)
    seen(from_outside(peer, person, sender=sender, events=external_events, later=later))
    seen(to_outside(person, f"{UNLISTED}@{PARTNER}", external_events, world))
    # what a stream says that it comes from, and what the stanzas in it say
    for claimed in (f"{CONTACT}@chat.{PARTNER}/x", f"{CONTACT}@{HOSTILE}/x", f"probe-b@{facts.external_domain}/x"):
        own = Peer(world, facts).accepted(partner_authority(facts.folder).sign(PARTNER))
        number, since = fresh("claimed"), person.mark()
        own.send(KINDS["chat message"].stanza(number, person.bare, claimed))
        later()
        assert not person.received(since, number), f"a message that claims to be from {claimed} arrived"
        seen(f"A message in the partner's stream that claims to be from {claimed}: did not arrive.")
        own.close()


@control(
    id="R8-hostile-domain",
    practice="R8",
    says="Nothing goes to a domain that is no partner's: the server does not even look for it.",
    permitted="A message to the partner's contact arrives there.",
    forbidden="Every kind of stanza to somebody at another domain, and at a partner whose entry is over.",
    on="im_external",
    breakage=HOSTILE_WELCOME,
)
def test_hostile_domain(
    *,
    facts: SiteFacts,
    world: Probe,
    world_root: Probe,
    granted: Callable[[], Client],
    partner_client: Callable[[str], Client],
    external_events: Events,
    seen: Seen,
) -> None:
    person = granted()
    contact, text = partner_client(f"{CONTACT}@{PARTNER}"), fresh("hello")
    since = contact.mark()
    person.say(contact.bare, text)
    assert contact.wait(since, 15, contains=[text]) is not None, f"a message to {contact.bare} did not arrive"
    asked = "/var/log/unbound/queries.log"
    over = [one for one in facts.sallyport.get("partners", []) if one["domain"] not in facts.partners_today()]
    targets = [f"{CONTACT}@{HOSTILE}"]
    targets += [f"{contact}@{one['domain']}" for one in over for contact in list(one.get("contacts", {}))[:1]]
    for target in targets:
        size, domain = world_root.do("file_size", path=asked), target.partition("@")[2]
        seen(to_outside(person, target, external_events, world))
        looked = world_root.do("lines_since", path=asked, offset=size, containing=domain)
        assert not looked, f"the server looked for {domain}: {looked[0]}"
        seen(f"Nobody outside was asked for {domain}.")


LINKS = {
    "a link that a program opens": "<body>see</body><x xmlns='jabber:x:oob'><url>https://{host}/{n}.exe</url></x>",
    "a link in the text": "<body>look at https://{host}/upload/{n}/plan.pdf now</body>",
    "a link in capitals": "<body>HTTPS://{upper}/{n}</body>",
    "a link in the second text": "<body>one</body><body xml:lang='de'>https://{host}/{n}</body>",
    "a described file": "<body>file</body><media-sharing xmlns='urn:xmpp:sims:1'><file>{n}</file></media-sharing>",
}


@control(
    id="R11-partner-links",
    practice="R11",
    says="Links to files at a partner are refused, since nobody has scanned what is behind them.",
    permitted="A message of the contact without a link.",
    forbidden="Links to files on the partner's server, in five forms.",
    tried_from="outside",
    on="im_external",
    breakage=Breakage(POLICY, r'"partner_links": "refuse"', '"partner_links": "permit"', command=READ_AGAIN),
)
def test_partner_links(
    *,
    facts: SiteFacts,
    granted: Callable[[], Client],
    partner_server: Callable[[], Peer],
    external_events: Events,
    seen: Seen,
) -> None:
    facts.external_server()
    if facts.sallyport.get("external", {}).get("partner_links", "refuse") == "permit":
        raise Amber("The site lets links to files at partners through; nobody scans what is behind them.")
    person, peer = granted(), partner_server()
    later = arrived_from_contact(peer, person)
    # one sender may send only so much: what controls before this sent in the contact's name must not decide here
    time.sleep(REST_SECONDS)
    later()
    seen("A message without a link arrived.")
    mark, since, numbers = external_events.mark(), person.mark(), dict[str, str]()
    for kind, payload in LINKS.items():
        number = fresh("link")
        numbers[number] = kind
        filled = payload.replace("{host}", f"files.{PARTNER}").replace("{upper}", f"FILES.{PARTNER.upper()}")
        words = f"from='{FROM_CONTACT}' to='{person.bare}' type='chat' id='{number}'"
        peer.send(f"<message {words}>{filled.replace('{n}', number)}</message>")
    rules = noted_once(external_events, mark, numbers)
    assert "rate" not in rules, "it was refused for being too much, so nothing is proven of links"
    later()
    for number, kind in numbers.items():
        assert not person.received(since, number), f"{kind} arrived"
        seen(f"{kind}: refused.")
    seen(f"One event each ({', '.join(sorted(rules))}).")


@control(
    id="R11-flood-from-partner",
    practice="R11",
    says="A contact whose program sends without end is slowed down; others at the partner still get through.",
    permitted="The contact's first messages, and again after a while.",
    forbidden="More messages than the site takes from one sender.",
    tried_from="outside",
    on="im_external",
    # the contact has spent what it may send at once a moment ago: what comes again with time is widened as well
    breakage=Breakage(
        POLICY,
        r'"burst": \d+,\n( *)"messages_per_minute": \d+',
        r'"burst": 1000,\n\1"messages_per_minute": 60000',
        command=READ_AGAIN,
    ),
)
def test_flood_from_partner(
    *,
    granted: Callable[[], Client],
    partner_server: Callable[[], Peer],
    external_events: Events,
    seen: Seen,
) -> None:
    person, peer, times = granted(), partner_server(), 200
    prefix, since, mark = fresh("flood"), person.mark(), external_events.mark()
    sender = f"{CONTACT}@{PARTNER}/flood"
    words = f"from='{sender}' to='{person.bare}' type='chat' id='{prefix}-{{n}}'"
    peer.send(f"<message {words}><body>{prefix}-{{n}}.</body></message>", times=times)
    numbers = [f"{prefix}-{number}" for number in range(times)]
    found = events_of(external_events, mark, numbers, 15)
    counted = amount(found)
    refused = [event for event in found if event["verdict"] == "refused"]
    assert counted == times, f"of {times} messages {counted} are in the log"
    arrived = len(person.received(since, f"{prefix}-"))
    assert refused, f"all of {times} messages in one burst were let through"
    assert arrived == times - amount(refused), (
        f"{arrived} arrived, and the log says that {amount(refused)} were refused"
    )
    assert arrived > 0, "not even the first message arrived"
    seen(f"Of {times} messages in one burst {arrived} arrived, {amount(refused)} were refused ({refused[0]['rule']}).")
    for _ in range(20):
        time.sleep(3)
        text, since = fresh("after"), person.mark()
        peer.send(KINDS["chat message"].stanza(text, person.bare, sender))
        if person.wait(since, 3, contains=[text]) is not None:
            seen("Soon afterwards the same contact got through again.")
            return
    raise AssertionError("a minute later the contact still does not get through")
