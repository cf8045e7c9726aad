# SPDX-License-Identifier: GPL-3.0-or-later
"""R9: what the log host keeps cannot be changed unseen: it is sealed, and the gateway is the witness."""

from __future__ import annotations

import time
from typing import Any

from system.controls import Breakage, Seen, control
from system.hand_over import OWN, Taker, hand_over
from system.reach import connect
from system.site_facts import SiteFacts

ARCHIVE = "/var/log/sallyport/hosts"
HEADS = "/var/log/sallyport/heads.jsonl"
SECONDS = 60
"""In which a head has to have arrived: each 20 seconds the log host finds out whether the witness is still there."""
NEWEST = 100
"""So many heads are handed to the comparison; what a command may carry is bounded."""
VERIFY = "printf %%s %s | sallyport-archive verify --heads -"
# one bit of a file is turned, the archive is asked, and the bit is turned back whatever comes of it
TAMPER = """import os, subprocess, sys
path, place, heads = sys.argv[1], int(sys.argv[2]), sys.argv[3]
file = os.open(path, os.O_RDWR)
was = os.pread(file, 1, place)
try:
    os.pwrite(file, bytes([was[0] ^ 1]), place)
    done = subprocess.run(["sallyport-archive", "verify", "--heads", "-"], input=heads.encode(), capture_output=True)
finally:
    os.pwrite(file, was, place)
print((done.stdout + done.stderr).decode())
sys.exit(done.returncode)
"""
PLACE = 20


def _seal(facts: SiteFacts) -> str:
    """Seal the archive and wait until the witness has the head; returns the newest heads that it has."""
    archive, witness = connect(facts.log_host()), connect(facts.gateway())
    done = archive.run("sallyport-archive seal")
    assert done.rc == 0, f"the archive is not sealed: {done.stdout}{done.stderr}"
    head = archive.run("tail -n 1 %s", HEADS).stdout.strip()
    assert head, f"the log host wrote no head into {HEADS}"
    end = time.monotonic() + SECONDS
    while True:
        heads = str(witness.run("tail -n %s %s", str(NEWEST), HEADS).stdout)
        if head in heads.splitlines():
            return heads
        assert time.monotonic() < end, f"the head of the archive did not reach {facts.gateway().name}: {head}"
        time.sleep(0.5)


def _is_well(archive: Any, heads: str, seen: Seen) -> None:
    """Compare the archive with what the witness has."""
    done = archive.run(VERIFY, heads)
    assert done.rc == 0, f"the archive is not as it was sealed: {done.stdout.strip()} {done.stderr.strip()}"
    seen(f"{done.stdout.splitlines()[-1]}.")


@control(
    id="R9-archive-has-a-witness",
    practice="R9",
    says="What seals the archive is on the gateway at once, out of the log host's reach, and comes from nobody else.",
    permitted="The archive is sealed: the gateway has the head within seconds, and all is as it was sealed.",
    forbidden="A head that comes without TLS, without a certificate, or with another one of the same authority.",
    tried_from="log_host",
    on="gateway",
    breakage=Breakage(
        "/etc/sallyport/witness/receive.conf",
        r'tls\.authMode="name"',
        'tls.authMode="certvalid"',
        command="systemctl restart sallyport-witness; sleep 2",
    ),
)
def test_witness(facts: SiteFacts, seen: Seen) -> None:
    archive, gateway = connect(facts.log_host()), facts.gateway()
    heads = _seal(facts)
    _is_well(archive, heads, seen)
    taker = Taker(gateway.address("servers"), f"witness.{facts.domain}")
    said = hand_over(archive, facts, taker)
    assert said == "taken", f"the log host cannot hand over heads: {said}"
    machine = connect(gateway)
    attempts: dict[str, tuple[Any, str, bool]] = {
        "Without TLS": (archive, OWN, False),
        "Without a certificate": (archive, "none", True),
        f"With the certificate of {gateway.name}": (machine, OWN, True),
    }
    for how, (source, folder, tls) in attempts.items():
        said = hand_over(source, facts, taker, folder=folder, tls=tls)
        assert said.startswith("refused"), f"the witness takes what comes {how[0].lower()}{how[1:]}"
        seen(f"{how}: {said}.")


@control(
    id="R9-tamper-evidence",
    practice="R9",
    says="When anybody changes one byte of the archive, root of the log host included, the next look names the file.",
    permitted="The archive is sealed, the gateway has the head, and all is as it was sealed.",
    forbidden="One bit of a file that was sealed is changed, and it is not named.",
    tried_from="log_host",
    on="gateway",
    safe=False,
    breakage=Breakage(command="systemctl stop sallyport-witness", undo="systemctl start sallyport-witness"),
)
def test_tamper_evidence(facts: SiteFacts, seen: Seen) -> None:
    archive, server = connect(facts.log_host()), facts.server().name
    path = archive.run(f"ls -t {ARCHIVE}/{server}/*/system.jsonl | head -n 1").stdout.strip()
    assert path, f"the log host has nothing of {server}"
    heads = _seal(facts)
    _is_well(archive, heads, seen)
    before = archive.run("stat -c %%s %s", path).stdout.strip()
    digest = f"head -c {before} {path} | sha256sum"
    content = archive.run(digest).stdout
    done = archive.run("python3 -c %s %s %s %s", TAMPER, path, str(PLACE), heads)
    assert archive.run(digest).stdout == content, f"{path} was not put back as it was"
    name = path.removeprefix(f"{ARCHIVE}/")
    named = [line for line in done.stdout.splitlines() if line.startswith("WRONG") and name in line]
    assert done.rc == 1, f"one bit of {name} was changed, and verify ended with {done.rc}: {done.stdout}{done.stderr}"
    assert named, f"one bit of {name} was changed, and it is not named: {done.stdout}"
    seen(f"One bit changed: {named[0]}.")
    _is_well(archive, heads, seen)
