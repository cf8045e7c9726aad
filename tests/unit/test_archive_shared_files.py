# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files an export names, and where they lie."""

from __future__ import annotations

from typing import Any

import pytest
from sallyport_archive import events
from sallyport_archive.shared_files import SharedFile, files_of, merged
from unit.archive_host import event

FILES = "files.im.demo.example"
SLOT = "01890a5d-ac96-774b-bcce-b302099a8057"
SHA256 = "0f" * 32
PATH = "files%2eim%2edemo%2eexample/sallyport_held/01890a5d%2dac96%2d774b%2dbcce%2db302099a8057.bin"
UPLOAD = {"kind": "file", "type": "upload", "slot": SLOT, "sha256": SHA256, "file": "a.txt"}
KNOWN = SharedFile("im-int", PATH, "a.txt", SHA256)
LINKED = SharedFile("im-int", PATH)


def of(receiver: str = FILES, **fields: Any) -> list[SharedFile]:
    return files_of(events.read(event(1, receiver=receiver, **fields)), "im-int")


@pytest.mark.parametrize("change", [{}, {"type": "download"}, {"type": "quarantine", "verdict": "refused"}])
def test_a_stored_file_is_named_with_its_hash(change: dict[str, str]) -> None:
    assert of(**{**UPLOAD, **change}) == [KNOWN]


@pytest.mark.parametrize("change", [{"verdict": "refused"}, {"sha256": "../x"}, {"sha256": None}, {"slot": ""}])
def test_what_was_not_stored_is_not(change: dict[str, Any]) -> None:
    assert of(**{**UPLOAD, **change}) == []


def test_an_address_in_a_message_is_enough() -> None:
    body = f"look: https://{FILES}:5281/file_share/{SLOT}/a.txt and https://{FILES}/file_share/x"
    assert of("bob@im.demo.example", body=body) == [
        LINKED,
        SharedFile("im-int", "files%2eim%2edemo%2eexample/sallyport_held/x.bin"),
    ]
    assert of("bob@im.demo.example", body="https://a.example/x") == []


def test_no_name_leads_out_of_the_folder() -> None:
    (found,) = of(**{**UPLOAD, "slot": "../../-x/\n"})
    assert found.path.rpartition("/")[2] == "%2e%2e%2f%2e%2e%2f%2dx%2f%0a.bin"


def test_what_says_more_counts() -> None:
    for known, new in ((None, KNOWN), (LINKED, KNOWN), (KNOWN, LINKED), (KNOWN, KNOWN)):
        assert merged(known, new) == KNOWN
