# SPDX-License-Identifier: GPL-3.0-or-later
"""What each host must know of the site's own infrastructure: who gets in, and where names, time and updates come from.

The gateway gives these to the zones behind it; a host takes them from the gateway's address in its own zone.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from ansible_collections.sallyport.im.plugins.plugin_utils import antivirus, consumer_im
from ansible_collections.sallyport.im.plugins.plugin_utils.dns_records import dns_records
from ansible_collections.sallyport.im.plugins.plugin_utils.flows import BEHIND, GATEWAY, LOG_HOST, ports
from ansible_collections.sallyport.im.plugins.plugin_utils.host_list import Host
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site
from ansible_collections.sallyport.im.plugins.plugin_utils.site_file import Networks, Partner
from ansible_collections.sallyport.im.plugins.plugin_utils.values import is_address

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
        time (sources, serve), resolver (nameservers, domain) and updates (proxy, automatic); for the gateway also dns,
        relay and web, what it does for the others, and limits, what of it holds for a time only.
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
        found["relay"]["signatures"] = antivirus.hosts(settings.antivirus.signatures)
        found["relay"]["signatures_by_tls"] = antivirus.hosts(settings.antivirus.signatures, "https")
        found["dns"] = _dns(site, listen, behind)
        found["web"] = _web(site)
        found["limits"] = _limits(site)
    return found


def scanner(site: Site, host: Host) -> dict[str, Any]:
    """Say what the scanner for viruses of a host does.

    Args:
        site: the site.
        host: the host, a server or a desktop.

    Returns:
        What `antivirus.scanner` says, with the gateway's relay as the way of its signatures.
    """
    near = _near(host, site.hosts_of(GATEWAY)[0])
    relay = (_in_url(near[0]), ports("relay")["relay"]) if near else None
    return antivirus.scanner(site.settings, host.group, relay)


def _dns(site: Site, listen: list[str], behind: dict[str, list[str]]) -> dict[str, Any]:
    """Say what the gateway's resolver answers to whom. Who is in `limits` has names there only for a time."""
    refused = [service for service in consumer_im.rules(site) if service.names]
    return {
        "listen": listen,
        "port": ports("dns")["dns"],
        **behind,
        "forwarders": [*site.settings.resolvers],
        "domain": site.domain,
        "external_domain": site.external_domain or "",
        "records": [*_records(site)],
        **_relay(site),
        "private_names": [name for partner in site.settings.partners if _is_inner(partner) for name in _names(partner)],
        "refused": [service.id for service in refused],
        "policies": {
            **{f"refused/{service.id}.zone": consumer_im.zone(service, "refuse") for service in refused},
            **{
                f"permitted/{service.id}.zone": consumer_im.zone(service, "pass")
                for service in refused
                if service.permitted_until
            },
        },
    }


def _relay(site: Site) -> dict[str, Any]:
    """Say by which name the log host finds the mail relay: the one name that is not the site's, for it alone."""
    mail = site.settings.alerts.mail
    named = mail is not None and not is_address(mail.relay)
    return {
        "mail_relay": mail.relay if mail is not None and named else "",
        "mail_from": [one for log in site.hosts_of(LOG_HOST) for one in log.addresses["servers"]] if named else [],
    }


def _records(site: Site) -> Iterator[str]:
    for server in site.hosts_of("im_internal"):
        yield from dns_records(site.domain, server.addresses["servers"])
    for server in site.hosts_of("im_external"):
        if site.external_domain:
            yield from dns_records(site.external_domain, server.addresses["dmz"], files=False)


def _web(site: Site) -> dict[str, Any]:
    """Say what the gateway's web gate lets desktops reach: any name but those of the catalogue, and nothing inside."""
    networks = site.settings.networks
    services = consumer_im.rules(site)
    return {
        "listen": [address for gateway in site.hosts_of(GATEWAY) for address in gateway.addresses.get("desktops", ())],
        "ports": ports("web_intercept", "web_tls_intercept"),
        "outside": ports("web", "web_tls"),
        "clients": [str(network) for network in networks.desktops],
        "inside": [str(network) for zone in Networks.model_fields for network in getattr(networks, zone)],
        "names": {name: service.id for service in services for name in service.names},
        "addresses": {
            network: service.id for service in services for network in (*service.addresses4, *service.addresses6)
        },
    }


def _limits(site: Site) -> dict[str, Any]:
    """Say what the gateway itself lets begin and end, by its clock: permitted services, and the names of partners."""
    return {
        "permitted": [
            {"service": service.id, "from": service.permitted_from, "until": service.permitted_until}
            for service in consumer_im.rules(site)
            if service.permitted_until
        ],
        "partners": [
            {"names": [*_names(partner)], "from": partner.begins or "", "until": partner.ends or ""}
            for partner in site.settings.partners
        ],
    }


def _names(partner: Partner) -> list[str]:
    """Return the names that the external server asks for, to reach a partner's; each means all below it, too."""
    names = [partner.domain, *partner.servers]
    return [name for name in dict.fromkeys(names) if not any(name.endswith(f".{other}") for other in names)]


def _is_inner(partner: Partner) -> bool:
    """Tell whether a partner's servers are reached on a private way: then its names may stand for private addresses."""
    return any(network.is_private for network in partner.addresses)


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
