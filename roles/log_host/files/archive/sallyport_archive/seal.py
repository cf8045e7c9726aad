# SPDX-License-Identifier: GPL-3.0-or-later
"""Sealing: what came since the last seal gets a hash in a signed entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sallyport_archive import chain
from sallyport_archive.contents import contents, whole_lines
from sallyport_archive.places import DayFile, day_files
from sallyport_archive.state import FileState, fold

if TYPE_CHECKING:
    from sallyport_archive.chain import Entry
    from sallyport_archive.places import Places


def seal(places: Places) -> Entry:
    """Append a seal, of the files that grew; one in which nothing is new says that the archive was alive.

    What no longer has its sealed content is not sealed anew, so that `verify` goes on to name it.

    Args:
        places: where things are.

    Returns:
        The entry; its `problems` name files that are not what they were.

    Raises:
        ArchiveError: the chain cannot be read, signed or written.

    """
    with chain.files_locked(places):
        state = fold(chain.read(places))
        grown: list[dict[str, Any]] = []
        problems: list[str] = []
        for file in day_files(places.hosts):
            try:
                _look(file, state.files.get(file.path), grown, problems)
            except OSError as error:
                problems.append(f"{file.path}: cannot be read: {error.strerror}")
        there = {file.path for file in day_files(places.hosts)}
        gone = (path for path, known in state.files.items() if known.marks and path not in there)
        problems += [f"{path}: is not there any more" for path in gone]
        with chain.locked(places):
            return chain.append(places, "seal", {"files": grown, "problems": problems})


def _look(file: DayFile, known: FileState | None, grown: list[dict[str, Any]], problems: list[str]) -> None:
    """Look at one file; what changed goes into one of the lists."""
    sealed = known.sealed if known else None
    size = whole_lines(file.file)
    if sealed is None:
        if size and known is None:
            grown.append({"path": file.path, **contents(file.file, [size])[0].as_dict()})
        elif size:
            problems.append(f"{file.path}: is there again after it was removed")
    elif size < sealed.size:
        problems.append(f"{file.path}: is shorter than sealed")
    elif size > sealed.size:
        before, after = contents(file.file, [sealed.size, size])
        if before == sealed:
            grown.append({"path": file.path, **after.as_dict()})
        else:
            problems.append(f"{file.path}: is not what was sealed")
