# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of what a site says of external IM: of grants, partners, the external server, and permitted consumer services.

As in `references`, they run on what stands in the files and pass over what has a fault of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ansible_collections.sallyport.im.plugins.plugin_utils import consumer_im
from ansible_collections.sallyport.im.plugins.plugin_utils.faults import Fault, Location, nearest, show_value
from ansible_collections.sallyport.im.plugins.plugin_utils.host_list import Host
from ansible_collections.sallyport.im.plugins.plugin_utils.references import ROOT, find, zones_of
from ansible_collections.sallyport.im.plugins.plugin_utils.values import PLACEHOLDER, read_network
from ansible_collections.sallyport.im.plugins.plugin_utils.yaml_source import Source

PARTNERS = (*ROOT, "partners")
PEOPLE = (*ROOT, "people")
EXTERNAL_DOMAIN = (*ROOT, "domains", "external")


def check_external(source: Source, host_source: Source, hosts: tuple[Host, ...]) -> Iterator[Fault]:
    """Check everything about external IM that needs two settings at once.

    Args:
        source: the site file.
        host_source: the host list.
        hosts: its hosts.

    Yields:
        The faults.
    """
    yield from _server(source, host_source, hosts)
    yield from _own_domains(source)
    yield from _partners(source)
    yield from _addresses_of_partners(source)
    yield from _people_of_partners(source)
    yield from _permitted(source)


def _entries(source: Source, location: Location) -> range:
    return range(len(find(source, location, tuple) or ()))


def _given(source: Source, location: Location) -> str | None:
    value = find(source, location, str)
    return None if value is None or value.startswith(PLACEHOLDER) else value


def _grants(source: Source) -> Mapping[str, bool]:
    """Return for each person whether there is a grant of external IM, in force or not."""
    found = {}
    for number in _entries(source, PEOPLE):
        person = _given(source, (*PEOPLE, number, "id"))
        if person is not None:
            found[person] = find(source, (*PEOPLE, number, "external"), dict) is not None
    return found


def _server(source: Source, host_source: Source, hosts: tuple[Host, ...]) -> Iterator[Fault]:
    """An external server needs a domain, a network and a machine, and grants and partners need an external server."""
    domain = find(source, EXTERNAL_DOMAIN, str)
    network = bool(find(source, (*ROOT, "networks", "dmz"), tuple))
    machine = next((host for host in hosts if host.group == "im_external"), None)
    wanted_by: list[tuple[Location, str]] = []
    if grant := next((person for person, given in _grants(source).items() if given), None):
        wanted_by.append((PEOPLE, f"{grant} has external IM"))
    if _entries(source, PARTNERS):
        wanted_by.append((PARTNERS, "there is a partner"))
    if machine:
        wanted_by.append((EXTERNAL_DOMAIN, f"the host list has the external server {machine.name}"))
    if network:
        wanted_by.append((EXTERNAL_DOMAIN, "there is a network dmz for it"))
    if domain is None:
        for location, why in wanted_by[:1]:
            yield source.fault(
                location,
                f"{why}, but the site has no external server",
                allowed="a domain for it under sallyport.domains.external, a network under sallyport.networks.dmz, and "
                "a host in the group im_external; or none of all this",
            )
        return
    if not network:
        yield source.fault(
            (*ROOT, "networks"),
            "there is no network in which the external server could stand",
            allowed="dmz: [<network>], one of its own between the company and the outside",
        )
    if machine is None:
        yield host_source.fault(
            ("all", "children"),
            f"there is no machine for the external server of {show_value(domain)}",
            allowed="a host in the group im_external, with sallyport_addresses: {dmz: [<address>]}",
        )


def _own_domains(source: Source) -> Iterator[Fault]:
    internal, external = _given(source, (*ROOT, "domains", "internal")), _given(source, EXTERNAL_DOMAIN)
    if internal and external in (internal, f"rooms.{internal}", f"files.{internal}"):
        yield source.fault(
            EXTERNAL_DOMAIN,
            f"{show_value(external)}: this domain is one of the internal server",
            value=show_value(external),
            allowed="a domain of its own, as ext.example.com",
        )


def _partners(source: Source) -> Iterator[Fault]:
    internal, external = _given(source, (*ROOT, "domains", "internal")), _given(source, EXTERNAL_DOMAIN)
    own = {domain for domain in (external, internal) if domain}
    own |= {f"{part}.{internal}" for part in ("rooms", "files")} if internal else set()
    seen: dict[str, Location] = {}
    for number in _entries(source, PARTNERS):
        location: Location = (*PARTNERS, number, "domain")
        domain = _given(source, location)
        if domain is None:
            continue
        if any(domain == name or domain.endswith(f".{name}") for name in own):
            yield source.fault(
                location,
                f"{show_value(domain)}: this is the site's own domain, or below it",
                value=show_value(domain),
                allowed="the domain of another company",
            )
        if domain in seen:
            line = source.line(seen[domain])
            yield source.fault(
                location,
                f"{show_value(domain)}: there is an entry for this partner already, in line {line}",
                value=show_value(domain),
                allowed="one entry for each partner",
            )
        seen.setdefault(domain, location)
        partner: Location = (*PARTNERS, number)
        if find(source, (*partner, "authority"), str) and find(source, (*partner, "fingerprints"), tuple):
            yield source.fault(
                (*partner, "authority"),
                "beside `fingerprints` this has no effect: exactly those certificates are taken",
                allowed="one of the two",
            )


def _addresses_of_partners(source: Source) -> Iterator[Fault]:
    """A partner inside of the site would open a way from one of its zones to another."""
    zones = [(zone, network) for zone, networks in zones_of(source).items() for network in networks]
    for number in _entries(source, PARTNERS):
        for place in _entries(source, (*PARTNERS, number, "addresses")):
            location: Location = (*PARTNERS, number, "addresses", place)
            try:
                given = read_network(find(source, location, object))
            except ValueError:
                continue
            for zone, network in zones:
                if given.version == network.version and given.overlaps(network):
                    yield source.fault(
                        location,
                        f"{given} overlaps {network}, which is the site's own (networks.{zone})",
                        value=str(given),
                        allowed="networks of the partner's servers, outside of the site",
                    )
                    break


def _people_of_partners(source: Source) -> Iterator[Fault]:
    grants = _grants(source)
    groups = [*(find(source, (*ROOT, "groups"), dict) or {})]
    for number in _entries(source, PARTNERS):
        for kind, known, what in (("people", [*grants], "person"), ("groups", groups, "group")):
            for place in _entries(source, (*PARTNERS, number, kind)):
                location: Location = (*PARTNERS, number, kind, place)
                name = _given(source, location)
                if name is None:
                    continue
                shown = show_value(name)
                if name not in known:
                    yield source.fault(
                        location,
                        f"{shown}: there is no such {what}",
                        value=shown,
                        allowed=f"the id of a {what} of this site",
                        nearest=nearest(name, known),
                    )
                elif kind == "people" and not grants[name]:
                    yield source.fault(
                        location,
                        f"{shown} has no external IM, so this entry would have no effect",
                        value=shown,
                        allowed=f"`external` with reason and until at {name} under sallyport.people, or others here",
                    )


def _permitted(source: Source) -> Iterator[Fault]:
    here = (*ROOT, "consumer_im", "permitted")
    known = consumer_im.services()
    seen: set[str] = set()
    for number in _entries(source, here):
        location: Location = (*here, number, "service")
        name = _given(source, location)
        if name is None:
            continue
        shown = show_value(name)
        if name not in known:
            yield source.fault(
                location,
                f"{shown}: there is no such service in the catalogue",
                value=shown,
                allowed=", ".join(sorted(known)),
                nearest=nearest(name, known),
            )
        elif name in seen:
            yield source.fault(location, f"{shown} stands twice in this list", value=shown, allowed="each service once")
        seen.add(name)
