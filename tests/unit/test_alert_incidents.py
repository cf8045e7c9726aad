# SPDX-License-Identifier: GPL-3.0-or-later
"""Incidents: each kind from a line of the logs, and when a person is told of it."""

from __future__ import annotations

import json
import shlex
import string
from typing import Any

import pytest
from sallyport_alerts.incidents import MOST_OPEN, OPENED, OVER, REMINDER, SETTLE, Incidents
from sallyport_alerts.kinds import DAY, HOUR, KINDS
from sallyport_alerts.reading import GOOD, MOST_STATES, findings
from sallyport_alerts.words import MOST, MOST_NAMED, alert
from unit.sites import ROOT

NOW = 1_800_000_000.0
MOMENT = "2027-01-15T08:00:00Z"
EVENT = {
    "v": 1,
    "id": "0" * 36,
    "time": MOMENT,
    "server": "im.demo.example",
    "kind": "message",
    "from": "alice@im.demo.example/phone",
    "to": "carl@im.demo.example",
    "verdict": "refused",
    "rule": "stranger",
    "reason": "",
}
HEALTH: dict[str, Any] = {
    "v": 1,
    "host": "im-int",
    "time": MOMENT,
    "faults": [],
    "disks": [{"at": "/", "megabytes": 1000, "free_megabytes": 500, "free_percent": 50.0, "inodes_free_percent": 90.0}],
    "failed": [],
    "missing": [],
    "certificates": [{"file": "/etc/sallyport/tls/current/fullchain.pem", "days": 60.0}],
    "antivirus": {"age_hours": 1.0, "stale": False, "answers": True, "problems": [], "looked": 20},
    "queue_megabytes": 0,
    "updates": 0,
    "offset_seconds": 0.001,
    "memory_free_percent": 50.0,
}
ADMISSION = {"time": MOMENT, "host": "im-int", "program": "admission", "severity": "info"}
SSH = {"time": MOMENT, "host": "gw", "program": "sshd-session", "severity": "info"}


class Watch:
    """Incidents, and a clock that the test turns."""

    def __init__(self) -> None:
        self.now = NOW
        self.incidents = Incidents()
        self.number = 0

    def line(self, stream: str, place: str, /, **record: Any) -> None:
        for finding in findings(stream, place, record, self.now, 14):
            self.incidents.take(finding, self.now)

    def event(self, **more: Any) -> None:
        self.number += 1
        self.line("im", "im-int", **{**EVENT, "id": f"{self.number:036d}", **more})

    def health(self, host: str = "im-int", **more: Any) -> None:
        message = json.dumps({**HEALTH, **more})
        self.line(
            "system", host, time=MOMENT, host=host, program="sallyport-health", severity="notice", message=message
        )

    def told(self, seconds: float = 0) -> list[tuple[str, str, str]]:
        """Return what is told so many seconds later: what, kind and who; and restart in between."""
        self.now += seconds
        changes = self.incidents.look(self.now)
        # what is kept is what JSON has, and nothing else is needed
        self.incidents = Incidents(json.loads(json.dumps(self.incidents.state())))
        return [(change.what, change.incident.kind, change.incident.who) for change in changes]


def test_an_infected_file() -> None:
    watch = Watch()
    watch.event(kind="file", type="upload", rule="clean", verdict="allowed")
    assert watch.told() == []
    watch.event(kind="file", type="upload", rule="virus", signature="Eicar-Test", file="secret plans.zip")
    assert watch.told() == [(OPENED, "infected", "alice@im.demo.example")]
    watch.event(kind="file", type="quarantine", rule="virus", signature="Eicar-Test")
    assert watch.told() == [], "it is open already"
    assert watch.told(DAY + 1) == [(OVER, "infected", "alice@im.demo.example")]


def test_a_message_that_a_rule_of_the_site_refused() -> None:
    watch = Watch()
    watch.event(rule="content", matched=["card-numbers"], action="refuse", body="4111 1111 1111 1111")
    watch.event(rule="contact", matched=["noted-only"], action="log", verdict="allowed")
    changes = watch.incidents.look(watch.now)
    (change,) = changes
    assert (change.incident.kind, change.incident.count) == ("rule", 1)
    body = alert("demo", changes, "page").body
    assert "card-numbers" in body
    assert "4111" not in body, "no text of a message"
    assert f"{1:036d}" in body, "the event's id"


def test_a_message_that_a_rule_warns_of() -> None:
    watch = Watch()
    watch.event(rule="stranger", matched=["noted-only"], action="log")
    watch.event(rule="contact", matched=["project-x"], action="warn", verdict="allowed")
    assert watch.told() == [(OPENED, "warning", "alice@im.demo.example")]


def test_many_refusals_of_one_sender_and_few_of_many() -> None:
    watch = Watch()
    for number in range(15):
        watch.event(**{"from": f"person{number}@im.demo.example"})
    for _ in range(19):
        watch.event(rule="foreign-domain", to="x@else.example")
    assert watch.told() == []
    watch.event()
    assert watch.told() == [(OPENED, "strangers", "alice@im.demo.example")]


def test_slow_refusals_are_no_burst() -> None:
    watch = Watch()
    for minute in range(60):
        watch.event(time=f"2027-01-15T07:{minute:02}:00Z")
    assert watch.told() == []


def test_a_flood_that_was_counted_at_the_server_counts_as_many() -> None:
    watch = Watch()
    watch.event(kind="stream", rule="foreign-domain", count=400, **{"from": "hostile.example"})
    assert watch.told() == [(OPENED, "strangers", "hostile.example")]


def test_guessing_passwords() -> None:
    watch = Watch()
    for _ in range(19):
        watch.event(kind="account", type="sign-in", rule="wrong-password", address="10.0.0.9")
    assert watch.told() == []
    watch.event(kind="account", type="sign-in", rule="sender", address="10.0.0.9", **{"from": "nobody@im.demo.example"})
    assert watch.told() == [(OPENED, "sign-in", "10.0.0.9")]
    watch.event(kind="account", type="sign-in", rule="lockout", address="10.0.0.10")
    assert watch.told() == [(OPENED, "sign-in", "10.0.0.10")], "a lock-out at once"


@pytest.mark.parametrize(
    "message",
    [
        "Invalid user root from 10.0.0.9 port 4242",
        "Failed password for invalid user x from 1.1.1.1 from 10.0.0.9 port 22 ssh2",
        "User root from 10.0.0.9 not allowed because not listed in AllowUsers",
        "Connection closed by authenticating user ops 10.0.0.9 port 4242 [preauth]",
        "Disconnected from invalid user a b 10.0.0.9 port 4242 [preauth]",
    ],
)
def test_guessing_at_ssh(message: str) -> None:
    watch = Watch()
    for _ in range(9):
        watch.line("system", "gw", **SSH, message=message)
    watch.line("system", "gw", **SSH, message="Accepted publickey for ops from 10.0.0.9 port 1 ssh2: ED25519 SHA256:x")
    assert watch.told() == []
    watch.line("system", "gw", **SSH, message=message)
    assert watch.told() == [(OPENED, "ssh", "10.0.0.9")]


@pytest.mark.parametrize(
    ("kind", "who", "bad", "wait"),
    [
        ("signatures", "scanner", {"antivirus": {**HEALTH["antivirus"], "stale": True}}, 600),
        ("signatures", "scanner", {"antivirus": {**HEALTH["antivirus"], "problems": ["clamd does not answer"]}}, 600),
        (
            "certificate",
            HEALTH["certificates"][0]["file"],
            {"certificates": [{**HEALTH["certificates"][0], "days": 3}]},
            0,
        ),
        ("disk", "/", {"disks": [{**HEALTH["disks"][0], "free_percent": 4.0}]}, 0),
        ("disk", "/", {"disks": [{**HEALTH["disks"][0], "inodes_free_percent": 1.0}]}, 0),
        ("service", "prosody.service", {"missing": ["prosody.service"]}, 180),
        ("service", "x.service", {"failed": ["x.service"]}, 180),
        ("archive", "sallyport-archive-verify.service", {"failed": ["sallyport-archive-verify.service"]}, 0),
        ("updates", "security", {"updates": 3}, 3 * DAY),
        ("clock", "clock", {"offset_seconds": -7.0}, 1800),
        ("clock", "clock", {"offset_seconds": None, "faults": ["offset_seconds: no source"]}, 1800),
        ("blind", "health", {"faults": ["disks: no"], "disks": None}, 900),
    ],
)
def test_a_state_of_a_host(kind: str, who: str, bad: dict[str, Any], wait: float) -> None:
    watch = Watch()
    watch.health()
    assert watch.told() == []
    watch.health(**bad)
    if wait:
        assert watch.told(wait - 10) == [], "it may pass by itself"
        watch.health(**bad)
    assert watch.told(10 if wait else 0) == [(OPENED, kind, who)]
    watch.health(**bad)
    assert watch.told(60) == [], "told once"
    watch.health(**bad)
    assert watch.told(DAY) == [(REMINDER, kind, who)]
    watch.health("gw")
    assert watch.told() == [], "another host is well"
    watch.health()
    assert watch.told() == [], "it may come back"
    assert watch.told(SETTLE) == [(OVER, kind, who)]


def test_a_state_that_comes_and_goes_is_one_incident() -> None:
    watch = Watch()
    full: dict[str, Any] = {"disks": [{**HEALTH["disks"][0], "free_percent": 9.9}]}
    watch.health(**full)
    told = watch.told()
    for _ in range(30):
        watch.health()
        told += watch.told(SETTLE / 2)
        # well again and again does not begin the time anew
        watch.health()
        told += watch.told(SETTLE / 2 - 1)
        watch.health(**full)
        told += watch.told(60)
    assert told == [(OPENED, "disk", "/")]
    watch.health()
    changes = watch.incidents.look(watch.now + SETTLE)
    assert [change.what for change in changes] == [OVER]
    body = alert("demo", changes, "page").body
    assert "it came back 30 times" in body
    assert "Well:   since " in body
    watch.health(**full)
    assert watch.told(SETTLE) == [(OPENED, "disk", "/")], "after a quarter of an hour it is another one"


def test_what_is_well_is_not_told_as_lasting() -> None:
    watch = Watch()
    watch.health(failed=["x.service"])
    assert watch.told(180) == [(OPENED, "service", "x.service")]
    watch.now += DAY - 60
    watch.health()
    assert watch.told(120) == []


def test_states_without_end_are_bounded() -> None:
    watch = Watch()
    for number in range(300):
        watch.line("system", "im-int", **ADMISSION, message=f"d{number}: not admitted: firewall: is off")
    assert len(watch.incidents.open) == MOST_STATES + 1
    changes = watch.incidents.look(watch.now)
    message = alert("demo", changes, "page of the day")
    assert len(changes) == MOST_STATES + 1
    others = changes[-1].incident
    assert (others.who, others.count) == ("others", 300 - MOST_STATES)
    assert others.says.startswith("d299: not admitted")
    assert message.body.startswith(f"{MOST_STATES + 1 - MOST - MOST_NAMED} more, see the page: page of the day\n")
    assert message.subject.endswith(f", and {MOST_STATES} more")
    assert message.body.count("ALERT: ") == MOST + MOST_NAMED
    assert len(message.body) < 16000
    assert (OVER, "desktop", "others") in watch.told(DAY)


def test_what_a_host_could_not_look_at_ends_nothing() -> None:
    watch = Watch()
    watch.health(failed=["x.service"])
    assert watch.told(180) == [(OPENED, "service", "x.service")]
    watch.health(failed=None, faults=["failed: systemctl does not answer"])
    assert watch.told() == []


def test_a_scanner_that_was_taken_away_is_no_trouble_any_more() -> None:
    watch = Watch()
    watch.health(antivirus={**HEALTH["antivirus"], "stale": True})
    assert watch.told(600) == [(OPENED, "signatures", "scanner")]
    watch.health(antivirus=None, faults=["antivirus: no such file"])
    assert watch.told(SETTLE) == [(OPENED, "blind", "health")], "nobody could look"
    watch.health(antivirus=None, faults=["disks: no"])
    assert watch.told(SETTLE) == [(OVER, "signatures", "scanner")]


def test_a_state_that_passes_soon_is_nobody_s_business() -> None:
    watch = Watch()
    watch.health(missing=["prosody.service"])
    assert watch.told(60) == []
    watch.health()
    assert watch.told(600) == []


def test_what_went_and_came_between_two_looks_is_still_there() -> None:
    watch = Watch()
    watch.health(failed=["x.service"])
    assert watch.told(180) == [(OPENED, "service", "x.service")]
    watch.health()
    watch.health(failed=["x.service"])
    assert watch.told(5) == []


def test_the_archive_says_that_it_is_broken() -> None:
    watch = Watch()
    line = {"time": MOMENT, "host": "log", "program": "sallyport-archive"}
    watch.line("system", "log", **line, severity="info", message="verify: whole")
    assert watch.told() == []
    watch.line("system", "log", **line, severity="err", message="verify: seal 7 is missing")
    assert watch.told() == [(OPENED, "archive", "messages")]
    # health says nothing of these lines, so it does not end them either
    watch.health("log")
    assert watch.told(HOUR) == []
    assert watch.told(26 * HOUR) == [(OVER, "archive", "messages")]


def test_events_that_wait() -> None:
    watch = Watch()
    line = {"time": MOMENT, "host": "im-int", "program": "ship-events", "severity": "alert"}
    watch.line("system", "im-int", **line, message="the log host takes events")
    assert watch.told() == []
    watch.line("system", "im-int", **line, message="the log host has taken no event for 11 minutes, 70 bytes wait: x")
    watch.line("system", "im-int", **line, message="990 bytes of events wait for the log host, of 1000")
    assert watch.told() == [(OPENED, "queue", "events"), (OPENED, "queue", "room")]
    watch.line("system", "im-int", **line, message="the log host takes events again")
    assert watch.told(SETTLE) == [(OVER, "queue", "events")], "it is full all the same"
    watch.line("system", "im-int", **line, message="the log host has taken no event for 11 minutes, 70 bytes wait: x")
    assert watch.told() == [(OPENED, "queue", "events")]
    watch.line(
        "system", "im-int", **line, message="7 bytes of events wait for the log host, of 1000: enough room again"
    )
    assert watch.told(SETTLE) == [(OVER, "queue", "room")], "it takes nothing all the same"


def test_events_that_are_damaged() -> None:
    watch = Watch()
    line = {"time": MOMENT, "host": "im-int", "program": "ship-events", "severity": "alert"}
    message = "/var/log/prosody/im-events.jsonl-20270101.gz is damaged: after 9 bytes of events it is cut off; kept"
    watch.line("system", "im-int", **line | {"program": "other"}, message=message)
    assert watch.told() == []
    watch.line("system", "im-int", **line, message=message)
    assert watch.told() == [(OPENED, "damaged", "/var/log/prosody/im-events.jsonl-20270101.gz")]
    message = "/var/log/prosody/im-events.jsonl has a line that is too long: after 9 bytes of events, 600000 bytes"
    watch.line("system", "im-int", **line, message=message)
    assert watch.told() == [(OPENED, "damaged", "/var/log/prosody/im-events.jsonl")]


def test_a_desktop() -> None:
    watch = Watch()
    watch.line("system", "im-int", **ADMISSION, message="desk: admitted at 10.0.2.21")
    watch.line("system", "im-int", **ADMISSION, message="desk: admission lapsed, nobody has renewed it")
    assert watch.told(2 * DAY) == [], "it was switched off"
    assert watch.told(DAY) == [(OPENED, "desktop", "desk")]
    watch.line("system", "im-int", **ADMISSION, message="desk: admitted at 10.0.2.21")
    assert watch.told(SETTLE) == [(OVER, "desktop", "desk")]
    watch.line("system", "im-int", **ADMISSION, message="desk: not admitted: firewall: is off; disk: is open")
    assert watch.told() == [(OPENED, "desktop", "desk")], "what fails a check is told at once"


def test_repeats_do_no_harm() -> None:
    watch = Watch()
    for _ in range(100):
        watch.line("im", "im-int", **EVENT)
    assert watch.told() == [], "one event that came a hundred times"


def test_a_flood_makes_one_message() -> None:
    watch = Watch()
    for _ in range(5000):
        watch.event(kind="file", type="upload", rule="virus", signature="x")
    assert len(watch.told()) == 1
    watch = Watch()
    for number in range(300):
        watch.event(kind="account", type="sign-in", rule="lockout", address=f"10.1.{number // 250}.{number % 250}")
    changes = watch.incidents.look(watch.now)
    assert len(changes) == MOST_OPEN + 1
    others = [change.incident for change in changes if change.incident.who == "others"]
    assert [one.count for one in others] == [(300 - MOST_OPEN) * 20]
    message = alert("demo", changes, "page")
    assert message.body.count("Do: ") == MOST
    assert len(message.body) < 16000


def test_memory_is_bounded() -> None:
    watch = Watch()
    for number in range(5000):
        watch.event(**{"from": f"p{number}@else.example"})
    state = watch.incidents.state()
    assert len(state["counts"]) <= 1000
    assert len(state["seen"]) <= 5000


def test_a_count_without_end_is_kept() -> None:
    watch = Watch()
    for _ in range(20):
        watch.event(kind="file", type="quarantine", count=int("9" * 4300))
    assert watch.told() == [(OPENED, "infected", "alice@im.demo.example")]


def test_what_strangers_choose_is_shown_and_runs_nowhere() -> None:
    watch = Watch()
    watch.event(kind="stream", count=99, **{"from": "$(reboot)\x1b[2J`x`{where}"})
    body = alert("demo", watch.incidents.look(watch.now), "page").body
    assert "\x1b" not in body
    command = next(line for line in body.splitlines() if line.startswith("Look:"))
    assert shlex.split(command.removeprefix("Look:"))[-1].startswith("$(reboot)")
    assert "'$(reboot)" in command, "a shell would run it"


@pytest.mark.parametrize(
    "record", [{}, {"time": 5}, {"kind": "file"}, {"from": 7, "verdict": "refused", "rule": "stranger"}]
)
def test_lines_of_another_form(record: dict[str, Any]) -> None:
    for stream in ("im", "system"):
        assert [one for one in findings(stream, "x", record, NOW, 14) if one.state == GOOD] == []


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_says_what_to_do(kind: str) -> None:
    entry = KINDS[kind]
    for text in (entry.do, entry.look):
        assert {name for _, name, _, _ in string.Formatter().parse(text) if name} <= {"where", "who"}
    assert all((entry.title, entry.means, entry.do, entry.look))
    assert f"| {entry.title} |" in (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "bad",
    [
        {"disks": [{"at": 5, "free_percent": 1.0}]},
        {"disks": [{"at": f"/{number}", "free_percent": 1.0} for number in range(500)]},
    ],
)
def test_a_host_that_tells_nonsense_floods_nobody_and_stops_nothing(bad: dict[str, Any]) -> None:
    watch = Watch()
    watch.health(**bad)
    watch.health(**bad)
    told = watch.told(900)
    assert len(told) <= 1
    watch.line("system", "im-int", **SSH | {"program": "sallyport-health", "message": "[" * 100_000})
    watch.event(kind="file", type="upload", rule="virus", signature="Eicar-Test")
    assert (OPENED, "infected", "alice@im.demo.example") in watch.told()
