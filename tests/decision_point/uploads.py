# SPDX-License-Identifier: GPL-3.0-or-later
"""A server with a scanner, and people who share files: real slots, real HTTP, a real clamd with a small set."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from packed import EICAR

from decision_point.client import FILES, error_of
from decision_point.server import Server

if TYPE_CHECKING:
    from types import TracebackType

    from decision_point.client import Client

UPLOAD = "urn:xmpp:http:upload:0"
STORED = f"/var/lib/prosody/{FILES.replace('.', '%2e')}/http_file_share"
SIGNATURES = "/var/lib/clamav"
LIMIT = 20 * 1024 * 1024
SCAN_SECONDS = 4
WATCHED = "/var/lib/sallyport-signatures"  # where the watch of the antivirus says what is loaded

KINDS = {
    "Eicar-Made-Here": EICAR,
    "Sallyport.Kind.executable.test": b"sallyport-test-program",
    "Sallyport.Kind.script.test": b"sallyport-test-script",
}

# MaxFileSize is not below MaxScanSize: else clamd looks at the beginning of what is larger in a zip, and calls it clean
CLAMD = f"""
LocalSocket /run/clamav/clamd.ctl
LocalSocketGroup clamav
LocalSocketMode 660
User clamav
DatabaseDirectory {SIGNATURES}
LogFile /var/log/clamav/clamav.log
StreamMaxLength 21M
MaxFileSize 42M
MaxScanSize 42M
MaxRecursion 6
AlertExceedsMax yes
AlertEncrypted yes
MaxThreads 12
"""


def signature(name: str, content: bytes) -> str:
    """Returns a line of an .ndb set."""
    return f"{name}:0:*:{content.hex()}\n"


@dataclass
class Slot:
    """A place for a file."""

    url: str
    leave: str
    address: str

    @property
    def id(self) -> str:
        """Its id."""
        return self.path.split("/")[2]

    @property
    def path(self) -> str:
        """Its path on the server."""
        return "/" + self.url.split("/", 3)[3]

    def put(self, data: bytes, leave: str | None = None, **headers: str) -> tuple[int, str]:
        """Sends a file; returns status and words."""
        connection = http.client.HTTPConnection(self.address, 5280, timeout=60)
        wanted = {"Host": FILES, "Authorization": self.leave if leave is None else leave}
        wanted |= {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request("PUT", self.path, data, wanted)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def get(self, method: str = "GET", **headers: str) -> tuple[int, bytes]:
        """Fetches it; returns status and content."""
        connection = http.client.HTTPConnection(self.address, 5280, timeout=60)
        try:
            connection.request(method, self.path, headers={"Host": FILES, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


class Poller:
    """Fetches a place as fast as it can, all of the time."""

    def __init__(self, slot: Slot) -> None:
        """Begins at `with`."""
        self.slot, self.seen, self.times, self.over = slot, set[int](), 0, threading.Event()
        self.thread = threading.Thread(target=self._poll)

    def _poll(self) -> None:
        connection = http.client.HTTPConnection(self.slot.address, 5280, timeout=60)
        while not self.over.is_set():
            try:
                connection.request("GET", self.slot.path, headers={"Host": FILES})
                answer = connection.getresponse()
                answer.read()
                self.seen.add(answer.status)
                self.times += 1
            except (OSError, http.client.HTTPException):
                connection.close()
        connection.close()

    def __enter__(self) -> Self:
        """Begins, and waits for the first answer."""
        self.thread.start()
        while not self.times:
            time.sleep(0.005)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Asks for a moment more, and ends."""
        before = self.times
        limit = time.monotonic() + 5
        while self.times < before + 5 and time.monotonic() < limit:
            time.sleep(0.005)
        self.over.set()
        self.thread.join()


class Scanned(Server):
    """A server with a scanner of its own."""

    packages = f"{Server.packages} clamav-daemon"

    def prepare(self) -> None:
        """Starts the scanner with a small set."""
        self.sh(
            "usermod -aG clamav prosody; install -d -o clamav -g clamav /run/clamav; cat >/etc/clamav/clamd.conf", CLAMD
        )
        self.sign("first.ndb", KINDS)
        self.scanner()

    def start(self) -> None:
        """Starts Prosody and waits until it takes files as well."""
        super().start()
        self.wait("grep -Eq ':14A0 0+:0000 0A' /proc/net/tcp /proc/net/tcp6")

    def config(self) -> str:
        """Returns the tests' configuration with this scanner's times."""
        text = super().config()
        wanted = f"""
	sallyport_scan_seconds = {SCAN_SECONDS}
	sallyport_signatures_look = 1
	sallyport_signatures_wait = 4
	sallyport_holds_look = 1
	http_file_share_size_limit = {LIMIT}
"""
        assert "\thttp_file_share_size_limit = 10485760\n" in text
        return text.replace("\thttp_file_share_size_limit = 10485760\n", wanted)

    def sign(self, name: str, kinds: dict[str, bytes]) -> None:
        """Puts a set of signatures there, as freshclam does: beside it first."""
        text = "".join(signature(kind, content) for kind, content in kinds.items())
        self.sh(f"cat >/tmp/{name}; mv /tmp/{name} {SIGNATURES}/{name}", text)

    def reload(self) -> None:
        """Has the scanner load the sets: on a host the watch of the antivirus does so."""
        before = self.sh("grep -c 'Database correctly reloaded' /var/log/clamav/clamav.log || true").strip()
        self.signal_scanner("USR2")
        self.wait(f"test $(grep -c 'Database correctly reloaded' /var/log/clamav/clamav.log) -gt {before}")

    def loaded(self, text: str) -> None:
        """Says, as the watch does, what the scanner has loaded."""
        self.sh(f"install -d {WATCHED}; cat >{WATCHED}/new; mv {WATCHED}/new {WATCHED}/state.json", text)

    @property
    def held(self) -> str:
        """The folder of the files that are held."""
        return STORED.replace("http_file_share", "sallyport_held")

    def lies_at(self, slot: Slot, store: str = "http_file_share") -> str:
        """Returns where a file lies."""
        return f"{STORED.replace('http_file_share', store)}/{slot.id.replace('-', '%2d')}.bin"

    def scanner(self, kilobytes: int | str = "unlimited") -> None:
        """Starts the scanner and waits for it; it gets so much memory."""
        # in the foreground: on its way to the background it may miss its own signal, and wait for good
        self.sh(f"rm -f /run/clamav/clamd.ctl; ulimit -v {kilobytes}; nohup clamd --foreground >/dev/null 2>&1 &")
        self.wait("test -S /run/clamav/clamd.ctl")

    def signal_scanner(self, name: str) -> None:
        """Sends the scanner a signal."""
        self.sh(f"kill -{name} $(pidof clamd)")

    def stop_scanner(self) -> None:
        """Ends it and waits until it is gone."""
        self.sh("pidof clamd >/dev/null || exit 0; kill -KILL $(pidof clamd)")
        self.wait("! pidof clamd")

    def slot(self, client: Client, name: str, size: int, kind: str = "application/octet-stream") -> Slot:
        """Asks for a place."""
        answer = client.ask(
            "get", f"<request xmlns='{UPLOAD}' filename='{name}' size='{size}' content-type='{kind}'/>", FILES
        )
        put, get = answer.find(f".//{{{UPLOAD}}}put"), answer.find(f".//{{{UPLOAD}}}get")
        assert put is not None, error_of(answer)
        assert get is not None
        return Slot(get.get("url", ""), put[0].text or "", self.address)

    def share(self, client: Client, data: bytes, name: str = "file.bin") -> tuple[Slot, int, str]:
        """Shares a file; returns the place, and what was answered."""
        slot = self.slot(client, name, len(data))
        return slot, *slot.put(data)

    def files(self) -> dict[str, Any]:
        """Returns what the server says of its files."""
        out = self.sh(f"prosodyctl shell sallyport files {self.domain}")
        found: dict[str, Any] = json.loads(out[out.index("{") : out.rindex("}") + 1])
        return found

    def until(self, **wanted: Any) -> dict[str, Any]:
        """Waits until the server says so of its files."""
        limit = time.monotonic() + 60
        while True:
            found = self.files()
            if all(found[key] == value for key, value in wanted.items()):
                return found
            assert time.monotonic() < limit, (wanted, found, self.log_tail())
            time.sleep(0.5)

    def hidden(self) -> list[str]:
        """Returns what lies in the folder of the files and is none of them."""
        return [name for name in self.sh(f"ls {STORED}").split() if not name.endswith(".bin")]

    def event(self, slot: Slot, kind: str) -> dict[str, Any]:
        """Returns the one event of this type about a place."""
        found = self.events(kind="file", slot=slot.id, type=kind)
        assert len(found) == 1, (kind, found)
        return found[0]


def sha256(data: bytes) -> str:
    """Returns the hash of a file."""
    return hashlib.sha256(data).hexdigest()


def noise(size: int) -> bytes:
    """Returns bytes that nothing finds anything in."""
    return os.urandom(size)
