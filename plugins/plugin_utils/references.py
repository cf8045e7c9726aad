# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of a site file that look at two settings at once.

They run on what stands in the file and not on the finished model, and pass over what has a fault of its own, so that
one bad person does not hide a bad network.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from ansible_collections.sallyport.im.plugins.plugin_utils.faults import Fault, Location, nearest, show_value
from ansible_collections.sallyport.im.plugins.plugin_utils.site_file import Certificates, Files, Networks
from ansible_collections.sallyport.im.plugins.plugin_utils.values import (
    EXCEPTIONS,
    PLACEHOLDER,
    Moment,
    Network,
    read_moment,
    read_network,
)
from ansible_collections.sallyport.im.plugins.plugin_utils.yaml_source import Source

Kind = TypeVar("Kind")
ROOT: Location = ("sallyport",)
MOST_HINTS = 50
"""Unknown groups for which the nearest one is looked up; with thousands of both it would take minutes."""


def find(source: Source, location: Location, kind: type[Kind]) -> Kind | None:
    """Find a value in a file.

    Args:
        source: the file.
        location: the way to the value.
        kind: what it should be.

    Returns:
        The value; None when it is not there or of another kind.
    """
    value: object = source.value
    for step in location:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, tuple) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value if isinstance(value, kind) and not (kind is int and isinstance(value, bool)) else None


def placeholders(source: Source) -> Iterator[Fault]:
    """Find what an administrator must still fill in.

    Args:
        source: a file.

    Yields:
        A fault for each value that still begins with the placeholder of the example.
    """
    for location in source.lines:
        value = find(source, location, str)
        if value is not None and value.startswith(PLACEHOLDER):
            hint = value.removeprefix(PLACEHOLDER).strip(" :-")
            yield source.fault(location, f"still to be filled in{f': {hint}' if hint else ''}", value=show_value(value))


def zones_of(source: Source) -> dict[str, tuple[Network, ...]]:
    """Read the networks of a site file.

    Args:
        source: the site file.

    Returns:
        The networks of each zone; a zone with a faulty network is left out.
    """
    zones = {}
    for zone in Networks.model_fields:
        items = find(source, (*ROOT, "networks", zone), tuple)
        try:
            if items is not None:
                zones[zone] = tuple(read_network(item) for item in items)
        except ValueError:
            continue
    return zones


def check_references(source: Source, site: str) -> Iterator[Fault]:
    """Check everything that needs two settings at once.

    Args:
        source: the site file.
        site: name of the site's folder.

    Yields:
        The faults.
    """
    name = find(source, (*ROOT, "site"), str)
    if name is not None and name != site:
        yield source.fault(
            (*ROOT, "site"),
            f"{show_value(name)} is not the name of the site's folder",
            value=show_value(name),
            allowed=site,
        )
    yield from _duplicate_people(source)
    yield from _groups(source)
    yield from _dates(source)
    yield from _overlaps(source)
    yield from _limits(source)
    yield from _signatures(source)


def _people(source: Source) -> range:
    return range(len(find(source, (*ROOT, "people"), tuple) or ()))


def _duplicate_people(source: Source) -> Iterator[Fault]:
    seen: dict[str, Location] = {}
    for number in _people(source):
        location: Location = (*ROOT, "people", number, "id")
        person = find(source, location, str)
        if person is None or person.startswith(PLACEHOLDER):
            continue
        # addresses are compared without regard to capitals (RFC 7622, section 3.3)
        folded = person.lower()
        if folded in seen:
            yield source.fault(
                location,
                f"{show_value(person)}: another person has this id already, in line {source.line(seen[folded])}",
                value=show_value(person),
                allowed="an id of its own for each person",
            )
        seen.setdefault(folded, location)


@dataclass(frozen=True)
class _Names:
    """A list of names of groups."""

    location: Location
    own: str = ""


def _groups(source: Source) -> Iterator[Fault]:
    groups = [*(find(source, (*ROOT, "groups"), dict) or {})]
    lists = [_Names((*ROOT, "people", number, "groups")) for number in _people(source)]
    lists += [_Names((*ROOT, "groups", group, "contacts"), own=group) for group in groups]
    known = {*groups}
    hints = 0
    for names in lists:
        seen: set[str] = set()
        for number in range(len(find(source, names.location, tuple) or ())):
            here: Location = (*names.location, number)
            name = find(source, here, str)
            if name is None or name.startswith(PLACEHOLDER):
                continue
            shown = show_value(name)
            if name in seen:
                yield source.fault(here, f"{shown} stands twice in this list", value=shown, allowed="each group once")
            elif name not in known:
                hints += 1
                yield source.fault(
                    here,
                    f"{shown}: there is no such group",
                    value=shown,
                    allowed=_some(groups) or "no group is defined yet; define it under sallyport.groups",
                    nearest=nearest(name, groups) if hints <= MOST_HINTS else None,
                )
            elif name == names.own:
                yield source.fault(
                    here,
                    f"{shown} is this group itself, whose members see each other anyway",
                    value=shown,
                    allowed="other groups",
                )
            seen.add(name)


def _some(names: list[str]) -> str:
    shown = ", ".join(sorted(names)[:20])
    return f"{shown}, … ({len(names)} groups)" if len(names) > 20 else shown


def _moment(source: Source, location: Location) -> Moment | None:
    value = find(source, location, object)
    try:
        return read_moment(value)
    except ValueError:
        return None


def _dates(source: Source) -> Iterator[Fault]:
    people = [(*ROOT, "people", number) for number in _people(source)]
    limited: list[Location] = [*people, *((*person, "external") for person in people)]
    for entries in ((*ROOT, "partners"), (*ROOT, "consumer_im", "permitted"), (*ROOT, "desktops", "attested")):
        limited += [(*entries, number) for number in range(len(find(source, entries, tuple) or ()))]
    for place in limited:
        start, end = _moment(source, (*place, "from")), _moment(source, (*place, "until"))
        if start is not None and end is not None and end.over <= start.begins:
            yield source.fault(
                (*place, "until"),
                f"{end}: the end does not lie after the beginning, {start}",
                value=str(end),
                allowed=f"{start} or later" if start.minute is None else f"later than {start}",
            )


def _overlaps(source: Source) -> Iterator[Fault]:
    """Compare networks with their neighbours in order; two networks overlap only when one holds the other."""
    found: list[tuple[int, int, int, Location, Network]] = []
    for zone in Networks.model_fields:
        for number, item in enumerate(find(source, (*ROOT, "networks", zone), tuple) or ()):
            try:
                network = read_network(item)
            except ValueError:
                continue
            first = int(network.network_address)
            found.append((network.version, first, network.prefixlen, (*ROOT, "networks", zone, number), network))
    last: tuple[Location, Network] | None = None
    for _version, _first, _length, location, network in sorted(
        found, key=lambda entry: (entry[:3], source.line(entry[3]))
    ):
        if last is not None and last[1].version == network.version and network.network_address in last[1]:
            other, around = last
            same = "the same network stands" if around == network else f"it lies inside of {around}, which stands"
            yield source.fault(
                location,
                f"{network} overlaps another network: {same} under {other[2]} in line {source.line(other)}",
                value=str(network),
                allowed="networks that do not overlap, in one zone each",
            )
        else:
            last = (location, network)


def _number(source: Source, section: str, name: str, default: int) -> int:
    value = find(source, (*ROOT, section, name), int)
    return default if value is None else value


def _limits(source: Source) -> Iterator[Fault]:
    largest = _number(source, "files", "max_megabytes", Files().max_megabytes)
    daily = _number(source, "files", "daily_megabytes_per_person", Files().daily_megabytes_per_person)
    if 0 < daily < largest:
        yield source.fault(
            (*ROOT, "files", "daily_megabytes_per_person"),
            f"{daily}: a person could never send the largest file of {largest} megabytes",
            value=str(daily),
            allowed=f"{largest} or more, or a smaller max_megabytes",
        )
    days = _number(source, "certificates", "server_days", Certificates().server_days)
    years = _number(source, "certificates", "ca_years", Certificates().ca_years)
    if years > 0 and days > years * 365:
        yield source.fault(
            (*ROOT, "certificates", "server_days"),
            f"{days}: the certificate would outlive that of its authority ({years * 365} days)",
            value=str(days),
            allowed=f"at most {years * 365}, or more ca_years",
        )


def _signatures(source: Source) -> Iterator[Fault]:
    """A scanner without signatures finds nothing; two sets of one name would lie in one file."""
    place = (*ROOT, "antivirus", "signatures")
    official = find(source, (*place, "official"), bool)
    urls = find(source, (*place, "urls"), tuple) or ()
    mirror = find(source, (*place, "mirror"), str)
    if official is False and not urls:
        yield source.fault(
            (*place, "official"),
            "false, and no urls: the scanner would have no signatures and find nothing",
            value="false",
            allowed="true, or an address under urls",
        )
    if official is False and mirror:
        yield source.fault(
            (*place, "mirror"),
            f"{show_value(mirror)} is a mirror of ClamAV's own sets, which official: false leaves out",
            value=show_value(mirror),
            allowed="official: true with it, or no mirror",
        )
    seen: dict[str, Location] = {}
    for number in range(len(urls)):
        here: Location = (*place, "urls", number)
        url = find(source, here, str)
        name = (url or "").rpartition("/")[2]
        if url is not None and name in seen:
            yield source.fault(
                here,
                f"{show_value(url)}: the set in line {source.line(seen[name])} has the same name, {show_value(name)}",
                value=show_value(url),
                allowed="a file name of its own for each set",
            )
        seen.setdefault(name, here)
    named = [find(source, (*place, "urls", number), str) for number in range(len(urls))]
    if official is False and named and all(url and url.rpartition(".")[2] in EXCEPTIONS for url in named):
        yield source.fault(
            (*place, "urls"),
            "these hold exceptions and no signatures: the scanner would find nothing",
            allowed="a set of signatures as well, as .ndb, .hdb or .ldb",
        )
    refused: set[str] = set()
    for number in range(len(find(source, (*ROOT, "antivirus", "refuse"), tuple) or ())):
        here = (*ROOT, "antivirus", "refuse", number)
        kind = find(source, here, str)
        if kind is not None and kind in refused:
            yield source.fault(here, f"{show_value(kind)} stands twice in this list", allowed="each kind once")
        refused.add(kind or "")
