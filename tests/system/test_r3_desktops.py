# SPDX-License-Identifier: GPL-3.0-or-later
"""R3: only sound desktops take part: the servers let in who has shown it, and the client comes after the checks."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

from probe.remote import Probe
from system.controls import Breakage, NotTried, Seen, control
from system.desktops import (
    CHECKS,
    PROGRAM,
    RESTART,
    SHOW,
    aged_signatures,
    attested,
    borrowed,
    in_sets,
    knock_from,
    listed,
    required,
    show_to,
    told,
    until_admitted,
)
from system.network import let_pass
from system.site_facts import HostFacts, SiteFacts, in_force

CLIENTS = (5222, 5223, 5281)
# the server looks at what comes from a computer, and at what goes to it
LET_PASS = [
    let_pass(way, f"tcp {port} {{ 5222, 5223, 5281 }}") for way, port in (("input", "dport"), ("output", "sport"))
]
# no address of one's own: the system chooses
ANY = {4: "0.0.0.0", 6: "::"}
PREFERENCES = "/etc/apt/preferences.d/sallyport-consumer-im"
OTHER_DEVICE = """d=$(mktemp -d) && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
-subj /CN=x -addext subjectAltName=DNS:%s -addext extendedKeyUsage=clientAuth \
-keyout $d/key -out $d/chain 2>/dev/null && echo $d"""


def free_address(facts: SiteFacts, version: int) -> str:
    """Return an address in the desktops' networks that belongs to nobody.

    Raises:
        NotTried: When none can be found.
    """
    taken = {address for host in facts.hosts.values() for address in host.all_addresses()}
    taken |= {address for entry in attested(facts) for address in entry["addresses"]}
    known = {ipaddress.ip_address(address) for address in taken}
    for text in facts.sallyport["networks"]["desktops"]:
        network = ipaddress.ip_network(text)
        if network.version == version and network.num_addresses > 4:
            for number in range(2, min(network.num_addresses, 4096)):
                address = network[-number]
                if address not in known:
                    return str(address)
    raise NotTried(f"the desktops' networks have no free IPv{version} address")


def pairs(facts: SiteFacts, own: list[str]) -> list[tuple[str, str, int]]:
    """Return each address of the internal server and each of ours of the same kind, with each port for clients."""
    there = facts.server().all_addresses("servers")
    return [(to, mine, port) for to in there for mine in own if (":" in to) == (":" in mine) for port in CLIENTS]


def of_probe(facts: SiteFacts, desk: Probe) -> HostFacts:
    """Return the desktop of the probe."""
    return facts.hosts[desk.name]


@control(
    id="R3-admitted-desktops-only",
    practice="R3",
    says="A computer in the desktops' network that is none of the company's sound desktops reaches no server.",
    permitted="The ports for clients from the desktop, whatever address it takes, and from an attested computer's.",
    forbidden="The same from the same desktop with another address of its network.",
    safe=False,
    breakage=Breakage(command="; ".join(one.command for one in LET_PASS), undo="; ".join(one.undo for one in LET_PASS)),
)
def test_admitted_desktops_only(*, facts: SiteFacts, desk: Probe, desktop: Any, seen: Seen) -> None:
    required(facts)
    own = of_probe(facts, desk).all_addresses("desktops")
    vouched = [a for entry in attested(facts) if in_force(entry) for a in entry["addresses"]]
    # as its programs do it, which choose no address
    tried = pairs(facts, [ANY[6 if ":" in address else 4] for address in own])
    for (to, _, port), said in zip(tried, knock_from(desktop, tried), strict=True):
        assert said == "connected", (
            f"{to} port {port} does not answer the address that the desktop's system chose: {said}"
        )
    seen(f"{len(tried)} ways from the address that its system chooses are open.")
    strange = [free_address(facts, version) for version in sorted({6 if ":" in address else 4 for address in own})]
    with borrowed(desktop, own[0], [*vouched, *strange]):
        for kind, addresses in (("the desktop's own", own), ("an attested computer's", vouched)):
            tried = pairs(facts, addresses)
            for (to, mine, port), said in zip(tried, knock_from(desktop, tried), strict=True):
                assert said == "connected", f"{to} port {port} does not answer {mine}, {kind} address: {said}"
            if tried:
                seen(f"{len(tried)} ways from {kind} address are open.")
        tried = pairs(facts, strange)
        reached = [
            f"{to} port {port} from {mine}"
            for (to, mine, port), said in zip(tried, knock_from(desktop, tried), strict=True)
            if said == "connected"
        ]
    assert not reached, f"who is in no list reaches {', '.join(reached)}"
    seen(f"{len(tried)} ways from {', '.join(strange)}, in no list: closed.")


@control(
    id="R3-failing-checks-end-access",
    practice="R3",
    says="A desktop whose antivirus is out of date loses the servers at once, and gets them back when it is mended.",
    permitted="Before and after, the desktop reaches the server.",
    forbidden="Reaching it with signatures that are forty days old; the server says which desktop, and why.",
    safe=False,
    breakage=Breakage(
        PROGRAM, r"elif outcome\.get\(\"passed\"\) is not True:", "elif outcome is None:", command=RESTART
    ),
)
def test_failing_checks_end_access(*, facts: SiteFacts, desk: Probe, desktop: Any, server: Any, seen: Seen) -> None:
    required(facts)
    host = of_probe(facts, desk)
    own = host.all_addresses("desktops")
    desktop.run(SHOW)
    until_admitted(server, host, admitted=True)
    assert {*knock_from(desktop, pairs(facts, own))} == {"connected"}, "it does not reach the server to begin with"
    with aged_signatures(desktop):
        desktop.run(SHOW)
        after = until_admitted(server, host, admitted=False)
        entry = listed(server)[host.name]
        assert any("signatures" in reason for reason in entry["reasons"]), f"the server does not say why: {told(entry)}"
        still = [said for said in knock_from(desktop, pairs(facts, own)) if said == "connected"]
        assert not still, f"it is not admitted, and {len(still)} ways to the server are still open"
        seen(f"After {after:.0f} s: {told(entry)}")
    after = until_admitted(server, host, admitted=True)
    assert {*knock_from(desktop, pairs(facts, own))} == {"connected"}, (
        "mended and admitted, it does not reach the server"
    )
    seen(f"Mended: admitted again after {after:.0f} s.")


@control(
    id="R3-no-admission-by-another-name",
    practice="R3",
    says="A desktop is known by a certificate of its own; nobody is admitted in the name of another one.",
    permitted="The desktop's own certificate, from its own address.",
    forbidden="No certificate; one with the right name that somebody made; the right one from another address.",
    safe=False,
    breakage=Breakage(
        PROGRAM, r"if address not in about\[\"addresses\"\]:", 'if address == "nowhere":', command=RESTART
    ),
)
def test_no_admission_by_another_name(*, facts: SiteFacts, desk: Probe, desktop: Any, server: Any, seen: Seen) -> None:
    required(facts)
    host = of_probe(facts, desk)
    own, to = host.address("desktops"), facts.service()
    device = json.loads(desktop.run("cat /etc/sallyport/desktop.json").stdout)["certificate"]
    pair = (f"{device}/fullchain.pem", f"{device}/privkey.pem")
    answer = show_to(desktop, to, own, *pair)
    assert json.loads(answer)["admitted"] is True, f"its own certificate is not enough: {answer}"
    refused = show_to(desktop, to, own, "", "")
    assert "admitted" not in refused, f"without a certificate the server answered {refused}"
    made = desktop.run(OTHER_DEVICE, f"{host.name}.desktops.{facts.domain}").stdout.strip()
    forged = show_to(desktop, to, own, f"{made}/chain", f"{made}/key")
    desktop.run("rm -rf %s", made)
    assert "admitted" not in forged, f"to a certificate of nobody's the server answered {forged}"
    strange = free_address(facts, 4)
    with borrowed(desktop, own, [strange]):
        elsewhere = json.loads(show_to(desktop, to, strange, *pair))
    assert elsewhere["admitted"] is False, f"its certificate admits {strange}, which is not its address"
    assert strange not in in_sets(server)
    seen(f"Its own: admitted. None: {refused[:80]}. A made one: {forged[:80]}. Elsewhere: {elsewhere['reasons'][0]}.")
    desktop.run(SHOW)


@control(
    id="R3-nobody-is-let-in-by-hand",
    practice="R3",
    says="Whom the server lets in is a desktop of the list that has shown its checks, or one that is attested.",
    permitted="The desktop from which is tried is among them.",
    forbidden="An address in the firewall's sets that is none of these.",
    tried_from="im_internal",
    breakage=Breakage(
        PROGRAM,
        r"out = \[address for address in live if address not in should\]",
        "out = []",
        command=f"{RESTART}; nft 'add element inet sallyport admitted4 {{ 192.0.2.9 timeout 1h }}'; sleep 3",
        undo="nft 'delete element inet sallyport admitted4 { 192.0.2.9 }'",
    ),
)
def test_nobody_is_let_in_by_hand(*, facts: SiteFacts, desk: Probe, server: Any, seen: Seen) -> None:
    required(facts)
    entries, found = listed(server), in_sets(server)
    may = {address for entry in entries.values() if entry["admitted"] for address in entry["addresses"]}
    more = sorted(found - may)
    assert not more, f"the firewall lets in {', '.join(more)}, who is no admitted desktop"
    listed_by_hand = {host.name for host in facts.in_group("desktops")} | {entry["id"] for entry in attested(facts)}
    assert entries.keys() == listed_by_hand, f"the server knows of {', '.join(entries)}"
    assert entries[desk.name]["admitted"], told(entries[desk.name])
    assert {*facts.hosts[desk.name].all_addresses("desktops")} <= found
    for entry in entries.values():
        seen(told(entry))


@control(
    id="R3-client-on-sound-desktops",
    practice="R3",
    says="The desktop passed each check, has the company's messenger, and takes no messenger of the consumer kind.",
    permitted="All checks pass now; the client is installed and knows the person's address.",
    forbidden="A messenger for consumer networks, installed or to be had from the package sources.",
    tried_from="desktops",
    on="desktops",
    breakage=Breakage(PREFERENCES, r"^Pin-Priority: -1$", "Pin-Priority: 500", command="true"),
)
def test_client_on_sound_desktops(*, facts: SiteFacts, desk: Probe, desktop: Any, seen: Seen) -> None:
    said = desktop.run(CHECKS)
    found = json.loads(said.stdout)
    assert found["passed"], f"{desk.name}: {'; '.join(found['reasons'])}"
    for one in found["checks"]:
        seen(f"{one['check']}: {one['saw']}.")
    if facts.sallyport.get("desktops", {}).get("client", "gajim") == "gajim":
        assert desktop.run("dpkg-query --show --showformat '${db:Status-Status}' gajim").stdout == "installed"
        accounts = json.loads(desktop.run("cat /etc/sallyport/im-client.json").stdout)["accounts"]
        seen(f"Gajim is installed, for {', '.join(one['address'] for one in accounts) or 'anybody'}.")
    for package in ("pidgin", "irssi"):
        tried = desktop.run("apt-get --simulate -o Debug::NoLocking=1 install %s", package)
        assert tried.rc != 0, f"apt would install {package}"
        assert "no installation candidate" in tried.stderr, f"apt does not install {package}: {tried.stderr[:200]}"
    seen("pidgin, irssi: apt has no installation candidate.")
