# SPDX-License-Identifier: GPL-3.0-or-later
"""A queue on the disk for one way of delivery, and the thread that empties it."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sallyport_alerts.words import Message

MOST = 500
"""So many messages wait at most; then the oldest go."""
PAUSES = (5, 15, 30, 60, 120, 300)
"""Seconds until the next attempt after each failure; the last one again and again."""


class Undelivered(Exception):
    """A message did not go; the text says why."""


Send = Callable[[dict[str, Any], str], None]
"""Sends a message (subject, body, made, done: recipients that have it), under a name that is its own.

Raises:
    Undelivered: it did not go; `done` has those who got it all the same.
"""


class Outbox:
    """One way.

    Args:
        name: of the way, as `mail`.
        folder: where its queue lies.
        send: how it goes.
    """

    def __init__(self, name: str, folder: Path, send: Send) -> None:
        """Make the folder of the queue."""
        self.name = name
        self.folder = folder
        self.send = send
        self.failing_since: float | None = None
        self.failure = ""
        self._wake = threading.Event()
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, message: Message, now: float) -> None:
        """Put a message into the queue; it is on the disk when this returns.

        Args:
            message: the message.
            now: the time, in seconds since 1970.
        """
        content = {"subject": message.subject, "body": message.body, "made": now, "done": []}
        digest = hashlib.sha256(f"{message.subject}\n{message.body}".encode()).hexdigest()[:16]
        waiting = self.waiting()
        # after a crash the same message is made again
        if any(path.stem.endswith(digest) for path in waiting):
            return
        for path in waiting[: max(0, len(waiting) - MOST + 1)]:
            path.unlink(missing_ok=True)
            print(f"<3>{self.name}: too many messages wait, the oldest is dropped", file=sys.stderr, flush=True)
        write(self.folder / f"{int(now * 1000):015d}-{digest}.json", content)
        self._wake.set()

    def waiting(self) -> list[Path]:
        """Return what waits, the oldest first."""
        return sorted(self.folder.glob("*.json"))

    def flush(self) -> bool:
        """Send what waits, in order, up to the first that does not go.

        Returns:
            Whether all of it went.
        """
        for path in self.waiting():
            content = json.loads(path.read_text(encoding="utf-8"))
            try:
                self.send(content, path.stem)
            except Undelivered as error:
                write(path, content)
                if self.failing_since is None:
                    self.failing_since = time.time()
                if str(error) != self.failure:
                    print(f"<4>{self.name}: {error}", file=sys.stderr, flush=True)
                self.failure = str(error)
                return False
            path.unlink(missing_ok=True)
            self.failing_since, self.failure = None, ""
        return True

    def run(self) -> None:
        """Empty the queue for ever."""
        failures = 0
        while True:
            try:
                failures = 0 if self.flush() else failures + 1
            except (OSError, ValueError, KeyError) as error:
                failures += 1
                print(f"<3>{self.name}: its queue: {error}", file=sys.stderr, flush=True)
            pause = PAUSES[min(failures, len(PAUSES)) - 1] if failures else 3600
            self._wake.wait(pause)
            self._wake.clear()


def write(path: Path, content: object) -> None:
    """Write a file as JSON, whole or not at all.

    Args:
        path: the file.
        content: what JSON has.

    Raises:
        OSError: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.new")
    with beside.open("w", encoding="utf-8") as stream:
        json.dump(content, stream)
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(path)
