# SPDX-License-Identifier: GPL-3.0-or-later
"""A log host in a scratch container: the roles of the kit, beside a mail relay and an IM server that receive.

What is tested is what is shipped: the roles are run by Ansible, the units by systemd.
"""

from __future__ import annotations

import datetime
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.sallyport.im.plugins.plugin_utils.vault import write_vault
from engine import DOCKER
from event_lines import whole_lines

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LABEL = "sallyport=1"
PACKAGES = "chrony opensmtpd prometheus prosody prosody-modules python3-slixmpp"
LOGS = "/var/log/sallyport/hosts"
STATE = "/var/lib/sallyport-alerts"
AUTHORITY = "/usr/local/share/ca-certificates/sallyport-test.crt"
HOSTS = {"im-int": "im_internal", "gw": "gateway", "log": "log_host", "desk": "desktops"}
PEOPLE = ("alice", "bob")
MAIL_USER = "alerts-at-the-relay"

# an authority, and what it signs for the relay and the IM server
CERTIFICATES = f"""
set -e
mkdir -p /root/tls; cd /root/tls
new() {{ openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -subj "/CN=$1" -keyout $1.key "${{@:2}}"; }}
new authority -x509 -days 50 -addext keyUsage=critical,keyCertSign \
  -addext basicConstraints=critical,CA:TRUE -out {AUTHORITY}
for name in im.test.example mail.test.example; do
  new $name -out $name.csr
  printf "subjectAltName=DNS:$name,IP:127.0.0.1\nauthorityKeyIdentifier=keyid\n" >names
  openssl x509 -req -in $name.csr -CA {AUTHORITY} -CAkey authority.key -days 40 -extfile names -out $name.crt
done
mkdir -p /etc/prosody/certs /etc/smtpd
cp im.test.example.* /etc/prosody/certs; chown -R prosody /etc/prosody/certs
cp mail.test.example.* /etc/smtpd; chmod 600 /etc/smtpd/*.key
"""


class LogHost:
    """The container.

    Args:
        name: its name.
        image: of the test hosts.
        folder: for what the control node keeps.
    """

    def __init__(self, name: str, image: str, folder: Path) -> None:
        """Start it, install what a provider and the company have, and run the roles."""
        self.name = name
        self.folder = folder
        self.secrets = {key: secrets.token_urlsafe(16) for key in ("alerts_password", "alerts_mail_password")}
        self._docker("network", "create", "--label", LABEL, name)
        privileges = ["--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--cgroupns", "private"]
        privileges += ["--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"]
        places = ["--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp", "-v", f"{ROOT}:/kit:ro"]
        # by its own address it reaches the outside, for packages only
        route = self._docker("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", name).strip()
        names = Path("/etc/resolv.conf").read_text(encoding="utf-8")
        own = ["--name", name, "--label", LABEL, "--network", name, "--cpu-shares", "64", "--hostname", "log"]
        routes = ["-e", f"TEST_HOST_ROUTES=default via {route}"]
        self._docker("run", "-d", *own, *privileges, *places, *routes, image, "/usr/local/sbin/init")
        self.until(lambda: self.sh("systemctl is-system-running || true").strip() in ("running", "degraded"), 60)
        self.sh("cat >/etc/resolv.conf", names)
        # nothing starts before it is set up
        self.sh("printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d")
        self.sh(
            "apt-get update -q && "
            f"DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends {PACKAGES}"
        )
        self.sh("rm /usr/sbin/policy-rc.d")
        self.sh(CERTIFICATES, shell="bash")
        self._others()
        self._roles()
        self.sh(
            "systemd-run --unit=receiver --property=StandardOutput=file:/root/im.jsonl "
            f"python3 /kit/tests/alerts/receiver.py alice@im.test.example secret-alice {AUTHORITY} 5223"
        )

    def _others(self) -> None:
        """Set up the relay, the IM server and the people."""
        self.sh("cp /kit/tests/alerts/prosody.cfg.lua /etc/prosody/; cp /kit/tests/alerts/smtpd.conf /etc/smtpd.conf")
        relay = self.sh("smtpctl encrypt", self.secrets["alerts_mail_password"]).strip()
        self.sh(
            "cat >/etc/smtpd/users; chown opensmtpd /etc/smtpd/users; chmod 600 /etc/smtpd/users",
            f"{MAIL_USER} {relay}\n",
        )
        # a container cannot set its clock, which Debian's unit wants to
        self.sh("mkdir -p /etc/systemd/system/chrony.service.d")
        self.sh("printf '[Unit]\\nConditionCapability=\\n' >/etc/systemd/system/chrony.service.d/test.conf")
        self.sh("sed -i 's/^DAEMON_OPTS.*/DAEMON_OPTS=\"-x\"/' /etc/default/chrony")
        self.sh("printf 'local stratum 5\\ncmdport 0\\n' >/etc/chrony/chrony.conf")
        self.sh("systemctl daemon-reload; systemctl restart opensmtpd prosody chrony ssh")
        for person in PEOPLE:
            self.sh(f"prosodyctl adduser {person}@im.test.example", f"secret-{person}\nsecret-{person}\n")
        account = self.secrets["alerts_password"]
        self.sh("prosodyctl adduser alerts@im.test.example", f"{account}\n{account}\n")
        # as the role log_host makes it
        self.sh("groupadd --system sallyport-archive")
        self.sh(f"install -d -g sallyport-archive -m 2750 {LOGS} {LOGS}/im-int {LOGS}/gw")

    def _roles(self) -> None:
        """Run the roles, as a site's run does."""
        inventory = self.folder / "site"
        inventory.mkdir()
        key = inventory / ".vault-password"
        key.touch(mode=0o600)
        key.write_text("only for tests")
        write_vault(inventory, self.secrets, passwords=[b"only for tests"])
        (inventory / "hosts.yml").write_text(json.dumps({"all": {"hosts": {"log": self._connection()}}}))
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(inventory), str(HERE / "play.yml")]
        for _ in range(2):
            done = subprocess.run(
                [*command, "--diff"], capture_output=True, text=True, check=False, env=self._environment()
            )
            assert done.returncode == 0, done.stdout + done.stderr
        assert "changed=0" in done.stdout, f"a second run changes something:\n{done.stdout}"
        assert not any(value in done.stdout for value in self.secrets.values()), "a secret is shown"

    def _connection(self) -> dict[str, Any]:
        return {
            "ansible_connection": "community.docker.docker",
            "ansible_host": self.name,
            "ansible_python_interpreter": "/usr/bin/python3",
            # more than the tests raise; the bound has tests of its own
            "alerts_messages_an_hour": 500,
            "sallyport_host": {"site": "test", "role": "log_host", **self.settings()},
        }

    def _environment(self) -> dict[str, str]:
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
        if DOCKER[0] != "docker":
            # Ansible's connection calls `docker`
            wrapper = self.folder / "bin" / "docker"
            wrapper.parent.mkdir(exist_ok=True)
            wrapper.write_text(f'#!/bin/sh\nexec {" ".join(DOCKER)} "$@"\n')
            wrapper.chmod(0o755)
            environment["PATH"] = f"{wrapper.parent}:{environment['PATH']}"
        return environment

    def settings(self) -> dict[str, Any]:
        """Return what `load_site` would say of this host."""
        authority = self.sh(f"cat {AUTHORITY}")
        return {
            "alerts": {
                "site": "test",
                "host": "log",
                "hosts": HOSTS,
                "certificate_days": 14,
                "messages_days": 365,
                "prometheus_port": 9090,
                "mail": {
                    "relay": "127.0.0.1",
                    "port": 587,
                    "direct": False,
                    "authority": authority,
                    "from": "alerts@test.example",
                    "to": ["it@test.example"],
                    "user": MAIL_USER,
                },
                "im": {
                    "address": "127.0.0.1",
                    "port": 5223,
                    "domain": "im.test.example",
                    "account": "alerts",
                    "people": ["alice"],
                },
                "mail_secret": "alerts_mail_password",
                "im_secret": "alerts_password",
            },
            "metrics": {
                "port": 9090,
                "targets": [{"host": "im-int", "address": "127.0.0.1", "port": 5281, "name": "im.test.example"}],
            },
            "health": {
                "host": "log",
                "units": ["ssh.service", "chrony.service", "sallyport-alerts.service", "prometheus.service"],
                "certificates": [AUTHORITY],
                "queue": "/var/lib/sallyport-logs",
                "events": "",
                "scanner": False,
                "holds": False,
            },
        }

    def _docker(self, *words: str, text: str | None = None) -> str:
        done = subprocess.run([*DOCKER, *words], input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def sh(self, script: str, text: str | None = None, shell: str = "sh") -> str:
        """Run a script in the container; returns what it prints, fails when it fails."""
        return self._docker("exec", "-i", self.name, shell, "-c", script, text=text)

    @staticmethod
    def until(true: Callable[[], Any], seconds: float) -> Any:
        """Wait until something holds; returns it, or the last answer."""
        end = time.monotonic() + seconds
        while not (found := true()) and time.monotonic() < end:
            time.sleep(1)
        return found

    def mails(self) -> list[str]:
        """Return the mails that came, whole."""
        return self.sh("cat /dev/null /home/ops/Maildir/new/* 2>/dev/null || true").split("Return-Path:")[1:]

    def messages(self) -> list[dict[str, str]]:
        """Return the IM messages that came."""
        # a library says something of its own first
        lines = whole_lines(self.sh("cat /root/im.jsonl"))
        return [json.loads(line) for line in lines if line.startswith("{")]

    def arrives(self, words: str, *, by: str, seconds: float = 40) -> str:
        """Wait for an alert that holds the words; returns it, empty when it does not come.

        Args:
            words: as the title of a kind.
            by: `mail` or `im`.
            seconds: how long.
        """

        def look() -> str:
            texts = self.mails() if by == "mail" else [one["body"] for one in self.messages()]
            # a long line of a mail is broken
            return next((text for text in reversed(texts) if words in text.replace("=\n", "").replace("\n ", " ")), "")

        found: str = self.until(look, seconds)
        return found

    @staticmethod
    def place(host: str) -> str:
        """Return the folder of what a host sends today."""
        return f"{LOGS}/{host}/{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"

    def line(self, host: str, stream: str, *records: dict[str, Any]) -> None:
        """Add lines to what a host has sent."""
        place = self.place(host)
        text = "".join(f"{json.dumps(record)}\n" for record in records)
        self.sh(f"mkdir -p {place}; cat >>{place}/{stream}.jsonl", text)

    def mails_of(self, who: str) -> list[str]:
        """Return the mails that name somebody."""
        return [mail for mail in self.mails() if who in mail]

    def incident(self, who: str) -> dict[str, Any]:
        """Return the open incident of somebody, as the service has it."""
        state = json.loads(self.sh(f"cat {STATE}/state.json"))
        (found,) = [one for one in state["incidents"]["open"].values() if one["who"] == who]
        incident: dict[str, Any] = found
        return incident

    def settles(self, kind: str, seconds: float = 40) -> None:
        """Wait until an incident of a kind is well, and let it have been so for long."""

        def well() -> bool:
            found = json.loads(self.sh(f"cat {STATE}/state.json"))["incidents"]["open"].values()
            return any(one["over"] for one in found if one["kind"] == kind)

        assert self.until(well, seconds), f"{kind} is not well"
        self.sh("systemctl stop sallyport-alerts")
        state = json.loads(self.sh(f"cat {STATE}/state.json"))
        for one in state["incidents"]["open"].values():
            one["over"] = min(one["over"], 1.0)
        self.sh(f"cat >{STATE}/state.json", json.dumps(state))
        self.sh("systemctl start sallyport-alerts")

    def remove(self) -> None:
        """Remove all of it."""
        self._docker("rm", "-f", "-v", self.name)
        self._docker("network", "rm", self.name)
