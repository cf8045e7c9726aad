# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Prosody in a scratch container, for the tests of the decision point.

The image is that of the test hosts; Prosody is installed into the container. The modules are mounted from this
checkout, so that what is tested is what is shipped.
"""

from __future__ import annotations

import copy
import hashlib
import json
import subprocess
import time
from pathlib import Path
from typing import Any

from decision_point.client import DOMAIN, FILES, ROOMS, Client

HERE = Path(__file__).parent
MODULES = HERE.parents[1] / "roles/im_server/files/prosody-modules"
POLICY_PATH = "/etc/sallyport/policy.json"
EVENTS_PATH = "/var/log/prosody/im-events.jsonl"
LABEL = "sallyport=1"

Policy = dict[str, Any]


def person(name: str, *groups: str, first: str | None = None, last: str | None = None) -> dict[str, Any]:
    """Returns a person of the policy; dates are YYYY-MM-DD."""
    return {"name": name, "groups": list(groups), "from": first, "until": last}


# alice, bob: staff. carl: board, which staff does not see. dora: expired. erik: both groups of the shared room.
POLICY: Policy = {
    "format": 1,
    "kit": "0.1.0",
    "site": "test",
    "domain": DOMAIN,
    "rooms_domain": ROOMS,
    "files_domain": FILES,
    "people": {
        "alice": person("Alice Ek", "staff"),
        "bob": person("Bob Lind", "staff"),
        "carl": person("Carl Ny", "board"),
        "dora": person("Dora Old", "staff", last="2020-01-31"),
        "erik": person("Erik Ö", "staff"),
        "fred": person("Fred Later", "staff", first="2999-01-01"),
    },
    "groups": {"staff": {"title": "Staff", "sees": ["staff"]}, "board": {"title": "The Board", "sees": ["board"]}},
    "rooms": {
        "staff": {"title": "Staff", "groups": ["staff"]},
        "board": {"title": "The Board", "groups": ["board"]},
        "hall": {"title": "Hall", "groups": ["staff", "board"]},
    },
    "calls": "refuse",
}
# ghost is an account that somebody made by hand: it is in no site file.
ACCOUNTS = ("alice", "bob", "carl", "dora", "erik", "fred", "ghost")


def run(*command: str, text: str | None = None) -> str:
    """Runs a command; returns its output; raises CalledProcessError with both outputs shown."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{command} exited {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


class Server:
    """Prosody in a container: its policy, its events, its clients."""

    def __init__(self, name: str, image: str) -> None:
        """Starts the container, installs Prosody when needed, makes the accounts."""
        self.name = name
        self.policy = copy.deepcopy(POLICY)
        self.offset = 0
        self.clients: list[Client] = []
        # A network of its own: nothing else on this machine depends on it, and it depends on nothing else.
        run("docker", "network", "create", "--label", LABEL, name)
        run(
            "docker",
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
            image,
            "sleep",
            "infinity",
        )
        shown = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        self.address = run("docker", "inspect", "-f", shown, name).strip()
        self.sh(
            "command -v prosody || { apt-get update -q && DEBIAN_FRONTEND=noninteractive "
            "apt-get install -q -y --no-install-recommends prosody; }"
        )
        self.sh(
            "mkdir -p /etc/sallyport /run/prosody && chown prosody /run/prosody && cat > /etc/prosody/prosody.cfg.lua",
            (HERE / "prosody.cfg.lua").read_text(encoding="utf-8"),
        )
        self.put(json.dumps(self.policy))
        self.start()
        self.accounts({name: f"pw-{name}" for name in ACCOUNTS})

    def sh(self, script: str, text: str | None = None) -> str:
        """Runs a shell script in the container, with input; returns its output."""
        return run("docker", "exec", "-i", self.name, "sh", "-ec", script, text=text)

    def shell(self, code: str) -> str:
        """Evaluates one line in Prosody's own shell (a scratch server: no secret is at stake)."""
        return self.sh("prosodyctl shell", code + "\nbye\n")

    def accounts(self, passwords: dict[str, str]) -> None:
        """Makes accounts, or sets their passwords."""
        lines = "".join(
            f"if not um.user_exists('{n}', d) then assert(um.create_user('{n}', '{p}', d)) "
            f"else assert(um.set_password('{n}', '{p}', d)) end "
            for n, p in passwords.items()
        )
        out = self.shell(f">local um, d = require'prosody.core.usermanager', '{DOMAIN}' {lines} return 'made'")
        assert "made" in out, out

    def start(self) -> None:
        """Starts Prosody and waits until it listens."""
        self.sh("setpriv --reuid=prosody --regid=prosody --init-groups prosody -D")
        self.wait("ss -ltn 2>/dev/null | grep -q :5222 || grep -q ':1466 ' /proc/net/tcp /proc/net/tcp6")
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
            done = subprocess.run(["docker", "exec", self.name, "sh", "-c", script], capture_output=True, check=False)
            if done.returncode == 0:
                return
            assert time.monotonic() < limit, f"{script}: not within {seconds} s; {self.log_tail()}"
            time.sleep(0.1)

    def log_tail(self, lines: int = 40) -> str:
        """Returns the end of Prosody's log."""
        return self.sh(f"tail -n {lines} /var/log/prosody/prosody.log")

    def put(self, text: str) -> None:
        """Writes the policy file as it is."""
        self.sh(f"cat > {POLICY_PATH}.new && mv {POLICY_PATH}.new {POLICY_PATH}", text)

    def status(self) -> dict[str, Any]:
        """Returns what the decision point says of itself."""
        out = self.sh(f"prosodyctl shell sallyport status {DOMAIN}")
        found: dict[str, Any] = json.loads(out[out.index("{") : out.rindex("}") + 1])
        return found

    def load(self, policy: Policy) -> None:
        """Puts a policy in force, and waits until everybody has been told."""
        text = json.dumps(policy)
        self.put(text)
        self.sh(f"prosodyctl shell sallyport reload {DOMAIN}")
        digest = hashlib.sha256(text.encode()).hexdigest()
        limit = time.monotonic() + 20
        while True:
            status = self.status()
            assert status["sha256"] == digest, status
            if status["pending"] == 0:
                return
            assert time.monotonic() < limit, status
            time.sleep(0.1)

    def change(self, **sections: Any) -> None:
        """Puts the usual policy with some sections replaced in force."""
        self.load({**copy.deepcopy(POLICY), **sections})

    def client(self, name: str, available: bool = True, **options: str) -> Client:
        """Returns a signed-in client that `end` closes."""
        client = Client(self.address, name, **options)
        self.clients.append(client)
        return client.sign_in(available)

    def mark(self) -> None:
        """Forgets the events so far."""
        self.offset = int(self.sh(f"stat -c %s {EVENTS_PATH} 2>/dev/null || echo 0"))

    def events(self, **wanted: str | None) -> list[dict[str, Any]]:
        """Returns the events since `mark` that have these fields."""
        text = self.sh(f"tail -c +{self.offset + 1} {EVENTS_PATH} 2>/dev/null || true")
        found = [json.loads(line) for line in text.splitlines()]
        fields = {key.rstrip("_"): value for key, value in wanted.items()}
        return [event for event in found if all(event.get(k) == v for k, v in fields.items())]

    def end(self) -> None:
        """Closes the clients of one test."""
        for client in self.clients:
            client.close()
        self.clients.clear()

    def remove(self) -> None:
        """Removes the container."""
        self.end()
        run("docker", "rm", "-f", self.name)
        run("docker", "network", "rm", self.name)


def image() -> str:
    """Returns the image of the test hosts, made when it is not there."""
    return run(str(HERE.parents[1] / "setup" / "image.sh")).split()[-1]
