# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person reads: the text of an alert, and of the mail of the day. Pure."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sallyport_alerts.incidents import OPENED, OVER, REMINDER, Change, Incident
from sallyport_alerts.kinds import KINDS
from sallyport_alerts.reading import EVENT

HEAD = {OPENED: "ALERT", REMINDER: "STILL", OVER: "OVER"}
MOST = 10
"""So many incidents are told in full in one message; of the rest it has the names."""
MOST_NAMED = 20
"""So many names; of the others it has the number."""


@dataclass(frozen=True)
class Message:
    """A message, for every way."""

    subject: str
    body: str


def instant(seconds: float) -> str:
    """Return a time as people read it, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def line(change: Change) -> str:
    """Return a change in one line."""
    incident = change.incident
    return f"{HEAD[change.what]}: {KINDS[incident.kind].title} ({incident.where}, {incident.who})"


def _often(incident: Incident) -> str:
    if incident.state == EVENT:
        return f"{incident.count} times"
    again = f"; it came back {incident.returned} times" if incident.returned else ""
    return f"a state, looked at each minute{again}"


def section(change: Change) -> str:
    """Return all that a person must know of a change."""
    incident = change.incident
    kind = KINDS[incident.kind]
    names = {"where": incident.where, "who": shlex.quote(incident.who)}
    lines = [
        line(change),
        f"What:   {incident.says or kind.title}",
        f"Where:  {incident.where}, {incident.who}",
        f"Since:  {instant(incident.since)}",
        f"Often:  {_often(incident)}",
    ]
    if change.what == OVER and incident.over:
        lines.append(f"Well:   since {instant(incident.over)}")
    if change.what != OVER:
        lines += [f"Means:  {kind.means}", f"Do:     {kind.do.format(**names)}", f"Look:   {kind.look.format(**names)}"]
    if incident.ids:
        lines.append(f"Events: {', '.join(incident.ids)}")
    return "\n".join(lines)


def order(change: Change) -> tuple[bool, int, bool]:
    """Return what changes are sorted by: what is over comes last, else the gravest first, and of it what began."""
    return change.what == OVER, KINDS[change.incident.kind].gravity, change.what == REMINDER


def alert(site: str, changes: Sequence[Change], page: str, *, unnamed: int = 0, until: float = 0) -> Message:
    """Write one message for all that changed at a time.

    Args:
        site: name of the site.
        changes: at least one.
        page: where all of them stand.
        unnamed: how many there were beside them.
        until: when the next message may go; 0 when it may at any time.
    """
    changes = sorted(changes, key=order)
    count, unnamed = len(changes) + unnamed, unnamed + max(0, len(changes) - MOST - MOST_NAMED)
    parts = []
    # first: a long message may be cut at its end
    if until:
        parts.append(
            f"So many messages went within an hour that the next one goes at {instant(until)}. It has all that comes "
            f"until then, and so has the page: {page}"
        )
    if unnamed:
        parts.append(f"{unnamed} more, see the page: {page}")
    parts += [section(change) for change in changes[:MOST]]
    if rest := changes[MOST : MOST + MOST_NAMED]:
        parts.append("\n".join(["And:", *map(line, rest)]))
    more = f", and {count - 1} more" if count > 1 else ""
    return Message(f"[Sallyport {site}] {line(changes[0])}{more}", "\n\n".join(parts) + "\n")


def daily(site: str, host: str, page: str, totals: Mapping[str, Any], open_now: Sequence[Incident]) -> Message:
    """Write the mail of the day: it also shows each day that alerts can be delivered.

    Args:
        site: name of the site.
        host: the log host.
        page: path of the day's page there.
        totals: figures of the day, as `day.totals` has them.
        open_now: incidents that are open.
    """
    lines = [
        f"{totals['messages']} messages delivered, {totals['refused']} stanzas refused, {totals['infected']} infected "
        f"files,",
        f"{totals['sign_in_failures']} sign-ins refused, {totals['incidents']} incidents began.",
        "",
        "Open now:" if open_now else "Nothing is open now.",
        *(f"  {KINDS[one.kind].title} ({one.where}, {one.who}), since {instant(one.since)}" for one in open_now[:MOST]),
        *([f"  and {len(open_now) - MOST} more"] if len(open_now) > MOST else []),
        "",
        f"The page of the day: {page} on {host}. Fetch it:",
        f"  scp {host}:{page} .",
        "",
        "When this mail does not come one day, the alerts themselves do not work: look at the log host.",
    ]
    return Message(f"[Sallyport {site}] {totals['day']}: {len(open_now)} open", "\n".join(lines) + "\n")
