# SPDX-License-Identifier: GPL-3.0-or-later
"""How a test reaches a host of a site: as Ansible reaches it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import testinfra
from system.site_facts import HostFacts

SOCKETS = Path.home() / ".ansible" / "cp"


def connect(host: HostFacts) -> Any:
    """Return a testinfra host that is reached as Ansible reaches it."""
    if not host.over_network:
        return testinfra.get_host(f"docker://{host.admin}")
    user = f"{host.variables['ansible_user']}@" if host.variables.get("ansible_user") else ""
    port = f":{host.variables['ansible_port']}" if host.variables.get("ansible_port") else ""
    root = user in ("", "root@")
    # testinfra splits its extra arguments itself, so paths with blanks keep their quotes
    options = " ".join(f'"{word}"' if " " in word else word for word in host.ssh_options())
    # beside Ansible's own; an emulated machine needs seconds for each new connection
    SOCKETS.mkdir(mode=0o700, parents=True, exist_ok=True)
    return testinfra.get_host(
        f"ssh://{user}{host.admin}{port}",
        sudo=not root,
        ssh_extra_args=options,
        controlpath=f"{SOCKETS}/testinfra-%%C",
    )
