# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of consumer IM services, and what a site makes of it. The facts stand in `consumer_im.yml` beside this.

Pure functions; the gateway's firewall, resolver and web gate are made from what they return.
"""

from __future__ import annotations

import datetime
import functools
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import collapse_addresses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from ansible_collections.sallyport.im.plugins.plugin_utils.flows import SERVICES
from ansible_collections.sallyport.im.plugins.plugin_utils.values import Network, check_domain, read_network
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    TypeAdapter,
    model_validator,
)

if TYPE_CHECKING:
    from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site

FILE = Path(__file__).with_name("consumer_im.yml")
SERVICE = "service"
"""The kind of entry that a site can permit; the others are ways around the gateway's own resolver."""
NOBODYS = {service.port: service.title for service in sorted(SERVICES.values(), reverse=True) if service.port}
"""Ports that the kit itself knows, as those of the web, of mail and of XMPP: an entry cannot claim them."""
HIGHEST_PORT = 65535

Ports = tuple[int, int]
"""The first and the last port of a range."""


def read_ports(value: object) -> Ports:
    """Read a port or a range of ports.

    Args:
        value: 5190, or 6660-6669.

    Returns:
        The first and the last.

    Raises:
        ValueError: it is neither, or holds a port that the kit itself knows.
    """
    found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", str(value), re.ASCII)
    if not found or isinstance(value, bool):
        raise ValueError("this is no port, as 5190, and no range, as 6660-6669")
    first = int(found[1])
    last = int(found[2] or first)
    if not 1 <= first <= last <= HIGHEST_PORT:
        raise ValueError(f"ports go from 1 to {HIGHEST_PORT}, the lower first")
    for port in sorted(NOBODYS):
        if first <= port <= last:
            raise ValueError(f"port {port} is no consumer service's: {NOBODYS[port]}")
    return first, last


def _no_overlap(ranges: Sequence[Ports]) -> tuple[Ports, ...]:
    for (_, last), (first, _) in itertools.pairwise(sorted(ranges)):
        if first <= last:
            raise ValueError(f"port {first} stands here twice")
    return tuple(sorted(ranges))


def _list(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _text(value: str) -> str:
    if not value.strip() or value != value.strip() or "\n" in value:
        raise ValueError("this is empty, or no single line")
    return value


Line = Annotated[str, AfterValidator(_text)]
PortList = Annotated[
    tuple[Annotated[Ports, PlainValidator(read_ports)], ...], BeforeValidator(_list), AfterValidator(_no_overlap)
]
NetworkList = Annotated[tuple[Annotated[Network, PlainValidator(read_network)], ...], BeforeValidator(_list)]
NameList = Annotated[tuple[Annotated[str, AfterValidator(check_domain)], ...], BeforeValidator(_list)]


class Entry(BaseModel):
    """One service, or one way around the resolver."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=31)]
    kind: Literal["service", "resolver", "canary"]
    title: Line
    closed: Annotated[int, Field(ge=1990, le=2100)] | None = None
    tcp: PortList = ()
    udp: PortList = ()
    opens: bool = True
    addresses: NetworkList = ()
    names: NameList = ()
    note: Line | None = None
    source: Line
    checked: datetime.date

    @model_validator(mode="after")
    def _is_found_by_something(self) -> Entry:
        if not (self.tcp or self.udp or self.addresses or self.names):
            raise ValueError("an entry needs ports, addresses or names")
        if not self.opens and not (self.tcp or self.udp):
            raise ValueError("there are no ports that could stay closed")
        return self

    @property
    def status(self) -> str:
        """Whether its operator still runs it, in plain words."""
        return f"closed {self.closed}" if self.closed else "active"


@dataclass(frozen=True)
class ConsumerService:
    """An entry of the catalogue, as the gateway enforces it.

    Attributes:
        id: its id in the catalogue.
        title: its name as people read it.
        tcp: TCP ports and ranges that name it, as nftables writes them.
        udp: UDP ports and ranges, likewise.
        addresses4: its own IPv4 networks, as few as possible.
        addresses6: its own IPv6 networks.
        names: its domains; each means all below it, too.
        permitted_until: the first instant at which it is refused again; empty when it is not permitted.
        permitted_from: the instant from which on it is permitted; empty when at once, or never.
        kind: service, resolver or canary.
        opens: whether its ports are opened while it is permitted.
    """

    id: str
    title: str
    tcp: tuple[str, ...]
    udp: tuple[str, ...]
    addresses4: tuple[str, ...]
    addresses6: tuple[str, ...]
    names: tuple[str, ...]
    permitted_until: str = ""
    permitted_from: str = ""
    kind: str = SERVICE
    opens: bool = True

    def opened(self) -> dict[str, tuple[str, ...]]:
        """Return the ports that a permission opens, by protocol."""
        found = {"tcp": self.tcp, "udp": self.udp}
        return {protocol: ports for protocol, ports in found.items() if ports and self.opens}

    def addresses(self, version: int) -> tuple[str, ...]:
        """Return its own networks of a version of IP."""
        return self.addresses4 if version == 4 else self.addresses6

    def opens_what(self) -> str:
        """Say in plain words which ports a permission opens, and where to; empty for none besides those of the web."""
        ports = " and ".join(f"{protocol} {', '.join(found)}" for protocol, found in self.opened().items())
        own = self.addresses4 + self.addresses6
        return ports and f"opens {ports} to {'its own addresses' if own else 'any address'}"


def parse(text: str) -> tuple[Entry, ...]:
    """Read a catalogue and check all of it.

    Args:
        text: its YAML.

    Returns:
        The entries, in the order of the text.

    Raises:
        ValueError: something is wrong with an entry, two have the same id, or two claim the same name or address.
    """
    entries = TypeAdapter(tuple[Entry, ...]).validate_python(_list(yaml.safe_load(text)))
    faults = [*_doubled_ids(entries), *_doubled_names(entries), *_doubled_addresses(entries)]
    if faults:
        raise ValueError("; ".join(faults))
    return entries


def _doubled_ids(entries: Sequence[Entry]) -> Iterator[str]:
    ids = [entry.id for entry in entries]
    for one in sorted({one for one in ids if ids.count(one) > 1}):
        yield f"{one}: there are two entries of this id"


def _doubled_names(entries: Sequence[Entry]) -> Iterator[str]:
    """A name means all below it: one below another of the same entry is superfluous, and of another entry wrong."""
    owner = {name: entry.id for entry in entries for name in entry.names}
    names = [name for entry in entries for name in entry.names]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{name}: this name stands there twice"
    for entry in entries:
        for name in entry.names:
            for above in _above(name):
                if above in owner:
                    yield f"{entry.id}: {name} is below {above} of {owner[above]}"


def _above(name: str) -> Iterator[str]:
    while "." in name:
        name = name.partition(".")[2]
        yield name


def _doubled_addresses(entries: Sequence[Entry]) -> Iterator[str]:
    found = [(network, entry.id) for entry in entries for network in entry.addresses]
    for (one, first), (other, second) in itertools.combinations(found, 2):
        if one.version == other.version and one.overlaps(other):
            yield f"{first}: {one} overlaps with {other} of {second}"


@functools.cache
def catalogue() -> tuple[Entry, ...]:
    """Read the kit's catalogue.

    Returns:
        All entries: services, resolvers and canary names, in the order of the file.
    """
    return parse(FILE.read_text(encoding="utf-8"))


def services() -> tuple[str, ...]:
    """List what a site can permit.

    Returns:
        The ids of the consumer IM services, sorted.
    """
    return tuple(sorted(entry.id for entry in catalogue() if entry.kind == SERVICE))


def blocked(permitted: Mapping[str, tuple[str, str]]) -> tuple[ConsumerService, ...]:
    """Say what a gateway refuses, and for which of it there is a permission.

    Args:
        permitted: for the ids of services, from when on (empty for at once) and until when each is permitted.

    Returns:
        All entries of the catalogue, in its order. Whether a permission holds is for the gateway to tell, by its clock.

    Raises:
        KeyError: there is no such service.
    """
    if unknown := sorted(permitted.keys() - {*services()}):
        raise KeyError(unknown[0])
    return tuple(_enforced(entry, *permitted.get(entry.id, ("", ""))) for entry in catalogue())


def rules(site: Site) -> tuple[ConsumerService, ...]:
    """Say what the gateway of a site refuses, and for which of it there is a permission.

    Args:
        site: the site.

    Returns:
        All entries of the catalogue, in its order.
    """
    permitted = site.settings.consumer_im.permitted
    return blocked({one.service: (one.begins or "", one.ends or "") for one in permitted})


def _enforced(entry: Entry, begins: str, ends: str) -> ConsumerService:
    return ConsumerService(
        id=entry.id,
        title=entry.title,
        tcp=tuple(map(_port_text, entry.tcp)),
        udp=tuple(map(_port_text, entry.udp)),
        addresses4=_collapsed(entry.addresses, 4),
        addresses6=_collapsed(entry.addresses, 6),
        names=entry.names,
        permitted_until=ends,
        permitted_from=begins,
        kind=entry.kind,
        opens=entry.opens,
    )


def _port_text(ports: Ports) -> str:
    first, last = ports
    return str(first) if first == last else f"{first}-{last}"


def _collapsed(networks: Iterable[Network], version: int) -> tuple[str, ...]:
    # the two versions cannot be mixed, and here they are not
    of_version: Any = [network for network in networks if network.version == version]
    return tuple(map(str, collapse_addresses(of_version)))


ACTIONS = {"refuse": ".", "pass": "rpz-passthru."}
"""What a response policy does with a name: it does not exist, or the question goes its way."""


def zone(service: ConsumerService, action: Literal["refuse", "pass"]) -> str:
    """Write a response policy for the names of an entry.

    Args:
        service: the entry.
        action: what becomes of a question for one of its names.

    Returns:
        The lines of a response policy zone, without its own name (draft-vixie-dnsop-dns-rpz).
    """
    return "".join(f"{start}{name} CNAME {ACTIONS[action]}\n" for name in service.names for start in ("", "*."))


HEAD = """# What the gateway takes for consumer IM

Made from `plugins/plugin_utils/consumer_im.yml` by `make docs`. How it is enforced, how to permit a service and where
it ends stands in [R7](practices/R7.md). A name means all names below it, too. A port names a service in the log and
never decides alone; a service without ports uses those of the web.
"""
SECTIONS = {
    "service": ("Consumer IM services", "Their ids are what `consumer_im.permitted` of a site file takes."),
    "resolver": ("Public resolvers", "They would answer past the gateway's resolver. They cannot be permitted."),
    "canary": (
        "Names that are asked for before the resolver is passed by",
        "Programs take it for a no when these do not exist, or hide other names behind them.",
    ),
}


def page() -> str:
    """Write the catalogue for people.

    Returns:
        The text of docs/consumer-im.md.
    """
    parts = [HEAD]
    for kind, (title, explanation) in SECTIONS.items():
        parts.append(f"## {title}\n\n{explanation}\n")
        parts += [_entry_text(entry) for entry in catalogue() if entry.kind == kind]
    return "\n".join(parts)


def _entry_text(entry: Entry) -> str:
    facts = {
        "TCP": ", ".join(map(_port_text, entry.tcp)),
        "UDP": ", ".join(map(_port_text, entry.udp)),
        "When permitted": "" if entry.opens else "these ports stay closed",
        "Addresses": ", ".join(map(str, entry.addresses)),
        "Names": ", ".join(f"`{name}`" for name in entry.names),
        "Note": entry.note or "",
        "Source": f"{entry.source}; checked {entry.checked}",
    }
    lines = "".join(f"- {key}: {value}\n" for key, value in facts.items() if value)
    status = f", {entry.status}" if entry.kind == SERVICE else ""
    return f"### `{entry.id}`\n\n{entry.title}{status}.\n\n{lines}"


if __name__ == "__main__":
    print(page(), end="")
