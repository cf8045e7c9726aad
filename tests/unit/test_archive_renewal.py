# SPDX-License-Identifier: GPL-3.0-or-later
"""Another key for the archive: verify follows the chain over it, and nobody else's key gets in that way."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sallyport_archive import chain, setting_up, signing, uses
from sallyport_archive.export import Export
from sallyport_archive.places import ArchiveError
from sallyport_archive.verify import Findings, verify
from unit.archive_host import LogHost, event


@pytest.fixture
def host(tmp_path: Path) -> LogHost:
    """One sealed file."""
    made = LogHost(tmp_path / "log")
    made.add(*[event(n) for n in range(10)])
    made.seal()
    return made


def by(host: LogHost, public: str, heads: Path | None = None) -> Findings:
    """Verify by a key that was kept."""
    return verify(host.places, public, heads, host.now)


def rewrite(host: LogHost, kind: str, public: str, key: Path) -> None:
    """Append an entry that a forger signs."""
    last = host.entries()[-1]
    content = {"public": public, "reason": "x", "who": "eve"}
    new = chain.Entry(last.number + 1, last.time, kind, last.hash, content)
    signed = signing.sign(key, chain.signed_text(new.number, new.hash), signing.HEAD)
    chain.append_line(host.places.chain, chain.canonical({"entry": new.body, "signature": signed}), 0o640)
    chain.append_line(host.places.uses, chain.canonical(new.body), 0o640)


def test_the_chain_goes_on_by_another_key(host: LogHost, tmp_path: Path) -> None:
    keys, fingerprints = [host.public], set()
    for _ in range(2):
        fingerprints.add(setting_up.renew_key(host.places, "someone left"))
        keys.append(host.public)
        host.add(*[event(n) for n in range(100 + 10 * len(keys), 110 + 10 * len(keys))])
        host.seal()
    assert len({*keys}) == 3
    assert len(fingerprints) == 2
    assert [entry.kind for entry in host.entries()] == ["key", "seal", *["renewal", "key", "seal"] * 2]
    heads = Path(shutil.copy(host.places.heads, tmp_path / "heads"))
    for key in keys:
        found = by(host, key, heads)
        assert found.problems == []
        assert [note for note in found.notes if "entry 3, " in note]
    assert oct(host.places.key.stat().st_mode)[-3:] == "600"
    assert sorted(path.name for path in host.places.key.parent.glob("*key*")) == ["key", "key.pub"]
    assert '"renewal"' in host.places.uses.read_text()


def test_the_public_half_is_on_the_disk_before_the_key(host: LogHost, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[Any] = []

    def noted(function: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*given: Any) -> Any:
            steps.append(given)
            return function(*given)

        return noting

    monkeypatch.setattr(signing, "to_disk", noted(signing.to_disk))
    monkeypatch.setattr(Path, "replace", noted(Path.replace))
    setting_up.renew_key(host.places, "someone left")
    key = host.places.key
    assert steps[-3:] == [(signing.public_half(key),), (host.places.new_key, key), (key.parent,)]


@pytest.mark.parametrize("fault", [None, "", "rubbish\n", "ssh-ed25519 AAAA other\n"])
def test_a_public_half_that_is_lost_or_bad_is_made_again(host: LogHost, fault: str | None) -> None:
    first = host.public
    file = signing.public_half(host.places.key)
    file.unlink()
    if fault is None:
        assert [problem for problem in by(host, first).problems if "key.pub: is missing" in problem]
    else:
        file.write_text(fault)
    assert setting_up.make_key_and_chain(host.places) == ["public key"]
    assert signing.same(host.public, first)
    assert by(host, first).problems == []
    assert setting_up.make_key_and_chain(host.places) == []


def test_no_renewal_comes_in_between_the_parts_of_an_export(
    host: LogHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = []
    sign = signing.sign

    def signed(*given: Any) -> str:
        with host.places.chain.with_name("lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(given[2])
        return sign(*given)

    monkeypatch.setattr(signing, "sign", signed)
    export = Export(host.places, tmp_path / "out")
    export.fill([])
    export.finish({"time": "", "who": "eva", "asked": {}, "reason": "x"}, held=False)
    assert held == [signing.EXPORT]


def test_a_renewal_needs_a_reason(host: LogHost) -> None:
    before = host.public
    with pytest.raises(ArchiveError, match="reason"):
        setting_up.renew_key(host.places, "  ")
    assert host.public == before


def test_the_old_key_signs_nothing_any_more(host: LogHost, tmp_path: Path) -> None:
    first, old = host.public, Path(shutil.copy(host.places.key, tmp_path / "old"))
    setting_up.renew_key(host.places, "it leaked")
    rewrite(host, "use", "", old)
    for key in (first, host.public):
        assert any("entry 5 (use) is not as it was signed" in problem for problem in by(host, key).problems)


def test_a_forger_names_his_own_key(host: LogHost, tmp_path: Path) -> None:
    own = tmp_path / "own"
    signing.make_key(own)
    rewrite(host, "renewal", signing.public_half(own).read_text().strip(), own)
    rewrite(host, "key", "", own)
    problems = by(host, host.public).problems
    assert any("entry 3 (renewal) is not as it was signed" in problem for problem in problems)
    assert any("is another key than the chain names" in problem for problem in problems)


def test_who_has_the_old_key_cannot_pass_for_the_new_one(host: LogHost, tmp_path: Path) -> None:
    """He can make the chain anew up to a renewal that names the new key; that key has signed none of it."""
    old = Path(shutil.copy(host.places.key, tmp_path / "old"))
    setting_up.renew_key(host.places, "it leaked")
    lines = chain.complete_lines(host.places.chain)
    host.places.chain.write_bytes(lines[0] + b"\n")
    host.places.uses.unlink()
    rewrite(host, "renewal", host.public.strip(), old)
    assert any("begun with another key" in problem for problem in by(host, host.public).problems)


@pytest.mark.parametrize("public", ["rubbish", "ssh-ed25519 \u00e9"])
def test_a_key_that_is_no_key_is_named(host: LogHost, public: str) -> None:
    rewrite(host, "renewal", public, host.places.key)
    found = by(host, host.public)
    assert found.problems == []
    assert not any("another key signs" in note for note in found.notes)
    rewrite(host, "use", "", host.places.key)
    assert by(host, host.public).problems == []


class Killed(BaseException):
    """Stands for the end of the program."""


def killed_at(place: object) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return what makes a function die when it is called with this argument."""

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*given: Any) -> Any:
            if place in given:
                raise Killed
            return function(*given)

        return wrapped

    return wrap


@pytest.mark.parametrize("step", ["before the entry", "before the line", "before the swap", "before its own word"])
def test_a_renewal_that_was_killed_is_finished_or_forgotten(
    host: LogHost, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    first = host.public
    with monkeypatch.context() as patch:
        if step == "before the entry":
            patch.setattr(uses, "note", killed_at("renewal")(uses.note))
        elif step == "before the line":
            patch.setattr(chain, "append_line", killed_at(host.places.uses)(chain.append_line))
        elif step == "before the swap":
            patch.setattr(Path, "replace", killed_at(host.places.key)(Path.replace))
        else:
            patch.setattr(chain, "append", killed_at("key")(chain.append))
        with pytest.raises(Killed):
            setting_up.renew_key(host.places, "someone left")
    if step == "before its own word":
        # that of another one that was killed early
        signing.make_key(host.places.new_key)
    host.add(event(50))
    host.seal()
    done = step != "before the entry"
    assert [entry.kind for entry in host.entries()] == ["key", "seal", *["renewal"] * done, "seal"]
    assert (host.public != first) == done
    # a line of the log of uses that was not written is named, as after any such end
    problems = by(host, first).problems
    assert [problem for problem in problems if "archive-use" not in problem] == []
    assert len(problems) == (step == "before the line")
    setting_up.renew_key(host.places, "once more")
    host.seal()
    assert len(by(host, host.public).problems) == len(problems)
