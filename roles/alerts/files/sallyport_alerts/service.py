# SPDX-License-Identifier: GPL-3.0-or-later
"""The service: follows the logs, keeps the incidents, and hands over what must be told."""

from __future__ import annotations

import dataclasses
import datetime
import http.client
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sallyport_alerts import mail, words
from sallyport_alerts.follow import STREAMS, Follower
from sallyport_alerts.incidents import OVER, Change, Incident, Incidents
from sallyport_alerts.kinds import GRAVEST, HOUR, KINDS
from sallyport_alerts.outbox import Outbox, write
from sallyport_alerts.reading import BAD, GOOD, ODD, REST, Finding, findings

LOOK_SECONDS = 5
GAP_SECONDS = 300
"""A host says each minute how it is; after so long it does not send its logs."""
DELIVERY_SECONDS = 120
"""So long one way may fail before the other one tells."""
METRICS_SECONDS = 60
DAILY_HOUR = 6
"""UTC; from then on the mail of the day goes."""
MOST_WITHHELD = 200
"""So many changes wait for the next message, the gravest; of the others it has the number."""
KEPT_DAYS = 400
"""So long pages and history are kept at most: they name people, as the events do."""
FILES = [f"{stream}.jsonl" for stream in STREAMS]
SECRETS = Path("/etc/sallyport/alerts")
"""Where `mail-password` and `im-password` lie."""


def day_of(now: float) -> str:
    """Return the day (UTC) of a time, as 2027-06-30."""
    return datetime.datetime.fromtimestamp(now, datetime.UTC).strftime("%Y-%m-%d")


def oldest_day(settings: Mapping[str, Any], now: float) -> str:
    """Return the oldest day of which pages and history are kept."""
    return day_of(now - min(KEPT_DAYS, settings["messages_days"]) * 86400)


class Service:
    """All of it, between two looks.

    Args:
        settings: /etc/sallyport/alerts.json; see the role's vars.
        folder: where state and queues lie.
        ways: how messages go, by name.
        now: the time, in seconds since 1970.
    """

    def __init__(self, settings: Mapping[str, Any], folder: Path, ways: list[Outbox], now: float) -> None:
        """Go on where the state on the disk says."""
        self.settings, self.folder, self.ways, self.started = settings, folder, ways, now
        try:
            state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            state = {}
        self.incidents = Incidents(state.get("incidents"))
        self.incidents.forget(settings["hosts"], [way.name for way in ways], now)
        self.follower = Follower(Path(settings["logs"]), state.get("places", {}))
        self.day = state.get("day", day_of(now))
        self.mailed = state.get("mailed", day_of(now - 86400))
        self.heard: dict[str, float] = state.get("heard", {})
        # when messages went within the last hour, and what waits for the next one
        self.sent: list[float] = state.get("sent", [])
        self.withheld = [Change(what, Incident(**one)) for what, one in state.get("withheld", [])]
        self.unnamed: int = state.get("unnamed", 0)
        self.metrics_asked = 0.0
        self.kept = ""
        self.pruned = ""

    def read(self, now: float) -> None:
        """Take what is new in the logs."""
        today = day_of(now)
        # what came around midnight stands in the file of the day before
        first = min(self.day, day_of(now - 86400))
        for host, stream, record in self.follower.lines(today, first):
            self._take(host, stream, record, now)
        for finding in self._unread(now):
            self.incidents.take(finding, now)
        if not self.follower.behind:
            self.day = today

    def _take(self, host: str, stream: str, record: dict[str, Any], now: float) -> None:
        try:
            found = [*findings(stream, host, record, now, self.settings["certificate_days"])]
        except ODD as error:
            found = [Finding("blind", BAD, host, "health", now, f"a line of it cannot be read: {type(error).__name__}")]
        for finding in found:
            if finding.kind == "log-gap":
                self.heard[host] = now
            else:
                self.incidents.take(finding, now)

    def _unread(self, now: float) -> Iterator[Finding]:
        """Yield which files cannot be read, and that the others can."""
        bad = {(host, f"{stream}.jsonl"): why for (host, stream), why in self.follower.unread.items()}
        for (host, file), why in bad.items():
            yield Finding("blind", BAD, host, file, now, f"the log host cannot read what it sent: {why}")
        for incident in self.incidents.open.values():
            place = (incident.where, incident.who)
            if incident.kind == "blind" and incident.who in FILES and place not in bad:
                yield Finding("blind", GOOD, *place, now)

    def states(self, now: float) -> Iterator[Finding]:
        """Yield what no line says: silent hosts, and ways that fail."""
        for host, group in self.settings["hosts"].items():
            # people switch their desktops off
            if group == "desktops":
                continue
            last = self.heard.get(host, 0.0)
            if now - last <= GAP_SECONDS:
                yield Finding("log-gap", GOOD, host, "health", now)
            elif now - self.started > GAP_SECONDS:
                says = f"nothing since {words.instant(last)}" if last else "it has never sent anything"
                yield Finding("log-gap", BAD, host, "health", last or self.started, says)
        for way in self.ways:
            where, since = self.settings["host"], way.failing_since
            if since is not None and now - since > DELIVERY_SECONDS:
                yield Finding("delivery", BAD, where, way.name, since, way.failure)
            elif since is None and not way.waiting():
                # what waits after a start has not been tried yet
                yield Finding("delivery", GOOD, where, way.name, now)

    def metrics(self, now: float) -> Iterator[Finding]:
        """Yield what Prometheus says of the IM servers, once a minute."""
        if not self.settings["prometheus_port"] or now - self.metrics_asked < METRICS_SECONDS:
            return
        self.metrics_asked = now
        try:
            asked = http.client.HTTPConnection("127.0.0.1", self.settings["prometheus_port"], timeout=5)
            asked.request("GET", "/api/v1/alerts")
            alerts = json.loads(asked.getresponse().read())["data"]["alerts"]
        except (OSError, ValueError, KeyError, http.client.HTTPException):
            # that it does not run is told by the host's health
            return
        firing: dict[str, list[str]] = {host: [] for host in self.settings["hosts"]}
        for alert in alerts:
            host, name = alert["labels"].get("host", self.settings["host"]), alert["labels"]["alertname"]
            if alert["state"] == "firing":
                firing.setdefault(host, []).append(name)
                yield Finding("metrics", BAD, host, name, now, alert["annotations"].get("summary", name))
        for host, names in firing.items():
            yield Finding("metrics", GOOD, host, REST, now, json.dumps(names))

    def look(self, now: float) -> list[Change]:
        """Look at everything once, and hand over what must be told.

        Args:
            now: the time, in seconds since 1970.

        Returns:
            What was told.
        """
        self.read(now)
        if not self.follower.behind:
            for finding in (*self.states(now), *self.metrics(now)):
                self.incidents.take(finding, now)
        changes = self.incidents.look(now)
        if changes:
            self._note(changes, now)
        self._alert(changes, now)
        self._daily(now)
        self._prune(now)
        # last: what is told twice after a crash is better than what is never told
        self._keep()
        return changes

    def _keep(self) -> None:
        """Write the state down, when it is another one."""
        state = {
            "incidents": self.incidents.state(),
            "places": self.follower.places,
            "day": self.day,
            "mailed": self.mailed,
            "heard": self.heard,
            "sent": self.sent,
            "withheld": [[change.what, dataclasses.asdict(change.incident)] for change in self.withheld],
            "unnamed": self.unnamed,
        }
        if (text := json.dumps(state)) != self.kept:
            write(self.folder / "state.json", state)
            self.kept = text

    def _alert(self, changes: list[Change], now: float) -> None:
        """Tell what changed, in one message with what had to wait; only the gravest is told beyond the hourly bound."""
        # as it is now: the incident goes on
        self.withheld += [Change(change.what, dataclasses.replace(change.incident)) for change in changes]
        self.withheld.sort(key=words.order)
        self.unnamed += len(self.withheld[MOST_WITHHELD:])
        del self.withheld[MOST_WITHHELD:]
        self.sent = [at for at in self.sent if 0 <= now - at < HOUR]
        most = self.settings["messages_an_hour"]
        grave = any(change.what != OVER and KINDS[change.incident.kind].gravity == GRAVEST for change in changes)
        if not self.withheld or (len(self.sent) >= most and not grave):
            return
        self.sent.append(now)
        page = f"{self.settings['pages']}/{day_of(now)}.html on {self.settings['host']}"
        until = self.sent[-most] + HOUR if len(self.sent) >= most else 0
        self._tell(
            words.alert(self.settings["site"], self.withheld, page, unnamed=self.unnamed, until=until),
            now,
        )
        self.withheld, self.unnamed = [], 0

    def _tell(self, message: words.Message, now: float) -> None:
        print(f"<5>{message.subject}", file=sys.stderr, flush=True)
        for way in self.ways:
            way.put(message, now)

    def test(self, now: float) -> None:
        """Send a message by which a person sees that alerts reach her."""
        text = "Somebody asked for this message, to see whether alerts arrive. Nothing has happened.\n"
        self._tell(words.Message(f"[Sallyport {self.settings['site']}] TEST: {words.instant(now)}", text), now)

    def _note(self, changes: list[Change], now: float) -> None:
        """Add to the history, from which the page of the day is made."""
        with (self.folder / f"history-{day_of(now)}.jsonl").open("a", encoding="utf-8") as stream:
            for change in changes:
                one = change.incident
                stream.write(
                    json.dumps(
                        {
                            "time": now,
                            "what": change.what,
                            "kind": one.kind,
                            "where": one.where,
                            "who": one.who,
                            "since": one.since,
                            "count": one.count,
                            "says": one.says,
                        }
                    )
                    + "\n"
                )

    def _prune(self, now: float) -> None:
        """Remove history that is too old, once a day, whether anything happens or not."""
        if self.pruned == day_of(now):
            return
        self.pruned = day_of(now)
        oldest = f"history-{oldest_day(self.settings, now)}"
        for path in self.folder.glob("history-*.jsonl"):
            if path.stem < oldest:
                path.unlink()

    def _daily(self, now: float) -> None:
        """Send the mail of the day, when the page of yesterday is there."""
        yesterday = day_of(now - 86400)
        if self.mailed >= yesterday or datetime.datetime.fromtimestamp(now, datetime.UTC).hour < DAILY_HOUR:
            return
        page = Path(self.settings["pages"], f"{yesterday}.html")
        try:
            totals = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return
        self.mailed = yesterday
        told = [one for one in self.incidents.open.values() if one.told is not None and not one.over]
        message = words.daily(self.settings["site"], self.settings["host"], str(page), totals, told)
        for way in self.ways:
            if way.name == "mail":
                way.put(message, now)


def ways(settings: Mapping[str, Any], folder: Path, secrets: Path) -> list[Outbox]:
    """Make the ways that the site has.

    Args:
        settings: as for `Service`.
        folder: where the queues lie.
        secrets: folder with `mail-password` and `im-password`, as far as they are needed.
    """

    def secret(name: str) -> str | None:
        path = secrets / name
        return path.read_text(encoding="utf-8").rstrip("\n") if path.exists() else None

    found = []
    if settings["mail"]:
        found.append(Outbox("mail", folder / "mail", mail.sender(settings["mail"], secret("mail-password"))))
    if settings["im"]:
        # a site without alerts by IM does without the library
        from sallyport_alerts import im  # noqa: PLC0415

        found.append(Outbox("im", folder / "im", im.sender(settings["im"], secret("im-password") or "")))
    return found


def serve(settings: Mapping[str, Any]) -> None:
    """Serve until somebody ends it. SIGUSR1 asks for a test message."""
    folder = Path(os.environ.get("STATE_DIRECTORY", "/var/lib/sallyport-alerts"))
    asked = threading.Event()
    signal.signal(signal.SIGUSR1, lambda _number, _frame: asked.set())
    service = Service(settings, folder, ways(settings, folder, SECRETS), time.time())
    for way in service.ways:
        threading.Thread(target=way.run, name=way.name, daemon=True).start()
    while True:
        service.look(time.time())
        if asked.is_set():
            asked.clear()
            service.test(time.time())
        if not service.follower.behind:
            asked.wait(LOOK_SECONDS)
