# SPDX-License-Identifier: GPL-3.0-or-later
"""R2: each server and desktop has a scanner for viruses that works, with fresh signatures that come one way only."""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from packed import EICAR, zipped
from probe.remote import Probe
from system import samples
from system.controls import Amber, Breakage, NotApplicable, NotTried, Seen, control
from system.reach import connect
from system.site_facts import SiteFacts

SOCKET = "/run/clamav/clamd.ctl"
SETS = "/var/lib/clamav"
NOTES = "/var/lib/sallyport-signatures"
AGAIN = "systemctl reset-failed clamav-daemon; systemctl restart clamav-daemon; sleep 3"
PUBLISH = "python3 /usr/local/lib/world/signatures.py"
UNPACK = """import base64, io, sys, zipfile
zipfile.ZipFile(io.BytesIO(base64.b64decode(sys.argv[1]))).extractall(sys.argv[2])
"""
AGE = f"""import json
with open("{NOTES}/updates.json") as stream:
    note = json.load(stream)
note["succeeded"] -= OLD
with open("{NOTES}/updates.json", "w") as stream:
    json.dump(note, stream)
"""
RELAY = 3128
WATCH_SECONDS = 100
"""What the watch, which a timer runs each minute, needs to see something and to act."""
KEPT = "/root/kept-signatures"
OLD_DAYS = 60


def _scan(machine: Any, files: Mapping[str, bytes]) -> dict[str, str]:
    """Let the scanner of a machine look at files; returns for each what was found, or OK."""
    folder = machine.run("mktemp -d").stdout.strip()
    try:
        names = {f"f{number}": name for number, name in enumerate(files)}
        packed = base64.b64encode(zipped(*((short, files[name]) for short, name in names.items()))).decode()
        done = machine.run("python3 -c %s %s %s", UNPACK, packed, folder)
        assert done.rc == 0, done.stderr
        said = machine.run("timeout 60 clamdscan --fdpass --no-summary %s", folder)
        # a folder is scanned like each of its files; what is well is named in a second look
        each = machine.run("cd %s && timeout 60 clamdscan --fdpass --no-summary *", folder).stdout
        found = re.findall(r"/(f\d+): (.*?)(?: FOUND)?$", each, re.MULTILINE)
        assert len(found) == len(files), f"not all were scanned: {said.stdout[-300:]}{said.stderr[-300:]}"
        return {names[short]: what for short, what in found}
    finally:
        machine.run("rm -rf %s", folder)


def _nested(content: bytes) -> bytes:
    return zipped(("b.zip", zipped(("c.zip", zipped(("d.dat", content))))))


def _known(facts: SiteFacts) -> dict[str, bytes]:
    """Return what this site's signatures know: EICAR everywhere, the made-up one where the demo's come from."""
    return {"EICAR": EICAR, **({"the made-up one": samples.MADE_UP.encode()} if facts.demo else {})}


@contextmanager
def _published(world: Any, *signatures: str) -> Iterator[None]:
    """Publish further signatures outside, and take them back."""
    # freshclam asks by the second in which a file was changed
    time.sleep(1.1)
    done = world.run(f"{PUBLISH} {' '.join(signatures)}")
    if done.rc != 0:
        raise NotTried(f"nobody outside publishes signatures here: {done.stderr[-200:]}")
    try:
        yield
    finally:
        time.sleep(1.1)
        world.run(PUBLISH)


def _fetch(machine: Any) -> Any:
    return machine.run("systemctl reset-failed clamav-freshclam-once; systemctl start clamav-freshclam-once")


def _source(facts: SiteFacts) -> str:
    """Return the host from which the demo's signatures come."""
    return str(_sources(facts)["urls"][0]).split("/")[2]


def _sources(facts: SiteFacts) -> dict[str, Any]:
    return dict((facts.sallyport.get("antivirus") or {}).get("signatures") or {})


@control(
    id="R2-scanner-works",
    practice="R2",
    says="Each server and desktop scans files for viruses.",
    permitted="A clean file is found clean.",
    forbidden="The test virus that all scanners know, and on the demo one that is made up; plain and in archives.",
    tried_from="im_internal",
    breakage=Breakage(
        command=f"mkdir -p {KEPT} && mv {SETS}/demo.ndb {KEPT}/ && printf 'X.Y:0:*:736f6d657468696e67\\n' "
        f">{SETS}/demo.ndb && chmod 644 {SETS}/demo.ndb && {AGAIN}",
        undo=f"mv {KEPT}/demo.ndb {SETS}/ && rmdir {KEPT} && {AGAIN}",
    ),
)
def test_scanner_works(facts: SiteFacts, seen: Seen) -> None:
    wanted = _known(facts)
    for host in facts.scanned():
        machine = connect(host)
        files = {"clean": b"Minutes of the meeting\n", "clean archive": _nested(b"Minutes\n")}
        files |= {
            f"{name}{where}": pack
            for name, one in wanted.items()
            for where, pack in (("", one), (" nested", _nested(one)))
        }
        found = _scan(machine, files)
        for name, what in found.items():
            if name.startswith("clean"):
                assert what == "OK", f"{host.name} finds {what} in a file that is {name}"
            else:
                assert what != "OK", f"{host.name} does not find {name}"
        seen(f"{host.name} finds", *sorted({what for what in found.values() if what != "OK"}))
    if _sources(facts).get("official", True) is False:
        seen("ClamAV's own signatures are not in use here, and their source was not tried.")


@control(
    id="R2-scanner-comes-back",
    practice="R2",
    says="A scanner that dies comes back by itself, and is asked by nobody over the network.",
    permitted="Killed, it scans again within seconds; whoever asks meanwhile waits.",
    forbidden="A socket of its own on the network; one on the machine that everybody may use.",
    tried_from="im_internal",
    safe=False,
    breakage=Breakage(
        command=f"chmod 666 {SOCKET}",
        undo=f"chmod 660 {SOCKET}",
    ),
)
def test_scanner_comes_back(facts: SiteFacts, seen: Seen) -> None:
    for host in facts.scanned():
        machine = connect(host)
        listens = machine.run("ss -Hltnp | grep -E 'clamd|clamav' || true").stdout.strip()
        assert not listens, f"{host.name}: the scanner listens on the network: {listens}"
        owner = machine.run("stat -c '%%U:%%G %%a' %s", SOCKET).stdout.strip()
        assert owner.endswith(":clamav 660"), f"{host.name}: the scanner's socket is {owner}"
        before = machine.run("systemctl show -p MainPID --value clamav-daemon").stdout.strip()
        assert machine.run("systemctl kill --signal=KILL clamav-daemon").rc == 0, f"{host.name} has no scanner to kill"
        began = time.monotonic()
        clean = _scan(machine, {"clean": b"Minutes\n"})
        after = machine.run("systemctl show -p MainPID --value clamav-daemon").stdout.strip()
        assert clean == {"clean": "OK"}, f"{host.name}: the scanner does not come back"
        assert after not in {"0", before}, f"{host.name}: the scanner was not killed"
        seen(f"{host.name}: killed, and back after {time.monotonic() - began:.0f} s; {owner}.")


@control(
    id="R2-no-signatures-no-scanner",
    practice="R2",
    says="Without its signatures, or with spoilt ones, a scanner does not run: nothing counts as scanned.",
    permitted="With its signatures it answers; when they come back, it does so again by itself.",
    forbidden="An answer when a set was taken away, and when one is spoilt.",
    tried_from="im_internal",
    safe=False,
    breakage=Breakage(
        "/etc/sallyport/antivirus.json",
        r'"sets": \[[^\]]*\]',
        '"sets": []',
        command="systemctl restart sallyport-signatures",
    ),
)
def test_no_signatures_no_scanner(facts: SiteFacts, server: Any, seen: Seen) -> None:
    urls = _sources(facts).get("urls") or []
    name = urls[0].rpartition("/")[2] if urls else "daily.c[vl]d"
    clean = {"clean": b"Minutes\n"}
    assert _scan(server, clean) == {"clean": "OK"}
    path, kept = f"{SETS}/{name}", f"{NOTES}/control"
    server.run(f"install -d {kept} && cp -p {path} {kept}/")
    try:
        # a spoilt one is seen at the next start, as after a boot; a lost one by the watch, within a minute
        cases = (("is taken away", f"rm {path}"), ("is spoilt", f"printf 'spoilt:::zz\\n' >{path} && {AGAIN}"))
        for how, spoil in cases:
            server.run(spoil)
            answer, end = "OK", time.monotonic() + WATCH_SECONDS
            problems: list[str] = []
            while ("OK" in answer or not problems) and time.monotonic() < end:
                time.sleep(3)
                answer = server.run("timeout 5 clamdscan --fdpass --no-summary /etc/hostname").stdout
                said = json.loads(server.run(f"cat {NOTES}/state.json").stdout)["problems"]
                problems = [problem for problem in said if "nothing is scanned" in problem]
            assert "OK" not in answer, f"a set {how}, and the scanner says: {answer.strip()}"
            assert problems, f"a set {how}, and nobody is told"
            server.run(f"cp -p {kept}/* {SETS}/")
            end = time.monotonic() + 60
            while "PONG" not in server.run("timeout 5 clamdscan --ping 1 2>&1").stdout and time.monotonic() < end:
                time.sleep(1)
            assert _scan(server, clean) == {"clean": "OK"}, "the scanner does not come back with its signatures"
            seen(f"A set {how}: no answer, and “{problems[0]}”. It came back: scanned again.")
    finally:
        server.run(f"cp -p {kept}/* {SETS}/; rm -rf {kept}; systemctl start sallyport-signatures")


@control(
    id="R2-signatures-by-the-relay",
    practice="R2",
    says="New signatures reach every scanner through the gateway's relay, and by no other way.",
    permitted="A signature that was published a moment ago is found after the next update, in all scanners.",
    forbidden="The same source without the relay; another host through it; another port of that source.",
    tried_from="im_internal",
    on="im_internal",
    safe=False,
    breakage=Breakage(
        "/etc/clamav/freshclam.conf", r"^HTTPProxyPort .*$", "HTTPProxyPort 9", command="systemctl daemon-reload"
    ),
)
def test_signatures_by_the_relay(
    *, facts: SiteFacts, gateway: Any, inside: Probe, world_root: Probe, seen: Seen
) -> None:
    world = connect(facts.hosts[world_root.name])
    text = f"news-{secrets.token_hex(12)}"
    file = {"news": f"x {text} y".encode()}
    with _published(world, f"Demo.News={text}"):
        for host in facts.scanned():
            machine = connect(host)
            assert _scan(machine, file) == {"news": "OK"}, "it was known before"
            done = _fetch(machine)
            said = machine.run("journalctl -u clamav-freshclam-once -n 12 -o cat --no-pager").stdout
            assert done.rc == 0, f"{host.name} gets no signatures: {said[-400:]}"
            found, end = "OK", time.monotonic() + WATCH_SECONDS
            while found == "OK" and time.monotonic() < end:
                time.sleep(0.5)
                found = _scan(machine, file)["news"]
            assert "Demo.News" in found, f"{host.name} does not find what was published: {said[-400:]}"
            near = next(address for address in host.all_addresses() if ":" not in address)
            logged = gateway.run(f"grep -c '{near} .*{_source(facts)}' /var/log/squid/access.log").stdout.strip()
            assert logged not in ("", "0"), f"the relay knows nothing of the signatures of {host.name}"
            seen(f"{host.name} finds {found}; {logged} requests in the relay's log.")
    outside = facts.hosts[world_root.name].address("outside")
    direct = inside.do("tcp_connect", host=outside, port=80)
    assert direct["result"] != "connected", "the server reaches the source without the relay"
    near = facts.gateway().address("servers")
    source = _source(facts)
    forbidden = (
        ("GET", "http://website.example/demo.ndb"),
        ("CONNECT", "website.example:80"),
        ("CONNECT", f"{source}:8443"),
    )
    for method, target in forbidden:
        answer = inside.do("through_relay", relay=near, port=RELAY, method=method, target=target)
        assert answer["status"] == 403, f"{method} {target}: the relay answers {answer['status']} {answer['why']}"
    seen(f"{outside} without the relay: {direct['result']}. Other hosts and ports through it: 403.")
    for host in facts.scanned():
        _fetch(connect(host))


@control(
    id="R2-stale-signatures-seen",
    practice="R2",
    says="Signatures that are too old, or that cannot be updated, are seen within minutes, and somebody is told.",
    permitted="Fresh signatures: nothing to say.",
    forbidden="Signatures that were last updated two months ago; an update that fails.",
    tried_from="im_internal",
    safe=False,
    breakage=Breakage("/etc/sallyport/antivirus.json", r'"stale_hours": \d+', '"stale_hours": 99999', command="true"),
)
def test_stale_signatures_seen(server: Any, seen: Seen) -> None:
    def state() -> dict[str, Any]:
        assert server.run("systemctl start sallyport-signatures").rc == 0
        return dict(json.loads(server.run(f"cat {NOTES}/state.json").stdout))

    timer = server.run("systemctl is-active sallyport-signatures.timer clamav-freshclam-once.timer").stdout.split()
    assert timer == ["active", "active"], f"the timers of the signatures are {timer}"
    assert _fetch(server).rc == 0
    fresh = state()
    assert (fresh["stale"], fresh["problems"]) == (False, []), f"fresh signatures, and it says: {fresh['problems']}"
    aged = AGE.replace("OLD", str(OLD_DAYS * 86400))
    try:
        assert server.run("python3 -c %s", aged).rc == 0
        since = server.run("date '+%F %T'").stdout.strip()
        old = state()
        assert old["stale"] is True, f"two months old, and it says: {old}"
        assert any("too old" in problem for problem in old["problems"]), f"two months old, and it says {old}"
        told = server.run("journalctl -u sallyport-signatures -p alert -o cat --no-pager --since %s", since).stdout
        assert "too old" in told, "the journal has no alert"
        seen(f"{old['age_hours']:.0f} hours old: “{told.strip().splitlines()[-1]}”.")
        server.run(f"chown root: {SETS}")
        failed = _fetch(server)
        server.run(f"chown clamav: {SETS}")
        assert failed.rc != 0, "an update that cannot write its signatures succeeds"
        assert any("failed" in problem for problem in state()["problems"]), "an update failed, and nobody is told"
        seen("An update that failed was told too.")
    finally:
        server.run(f"chown clamav: {SETS}")
        _fetch(server)
        state()


@control(
    id="R2-refused-kinds",
    practice="R2",
    says="Programs, scripts, macros, locked archives, and what the scanner cannot unpack, are told at any depth.",
    permitted="Texts, pictures, documents, tables, pages and source code pass, also in archives.",
    forbidden="Fifty-five files of such kinds, plain and three archives deep.",
    tried_from="im_internal",
    breakage=Breakage(f"{SETS}/sallyport.ldb", r"^Sallyport\.Kind\.script\.Shebang;.*\n", "", command=AGAIN),
)
def test_refused_kinds(facts: SiteFacts, seen: Seen) -> None:
    refused = (facts.sallyport.get("antivirus") or {}).get("refuse", ["executables", "scripts", "macros", "encrypted"])
    kinds = {"unreadable", *(word.removesuffix("s") for word in refused)}
    for host, _ in facts.im_servers():
        machine = connect(host)
        wanted = {name: content for name, (kind, content) in samples.REFUSED.items() if kind in kinds}
        found = _scan(machine, {**wanted, **{f"{name}, deep": _nested(content) for name, content in wanted.items()}})
        missed = sorted(name for name, what in found.items() if what == "OK")
        assert not missed, f"{host.name} lets through: {', '.join(missed)}"
        passed = _scan(machine, samples.PERMITTED)
        wrong = {name: what for name, what in passed.items() if what != "OK"}
        assert not wrong, f"{host.name} refuses what it should not: {wrong}"
        kind = ", ".join(sorted(kinds))
        seen(f"{host.name}: {len(found)} files of {kind} found, {len(passed)} others passed.")
    if not refused:
        raise Amber("The site refuses no kind of file but what the scanner cannot look into.")


@control(
    id="R2-scan-on-access",
    practice="R2",
    says="On a desktop, a file with a virus cannot be opened.",
    permitted="A clean file in the same folder is read.",
    forbidden="A file with a virus, read by somebody who is not root.",
    tried_from="desktops",
    on="desktops",
    breakage=Breakage(command="systemctl stop clamav-clamonacc", undo="systemctl start clamav-clamonacc; sleep 5"),
)
def test_scan_on_access(facts: SiteFacts, desk: Probe, desktop: Any, seen: Seen) -> None:
    said = desktop.run("journalctl -u clamav-clamonacc -o cat --no-pager -n 50").stdout
    if "not applicable here" in said.rpartition("Started")[2]:
        raise NotApplicable(f"{desk.name}: {said.rpartition('not applicable here: ')[2].splitlines()[0]}")
    name = secrets.token_hex(6)
    text = next(reversed(_known(facts).values())).decode()
    folder = f"/var/tmp/sallyport-{name}"
    try:
        desktop.run(f"install -d -m 755 {folder}; sleep 2; printf 'Minutes' >{folder}/clean")
        desktop.run(f"cat >{folder}/virus <<'END'\n{text}\nEND\nchmod 644 {folder}/*")
        read = "setpriv --reuid nobody --regid nogroup --clear-groups timeout 20 cat"
        clean, virus = desktop.run(f"{read} {folder}/clean"), desktop.run(f"{read} {folder}/virus")
        assert clean.stdout == "Minutes", f"{desk.name} cannot read a clean file: {clean.stderr}"
        assert (virus.rc == 0, virus.stdout) == (False, ""), f"{desk.name} opens a file with a virus"
        seen(f"{desk.name}: the clean file was read; the other: {virus.stderr.strip().rpartition(': ')[2]}.")
    finally:
        desktop.run(f"rm -rf {folder}")


@control(
    id="R2-weekly-scan",
    practice="R2",
    says="Each week all that people can write is scanned, and what is found is told.",
    permitted="The scan runs to its end.",
    forbidden="A file with a virus in a home, of which nobody would be told.",
    tried_from="im_internal",
    breakage=Breakage("/etc/sallyport/antivirus.json", r'"/home",\s*', "", command="true"),
)
def test_weekly_scan(facts: SiteFacts, server: Any, seen: Seen) -> None:
    timer = server.run("systemctl is-active sallyport-scan.timer").stdout.strip()
    assert timer == "active", f"the timer of the scan is {timer}"
    text = next(reversed(_known(facts).values())).decode()
    path = f"/home/sallyport-control-{secrets.token_hex(6)}"
    try:
        server.run(f"cat >{path} <<'END'\n{text}\nEND")
        since = server.run("date '+%F %T'").stdout.strip()
        done = server.run("systemctl start sallyport-scan")
        told = server.run("journalctl -u sallyport-scan -o cat --no-pager --since %s", since).stdout
        assert done.rc == 0, f"the scan does not come to its end: {told[-300:]}"
        assert re.search(rf"found \S+ in {path}", told), f"a virus in a home, and it says: {told[-300:]}"
        seen(next(line for line in told.splitlines() if path in line).replace(path, "a file in /home"))
    finally:
        server.run(f"rm -f {path}")


@control(
    id="R2-official-signatures",
    practice="R2",
    says="The scanners use ClamAV's own signatures, which know the viruses of today.",
    permitted="The daily set is there, and was built within the time that the site names.",
    forbidden="A scanner that has only other signatures, or old ones.",
    tried_from="im_internal",
    breakage=Breakage(
        command=f"mv {SETS}/daily.* /root/ 2>/dev/null || true", undo=f"mv /root/daily.* {SETS}/ 2>/dev/null || true"
    ),
)
def test_official_signatures(facts: SiteFacts, seen: Seen) -> None:
    if _sources(facts).get("official", True) is False:
        raise NotApplicable(
            "The site does without ClamAV's own signatures: only those under the site's own addresses are known. That "
            "ClamAV's would come from their source was not tried here."
        )
    limit = _sources(facts).get("stale_hours", 48)
    for host in facts.scanned():
        state = json.loads(connect(host).run(f"cat {NOTES}/state.json").stdout)
        assert (state["official"], state["missing"]) == (True, []), f"{host.name} lacks {state['missing']}"
        assert state["age_hours"] <= limit, f"{host.name}: the signatures are {state['age_hours']} hours old"
        seen(f"{host.name}: {state['age_hours']} hours old.")
