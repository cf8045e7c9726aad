# SPDX-License-Identifier: GPL-3.0-or-later
"""What the relay may fetch: packages and signatures, from named hosts; a tunnel only where these are asked by https."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from unit.sites import ROOT

ROLE = ROOT / "roles" / "perimeter"
HTTP = ["http://packages.example.net/debian/", "http://security.example.net/debian-security/"]
RELAY: dict[str, Any] = {"listen": ["10.20.1.2"], "port": 3128, "clients": ["10.20.1.0/24"]}
RELAY |= {"signatures": [], "signatures_by_tls": []}
HTTPS = ["https://Tls.example.net/debian/", *HTTP]


def relay(apt: list[str], **changes: Any) -> list[str]:
    """Return the lines of squid's configuration, as the role makes them of what the gateway's apt says."""
    loader = DataLoader()
    variables = {
        **loader.load_from_file(str(ROLE / "defaults" / "main.yml"), trusted_as_template=True),
        **loader.load_from_file(str(ROLE / "vars" / "main.yml"), trusted_as_template=True),
        "perimeter_relay": RELAY,
        "__perimeter_archives": {"stdout_lines": apt},
        **changes,
    }
    template = trust_as_template((ROLE / "templates" / "squid.conf.j2").read_text(encoding="utf-8"))
    text = str(Templar(loader=loader, variables=variables).template(template))
    return text.splitlines()


def test_packages_that_come_in_the_clear_need_no_tunnel() -> None:
    lines = relay(HTTP)
    assert "acl sources dstdomain -n packages.example.net security.example.net" in lines
    assert [line for line in lines if line.startswith("http_access")] == [
        "http_access deny !clients",
        "http_access deny manager",
        "http_access deny !sources",
        "http_access deny self",
        "http_access allow fetching plain plain_port",
        "http_access deny all",
    ]
    assert not [line for line in lines if "CONNECT" in line or "443" in line]


@pytest.mark.parametrize(
    ("apt", "changes", "hosts"),
    [
        (HTTPS, {}, "tls.example.net"),
        (HTTP, {"perimeter_relay_tunnels": ["packages.example.net"]}, "packages.example.net"),
        (HTTPS, {"perimeter_relay_tunnels": ["packages.example.net"]}, "packages.example.net tls.example.net"),
    ],
)
def test_a_tunnel_leads_to_sources_that_are_asked_by_https(apt: list[str], changes: dict[str, Any], hosts: str) -> None:
    lines = relay(apt, **changes)
    assert f"acl tls_sources dstdomain -n {hosts}" in lines
    assert "acl tls_port port 443" in lines
    allowed = [line for line in lines if line.startswith("http_access allow")]
    assert allowed == ["http_access allow fetching plain plain_port", "http_access allow tunnel tls_port tls_sources"]


@pytest.mark.parametrize("hosts", [["packages.example.net"], []])
def test_what_is_no_source_of_the_site_gets_no_tunnel(hosts: list[str]) -> None:
    lines = relay(HTTPS, perimeter_relay={**RELAY, "hosts": hosts}, perimeter_relay_tunnels=["elsewhere.example"])
    assert not [line for line in lines if "tunnel" in line or "CONNECT" in line]
    assert f"acl sources dstdomain -n {' '.join(hosts) or '.invalid'}" in lines


def test_signatures_come_from_their_hosts_as_they_are_asked() -> None:
    hosts = {"signatures": ["clear.example.net", "tls.example.org"], "signatures_by_tls": ["tls.example.org"]}
    lines = relay(HTTP, perimeter_relay={**RELAY, "hosts": [], **hosts})
    assert "acl sources dstdomain -n clear.example.net tls.example.org" in lines
    assert "acl tls_sources dstdomain -n tls.example.org" in lines
    assert "acl signatures dstdomain -n clear.example.net tls.example.org" in lines
    assert [line for line in lines if line.startswith("http_access allow")] == [
        "http_access allow fetching plain plain_port",
        "http_access allow tunnel tls_port tls_sources",
        "http_access allow tunnel plain_port signatures",
    ]
