# SPDX-License-Identifier: GPL-3.0-or-later
"""The nftables of this machine: what is in force, what a text would become, and an atomic change with its way back.

Sources: nft(8), unshare(1), network_namespaces(7).
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ansible_collections.sallyport.im.plugins.module_utils.nft_text import Table, is_timed, parse
from ansible_collections.sallyport.im.plugins.module_utils.programs import Done, ProgramError, missing, run
from ansible_collections.sallyport.im.plugins.module_utils.service_guard import RUN_LINE

OWN = "inet sallyport"
SECONDS = 60
# A namespace lives as long as its first process: the two programs must be its children. The words are arguments, never
# text of the script.
IN_A_NAMESPACE = 'nft -f "$1" && exec nft -s list table "$2" "$3"'
END = "SALLYPORT_END_OF_TABLE"


class NftError(Exception):
    """nft is missing or refuses; the text says what it said."""


def is_installed() -> bool:
    """Tell whether this machine has nft."""
    return not missing(["nft"])


def tables() -> list[str]:
    """List the tables in force, as `inet sallyport`.

    Raises:
        NftError: nft does not answer.
    """
    return [line.removeprefix("table ").strip() for line in _nft("list", "tables").splitlines() if line.strip()]


def listing(table: str) -> str:
    """Return the stateless text of a table in force.

    Args:
        table: family and name.

    Raises:
        NftError: There is none.
    """
    return _nft("-s", "list", "table", *table.split())


def own_table(present: Sequence[str]) -> Table | None:
    """Return the kit's own table as it is in force.

    Args:
        present: the tables in force.

    Raises:
        NftError: nft does not answer.
    """
    return parse(listing(OWN)) if OWN in present else None


def foreign(present: Sequence[str], allowed: Sequence[str]) -> list[str]:
    """Pick the tables that are neither the kit's nor allowed.

    Args:
        present: the tables in force.
        allowed: patterns of others' tables that may stay, as `ip docker*`.
    """
    return [
        table
        for table in present
        if table != OWN and not any(fnmatch.fnmatchcase(table, pattern) for pattern in allowed)
    ]


def canonical(text: str) -> Table:
    """Return what a text becomes when it is in force, by loading it where it does no harm.

    Args:
        text: a table `inet sallyport`, whole.

    Raises:
        NftError: nft or the kernel refuses it.
    """
    with _file(text) as name:
        done = _run(["unshare", "--net", "--", "sh", "-c", IN_A_NAMESPACE, "sh", name, *OWN.split()])
    if done.status != 0:
        said = (done.err or done.out).strip().replace(name, "ruleset")
        hint = ". This needs root with CAP_SYS_ADMIN" if said.startswith("unshare:") else ""
        raise NftError(f"the ruleset cannot be loaded, nothing was changed: {said[-3000:]}{hint}")
    return parse(done.out)


def whole(text: str) -> str:
    """Return a text that replaces the own table, or makes it, in one step.

    Args:
        text: the table, or nothing when it shall go.
    """
    return f"table {OWN}\ndelete table {OWN}\n{text}"


def apply(text: str, remove: Sequence[str]) -> None:
    """Replace the own table and remove others, all at once or not at all.

    Args:
        text: the own table.
        remove: tables that go.

    Raises:
        NftError: nft refuses; nothing was changed.
    """
    with _file(whole(text) + "".join(f"delete table {table}\n" for table in remove)) as name:
        _nft("-f", name)


def held(wanted: Table) -> str:
    """Return words that put into another own table what sets with a timeout hold in the one in force.

    Whoever is let in for a time keeps its time, and its connections are not cut for the moment of a change.

    Args:
        wanted: the other table.

    Raises:
        NftError: nft does not answer.
    """
    names = [head.removeprefix("set ") for head, block in wanted.blocks.items() if is_timed(head, block)]
    listed = json.loads(_nft("-j", "list", "table", *OWN.split()))["nftables"] if names and OWN in tables() else []
    lines = []
    for found in (entry["set"] for entry in listed if "set" in entry):
        elements = [entry["elem"] for entry in found.get("elem", ()) if isinstance(entry, dict) and "elem" in entry]
        left = ", ".join(f"{one['val']} timeout {one['expires']}s" for one in elements if one.get("expires"))
        if found["name"] in names and left:
            lines.append(f"add element {OWN} {found['name']} {{ {left} }}\n")
    return "".join(lines)


def check(text: str) -> None:
    """Ask nft whether the own table could be put back; changes nothing.

    Args:
        text: the table.

    Raises:
        NftError: nft would refuse it.
    """
    try:
        with _file(whole(text)) as name:
            _nft("-c", "-f", name)
    except NftError as error:
        raise NftError(f"the former table could not be put back, so nothing was changed: {error}") from error


def way_back(before: Table | None, saved: dict[str, str], token: str) -> str:
    """Return a shell script that makes the machine's tables be again what they were.

    Args:
        before: the own table before the change; None when there was none.
        saved: files with the text of the tables that the change removes, by table.
        token: names the run, for `service_guard.confirm`.

    Returns:
        The script. A foreign table that nft cannot load again (made by iptables with its own extensions) does not keep
        the own one from coming back.

    Raises:
        NftError: The own table cannot be written into a script.
    """
    # whoever is let in for a time now is so again, until the one who let them in looks
    text = whole(before.text() + held(before) if before else "")
    if END in text:
        raise NftError(f"the table in force holds the word {END}; remove it by hand")
    lines = ["#!/bin/sh", RUN_LINE + token, "status=0", f"nft -f - <<'{END}' || status=1", text.rstrip("\n"), END]
    for table, file in saved.items():
        words = " ".join(map(shlex.quote, table.split()))
        lines.append(
            f"nft list table {words} >/dev/null 2>&1 || nft -f {shlex.quote(file)} ||"
            f" echo {shlex.quote(f'table {table}: nft cannot load it again, its text is in {file}')}"
        )
    return "\n".join([*lines, "exit $status", ""])


@contextlib.contextmanager
def _file(text: str) -> Iterator[str]:
    """Hold a text in a file that only root reads."""
    handle, name = tempfile.mkstemp(prefix="sallyport-", suffix=".nft")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        yield name
    finally:
        Path(name).unlink()


def _nft(*words: str) -> str:
    done = _run(["nft", *words])
    if done.status != 0:
        raise NftError(f"nft {' '.join(words)}: {(done.err or done.out).strip()[-3000:]}")
    return done.out


def _run(argv: Sequence[str]) -> Done:
    try:
        return run(argv, SECONDS)
    except ProgramError as error:
        raise NftError(str(error)) from error
