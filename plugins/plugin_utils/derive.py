# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles must know of each host, derived from the site. Roles decide nothing and compute nothing."""

from __future__ import annotations

import datetime
from typing import Any

from ansible_collections.sallyport.im.plugins.plugin_utils import infrastructure
from ansible_collections.sallyport.im.plugins.plugin_utils.firewall import ruleset
from ansible_collections.sallyport.im.plugins.plugin_utils.flows import CLIENT_SERVICES, GATEWAY, ports
from ansible_collections.sallyport.im.plugins.plugin_utils.host_list import Host
from ansible_collections.sallyport.im.plugins.plugin_utils.message_policy import PROBES, compile_policy, policy_text
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site

TLS_DIRECTORY = "/etc/sallyport/tls"
"""Where a host keeps its certificate and key."""
MEGABYTE = 1024 * 1024

BASE_PACKAGES = (
    "apparmor",
    "auditd",
    "ca-certificates",
    "chrony",
    "cracklib-runtime",
    "dbus",
    "kmod",
    "libpam-pwquality",
    "logrotate",
    "needrestart",
    "nftables",
    "openssh-server",
    "procps",
    "python3-apt",
    "sudo",
    "ulogd2",
    "ulogd2-json",
    "unattended-upgrades",
)
"""Debian packages that the roles baseline and firewall need on every managed host."""
HOST_PACKAGES = {
    "im_internal": ("lua-unbound", "openssl", "prosody", "prosody-modules"),
    "gateway": ("dns-root-data", "squid", "unbound"),
    "desktops": (),
    "outside": (),
}
"""Debian packages that the other roles of a host need, by its group."""
PROBE_PACKAGES = ("python3-slixmpp", "curl", "openssl")
"""Debian packages that the controls need on a host from which they are tried."""


def host_settings(site: Site, name: str, today: datetime.date) -> dict[str, Any]:
    """Derive the settings of a host.

    Args:
        site: the site.
        name: the host's name in the host list.
        today: the day, in UTC; people whose time has not come or is over have disabled accounts.

    Returns:
        The variable `sallyport_host`, made of what JSON has: name, role, site, addresses, packages; on a managed host
        also what `infrastructure` says, accounts_exclusive, forwards and firewall; on an IM server im and certificate.

    Raises:
        KeyError: there is no such host.
    """
    host = site.host(name)
    packages = {*HOST_PACKAGES[host.group], *(PROBE_PACKAGES if host.probe else ())}
    if host.managed:
        packages |= {*BASE_PACKAGES}
    settings: dict[str, Any] = {
        "name": host.name,
        "role": host.group,
        "site": site.name,
        "addresses": {zone: [*addresses] for zone, addresses in host.addresses.items()},
        "packages": sorted(packages),
    }
    if host.managed:
        settings |= {
            "access": infrastructure.access(site, host),
            # on a desktop people have accounts of their own
            "accounts_exclusive": host.group != "desktops",
            "forwards": host.group == GATEWAY,
            "firewall": {
                "ruleset": ruleset(site, name),
                "rollback_seconds": site.settings.firewall.rollback_seconds,
            },
            **infrastructure.services(site, host),
        }
    if host.group == "im_internal":
        settings["im"] = _im(site, host, today)
        settings["certificate"] = _certificate(site)
    return settings


def accounts(site: Site, today: datetime.date) -> list[dict[str, Any]]:
    """List the accounts of the internal server.

    Args:
        site: the site.
        today: the day, in UTC.

    Returns:
        Name, enabled, and secret: the vault's key of the password, empty for a person, whose password the kit does not
        know. Sorted by name.
    """
    people = [{"name": person.id, "enabled": person.enabled(today), "secret": ""} for person in site.people]
    probes = [{"name": probe.id, "enabled": True, "secret": probe.secret} for probe in PROBES]
    return sorted([*people, *probes], key=lambda account: str(account["name"]))


def _im(site: Site, host: Host, today: datetime.date) -> dict[str, Any]:
    settings = site.settings
    return {
        "profile": "internal",
        "domain": site.domain,
        "rooms_domain": site.rooms_domain,
        "files_domain": site.files_domain,
        "listen": [*host.addresses["servers"]],
        "ports": ports(*CLIENT_SERVICES),
        "administrator": settings.administrator,
        "company": settings.company,
        "calls": settings.calls,
        "messages_days": settings.retention.messages_days,
        "files_days": settings.retention.files_days,
        "max_file_bytes": settings.files.max_megabytes * MEGABYTE,
        "daily_bytes_per_person": settings.files.daily_megabytes_per_person * MEGABYTE,
        "sign_in_attempts": settings.sign_in.attempts,
        "sign_in_lockout_seconds": settings.sign_in.lockout_minutes * 60,
        "accounts": accounts(site, today),
        "policy": policy_text(compile_policy(site)),
    }


def _certificate(site: Site) -> dict[str, Any]:
    """Names by RFC 6120 (section 13.7.1.2): dNSName, SRVName (RFC 4985) and xmppAddr for each domain of the service."""
    names = [site.domain, site.rooms_domain, site.files_domain]
    return {
        "common_name": site.domain,
        "dns": names,
        "srv": [f"_xmpp-client.{site.domain}", f"_xmpps-client.{site.domain}"],
        "xmpp": names,
        "days": site.settings.certificates.server_days,
        "directory": TLS_DIRECTORY,
    }
