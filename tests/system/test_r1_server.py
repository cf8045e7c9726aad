# SPDX-License-Identifier: GPL-3.0-or-later
"""R1: one dedicated server that talks to no other server."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from probe.network import knock
from probe.remote import Probe
from probe.stream import tcp_connect
from system.attempts import CONFIG, VERDICT, one_refusal, sign_in, told
from system.controls import RESTART, Breakage, NotTried, Seen, control
from system.desktops import declared_port
from system.network import Firewall, let_pass
from system.site_facts import SiteFacts
from system.talk import Client, Events, fresh, why

# the ports of a dedicated internal server: XMPP twice, files; and those that servers use among each other
SERVICE = (5222, 5223, 5281)
BETWEEN_SERVERS = (5269, 5270)
PARTNER = "partner.example"
PARTNER_LOG = "/var/log/prosody/prosody.log"


@control(
    id="R1-stream-from-another-server",
    practice="R1",
    says="The server takes no connection from another company's server.",
    permitted="From outside, the same stream opens at a partner's server; from the desktop a client is served.",
    forbidden="A server's stream on the server itself, from a desktop on the permitted ports, and from outside on all.",
    tried_from="outside",
    breakage=Breakage(CONFIG, r'^\s*"s2s";.*$', ""),
)
def test_stream_from_another_server(
    *, facts: SiteFacts, desk: Probe, world: Probe, inside: Probe, gateway: Any, seen: Seen
) -> None:
    partner = world.do("server_stream", host="127.0.0.1", port=5269, to=PARTNER, sender=facts.domain)
    if partner["result"] != "opened":
        raise NotTried(f"the partner's server that shows the permitted case does not answer: {told(partner)}")
    answer = desk.do(
        "features_before_sign_in", host=facts.service(), port=5222, domain=facts.domain, ca_pem=facts.ca_pem()
    )
    assert answer["result"] == "answered", f"the server does not even answer a client: {told(answer)}"
    seen("A partner's server opened the stream, and the internal server served a client.")
    # no firewall stands between the server and itself, and none refuses a desktop these ports: what refuses is Prosody
    for probe, ports in ((inside, (*BETWEEN_SERVERS, 5222, 5223)), (desk, (5222, 5223))):
        for port in ports:
            answer = probe.do(
                "server_stream",
                host=facts.service(),
                port=port,
                to=facts.domain,
                sender=PARTNER,
                mode="direct" if port in (5270, 5223) else "clear",
            )
            assert answer["result"] == "refused", f"port {port} opened a server's stream for {probe.name}"
            assert port in BETWEEN_SERVERS or answer["step"] != "connect", f"{port} does not answer {probe.name} at all"
            seen(f"{probe.name}, port {port}: {answer['why']}.")
    firewall, ports = Firewall(gateway, facts.gateway().name), (*BETWEEN_SERVERS, 5222, 5223)
    before = firewall.refused("forward")
    for outcome in world.do("knock", targets=[(facts.service(), port) for port in ports]):
        assert outcome["result"] != "connected", f"{world.name} reaches port {outcome['port']}"
    seen(f"From {world.name} no packet to these ports arrives.")
    if facts.demo:
        # elsewhere the Internet has no way to a private address, and nothing comes as far as the firewall
        firewall.rises("forward", before, len(ports), seen)


@control(
    id="R1-stream-to-another-server",
    practice="R1",
    says="Nothing that people write leaves for another company's server.",
    permitted="A message to a colleague arrives; the partner's server notes a stream that is opened to it.",
    forbidden="A message to a person at a partner, who has a server that would take it.",
    tried_from="desktops",
    breakage=Breakage(VERDICT, r'return M\.refuse\("foreign-domain"\)', 'return allow("contact")'),
)
def test_stream_to_another_server(
    facts: SiteFacts, client: Callable[[str], Client], world: Probe, events: Events, seen: Seen
) -> None:
    size = world.do("file_size", path=PARTNER_LOG)
    partner = world.do("server_stream", host="127.0.0.1", port=5269, to=PARTNER, sender="control.invalid")
    if partner["result"] != "opened":
        raise NotTried(f"the partner's server takes no stream: {told(partner)}")
    time.sleep(1)
    if not world.do("lines_since", path=PARTNER_LOG, offset=size, containing="control.invalid"):
        # a server that does not note a stream cannot show that none came
        raise NotTried(f"the partner's server does not note streams in {PARTNER_LOG}")
    person, friend = client("probe-a"), client("probe-b")
    text, number = fresh("colleague"), fresh("foreign")
    since = friend.mark()
    person.say(friend.bare, text)
    assert friend.wait(since, 5, contains=[text]) is not None, "a message to a colleague did not arrive"
    mark, size = events.mark(), world.do("file_size", path=PARTNER_LOG)
    start = person.say(f"carol@{PARTNER}", number)
    answer = person.wait(start, 10, id=number, type="error")
    assert answer is not None, f"the message to carol@{PARTNER} did not come back"
    assert "not-allowed" in why(answer), f"it came back for another reason than the policy: {why(answer)}"
    one_refusal(events, mark, number, "foreign-domain")
    time.sleep(2)
    # the external server may have streams with it; what the internal one sends bears its own name
    arrived = world.do("lines_since", path=PARTNER_LOG, offset=size, containing=facts.domain)
    assert not arrived, f"the partner's server noted something of {facts.domain}: {arrived[0]}"
    seen(f"A message to a colleague arrived; the one to carol@{PARTNER} came back: {why(answer)}.")
    seen(f"The partner's server noted nothing of {facts.domain}.")


@control(
    id="R1-only-declared-ports",
    practice="R1",
    says="The server does nothing but messaging: no other service can be reached on it.",
    permitted="Administration, the messaging ports and the admission of desktops answer.",
    forbidden="Any other port that listens for the network.",
    breakage=Breakage(
        command="systemd-run --unit=sallyport-mutation python3 -m http.server 8099 && sleep 1",
        undo="systemctl stop sallyport-mutation",
    ),
)
def test_only_declared_ports(facts: SiteFacts, server: Any, desk: Probe, seen: Seen) -> None:
    declared = {facts.server().ssh_port, *SERVICE, *declared_port(facts)}
    listing = server.run("ss -Hltun").stdout
    open_ports = set()
    for line in listing.splitlines():
        local = line.split()[4]
        address, _, port = local.rpartition(":")
        # what only the machine itself reaches is no service to anybody
        if not re.match(r"127\.|\[::1\]|::1$", address):
            open_ports.add(int(port))
    more = sorted(open_ports - declared)
    assert not more, f"further ports listen: {', '.join(map(str, more))}"
    less = sorted(declared - open_ports)
    assert not less, f"ports of the service do not listen: {', '.join(map(str, less))}"
    for port in SERVICE:
        answer = desk.do("tcp_connect", host=facts.service(), port=port)
        assert answer["result"] == "connected", f"port {port} does not answer the desktop: {answer['why']}"
    seen(f"Listening for the network: {', '.join(map(str, sorted(open_ports)))}; 5222, 5223, 5281 answer the desktop.")


@control(
    id="R1-not-on-the-admin-network",
    practice="R1",
    says="The messaging service does not answer on the network that is for administration.",
    permitted="Administration answers there.",
    forbidden="The messaging ports on the address for administration, where for the moment something does listen.",
    tried_from="control_node",
    breakage=let_pass("input", "tcp dport 5222"),
)
def test_not_on_the_admin_network(
    facts: SiteFacts, server: Any, inside: Probe, listen: Callable[..., None], seen: Seen
) -> None:
    host = facts.server()
    if not host.over_network:
        raise NotTried("this host is not administered over a network")
    if host.admin in host.all_addresses():
        raise NotTried("this host has one address for administration and service")
    answer = tcp_connect(host.admin, host.ssh_port)
    assert answer["result"] == "connected", f"not even administration answers on {host.admin}: {answer['why']}"
    # what an earlier attempt of this control left open is not the service's
    inside.do("listen_no_more")
    listening = server.run("ss -Hltn").stdout
    own = [port for port in SERVICE if re.search(rf"(\*|0\.0\.0\.0|\[::\]|{re.escape(host.admin)}):{port} ", listening)]
    assert not own, f"the messaging service listens on {host.admin} too: {own}"
    listen(inside, [host.admin], SERVICE)
    for outcome in inside.do("knock", targets=[(host.admin, port) for port in SERVICE]):
        assert outcome["result"] == "connected", (
            f"nothing listens on {host.admin}:{outcome['port']}, so nothing is proven"
        )
    firewall = Firewall(server, host.name)
    before = firewall.refused("input")
    for outcome in knock([(host.admin, port) for port in SERVICE]):
        assert outcome["result"] != "connected", f"port {outcome['port']} on {host.admin} answers the control node"
    seen(f"{host.admin}: {host.ssh_port} answers; 5222, 5223 and 5281 do not, although something listens there.")
    firewall.rises("input", before, len(SERVICE), seen)


@control(
    id="R1-password-guessing",
    practice="R1",
    says="Who guesses passwords is shut out for a while; the person herself still gets in from elsewhere.",
    permitted="The right password from another address, at the same time.",
    forbidden="The right password, from the address that was wrong ten times.",
    safe=False,
    breakage=Breakage(CONFIG, r"^sallyport_sign_in_attempts = .*$", "sallyport_sign_in_attempts = 1000000"),
)
def test_password_guessing(
    *, facts: SiteFacts, desk: Probe, server: Any, password: Callable[[str], str], seen: Seen
) -> None:
    user, right = "probe-c", password("probe-c")
    attempts = int(facts.sallyport.get("sign_in", {}).get("attempts", 10))
    try:
        # the lock is on an address, and the desktop has one of each kind
        facts.hosts[desk.name].address("desktops", 6)
        other = facts.service(6)
    except LookupError as error:
        raise NotTried(f"there is no second address from which she could sign in: {error}") from error
    for address in (facts.service(), other):
        before = sign_in(desk, facts, user, right, host=address)
        assert before["result"] == "signed in", f"even before, {user} cannot sign in at {address}: {told(before)}"
    try:
        for _ in range(attempts):
            answer = sign_in(desk, facts, user, fresh("wrong"))
            assert answer["result"] == "refused", "a wrong password was taken"
        here = sign_in(desk, facts, user, right)
        there = sign_in(desk, facts, user, right, host=other)
        assert here["result"] == "refused", f"after {attempts} wrong passwords the right one from there was taken"
        assert here["step"] == "sasl", f"refused for another reason: {told(here)}"
        assert there["result"] == "signed in", f"the person elsewhere is shut out too: {told(there)}"
        seen(f"After {attempts} wrong passwords from the IPv4 address of {desk.name} the right one was {told(here)}")
        seen(f"At the same time, from its IPv6 address: {told(there)}.")
    finally:
        # the lock lives in the server's memory
        server.run(RESTART)
        _until_up(desk, facts)
    after = sign_in(desk, facts, user, right)
    assert after["result"] == "signed in", f"after the lock was taken away {user} cannot sign in: {told(after)}"


def _until_up(desk: Probe, facts: SiteFacts) -> None:
    for _ in range(50):
        if desk.do("tcp_connect", host=facts.service(), port=5222)["result"] == "connected":
            time.sleep(1)
            return
        time.sleep(0.3)
