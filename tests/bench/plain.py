# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's internal server as it would be without the kit: the same Prosody, archive, accounts and TLS."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator

from acceptance.demo_site import Demo

CONFIG = "/etc/prosody/prosody.cfg.lua"


def without_the_kit(config: str, *, as_it_comes: bool = False) -> str:
    """Return the server's configuration without what the kit adds to Prosody.

    Args:
        config: prosody.cfg.lua as the role made it.
        as_it_comes: Whether Prosody looks through its memory as often as it does by itself.

    Returns:
        The same with Prosody's own sign-in and file sharing, and without the kit's modules and settings.
    """
    config = config.replace('authentication = "sallyport"', 'authentication = "internal_hashed"')
    config = config.replace('"sallyport_files"', '"http_file_share"')
    if as_it_comes:
        config = re.sub(r"^gc = .*\n", "", config, flags=re.MULTILINE)
    return re.sub(r'^\t*(?:sallyport_\w+ = .*|"sallyport\w*";)\n', "", config, flags=re.MULTILINE)


def feed(demo: Demo, command: str, text: str) -> str:
    """Run a command as root on the server, with input that no process list shows; returns what it printed."""
    words = [*demo.facts.server().command(), f"sudo {command}"]
    return subprocess.run(words, input=text, capture_output=True, text=True, check=True).stdout


def run_with(demo: Demo, config: str) -> None:
    """Start the server anew with a configuration, and wait until it listens."""
    feed(demo, f"tee {CONFIG}", config)
    demo.sh(
        "systemctl restart prosody; for _ in $(seq 50); do ss -Hltn | grep -q :5223 && exit; sleep 0.2; done; exit 1"
    )


@contextlib.contextmanager
def plain(demo: Demo, *, as_it_comes: bool = False) -> Iterator[None]:
    """Run the server without the kit's modules for a while: nobody decides, records, scans or ships anything."""
    config = demo.sh(f"cat {CONFIG}")
    try:
        run_with(demo, without_the_kit(config, as_it_comes=as_it_comes))
        yield
    finally:
        run_with(demo, config)
