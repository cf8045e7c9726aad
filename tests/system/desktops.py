# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controls do on a desktop and with the servers' admission: other addresses, old signatures, who is let in."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

from system.controls import Amber, NotApplicable
from system.site_facts import HostFacts, SiteFacts

PORT = 5290
PROGRAM = "/usr/local/lib/sallyport/admission"
CHECKS = "/usr/local/lib/sallyport/desktop-checks"
SHOW = "systemctl start sallyport-desktop.service"
SETTINGS = "/etc/sallyport/desktop.json"
SETS = ("admitted4", "admitted6")
# when the sources of signatures last answered, as the antivirus notes it; and what looks at that
UPDATES = "/var/lib/sallyport-signatures/updates.json"
WATCH = "systemctl start sallyport-signatures.service"
RESTART = "systemctl reset-failed sallyport-admission; systemctl restart sallyport-admission; sleep 1"
PATIENCE_SECONDS = 10
# whatever came: connected, or the words of the system
KNOCK = """
import socket, sys
for to, own, port in zip(sys.argv[1::3], sys.argv[2::3], sys.argv[3::3]):
    try:
        socket.create_connection((to, int(port)), 3, (own, 0)).close()
        print("connected")
    except OSError as error:
        print(error)
"""
# shows the checks to one address of a server, from one of its own, with another certificate or none
SHOW_TO = """
import json, socket, ssl, sys
to, own, port, name, authority, chain, key = sys.argv[1:]
context = ssl.create_default_context(cafile=authority)
if chain:
    context.load_cert_chain(chain, key)
checks = ["signatures", "scanner", "on-access", "firewall", "updates", "automatic-updates", "consumer-im"]
try:
    with context.wrap_socket(socket.create_connection((to, int(port)), 5, (own, 0)), server_hostname=name) as channel:
        channel.sendall(json.dumps({"checks": [{"check": one, "passed": True} for one in checks]}).encode() + b"\\n")
        print(channel.recv(65536).decode() or "closed")
except OSError as error:
    print(error)
"""


def admits(facts: SiteFacts) -> bool:
    """Tell whether the servers of a site admit desktops, and do not just let them in."""
    required_here = facts.sallyport.get("desktops", {}).get("admission", "required") == "required"
    return required_here and bool(facts.sallyport["networks"].get("desktops"))


def declared_port(facts: SiteFacts) -> set[int]:
    """Return the port at which desktops show their checks to an IM server; none where they need not."""
    return {PORT} if admits(facts) else set()


def required(facts: SiteFacts) -> None:
    """Go on only where desktops must be admitted.

    Raises:
        Amber: Where the site leaves the doors open.
        NotApplicable: Where it has no desktops.
    """
    if not facts.sallyport["networks"].get("desktops"):
        raise NotApplicable("the site has no network for desktops")
    if not admits(facts):
        raise Amber("`desktops.admission` is open: any computer in the desktops' networks reaches the servers")


def attested(facts: SiteFacts) -> list[dict[str, Any]]:
    """Return the computers of the site file for which somebody vouches."""
    return list(facts.sallyport.get("desktops", {}).get("attested", []))


def listed(server: Any) -> dict[str, dict[str, Any]]:
    """Return what a server says of each desktop, by its name."""
    said = server.run(f"{PROGRAM} show --json")
    assert said.rc == 0, f"{PROGRAM} show: {said.stderr}"
    return {str(entry["id"]): entry for entry in json.loads(said.stdout)}


def told(entry: dict[str, Any]) -> str:
    """Return what a server says of a desktop in words."""
    who = f"{entry['id']} ({entry['person'] or 'nobody named'})"
    if entry["admitted"]:
        return f"{who}: admitted until {entry['until']}, {entry['kind']}."
    return f"{who}: not admitted, {'; '.join(entry['reasons'])}."


def in_sets(server: Any) -> set[str]:
    """Return the addresses that the firewall of a server lets in now."""
    found = set()
    for name in SETS:
        said = server.run("nft -j list set inet sallyport %s", name)
        assert said.rc == 0, f"the firewall has no set {name}: {said.stderr}"
        for entry in json.loads(said.stdout)["nftables"]:
            for element in entry.get("set", {}).get("elem", []):
                found.add(str(element["elem"]["val"] if isinstance(element, dict) else element))
    return found


def knock_from(desktop: Any, targets: list[tuple[str, str, int]]) -> list[str]:
    """Try connections from addresses of a desktop's choice.

    Args:
        desktop: testinfra host.
        targets: Address to which, address from which, port.

    Returns:
        ``connected`` for each, or the words of the system.
    """
    words = [word for to, own, port in targets for word in (to, own, str(port))]
    said = desktop.run(f"python3 -c %s {' '.join(words)}", KNOCK)
    assert said.rc == 0, said.stderr
    return str(said.stdout).splitlines()


def show_to(desktop: Any, to: str, own: str, chain: str, key: str) -> str:
    """Show checks that all passed to a server, with a certificate or none; returns what came back."""
    settings = json.loads(desktop.run("cat %s", SETTINGS).stdout)
    server = next(one for one in settings["servers"] if to in one["addresses"])
    words = (SHOW_TO, to, own, str(server["port"]), server["name"], settings["authority"], chain, key)
    said = desktop.run("python3 -c %s %s %s %s %s %s %s %s", *words)
    assert said.rc == 0, said.stderr
    return str(said.stdout).strip()


@contextlib.contextmanager
def borrowed(desktop: Any, own: str, addresses: list[str]) -> Iterator[None]:
    """Give a desktop further addresses, on the device that has one of its own, and take them away at the end."""
    said = desktop.run("ip -o address show to %s", own)
    assert said.rc == 0, said.stderr
    device = said.stdout.split()[1]
    try:
        for address in addresses:
            length = "128 nodad" if ":" in address else "32"
            done = desktop.run(f"ip address replace {address}/{length} dev {device}")
            assert done.rc == 0, done.stderr
        yield
    finally:
        for address in addresses:
            desktop.run(f"ip address delete {address}/{128 if ':' in address else 32} dev {device}")


@contextlib.contextmanager
def aged_signatures(desktop: Any) -> Iterator[None]:
    """Make the antivirus's signatures of a desktop look old, and as they were at the end."""
    kept = "/run/sallyport-control-updates"
    days_ago = """import json, sys, time; d = json.load(open(sys.argv[1])); d["succeeded"] = time.time() - 40 * 86400
json.dump(d, open(sys.argv[1], "w"))"""
    old = desktop.run(f"cp -p {UPDATES} {kept} && python3 -c '{days_ago}' {UPDATES} && {WATCH}")
    assert old.rc == 0, old.stderr
    try:
        yield
    finally:
        desktop.run(f"mv {kept} {UPDATES}; {WATCH}; {SHOW}")


def until_admitted(server: Any, desktop: HostFacts, *, admitted: bool, seconds: float = PATIENCE_SECONDS) -> float:
    """Wait until a server admits a desktop, or does not.

    Returns:
        After how many seconds.
    """
    start = time.monotonic()
    while (passed := time.monotonic() - start) < seconds:
        if listed(server)[desktop.name]["admitted"] is admitted:
            return passed
        time.sleep(0.3)
    entry = listed(server)[desktop.name]
    raise AssertionError(f"after {seconds} s it is still so: {told(entry)}")
