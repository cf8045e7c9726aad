# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a test host: kills a real transaction before each of its steps and lets a second one follow.

Usage: python3 service_fault_driver.py COLLECTIONS_DIRECTORY [PORT [ADDRESS]]
       python3 service_fault_driver.py COLLECTIONS_DIRECTORY plain

The first one needs Prosody. Prints one JSON object for each kill: the step, what the second run found, how often and
how long Prosody was down. Prosody's own configuration is left alone: a comment in a file of its own is what changes,
with a probe file that only a restart takes up.
The second one does the same with plain files that a program applies; then with a guard too, which takes the change of
the killed run back by itself before the second one begins.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, sys.argv[1])

from ansible_collections.sallyport.im.plugins.module_utils import service_guard
from ansible_collections.sallyport.im.plugins.module_utils.service_health import Health
from ansible_collections.sallyport.im.plugins.module_utils.service_plan import Service, WantedDirectory, WantedFile
from ansible_collections.sallyport.im.plugins.module_utils.service_transaction import Failure, Places, Transaction

UNIT = "prosody.service"
IS_PLAIN = sys.argv[2:] == ["plain"]
PORT = int(sys.argv[2]) if len(sys.argv) > 2 and not IS_PLAIN else 5222
ADDRESS = sys.argv[3] if len(sys.argv) > 3 else "127.0.0.1"
FOLDER = "/var/lib/sallyport-fault-test"
FOREIGN = Path(FOLDER, "files/foreign.lua")
PLACES = Places(f"{FOLDER}/state", f"{FOLDER}/removed", "/run/sallyport-fault-test")
PLAIN = "fault-test"
APPLIED = Path(FOLDER, "applied")


class Killed(Transaction):
    """A transaction whose process is killed before one of its steps."""

    kill_at = -1
    reached = 0

    def perform(self, name: str, step: Callable[[], None]) -> None:
        """Do a step, or die before it."""
        if self.reached == self.kill_at:
            Path("/run/sallyport-fault-test/step").write_text(name, encoding="utf-8")
            os.kill(os.getpid(), signal.SIGKILL)
        self.reached += 1
        super().perform(name, step)


class Watch(threading.Thread):
    """Knocks at the port every 10 ms and notes each gap in which nobody answered."""

    def __init__(self) -> None:
        """Begin to watch when started."""
        super().__init__(daemon=True)
        self.gaps: list[float] = []
        self.over = False

    def run(self) -> None:
        """Knock until told to stop."""
        down_since = 0.0
        while not self.over:
            try:
                socket.create_connection((ADDRESS, PORT), timeout=0.5).close()
                if down_since:
                    self.gaps.append(round(time.monotonic() - down_since, 3))
                down_since = 0.0
            except OSError:
                down_since = down_since or time.monotonic()
            time.sleep(0.01)
        if down_since:
            self.gaps.append(round(time.monotonic() - down_since, 3))


def service(word: str) -> Service:
    """Return a service with three files that carry a word, the last of which needs a restart."""
    changes = (("a.lua", "reload"), ("b.lua", "reload"), ("c.lua", "restart"))
    files = [
        WantedFile(f"{FOLDER}/files/{name}", f"-- {word}\n".encode(), "root", "prosody", 0o640, change)
        for name, change in changes
    ]
    drop_in = f"/etc/systemd/system/{UNIT}.d/fault-test.conf"
    files.append(WantedFile(drop_in, f"[Service]\nEnvironment=SALLYPORT_FAULT_TEST={word}\n".encode()))
    directory = WantedDirectory(f"{FOLDER}/files", "root", "prosody", 0o750, True)
    return Service(UNIT, True, tuple(files), (directory,))


def transaction(word: str, kind: type[Transaction] = Transaction) -> Transaction:
    """Return a transaction towards a word, validated by Prosody's own program."""
    health = Health(((ADDRESS, PORT),), (), 20.0, 0.5)
    return kind(service(word), health, validate=[["prosodyctl", "check", "config"]], places=PLACES)


def fault(step: int) -> dict[str, Any] | None:
    """Kill a run before step number `step`, run again, and say what was seen; None when there is no such step."""
    word = f"word{step}"
    FOREIGN.write_text("foreign\n", encoding="utf-8")
    first = transaction(word, Killed)
    assert isinstance(first, Killed)
    first.kill_at = step
    before = first.systemd.show(UNIT).invocation
    child = os.fork()
    if child == 0:
        first.run()
        os._exit(0)
    # only after the fork: a child with half a thread would be another fault than the one that is tried
    watch = Watch()
    watch.start()
    if not os.WIFSIGNALED(os.waitpid(child, 0)[1]):
        return None
    killed_before = Path("/run/sallyport-fault-test/step").read_text(encoding="utf-8")
    middle = first.systemd.show(UNIT).invocation
    said = transaction(word).run(check=True).differences
    outcome = transaction(word).run()
    again = transaction(word).run()
    watch.over = True
    watch.join()
    state = first.systemd.show(UNIT)
    seen = first.systemd.command("show", "--property=MainPID", "--value", UNIT).strip()
    environment = Path(f"/proc/{seen}/environ").read_bytes().decode()
    return {
        "killed_before": killed_before,
        "differences": outcome.differences,
        "check_said_the_same": said == outcome.differences,
        "action": outcome.action,
        "converged": again.differences == [] and state.active == "active" and not FOREIGN.exists(),
        "loaded": f"SALLYPORT_FAULT_TEST={word}\0" in environment,
        "restarts": len({before, middle, state.invocation}) - 1,
        "gaps": watch.gaps,
    }


def plain(word: str, seconds: int = 0, kind: type[Transaction] = Transaction) -> Transaction:
    """Return a transaction towards a word in plain files; copying them applies them, `broken` is refused."""
    files = tuple(WantedFile(f"{FOLDER}/files/{name}", f"{word}\n".encode()) for name in ("a.conf", "b.conf"))
    refuse = ("sh", "-c", f"! grep -r broken {APPLIED}")
    apply = (("cp", "-rT", f"{FOLDER}/files", str(APPLIED)), refuse)
    health = Health((), (), 5.0, 0.0)
    return kind(Service(PLAIN, True, files, plain=True, apply=apply), health, places=PLACES, confirm_seconds=seconds)


def in_force(word: str) -> bool:
    """Tell whether a word is what stands in the plain files, and what was applied."""
    places = [place / name for place in (Path(FOLDER, "files"), APPLIED) for name in ("a.conf", "b.conf")]
    return [place.read_text(encoding="utf-8") for place in places] == [f"{word}\n"] * len(places)


def plain_fault(step: int, seconds: int) -> dict[str, Any] | None:
    """Kill a run on plain files before step number `step`, run again, and say what was seen."""
    word, old = f"word{step}-{seconds}", f"old{step}-{seconds}"
    plain(old).run()
    first = plain(word, seconds, Killed)
    assert isinstance(first, Killed)
    first.kill_at = step
    child = os.fork()
    if child == 0:
        first.run()
        os._exit(0)
    if not os.WIFSIGNALED(os.waitpid(child, 0)[1]):
        service_guard.settle(first.guard, 30)
        return None
    # the guard alone brings the old files back, whoever was killed
    was_armed = first.guard.is_armed()
    is_old = service_guard.settle(first.guard, 30) and (not was_armed or in_force(old))
    said = plain(word, seconds).run(check=True).differences
    outcome = plain(word, seconds).run()
    kept = service_guard.confirm(first.guard, outcome.token) if seconds else not outcome.token
    return {
        "killed_before": Path("/run/sallyport-fault-test/step").read_text(encoding="utf-8"),
        "seconds": seconds,
        "was_armed": was_armed,
        "is_old_again": is_old,
        "differences": outcome.differences,
        "check_said_the_same": said == outcome.differences,
        "converged": kept and plain(word, seconds).run().differences == [] and not first.guard.is_armed(),
        "loaded": in_force(word),
    }


def plain_main() -> None:
    """Kill before each step on plain files, without and with a guard, then try what must be put back."""
    plain("start").run()
    for seconds in (0, 3):
        step = 0
        while (seen := plain_fault(step, seconds)) is not None:
            print(json.dumps(seen), flush=True)
            step += 1
    plain("good").run()
    try:
        plain("broken", 3).run()
    except Failure as error:
        put_back = in_force("good") and not plain("good").guard.is_armed()
        print(json.dumps({"put_back": put_back, "said": str(error)}), flush=True)
    Transaction(Service(PLAIN, plain=True), Health(), places=PLACES).run()


def main() -> None:
    """Kill before each step, then try what must be refused or put back."""
    Path(PLACES.run).mkdir(mode=0o700, exist_ok=True)
    if IS_PLAIN:
        plain_main()
    else:
        prosody_main()
    shutil.rmtree(FOLDER)
    shutil.rmtree(PLACES.run)


def prosody_main() -> None:
    """Kill before each step on Prosody, then try what must be put back."""
    transaction("start").run()
    step = 0
    while (seen := fault(step)) is not None:
        print(json.dumps(seen), flush=True)
        step += 1
    bad = service("bad")
    broken = WantedFile(f"/etc/systemd/system/{UNIT}.d/broken.conf", b"[Service]\nExecStartPre=/bin/false\n")
    sick = Transaction(
        Service(UNIT, True, (*bad.files, broken), bad.directories),
        Health(((ADDRESS, PORT),), (), 5.0, 0.5),
        places=PLACES,
    )
    old = Path(f"{FOLDER}/files/a.lua").read_bytes()
    try:
        sick.run()
    except Failure as error:
        kept = Path(f"{FOLDER}/files/a.lua").read_bytes() == old and not Path(broken.path).exists()
        active = sick.systemd.show(UNIT).active == "active"
        print(json.dumps({"put_back": kept and active, "said": str(error)}), flush=True)
    # nothing of this trial stays: a set without files is one more transaction
    away = Transaction(Service(UNIT), Health(((ADDRESS, PORT),), (), 20.0, 0.5), places=PLACES)
    away.run()


if __name__ == "__main__":
    main()
