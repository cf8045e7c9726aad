# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be there before anything can be sealed: folders, key, the first entry; and another key later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sallyport_archive import chain, signing, uses
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
        elif signing.mend_public_half(places.key):
            made.append("public key")
        if not chain.complete_lines(places.chain):
            public = signing.public_half(places.key)
            chain.append(places, "key", {"public": public.read_text(encoding="ascii").strip()})
            made.append(f"chain, signed by {signing.fingerprint(public)}")
    return made


def renew_key(places: Places, reason: str) -> str:
    """Make another key. The old one signs an entry that names it, and is gone; what follows is signed by the new one.

    Args:
        places: where things are.
        reason: why.

    Returns:
        The new key's fingerprint.

    Raises:
        ArchiveError: there is no reason, or it cannot be made or noted.

    """
    if not reason.strip():
        raise ArchiveError("a new key needs a reason: --reason")
    with chain.locked(places):
        entries = chain.read(places)
        chain.take_new_key(places, entries[-1] if entries else None)
        public = signing.public_half(places.new_key)
        for left in (places.new_key, public):
            left.unlink(missing_ok=True)
        signing.make_key(places.new_key)
        said = {"public": public.read_text(encoding="ascii").strip(), "reason": reason.strip()}
        chain.take_new_key(places, uses.note(places, "renewal", said))
        # the new key's own word, by which verify knows that it was really there
        chain.append(places, "key", {"public": said["public"]})
        return signing.fingerprint(signing.public_half(places.key))
