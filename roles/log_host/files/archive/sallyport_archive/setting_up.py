# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be there before anything can be sealed: folders, key, the first entry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sallyport_archive import chain, signing
from sallyport_archive.places import ArchiveError

if TYPE_CHECKING:
    from sallyport_archive.places import Places


def make_key_and_chain(places: Places) -> list[str]:
    """Make folders, key and first entry; what is there stays.

    Args:
        places: where they go.

    Returns:
        What was made, in plain words; nothing when all was there.

    Raises:
        ArchiveError: the key is lost. A chain without its key is not begun anew: that would be forgery.

    """
    made = []
    places.chain.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    places.hosts.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    (places.chain.parent / "lock").touch(mode=0o600)
    with chain.locked(places):
        if not places.key.exists():
            if places.chain.exists():
                raise ArchiveError(
                    f"{places.key} is missing, and {places.chain} was signed by it; bring it back from the backup"
                )
            signing.make_key(places.key)
            made.append("key")
        if not chain.complete_lines(places.chain):
            public = signing.public_half(places.key)
            chain.append(places, "key", {"public": public.read_text(encoding="ascii").strip()})
            made.append(f"chain, signed by {signing.fingerprint(public)}")
    return made
