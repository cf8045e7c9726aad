# SPDX-License-Identifier: GPL-3.0-or-later
"""R5: between companies, too, nothing is accepted in the clear, and nobody who does not prove his name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from probe.remote import Probe
from system.attempts import CONFIG, VERDICT
from system.controls import Breakage, NotTried, Seen, control
from system.outside import (
    CONTACT,
    DIALBACK_SECRET,
    HOSTILE,
    HOSTILE_WELCOME,
    PARTNER,
    Authority,
    Pair,
    Peer,
    partner_authority,
    self_signed,
)
from system.site_facts import SiteFacts
from system.talk import Client, fresh

CERTIFICATES = VERDICT.replace("verdict", "certificates")
OLD: dict[str, Any] = {"max_version": "1.1", "ciphers": "DEFAULT@SECLEVEL=0"}
# whatever another server shows is believed
CREDULOUS = Breakage(CERTIFICATES, r'if not cert then return nil, "is missing"; end', "if true then return true; end")


def talks(peer: Peer, receiver: Client, sender: str) -> str:
    """Send a message over a stream and wait until it is there; returns its id, empty when it did not come."""
    number, since = fresh("streamed"), receiver.mark()
    peer.send(
        f"<message from='{sender}' to='{receiver.bare}' type='chat' id='{number}'><body>{number}</body></message>"
    )
    return number if receiver.wait(since, 4, contains=[number]) is not None else ""


def person_and_partner(facts: SiteFacts, people: list[str]) -> str:
    """Return somebody whose password is known and who may talk to the demo's partner.

    Raises:
        NotTried: When there is nobody.
    """
    partner = facts.partners_today().get(PARTNER)
    found = sorted({*people} & facts.may_talk_to(partner)) if partner else []
    if not found:
        raise NotTried("nobody whose password is known here may talk to a partner that the controls can play")
    return found[0]


@control(
    id="R5-partner-proves-its-name",
    practice="R5",
    says="A partner's server is believed only if a certificate of the agreed authority proves its name.",
    permitted="The partner's certificate, on both ports, by IPv4 and IPv6: the stream opens, and a message arrives.",
    forbidden="A wrong authority, expired, not yet valid, self-signed, other names, none, being asked back (dialback).",
    tried_from="outside",
    on="im_external",
    breakage=CREDULOUS,
)
def test_partner_proves_its_name(
    *,
    facts: SiteFacts,
    world: Probe,
    external_people: list[str],
    external_client: Callable[[str], Client],
    seen: Seen,
) -> None:
    facts.external_server()
    receiver = external_client(person_and_partner(facts, external_people))
    authority, sender = partner_authority(facts.folder), f"{CONTACT}@{PARTNER}/control"
    for version, mode in ((4, "starttls"), (4, "direct"), (6, "starttls"), (6, "direct")):
        peer = Peer(world, facts)
        answer = peer.open(authority.sign(PARTNER), version, mode=mode)
        words = f"IPv{version}, {'STARTTLS' if mode == 'starttls' else 'direct TLS'}"
        assert answer["result"] == "accepted", f"the partner's own certificate, {words}: {_told(answer)}"
        arrived = talks(peer, receiver, sender)
        peer.close()
        assert arrived, f"{words}: the stream opened and the message of {sender} did not arrive"
        seen(f"{words}: accepted ({answer['tls']}), and the message arrived.")
    for words, pair, settings in _false_ones(authority):
        peer = Peer(world, facts)
        answer = peer.open(pair, **settings)
        assert not (answer["result"] == "accepted" and talks(peer, receiver, sender)), f"{words}: a message arrived"
        assert answer["result"] == "refused", f"{words}: the stream was accepted"
        assert answer["step"] != "connect", f"{words}: the server did not even answer: {_told(answer)}"
        seen(f"{words}: {_told(answer)}.")
        peer.close()


def _false_ones(authority: Authority) -> list[tuple[str, Pair | None, dict[str, Any]]]:
    """Return what must not be believed: what it is, the certificate, and how it is shown."""
    same_name = Authority.made(authority)
    return [
        ("An authority of the same name", same_name.sign(PARTNER), {}),
        ("Expired", authority.sign(PARTNER, begins=-3, ends=-0.01), {}),
        ("Not yet valid", authority.sign(PARTNER, begins=0.5), {}),
        ("Signed by itself", self_signed(PARTNER), {}),
        ("Signed by itself, direct TLS", self_signed(PARTNER), {"mode": "direct"}),
        ("Another name", authority.sign("other.example"), {}),
        ("A name below it", authority.sign(f"chat.{PARTNER}"), {}),
        ("No certificate", None, {}),
        (
            "Asked back (dialback) with the key that its server confirms",
            None,
            {"proof": "dialback", "secret": DIALBACK_SECRET},
        ),
        (
            "A false certificate, and asked back",
            self_signed(PARTNER),
            {"proof": "dialback", "secret": DIALBACK_SECRET},
        ),
    ]


def _told(answer: dict[str, Any]) -> str:
    return f"refused at {answer['step']}: {answer['why']}" if answer["result"] == "refused" else str(answer["result"])


@control(
    id="R5-partner-streams-encrypted",
    practice="R5",
    says="What people and partners write crosses the Internet encrypted with sound methods only.",
    permitted="TLS 1.2 and 1.3 on both ports for other servers.",
    forbidden="TLS 1.1; a message in the clear; a message within TLS before the name is proven.",
    tried_from="outside",
    on="im_external",
    breakage=Breakage(CONFIG, r'^\s*ciphers = "[^"]*";', '\tprotocol = "tlsv1_1+"; ciphers = "DEFAULT@SECLEVEL=0"; '),
)
def test_partner_streams_encrypted(
    *,
    facts: SiteFacts,
    world: Probe,
    external_people: list[str],
    external_client: Callable[[str], Client],
    seen: Seen,
) -> None:
    facts.external_server()
    receiver = external_client(person_and_partner(facts, external_people))
    authority, sender = partner_authority(facts.folder), f"{CONTACT}@{PARTNER}/control"
    old = world.do("old_tls_start", version="1.1")
    try:
        answer = world.do("tls_handshake", **old, server_name="control.invalid", min_version="1.1", **OLD)
    finally:
        world.do("old_tls_stop")
    assert answer["result"] == "agreed", f"{world.name} can do TLS 1.1 nowhere, so nothing is proven: {answer['why']}"
    for mode in ("starttls", "direct"):
        for version in ("1.2", "1.3"):
            peer = Peer(world, facts)
            answer = peer.open(authority.sign(PARTNER), mode=mode, max_version=version)
            peer.close()
            assert answer["result"] == "accepted", f"{mode}, TLS {version}: {_told(answer)}"
            assert answer["tls"] == f"TLSv{version}", f"{mode}: asked for TLS {version}, got {answer['tls']}"
        refused = Peer(world, facts).open(authority.sign(PARTNER), mode=mode, **OLD)
        assert refused["result"] == "refused", f"{mode}, TLS 1.1: accepted"
        assert refused["step"] == "tls", f"{mode}, TLS 1.1 did not get as far as TLS: {_told(refused)}"
        assert "alert" in refused["why"].lower(), f"{mode}: not the server refused TLS 1.1: {_told(refused)}"
        seen(f"{mode}: TLS 1.2 and 1.3 accepted; TLS 1.1 {_told(refused)}.")
    for words, pair, mode in (
        ("In the clear", None, "clear"),
        ("Before its name is proven", authority.sign(PARTNER), "starttls"),
    ):
        peer = Peer(world, facts)
        answer = peer.open(pair, mode=mode, proof="nothing")
        assert answer["result"] == "accepted", f"{words}: no stream at all, so nothing is proven: {_told(answer)}"
        assert not talks(peer, receiver, sender), f"{words}: the message arrived"
        assert peer.ended(), f"{words}: the server did not end the stream"
        seen(f"{words}: the message did not arrive; {peer.state()['why']}.")
        peer.close()


@control(
    id="R5-we-check-the-partner",
    practice="R5",
    says="Our server, too, gives nothing to a server that does not prove to be the partner's.",
    permitted="A message to the partner's contact arrives there.",
    forbidden="The same message while a server with a false certificate answers under the partner's name.",
    tried_from="desktops",
    on="im_external",
    safe=False,
    breakage=CREDULOUS,
)
def test_we_check_the_partner(
    *,
    facts: SiteFacts,
    world_root: Probe,
    external: Any,
    external_people: list[str],
    external_client: Callable[[str], Client],
    partner_client: Callable[[str], Client],
    seen: Seen,
) -> None:
    facts.external_server()
    person = external_client(person_and_partner(facts, external_people))
    carol = partner_client(f"{CONTACT}@{PARTNER}")
    text, since = fresh("genuine"), carol.mark()
    person.say(carol.bare, text)
    assert carol.wait(since, 10, contains=[text]) is not None, f"a message of {person.bare} did not reach {carol.bare}"
    seen(f"{person.account} wrote to {carol.bare}, and it arrived.")
    false, number = self_signed(PARTNER), fresh("pretended")
    world_root.do("other_certificate", domain=PARTNER, certificate=false.certificate, key=false.key)
    try:
        # open streams were checked before; they end with a reload of nothing but by hand
        external.run("prosodyctl shell s2s close %s %s", facts.external_domain, PARTNER)
        carol = partner_client(f"{CONTACT}@{PARTNER}")
        since = carol.mark()
        start = person.say(carol.bare, number)
        answer = person.wait(start, 45, id=number, type="error")
        assert not carol.received(since, number), "the message was given to a server with a false certificate"
        assert answer is not None, "the message to a server with a false certificate did not come back"
        seen("While a server with a false certificate answered under its name, the message came back.")
    finally:
        world_root.do("other_certificate", domain=PARTNER)
    carol, text = partner_client(f"{CONTACT}@{PARTNER}"), fresh("again")
    since = carol.mark()
    person.say(carol.bare, text)
    assert carol.wait(since, 20, contains=[text]) is not None, "with the true certificate back, nothing arrives"


@control(
    id="R5-hostile-server",
    practice="R5",
    says="A server that is nobody's partner gets no stream, however it tries.",
    permitted="A stream of the partner, at the same time.",
    forbidden="Streams for another domain: its own certificate, one of the partner's authority, being asked back.",
    tried_from="outside",
    on="im_external",
    breakage=HOSTILE_WELCOME,
)
def test_hostile_server(*, facts: SiteFacts, world: Probe, seen: Seen) -> None:
    facts.external_server()
    authority = partner_authority(facts.folder)
    permitted = Peer(world, facts).accepted(authority.sign(PARTNER))
    tries: list[tuple[str, Pair | None, dict[str, Any]]] = [
        ("its own certificate", self_signed(HOSTILE), {}),
        ("a certificate of the partner's authority", authority.sign(HOSTILE), {}),
        ("being asked back", None, {"proof": "dialback", "secret": DIALBACK_SECRET}),
    ]
    for words, pair, settings in tries:
        answer = Peer(world, facts, HOSTILE).open(pair, **settings)
        assert answer["result"] == "refused", f"{HOSTILE} got a stream by {words}"
        assert answer["step"] != "connect", f"{HOSTILE} did not even reach the server: {_told(answer)}"
        seen(f"{HOSTILE} with {words}: {_told(answer)}.")
    assert permitted.state()["open"], "meanwhile the partner's own stream was ended"
    permitted.close()
