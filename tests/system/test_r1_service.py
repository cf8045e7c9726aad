# SPDX-License-Identifier: GPL-3.0-or-later
"""R1, R5: the service that people get: messages that are kept, files that arrive whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from probe.remote import Probe
from system.attempts import CONFIG, VERDICT, arrives, one_refusal
from system.controls import Amber, Breakage, Seen, control
from system.site_facts import SiteFacts
from system.talk import Client, Events, fresh, why

UPLOAD = "urn:xmpp:http:upload:0"


@control(
    id="R1-archive",
    practice="R1",
    says="Messages between colleagues arrive and are kept in the archive, for their eyes only.",
    permitted="A message arrives and is found in the archive of both.",
    forbidden="Reading the archive of somebody else; switching one's own off.",
    breakage=Breakage(CONFIG, r'^\t"mam";.*$', ""),
)
def test_archive(client: Callable[[str], Client], seen: Seen) -> None:
    person, friend, stranger = client("probe-a"), client("probe-b"), client("probe-c")
    text = fresh("kept")
    arrives(person, friend, f"<message to='{friend.bare}' type='chat' id='{text}'><body>{text}</body></message>", text)
    for owner in (person, friend):
        assert len(owner.archive(text)) == 1, f"{owner.bare} finds the message {len(owner.archive(text))} times"
    seen("The message arrived and stands once in the archive of each.")
    for reader in (friend, stranger):
        answer = reader.ask("set", "<query xmlns='urn:xmpp:mam:2'/>", to=person.bare)
        assert answer.get("type") == "error", f"{reader.bare} may read the archive of {person.bare}"
        seen(f"{reader.account} asks for the archive of {person.account}: {why(answer)}.")
    off = person.ask("set", "<prefs xmlns='urn:xmpp:mam:2' default='never'><always/><never/></prefs>")
    if off.get("type") != "error":
        # leave the account as it was found
        person.ask("set", "<prefs xmlns='urn:xmpp:mam:2' default='always'><always/><never/></prefs>")
    assert off.get("type") == "error", "a person can switch her archive off"
    seen(f"Switching it off: {why(off)}.")


@control(
    id="R5-file-transfer",
    practice="R5",
    says="A file goes from one colleague to another encrypted, and arrives whole.",
    permitted="Upload and download over HTTPS, with the same fingerprint at the end.",
    forbidden="The same port without TLS; an upload without the server's leave; a file that is too large.",
    breakage=Breakage(
        CONFIG, r"^https_ports = \{(.*)\}\s*\nhttp_ports = \{ *\}", r"http_ports = {\1}\nhttps_ports = { }"
    ),
)
def test_file_transfer(facts: SiteFacts, client: Callable[[str], Client], desk: Probe, seen: Seen) -> None:
    person, friend = client("probe-a"), client("probe-b")
    size, name = 300_000, fresh("file")
    slot = person.ask(
        "get",
        f"<request xmlns='{UPLOAD}' filename='{name}.bin' size='{size}' content-type='application/octet-stream'/>",
        to=facts.files,
    )
    assert slot.get("type") == "result", f"no place for a file was given: {why(slot)}"
    put, get = slot.find(f".//{{{UPLOAD}}}put"), slot.find(f".//{{{UPLOAD}}}get")
    assert put is not None, "the answer names no place to put the file"
    assert get is not None, "the answer names no place to get the file"
    to, source = put.get("url", ""), get.get("url", "")
    assert to.startswith("https://"), f"the file would go over {to}"
    headers = {str(header.get("name")): header.text or "" for header in put}
    where: dict[str, Any] = {"ca_pem": facts.ca_pem(), "address": facts.service()}
    bare = desk.do("upload", url=to.partition("?")[0], size=size, headers={}, **where)
    assert bare["status"] in (401, 403), f"without the server's leave the upload was answered {bare['status']}"
    sent = desk.do("upload", url=to, size=size, headers=headers, **where)
    assert sent["status"] in (200, 201), f"the upload was answered {sent['status']}"
    number = fresh("link")
    got = arrives(
        person,
        friend,
        f"<message to='{friend.bare}' type='chat' id='{number}'><body>{source}</body>"
        f"<x xmlns='jabber:x:oob'><url>{source}</url></x></message>",
        number,
    )
    link = got.findtext("{jabber:x:oob}x/{jabber:x:oob}url") or ""
    fetched = desk.do("download", url=link, **where)
    assert fetched["sha256"] == sent["sha256"], f"what arrived is not what was sent: status {fetched['status']}"
    seen(f"{size} bytes arrived with the same SHA-256 {sent['sha256'][:16]}…; without leave: {bare['status']}.")
    clear = desk.do("http_in_clear", host=facts.service(), port=5281, path="/")
    assert clear["result"] == "refused", f"5281 speaks without TLS: {clear['why']}"
    seen(f"5281 without TLS: {clear['why']}.")
    limit = int(facts.sallyport.get("files", {}).get("max_megabytes", 20)) * 1024 * 1024
    large = person.ask("get", f"<request xmlns='{UPLOAD}' filename='{name}.big' size='{limit + 1}'/>", to=facts.files)
    assert large.get("type") == "error", f"a file of {limit + 1} bytes was given a place"
    seen(f"One byte above the limit: {why(large)}.")


@control(
    id="R1-calls",
    practice="R1",
    says="Nobody can start a call or a transfer between two desktops that passes the server by.",
    permitted="A message to the same colleague arrives.",
    forbidden="Offering a colleague a call, and proposing one by message.",
    breakage=Breakage(VERDICT, r'if facts\.call and policy\.calls ~= "permit" then', "if false then"),
)
def test_calls(facts: SiteFacts, client: Callable[[str], Client], events: Events, seen: Seen) -> None:
    if facts.sallyport.get("calls", "refuse") == "permit":
        raise Amber("The site permits calls; what is said or sent in one passes the server by and is not recorded.")
    person, friend = client("probe-a"), client("probe-b")
    text = fresh("colleague")
    arrives(person, friend, f"<message to='{friend.bare}' type='chat' id='{text}'><body>{text}</body></message>", text)
    device = f"{friend.bare}/probe"
    for words, offer in (
        (
            "A call",
            f"<iq type='set' to='{device}' id='%s'><jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' "
            "sid='s1'><content creator='initiator' name='voice'/></jingle></iq>",
        ),
        (
            "A call proposed by message",
            f"<message to='{friend.bare}' id='%s'><propose xmlns='urn:xmpp:jingle-message:0' id='s2'>"
            "<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/></propose></message>",
        ),
    ):
        mark, since, number = events.mark(), friend.mark(), fresh("call")
        start = person.send(offer % number)
        answer = person.wait(start, 5, id=number, type="error")
        assert answer is not None, f"{words} was not refused"
        one_refusal(events, mark, number, "calls")
        last = fresh("last")
        arrives(
            person, friend, f"<message to='{friend.bare}' type='chat' id='{last}'><body>{last}</body></message>", last
        )
        assert not friend.received(since, number), f"{words} arrived"
        seen(f"{words}: {why(answer)}.")
