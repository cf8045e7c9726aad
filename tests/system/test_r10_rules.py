# SPDX-License-Identifier: GPL-3.0-or-later
"""R10, R11: what the site's own rules refuse, warn of and note, and that people know of it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from system.attempts import VERDICT, arrives, from_friend, one_refusal, refused_between
from system.controls import Amber, Breakage, NotApplicable, Seen, control
from system.site_facts import SiteFacts
from system.talk import Client, Events, fresh, why

MODULES = VERDICT.rpartition("/")[0]
PEOPLE_HOST, ADDRESSES = f"{MODULES}/people_host.lib.lua", f"{MODULES}/addresses.lib.lua"
LISTS = "/etc/sallyport/lists"
NO_RULES = Breakage(PEOPLE_HOST, r"if #hits == 0 then return verdict; end", "if hits then return verdict; end")
# of the issuers' and banks' documentation: nobody has them
NUMBERS = {
    "card": "4111 1111 1111 1111",
    "iban": "DE89 3704 0044 0532 0130 00",
    "id-no": "010107 50160",
    "id-se": "811218-9876",
    "id-nl": "BSN 111222333",
    "id-de": "86 095 742 719",
    "id-us": "078-05-1120",
}
CONTENT = ("keywords", "keyword_files", "patterns", "validators", "links", "files")
OTHER = ("from", "to", "hours", "rate")


def entries(facts: SiteFacts, file: str) -> list[str]:
    """Return the entries of a list of the site."""
    text = (Path(facts.folder) / file).read_text(encoding="utf-8")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def words_of(facts: SiteFacts, rule: dict[str, Any]) -> str:
    """Return a text that meets a rule with one condition about words; empty when this cannot make one."""
    given = [name for name in CONTENT if rule.get(name)]
    if len(given) != 1 or any(rule.get(name) for name in OTHER):
        return ""
    if given == ["validators"]:
        return NUMBERS[rule["validators"][0]]
    if given == ["keywords"]:
        return str(rule["keywords"][0])
    if given == ["keyword_files"]:
        return entries(facts, rule["keyword_files"][0])[0]
    return ""


def with_words(facts: SiteFacts, action: str) -> dict[str, str]:
    """Return texts that meet the rules of an action between colleagues, by the rules' ids."""
    rules = facts.sallyport.get("rules", [])
    if not rules:
        raise Amber("The site has no rules about what is written; nothing is looked for.")
    found = {
        rule["id"]: words_of(facts, rule)
        for rule in rules
        if rule["action"] == action and "inside" in rule.get("direction", ["inside"])
    }
    found = {name: text for name, text in found.items() if text}
    if not found:
        raise NotApplicable(f"no rule of the site with the action {action} can be tried by words alone")
    return found


def disguised(text: str) -> dict[str, str]:
    """Return the body of a message that says the same, in several forms."""
    wide = "".join(chr(ord(mark) + 0xFEE0) if "!" <= mark <= "~" else mark for mark in text)
    return {
        "as it is": f"<body>{escape(text)}</body>",
        "in capitals": f"<body>{escape(text.upper())}</body>",
        "in wide letters": f"<body>{wide}</body>",
        "with marks that are not seen": "<body>" + "\N{ZERO WIDTH SPACE}".join(map(escape, text)) + "</body>",
        "in a second text": f"<body>hello</body><body xml:lang='de'>{escape(text)}</body>",
        "in formatted text": "<body>hello</body><html xmlns='http://jabber.org/protocol/xhtml-im'>"
        f"<body xmlns='http://www.w3.org/1999/xhtml'><p>{escape(text[:2])}<b>{escape(text[2:])}</b></p></body></html>",
    }


def refused(person: Client, friend: Client, inner: str, name: str, events: Events) -> str:
    """Send what a rule refuses; make sure that this rule did it; return words for the report."""
    mark = events.mark()
    number = ""

    def stanza(given: str) -> str:
        nonlocal number
        number = given
        return f"<message to='{friend.bare}' type='chat' id='{given}'>{inner}</message>"

    words = refused_between(
        person,
        friend,
        stanza,
        events=events,
        later=from_friend(person, friend),
        rule="content",
        condition="policy-violation",
    )
    event = one_refusal(events, mark, number, "content")
    assert name in event["matched"], f"the event names the rules {event['matched']} and not {name}"
    assert event["action"] == "refuse", f"the event says {event['action']!r}"
    return words


@control(
    id="R10-refused-words",
    practice="R10",
    says="What must not be sent by chat, as card numbers or words of a list, is refused, also when it is disguised.",
    permitted="A message that says nothing of it.",
    forbidden="What the site's rules refuse, in six forms.",
    breakage=NO_RULES,
)
def test_refused_words(facts: SiteFacts, client: Callable[[str], Client], events: Events, seen: Seen) -> None:
    texts = with_words(facts, "refuse")
    person, friend = client("probe-a"), client("probe-b")
    hello = fresh("hello")
    arrives(
        person, friend, f"<message to='{friend.bare}' type='chat' id='{hello}'><body>{hello}</body></message>", hello
    )
    seen("An ordinary message arrived.")
    for name, text in texts.items():
        forms = disguised(text)
        for inner in forms.values():
            refused(person, friend, inner, name, events)
        seen(f"What the rule {name} refuses, {', '.join(forms)}: refused, not delivered, one event each that names it.")


@control(
    id="R10-warned-words",
    practice="R10",
    says="Whoever writes something delicate is told so, and it is noted.",
    permitted="It is delivered; an ordinary message passes without a warning.",
    forbidden="That it passes without a warning to its sender and without a mark in the log.",
    breakage=NO_RULES,
)
def test_warned_words(facts: SiteFacts, client: Callable[[str], Client], events: Events, seen: Seen) -> None:
    texts = with_words(facts, "warn")
    person, friend = client("probe-a"), client("probe-b")
    for name, text in texts.items():
        reason = next(rule["reason"] for rule in facts.sallyport["rules"] if rule["id"] == name)
        mark, since, number = events.mark(), person.mark(), fresh("warned")
        inner = f"<body>{escape(text)} {number}</body>"
        arrives(person, friend, f"<message to='{friend.bare}' type='chat' id='{number}'>{inner}</message>", number)
        warning = person.wait(since, 5, tag="message", sender=facts.domain, contains=[escape(reason)])
        assert warning is not None, f"{person.account} wrote what the rule {name} warns of, and was not told"
        found = events.of(mark, number)
        assert [event.get("action") for event in found] == ["warn"], f"the events of it: {found}"
        assert name in found[0]["matched"], f"the event names the rules {found[0]['matched']}"
        plain, start = fresh("plain"), person.mark()
        xml = f"<message to='{friend.bare}' type='chat' id='{plain}'><body>{plain}</body></message>"
        arrives(person, friend, xml, plain)
        assert person.wait(start, 1, tag="message", sender=facts.domain, contains=[escape(reason)]) is None, (
            "warned of nothing"
        )
        seen(
            f"The rule {name}: delivered, its sender told “{reason}”, the event names it; an ordinary message: nothing."
        )


@contextmanager
def spoiled_list(server: Any, file: str, domain: str) -> Iterator[str]:
    """Add a line to a list by hand and let the server read it; the right one comes back in any case."""
    kept = f"/var/lib/sallyport-{Path(file).name}.kept"
    assert server.run("cp -a %s %s", file, kept).rc == 0, f"{file} could not be kept"
    try:
        server.run(f"echo {shlex.quote('sallyport-control')} >> %s", file)
        yield server.run("prosodyctl shell sallyport reload %s 2>&1", domain).stdout
    finally:
        server.run("mv %s %s", kept, file)
        server.run("prosodyctl shell sallyport reload %s", domain)


@control(
    id="R10-lists-fail-closed",
    practice="R10",
    says="A list of the rules that somebody changed by hand is not taken, and the rules stay as they were.",
    permitted="With the right list, what is in it is refused; an ordinary message passes.",
    forbidden="Taking a list that is not the one that the rules were made with.",
    safe=False,
    breakage=Breakage(PEOPLE_HOST, r"if hashes\.sha256\(text, true\) ~= digest then", "if false then"),
)
def test_lists_fail_closed(
    facts: SiteFacts, client: Callable[[str], Client], server: Any, events: Events, seen: Seen
) -> None:
    lists = server.run("ls %s", LISTS).stdout.split()
    if not lists:
        raise NotApplicable("no rule of the site has a list of its own")
    person, friend = client("probe-a"), client("probe-b")
    for name in lists:
        with spoiled_list(server, f"{LISTS}/{name}", facts.domain) as answer:
            assert "not the list that the policy names" in answer, f"{name} was changed, and the server said {answer!r}"
            hello = fresh("hello")
            xml = f"<message to='{friend.bare}' type='chat' id='{hello}'><body>{hello}</body></message>"
            arrives(person, friend, xml, hello)
            for rule, text in with_words(facts, "refuse").items():
                refused(person, friend, f"<body>{escape(text)}</body>", rule, events)
        seen(f"{name} changed by hand: not taken, an error says so, and the old rules hold.")


def link_rules(facts: SiteFacts, condition: str) -> list[dict[str, Any]]:
    """Return the rules that refuse links between colleagues for one reason and no other."""
    return [
        rule
        for rule in facts.sallyport.get("rules", [])
        if rule["action"] == "refuse"
        and (rule.get("links") or {}).get(condition)
        and "inside" in rule.get("direction", ["inside"])
        and not any(rule.get(name) for name in (*CONTENT, *OTHER) if name != "links")
    ]


@control(
    id="R11-blocked-links",
    practice="R11",
    says="Links to places that are known to be dangerous are refused, in whatever way they are written.",
    permitted="A link to a place that is in no list.",
    forbidden="A blocked one as it is, in capitals, below another name, without its scheme, behind a text.",
    breakage=NO_RULES,
)
def test_blocked_links(facts: SiteFacts, client: Callable[[str], Client], events: Events, seen: Seen) -> None:
    rules = link_rules(facts, "blocked") + link_rules(facts, "blocked_files")
    if not rules:
        raise Amber("The site has no list of dangerous links; none is refused.")
    person, friend = client("probe-a"), client("probe-b")
    text = fresh("link")
    link = f"https://www.example.org/{text}"
    arrives(person, friend, f"<message to='{friend.bare}' type='chat' id='{text}'><body>{link}</body></message>", link)
    seen("A link to a place that is in no list arrived.")
    for rule in rules:
        links = rule["links"]
        blocked = [
            *links.get("blocked", []),
            *(one for file in links.get("blocked_files", []) for one in entries(facts, file)),
        ]
        host = next(one for one in blocked if "/" not in one and not one[-1].isdigit()).split()[-1]
        forms = {
            "as it is": f"<body>https://{host}/x</body>",
            "in capitals": f"<body>HTTPS://{host.upper()}</body>",
            "below another name": f"<body>see https://login.{host}/x</body>",
            "without its scheme": f"<body>see {host} for it</body>",
            "as a number in percent": f"<body>https://{host.replace('.', '%2E')}/x</body>",
            "behind another text": "<body>x</body><html xmlns='http://jabber.org/protocol/xhtml-im'>"
            f"<body xmlns='http://www.w3.org/1999/xhtml'><a href='https://{host}/x'>here</a></body></html>",
        }
        for inner in forms.values():
            refused(person, friend, inner, rule["id"], events)
        seen(f"{host}, {', '.join(forms)}: refused, not delivered, one event each that names the rule {rule['id']}.")


@control(
    id="R11-lookalike-links",
    practice="R11",
    says="Links to a name that only looks like the company's own or a partner's are refused.",
    permitted="A link to the company's own name.",
    forbidden="A link to it with one letter exchanged, with a foreign letter, and with another name behind it.",
    breakage=Breakage(ADDRESSES, r"if is_imitation\(imitated, name\) then return true; end", ""),
)
def test_lookalike_links(facts: SiteFacts, client: Callable[[str], Client], events: Events, seen: Seen) -> None:
    rules = link_rules(facts, "lookalike")
    if not rules:
        raise Amber("The site has no rule about names that look like its own.")
    person, friend = client("probe-a"), client("probe-b")
    text = fresh("own")
    link = f"https://{facts.domain}/{text}"
    arrives(person, friend, f"<message to='{friend.bare}' type='chat' id='{text}'><body>{link}</body></message>", link)
    seen("A link to the company's own name arrived.")
    letter = next(mark for mark in facts.domain if mark in "aeopcx")
    foreign = {"a": "\u0430", "e": "\u0435", "o": "\u043e", "p": "\u0440", "c": "\u0441", "x": "\u0445"}[letter]
    # the last two letters before the last dot exchanged
    place = facts.domain.rindex(".") - 2
    swapped = facts.domain[:place] + facts.domain[place + 1] + facts.domain[place] + facts.domain[place + 2 :]
    forms = {
        "two letters exchanged": swapped,
        "a foreign letter": facts.domain.replace(letter, foreign, 1),
        "another name behind it": f"{facts.domain}.login.example.org",
    }
    for name in forms.values():
        refused(person, friend, f"<body>https://{name}/x</body>", rules[0]["id"], events)
    seen(f"{', '.join(f'{how} ({name})' for how, name in forms.items())}: each refused, one event each.")


@control(
    id="R10-people-are-told",
    practice="R10",
    says="Everybody is told that the service is monitored, and reads it in each room.",
    permitted="Entering a room shows the words.",
    forbidden="Changing them.",
    breakage=Breakage(
        VERDICT, r'facts\.room_change or facts\.subject_change and policy\.notice ~= ""', "facts.room_change"
    ),
)
def test_people_are_told(facts: SiteFacts, client: Callable[[str], Client], events: Events, seen: Seen) -> None:
    notice = facts.sallyport.get("notice")
    if notice == {}:
        raise Amber("The site tells nobody that the service is monitored; in many countries it has to.")
    person, friend = client("probe-a"), client("probe-b")
    room = f"probes@{facts.rooms}"
    since = person.mark()
    try:
        assert person.join(room) is not None, f"{room} did not let {person.bare} in"
        # without a text of the site's own, that of the kit names the company
        words = next(iter(notice.values())).replace("{company}", facts.sallyport["company"]) if notice else ""
        expected = words.split("\n")[0].strip()[:40] or facts.sallyport["company"]
        told = person.wait(since, 5, tag="message", sender=room, type="groupchat", contains=[escape(expected)])
        assert told is not None, f"who enters {room} does not read {expected!r}"
        text = told.findtext("{*}subject") or ""
        assert expected in text, f"the subject of {room} is {text!r}"
        seen(f"Who enters a room reads: {text[:120]}…")
        mark, number = events.mark(), fresh("subject")
        start = person.send(
            f"<message to='{room}' type='groupchat' id='{number}'><subject>{number}</subject></message>"
        )
        answer = person.wait(start, 5, id=number, type="error")
        assert answer is not None, "a person could change the subject of a room"
        one_refusal(events, mark, number, "room-locked")
        assert not friend.received(friend.mark(), number), "the other subject was shown"
        seen(f"Changing the subject: {why(answer)}.")
    finally:
        person.leave(room)


HIDDEN = (
    "<body>hidden</body><encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/>"
    "<payload>aGVsbG8=</payload></encrypted>"
)


def _nothing_hidden(
    facts: SiteFacts, client: Callable[[str], Client], events: Events, seen: Seen, *, otherwise: str
) -> None:
    """Make sure that messages cannot be encrypted from end to end, or say what follows from the site's choice."""
    if facts.sallyport.get("end_to_end_encryption", "forbid") == "permit":
        raise Amber(f"The site permits encryption from end to end (OMEMO, OpenPGP, OTR); {otherwise}")
    person, friend = client("probe-a"), client("probe-b")
    hello = fresh("hello")
    arrives(
        person, friend, f"<message to='{friend.bare}' type='chat' id='{hello}'><body>{hello}</body></message>", hello
    )
    words = refused_between(
        person,
        friend,
        lambda number: f"<message to='{friend.bare}' type='chat' id='{number}'>{HIDDEN}</message>",
        events=events,
        later=from_friend(person, friend),
        rule="encrypted",
        condition="not-acceptable",
    )
    seen(f"A readable message arrived; one that is encrypted from end to end: {words}")


ENCRYPTION_PASSES = Breakage(VERDICT, r"if facts\.carries then return M\.refuse\(facts\.carries\); end", "")
READABLE = "A message that the server can read."
UNREADABLE = "One that is encrypted from end to end."


@control(
    id="R9-end-to-end-encryption",
    practice="R9",
    says="Nothing is written past the log by encrypting it from end to end.",
    permitted=READABLE,
    forbidden=UNREADABLE,
    breakage=ENCRYPTION_PASSES,
)
def test_logged_in_clear(facts: SiteFacts, client: Callable[[str], Client], events: Events, seen: Seen) -> None:
    otherwise = "the log says that such a message was sent, and not what it said."
    _nothing_hidden(facts, client, events, seen, otherwise=otherwise)


@control(
    id="R10-end-to-end-encryption",
    practice="R10",
    says="Nothing is written past the rules by encrypting it from end to end.",
    permitted=READABLE,
    forbidden=UNREADABLE,
    breakage=ENCRYPTION_PASSES,
)
def test_watched_in_clear(facts: SiteFacts, client: Callable[[str], Client], events: Events, seen: Seen) -> None:
    _nothing_hidden(facts, client, events, seen, otherwise="no rule looks at what such a message says.")


@control(
    id="R11-end-to-end-encryption",
    practice="R11",
    says="No file and no link gets past the scanner by encrypting it from end to end.",
    permitted=READABLE,
    forbidden=UNREADABLE,
    breakage=ENCRYPTION_PASSES,
)
def test_scanned_in_clear(facts: SiteFacts, client: Callable[[str], Client], events: Events, seen: Seen) -> None:
    otherwise = "files that are encrypted so are noise to the scanner, and links in such a message are not seen."
    _nothing_hidden(facts, client, events, seen, otherwise=otherwise)
