# SPDX-License-Identifier: GPL-3.0-or-later
"""A log host in a scratch container: PostgreSQL, and the archive program mounted from this checkout."""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any

from engine import DOCKER

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "roles/log_host/files/archive"
LABEL = "sallyport=1"
HOSTS = "/var/log/sallyport/hosts"
LIBRARY = "/usr/local/lib/sallyport"
PACKAGES = "postgresql python3-psycopg2 openssh-client e2fsprogs"
# as the role makes them
FOLDERS = f"install -d -m 755 /var/log/sallyport; install -d -g sallyport-archive -m 2750 {HOSTS}"
AS_ARCHIVE = "setpriv --reuid=sallyport-archive --regid=sallyport-archive --init-groups"
SQL = "runuser -u postgres -- psql -XqAtd sallyport_archive -v ON_ERROR_STOP=1"
DAY = "2026-03-01"
ROOM = "hall@rooms.im.demo.example"
ALICE, BOB, CARL = (f"{name}@im.demo.example" for name in ("alice", "bob", "carl"))

# the program by another clock: seconds, and what the program is asked
CLOCK = f"""
import datetime, sys
sys.path.insert(0, "{LIBRARY}")
sys.dont_write_bytecode = True
from sallyport_archive import chain, main
def now():
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=float(sys.argv[1]))
chain.now = lambda: now().strftime("%Y-%m-%dT%H:%M:%SZ")
main._now = now
sys.exit(main.main(sys.argv[2:]))
"""


def event(sender: str | None = ALICE, receiver: str | None = BOB, day: str = DAY, **fields: Any) -> dict[str, Any]:
    """Return an event."""
    return {
        "v": 2,
        "id": str(uuid.uuid4()),
        "time": f"{day}T10:00:00.000Z",
        "server": "im.demo.example",
        "kind": "message",
        "from": sender and f"{sender}/desk",
        "to": receiver,
        "room": None,
        "type": "chat",
        "stanza_id": "a",
        "bytes": 300,
        "verdict": "allowed",
        "rule": "contact",
        "reason": "",
        **fields,
    }


def lines(*said: dict[str, Any]) -> bytes:
    """Return events as a file has them."""
    return b"".join(json.dumps(one).encode() + b"\n" for one in said)


class LogHost:
    """A container with PostgreSQL and the program."""

    def __init__(self, name: str, image: str) -> None:
        """Starts it, installs what is missing, sets the archive up."""
        self.name = name
        self.ingesting: list[subprocess.Popen[bytes]] = []
        self._docker("network", "create", "--label", LABEL, name)
        mount = f"{PROGRAM}:{LIBRARY}:ro"
        self._docker(
            "run", "-d", "--name", name, "--network", name, "--label", LABEL, "-v", mount, image, "sleep", "infinity"
        )
        self.sh(
            "apt-get update -q && DEBIAN_FRONTEND=noninteractive "
            f"apt-get install -q -y --no-install-recommends {PACKAGES}"
        )
        self.sh(
            f"mkdir -p /etc/sysusers.d /etc/sallyport; ln -s {LIBRARY}/sallyport-archive /usr/local/sbin/; "
            f"cp {LIBRARY}/sysusers.conf /etc/sysusers.d/sallyport-archive.conf; systemd-sysusers; "
            f"cd /etc/postgresql/*/main; cp {LIBRARY}/postgresql.conf conf.d/sallyport.conf; "
            f"cat {LIBRARY}/pg_hba.conf >pg_hba.conf"
        )
        self.sh("cat >/root/clock.py", CLOCK.encode())
        self.sh(FOLDERS)
        self.database("start")
        self.ask("setup")

    def _docker(self, *command: str) -> str:
        done = subprocess.run([*DOCKER, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run(
        self, *command: str, content: bytes = b"", environment: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs a program in the container."""
        options = [word for setting in environment for word in ("-e", setting)]
        return subprocess.run(
            [*DOCKER, "exec", "-i", *options, self.name, *command], input=content, capture_output=True, check=False
        )

    def sh(self, script: str, content: bytes = b"") -> str:
        """Runs a script that must end well; returns what it says."""
        done = self.run("sh", "-ec", script, content=content)
        assert done.returncode == 0, f"{script}: {done.stdout.decode()}{done.stderr.decode()}"
        return done.stdout.decode()

    def ask(self, *words: str, code: int = 0, clock: float = 0) -> str:
        """Runs the program as root for eva; returns what it says, errors included.

        Args:
            words: command and arguments.
            code: with which it must end.
            clock: seconds by which its clock is off.

        Returns:
            Its output.

        """
        program = ["python3", "/root/clock.py", str(clock)] if clock else ["sallyport-archive"]
        done = self.run(*program, *words, environment=("SUDO_USER=eva",))
        said = done.stdout.decode() + done.stderr.decode()
        assert done.returncode == code, f"{words} ended with {done.returncode}: {said}"
        return said

    def found(self, *words: str) -> list[dict[str, Any]]:
        """Searches; returns the events."""
        return [json.loads(line) for line in self.ask("search", "--json", "--limit", "0", *words).splitlines()]

    def sql(self, statement: str) -> str:
        """Asks the database."""
        return self.sh(SQL, statement.encode()).strip()

    def database(self, what: str) -> None:
        """Starts or stops PostgreSQL."""
        self.sh(f"pg_ctlcluster $(pg_lsclusters -h | cut -d' ' -f1) main {what}{' -m fast' if what == 'stop' else ''}")

    def append(self, content: bytes, day: str = DAY, stream: str = "im", host: str = "im-int") -> None:
        """Appends to a day file, as the receiver does."""
        folder = f"{HOSTS}/{host}/{day}"
        self.sh(f"umask 027; mkdir -p {folder}; cat >>{folder}/{stream}.jsonl", content)

    def ingest(self) -> subprocess.Popen[bytes]:
        """Starts the service."""
        command = [*DOCKER, "exec", self.name, *AS_ARCHIVE.split(), "sallyport-archive", "ingest"]
        started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.ingesting.append(started)
        return started

    def kill(self, signal: str = "KILL") -> str:
        """Ends the service and returns what it said."""
        self.run("pkill", f"-{signal}", "-f", "^/usr/bin/python3 -IB /usr/local/sbin/sallyport-archive ingest")
        said = [one.communicate(timeout=30)[0].decode() for one in self.ingesting]
        self.ingesting.clear()
        return "".join(said)

    def status(self) -> dict[str, Any]:
        """Returns how the archive stands."""
        said: dict[str, Any] = json.loads(self.ask("status", "--json"))
        return said

    def settle(self, seconds: float = 60) -> dict[str, Any]:
        """Waits until all is ingested; returns how it stands."""
        limit = time.monotonic() + seconds
        while (said := self.status())["behind_bytes"] != 0:
            assert time.monotonic() < limit, said
            time.sleep(0.3)
        return said

    def clean(self) -> None:
        """Makes the archive empty and new."""
        if self.ingesting:
            self.kill()
        self.sh(
            "rm -rf /var/log/sallyport /var/lib/sallyport-archive /etc/sallyport/archive.json /root/out*; "
            f"{SQL} -c 'TRUNCATE events, malformed, files'; {FOLDERS}"
        )
        self.ask("setup")

    def remove(self) -> None:
        """Removes the container."""
        self.kill()
        self._docker("rm", "-f", self.name)
        self._docker("network", "rm", self.name)


def image() -> str:
    """Returns the image of the test hosts, made when it is not there."""
    made = subprocess.run([str(ROOT / "setup" / "image.sh")], capture_output=True, text=True, check=True)
    return made.stdout.split()[-1]
