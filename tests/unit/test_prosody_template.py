# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of Prosody: values of the site file cannot break out of it, and the limits stand in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

ROLE = Path(__file__).parents[2] / "roles" / "im_server"
SETTINGS: dict[str, Any] = {
    "profile": "internal",
    "domain": "im.demo.example",
    "rooms_domain": "rooms.im.demo.example",
    "files_domain": "files.im.demo.example",
    "listen": ["10.213.1.11", "fd21:3:1::11"],
    "ports": {"xmpp": 5222, "xmpps": 5223, "https": 5281},
    "administrator": "it@demo.example",
    "company": "Demo Ltd",
    "messages_days": 365,
    "files_days": 30,
    "max_file_bytes": 20971520,
    "daily_bytes_per_person": 209715200,
    "scan_seconds": 60,
    "sign_in_attempts": 10,
    "sign_in_lockout_seconds": 900,
    "log_room": "",
    "metrics_from": [],
}
EXTERNAL: dict[str, Any] = {
    "profile": "external",
    "domain": "ext.demo.example",
    "rooms_domain": "",
    "files_domain": "",
    "listen": ["10.213.3.12", "fd21:3:3::12"],
    "ports": {"xmpp": 5222, "xmpps": 5223, "https": 5281, "xmpp_servers": 5269, "xmpps_servers": 5270},
}


def render(**changes: Any) -> str:
    """Render the template as the role does, with `changes` to the settings."""
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined, autoescape=False)
    environment.filters["to_json"] = json.dumps
    variables = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())
    variables |= yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    variables |= {"im_server_settings": SETTINGS | changes, "im_server_certificates": "/etc/sallyport/tls"}
    return environment.from_string((ROLE / "templates" / "prosody.cfg.lua.j2").read_text()).render(variables)


def line(text: str, start: str) -> str:
    """Return the only line that begins with `start`."""
    found = [entry.strip() for entry in text.splitlines() if entry.strip().startswith(start)]
    assert len(found) == 1, found
    return found[0]


def test_a_name_with_quotes_and_backslashes_stays_one_string() -> None:
    text = render(company='A "B" \\ ]] -- é')
    assert line(text, "site_name") == r'site_name = "A \"B\" \\ ]] -- é"'


def test_a_server_refuses_without_room_only_where_the_site_says_so() -> None:
    assert "sallyport_log_room" not in render()
    assert line(render(log_room="/run/x"), "sallyport_log_room") == 'sallyport_log_room = "/run/x"'


def test_a_line_break_cannot_start_a_new_setting() -> None:
    text = render(company='x"\nc2s_require_encryption = false --')
    assert line(text, "c2s_require_encryption") == "c2s_require_encryption = true"


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("interfaces", 'interfaces = { "10.213.1.11", "fd21:3:1::11" }'),
        ("c2s_ports", "c2s_ports = { 5222 }"),
        ("c2s_stanza_size_limit", "c2s_stanza_size_limit = 65536"),
        ("c2s_direct_tls_ports", "c2s_direct_tls_ports = { 5223 }"),
        ("https_ports", "https_ports = { 5281 }"),
        ("http_ports", "http_ports = { }"),
        ("allow_registration", "allow_registration = false"),
        ("archive_expires_after", 'archive_expires_after = "365d"'),
        ("muc_log_expires_after", 'muc_log_expires_after = "365d"'),
        ("http_file_share_expires_after", 'http_file_share_expires_after = "30d"'),
        ("http_file_share_size_limit", "http_file_share_size_limit = 20971520"),
        ("http_file_share_daily_quota", "http_file_share_daily_quota = 209715200"),
        ("sallyport_scan_seconds", "sallyport_scan_seconds = 60"),
        ("sallyport_sign_in_attempts", "sallyport_sign_in_attempts = 10"),
        ("sallyport_sign_in_lockout", "sallyport_sign_in_lockout = 900"),
    ],
)
def test_the_settings_of_the_site_reach_the_server(start: str, expected: str) -> None:
    assert line(render(), start) == expected


def test_the_internal_server_has_nothing_for_other_servers() -> None:
    text = render()
    assert '"s2s"; -- no stream to or from another server' in text
    assert not [entry for entry in text.splitlines() if entry.strip().startswith(("s2s_", "s2sin"))]
    assert [entry.split()[0] for entry in text.splitlines() if entry.startswith("Component")] == ["Component"] * 2


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("s2s_ports", "s2s_ports = { 5269 }"),
        ("s2s_direct_tls_ports", "s2s_direct_tls_ports = { 5270 }"),
        ("c2s_ports", "c2s_ports = { 5222 }"),
        ("https_ports", "https_ports = { 5281 }"),
        ("s2s_require_encryption", "s2s_require_encryption = true"),
        ("s2s_secure_auth", "s2s_secure_auth = true"),
        ("s2s_timeout", "s2s_timeout = 30"),
        ("s2s_stanza_size_limit", "s2s_stanza_size_limit = 65536"),
        ("s2sin", 's2sin = { rate = "256kb/s"; burst = "4s" };'),
        ("tls_profile", 'tls_profile = "intermediate" -- TLS 1.2 and 1.3'),
        ("VirtualHost", 'VirtualHost "ext.demo.example"'),
    ],
)
def test_the_external_server_takes_streams_by_certificate(start: str, expected: str) -> None:
    assert line(render(**EXTERNAL), start) == expected


@pytest.mark.parametrize("profile", [{}, EXTERNAL])
def test_no_setting_pretends_to_bound_the_elements(profile: dict[str, Any]) -> None:
    """Prosody 13.0.1 takes it and does nothing; the decision point bounds them (bounds.lib.lua)."""
    assert "max_child_elements" not in render(**profile)


def test_the_external_server_has_no_rooms_files_or_trust_without_certificates() -> None:
    text = render(**EXTERNAL)
    for word in (
        "Component",
        "modules_disabled",
        "muc",
        "http_file_share",
        'dialback"',
        's2s_bidi"',
        "insecure_domains",
    ):
        assert word not in text, word


def test_no_module_lets_anybody_in_or_out_by_another_way() -> None:
    modules = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["__im_server_modules"]
    forbidden = {
        *(
            "dialback",
            "s2s_bidi",
            "s2s",
            "bosh",
            "websocket",
            "register",
            "register_ibr",
            "invites_register",
            "cloud_notify",
        ),
        *("admin_telnet", "admin_web", "admin_adhoc", "version", "legacyauth", "proxy65", "http_files", "cloud_notify"),
    }
    assert not forbidden & set(modules)
    assert len(modules) == len(set(modules))


def test_only_the_log_host_reads_the_metrics() -> None:
    """Without a log host nobody does: Prosody's own default would let the machine itself."""
    assert "openmetrics" not in render()
    assert "statistics" not in render()
    text = render(metrics_from=["10.213.1.14", "fd21:3:1::14"])
    assert 'openmetrics_allow_ips = { "10.213.1.14", "fd21:3:1::14" }' in text
    assert '"sallyport_metrics";' in text
    assert "openmetrics_allow_cidr" not in text
