# SPDX-License-Identifier: GPL-3.0-or-later
"""How a test reaches the Docker Engine: as the user, or by sudo where the engine does not let the user in."""

from __future__ import annotations

import subprocess

_OWN = subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0
DOCKER = ("docker",) if _OWN else ("sudo", "--non-interactive", "docker")
