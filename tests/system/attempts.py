# SPDX-License-Identifier: GPL-3.0-or-later
"""Attempts that several controls make, each with the words for the report."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

from probe.remote import Probe
from system.controls import Breakage, Seen
from system.site_facts import Service, SiteFacts
from system.talk import Client, Events, fresh, why

CONFIG = "/etc/prosody/prosody.cfg.lua"
VERDICT = "/usr/local/lib/sallyport/prosody-modules/mod_sallyport/verdict.lib.lua"

# the decision point takes every stranger for a contact
STRANGERS_WELCOME = Breakage(VERDICT, r'return M\.refuse\("stranger"\)', 'return allow("contact")')


def sign_in(
    probe: Probe, facts: SiteFacts, user: str, password: str, *, service: Service | None = None, **settings: Any
) -> dict[str, Any]:
    """Try to sign in, at the internal server unless another is named; see `probe.stream.sign_in` for the rest."""
    at = service or facts.internal()
    mode = settings.get("mode", "starttls")
    given = {"host": at.address, "port": 5223 if mode == "direct" else 5222, "ca_pem": at.ca_pem}
    answer: dict[str, Any] = probe.do(
        "sign_in", domain=at.domain, user=user, password=password, **{**given, **settings}
    )
    return answer


def told(answer: dict[str, Any]) -> str:
    """Return an answer of the probe in words."""
    if answer["result"] == "refused":
        return f"refused at {answer['step']}: {answer['why']}" if "step" in answer else f"refused: {answer['why']}"
    more = " ".join(str(answer[key]) for key in ("tls", "cipher") if answer.get(key))
    return f"{answer['result']}{f' ({more})' if more else ''}"


def one_refusal(events: Events, mark: int, number: str, rule: str) -> dict[str, Any]:
    """Wait for the event of a refused stanza and make sure that it is the only one.

    Args:
        events: The event file.
        mark: From where to look.
        number: Id of the stanza.
        rule: The rule that must have refused it.

    Returns:
        The event.
    """
    found: list[dict[str, Any]] = []
    for _ in range(10):
        found = events.of(mark, number)
        if found:
            break
        time.sleep(0.2)
    assert len(found) == 1, f"the server has to note exactly one event for this and noted {len(found)}"
    event = found[0]
    assert event["verdict"] == "refused", f"the event says {event['verdict']!r}"
    assert event["rule"] == rule, f"the event names the rule {event['rule']!r} and not {rule!r}"
    return event


def refused_between(
    sender: Client,
    receiver: Client,
    stanza: Callable[[str], str],
    *,
    events: Events,
    later: Callable[[str], None],
    rule: str = "stranger",
    condition: str = "not-allowed",
) -> str:
    """Send something forbidden and make sure that it is refused, does not arrive and is noted once.

    Args:
        sender: Who sends.
        receiver: Who must not get it.
        stanza: Makes the stanza with the given id; the id has to stand in it.
        events: The event file.
        later: Does something permitted that reaches the receiver and holds the given text. When it has arrived,
            nothing older is still under way.
        rule: The rule that must refuse it.
        condition: The error that the sender must get.

    Returns:
        Words for the report.
    """
    number, after = fresh("refused"), fresh("later")
    mark, since = events.mark(), receiver.mark()
    start = sender.send(stanza(number))
    answer = sender.wait(start, 5, id=number, type="error")
    assert answer is not None, f"{sender.bare} sent it to {receiver.bare} and got no error"
    assert condition in why(answer), f"the sender got {why(answer)!r} and not {condition!r}"
    later(after)
    assert receiver.wait(since, 5, contains=[after]) is not None, (
        f"the permitted stanza after it did not reach {receiver.bare} either, so nothing is proven"
    )
    delivered = receiver.received(since, number)
    assert not delivered, f"{receiver.bare} received it: {delivered[0][:200]}"
    event = one_refusal(events, mark, number, rule)
    return (
        f"{sender.account} to {receiver.account}: {why(answer)}; not delivered; event {event['kind']}/{event['rule']}."
    )


def from_friend(friend: Client, receiver: Client) -> Callable[[str], None]:
    """Return what sends a permitted message to the receiver."""
    return lambda text: void(friend.say(receiver.bare, text))


def from_server(receiver: Client) -> Callable[[str], None]:
    """Return what makes the server answer a client that has no contacts; it answers in order."""
    return lambda text: void(
        receiver.send(f"<iq type='get' id='{text}' to='{receiver.service.domain}'><ping xmlns='urn:xmpp:ping'/></iq>")
    )


def void(_: object) -> None:
    """Drop a value."""


def both_ways(
    client: Callable[[str], Client],
    stanza: Callable[[Client, Client, str], str],
    *,
    events: Events,
    seen: Seen,
    **outcome: str,
) -> None:
    """Try a forbidden stanza from the stranger to a person, and from the person to the stranger.

    Args:
        client: The fixture.
        stanza: Makes the stanza from sender, receiver and id.
        events: The event file.
        seen: Where to say what came.
        outcome: ``rule`` and ``condition``, if others than for strangers.
    """
    person, friend, stranger = client("probe-a"), client("probe-b"), client("probe-c")
    seen(
        refused_between(
            stranger,
            person,
            lambda number: stanza(stranger, person, number),
            events=events,
            later=from_friend(friend, person),
            **outcome,
        )
    )
    seen(
        refused_between(
            person,
            stranger,
            lambda number: stanza(person, stranger, number),
            events=events,
            later=from_server(stranger),
            **outcome,
        )
    )


def arrives(sender: Client, receiver: Client, xml: str, text: str) -> ET.Element:
    """Send something permitted and wait until it is there.

    Args:
        sender: Who sends.
        receiver: Who has to get it.
        xml: The stanza.
        text: What occurs in it and nowhere else.

    Returns:
        What arrived.
    """
    since = receiver.mark()
    sender.send(xml)
    got = receiver.wait(since, 5, contains=[text], sender=sender.bare)
    assert got is not None, f"what {sender.account} sent to {receiver.account} did not arrive, although it is permitted"
    return got


def invite(server: Any, person: str, service: Service) -> str:
    """Make an invitation on the server, as `playbooks/invite.yml` does.

    Args:
        server: testinfra host.
        person: Id of somebody who has an account.
        service: The server, as clients reach it.

    Returns:
        Its token.
    """
    made = server.run("prosodyctl shell invite create_reset %s", f"{person}@{service.domain}").stdout
    token = next((line.partition("/invitation?")[2] for line in made.splitlines() if "/invitation?" in line), "")
    assert token, f"no invitation could be made for {person}: {made}"
    return token.strip()


def accept(probe: Probe, token: str, password: str, service: Service) -> int:
    """Set a password with an invitation, by the form that a browser shows; returns the HTTP status."""
    fields = {"token": token, "password": password, "again": password}
    url = f"https://{service.domain}:5281/invitation"
    answer = probe.do("post_form", url=url, fields=fields, ca_pem=service.ca_pem, address=service.address)
    return int(answer["status"])
