# SPDX-License-Identifier: GPL-3.0-or-later
"""Real XMPP clients on the probe host, by slixmpp, each with a record of every stanza that it received.

The clients decide nothing of themselves: subscriptions are neither accepted nor answered, so that what a control sees
is the server's doing. Stanzas go out as the text that the control wrote.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
import time
import xml.etree.ElementTree as ET
from typing import Any

from probe.stream import tls_context


class Session:
    """One signed-in client.

    Args:
        jid: Address to sign in as; a resource is kept.
        password: Its password.
        context: TLS settings.
        direct: TLS from the first byte (XEP-0368) instead of STARTTLS.
    """

    def __init__(self, jid: str, password: str, context: ssl.SSLContext, direct: bool) -> None:
        # not at the top: a probe host without slixmpp can still do the attempts of stream.py
        from slixmpp import ClientXMPP  # noqa: PLC0415

        self.received: list[tuple[float, str]] = []
        self.changed = asyncio.Condition()
        self.failure = ""
        self.online = False
        self.xmpp = ClientXMPP(jid, password, ssl_context=context)
        self.xmpp.enable_direct_tls = direct
        self.xmpp.enable_starttls = not direct
        self.xmpp.enable_plaintext = False
        self.xmpp.roster.auto_authorize = None
        self.xmpp.roster.auto_subscribe = False
        self.xmpp.whitespace_keepalive = False
        for plugin in ("xep_0030", "xep_0199"):
            self.xmpp.register_plugin(plugin)
        self.xmpp.add_filter("in", self._record)
        self.xmpp.add_event_handler("session_start", self._started)
        self.xmpp.add_event_handler("failed_all_auth", lambda _: self._failed("the server refused the password"))
        self.xmpp.add_event_handler("connection_failed", lambda why: self._failed(f"no connection: {why}"))
        self.xmpp.add_event_handler("disconnected", self._lost)

    def _record(self, stanza: Any) -> Any:
        self.received.append((time.time(), str(stanza)))
        self._wake()
        return stanza

    def _wake(self) -> None:
        async def notify() -> None:
            async with self.changed:
                self.changed.notify_all()

        self._waking = asyncio.ensure_future(notify())

    def _started(self, _: Any) -> None:
        self.online = True
        self._wake()

    def _failed(self, why: str) -> None:
        self.failure = self.failure or why
        self.xmpp.cancel_connection_attempt()
        self._wake()

    def _lost(self, why: Any) -> None:
        self.online = False
        self._failed(f"disconnected: {why}")

    async def sign_in(self, host: str, port: int, timeout: float) -> str:
        """Connect and sign in.

        Args:
            host: Address of the server.
            port: TCP port.
            timeout: Seconds.

        Returns:
            The full address that the server gave.

        Raises:
            ConnectionError: When it fails, with the reason.
        """
        self.xmpp.connect(host, port)
        await self._until(lambda: self.online or bool(self.failure), timeout)
        if not self.online:
            await self.close()
            raise ConnectionError(self.failure or f"not signed in after {timeout:g} s")
        return str(self.xmpp.boundjid.full)

    async def _until(self, true: Any, timeout: float) -> bool:
        try:
            async with asyncio.timeout(timeout), self.changed:
                await self.changed.wait_for(true)
        except TimeoutError:
            return False
        return True

    async def wait(self, since: int, match: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Wait for a stanza.

        Args:
            since: Number of the first stanza that counts.
            match: See :func:`matches`.
            timeout: Seconds; 0 only looks at what is there.

        Returns:
            ``xml`` (empty when none came) and ``next``, the number to continue from.
        """
        found: list[int] = []

        def look() -> bool:
            for number in itertools.islice(itertools.count(since), max(0, len(self.received) - since)):
                if matches(self.received[number][1], match):
                    found.append(number)
                    return True
            return not self.online

        await self._until(look, timeout)
        if found:
            return {"xml": self.received[found[0]][1], "next": found[0] + 1}
        return {"xml": "", "next": len(self.received)}

    async def close(self) -> None:
        """Sign out."""
        self.online = False
        await asyncio.wait([asyncio.ensure_future(self.xmpp.disconnect(wait=1.0))], timeout=2.0)
        self.xmpp.abort()


def matches(xml: str, match: dict[str, Any]) -> bool:
    """Tell whether a stanza is the one that is waited for.

    Args:
        xml: The stanza.
        match: ``tag`` (``message``, ``presence``, ``iq``), ``contains`` (list of texts that all must occur) and any
            attribute of the stanza; ``from`` without a resource also matches all resources; ``type`` with the value
            ``""`` wants no type. Every key is optional.

    Returns:
        True when all of it fits.
    """
    element = ET.fromstring(xml)
    for key, wanted in match.items():
        if key == "tag":
            fits = element.tag.rpartition("}")[2] == wanted
        elif key == "contains":
            fits = all(text in xml for text in wanted)
        else:
            value = element.get(key, "")
            fits = value == wanted or (key == "from" and value.partition("/")[0] == wanted)
        if not fits:
            return False
    return True


class Sessions:
    """All clients of this probe, by the name that the control gave them."""

    def __init__(self) -> None:
        self.by_name: dict[str, Session] = {}

    def _get(self, name: str) -> Session:
        if name not in self.by_name:
            raise LookupError(f"no client {name!r} is signed in here; there are: {', '.join(self.by_name) or 'none'}")
        return self.by_name[name]

    async def connect(
        self,
        *,
        name: str,
        jid: str,
        password: str,
        host: str,
        port: int,
        ca_pem: str,
        direct: bool = False,
        timeout: float = 20.0,
    ) -> dict[str, Any]:
        """Sign a client in under a name; one of that name is signed out first.

        Returns:
            ``jid``, the full address.
        """
        if name in self.by_name:
            await self.by_name.pop(name).close()
        session = Session(jid, password, tls_context(ca_pem), direct)
        full = await session.sign_in(host, port, timeout)
        self.by_name[name] = session
        return {"jid": full}

    async def state(self, name: str) -> dict[str, Any]:
        """Return ``online`` and ``count``, the number of stanzas received, of a client that may not exist."""
        session = self.by_name.get(name)
        return {"online": bool(session and session.online), "count": len(session.received) if session else 0}

    async def send(self, name: str, xml: str) -> dict[str, Any]:
        """Send text as it is.

        Returns:
            ``next``: number of the first stanza that can be an answer to it.
        """
        session = self._get(name)
        if not session.online:
            raise ConnectionError(f"client {name!r} is not online: {session.failure}")
        start = len(session.received)
        session.xmpp.send_raw(xml)
        return {"next": start}

    async def wait(self, name: str, since: int, match: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Wait for a stanza; see :meth:`Session.wait`."""
        return await self._get(name).wait(since, match, timeout)

    async def received(self, name: str, since: int = 0) -> list[str]:
        """Return all stanzas from a number on."""
        return [xml for _, xml in self._get(name).received[since:]]

    async def close(self, name: str) -> None:
        """Sign a client out, if it is there."""
        if name in self.by_name:
            await self.by_name.pop(name).close()

    async def close_all(self) -> None:
        """Sign every client out."""
        for name in list(self.by_name):
            await self.close(name)
