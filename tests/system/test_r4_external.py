# SPDX-License-Identifier: GPL-3.0-or-later
"""R4: external IM only for employees who need it: an account there has a reason and an end date."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from probe.remote import Probe
from system.attempts import CONFIG, sign_in, told
from system.controls import Breakage, NotTried, Seen, control
from system.site_facts import Service, SiteFacts
from system.talk import fresh

PROBES = {"probe-a", "probe-b", "probe-c"}
OWN_DOMAIN = f"sed -n 's/^VirtualHost \"\\(.*\\)\"$/\\1/p' {CONFIG}"


def enabled_accounts(machine: Any, domain: str) -> set[str]:
    """Return the accounts that are enabled on a server, from its own store, which has a file for each."""
    folder = "".join(one if one.isalnum() else f"%{ord(one):02x}" for one in domain)
    listed = machine.run(f"cd /var/lib/prosody/{folder}/accounts && grep -L '\"disabled\"\\] = true' *.dat")
    return {unquote(name.strip().removesuffix(".dat")) for name in listed.stdout.splitlines()}


@control(
    id="R4-accounts-by-leave-only",
    practice="R4",
    says="On the server for outside contacts only those have an account whose leave for it is in force.",
    permitted="Each person with a leave in force has an enabled account there.",
    forbidden="An enabled account of anybody else.",
    tried_from="im_external",
    on="im_external",
    breakage=Breakage(
        command=f"prosodyctl shell user create mutation@$({OWN_DOMAIN}) throw-away-password",
        undo=f"prosodyctl shell user delete mutation@$({OWN_DOMAIN})",
    ),
)
def test_accounts_by_leave_only(facts: SiteFacts, external: Any, external_people: list[str], seen: Seen) -> None:
    host, granted = facts.external_server(), facts.granted_today()
    found = enabled_accounts(external, facts.external_domain) - PROBES
    more, less = sorted(found - granted.keys()), sorted(granted.keys() - found)
    assert not more, f"{host.name} has accounts of {', '.join(more)}, who have no leave for it"
    assert not less, f"{', '.join(less)} have leave for external IM and no account on {host.name}"
    assert {*external_people} <= found, f"{external_people} signed up, and the server lists {sorted(found)}"
    for name, person in sorted(granted.items()):
        leave = person["external"]
        assert str(leave.get("reason", "")).strip(), f"nobody says why {name} needs it"
        seen(f"{name}: {leave['reason']}, until {leave['until']}.")
    others = sorted(facts.people_today().keys() - granted.keys())
    seen(f"No account on {host.name}: {', '.join(others) or 'nobody else works here'}.")


@contextmanager
def _by_hand(external: Any, service: Service, person: str, secret: str, *, exists: bool) -> Iterator[None]:
    """Let somebody have an account with a known password, as if an administrator had forgotten the site file."""
    jid = f"{person}@{service.domain}"
    if not exists:
        # a password for one test of the demo: here it may stand in the arguments of a process
        made = external.run("prosodyctl shell user create %s %s", jid, secret)
        assert "created" in made.stdout.lower(), f"{jid} could not be made by hand: {made.stdout} {made.stderr}"
        try:
            yield
        finally:
            external.run("prosodyctl shell user delete %s", jid)
        return
    enabled = external.run("prosodyctl shell user enable %s && prosodyctl shell user password %s %s", jid, jid, secret)
    try:
        assert enabled.rc == 0, f"{jid} could not be enabled by hand: {enabled.stdout} {enabled.stderr}"
        yield
    finally:
        # a password that nobody keeps, and closed again
        external.run("prosodyctl shell user password %s %s", jid, fresh("nobody"))
        external.run("prosodyctl shell user disable %s", jid)


@control(
    id="R4-no-leave-no-entry",
    practice="R4",
    says="Who has no leave for outside contacts, or none any more, is not let in, whatever account somebody made.",
    permitted="A person with a leave in force signs in; the person without signs in at the internal server.",
    forbidden="The right password of an account made by hand: for somebody without leave, and with one that is over.",
    on="im_external",
    safe=False,
    breakage=Breakage(CONFIG, r'^authentication = "sallyport".*$', 'authentication = "internal_hashed"'),
)
def test_no_leave_no_entry(
    *,
    facts: SiteFacts,
    desk: Probe,
    external: Any,
    password: Callable[[str], str],
    demo_people: list[str],
    external_people: list[str],
    seen: Seen,
) -> None:
    service = facts.external()
    without = [name for name in demo_people if name not in facts.granted_today()]
    if not external_people or not without:
        raise NotTried("no password of a person with and of one without leave for external IM is known here")
    let_in, refused = external_people[0], without[0]
    answer = sign_in(desk, facts, let_in, password(let_in), service=service)
    assert answer["result"] == "signed in", f"{let_in} has leave and was {told(answer)}"
    inside = sign_in(desk, facts, refused, password(refused))
    assert inside["result"] == "signed in", f"{refused} cannot even sign in at the internal server: {told(inside)}"
    seen(f"{let_in} signed in at {service.domain}, {refused} at {facts.domain}.")
    known = {person["id"]: person for person in facts.sallyport.get("people", [])}
    ended = [name for name, one in known.items() if one.get("external") and name not in facts.granted_today()]
    for name, words, exists in ((refused, "has no leave", False), *((name, "leave is over", True) for name in ended)):
        secret = fresh("throw-away")
        with _by_hand(external, service, name, secret, exists=exists):
            answer = sign_in(desk, facts, name, secret, service=service)
        assert answer["result"] == "refused", f"{name} ({words}) signed in at {service.domain}"
        assert answer["step"] == "sasl", f"{name} ({words}) was refused for another reason: {told(answer)}"
        seen(f"{name} ({words}), with an account made by hand and its right password: {told(answer)}.")


@control(
    id="R4-no-registration",
    practice="R4",
    says="Nobody can make an account on the outside server for himself, from inside or from outside.",
    permitted="The same connection serves somebody who has an account.",
    forbidden="Registering from a desktop, without and with an invented invitation; from outside, any port for it.",
    on="im_external",
    breakage=Breakage(
        CONFIG,
        r'^allow_registration = false([\s\S]*)"user_account_management"',
        r'allow_registration = true\1"register_ibr"',
    ),
)
def test_no_registration(
    *, facts: SiteFacts, desk: Probe, world: Probe, external_password: Callable[[str], str], seen: Seen
) -> None:
    service = facts.external()
    permitted = sign_in(desk, facts, "probe-a", external_password("probe-a"), service=service)
    assert permitted["result"] == "signed in", f"probe-a: {told(permitted)}"
    where: dict[str, Any] = {"host": service.address, "port": 5222, "domain": service.domain, "ca_pem": service.ca_pem}
    for words, token in (("without an invitation", ""), ("with an invented one", fresh("token"))):
        answer = desk.do("register", **where, user=fresh("new"), password=fresh("pw"), token=token)
        assert answer["result"] == "refused", f"registering {words} worked"
        assert answer["step"] in ("register", "invitation"), f"registering did not get that far: {told(answer)}"
        assert not answer["offered"], "the server offers registration"
        seen(f"Registering {words}: {answer['why']}.")
    addresses = [facts.gateway().address("outside"), *facts.external_server().all_addresses("dmz")]
    knocked = world.do("knock", targets=[(address, port) for address in addresses for port in (5222, 5223, 5281)])
    open_ones = [f"{one['host']} {one['port']}" for one in knocked if one["result"] == "connected"]
    assert not open_ones, f"people's ports answer {world.name}: {', '.join(open_ones)}"
    seen(f"From {world.name} none of the ports for people answers.")
