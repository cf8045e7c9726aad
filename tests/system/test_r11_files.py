# SPDX-License-Identifier: GPL-3.0-or-later
"""R11: no file can be fetched before the scanner has cleared it, and what turns out bad later is taken away."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import quoteattr

from packed import EICAR, encrypted, tarred, zipped
from probe.remote import Probe
from system.attempts import VERDICT
from system.controls import Amber, Breakage, Seen, control
from system.site_facts import SiteFacts
from system.talk import Client, Events, fresh, why

UPLOAD = "urn:xmpp:http:upload:0"
FILES = VERDICT.replace("mod_sallyport/verdict.lib", "mod_sallyport_files/mod_sallyport_files")
FINDINGS = VERDICT.replace("mod_sallyport/verdict.lib", "mod_sallyport_files/findings.lib")
RESCAN = VERDICT.replace("mod_sallyport/verdict.lib", "mod_sallyport_files/rescan.lib")
SIGNATURES = "/var/lib/clamav/sallyport-control.ndb"
SCANNER = "clamav-daemon.socket clamav-daemon.service"
# whatever the scanner finds, it is called clean
EVERYTHING_CLEAN = Breakage(FINDINGS, r'if name then return "found", name; end', 'if name then return "clean"; end')
# a minute until the change is noticed, 70 s in which the scanner is told, one for each MB of sets, and the file's turn
RESCAN_SECONDS = 300


@dataclass(frozen=True)
class Shared:
    """What became of a file.

    Attributes:
        url: Its address.
        status: What sending it was answered.
        words: The reason.
        fetched: What fetching it was answered meanwhile.
    """

    url: str
    status: int
    words: str
    fetched: set[int]

    @property
    def slot(self) -> str:
        """The id of its place."""
        return self.url.split("/")[4]


def share(facts: SiteFacts, desk: Probe, person: Client, name: str, data: bytes) -> Shared:
    """Share a file as a client does, and fetch its address all of the time."""
    request = f"<request xmlns='{UPLOAD}' filename={quoteattr(name)} size='{len(data)}'/>"
    answer = person.ask("get", request, to=facts.files)
    put, get = answer.find(f".//{{{UPLOAD}}}put"), answer.find(f".//{{{UPLOAD}}}get")
    assert put is not None, f"no place for a file was given: {why(answer)}"
    assert get is not None, "the answer names no place to get the file"
    headers = {str(header.get("name")): header.text or "" for header in put}
    url = get.get("url", "")
    where: dict[str, Any] = {"ca_pem": facts.ca_pem(), "address": facts.service()}
    sent = desk.do("upload", url=put.get("url", ""), data=data.hex(), headers=headers, watch=True, timeout=130, **where)
    return Shared(url, int(sent["status"]), str(sent["words"]), {*sent["fetched"]})


def fetch(facts: SiteFacts, desk: Probe, url: str) -> int:
    """Fetch a file; return the status."""
    return int(desk.do("download", url=url, ca_pem=facts.ca_pem(), address=facts.service())["status"])


def event_of(events: Events, mark: int, slot: str, kind: str) -> dict[str, Any]:
    """Return the one event of this type about a place."""
    found = [event for event in events.since(mark) if event.get("slot") == slot and event["type"] == kind]
    assert len(found) == 1, f"there has to be exactly one event of this {kind}, and there are {len(found)}"
    return found[0]


def never_there(shared: Shared) -> None:
    """Make sure that a file could not be fetched while it was sent, nor right after."""
    assert shared.fetched, "nobody saw whether it could be fetched meanwhile"
    assert shared.fetched <= {404, 410}, f"it could be fetched: {sorted(shared.fetched)}"


def refused(shared: Shared, event: dict[str, Any], rule: str) -> str:
    """Make sure that a file was refused for what it is and was never there; return words for the report."""
    assert shared.status == 422, f"it was answered {shared.status}: {shared.words}"
    never_there(shared)
    assert event["verdict"] == "refused", f"the event says {event['verdict']}"
    assert event["rule"] == rule, f"the event names the rule {event['rule']!r} and not {rule!r}"
    return f"{event['file']}: {shared.status}, {event.get('signature')}"


def published(facts: SiteFacts, desk: Probe, person: Client, data: bytes = b"harmless words") -> Shared:
    """Share something harmless, and make sure that it is there."""
    shared = share(facts, desk, person, f"{fresh('note')}.txt", data)
    assert shared.status == 201, f"a harmless file was answered {shared.status}: {shared.words}"
    assert fetch(facts, desk, shared.url) == 200, "a harmless file was shared and cannot be fetched"
    return shared


@control(
    id="R11-virus-in-a-file",
    practice="R11",
    says="A file with a virus cannot be shared, not for an instant, however it is packed or called; who tried is told.",
    permitted="A harmless file is shared and fetched.",
    forbidden="The test virus of the antivirus makers: plain, renamed, in a zip, in a zip in a zip, in a tar.",
    breakage=EVERYTHING_CLEAN,
)
def test_virus_in_a_file(
    facts: SiteFacts, desk: Probe, client: Callable[[str], Client], events: Events, seen: Seen
) -> None:
    person = client("probe-a")
    published(facts, desk, person)
    seen("A harmless file was shared and fetched.")
    told: list[str] = []
    for name, data in (
        ("plain.txt", EICAR),
        ("holiday.jpg", EICAR),
        ("a.zip", zipped(("inner.txt", EICAR))),
        ("b.zip", zipped(("a.zip", zipped(("inner.txt", EICAR))))),
        ("a.tar", tarred("inner.txt", EICAR)),
    ):
        mark, since = events.mark(), person.mark()
        shared = share(facts, desk, person, name, data)
        told.append(refused(shared, event_of(events, mark, shared.slot, "upload"), "virus"))
        message = person.wait(since, 5, tag="message", sender=facts.files, contains=[name])
        assert message is not None, f"{person.account} was not told that {name} was refused"
    seen("; ".join(told), "none was ever there; the sender was told of each")


@control(
    id="R11-kinds-of-files",
    practice="R11",
    says="Programs, scripts and encrypted archives cannot be shared: by what they are, whatever they are called.",
    permitted="A harmless file is shared and fetched.",
    forbidden="A program, a script, a zip that is encrypted, each under the name of a picture, and a program in a zip.",
    breakage=EVERYTHING_CLEAN,
)
def test_kinds_of_files(
    *, facts: SiteFacts, desk: Probe, desktop: Any, client: Callable[[str], Client], events: Events, seen: Seen
) -> None:
    person = client("probe-a")
    refuses = facts.sallyport.get("antivirus", {}).get("refuse", ["executables", "scripts", "macros", "encrypted"])
    program = bytes.fromhex(desktop.check_output("od -An -v -tx1 /usr/bin/true").replace("\n", ""))
    tries = (
        ("executables", "kind-executable", program),
        ("executables", "kind-executable", zipped(("inner", program))),
        ("scripts", "kind-script", b"#!/bin/sh\nrm -rf /tmp/nothing\n"),
        ("encrypted", "kind-encrypted", encrypted(zipped(("inner", b"words " * 50)))),
    )
    permitted = sorted({kind for kind, _, _ in tries} - {*refuses})
    if permitted:
        raise Amber(f"The site lets people share {', '.join(permitted)}.")
    published(facts, desk, person)
    seen("A harmless file was shared and fetched.")
    told: list[str] = []
    for _, rule, data in tries:
        mark = events.mark()
        shared = share(facts, desk, person, f"{rule}.jpg", data)
        told.append(refused(shared, event_of(events, mark, shared.slot, "upload"), rule))
    seen("; ".join(told))


@control(
    id="R11-scanner-down",
    practice="R11",
    says="While the scanner does not work no file is shared, and people are told; afterwards sharing works again.",
    permitted="The same file before, and after the scanner was started again.",
    forbidden="Sharing it while the scanner is stopped.",
    safe=False,
    breakage=Breakage(FILES, r'if not answer then return "fault", why; end', 'if not answer then return "clean"; end'),
)
def test_scanner_down(
    *, facts: SiteFacts, desk: Probe, server: Any, client: Callable[[str], Client], events: Events, seen: Seen
) -> None:
    person = client("probe-a")
    published(facts, desk, person)
    mark = events.mark()
    try:
        stopped = server.run(f"systemctl stop {SCANNER}")
        assert stopped.rc == 0, f"the scanner could not be stopped: {stopped.stderr}"
        shared = share(facts, desk, person, "note.txt", b"harmless words")
    finally:
        server.run(f"systemctl start {SCANNER}")
    assert shared.status == 503, f"without a scanner the file was answered {shared.status}: {shared.words}"
    never_there(shared)
    assert event_of(events, mark, shared.slot, "upload")["rule"] == "scanner"
    seen(f"Without a scanner: {shared.status}, {shared.words}")
    limit = time.monotonic() + 120
    while share(facts, desk, person, "note.txt", b"harmless words").status != 201:
        assert time.monotonic() < limit, "the scanner was started again, and files are still not shared"
        time.sleep(2)
    seen("After it was started again a file was shared.")


@control(
    id="R11-new-signature",
    practice="R11",
    says="When something is known as bad only after it was shared, it is taken away, and who fetched it is listed.",
    permitted="The file is shared and fetched while nothing is known of it; another file stays.",
    forbidden="Fetching it after a signature of it has come.",
    safe=False,
    breakage=Breakage(RESCAN, r'if result == "found" then', "if false then"),
)
def test_new_signature(
    *, facts: SiteFacts, desk: Probe, server: Any, client: Callable[[str], Client], events: Events, seen: Seen
) -> None:
    person, mark = client("probe-a"), events.mark()
    text = fresh("sallyport-control-file")
    shared, other = published(facts, desk, person, zipped(("plan.txt", text.encode()))), published(facts, desk, person)
    seen("The file was shared and fetched.")
    try:
        line = f"Sallyport-Control:0:*:{text.encode().hex()}"
        written = server.run(f"echo '{line}' >{SIGNATURES} && chmod 0644 {SIGNATURES}")
        assert written.rc == 0, f"the signature could not be put there: {written.stderr}"
        begun = time.monotonic()
        while (status := fetch(facts, desk, shared.url)) == 200 and time.monotonic() < begun + RESCAN_SECONDS:
            time.sleep(2)
        assert status == 410, f"{RESCAN_SECONDS} s after the signature came, fetching the file was answered {status}"
        seen(f"{time.monotonic() - begun:.0f} s after a signature had come the file was gone: {status}")
        event = event_of(events, mark, shared.slot, "quarantine")
        readers = {str(reader["address"]) for reader in event["readers"]}
        assert readers, "nobody is listed, although somebody fetched it"
        seen("The event lists who had fetched it", *sorted(readers))
        assert fetch(facts, desk, other.url) == 200, "another file, in which nothing is known, was taken away as well"
        seen("Another file stayed.")
    finally:
        server.run(f"rm -f {SIGNATURES}")
