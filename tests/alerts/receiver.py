# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in the container: signs in, and writes each message that comes as one line of JSON.

Usage: receiver.py <address> <password> <authority> <port>
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import sys

from slixmpp import ClientXMPP


async def main(address: str, password: str, authority: str, port: str) -> None:
    """Receive for ever; sign in again when the connection ends."""
    while True:
        xmpp = ClientXMPP(address, password, ssl_context=ssl.create_default_context(cafile=authority))
        xmpp.enable_direct_tls, xmpp.enable_starttls = True, False
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        xmpp.add_event_handler("session_start", lambda _, xmpp=xmpp: xmpp.send_presence())
        xmpp.add_event_handler(
            "message", lambda one: print(json.dumps({"from": one["from"].bare, "body": one["body"]}), flush=True)
        )
        # by itself it would wait longer after each attempt
        for end in ("disconnected", "connection_failed"):
            xmpp.add_event_handler(end, lambda _, ended=ended: ended.done() or ended.set_result(None))
        xmpp.connect("127.0.0.1", int(port))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended, 600)
        xmpp.cancel_connection_attempt()
        await asyncio.sleep(1)


asyncio.run(main(*sys.argv[1:]))
