# SPDX-License-Identifier: GPL-3.0-or-later
"""The chain: numbered entries, each with the hash of the one before it, each signed. It is only ever appended to.

What is known of the files (sealed, removed by which rule), what is held and who used the archive is in it and nowhere
else. The number and hash of each entry, its head, are also written for another host, the witness: root of the log host
could make another chain, but not the one that the witness has seen.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import functools
import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sallyport_archive import signing
from sallyport_archive.places import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sallyport_archive.places import Places

START = "0" * 64


@dataclass(frozen=True)
class Entry:
    """One entry.

    Attributes:
        number: 1 for the first.
        time: when it was made, as the host's clock had it, RFC 3339.
        kind: `key`, `renewal`, `seal`, `tombstone`, `hold`, `release`, `accept` or `use`.
        previous: hash of the entry before it.
        content: what it says, by kind.
        signature: over its head, in base64.

    """

    number: int
    time: str
    kind: str
    previous: str
    content: dict[str, Any]
    signature: str = ""

    @property
    def moment(self) -> datetime.datetime:
        """When it was made."""
        return datetime.datetime.fromisoformat(self.time)

    @property
    def body(self) -> dict[str, Any]:
        """All that the hash covers."""
        return {"number": self.number, "time": self.time, "kind": self.kind, "previous": self.previous, **self.content}

    @functools.cached_property
    def hash(self) -> str:
        """SHA-256 of the entry in its canonical form, hexadecimal."""
        return hashlib.sha256(canonical(self.body)).hexdigest()

    @property
    def head(self) -> dict[str, Any]:
        """What the witness gets."""
        return {"number": self.number, "time": self.time, "hash": self.hash, "signature": self.signature}


def canonical(content: dict[str, Any]) -> bytes:
    """Return the one form of some content that is hashed: sorted keys, no spaces, ASCII."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def line_of(entry: Entry) -> bytes:
    """Return the one form in which an entry stands in the chain."""
    return canonical({"entry": entry.body, "signature": entry.signature})


def signed_text(number: int, digest: str) -> bytes:
    """Return what the signature of a head is over; the witness can check it without the entry."""
    return f"{number} {digest}\n".encode("ascii")


def now() -> str:
    """Return the time, RFC 3339, UTC, whole seconds."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse(line: bytes) -> Entry:
    """Read one line of the chain.

    Args:
        line: without its end.

    Returns:
        The entry, not checked.

    Raises:
        ValueError: it is none.

    """
    try:
        read = json.loads(line)
        canonical({"": read})
    except RecursionError as error:
        raise ValueError("not an entry") from error
    if not isinstance(read, dict) or not isinstance(read.get("entry"), dict):
        raise ValueError("not an entry")
    body, signature = dict(read["entry"]), read.get("signature")
    number, texts = body.pop("number", None), [body.pop(name, None) for name in ("time", "kind", "previous")]
    if not isinstance(number, int) or not all(isinstance(text, str) for text in [*texts, signature]):
        raise ValueError("not an entry")
    time, kind, previous = map(str, texts)
    found = Entry(number, time, kind, previous, body, str(signature))
    if found.moment.tzinfo is None:
        raise ValueError("its time has no zone")
    return found


def read(places: Places) -> list[Entry]:
    """Read the whole chain, for those who go by it. Whether it is genuine is for `verify` to say.

    Args:
        places: where it is.

    Returns:
        Its entries; none when there is no chain yet.

    Raises:
        ArchiveError: a line of it is no entry, or the numbers have a gap: nothing is removed or held by a broken chain.

    """
    entries: list[Entry] = []
    for count, line in enumerate(complete_lines(places.chain), 1):
        try:
            entries.append(parse(line))
        except ValueError as error:
            raise ArchiveError(f"line {count} of {places.chain} is no entry; run sallyport-archive verify") from error
        if entries[-1].number != count:
            raise ArchiveError(f"{places.chain}: entry {count} is missing; run sallyport-archive verify")
    return entries


def complete_lines(file: Path) -> list[bytes]:
    """Return the lines of a file that have an end; none when there is no file."""
    try:
        return file.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    except PermissionError as error:
        raise ArchiveError(f"{file} may not be read; use sudo") from error


@contextlib.contextmanager
def locked(places: Places) -> Iterator[None]:
    """Be the only one who appends to the chain. Others wait, so it is short."""
    with _lock(places, "lock", fcntl.LOCK_EX):
        yield


@contextlib.contextmanager
def files_locked(places: Places, *, only_looks: bool = False) -> Iterator[None]:
    """Be sure that nobody seals, removes or accepts files meanwhile. Whoever needs both locks takes this one first.

    Args:
        places: where the lock is.
        only_looks: others may look, too.

    Yields:
        While it is so.

    Raises:
        ArchiveError: there is no archive, or it may not be changed.

    """
    with _lock(places, "files-lock", fcntl.LOCK_SH if only_looks else fcntl.LOCK_EX):
        yield


@contextlib.contextmanager
def _lock(places: Places, name: str, how: int) -> Iterator[None]:
    try:
        descriptor = os.open(places.chain.with_name(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError as error:
        raise ArchiveError("there is no archive yet; run sallyport-archive setup") from error
    except PermissionError as error:
        raise ArchiveError("only root changes the archive; use sudo") from error
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def append(places: Places, kind: str, content: dict[str, Any]) -> Entry:
    """Append an entry, and give its head to the witness. For who holds the lock.

    Args:
        places: where the chain is.
        kind: of the entry.
        content: what it says; texts, whole numbers, lists and mappings of them.

    Returns:
        The entry, which is on the disk.

    Raises:
        ArchiveError: it cannot be signed or written; nothing was appended then.

    """
    _mend(places.chain)
    last = _last(places.chain)
    take_new_key(places, last)
    new = Entry(last.number + 1 if last else 1, now(), kind, last.hash if last else START, content)
    signed = signing.sign(places.key, signed_text(new.number, new.hash), signing.HEAD)
    new = Entry(new.number, new.time, kind, new.previous, content, signed)
    append_line(places.chain, line_of(new), 0o640)
    _witness(places, last, new)
    return new


def take_new_key(places: Places, last: Entry | None) -> None:
    """Put the new key in the place of the old one, when the last entry names it. For who holds the lock.

    So a renewal is finished by whoever appends next, when the one who began it died.

    Args:
        places: where the keys are.
        last: the last entry.

    Raises:
        OSError: it cannot be put there.

    """
    public, beside = signing.public_half(places.key), signing.public_half(places.new_key)
    if last is None or last.kind != "renewal" or not (places.new_key.exists() and beside.exists()):
        return
    if not signing.same(beside.read_text(encoding="ascii"), last.content["public"]):
        return
    public.write_text(f"{last.content['public']}\n", encoding="ascii")
    signing.to_disk(public)
    # after the public half is there: as long as the new key has this name, this is done again
    places.new_key.replace(places.key)
    signing.to_disk(places.key.parent)
    beside.unlink()


def append_line(file: Path, line: bytes, mode: int) -> None:
    """Append a line in one write, and wait until it is on the disk.

    Args:
        file: the file, made when it is not there.
        line: without its end.
        mode: permissions of a new file.

    Raises:
        ArchiveError: it cannot be written whole.

    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, mode)
        try:
            # whatever the umask of whoever came first
            os.fchmod(descriptor, mode)
            if os.write(descriptor, line + b"\n") != len(line) + 1:
                raise ArchiveError(f"{file} cannot be written: the disk is full")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ArchiveError(f"{file} cannot be written: {error.strerror}") from error


def _mend(file: Path) -> None:
    """Take away the beginning of a line whose writer died: nobody was told that it is there."""
    try:
        with file.open("r+b") as stream:
            whole = stream.read()
            if whole and not whole.endswith(b"\n"):
                stream.truncate(whole.rfind(b"\n") + 1)
    except FileNotFoundError:
        pass


def _last(file: Path) -> Entry | None:
    """Return the last entry."""
    lines = complete_lines(file)
    if not lines:
        return None
    try:
        return parse(lines[-1])
    except ValueError as error:
        raise ArchiveError(f"the last line of {file} is no entry; run sallyport-archive verify") from error


def _witness(places: Places, last: Entry | None, new: Entry) -> None:
    """Write the new head; before it that of the entry before, when whoever appended that one died first."""
    heads = complete_lines(places.heads)
    if last and not any(f'"hash":"{last.hash}"'.encode() in head for head in heads[-3:]):
        append_line(places.heads, canonical(last.head), 0o644)
    append_line(places.heads, canonical(new.head), 0o644)
