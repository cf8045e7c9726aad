# SPDX-License-Identifier: GPL-3.0-or-later
"""What independent tools say of the internal server: systemd, Prosody's own checks, testssl.sh from the desktop."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from acceptance.demo_site import Demo
from system.reach import connect

WORST_EXPOSURE = 2.0
# testssl.sh grades every STARTTLS service T, whatever it finds
GRADES = {5222: {"T", "A", "A+"}, 5223: {"A", "A+"}}
# what testssl.sh calls weak, and why it stays
KNOWN = {
    # nothing to ask: a certificate lives for 90 days at most, and a run replaces it; chat programs ask nobody either
    "cert_revocation",
    # says which public authority may sign; the site's own is none, and the domain need not be in public DNS
    "DNS_CAArecord",
    # looked at above
    "overall_grade",
}


def test_the_service_is_confined(demo: Demo) -> None:
    said = demo.sh("systemd-analyze security --no-pager prosody.service | tail -n 1")
    score = re.search(r"(\d+\.\d)", said)
    assert score, said
    assert float(score[1]) <= WORST_EXPOSURE, said


@pytest.mark.parametrize("check", ["config", "certs", "disabled"])
def test_prosody_finds_no_fault(demo: Demo, check: str) -> None:
    demo.sh(f"prosodyctl check {check}")


@pytest.fixture(scope="module")
def tester(demo: Demo) -> Any:
    """The desktop, with testssl.sh."""
    desk = connect(demo.facts.in_group("desktops")[0])
    install = "apt-get -qq install --yes --no-install-recommends testssl.sh procps bsdextrautils dnsutils >/dev/null"
    result = desk.run(f"command -v testssl || ( apt-get -qq update && DEBIAN_FRONTEND=noninteractive {install} )")
    assert result.rc == 0, result.stderr
    return desk


@pytest.mark.parametrize("port", sorted(GRADES))
def test_tls_is_strong(demo: Demo, tester: Any, port: int) -> None:
    address, domain = demo.facts.service(), demo.facts.domain
    trust = f"/usr/local/share/ca-certificates/sallyport-{demo.facts.name}.crt"
    starttls = f"--starttls xmpp --xmpphost {domain}" if port == 5222 else ""
    tester.run("rm -f /tmp/testssl.json")
    said = tester.run(
        f"testssl --quiet --warnings off --color 0 --add-ca {trust} --ip {address} {starttls} "
        f"--jsonfile /tmp/testssl.json {domain}:{port}"
    )
    found = json.loads(tester.check_output("cat /tmp/testssl.json"))
    grade = next(entry["finding"] for entry in found if entry["id"] == "overall_grade")
    assert grade in GRADES[port], said.stdout[-3000:]
    weak = [
        entry
        for entry in found
        if entry["severity"] in {"LOW", "MEDIUM", "HIGH", "CRITICAL"} and entry["id"].split(" ")[0] not in KNOWN
    ]
    assert not weak, weak
