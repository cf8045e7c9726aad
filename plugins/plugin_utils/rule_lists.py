# SPDX-License-Identifier: GPL-3.0-or-later
"""The lists of a site's rules: text files below its folder, one entry a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ansible_collections.sallyport.im.plugins.plugin_utils.faults import Location, show_value
from ansible_collections.sallyport.im.plugins.plugin_utils.rule_values import check_blocked, check_keyword
from ansible_collections.sallyport.im.plugins.plugin_utils.site_file import SiteFile

LONGEST_FILE = 16 * 1024 * 1024
MOST_LINES = 500_000
ALLOWED = {
    "keywords": "a text file (UTF-8) with a word or phrase in each line; lines that begin with # are left out",
    "blocked": "a text file with a domain, or a domain and a path, in each line; lines that begin with # are left out",
}


def blocked_entry(line: str) -> str:
    """Read a line of a list of blocked addresses.

    Args:
        line: a domain or page; an address with http:// or https://; or a line of a hosts file (0.0.0.0 bad.example).

    Returns:
        See `check_blocked`.

    Raises:
        ValueError: it is none of these.
    """
    words = line.partition("#")[0].split()
    text = words[-1] if len(words) <= 2 else line
    for scheme in ("https://", "http://"):
        text = text.removeprefix(scheme)
    return check_blocked(text.partition("?")[0])


READERS: Mapping[str, Callable[[str], str]] = {"keywords": check_keyword, "blocked": blocked_entry}


def read_list(folder: Path, path: str, kind: str) -> tuple[str, ...]:
    """Read a list.

    Args:
        folder: folder of the site.
        path: of the file, relative to it.
        kind: keywords or blocked.

    Returns:
        Its entries, sorted, each once.

    Raises:
        ValueError: it cannot be read, is too long, holds nothing, or a line that is wrong; the text says which.
    """
    try:
        with (folder / path).open("rb") as stream:
            content = stream.read(LONGEST_FILE + 1)
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise ValueError(f"the file {path} cannot be read: {reason}") from None
    lines = text.splitlines()
    if len(content) > LONGEST_FILE or len(lines) > MOST_LINES:
        raise ValueError(f"the file {path} has more than {LONGEST_FILE} bytes or {MOST_LINES} lines")
    entries = set()
    for number, line in enumerate(lines, 1):
        entry = line.strip()
        if entry and not entry.startswith("#"):
            try:
                entries.add(READERS[kind](entry))
            except ValueError as error:
                raise ValueError(f"the file {path}, line {number}: {show_value(entry)}: {error}") from None
    if not entries:
        raise ValueError(f"the file {path} holds no entry")
    return tuple(sorted(entries))


def list_files(settings: SiteFile) -> Iterator[tuple[Location, str, str]]:
    """List the lists that a site names.

    Args:
        settings: its site file.

    Yields:
        The way to the setting, the path that stands there, and what it is a list of: keywords or blocked.
    """
    for number, rule in enumerate(settings.rules):
        here: Location = ("sallyport", "rules", number)
        for place, path in enumerate(rule.keyword_files):
            yield (*here, "keyword_files", place), path, "keywords"
        for place, path in enumerate(rule.links.blocked_files if rule.links else ()):
            yield (*here, "links", "blocked_files", place), path, "blocked"


def lists_of(folder: Path, settings: SiteFile) -> tuple[Mapping[str, tuple[str, ...]], list[tuple[Location, str, str]]]:
    """Read all lists of a site.

    Args:
        folder: folder of the site.
        settings: its site file.

    Returns:
        Entries by the file's path; and what is wrong: the way to the setting, what it is, what is allowed.
    """
    found: dict[str, tuple[str, ...]] = {}
    kinds: dict[str, str] = {}
    faults: list[tuple[Location, str, str]] = []
    for location, path, kind in list_files(settings):
        if kinds.setdefault(path, kind) != kind:
            faults.append((location, f"the file {path} is a list of {kinds[path]} elsewhere", ALLOWED[kind]))
        elif path not in found:
            try:
                found[path] = read_list(folder, path, kind)
            except ValueError as error:
                faults.append((location, str(error), ALLOWED[kind]))
    return found, faults
