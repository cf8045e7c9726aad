# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures of a day, from what hosts sent. Pure: it is fed line by line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sallyport_alerts.incidents import OPENED
from sallyport_alerts.reading import SSH_REFUSED, bare, plain

HOURS = 24
MOST_KEYS = 10_000
"""So many different senders are counted; the rest together, so that a flood takes no more memory."""
MOST_IDS = 3_000_000
MOST_LISTED = 200
OTHERS = "others"


def _hours() -> list[int]:
    return [0] * HOURS


def _add(counter: Counter[str], key: str, count: int) -> None:
    counter[key if key in counter or len(counter) < MOST_KEYS else OTHERS] += count


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
    minutes: Counter[str] = field(default_factory=Counter)
    incidents: list[dict[str, Any]] = field(default_factory=list)
    _ids: set[int] = field(default_factory=set)

    def take(self, host: str, stream: str, record: Mapping[str, Any]) -> None:
        """Count a line.

        Args:
            host: the host from which it came.
            stream: `im` or `system`.
            record: the line.
        """
        if stream == "im":
            self._event(record)
        elif record.get("program") == "sallyport-health":
            self._health(host, str(record.get("message", "")))
        elif record.get("program") in ("sshd", "sshd-session") and SSH_REFUSED.match(
            str(record.get("message", "")).strip()
        ):
            _add(self.ssh, host, 1)

    def _health(self, host: str, message: str) -> None:
        try:
            found = json.loads(message)
        except ValueError:
            return
        if isinstance(found, dict):
            self.health[host] = found
            self.minutes[host] += 1

    def _event(self, event: Mapping[str, Any]) -> None:
        identity = event.get("id")
        if identity is not None:
            known = hash(str(identity))
            if known in self._ids:
                return
            if len(self._ids) < MOST_IDS:
                self._ids.add(known)
        count = event.get("count", 1)
        count = count if isinstance(count, int) and count > 0 else 1
        refused = event.get("verdict") == "refused"
        kind, rule, sender = event.get("kind"), plain(event.get("rule", "")), bare(event.get("from"))
        moment = str(event.get("time", ""))
        hour = int(moment[11:13]) if moment[11:13].isdigit() and int(moment[11:13]) < HOURS else 0
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
