# SPDX-License-Identifier: GPL-3.0-or-later
"""People who talk, for the controls: a signed-in client of a probe, and the events that the server wrote."""

from __future__ import annotations

import json
import secrets
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from event_lines import whole_lines
from probe.remote import Probe, ProbeError
from probe.stream import condition
from system.site_facts import Service

EVENTS = "/var/log/prosody/im-events.jsonl"


def fresh(prefix: str = "c") -> str:
    """Return a text that occurs nowhere else: an id, or a word in a message."""
    return f"{prefix}-{secrets.token_hex(6)}"


class Client:
    """A client of one account, signed in when it is needed and again when it was thrown out.

    Args:
        probe: Where it runs.
        service: The server of the account.
        account: Name before the ``@``.
        password: Its password.
        direct: Use direct TLS on 5223 instead of STARTTLS on 5222.
    """

    def __init__(self, probe: Probe, service: Service, account: str, password: str, direct: bool = False) -> None:
        self.probe = probe
        self.service = service
        self.account = account
        self.bare = f"{account}@{service.domain}"
        self.full = self.bare
        self._password = password
        self._direct = direct

    def __repr__(self) -> str:
        """Name the account, never the password."""
        return f"Client({self.bare} on {self.probe.name})"

    def online(self) -> Client:
        """Sign in unless it is, and be available.

        Raises:
            AssertionError: When the server does not let this permitted client in.
        """
        if not self.probe.do("state", name=self.bare)["online"]:
            try:
                self.full = self.probe.do(
                    "connect",
                    name=self.bare,
                    jid=f"{self.bare}/probe",
                    password=self._password,
                    host=self.service.address,
                    port=5223 if self._direct else 5222,
                    ca_pem=self.service.ca_pem,
                    direct=self._direct,
                )["jid"]
            except ProbeError as error:
                raise AssertionError(
                    f"{self.bare} may sign in from {self.probe.name} and could not: {error}"
                ) from error
            self.send("<presence/>")
            self.ping()
        return self

    def mark(self) -> int:
        """Return the number of stanzas received until now."""
        return int(self.probe.do("state", name=self.bare)["count"])

    def send(self, xml: str) -> int:
        """Send a stanza as text; returns the mark from before."""
        return int(self.probe.do("send", name=self.bare, xml=xml)["next"])

    def wait(self, since: int, timeout: float = 5.0, **match: Any) -> ET.Element | None:
        """Wait for a stanza.

        Args:
            since: A mark.
            timeout: Seconds.
            match: See `probe.client.matches`; ``sender`` stands for ``from``.

        Returns:
            The stanza, or None when it did not come.
        """
        if "sender" in match:
            match["from"] = match.pop("sender")
        xml = self.probe.do("wait", name=self.bare, since=since, match=match, timeout=timeout)["xml"]
        return ET.fromstring(xml) if xml else None

    def received(self, since: int, containing: str) -> list[str]:
        """Return the stanzas since a mark that hold a text."""
        return [xml for xml in self.probe.do("received", name=self.bare, since=since) if containing in xml]

    def ask(self, kind: str, payload: str, to: str = "", timeout: float = 10.0) -> ET.Element:
        """Send an IQ and return the answer.

        Raises:
            AssertionError: When there is none.
        """
        number = fresh("q")
        target = f" to='{to}'" if to else ""
        since = self.send(f"<iq type='{kind}' id='{number}'{target}>{payload}</iq>")
        answer = self.wait(since, timeout, tag="iq", id=number)
        assert answer is not None, f"{self.bare} asked {to or 'the server'} and got no answer in {timeout:g} s"
        return answer

    def ping(self) -> None:
        """Make sure that the server has handled everything sent so far: it answers in order."""
        self.ask("get", "<ping xmlns='urn:xmpp:ping'/>", to=self.service.domain)

    def say(self, to: str, text: str, **attributes: str) -> int:
        """Send a chat message; returns the mark from before."""
        more = "".join(f" {name}='{value}'" for name, value in {"type": "chat", "id": text, **attributes}.items())
        return self.send(f"<message to='{to}'{more}><body>{escape(text)}</body></message>")

    def contacts(self) -> dict[str, str]:
        """Return the contact list: addresses and subscription (``both``, ``none`` …)."""
        answer = self.ask("get", "<query xmlns='jabber:iq:roster'/>")
        return {item.get("jid", ""): item.get("subscription", "") for item in answer.iter("{jabber:iq:roster}item")}

    def archive(self, containing: str, of: str = "") -> list[str]:
        """Return the archived messages that hold a text (XEP-0313), own archive or that of a room."""
        query = fresh("mam")
        since = self.mark()
        payload = (
            f"<query xmlns='urn:xmpp:mam:2' queryid='{query}'>"
            "<set xmlns='http://jabber.org/protocol/rsm'><max>50</max><before/></set></query>"
        )
        answer = self.ask("set", payload, to=of)
        assert answer.get("type") == "result", f"the archive of {of or self.bare} answered {why(answer)}"
        return [xml for xml in self.received(since, query) if "urn:xmpp:mam:2" in xml and containing in xml]

    def join(self, room: str) -> ET.Element | None:
        """Enter a room; returns the room's presence for oneself, or its error, or None."""
        since = self.send(
            f"<presence to='{room}/{self.account}'><x xmlns='http://jabber.org/protocol/muc'>"
            "<history maxstanzas='0'/></x></presence>"
        )
        return self.wait(since, 10, tag="presence", sender=f"{room}/{self.account}")

    def leave(self, room: str) -> None:
        """Leave a room."""
        self.send(f"<presence type='unavailable' to='{room}/{self.account}'/>")


def why(stanza: ET.Element | None) -> str:
    """Return the condition of an error stanza in the words of the protocol."""
    if stanza is None:
        return "no answer"
    error = stanza.find("{*}error")
    return condition(error) if error is not None else f"no error but type {stanza.get('type', 'none')!r}"


@dataclass
class Events:
    """The event file of the server.

    Attributes:
        server: The testinfra host.
    """

    server: Any

    def mark(self) -> int:
        """Return the size of the file in bytes."""
        return int(self.server.run("stat -c %%s %s 2>/dev/null || echo 0", EVENTS).stdout.split()[0])

    def since(self, mark: int) -> list[dict[str, Any]]:
        """Return the events written after a mark."""
        read = self.server.run(f"tail -c +{max(mark, 1)} %s", EVENTS).stdout_bytes.decode(errors="replace")
        return [json.loads(line) for line in whole_lines(read, cut=mark > 0)]

    def of(self, mark: int, stanza_id: str) -> list[dict[str, Any]]:
        """Return the events of one stanza."""
        return [event for event in self.since(mark) if event.get("stanza_id") == stanza_id]
