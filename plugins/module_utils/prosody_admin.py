# SPDX-License-Identifier: GPL-3.0-or-later
"""Client of Prosody's admin socket: runs Lua in the running server, with a status for each command.

`prosodyctl shell` offers the same, but shows its arguments in the process list, keeps what it reads in a history file
and exits 0 after an error. Here nothing leaves this process but by the socket.

Source: Prosody 13, mod_admin_socket, mod_admin_shell and util.adminstream: an XML stream in the namespace
`xmpp:prosody.im/admin`; each `<repl-input>` is answered by any number of `<repl-output>` and one `<repl-result>`.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar
from xml.parsers import expat
from xml.sax.saxutils import escape

SOCKET = "/var/lib/prosody/prosody.sock"
# Prosody refuses a stanza above 10,000 bytes and writes its beginning into the debug log: nothing of ours gets there.
LINE_BYTES = 8000
ANSWER_BYTES = 64 * 1024 * 1024
_RESULT = "xmpp:prosody.im/admin repl-result"
_OPEN = b"<stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='xmpp:prosody.im/admin'>"
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,:;_-{}[]()@/+=")

T = TypeVar("T")


class AdminError(Exception):
    """The server refused a command, or what it answered cannot be understood."""


class Unreachable(AdminError):
    """Nobody answers on the socket."""


def lua_string(text: str) -> str:
    r"""Write a text as a string literal of Lua that can never be anything but that string.

    Args:
        text: any text; its UTF-8 bytes become the Lua string. A lone surrogate is refused by UnicodeEncodeError.

    Returns:
        The literal with its double quotes, printable ASCII only: every byte that is not known to be harmless is written
        as `\ddd` (Lua 5.4 reference manual, 3.1), so neither quotes, line ends nor XML's own characters occur in it.
    """
    return '"' + "".join(chr(b) if b in _PLAIN else f"\\{b:03d}" for b in text.encode()) + '"'


def _json(value: object) -> str:
    """JSON as UTF-8: Prosody's decoder does not join surrogate pairs."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def batches(items: Iterable[T], limit: int = LINE_BYTES - 1000) -> Iterator[list[T]]:
    """Split items so that each list, as JSON in a Lua literal, stays under a limit.

    Args:
        items: values that JSON can hold.
        limit: bytes of the literal.

    Raises:
        AdminError: if one item alone is above the limit.
    """
    batch: list[T] = []
    size = 0
    for item in items:
        need = len(lua_string(_json(item))) + 4
        if need > limit:
            raise AdminError(f"one entry needs {need} bytes, allowed are {limit}: shorten its name or its password")
        if size + need > limit:
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += need
    if batch:
        yield batch


class _Results:
    """Collects the results that the server sends, as (failed, text), however the stream is cut into pieces."""

    def __init__(self) -> None:
        self.ready: list[tuple[bool, str]] = []
        self._text: list[str] = []
        self._failed = self._inside = False
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._data
        if hasattr(self._parser, "SetReparseDeferralEnabled"):
            # from expat 2.6 on: it would hold back the end of a long result until more comes, and no more comes
            self._parser.SetReparseDeferralEnabled(False)

    def feed(self, data: bytes) -> None:
        self._parser.Parse(data, False)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name == _RESULT:
            self._inside, self._failed, self._text = True, attributes.get("type") == "error", []

    def _data(self, text: str) -> None:
        if self._inside:
            self._text.append(text)

    def _end(self, name: str) -> None:
        if name == _RESULT:
            self.ready.append((self._failed, "".join(self._text)))
            self._inside = False


class AdminSocket:
    """A session on the admin socket; use it in a `with` statement.

    Args:
        path: the socket.
        timeout: seconds that one command may take.

    Raises:
        Unreachable: when nobody listens there.
    """

    def __init__(self, path: str = SOCKET, timeout: float = 30.0) -> None:
        """Connect and open the stream."""
        self.path, self.timeout = path, timeout
        self._results = _Results()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(path)
            self._socket.sendall(_OPEN)
        except OSError as error:
            self._socket.close()
            raise Unreachable(
                f"{path}: {error.strerror or error}; Prosody must run here with its module admin_shell, "
                f"and only root and prosody may use this socket: see `systemctl status prosody`"
            ) from error

    def __enter__(self) -> AdminSocket:
        """Return the open session."""
        return self

    def __exit__(self, _kind: type[BaseException] | None, _value: BaseException | None, _trace: object) -> None:
        """Close the session."""
        self.close()

    def close(self) -> None:
        """End the session; Prosody forgets all that was sent in it."""
        self._socket.close()

    def run(self, lua: str) -> str:
        """Run Lua in the server's global environment.

        Args:
            lua: an expression or statements. Names that it sets live as long as this session and no longer.

        Returns:
            The value as text.

        Raises:
            AdminError: with the server's message when the code failed or returned nil and a message.
            Unreachable: when the server went away or did not answer in time.
        """
        line = b"<repl-input>" + escape(">" + lua).encode() + b"</repl-input>"
        if len(line) > LINE_BYTES:
            raise AdminError(f"a command of {len(line)} bytes, allowed are {LINE_BYTES}")
        try:
            self._socket.sendall(line)
            failed, text = self._result()
        except TimeoutError as error:
            late = f"{self.path}: no answer within {self.timeout:g} s; the command may still be carried out"
            raise Unreachable(late) from error
        except OSError as error:
            raise Unreachable(f"{self.path}: {error.strerror or error}; Prosody stopped during a command") from error
        except expat.ExpatError as error:
            raise AdminError(f"{self.path}: the answer is not XML ({error})") from error
        if failed:
            raise AdminError(text.removeprefix("Error: "))
        return text.removeprefix("Result: ")

    def call(self, function: str, argument: object) -> object:
        """Call a Lua function that takes and returns a JSON text.

        Args:
            function: its name, set by an earlier `run`.
            argument: what JSON can hold.

        Returns:
            The decoded answer.

        Raises:
            AdminError: as `run`, and when the answer is not JSON.
        """
        answer = self.run(f"{function}({lua_string(_json(argument))})")
        try:
            return json.loads(answer)
        except ValueError as error:
            what = f"{len(answer)} characters that are not JSON"
            raise AdminError(f"{self.path}: {function} answered {what}") from error

    def _result(self) -> tuple[bool, str]:
        """Read up to the result of the command that was sent; returns (failed, text)."""
        deadline, size = time.monotonic() + self.timeout, 0
        while not self._results.ready:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionResetError(0, "the connection was closed")
            size += len(data)
            if size > ANSWER_BYTES:
                raise AdminError(f"{self.path}: an answer above {ANSWER_BYTES} bytes")
            self._results.feed(data)
        return self._results.ready.pop(0)
