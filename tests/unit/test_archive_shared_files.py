# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files an export names, and where they lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sallyport_archive import events, holding, signing
from sallyport_archive.export import Export
from sallyport_archive.places import ArchiveError, Places
from sallyport_archive.search import Found
from sallyport_archive.shared_files import SharedFile, files_of, merged
from unit.archive_host import ALICE, LogHost, event

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


@pytest.mark.parametrize(
    "change", [{"file": "\ud800.txt"}, {"file": "a\u009b2J\u202e\x7f.txt"}, {"receiver": "\ud800"}]
)
def test_a_manifest_is_plain_text_whatever_a_file_is_called(tmp_path: Path, change: dict[str, str]) -> None:
    host = LogHost(tmp_path / "log")
    fields: dict[str, Any] = {"receiver": FILES, **UPLOAD, **change}
    export = Export(host.places, tmp_path / "out")
    export.fill([Found(events.read(event(1, **fields)), "im-int/2026-03-01/im.jsonl", 0)])
    export.finish({"time": "", "who": "eva", "asked": {}, "reason": "x"}, held=True)
    manifest = (tmp_path / "out/manifest.json").read_text(encoding="ascii")
    assert manifest.replace("\n", "").isprintable()
    assert json.loads(manifest)["held_files"][0]["name"] == fields["file"]
    signature = "".join((tmp_path / "out/manifest.json.sig").read_text().splitlines()[1:-1])
    assert signing.is_signed(host.public, manifest.encode(), signature, signing.EXPORT)


def test_what_says_more_counts() -> None:
    for known, new in ((None, KNOWN), (LINKED, KNOWN), (KNOWN, LINKED), (KNOWN, KNOWN)):
        assert merged(known, new) == KNOWN


def test_the_servers_are_told_whose_word_the_holds_are(tmp_path: Path) -> None:
    host = LogHost(tmp_path / "log")
    chain = host.entries()[0].hash
    assert holding.for_servers(host.places) == {"format": 1, "chain": chain, "number": 0, "holds": []}
    name = holding.hold(host.places, people=[ALICE], rooms=[], case="", span=(None, None), reason="court")
    told = holding.for_servers(host.places)
    assert (told["chain"], told["number"], [one["hold"] for one in told["holds"]]) == (chain, 2, [name])
    # nothing differs by what else the chain gets
    host.seal()
    assert holding.for_servers(host.places) == told
    holding.release(host.places, name, "settled")
    assert holding.for_servers(host.places) == {"format": 1, "chain": chain, "number": 4, "holds": []}


def test_no_chain_is_not_the_same_as_no_hold(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="there is no chain"):
        holding.for_servers(Places(tmp_path))
