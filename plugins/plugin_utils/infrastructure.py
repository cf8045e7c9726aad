# SPDX-License-Identifier: GPL-3.0-or-later
"""What each host must know of the site's own infrastructure: who gets in, and where names, time and updates come from.

The gateway gives these to the zones behind it; a host takes them from the gateway's address in its own zone.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from ansible_collections.sallyport.im.plugins.plugin_utils.dns_records import dns_records
from ansible_collections.sallyport.im.plugins.plugin_utils.flows import BEHIND, GATEWAY, ports
from ansible_collections.sallyport.im.plugins.plugin_utils.host_list import Host
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site

LOOPBACK = "127.0.0.1"


def access(site: Site, host: Host) -> dict[str, Any]:
    """Say who gets into a host, and from where.

    Args:
        site: the site.
        host: the host.

    Returns:
        administrators (user and keys, one line each), revoked_keys, networks (from which administrators come), listen
        (addresses on which SSH answers; empty for all, when only the DNS knows the host's address), and banner.
    """
    settings = site.settings
    return {
        "administrators": [
            {"user": person.user, "keys": [key for path in person.keys for key in site.keys.get(path, ())]}
            for person in settings.administrators
        ],
        "revoked_keys": [key for path in settings.revoked_keys for key in site.keys.get(path, ())],
        "networks": [str(network) for network in settings.networks.admin],
        "listen": [host.admin_address] if _is_address(host.admin_address) else [],
        "banner": settings.banner,
    }


def services(site: Site, host: Host) -> dict[str, Any]:
    """Say where a host finds names, time and updates.

    Args:
        site: the site.
        host: the host, managed by the site.

    Returns:
        time (sources, serve), resolver (nameservers, domain) and updates (proxy, automatic); for the gateway also dns
        and relay, what it does for the others.
    """
    settings = site.settings
    gateway = site.hosts_of(GATEWAY)[0]
    near = [LOOPBACK] if host.group == GATEWAY else _near(host, gateway)
    behind = {zone: [str(network) for network in getattr(settings.networks, zone)] for zone in BEHIND}
    clients = [network for networks in behind.values() for network in networks]
    found: dict[str, Any] = {
        "time": {"sources": near, "serve": []},
        "resolver": {"nameservers": near, "domain": site.domain},
        "updates": {
            "proxy": f"http://{_in_url(near[0])}:{ports('relay')['relay']}" if near else "",
            "automatic": settings.updates.automatic,
        },
    }
    if host.group == GATEWAY:
        listen = [address for zone in BEHIND for address in gateway.addresses.get(zone, ())]
        found["time"] = {"sources": [*settings.time_sources], "serve": clients}
        found["relay"] = {"listen": listen, "port": ports("relay")["relay"], "clients": clients}
        if settings.updates.sources is not None:
            found["relay"]["hosts"] = [*settings.updates.sources]
        found["dns"] = {
            "listen": listen,
            "port": ports("dns")["dns"],
            **behind,
            "forwarders": [*settings.resolvers],
            "records": [
                record
                for server in site.hosts_of("im_internal")
                for record in dns_records(site.domain, server.addresses["servers"])
            ],
            "domain": site.domain,
        }
    return found


def _near(host: Host, gateway: Host) -> list[str]:
    """Return the gateway's addresses in the zone in which a host stands, IPv4 first."""
    addresses = [address for zone in BEHIND if host.addresses.get(zone) for address in gateway.addresses.get(zone, ())]
    return sorted(addresses, key=lambda address: ipaddress.ip_address(address).version)


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
