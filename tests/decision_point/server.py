# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Prosody in a scratch container, for the tests of the decision point.

The image is that of the test hosts; Prosody is installed into the container. The modules are mounted from this
checkout, so that what is tested is what is shipped.
"""

from __future__ import annotations

import copy
import datetime
import hashlib
import json
import subprocess
import time
from pathlib import Path
from typing import Any

from engine import DOCKER
from event_lines import whole_lines

from decision_point.client import DOMAIN, FILES, ROOMS, Client, Stream

HERE = Path(__file__).parent
MODULES = HERE.parents[1] / "roles/im_server/files/prosody-modules"
POLICY_PATH = "/etc/sallyport/policy.json"
EVENTS_PATH = "/var/log/prosody/im-events.jsonl"
LABEL = "sallyport=1"
END = "-- end of the answer --"

Policy = dict[str, Any]


def person(name: str, *groups: str, first: str | None = None, last: str | None = None) -> dict[str, Any]:
    """Returns a person of the policy; first and last are instants, YYYY-MM-DDTHH:MM:SSZ."""
    return {"name": name, "groups": list(groups), "from": first, "until": last}


# alice, bob: staff. carl: board, which staff does not see. dora: expired. erik: both groups of the shared room.
POLICY: Policy = {
    "format": 3,
    "kit": "0.1.0",
    "site": "test",
    "profile": "internal",
    "domain": DOMAIN,
    "rooms_domain": ROOMS,
    "files_domain": FILES,
    "people": {
        "alice": person("Alice Ek", "staff"),
        "bob": person("Bob Lind", "staff"),
        "carl": person("Carl Ny", "board"),
        "dora": person("Dora Old", "staff", last="2020-02-01T00:00:00Z"),
        "erik": person("Erik Ö", "staff"),
        "fred": person("Fred Later", "staff", first="2999-01-01T00:00:00Z"),
    },
    "groups": {"staff": {"title": "Staff", "sees": ["staff"]}, "board": {"title": "The Board", "sees": ["board"]}},
    "rooms": {
        "staff": {"title": "Staff", "groups": ["staff"]},
        "board": {"title": "The Board", "groups": ["board"]},
        "hall": {"title": "Hall", "groups": ["staff", "board"]},
    },
    "calls": "refuse",
    "partners": {},
    "partner_links": "refuse",
    "rates": {"messages_per_minute": 60, "burst": 30},
    "body": "full",
    "end_to_end_encryption": "forbid",
    "notice": "",
    "rules": [],
    "lists": {},
    "names": ["test.example"],
    "zone": [["1970-01-01T00:00:00Z", 60]],
}


def instant(seconds: float) -> str:
    """Returns the instant so many seconds from now."""
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


# ghost is an account that somebody made by hand: it is in no site file.
ACCOUNTS = ("alice", "bob", "carl", "dora", "erik", "fred", "ghost")


def run(*command: str, text: str | None = None) -> str:
    """Runs a command; returns its output; raises CalledProcessError with both outputs shown."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{command} exited {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def _status(output: str) -> dict[str, Any]:
    """Returns the JSON object in what the shell printed."""
    found: dict[str, Any] = json.loads(output[output.index("{") : output.rindex("}") + 1])
    return found


def _is_usual(event: dict[str, Any]) -> bool:
    """Tells whether an event is of what each client does before and after what a test is about."""
    moves = event.get("content") in (["join"], ["leave"])
    return event["verdict"] == "allowed" and (event["rule"] == "signed-in" or event["kind"] == "iq" or moves)


class Server:
    """Prosody in a container: its policy, its events, its clients."""

    domain = DOMAIN
    usual = POLICY
    people: tuple[str, ...] = ACCOUNTS
    packages = "lua-luaossl prosody prosody-modules"

    def __init__(self, name: str, image: str) -> None:
        """Starts the container, installs Prosody when needed, makes the accounts."""
        self.name = name
        self.policy = copy.deepcopy(self.usual)
        self.offset = 0
        self.reader: subprocess.Popen[str] | None = None
        self.in_force = ""  # sha256 of the policy that is known to be in force and untouched
        self.clients: list[Stream] = []
        # A network of its own: nothing else on this machine depends on it, and it depends on nothing else.
        run(*DOCKER, "network", "create", "--label", LABEL, name)
        run(
            *DOCKER,
            "run",
            "-d",
            "--name",
            name,
            "--network",
            name,
            "--label",
            LABEL,
            "-v",
            f"{MODULES}:/usr/local/lib/sallyport/prosody-modules:ro",
            # a small disk for the logs: a test fills it
            "--tmpfs",
            "/var/log/prosody:size=64m,mode=0755",
            image,
            "sleep",
            "infinity",
        )
        shown = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        self.address = run(*DOCKER, "inspect", "-f", shown, name).strip()
        self.sh(
            "command -v prosody || { apt-get update -q && DEBIAN_FRONTEND=noninteractive "
            f"apt-get install -q -y --no-install-recommends {self.packages}; }}"
        )
        self.sh("mkdir -p /etc/sallyport /run/prosody && chown prosody /run/prosody")
        self.sh(f"chown prosody:adm /var/log/prosody; install -o prosody -g adm -m 0640 /dev/null {EVENTS_PATH}")
        self.prepare()
        self.sh("cat > /etc/prosody/prosody.cfg.lua", self.config())
        self.put(json.dumps(self.policy))
        self.start()
        self.accounts({name: f"pw-{name}" for name in self.people})

    def prepare(self) -> None:
        """Does what comes before the first start."""

    def config(self) -> str:
        """Returns Prosody's configuration."""
        return (HERE / "prosody.cfg.lua").read_text(encoding="utf-8")

    def sh(self, script: str, text: str | None = None) -> str:
        """Runs a shell script in the container, with input; returns its output."""
        return run(*DOCKER, "exec", "-i", self.name, "sh", "-ec", script, text=text)

    def ask(self, question: str) -> str:
        """Runs a short script that reads nothing, in a shell that stays open: a fraction of what `sh` costs."""
        if self.reader is None:
            self.reader = subprocess.Popen(
                [*DOCKER, "exec", "-i", self.name, "sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        assert self.reader.stdin
        assert self.reader.stdout
        self.reader.stdin.write(f"( {question} ) </dev/null; echo; echo {END}\n")
        self.reader.stdin.flush()
        lines: list[str] = []
        while not lines or lines[-1] != END:
            line = self.reader.stdout.readline()
            assert line, f"the shell in {self.name} ended"
            lines.append(line.rstrip("\n"))
        return "\n".join(lines[:-1])

    def shell(self, code: str) -> str:
        """Evaluates one line in Prosody's own shell (a scratch server: no secret is at stake)."""
        self.in_force = ""
        return self.sh("prosodyctl shell", code + "\nbye\n")

    def accounts(self, passwords: dict[str, str]) -> None:
        """Makes accounts, or sets their passwords."""
        lines = "".join(
            f"if not um.user_exists('{n}', d) then assert(um.create_user('{n}', '{p}', d)) "
            f"else assert(um.set_password('{n}', '{p}', d)) end "
            for n, p in passwords.items()
        )
        out = self.shell(f">local um, d = require'prosody.core.usermanager', '{self.domain}' {lines} return 'made'")
        assert "made" in out, out

    def start(self) -> None:
        """Starts Prosody and waits until it listens."""
        self.in_force = ""
        self.sh("setpriv --reuid=prosody --regid=prosody --init-groups prosody -D")
        # 5222 in hexadecimal, state 0A: a connection that is over but still listed is no listener
        self.wait("grep -Eq ':1466 0+:0000 0A' /proc/net/tcp /proc/net/tcp6")
        self.wait("test -S /var/lib/prosody/prosody.sock")

    def stop(self) -> None:
        """Stops Prosody and waits until it is gone."""
        self.sh("test ! -f /run/prosody/prosody.pid || kill $(cat /run/prosody/prosody.pid)")
        self.wait("test ! -f /run/prosody/prosody.pid")

    def restart(self) -> None:
        """Stops and starts."""
        self.stop()
        self.start()

    def wait(self, script: str, seconds: float = 15.0) -> None:
        """Waits until a script in the container succeeds."""
        limit = time.monotonic() + seconds
        while True:
            done = subprocess.run([*DOCKER, "exec", self.name, "sh", "-c", script], capture_output=True, check=False)
            if done.returncode == 0:
                return
            assert time.monotonic() < limit, f"{script}: not within {seconds} s; {self.log_tail()}"
            time.sleep(0.1)

    def log_tail(self, lines: int = 40) -> str:
        """Returns the end of Prosody's log."""
        return self.sh(f"tail -n {lines} /var/log/prosody/prosody.log")

    def put(self, text: str) -> None:
        """Writes the policy file as it is."""
        self.in_force = ""
        self.sh(f"cat > {POLICY_PATH}.new && mv {POLICY_PATH}.new {POLICY_PATH}", text)

    def status(self) -> dict[str, Any]:
        """Returns what the decision point says of itself."""
        return _status(self.sh(f"prosodyctl shell sallyport status {self.domain}"))

    def load(self, policy: Policy) -> int:
        """Puts a policy in force and waits until everybody has been told; returns the size of the event file then.

        One call of docker, unless somebody is still to be told: most tests spend most of their time here.
        """
        text = json.dumps(policy)
        digest = hashlib.sha256(text.encode()).hexdigest()
        size = f"echo; echo size $(stat -c %s {EVENTS_PATH})"
        if self.in_force == digest:
            out = self.ask(f"sha256sum {POLICY_PATH}; {size}")
            if digest in out:
                return int(out.rsplit("size ", 1)[1])
        out = self.sh(
            f"cat > {POLICY_PATH}.new; mv {POLICY_PATH}.new {POLICY_PATH}; "
            f"prosodyctl shell sallyport reload {self.domain}; {size}",
            text,
        )
        status = _status(out)
        limit = time.monotonic() + 20
        while True:
            assert status["sha256"] == digest, status
            if status["pending"] == 0:
                self.in_force = digest
                return int(out.rsplit("size ", 1)[1])
            assert time.monotonic() < limit, status
            time.sleep(0.1)
            status = self.status()

    def change(self, **sections: Any) -> int:
        """Puts the usual policy with some sections replaced in force; returns what `load` does."""
        return self.load({**copy.deepcopy(self.usual), **sections})

    def client(self, name: str, available: bool = True, **options: Any) -> Client:
        """Returns a signed-in client that `end` closes."""
        client = Client(self.address, name, **{"domain": self.domain, **options})
        self.clients.append(client)
        return client.sign_in(available)

    def mark(self) -> None:
        """Forgets the events so far."""
        self.offset = int(self.ask(f"stat -c %s {EVENTS_PATH} || echo 0"))

    def events(self, **wanted: str | None) -> list[dict[str, Any]]:
        """Returns the events since `mark` that have these fields.

        Unless a kind or the server is named, those are left out that come by signing in, searching archives, and
        entering and leaving rooms.
        """
        read = self.ask(f"tail -c +{max(self.offset, 1)} {EVENTS_PATH}")
        found = [json.loads(line) for line in whole_lines(read, cut=self.offset > 0)]
        fields = {key.rstrip("_"): value for key, value in wanted.items()}
        if not fields.keys() & {"kind", "server"}:
            found = [event for event in found if not _is_usual(event)]
        return [event for event in found if all(event.get(k) == v for k, v in fields.items())]

    def end(self) -> None:
        """Closes the clients of one test."""
        for client in self.clients:
            client.close()
        self.clients.clear()

    def remove(self) -> None:
        """Removes the container."""
        self.end()
        if self.reader:
            self.reader.kill()
            self.reader.wait()
        run(*DOCKER, "rm", "-f", self.name)
        run(*DOCKER, "network", "rm", self.name)


def image() -> str:
    """Returns the image of the test hosts, made when it is not there."""
    return run(str(HERE.parents[1] / "setup" / "image.sh")).split()[-1]
