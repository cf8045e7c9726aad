# SPDX-License-Identifier: GPL-3.0-or-later
"""The client of Prosody's admin socket, against a server that answers what each test wants."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.sallyport.im.plugins.module_utils import prosody_admin as admin
from hypothesis import given
from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
OPENING = b"<?xml version='1.0'?><stream:stream xmlns='xmpp:prosody.im/admin' xmlns:stream='http://etherx.jabber.org/streams'>"
Server = Callable[..., str]


def read_lua(literal: str) -> bytes:
    """Read a string literal as Lua 5.4 does (manual, 3.1), and refuse all that this kit does not need."""
    assert literal[0] == literal[-1] == '"'
    found = bytearray()
    rest = literal[1:-1]
    while rest:
        if rest[0] == "\\":
            digits = re.match(r"\\(\d{3})", rest)
            assert digits, f"an escape that is not three digits: {rest[:6]}"
            found.append(int(digits[1]))
            rest = rest[4:]
        else:
            assert rest[0] not in '"\n\r<>&'
            assert rest[0].isascii()
            assert rest[0].isprintable()
            found.append(ord(rest[0]))
            rest = rest[1:]
    return bytes(found)


@given(TEXT)
def test_a_text_stays_a_text(text: str) -> None:
    assert read_lua(admin.lua_string(text)) == text.encode()


@pytest.mark.parametrize(
    "name", ['"..os.exit().."', "\\", '\\"', "]]", "\0", "\r\n", "</repl-input>", "é😀", "1\\0492"]
)
def test_a_name_never_becomes_code(name: str) -> None:
    assert read_lua(admin.lua_string(name)) == name.encode()


def test_a_digit_behind_an_escape_does_not_join_it() -> None:
    assert admin.lua_string("\n7") == r'"\0107"'


@given(st.lists(TEXT, max_size=200), st.integers(400, 2000))
def test_batches_keep_order_and_limit(items: list[str], limit: int) -> None:
    small = [item[:20] for item in items]
    found = list(admin.batches(small, limit))
    assert [x for batch in found for x in batch] == small
    assert all(batch and len(admin.lua_string(json.dumps(batch, ensure_ascii=False))) <= limit + 10 for batch in found)


def test_an_entry_above_the_limit_is_refused() -> None:
    with pytest.raises(admin.AdminError, match="shorten"):
        list(admin.batches(["x" * 9000]))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Start a server that sends the given pieces after the first command; returns the path of its socket.

    It ends with its client. One that went on would take the time of all tests that follow.
    """
    started: list[threading.Thread] = []

    def start(*pieces: bytes, close: bool = True) -> str:
        path = str(tmp_path / "s")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(1)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, listener:
                seen = b""
                while b"</repl-input>" not in seen:
                    if not (more := connection.recv(65536)):
                        return
                    seen += more
                for piece in pieces:
                    connection.sendall(piece)
                if not close:
                    connection.recv(65536)

        started.append(threading.Thread(target=serve, daemon=True))
        started[-1].start()
        return path

    yield start
    for thread in started:
        thread.join(5)
        assert not thread.is_alive()


def test_a_value_and_an_error_are_told_apart(server: Server) -> None:
    path = server(
        OPENING + b"<repl-output>noise</repl-output><repl-result>Result: a&amp;b</repl-result>"
        b"<repl-result type='error'>Error: no such thing</repl-result>",
        close=False,
    )
    with admin.AdminSocket(path, 2) as session:
        assert session.run("x") == "a&b"
        with pytest.raises(admin.AdminError, match=r"^no such thing$"):
            session.run("y")


def test_a_long_answer_in_small_pieces(server: Server) -> None:
    """The server stays silent afterwards: a parser that waits for more would hang here."""
    value = json.dumps([{"name": f"person{i}"} for i in range(5000)])
    whole = OPENING + f"<repl-result>Result: {value}</repl-result>".encode()
    path = server(*(whole[i : i + 97] for i in range(0, len(whole), 97)), close=False)
    with admin.AdminSocket(path, 5) as session:
        assert session.call("f", {}) == json.loads(value)


@pytest.mark.parametrize(
    ("pieces", "close", "message"),
    [
        ([OPENING], True, "closed"),
        ([OPENING], False, "no answer within 0.3 s"),
        ([b"not xml"], True, "not XML"),
        ([OPENING + b"<repl-result>Result: nonsense</repl-result>"], True, "not JSON"),
    ],
)
def test_a_broken_server(server: Server, pieces: list[bytes], close: bool, message: str) -> None:
    with (
        admin.AdminSocket(server(*pieces, close=close), 0.3) as session,
        pytest.raises(admin.AdminError, match=message),
    ):
        session.call("f", {})


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(admin.Unreachable, match=r"nothing: No such file.*systemctl status prosody"):
        admin.AdminSocket(str(tmp_path / "nothing"))


def test_a_long_command_never_leaves(server: Server) -> None:
    """Prosody would write its beginning into the debug log."""
    with (
        admin.AdminSocket(server(close=False), 1) as session,
        pytest.raises(admin.AdminError, match="allowed are 8000"),
    ):
        session.run("x" * 8000)
