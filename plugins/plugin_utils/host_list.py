# SPDX-License-Identifier: GPL-3.0-or-later
"""The host list of a site, inventories/<site>/hosts.yml, read from its file and checked against the site's networks.

Ansible reads the same file for itself. The kit reads it as well, since only so can a fault name its line, and since a
host in a wrong group would silently get no role at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from re import fullmatch

from ansible_collections.sallyport.im.plugins.plugin_utils.faults import Fault, Location, nearest, show_value
from ansible_collections.sallyport.im.plugins.plugin_utils.values import (
    ALLOWED,
    HOST_NAME,
    PLACEHOLDER,
    Address,
    Network,
    check_domain,
    read_address,
)
from ansible_collections.sallyport.im.plugins.plugin_utils.yaml_source import Source

OUTSIDE = "outside"
"""Zone and group of everything that is not the site's: the zone is whatever lies in none of the site's networks."""
SERVICE_ZONES = ("servers", "desktops", "dmz", OUTSIDE)
"""Zones in which a host has addresses of its own, beside its address for administration."""
Zones = Mapping[str, tuple[Network, ...]]


@dataclass(frozen=True)
class Role:
    """What hosts of a group are.

    Attributes:
        title: in plain words.
        needs: zones in which such a host must have an address.
        may: further zones in which it may have one.
        most: how many such hosts there may be; 0 for any number.
        least: how many there must be.
    """

    title: str
    needs: tuple[str, ...]
    may: tuple[str, ...] = ()
    least: int = 0
    most: int = 0


GROUPS = {
    "im_internal": Role("internal IM server", ("servers",), least=1, most=1),
    "im_external": Role("external IM server", ("dmz",), most=1),
    "log_host": Role("log host", ("servers",), most=1),
    "gateway": Role("gateway", ("servers", OUTSIDE), ("desktops", "dmz"), least=1, most=1),
    "desktops": Role("desktop", ("desktops",)),
    "outside": Role("host outside of the site, not managed", (OUTSIDE,)),
}
"""The groups of the host list; a host is in exactly one."""
OWN_VARIABLES = ("sallyport_addresses", "sallyport_person", "sallyport_probe")
TAKEN_NAMES = {*GROUPS, "all", "ungrouped", "localhost"}
"""Names that mean something else to Ansible: a desktop called `outside` would be left alone in silence."""
IN_THE_CLEAR = ("pass", "password", "passphrase")
"""How Ansible's own variables end that hold a secret."""


@dataclass(frozen=True)
class Host:
    """A machine of the host list.

    Attributes:
        name: its name in the list.
        group: the one group that it belongs to.
        admin_address: where Ansible connects to: an address, or a name that only the DNS knows.
        addresses: its other addresses, by zone, in the order of the file.
        probe: whether controls are tried from it.
        person: id of the person who works at it; only of a desktop.
    """

    name: str
    group: str
    admin_address: str
    addresses: Mapping[str, tuple[str, ...]]
    probe: bool = False
    person: str = ""

    @property
    def managed(self) -> bool:
        """Whether the kit deploys anything on it."""
        return self.group != OUTSIDE


@dataclass
class _List:
    """The host list while it is read."""

    source: Source
    zones: Zones
    hosts: list[Host] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    seen: dict[str, Location] = field(default_factory=dict)
    used: dict[Address, Location] = field(default_factory=dict)

    def add(
        self, location: Location, message: str, *, value: object = "", allowed: str = "", meant: str | None = None
    ) -> None:
        shown = show_value(value) if value != "" else ""
        text = f"{shown}: {message}" if shown else message
        self.faults.append(self.source.fault(location, text, value=shown, allowed=allowed, nearest=meant))


def read_hosts(source: Source, zones: Zones) -> tuple[tuple[Host, ...], list[Fault]]:
    """Read the hosts out of a host list and check them.

    Args:
        source: hosts.yml as it was read.
        zones: the site's networks by zone; a zone whose networks are faulty themselves is left out, and addresses in it
            are then not compared with them.

    Returns:
        The hosts that could be read, in the order of the file, and everything that is wrong with the list. The faults
        of the source itself are not repeated.
    """
    reading = _List(source, zones)
    content = source.value
    if not isinstance(content, dict):
        return (), []
    groups: object = None
    for key, value in content.items():
        if key != "all":
            reading.add(
                (key,), "there is no such entry at the top of a host list", allowed="all", meant=nearest(key, ["all"])
            )
            continue
        groups = _groups(reading, value)
    if "all" not in content:
        reading.add(
            (), "the entry `all` is missing, so the list has no hosts", allowed="all: children: <group>: hosts:"
        )
    if isinstance(groups, dict):
        for group, body in groups.items():
            _group(reading, group, body)
        _count(reading, groups)
        _near_the_gateway(reading)
    return tuple(reading.hosts), reading.faults


def _mapping(reading: _List, location: Location, value: object, what: str) -> dict[str, object]:
    """Return a mapping; nothing counts as an empty one, as it does for Ansible."""
    if isinstance(value, dict):
        return value
    if value is not None:
        reading.add(location, "a mapping is expected here", value=value, allowed=what)
    return {}


def _groups(reading: _List, value: object) -> object:
    """Read what stands below `all`."""
    top = _mapping(reading, ("all",), value, "children, vars")
    for key, inner in top.items():
        here: Location = ("all", key)
        if key == "vars":
            _group_variables(reading, here, inner)
        elif key == "hosts":
            for name in _mapping(reading, here, inner, "nothing; hosts stand in groups"):
                reading.seen[name] = (*here, name)
                reading.add((*here, name), "this host is in no group", allowed=f"one group of: {', '.join(GROUPS)}")
        elif key != "children":
            reading.add(
                here,
                "there is no such entry below all",
                allowed="children, vars",
                meant=nearest(key, ["children", "vars", "hosts"]),
            )
    if "children" not in top:
        reading.add(
            ("all",),
            "the entry `children` is missing, so the list has no groups",
            allowed=f"children: with the groups {', '.join(GROUPS)}",
        )
        return {}
    return _mapping(reading, ("all", "children"), top["children"], "the groups: " + ", ".join(GROUPS))


def _group_variables(reading: _List, location: Location, value: object) -> None:
    for name in _mapping(reading, location, value, "Ansible's own variables, ansible_…"):
        if not name.startswith("ansible_"):
            reading.add(
                (*location, name),
                "this is no variable for a group of hosts",
                allowed="Ansible's own (ansible_…); settings of the site stand in group_vars/all/site.yml",
            )
    if isinstance(value, dict):
        _no_password(reading, location, value)


def _no_password(reading: _List, location: Location, variables: Mapping[str, object]) -> None:
    """Refuse passwords that stand in the list as they are; the value is not repeated."""
    for name, value in variables.items():
        if name.startswith("ansible_") and name.endswith(IN_THE_CLEAR) and "{{" not in str(value):
            reading.add(
                (*location, name),
                "a password stands here in the clear",
                allowed="nothing: use SSH keys, or let Ansible ask (--ask-pass, --ask-become-pass); or put it into the "
                "vault and write \"{{ lookup('sallyport.im.secret', 'its name') }}\" here",
            )


def _group(reading: _List, group: str, body: object) -> None:
    """Read one group."""
    location: Location = ("all", "children", group)
    if group not in GROUPS:
        reading.add(
            location,
            "there is no such group, so its hosts would be left alone",
            allowed=", ".join(GROUPS),
            meant=nearest(group, GROUPS),
        )
    for key, inner in _mapping(reading, location, body, "hosts, vars").items():
        here = (*location, key)
        if key == "vars":
            _group_variables(reading, here, inner)
        elif key == "hosts":
            for name, variables in _mapping(reading, here, inner, "the hosts of the group").items():
                _host(reading, group, (*here, name), name, variables)
        else:
            reading.add(
                here, "there is no such entry in a group", allowed="hosts, vars", meant=nearest(key, ["hosts", "vars"])
            )


def _host(reading: _List, group: str, location: Location, name: str, body: object) -> None:
    """Read one host."""
    if name in reading.seen:
        reading.add(
            location,
            f"this host is in two groups, first in line {reading.source.line(reading.seen[name])}",
            allowed="exactly one group; a machine has one purpose only",
        )
        return
    reading.seen[name] = location
    if not fullmatch(HOST_NAME, name):
        reading.add(location, "this cannot be the name of a host", allowed=ALLOWED["host"])
    if name in TAKEN_NAMES:
        reading.add(
            location, f"{name} means something else to Ansible, so no host may have this name", allowed=f"{name}-1"
        )
    variables = _mapping(reading, location, body, "ansible_host, sallyport_addresses")
    _no_password(reading, location, variables)
    for variable in variables:
        if variable not in OWN_VARIABLES and not variable.startswith("ansible_"):
            reading.add(
                (*location, variable),
                "there is no such setting of a host",
                allowed=f"{', '.join(OWN_VARIABLES)}, and Ansible's own (ansible_…)",
                meant=nearest(variable, [*OWN_VARIABLES, "ansible_host"]),
            )
    probe = variables.get("sallyport_probe", False)
    if not isinstance(probe, bool):
        reading.add(
            (*location, "sallyport_probe"), "this is neither true nor false", value=probe, allowed="true or false"
        )
        probe = False
    admin = _admin_address(reading, location, variables)
    addresses = _addresses(reading, (*location, "sallyport_addresses"), variables.get("sallyport_addresses"))
    if group in GROUPS:
        _check_zones(reading, location, group, addresses)
    person = _person(reading, (*location, "sallyport_person"), group, variables.get("sallyport_person", ""))
    reading.hosts.append(Host(name, group, admin, addresses, probe, person))


def _person(reading: _List, location: Location, group: str, value: object) -> str:
    """Read who works at a host; whether the site has such a person is looked at elsewhere."""
    if not isinstance(value, str):
        reading.add(location, "this is not the id of a person", value=value, allowed="the id of a person of the site")
        return ""
    if value and group in GROUPS and group != "desktops":
        reading.add(location, "only a desktop is somebody's", value=value, allowed="a host in the group desktops")
        return ""
    return value


def _admin_address(reading: _List, location: Location, variables: Mapping[str, object]) -> str:
    """Read where Ansible connects to."""
    here = (*location, "ansible_host")
    value = variables.get("ansible_host")
    if value is None:
        reading.add(
            here, "this setting is missing", allowed="the host's address in the zone admin, where Ansible connects"
        )
        return ""
    if not isinstance(value, str):
        reading.add(here, "this is neither an address nor a name", value=value, allowed=ALLOWED["address"])
        return ""
    if value.startswith(PLACEHOLDER):
        return ""
    if not fullmatch(r"[0-9.]+|.*:.*", value):
        try:
            if not fullmatch(HOST_NAME, value):
                check_domain(value)
        except ValueError as error:
            reading.add(here, str(error), value=value, allowed=f"{ALLOWED['address']}, or a host name")
            return ""
        return value
    _address(reading, here, "admin", value)
    return value


def _addresses(reading: _List, location: Location, value: object) -> dict[str, tuple[str, ...]]:
    """Read a host's addresses by zone."""
    found: dict[str, tuple[str, ...]] = {}
    for zone, items in _mapping(reading, location, value, "zones, each with a list of addresses").items():
        here = (*location, zone)
        if zone not in SERVICE_ZONES:
            reading.add(
                here, "there is no such zone", allowed=", ".join(SERVICE_ZONES), meant=nearest(zone, SERVICE_ZONES)
            )
            continue
        found[zone] = ()
        if not isinstance(items, tuple) or not items:
            reading.add(here, "a list of addresses is expected here", value=items, allowed=f'["{ALLOWED["address"]}"]')
            continue
        for number, item in enumerate(items):
            _address(reading, (*here, number), zone, item)
        found[zone] = tuple(item for item in items if isinstance(item, str))
    return found


def _address(reading: _List, location: Location, zone: str, value: object) -> None:
    """Check one address of a host."""
    if isinstance(value, str) and value.startswith(PLACEHOLDER):
        return
    try:
        address = read_address(value)
    except ValueError as error:
        reading.add(location, str(error), value=value, allowed=ALLOWED["address"])
        return
    if address in reading.used:
        first = reading.used[address]
        reading.add(
            location,
            f"this address is used twice, first by {first[4]} in line {reading.source.line(first)}",
            value=value,
            allowed="an address of its own for each host and zone",
        )
        return
    reading.used[address] = location
    if zone == OUTSIDE:
        for name, networks in reading.zones.items():
            if any(address in network for network in networks):
                reading.add(
                    location,
                    f"this address is not outside, it lies in the zone {name}",
                    value=value,
                    allowed="an address in none of the site's networks",
                )
    elif zone in reading.zones:
        _inside(reading, location, zone, address)


def _inside(reading: _List, location: Location, zone: str, address: Address) -> None:
    """Check that an address is one that a host of a zone can have."""
    networks = reading.zones[zone]
    own = next((network for network in networks if address in network), None)
    if own is None:
        reading.add(
            location,
            f"this address is not in the zone {zone}",
            value=str(address),
            allowed=f"an address in {', '.join(map(str, networks))}"
            if networks
            else f"first a network under sallyport.networks.{zone} in the site file, which has none",
        )
    elif own.num_addresses > 2 and (
        address == own.network_address or (own.version == 4 and address == own.broadcast_address)
    ):
        reading.add(
            location,
            f"this address is {own} itself or its broadcast, no host can have it",
            value=str(address),
            allowed=f"another address in {own}",
        )


def _check_zones(reading: _List, location: Location, group: str, addresses: Mapping[str, tuple[str, ...]]) -> None:
    """Check that a host stands where its group belongs."""
    role = GROUPS[group]
    wrong = [zone for zone in addresses if zone not in role.needs + role.may]
    missing = [zone for zone in role.needs if zone not in addresses]
    if wrong and missing:
        fitting = [
            name for name, other in GROUPS.items() if {*other.needs} <= {*addresses} <= {*other.needs, *other.may}
        ]
        reading.add(
            location,
            f"this host is in the wrong group: its addresses are in {' and '.join(wrong)}, those of "
            f"a host of {group} ({role.title}) are in {' and '.join(role.needs)}",
            allowed=f"another group, or an address in {' and '.join(role.needs)}",
            meant=fitting[0] if fitting else None,
        )
    elif wrong:
        for zone in wrong:
            reading.add(
                (*location, "sallyport_addresses", zone),
                f"a host of {group} ({role.title}) has no business in the zone {zone}",
                allowed=", ".join(role.needs + role.may),
            )
    elif missing:
        reading.add(
            (*location, "sallyport_addresses"),
            f"a host of {group} ({role.title}) needs an address in {' and in '.join(missing)}",
            allowed=f"sallyport_addresses: {{{missing[0]}: [<address>]}}",
        )


def _count(reading: _List, groups: Mapping[str, object]) -> None:
    """Check that there are as many hosts of each kind as a site has."""
    for group, role in GROUPS.items():
        names = [host.name for host in reading.hosts if host.group == group]
        location: Location = ("all", "children", group) if group in groups else ("all", "children")
        if len(names) < role.least:
            # a group whose name is only misspelt is named already
            if group in (nearest(other, GROUPS) for other in groups if other not in GROUPS):
                continue
            reading.add(location, f"there is no {role.title}", allowed=f"a host in the group {group}")
        elif role.most and len(names) > role.most:
            reading.add(
                location,
                f"there are {len(names)} hosts, {', '.join(names)[:100]}",
                allowed=f"at most {role.most} {role.title}",
            )


def _near_the_gateway(reading: _List) -> None:
    """Check that the gateway stands where the external server does, since that goes out through it."""
    external = [host for host in reading.hosts if host.group == "im_external"]
    for gateway in reading.hosts:
        if external and gateway.group == "gateway" and "dmz" not in gateway.addresses:
            reading.add(
                ("all", "children", "gateway", "hosts", gateway.name, "sallyport_addresses"),
                f"the gateway has no address in the zone dmz, where {external[0].name} stands",
                allowed="sallyport_addresses: {dmz: [<address>]} beside the others",
            )


def addresses_of(hosts: tuple[Host, ...]) -> Iterator[tuple[Host, str, str]]:
    """List all addresses of hosts.

    Args:
        hosts: the hosts.

    Yields:
        Host, zone and address; that of administration has the zone `admin`.
    """
    for host in hosts:
        yield host, "admin", host.admin_address
        for zone, addresses in host.addresses.items():
            for address in addresses:
                yield host, zone, address
