# SPDX-License-Identifier: GPL-3.0-or-later
"""The control's side of a probe: starts it on a host over SSH and speaks with it.

The program's text travels over the same connection, so that nothing is installed or left on the host.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import queue
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MODULES = ("stream", "helpers", "network", "web", "passwords", "client", "servers", "load", "agent")

# reads the program's modules from the first line, then leaves the rest of standard input to it
BOOTSTRAP = """
import json, sys, types
package = sys.modules["probe"] = types.ModuleType("probe")
package.__path__ = []
for name, text in json.loads(sys.stdin.readline()):
    module = sys.modules["probe." + name] = types.ModuleType("probe." + name)
    exec(compile(text, name + ".py", "exec"), module.__dict__)
    setattr(package, name, module)
package.agent.main()
"""


class ProbeError(Exception):
    """The probe could not do what it was asked to; this is never a proof of anything."""


class Probe:
    """A running probe.

    Args:
        command: Words that run a shell command on the host, as ``["ssh", …, "desk"]``; empty runs it here.
        name: Name of the host, for messages and the report.
        python: Interpreter on that host.
    """

    def __init__(self, command: Sequence[str], name: str, python: str = "python3") -> None:
        self.name = name
        self._numbers = itertools.count(1)
        self._answers: dict[int, queue.Queue[dict[str, Any]]] = {}
        self._errors: deque[str] = deque(maxlen=30)
        self._ended = threading.Event()
        # ssh joins its arguments and gives them to a shell: the quoting is ours
        quoted = "'" + BOOTSTRAP.replace("'", "'\"'\"'") + "'"
        words = [*command, f"exec {python} -uc {quoted}"] if command else [python, "-uc", BOOTSTRAP]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
        )
        threading.Thread(target=self._read_answers, daemon=True).start()
        self._listener = threading.Thread(target=self._read_errors, daemon=True)
        self._listener.start()
        folder = Path(__file__).parent
        program = [(module, (folder / f"{module}.py").read_text(encoding="utf-8")) for module in MODULES]
        self._write(json.dumps(program))

    def _write(self, line: str) -> None:
        if self._process.stdin is None:
            raise ProbeError(f"probe on {self.name}: closed")
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except OSError as error:
            # let ssh say its last words
            self._listener.join(2)
            raise ProbeError(f"probe on {self.name} has ended: {self.errors() or error}") from error

    def _read_answers(self) -> None:
        for line in self._process.stdout or ():
            answer = json.loads(line)
            self._answers[answer["id"]].put(answer)
        self._ended.set()
        for waiting in list(self._answers.values()):
            waiting.put({"error": f"the probe has ended: {self.errors()}"})

    def _read_errors(self) -> None:
        for line in self._process.stderr or ():
            self._errors.append(line.rstrip())

    def errors(self) -> str:
        """Return the last lines that the probe wrote to standard error."""
        return "\n".join(self._errors)

    def do(self, command: str, *, patience: float = 90.0, **arguments: Any) -> Any:
        """Run one command and return its value.

        Args:
            command: A name of `probe.agent.commands`.
            patience: Seconds after which the probe is taken for dead.
            arguments: What the command takes.

        Returns:
            The command's value.

        Raises:
            ProbeError: When the command failed on the probe host or the probe is gone.
        """
        number = next(self._numbers)
        waiting: queue.Queue[dict[str, Any]] = queue.Queue()
        self._answers[number] = waiting
        try:
            self._write(json.dumps({"id": number, "do": command, "with": arguments}))
            if self._ended.is_set():
                self._listener.join(2)
                raise ProbeError(f"probe on {self.name} has ended: {self.errors()}")
            answer = waiting.get(timeout=patience)
        except queue.Empty as error:
            raise ProbeError(f"{command} on {self.name}: no answer in {patience:g} s; {self.errors()}") from error
        finally:
            del self._answers[number]
        if "error" in answer:
            raise ProbeError(f"{command} on {self.name}: {answer['error']}")
        return answer.get("value")

    def close(self) -> None:
        """End the probe; its clients sign out."""
        if self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
