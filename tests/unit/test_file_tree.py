# SPDX-License-Identifier: GPL-3.0-or-later
"""sallyport.im.file_tree: what a directory becomes for service_config."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleError
from ansible_collections.sallyport.im.plugins.lookup.file_tree import files_below


def test_each_file_below_the_directory_once_and_in_order(tmp_path: Path) -> None:
    (tmp_path / "mod_a").mkdir()
    (tmp_path / "mod_a" / "mod_a.lua").write_text("return '{{ not a template }}'\n")
    (tmp_path / "b.lua").write_text("-- b\n")
    entries = files_below(tmp_path, "/usr/local/lib/x", "0644", "restart")
    assert entries == [
        {"path": "/usr/local/lib/x/b.lua", "content": "-- b\n", "mode": "0644", "on_change": "restart"},
        {
            "path": "/usr/local/lib/x/mod_a/mod_a.lua",
            "content": "return '{{ not a template }}'\n",
            "mode": "0644",
            "on_change": "restart",
        },
    ]


def test_hidden_names_are_left_out(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x").write_text("x")
    (tmp_path / ".swp").write_text("x")
    (tmp_path / "a").write_text("a")
    assert [entry["path"] for entry in files_below(tmp_path, "/t", "0644", "none")] == ["/t/a"]


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnsibleError, match="gone: is not a directory"):
        files_below(tmp_path / "gone", "/t", "0644", "none")


def test_an_empty_directory_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(AnsibleError, match="holds no file"):
        files_below(tmp_path, "/t", "0644", "none")


def test_a_binary_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.so").write_bytes(b"\x7fELF\xff")
    with pytest.raises(AnsibleError, match=r"a\.so: is not UTF-8 text"):
        files_below(tmp_path, "/t", "0644", "none")
