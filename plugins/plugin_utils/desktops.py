# SPDX-License-Identifier: GPL-3.0-or-later
"""People's computers: what each is told, and what the IM servers must know to admit it. Pure functions of the site."""

from __future__ import annotations

import datetime
from typing import Any

from ansible_collections.sallyport.im.plugins.plugin_utils.firewall import TABLE
from ansible_collections.sallyport.im.plugins.plugin_utils.firewall_desktops import ADMITTED
from ansible_collections.sallyport.im.plugins.plugin_utils.flows import ADMISSION, IM_SERVERS, SERVICES
from ansible_collections.sallyport.im.plugins.plugin_utils.host_list import Host
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site

HOUR = 3600
DEVICE_DIRECTORY = "/etc/sallyport/device"
"""Where a desktop keeps its certificate and key."""
CHECKS = ("signatures", "scanner", "on-access", "firewall", "updates", "consumer-im")
"""What every desktop must have passed, by the names that its program gives."""
AUTOMATIC = "automatic-updates"
"""What it must have passed beside, where updates do not wait for a person."""
CLIENT_PACKAGES = {"gajim": ["gajim"], "none": []}
"""Debian packages of the clients that a site can choose. Dino of Debian 13 is none of them: it knows only SCRAM-SHA-1,
which the servers do not take."""
CONSUMER_CLIENTS: dict[str, tuple[str, ...]] = {
    # several networks at once, or one that is nobody's: never permitted
    "bitlbee": (),
    "bitlbee-libpurple": (),
    "bitlbee-plugin-facebook": (),
    "chatty": (),
    "finch": (),
    "pidgin": (),
    "qtox": (),
    "toxic": (),
    # one network each
    "catgirl": ("irc",),
    "hexchat": ("irc",),
    "ircii": ("irc",),
    "irssi": ("irc",),
    "konversation": ("irc",),
    "kvirc": ("irc",),
    "polari": ("irc",),
    "quassel": ("irc",),
    "quassel-client": ("irc",),
    "senpai": ("irc",),
    "srain": ("irc",),
    "weechat-core": ("irc",),
    "gomuks": ("matrix",),
    "neochat": ("matrix",),
    "nheko": ("matrix",),
    "quaternion": ("matrix",),
    "purple-discord": ("discord",),
    "telegram-desktop": ("telegram",),
    # not Debian's: packages of those who run the network, which they offer themselves
    "discord": ("discord",),
    "element-desktop": ("matrix",),
    "keybase": ("keybase",),
    "signal-desktop": ("signal",),
    "skypeforlinux": ("skype",),
    "slack-desktop": ("slack",),
    "viber": ("viber",),
    "wire-desktop": ("wire",),
}
"""Debian packages of programs for consumer IM, each with the entries of the catalogue that it is for."""


def refused_packages(site: Site, now: datetime.datetime) -> list[str]:
    """List the packages that no desktop may have.

    Args:
        site: the site.
        now: the time; what the site permits for a time, desktops may have as long.

    Returns:
        Their names, sorted.
    """
    permitted = {one.service for one in site.settings.consumer_im.permitted if one.enabled(now)}
    return sorted(name for name, needs in CONSUMER_CLIENTS.items() if not needs or not permitted.issuperset(needs))


def device_name(site: Site, host: Host) -> str:
    """Return the name in the certificate of a desktop; below the site's domain, for which its authority may sign."""
    return f"{host.name}.desktops.{site.domain}"


def is_required(site: Site) -> bool:
    """Tell whether desktops must be admitted."""
    return site.settings.desktops.admission == "required" and bool(site.settings.networks.desktops)


def desktop_settings(site: Site, host: Host, now: datetime.datetime) -> dict[str, Any]:
    """Say what a desktop must know.

    Args:
        site: the site.
        host: the desktop.
        now: the time.

    Returns:
        What `desktop-checks` reads, but for paths: desktop, addresses, servers (name, port and addresses of each),
        stale_hours, automatic_updates and refused_packages; and for the role: client_packages, renew_seconds, and the
        accounts of the person, each with address and title.
    """
    settings = site.settings
    domains = {"im_internal": site.domain, "im_external": site.external_domain or ""}
    servers = [
        {"name": domains[group], "port": SERVICES[ADMISSION].port, "addresses": [*server.addresses[at]]}
        for group, (at, _practice, _why) in IM_SERVERS.items()
        for server in site.hosts_of(group)
    ]
    return {
        "desktop": host.name,
        "addresses": [*host.addresses["desktops"]],
        "servers": servers if is_required(site) else [],
        "stale_hours": settings.antivirus.signatures.stale_hours,
        "automatic_updates": settings.updates.automatic,
        "refused_packages": refused_packages(site, now),
        "client_packages": [*CLIENT_PACKAGES[settings.desktops.client]],
        "renew_seconds": settings.desktops.hours * HOUR // 4,
        "accounts": _accounts(site, host.person, now),
    }


def _accounts(site: Site, person: str, now: datetime.datetime) -> list[dict[str, str]]:
    """List the accounts that a person has now."""
    found = []
    for one in site.people:
        if one.id == person and one.enabled(now):
            found.append({"address": f"{one.id}@{site.domain}", "title": site.settings.company})
            if site.external_domain and one.external and one.external.enabled(now):
                title = f"{site.settings.company}: partners"
                found.append({"address": f"{one.id}@{site.external_domain}", "title": title})
    return found


def device_certificate(site: Site, host: Host) -> dict[str, Any]:
    """Say what certificate a desktop has, by which the servers know it."""
    name = device_name(site, host)
    return {
        "common_name": name,
        "dns": [name],
        "srv": [],
        "xmpp": [],
        "client": True,
        "days": site.settings.certificates.server_days,
        "directory": DEVICE_DIRECTORY,
        "group": "root",
    }


def admission_settings(site: Site, host: Host) -> dict[str, Any]:
    """Say what the service for admission on an IM server must know.

    Args:
        site: the site.
        host: the server.

    Returns:
        What `admission` reads, but for paths: listen, port, seconds, table, sets, checks, desktops (certificate, person
        and addresses, by name) and attested.
    """
    settings = site.settings
    at = IM_SERVERS[host.group][0]
    return {
        "listen": [*host.addresses[at]],
        "port": SERVICES[ADMISSION].port,
        "seconds": settings.desktops.hours * HOUR,
        "table": TABLE,
        "sets": {"4": f"{ADMITTED}4", "6": f"{ADMITTED}6"},
        "checks": [*CHECKS, *([AUTOMATIC] if settings.updates.automatic else [])],
        "desktops": {
            desktop.name: {
                "certificate": device_name(site, desktop),
                "person": desktop.person,
                "addresses": [*desktop.addresses["desktops"]],
            }
            for desktop in site.hosts_of("desktops")
        },
        "attested": [
            {
                "id": one.id,
                "person": one.person,
                "system": one.system,
                "addresses": [*one.addresses],
                "by": one.by,
                "from": one.begins,
                "until": one.ends,
            }
            for one in settings.desktops.attested
        ],
    }
