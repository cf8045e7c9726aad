# SPDX-License-Identifier: GPL-3.0-or-later
"""A log host's files in a folder, for the tests of the archive program; nothing of it needs the database."""

from __future__ import annotations

import datetime
import json
import uuid
from pathlib import Path
from typing import Any

from sallyport_archive import chain, setting_up, signing
from sallyport_archive.places import Places
from sallyport_archive.seal import seal
from sallyport_archive.verify import Findings, verify

ALICE, BOB, CARL = (f"{name}@im.demo.example" for name in ("alice", "bob", "carl"))
DAY = "2026-03-01"


def event(number: int, sender: str = ALICE, receiver: str = BOB, day: str = DAY, **fields: Any) -> bytes:
    """Return the line of an event, without its end; number makes its id and its time, in seconds of the day."""
    said = {
        "v": 2,
        "id": str(uuid.UUID(int=number + 1)),
        "time": f"{day}T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}.000Z",
        "server": "im.demo.example",
        "kind": "message",
        "from": f"{sender}/desk",
        "to": receiver,
        "room": None,
        "type": "chat",
        "stanza_id": "a",
        "bytes": 300,
        "verdict": "allowed",
        "rule": "contact",
        "reason": "",
        **fields,
    }
    return json.dumps(said).encode()


class LogHost:
    """The files of a log host."""

    def __init__(self, root: Path) -> None:
        """Makes the key and the chain."""
        self.places = Places(root)
        self.now = datetime.datetime.now(datetime.UTC)
        setting_up.make_key_and_chain(self.places)

    @property
    def public(self) -> str:
        """The public key."""
        return signing.public_half(self.places.key).read_text(encoding="ascii")

    def file(self, day: str = DAY, host: str = "im-int", stream: str = "im") -> Path:
        """Returns a day file's path."""
        return self.places.hosts / host / day / f"{stream}.jsonl"

    def add(self, *lines: bytes, day: str = DAY, host: str = "im-int", stream: str = "im") -> Path:
        """Appends whole lines to a day file."""
        file = self.file(day, host, stream)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as target:
            target.writelines(line + b"\n" for line in lines)
        return file

    def seal(self) -> list[str]:
        """Seals; returns the problems."""
        problems: list[str] = seal(self.places).content["problems"]
        return problems

    def verify(self, heads: Path | None = None) -> Findings:
        """Verifies, by the key as it is now."""
        return verify(self.places, self.public, heads, datetime.datetime.now(datetime.UTC))

    def wrong(self, heads: Path | None = None) -> str:
        """Verifies; returns the problems as one text."""
        return "\n".join(self.verify(heads).problems)

    def entries(self) -> list[chain.Entry]:
        """Returns the chain."""
        return chain.read(self.places)

    def settings(self, messages: object = 30, system: object = 10) -> None:
        """Writes the settings."""
        self.places.settings.parent.mkdir(parents=True, exist_ok=True)
        self.places.settings.write_text(json.dumps({"messages_days": messages, "system_days": system}))
