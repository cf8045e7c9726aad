# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kit costs a message: 250 people on the demo's internal server, with the kit's modules and without any.

Both times it is the same Prosody on the same host with the same archive, accounts and TLS. Without the kit nobody
decides, records or ships anything. The server's host has a core of its own, as elsewhere it is a machine of its own;
who loads it and the log host, which takes its events, share another.
"""

from __future__ import annotations

import contextlib
import secrets
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
from acceptance.demo_site import Demo, changed_copy
from engine import DOCKER
from probe.remote import Probe

from bench.hosts import play
from bench.plain import feed, plain

PEOPLE = 250
# in groups, as in a company: all in one would show each of them the presence of all others
GROUP = 10
PACE = 125.0  # messages a second: each writes one every two seconds
SECONDS = 20.0
ROUNDS = 3
SERVERS = "all:!desk:!world"
SERVER_CORE, OTHER_CORE = "0", "1"
LABEL = "sallyport=1"


def crowd(text: str) -> str:
    """Add the people of the measurement, and their groups, to the demo's site file."""
    groups = "".join(f"    load{number}: {{title: Load {number}}}\n" for number in range(PEOPLE // GROUP))
    people = "".join(
        f"    - {{id: load{number}, name: Load {number}, groups: [load{number // GROUP}]}}\n"
        for number in range(PEOPLE)
    )
    text = text.replace("  groups:\n", f"  groups:\n{groups}", 1)
    return text.replace("  people:\n", f"  people:\n{people}", 1)


def set_passwords(demo: Demo) -> dict[str, str]:
    """Give the people of the measurement passwords, by the server's own shell; returns them by name.

    A new account waits for its invitation, disabled; without one it stays so.
    """
    found = {f"load{number}": secrets.token_hex(12) for number in range(PEOPLE)}
    names, lines, means = list(found), [], f"local um, d = require'prosody.core.usermanager', '{demo.facts.domain}'"
    # a line of the shell travels in a stanza, which has a bound
    for first in range(0, PEOPLE, GROUP):
        calls = (
            f"assert(um.set_password('{n}', '{found[n]}', d)) assert(um.enable_user('{n}', d))"
            for n in names[first:][:GROUP]
        )
        lines.append(f">{means} {' '.join(calls)} return 'all set'\n")
    said = feed(demo, "prosodyctl shell", "".join(lines) + "bye\n")
    if said.count("all set") != len(lines):
        raise RuntimeError(f"the passwords were not set: {said[-500:]}")
    return found


@contextlib.contextmanager
def core_of_its_own(host: str) -> Iterator[None]:
    """Let nothing but a test host's programs run on one core, and give the log host what the load leaves of another."""
    engine = docker.from_env()
    every = f"0-{engine.info()['NCPU'] - 1}"
    hosts = engine.containers.list(filters={"label": LABEL})
    try:
        for one in hosts:
            own = one.name == f"sallyport-{host}"
            # the log host keeps what it gets, and puts it into its archive when there is time
            one.update(cpuset_cpus=SERVER_CORE if own else OTHER_CORE, cpu_shares=1024 if own else 16)
        yield
    finally:
        for one in hosts:
            one.update(cpuset_cpus=every, cpu_shares=1024)
        engine.close()


def measure(demo: Demo, passwords: dict[str, str], host: str = "im-int") -> dict[str, float]:
    """Load the running server from its own address, where no firewall counts connections, by another core."""
    facts = demo.facts
    # what they wrote in an earlier round would be read again at their first message
    demo.sh("rm -rf /var/lib/prosody/*/archive/load[0-9]*")
    engine = docker.from_env()
    server = engine.containers.get(f"sallyport-{host}")
    words = ["run", "--rm", "--interactive", "--label", LABEL, "--network", f"container:{server.name}"]
    words += ["--cpuset-cpus", OTHER_CORE, "--entrypoint", "", server.attrs["Config"]["Image"], "sh", "-c"]
    engine.close()
    with core_of_its_own(host), contextlib.closing(Probe([*DOCKER, *words], "load")) as load:
        found: dict[str, float] = load.do(
            "load",
            patience=180 + 2 * SECONDS,
            host=facts.service(),
            port=5223,
            domain=facts.domain,
            people=passwords,
            ca_pem=facts.ca_pem(),
            pace=PACE,
            seconds=SECONDS,
        )
        return found


def rows() -> Iterator[str]:
    """Measure; the site's people and the server's configuration are put back.

    Yields:
        Lines for the page of figures.
    """
    demo = Demo()
    with tempfile.TemporaryDirectory() as folder:
        play("people.yml", "im-int", limit=SERVERS, inventory=changed_copy(Path(folder), crowd))
    found: dict[str, list[dict[str, float]]] = {
        "Prosody as it comes": [],
        "the same, with the kit's gc": [],
        "the kit": [],
    }
    alone, tuned, kit = found.values()
    try:
        passwords = set_passwords(demo)
        for _ in range(ROUNDS):
            for runs, as_it_comes in ((alone, True), (tuned, False)):
                with plain(demo, as_it_comes=as_it_comes):
                    runs.append(measure(demo, passwords))
            kit.append(measure(demo, passwords))
    finally:
        play("people.yml", "im-int", limit=SERVERS)
    first = statistics.median(run["rate"] for run in alone)
    for name, runs in found.items():
        rate, late = (statistics.median(run[key] for run in runs) for key in ("rate", "p95"))
        lost = sum(run["lost"] for run in runs)
        yield (
            f"{name:32}{rate:8.0f}{rate / first:8.2f}  "
            f"95 % of {PACE:.0f} a second within {late * 1000:.1f} ms; {lost:.0f} lost"
        )
