# SPDX-License-Identifier: GPL-3.0-or-later
"""The incidents: from findings to what a person is told. Pure: the caller gives the time, and keeps the state."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sallyport_alerts.kinds import DAY, KINDS, MINUTE
from sallyport_alerts.reading import BAD, EVENT, GOOD, MOST_STATES, REST, Finding

OPENED, REMINDER, OVER = "opened", "reminder", "over"
MOST_OPEN = 20
"""So many incidents of one kind on one host are told each; a flood of further ones is told as one."""
SETTLE = 15 * MINUTE
"""So long a state that was told must be well; when it comes back before, it is the same incident."""
MOST_COUNTED = 1000
MOST_SEEN = 5000
MOST_IDS = 5
OTHERS = "others"


@dataclass
class Incident:
    """Something that a person must know of.

    Attributes:
        kind: its kind.
        where: host.
        who: what distinguishes it there.
        since: when it began, in seconds since 1970.
        last: when it was last seen, by the clock of the log host.
        count: how many events.
        says: the newest words.
        state: whether it is made of events, or a state.
        hold: seconds that it must last before a person is told.
        ids: ids of its newest events.
        told: when a person was told last; None before.
        over: since when it is well, in seconds since 1970; 0 while it is not.
        returned: how often it came back.
    """

    kind: str
    where: str
    who: str
    since: float
    last: float
    count: int = 0
    says: str = ""
    state: str = EVENT
    hold: int = 0
    ids: list[str] = field(default_factory=list)
    told: float | None = None
    over: float = 0.0
    returned: int = 0


@dataclass(frozen=True)
class Change:
    """Something to tell: OPENED, REMINDER or OVER, and the incident as it is then."""

    what: str
    incident: Incident


class Incidents:
    """All that is open now.

    Args:
        state: what `state` returned before a restart; nothing at the first start.
    """

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        """Go on where the state says."""
        state = state or {}
        self.open = {key: Incident(**value) for key, value in state.get("open", {}).items()}
        self.counts: dict[str, list[list[float]]] = dict(state.get("counts", {}))
        self.seen: dict[str, None] = dict.fromkeys(state.get("seen", ()))

    def state(self) -> dict[str, Any]:
        """Return what has to be kept over a restart, made of what JSON has."""
        return {
            "open": {key: dataclasses.asdict(incident) for key, incident in self.open.items()},
            "counts": self.counts,
            "seen": [*self.seen],
        }

    def take(self, finding: Finding, now: float) -> None:
        """Take a finding.

        Args:
            finding: the finding.
            now: the time, in seconds since 1970.
        """
        if finding.id:
            if finding.id in self.seen:
                return
            self.seen[finding.id] = None
            while len(self.seen) > MOST_SEEN:
                del self.seen[next(iter(self.seen))]
        key = json.dumps([finding.kind, finding.where, finding.who])
        if finding.state == GOOD:
            self._end(finding, key, now)
        elif finding.state == BAD:
            incident = self.open.get(key)
            if incident is None:
                if len(self._same(finding)) >= MOST_STATES:
                    # an incident of events: nobody will say that all of them are well
                    incident, finding = self._others(finding)
                else:
                    incident = self._new(key, finding, BAD)
            incident.hold = KINDS[finding.kind].hold if finding.hold is None else finding.hold
            self._seen(incident, finding, now, 1)
        else:
            self._count(finding, key, now)

    def _same(self, finding: Finding) -> list[Incident]:
        """Return what is open of the same kind on the same host."""
        return [one for one in self.open.values() if (one.kind, one.where) == (finding.kind, finding.where)]

    def _others(self, finding: Finding) -> tuple[Incident, Finding]:
        """Return the incident that stands for all beyond the bound, and the finding as one of it."""
        key = json.dumps([finding.kind, finding.where, OTHERS])
        finding = dataclasses.replace(finding, who=OTHERS, says=f"{finding.who}: {finding.says}")
        return self.open.get(key) or self._new(key, finding, EVENT), finding

    def _end(self, finding: Finding, key: str, now: float) -> None:
        if finding.who == REST:
            named = {*json.loads(finding.says)}
            ended = [one for one in self._same(finding) if one.state == BAD and one.who not in named]
        else:
            ended = [self.open[key]] if key in self.open else []
        for incident in ended:
            incident.over = incident.over or now

    def forget(self, hosts: Collection[str], ways: Collection[str], now: float) -> None:
        """End the states of what is not there any more: nothing will ever say that it is well.

        Args:
            hosts: the names of those that are, desktops too.
            ways: names of the ways of delivery.
            now: the time, in seconds since 1970.
        """
        for incident in self.open.values():
            there = incident.where in hosts
            if incident.kind == "desktop":
                there &= incident.who in hosts
            elif incident.kind == "delivery":
                there &= incident.who in ways
            if incident.state == BAD and not there:
                incident.over = incident.over or now

    def _new(self, key: str, finding: Finding, state: str, since: float | None = None) -> Incident:
        begun = finding.at if since is None else since
        self.open[key] = Incident(finding.kind, finding.where, finding.who, begun, begun, state=state)
        return self.open[key]

    @staticmethod
    def _seen(incident: Incident, finding: Finding, now: float, count: int) -> None:
        incident.last = now
        incident.count += count
        incident.says = finding.says
        incident.returned += incident.over > 0
        incident.over = 0.0
        if finding.id:
            incident.ids = [*incident.ids, finding.id][-MOST_IDS:]

    def _count(self, finding: Finding, key: str, now: float) -> None:
        """Count an event; enough of them within the time of their kind make an incident."""
        kind = KINDS[finding.kind]
        incident = self.open.get(key)
        if incident is not None:
            self._seen(incident, finding, now, finding.count)
            return
        times = [*self.counts.pop(key, ()), [finding.at, finding.count]]
        times = [entry for entry in times if entry[0] > finding.at - kind.within][-kind.least :]
        total = int(sum(count for _at, count in times))
        if total < kind.least:
            self.counts[key] = times
            while len(self.counts) > MOST_COUNTED:
                del self.counts[next(iter(self.counts))]
            return
        if len(self._same(finding)) >= MOST_OPEN:
            incident, finding = self._others(finding)
        else:
            incident = self._new(key, finding, EVENT, min(at for at, _count in times))
        self._seen(incident, finding, now, total)

    def look(self, now: float) -> list[Change]:
        """Say what must be told now, and forget what is over.

        Args:
            now: the time, in seconds since 1970.

        Returns:
            What began, what is still open a day after a person was last told of it, and what is over.
        """
        changes = []
        for key, incident in [*self.open.items()]:
            if incident.state == EVENT:
                ended = incident.told is not None and now - incident.last >= KINDS[incident.kind].quiet
            else:
                # a state that ended before anybody was told is nobody's business any more
                ended = incident.over > 0 and (incident.told is None or now - incident.over >= SETTLE)
            if ended:
                del self.open[key]
                if incident.told is not None:
                    changes.append(Change(OVER, incident))
            elif incident.told is None:
                if now - incident.since >= incident.hold:
                    incident.told = now
                    changes.append(Change(OPENED, incident))
            elif now - incident.told >= DAY and not incident.over:
                incident.told = now
                changes.append(Change(REMINDER, incident))
        return changes
