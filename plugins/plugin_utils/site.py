# SPDX-License-Identifier: GPL-3.0-or-later
"""A site: what its administrator wants, read from its folder, checked as a whole, never changed afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.sallyport.im.plugins.plugin_utils import authority
from ansible_collections.sallyport.im.plugins.plugin_utils.alert_references import check_alerts
from ansible_collections.sallyport.im.plugins.plugin_utils.desktop_references import check_desktops
from ansible_collections.sallyport.im.plugins.plugin_utils.external_references import check_external
from ansible_collections.sallyport.im.plugins.plugin_utils.faults import Fault, Location, SiteFaults
from ansible_collections.sallyport.im.plugins.plugin_utils.host_list import Host, read_hosts
from ansible_collections.sallyport.im.plugins.plugin_utils.model_faults import explain
from ansible_collections.sallyport.im.plugins.plugin_utils.partner_certificates import authorities_of
from ansible_collections.sallyport.im.plugins.plugin_utils.references import check_references, placeholders, zones_of
from ansible_collections.sallyport.im.plugins.plugin_utils.rule_lists import lists_of
from ansible_collections.sallyport.im.plugins.plugin_utils.rule_references import check_rules
from ansible_collections.sallyport.im.plugins.plugin_utils.site_file import Person, SiteFile, SiteYaml
from ansible_collections.sallyport.im.plugins.plugin_utils.ssh_keys import keys_of
from ansible_collections.sallyport.im.plugins.plugin_utils.vault import VaultFault, read_vault
from ansible_collections.sallyport.im.plugins.plugin_utils.yaml_source import Source, read
from pydantic import ValidationError

SITE_FILE = Path("group_vars", "all", "site.yml")
HOST_LIST = Path("hosts.yml")
AUTHORITY = Path("ca.crt")
VAULT_KEYS = {
    "ca_key": "private key of the site's certificate authority, PEM",
    "probe_a_password": "password of the account probe-a",
    "probe_b_password": "password of the account probe-b",
    "probe_c_password": "password of the account probe-c",
}
"""What every vault must hold."""
EXTERNAL_VAULT_KEYS = {
    f"external_{key}": f"{meaning} on the external server" for key, meaning in VAULT_KEYS.items() if key != "ca_key"
}
"""What the vault of a site with an external server must hold beside."""
EVENT_KEY = {"event_key": "a random text of 32 characters or more, with which the digests of messages are made"}
"""What the vault of a site must hold whose log has digests of what was written."""
ALERTS_PASSWORD = {"alerts_password": "password of the account by which alerts are sent on the internal server"}
RELAY_PASSWORD = {"alerts_mail_password": "password of sallyport.alerts.mail.user at the relay"}


@dataclass(frozen=True)
class Site:
    """A site without a fault.

    Attributes:
        folder: where it stands, as inventories/oslo.
        settings: the site file.
        hosts: the host list, in the order of the file.
        count: how many settings its two files hold.
        keys: public SSH keys by the path of their file, as the site file names it.
        authorities: certificates of partners' authorities (PEM), by the partner's domain; and of the mail relay's, by
            `partner_certificates.RELAY`.
        lists: entries of the rules' lists by the path of their file, as the site file names it.
    """

    folder: Path
    settings: SiteFile
    hosts: tuple[Host, ...]
    count: int = 0
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    authorities: Mapping[str, str] = field(default_factory=dict)
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The site's name."""
        return self.settings.site

    @property
    def domain(self) -> str:
        """Domain of the internal server."""
        return self.settings.domains.internal

    @property
    def external_domain(self) -> str | None:
        """Domain of the external server, when there is one."""
        return self.settings.domains.external

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains of the site's servers."""
        return tuple(filter(None, (self.domain, self.external_domain)))

    @property
    def rooms_domain(self) -> str:
        """Domain of the internal server's chat rooms."""
        return f"rooms.{self.domain}"

    @property
    def files_domain(self) -> str:
        """Domain of the internal server's file sharing."""
        return f"files.{self.domain}"

    @property
    def people(self) -> tuple[Person, ...]:
        """The people of the site file, without the kit's own accounts."""
        return self.settings.people

    def host(self, name: str) -> Host:
        """Find a host.

        Args:
            name: its name in the host list.

        Returns:
            The host.

        Raises:
            KeyError: there is no such host.
        """
        for host in self.hosts:
            if host.name == name:
                return host
        raise KeyError(name)

    def hosts_of(self, group: str) -> tuple[Host, ...]:
        """List the hosts of a group.

        Args:
            group: its name in the host list.

        Returns:
            Its hosts, in the order of the file.
        """
        return tuple(host for host in self.hosts if host.group == group)


def load(inventory_dir: Path, passwords: Sequence[bytes] = (), *, with_vault: bool = True) -> Site:
    """Read a site and check all of it; no host is touched.

    Args:
        inventory_dir: its folder, as inventories/oslo.
        passwords: passwords for its vault, tried before those that the vault's own rules find.
        with_vault: whether the vault, the authority and the administrators' keys are read as well. Only what
            never needs a key may do without.

    Returns:
        The site.

    Raises:
        SiteFaults: everything that is wrong with it, at once.
    """
    folder = Path(inventory_dir)
    if not folder.is_dir():
        raise SiteFaults([_no_folder(folder)])
    site_source, host_source = read(folder / SITE_FILE), read(folder / HOST_LIST)
    faults = [*site_source.faults, *host_source.faults]
    settings, model_faults = _settings(site_source)
    faults += model_faults
    faults += check_references(site_source, folder.resolve().name)
    hosts, host_faults = read_hosts(host_source, zones_of(site_source))
    faults += host_faults
    faults += check_external(site_source, host_source, hosts)
    faults += check_desktops(site_source, host_source, hosts)
    faults += check_rules(site_source)
    faults += check_alerts(site_source, host_source, hosts)
    faults = [*_without_echoes(faults, site_source, host_source)]
    keys: Mapping[str, tuple[str, ...]] = {}
    authorities: Mapping[str, str] = {}
    lists: Mapping[str, tuple[str, ...]] = {}
    if settings is not None:
        lists, list_faults = lists_of(folder, settings)
        faults += [site_source.fault(place, message, allowed=fitting) for place, message, fitting in list_faults]
    if with_vault:
        faults += _vault(folder, passwords, settings)
        if settings is not None:
            keys, key_faults = keys_of(folder, settings)
            authorities, certificate_faults = authorities_of(folder, settings)
            in_files = [*key_faults, *certificate_faults]
            faults += [site_source.fault(place, message, allowed=fitting) for place, message, fitting in in_files]
    if faults or settings is None:
        raise SiteFaults(faults)
    return Site(folder, settings, hosts, _count(site_source) + _count(host_source), keys, authorities, lists)


def _no_folder(folder: Path) -> Fault:
    sites = sorted(path.parent.name for path in folder.parent.glob("*/hosts.yml"))
    return Fault(
        message="there is no such folder",
        file=folder,
        allowed=f"{folder.parent}/ followed by one of: {', '.join(sites)}" if sites else "make new-site makes one",
    )


def _settings(source: Source) -> tuple[SiteFile | None, list[Fault]]:

    if source.value is None:
        return None, []
    try:
        return SiteYaml.model_validate(source.value).sallyport, []
    except ValidationError as error:
        return None, explain(error, source)


def _without_echoes(faults: list[Fault], *sources: Source) -> Iterator[Fault]:
    """Leave out what only follows from something else that is named already."""
    # a value that is still to be filled in is no bad domain or address, and what YAML misread is no bad setting
    covered: set[tuple[Path, Location]] = set()
    for source in sources:
        for fault in placeholders(source):
            covered.add((fault.file, fault.location))
            yield fault
    misread = {(fault.file, fault.location) for source in sources for fault in source.faults if fault.location}
    for fault in faults:
        place = (fault.file, fault.location)
        if place in covered or (place in misread and not any(fault in source.faults for source in sources)):
            continue
        yield fault


def _vault(folder: Path, passwords: Sequence[bytes], settings: SiteFile | None) -> Iterator[Fault]:
    """Check that the vault opens and holds what every site needs, and that the authority can sign for the site."""
    try:
        secrets = read_vault(folder, passwords)
    except VaultFault as fault:
        yield Fault(message=f"the site's vault: {fault.message}", file=fault.file)
        return
    for key, meaning in _needed(settings).items():
        value = secrets.get(key)
        if not isinstance(value, str) or not value:
            yield Fault(
                message=f"the site's vault does not hold {key}",
                file=folder / "vault.yml",
                allowed=f"{key}: {meaning}; take it from your backup, or add it with: ansible-vault edit "
                f"--vault-password-file {folder / '.vault-password'} {folder / 'vault.yml'}",
            )
        elif key == "ca_key":
            yield from _authority(folder, value, settings)


def _needed(settings: SiteFile | None) -> dict[str, str]:
    """Name what the vault must hold."""
    if settings is None:
        return VAULT_KEYS
    mail = settings.alerts.mail
    return {
        **VAULT_KEYS,
        **(EXTERNAL_VAULT_KEYS if settings.domains.external is not None else {}),
        **(EVENT_KEY if settings.logging.body == "hash" else {}),
        **(ALERTS_PASSWORD if settings.alerts.people else {}),
        **(RELAY_PASSWORD if mail is not None and mail.user is not None else {}),
    }


def _authority(folder: Path, key: str, settings: SiteFile | None) -> Iterator[Fault]:
    """Check that the site's authority can sign for the site's domain: found here, and not on a half-done host."""
    file = folder / AUTHORITY
    try:
        own = authority.load_authority(file.read_bytes(), key.encode())
    except OSError as error:
        yield Fault(
            message=f"the certificate of the site's authority cannot be read: {error.strerror}",
            file=file,
            allowed=f"the one that was made with the site, from your backup. {authority.NEW_ONE}",
        )
        return
    except authority.AuthorityFault as fault:
        yield Fault(message=str(fault), file=file)
        return
    # rooms. and files. are below the domain, and permitted with it
    for domain in filter(None, (settings.domains.internal, settings.domains.external) if settings else ()):
        if not authority.permits(own.certificate, domain):
            yield Fault(
                message=f"the site's authority may not sign for {domain}, it was made for other domains",
                file=file,
                allowed=f"the domain that the site had before. {authority.NEW_ONE}",
            )


def _count(source: Source) -> int:
    """Count the values of a file, those inside of lists and mappings and not these themselves."""

    def leaves(value: object) -> int:
        if isinstance(value, dict):
            return sum(map(leaves, value.values()))
        if isinstance(value, tuple):
            return sum(map(leaves, value))
        return 1

    return leaves(source.value)
