# SPDX-License-Identifier: GPL-3.0-or-later
"""Who hands which logs to whom: what a host and the log host must know. Pure functions of the site."""

from __future__ import annotations

from typing import Any

from ansible_collections.sallyport.im.plugins.plugin_utils.flows import (
    GATEWAY,
    IM_SERVERS,
    LOG_HOST,
    LOGS,
    SERVICES,
    log_inputs,
)
from ansible_collections.sallyport.im.plugins.plugin_utils.host_list import Host
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site

CERTIFICATE_DIRECTORY = "/etc/sallyport/logs/tls"
"""Where a host keeps the certificate and key by which it hands over its logs."""
SERVER_DIRECTORY = "/etc/sallyport/log-host/tls"
"""Where the log host keeps those by which it takes them."""
WITNESS_DIRECTORY = "/etc/sallyport/witness/tls"
"""Where the gateway keeps those by which it takes the heads of the archive's chain."""
EVENTS = "/var/log/prosody/im-events.jsonl"
"""Where an IM server writes one event for each message."""
ROOM = "/run/sallyport-events/room"
"""Where it says how many bytes of them wait; its time is that of the last look that found room for more."""

ARCHIVE_PACKAGES = ("openssh-client", "postgresql", "python3-psycopg2")
"""Debian packages by which the log host seals what it keeps, and finds it again."""


def server_name(site: Site) -> str:
    """Return the name in the log host's own certificate."""
    return f"logs.{site.domain}"


def witness_name(site: Site) -> str:
    """Return the name in the certificate of the witness, the gateway."""
    return f"witness.{site.domain}"


def certificate_name(site: Site, host: Host) -> str:
    """Return the name in a host's certificate for logs; below the site's domain, for which its authority may sign."""
    return f"{host.name}.logs.{site.domain}"


def room(site: Site) -> str:
    """Return where an IM server must be told that there is room, or refuses; empty when it does not refuse."""
    return ROOM if log_inputs(site) and site.settings.logging.when_full == "refuse" else ""


def log_settings(site: Site, host: Host) -> dict[str, Any]:
    """Say what a host does with its logs.

    Args:
        site: the site.
        host: the host, managed by the site.

    Returns:
        log_shipping (name, address and port of the log host, certificate, events, queue_megabytes, messages_days); on
        the log host also log_host (listen, certificate, retention, senders: host, certificate, port, events of each),
        and in log_shipping witness (name, address and port); on the gateway, the witness, also log_witness (listen,
        port, certificate, and sender: the name in the certificate of the log host). Nothing where the site has no log
        host.
    """
    ports = log_inputs(site)
    if not ports:
        return {}
    server = site.hosts_of(LOG_HOST)[0]
    settings = site.settings.logging
    gateway = site.hosts_of(GATEWAY)[0]
    shipping: dict[str, Any] = {
        "name": server_name(site),
        "address": server.addresses["servers"][0],
        # on the log host itself nothing leads to its input
        "port": ports[host.name] if host is server else SERVICES[LOGS].port,
        "certificate": _certificate(site, certificate_name(site, host), CERTIFICATE_DIRECTORY, client=True),
        "events": EVENTS if host.group in IM_SERVERS else "",
        "queue_megabytes": settings.queue_megabytes,
        "messages_days": site.settings.retention.messages_days,
    }
    if host is gateway:
        return {"log_shipping": shipping, "log_witness": _witness(site, gateway, server)}
    if host is not server:
        return {"log_shipping": shipping}
    shipping["witness"] = {
        "name": witness_name(site),
        "address": gateway.addresses["servers"][0],
        "port": SERVICES[LOGS].port,
    }
    taking = {
        "listen": [*host.addresses["servers"]],
        "certificate": _certificate(site, server_name(site), SERVER_DIRECTORY),
        "retention": {
            "messages_days": site.settings.retention.messages_days,
            "system_days": site.settings.retention.system_days,
        },
        "senders": [
            {
                "host": name,
                "certificate": certificate_name(site, site.host(name)),
                "port": port,
                "events": site.host(name).group in IM_SERVERS,
            }
            for name, port in ports.items()
        ],
    }
    return {"log_shipping": shipping, "log_host": taking}


def _witness(site: Site, gateway: Host, server: Host) -> dict[str, Any]:
    """Say what the gateway takes from the log host."""
    return {
        "listen": [*gateway.addresses["servers"]],
        "port": SERVICES[LOGS].port,
        "certificate": _certificate(site, witness_name(site), WITNESS_DIRECTORY),
        "sender": certificate_name(site, server),
    }


def _certificate(site: Site, name: str, directory: str, *, client: bool = False) -> dict[str, Any]:
    """Say what certificate the module of the same name keeps; by a sender's, nobody can play the log host."""
    return {
        "common_name": name,
        "dns": [name],
        "client": client,
        "days": site.settings.certificates.server_days,
        "directory": directory,
    }
