# SPDX-License-Identifier: GPL-3.0-or-later
"""A name server for the tests: a few addresses, nothing else, and a list of what was asked. Runs in the container.

Usage: python3 names.py LOG NAME=ADDRESS...
"""

from __future__ import annotations

import socket
import struct
import sys


def question(data: bytes) -> tuple[str, int, int]:
    """Returns the name that was asked for, the kind of record, and where the question ends."""
    labels, place = [], 12
    while data[place]:
        labels.append(data[place + 1 : place + 1 + data[place]].decode("ascii", "replace"))
        place += 1 + data[place]
    return ".".join(labels).lower(), struct.unpack_from("!H", data, place + 1)[0], place + 5


def answer(data: bytes, known: dict[str, str]) -> tuple[str, bytes]:
    """Returns the name, and the answer: an address, no data, or no such name."""
    name, kind, end = question(data)
    records = b""
    if kind == 1 and name in known:
        records = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton(known[name])
    missing = name.removeprefix("_xmpp-server._tcp.").removeprefix("_xmpps-server._tcp.") not in known
    header = data[:2] + struct.pack("!HHHHH", 0x8583 if missing else 0x8580, 1, 1 if records else 0, 0, 0)
    return name, header + data[12:end] + records


def main() -> None:
    """Answers for ever."""
    known = dict(pair.split("=") for pair in sys.argv[2:])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, open(sys.argv[1], "a", encoding="ascii") as log:  # noqa: PTH123
        server.bind(("127.0.0.1", 53))
        while True:
            data, peer = server.recvfrom(4096)
            name, reply = answer(data, known)
            log.write(f"{name}\n")
            log.flush()
            server.sendto(reply, peer)


if __name__ == "__main__":
    main()
