# SPDX-License-Identifier: GPL-3.0-or-later
"""An export: events as JSON Lines and as a page, with a signed manifest."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sallyport_archive import chain, signing
from sallyport_archive.day_file import open_file
from sallyport_archive.page import write_page
from sallyport_archive.places import ArchiveError
from sallyport_archive.shared_files import SharedFile, files_of, merged

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sallyport_archive.places import Places
    from sallyport_archive.search import Found

README = """What these files are
  events.jsonl        the events, one a line, as the server wrote them, the oldest first
  events.html         the same to read; it needs nothing from the network
  manifest.json       who asked for what, when, why, and the SHA-256 of each file
  manifest.json.sig   signature of the manifest
  signers             the key that signed it
  files.txt           where the IM server keeps the held files, below /var/lib/prosody; only with a case that has some
  files.sha256        their SHA-256, as far as they are known

To check them, in this folder:
  ssh-keygen -Y verify -f signers -I archive -n sallyport-archive-export -s manifest.json.sig < manifest.json
  sha256sum *, and compare with the manifest
The key must be the site's own. Its fingerprint here: {fingerprint}
"""


class Export:
    """A folder that is filled, and then put in its place, whole.

    Attributes:
        count: events so far.
        elsewhere: ids of events whose line is not in the day file any more.
        files: that were shared, by path.

    """

    def __init__(self, places: Places, target: Path) -> None:
        """Begin.

        Args:
            places: where things are.
            target: a folder that does not exist yet, or a file that does not and ends with .tar.

        Raises:
            ArchiveError: it exists, or nothing can be written there.

        """
        if target.exists() or target.is_symlink():
            raise ArchiveError(f"{target} exists already")
        self.places, self.target = places, target
        self.count = 0
        self.elsewhere: list[str] = []
        self.files: dict[str, SharedFile] = {}
        try:
            self.folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        except OSError as error:
            raise ArchiveError(f"{target.parent}: {error.strerror}") from error

    def drop(self) -> None:
        """Remove what is not finished."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def fill(self, found: Iterable[Found]) -> None:
        """Write the events, and look for each in the day file from which it came.

        Args:
            found: the events.

        Raises:
            OSError: it cannot be written.

        """
        with (self.folder / "events.jsonl").open("wb") as stream:
            for item in found:
                line = item.event.line.encode("utf-8")
                stream.write(line + b"\n")
                self.count += 1
                for file in files_of(item.event, item.path.partition("/")[0]):
                    self.files[file.path] = merged(self.files.get(file.path), file)
                if not self._in_file(item, line):
                    self.elsewhere.append(item.event.id)

    def finish(self, asked: dict[str, Any], *, held: bool) -> None:
        """Write the page and the manifest, sign, and put all of it in its place.

        Args:
            asked: who asked for what, when and why.
            held: it is about a case: the shared files are kept, and named.

        Raises:
            ArchiveError: it cannot be signed.
            OSError: it cannot be written.

        """
        public = signing.public_half(self.places.key)
        about = {**asked, "events": self.count, "not_in_day_files": self.elsewhere}
        if held and self.files:
            about["held_files"] = [asdict(file) for _, file in sorted(self.files.items())]
            self._write("files.txt", "".join(f"{path}\n" for path in sorted(self.files)))
            known = (file for _, file in sorted(self.files.items()) if file.sha256)
            self._write("files.sha256", "".join(f"{file.sha256}  {file.path}\n" for file in known))
        write_page(self.folder / "events.jsonl", self.folder / "events.html", about)
        # a renewal of the key meanwhile would leave the signature of one and the name of the other
        with chain.locked(self.places):
            self._write("signers", signing.signers(public.read_text(encoding="ascii")))
            self._write("README.txt", README.format(fingerprint=signing.fingerprint(public)))
            files = [self._describe(file) for file in sorted(self.folder.iterdir())]
            # ASCII only: nothing that a file's name brings can steer the terminal of who reads it
            manifest = json.dumps({**about, "files": files}, indent=1).replace("\x7f", "\\u007f")
            self._write("manifest.json", manifest + "\n")
            signed = signing.sign(self.places.key, f"{manifest}\n".encode("ascii"), signing.EXPORT)
            self._write("manifest.json.sig", signing.armoured(signed))
        if self.target.suffix == ".tar":
            packed = self.folder.with_name(f"{self.folder.name}.tar")
            own = os.open(packed, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(own, "wb") as stream, tarfile.open(fileobj=stream, mode="w") as tar:
                tar.add(self.folder, self.target.stem)
            packed.replace(self.target)
            self.drop()
        else:
            self.folder.replace(self.target)

    def _in_file(self, item: Found, line: bytes) -> bool:
        try:
            with open_file(self.places.hosts / item.path) as stream:
                stream.seek(item.position)
                return stream.read(len(line) + 1) == line + b"\n"
        except OSError:
            return False

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def _describe(self, file: Path) -> dict[str, Any]:
        with file.open("rb") as stream:
            return {
                "name": file.name,
                "size": file.stat().st_size,
                "sha256": hashlib.file_digest(stream, "sha256").hexdigest(),
            }
