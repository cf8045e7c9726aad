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

GROUPS = ("im_internal", "gateway", "desktops", "outside")


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

    def service(self, version: int = 4) -> str:
        """Return the address on which the internal server serves people, IPv4 unless said otherwise."""
        return self.server().address("servers", version)

    def administrators(self) -> list[str]:
        """Return the accounts of the administrators."""
        return [str(person["user"]) for person in self.sallyport.get("administrators", [])]

    def people_today(self) -> dict[str, dict[str, Any]]:
        """Return the people who have an account in force today (UTC), by id."""
        today = datetime.datetime.now(datetime.UTC).date()
        return {
            person["id"]: person
            for person in self.sallyport.get("people", [])
            if _date(person.get("from"), datetime.date.min) <= today <= _date(person.get("until"), datetime.date.max)
        }


def _date(value: object, otherwise: datetime.date) -> datetime.date:
    return datetime.date.fromisoformat(str(value)[:10]) if value else otherwise


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
