# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time. Source: flock(2); the kernel drops the lock when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from ansible_collections.sallyport.im.plugins.module_utils.atomic_files import make_private


class LockError(Exception):
    """Another run holds the lock."""


class RunLock:
    """A lock held while the `with` block runs.

    Args:
        path: The lock file; it stays there, empty of meaning.
        seconds: How long to wait for another run.

    Raises:
        LockError: On entering, another run still holds it after that time.
    """

    def __init__(self, path: str, seconds: float) -> None:
        """Name the lock; it is not taken yet."""
        self.path = path
        self.seconds = seconds
        self._handle = -1

    def __enter__(self) -> RunLock:
        """Take the lock."""
        make_private(str(Path(self.path).parent))
        self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        deadline = time.monotonic() + self.seconds
        while True:
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    holder = os.pread(self._handle, 40, 0).decode("ascii", errors="replace").strip()
                    os.close(self._handle)
                    raise LockError(
                        f"another run (process {holder or 'unknown'}) works on the same service and did not end within"
                        f" {self.seconds:g} s; wait for it, or end that process, and run again (lock: {self.path})"
                    ) from None
                time.sleep(0.1)
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lock back."""
        os.close(self._handle)
