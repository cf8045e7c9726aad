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

from sallyport_alerts.reading import ODD
from sallyport_alerts.words import Message

FIELDS = {"subject", "body", "made", "done"}

MOST = 500
"""So many messages wait at most; then the oldest go."""
PAUSES = (5, 15, 30, 60, 120, 300)
"""Seconds until the next attempt after each failure; the last one again and again."""
GIVEN_UP_SECONDS = 2 * 86400
"""A message that is refused for so long goes no more."""
OFTEN_SECONDS = 3600
"""A refused message is tried again after as long as it was refused, and after this at the latest."""


class Undelivered(Exception):
    """A message did not go, and no other would now; the text says why."""


class Refused(Undelivered):
    """One message was refused, or somebody who should get it; others may go all the same."""


Send = Callable[[dict[str, Any], str], None]
"""Sends a message (subject, body, made, done: recipients that have it), under a name that is its own.

Raises:
    Undelivered: it did not go; `done` has those who got it all the same. Refused, when it is about this one alone.
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
        # names of messages that wait while others go, and when they are tried again
        self._refused: dict[str, float] = {}
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
        """Send what waits, in order; what is refused holds up nothing behind it, and is tried again later.

        Returns:
            Whether all of it went.
        """
        waiting, now = self.waiting(), time.time()
        self._refused = {path.name: self._refused[path.name] for path in waiting if path.name in self._refused}
        for path in waiting:
            # also when the clock was put back
            if 0 < self._refused.get(path.name, now) - now <= OFTEN_SECONDS:
                continue
            content = self._read(path)
            if content is None:
                continue
            try:
                self.send(content, path.stem)
            except Undelivered as error:
                self._fail(str(error))
                if not isinstance(error, Refused):
                    write(path, content)
                    return False
                self._put_off(path, content, now)
                continue
            except Exception as error:
                # nobody knows what is wrong with it; the others may go
                self._fail(f"{type(error).__name__}: {error}")
                self._put_off(path, content, now)
                continue
            path.unlink(missing_ok=True)
            self._refused.pop(path.name, None)
            if not self._refused:
                self.failing_since, self.failure = None, ""
        if not self._refused:
            self.failing_since, self.failure = None, ""
        return not self._refused

    def _read(self, path: Path) -> dict[str, Any] | None:
        """Read a message; what is none is set aside, and None is returned."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.keys() >= FIELDS:
                return dict(content)
        except FileNotFoundError:
            # dropped meanwhile: too many wait
            return None
        except (IsADirectoryError, *ODD):
            pass
        except OSError as error:
            # it may be whole, and can be read later
            self._fail(f"its queue: {error}")
            self._refused[path.name] = time.time() + PAUSES[-1]
            return None
        aside = path.with_suffix(".unreadable")
        path.replace(aside)
        print(f"<3>{self.name}: a message that cannot be read is set aside: {aside}", file=sys.stderr, flush=True)
        return None

    def _fail(self, failure: str) -> None:
        """Remember why something does not go."""
        if self.failing_since is None:
            self.failing_since = time.time()
        if failure != self.failure:
            print(f"<4>{self.name}: {failure}", file=sys.stderr, flush=True)
        self.failure = failure

    def _put_off(self, path: Path, content: dict[str, Any], now: float) -> None:
        """Keep a refused message for later; give it up when it is refused for too long."""
        age = now - content.setdefault("refused", now)
        if age > GIVEN_UP_SECONDS:
            print(f"<3>{self.name}: given up: {content['subject']}", file=sys.stderr, flush=True)
            path.unlink(missing_ok=True)
            self._refused.pop(path.name, None)
            return
        write(path, content)
        self._refused[path.name] = now + min(max(age, PAUSES[0]), OFTEN_SECONDS)

    def run(self) -> None:
        """Empty the queue for ever."""
        failures = 0
        while True:
            try:
                failures = 0 if self.flush() else failures + 1
            except Exception as error:
                # whatever it is: the thread goes on, and the other way tells
                failures += 1
                self._fail(f"its queue: {type(error).__name__}: {error}")
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
