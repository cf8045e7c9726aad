# SPDX-License-Identifier: GPL-3.0-or-later
"""Trust of a host in the site's authority: what counts is what stands in the trust store."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from ansible_collections.sallyport.im.plugins.modules import trusted_authority as module

CONTENT = "-----BEGIN CERTIFICATE-----\nb3VyIGF1dGhvcml0eQ==\n-----END CERTIFICATE-----\n"
OTHER = "-----BEGIN CERTIFICATE-----\nc29tZWJvZHkgZWxzZQ==\n-----END CERTIFICATE-----\n"


@pytest.fixture
def host(tmp_path: Path) -> tuple[Path, Path]:
    """A host that trusts the authority: the file, and the folder of the store."""
    file, store = tmp_path / "sallyport-oslo.crt", tmp_path / "certs"
    store.mkdir()
    module.write(file, CONTENT)
    (store / "ca-certificates.crt").write_text(f"# roots\n{OTHER}{CONTENT.replace('YXV0', 'YXV0' + chr(10))}", "ascii")
    (store / "sallyport-oslo.pem").symlink_to(file)
    return file, store


def test_a_host_that_trusts_it_has_no_differences(host: tuple[Path, Path]) -> None:
    assert module.differences(host[0], CONTENT, host[1]) == []


def test_a_fresh_host(tmp_path: Path) -> None:
    found = module.differences(tmp_path / "none" / "x.crt", CONTENT, tmp_path / "none")
    assert [line.split(":")[1].split(",")[0] for line in found] == [
        " is missing",
        " is without the authority",
        " is not the certificate of the authority",
    ]


@pytest.mark.parametrize("damage", ["another", "mode", "bundle", "single"])
def test_each_damage_is_found(host: tuple[Path, Path], damage: str) -> None:
    file, store = host
    content = CONTENT
    if damage == "another":
        module.write(file, OTHER)
        (store / "sallyport-oslo.pem").unlink()
        (store / "sallyport-oslo.pem").write_text(CONTENT, "ascii")
    elif damage == "mode":
        file.chmod(0o666)
    elif damage == "bundle":
        (store / "ca-certificates.crt").write_text(OTHER, "ascii")
    else:
        (store / "sallyport-oslo.pem").unlink()
    found = module.differences(file, content, store)
    assert len(found) == 1
    assert {"another": "another text", "mode": "0666", "bundle": "ca-certificates", "single": ".pem"}[damage] in found[
        0
    ]


def test_the_file_is_written_whole(tmp_path: Path) -> None:
    file = tmp_path / "x.crt"
    module.write(file, OTHER)
    module.write(file, CONTENT)
    assert file.read_text("ascii") == CONTENT
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [file]


def test_certificates_are_found_whatever_stands_around_them() -> None:
    assert module.certificates_in(f"x\n{CONTENT}\n\n{OTHER}y") == ["b3VyIGF1dGhvcml0eQ==", "c29tZWJvZHkgZWxzZQ=="]
    assert module.certificates_in("nothing") == []
