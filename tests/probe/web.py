# SPDX-License-Identifier: GPL-3.0-or-later
"""What a browser or a messenger does on the web: pages, by one name and another address; questions for names over TLS.

Certificates are not checked here: what matters is whether anybody is reached. Sources: RFC 9110 (HTTP), RFC 6066
(names in TLS), RFC 7858 and RFC 8484 (questions for names over TLS and over HTTPS).
"""

from __future__ import annotations

import http.client
import socket
import ssl
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from probe.network import question_for, read_answer
from probe.stream import tls_context

SHOWN = 200
AT_ONCE = 16


def fetch(
    *,
    host: str,
    name: str,
    tls: bool = True,
    port: int = 0,
    path: str = "/",
    body: bytes = b"",
    kind: str = "",
    timeout: float = 6.0,
) -> dict[str, Any]:
    """Ask a web server for something.

    Args:
        host: The address to which the packets go.
        name: The name that is asked for, in TLS and in HTTP; without one TLS carries none, and HTTP the address.
        tls: Over TLS.
        port: TCP port; 0 for the usual one.
        path: What to ask for.
        body: What to send; without it nothing is sent.
        kind: Content type of what is sent.
        timeout: Seconds for each step.

    Returns:
        ``result`` is ``answered`` (with ``status``, ``start`` of what came, and ``data``, all of it in hexadecimal) or
        ``refused`` with ``step`` (``connect``, ``tls``, ``http``) and ``why``.
    """
    step = "connect"
    connection = http.client.HTTPConnection(name or host, timeout=timeout)
    try:
        connection.sock = socket.create_connection((host, port or (443 if tls else 80)), timeout)
        if tls:
            step = "tls"
            connection.sock = tls_context().wrap_socket(connection.sock, server_hostname=name or None)
        step = "http"
        headers = {"Content-Type": kind} if kind else {}
        connection.request("POST" if body else "GET", path, body=body or None, headers=headers)
        answer = connection.getresponse()
        data = answer.read()
    except (OSError, http.client.HTTPException) as error:
        return {"result": "refused", "step": step, "why": str(error) or type(error).__name__}
    finally:
        connection.close()
    return {
        "result": "answered",
        "status": answer.status,
        "start": data[:SHOWN].decode("utf-8", "replace"),
        "data": data.hex(),
    }


def fetch_all(targets: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Do many of these at the same time; each target holds the arguments of `fetch`, and is in its answer."""
    with ThreadPoolExecutor(max(1, min(AT_ONCE, len(targets)))) as pool:
        outcomes = list(pool.map(lambda target: fetch(**target), targets))
    return [{**target, **outcome} for target, outcome in zip(targets, outcomes, strict=True)]


def ask_over_https(host: str, resolver: str, name: str, kind: str = "A", timeout: float = 6.0) -> dict[str, Any]:
    """Ask a resolver over HTTPS.

    Args:
        host: Its address.
        resolver: Its name, as it stands in TLS.
        name: The name that is asked for.
        kind: ``A``, ``AAAA``, ``TXT`` or ``SRV``.
        timeout: Seconds for each step.

    Returns:
        As `ask_name`.
    """
    body = question_for(0, name, kind)
    said = fetch(
        host=host, name=resolver, path="/dns-query", body=body, kind="application/dns-message", timeout=timeout
    )
    if said["result"] != "answered":
        return {"result": "refused", "rcode": "", "answers": [], "why": f"{said['step']}: {said['why']}"}
    if said["status"] != 200:
        return {"result": "refused", "rcode": "", "answers": [], "why": f"HTTP {said['status']}"}
    return read_answer(bytes.fromhex(said["data"]), 0, kind)


def ask_over_tls(host: str, resolver: str, name: str, kind: str = "A", timeout: float = 6.0) -> dict[str, Any]:
    """Ask a resolver over TLS, port 853; arguments and answer as those of `ask_over_https`."""
    question = question_for(1, name, kind)
    try:
        with (
            socket.create_connection((host, 853), timeout) as plain,
            tls_context().wrap_socket(plain, server_hostname=resolver) as asking,
        ):
            asking.sendall(struct.pack("!H", len(question)) + question)
            with asking.makefile("rb") as answer:
                data = answer.read(struct.unpack("!H", answer.read(2))[0])
    except (OSError, ssl.SSLError, struct.error) as error:
        return {"result": "refused", "rcode": "", "answers": [], "why": str(error) or type(error).__name__}
    return read_answer(data, 1, kind)


class Visits:
    """Connections to websites that stay open between two pages, by the name that the control gave them."""

    def __init__(self) -> None:
        self._open: dict[str, http.client.HTTPConnection] = {}

    def visit_open(
        self, *, name: str, host: str, server_name: str, tls: bool = True, timeout: float = 10.0
    ) -> dict[str, Any]:
        """Connect and ask for a first page.

        Args:
            name: What the control calls it.
            host: The address to which the packets go.
            server_name: The name that is asked for.
            tls: Over TLS.
            timeout: Seconds for each step.

        Returns:
            As `visit_again`.
        """
        connection = http.client.HTTPConnection(server_name, timeout=timeout)
        try:
            plain = socket.create_connection((host, 443 if tls else 80), timeout)
            connection.sock = tls_context().wrap_socket(plain, server_hostname=server_name) if tls else plain
        except OSError as error:
            return {"result": "refused", "why": str(error)}
        # were it closed, the next page would not come by a new one
        connection.auto_open = 0
        self._open[name] = connection
        return self.visit_again(name)

    def visit_again(self, name: str) -> dict[str, Any]:
        """Ask for a page over the same connection; ``result`` is ``answered`` or ``refused``, with ``why``."""
        try:
            self._open[name].request("GET", "/")
            answer = self._open[name].getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            return {"result": "refused", "why": str(error) or type(error).__name__}
        return {"result": "answered" if answer.status == 200 else "refused", "why": f"HTTP {answer.status}"}
