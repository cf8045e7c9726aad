# SPDX-License-Identifier: GPL-3.0-or-later
"""How the server is told of the legal holds: by Ansible itself, with the tasks of playbooks/holds.yml."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from unit.sites import ROOT

NONE: list[Any] = []
ONE = [{"hold": "hold-2", "people": ["alice@im.demo.example"], "rooms": [], "from": None, "until": None}]
HOSTS = ("log_host:\n  hosts:\n    log:\n", "im_internal:\n  hosts:\n    im-int:\n")


def text(chain: str, number: int, holds: list[Any]) -> str:
    return json.dumps({"format": 1, "chain": chain, "number": number, "holds": holds})


class Place:
    """The two hosts as files of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.server, self.archive = folder, folder / "holds.json", folder / "archive"
        (play,) = yaml.safe_load((ROOT / "playbooks/holds.yml").read_text())
        play.update(become=False, connection="local")
        loaded, asked, *_, written = play["tasks"]
        del loaded["sallyport.im.load_site"]
        loaded["ansible.builtin.set_fact"] = {
            "sallyport_host": "{{ {'log_host': {}} if inventory_hostname == 'log' else {'im': {}} }}"
        }
        asked["ansible.builtin.command"]["argv"] = ["cat", str(self.archive)]
        (service,) = written["block"][-1].pop("sallyport.im.service_config")["services"]
        (file,) = service["secret_files"]
        written["block"][-1]["ansible.builtin.copy"] = {"dest": file["path"], "content": file["content"]}
        here = json.dumps([play]).replace("/etc/sallyport/holds.json", str(self.server))
        (folder / "play.yml").write_text(here)

    def run(self, *options: str, hosts: tuple[str, ...] = HOSTS) -> subprocess.CompletedProcess[str]:
        """Run the play, and see that it shows nobody who is held."""
        (self.folder / "hosts.yml").write_text("".join(hosts))
        command = [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-vvv",
            "-i",
            str(self.folder / "hosts.yml"),
        ]
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_STDOUT_CALLBACK": "default",
        }
        done = subprocess.run(
            [*command, str(self.folder / "play.yml"), *options],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        before_it_is_written = done.stdout.partition("TASK [Write them]")[0]
        assert "alice" not in before_it_is_written
        return done


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_log_host_that_was_set_up_anew_wipes_nothing(place: Place) -> None:
    place.archive.write_text(text("aa", 2, ONE))
    assert place.run().returncode == 0
    known = place.server.read_text()
    assert json.loads(known)["holds"] == ONE
    # nothing changes without a change
    done = place.run()
    assert (done.returncode, done.stdout.count("changed=0")) == (0, 2)
    for other in (text("bb", 4, NONE), text("aa", 1, NONE)):
        place.archive.write_text(other)
        done = place.run()
        assert done.returncode != 0
        assert "holds_new_chain=true" in done.stdout
        assert place.server.read_text() == known
    assert place.run("-e", "holds_new_chain=true").returncode == 0
    assert json.loads(place.server.read_text())["holds"] == NONE


def test_who_asks_no_archive_changes_nothing(place: Place) -> None:
    assert place.run(hosts=HOSTS[1:]).returncode == 0
    assert json.loads(place.server.read_text()) == {"format": 1, "holds": []}
    # of a site that gets a log host
    place.archive.write_text(text("aa", 2, ONE))
    assert place.run().returncode == 0
    known = place.server.read_text()
    for options, hosts in ((("--limit", "im-int"), HOSTS), ((), HOSTS[1:])):
        done = place.run(*options, hosts=hosts)
        assert (done.returncode, place.server.read_text()) == (0, known), done.stdout
    place.archive.unlink()
    done = place.run()
    assert (done.returncode != 0, place.server.read_text()) == (True, known)
    assert "No such file" in done.stdout
    assert place.run("--check").returncode == 0


def test_a_file_that_nobody_understands_is_not_replaced(place: Place) -> None:
    place.archive.write_text(text("aa", 2, ONE))
    place.server.write_text("{")
    assert "cannot be understood" in place.run().stdout
    assert place.server.read_text() == "{"
