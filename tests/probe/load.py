# SPDX-License-Identifier: GPL-3.0-or-later
"""Many people who write to each other at once: how many messages a server carries, and how long each is under way.

Runs on the probe host with nothing but Python's standard library, in one thread.
"""

from __future__ import annotations

import re
import selectors
import statistics
import time
from collections.abc import Callable

from probe.stream import Stream, online, tls_context

# when it was sent, in nanoseconds of this machine, and by the how manieth
MARK = re.compile(rb"id='sent-(\d+)-by-(\d+)'")
TAIL = 65536  # bytes of what came that are kept: a mark may be cut in two
# what people write at work: mostly words, now and then a number, a time or a link
SENTENCES = (
    "The report of the last week is nearly ready, please look at the second page and tell me what is missing.",
    "ok, thanks!",
    "Können wir das Treffen auf morgen um 14:30 verschieben? Die Zahlen für März fehlen noch.",
    "I am in the office until four, then on the train.",
    "La réunion est reportée à jeudi, je vous envoie l'ordre du jour dès que possible.",
    "Invoice 2026-1187 over 1,240.50 is paid, see https://files.example.net/invoices/1187",
    "Who has the key of the small meeting room? It is not at its place.",
    "Kan du se på utkastet før lunsj? Jeg er usikker på avsnittet om leveranser.",
)


class Crowd:
    """People in pairs, signed in and available.

    Args:
        host: Address of the server.
        port: Its port for direct TLS.
        domain: Their domain.
        people: Names and passwords; the first writes to the second and so on.
        ca_pem: Certificates to trust.
    """

    def __init__(self, *, host: str, port: int, domain: str, people: dict[str, str], ca_pem: str) -> None:
        context = tls_context(ca_pem, alpn="xmpp-client")
        self.names, self.domain = list(people), domain
        self.streams: list[Stream] = []
        self.selector = selectors.DefaultSelector()
        self.kept = [b""] * len(people)
        self.written = 0
        for number, (user, password) in enumerate(people.items()):
            stream = online(host=host, port=port, domain=domain, user=user, password=password, context=context)
            self.streams.append(stream)
            stream.send("<presence/>")
            self.selector.register(stream.socket, selectors.EVENT_READ, number)

    def write(self, sender: int) -> None:
        """Let one of them write to the other of the pair."""
        to = f"{self.names[sender ^ 1]}@{self.domain}"
        now = time.monotonic_ns()
        self.written += 1
        words = SENTENCES[self.written % len(SENTENCES)]
        self.streams[sender].send(
            f"<message to='{to}' type='chat' id='sent-{now}-by-{sender}'><body>{words}</body></message>"
        )

    def read(self, until: float, arrived: Callable[[int, float], None]) -> None:
        """Take what comes.

        Args:
            until: The end, in seconds of the monotonic clock.
            arrived: Called for each message with the receiver and the seconds that it was under way.

        Raises:
            RuntimeError: When an error came, or a stream was ended.
        """
        while (left := until - time.monotonic()) > 0:
            for key, _mask in self.selector.select(left):
                number = int(key.data)
                data = self._receive(number)
                now = time.monotonic_ns()
                for found in MARK.finditer(data):
                    arrived(number, (now - int(found[1])) / 1e9)
                self.kept[number] = data[max((found.end() for found in MARK.finditer(data)), default=0) :][-TAIL:]

    def _receive(self, number: int) -> bytes:
        """Read what one connection has, decrypted bytes that the selector does not see included."""
        socket = self.streams[number].socket
        data = socket.recv(TAIL)
        while data and getattr(socket, "pending", int)():
            data += socket.recv(TAIL)
        if not data or b"type='error'" in data or b"<stream:error" in data:
            raise RuntimeError(f"{self.names[number]}: {data[-500:]!r}")
        return self.kept[number] + data

    def close(self) -> None:
        """Sign all out."""
        for stream in self.streams:
            stream.close()


def load(
    *, host: str, port: int, domain: str, people: dict[str, str], ca_pem: str, pace: float, seconds: float
) -> dict[str, float]:
    """Measure a server, first with as many messages as it carries, then with so many as people write.

    In the first part each pair has one message under way all the time: who gets it, answers. In the second, messages
    leave at a steady pace, whether those before have arrived or not. Before the two, each writes a message.

    Args:
        host: Address of the server.
        port: Its port for direct TLS.
        domain: The domain of the people.
        people: Names and passwords, an even number.
        ca_pem: Certificates to trust.
        pace: Messages a second of the second part.
        seconds: How long each part takes.

    Returns:
        ``rate``, messages a second of the first part; ``median``, ``p95`` and ``worst``, seconds of a message of the
        second part; ``lost``, how many of these did not arrive.
    """
    crowd = Crowd(host=host, port=port, domain=domain, people=people, ca_pem=ca_pem)
    try:
        # with the first message to and from a person the server opens her archive: that is waited for
        opened: set[int] = set()
        for sender in range(len(people)):
            crowd.write(sender)
        end = time.monotonic() + 120
        while len(opened) < len(people):
            crowd.read(time.monotonic() + 1, lambda number, _took: opened.add(number))
            if time.monotonic() > end:
                raise RuntimeError(f"{len(people) - len(opened)} people have got no message within two minutes")
        count = 0

        def answer(receiver: int, _took: float) -> None:
            nonlocal count
            count += 1
            crowd.write(receiver)

        for sender in range(0, len(people), 2):
            crowd.write(sender)
        start = time.monotonic()
        crowd.read(start + seconds, answer)
        rate = count / (time.monotonic() - start)
        # what is still under way must not be answered any more
        crowd.read(time.monotonic() + 3, lambda _number, _took: None)
        times: list[float] = []
        start, sent, whole = time.monotonic(), 0, int(pace * seconds)
        while sent < whole:
            crowd.write(sent % len(people))
            sent += 1
            crowd.read(start + sent / pace, lambda _number, took: times.append(took))
        crowd.read(time.monotonic() + 3, lambda _number, took: times.append(took))
        return {
            "rate": rate,
            "median": statistics.median(times),
            "p95": statistics.quantiles(times, n=20)[-1],
            "worst": max(times),
            "lost": whole - len(times),
        }
    finally:
        crowd.close()
