# SPDX-License-Identifier: GPL-3.0-or-later
"""R8: contacts are known and trusted parties, and nobody else; the half inside the company."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from probe.remote import Probe
from system.attempts import (
    CONFIG,
    STRANGERS_WELCOME,
    VERDICT,
    accept,
    arrives,
    both_ways,
    from_friend,
    from_server,
    invite,
    one_refusal,
    refused_between,
    sign_in,
    told,
)
from system.controls import RESTART, Breakage, NotApplicable, NotTried, Seen, control
from system.site_facts import SiteFacts
from system.talk import Client, Events, fresh, why

POLICY = "/etc/sallyport/policy.json"
KEPT_POLICY = "/root/sallyport-policy-kept.json"
INVITATION = VERDICT.replace("mod_sallyport/verdict.lib", "mod_sallyport_invitation/mod_sallyport_invitation")
POLICY_READER = VERDICT.replace("verdict", "policy")
CONTACTS = VERDICT.replace("verdict", "contacts")
DOCUMENT = VERDICT.replace("verdict", "document")


def _message(kind: str, _: Client, receiver: Client, number: str) -> str:
    return f"<message to='{receiver.bare}' type='{kind}' id='{number}'><body>{number}</body></message>"


def _presence(kind: str, _: Client, receiver: Client, number: str) -> str:
    return f"<presence to='{receiver.bare}' id='{number}'{kind}><status>{number}</status></presence>"


def expected_contacts(facts: SiteFacts, person: str) -> set[str]:
    """Return whom a person sees, worked out from the site file alone."""
    groups = facts.sallyport.get("groups", {})
    sees: dict[str, set[str]] = {name: {name} for name in groups}
    for name, group in groups.items():
        for other in (group or {}).get("contacts", []):
            sees[name].add(other)
            sees[other].add(name)
    people = facts.people_today()
    mine = people[person].get("groups", [])
    return {
        f"{other}@{facts.domain}"
        for other, entry in people.items()
        if other != person and any(group in sees[own] for own in mine for group in entry.get("groups", []))
    }


@control(
    id="R8-contacts-from-groups",
    practice="R8",
    says="Everybody has the company's contact list from the first moment, without adding anybody.",
    permitted="The contact list holds each colleague of one's groups.",
    forbidden="Anybody else in it.",
    breakage=Breakage(CONTACTS, r"if policy:valid\(name, self\.now\) then", "if false then"),
)
def test_contacts_from_groups(
    facts: SiteFacts, client: Callable[[str], Client], demo_people: list[str], seen: Seen
) -> None:
    expected = {
        "probe-a": {f"probe-b@{facts.domain}"},
        "probe-b": {f"probe-a@{facts.domain}"},
        "probe-c": set[str](),
    }
    expected |= {person: expected_contacts(facts, person) for person in demo_people}
    # whoever is told of alerts sees who tells
    for person in {*demo_people} & {*(facts.sallyport.get("alerts") or {}).get("people", ())}:
        expected[person].add(f"sallyport-alerts@{facts.domain}")
    for person, colleagues in expected.items():
        found = client(person).contacts()
        assert set(found) == colleagues, f"{person} sees {sorted(found)} and should see {sorted(colleagues)}"
        assert set(found.values()) <= {"both"}, f"{person}: not all see each other: {found}"
        seen(f"{person} sees {', '.join(sorted(name.partition('@')[0] for name in found)) or 'nobody'}.")


@control(
    id="R8-invitation",
    practice="R8",
    says="A person chooses her own password with an invitation that works once; the company never knows it.",
    permitted="Accepting an invitation, signing in with the new password, writing to a colleague.",
    forbidden="Accepting it again; an invented invitation; a password that is too short.",
    safe=False,
    breakage=Breakage(INVITATION, r"^\s*invite:use\(\);$", ""),
)
def test_invitation(
    *,
    facts: SiteFacts,
    desk: Probe,
    server: Any,
    client: Callable[[str], Client],
    demo_people: list[str],
    password: Callable[[str], str],
    seen: Seen,
) -> None:
    person = next((name for name in demo_people if expected_contacts(facts, name)), "")
    if not person:
        raise NotTried("no password of two people who see each other is known here")
    colleague = sorted(expected_contacts(facts, person))[0].partition("@")[0]
    secret, token = password(person), invite(server, person, facts.internal())
    short = accept(desk, token, "short", facts.internal())
    assert short == 422, f"a password of five characters was answered {short}"
    accepted = accept(desk, token, secret, facts.internal())
    assert accepted == 200, f"the invitation was answered {accepted}"
    answer = sign_in(desk, facts, person, secret)
    assert answer["result"] == "signed in", f"{person} accepted her invitation and cannot sign in: {told(answer)}"
    again = accept(desk, token, fresh("second"), facts.internal())
    assert again == 410, f"the same invitation a second time was answered {again}"
    invented = accept(desk, fresh("token"), fresh("third"), facts.internal())
    assert invented == 410, f"an invented invitation was answered {invented}"
    text, sender, receiver = fresh("hello"), client(person), client(colleague)
    arrives(sender, receiver, _message("chat", sender, receiver, text), text)
    seen(f"{person} accepted her invitation, was {told(answer)} and wrote to {colleague}.")
    seen(f"Too short a password: {short}; the same invitation again: {again}; an invented one: {invented}.")


@control(
    id="R8-contact-list-locked",
    practice="R8",
    says="Nobody can add a contact to, or remove one from, a contact list.",
    permitted="Reading one's own contact list.",
    forbidden="Adding a stranger; removing a colleague; asking a stranger for a subscription.",
    breakage=Breakage(VERDICT, r'return M\.refuse\("roster-locked"\)', 'return allow("self")'),
)
def test_contact_list_locked(facts: SiteFacts, client: Callable[[str], Client], events: Events, seen: Seen) -> None:
    person = client("probe-a")
    before = person.contacts()
    stranger, colleague = f"probe-c@{facts.domain}", f"probe-b@{facts.domain}"
    for words, item in (
        ("adding a stranger", f"<item jid='{stranger}'/>"),
        ("removing a colleague", f"<item jid='{colleague}' subscription='remove'/>"),
    ):
        mark, number = events.mark(), fresh("roster")
        start = person.send(f"<iq type='set' id='{number}'><query xmlns='jabber:iq:roster'>{item}</query></iq>")
        answer = person.wait(start, 5, id=number)
        assert answer is not None, f"{words} was not answered"
        assert answer.get("type") == "error", f"{words} was accepted"
        assert "not-allowed" in why(answer), f"{words}: {why(answer)}"
        one_refusal(events, mark, number, "roster-locked")
        seen(f"{words.capitalize()}: {why(answer)}.")
    assert person.contacts() == before, f"the contact list was {before} and is {person.contacts()}"
    seen("The list is what it was.")


@control(
    id="R8-stranger-message",
    practice="R8",
    says="A message from a stranger does not arrive, and none can be sent to one.",
    permitted="A message between colleagues, and a later one which proves that nothing was merely slow.",
    forbidden="A message from and to somebody who is in no common group.",
    breakage=STRANGERS_WELCOME,
)
def test_stranger_message(client: Callable[[str], Client], events: Events, seen: Seen) -> None:
    person, friend = client("probe-a"), client("probe-b")
    text = fresh("hello")
    arrives(friend, person, f"<message to='{person.bare}' type='chat' id='{text}'><body>{text}</body></message>", text)
    seen("A colleague's message arrived.")
    for kind in ("chat", "normal"):
        both_ways(client, partial(_message, kind), events=events, seen=seen)


@control(
    id="R8-stranger-presence",
    practice="R8",
    says="A stranger neither sees whether somebody is there nor can ask to.",
    permitted="Presence between colleagues.",
    forbidden="Presence and a request to subscribe, from and to a stranger.",
    breakage=STRANGERS_WELCOME,
)
def test_stranger_presence(client: Callable[[str], Client], events: Events, seen: Seen) -> None:
    person, friend = client("probe-a"), client("probe-b")
    text = fresh("there")
    arrives(friend, person, f"<presence to='{person.bare}' id='{text}'><status>{text}</status></presence>", text)
    seen("A colleague's presence arrived.")
    for kind in ("", " type='subscribe'"):
        both_ways(client, partial(_presence, kind), events=events, seen=seen)


@control(
    id="R8-stranger-query",
    practice="R8",
    says="A stranger cannot ask somebody's program anything: what it is, or for a file transfer.",
    permitted="The same question between colleagues is answered.",
    forbidden="A question from and to a stranger.",
    breakage=STRANGERS_WELCOME,
)
def test_stranger_query(client: Callable[[str], Client], events: Events, seen: Seen) -> None:
    person, friend = client("probe-a"), client("probe-b")
    question = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
    answer = friend.ask("get", question, to=person.full)
    assert answer.get("type") == "result", f"a colleague's question was answered with {why(answer)}"
    seen("A colleague's question was answered.")
    both_ways(
        client,
        lambda _, receiver, number: (
            f"<iq to='{receiver.full}' type='get' id='{number}'>"
            f"<query xmlns='http://jabber.org/protocol/disco#info' node='{number}'/></iq>"
        ),
        events=events,
        seen=seen,
    )


@control(
    id="R8-stranger-invitation",
    practice="R8",
    says="Nobody can be invited into a room by a stranger, nor a stranger be invited.",
    permitted="An invitation to a colleague into the room of the group.",
    forbidden="An invitation from and to a stranger, direct and by way of the room.",
    breakage=Breakage(
        VERDICT,
        r'return M\.refuse\("(?:stranger|invitation)"\)',
        'return allow("contact")',
    ),
)
def test_stranger_invitation(facts: SiteFacts, client: Callable[[str], Client], events: Events, seen: Seen) -> None:
    person, friend, stranger = client("probe-a"), client("probe-b"), client("probe-c")
    room = f"probes@{facts.rooms}"

    def direct(receiver: Client, number: str) -> str:
        return (
            f"<message to='{receiver.bare}' id='{number}'>"
            f"<x xmlns='jabber:x:conference' jid='{room}' reason='{number}'/></message>"
        )

    text = fresh("invite")
    arrives(friend, person, direct(person, text), text)
    seen("A colleague's invitation arrived.")
    both_ways(client, lambda _, receiver, number: direct(receiver, number), events=events, seen=seen)
    # by way of the room: the refusal names the invitation, since writing to the room is permitted
    assert person.join(room) is not None, f"{room} did not let {person.bare} in"

    def mediated(number: str) -> str:
        return (
            f"<message to='{room}' id='{number}'><x xmlns='http://jabber.org/protocol/muc#user'>"
            f"<invite to='{stranger.bare}'><reason>{number}</reason></invite></x></message>"
        )

    try:
        words = refused_between(
            person, stranger, mediated, events=events, later=from_server(stranger), rule="invitation"
        )
    finally:
        person.leave(room)
    seen(f"By way of the room: {words}")


@control(
    id="R8-room-of-the-group",
    practice="R8",
    says="Each group has its room; others neither enter it nor can make rooms of their own.",
    permitted="Two members of the group enter, and what one says the other reads.",
    forbidden="A stranger enters the room; a member makes a new one.",
    breakage=Breakage(
        VERDICT,
        r"if not policy:entitled\(facts\.from, facts\.to, now\) then return closed_room\(facts\); end",
        "",
    ),
)
def test_room_of_the_group(facts: SiteFacts, client: Callable[[str], Client], events: Events, seen: Seen) -> None:
    person, friend, stranger = client("probe-a"), client("probe-b"), client("probe-c")
    room = f"probes@{facts.rooms}"
    for member in (person, friend):
        answer = member.join(room)
        assert answer is not None, f"{room} did not answer {member.bare}"
        assert answer.get("type") != "error", f"{room} did not let {member.bare} in: {why(answer)}"
    try:
        text, since = fresh("room"), friend.mark()
        person.say(room, text, type="groupchat")
        heard = friend.wait(since, 5, contains=[text], sender=f"{room}/{person.account}")
        assert heard is not None, f"what was said in {room} did not reach the other member"
        seen(f"{person.account} and {friend.account} talk in {room}.")
        for words, target in (("the room", room), ("a room of her own", f"{fresh('own')}@{facts.rooms}")):
            for outsider in (stranger,) if target == room else (stranger, person):
                mark, number = events.mark(), fresh("join")
                start = outsider.send(
                    f"<presence to='{target}/{outsider.account}' id='{number}'>"
                    "<x xmlns='http://jabber.org/protocol/muc'/></presence>"
                )
                answer = outsider.wait(start, 5, tag="presence", sender=f"{target}/{outsider.account}")
                assert answer is not None, f"{outsider.bare} got no answer from {target}"
                assert answer.get("type") == "error", f"{outsider.bare} was let into {words}"
                found = events.of(mark, number)
                assert [event["verdict"] for event in found] == ["refused"], f"events of the attempt: {found}"
                seen(f"{outsider.account} enters {words}: {why(answer)}.")
    finally:
        for member in (person, friend):
            member.leave(room)


@control(
    id="R8-account-not-in-the-site-file",
    practice="R8",
    says="An account that is not in the site file, made by hand on the server, lets nobody in.",
    permitted="An account that is in it signs in the same way.",
    forbidden="Signing in with the right password of the foreign account.",
    safe=False,
    breakage=Breakage(CONFIG, r'^authentication = "sallyport".*$', 'authentication = "internal_hashed"'),
)
def test_account_not_in_the_site_file(
    facts: SiteFacts, desk: Probe, server: Any, password: Callable[[str], str], seen: Seen
) -> None:
    name, secret = fresh("foreign"), fresh("throw-away")
    jid = f"{name}@{facts.domain}"
    # a password for one test of the demo: here it may stand in the arguments of a process
    made = server.run("prosodyctl shell user create %s %s", jid, secret)
    assert "created" in made.stdout.lower(), f"the account could not be made by hand: {made.stdout} {made.stderr}"
    try:
        permitted = sign_in(desk, facts, "probe-a", password("probe-a"))
        assert permitted["result"] == "signed in", f"probe-a: {told(permitted)}"
        answer = sign_in(desk, facts, name, secret)
        assert answer["result"] == "refused", f"{jid} signed in with its right password"
        assert answer["step"] == "sasl", f"{jid} was refused for another reason: {told(answer)}"
        seen(f"probe-a: {told(permitted)}. An account made by hand: {told(answer)}.")
    finally:
        server.run("prosodyctl shell user delete %s", jid)


@control(
    id="R8-registration",
    practice="R8",
    says="Nobody can make an account for himself.",
    permitted="The same connection serves people who have an account.",
    forbidden="Registering a new account from the desktop, without and with an invented invitation.",
    breakage=Breakage(
        CONFIG,
        r'^allow_registration = false([\s\S]*)"user_account_management"',
        r'allow_registration = true\1"register_ibr"',
    ),
)
def test_registration(facts: SiteFacts, desk: Probe, password: Callable[[str], str], seen: Seen) -> None:
    permitted = sign_in(desk, facts, "probe-a", password("probe-a"))
    assert permitted["result"] == "signed in", f"probe-a: {told(permitted)}"
    common: dict[str, Any] = {"host": facts.service(), "port": 5222, "domain": facts.domain, "ca_pem": facts.ca_pem()}
    for words, token in (("without an invitation", ""), ("with an invented one", fresh("token"))):
        answer = desk.do("register", **common, user=fresh("new"), password=fresh("pw"), token=token)
        assert answer["result"] == "refused", f"registering {words} worked"
        assert answer["step"] in ("register", "invitation"), f"registering did not get that far: {told(answer)}"
        assert not answer["offered"], "the server offers registration"
        seen(f"Registering {words}: {answer['why']}.")


# on a slow machine a restart takes long; the domains are loaded right after the ports
LISTENS = "for i in $(seq 60); do ss -Hltn | grep -q :5222 && break; sleep 0.5; done; sleep 2"
ASK = "prosodyctl shell sallyport status %s 2>&1"
IN_FORCE = f"for i in $(seq 60); do {ASK} | grep -q in-force && break; sleep 0.5; done; sleep 1"


@contextmanager
def policy_of(server: Any, text: str | None, command: str, domain: str) -> Iterator[None]:
    """Put another policy file in place, or none, for a while; the right one comes back in any case."""
    assert server.run("cp -a %s %s", POLICY, KEPT_POLICY).rc == 0, f"{POLICY} could not be kept"
    try:
        if text is None:
            server.run("rm %s", POLICY)
        else:
            server.run("printf %%s %s > %s", text, POLICY)
        server.run(command)
        server.run(LISTENS)
        yield
    finally:
        server.run("mv %s %s", KEPT_POLICY, POLICY)
        server.run(RESTART)
        server.run(IN_FORCE, domain)


@control(
    id="R8-policy-fails-closed",
    practice="R8",
    says="When the rules are damaged, the last good ones stay in force; when there are none, nothing is delivered.",
    permitted="With damaged rules, colleagues still talk.",
    forbidden="With damaged rules, a stranger gets through; without rules, anything does.",
    safe=False,
    breakage=Breakage(DOCUMENT, r"if data\.format ~= FORMAT then", "if false then"),
)
def test_policy_fails_closed(
    *,
    facts: SiteFacts,
    client: Callable[[str], Client],
    desk: Probe,
    password: Callable[[str], str],
    server: Any,
    events: Events,
    seen: Seen,
) -> None:
    # what a stopped run left there is the good one
    server.run("test ! -e %s || mv %s %s", KEPT_POLICY, KEPT_POLICY, POLICY)
    good = server.run("cat %s", POLICY).stdout
    # if it were taken, the stranger would be a colleague
    other = json.loads(good)
    other["format"] = 99
    other["people"]["probe-c"]["groups"] = ["probes"]
    for words, text in (
        ("cut in half", good[: len(good) // 2]),
        ("of another version", json.dumps(other)),
        ("empty", ""),
    ):
        with policy_of(server, text, "prosodyctl reload", facts.domain):
            person, friend, stranger = client("probe-a"), client("probe-b"), client("probe-c")
            hello = fresh("old")
            arrives(person, friend, f"<message to='{friend.bare}' id='{hello}'><body>{hello}</body></message>", hello)
            refused_between(
                stranger,
                person,
                partial(_message, "chat", stranger, person),
                events=events,
                later=from_friend(friend, person),
            )
            seen(f"Rules {words}, reloaded: the old ones stay in force.")
    for words, text in (("removed", None), ("cut in half", good[: len(good) // 2])):
        with policy_of(server, text, RESTART, facts.domain):
            answer = sign_in(desk, facts, "probe-a", password("probe-a"))
            assert answer["result"] == "refused", f"rules {words}: probe-a could sign in"
            assert answer["step"] == "sasl", f"rules {words}: {told(answer)}"
            seen(f"Rules {words}, restarted: nobody gets in, so nothing is delivered ({answer['why']}).")
    person, friend = client("probe-a"), client("probe-b")
    hello = fresh("again")
    arrives(person, friend, f"<message to='{friend.bare}' id='{hello}'><body>{hello}</body></message>", hello)
    seen("With the rules back, colleagues talk.")


@control(
    id="R8-expired-person",
    practice="R8",
    says="Whose last day is over can no longer be reached, and is in nobody's contact list.",
    permitted="A message to a colleague within her dates.",
    forbidden="A message from a colleague to somebody whose entry has ended.",
    breakage=Breakage(POLICY_READER, r"return person ~= nil and holds\(person, now\);", "return person ~= nil;"),
)
def test_expired_person(
    facts: SiteFacts, client: Callable[[str], Client], demo_people: list[str], events: Events, seen: Seen
) -> None:
    today = facts.people_today()
    ended = {person["id"]: person for person in facts.sallyport.get("people", []) if person["id"] not in today}
    if not ended:
        raise NotApplicable("no entry of this site has ended")
    for name, entry in ended.items():
        colleagues = [one for one in demo_people if set(today[one]["groups"]) & set(entry["groups"])]
        if len(colleagues) < 2:
            raise NotTried(f"the kit can sign in as nobody who is in a group of {name}, as it should be")
        person, friend = client(colleagues[0]), client(colleagues[1])
        text = fresh("today")
        arrives(person, friend, f"<message to='{friend.bare}' id='{text}'><body>{text}</body></message>", text)
        mark, number = events.mark(), fresh("ended")
        start = person.say(f"{name}@{facts.domain}", number)
        answer = person.wait(start, 5, id=number, type="error")
        assert answer is not None, f"a message to {name}, whose entry has ended, got no error"
        one_refusal(events, mark, number, "stranger")
        assert f"{name}@{facts.domain}" not in person.contacts(), f"{name} is still in a contact list"
        seen(f"{person.account} to {name}, whose entry has ended: {why(answer)}.")
