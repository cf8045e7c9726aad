# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files that people shared are in an export, and where the IM server keeps them while they are held. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sallyport_archive.events import Event

KEPT = "sallyport_held"
"""The folder in which the decision point keeps what is held (holds.lib.lua), below that of the files' domain."""
LINK = re.compile(r"https://([\w.-]+)(?::\d+)?/file_share/([\w-]+)", re.ASCII)
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class SharedFile:
    """A file that somebody shared.

    Attributes:
        server: the host on which it lies.
        path: below /var/lib/prosody there.
        name: as it was shared; empty when only its address was seen.
        sha256: hexadecimal, or empty, too.

    """

    server: str
    path: str
    name: str = ""
    sha256: str = ""


def files_of(event: Event, server: str) -> list[SharedFile]:
    """Return the files of which an event tells: one that was stored, or those whose addresses are in a message.

    Args:
        event: the event.
        server: the host from which it came.

    Returns:
        The files.

    """
    said = {name: value for name, value in event.fields.items() if isinstance(value, str)}
    if event.kind == "file":
        stored = event.verdict == "allowed" or said.get("type") == "quarantine"
        if not (stored and said.get("slot") and said.get("to") and DIGEST.fullmatch(said.get("sha256", ""))):
            return []
        return [SharedFile(server, _path(said["to"], said["slot"]), said.get("file", ""), said["sha256"])]
    return [SharedFile(server, _path(domain, slot)) for domain, slot in LINK.findall(said.get("body", ""))]


def merged(known: SharedFile | None, new: SharedFile) -> SharedFile:
    """Return of two things that are known of a file the one that says more."""
    return new if known is None or (new.sha256 and not known.sha256) else known


def _path(domain: str, slot: str) -> str:
    return f"{_encoded(domain)}/{KEPT}/{_encoded(slot)}.bin"


def _encoded(name: str) -> str:
    """Write a name as Prosody's storage does (util.datamanager): all but ASCII letters and digits as %xx."""
    return "".join(
        chr(c) if chr(c).isascii() and chr(c).isalnum() else f"%{c:02x}" for c in name.encode("utf-8", "replace")
    )
