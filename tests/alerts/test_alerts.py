# SPDX-License-Identifier: GPL-3.0-or-later
"""Each alert, raised for real through the files of the log host, and received by mail and by IM."""

from __future__ import annotations

import datetime
import json
import uuid
from typing import Any

import pytest
from sallyport_alerts.kinds import KINDS

from alerts.log_host import LogHost

EVENT: dict[str, Any] = {
    "v": 1,
    "server": "im.test.example",
    "kind": "message",
    "from": "bob@im.test.example/phone",
    "to": "carl@im.test.example",
    "verdict": "refused",
    "rule": "stranger",
    "reason": "",
}
SOUND: dict[str, Any] = {
    "v": 1,
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
VIRUS = {"kind": "file", "type": "upload", "rule": "virus", "signature": "Test-2"}
LONG_AGO = 4 * 86400
SECRET_TEXT = "the secret text of a message"


def instant(before: float = 0) -> str:
    moment = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=before)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def event(**more: Any) -> tuple[str, dict[str, Any]]:
    return "im", {**EVENT, "id": str(uuid.uuid4()), "time": instant(), **more}


def said(program: str, message: str, *, severity: str = "info", before: float = 0) -> tuple[str, dict[str, Any]]:
    line = {"time": instant(before), "host": "im-int", "program": program, "severity": severity, "facility": "daemon"}
    return "system", {**line, "message": message}


def health(before: float = 0, host: str = "im-int", **more: Any) -> tuple[str, dict[str, Any]]:
    content = {**SOUND, "host": host, "time": instant(before), **more}
    return said("sallyport-health", json.dumps(content), severity="notice", before=before)


SSH = "Connection closed by invalid user root 10.0.0.77 port 4242 [preauth]"
CASES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "infected": [event(kind="file", type="upload", rule="virus", signature="Eicar-Test", body=SECRET_TEXT)],
    "rule": [event(rule="content", matched=["card-numbers"], action="refuse", body=SECRET_TEXT)],
    "warning": [event(rule="contact", matched=["project-x"], action="warn", verdict="allowed", body=SECRET_TEXT)],
    "strangers": [event(**{"from": "mallory@im.test.example"}) for _ in range(25)],
    "sign-in": [event(kind="account", type="sign-in", rule="wrong-password", address="10.0.0.66") for _ in range(21)],
    "ssh": [said("sshd-session", SSH) for _ in range(12)],
    "archive": [said("sallyport-archive", "verify: seal 7 is missing", severity="err")],
    "queue": [said("ship-events", "the log host has taken no event for 12 minutes, 9 bytes wait: x", severity="alert")],
    "damaged": [said("ship-events", "/x.gz is damaged: after 9 bytes of events it is cut off; x", severity="alert")],
    "desktop": [said("admission", "desk: not admitted: firewall: is off")],
    # states: each was bad long ago, and still is
    "signatures": [health(LONG_AGO, antivirus={**SOUND["antivirus"], "stale": True})],
    "certificate": [health(certificates=[{"file": "/etc/sallyport/tls/current/fullchain.pem", "days": 2.0}])],
    "disk": [health(disks=[{**SOUND["disks"][0], "free_percent": 3.0}])],
    "service": [health(LONG_AGO, failed=["prosody.service"])],
    "updates": [health(LONG_AGO, updates=3)],
    "clock": [health(LONG_AGO, offset_seconds=20.0)],
    "blind": [health(LONG_AGO, faults=["disks: cannot be read"], disks=None)],
}


@pytest.mark.parametrize("kind", CASES)
def test_it_is_told_by_mail_and_by_im(log: LogHost, kind: str) -> None:
    for stream, record in CASES[kind]:
        log.line("im-int", stream, record)
    title = f"ALERT: {KINDS[kind].title}"
    by_mail, by_im = log.arrives(title, by="mail"), log.arrives(title, by="im")
    assert by_mail, "no mail"
    assert by_im, "no message"
    for label in ("What:", "Where:", "Since:", "Often:", "Means:", "Do:", "Look:"):
        assert label in by_im
    assert SECRET_TEXT not in by_mail + by_im
    # what is a state ends when the host is sound again, and is told when it has been for a quarter of an hour
    if CASES[kind][0][1].get("program") == "sallyport-health":
        log.line("im-int", *health())
        log.settles(kind)
        assert log.arrives(f"OVER: {KINDS[kind].title}", by="im")


def test_the_alert_names_who_when_and_the_event(log: LogHost) -> None:
    _stream, record = event(**VIRUS, **{"from": "erik@im.test.example"})
    log.line("im-int", "im", record)
    found = log.arrives("erik@im.test.example", by="im")
    assert record["id"] in found
    assert "Test-2" in found


def test_a_flood_is_one_message(log: LogHost) -> None:
    found = [event(**VIRUS, **{"from": "olga@im.test.example"}) for _ in range(3000)]
    log.line("im-int", "im", *(record for _stream, record in found))
    assert log.arrives("olga@im.test.example", by="mail")
    # until all of it has been read
    assert log.until(lambda: log.incident("olga@im.test.example")["count"] == 3000, 30)
    assert len(log.mails_of("olga@im.test.example")) == 1


def test_repeats_and_rubbish_do_no_harm(log: LogHost) -> None:
    _stream, record = event(**{"from": "repeated@im.test.example"})
    log.line("im-int", "im", *([record] * 100))
    place = log.place("im-int")
    log.sh(f"printf 'no json\\n\\377\\376\\n[]\\n{{\\n\\0\\n' >>{place}/im.jsonl")
    log.sh(f"head -c 200000 /dev/urandom >>{place}/system.jsonl")
    log.line("im-int", "system", said("x", "\n")[1])
    log.line("im-int", "im", event(**VIRUS, **{"from": "after@im.test.example"})[1])
    assert log.arrives("after@im.test.example", by="mail")
    assert not log.mails_of("repeated@im.test.example"), "the repeats counted"
    assert log.sh("systemctl show -P NRestarts sallyport-alerts").strip() == "0"


def test_nothing_is_lost_or_told_twice_over_a_kill(log: LogHost) -> None:
    log.line("im-int", "im", event(**VIRUS, **{"from": "killed@im.test.example"})[1])
    log.sh("systemctl kill -s KILL sallyport-alerts")
    assert log.arrives("killed@im.test.example", by="mail")
    log.sh("systemctl kill -s KILL sallyport-alerts; sleep 12")
    assert len(log.mails_of("killed@im.test.example")) == 1
    assert log.incident("killed@im.test.example")["count"] == 1


def test_half_a_line_waits_for_its_end(log: LogHost) -> None:
    _stream, record = event(**VIRUS, **{"from": "half@im.test.example"})
    text = json.dumps(record)
    place = f"{log.place('im-int')}/im.jsonl"
    log.sh(f"cat >>{place}", text[:50])
    assert not log.arrives("half@im.test.example", by="im", seconds=12)
    log.sh(f"cat >>{place}", f"{text[50:]}\n")
    assert log.arrives("half@im.test.example", by="im")


def test_a_person_can_see_that_alerts_arrive(log: LogHost) -> None:
    log.sh("systemctl kill -s USR1 sallyport-alerts")
    assert log.arrives("TEST:", by="mail")
    assert log.arrives("TEST:", by="im")


def test_one_way_tells_that_the_other_one_fails(log: LogHost) -> None:
    """And what could not go waits, over a restart too. Meanwhile: the IM server is gone, which its metrics show."""
    log.sh("systemctl stop opensmtpd")
    log.sh("systemctl kill -s USR1 sallyport-alerts")
    found = log.arrives(KINDS["delivery"].title, by="im", seconds=200)
    assert "log, mail" in found
    log.sh("systemctl restart sallyport-alerts")
    before = len(log.mails())
    log.sh("systemctl start opensmtpd; systemctl stop prosody")
    assert log.until(lambda: len(log.mails()) > before, 400), "what waited has not come"
    log.sh("systemctl kill -s USR1 sallyport-alerts")
    assert "log, im" in log.arrives("log, im", by="mail", seconds=240)
    assert log.arrives("ServerGone", by="mail", seconds=240), "Prometheus did not raise it"
    log.sh("systemctl start prosody")
    log.settles("delivery", 400)
    assert log.arrives("OVER: Alerts cannot be delivered", by="im", seconds=60)


def test_a_silent_host_is_told_and_a_desktop_is_not(log: LogHost) -> None:
    log.line("gw", *health(host="gw"))
    assert log.arrives("(gw, health)", by="mail", seconds=420), "gw has been silent for five minutes"
    log.line("gw", *health(host="gw"))
    log.settles("log-gap")
    assert log.arrives("OVER: A machine does not send its logs", by="mail", seconds=60)
    assert not any("(desk, health)" in mail for mail in log.mails())


def test_a_relay_of_another_name_or_authority_gets_nothing(log: LogHost) -> None:
    """Neither mail nor password goes to who cannot prove that it is the relay."""
    new = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -subj /CN=mail.test.example"
    files = "-keyout /etc/smtpd/mail.test.example.key -out /etc/smtpd/mail.test.example.crt"
    log.sh(f"{new} -addext subjectAltName=IP:127.0.0.1 {files}; systemctl restart opensmtpd")
    before = len(log.mails())
    log.sh("systemctl kill -s USR1 sallyport-alerts; sleep 8")
    assert len(log.mails()) == before
    assert "certificate verify failed" in log.sh("journalctl -u sallyport-alerts --since -1min -o cat")
    log.sh("cp /root/tls/mail.test.example.* /etc/smtpd; systemctl restart opensmtpd")
    assert log.until(lambda: len(log.mails()) > before, 90)


def test_the_sandbox(log: LogHost) -> None:
    shown = log.sh(
        "systemd-analyze security --no-pager sallyport-alerts sallyport-page sallyport-health prometheus || true"
    )
    print(shown)
    for unit in ("sallyport-alerts", "sallyport-page", "sallyport-health", "prometheus"):
        overall = log.sh(f"systemd-analyze security --no-pager {unit}.service | tail -n 1")
        assert float(overall.split("service:")[1].split()[0]) < 2.5, overall
    shown = log.sh("cat /proc/[0-9]*/cmdline /etc/sallyport/alerts.json | tr '\\0' ' '")
    assert not any(secret in shown for secret in log.secrets.values())
    folder = "/etc/sallyport/alerts"
    owned = log.sh(f"stat -c '%a %G' {folder}/im-password {folder}/mail-password").splitlines()
    assert owned == ["640 sallyport-alerts"] * 2


def test_the_page_of_the_day(log: LogHost) -> None:
    # of this day, whenever the others ran
    log.line("im-int", "im", event(**VIRUS, body=SECRET_TEXT, **{"from": "paul@im.test.example"})[1])
    assert log.arrives("paul@im.test.example", by="im")
    log.sh("systemctl start sallyport-page")
    page = f"/var/log/sallyport/pages/{datetime.datetime.now(datetime.UTC):%Y-%m-%d}.html"
    text = log.sh(f"cat {page}")
    assert "paul@im.test.example" in text
    assert KINDS["infected"].title in text
    assert SECRET_TEXT not in text
    assert log.sh(f"stat -c '%a %G' {page}").strip() == "640 sallyport-archive"


def test_the_rules_of_the_metrics(log: LogHost) -> None:
    log.sh("mkdir -p /root/rules; cp /kit/roles/metrics/files/rules.yml /kit/tests/alerts/rules_test.yml /root/rules")
    assert "SUCCESS" in log.sh("cd /root/rules; promtool test rules rules_test.yml")


def test_metrics_are_for_the_log_host_alone(log: LogHost) -> None:
    found = log.sh("promtool query instant http://127.0.0.1:9090 prosody_mod_sallyport_metrics__resident_memory_bytes")
    assert 'host="im-int"' in found
    listening = log.sh("ss -Hltn sport = :9090")
    assert listening.split()[3] == "127.0.0.1:9090"
