# SPDX-License-Identifier: GPL-3.0-or-later
"""Delivery by IM: as an account of the kit on the site's own internal server (RFC 6120, XEP-0368)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from slixmpp import ClientXMPP
from slixmpp.exceptions import IqError, IqTimeout

from sallyport_alerts.outbox import Refused, Undelivered

PATIENCE_SECONDS = 30
LONGEST = 15_000
"""Bytes of the text as XML: the server takes messages of 16,384 bytes, addresses and all."""
QUOTES = {"'": "&apos;", '"': "&quot;"}


class _Sender(ClientXMPP):  # type: ignore[misc]
    """Signs in, sends, and waits until the server has taken it."""

    def __init__(self, settings: Mapping[str, Any], password: str, text: str, receivers: list[str]) -> None:
        context = ssl.create_default_context(cafile=settings["authority"])
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        super().__init__(f"{settings['account']}@{settings['domain']}/alerts", password, ssl_context=context)
        self.enable_direct_tls, self.enable_starttls, self.enable_plaintext = True, False, False
        self.settings, self.text, self.receivers = settings, text, receivers
        self.refused: list[str] = []
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.register_plugin("xep_0199")
        self.add_event_handler("session_start", self._started)
        self.add_event_handler("message_error", lambda stanza: self.refused.append(stanza["from"].bare))
        self.add_event_handler("failed_all_auth", lambda _: self._end("the server refused the password"))
        self.add_event_handler("connection_failed", lambda why: self._end(f"no connection: {why}"))
        self.add_event_handler("disconnected", lambda why: self._end(f"disconnected: {why or 'by the server'}"))

    def _end(self, failure: str) -> None:
        if not self.ended.done():
            self.ended.set_result(failure)

    async def _started(self, _: Any) -> None:
        for receiver in self.receivers:
            self.send_message(mto=receiver, mbody=self.text, mtype="chat")
        try:
            # stanzas are handled in order: what was refused has come back before this answer
            await self.plugin["xep_0199"].send_ping(self.settings["domain"], timeout=PATIENCE_SECONDS)
        except (IqError, IqTimeout) as error:
            self._end(f"the server does not answer: {error.condition}")
            return
        self._end("")


async def _deliver(
    settings: Mapping[str, Any], password: str, text: str, receivers: list[str]
) -> tuple[str, list[str]]:
    xmpp = _Sender(settings, password, text, receivers)
    xmpp.connect(settings["address"], settings["port"])
    try:
        failure = await asyncio.wait_for(asyncio.shield(xmpp.ended), PATIENCE_SECONDS)
    except TimeoutError:
        failure = f"no answer in {PATIENCE_SECONDS} seconds"
    xmpp.cancel_connection_attempt()
    await asyncio.wait([asyncio.ensure_future(_gone(xmpp))], timeout=5)
    return failure, xmpp.refused


async def _gone(xmpp: _Sender) -> None:
    await xmpp.disconnect(wait=1)


def cut(text: str) -> str:
    """Return as much of the beginning of a text as the server takes."""
    size = 0
    for place, mark in enumerate(text):
        size += len(escape(mark, QUOTES).encode())
        if size > LONGEST:
            return text[:place]
    return text


def sender(settings: Mapping[str, Any], password: str) -> Any:
    """Make what sends by IM.

    Args:
        settings: address, port, domain, account, people (ids), authority (file).
        password: that of the account.

    Returns:
        As `outbox.Send`.
    """

    def send(content: dict[str, Any], _name: str) -> None:
        addresses = [f"{person}@{settings['domain']}" for person in settings["people"]]
        missing = [one for one in addresses if one not in content["done"]]
        # whoever was refused may have been taken out of the settings
        if not missing:
            return
        text = cut(f"{content['subject']}\n\n{content['body']}")
        try:
            failure, refused = asyncio.run(_deliver(settings, password, text, missing))
        except (OSError, ValueError) as error:
            raise Undelivered(f"{settings['domain']}: {error}") from None
        if failure:
            raise Undelivered(f"{settings['domain']}: {failure}")
        content["done"] += [one for one in missing if one not in refused]
        if refused:
            raise Refused(f"the server refuses to deliver to {', '.join(sorted(refused))}")

    return send
