# SPDX-License-Identifier: GPL-3.0-or-later
"""What is watched on each host, and who is told. Pure functions of the site."""

from __future__ import annotations

from typing import Any

from ansible_collections.sallyport.im.plugins.plugin_utils import desktops, logs
from ansible_collections.sallyport.im.plugins.plugin_utils.flows import GATEWAY, IM_SERVERS, LOG_HOST, SERVICES
from ansible_collections.sallyport.im.plugins.plugin_utils.host_list import Host
from ansible_collections.sallyport.im.plugins.plugin_utils.message_policy import ALERTS
from ansible_collections.sallyport.im.plugins.plugin_utils.partner_certificates import RELAY
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site

PACKAGES = ("prometheus", "python3-slixmpp")
"""Debian packages that the log host needs for alerts and metrics."""
WITNESS_UNIT = "sallyport-witness.service"
"""By what the gateway keeps the heads of the log host's archive, where there is one."""
QUEUE = "/var/lib/sallyport-logs"
"""Where what the log host has not taken yet waits."""
SCANNED = ("im_internal", "im_external", "desktops")
"""The groups whose hosts have a scanner for viruses."""
COMMON_UNITS = ("chrony.service", "sallyport-firewall.service", "ssh.service")
UNITS = {
    "im_internal": ("prosody.service",),
    "im_external": ("prosody.service",),
    "gateway": ("haproxy.service", "squid.service", "unbound.service"),
    "desktops": ("clamav-clamonacc.service", "sallyport-desktop.timer"),
    LOG_HOST: (
        "postgresql@17-main.service",
        "prometheus.service",
        "sallyport-alerts.service",
        "sallyport-archive-expire.timer",
        "sallyport-archive-ingest.service",
        "sallyport-archive-seal.timer",
        "sallyport-log-host.service",
        "sallyport-page.timer",
    ),
}
"""Units without which a host does not do what it is there for, beside `COMMON_UNITS`."""
SCANNER_UNITS = ("clamav-daemon.service", "clamav-freshclam-once.timer", "sallyport-signatures.timer")
CERTIFICATES = (
    "/etc/sallyport/tls/current/fullchain.pem",
    "/etc/sallyport/*/tls/current/fullchain.pem",
    "/usr/local/share/ca-certificates/sallyport-*.crt",
)
"""Where the certificates of the kit lie: of the host's service, of further purposes, and the site's authority."""


def health(site: Site, host: Host) -> dict[str, Any]:
    """Say what is looked at on a host.

    Args:
        site: the site.
        host: the host, managed by the site.

    Returns:
        host (its name), units (that must run), certificates (patterns of paths), queue (folder of logs that wait),
        events (file that says how much of them waits; empty without), scanner (whether it has one) and holds (whether
        it keeps what people share).
    """
    scanner = host.group in SCANNED
    events = bool(site.hosts_of(LOG_HOST)) and host.group in IM_SERVERS
    units = {*COMMON_UNITS, *UNITS.get(host.group, ()), *(SCANNER_UNITS if scanner else ())}
    if site.hosts_of(LOG_HOST):
        units |= {"sallyport-logs.service", *(["sallyport-events.service"] if events else [])}
        units |= {WITNESS_UNIT} if host.group == GATEWAY else set()
    if host.group in ("im_internal", "im_external") and desktops.is_required(site):
        units.add("sallyport-admission.service")
    return {
        "host": host.name,
        "units": sorted(units),
        "certificates": [*CERTIFICATES],
        "queue": QUEUE,
        "events": logs.ROOM if events else "",
        "scanner": scanner,
        "holds": host.group == "im_internal",
    }


def alerts(site: Site, host: Host) -> dict[str, Any]:
    """Say what the log host watches, and whom it tells how.

    Args:
        site: the site.
        host: the log host.

    Returns:
        site, host, hosts (all managed ones with their groups), certificate_days (so near its end a certificate is told
        of), messages_days (so long what names people is kept), prometheus_port, mail (relay, port, direct, authority,
        from, to, user; None without) and im (address, port, domain, account, people; None without). The vault's keys
        are mail_secret and im_secret, empty for none.
    """
    settings = site.settings.alerts
    mail, servers = settings.mail, site.hosts_of("im_internal")
    return {
        "site": site.name,
        "host": host.name,
        "hosts": {one.name: one.group for one in site.hosts if one.managed},
        # renewed when a third is left; half of that without a renewal is a fault
        "certificate_days": max(1, min(14, site.settings.certificates.server_days // 6)),
        "messages_days": site.settings.retention.messages_days,
        "prometheus_port": SERVICES["prometheus"].port,
        "mail": None
        if mail is None
        else {
            "relay": mail.relay,
            "port": SERVICES[mail.service].port,
            "direct": mail.service == "submissions",
            "authority": site.authorities.get(RELAY, ""),
            "from": mail.sender,
            "to": [*mail.to],
            "user": mail.user or "",
        },
        "im": None
        if not settings.people
        else {
            "address": servers[0].addresses["servers"][0],
            "port": SERVICES["xmpps"].port,
            "domain": site.domain,
            "account": ALERTS.id,
            "people": [*settings.people],
        },
        "mail_secret": "alerts_mail_password" if mail is not None and mail.user else "",
        "im_secret": ALERTS.secret if settings.people else "",
    }


def metrics(site: Site) -> dict[str, Any]:
    """Say whose metrics the log host collects.

    Args:
        site: the site.

    Returns:
        port (on which Prometheus answers, on the log host alone) and targets: each with host, address, port and name
        (in its certificate: the server's domain).
    """
    domains = {"im_internal": site.domain, "im_external": site.external_domain}
    return {
        "port": SERVICES["prometheus"].port,
        "targets": [
            {
                "host": server.name,
                "address": server.addresses[IM_SERVERS[group][0]][0],
                "port": SERVICES["https"].port,
                "name": domain,
            }
            for group, domain in domains.items()
            for server in site.hosts_of(group)
        ],
    }
