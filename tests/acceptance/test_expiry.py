# SPDX-License-Identifier: GPL-3.0-or-later
"""What ends at a minute ends then, without a run: partners, leave, permissions; what is removed ends with one run."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from acceptance.demo_site import INVENTORY, Demo, changed_copy
from acceptance.outside_talk import PERSON, Talk, change_of, own_people, people, signed_up, talking
from probe.remote import Probe
from system.attempts import sign_in, told
from system.outside import CONTACT, PARTNER, STREAMS_PORT, outside_address
from system.reach import connect
from system.talk import fresh, why
from system.test_r4_external import enabled_accounts

# how long a run may take before the minute that it is about
LEAD_SECONDS = 75
# how much later than the minute a session or stream may end; and what the gateway's timer looks at once a minute
LATE_SECONDS = 3
TIMER_SECONDS = 65
PERMITTED, ITS_NAME = "signal", "signal.org"


demo = pytest.fixture(scope="module")(own_people)


@pytest.fixture
def talk(demo: Demo) -> Iterator[Talk]:
    people(demo, INVENTORY)
    with talking(demo) as both:
        both.both_hear()
        yield both


@pytest.fixture
def ext(demo: Demo) -> Iterator[Probe]:
    """A probe on the external server, as root."""
    host = demo.facts.external_server()
    probe = Probe(host.command(), host.name, "sudo -n python3")
    yield probe
    probe.close()


def coming_minute() -> tuple[datetime.datetime, str]:
    """Return a minute that is far enough away for a run, and as a site file has it."""
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=LEAD_SECONDS + 60)
    minute = soon.replace(second=0, microsecond=0)
    return minute, f"{minute:%Y-%m-%d %H:%M}"


def sleep_until(moment: datetime.datetime, later: float = 0.0) -> None:
    """Wait until a moment, and a little longer."""
    time.sleep(max(0.0, (moment - datetime.datetime.now(datetime.UTC)).total_seconds() + later))


def with_site(demo: Demo, folder: Path, change: Callable[[str], str]) -> Path:
    """Bring a changed site file about with people.yml; returns its inventory."""
    copy = changed_copy(folder, change)
    people(demo, copy)
    return copy


def partner_until(words: str) -> Callable[[str], str]:
    """Return what gives the demo's partner another end."""
    return change_of(rf"(domain: {PARTNER}\n(?:      .*\n)*?      until: )\S+", rf"\g<1>{words}")


def no_way_for_servers(talk: Talk, ext: Probe) -> None:
    """Make sure that neither the firewalls nor the resolver leave a way between the servers."""
    facts = talk.demo.facts
    for version in (4, 6):
        answer = talk.world.do("tcp_connect", host=outside_address(facts, version), port=STREAMS_PORT, timeout=2)
        assert answer["result"] != "connected", f"from outside, IPv{version}, the port for servers answers"
    for address in facts.in_group("outside")[0].all_addresses("outside"):
        answer = ext.do("tcp_connect", host=address, port=STREAMS_PORT, timeout=2)
        assert answer["result"] != "connected", f"the external server reaches {address}"
    asked = ext.do("ask_name", server=facts.near(facts.external_server())[0], name=PARTNER)
    assert not asked["answers"], f"the external server still finds {PARTNER}"


def nobody_reaches_anybody(talk: Talk) -> None:
    """Make sure that neither gets anything to the other, and that the contact is in the list no more."""
    number = fresh("over")
    start = talk.alice.say(talk.carol.bare, number)
    answer = talk.alice.wait(start, 10, id=number, type="error")
    assert answer is not None, "what alice writes to the partner of the past does not come back"
    assert "not-allowed" in why(answer), why(answer)
    assert talk.carol.bare not in talk.alice.contacts()
    assert not talk.hears(talk.alice, talk.carol, 5)


def test_a_partner_ends_at_its_minute(talk: Talk, ext: Probe, tmp_path: Path) -> None:
    minute, words = coming_minute()
    with_site(talk.demo, tmp_path, partner_until(words))
    talk.both_hear()
    peer, mark = talk.peer_of_partner(), talk.events.mark()
    left = (minute - datetime.datetime.now(datetime.UTC)).total_seconds()
    assert left > 2, "the run took longer than was thought"
    state = peer.state(left + LATE_SECONDS)
    assert not state["open"], f"{LATE_SECONDS} s after {words} the stream is still open"
    assert 0 <= state["ended"] - minute.timestamp() <= LATE_SECONDS, state
    print(f"the stream ended {state['ended'] - minute.timestamp():.1f} s after {words}: {state['why']}")
    closed = [one for one in talk.events.since(mark) if one["kind"] == "stream" and one["type"] == "closed"]
    assert {one["rule"] for one in closed} == {"not-current"}, closed
    assert {one["direction"] for one in closed} == {"in", "out"}, closed
    nobody_reaches_anybody(talk)
    # a new stream does not come as far as the server: the rules of the firewalls had the minute in them
    assert talk.peer().open(talk.pair(), timeout=2)["step"] == "connect"
    # alice is signed in as before
    assert talk.desk.do("state", name=talk.alice.bare)["online"]
    sleep_until(minute, TIMER_SECONDS)
    no_way_for_servers(talk, ext)


def test_leave_ends_at_its_minute(talk: Talk, tmp_path: Path) -> None:
    minute, words = coming_minute()
    change = change_of(rf"(id: {PERSON}\n(?:      .*\n)*?      external: .*until: )[0-9-]+", rf"\g<1>{words}")
    with_site(talk.demo, tmp_path, change)
    talk.both_hear()
    inside = signed_up(talk.demo, talk.desk, PERSON, talk.demo.facts.internal())
    mark = talk.events.mark()
    sleep_until(minute, -1)
    assert talk.desk.do("state", name=talk.alice.bare)["online"], "her session ended too early"
    sleep_until(minute, LATE_SECONDS)
    assert not talk.desk.do("state", name=talk.alice.bare)["online"], "her session is still there"
    assert talk.desk.do("state", name=inside.bare)["online"], "her session at the internal server ended too"
    secret = talk.alice._password
    answer = sign_in(talk.desk, talk.demo.facts, PERSON, secret, service=talk.demo.facts.external())
    assert (answer["result"], answer["step"]) == ("refused", "sasl"), told(answer)
    enabled = enabled_accounts(talk.machine, talk.demo.facts.external_domain)
    assert PERSON not in enabled, "the account is still enabled"
    noted = [one for one in talk.events.since(mark) if one["kind"] == "account" and one["type"] == "closed"]
    assert noted, "nothing says that the account was closed"
    number = fresh("gone")
    start = talk.carol.say(talk.alice.bare, number)
    refused = talk.carol.wait(start, 10, id=number, type="error")
    assert "not-allowed" in why(refused), why(refused)
    # the partner's other ways stay: nobody else's time is over
    peer = talk.peer_of_partner()
    assert peer.state(2)["open"]
    peer.close()


class Web:
    """What the desktop gets of a consumer service, at the address of a website that plays it."""

    def __init__(self, demo: Demo) -> None:
        self.desk = Probe(demo.facts.in_group("desktops")[0].command(), "desk")
        self.resolver = demo.facts.near(demo.facts.in_group("desktops")[0])[0]
        self.address = self.ask("website.example")[0]

    def ask(self, name: str = ITS_NAME) -> list[str]:
        """Return the addresses that the gateway answers for a name."""
        return list(self.desk.do("ask_name", server=self.resolver, name=name)["answers"])

    def page(self) -> bool:
        """Tell whether it gives a page."""
        return bool(self.desk.do("fetch", host=self.address, name=ITS_NAME).get("status") == 200)

    def open(self) -> None:
        """Open a connection that is kept."""
        answer = self.desk.do("visit_open", name="kept", host=self.address, server_name=ITS_NAME)
        assert answer["result"] == "answered", "it is permitted and does not answer"

    def goes_on(self) -> bool:
        """Tell whether the connection that was kept still answers."""
        return bool(self.desk.do("visit_again", name="kept")["result"] == "answered")


@pytest.fixture
def web(demo: Demo) -> Iterator[Web]:
    there = Web(demo)
    assert not there.ask()
    assert not there.page(), "it is open before it is permitted"
    yield there
    there.desk.close()
    people(demo, INVENTORY)


def permitted_until(words: str) -> Callable[[str], str]:
    """Return what permits the consumer service."""
    permit = f"{{service: {PERMITTED}, reason: Fair, until: {words}}}"
    return lambda text: f"{text.rstrip()}\n\n  consumer_im:\n    permitted:\n      - {permit}\n"


def test_a_permitted_service_ends_at_its_minute(demo: Demo, web: Web, tmp_path: Path) -> None:
    minute, words = coming_minute()
    with_site(demo, tmp_path, permitted_until(words))
    assert web.ask(), "it is permitted and its name is not found"
    assert web.page(), "it is permitted and gives no page"
    web.open()
    assert web.goes_on()
    sleep_until(minute, -2)
    assert web.page(), "it was closed too early"
    sleep_until(minute, LATE_SECONDS)
    assert not web.page(), f"{LATE_SECONDS} s after {words} it still gives a page"
    sleep_until(minute, TIMER_SECONDS)
    assert not web.ask(), "its name is still found"
    assert not web.goes_on(), "an open connection to it goes on"


def test_a_permission_that_is_taken_away_is_closed_by_one_run(demo: Demo, web: Web, tmp_path: Path) -> None:
    with_site(demo, tmp_path, permitted_until("2099-12-31"))
    web.open()
    assert web.goes_on()
    people(demo, INVENTORY)
    assert not web.ask(), "its name is still found"
    assert not web.page(), "it still gives a page"
    time.sleep(TIMER_SECONDS)
    assert not web.goes_on(), "an open connection to it goes on"


def test_a_removed_partner_is_closed_everywhere_by_one_run(talk: Talk, ext: Probe, tmp_path: Path) -> None:
    peer, machine = talk.peer_of_partner(), connect(talk.demo.facts.external_server())
    assert f'"{PARTNER}"' in machine.run("cat /etc/sallyport/policy.json").stdout
    with_site(talk.demo, tmp_path, change_of(rf"    - domain: {PARTNER}\n(?:      .*\n)+", ""))
    assert peer.ended(LATE_SECONDS), "its stream is still open"
    nobody_reaches_anybody(talk)
    no_way_for_servers(talk, ext)
    for host in (machine, connect(talk.demo.facts.gateway())):
        rules = host.run("nft list table inet sallyport").stdout
        assert PARTNER not in rules, "a firewall still names it"
    assert PARTNER not in machine.run("cat /etc/sallyport/policy.json").stdout
    people(talk.demo, INVENTORY)
    assert talk.alice.contacts().get(f"{CONTACT}@{PARTNER}") == "both"
    talk.both_hear()
