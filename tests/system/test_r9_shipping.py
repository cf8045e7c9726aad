# SPDX-License-Identifier: GPL-3.0-or-later
"""R9: every event reaches the log host, whole, and only the site's own machines hand anything over, each for itself."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from probe.remote import Probe
from system.attempts import arrives, one_refusal
from system.controls import Breakage, Seen, control
from system.hand_over import OWN, PORT, Taker, hand_over
from system.network import Firewall, Opened, let_pass
from system.reach import connect
from system.site_facts import HostFacts, SiteFacts
from system.talk import EVENTS, Client, Events, fresh

ARCHIVE = "/var/log/sallyport/hosts"
RECEIVE = "/etc/sallyport/log-host/receive.conf"
LINES = 2000
"""Of each file of the archive, so many are looked at."""
CALLS_ITSELF_SUDO = """import ctypes, sys, syslog, time
ctypes.CDLL(None).prctl(15, b"sudo")
syslog.openlog("sudo")
syslog.syslog(sys.argv[1])
time.sleep(1)
"""
SECONDS = 30
"""In which something has to have arrived: the log host may have to be found again."""


def _hand_over(machine: Any, facts: SiteFacts, *, port: int = PORT, folder: str = OWN, tls: bool = True) -> str:
    """Try to hand something over to the log host, from a machine."""
    taker = Taker(facts.log_host().address("servers"), f"logs.{facts.domain}", port)
    return hand_over(machine, facts, taker, folder=folder, tls=tls)


def _inputs(facts: SiteFacts) -> dict[str, int]:
    """Return the port of each host's input, as the log host has it."""
    text = connect(facts.log_host()).run("cat %s", RECEIVE).stdout
    found: dict[str, int] = {}
    for block in text.split("input(")[1:]:
        name = block.split('ruleset="from-')[1].split('"')[0]
        found[name] = int(block.split('port="')[1].split('"')[0])
    return found


def _kept(facts: SiteFacts, host: str, stream: str, text: str) -> list[str]:
    """Wait for lines with a text in a host's logs on the log host."""
    archive, found = connect(facts.log_host()), list[str]()
    end = time.monotonic() + SECONDS
    while not found and time.monotonic() < end:
        # looked for here: the command of a search would stand in the log that it searches
        lines = archive.run(f"tail -q -n {LINES} {ARCHIVE}/{host}/*/{stream}.jsonl").stdout.splitlines()
        found = [line for line in lines if text in line]
        time.sleep(0 if found else 0.5)
    return found


def _machines(facts: SiteFacts) -> list[HostFacts]:
    return [*facts.servers(), *(host for host in facts.in_group("desktops") if host.probe)]


@control(
    id="R9-events-reach-the-log-host",
    practice="R9",
    says="Each message leaves one event, permitted or refused, and the log host has it within seconds, byte for byte.",
    permitted="A message to a colleague: delivered, and its event is on the log host.",
    forbidden="An event that is missing there, or twice, or another than the server wrote; also of what was refused.",
    breakage=Breakage(
        command="systemctl stop sallyport-events",
        undo="systemctl start sallyport-events",
    ),
)
def test_events(facts: SiteFacts, client: Callable[[str], Client], server: Any, events: Events, seen: Seen) -> None:
    facts.log_host()
    person, friend = client("probe-a"), client("probe-b")
    mark, passed, refused = events.mark(), fresh("m"), fresh("m")
    text = f"A line of the control {passed}"
    arrives(
        person, friend, f"<message to='{friend.bare}' type='chat' id='{passed}'><body>{text}</body></message>", text
    )
    person.send(
        f"<message to='{friend.bare}' type='chat' id='{refused}'><body>x</body>"
        "<encrypted xmlns='urn:xmpp:omemo:2'><payload>x</payload></encrypted></message>"
    )
    one_refusal(events, mark, refused, "encrypted")
    for stanza in (passed, refused):
        written = server.run(f"tail -c +{mark + 1} {EVENTS} | grep -F -e %s", stanza).stdout.splitlines()
        assert len(written) == 1, f"the server noted {len(written)} events for one message"
        kept = _kept(facts, facts.server().name, "im", stanza)
        assert kept == written, f"the server noted {written[0]}, and the log host has {kept or 'nothing'}"
        verdict = json.loads(written[0])["verdict"]
        seen(f"A message, {verdict}: one event, {len(written[0])} bytes, and the same bytes on the log host once.")


@control(
    id="R9-machines-hand-over",
    practice="R9",
    says="What is done on each machine stands on the log host as well: whoever breaks in cannot take it back.",
    permitted="A command by sudo on each machine: its line is on the log host, under the machine's own name.",
    forbidden="The same line under another machine's name; a line of a program that only calls itself sudo.",
    tried_from="im_internal",
    breakage=Breakage(command="systemctl stop sallyport-logs", undo="systemctl start sallyport-logs"),
)
def test_machines(facts: SiteFacts, seen: Seen) -> None:
    facts.log_host()
    for host in _machines(facts):
        token = f"control-{secrets.token_hex(8)}"
        connect(host).run("sudo -n true %s", token)
        lines = [json.loads(line) for line in _kept(facts, "*", "system", token)]
        assert lines, f"nothing of what was done on {host.name} is on the log host"
        names = {line["host"] for line in lines}
        assert names == {host.name}, f"what was done on {host.name} is kept as of {', '.join(names)}"
        first = lines[0]
        seen(f"{host.name}: {first['program']}, {first['time']}.")
    # behind the false line comes a genuine one: what was to arrive has arrived
    machine, false, genuine = connect(facts.server()), *(f"control-{secrets.token_hex(8)}" for _ in range(2))
    machine.run("runuser -u nobody -- python3 -c %s %s", CALLS_ITSELF_SUDO, false)
    machine.run("sudo -n true %s", genuine)
    assert _kept(facts, "*", "system", genuine), "nothing of what was done is on the log host any more"
    # that somebody started it is there, with the same word
    lines = [json.loads(line) for line in _kept(facts, "*", "system", "control-")]
    taken = [line for line in lines if line["message"].strip() == false]
    assert not taken, f"a program that only calls itself sudo is believed: {taken}"
    seen("A line of a program that only calls itself sudo is not.")


@control(
    id="R9-only-own-certificates",
    practice="R9",
    says="The log host takes logs from the site's machines only, each by its own certificate, over TLS.",
    permitted="Each machine, with its own certificate.",
    forbidden="No TLS; no certificate; another one of the same authority; a machine's own at another's input.",
    tried_from="im_internal",
    on="log_host",
    breakage=Breakage(
        RECEIVE,
        r'tls\.authMode="name"',
        'tls.authMode="certvalid"',
        command="systemctl restart sallyport-log-host; sleep 2",
    ),
)
def test_certificates(facts: SiteFacts, server: Any, seen: Seen) -> None:
    log_host = facts.log_host()
    inputs = _inputs(facts)
    assert set(inputs) == {host.name for host in facts.hosts.values() if host.group != "outside"}
    for host in _machines(facts):
        # nothing leads the log host itself to its input
        port = inputs[host.name] if host is log_host else PORT
        said = _hand_over(connect(host), facts, port=port)
        assert said == "taken", f"{host.name} cannot hand over its logs: {said}"
    seen(f"{len(_machines(facts))} machines are taken with their own certificates.")
    attempts = {
        "Without TLS": {"tls": False},
        "Without a certificate": {"folder": "none"},
        "With the IM server's own certificate": {"folder": "/etc/sallyport/tls"},
    }
    for how, options in attempts.items():
        said = _hand_over(server, facts, **options)  # type: ignore[arg-type]
        assert said.startswith("refused"), f"the log host takes what comes {how[0].lower()}{how[1:]}"
        seen(f"{how}: {said}.")
    # by the loopback no firewall stands between
    machine = connect(log_host)
    others = [name for name in inputs if name != log_host.name]
    taken = [name for name in others if _hand_over(machine, facts, port=inputs[name]) == "taken"]
    assert not taken, f"with the certificate of {log_host.name}, logs are taken as of {', '.join(taken)}"
    seen(f"The certificate of {log_host.name} at the inputs of {len(others)} others: refused.")


@control(
    id="R9-inputs-by-address",
    practice="R9",
    says="Each machine finds its own input only, by its address: a stolen certificate is no use elsewhere.",
    permitted="The port for logs, from the IM server.",
    forbidden="Every input itself, the own one too; the port for logs from outside the site.",
    tried_from="im_internal",
    on="log_host",
    breakage=let_pass("input", "tcp dport 20600-24695"),
)
def test_inputs(facts: SiteFacts, server: Any, inside: Probe, world: Probe, seen: Seen) -> None:
    log_host = facts.log_host()
    machine = connect(log_host)
    address = log_host.address("servers")
    reached = inside.do("knock", targets=[(address, PORT)])[0]["result"]
    assert reached == "connected", f"the IM server does not reach the log host: {reached}"
    targets = [(address, port) for port in _inputs(facts).values()]
    firewall = Firewall(machine, log_host.name)
    before = firewall.refused("input")
    # the server's own firewall would not even send it; nobody's work is made less safe for that but the demo's
    with Opened(server) if facts.demo else nullcontext():
        found = [one["port"] for one in inside.do("knock", targets=targets) if one["result"] == "connected"]
    assert not found, f"inputs answer the IM server without the firewall's leading: {found}"
    if facts.demo:
        firewall.rises("input", before, len(targets), seen)
    outside = world.do("knock", targets=[(address, PORT), *targets])
    reached = [one["port"] for one in outside if one["result"] == "connected"]
    assert not reached, f"the log host answers {world.name} on {reached}"
    seen(f"{len(targets)} inputs, from {inside.name} and from {world.name}: none answers.")


@control(
    id="R9-log-host-away",
    practice="R9",
    says="While the log host is away, messages go on, and their events reach it when it is back.",
    permitted="A message while the log host does not run.",
    forbidden="An event that is lost, or that the log host gets although it does not run.",
    safe=False,
    breakage=Breakage(
        "/usr/local/lib/sallyport/ship-events",
        r"^( +)on_their_way \+= places$",
        r"\1position.note(*places[-1]); continue",
        command="systemctl restart sallyport-events",
    ),
)
def test_log_host_away(
    facts: SiteFacts, client: Callable[[str], Client], server: Any, events: Events, seen: Seen
) -> None:
    machine = connect(facts.log_host())
    person, friend = client("probe-a"), client("probe-b")
    mark, number = events.mark(), fresh("m")
    assert machine.run("systemctl stop sallyport-log-host").rc == 0, "the log host's service does not stop"
    try:
        xml = f"<message to='{friend.bare}' type='chat' id='{number}'><body>{number}</body></message>"
        arrives(person, friend, xml, number)
        server.run("systemctl kill --signal=KILL sallyport-events")
        time.sleep(3)
        kept = machine.run(f"cat {ARCHIVE}/*/*/im.jsonl | grep -c -F -e %s", number).stdout.strip()
        assert kept == "0", "the log host has the event although it does not run"
        seen("The log host was stopped: a message was delivered, and what hands events over was killed.")
    finally:
        machine.run("systemctl start sallyport-log-host")
    written = server.run(f"tail -c +{mark + 1} {EVENTS} | grep -F -e %s", number).stdout.splitlines()
    kept = _kept(facts, facts.server().name, "im", number)
    assert set(kept) == set(written), f"the server noted {written}, and the log host has {kept or 'nothing'}"
    seen("The log host came back: it has the event.")
