# SPDX-License-Identifier: GPL-3.0-or-later
"""What a control may know beforehand: the site file and the host list, as an administrator wrote them.

Read with Ansible's own inventory code and not with the kit's model: what is checked does not supply the expectation.
"""

from __future__ import annotations

import datetime
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.manager import VariableManager
from system.controls import Amber, NotApplicable

GROUPS = ("im_internal", "im_external", "log_host", "gateway", "desktops", "outside")
# where each of them serves people
ZONES = {"im_internal": "servers", "im_external": "dmz"}


@dataclass(frozen=True)
class HostFacts:
    """A host of the inventory.

    Attributes:
        name: Its name there.
        group: Which of the kit's groups it is in.
        admin: Address that Ansible uses.
        zones: Its addresses, by network.
        variables: Ansible's variables for the connection.
        probe: Whether controls may be tried from it.
        choices: What the administrator chose for it in variables of the roles.
    """

    name: str
    group: str
    admin: str
    zones: dict[str, list[str]]
    variables: dict[str, Any] = field(repr=False)
    probe: bool = False
    choices: dict[str, Any] = field(default_factory=dict, repr=False)

    def chosen(self, name: str) -> list[str]:
        """Return what the administrator allows on this host beyond the kit, as ``baseline_may_run``."""
        return [str(value) for value in self.choices.get(name, [])]

    @property
    def ssh_port(self) -> int:
        """The port on which administration answers."""
        return int(self.variables.get("ansible_port", 22))

    @property
    def over_network(self) -> bool:
        """Whether it is administered over a network, and not past it."""
        return not str(self.variables.get("ansible_connection", "")).endswith("docker")

    @property
    def root(self) -> bool:
        """Whether Ansible comes in as root."""
        return self.variables.get("ansible_user", "root") == "root" or not self.over_network

    def address(self, zone: str, version: int = 4) -> str:
        """Return the first address in a network, IPv4 unless said otherwise.

        Raises:
            LookupError: When it has none there.
        """
        for address in self.zones.get(zone, []):
            if (":" in address) == (version == 6):
                return address
        raise LookupError(f"{self.name} has no IPv{version} address in {zone}: sallyport_addresses is {self.zones}")

    def all_addresses(self, *zones: str) -> list[str]:
        """Return its addresses in some networks, or in all but that for administration."""
        return [address for zone, found in self.zones.items() if not zones or zone in zones for address in found]

    def ssh_options(self) -> list[str]:
        """Return the options of ssh that Ansible would use."""
        options = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=10"]
        if key := self.variables.get("ansible_ssh_private_key_file"):
            options += ["-i", str(key)]
        for name in ("ansible_ssh_common_args", "ansible_ssh_extra_args"):
            options += shlex.split(str(self.variables.get(name, "")))
        return options

    def command(self) -> list[str]:
        """Return the words that run a shell command on this host, to which the command is added."""
        if not self.over_network:
            return ["docker", "exec", "-i", self.admin, "sh", "-c"]
        words = ["ssh", *self.ssh_options()]
        if port := self.variables.get("ansible_port"):
            words += ["-p", str(port)]
        user = self.variables.get("ansible_user")
        return [*words, f"{user}@{self.admin}" if user else self.admin]


@dataclass(frozen=True)
class Service:
    """An XMPP server as clients reach it.

    Attributes:
        domain: Its domain.
        address: Where it answers.
        ca_pem: Who signs its certificate, PEM.
    """

    domain: str
    address: str
    ca_pem: str = field(repr=False)


@dataclass(frozen=True)
class SiteFacts:
    """A site as its files say it is.

    Attributes:
        folder: Of the inventory.
        name: Of the site.
        sallyport: The site file below its root key.
        hosts: By name.
    """

    folder: Path
    name: str
    sallyport: dict[str, Any]
    hosts: dict[str, HostFacts]

    @property
    def domain(self) -> str:
        """The XMPP domain of the internal server."""
        return str(self.sallyport["domains"]["internal"])

    @property
    def rooms(self) -> str:
        """The domain of the rooms."""
        return f"rooms.{self.domain}"

    @property
    def files(self) -> str:
        """The domain of the file service."""
        return f"files.{self.domain}"

    @property
    def demo(self) -> bool:
        """Whether this is the demo, where nobody works and everything may be tried."""
        return self.name == "demo"

    def ca_pem(self) -> str:
        """Return the certificate of the site's own authority, PEM."""
        return (self.folder / "ca.crt").read_text(encoding="utf-8")

    def in_group(self, group: str) -> list[HostFacts]:
        """Return the hosts of a group."""
        return [host for host in self.hosts.values() if host.group == group]

    def server(self) -> HostFacts:
        """Return the internal server.

        Raises:
            LookupError: When the inventory has none.
        """
        for host in self.in_group("im_internal"):
            return host
        raise LookupError(f"{self.folder}: no host in im_internal")

    def gateway(self) -> HostFacts:
        """Return the gateway.

        Raises:
            LookupError: When the inventory has none.
        """
        for host in self.in_group("gateway"):
            return host
        raise LookupError(f"{self.folder}: no host in gateway")

    def log_host(self) -> HostFacts:
        """Return the host that keeps the logs.

        Raises:
            Amber: When the site has none.
        """
        for host in self.in_group("log_host"):
            return host
        raise Amber("The site has no log host: what a machine logs stays on it, and who breaks in can change it.")

    def service(self, version: int = 4) -> str:
        """Return the address on which the internal server serves people, IPv4 unless said otherwise."""
        return self.server().address("servers", version)

    def external_server(self) -> HostFacts:
        """Return the external server.

        Raises:
            NotApplicable: When the site has none.
        """
        for host in self.in_group("im_external"):
            return host
        raise NotApplicable("The site has no external server: nobody outside can be reached, or reaches anybody.")

    @property
    def external_domain(self) -> str:
        """The XMPP domain of the external server."""
        return str(self.sallyport["domains"]["external"])

    def internal(self, version: int = 4) -> Service:
        """Return the internal server as clients reach it."""
        return Service(self.domain, self.service(version), self.ca_pem())

    def external(self, version: int = 4) -> Service:
        """Return the external server as clients reach it.

        Raises:
            NotApplicable: When the site has none.
        """
        return Service(self.external_domain, self.external_server().address("dmz", version), self.ca_pem())

    def im_servers(self) -> list[tuple[HostFacts, Service]]:
        """Return the IM servers of the site, the internal one first."""
        found = [(self.server(), self.internal())]
        return [*found, *((host, self.external()) for host in self.in_group("im_external"))]

    def servers(self) -> list[HostFacts]:
        """Return the servers that the site manages: those for IM, the log host, and the gateway."""
        return [*(host for host, _ in self.im_servers()), *self.in_group("log_host"), self.gateway()]

    def scanned(self) -> list[HostFacts]:
        """Return the machines that have a scanner for viruses: the IM servers and the desktops."""
        return [*(host for host, _ in self.im_servers()), *self.in_group("desktops")]

    def near(self, host: HostFacts) -> list[str]:
        """Return the gateway's addresses in the zone of a host."""
        return [address for zone in host.zones for address in self.gateway().zones.get(zone, [])]

    def administrators(self) -> list[str]:
        """Return the accounts of the administrators."""
        return [str(person["user"]) for person in self.sallyport.get("administrators", [])]

    def people_today(self) -> dict[str, dict[str, Any]]:
        """Return the people who have an account in force now, by id."""
        return {person["id"]: person for person in self.sallyport.get("people", []) if in_force(person)}

    def granted_today(self) -> dict[str, dict[str, Any]]:
        """Return the people whose leave to use external IM is in force now, by id."""
        return {
            name: one for name, one in self.people_today().items() if one.get("external") and in_force(one["external"])
        }

    def partners_today(self) -> dict[str, dict[str, Any]]:
        """Return the partners whose entry is in force now, by domain."""
        return {one["domain"]: one for one in self.sallyport.get("partners", []) if in_force(one)}

    def may_talk_to(self, partner: dict[str, Any]) -> set[str]:
        """Return who of the people may talk to a partner now."""
        granted = self.granted_today()
        if partner.get("people") is None and partner.get("groups") is None:
            return {*granted}
        named, groups = {*(partner.get("people") or ())}, {*(partner.get("groups") or ())}
        return {name for name, one in granted.items() if name in named or groups & {*one.get("groups", ())}}


def moment(value: object, *, end: bool) -> datetime.datetime:
    """Return when a `from` begins, or an `until` is over: a date, or a minute as ``2027-06-30 17:30``, all in UTC."""
    text = str(value)
    if ":" in text:
        return datetime.datetime.strptime(text[:16], "%Y-%m-%d %H:%M").replace(tzinfo=datetime.UTC)
    day = datetime.datetime.strptime(text[:10], "%Y-%m-%d").replace(tzinfo=datetime.UTC)
    return day + datetime.timedelta(days=1) if end else day


def in_force(entry: dict[str, Any]) -> bool:
    """Tell whether something with `from` and `until` holds now."""
    now, begins, ends = datetime.datetime.now(datetime.UTC), entry.get("from"), entry.get("until")
    return (not begins or moment(begins, end=False) <= now) and (not ends or now < moment(ends, end=True))


def read_site(folder: Path) -> SiteFacts:
    """Read a site.

    Args:
        folder: Of its inventory.

    Returns:
        The facts.

    Raises:
        LookupError: When it is no site of this kit.
    """
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=[str(folder.resolve())])
    manager = VariableManager(loader=loader, inventory=inventory)
    hosts: dict[str, HostFacts] = {}
    sallyport: dict[str, Any] = {}
    for host in inventory.get_hosts():
        variables = manager.get_vars(host=host)
        templar = Templar(loader=loader, variables=variables)
        connection = {key: templar.template(value) for key, value in variables.items() if key.startswith("ansible_")}
        group = next((name for name in GROUPS if name in [str(group) for group in host.get_groups()]), "")
        sallyport = variables.get("sallyport", sallyport)
        hosts[host.name] = HostFacts(
            name=host.name,
            group=group,
            admin=str(connection.get("ansible_host", host.name)),
            zones=variables.get("sallyport_addresses", {}),
            variables=connection,
            probe=variables.get("sallyport_probe") is True,
            choices={key: value for key, value in variables.items() if key.startswith(("baseline_", "firewall_"))},
        )
    if not hosts or not sallyport:
        raise LookupError(f"{folder}: no hosts, or no `sallyport:` in group_vars; is it the folder of a site?")
    return SiteFacts(folder=folder, name=str(sallyport["site"]), sallyport=sallyport, hosts=hosts)
