# SPDX-License-Identifier: GPL-3.0-or-later
"""Program for the place from which is knocked: one packet to every port, and which of them are answered.

Reads commands as lines of JSON, ``{"do": "tcp", "source": …, "to": …}``, and answers each with a line. TCP is knocked
with a SYN of its own making (RFC 9293): exactly one packet a port, no retransmission, and whoever accepts answers
SYN-ACK; the kernel here, which knows nothing of it, resets what was opened. Needs CAP_NET_RAW.

Only the standard library: the program's text is handed to the Python of the place.
"""

from __future__ import annotations

import ipaddress
import json
import os
import secrets
import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

LAST_PORT = 65535
# how many packets go out before answers are read
BURST = 256
SYN, RST, ACK = 0x02, 0x04, 0x10
ROOM = 1 << 23
# sockets opened before every port of this host is taken, by their address
HELD: dict[str, socket.socket] = {}


def destination(to: str, device: str) -> tuple[str, str, int]:
    """Return an address without its scope, the device, and the device's index where the address needs it."""
    address, _, scope = to.partition("%")
    device = scope or device
    needs = ":" in address and ipaddress.ip_address(address).is_link_local
    return address, device, socket.if_nametoindex(device) if needs else 0


def open_socket(kind: int, protocol: int, source: str, device: str) -> socket.socket:
    """Open a socket that sends from an address and, when one is named, through a device."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    opened = socket.socket(family, kind, protocol)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
    if device:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    address, _, scope = source.partition("%")
    if family == socket.AF_INET6:
        opened.bind((address, 0, 0, socket.if_nametoindex(scope) if scope else 0))
    else:
        opened.bind((address, 0))
    opened.setblocking(False)
    return opened


def send(opened: socket.socket, packet: bytes, target: tuple[Any, ...], failed: dict[str, int]) -> None:
    """Send one packet; wait while there is no room, note what the system says otherwise."""
    while True:
        try:
            opened.sendto(packet, target)
        except BlockingIOError:
            select.select([], [opened], [], 1)
        except OSError as error:
            failed[str(error)] = failed.get(str(error), 0) + 1
            return
        else:
            return


def until_quiet(opened: socket.socket, read: Callable[[], None], quiet: float) -> None:
    """Read answers until none has come for some seconds."""
    while select.select([opened], [], [], quiet)[0]:
        read()


def partial_checksum(source: str, to: str, header: bytes) -> int:
    """Add up a TCP header with its pseudo header (RFC 9293, 3.1; RFC 8200, 8.1)."""
    data = ipaddress.ip_address(source.partition("%")[0]).packed + ipaddress.ip_address(to).packed
    data += struct.pack("!HH", socket.IPPROTO_TCP, len(header)) + header
    return sum(word for (word,) in struct.iter_unpack("!H", data))


def tcp(source: str, to: str, device: str = "", ports: Sequence[int] = (), quiet: float = 0.4) -> dict[str, Any]:
    """Send a SYN to every port.

    Args:
        source: address from which.
        to: address to which; ``%eth0`` behind it names the device.
        device: device through which, whatever the routes say.
        ports: those that are meant, if not all.
        quiet: seconds without an answer after which none is waited for.

    Returns:
        ``answered``: ports that accept; ``reset``: how many ports refused; ``failed``: what the system here said.
    """
    address, device, scope = destination(to, device)
    opened = open_socket(socket.SOCK_RAW, socket.IPPROTO_TCP, source, device)
    six = opened.family == socket.AF_INET6
    own, number = 20000 + secrets.randbelow(12000), secrets.randbits(32)
    fields = (number, 0, 5 << 4, SYN, 64240, 0, 0)
    total = partial_checksum(source, address, struct.pack("!HHIIBBHHH", own, 0, *fields))
    answered: set[int] = set()
    reset: set[int] = set()
    failed: dict[str, int] = {}

    def read() -> None:
        while True:
            try:
                data, sender = opened.recvfrom(2048)
            except BlockingIOError:
                return
            segment = data if six else data[(data[0] & 0x0F) * 4 :]
            if sender[0].partition("%")[0] != address or len(segment) < 20:
                continue
            port, to_port = struct.unpack_from("!HH", segment)
            if to_port == own:
                flags = segment[13]
                if flags & (SYN | ACK | RST) == SYN | ACK:
                    answered.add(port)
                elif flags & RST:
                    reset.add(port)

    with opened:
        for count, port in enumerate(ports or range(1, LAST_PORT + 1)):
            check = total + port
            check = (check & 0xFFFF) + (check >> 16)
            check = ~((check & 0xFFFF) + (check >> 16)) & 0xFFFF
            packet = struct.pack("!HHIIBBHHH", own, port, *fields[:5], check, 0)
            send(opened, packet, (address, 0, 0, scope) if six else (address, 0), failed)
            if count % BURST == 0:
                read()
        until_quiet(opened, read, quiet)
    return {"answered": sorted(answered), "reset": len(reset - answered), "failed": failed}


def udp(source: str, to: str, device: str = "", ports: Sequence[int] = (), quiet: float = 0.6) -> dict[str, Any]:
    """Send a datagram to every port.

    Args:
        source: address from which.
        to: address to which; ``%eth0`` behind it names the device.
        device: device through which, whatever the routes say.
        ports: those that are meant, if not all.
        quiet: seconds without an answer after which none is waited for.

    Returns:
        ``answered``: ports from which anything came; ``failed``: what the system here said.
    """
    address, device, scope = destination(to, device)
    opened = HELD[source].dup() if source in HELD else open_socket(socket.SOCK_DGRAM, 0, source, device)
    six = opened.family == socket.AF_INET6
    answered: set[int] = set()
    failed: dict[str, int] = {}
    packet = secrets.token_bytes(8)

    def read() -> None:
        while True:
            try:
                _, sender = opened.recvfrom(2048)
            except BlockingIOError:
                return
            except OSError:
                continue  # somebody's refusal
            if sender[0].partition("%")[0] == address:
                answered.add(sender[1])

    with opened:
        for count, port in enumerate(ports or range(1, LAST_PORT + 1)):
            send(opened, packet, (address, port, 0, scope) if six else (address, port), failed)
            if count % BURST == 0:
                read()
        until_quiet(opened, read, quiet)
    return {"answered": sorted(answered), "failed": failed}


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    total = sum(word for (word,) in struct.iter_unpack("!H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return int(~(total + (total >> 16)) & 0xFFFF)


def ping(source: str, to: str, device: str = "", wait: float = 1.0) -> dict[str, Any]:
    """Send three echo requests (RFC 792, RFC 4443).

    Returns:
        ``answered``: whether an echo came back.
    """
    address, device, scope = destination(to, device)
    six = ":" in address
    protocol = socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP
    request, reply = (128, 129) if six else (8, 0)
    token = secrets.token_bytes(8)
    found = False
    with open_socket(socket.SOCK_RAW, protocol, source, device) as opened:
        for number in range(3):
            head = struct.pack("!BBHHH", request, 0, 0, 4242, number)
            # for ICMPv6 the kernel computes it
            head = head if six else struct.pack("!BBHHH", request, 0, checksum(head + token), 4242, number)
            send(opened, head + token, (address, 0, 0, scope) if six else (address, 0), {})
        end = time.monotonic() + wait
        while not found and (left := end - time.monotonic()) > 0 and select.select([opened], [], [], left)[0]:
            data, sender = opened.recvfrom(2048)
            message = data if six else data[(data[0] & 0x0F) * 4 :]
            found = sender[0].partition("%")[0] == address and message[0] == reply and message.endswith(token)
    return {"answered": found}


def ask(source: str, to: str, port: int, packet: str, wait: float = 2.0) -> dict[str, Any]:
    """Send one datagram with given bytes (hexadecimal) and return the answer in the same form, empty for none."""
    with open_socket(socket.SOCK_DGRAM, 0, source, "") as opened:
        opened.sendto(bytes.fromhex(packet), (to, port))
        if not select.select([opened], [], [], wait)[0]:
            return {"answer": ""}
        try:
            data, _ = opened.recvfrom(4096)
        except OSError:
            return {"answer": ""}
    return {"answer": data.hex()}


def talk(source: str, to: str, port: int, packet: str, wait: float = 3.0) -> dict[str, Any]:
    """Open a TCP connection, send given bytes (hexadecimal) and return the beginning of the answer in the same form."""
    try:
        with socket.create_connection((to, port), wait, (source, 0)) as opened:
            opened.sendall(bytes.fromhex(packet))
            return {"answer": opened.recv(64).hex()}
    except OSError:
        return {"answer": ""}


def hold(sources: list[str]) -> dict[str, Any]:
    """Open a socket for datagrams on each of some addresses, for a later `udp` from them."""
    for source in sources:
        HELD[source] = open_socket(socket.SOCK_DGRAM, 0, source, "")
    return {}


COMMANDS: dict[str, Callable[..., dict[str, Any]]] = {
    "tcp": tcp,
    "udp": udp,
    "ping": ping,
    "ask": ask,
    "talk": talk,
    "hold": hold,
}


def main() -> None:
    """Run commands until the input ends."""
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = COMMANDS[command.pop("do")](**command)
        except OSError as error:
            answer = {"error": f"{os.strerror(error.errno) if error.errno else error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
