# SPDX-License-Identifier: GPL-3.0-or-later
"""What a line of the logs says about incidents. Pure: no file, no clock, no network."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

EVENT, BAD, GOOD = "event", "bad", "good"
"""A finding is something that happened, or a state that is bad or good now."""
MOST_STATES = 200
FULL_PERCENT = 10.0
"""A disk with less room, or fewer free inodes, is nearly full."""
CLOCK_SECONDS = 5.0
LOCKOUT_WEIGHT = 20
"""A lock-out stands for the wrong passwords before it."""
LAPSE_SECONDS = 3 * 86400
"""A desktop that was switched off is no incident before a long weekend is over."""
ERRORS = {"err", "error", "crit", "critical", "alert", "emerg", "panic", "0", "1", "2", "3"}
RULED = {"refuse": "rule", "warn": "warning"}
"""What a rule of the site asks for, and the kind of incident that it makes; of what is only logged nobody is told."""
STRANGERS = {"stranger", "foreign-domain"}
SSH_REFUSED = re.compile(
    r"^(?:Failed (?:password|publickey|none|keyboard-interactive\S*) for .* from (?P<failed>\S+) port \d+"
    r"|Invalid user .* from (?P<invalid>\S+) port \d+"
    r"|User .* from (?P<user>\S+) not allowed because .*"
    r"|(?:Connection (?:closed|reset) by|Disconnected from) (?:authenticating|invalid) user"
    r" .* (?P<closed>\S+) port \d+.*)"
)
"""Words of OpenSSH 10 for somebody who did not get in; a user's name may hold blanks, so the last address counts."""
ADMISSION = re.compile(
    r"^(?P<desktop>[a-z0-9-]+): (?P<said>admission lapsed|not admitted|admitted at)(?P<rest>.*)", re.DOTALL
)
WAITING = re.compile(r"has taken no event for|takes events again$|(?P<room>bytes of events wait for the log host)")
"""What the role log_shipping says of events that are not taken, of too many that wait, and of the end of either."""
DAMAGED = re.compile(r"^(?P<file>\S+) (?:is damaged|has a line that is too long): ")
"""What it says of a file of events that it cannot read to its end."""
TAKEN = re.compile(r"(takes events again|enough room again)$")
ODD = (TypeError, ValueError, KeyError, AttributeError, OverflowError, RecursionError)
"""What a line of another form may raise."""
LONGEST = 200
MOST_COUNT = 10**9
"""No event stands for more; a number without end would end the program that writes it."""
REST = "*"
"""As `who` of a good finding: all of that kind on that host but those that `says` lists (JSON)."""
LISTED = {
    "service": ("failed", "missing"),
    "archive": ("failed", "missing"),
    "disk": ("disks",),
    "certificate": ("certificates",),
}
"""Kinds of which a host has several, and the fields of its health in which all of them stand."""


@dataclass(frozen=True)
class Finding:
    """Something that a line says.

    Attributes:
        kind: id of the kind, of `kinds.KINDS`.
        state: EVENT, BAD or GOOD.
        where: the host, or server, on which it is.
        who: what distinguishes it there: a sender, an address, a unit, a disk.
        at: when, in seconds since 1970.
        says: in plain words; never of a message's text.
        count: so many events.
        id: id of the event; the same one counts once.
        hold: seconds that it must last before a person is told; None for that of the kind.
    """

    kind: str
    state: str
    where: str
    who: str
    at: float
    says: str = ""
    count: int = 1
    id: str = ""
    hold: int | None = None


def seconds_of(text: object, otherwise: float) -> float:
    """Read a time (RFC 3339).

    Args:
        text: the time.
        otherwise: what to return when it is none.

    Returns:
        Seconds since 1970.
    """
    try:
        return datetime.datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return otherwise


def plain(text: object) -> str:
    """Return a text as one bounded line that a terminal only shows: strangers choose what stands in logs."""
    return "".join(mark if mark.isprintable() else "?" for mark in str(text)[:LONGEST])


def bare(address: object) -> str:
    """Return an address without its resource (RFC 7622)."""
    return plain(str(address or "").partition("/")[0]) or "unknown"


def counted(event: Mapping[str, Any]) -> int:
    """Return for how many an event stands."""
    count = event.get("count", 1)
    return min(count, MOST_COUNT) if isinstance(count, int) and count > 0 else 1


def findings(stream: str, host: str, record: Mapping[str, Any], now: float, days: float) -> Iterator[Finding]:
    """Read a line.

    Args:
        stream: `im` or `system`.
        host: the host from which it came.
        record: the line.
        now: the time, for lines that have none.
        days: so many days before its end a certificate is near it.

    Yields:
        What it says; nothing for most lines.
    """
    at = min(seconds_of(record.get("time"), now), now)
    if stream == "im":
        yield from _event(host, record, at)
        return
    program, message = str(record.get("program", "")), str(record.get("message", "")).strip()
    if program == "sallyport-health":
        yield from _health(host, message, at, days)
    elif program in ("sshd", "sshd-session"):
        if match := SSH_REFUSED.match(message):
            address = next(group for group in match.groups() if group)
            yield Finding("ssh", EVENT, host, plain(address), at, "the last one: " + plain(message))
    elif program == "sallyport-archive":
        if str(record.get("severity", "")).lower() in ERRORS:
            yield Finding("archive", EVENT, host, "messages", at, plain(message))
    elif program == "ship-events" and (match := DAMAGED.match(message)):
        yield Finding("damaged", EVENT, host, plain(match["file"]), at, plain(message))
    elif program == "ship-events" and (match := WAITING.search(message)):
        # two states: the log host may take events again while the room is still full
        who = "room" if match["room"] else "events"
        yield Finding("queue", GOOD if TAKEN.search(message) else BAD, host, who, at, plain(message))
    elif program == "admission" and (match := ADMISSION.match(message)):
        yield _admission(host, match, at)


def _event(host: str, event: Mapping[str, Any], at: float) -> Iterator[Finding]:
    """Read an event of the decision point (docs/im-event.schema.json)."""
    kind, rule, sender = event.get("kind"), str(event.get("rule", "")), bare(event.get("from"))
    identity = plain(event.get("id", ""))
    count = counted(event)
    refused = event.get("verdict") == "refused"
    if kind == "file" and (event.get("type") == "quarantine" or (refused and rule == "virus")):
        what = (
            "a file that was shared before turned out to be infected"
            if event.get("type") == "quarantine"
            else "refused"
        )
        yield Finding(
            "infected", EVENT, host, sender, at, f"{plain(event.get('signature', 'unnamed'))}; {what}", count, identity
        )
    elif event.get("matched") and (action := event.get("action", "refuse" if refused else "log")) in RULED:
        matched = event["matched"] if isinstance(event["matched"], list) else [event["matched"]]
        rules = ", ".join(plain(one) for one in matched[:5])
        says = f"rule: {rules}; to {bare(event.get('to'))}"
        yield Finding(RULED[action], EVENT, host, sender, at, says, count, identity)
    elif kind == "account" and event.get("type") == "sign-in" and refused:
        address = plain(event.get("address") or "unknown")
        weight = LOCKOUT_WEIGHT if rule in ("lockout", "locked-out") else count
        yield Finding("sign-in", EVENT, host, address, at, f"{plain(rule)}; last account {sender}", weight, identity)
    elif refused and rule in STRANGERS:
        yield Finding("strangers", EVENT, host, sender, at, f"{rule}; last to {bare(event.get('to'))}", count, identity)


def _admission(host: str, match: re.Match[str], at: float) -> Finding:
    desktop, said = match["desktop"], match["said"]
    if said == "admitted at":
        return Finding("desktop", GOOD, host, desktop, at)
    lapsed = said == "admission lapsed"
    return Finding("desktop", BAD, host, desktop, at, plain(said + match["rest"]), hold=LAPSE_SECONDS if lapsed else 0)


def _health(host: str, message: str, at: float, days: float) -> Iterator[Finding]:
    try:
        health = json.loads(message)
    except (ValueError, RecursionError):
        health = None
    if not isinstance(health, dict):
        yield Finding("blind", BAD, host, "health", at, "its line is not JSON")
        return
    yield Finding("log-gap", GOOD, host, "health", at)
    states = [(kind, plain(str(who)), bad, says) for kind, who, bad, says in _states(health, days)]
    if len(states) > MOST_STATES:
        yield Finding("blind", BAD, host, "health", at, f"it tells of {len(states)} states at once")
        return
    for kind, who, bad, says in states:
        yield Finding(kind, BAD if bad else GOOD, host, who, at, plain(says))
    # what is not in its list any more is well again: a unit that failed, a disk that was taken out
    for kind, sources in LISTED.items():
        if all(health.get(source) is not None for source in sources):
            names = sorted(who for one, who, _bad, _says in states if one == kind)
            yield Finding(kind, GOOD, host, REST, at, json.dumps(names))


def _states(health: Mapping[str, Any], days: float) -> Iterator[tuple[str, str, bool, str]]:
    """List what a host says of itself: kind, who, whether it is bad, and words."""
    for disk in health.get("disks") or ():
        room = [value for value in (disk.get("free_percent"), disk.get("inodes_free_percent")) if value is not None]
        least = min(room, default=100.0)
        yield "disk", disk["at"], least < FULL_PERCENT, f"{least:g} % free, {disk.get('free_megabytes')} MiB"
    for unit in sorted({*(health.get("failed") or ()), *(health.get("missing") or ())}):
        kind = "archive" if unit.startswith("sallyport-archive") else "service"
        yield kind, unit, True, "failed" if unit in (health.get("failed") or ()) else "does not run"
    for certificate in health.get("certificates") or ():
        left = certificate["days"]
        yield (
            "certificate",
            certificate["file"],
            left < days,
            f"{max(left, 0):g} days left" if left > 0 else "it is over",
        )
    scanner = health.get("antivirus")
    if scanner is not None:
        problems = [*scanner.get("problems", ())]
        if scanner.get("stale") and not problems:
            problems = [f"the signatures are too old: {scanner.get('age_hours')} hours"]
        if scanner.get("looked", 0) > 600:
            problems.append(f"its watch has not looked for {scanner['looked']} seconds")
        yield "signatures", "scanner", bool(problems), "; ".join(problems)
    elif "antivirus" in health and not any(fault.startswith("antivirus") for fault in health.get("faults", ())):
        # the host has no scanner, or none any more
        yield "signatures", "scanner", False, ""
    if (waiting := health.get("updates")) is not None:
        yield "updates", "security", waiting > 0, f"{waiting} of them"
    offset = health.get("offset_seconds")
    says = "it has no source of time" if offset is None else f"off by {offset:g} seconds"
    yield "clock", "clock", offset is None or abs(offset) > CLOCK_SECONDS, says
    faults = [fault for fault in health.get("faults", ()) if not fault.startswith("offset_seconds")]
    yield "blind", "health", bool(faults), "; ".join(faults)
