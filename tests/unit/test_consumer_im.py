# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of consumer IM services: sound, complete, and enforced by the clock."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import ipaddress
import json
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.sallyport.im.plugins.plugin_utils import consumer_im
from ansible_collections.sallyport.im.plugins.plugin_utils.consumer_im import ConsumerService, blocked, parse, services
from ansible_collections.sallyport.im.plugins.plugin_utils.flows import SERVICES
from pydantic import ValidationError
from unit.sites import ROOT, base_site, external_site

FAULTS = yaml.safe_load((Path(__file__).parent / "consumer_im_faults.yml").read_text(encoding="utf-8"))
GOOD = {
    "id": "chat",
    "kind": "service",
    "title": "Chat",
    "tcp": [5190, "6660-6669"],
    "names": ["chat.example"],
    "addresses": ["192.0.2.0/25", "192.0.2.128/25", "2001:db8::/32"],
    "source": "its makers",
    "checked": "2026-11-28",
}
# every service of which the facts of the project speak
WANTED = {
    *("aim", "icq", "msn", "yahoo", "irc", "skype", "whatsapp", "telegram", "signal", "discord", "messenger", "viber"),
    *("line", "wechat", "snapchat", "kakaotalk", "slack", "teams-personal", "google-chat"),
}
# what people need for their work, and what other programs need
NEEDED = (
    *("facebook.com", "www.facebook.com", "google.com", "mail.google.com", "play.google.com", "microsoft.com"),
    *(
        "teams.microsoft.com",
        "login.microsoftonline.com",
        "skype.com",
        "icloud.com",
        "apple.com",
        "yahoo.com",
        "aol.com",
    ),
    *("hotmail.com", "live.com", "qq.com", "naver.jp", "cloudflare.com", "quad9.net", "nextdns.io", "opendns.com"),
    *("adguard.com", "mullvad.net", "debian.org", "rakuten.com"),
)


def entry(**changes: Any) -> str:
    """Write a catalogue of the good entry with some of its settings changed; None takes one away."""
    merged = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    return yaml.safe_dump([{**merged, "checked": None}]).replace("checked: null", f"checked: {merged.get('checked')}")


def by_id(permitted: dict[str, tuple[str, str]] | None = None) -> dict[str, ConsumerService]:
    return {service.id: service for service in blocked(permitted or {})}


def test_every_service_of_the_facts_is_in_the_catalogue() -> None:
    assert {*services()} >= WANTED
    assert [*services()] == sorted(services())
    resolvers = {one.id for one in consumer_im.catalogue() if one.kind == "resolver"}
    for known in ("google", "cloudflare", "quad9", "opendns", "adguard", "nextdns", "mullvad", "cleanbrowsing", "sb"):
        assert f"dns-{known}" in resolvers
    assert not resolvers & {*services()}, "a resolver cannot be permitted"


def test_the_canary_names_are_there() -> None:
    names = {name for one in consumer_im.catalogue() if one.kind == "canary" for name in one.names}
    assert {"use-application-dns.net", "mask.icloud.com", "mask-h2.icloud.com", "resolver.arpa"} <= names


def test_closed_services_say_when() -> None:
    closed = {one.id: one.closed for one in consumer_im.catalogue() if one.closed}
    assert closed == {"aim": 2017, "icq": 2024, "msn": 2014, "yahoo": 2018, "skype": 2025}
    assert [one.status for one in consumer_im.catalogue() if one.id in ("aim", "signal")] == ["closed 2017", "active"]


def test_no_port_is_one_that_a_site_needs() -> None:
    needed = {(service.protocol, service.port) for service in SERVICES.values()} | {("tcp", 5228), ("udp", 443)}
    for one in consumer_im.catalogue():
        for protocol, ranges in (("tcp", one.tcp), ("udp", one.udp)):
            taken = [port for kind, port in needed if kind == protocol for low, high in ranges if low <= port <= high]
            assert not taken, f"{one.id} claims {protocol} {taken}"


def test_no_name_is_one_that_other_work_needs() -> None:
    refused = {name: one.id for one in consumer_im.catalogue() for name in one.names}
    for name in NEEDED:
        above = [name, *consumer_im._above(name)]
        assert not [refused[part] for part in above if part in refused], name


def test_no_address_is_private_or_of_a_site() -> None:
    for one in consumer_im.catalogue():
        assert [str(net) for net in one.addresses if not net.is_global] == [], one.id


def test_entries_are_sourced_and_dated() -> None:
    for one in consumer_im.catalogue():
        assert one.source, one.id
        assert one.checked.year >= 2026, one.id


@pytest.mark.parametrize("fault", FAULTS, ids=[str(fault["says"]) for fault in FAULTS])
def test_a_faulty_entry_is_refused(fault: dict[str, Any]) -> None:
    assert parse(entry())[0].tcp == ((5190, 5190), (6660, 6669))
    text = fault["text"] if "text" in fault else entry(**fault["change"])
    with pytest.raises((ValidationError, ValueError)) as caught:
        parse(text)
    assert fault["says"] in str(caught.value)


def test_two_services_may_share_a_port_and_nothing_else() -> None:
    twice = entry() + entry(id="other", names=["other.example"], addresses=None)
    assert [one.id for one in parse(twice)] == ["chat", "other"]


def test_what_is_refused_and_what_is_permitted() -> None:
    found = by_id({"signal": ("", "2027-02-01T00:00:00Z"), "line": ("2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z")})
    assert (found["signal"].permitted_from, found["signal"].permitted_until) == ("", "2027-02-01T00:00:00Z")
    assert (found["line"].permitted_from, found["line"].permitted_until) == (
        "2027-01-01T00:00:00Z",
        "2027-02-01T00:00:00Z",
    )
    assert {one.id for one in found.values() if one.permitted_until} == {"signal", "line"}
    assert found["irc"].tcp == ("194", "6660-6669", "6697", "7000")
    assert found["telegram"].addresses6[0] == "2001:67c:4e8::/48"
    assert [*found] == [one.id for one in consumer_im.catalogue()]


@pytest.mark.parametrize("name", ["signl", "dns-google", "canary-firefox"])
def test_only_services_can_be_permitted(name: str) -> None:
    with pytest.raises(KeyError, match=name):
        blocked({name: ("", "2027-02-01T00:00:00Z")})


def test_addresses_are_as_few_as_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_im, "catalogue", lambda: parse(entry()))
    (found,) = blocked({})
    assert (found.addresses4, found.addresses6) == (("192.0.2.0/24",), ("2001:db8::/32",))
    assert all(ipaddress.ip_network(net) for net in found.addresses4)


def test_a_site_permits_by_name(tmp_path: Path) -> None:
    found = {one.id: one for one in consumer_im.rules(external_site(tmp_path / "external"))}
    assert (found["irc"].permitted_from, found["irc"].permitted_until) == (
        "2026-02-01T00:00:00Z",
        "2026-10-31T12:00:00Z",
    )
    assert found["telegram"].permitted_until == "2027-02-01T00:00:00Z"
    assert not [one for one in consumer_im.rules(base_site(tmp_path / "base")) if one.permitted_until]


def test_a_policy_holds_for_all_below_a_name() -> None:
    signal = by_id()["signal"]
    assert consumer_im.zone(signal, "refuse").splitlines()[:2] == ["signal.org CNAME .", "*.signal.org CNAME ."]
    assert consumer_im.zone(signal, "pass").splitlines()[1] == "*.signal.org CNAME rpz-passthru."


def test_the_page_in_docs_is_not_stale() -> None:
    page = consumer_im.page()
    assert (ROOT / "docs" / "consumer-im.md").read_text(encoding="utf-8") == page, "run: make docs"
    for one in consumer_im.catalogue():
        assert f"### `{one.id}`" in page
        assert all(f"`{name}`" in page for name in one.names)


# the program on the gateway that lets permissions begin and end


def _limits() -> Any:
    loader = importlib.machinery.SourceFileLoader("limits", str(ROOT / "roles/perimeter/files/limits"))
    spec = importlib.util.spec_from_loader("limits", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_what_a_permission_opens_and_where_to() -> None:
    found = by_id()
    assert found["viber"].opens_what() == (
        "opens tcp 4244, 5242-5243, 7985 and udp 4244, 5242-5243, 7985, 7987 to any address"
    )
    assert found["telegram"].opens_what() == "", "it uses the ports of the web"
    assert found["discord"].opens_what() == "", "half of all ports would be open"
    (own,) = parse(entry())
    assert consumer_im._enforced(own, "", "").opens_what() == "opens tcp 5190, 6660-6669 to its own addresses"


def test_no_permission_opens_more_than_a_few_ports() -> None:
    for service in by_id().values():
        for protocol, ranges in service.opened().items():
            ends = [ports.split("-") for ports in ranges]
            assert sum(int(last[-1]) - int(last[0]) + 1 for last in ends) <= 30, f"{service.id} {protocol}"


LIMITS = _limits()
SETTINGS = {
    "permitted": [
        {"service": "signal", "from": "", "until": "2027-01-01T00:00:00Z"},
        {"service": "line", "from": "2026-12-01T00:00:00Z", "until": "2027-02-01T00:00:00Z"},
    ],
    "partners": [
        {"names": ["south.example", "xmpp.hoster.example"], "from": "", "until": "2026-12-31T17:30:00Z"},
        {"names": ["north.example"], "from": "", "until": ""},
    ],
}


@pytest.mark.parametrize(
    ("now", "permitted", "partners"),
    [
        ("2026-11-30T23:59:59Z", ["signal"], ["north.example", "south.example", "xmpp.hoster.example"]),
        ("2026-12-01T00:00:00Z", ["line", "signal"], ["north.example", "south.example", "xmpp.hoster.example"]),
        ("2026-12-31T17:29:59Z", ["line", "signal"], ["north.example", "south.example", "xmpp.hoster.example"]),
        ("2026-12-31T17:30:00Z", ["line", "signal"], ["north.example"]),
        ("2027-01-01T00:00:00Z", ["line"], ["north.example"]),
        ("2027-02-01T00:00:00Z", [], ["north.example"]),
    ],
)
def test_limits_begin_and_end_at_their_instant(now: str, permitted: list[str], partners: list[str]) -> None:
    found = LIMITS.texts(SETTINGS, now)
    assert [line.split('"')[1] for line in found["sallyport-partners.conf"].splitlines()] == [
        f"{name}." for name in partners
    ]
    zones = [line.split('"')[1] for line in found["sallyport-permitted.conf"].splitlines() if "zonefile" in line]
    assert zones == [f"/etc/unbound/permitted/{service}.zone" for service in permitted]


def test_what_the_resolver_may_answer_is_written_before_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "limits.json"
    settings.write_text(json.dumps(SETTINGS), encoding="utf-8")
    monkeypatch.setattr(LIMITS, "SETTINGS", str(settings))
    monkeypatch.setattr(LIMITS, "PLACE", str(tmp_path))
    monkeypatch.setattr(LIMITS, "GATE", str(tmp_path / "nobody"))
    told: list[list[str]] = []

    def run(command: list[str], check: bool) -> subprocess.CompletedProcess[bytes]:
        assert not check
        told.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(LIMITS.subprocess, "run", run)
    assert LIMITS.main([]) == 0
    assert told == [["systemctl", "try-reload-or-restart", "unbound.service"]], "nothing was written before"
    assert LIMITS.main(["resolver"]) == 0
    assert "north.example" in (tmp_path / "sallyport-partners.conf").read_text(encoding="utf-8")
    told.clear()
    assert LIMITS.main([]) == 0
    assert told == [], "nothing has changed since"
    settings.write_text(json.dumps({**SETTINGS, "partners": []}), encoding="utf-8")
    assert LIMITS.main([]) == 0
    assert len(told) == 1
    with pytest.raises(SystemExit):
        LIMITS.main(["help"])


def test_connections_of_a_service_that_is_not_permitted_any_more_are_closed(tmp_path: Path) -> None:
    """Of all workers of the gate, also one from before a reload, and of what no permission names now; others stay."""
    answers = {
        "show proc": "#<PID> <type>\n10 master 1\n# workers\n21 worker 0\n# old workers\n20 worker 1\n",
        "@!21 show sess": "0xa1: proto=tcpv4 be=permitted-tls-signal srv=out \n0xa2: proto=tcpv4 be=tls srv=out \n",
        "@!20 show sess": "0xb1: proto=tcpv6 be=permitted-web-signal srv=out \n0xb2: be=permitted-tls-line srv=out \n"
        "0xb3: be=permitted-tls-kik srv=out \n0xb4: fe=web be=web srv=out \n",
    }
    path = tmp_path / "master.sock"
    asked: list[str] = []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def answer() -> None:
        for _ in range(6):
            connection, _peer = listener.accept()
            with connection:
                # as the gate does, which answers when nothing more can come
                command = connection.makefile().read().strip()
                asked.append(command)
                connection.sendall(answers.get(command, "\n").encode())

    gate = threading.Thread(target=answer)
    gate.start()
    # the time of one is over, and the permission of another was taken away
    LIMITS.close({"line"}, str(path))
    gate.join(10)
    listener.close()
    assert [command for command in asked if "shutdown" in command] == [
        "@!21 shutdown session 0xa1",
        "@!20 shutdown session 0xb1",
        "@!20 shutdown session 0xb3",
    ]


def test_a_gate_that_does_not_run_has_no_connections(tmp_path: Path) -> None:
    LIMITS.close(set(), str(tmp_path / "nobody"))
    with socket.socket(socket.AF_UNIX) as ended:
        ended.bind(str(tmp_path / "master.sock"))
    LIMITS.close(set(), str(tmp_path / "master.sock"))


def test_the_gate_is_looked_at_each_minute_also_when_nothing_is_permitted() -> None:
    timer = (ROOT / "roles/perimeter/templates/limits.timer.j2").read_text(encoding="utf-8")
    assert "\nOnCalendar=minutely\n" in timer
