# SPDX-License-Identifier: GPL-3.0-or-later
"""What brings the rules back at boot, before the network, and the switch that lets a gateway forward after that.

Sources: systemd.special(7) on network-pre.target, systemd.service(5), ip-sysctl in the kernel's documentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.sallyport.im.plugins.module_utils.atomic_files import erase, look, write
from ansible_collections.sallyport.im.plugins.module_utils.nft_live import NftError, canonical, whole
from ansible_collections.sallyport.im.plugins.module_utils.nft_text import Table, closed
from ansible_collections.sallyport.im.plugins.module_utils.systemd import Systemd

RULES = "/etc/sallyport/firewall.nft"
CLOSED = "/etc/sallyport/firewall-closed.nft"
UNIT = "sallyport-firewall.service"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
# Debian's own flushes every table when it is stopped, ours included.
DEBIANS = "nftables.service"
WITHOUT_FLUSH = f"/run/systemd/system/{DEBIANS}.d/sallyport.conf"
SWITCHES = ("/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding")

UNIT_TEXT = """\
# Made by Sallyport.
[Unit]
Description=Firewall rules of Sallyport
Documentation=man:nft(8)
DefaultDependencies=no
RequiresMountsFor=/etc/sallyport /usr
Wants=network-pre.target
Before=network-pre.target systemd-sysctl.service sysinit.target
# there is nothing to do at a stop: the rules stay until the machine is off

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f {rules}
# a machine whose rules do not load is closed, and not open
ExecStopPost=/bin/sh -c '[ "$$SERVICE_RESULT" = success ] || exec /usr/sbin/nft -f {closed}'
{forwarding}
[Install]
WantedBy=sysinit.target
"""
# Each on its own: a kernel without IPv6 has only the first.
FORWARDING = """\
# only now, with the rules in force
ExecStartPost=-/bin/sh -c 'echo 1 >{0}'
ExecStartPost=-/bin/sh -c 'echo 1 >{1}'
"""


@dataclass(frozen=True)
class Boot:
    """What should be there for the next boot.

    Attributes:
        rules: the own table.
        forwarding: whether this machine forwards.
    """

    rules: Table
    forwarding: bool

    def files(self) -> dict[str, str]:
        """Return the files by path."""
        switches = FORWARDING.format(*SWITCHES) if self.forwarding else ""
        head = "# Made by Sallyport; loaded by sallyport-firewall.service at boot.\n"
        return {
            RULES: head + whole(self.rules.text()),
            CLOSED: "# Made by Sallyport; loaded at boot when firewall.nft cannot be.\n"
            + whole(closed(self.rules).text()),
            UNIT_FILE: UNIT_TEXT.format(rules=RULES, closed=CLOSED, forwarding=switches),
        }

    def differences(self) -> list[str]:
        """Return one line for each thing that is not as it should be.

        Raises:
            OSError: A file cannot be read.
            SystemdError: systemd does not answer.
        """
        return [*self._file_differences(), *self._unit_differences(), *self._switch_differences()]

    def bring_about(self) -> None:
        """Write the files, enable the unit, set the switches. Call it only when the rules are in force.

        Raises:
            OSError: A file cannot be written, or a switch cannot be set.
            SystemdError: systemd does not obey.
        """
        systemd = Systemd()
        if [*debians_differences(systemd)]:
            silence_debians(systemd)
        stale = [*self._file_differences()]
        if stale:
            Path(RULES).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            for path, text in self.files().items():
                write(path, text.encode(), 0, 0, 0o644 if path == UNIT_FILE else 0o600)
            systemd.command("daemon-reload")
        state = systemd.show(UNIT)
        if state.enabled != "enabled":
            systemd.command("enable", "--quiet", UNIT)
        if not state.is_active:
            systemd.command("start", UNIT)
        for switch, value in self._switches():
            if Path(switch).read_text(encoding="ascii").strip() != value:
                Path(switch).write_text(f"{value}\n", encoding="ascii")

    def _file_differences(self) -> Iterator[str]:
        for path, text in self.files().items():
            found = look(path)
            mode = 0o644 if path == UNIT_FILE else 0o600
            if found.kind == "absent":
                yield f"file {path}: is absent, should be there"
            elif found.kind != "file" or found.content != text.encode():
                yield f"file {path}: is another text, should be that of the rules of this host"
            elif (found.uid, found.gid, found.mode) != (0, 0, mode):
                yield f"file {path}: is {found.uid}:{found.gid} {found.mode:04o}, should be 0:0 {mode:04o}"

    def _unit_differences(self) -> Iterator[str]:
        systemd = Systemd()
        state = systemd.show(UNIT)
        if state.enabled != "enabled":
            yield f"unit {UNIT}: is {state.enabled or 'not there'}, should be enabled"
        if not state.is_active:
            yield f"unit {UNIT}: is {state.active}, should be active"
        yield from debians_differences(systemd)

    def _switch_differences(self) -> Iterator[str]:
        for switch, value in self._switches():
            live = Path(switch).read_text(encoding="ascii").strip()
            if live != value:
                name = switch.removeprefix("/proc/sys/").replace("/", ".")
                yield f"kernel setting {name}: is {live}, should be {value}"

    def _switches(self) -> Iterator[tuple[str, str]]:
        for switch in SWITCHES:
            if Path(switch).exists():
                yield switch, "1" if self.forwarding else "0"


def proven() -> Table | None:
    """Return the rules that the next boot would bring, written only when they were proven.

    Returns:
        The own table; None when there is no such file, or nft would not load it.

    Raises:
        OSError: The file cannot be read.
    """
    found = look(RULES)
    if found.kind != "file":
        return None
    try:
        return canonical(found.content.decode("utf-8", errors="replace"))
    except NftError:
        return None


def debians_differences(systemd: Systemd) -> Iterator[str]:
    """Say whether Debian's own unit could take the rules away.

    Args:
        systemd: systemd of this machine.

    Raises:
        SystemdError: systemd does not answer.
    """
    state = systemd.show(DEBIANS)
    if state.is_there and (state.load != "masked" or state.is_active):
        yield f"unit {DEBIANS}: is {state.enabled or state.load} and {state.active}, should be masked and inactive"


def silence_debians(systemd: Systemd) -> None:
    """Keep Debian's own unit from ever running, without letting it flush the rules that are in force.

    Args:
        systemd: systemd of this machine.

    Raises:
        SystemdError: systemd does not obey.
    """
    # masking alone does not take the flush away from a unit that is active
    stop_debians(systemd)
    systemd.command("mask", "--quiet", DEBIANS)
    systemd.command("daemon-reload")


def stop_debians(systemd: Systemd) -> None:
    """Stop Debian's own unit, if it is active, without letting it flush; at the next boot it starts as before.

    Args:
        systemd: systemd of this machine.

    Raises:
        OSError: The drop-in cannot be written.
        SystemdError: systemd does not obey.
    """
    if systemd.show(DEBIANS).is_active:
        # its ExecStop is the flush
        Path(WITHOUT_FLUSH).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        write(WITHOUT_FLUSH, b"[Service]\nExecStop=\n", 0, 0, 0o644)
        systemd.command("daemon-reload")
        systemd.command("stop", DEBIANS)
        erase(str(Path(WITHOUT_FLUSH).parent))
        systemd.command("daemon-reload")
