# SPDX-License-Identifier: GPL-3.0-or-later
"""The DNS records of an IM server: for the people's clients, and for other servers."""

from __future__ import annotations

import re

import pytest
from ansible_collections.sallyport.im.plugins.plugin_utils.dns_records import dns_records
from ansible_collections.sallyport.im.plugins.plugin_utils.flows import SERVICES


def test_records_for_clients_of_the_internal_server() -> None:
    assert dns_records("im.fjord.example", ["10.20.1.11", "fd12:20:0:2::11"]) == [
        "im.fjord.example. IN A 10.20.1.11",
        "im.fjord.example. IN AAAA fd12:20:0:2::11",
        "files.im.fjord.example. IN A 10.20.1.11",
        "files.im.fjord.example. IN AAAA fd12:20:0:2::11",
        "_xmpps-client._tcp.im.fjord.example. IN SRV 0 0 5223 im.fjord.example.",
        "_xmpp-client._tcp.im.fjord.example. IN SRV 0 0 5222 im.fjord.example.",
    ]


def test_records_for_clients_of_the_external_server() -> None:
    """It has no file service, and inside of the company nobody talks to it as a server."""
    assert dns_records("ext.fjord.example", ["10.20.3.12"], files=False) == [
        "ext.fjord.example. IN A 10.20.3.12",
        "_xmpps-client._tcp.ext.fjord.example. IN SRV 0 0 5223 ext.fjord.example.",
        "_xmpp-client._tcp.ext.fjord.example. IN SRV 0 0 5222 ext.fjord.example.",
    ]


def test_records_for_other_servers() -> None:
    """In the public DNS, where no client of ours looks; the address is the gateway's."""
    assert dns_records("ext.fjord.example", ["192.0.2.7", "2001:db8:7::12"], files=False, partners=True) == [
        "ext.fjord.example. IN A 192.0.2.7",
        "ext.fjord.example. IN AAAA 2001:db8:7::12",
        "_xmpps-server._tcp.ext.fjord.example. IN SRV 0 0 5270 ext.fjord.example.",
        "_xmpp-server._tcp.ext.fjord.example. IN SRV 0 0 5269 ext.fjord.example.",
    ]
    assert not [record for record in dns_records("x.example", (), files=False, partners=True) if " A" in record]


def test_every_port_is_one_of_the_table() -> None:
    records = [record for partners in (False, True) for record in dns_records("x.example", (), partners=partners)]
    ports = {int(found) for record in records for found in re.findall(r"SRV 0 0 (\d+) ", record)}
    assert ports == {SERVICES[name].port for name in ("xmpp", "xmpps", "xmpp_servers", "xmpps_servers")}


def test_what_is_no_address() -> None:
    with pytest.raises(ValueError, match="gateway"):
        dns_records("x.example", ["gateway"])
