# SPDX-License-Identifier: GPL-3.0-or-later
"""How logs are handed over, as a machine does it and as one does that may not: RELP, over TLS or in the clear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from system.site_facts import SiteFacts

PORT = 20514
OWN = "/etc/sallyport/logs/tls"
# what a machine hands over with: address, port, name of the taker, authority, folder of a certificate or `none`, and
# whether TLS is spoken at all
HAND_OVER = """import socket, ssl, sys
address, port, name, authority, folder, tls = sys.argv[1:]
data = b"relp_version=0\\nrelp_software=control\\ncommands=syslog"
try:
    link = socket.create_connection((address, int(port)), timeout=5)
    if tls == "tls":
        trust = ssl.create_default_context(cafile=authority)
        if folder != "none":
            trust.load_cert_chain(f"{folder}/fullchain.pem", f"{folder}/privkey.pem")
        link = trust.wrap_socket(link, server_hostname=name)
    link.sendall(b"1 open %d %s\\n" % (len(data), data))
    answer = link.recv(4096)
    print("taken" if b" rsp " in answer and b"200 OK" in answer else "refused: " + ("not RELP" if answer else "closed"))
except OSError as error:
    print(f"refused: {type(error).__name__}")
"""


@dataclass(frozen=True)
class Taker:
    """Who takes what is handed over.

    Attributes:
        address: Where it answers.
        name: In its certificate.
        port: Of its input.
    """

    address: str
    name: str
    port: int = PORT


def hand_over(machine: Any, facts: SiteFacts, taker: Taker, *, folder: str = OWN, tls: bool = True) -> str:
    """Try to hand something over, from a machine.

    Args:
        machine: Testinfra host from which it is tried.
        facts: The site.
        taker: To whom.
        folder: Of the certificate and key that are shown, or ``none``.
        tls: Whether TLS is spoken.

    Returns:
        ``taken``, or ``refused`` with what was seen.

    Raises:
        AssertionError: When it could not be tried.
    """
    authority = f"/usr/local/share/ca-certificates/sallyport-{facts.name}.crt"
    words = [taker.address, str(taker.port), taker.name, authority, folder, "tls" if tls else "plain"]
    done = machine.run("python3 -c %s %s %s %s %s %s %s", HAND_OVER, *words)
    assert done.rc == 0, done.stderr
    return str(done.stdout).strip()
