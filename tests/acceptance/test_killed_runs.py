# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is killed with -9 inside im_server: the next one finishes its work, and people hardly notice.

Odd points change a setting that needs a restart, even ones the message policy, which needs a reload. The run is killed
on the control node and on the host, as when both lose power but Prosody does not.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from acceptance.demo_site import ROOT, Demo, changed_copy

POINTS = range(10)
IM_SERVER = "TASK [sallyport.im.im_server : Prosody runs"
# every process of a run on the host is a child of the shell that sudo starts
KILL_ON_HOST = """
kill_tree() { for child in $(pgrep -P "$1"); do kill_tree "$child"; done; kill -9 "$1" 2>/dev/null || true; }
for pid in $(pgrep -f 'echo BECOME-SUCCES[S]'); do kill_tree "$pid"; done
"""


# runs on a desktop, which is where people knock, until its input ends; prints the longest time without an answer
KNOCK = """
import select, socket, sys, time
target, longest, since = (sys.argv[1], 5222), 0.0, None
while not select.select([sys.stdin], [], [], 0.02)[0]:
    try:
        socket.create_connection(target, 1).close()
        since = None
    except OSError:
        since = since or time.monotonic()
        longest = max(longest, time.monotonic() - since)
print(longest)
"""


@dataclass
class Knocker:
    """Somebody on the desktop who knocks at the server every 20 ms.

    Attributes:
        longest: the longest time without an answer, in seconds; known at the end.
    """

    longest: float = -1.0


@contextlib.contextmanager
def knocking(demo: Demo) -> Iterator[Knocker]:
    """Watch the server from the desktop."""
    command = f"exec python3 -c {shlex.quote(KNOCK)} {demo.facts.service()}"
    words = [*demo.facts.in_group("desktops")[0].command(), command]
    knocker = Knocker()
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield knocker
    finally:
        said, _ = process.communicate(timeout=30)
        knocker.longest = float(said)


def start(demo: Demo, inventory: Path) -> subprocess.Popen[str]:
    """Begin a run and wait until it is in im_server."""
    words = demo.command("--limit", "im-int", inventory=inventory)
    run = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert run.stdout is not None
    for line in run.stdout:
        if line.startswith(IM_SERVER):
            return run
    raise AssertionError("the run never came to im_server")


@pytest.fixture(scope="module")
def length(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> float:
    """How long a run is in im_server when it has something to do, in seconds."""
    changed = changed_copy(tmp_path_factory.mktemp("length"), lambda text: with_days(text, 400))
    run = start(demo, changed)
    begin = time.monotonic()
    run.communicate(timeout=120)
    assert run.returncode == 0
    return time.monotonic() - begin


@pytest.fixture(scope="module")
def restart(demo: Demo) -> float:
    """How long a plain restart keeps people out, in seconds."""
    with knocking(demo) as knocker:
        time.sleep(2)
        demo.sh("systemctl restart prosody.service")
        time.sleep(3)
    assert knocker.longest > 0
    return knocker.longest


def with_days(text: str, days: int) -> str:
    """Change for how long messages are kept."""
    changed = re.sub(r"messages_days: \d+", f"messages_days: {days}", text)
    return changed if changed != text else f"{text.rstrip()}\n  retention: {{messages_days: {days}}}\n"


def with_name(text: str, name: str) -> str:
    """Change the name of alice."""
    return text.replace("name: Alice Ek", f"name: {name}")


@pytest.mark.parametrize("point", POINTS)
def test_the_next_run_finishes_what_a_killed_one_began(
    demo: Demo, length: float, restart: float, tmp_path: Path, point: int
) -> None:
    days, name = 500 + point, f"Alice E{point}"
    needs_restart = bool(point % 2)
    inventory = changed_copy(tmp_path, lambda text: with_days(text, days) if needs_restart else with_name(text, name))

    with knocking(demo) as knocker:
        run = start(demo, inventory)
        time.sleep(length * (point + 0.5) / len(POINTS))
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
        assert run.returncode == -signal.SIGKILL, "the run was over before it was killed"
        demo.sh(KILL_ON_HOST)
        demo.converge("--limit", "im-int", inventory=inventory)
    # one restart, with room for a busy machine
    assert knocker.longest < 2 * restart + 0.5, f"down for {knocker.longest:.2f} s, one restart takes {restart:.2f} s"

    if needs_restart:
        said = demo.sh(
            "prosodyctl shell \"> require'prosody.core.configmanager'.get('im.demo.example','archive_expires_after')\""
        )
        assert f"{days}d" in said
    else:
        state = json.loads(demo.sh("prosodyctl shell sallyport status im.demo.example").removeprefix("OK: "))
        assert state["state"] == "in-force"
        assert state["sha256"] == demo.sh("sha256sum /etc/sallyport/policy.json").split()[0]
        assert name in demo.sh("cat /etc/sallyport/policy.json")
    assert demo.converge("--limit", "im-int", inventory=inventory) == {"im-int": 0}


@pytest.mark.parametrize(
    ("variable", "says"),
    [
        ({"__im_server_rooms_modules": ["sallyport", "no_such_module"]}, "no_such_module"),
        ({"im_server_certificates": "/nowhere"}, "/nowhere"),
    ],
    ids=["a module that is not there", "certificates that are not there"],
)
def test_a_configuration_that_does_not_validate_never_reaches_the_server(
    demo: Demo, variable: dict[str, object], says: str
) -> None:
    look = "systemctl show -p MainPID -p ActiveEnterTimestamp prosody.service; sha256sum /etc/prosody/prosody.cfg.lua"
    before = demo.sh(look)
    done = demo.play("--limit", "im-int", "--tags", "im_server", "-e", json.dumps(variable))
    assert done.returncode != 0
    assert says in done.stdout, done.stdout[-3000:]
    assert demo.sh(look) == before
