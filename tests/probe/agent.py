# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe: a program on a desktop (or outside the site) that does what a control asks for.

One line of JSON on standard input is one command: ``{"id": 1, "do": "sign_in", "with": {…}}``. One line on standard
output is its answer: ``{"id": 1, "value": …}`` or ``{"id": 1, "error": "…"}``. Commands run beside each other.
Passwords arrive here on standard input and nowhere else. When the input ends, everything is signed out and the program
ends, so that nothing stays on the host.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, TextIO

from probe import helpers, load, network, passwords, stream, web
from probe.client import Sessions
from probe.servers import Peers, other_certificate


def commands(
    sessions: Sessions, peers: Peers, visits: web.Visits, old_tls: helpers.OldTlsServer, listeners: network.Listeners
) -> dict[str, Callable[..., Any]]:
    """Return everything that the probe can do, by name.

    Args:
        sessions: The signed-in clients.
        peers: The streams as another server.
        visits: The connections to websites.
        old_tls: The control server for old TLS versions.
        listeners: What listens for a while.

    Returns:
        Functions and coroutines; their arguments are the keys of ``with``.
    """
    plain: list[Callable[..., Any]] = [
        stream.tcp_connect,
        stream.tls_handshake,
        stream.sign_in,
        stream.features_before_sign_in,
        stream.register,
        stream.server_stream,
        helpers.upload,
        helpers.download,
        helpers.http_in_clear,
        helpers.post_form,
        helpers.file_size,
        helpers.lines_since,
        network.knock,
        network.udp_ask,
        network.ping,
        network.ask_name,
        network.ask_time,
        network.through_relay,
        web.fetch,
        web.fetch_all,
        web.ask_over_https,
        web.ask_over_tls,
        visits.visit_open,
        visits.visit_again,
        listeners.listen,
        listeners.listen_no_more,
        passwords.sign_in_here,
        load.load,
        sessions.connect,
        sessions.state,
        sessions.send,
        sessions.wait,
        sessions.received,
        sessions.close,
        other_certificate,
        peers.peer_open,
        peers.peer_send,
        peers.peer_wait,
        peers.peer_received,
        peers.peer_state,
        peers.peer_close,
    ]
    return {
        **{function.__name__: function for function in plain},
        "old_tls_start": old_tls.start,
        "old_tls_stop": old_tls.stop,
    }


async def _run(command: dict[str, Any], known: dict[str, Callable[..., Any]], out: TextIO) -> None:
    answer: dict[str, Any] = {"id": command.get("id")}
    try:
        function = known[command["do"]]
        arguments = command.get("with", {})
        if inspect.iscoroutinefunction(function):
            answer["value"] = await function(**arguments)
        else:
            answer["value"] = await asyncio.to_thread(function, **arguments)
    except Exception as error:
        # whatever went wrong belongs to this command's answer; the other clients go on
        answer["error"] = f"{type(error).__name__}: {error}"
    out.write(json.dumps(answer) + "\n")
    out.flush()


async def serve(source: TextIO, out: TextIO) -> None:
    """Run commands until the input ends.

    Args:
        source: Where commands come from.
        out: Where answers go.
    """
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()

    def read() -> None:
        for line in source:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, "")

    threading.Thread(target=read, daemon=True).start()
    sessions, peers, old_tls, listeners = Sessions(), Peers(), helpers.OldTlsServer(), network.Listeners()
    known = commands(sessions, peers, web.Visits(), old_tls, listeners)
    running: set[asyncio.Task[None]] = set()
    try:
        while line := await lines.get():
            task = asyncio.create_task(_run(json.loads(line), known, out))
            running.add(task)
            task.add_done_callback(running.discard)
    finally:
        old_tls.stop()
        listeners.listen_no_more()
        peers.close_all()
        await sessions.close_all()


def main() -> None:
    """Start the probe; standard output carries answers only, whatever else is printed goes to standard error."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    asyncio.run(serve(sys.stdin, out))
    # reading threads and half-done attempts must not keep the host busy after the controls are gone
    os._exit(0)
