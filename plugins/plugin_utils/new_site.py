# SPDX-License-Identifier: GPL-3.0-or-later
"""Making a new site: a folder cloned from inventories/example, with secrets of its own.

    python -m ansible_collections.sallyport.im.plugins.plugin_utils.new_site oslo im.oslo.example
    python -m ansible_collections.sallyport.im.plugins.plugin_utils.new_site --authority oslo
    python -m ansible_collections.sallyport.im.plugins.plugin_utils.new_site --demo

A new site is made beside the others under a hidden name and renamed when it is complete, so a folder with the name of
a site is always a whole site. Nothing that exists is ever overwritten.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import functools
import ipaddress
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.sallyport.im.plugins.plugin_utils import authority, vault, yaml_source
from ansible_collections.sallyport.im.plugins.plugin_utils.dns_records import dns_records
from ansible_collections.sallyport.im.plugins.plugin_utils.faults import Fault, Location, SiteFaults, show_value
from ansible_collections.sallyport.im.plugins.plugin_utils.host_list import OUTSIDE
from ansible_collections.sallyport.im.plugins.plugin_utils.site import AUTHORITY, HOST_LIST, SITE_FILE, load
from ansible_collections.sallyport.im.plugins.plugin_utils.values import (
    ALLOWED,
    PLACEHOLDER,
    Address,
    Network,
    check_domain,
    check_site,
)

EXAMPLE = "example"
DEMO = "demo"
DEMO_PEOPLE = ("alice", "bob")  # carl waits with his invitation for whoever tries the demo; dora has left
INVITATIONS = "invitations"
HIDDEN = ".new-"  # beginning of the name of a site that is not complete yet
# last part of the first address in each group
HOST_NUMBERS = {"im_internal": 11, "im_external": 12, "log_host": 14, "gateway": 2, "desktops": 21}
SMALLEST_BLOCK = 22  # room for a /24 for each zone
BLOCKS = range(20, 255)  # which 10.N.0.0/16 are given to new sites; lower ones are what companies use already
ONLY_EXTERNAL = "# + "  # how lines of the example begin that a site with an external server has
YEARS = 10  # of the authority, when the site file says nothing else


class NewSiteFault(Exception):
    """A site cannot be made; the message says why and what to change."""


@dataclass(frozen=True)
class Use:
    """A name or address that a site uses.

    Attributes:
        what: site name, domain, network or address.
        value: the value; networks and addresses parsed, so that 10.0.0.1 and its network can be compared.
        file: where it stands.
        line: line in the file, from 1.
    """

    what: str
    value: str | Network | Address
    file: Path
    line: int

    @property
    def place(self) -> str:
        """File and line, as people and editors write it."""
        return Fault(message="", file=self.file, line=self.line).place

    @functools.cached_property
    def network(self) -> Network | None:
        """A network, or an address as the network of itself alone."""
        return None if isinstance(self.value, str) else ipaddress.ip_network(self.value)

    def collides(self, other: Use) -> bool:
        """Say whether two sites cannot both have these.

        Args:
            other: what another site uses.
        """
        mine, theirs = self.network, other.network
        if mine is not None and theirs is not None:
            return mine.version == theirs.version and mine.overlaps(theirs)
        return self.value == other.value and {self.what, other.what} != {"site name", "domain"}


Collision = tuple[Use, Use]
"""What one site uses, and what of another site is in its way."""


def _inner(value: object, *keys: str) -> object:
    """Follow keys into nested mappings; None where one is missing."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _texts(value: object, location: Location) -> Iterator[tuple[str, Location]]:
    """Walk over every text below a value, with its location."""
    if isinstance(value, str):
        yield value, location
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, (*location, str(key)))
    elif isinstance(value, tuple):
        for position, inner in enumerate(value):
            yield from _texts(inner, (*location, position))


def _parsed(text: str) -> Network | Address | None:
    """Parse a network or an address; None when it is neither."""
    for parse in (ipaddress.ip_address, ipaddress.ip_network):
        with contextlib.suppress(ValueError):
            return parse(text)
    return None


def uses_of(folder: Path, shown: Path | None = None) -> list[Use]:
    """List the names and addresses that a site uses, as far as its files can be read.

    Args:
        folder: folder of the site.
        shown: what to call the folder in messages; the folder itself when left out.

    Returns:
        Name, domains, networks and addresses of hosts, each with its place. A faulty file never raises.
    """
    name = (shown or folder).name
    found = []
    site = yaml_source.read(folder / SITE_FILE)
    site_shown, hosts_shown = (shown or folder) / SITE_FILE, (shown or folder) / HOST_LIST
    found.append(Use("site name", name, site_shown, site.line(("sallyport", "site"))))
    for text, location in _texts(_inner(site.value, "sallyport", "site"), ("sallyport", "site")):
        if text != name:
            found.append(Use("site name", text, site_shown, site.line(location)))
    for text, location in _texts(_inner(site.value, "sallyport", "domains"), ("sallyport", "domains")):
        for domain in (text, f"rooms.{text}", f"files.{text}"):
            found.append(Use("domain", domain.lower(), site_shown, site.line(location)))
    for text, location in _texts(_inner(site.value, "sallyport", "networks"), ("sallyport", "networks")):
        network = _parsed(text)
        if network is not None:
            found.append(Use("network", network, site_shown, site.line(location)))
    hosts = yaml_source.read(folder / HOST_LIST)
    for text, location in _texts(hosts.value, ()):
        if text.startswith(PLACEHOLDER):
            continue
        if "sallyport_addresses" in location or location[-1] == "ansible_host":
            address = _parsed(text)
            found.append(Use("address", text if address is None else address, hosts_shown, hosts.line(location)))
    return found


def sites_in(inventories: Path) -> list[Path]:
    """List the folders of sites, the example left out: it is not a site, only what sites are cloned from.

    Args:
        inventories: folder of all sites.
    """
    return sorted(
        path
        for path in inventories.iterdir()
        if path.is_dir() and not path.name.startswith(".") and path.name != EXAMPLE
    )


def collisions(mine: Sequence[Use], others: Sequence[Use]) -> list[Collision]:
    """Compare what a site uses with what other sites use.

    Args:
        mine: of one site.
        others: of all others.

    Returns:
        Each collision once.
    """
    alike: dict[tuple[str, str, str], Collision] = {}
    unlike: dict[tuple[str, str, str], Collision] = {}
    for use in mine:
        for other in others:
            if use.collides(other):
                # once for each pair of places: a domain that collides brings its rooms. and files. with it
                (alike if use.what == other.what else unlike).setdefault(
                    (use.what, use.place, other.place), (use, other)
                )
    # an address inside of a network of another site says nothing new when the networks collide as well
    return list((alike or unlike).values())


def collisions_with_others(folder: Path) -> list[Fault]:
    """Compare a site with all other sites beside it; for `make check`.

    Args:
        folder: folder of the site.

    Returns:
        A fault for each collision, naming both places; empty when there is none.
    """
    own = folder.absolute()
    others = [other for other in sites_in(own.parent) if other.resolve() != own.resolve()]
    return [
        Fault(
            message=f"{mine.what} {mine.value} is used already: {theirs.what} {theirs.value} ({theirs.place})",
            file=mine.file,
            line=mine.line,
            allowed=f"another {mine.what}; if that site is gone or only a copy, move its folder out of {own.parent}",
        )
        for mine, theirs in collisions(uses_of(folder), [use for other in others for use in uses_of(other)])
    ]


def free_block(others: Sequence[Use]) -> ipaddress.IPv4Network:
    """Choose a range of addresses that no other site uses.

    Args:
        others: what the other sites use.

    Returns:
        A free 10.N.0.0/16.

    Raises:
        NewSiteFault: none is free.
    """
    networks = [use.network for use in others if use.network is not None]
    for number in BLOCKS:
        block = ipaddress.IPv4Network(f"10.{number}.0.0/16")
        if not any(network.version == 4 and network.overlaps(block) for network in networks):
            return block
    raise NewSiteFault(
        f"every 10.N.0.0/16 from N={BLOCKS.start} to {BLOCKS.stop - 1} is used by another inventory; name one that is "
        "free with --network"
    )


def read_block(text: str) -> ipaddress.IPv4Network:
    """Read the range of addresses that an administrator named.

    Args:
        text: as 10.30.0.0/16.

    Returns:
        The range.

    Raises:
        NewSiteFault: it is not an IPv4 network, or too small to hold a /24 for each zone.
    """
    network = _parsed(text)
    if not isinstance(network, ipaddress.IPv4Network) or not 8 <= network.prefixlen <= SMALLEST_BLOCK:
        raise NewSiteFault(
            f"the network {show_value(text)} cannot be divided among the zones of a site\n"
            f"  allowed: an IPv4 network of /8 to /{SMALLEST_BLOCK}, as 10.30.0.0/16; each zone gets a /24 of it"
        )
    return network


@dataclass(frozen=True)
class Plan:
    """What tells a new site from the example.

    Attributes:
        site: its name.
        domain: domain of its internal IM server.
        external: domain of its external IM server; empty when it has none.
        block: its IPv4 addresses; each zone gets a /24 of them.
        prefix: first 32 bits of its IPv6 networks, as `fd12:3456`; each zone gets a /64 of them.
    """

    site: str
    domain: str
    external: str
    block: ipaddress.IPv4Network
    prefix: str

    def networks(self, zone: int) -> tuple[ipaddress.IPv4Network, ipaddress.IPv6Network]:
        """Return the networks of a zone.

        Args:
            zone: its position in the site file, from 0.
        """
        start = ipaddress.IPv4Address(int(self.block.network_address) + 256 * zone)
        return ipaddress.IPv4Network(f"{start}/24"), ipaddress.IPv6Network(f"{self.prefix}:{zone:x}::/64")


def proposals(plan: Plan, site: yaml_source.Source, hosts: yaml_source.Source) -> dict[Location, str]:
    """Choose networks and addresses for a new site.

    Args:
        plan: what is known of it.
        site: site file of the example.
        hosts: host list of the example.

    Returns:
        YAML text for each setting that may be left open, by its location; the two files share no location.
    """
    found: dict[Location, str] = {}
    zones = {zone: position for position, zone in enumerate(_names(site.value, "sallyport", "networks"))}
    for zone, position in zones.items():
        four, six = plan.networks(position)
        found["sallyport", "networks", zone, 0] = f'{four}, "{six}"'
    for group, first in HOST_NUMBERS.items():
        path = ("all", "children", group, "hosts")
        for number, host in enumerate(_names(hosts.value, *path), start=first):
            four, _six = plan.networks(zones.get("admin", 0))
            found[*path, host, "ansible_host"] = str(four[number])
            for zone in _names(hosts.value, *path, host, "sallyport_addresses"):
                if zone == OUTSIDE:
                    continue  # the provider gives this address
                four, six = plan.networks(zones.get(zone, len(zones)))
                # the last digits are written alike in both, for people
                found[*path, host, "sallyport_addresses", zone, 0] = f'{four[number]}, "{six[int(str(number), 16)]}"'
    return found


def _names(value: object, *keys: str) -> list[str]:
    """Return the keys of a nested mapping; none when there is no mapping."""
    inner = _inner(value, *keys)
    return [str(key) for key in inner] if isinstance(inner, dict) else []


def fill_in(text: str, source: yaml_source.Source, values: Mapping[Location, str], *, proposed: bool) -> str:
    """Replace settings that are left open in a file of the example; comments and layout stay.

    Args:
        text: the file's text.
        source: the same file, read.
        values: YAML text for each setting, by its location; settings that are not left open stay as they are.
        proposed: whether an administrator has to confirm the values; they are marked then.

    Returns:
        The text, with as many lines.
    """
    lines = text.split("\n")
    for location, value in values.items():
        number = source.lines.get(location, 0) - 1
        found = re.search(rf'"{PLACEHOLDER}:? ?([^"]*)"', lines[number]) if number >= 0 else None
        if found is not None:
            mark = f"  # {PLACEHOLDER} if it is not so: {found[1]}" if proposed else ""
            lines[number] = lines[number][: found.start()] + value + lines[number][found.end() :] + mark
    return "\n".join(lines)


def _fresh_prefix() -> str:
    """Return the first 32 bits of a local IPv6 prefix, chosen by chance as RFC 4193 asks."""
    chance = secrets.token_hex(3)
    return f"fd{chance[:2]}:{chance[2:]}"


def account_secrets() -> dict[str, object]:
    """Make passwords for the kit's own accounts: those of the controls, on both servers, and that of the alerts.

    Returns:
        From the name in the vault to the password: 256 bits from the system's random source.
    """
    probes = (f"{server}probe_{letter}_password" for server in ("", "external_") for letter in "abc")
    return {name: secrets.token_urlsafe(32) for name in (*probes, "alerts_password")}


def _write_private(file: Path, text: str) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)


def make_secrets(folder: Path, site: str, domains: Sequence[str], more: dict[str, object] | None = None) -> None:
    """Make everything secret of a site, and the certificate of its authority.

    Args:
        folder: folder of the site; has none of these files yet.
        site: name of the site.
        domains: the only domains that the authority may sign for, with the names below them.
        more: further secrets for the vault.
    """
    years = _inner(yaml_source.read(folder / SITE_FILE).value, "sallyport", "certificates", "ca_years")
    password = secrets.token_urlsafe(48)
    _write_private(folder / vault.KEY_FILE, f"{password}\n")
    certificate, key = authority.make_authority(site, domains, years if isinstance(years, int) else YEARS)
    own = {"ca_key": key.decode(), "event_key": secrets.token_urlsafe(48)}
    vault.write_vault(folder, {**own, **account_secrets(), **(more or {})}, passwords=[password.encode()])
    (folder / AUTHORITY).write_bytes(certificate)
    (folder / INVITATIONS).mkdir(mode=0o700, exist_ok=True)


@contextlib.contextmanager
def _alone(inventories: Path) -> Iterator[None]:
    """Let one run at a time make sites here, and clear away what a killed one left."""
    descriptor = os.open(inventories, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for left in inventories.glob(f"{HIDDEN}*"):
            shutil.rmtree(left)
        yield
    finally:
        os.close(descriptor)


def _check_names(site: str, *domains: str) -> None:
    """Refuse names that no site can have."""
    for what, value, check in (("site", site, check_site), *(("domain", domain, check_domain) for domain in domains)):
        try:
            check(value)
        except ValueError as error:
            raise NewSiteFault(f"the {what} {show_value(value)}: {error}\n  allowed: {ALLOWED[what]}") from None
    if site in (EXAMPLE, DEMO):
        raise NewSiteFault(f"the site {show_value(site)}: this name belongs to the kit\n  allowed: any other name")


def make_site(
    site: str, domain: str, inventories: Path, block: ipaddress.IPv4Network | None = None, external: str = ""
) -> Path:
    """Make a new site.

    Args:
        site: its name, and the name of its folder.
        domain: domain of its internal IM server.
        external: domain of its external IM server; empty for none.
        inventories: folder of all sites, with the example in it.
        block: its addresses; a range that no other site uses when left out.

    Returns:
        Folder of the new site.

    Raises:
        NewSiteFault: a name is not allowed or used already, or the example is missing or broken. Nothing was made.
    """
    domains = [name for name in (domain, external) if name or name is domain]
    _check_names(site, *domains)
    if external in (domain, f"rooms.{domain}", f"files.{domain}"):
        raise NewSiteFault(
            f"the domain {show_value(external)}: this domain is one of the internal server\n"
            "  allowed: a domain of its own, as ext.example.com"
        )
    example, target = inventories / EXAMPLE, inventories / site
    if not (example / SITE_FILE).is_file() or not (example / HOST_LIST).is_file():
        raise NewSiteFault(f"{example} is missing or not whole; it is part of the kit: git checkout {example}")
    with _alone(inventories):
        if target.exists() or target.is_symlink():
            raise NewSiteFault(f"{target} exists already and is not overwritten; choose another name for the new site")
        others = [use for folder in sites_in(inventories) for use in uses_of(folder)]
        beside = inventories / f"{HIDDEN}{site}"
        try:
            _clone(example, beside, Plan(site, domain, external, block or free_block(others), _fresh_prefix()))
            found = collisions(uses_of(beside, target), others)
            if found:
                lines = [
                    f"{mine.what} {mine.value} ({mine.place}) is used already: {use.what} {use.value} ({use.place})"
                    for mine, use in found
                ]
                raise NewSiteFault("\n".join(["another site uses this already; choose other values:", *lines]))
            make_secrets(beside, site, domains)
            beside.rename(target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return target


def _clone(example: Path, folder: Path, plan: Plan) -> None:
    """Copy the example, filled in as far as it is known."""
    private = shutil.ignore_patterns(vault.KEY_FILE, vault.VAULT, AUTHORITY.name, INVITATIONS, ".*")
    shutil.copytree(example, folder, ignore=private, symlinks=True)
    for name in (SITE_FILE, HOST_LIST):
        text = (folder / name).read_text("utf-8")
        text = (
            text.replace(ONLY_EXTERNAL, "")
            if plan.external
            else re.sub(rf"{re.escape(ONLY_EXTERNAL)}(# )?", "# ", text)
        )
        (folder / name).write_text(text, "utf-8")
    site, hosts = yaml_source.read(folder / SITE_FILE), yaml_source.read(folder / HOST_LIST)
    chosen = proposals(plan, site, hosts)
    for name, source in ((SITE_FILE, site), (HOST_LIST, hosts)):
        text = (folder / name).read_text("utf-8")
        known: dict[Location, str] = {("sallyport", "domains", "internal"): plan.domain}
        known["sallyport", "domains", "external"] = plan.external
        text = fill_in(text, source, known, proposed=False)
        text = fill_in(text, source, chosen, proposed=True).replace("SITE=<site>", f"SITE={plan.site}")
        text = re.sub(rf"(?m)^(\s+site:\s+){EXAMPLE}\b", rf"\g<1>{plan.site}", text)
        (folder / name).write_text(text, "utf-8")
    made = yaml_source.read(folder / SITE_FILE)
    for keys, wanted in (
        (("site",), plan.site),
        (("domains", "internal"), plan.domain),
        (("domains", "external"), plan.external or None),
    ):
        if _inner(made.value, "sallyport", *keys) != wanted:
            raise NewSiteFault(
                f"{example / SITE_FILE}:{site.line(('sallyport', *keys))} is not as the kit delivers it, so the new "
                f"site's {'.'.join(keys)} could not be filled in; restore it: git checkout {example}"
            )


def marked(folder: Path) -> list[str]:
    """List the places of a site that an administrator still has to fill in.

    Args:
        folder: folder of the site.

    Returns:
        As `inventories/oslo/hosts.yml:12: ansible_host: CHANGE-ME`.
    """
    found = []
    for file in (folder / SITE_FILE, folder / HOST_LIST):
        for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1):
            if PLACEHOLDER in line and not line.lstrip().startswith("#"):
                found.append(f"{file}:{number}: {line.strip()}")
    return found


def next_steps(folder: Path, domain: str, external: str = "") -> str:
    """Say what an administrator does with a new site.

    Args:
        folder: folder of the new site.
        domain: its domain.
        external: domain of its external server; empty when it has none.

    Returns:
        Text for the terminal.
    """
    records = dns_records(domain, _addresses_of(folder, "im_internal"))
    public: list[str] = []
    if external:
        records += dns_records(external, _addresses_of(folder, "im_external"), files=False)
        public = [
            "   In the public DNS, so that partners find the external server (the address is the gateway's outside):",
            *(
                f"     {record}"
                for record in [f"{external}. IN A <address>", *dns_records(external, (), files=False, partners=True)]
            ),
        ]
    lines = [
        f"Made {folder}, with an authority and secrets of its own.",
        "",
        f"1. Fill in what says {PLACEHOLDER}; networks and addresses are proposals that no other site uses:",
        *(f"     {place}" for place in marked(folder)),
        "2. The gateway's resolver answers these by itself. Computers that ask another DNS need them there:",
        *(f"     {record}" for record in records),
        *public,
        f"3. Keep a copy of {folder / vault.KEY_FILE} where you keep passwords: nobody can open the vault without it.",
        f"4. Check it:  make check SITE={folder.name}",
    ]
    return "\n".join(lines)


def _addresses_of(folder: Path, group: str) -> list[str]:
    """Return the service addresses of the hosts of a group, as far as they are known."""
    hosts = _inner(yaml_source.read(folder / HOST_LIST).value, "all", "children", group, "hosts")
    texts = [text for text, location in _texts(hosts, ()) if "sallyport_addresses" in location]
    return [str(parsed) for text in texts if (parsed := _parsed(text)) is not None]


def demo_secrets(inventories: Path) -> bool:
    """Make the secrets of the demo where they are missing; they are disposable and never stand in git.

    Args:
        inventories: folder of all sites, with the demo in it.

    Returns:
        Whether anything was made.

    Raises:
        NewSiteFault: the demo has no readable site file.
    """
    folder = inventories / DEMO
    named = _inner(yaml_source.read(folder / SITE_FILE).value, "sallyport", "domains")
    domains = [value for value in named.values() if isinstance(value, str)] if isinstance(named, dict) else []
    if not domains:
        raise NewSiteFault(f"{folder / SITE_FILE} has no domain; it is part of the kit: git checkout {folder}")
    with _alone(inventories):
        if _demo_is_whole(folder, domains):
            return False
        for name in (vault.KEY_FILE, vault.VAULT, AUTHORITY):
            (folder / name).unlink(missing_ok=True)
        passwords = {person: secrets.token_urlsafe(12) for person in DEMO_PEOPLE}  # short: people type these
        more: dict[str, object] = {"demo_passwords": passwords, "alerts_mail_password": secrets.token_urlsafe(32)}
        make_secrets(folder, DEMO, domains, more)
    return True


def renew_authority(folder: Path) -> None:
    """Make a new authority for a site that exists: its domain has changed, or the old authority's time is over.

    Args:
        folder: folder of the site.

    Raises:
        SiteFaults: the site has faults; nothing was made.
        VaultFault: the vault does not open; nothing was made.
    """
    site = load(folder, with_vault=False)
    certificate, key = authority.make_authority(site.name, site.domains, site.settings.certificates.ca_years)
    with _alone(folder.parent):
        # killed between the two, the site is refused as one whose halves do not belong together: do it again
        vault.change_vault(folder, {"ca_key": key.decode()})
        (folder / AUTHORITY).write_bytes(certificate)


def _demo_is_whole(folder: Path, domains: Sequence[str]) -> bool:
    """Say whether the demo's secrets are all there and belong together."""
    try:
        own = (folder / vault.KEY_FILE).read_bytes().strip()
        held = vault.read_vault(folder, [own])
        signer = authority.load_authority((folder / AUTHORITY).read_bytes(), str(held["ca_key"]).encode())
    except vault.VaultFault as fault:
        if fault.file.parent != folder:
            raise  # the environment names a wrong password file; the demo's own secrets may be in order
        return False
    except (authority.AuthorityFault, OSError, KeyError):
        return False
    passwords = held.get("demo_passwords")
    return (
        all(authority.permits(signer.certificate, domain) for domain in domains)
        and {*account_secrets(), "alerts_mail_password"} <= held.keys()
        and isinstance(passwords, dict)
        and set(DEMO_PEOPLE) <= passwords.keys()
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: those of the process when left out.

    Returns:
        Exit status: 0 made, 1 refused with the reason on standard error.
    """
    parser = argparse.ArgumentParser(prog="new_site", description="Make a new site, or secrets of one.")
    parser.add_argument("site", nargs="?", help="name of the site, as oslo")
    parser.add_argument("domain", nargs="?", help="domain of its internal IM server, as im.oslo.example")
    parser.add_argument("--inventories", type=Path, default=Path("inventories"), help="folder of all sites")
    parser.add_argument(
        "--external", default="", help="domain of its external IM server, as ext.oslo.example; none without"
    )
    parser.add_argument("--network", help="its IPv4 addresses, as 10.30.0.0/16; a free range when left out")
    parser.add_argument("--demo", action="store_true", help="make the secrets of the demo where they are missing")
    parser.add_argument("--authority", action="store_true", help="make a new authority for a site that exists")
    options = parser.parse_args(arguments)
    try:
        if options.demo:
            made = demo_secrets(options.inventories)
            print(f"{options.inventories / DEMO}: secrets {'made' if made else 'are there'}")
        elif options.authority and options.site:
            renew_authority(options.inventories / options.site)
            print(f"{options.inventories / options.site / AUTHORITY}: a new authority was made; now {authority.NEXT}")
        elif not options.site or not options.domain:
            parser.error("a name and a domain are needed, as: make new-site SITE=oslo DOMAIN=im.oslo.example")
        else:
            block = read_block(options.network) if options.network else None
            folder = make_site(options.site, options.domain, options.inventories, block, options.external)
            print(next_steps(folder, options.domain, options.external))
    except (NewSiteFault, SiteFaults, vault.VaultFault, OSError) as fault:
        print(f"new site: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
