#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel settings and kept-out modules, now and at the next boot; the rules are in module_utils/kernel_settings.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_settings
short_description: Kernel settings and kept-out modules are in force, now and at the next boot
version_added: "0.1.0"
description:
  - Compares the values of the running kernel with those wanted, sets those that differ, and writes
    C(/etc/sysctl.d/60-sallyport.conf) for the next boot. A file that is read later and sets one of these names
    otherwise would undo it; it is moved to C(/var/lib/sallyport/removed/), and is a failure when it is a package's.
  - Writes C(/etc/modprobe.d/sallyport.conf), which keeps modules out whoever asks for them, and unloads those that are
    loaded and unused.
  - In a container only settings of the network (C(net.*)) are ever written, even where the container could write
    others, since they would change the machine. What is wrong and cannot be set from there is returned in
    RV(not_applicable) with the reason, and is no difference. What is right already is not mentioned.
  - On a machine with a kernel of its own a value that the kernel does not take is a failure. What the kernel does not
    have at all, a built-in module, and a module in use (it is kept out from the next boot on) are in
    RV(not_applicable). Not so C(usb_storage) and C(uas) when a disk in use hangs on them - that is a failure before
    anything is changed, since the machine might not boot without.
options:
  sysctls:
    description:
      - Values by the names of sysctl.d(5). C(*) stands for any word, to reach each network interface; a name without
        it goes first.
    type: dict
    default: {}
  blacklist:
    description: Names of modules that the kernel must not load.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
    description: Says the same differences and changes nothing.
  diff_mode:
    support: full
    description: Shows the files and the values before and after.
author: The Sallyport engineers (@sallyport)
"""

EXAMPLES = r"""
- name: The kernel keeps its addresses to itself and takes no redirects
  sallyport.im.kernel_settings:
    sysctls:
      kernel.kptr_restrict: 2
      net.ipv4.conf.*.accept_redirects: 0
    blacklist: [dccp, sctp]
"""

RETURN = r"""
differences:
  description: One line for each thing that is not as it should be; the same in check mode.
  type: list
  elements: str
  returned: always
  sample: ["kernel.kptr_restrict: is 0, should be 2"]
not_applicable:
  description: What is not as it should be and cannot be made so from here, with the reason.
  type: list
  elements: str
  returned: always
  sample: ["kernel.kptr_restrict: is 0, should be 2; it belongs to the machine that this container runs on"]
moved:
  description: Where files were moved that would undo a setting, by the path at which they stood.
  type: dict
  returned: always
  sample: {}
"""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sallyport.im.plugins.module_utils import atomic_files, kernel_settings
from ansible_collections.sallyport.im.plugins.module_utils.kernel_settings import KernelError, Setting, Settings
from ansible_collections.sallyport.im.plugins.module_utils.programs import ProgramError, run
from ansible_collections.sallyport.im.plugins.module_utils.run_lock import LockError, RunLock

REMOVED = "/var/lib/sallyport/removed"
LOCK = "/run/sallyport/kernel_settings.lock"
FILE_MODE = 0o644


@dataclass
class Work:
    """What is to be done, and what cannot be.

    Attributes:
        files: Texts of the kit's files that differ, by path.
        aside: Foreign files to move away.
        settings: Values to set.
        modules: Modules to unload.
        differences: One line for each of these.
        not_applicable: What cannot be made right from here.
        diff: What diff mode shows.
    """

    files: dict[str, str] = field(default_factory=dict)
    aside: list[str] = field(default_factory=list)
    settings: list[Setting] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    not_applicable: list[str] = field(default_factory=list)
    diff: list[dict[str, str]] = field(default_factory=list)

    def differ(self, line: str, header: str, before: str, after: str) -> None:
        """Note a difference and its diff."""
        self.differences.append(line)
        self.diff.append({"before_header": header, "after_header": header, "before": before, "after": after})


def compare(sysctls: dict[str, Any], blacklist: list[str], live: Settings) -> Work:
    """Compare this host with what is wanted.

    Args:
        sysctls: Values by name.
        blacklist: Modules to keep out.
        live: The running kernel.

    Raises:
        KernelError: Something wanted is malformed, or would take a disk from this machine.
        OSError: A file cannot be read.
    """
    work = Work()
    settings = live.compare(sysctls)
    texts = {
        kernel_settings.SYSCTL_FILE: kernel_settings.sysctl_text(sysctls, live.container),
        kernel_settings.MODPROBE_FILE: kernel_settings.modprobe_text(blacklist),
    }
    for path, text in texts.items():
        now = atomic_files.look(path)
        if now.kind != "file" or now.content != text.encode():
            state = (
                "has another text, should have the kit's" if now.kind == "file" else f"is {now.kind}, should be a file"
            )
            work.files[path] = text
            work.differ(f"{path}: {state}", path, now.content.decode("utf-8", "replace"), text)
        elif (now.uid, now.gid, now.mode) != (0, 0, FILE_MODE):
            rights = f"user {now.uid}, group {now.gid}, mode {now.mode:04o}"
            work.files[path] = text
            work.differ(f"{path}: is {rights}, should be user 0, group 0, mode {FILE_MODE:04o}", path, rights, "")
    for path, line in kernel_settings.later_files(sysctls):
        if path.startswith("/usr/lib/"):
            raise KernelError(f"{line}; it belongs to a package, so leave the setting out or remove the package")
        work.aside.append(path)
        work.differ(line, path, f"{path}\n", "")
    for setting in settings:
        if setting.is_now is None:
            work.not_applicable.append(f"{setting.name}: this kernel does not offer it here")
        elif not setting.is_right:
            if reason := live.may_write(setting):
                work.not_applicable.append(f"{setting.difference()}; {reason}")
            else:
                work.settings.append(setting)
                header = setting.name
                work.differ(setting.difference(), header, f"{setting.is_now}\n", f"{setting.wanted}\n")
    _compare_modules(blacklist, live.container, work)
    return work


def _compare_modules(blacklist: list[str], container: bool, work: Work) -> None:
    for module in kernel_settings.loaded_modules(blacklist):
        line = f"module {module.name}: is loaded, should not be"
        if container:
            work.not_applicable.append(f"{line}; it belongs to the machine that this container runs on")
        elif module.carries_disk:
            raise KernelError(
                f"{line}; but a disk of this machine hangs on it, and it would not boot without; add it to"
                " baseline_allowed_modules. Nothing was changed"
            )
        elif module.in_use:
            work.not_applicable.append(f"{line}; it is in use, and is kept out from the next boot on")
        else:
            work.modules.append(module.name)
            work.differ(line, f"module {module.name}", "loaded\n", "")
    for name in kernel_settings.built_in(blacklist, os.uname().release):
        work.not_applicable.append(f"module {name}: is a part of this kernel, and cannot be kept out of it")


def mend(work: Work, live: Settings) -> dict[str, str]:
    """Do what is to be done; the next boot is cared for first, so that an interrupted run leaves nothing half.

    Args:
        work: What `compare` found; what the kernel of a container refuses goes into `not_applicable`.
        live: The running kernel.

    Returns:
        Where files were moved.

    Raises:
        KernelError: A kernel of this machine's own does not take a value, or does not let a module go.
        OSError: A file cannot be written or moved.
    """
    moved = {}
    aside = f"{REMOVED}/{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-kernel_settings"
    for path, text in work.files.items():
        if atomic_files.look(path).kind in ("directory", "other"):
            atomic_files.move(path, aside + path)
            moved[path] = aside + path
        if not Path(path).parent.is_dir():
            Path(path).parent.mkdir(mode=0o755)
        atomic_files.write(path, text.encode(), 0, 0, FILE_MODE)
    for path in work.aside:
        atomic_files.move(path, aside + path)
        moved[path] = aside + path
    refused = []
    for setting in work.settings:
        if reason := live.write(setting):
            refused.append(f"{setting.difference()}; {reason}")
    for name in work.modules:
        done = run(["modprobe", "--remove", name], 30, join=True)
        if done.status != 0:
            refused.append(f"module {name}: is loaded, should not be; modprobe refuses: {done.out.strip()}")
    if refused and not live.container:
        raise KernelError("; ".join(refused))
    work.not_applicable += refused
    return moved


def main() -> None:
    """Run the module."""
    spec = {
        "sysctls": {"type": "dict", "default": {}},
        "blacklist": {"type": "list", "elements": "str", "default": []},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    work, moved = Work(), {}
    try:
        with RunLock(LOCK, 60):
            live = Settings(kernel_settings.in_container())
            work = compare(module.params["sysctls"], module.params["blacklist"], live)
            if work.differences and not module.check_mode:
                moved = mend(work, live)
    except (OSError, KernelError, ProgramError, LockError) as error:
        module.fail_json(msg=f"kernel settings: {error}", differences=work.differences)
    module.exit_json(
        changed=bool(work.differences),
        differences=work.differences,
        not_applicable=work.not_applicable,
        moved=moved,
        diff=work.diff,
    )


if __name__ == "__main__":
    main()
