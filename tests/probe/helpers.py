# SPDX-License-Identifier: GPL-3.0-or-later
"""What a probe needs besides XMPP: files over HTTPS, a server with an old TLS version, growing log files."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path
from typing import Any

from probe.stream import tls_context


def _connection(url: str, address: str, ca_pem: str, timeout: float) -> tuple[http.client.HTTPSConnection, str]:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise ValueError(f"{url}: only https is used for files")
    context = tls_context(ca_pem)
    connection = http.client.HTTPSConnection(parts.hostname, parts.port or 443, timeout=timeout, context=context)
    # a demo has no DNS: the certificate is checked against the name of the URL, the packets go to the address
    plain = socket.create_connection((address or parts.hostname, parts.port or 443), timeout)
    connection.sock = context.wrap_socket(plain, server_hostname=parts.hostname)
    return connection, parts.path + (f"?{parts.query}" if parts.query else "")


def upload(
    *,
    url: str,
    headers: dict[str, str],
    ca_pem: str,
    size: int = 0,
    data: str = "",
    watch: bool = False,
    address: str = "",
    timeout: float = 60.0,
) -> dict[str, Any]:
    """Send bytes with PUT, as XEP-0363 describes; fresh random ones unless they are given.

    Args:
        url: The slot's PUT address.
        headers: The slot's headers.
        ca_pem: Certificates to trust.
        size: Number of bytes, when none are given.
        data: The bytes, in hexadecimal.
        watch: Fetch the same address again and again, from before the first byte until after the answer.
        address: Where to connect to, if not to the name in the URL.
        timeout: Seconds for each step.

    Returns:
        ``status`` (HTTP) and ``words`` of the answer, ``sha256`` of what was sent, hexadecimal; ``fetched``, what
        fetching was answered meanwhile, each status once.

    Raises:
        ConnectionError: Fetching came to no answer.
    """
    content = bytes.fromhex(data) or os.urandom(size)
    fetched: set[int] = set()
    over, begun = threading.Event(), threading.Event()
    unseen: list[Exception] = []

    def fetch() -> None:
        try:
            while not (over.is_set() and begun.is_set()):
                fetched.add(int(download(url, ca_pem, address, timeout)["status"]))
                begun.set()
            fetched.add(int(download(url, ca_pem, address, timeout)["status"]))
        except Exception as error:  # told below: nobody looked any more
            unseen.append(error)
        finally:
            begun.set()

    watcher = threading.Thread(target=fetch, daemon=True)
    if watch:
        watcher.start()
        begun.wait(timeout)
    connection, path = _connection(url, address, ca_pem, timeout)
    try:
        connection.request("PUT", path, body=content, headers={"Content-Type": "application/octet-stream", **headers})
        answer = connection.getresponse()
        words = answer.read().decode("utf-8", "replace").strip()
    finally:
        connection.close()
        over.set()
    if watch:
        watcher.join(2 * timeout)
        if unseen or watcher.is_alive():
            why = unseen[0] if unseen else "the last attempt did not end"
            raise ConnectionError(f"nobody saw whether the file could be fetched meanwhile: {why!r}")
    digest = hashlib.sha256(content).hexdigest()
    said = {"status": answer.status, "words": words}
    return {**said, "sha256": digest, "fetched": sorted(fetched)}


def download(url: str, ca_pem: str, address: str = "", timeout: float = 60.0) -> dict[str, Any]:
    """Fetch a file.

    Args:
        url: Its address.
        ca_pem: Certificates to trust.
        address: Where to connect to, if not to the name in the URL.
        timeout: Seconds for each step.

    Returns:
        ``status`` (HTTP), ``size`` in bytes and ``sha256``, hexadecimal.
    """
    connection, path = _connection(url, address, ca_pem, timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        data = answer.read()
    finally:
        connection.close()
    return {"status": answer.status, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


class OldTlsServer:
    """A server that allows an old TLS version: it shows that a client which is refused elsewhere can speak it."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.folder = ""

    def start(self, version: str = "1.1") -> dict[str, Any]:
        """Start `openssl s_server` on a free port of the loopback address.

        Args:
            version: ``1.0``, ``1.1`` or ``1.2``; only this one is allowed.

        Returns:
            ``host`` and ``port``.
        """
        self.stop()
        self.folder = tempfile.mkdtemp(prefix="sallyport-probe-")
        key, certificate = f"{self.folder}/key.pem", f"{self.folder}/crt.pem"
        make = f"openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=control.invalid -keyout {key}"
        subprocess.run(
            [*make.split(), "-out", certificate],
            check=True,
            capture_output=True,
        )
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        only = "-tls1" if version == "1.0" else f"-tls{version.replace('.', '_')}"
        self.process = subprocess.Popen(
            [
                *f"openssl s_server -quiet -accept 127.0.0.1:{port} -key {key} -cert {certificate}".split(),
                *[only, "-cipher", "DEFAULT@SECLEVEL=0"],
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(50):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return {"host": "127.0.0.1", "port": port}
            except OSError:
                time.sleep(0.1)
        raise ConnectionError("openssl s_server did not start")

    def stop(self) -> None:
        """Stop it and remove its files."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = ""


def file_size(path: str) -> int:
    """Return the size of a file in bytes, 0 when there is none."""
    try:
        return Path(path).stat().st_size
    except FileNotFoundError:
        return 0


def lines_since(path: str, offset: int, containing: str) -> list[str]:
    """Return the lines of a growing file that hold a text.

    Args:
        path: The file.
        offset: Bytes to leave out at the beginning.
        containing: The text.

    Returns:
        The lines, in order; none when there is no file.
    """
    try:
        with Path(path).open("rb") as file:
            file.seek(offset)
            return [line for line in file.read().decode(errors="replace").splitlines() if containing in line]
    except FileNotFoundError:
        return []


def http_in_clear(host: str, port: int, path: str = "/", timeout: float = 10.0) -> dict[str, Any]:
    """Ask a web server without TLS.

    Args:
        host: Address.
        port: TCP port.
        path: What to ask for.
        timeout: Seconds.

    Returns:
        ``result`` is ``answered`` or ``refused``, ``why`` the first line of the answer or the reason.
    """
    try:
        with socket.create_connection((host, port), timeout) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = connection.recv(4096)
    except OSError as error:
        return {"result": "refused", "why": f"{error}"}
    if answer.startswith(b"HTTP/"):
        return {"result": "answered", "why": answer.split(b"\r\n")[0].decode(errors="replace")}
    # a TLS server answers with an alert, or not at all
    return {"result": "refused", "why": "a TLS alert" if answer[:1] == b"\x15" else "closed without an answer"}


def post_form(
    *, url: str, fields: dict[str, str], ca_pem: str, address: str = "", timeout: float = 30.0
) -> dict[str, Any]:
    """Send a form as a browser does.

    Args:
        url: Where to.
        fields: Names and values.
        ca_pem: Certificates to trust.
        address: Where to connect to, if not to the name in the URL.
        timeout: Seconds for each step.

    Returns:
        ``status`` (HTTP).
    """
    connection, path = _connection(url, address, ca_pem, timeout)
    try:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", path, body=urllib.parse.urlencode(fields), headers=headers)
        return {"status": connection.getresponse().status}
    finally:
        connection.close()
