# SPDX-License-Identifier: GPL-3.0-or-later
"""The emulated machine as its tests handle it."""

from __future__ import annotations

import re
from typing import Any


class Guest:
    """The machine, reached as Ansible reaches it.

    Attributes:
        host: testinfra host.
    """

    def __init__(self, host: Any) -> None:
        """Take a testinfra host."""
        self.host = host

    def tried(self, script: str) -> tuple[int, str]:
        """Run a shell script as root; returns its exit code and all that it printed."""
        # the banner of the SSH server comes by standard error, and is none of what the script printed
        result = self.host.run("exec 2>&1\n" + script)
        return int(result.rc), str(result.stdout)

    def sh(self, script: str) -> str:
        """Run a shell script as root; it must succeed. Returns its output."""
        result = self.host.run(script)
        assert result.rc == 0, f"{script}: ended with {result.rc}: {result.stdout}{result.stderr}"
        return str(result.stdout)

    def unit(self, name: str, *properties: str) -> dict[str, str]:
        """Read properties of a unit, as `systemctl show` has them."""
        lines = self.sh(f"systemctl show {name} --property={','.join(properties)}").splitlines()
        return dict(line.split("=", 1) for line in lines)

    def settings(self, path: str, between: str = r"\s*=\s*") -> dict[str, str]:
        """Read a file of settings, comments aside; a repeated name has its last value."""
        lines = [line.strip() for line in self.sh(f"cat {path}").splitlines()]
        pairs = [re.split(between, line, maxsplit=1) for line in lines if line and line[0] not in "#;"]
        return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
