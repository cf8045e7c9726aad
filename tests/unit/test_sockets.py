# SPDX-License-Identifier: GPL-3.0-or-later
"""sallyport.im.sockets: each address with each port."""

from __future__ import annotations

from ansible_collections.sallyport.im.plugins.filter.sockets import FilterModule


def test_each_address_with_each_port() -> None:
    sockets = FilterModule().filters()["sockets"]
    assert sockets(["10.213.1.11", "fd21:3:1::11"], {"xmpps": 5223, "xmpp": 5222}) == [
        {"address": "10.213.1.11", "port": 5222},
        {"address": "10.213.1.11", "port": 5223},
        {"address": "fd21:3:1::11", "port": 5222},
        {"address": "fd21:3:1::11", "port": 5223},
    ]
