# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel settings and modules: what they are, what they should be, and what this host may not change.

A container shares the kernel of its machine. In one, only settings of the network (net.*) are ever written, which the
kernel keeps for each container apart; anything else would change the machine, even where the container could.

Sources: sysctl.d(5), proc_sys(5), modprobe.d(5), modprobe(8), systemd-detect-virt(1).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.sallyport.im.plugins.module_utils.programs import ProgramError, run

# Packages' own files are numbered below; what is read later and sets a value otherwise is found by `later_files`.
SYSCTL_FILE = "/etc/sysctl.d/60-sallyport.conf"
MODPROBE_FILE = "/etc/modprobe.d/sallyport.conf"
# sysctl.d(5), the first of two files with one name counts
SYSCTL_FOLDERS = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d")
SETTINGS = "/proc/sys"
LOADED = "/proc/modules"
NAME = re.compile(r"[A-Za-z0-9_*-]+([./][A-Za-z0-9_*-]+)+", re.ASCII)
MODULE_NAME = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
# What carries the disks of some machines; the other modules that the kit keeps out never carry the system.
DISK_MODULES = frozenset({"usb_storage", "uas"})
# Settings whose change sets others.
SWITCHES = frozenset({"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"})


class KernelError(Exception):
    """A setting is malformed, or this machine does not take it; the text says which."""


@dataclass(frozen=True)
class Setting:
    """A setting as it is and should be.

    Attributes:
        name: As in sysctl.d, for example `kernel.kptr_restrict`.
        is_now: Its live value; None when this kernel does not offer it, or does not show it.
        wanted: What it should be.
    """

    name: str
    is_now: str | None
    wanted: str

    @property
    def is_right(self) -> bool:
        """Whether nothing is to be done."""
        return self.is_now == self.wanted

    def difference(self) -> str:
        """Return one line for people: what is, and what should be."""
        return f"{self.name}: is {self.is_now}, should be {self.wanted}"


@dataclass(frozen=True)
class Module:
    """A module that should not be in the kernel and is.

    Attributes:
        name: Its name.
        in_use: Whether something uses it; it cannot be unloaded then.
        carries_disk: Whether a disk in use hangs on it, or on a module that needs it.
    """

    name: str
    in_use: bool
    carries_disk: bool = False


def in_container() -> bool:
    """Return whether the kernel is another machine's too.

    Raises:
        KernelError: It cannot be told; then nothing may be written.
    """
    try:
        done = run(["systemd-detect-virt", "--container"], 20)
    except ProgramError as error:
        raise KernelError(f"cannot tell whether this is a container: {error}") from error
    said = done.out.strip()
    if not said:
        raise KernelError(f"cannot tell whether this is a container: systemd-detect-virt: {done.err.strip()}")
    # exit status 1 and `none`: a machine with a kernel of its own
    return said != "none"


def normal(value: object) -> str:
    """Return a value as it is compared: one space where the kernel writes tabs, true and false as 1 and 0.

    Args:
        value: As YAML or the kernel gives it.
    """
    if isinstance(value, bool):
        return "1" if value else "0"
    return " ".join(str(value).split())


def path_of(name: str) -> str:
    """Return the path of a setting below /proc/sys; dots and slashes change places, as sysctl.d(5) has it.

    Args:
        name: For example `net.ipv4.conf.eth0/10.rp_filter`.

    Raises:
        KernelError: It is no name of a setting.
    """
    if not NAME.fullmatch(name):
        raise KernelError(f"sysctls: {name!r} is no name of a setting; allowed are words joined by dots")
    return name.translate(str.maketrans("./", "/."))


def belongs_to_network(name: str) -> bool:
    """Return whether a setting is one of the network: the only ones that are ever written from a container."""
    return path_of(name).startswith("net/")


class Settings:
    """The settings of the running kernel.

    Args:
        container: Whether it is another machine's kernel too.
        root: Where they are found.
    """

    def __init__(self, container: bool, root: str = SETTINGS) -> None:
        """Take the place; nothing is read yet."""
        self.container = container
        self.root = Path(root)

    def compare(self, sysctls: Mapping[str, object]) -> list[Setting]:
        """Return all settings as they are and should be; a name with `*` becomes all that it fits.

        Args:
            sysctls: Wanted values by name. A name of its own goes before one with `*`.

        Raises:
            KernelError: A name or a value is malformed.
        """
        result = {}
        for name in sorted(sysctls, key=lambda name: ("*" not in name, name)):
            wanted = normal(sysctls[name])
            if not wanted or not wanted.isprintable():
                raise KernelError(f"sysctls: {name}: has no value that a file could hold")
            path = path_of(name)
            found = sorted(self.root.glob(path)) if "*" in name else [self.root / path]
            for place in found:
                one = str(place.relative_to(self.root)).translate(str.maketrans("./", "/."))
                result[one] = Setting(one, self._read(place), wanted)
        return [result[name] for name in sorted(result, key=place_in_order)]

    def write(self, setting: Setting) -> str:
        """Set a value. Returns nothing when it is in force afterwards, else why it is not.

        Args:
            setting: What to set.
        """
        if self.container and not belongs_to_network(setting.name):
            return "it belongs to the machine that this container runs on"
        place = self.root / path_of(setting.name)
        # a link must not lead out of the network's folder
        if self.container and not Path(os.path.realpath(place)).is_relative_to(self.root.resolve() / "net"):
            return "it belongs to the machine that this container runs on"
        try:
            handle = os.open(place, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(handle, f"{setting.wanted}\n".encode())
            finally:
                os.close(handle)
        except OSError as error:
            return f"the kernel refuses: {error.strerror}"
        now = self._read(place)
        return "" if now == setting.wanted else f"the kernel keeps {now}"

    def may_write(self, setting: Setting) -> str:
        """Return nothing when a value may be set from here, else why not; nothing is written."""
        if self.container and not belongs_to_network(setting.name):
            return "it belongs to the machine that this container runs on"
        place = self.root / path_of(setting.name)
        if self.container and (not os.access(place, os.W_OK) or _is_read_only(place)):
            return "this container may only read it"
        return ""

    @staticmethod
    def _read(place: Path) -> str | None:
        try:
            return normal(place.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            return None


def place_in_order(name: str) -> tuple[bool, str]:
    """Return where a setting comes among the others, to sort by.

    Switching forwarding on or off makes the kernel change others, accept_redirects among them (ip-sysctl.rst of the
    kernel): those two come first, in the file and when values are set.

    Args:
        name: Its name.
    """
    return name not in SWITCHES, name


def sysctl_text(sysctls: Mapping[str, object], container: bool) -> str:
    """Return the text of the kit's file for systemd-sysctl.

    Args:
        sysctls: Wanted values by name.
        container: In one, systemd must not set at boot what the module would not set.
    """
    lines = ["# Written by Sallyport; a change here is undone by its next run."]
    for name in sorted(sysctls, key=place_in_order):
        line = f"{name} = {normal(sysctls[name])}"
        lines.append(f"# {line} (not in a container)" if container and not belongs_to_network(name) else line)
    return "\n".join(lines) + "\n"


def modprobe_text(blacklist: Sequence[str]) -> str:
    """Return the text of the kit's file for modprobe: neither an alias nor a request by name loads these modules.

    Args:
        blacklist: Names of modules.

    Raises:
        KernelError: A name is none of a module.
    """
    lines = ["# Written by Sallyport; a change here is undone by its next run."]
    for name in sorted(set(blacklist)):
        if not MODULE_NAME.fullmatch(name):
            raise KernelError(f"blacklist: {name!r} is no name of a module")
        lines += [f"blacklist {name}", f"install {name} /bin/false"]
    return "\n".join(lines) + "\n"


def loaded_modules(blacklist: Sequence[str], table: str = LOADED) -> list[Module]:
    """Return those of these modules that the kernel has loaded.

    Args:
        blacklist: Names of modules.
        table: The kernel's list of them.
    """
    unwanted = {name.replace("-", "_") for name in blacklist}
    place = Path(table)
    rows = [line.split() for line in place.read_text(encoding="ascii").splitlines()] if place.is_file() else []
    users = {row[0]: [name for name in row[3].split(",") if name not in ("", "-")] for row in rows}
    # used by more than the modules that need it: a file system, or whatever else has opened a disk
    opened = {row[0] for row in rows if row[2].isdigit() and int(row[2]) > len(users[row[0]])}
    return [
        Module(row[0], row[2] != "0", row[0] in DISK_MODULES and not opened.isdisjoint([row[0], *users[row[0]]]))
        for row in rows
        if row[0].replace("-", "_") in unwanted
    ]


def built_in(blacklist: Sequence[str], release: str, root: str = "/lib/modules") -> list[str]:
    """Return those of these modules that are a part of the kernel itself and can never be kept out.

    Args:
        blacklist: Names of modules.
        release: The running kernel's, as `uname -r` says it.
        root: Where modules are installed.
    """
    place = Path(root) / release / "modules.builtin"
    lines = place.read_text(encoding="utf-8").splitlines() if place.is_file() else []
    inside = {Path(line).name.split(".")[0].replace("-", "_") for line in lines}
    return [name for name in sorted(set(blacklist)) if name.replace("-", "_") in inside]


def later_files(sysctls: Mapping[str, object], folders: Sequence[str] = SYSCTL_FOLDERS) -> Iterator[tuple[str, str]]:
    """Yield files that would undo a setting at the next boot, with one line for people.

    Args:
        sysctls: Wanted values by name.
        folders: Where such files are, the most important first.
    """
    wanted = {path_of(name): normal(value) for name, value in sysctls.items()}
    seen: set[str] = set()
    for folder in folders:
        for path in sorted(Path(folder).glob("*.conf")):
            # the kit's own name in another folder is hidden by the kit's file
            if path.name in seen or path.name <= Path(SYSCTL_FILE).name:
                continue
            seen.add(path.name)
            text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
            other = [name for name, value in _lines_of(text) if wanted.get(name, value) != value]
            if other:
                names = ", ".join(name.translate(str.maketrans("./", "/.")) for name in other)
                yield str(path), f"{path}: sets {names} otherwise at the next boot, should not be there"


def _lines_of(text: str) -> Iterator[tuple[str, str]]:
    """Yield the settings of a file of sysctl.d(5): path below /proc/sys, value."""
    for line in text.splitlines():
        name, sign, value = line.strip().partition("=")
        name = name.strip().removeprefix("-")
        if sign and not name.startswith(("#", ";")):
            # whichever of dot and slash stands first joins the words
            slash = "/" in name and name.find("/") < (name.find(".") if "." in name else len(name))
            yield (name if slash else name.translate(str.maketrans("./", "/."))), normal(value)


def _is_read_only(place: Path) -> bool:
    try:
        return bool(os.statvfs(place).f_flag & os.ST_RDONLY)
    except OSError:
        return False
