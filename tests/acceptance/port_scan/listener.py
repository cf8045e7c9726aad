# SPDX-License-Identifier: GPL-3.0-or-later
"""Program for the host that is knocked on: listens on every port that nothing listens on yet, TCP and UDP.

Takes the host's addresses as arguments. Says in one line of JSON which ports were in use (there the real service
answers), then stays until its standard input ends. TCP connections are left to the kernel, which accepts them;
datagrams are sent back from the address to which they came.

Only the standard library: the program's text is handed to the Python of the host.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
from collections.abc import Sequence

PORTS = range(1, 65536)
# two sockets a port; a process may open 20000 files where a container has Docker's narrowest bound
PORTS_PER_PROCESS = 8192
KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def listen(address: str, port: int, kind: int) -> socket.socket:
    """Open one listening socket.

    Args:
        address: address of this host; empty for all, of both versions of IP.
        port: the port.
        kind: SOCK_STREAM or SOCK_DGRAM.

    Returns:
        The socket.

    Raises:
        OSError: when the port is in use.
    """
    family = socket.AF_INET if "." in address else socket.AF_INET6
    opened = socket.socket(family, kind)
    try:
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1 if address else 0)
        if kind == socket.SOCK_DGRAM:
            # the answer has to come from the address to which the question went
            if family == socket.AF_INET6:
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            opened.setblocking(False)
        else:
            # a connection that is over and only waits is no reason against
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((address, port))
        if kind == socket.SOCK_STREAM:
            opened.listen(64)
    except OSError:
        opened.close()
        raise
    return opened


def open_ports(ports: Sequence[int], addresses: Sequence[str]) -> tuple[list[socket.socket], dict[str, list[int]]]:
    """Listen on ports, on all addresses where nothing listens yet.

    Args:
        ports: the ports.
        addresses: addresses of this host, for ports that something uses on some of them.

    Returns:
        The sockets, and the ports that were in use, by protocol.
    """
    sockets: list[socket.socket] = []
    in_use: dict[str, list[int]] = {name: [] for name in KINDS}
    for port in ports:
        for name, kind in KINDS.items():
            try:
                sockets.append(listen("", port, kind))
            except OSError:
                in_use[name].append(port)
                for address in addresses:
                    try:
                        sockets.append(listen(address, port, kind))
                    except OSError:
                        continue  # the service that is there answers
    return sockets, in_use


def own(level: int, kind: int, value: bytes) -> tuple[int, int, bytes]:
    """Turn the note to which address a datagram came into the wish to answer from there, on whatever interface."""
    if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO) and value[:2] != b"\xfe\x80":
        value = value[:16] + bytes(4)
    return level, kind, value


def echo(sockets: Sequence[socket.socket]) -> None:
    """Send datagrams back, for ever."""
    by_number = {one.fileno(): one for one in sockets if one.type == socket.SOCK_DGRAM}
    poll = select.epoll()
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    while True:
        for number, _ in poll.poll():
            try:
                data, ancillary, _flags, sender = by_number[number].recvmsg(2048, 256)
                by_number[number].sendmsg([data], [own(*entry) for entry in ancillary], 0, sender)
            except OSError:
                continue  # an answer that the host itself does not let out is no answer


def work(ports: Sequence[int], addresses: Sequence[str], out: int) -> None:
    """Open ports, say which were in use, and send datagrams back."""
    sockets, in_use = open_ports(ports, addresses)
    os.write(out, (json.dumps(in_use) + "\n").encode())
    os.close(out)
    echo(sockets)


def main() -> None:
    """Divide the ports among processes, and end them when the input ends."""
    addresses = sys.argv[1:]
    children, in_use = [], {name: list[int]() for name in KINDS}
    for start in range(0, len(PORTS), PORTS_PER_PROCESS):
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.close(read)
            try:
                work(PORTS[start : start + PORTS_PER_PROCESS], addresses, write)
            finally:
                os._exit(1)
        os.close(write)
        children.append((child, read))
    try:
        for _, read in children:
            with os.fdopen(read) as pipe:
                said = pipe.readline()
            if not said:
                raise OSError("a process could not open its ports")
            for name, ports in json.loads(said).items():
                in_use[name] += ports
        print(json.dumps(in_use), flush=True)
        sys.stdin.read()
    finally:
        for child, _ in children:
            os.kill(child, 9)
            os.waitpid(child, 0)


if __name__ == "__main__":
    main()
