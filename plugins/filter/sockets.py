# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: the sockets that a service listens on, from its addresses and its ports."""

from __future__ import annotations

DOCUMENTATION = r"""
name: sockets
short_description: Each address with each port
version_added: 0.1.0
author: The Sallyport engineers
description:
  - Pairs each address of a service with each of its ports, as C(health.tcp) of
    M(sallyport.im.service_config) takes them.
positional: ports
options:
  _input:
    description: Addresses, IPv4 or IPv6.
    type: list
    elements: str
    required: true
  ports:
    description: Ports by the name of the service.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the sockets
  ansible.builtin.debug:
    msg: "{{ ['10.213.1.11'] | sallyport.im.sockets({'xmpp': 5222, 'https': 5281}) }}"
"""

RETURN = r"""
_value:
  description: Pairs of address and port, in the order of the addresses, then of the port numbers.
  type: list
  elements: dict
"""

from collections.abc import Callable, Iterable, Mapping


def sockets(addresses: Iterable[str], ports: Mapping[str, int]) -> list[dict[str, str | int]]:
    """Pair each address with each port.

    Args:
        addresses: IPv4 or IPv6 addresses.
        ports: Port numbers by the name of the service.

    Returns:
        Entries with `address` and `port`.
    """
    return [{"address": address, "port": port} for address in addresses for port in sorted(ports.values())]


class FilterModule:
    """Entry point for Ansible."""

    def filters(self) -> dict[str, Callable[..., object]]:
        """Return the filters of this file by name."""
        return {"sockets": sockets}
