# SPDX-License-Identifier: GPL-3.0-or-later
"""Following files, and the queues: what is kept over crashes, what is tried again, what one way tells of the other."""

from __future__ import annotations

import json
import smtplib
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import jinja2
import pytest
import yaml
from ansible_collections.sallyport.im.plugins.plugin_utils.derive import host_settings
from ansible_collections.sallyport.im.plugins.plugin_utils.site import load
from ansible_collections.sallyport.im.plugins.plugin_utils.vault import write_vault
from sallyport_alerts import im, mail, outbox, service, words
from sallyport_alerts.follow import Follower
from sallyport_alerts.incidents import MOST_OPEN, SETTLE, Change, Incident
from sallyport_alerts.kinds import KINDS
from sallyport_alerts.outbox import GIVEN_UP_SECONDS, MOST, OFTEN_SECONDS, Outbox, Refused, Undelivered
from sallyport_alerts.reading import BAD, EVENT, Finding
from sallyport_alerts.service import MOST_WITHHELD
from sallyport_alerts.words import Message
from unit.host_programs import ROOT
from unit.sites import BASE_HOSTS, BASE_SITE, LOG_HOST, PASSWORD, SECRETS, make_site, moment

DAY = "2027-01-15"
NOW = 1_800_000_000.0
ALERTS = """alerts:
    mail:
      {relay: 192.0.2.25, from: a@fjord.example, to: [it@fjord.example], user: fjord, authority: partners/north.crt}
    people: [alice]
  sign_in:"""


def test_each_line_is_read_once_and_half_a_line_later(tmp_path: Path) -> None:
    file = tmp_path / "im-int" / DAY / "im.jsonl"
    file.parent.mkdir(parents=True)
    file.write_bytes(b'{"a": 1}\n{"a": 2}\nno json\n[]\n\xff\xfe\n{"a"')
    follower = Follower(tmp_path)
    assert [line for *_where, line in follower.lines(DAY, DAY)] == [{"a": 1}, {"a": 2}]
    assert [*follower.lines(DAY, DAY)] == []
    with file.open("ab") as stream:
        stream.write(b": 3}\n")
    after = Follower(tmp_path, json.loads(json.dumps(follower.places)))
    assert [*after.lines(DAY, DAY)] == [("im-int", "im", {"a": 3})]
    # another file in its place, as after a restore
    file.replace(f"{file}.old")
    file.write_bytes(b'{"a": 4}\n')
    assert [*after.lines(DAY, DAY)] == [("im-int", "im", {"a": 4})]


def test_only_the_days_and_streams_that_count(tmp_path: Path) -> None:
    for name in ("h/2027-01-13/im", f"h/{DAY}/other", "h/2027-01-16/im", f"h/{DAY}x/im", "h/2027-01-14/system"):
        path = tmp_path / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}\n")
    assert [(host, stream) for host, stream, _line in Follower(tmp_path).lines(DAY, "2027-01-14")] == [("h", "system")]


class Relay:
    """A way that can be made to fail."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.bodies: list[str] = []
        self.fails = False

    def __call__(self, content: dict[str, Any], _name: str) -> None:
        if self.fails:
            content["done"].append("first")
            raise Undelivered("no answer")
        self.sent.append(content["subject"])
        self.bodies.append(content["body"])


def test_what_does_not_go_waits_in_order(tmp_path: Path) -> None:
    relay = Relay()
    relay.fails = True
    box = Outbox("mail", tmp_path / "mail", relay)
    for number in range(3):
        box.put(Message(f"m{number}", ""), NOW + number)
    box.put(Message("m0", ""), NOW + 9)  # made again after a crash
    assert not box.flush()
    assert box.failing_since is not None
    assert json.loads(box.waiting()[0].read_text())["done"] == ["first"], "who has it gets it only once"
    relay.fails = False
    again = Outbox("mail", tmp_path / "mail", relay)
    assert again.flush()
    assert relay.sent == ["m0", "m1", "m2"]
    assert again.waiting() == []


class Clock:
    """In the place of the module `time`."""

    def __init__(self) -> None:
        self.now = NOW

    def time(self) -> float:
        return self.now


def test_what_is_refused_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, tried = Clock(), []
    monkeypatch.setattr(outbox, "time", clock)

    def send(content: dict[str, Any], _name: str) -> None:
        tried.append((clock.now - NOW, content["subject"]))
        if content["subject"] == "odd":
            raise Refused("the relay refuses it")

    box = Outbox("mail", tmp_path / "mail", send)
    for number, subject in enumerate(("m0", "odd", "m1")):
        box.put(Message(subject, ""), NOW - 9 * 86400 + number)
    assert not box.flush()
    assert [subject for _at, subject in tried] == ["m0", "odd", "m1"]
    assert (box.failing_since, box.failure) == (NOW, "the relay refuses it")
    box.put(Message("m2", ""), NOW)
    assert not box.flush()
    assert [subject for _at, subject in tried[3:]] == ["m2"], "what was refused waits longer each time"
    assert box.failing_since == NOW, "others went, and yet not all is well"
    tried.clear()
    while clock.now < NOW + GIVEN_UP_SECONDS:
        clock.now += 5
        assert not box.flush()
    assert [at for at, _subject in tried[:4]] == [5, 10, 20, 40]
    assert len(tried) < 10 + GIVEN_UP_SECONDS / OFTEN_SECONDS
    clock.now += OFTEN_SECONDS
    assert box.flush(), "given up"
    assert not box.waiting()
    assert not box.failing_since


class Smtp:
    """A relay that does not know everybody."""

    answer = 550

    def __init__(self, *_where: Any, **_how: Any) -> None:
        pass

    def __enter__(self) -> Smtp:
        """Connect."""
        return self

    def __exit__(self, *_: object) -> None:
        """Disconnect."""

    def starttls(self, context: Any) -> None:
        pass

    def login(self, _user: str, password: str) -> None:
        # as smtplib does
        password.encode("ascii")

    def send_message(self, _mail: Any, to_addrs: list[str]) -> dict[str, tuple[int, bytes]]:
        refused = {one: (self.answer, b"no") for one in to_addrs if one.startswith("gone")}
        if len(refused) == len(to_addrs):
            raise smtplib.SMTPRecipientsRefused(refused)
        return refused


MAIL = {
    "authority": "",
    "relay": "r",
    "port": 587,
    "direct": False,
    "user": "",
    "from": "s@x",
    "to": ["it@x", "gone@x"],
}


def test_who_is_refused_costs_nobody_else_a_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtplib, "SMTP", Smtp)
    content: dict[str, Any] = {"subject": "s", "body": "b", "made": NOW, "done": []}
    for _ in range(2):
        with pytest.raises(Refused, match="gone@x"):
            mail.sender(MAIL, None)(content, "name")
        assert content["done"] == ["it@x"]
    monkeypatch.setattr(Smtp, "answer", 421)
    with pytest.raises(Undelivered) as closing:
        mail.sender(MAIL, None)(content, "name")
    assert not isinstance(closing.value, Refused), "the relay takes nothing now"
    # taken out of the settings
    mail.sender({**MAIL, "to": ["it@x"]}, None)(content, "name")


def test_a_password_that_cannot_be_sent_is_told_and_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtplib, "SMTP", Smtp)
    box = Outbox("mail", tmp_path / "mail", mail.sender({**MAIL, "user": "fjord"}, "p\xe4ss"))
    box.put(Message("s", "b"), NOW)
    assert not box.flush()
    assert box.failing_since is not None
    assert "ASCII" in box.failure
    assert "xe4" not in box.failure


def test_a_message_that_cannot_be_read_is_set_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    relay = Relay()
    box = Outbox("im", tmp_path / "im", relay)
    for number, text in enumerate(("", "[]", "5", "{}", '{"subject": "x"}', "[" * 100_000, "\0")):
        (box.folder / f"{number}-aa.json").write_text(text)
    (box.folder / "9-aa.json").mkdir()
    box.put(Message("later", "b"), NOW)
    assert box.flush()
    assert relay.sent == ["later"]
    assert box.waiting() == []
    assert len([*box.folder.glob("*.unreadable")]) == 8
    assert capsys.readouterr().err.count("is set aside") == 8


def test_a_message_that_cannot_be_read_now_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, relay, read_text = Clock(), Relay(), Path.read_text
    monkeypatch.setattr(outbox, "time", clock)
    box = Outbox("im", tmp_path / "im", relay)
    for number in range(2):
        box.put(Message(f"m{number}", "b"), NOW + number)
    (first, _second) = box.waiting()

    def refuse(self: Path, *how: Any, **more: Any) -> str:
        if self == first:
            raise OSError(24, "Too many open files")
        return read_text(self, *how, **more)

    with monkeypatch.context() as few:
        few.setattr(Path, "read_text", refuse)
        assert not box.flush()
    assert relay.sent == ["m1"]
    assert "Too many open files" in box.failure
    clock.now += outbox.PAUSES[-1]
    assert box.flush()
    assert relay.sent == ["m1", "m0"]


def test_whatever_goes_wrong_the_way_goes_on_and_says_that_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("x")

    box = Outbox("im", tmp_path / "im", broken)
    box.put(Message("s", "b"), NOW)
    assert not box.flush()
    assert box.failure == "KeyError: 'x'"
    again = Outbox("mail", tmp_path / "mail", Relay())

    class Ended(BaseException):
        pass

    def wait(seconds: float) -> None:
        raise Ended(seconds)

    monkeypatch.setattr(again, "flush", broken)
    monkeypatch.setattr(again._wake, "wait", wait)
    with pytest.raises(Ended, match=str(outbox.PAUSES[0])):
        again.run()
    assert again.failing_since is not None
    assert "KeyError" in again.failure


@pytest.mark.parametrize("mark", ["a", "ä", "&", "'", "\U00020000"])
def test_an_im_message_is_as_long_as_the_server_takes(mark: str) -> None:
    whole = escape(im.cut("x" + mark * 20_000), {"'": "&apos;", '"': "&quot;"}).encode()
    assert im.LONGEST - 6 < len(whole) <= im.LONGEST
    assert im.cut(mark * 100) == mark * 100


@pytest.mark.parametrize(("refused", "failure", "kind"), [(["b@d"], "", Refused), ([], "gone", Undelivered)])
def test_whom_the_im_server_refuses(
    monkeypatch: pytest.MonkeyPatch, refused: list[str], failure: str, kind: type[Undelivered]
) -> None:
    async def deliver(*_: Any) -> tuple[str, list[str]]:
        return failure, refused

    monkeypatch.setattr(im, "_deliver", deliver)
    content: dict[str, Any] = {"subject": "s", "body": "b", "made": NOW, "done": []}
    with pytest.raises(Undelivered) as error:
        im.sender({"domain": "d", "people": ["a", "b"]}, "p")(content, "name")
    assert type(error.value) is kind
    assert content["done"] == ([] if failure else ["a@d"])


def test_the_queue_is_bounded(tmp_path: Path) -> None:
    box = Outbox("mail", tmp_path / "mail", Relay())
    for number in range(MOST + 5):
        box.put(Message(f"m{number}", ""), NOW + number)
    assert len(box.waiting()) == MOST


def watch(tmp_path: Path, now: float, *ways: Outbox) -> service.Service:
    for name in ("hosts/log", "pages"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    settings = {
        "site": "demo",
        "host": "log",
        "hosts": {"im-int": "im_internal", "desk": "desktops", "log": "log_host"},
        "certificate_days": 14,
        "messages_days": 90,
        "prometheus_port": 0,
        "messages_an_hour": 3,
        "logs": str(tmp_path / "hosts"),
        "pages": str(tmp_path / "pages"),
    }
    return service.Service(settings, tmp_path, [*ways], now)


def told(changes: list[Any]) -> list[tuple[str, str, str, str]]:
    return [(one.what, one.incident.kind, one.incident.where, one.incident.who) for one in changes]


def test_a_silent_host_is_told_over_a_restart_too(tmp_path: Path) -> None:
    one = watch(tmp_path, NOW)
    file = tmp_path / "hosts" / "log" / DAY / "system.jsonl"
    file.parent.mkdir()
    line = {"program": "sallyport-health", "message": json.dumps({"offset_seconds": 0, "faults": []})}
    file.write_text(json.dumps(line) + "\n")
    assert one.look(NOW) == []
    silent = [("opened", "log-gap", host, "health") for host in ("im-int", "log")]
    assert told(one.look(NOW + 301)) == silent
    again = watch(tmp_path, NOW + 320)
    with file.open("a") as stream:
        stream.write(json.dumps(line) + "\n")
    assert again.look(NOW + 330) == [], "a restart ends nothing, and it may come back"
    assert again.incidents.open[json.dumps(["log-gap", "log", "health"])].over == NOW + 330
    assert not (tmp_path / "hosts" / "desk").exists()


def test_one_way_tells_of_the_other(tmp_path: Path) -> None:
    good, bad = Relay(), Relay()
    bad.fails = True
    by_mail, by_im = Outbox("mail", tmp_path / "mail", bad), Outbox("im", tmp_path / "im", good)
    one = watch(tmp_path, NOW, by_mail, by_im)
    one.test(NOW)
    by_mail.flush()
    by_im.flush()
    assert by_mail.failing_since is not None
    by_mail.failing_since = NOW
    assert one.look(NOW + 60) == [], "it may pass by itself"
    assert told(one.look(NOW + 121)) == [("opened", "delivery", "log", "mail")]
    by_im.flush()
    assert "ALERT: Alerts cannot be delivered" in good.sent[-1]
    again = watch(tmp_path, NOW + 125, Outbox("mail", tmp_path / "mail", bad), by_im)
    assert again.look(NOW + 126) == [], "a restart ends nothing"
    bad.fails = False
    assert by_mail.flush()
    assert one.look(NOW + 130) == []
    assert ("over", "delivery", "log", "mail") in told(one.look(NOW + 130 + SETTLE))


def test_what_was_taken_out_of_the_site_is_over(tmp_path: Path) -> None:
    box = Outbox("mail", tmp_path / "mail", Relay())
    one = watch(tmp_path, NOW, box)
    for kind, where, who in (
        ("disk", "gone", "/"),
        ("disk", "im-int", "/"),
        ("desktop", "log", "desk"),
        ("desktop", "log", "gone"),
        ("delivery", "log", "im"),
    ):
        one.incidents.take(Finding(kind, BAD, where, who, NOW, hold=0), NOW)
    one.incidents.take(Finding("infected", EVENT, "gone", "p1@x", NOW), NOW)
    assert len(one.look(NOW)) == 6
    again = watch(tmp_path, NOW + 60, box)
    changes = told(again.look(NOW + 60 + SETTLE))
    assert [change[1:] for change in changes if change[0] == "over"] == [
        ("disk", "gone", "/"),
        ("desktop", "log", "gone"),
        ("delivery", "log", "im"),
    ]


def infect(folder: Path, *numbers: int) -> None:
    file = folder / "hosts" / "im-int" / DAY / "im.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as stream:
        for number in numbers:
            event = {"kind": "file", "rule": "virus", "verdict": "refused", "from": f"p{number}@x", "id": f"{number}"}
            stream.write(json.dumps(event) + "\n")


def test_only_so_many_messages_go_within_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # silent hosts do not wait
    monkeypatch.setattr(service, "GAP_SECONDS", 2 * 3600)
    relay = Relay()
    box = Outbox("mail", tmp_path / "mail", relay)
    for number in range(30):
        infect(tmp_path, number)
        # started anew each time: what waits is kept
        watch(tmp_path, NOW, box).look(NOW + 60 * number)
        box.flush()
    assert len(relay.sent) == 3
    assert not relay.bodies[1].startswith("So many")
    assert relay.bodies[2].startswith("So many messages went within an hour that the next one goes at 2027-01-15 09:00")
    assert f"pages/{DAY}.html on log" in relay.bodies[2]
    assert len((tmp_path / f"history-{DAY}.jsonl").read_text().splitlines()) == MOST_OPEN + 1, "the page has all"
    one = watch(tmp_path, NOW, box)
    one.look(NOW + 3599)
    box.flush()
    assert len(relay.sent) == 3
    one.look(NOW + 3600)
    box.flush()
    assert relay.sent[3].endswith(f", and {MOST_OPEN + 1 - 3 - 1} more")
    assert "p3@x" in relay.bodies[3]
    assert one.withheld == []
    infect(tmp_path, 99)
    one.look(NOW + 3610)
    box.flush()
    assert len(relay.sent) == 4, "nor more within the next one"


@pytest.mark.parametrize("kind", ["archive", "damaged", "log-gap", "queue"])
def test_what_is_gravest_does_not_wait_for_the_next_hour(tmp_path: Path, kind: str) -> None:
    relay = Relay()
    box = Outbox("mail", tmp_path / "mail", relay)
    one = watch(tmp_path, NOW, box)
    one.sent = [NOW - 60, NOW - 50, NOW - 40]
    slight, grave = (Incident(name, "im-int", "x", NOW, NOW) for name in ("infected", kind))
    for number, change in enumerate(
        (Change("opened", slight), Change("over", grave), Change("opened", grave), Change("opened", slight))
    ):
        one._alert([change], NOW + number)
        box.flush()
        assert len(relay.sent) == (number > 1)
    assert relay.sent[0].endswith(f"ALERT: {KINDS[kind].title} (im-int, x), and 2 more")
    assert [change.incident.kind for change in one.withheld] == ["infected"]
    # the bound is still that of the last hour
    assert f"next one goes at {words.instant(NOW - 50 + 3600)}" in relay.bodies[0]
    one._alert([], NOW - 50 + 3599)
    one._alert([], NOW - 50 + 3600)
    box.flush()
    assert len(relay.sent) == 2


def test_a_flood_hides_nothing_graver(tmp_path: Path) -> None:
    relay = Relay()
    one = watch(tmp_path, NOW, Outbox("mail", tmp_path / "mail", relay))
    one.sent = [NOW, NOW, NOW]
    slight, usual = (Incident(kind, "im-int", kind, NOW, NOW) for kind in ("warning", "infected"))
    for _ in range(MOST_WITHHELD):
        one._alert([Change("opened", slight)], NOW)
    one._alert([Change("reminder", usual), Change("opened", usual), Change("over", usual)], NOW)
    assert [(change.what, change.incident.kind) for change in one.withheld[:3]] == [
        ("opened", "infected"),
        ("reminder", "infected"),
        ("opened", "warning"),
    ]
    one._alert([], NOW + 3600)
    one.ways[0].flush()
    assert relay.sent[0].endswith(f"ALERT: Infected file (im-int, infected), and {MOST_WITHHELD + 2} more")


@pytest.mark.parametrize(("number", "taken"), [(-1, False), (0, False), (1, True), (20, True)])
def test_some_message_may_go_within_an_hour(number: int, taken: bool) -> None:
    """The condition of the role's first task."""
    tasks = yaml.safe_load((ROOT / "roles/alerts/tasks/main.yml").read_text(encoding="utf-8"))
    condition = jinja2.Environment(autoescape=False).compile_expression(tasks[0]["ansible.builtin.assert"]["that"])
    assert condition(alerts_messages_an_hour=number) is taken


def test_what_waits_for_the_next_message_is_bounded(tmp_path: Path) -> None:
    one = watch(tmp_path, NOW)
    incident = Incident("infected", "im-int", "x", NOW, NOW)
    one.sent = [NOW, NOW, NOW]
    for _ in range(5):
        one._alert([Change("opened", incident)] * 100, NOW)
    assert (len(one.withheld), one.unnamed) == (MOST_WITHHELD, 500 - MOST_WITHHELD)
    relay = Relay()
    one.ways = [Outbox("mail", tmp_path / "mail", relay)]
    one._alert([], NOW + 3600)
    one.ways[0].flush()
    assert relay.sent[0].endswith(", and 499 more")
    assert relay.bodies[0].startswith(f"{500 - words.MOST - words.MOST_NAMED} more, see the page: ")


def test_the_mail_of_the_day_goes_once(tmp_path: Path) -> None:
    relay, people = Relay(), Relay()
    ways = [Outbox("mail", tmp_path / "mail", relay), Outbox("im", tmp_path / "im", people)]
    one = watch(tmp_path, NOW, *ways)
    (tmp_path / "pages" / f"{DAY}.html").write_text("")
    totals = {"day": DAY, "messages": 1, "refused": 2, "infected": 3, "sign_in_failures": 4, "incidents": 5}
    (tmp_path / "pages" / f"{DAY}.json").write_text(json.dumps(totals))
    morning = NOW + 86400 - 8 * 3600 + 6 * 3600
    for when in (NOW, morning - 7200, morning, morning + 60):
        one.look(when)
        [way.flush() for way in ways]
    assert [subject for subject in relay.sent if DAY in subject] == [f"[Sallyport demo] {DAY}: 2 open"]
    assert not any(DAY in subject for subject in people.sent)


@pytest.mark.parametrize(("days", "kept"), [(1, 2), (90, 91), (3650, 401)])
def test_history_is_kept_no_longer_than_messages(tmp_path: Path, days: int, kept: int) -> None:
    one = watch(tmp_path, NOW)
    one.settings = {**one.settings, "messages_days": days}
    for age in range(410):
        (tmp_path / f"history-{service.day_of(NOW - age * 86400)}.jsonl").touch()
    assert one.look(NOW) == [], "nothing needs to happen for it"
    assert len([*tmp_path.glob("history-*")]) == kept
    one.look(NOW + 60)
    one.look(NOW + 86400)
    assert len([*tmp_path.glob("history-*")]) == kept, "the new day has its own"


def test_a_line_of_another_form_is_told_and_harms_nothing(tmp_path: Path) -> None:
    one = watch(tmp_path, NOW)
    file = tmp_path / "hosts" / "im-int" / DAY / "system.jsonl"
    file.parent.mkdir(parents=True)
    broken = {"program": "sallyport-health", "message": json.dumps({"disks": [3], "faults": []})}
    file.write_text(f"{json.dumps(broken)}\n")
    one.look(NOW)
    assert told(one.look(NOW + 900))[0] == ("opened", "blind", "im-int", "health")


@pytest.mark.parametrize("odd", ["mode", "folder", "day"])
def test_a_file_that_cannot_be_read_is_told_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    monkeypatch.setattr(service, "GAP_SECONDS", 86400)
    one = watch(tmp_path, NOW)
    file = tmp_path / "hosts" / "gw" / DAY / "im.jsonl"
    file.parent.mkdir(parents=True)
    if odd == "mode":
        file.touch()
        path_open = Path.open

        def refuse(self: Path, *how: Any, **more: Any) -> Any:
            # root may read everything
            if self == file and file.exists():
                raise PermissionError(13, "Permission denied")
            return path_open(self, *how, **more)

        monkeypatch.setattr(Path, "open", refuse)
    elif odd == "folder":
        file.mkdir()
    else:
        file.parent.rmdir()
        file.parent.touch()
    infect(tmp_path, 1)
    assert told(one.look(NOW)) == [("opened", "infected", "im-int", "p1@x")]
    changes = one.look(NOW + 900)
    assert ("opened", "blind", "gw", "im.jsonl") in told(changes)
    assert all(f"gw/{DAY}/{change.incident.who}: " in change.incident.says for change in changes)
    if odd == "folder":
        file.rmdir()
    else:
        (file if odd == "mode" else file.parent).unlink()
    one.look(NOW + 960)
    assert ("over", "blind", "gw", "im.jsonl") in told(one.look(NOW + 960 + SETTLE))


def test_a_mail(tmp_path: Path) -> None:
    settings = {"from": "alerts@demo.example", "to": ["a@demo.example", "b@demo.example"]}
    content = {"subject": "ALERT: Ås\r\nBcc: x@evil.example"[:10], "body": "Ås\n", "made": NOW, "done": []}
    made = mail.compose(settings, content, "name")
    assert made["Message-ID"] == "<name@demo.example>"
    assert made["Auto-Submitted"] == "auto-generated"
    with pytest.raises(ValueError, match=r"[Hh]eader"):
        mail.compose(settings, {**content, "subject": "x\r\nBcc: x@evil.example"}, "name")


def test_what_the_log_host_is_told(tmp_path: Path) -> None:
    site = BASE_SITE.replace("sign_in:", ALERTS)
    folder = make_site(tmp_path, site, BASE_HOSTS.replace("    gateway:", LOG_HOST))
    (folder / "vault.yml").unlink()
    secrets = {**SECRETS, "alerts_password": "x", "alerts_mail_password": "y"}
    write_vault(folder, secrets, passwords=[PASSWORD])
    found = host_settings(load(folder), "log", moment("2026-06-01"))
    alerts = found["alerts"]
    assert (alerts["mail"]["relay"], alerts["mail"]["port"], alerts["mail"]["direct"]) == ("192.0.2.25", 587, False)
    assert alerts["messages_days"] == 365
    assert "BEGIN CERTIFICATE" in alerts["mail"]["authority"]
    assert (alerts["im"]["address"], alerts["im"]["port"], alerts["im"]["people"]) == ("10.20.1.11", 5223, ["alice"])
    assert (alerts["im_secret"], alerts["mail_secret"]) == ("alerts_password", "alerts_mail_password")
    assert found["metrics"]["targets"] == [
        {"host": "im-int", "address": "10.20.1.11", "port": 5281, "name": "im.fjord.example"}
    ]
    assert {"prometheus", "python3-slixmpp"} <= {*found["packages"]}
    assert alerts["im"]["account"] == "sallyport-alerts"
    server = host_settings(load(folder), "im-int", moment("2026-06-01"))
    account = {"name": "sallyport-alerts", "enabled": True, "secret": "alerts_password"}
    assert account in server["im"]["accounts"]
    assert server["im"]["metrics_from"] == ["10.20.1.14", "fd12:20:0:2::14"]


def test_empty_means_nobody(tmp_path: Path) -> None:
    folder = make_site(tmp_path, BASE_SITE, BASE_HOSTS.replace("    gateway:", LOG_HOST))
    alerts = host_settings(load(folder), "log", moment("2026-06-01"))["alerts"]
    assert (alerts["mail"], alerts["im"], alerts["mail_secret"], alerts["im_secret"]) == (None, None, "", "")
    server = host_settings(load(make_site(tmp_path)), "im-int", moment("2026-06-01"))
    assert server["im"]["metrics_from"] == [], "without a log host nobody may ask"
