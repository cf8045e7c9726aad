# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures of a day, from what hosts sent. Pure: it is fed line by line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sallyport_alerts.incidents import OPENED
from sallyport_alerts.reading import ODD, SSH_REFUSED, bare, counted, plain

HOURS = 24
MOST_KEYS = 10_000
"""So many different senders are counted; the rest together, so that a flood takes no more memory."""
MOST_IDS = 3_000_000
MOST_LISTED = 200
OTHERS = "others"
LARGEST = 1e9


def _hours() -> list[int]:
    return [0] * HOURS


def _add(counter: Counter[str], key: str, count: int) -> None:
    counter[key if key in counter or len(counter) < MOST_KEYS else OTHERS] += count


def _number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < LARGEST


def _as_said(health: Mapping[str, Any]) -> bool:
    """Return whether a line of health has the form that the page shows; a host that was broken into sends any."""
    disks, certificates = health.get("disks") or [], health.get("certificates") or []
    scanner = health.get("antivirus") or {}
    units = [health.get(name) or [] for name in ("failed", "missing")]
    numbers = [health.get(name) for name in ("queue_megabytes", "updates", "offset_seconds")]
    numbers += [scanner.get("age_hours"), *(disk.get("inodes_free_percent") for disk in disks)]
    return (
        all(isinstance(unit, list) and all(isinstance(name, str) for name in unit) for unit in units)
        and all(isinstance(disk["at"], str) and _number(disk["free_percent"]) for disk in disks)
        and all(_number(one["days"]) for one in certificates)
        and all(value is None or _number(value) for value in numbers)
    )


@dataclass
class Day:
    """A day (UTC), and what is counted of it.

    Attributes:
        day: as 2027-06-30.
        allowed: messages that were delivered, by hour.
        refused: stanzas that were refused, by hour.
        rules: refusals by rule.
        senders: messages by sender.
        refused_senders: refusals by sender.
        files: files that were shared, and refused.
        infected: time, sender, server, name of what was found.
        sign_ins: sign-ins by rule; `ok` for those that went well, where they are recorded.
        addresses: refused sign-ins by address.
        ssh: refused sign-ins by SSH, by host.
        health: the newest line of each host.
        odd: so many lines of each host have another form.
        minutes: so many lines of each host.
        incidents: changes, as the history has them.
    """

    day: str
    allowed: list[int] = field(default_factory=_hours)
    refused: list[int] = field(default_factory=_hours)
    rules: Counter[str] = field(default_factory=Counter)
    senders: Counter[str] = field(default_factory=Counter)
    refused_senders: Counter[str] = field(default_factory=Counter)
    files: Counter[str] = field(default_factory=Counter)
    infected: list[tuple[str, str, str, str]] = field(default_factory=list)
    infected_count: int = 0
    sign_ins: Counter[str] = field(default_factory=Counter)
    addresses: Counter[str] = field(default_factory=Counter)
    ssh: Counter[str] = field(default_factory=Counter)
    health: dict[str, dict[str, Any]] = field(default_factory=dict)
    odd: Counter[str] = field(default_factory=Counter)
    minutes: Counter[str] = field(default_factory=Counter)
    incidents: list[dict[str, Any]] = field(default_factory=list)
    _ids: set[int] = field(default_factory=set)

    def take(self, host: str, stream: str, record: Mapping[str, Any]) -> None:
        """Count a line.

        Args:
            host: the host from which it came.
            stream: `im` or `system`.
            record: the line. One of another form is left out, and noted.
        """
        try:
            self._take(host, stream, record)
        except ODD:
            self.odd[host] += 1

    def _take(self, host: str, stream: str, record: Mapping[str, Any]) -> None:
        if stream == "im":
            self._event(record)
        elif record.get("program") == "sallyport-health":
            self._health(host, str(record.get("message", "")))
        elif record.get("program") in ("sshd", "sshd-session") and SSH_REFUSED.match(
            str(record.get("message", "")).strip()
        ):
            _add(self.ssh, host, 1)

    def _health(self, host: str, message: str) -> None:
        # a host that says something odd is heard of all the same
        self.minutes[host] += 1
        found = json.loads(message)
        if not _as_said(found):
            raise ValueError(host)
        self.health[host] = found

    def _event(self, event: Mapping[str, Any]) -> None:
        identity = event.get("id")
        if identity is not None:
            known = hash(str(identity))
            if known in self._ids:
                return
            if len(self._ids) < MOST_IDS:
                self._ids.add(known)
        count = counted(event)
        refused = event.get("verdict") == "refused"
        kind, rule, sender = event.get("kind"), plain(event.get("rule", "")), bare(event.get("from"))
        moment = str(event.get("time", ""))
        hour = int(moment[11:13]) if moment[11:13].isdecimal() and int(moment[11:13]) < HOURS else 0
        if refused:
            self.refused[hour] += count
            _add(self.rules, rule, count)
            _add(self.refused_senders, sender, count)
        elif kind == "message":
            self.allowed[hour] += count
            _add(self.senders, sender, count)
        if kind == "account" and event.get("type") == "sign-in":
            _add(self.sign_ins, rule if refused else "ok", count)
            if refused:
                _add(self.addresses, plain(event.get("address", "unknown")), count)
        elif kind == "file":
            self._file(event, rule, sender, moment, refused)

    def _file(self, event: Mapping[str, Any], rule: str, sender: str, moment: str, refused: bool) -> None:
        kind = event.get("type")
        if kind == "upload":
            self.files["refused" if refused else "shared"] += 1
        if kind == "quarantine" or (refused and rule == "virus"):
            self.infected_count += 1
            if len(self.infected) < MOST_LISTED:
                what = plain(event.get("signature", "unnamed"))
                self.infected.append((moment, sender, plain(event.get("server", "")), what))

    def totals(self) -> dict[str, Any]:
        """Return the figures of the mail of the day."""
        return {
            "day": self.day,
            "messages": sum(self.allowed),
            "refused": sum(self.refused),
            "infected": self.infected_count,
            "sign_in_failures": sum(count for rule, count in self.sign_ins.items() if rule != "ok"),
            "incidents": sum(one.get("what") == OPENED for one in self.incidents),
        }
