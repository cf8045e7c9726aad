# SPDX-License-Identifier: GPL-3.0-or-later
"""R10: what goes wrong reaches a person: each machine says how it is, and the log host tells by mail and by message."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable
from typing import Any

from probe.remote import Probe
from system.controls import RESTART, Amber, Breakage, Seen, control
from system.reach import connect
from system.site_facts import SiteFacts
from system.talk import Client, fresh

LOGS = "/var/log/sallyport/hosts"
PAGES = "/var/log/sallyport/pages"
STATE = "/var/lib/sallyport-alerts"
SETTINGS = "/etc/sallyport/alerts.json"
MAILBOX = "/home/ops/Maildir/new"
HTTPS, PROMETHEUS = 5281, 9090
HEALTH_SECONDS = 120
"""Each machine speaks once a minute."""
ALERT_SECONDS = 60
MANY = 25
"""So many refused messages within minutes are a burst; the limit is 20."""
AGAIN = "systemctl restart sallyport-alerts; sleep 2"


def _today() -> str:
    return f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"


def _until(true: Callable[[], Any], seconds: float) -> Any:
    """Wait until something holds; returns it, or the last answer."""
    end = time.monotonic() + seconds
    while not (found := true()) and time.monotonic() < end:
        time.sleep(2)
    return found


def _told(facts: SiteFacts) -> tuple[bool, list[str]]:
    """Return whether mail goes to somebody, and the people who get messages.

    Raises:
        Amber: When nobody is told.
    """
    settings = facts.sallyport.get("alerts") or {}
    mail, people = settings.get("mail"), [str(person) for person in settings.get("people") or ()]
    if not mail and not people:
        raise Amber("Nobody is told when something goes wrong: sallyport.alerts names neither mail nor people.")
    return bool(mail), people


@control(
    id="R10-machines-say-how-they-are",
    practice="R10",
    says="Each machine says each minute how it is, and the log host hears it.",
    permitted="A fresh word of each server, the log host and the gateway; all that is looked at could be found out.",
    forbidden="A machine that is silent, or could not look at itself.",
    tried_from="control_node",
    on="log_host",
    breakage=Breakage(
        command="systemctl stop sallyport-health.timer",
        undo="systemctl start sallyport-health.timer",
    ),
)
def test_machines_say_how_they_are(facts: SiteFacts, seen: Seen) -> None:
    log = connect(facts.log_host())
    begun = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for host in facts.servers():

        def word(name: str = host.name) -> dict[str, Any]:
            path = f"{LOGS}/{name}/{_today()}/system.jsonl"
            line = log.run(f'grep -F \'"program":"sallyport-health"\' {path} | tail -n 1').stdout
            found: dict[str, Any] = json.loads(json.loads(line)["message"]) if line else {}
            return found if found.get("time", "") > begun else {}

        health = _until(word, HEALTH_SECONDS)
        assert health, f"nothing was heard of {host.name} for {HEALTH_SECONDS} seconds"
        faults = [fault for fault in health["faults"] if not fault.startswith("offset_seconds")]
        assert not faults, f"{host.name} could not look everywhere: {'; '.join(faults)}"
        wrong = [*health["failed"], *health["missing"]]
        assert not wrong, f"{host.name}: {', '.join(wrong)} should run"
        seen(f"{host.name}: {min(disk['free_percent'] for disk in health['disks'])} % of the disk are free.")


@control(
    id="R10-alerts-go-out",
    practice="R10",
    says="The log host can tell people by every way that the site names, and sees at once when one fails.",
    permitted="A message is taken by the mail relay and by the IM server.",
    forbidden="One that waits.",
    tried_from="control_node",
    on="log_host",
    breakage=Breakage(
        SETTINGS,
        r'"authority": "[^"]+"',
        '"authority": "/etc/ssl/certs/ca-certificates.crt"',
        command=AGAIN,
    ),
)
def test_alerts_go_out(facts: SiteFacts, seen: Seen) -> None:
    mail, people = _told(facts)
    log = connect(facts.log_host())
    done = log.run("systemctl kill --signal=SIGUSR1 sallyport-alerts")
    assert done.rc == 0, done.stderr
    time.sleep(3)

    def waiting() -> str:
        return str(log.run(f"ls {STATE}/mail {STATE}/im 2>/dev/null | grep json || true").stdout.strip())

    _until(lambda: not waiting(), ALERT_SECONDS)
    if waiting():
        why = log.run("journalctl --unit sallyport-alerts --since -2min -o cat | tail -n 2").stdout.strip()
        raise AssertionError(f"a message waits and does not go: {why}")
    if mail:
        seen("The mail relay has taken a message.")
    if people:
        seen(f"The IM server has taken one for {', '.join(people)}.")


@control(
    id="R10-burst-is-told",
    practice="R10",
    says="Somebody who writes again and again to people whom he may not reach is told of within a minute.",
    permitted="Five refused messages make no alert.",
    forbidden=f"{MANY} of them pass unnoticed.",
    on="log_host",
    safe=False,
    breakage=Breakage(
        command="systemctl stop sallyport-alerts",
        undo="systemctl start sallyport-alerts; sleep 5",
    ),
)
def test_burst_is_told(*, facts: SiteFacts, client: Callable[[str], Client], world_root: Probe, seen: Seen) -> None:
    mail, _people = _told(facts)
    log, world = connect(facts.log_host()), connect(facts.hosts[world_root.name])
    stranger = client("probe-c")

    def incidents() -> list[dict[str, Any]]:
        state = json.loads(log.run(f"cat {STATE}/state.json").stdout or "{}")
        found = (state.get("incidents") or {}).get("open", {}).values()
        return [one for one in found if one["kind"] == "strangers" and one["who"] == stranger.bare]

    before = incidents()
    counted = before[0]["count"] if before else 0
    if not before:
        for _ in range(5):
            stranger.send(f"<message to='probe-a@{facts.domain}' id='{fresh()}'><body>x</body></message>")
        time.sleep(15)
        assert not incidents(), "five refused messages are an alert"
    for _ in range(MANY):
        stranger.send(f"<message to='probe-a@{facts.domain}' id='{fresh()}'><body>x</body></message>")
    found = _until(lambda: [one for one in incidents() if one["count"] > counted and one["told"]], ALERT_SECONDS)
    assert found, f"{MANY} refused messages of {stranger.bare} are no alert after {ALERT_SECONDS} seconds"
    seen(f"{found[0]['count']} refusals of {stranger.bare} were told as one.")
    if facts.demo and mail:
        text = "Many messages to people whom the sender may not reach"

        def arrived() -> str:
            return str(world.run(f"grep -rl '{text}' {MAILBOX}").stdout.strip())

        assert _until(arrived, ALERT_SECONDS), "no mail of it is in the mailbox of the company"
        seen("The mail lies in the company's mailbox.")


@control(
    id="R10-metrics-for-the-log-host",
    practice="R10",
    says="The IM servers tell the log host, and nobody else, what they count.",
    permitted="Prometheus on the log host has fresh figures of each IM server, by HTTPS.",
    forbidden="A desktop that asks the server; anybody who asks Prometheus over the network.",
    breakage=Breakage(
        "/etc/prosody/prosody.cfg.lua",
        r"^openmetrics_allow_ips = .*$",
        'openmetrics_allow_cidr = "0.0.0.0/0"',
        command=RESTART,
    ),
)
def test_metrics_for_the_log_host(facts: SiteFacts, desktop: Any, seen: Seen) -> None:
    log = connect(facts.log_host())
    for host, service in facts.im_servers():
        query = f"promtool query instant http://127.0.0.1:{PROMETHEUS} 'up{{host=\"{host.name}\"}}'"
        # after a restart of the server it is asked within half a minute

        def is_up(query: str = query) -> bool:
            return "=> 1 " in log.run(query).stdout

        assert _until(is_up, 60), f"no figures of {host.name}"
        url = f"https://{service.address}:{HTTPS}/metrics"
        code = desktop.run(f"curl --silent --insecure --output /dev/null --write-out '%{{http_code}}' {url}").stdout
        assert code == "403", f"{host.name} answers a desktop with {code}"
        seen(f"{host.name} answers the log host, and a desktop with {code}.")
    listens = log.run(f"ss -Hltn 'sport = :{PROMETHEUS}'").stdout.split()
    assert listens[3:4] == [f"127.0.0.1:{PROMETHEUS}"], f"Prometheus listens on {listens}"


@control(
    id="R10-page-of-the-day",
    practice="R10",
    says="Each day has a page that shows at a glance what happened, for those who may read the logs.",
    permitted="Today's page is there, not older than an hour, and needs nothing from elsewhere.",
    forbidden="Somebody else on the log host who reads it; a script in it.",
    tried_from="control_node",
    on="log_host",
    breakage=Breakage(
        command=f"chmod 755 {PAGES}; chmod 644 {PAGES}/*", undo=f"chmod 750 {PAGES}; chmod 640 {PAGES}/*"
    ),
)
def test_page_of_the_day(facts: SiteFacts, seen: Seen) -> None:
    log = connect(facts.log_host())
    page = f"{PAGES}/{_today()}.html"
    age = log.run(f"expr $(date +%s) - $(stat -c %Y {page})")
    assert age.rc == 0, f"there is no page of today: {age.stderr.strip()}"
    assert int(age.stdout) < 4200, f"the page of today is {age.stdout.strip()} seconds old"
    text = log.run(f"cat {page}").stdout
    assert "default-src 'none'" in text
    assert "<script" not in text
    assert log.run(f"runuser -u nobody -- cat {page}").rc != 0, "everybody on the log host reads the page"
    seen(f"{page} is {int(age.stdout) // 60} minutes old; nobody else on the machine reads it.")
