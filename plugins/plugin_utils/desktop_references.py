# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of what a site says of people's computers: whose they are, and those for which somebody vouches.

As in `references`, they run on what stands in the files and pass over what has a fault of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.sallyport.im.plugins.plugin_utils.faults import Fault, Location, nearest, show_value
from ansible_collections.sallyport.im.plugins.plugin_utils.host_list import Host, addresses_of
from ansible_collections.sallyport.im.plugins.plugin_utils.references import ROOT, find, zones_of
from ansible_collections.sallyport.im.plugins.plugin_utils.values import PLACEHOLDER, read_address
from ansible_collections.sallyport.im.plugins.plugin_utils.yaml_source import Source

ATTESTED = (*ROOT, "desktops", "attested")


def check_desktops(source: Source, host_source: Source, hosts: tuple[Host, ...]) -> Iterator[Fault]:
    """Check everything about people's computers that needs two settings at once.

    Args:
        source: the site file.
        host_source: the host list.
        hosts: its hosts.

    Yields:
        The faults.
    """
    for host in hosts:
        location = ("all", "children", host.group, "hosts", host.name, "sallyport_person")
        if host.person and not host.person.startswith(PLACEHOLDER):
            yield from _person(source, host_source, location, host.person)
    seen = {host.name: f"a machine of {host_source.file.name}" for host in hosts}
    used = {str(_address(text)): f"{host.name} of {host_source.file.name}" for host, _, text in addresses_of(hosts)}
    for number in range(len(find(source, ATTESTED, tuple) or ())):
        here: Location = (*ATTESTED, number)
        if (person := _given(source, (*here, "person"))) is not None:
            yield from _person(source, source, (*here, "person"), person)
        if (name := _given(source, (*here, "id"))) is not None:
            if name in seen:
                yield source.fault(
                    (*here, "id"),
                    f"{show_value(name)}: {seen[name]} has this name already",
                    value=show_value(name),
                    allowed="a name of its own for each computer",
                )
            seen.setdefault(name, f"the entry in line {source.line((*here, 'id'))}")
        for place in range(len(find(source, (*here, "addresses"), tuple) or ())):
            yield from _check_address(source, (*here, "addresses", place), used)


def _given(source: Source, location: Location) -> str | None:
    value = find(source, location, str)
    return None if value is None or value.startswith(PLACEHOLDER) else value


def _address(text: object) -> object:
    try:
        return read_address(text)
    except ValueError:
        return text


def _person(source: Source, where: Source, location: Location, person: str) -> Iterator[Fault]:
    number = len(find(source, (*ROOT, "people"), tuple) or ())
    known = [name for at in range(number) if (name := find(source, (*ROOT, "people", at, "id"), str)) is not None]
    if person not in known:
        yield where.fault(
            location,
            f"{show_value(person)}: there is no such person",
            value=show_value(person),
            allowed="the id of a person under sallyport.people",
            nearest=nearest(person, known),
        )


def _check_address(source: Source, location: Location, used: dict[str, str]) -> Iterator[Fault]:
    """Check that an address is one of the desktops' networks, and nobody else's."""
    try:
        address = read_address(find(source, location, object))
    except ValueError:
        return
    if str(address) in used:
        yield source.fault(
            location,
            f"{address} is the address of {used[str(address)]}",
            value=str(address),
            allowed="an address of its own for each computer",
        )
        return
    used[str(address)] = f"the entry in line {source.line(location)}"
    networks = zones_of(source).get("desktops")
    if networks is not None and not any(address in net for net in networks if net.version == address.version):
        yield source.fault(
            location,
            f"{address} is not in the zone desktops",
            value=str(address),
            allowed=f"an address in {', '.join(map(str, networks))}" if networks else "first a network of desktops",
        )
