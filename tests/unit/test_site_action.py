# SPDX-License-Identifier: GPL-3.0-or-later
"""The action `load_site`, run by Ansible itself over several hosts, none of which exists."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from unit.sites import BASE_HOSTS, BASE_SITE, BASES, PASSWORD, ROOT, make_site

PLAY = """
- name: Load
  hosts: all
  gather_facts: false
  tasks:
    - name: Load the site
      sallyport.im.load_site:
    - name: Show that the facts are of this host
      ansible.builtin.debug:
        msg: "{{ sallyport_host.name }} {{ sallyport_host.role }}"
"""


def run(folder: Path, *options: str, inventory: str = "") -> tuple[int, dict[str, Any]]:
    play = folder.parent / "play.yml"
    play.write_text(PLAY, encoding="utf-8")
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        "ANSIBLE_LOCAL_TEMP": str(folder.parent / "tmp"),
        "ANSIBLE_DEPRECATION_WARNINGS": "false",
    }
    command = [
        str(Path(sys.executable).parent / "ansible-playbook"),
        "-i",
        inventory or str(folder),
        str(play),
        *options,
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.lstrip().startswith("{"), done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("base", BASES)
def test_every_host_gets_its_own_facts_in_check_mode_too(tmp_path: Path, base: str) -> None:
    code, result = run(make_site(tmp_path, *BASES[base]), "--check", "--diff")
    assert code == 0
    loaded, shown = (task["hosts"] for task in result["plays"][0]["tasks"])
    assert {host: answer["msg"] for host, answer in shown.items()} == {
        "im-int": "im-int im_internal",
        "gw": "gw gateway",
        "desk": "desk desktops",
        "world": "world outside",
    } | ({"im-ext": "im-ext im_external"} if base == "external" else {})
    assert not any(answer["changed"] for answer in loaded.values())


def test_all_faults_are_named_at_the_first_host_and_no_host_goes_on(tmp_path: Path) -> None:
    text = BASE_SITE.replace("id: bob", "id: alice").replace("im.fjord.example", "intranet")
    code, result = run(make_site(tmp_path, text))
    assert code != 0
    (task,) = result["plays"][0]["tasks"]
    messages = {host: answer["msg"] for host, answer in task["hosts"].items()}
    assert "2 faults; no host was touched" in messages["im-int"]
    assert "sallyport.domains.internal" in messages["im-int"]
    assert "sallyport.people[1].id" in messages["im-int"]
    assert all("named at the host im-int" in messages[host] for host in ("gw", "desk", "world"))


def test_ansible_s_own_password_opens_the_vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the inventory written as people write it: with a slash at its end, or as the host list itself."""
    folder = make_site(tmp_path)
    monkeypatch.chdir(tmp_path)
    (folder / ".vault-password").unlink()
    code, result = run(folder, "--limit", "desk", inventory="oslo/")
    assert code != 0
    assert "no password for it was found" in result["plays"][0]["tasks"][0]["hosts"]["desk"]["msg"]
    password = tmp_path / "password"
    password.write_bytes(PASSWORD)
    assert run(folder, "--limit", "desk", "--vault-password-file", str(password), inventory="./oslo/hosts.yml")[0] == 0


def test_the_command_line_cannot_replace_the_site_file(tmp_path: Path) -> None:
    given = json.dumps({"sallyport": {"site": "evil"}, "sallyport_host": {"domain": "im.evil.example"}})
    code, result = run(make_site(tmp_path), "--limit", "desk", "-e", given)
    assert code != 0
    message = result["plays"][0]["tasks"][0]["hosts"]["desk"]["msg"]
    assert "-e gives sallyport and sallyport_host" in message
    assert "site.yml" in message


def test_ansible_does_not_lock_itself_out(tmp_path: Path) -> None:
    folder = make_site(tmp_path, hosts=BASE_HOSTS.replace("ansible_user: ops", "ansible_user: root"))
    code, result = run(folder, "--check")
    assert code != 0
    answers = result["plays"][0]["tasks"][0]["hosts"]
    assert "Ansible connects as root, who is none of sallyport.administrators (ops, eva)" in answers["gw"]["msg"]
    assert not answers["world"].get("failed"), "the kit does not manage this host, and does not care who enters it"
