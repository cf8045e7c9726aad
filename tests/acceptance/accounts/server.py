# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Prosody in a scratch container, with the kit's page for invitations and a log at debug level."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import DOCKER

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "roles/im_server/files/prosody-modules/mod_sallyport_invitation"
HOST = "im.test"
MODULES = "/usr/local/lib/sallyport/prosody-modules"
CONFIG = f"""
plugin_paths = {{ "{MODULES}" }}
modules_enabled = {{
    "disco", "roster", "saslauth", "tls", "admin_shell", "invites", "password_policy", "sallyport_invitation",
    "user_account_management",
}}
modules_disabled = {{ "s2s" }}
pidfile = "/run/prosody/prosody.pid"
authentication = "internal_hashed"
password_hash = "SHA-256"
password_policy = {{ length = 12 }}
invites_page = "https://{HOST}:5281/invitation?{{invite.token}}"
c2s_direct_tls_ports = {{ 5223 }}
http_ports = {{}}
certificates = "certs"
log = {{ debug = "/var/log/prosody/prosody.log" }}
VirtualHost "{HOST}"
"""
SET_UP = f"""
set -e
command -v prosody >/dev/null || {{ apt-get -qq update; printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d
  chmod 755 /usr/sbin/policy-rc.d
  DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends prosody prosody-modules openssl; }}
cd /etc/prosody/certs
for name in {HOST} https; do
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $name.key -out $name.crt -days 2 \
    -subj /CN={HOST} -addext subjectAltName=DNS:{HOST}
done
chown -R prosody /etc/prosody/certs
install -d -o prosody /run/prosody
cat >/etc/prosody/prosody.cfg.lua
"""


@dataclass(frozen=True)
class Run:
    """What a run of Ansible gave: the module's result, everything that was printed, and seconds on the wall."""

    result: dict[str, Any]
    printed: str
    seconds: float


class Server:
    """The container, and Ansible on it."""

    def __init__(self, scratch: Path) -> None:
        """Make the container; SALLYPORT_TEST_IMAGE names another image of Debian 13 than the kit's own."""
        self.name, self.scratch = os.environ.get("SALLYPORT_TEST_NAME", "sallyport-accounts"), scratch
        image = os.environ.get("SALLYPORT_TEST_IMAGE") or command([str(ROOT / "setup/image.sh")]).strip()
        command([*DOCKER, "rm", "-f", self.name], check=False)
        command([*DOCKER, "network", "rm", self.name], check=False)
        command([*DOCKER, "network", "create", "--label", "sallyport=1", self.name])
        options = ["--name", self.name, "--network", self.name, "--label", "sallyport=1"]
        command([*DOCKER, "run", "-d", *options, image, "sleep", "infinity"])
        self.shell(SET_UP, CONFIG)
        self.shell(f"mkdir -p {MODULES}")
        command([*DOCKER, "cp", str(PAGE), f"{self.name}:{MODULES}/"])
        self.start()

    def shell(self, script: str, stdin: str = "", check: bool = True) -> str:
        """Run a shell script in the container; returns what it printed."""
        return command([*DOCKER, "exec", "-i", self.name, "sh", "-c", script], stdin, check)

    def start(self) -> None:
        """Start Prosody and wait for its socket."""
        command([*DOCKER, "exec", "-d", "-u", "prosody", self.name, "prosody", "-F"])
        for _ in range(50):
            if self.shell("test -S /var/lib/prosody/prosody.sock && echo yes", check=False):
                return
            time.sleep(0.1)
        raise AssertionError(self.shell("tail -20 /var/log/prosody/prosody.log"))

    def stop(self) -> None:
        """Stop Prosody; its socket goes with it."""
        self.shell(
            "kill $(cat /run/prosody/prosody.pid); while test -S /var/lib/prosody/prosody.sock; do sleep 0.1; done"
        )

    def module(self, name: str, arguments: dict[str, Any], *options: str) -> Run:
        """Run one module of the kit by a playbook, as an operator would, with the options given."""
        out = self.scratch / "result.json"
        tasks = [
            {f"sallyport.im.{name}": {"host": HOST, **arguments}, "register": "r", "ignore_errors": True},
            {
                "ansible.builtin.copy": {"content": "{{ r | to_json }}", "dest": str(out), "mode": "0600"},
                "delegate_to": "localhost",
                "check_mode": False,
                "diff": False,
                "vars": {"ansible_connection": "local"},
            },
        ]
        book = self.scratch / "play.yml"
        book.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
        inventory = self.scratch / "hosts.yml"
        inventory.write_text(
            json.dumps({"all": {"hosts": {self.name: {"ansible_connection": "community.docker.docker"}}}})
        )
        began = time.monotonic()
        printed = command(["ansible-playbook", "-i", str(inventory), str(book), *options])
        return Run(json.loads(out.read_text()), printed, time.monotonic() - began)

    def accounts(self, names: list[str], *options: str, **arguments: Any) -> Run:
        """Run xmpp_accounts for people of these names."""
        return self.module("xmpp_accounts", {"accounts": [{"name": n} for n in names], **arguments}, *options)

    def sign_in(self, name: str, password: str, *more: str) -> str:
        """Try to sign in over direct TLS inside the container; returns the server's last words."""
        client = (Path(__file__).parent / "sign_in.py").read_text()
        return command([*DOCKER, "exec", "-i", self.name, "python3", "-", HOST, name, password, *more], client)

    def page(self, token: str, password: str) -> int:
        """Accept an invitation by the page; returns the status of HTTP."""
        script = (
            "import ssl, sys, urllib.request as u, urllib.error as e, urllib.parse as p\n"
            "c = ssl._create_unverified_context()\n"
            f"d = p.urlencode({{'token': {token!r}, 'password': {password!r}, 'again': {password!r}}}).encode()\n"
            f"r = u.Request('https://127.0.0.1:5281/invitation', d, {{'Host': '{HOST}'}})\n"
            "try: print(u.urlopen(r, context=c).status)\n"
            "except e.HTTPError as x: print(x.code)\n"
        )
        return int(command([*DOCKER, "exec", "-i", self.name, "python3", "-"], script))

    def remove(self) -> None:
        """Remove the container and its network."""
        command([*DOCKER, "rm", "-f", self.name])
        command([*DOCKER, "network", "rm", self.name])


def command(words: list[str], stdin: str = "", check: bool = True) -> str:
    """Run a command from the checkout; returns what it printed."""
    done = subprocess.run(
        words,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
    )
    if check and done.returncode:
        raise AssertionError(f"{words[:4]} exited {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr if words[0] == "ansible-playbook" else done.stdout
