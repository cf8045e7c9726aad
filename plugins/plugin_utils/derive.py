# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles must know of each host, derived from the site. Roles decide nothing and compute nothing."""

from __future__ import annotations

import datetime
from typing import Any

from ansible_collections.sallyport.im.plugins.plugin_utils import desktops, infrastructure, logs, monitoring
from ansible_collections.sallyport.im.plugins.plugin_utils.content_rules import list_texts
from ansible_collections.sallyport.im.plugins.plugin_utils.firewall import ruleset
from ansible_collections.sallyport.im.plugins.plugin_utils.flows import (
    CLIENT_SERVICES,
    GATEWAY,
    LOG_HOST,
    SERVER_SERVICES,
    ports,
)
from ansible_collections.sallyport.im.plugins.plugin_utils.host_list import Host
from ansible_collections.sallyport.im.plugins.plugin_utils.message_policy import (
    ALERTS,
    EXTERNAL,
    INTERNAL,
    PROBES,
    compile_policy,
    enabled,
    policy_text,
)
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site

TLS_DIRECTORY = "/etc/sallyport/tls"
"""Where a host keeps its certificate and key."""
LISTS_DIRECTORY = "/etc/sallyport/lists"
"""Where an IM server keeps the lists of its rules, beside the policy."""
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
ANTIVIRUS_PACKAGES = ("clamav-daemon", "clamav-freshclam", "clamdscan")
IM_PACKAGES = (*ANTIVIRUS_PACKAGES, "lua-luaossl", "lua-unbound", "openssl", "prosody", "prosody-modules")
HOST_PACKAGES = {
    "im_internal": IM_PACKAGES,
    "im_external": IM_PACKAGES,
    "log_host": (*logs.ARCHIVE_PACKAGES, *monitoring.PACKAGES),
    "gateway": ("dns-root-data", "haproxy", "python3-unbound", "squid", "unbound"),
    # openssl for the device's own key
    "desktops": (*ANTIVIRUS_PACKAGES, "openssl"),
    "outside": (),
}
"""Debian packages that the other roles of a host need, by its group."""
LOG_PACKAGES = ("openssl", "rsyslog", "rsyslog-relp")
"""Debian packages that a host needs to hand over its logs, or to take them."""
PROBE_PACKAGES = ("python3-slixmpp", "curl", "openssl")
"""Debian packages that the controls need on a host from which they are tried."""


IM_SERVERS = {"im_internal": INTERNAL, "im_external": EXTERNAL}
"""The groups of IM servers, and the kind of each."""


def host_settings(site: Site, name: str, now: datetime.datetime) -> dict[str, Any]:
    """Derive the settings of a host.

    Args:
        site: the site.
        name: the host's name in the host list.
        now: the time; people whose time has not come or is over have disabled accounts.

    Returns:
        The variable `sallyport_host`, made of what JSON has: name, role, site, addresses, packages; on a managed host
        also what `infrastructure` and `logs` say, accounts_exclusive, forwards, firewall and health; on a server or
        desktop antivirus; on the log host alerts and metrics; on an IM server im, certificate, invitation_note, and
        admission where it is required; on a desktop desktop and certificate.

    Raises:
        KeyError: there is no such host.
    """
    host = site.host(name)
    packages = {*HOST_PACKAGES[host.group], *(PROBE_PACKAGES if host.probe else ())}
    if host.managed:
        packages |= {*BASE_PACKAGES, *(LOG_PACKAGES if site.hosts_of(LOG_HOST) else ())}
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
            "health": monitoring.health(site, host),
        }
        settings |= logs.log_settings(site, host)
    if host.group in monitoring.SCANNED:
        settings["antivirus"] = infrastructure.scanner(site, host)
    if host.group == LOG_HOST:
        settings |= {"alerts": monitoring.alerts(site, host), "metrics": monitoring.metrics(site)}
    if profile := IM_SERVERS.get(host.group):
        settings["im"] = _im(site, host, profile, now)
        settings["certificate"] = _certificate(site, settings["im"])
        settings["invitation_note"] = _note(site, profile)
        if desktops.is_required(site):
            settings["admission"] = desktops.admission_settings(site, host)
    if host.group == "desktops":
        settings["desktop"] = desktops.desktop_settings(site, host, now)
        settings["certificate"] = desktops.device_certificate(site, host)
    return settings


def accounts(site: Site, profile: str, now: datetime.datetime) -> list[dict[str, Any]]:
    """List the accounts of an IM server.

    Args:
        site: the site.
        profile: which of its servers.
        now: the time.

    Returns:
        Name, enabled, and secret: the vault's key of the password, empty for a person, whose password the kit does not
        know. Sorted by name.
    """
    policy = compile_policy(site, profile)
    secrets = {probe.id: probe.secret(profile) for probe in PROBES} | {ALERTS.id: ALERTS.secret}
    return [
        {"name": name, "enabled": enabled(policy, name, now), "secret": secrets.get(name, "")}
        for name in sorted(policy["people"])
    ]


def _im(site: Site, host: Host, profile: str, now: datetime.datetime) -> dict[str, Any]:
    settings = site.settings
    policy = compile_policy(site, profile)
    zone = "servers" if profile == INTERNAL else "dmz"
    services = CLIENT_SERVICES if profile == INTERNAL else CLIENT_SERVICES + SERVER_SERVICES
    return {
        "profile": profile,
        "domain": policy["domain"],
        "rooms_domain": policy["rooms_domain"] or "",
        "files_domain": policy["files_domain"] or "",
        "listen": [*host.addresses[zone]],
        "ports": ports(*services),
        "administrator": settings.administrator,
        "company": settings.company,
        "calls": policy["calls"],
        "messages_days": settings.retention.messages_days,
        "files_days": settings.retention.files_days,
        "max_file_bytes": settings.files.max_megabytes * MEGABYTE,
        "daily_bytes_per_person": settings.files.daily_megabytes_per_person * MEGABYTE,
        "scan_seconds": settings.antivirus.scan_seconds,
        "sign_in_attempts": settings.sign_in.attempts,
        "sign_in_lockout_seconds": settings.sign_in.lockout_minutes * 60,
        "accounts": accounts(site, profile, now),
        "log_room": logs.room(site),
        "metrics_from": [one for log in site.hosts_of(LOG_HOST) for one in log.addresses["servers"]],
        "policy": policy_text(policy),
        "body": policy["body"],
        "end_to_end_encryption": policy["end_to_end_encryption"],
        "lists": [
            {"path": f"{LISTS_DIRECTORY}/{name}.txt", "content": text}
            for name, text in list_texts(site, profile).items()
        ],
    }


def _note(site: Site, profile: str) -> str:
    """Say in an invitation what the address is for, where a person has two."""
    if site.external_domain is None:
        return ""
    if profile == INTERNAL:
        return f"This address is for colleagues: whose address ends in @{site.domain}."
    return (
        f"This address is for partners of {site.settings.company}, and for nothing else. Add it to your chat program "
        f"as a second account; your contact list there shows the partners. With colleagues, go on using the one that "
        f"ends in @{site.domain}."
    )


def _certificate(site: Site, im: dict[str, Any]) -> dict[str, Any]:
    """Names by RFC 6120 (section 13.7.1.2): dNSName, SRVName (RFC 4985) and xmppAddr for each domain of the service."""
    domain = im["domain"]
    names = [name for name in (domain, im["rooms_domain"], im["files_domain"]) if name]
    kinds = ["client"] if im["profile"] == INTERNAL else ["client", "server"]
    return {
        "common_name": domain,
        "dns": names,
        "srv": [f"_{service}-{kind}.{domain}" for kind in kinds for service in ("xmpp", "xmpps")],
        "xmpp": names,
        "client": False,
        "days": site.settings.certificates.server_days,
        "directory": TLS_DIRECTORY,
        "group": "prosody",
    }
