# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controls know of firewalls: how many packets one refused, what it wrote down, and how to break it.

Names of chains, counters and files are those that docs/operations.md promises to an administrator.
"""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from system.controls import Breakage, Seen

TABLE = "inet sallyport"
LOG = "/var/log/sallyport/firewall.json"
RULES = ("input", "output", "forward")
MARK = "sallyport-mutation"
RELAY_PORT = 3128
RELAY_RESTART = """systemctl reset-failed squid; systemctl restart squid
for try in $(seq 50); do if ss -Hltn 'sport = :3128' | grep -q .; then break; fi; sleep 0.2; done"""


@dataclass
class Firewall:
    """The firewall of a host.

    Attributes:
        host: testinfra host.
        name: Name of the host.
    """

    host: Any
    name: str

    def refused(self, chain: str) -> int:
        """Return how many packets a chain has refused; of `forward` also those for consumer services, refused before.

        Raises:
            AssertionError: When there is no such counter: then the host has no firewall of the kit.
        """
        found = self._counted(f"refused_{chain}")
        assert found is not None, f"{self.name} has no counter refused_{chain}"
        return found + ((self._counted("refused_consumer") or 0) if chain == "forward" else 0)

    def _counted(self, counter: str) -> int | None:
        result = self.host.run("nft -j list counter inet sallyport %s", counter)
        if result.rc != 0:
            return None
        listed = json.loads(result.stdout)["nftables"]
        return next(int(entry["counter"]["packets"]) for entry in listed if "counter" in entry)

    def mark(self) -> int:
        """Return the size of its log."""
        return int(self.host.run("stat -c %%s %s 2>/dev/null || echo 0", LOG).stdout.split()[0])

    def unlogged(self, mark: int, chain: str, wanted: Iterable[tuple[str, int]]) -> list[str]:
        """Return which refusals it did not write down since a mark.

        Args:
            mark: From where to look.
            chain: ``input``, ``output`` or ``forward``.
            wanted: Address to which, and port (0 for an echo request).

        Returns:
            Those that are missing; waits for them, since the log is written after the packet was refused.
        """
        missing = {(str(ipaddress.ip_address(address)), port) for address, port in wanted}
        for _ in range(10):
            for line in self.host.run(f"tail -c +{mark + 1} %s", LOG).stdout.splitlines():
                missing -= _pair(line, chain)
            if not missing:
                break
            time.sleep(0.3)
        return sorted(f"{address} {port}" for address, port in missing)

    def rises(self, chain: str, before: int, attempts: int, seen: Seen) -> None:
        """Make sure that a counter rose by as many packets as were tried.

        Args:
            chain: Its chain.
            before: What it said before.
            attempts: How many there were.
            seen: Where to say it.
        """
        risen = self.refused(chain) - before
        assert risen >= attempts, (
            f"{attempts} attempts, and the firewall of {self.name} refused {risen} packets ({chain})"
        )
        seen(f"The firewall of {self.name} counted {risen} refusals.")


def consumer_lines(host: Any, mark: int, zone: str) -> set[str]:
    """Return which consumer services a firewall has named in its log since a mark, for a zone."""
    found = set()
    for line in host.run(f"tail -c +{mark + 1} %s", LOG).stdout.splitlines():
        try:
            words = str(json.loads(line).get("oob.prefix", "")).split()
        except ValueError:
            continue  # half a line
        if words[:3] == ["sallyport", "consumer", zone]:
            found.add(words[3])
    return found


def _pair(line: str, chain: str) -> set[tuple[str, int]]:
    try:
        entry = json.loads(line)
    except ValueError:
        return set()  # half a line: the rest comes
    # ulogd writes the names of the Common Information Model where it knows one, its own otherwise
    to = str(entry.get("dest_ip") or entry.get("ip.daddr.str"))
    port = next((entry[key] for key in ("dest_port", "tcp.dport", "udp.dport") if key in entry), 0)
    return {(to, int(port))} if str(entry.get("oob.prefix", "")).startswith(f"sallyport {chain} ") else set()


def let_pass(chain: str, match: str = "") -> Breakage:
    """Break a firewall: a rule before all others lets packets pass.

    Args:
        chain: ``input``, ``output`` or ``forward``.
        match: Which packets, in the words of nft(8); all, when left out.
    """
    words = " ".join(filter(None, ["insert rule", TABLE, chain, match, f'accept comment "{MARK}"']))
    return Breakage(command=f"nft '{words}'", undo=take_back(chain))


def take_back(chain: str, mark: str = MARK) -> str:
    """Return the command that removes rules with a comment."""
    handles = f"nft -a list chain {TABLE} {chain} | sed -n 's/.*comment \"{mark}\" # handle \\([0-9]*\\)$/\\1/p'"
    return f"{handles} | while read -r handle; do nft delete rule {TABLE} {chain} handle $handle; done"


class Opened:
    """Opens the way out of a host for as long as a control needs it, to see what the next firewall does.

    Args:
        host: testinfra host.
        chain: Which chain of its firewall.
    """

    COMMENT = "sallyport-control"

    def __init__(self, host: Any, chain: str = "output") -> None:
        self.host = host
        self.chain = chain

    def _run(self, command: str) -> None:
        result = self.host.run(command)
        assert result.rc == 0, f"{command}: {result.stderr}"

    def __enter__(self) -> Opened:
        """Open it."""
        self._run(f"nft 'insert rule {TABLE} {self.chain} accept comment \"{self.COMMENT}\"'")
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._run(take_back(self.chain, self.COMMENT))


def told(outcome: dict[str, Any]) -> str:
    """Return what came of an attempt in words, for the report."""
    return "no answer" if outcome["result"] in ("timeout", "silent") else str(outcome["why"] or outcome["result"])


def archives(server: Any) -> list[str]:
    """Return the addresses of the archives from which a host's packages come, each ending with a slash."""
    said = server.run("apt-get indextargets --format '$(REPO_URI)'")
    assert said.rc == 0, f"apt does not say where packages come from: {said.stderr}"
    return sorted({line for line in said.stdout.split() if line.startswith("http://")})
