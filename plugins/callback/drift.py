# SPDX-License-Identifier: GPL-3.0-or-later
"""Print what differs on the hosts from what is declared, and nothing else."""

from __future__ import annotations

DOCUMENTATION = r"""
name: drift
type: stdout
short_description: What differs on the hosts from what is declared
version_added: "0.1.0"
description:
  - Meant for C(ansible-playbook --check). Prints, host by host, the differences that the kit's modules found; for other
    modules the task's name and the paths concerned. Contents of files are never printed.
  - Failures and hosts that cannot be reached are shown plainly. The last line is the sum.
  - A callback cannot set the exit status. It writes each difference as one line of JSON to O(file), which is empty
    when nothing differs, so that the caller can tell.
options:
  file:
    description: Where the differences are written, one JSON object a line with host, task and difference.
    type: path
    env:
      - name: SALLYPORT_DRIFT_FILE
  site:
    description: Name of the site in the last line; the inventory's name when not given.
    type: str
    env:
      - name: SALLYPORT_SITE
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    """Collects differences by host and prints them at the end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "sallyport.im.drift"

    def __init__(self) -> None:
        """Start with no difference."""
        super().__init__()
        self.differences: dict[str, list[tuple[str, str]]] = {}
        self.troubles: list[str] = []

    def v2_runner_on_ok(self, result: Any) -> None:
        """Collect what a task would change.

        Args:
            result: The task's result on one host.
        """
        task = result.task_name
        for line in lines_of(result.result, task):
            self.differences.setdefault(result.host.get_name(), []).append((task, line))

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Show a failure at once.

        Args:
            result: The task's result on one host.
            ignore_errors: Whether the play goes on regardless.
        """
        if not ignore_errors:
            self._trouble(result, "failed", str(result.result.get("msg") or "no message"))

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Show a host that cannot be reached.

        Args:
            result: The task's result on one host.
        """
        self._trouble(result, "cannot be reached", str(result.result.get("msg") or "no message"))

    def v2_playbook_on_no_hosts_matched(self) -> None:
        """Say that a play has no host: nothing was compared."""
        self._display.display("no host matches: nothing was compared", color="red")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Print the differences by host and the sum, and write the file.

        Args:
            stats: Whom the run dealt with.
        """
        for host in sorted(self.differences):
            self._display.display(f"{host}:")
            for _task, line in self.differences[host]:
                self._display.display(f"  {printable(line)}", color="yellow")
        self._display.display(self.summary(len(stats.processed)))
        self._write()

    def summary(self, hosts: int) -> str:
        """Return the last line.

        Args:
            hosts: How many hosts were looked at.
        """
        count = sum(len(lines) for lines in self.differences.values())
        site = self.get_option("site") or site_name(context.CLIARGS.get("inventory") or ())
        if count:
            text = f"{site}: {_many(count, 'difference')} on {_many(len(self.differences), 'host')}"
        elif self.troubles:
            text = f"{site}: not everything could be compared"
        elif not hosts:
            text = f"{site}: no host was looked at"
        else:
            text = f"{site}: no difference on {_many(hosts, 'host')}"
        return f"{text}; {_many(len(self.troubles), 'failure')}" if self.troubles else text

    def _trouble(self, result: Any, what: str, message: str) -> None:
        self.troubles.append(result.host.get_name())
        text = "\n".join(printable(line) for line in message.splitlines())
        self._display.display(f"{result.host.get_name()}: {what}: {result.task_name}: {text}", color="red")

    def _write(self) -> None:
        path = self.get_option("file")
        if not path:
            return
        rows = [
            json.dumps({"host": host, "task": task, "difference": line}, ensure_ascii=False)
            for host in sorted(self.differences)
            for task, line in self.differences[host]
        ]
        Path(path).write_text("".join(row + "\n" for row in rows), encoding="utf-8")


def printable(line: str) -> str:
    """Return a line that is safe on a terminal: names of files and accounts on a host are chosen by others.

    Args:
        line: what a host said.
    """
    return "".join(mark if mark.isprintable() else f"\\u{ord(mark):04x}" for mark in line)


def lines_of(result: Mapping[str, Any], task: str) -> Iterator[str]:
    """Yield one line for each difference in a task's result.

    Args:
        result: The result, a loop's too.
        task: The task's name.
    """
    if isinstance(result.get("results"), list) and result.get("results"):
        for item in result["results"]:
            if isinstance(item, Mapping):
                label = item.get("_ansible_item_label", item.get("item"))
                name = f"{task} ({label})" if isinstance(label, str | int) else task
                yield from lines_of(item, name)
        return
    if not result.get("changed"):
        return
    differences = result.get("differences")
    if isinstance(differences, list) and differences:
        yield from (str(line) for line in differences)
        return
    paths = list(_paths(result))
    yield f"{task}: {', '.join(paths)}" if paths else task


def site_name(inventories: Any) -> str:
    """Return the name of a site's folder from the inventory that was given.

    Args:
        inventories: Values of --inventory.
    """
    for inventory in inventories:
        path = Path(str(inventory))
        folder = path if path.is_dir() else path.parent
        if folder.name:
            return folder.name
    return "site"


def _paths(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield the paths that a module's diff is about; never what stands in them."""
    diff = result.get("diff")
    seen = set()
    for entry in diff if isinstance(diff, list) else [diff]:
        if isinstance(entry, Mapping):
            header = entry.get("after_header") or entry.get("before_header")
            if isinstance(header, str) and header not in seen:
                seen.add(header)
                yield header


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
