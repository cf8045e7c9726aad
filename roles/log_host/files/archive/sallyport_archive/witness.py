# SPDX-License-Identifier: GPL-3.0-or-later
"""What another host has seen of the chain, against the chain."""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Any

from sallyport_archive import chain, signing
from sallyport_archive.places import ArchiveError
from sallyport_archive.state import newest

if TYPE_CHECKING:
    from pathlib import Path

    from sallyport_archive.chain import Entry
    from sallyport_archive.verify import Findings

SILENT = datetime.timedelta(hours=3)


def heads_in(lines: list[bytes]) -> list[dict[str, Any]]:
    """Find the heads in the witness's lines.

    Args:
        lines: each a head, or a line of a log that has one as its `message`.

    Returns:
        The heads, in the order in which they came; other lines are passed over.

    """
    found = []
    for line in lines:
        try:
            head = json.loads(line)
            if isinstance(head, dict) and isinstance(head.get("message"), str):
                head = json.loads(head["message"])
        except (ValueError, RecursionError):
            continue
        if isinstance(head, dict) and isinstance(head.get("number"), int) and isinstance(head.get("hash"), str):
            found.append(head)
    return found


def check(entries: list[Entry], file: Path, keys: set[str], now: datetime.datetime, found: Findings) -> None:
    """Compare the chain with what the witness has seen of it.

    Args:
        entries: the chain.
        file: the witness's copy of the heads.
        keys: that signed the chain.
        now: the time.
        found: gets what is wrong.

    Raises:
        ArchiveError: the copy cannot be read.

    """
    try:
        heads = heads_in(file.read_bytes().splitlines())
    except OSError as error:
        raise ArchiveError(f"{file}: {error.strerror}; it should be the witness's copy of heads.jsonl") from error
    if not heads:
        found.problems.append("witness: it has seen nothing of this chain")
        return
    hashes = {entry.number: entry.hash for entry in entries}
    last = max(hashes, default=0)
    other = sorted(
        {head["number"] for head in heads if head["number"] <= last and hashes.get(head["number"]) != head["hash"]}
    )
    lost = sorted({head["number"] for head in heads if head["number"] > last})
    if other:
        first = next(head for head in heads if head["number"] == other[0] and hashes.get(other[0]) != head["hash"])
        found.problems.append(
            f"witness: it has seen another entry {other[0]}"
            + (f" (and {len(other) - 1} others)" if len(other) > 1 else "")
            + (": the chain was made anew" if _genuine(first, keys) else ", which this key did not sign")
        )
    if lost:
        found.problems.append(f"witness: it has seen entries up to {lost[-1]}, the chain ends with {last}")
    same = [head["number"] for head in heads if hashes.get(head["number"]) == head["hash"]]
    if not same:
        return
    signatures = {entry.number: entry.signature for entry in entries}
    found.problems += [
        f"witness: it has seen entry {number} with another signature"
        for number in sorted(
            {
                head["number"]
                for head in heads
                if hashes.get(head["number"]) == head["hash"] and head.get("signature") != signatures[head["number"]]
            }
        )
    ]
    last_seen = newest([entry.time for entry in entries if entry.number <= max(same)], now)
    if now - datetime.datetime.fromisoformat(last_seen) > SILENT:
        found.problems.append(
            f"witness: it has seen nothing since entry {max(same)}, {last_seen}; later ones have no witness"
        )
    else:
        found.notes.append(f"the witness has seen the chain up to entry {max(same)}, {last_seen}")


def _genuine(head: dict[str, Any], keys: set[str]) -> bool:
    signature = head.get("signature")
    text = chain.signed_text(head["number"], head["hash"])
    return isinstance(signature, str) and any(signing.is_signed(key, text, signature, signing.HEAD) for key in keys)
