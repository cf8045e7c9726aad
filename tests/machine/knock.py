# SPDX-License-Identifier: GPL-3.0-or-later
"""Knocks on the ports of a machine while it reboots, and writes down what answered, how often, and when first.

Run by `playbooks/test_machine_reboot.yml`: `knock.py FILE ADDRESS,ADDRESS`. It ends when FILE.end is there.
"""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import sys
import time
from pathlib import Path

# services of the kit, services that Debian has, and one where nothing ever listens: what a machine without a firewall
# answers there (RST, port unreachable) tells it from one that drops
PORTS = (22, 25, 53, 80, 111, 443, 3128, 5222, 5223, 5269, 5270, 5280, 5281, 5347, 9999)
UDP_PORTS = (123, 9999)
WAIT_SECONDS = 0.7
ROUND_SECONDS = 1.0
LIMIT_SECONDS = 1400

Answers = dict[str, dict[str, dict[str, float]]]


async def tcp(address: str, port: int) -> str:
    """Try to open a TCP connection.

    Args:
        address: IPv4 or IPv6.
        port: the port.

    Returns:
        connected, refused (the machine's own stack answered), or silent.
    """
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            _, writer = await asyncio.open_connection(address, port)
    except ConnectionRefusedError:
        return "refused"
    except (OSError, TimeoutError):
        # nobody there, no answer, or a firewall that says so
        return "silent"
    writer.close()
    return "connected"


async def udp(address: str, port: int) -> str:
    """Send a datagram.

    Args:
        address: IPv4 or IPv6.
        port: the port.

    Returns:
        connected (something came back), refused (port unreachable), or silent.
    """
    loop = asyncio.get_running_loop()
    kind = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(kind, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        try:
            sock.connect((address, port))
            # a client's question for the time (RFC 5905), which a time server would answer
            sock.send(b"\x23" + bytes(47))
            async with asyncio.timeout(WAIT_SECONDS):
                await loop.sock_recv(sock, 64)
        except OSError as error:
            return "refused" if error.errno == errno.ECONNREFUSED else "silent"
        return "connected"


async def knock(addresses: list[str], answers: Answers, begun: float) -> None:
    """Knock once on everything.

    Args:
        addresses: of the machine.
        answers: what is known so far, by address and port; is added to.
        begun: when the knocking began.
    """
    targets = [(address, port, tcp) for address in addresses for port in PORTS]
    targets += [(address, port, udp) for address in addresses for port in UDP_PORTS]
    results = await asyncio.gather(*(attempt(address, port) for address, port, attempt in targets))
    now = round(time.monotonic() - begun, 1)
    for (address, port, attempt), result in zip(targets, results, strict=True):
        noted = answers.setdefault(f"{address} {attempt.__name__} {port}", {})
        entry = noted.setdefault(result, {"count": 0, "first": now, "last": now})
        entry["count"] += 1
        entry["last"] = now


async def main(path: Path, addresses: list[str]) -> None:
    """Knock until the end is told; write the answers.

    Args:
        path: the file for them.
        addresses: of the machine.
    """
    answers: Answers = {}
    begun = time.monotonic()
    end = path.with_name(f"{path.name}.end")
    while not end.exists() and time.monotonic() - begun < LIMIT_SECONDS:
        start = time.monotonic()
        await knock(addresses, answers, begun)
        await asyncio.sleep(max(0.0, ROUND_SECONDS - (time.monotonic() - start)))
    path.write_text(json.dumps(answers, indent=1), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2].split(",")))
