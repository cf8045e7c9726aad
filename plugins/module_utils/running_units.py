# SPDX-License-Identifier: GPL-3.0-or-later
"""Find units that run, or would be started, and that nobody said may run; stop them and keep them from starting.

Sources: systemctl(1), systemd.unit(5) for the directories and links, systemd.generator(7), proc_pid_cgroup(5).
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.sallyport.im.plugins.module_utils.atomic_files import drop, look, make_private, write
from ansible_collections.sallyport.im.plugins.module_utils.systemd import Systemd, SystemdError

# What stops starting others first, services last.
KINDS = ("path", "timer", "socket", "service")
STARTED = frozenset({"active", "activating", "reloading", "refreshing"})
MASKS = "/etc/systemd/system"
# Where links say what is started; those of the package directory are static and say nothing of this host.
LINK_PLACES = (MASKS, "/run/systemd/system", "/run/systemd/generator", "/run/systemd/generator.late")
LINKS = (".wants", ".requires", ".upholds")
TRANSIENT = "/run/systemd/transient"
# Which units the kit has masked: one that may run later is given free again.
MASKED = "/var/lib/sallyport/masked_units.json"
# Whoever stops one of these cuts the way by which the run came, or what systemd itself stands on.
VITAL = (
    *("ssh.service", "dbus.service", "dbus.socket", "dbus-broker.service", "systemd-logind.service", "user@*.service"),
    *("systemd-journald*", "systemd-udevd*", "systemd-networkd*", "networking.service", "ifup@*.service"),
    *("NetworkManager.service", "wpa_supplicant*.service", "netplan-wpa-*.service", "dhcpcd*.service"),
    *("connman.service", "wg-quick@*.service", "openvpn*.service", "strongswan*.service", "tailscaled.service"),
    *("ssh@*.service", "sshd@*.service", "iscsid.service", "open-iscsi.service"),
)
# The other way to SSH: vital as long as the service itself does not listen.
SSH_SOCKET, SSH = "ssh.socket", "ssh.service"


@dataclass(frozen=True)
class Unwanted:
    """A unit that runs or would be started, and should not.

    Attributes:
        name: Full name of the unit.
        is_active: Whether it runs now.
        is_enabled: Whether a link would start it.
    """

    name: str
    is_active: bool
    is_enabled: bool

    def difference(self) -> str:
        """Return one line for people: what is, and what should be."""
        return f"unit {self.name}: {'runs' if self.is_active else 'would be started'}, should not be"


class Running:
    """What runs on this host, against what may.

    Args:
        may_run: Patterns of names.
        systemd: systemd of this machine.
        root: Where the file system begins.
    """

    def __init__(self, may_run: Sequence[str], systemd: Systemd, root: str = "") -> None:
        """Take what may run; nothing is looked at yet."""
        self.may_run = tuple(may_run)
        self.systemd = systemd
        self.root = root

    def unwanted(self) -> list[Unwanted]:
        """Return the units that should not run, in the order in which they are to be stopped.

        Raises:
            SystemdError: systemd does not answer, or one of them is vital; nothing has been changed then.
        """
        active, enabled = self._active(), self._enabled()
        names = sorted(active | enabled, key=lambda name: (KINDS.index(name.rpartition(".")[2]), name))
        found = [Unwanted(name, name in active, name in enabled) for name in names if not fits(name, self.may_run)]
        own = own_units(self.root)
        vital = [unit.name for unit in found if unit.is_active and (unit.name in own or fits(unit.name, VITAL))]
        if SSH_SOCKET in active and SSH not in active and not fits(SSH_SOCKET, self.may_run):
            raise SystemdError(
                f"may_run: would stop {SSH_SOCKET}, by which this host is reached; switch to {SSH} first, at the"
                f" console: systemctl disable --now {SSH_SOCKET} && systemctl enable --now {SSH}"
            )
        if vital:
            raise SystemdError(
                f"may_run: would stop {', '.join(vital)}, which this host or this very run stands on; add it"
            )
        return found

    def freed(self) -> list[str]:
        """Return the units that the kit has masked and that may run now."""
        return [name for name in self.masked() if fits(name, self.may_run) and self._is_masked(name)]

    def masked(self) -> list[str]:
        """Return the units that the kit has masked."""
        try:
            names = json.loads(look(self.root + MASKED).content or b"[]")
        except ValueError:
            names = []
        return [str(name) for name in names] if isinstance(names, list) else []

    def stop(self, units: Sequence[Unwanted]) -> None:
        """Stop, disable and mask units.

        Args:
            units: What `unwanted` found.

        Raises:
            OSError: It cannot be remembered.
            SystemdError: One of them runs on, or would be started still.
        """
        names = [unit.name for unit in units]
        lasting = [name for name in names if not os.path.lexists(f"{self.root}{TRANSIENT}/{name}")]
        self._remember(sorted({*self.masked(), *lasting}))
        for name in lasting:
            # a unit that has nothing to disable is as good as disabled
            with contextlib.suppress(SystemdError):
                self.systemd.command("disable", "--no-reload", "--", name)
            if not os.path.lexists(f"{self.root}{MASKS}/{name}"):
                # masked before it is stopped: nothing starts it again meanwhile
                self.systemd.command("mask", "--no-reload", "--", name)
        self.systemd.command("daemon-reload")
        self.systemd.command("stop", "--", *names)
        with contextlib.suppress(SystemdError):
            self.systemd.command("reset-failed", "--", *names)
        if left := [unit.name for unit in self.unwanted() if unit.name in names]:
            raise SystemdError(f"units {', '.join(left)}: still run or would be started, though stopped and disabled")

    def free(self, names: Sequence[str]) -> None:
        """Unmask units; whoever lets them run enables and starts them.

        Args:
            names: What `freed` found.

        Raises:
            OSError: It cannot be remembered.
            SystemdError: systemd does not obey.
        """
        self.systemd.command("unmask", "--", *names)
        self._remember([name for name in self.masked() if name not in names])

    def _active(self) -> set[str]:
        kinds = ",".join(KINDS)
        text = self.systemd.command("list-units", f"--type={kinds}", "--output=json")
        return {str(row["unit"]) for row in json.loads(text) if row["active"] in STARTED}

    def _enabled(self) -> set[str]:
        found = set()
        for place in LINK_PLACES:
            folder = Path(self.root + place)
            for links in sorted(folder.iterdir()) if folder.is_dir() else ():
                if links.name.endswith(LINKS) and links.is_dir():
                    found |= {
                        entry.name for entry in links.iterdir() if entry.name.endswith(tuple("." + k for k in KINDS))
                    }
        return {name for name in found if not self._is_masked(name)}

    def _is_masked(self, name: str) -> bool:
        return os.path.realpath(f"{self.root}{MASKS}/{name}") == os.devnull

    def _remember(self, names: Sequence[str]) -> None:
        path = self.root + MASKED
        if names:
            make_private(str(Path(path).parent))
            write(path, json.dumps(list(names)).encode(), os.geteuid(), os.getegid(), 0o600)
        else:
            drop(path)


def fits(name: str, patterns: Sequence[str]) -> bool:
    """Return whether a unit's name fits one of these patterns.

    Args:
        name: Full name of a unit.
        patterns: As the shell has them: `systemd-*.service`.
    """
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def own_units(root: str = "") -> frozenset[str]:
    """Return the units that this very process runs in.

    Args:
        root: Where the file system begins.
    """
    place = Path(f"{root}/proc/self/cgroup")
    text = place.read_text(encoding="utf-8", errors="replace") if place.is_file() else ""
    words = {word for line in text.splitlines() for word in line.rpartition(":")[2].split("/")}
    return frozenset(word for word in words if word.endswith(tuple("." + kind for kind in KINDS)))
