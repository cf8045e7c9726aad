# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's updates on the internal server: they come through the relay, by no other way, and by themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from acceptance.demo_site import Demo
from system.network import archives
from system.reach import connect

ACCESS_LOG = "/var/log/squid/access.log"
QUIET = "DEBIAN_FRONTEND=noninteractive"
TIMERS = "apt-daily.timer apt-daily-upgrade.timer"
# packages of which the archive offers a version, and the security archive a newer one; those that are not installed
# first, since they disturb nobody and can be taken away again, and the small ones first of these
PENDING = """
import apt

found = []
for package in apt.Cache():
    new = package.candidate
    if new is None or package.essential or package.shortname != package.name:
        continue
    if not any(origin.label == 'Debian-Security' for origin in new.origins):
        continue
    for old in package.versions:
        if old < new and any(o.label == 'Debian' and o.component == 'main' for o in old.origins):
            needed = len(old.get_dependencies('Depends', 'PreDepends'))
            found.append((package.is_installed, needed, old.size, package.name, old.version, new.version))
            break
for installed, _, _, name, old, new in sorted(found)[:60]:
    print(name, old, new, 'installed' if installed else 'absent')
"""


@dataclass(frozen=True)
class Pending:
    """A package that has a security update.

    Attributes:
        name: Of the package.
        old: The version without the update.
        new: The version with it.
        installed: Whether the host has the package, in the new version.
    """

    name: str
    old: str
    new: str
    installed: bool


@dataclass(frozen=True)
class Relayed:
    """What the relay was asked for.

    Attributes:
        client: Who asked.
        verdict: What came of it, as TCP_MISS/200 or TCP_DENIED/403.
        method: Of the request.
        url: Of the request.
    """

    client: str
    verdict: str
    method: str
    url: str


class Relay:
    """The relay of the gateway, as its log shows it.

    Attributes:
        gateway: testinfra host.
        url: as a client names it.
    """

    def __init__(self, demo: Demo) -> None:
        """Remember the end of the log."""
        facts = demo.facts.in_group("gateway")[0]
        self.gateway: Any = connect(facts)
        self.url = f"http://{facts.address('servers')}:3128"
        self._seen = self._lines()

    def _lines(self) -> list[str]:
        """Return the log's lines."""
        return str(self.gateway.check_output(f"cat {ACCESS_LOG}")).splitlines()

    def asked(self) -> list[Relayed]:
        """Return what it was asked for since the last call."""
        lines = self._lines()
        fresh = lines[len(self._seen) :] if lines[: len(self._seen)] == self._seen else lines
        self._seen = lines
        return [Relayed(*line.split()[1:5]) for line in fresh]


@pytest.fixture(scope="module")
def server(demo: Demo) -> Iterator[Any]:
    """The internal server, while its own updates are at rest."""
    demo.sh(f"systemctl stop {TIMERS}; systemctl stop apt-daily.service apt-daily-upgrade.service")
    yield demo.server
    demo.sh(f"systemctl start {TIMERS}")


@pytest.fixture
def relay(demo: Demo) -> Relay:
    """The relay, from now on."""
    return Relay(demo)


def sources(demo: Demo) -> list[str]:
    """Return the hosts from which the server's packages come."""
    return [urlsplit(archive).netloc for archive in archives(demo.server)]


def own(demo: Demo) -> set[str]:
    """Return the addresses under which the relay knows the internal server."""
    return set(demo.facts.server().zones["servers"])


def test_lists_and_upgrades_come_through_the_relay(demo: Demo, server: Any, relay: Relay) -> None:
    # only what is fetched anew shows that it can be
    demo.sh("rm -rf /var/lib/apt/lists/*")
    done = server.run(f"{QUIET} apt-get update --error-on=any")
    assert done.rc == 0, done.stdout + done.stderr
    done = server.run(f"{QUIET} apt-get --yes upgrade")
    assert done.rc == 0, done.stdout + done.stderr
    fetched = [entry for entry in relay.asked() if entry.client in own(demo)]
    for source in sources(demo):
        lists = [entry for entry in fetched if entry.url.startswith(f"http://{source}/") and "Release" in entry.url]
        assert lists, f"nothing came from {source}: {fetched}"
        assert all(entry.method == "GET" and "/200" in entry.verdict for entry in lists), lists


def test_there_is_no_direct_way(demo: Demo, server: Any, relay: Relay) -> None:
    source = sources(demo)[0]
    address = relay.gateway.check_output(f"getent ahostsv4 {source}").split()[0]
    assert relay.gateway.run(f"getent hosts {demo.facts.domain}").rc == 0
    named = server.run(f"getent hosts {source}")
    assert named.rc != 0, f"the server resolves names of the Internet: {named.stdout}"
    direct = "-o Acquire::http::Proxy=false -o Acquire::http::Timeout=5 -o Acquire::Retries=0"
    done = server.run(f"{QUIET} apt-get update --error-on=any {direct} -o Dir::State::Lists=/run/lists-directly")
    server.run("rm -rf /run/lists-directly")
    assert done.rc != 0, done.stdout
    opened = server.run(f"timeout 5 bash -c 'exec 3<>/dev/tcp/{address}/80'")
    assert opened.rc != 0, f"the server reaches {address}:80 past the relay"
    assert not [entry for entry in relay.asked() if entry.client in own(demo)]


def test_the_relay_leads_nowhere_else(demo: Demo, server: Any, relay: Relay) -> None:
    world = demo.facts.in_group("outside")[0].address("outside")
    source = sources(demo)[0]
    # method, URL, and the Host line that is to mislead
    attempts = [
        ("GET", f"http://{world}/", world),
        ("GET", f"http://{world}/", source),
        ("GET", f"http://{source}@{world}/", source),
        ("GET", f"http://x.{source}/", source),
        ("GET", "http://secret.tunnel.example/", source),
        ("GET", f"http://{source}:8080/", source),
        ("POST", f"http://{source}/", source),
        ("CONNECT", f"{world}:443", source),
        ("CONNECT", f"{source}:443", source),
        ("CONNECT", f"{source}:22", source),
        ("CONNECT", f"{demo.facts.in_group('gateway')[0].address('servers')}:22", source),
    ]
    host, port = relay.url.removeprefix("http://").split(":")
    for method, url, name in attempts:
        request = f"{method} {url} HTTP/1.1\\r\\nHost: {name}\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n"
        asks = f"exec 3<>/dev/tcp/{host}/{port}; printf '{request}' >&3; head -n 1 <&3"
        said = server.run(f'timeout 10 bash -c "{asks}"')
        assert " 403 " in said.stdout, f"{method} {url}: {said.stdout or said.stderr}"
    refused = [entry for entry in relay.asked() if entry.client in own(demo)]
    assert len(refused) == len(attempts)
    assert all("DENIED" in entry.verdict for entry in refused), refused


def pending(server: Any) -> Pending:
    """Find a package with a security update that can be taken back alone.

    Raises:
        LookupError: when there is none.
    """
    found = server.run("python3 -c %s", PENDING)
    assert found.rc == 0, found.stderr
    for line in found.stdout.splitlines():
        name, old, new, state = line.split()
        said = server.run(f"apt-get --simulate --allow-downgrades --no-install-recommends install {name}={old}").stdout
        if len(re.findall(r"^Inst ", said, re.M)) == 1 and not re.search(r"^Remv ", said, re.M):
            return Pending(name, old, new, state == "installed")
    raise LookupError(f"no package of the archive has an update that concerns it alone:\n{found.stdout}")


def test_a_security_update_is_installed_by_itself(demo: Demo, server: Any, relay: Relay) -> None:
    package = pending(server)
    install = f"{QUIET} apt-get --yes --allow-downgrades --no-install-recommends install {package.name}={package.old}"
    version = f"dpkg-query -W -f '${{Version}}' {package.name}"
    try:
        done = server.run(install)
        assert done.rc == 0, done.stdout + done.stderr
        assert server.check_output(version) == package.old
        relay.asked()
        # what the timer runs
        done = server.run("unattended-upgrade --verbose")
        assert done.rc == 0, done.stdout + done.stderr
        assert server.check_output(version) == package.new, done.stdout + done.stderr
        fetched = [entry for entry in relay.asked() if entry.client in own(demo) and f"/{package.name}_" in entry.url]
        assert fetched, "the update did not come through the relay"
    finally:
        action = f"install {package.name}={package.new}" if package.installed else f"purge {package.name}"
        demo.sh(f"{QUIET} apt-get --yes {action}")
