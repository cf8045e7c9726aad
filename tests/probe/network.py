# SPDX-License-Identifier: GPL-3.0-or-later
"""What a probe does on the network besides XMPP: knock, listen for a while, ask for names and the time, use a relay.

Nothing but Python's standard library, on the probe host. Sources: RFC 1035 (names), RFC 5905 (time), RFC 9110 (relay).
"""

from __future__ import annotations

import contextlib
import http.client
import secrets
import selectors
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from probe.stream import tcp_connect

RECORDS = {"A": 1, "TXT": 16, "AAAA": 28, "SRV": 33, "HTTPS": 65}
RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}
TCP, UDP = "tcp", "udp"


def knock(targets: Sequence[tuple[str, int]], timeout: float = 2.5) -> list[dict[str, Any]]:
    """Try TCP connections to many places at the same time.

    Args:
        targets: Address and port each.
        timeout: Seconds to wait for an answer.

    Returns:
        For each, in order: ``host``, ``port``, and what `tcp_connect` says.
    """
    with ThreadPoolExecutor(max(1, min(64, len(targets)))) as pool:
        outcomes = list(pool.map(lambda target: tcp_connect(target[0], target[1], timeout), targets))
    return [{"host": host, "port": port, **outcome} for (host, port), outcome in zip(targets, outcomes, strict=True)]


def udp_ask(host: str, port: int, text: str = "", packet: bytes = b"", timeout: float = 2.5) -> dict[str, Any]:
    """Send a datagram and wait for any answer.

    Args:
        host: Address.
        port: Port.
        text: What to send.
        packet: What to send, as bytes.
        timeout: Seconds to wait.

    Returns:
        ``result`` (``answered``, ``silent`` or ``refused``), ``why``, and ``data``, the answer in hexadecimal.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        asking.settimeout(timeout)
        try:
            asking.connect((host, port))
            asking.send(packet or text.encode())
            data = asking.recv(4096)
        except TimeoutError:
            return {"result": "silent", "why": "no answer", "data": ""}
        except OSError as error:
            return {"result": "refused", "why": str(error), "data": ""}
    return {"result": "answered", "why": "", "data": data.hex()}


def ping(host: str, timeout: int = 2) -> dict[str, Any]:
    """Send one echo request with the system's own program.

    Returns:
        ``result`` (``answered`` or ``silent``) and ``why``, the last line that it said.
    """
    words = ["ping", "-n", "-c", "1", "-W", str(timeout), host]
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout + 5, check=False)
    said = (done.stdout + done.stderr).strip().splitlines()
    return {"result": "silent" if done.returncode else "answered", "why": said[-1] if said else ""}


class Listeners:
    """Services that answer for as long as a control needs them: TCP is accepted, a datagram is sent back."""

    def __init__(self) -> None:
        self._selector: selectors.BaseSelector | None = None
        self._sockets: list[socket.socket] = []

    def listen(self, places: Sequence[tuple[str, int, str]], seconds: float = 120.0) -> list[str]:
        """Listen, unless something listens there already.

        Args:
            places: Address of this host, port, and ``tcp`` or ``udp``.
            seconds: After which they close by themselves.

        Returns:
            For each place ``listens`` or ``in use``; whoever is there answers then.
        """
        self._selector = self._selector or selectors.DefaultSelector()
        said = []
        for address, port, protocol in places:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            opened = socket.socket(family, socket.SOCK_STREAM if protocol == TCP else socket.SOCK_DGRAM)
            try:
                if protocol == TCP:
                    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                opened.bind((address, port))
                if protocol == TCP:
                    opened.listen(64)
            except OSError:
                opened.close()
                said.append("in use")
                continue
            opened.setblocking(False)
            self._sockets.append(opened)
            self._selector.register(opened, selectors.EVENT_READ)
            said.append("listens")
        threading.Thread(target=self._serve, args=(self._selector, time.monotonic() + seconds), daemon=True).start()
        return said

    @staticmethod
    def _serve(selector: selectors.BaseSelector, end: float) -> None:
        while time.monotonic() < end:
            try:
                ready = selector.select(1)
            except (OSError, ValueError, RuntimeError):
                return  # closed
            for key, _ in ready:
                opened = key.fileobj
                if not isinstance(opened, socket.socket):
                    continue
                with contextlib.suppress(OSError):
                    if opened.type == socket.SOCK_STREAM:
                        opened.accept()[0].close()
                    else:
                        data, sender = opened.recvfrom(2048)
                        opened.sendto(data, sender)

    def listen_no_more(self) -> None:
        """Close all that was opened."""
        if self._selector is not None:
            for opened in self._sockets:
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(opened)
                opened.close()
            self._sockets.clear()
            self._selector.close()
            self._selector = None


def _name(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split(".")) + b"\0"


def _answers(message: bytes, kind: int) -> list[str]:
    """Read the addresses and texts out of an answer; names in it are skipped."""

    def skip(at: int) -> int:
        while message[at]:
            if message[at] >= 0xC0:
                return at + 2
            at += message[at] + 1
        return at + 1

    questions, records = struct.unpack_from("!HH", message, 4)
    at = 12
    for _ in range(questions):
        at = skip(at) + 4
    found = []
    for _ in range(records):
        at = skip(at)
        its_kind, _, _, length = struct.unpack_from("!HHIH", message, at)
        data = message[at + 10 : at + 10 + length]
        at += 10 + length
        if its_kind == kind:
            if kind in (RECORDS["A"], RECORDS["AAAA"]):
                found.append(socket.inet_ntop(socket.AF_INET6 if len(data) == 16 else socket.AF_INET, data))
            else:
                found.append(data.decode("ascii", "replace"))
    return found


def ask_name(server: str, name: str, kind: str = "A", protocol: str = UDP, timeout: float = 5.0) -> dict[str, Any]:
    """Ask a resolver.

    Args:
        server: Its address.
        name: The name.
        kind: A key of `RECORDS`.
        protocol: ``udp`` or ``tcp``.
        timeout: Seconds to wait.

    Returns:
        ``result`` (``answered``, ``silent``, ``refused``), ``rcode`` in the protocol's words, ``answers``, ``why``.
    """
    number = secrets.randbits(16)
    question = question_for(number, name, kind)
    if protocol == UDP:
        said = udp_ask(server, 53, packet=question, timeout=timeout)
        data = bytes.fromhex(said["data"])
    else:
        said = {"result": "answered", "why": ""}
        try:
            with socket.create_connection((server, 53), timeout) as asking, asking.makefile("rb") as answer:
                asking.sendall(struct.pack("!H", len(question)) + question)
                data = answer.read(struct.unpack("!H", answer.read(2))[0])
        except (OSError, struct.error) as error:
            said, data = {"result": "refused", "why": str(error)}, b""
    if not data:
        return {"result": said["result"], "rcode": "", "answers": [], "why": said["why"] or "no answer"}
    return read_answer(data, number, kind)


def question_for(number: int, name: str, kind: str) -> bytes:
    """Return the message that asks for a name; ``kind`` is a key of `RECORDS`."""
    return struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + _name(name) + struct.pack("!HH", RECORDS[kind], 1)


def read_answer(data: bytes, number: int, kind: str) -> dict[str, Any]:
    """Return what a message says, in the form of `ask_name`; one that answers another question is no answer."""
    if len(data) < 12 or data[:2] != struct.pack("!H", number):
        return {"result": "silent", "rcode": "", "answers": [], "why": "no answer"}
    rcode = RCODES.get(data[3] & 0x0F, str(data[3] & 0x0F))
    return {"result": "answered", "rcode": rcode, "answers": _answers(data, RECORDS[kind]), "why": rcode}


def ask_time(server: str, timeout: float = 3.0) -> dict[str, Any]:
    """Ask a time server.

    Returns:
        ``result`` (``answered``, ``silent``, ``refused``), ``stratum``, and ``off``: seconds from this machine's clock.
    """
    # version 4, client; seconds since 1900
    said = udp_ask(server, 123, packet=bytes([0x23]) + bytes(47), timeout=timeout)
    data = bytes.fromhex(said["data"])
    if len(data) < 48:
        return {"result": said["result"], "stratum": 0, "off": 0.0, "why": said["why"]}
    seconds, fraction = struct.unpack_from("!II", data, 40)
    off = seconds - 2208988800 + fraction / 2**32 - time.time()
    return {"result": "answered", "stratum": data[1], "off": round(off, 3), "why": ""}


def through_relay(relay: str, port: int, method: str, target: str, timeout: float = 20.0) -> dict[str, Any]:
    """Ask a relay for something.

    Args:
        relay: Its address.
        port: Its port.
        method: ``GET``, ``POST`` or ``CONNECT``.
        target: A whole URL, or ``host:port`` for CONNECT.
        timeout: Seconds for each step.

    Returns:
        ``status`` (HTTP; 0 when there was no answer), ``start``, the beginning of what came, and ``why``.
    """
    connection = http.client.HTTPConnection(relay, port, timeout=timeout)
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", target.partition("//")[2].partition("/")[0] or target)
        connection.endheaders()
        answer = connection.getresponse()
        start = b"" if method == "CONNECT" else answer.read(200)
    except (OSError, http.client.HTTPException) as error:
        return {"status": 0, "start": "", "why": f"{type(error).__name__}: {error}"}
    finally:
        connection.close()
    return {"status": answer.status, "start": start.decode("utf-8", "replace"), "why": answer.reason}
