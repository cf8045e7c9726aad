# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings that stand in group_vars/all/site.yml: names, kinds, limits, defaults and their explanations.

This is the only list of them: messages, the JSON Schema and the reference in docs/ are made from it.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Literal, get_args

from ansible_collections.sallyport.im.plugins.plugin_utils.rule_values import (
    Blocked,
    Clock,
    Extension,
    Keyword,
    Language,
    List_file,
    Media_type,
    Notice,
    Pattern,
    Rule_id,
    Time_zone,
)
from ansible_collections.sallyport.im.plugins.plugin_utils.values import (
    Address_or_name,
    Certificate_file,
    Domain,
    Fingerprint,
    Group_id,
    Host_name,
    Ip_address,
    Key_file,
    Localpart,
    Mail,
    Net,
    Network,
    Person_id,
    Service_id,
    Signature_url,
    Site_id,
    Text,
    Unix_user,
    When,
    instant,
)
from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def check_some(value: tuple[Network, ...]) -> tuple[Network, ...]:
    """Check that a zone has a network.

    Args:
        value: its networks.

    Returns:
        The same networks.

    Raises:
        ValueError: there is none.
    """
    # not pydantic's own limit: that one calls a list empty, too, whose only entry is faulty
    if not value:
        raise ValueError("the site cannot work without this zone")
    return value


def check_some_keys(value: tuple[str, ...]) -> tuple[str, ...]:
    """Check that an administrator has a key.

    Args:
        value: paths of public keys.

    Returns:
        The same paths.

    Raises:
        ValueError: there is none.
    """
    if not value:
        raise ValueError("nobody gets in without a key")
    return value


SomeNets = Annotated[tuple[Net, ...], AfterValidator(check_some), Field(json_schema_extra={"minItems": 1})]


def number(lowest: int, highest: int) -> object:
    """Limit a number; for the annotations below.

    Args:
        lowest: the smallest allowed value.
        highest: the largest allowed value.

    Returns:
        What pydantic expects.
    """
    return Field(ge=lowest, le=highest)


class Settings(BaseModel):
    """A mapping of the site file: nothing unknown, nothing converted in silence, never changed."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        use_attribute_docstrings=True,
        validate_by_alias=True,
        validate_by_name=False,
        serialize_by_alias=True,
    )


class Domains(Settings):
    """The domain names of the service."""

    internal: Domain
    """Domain of the internal IM server. People are `id@` this domain; rooms and files get the names `rooms.` and
    `files.` in front of it. It cannot be changed later without new accounts."""
    external: Domain | None = None
    """Domain of the external IM server; without it there is none. People with external IM are `id@` this domain for the
    partners. It cannot be changed later without new accounts."""


class Networks(Settings):
    """The zones of the company's network. No two may overlap."""

    admin: SomeNets
    """Where administrators sit and from where Ansible connects; only from here are servers administered."""
    servers: SomeNets
    """Where the internal servers stand; not reachable from outside of the company."""
    desktops: tuple[Net, ...]
    """Where people's computers stand; an empty list lets no desktop reach the IM server."""
    dmz: tuple[Net, ...] = ()
    """Where the external IM server stands, between the company and the outside; only needed with one."""


class Group(Settings):
    """A group of people. Its members see each other."""

    title: Text
    """The group's name as people read it, in contact lists and as the name of its room."""
    contacts: tuple[Group_id, ...] = ()
    """Further groups whose members they see and are seen by; naming it on one side is enough."""
    room: bool = True
    """Whether the group has a chat room."""


class Limited(Settings):
    """Something that holds for a time."""

    starts: Annotated[When | None, Field(alias="from")] = None
    """From when on it holds (UTC): the beginning of a date, or a minute; without it, at once."""
    until: When | None = None
    """How long it holds (UTC): to the end of a date, or to a minute; without it, no end."""

    @property
    def begins(self) -> str | None:
        """The instant from which on it holds, as compiled policies have it; None when it always did."""
        return instant(self.starts.begins) if self.starts else None

    @property
    def ends(self) -> str | None:
        """The first instant at which it does not hold any more, as compiled policies have it; None for no end."""
        return instant(self.until.over) if self.until else None

    def enabled(self, now: datetime.datetime) -> bool:
        """Tell whether it holds.

        Args:
            now: the time.

        Returns:
            Whether it lies between `from` and the end of `until`.
        """
        return not self.why_disabled(now)

    def why_disabled(self, now: datetime.datetime) -> str:
        """Say why it does not hold.

        Args:
            now: the time.

        Returns:
            The reason in plain words, empty when it holds.
        """
        if self.starts is not None and now < self.starts.begins:
            return f"not started, begins {self.starts}"
        if self.until is not None and now >= self.until.over:
            return f"expired, ended {self.until}"
        return ""


class External(Limited):
    """Leave to use external IM. Without it a person has no account on the external server."""

    reason: Text
    """Why the person needs it."""
    until: When
    """How long it holds (UTC): to the end of a date, or to a minute."""


class Person(Limited):
    """A person with an account. A person in no group sees nobody."""

    id: Person_id
    """First part of the person's address, as `alice`."""
    name: Text
    """The person's name as others read it."""
    groups: tuple[Group_id, ...]
    """The groups that the person belongs to; an empty list means that the person sees nobody."""
    starts: Annotated[When | None, Field(alias="from")] = None
    """First day of the account (UTC), or its first minute; without it, at once."""
    until: When | None = None
    """Last day of the account (UTC), inclusive, or the minute at which it ends; without it, no end. Afterwards the
    account is disabled, not removed."""
    external: External | None = None
    """Leave to exchange messages with partners, by an account on the external server; without it, none."""


class Partner(Limited):
    """Another company whose XMPP server the external server talks to, and what of it."""

    domain: Domain
    """Its XMPP domain. Its subdomains are other domains."""
    name: Text
    """Its name as people read it, in contact lists."""
    owner: Text
    """Who in the company answers for this entry."""
    until: When
    """How long it holds (UTC): to the end of a date, or to a minute. Then the streams are closed, without a run."""
    contacts: dict[Localpart, Text]
    """The people there who can be talked to: the part of the address before the @, and the name. An empty mapping means
    nobody."""
    whole_domain: bool = False
    """Whether, beside the contacts, everybody there can be talked to."""
    people: tuple[Person_id, ...] | None = None
    """The people who may talk to it, by id; each needs external IM. With neither this nor `groups`, everybody who has
    external IM may; an empty list means nobody."""
    groups: tuple[Group_id, ...] | None = None
    """Groups whose members may talk to it, as far as they have external IM."""
    authority: Certificate_file | None = None
    """File with the certificate of the authority that signs its server's certificate (PEM), below the site's folder, as
    `partners/ours.crt`. Without it and without `fingerprints`, it must be one that Debian trusts."""
    fingerprints: tuple[Fingerprint, ...] = ()
    """SHA-256 of its server's certificates; then exactly these are taken, whoever signed them."""
    servers: tuple[Domain, ...] = ()
    """Names of its servers that do not end in its domain, as DNS names them for it (SRV)."""
    addresses: tuple[Net, ...] = ()
    """Networks of its servers. With them the firewalls let these through only; without, any address, as long as the
    partner is current."""


class ExternalRules(Settings):
    """What is let through between people and partners."""

    partner_links: Literal["refuse", "permit"] = "refuse"
    """Links to files in messages from partners; nobody scans what is behind them."""


Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
DAYS: tuple[Day, ...] = get_args(Day)
NOTICE = (
    "Messages and files on this service belong to {company}. They are recorded, checked automatically and kept for a "
    "time; people whom {company} has charged with it may read them."
)


class RuleLinks(Settings):
    """Which links a rule is about; any of these is enough."""

    blocked: tuple[Blocked, ...] = ()
    """Domains, with all names below them, and pages, with all below them."""
    blocked_files: tuple[List_file, ...] = ()
    """Files with more of them, one a line; the forms of hosts files and of addresses with http:// are taken as well."""
    lookalike: bool = False
    """Whether a domain counts that looks like one of the site's, of a partner's, or of `lookalike_of`, and is none."""
    lookalike_of: tuple[Domain, ...] = ()
    """Further domains that others may imitate, as that of your bank."""
    lying: bool = False
    """Whether a link counts whose text shows another domain than that to which it leads."""


class RuleFiles(Settings):
    """Which files that people share a rule is about; any of these is enough."""

    extensions: tuple[Extension, ...] = ()
    """Endings of names."""
    media_types: tuple[Media_type, ...] = ()
    """Media types, as the sender's program tells them."""


class RuleHours(Settings):
    """A span of hours."""

    days: tuple[Day, ...] = DAYS
    """Days on which it begins."""
    starts: Annotated[Clock, Field(alias="from")] = 0
    """When it begins."""
    until: Clock = 1440
    """When it ends; a time before the beginning is on the next day."""
    utc: bool = False
    """Whether this is UTC and not the site's `time_zone`."""


class RuleRate(Settings):
    """How many are too many."""

    messages: Annotated[int, number(1, 10000)]
    """So many of one sender are left alone; the next one counts."""
    minutes: Annotated[int, number(1, 1440)]
    """In so many minutes."""


class Rule(Settings):
    """A rule about what people write and share. Conditions that are given must all hold."""

    id: Rule_id
    """Its name, in events and alerts."""
    reason: Text
    """What the sender is told."""
    action: Literal["log", "warn", "refuse"]
    """What happens: it is noted; delivered, and the sender is told; or not delivered."""
    keywords: tuple[Keyword, ...] = ()
    """Words and phrases. Capital letters, look-alike letters, marks that are not seen and marks between letters make no
    difference."""
    keyword_files: tuple[List_file, ...] = ()
    """Files with more of them, one a line."""
    patterns: tuple[Pattern, ...] = ()
    """Forms of words: # is a digit, @ a letter, ? either, * any of them in a word, {3} repeats the one before."""
    validators: tuple[Literal["card", "iban", "id-no", "id-se", "id-nl", "id-de", "id-us"], ...] = ()
    """Numbers that prove themselves: payment cards, accounts, people of Norway, Sweden, the Netherlands, Germany and
    the United States."""
    links: RuleLinks | None = None
    """Links in what is written."""
    files: RuleFiles | None = None
    """Files that people share."""
    direction: tuple[Literal["inside", "in", "out"], ...] = ("inside", "in", "out")
    """Between colleagues, from partners, to partners; an empty list means never."""
    senders: Annotated[tuple[Group_id, ...] | None, Field(alias="from")] = None
    """Groups of the senders; without it, anybody. Partners are in no group."""
    to: tuple[Group_id, ...] | None = None
    """Groups of the receivers, and the rooms of these groups; without it, anybody."""
    hours: tuple[RuleHours, ...] = ()
    """When it holds; an empty list means always."""
    rate: RuleRate | None = None
    """Only from so many on."""


class Permitted(Limited):
    """A consumer IM service that people's computers may use all the same."""

    service: Service_id
    """Its id in the catalogue, docs/consumer-im.md."""
    reason: Text
    """Why."""
    until: When
    """How long (UTC): to the end of a date, or to a minute. Then it is refused again, without a run."""


class ConsumerIm(Settings):
    """Consumer IM services. All of the catalogue are refused, but for those that are named here."""

    permitted: tuple[Permitted, ...] = ()
    """Services that are permitted; an empty list means none."""


class Retention(Settings):
    """How long is kept what people wrote and sent, and what machines log."""

    messages_days: Annotated[int, number(1, 3650)] = 365
    """Days for which messages stay in the archive, on the server and on the log host."""
    system_days: Annotated[int, number(1, 3650)] = 365
    """Days for which the log host keeps what machines log besides."""
    files_days: Annotated[int, number(1, 3650)] = 30
    """Days for which files that were sent stay on the server."""


class Files(Settings):
    """Limits for files that people send."""

    max_megabytes: Annotated[int, number(1, 512)] = 20
    """Largest file, in megabytes of 1,048,576 bytes. Of larger ones in archives the scanner could not see all."""
    daily_megabytes_per_person: Annotated[int, number(1, 102400)] = 200
    """What one person may send in a day, in the same megabytes; not less than the largest file."""


class AntivirusSignatures(Settings):
    """Where signatures of viruses come from, and how old they may be."""

    official: bool = True
    """Whether ClamAV's own sets are used. They need 3 GiB of memory on each host with a scanner; with files of more
    than 20 megabytes more, see antivirus.md."""
    mirror: Domain | None = None
    """Host of a private mirror of ClamAV's own sets; without it they come from ClamAV."""
    urls: tuple[Signature_url, ...] = ()
    """Addresses of further sets, http or https. The scanner runs on a host when each has come once."""
    stale_hours: Annotated[int, number(2, 720)] = 48
    """Hours after which signatures that could not be renewed are too old, and a person is told."""


class Antivirus(Settings):
    """Scanning for viruses, and kinds of files that are refused."""

    signatures: AntivirusSignatures = AntivirusSignatures()
    """Where signatures come from, and how old they may be."""
    refuse: tuple[Literal["executables", "scripts", "macros", "encrypted"], ...] = (
        "executables",
        "scripts",
        "macros",
        "encrypted",
    )
    """Kinds of files that nobody can share, by what they are and not by their name; an empty list refuses none."""
    scan_seconds: Annotated[int, number(5, 600)] = 60
    """Seconds that scanning one file may take; what takes longer is refused."""


class Logging(Settings):
    """What is recorded of each message, and what happens when the log host cannot be reached for long."""

    body: Literal["none", "hash", "full"] = "full"
    """Of the words: nothing; a digest with a key (HMAC-SHA256), by which a text that somebody shows can be proven; or
    all of them. Never what is encrypted from end to end."""
    queue_megabytes: Annotated[int, number(64, 1048576)] = 1024
    """How much a host keeps for the log host while that takes nothing, in megabytes of 1,048,576 bytes; an IM server as
    much again for events. It must be free on the disk, with a tenth to spare. What is more waits where it was
    written."""
    when_full: Literal["refuse", "alarm"] = "refuse"
    """What an IM server does when nine tenths of that wait: refuse messages until the log host has taken a part, or
    only tell a person. With `refuse` it does so too when nothing has said for five minutes how much waits. No event
    is lost in either case: it stays on the server as long as `retention.messages_days`."""


class SignIn(Settings):
    """What happens after wrong passwords."""

    attempts: Annotated[int, number(3, 100)] = 10
    """Wrong passwords from one address after which it is locked out."""
    lockout_minutes: Annotated[int, number(1, 1440)] = 15
    """Minutes for which an address is locked out; the person can still sign in from elsewhere."""


class Administrator(Settings):
    """A person who administers the machines; gets in by key only, and has sudo."""

    user: Unix_user
    """Unix account, made by the kit; `root` is possible. The account with which Ansible connects must be among them."""
    keys: Annotated[tuple[Key_file, ...], AfterValidator(check_some_keys), Field(json_schema_extra={"minItems": 1})]
    """Files with public SSH keys, one key a line, below the site's folder, as `administrators/eva.pub`."""


def check_some_administrators(value: tuple[Administrator, ...]) -> tuple[Administrator, ...]:
    """Check that there is an administrator, and each only once.

    Args:
        value: the administrators.

    Returns:
        The same administrators.

    Raises:
        ValueError: there is none, or one stands there twice.
    """
    if not value:
        raise ValueError("without an administrator nobody gets into the machines any more")
    users = [administrator.user for administrator in value]
    for user in users:
        if users.count(user) > 1:
            raise ValueError(f"{user} stands here twice")
    return value


class Outward(Settings):
    """What may be opened to the outside of the company, by zone."""

    desktops: tuple[Literal["web", "web_tls", "imaps", "submission", "submissions"], ...] = ()
    """Services that people's computers may use out there: pages without and with TLS (`web`, `web_tls`), reading mail
    (`imaps`), sending it (`submission`, `submissions`). An empty list lets nothing out."""


def check_some_addresses(value: tuple[str, ...]) -> tuple[str, ...]:
    """Check that a computer has an address.

    Args:
        value: its addresses.

    Returns:
        The same addresses.

    Raises:
        ValueError: there is none.
    """
    if not value:
        raise ValueError("without an address nothing is admitted")
    return value


class Attested(Limited):
    """A computer that the kit does not manage, for which somebody vouches."""

    id: Host_name
    """Its name, as `macbook-eva`; no machine of the host list has it."""
    person: Person_id
    """Who works with it, by id."""
    system: Literal["windows", "macos", "other"]
    """What it runs; docs/desktops-windows.md and docs/desktops-macos.md say what to look at first."""
    addresses: Annotated[
        tuple[Ip_address, ...], AfterValidator(check_some_addresses), Field(json_schema_extra={"minItems": 1})
    ]
    """Its addresses, all of them in `networks.desktops`."""
    by: Text
    """Who looked at it and vouches for it."""
    starts: Annotated[When, Field(alias="from")]
    """When that was (UTC): a date, or a minute."""
    until: When
    """How long it holds (UTC): to the end of a date, or to a minute. Then it has to be looked at again."""


class Desktops(Settings):
    """People's computers: what the IM servers want to know of them before they let them in."""

    client: Literal["gajim", "none"] = "gajim"
    """The IM client that desktops of the host list get, once they have passed their checks; `none` leaves it to you."""
    admission: Literal["required", "open"] = "required"
    """Whether the IM servers let only those computers in that have shown that they passed their checks, and those that
    are attested. With `open`, any computer in the desktops' networks reaches them, and R3 is amber in the report."""
    hours: Annotated[int, number(1, 168)] = 4
    """Hours for which a desktop is admitted; it shows its checks again after a quarter of them."""
    attested: tuple[Attested, ...] = ()
    """Computers that the kit does not manage, which people may use all the same; an empty list means none."""


def check_some_receivers(value: tuple[str, ...]) -> tuple[str, ...]:
    """Check that mail goes to somebody, and to each only once.

    Args:
        value: addresses.

    Returns:
        The same addresses.

    Raises:
        ValueError: there is none, or one stands there twice.
    """
    if not value:
        raise ValueError("nobody would get the mail; leave `mail` out when that is meant")
    for address in value:
        if value.count(address) > 1:
            raise ValueError(f"{address} stands here twice")
    return value


class AlertMail(Settings):
    """Alerts by mail: to a relay, by TLS, whose certificate is verified."""

    relay: Address_or_name
    """The relay that takes the mail: a name, or an address that stands in its certificate."""
    service: Literal["submission", "submissions"] = "submission"
    """How it is reached: with STARTTLS (`submission`), or with TLS from the first byte (`submissions`)."""
    authority: Certificate_file | None = None
    """File with the certificate of the authority that signs the relay's (PEM), below the site's folder. Without it, it
    must be one that Debian trusts."""
    sender: Annotated[Mail, Field(alias="from")]
    """Address from which the alerts come."""
    to: Annotated[tuple[Mail, ...], AfterValidator(check_some_receivers), Field(json_schema_extra={"minItems": 1})]
    """Addresses to which they go."""
    user: Text | None = None
    """User by whom the log host signs in at the relay; the password is `alerts_mail_password` in the vault. Without it,
    it does not sign in."""


class Alerts(Settings):
    """Who is told when something is wrong. With neither, nobody is, and R10 is amber in the report."""

    mail: AlertMail | None = None
    """By mail; without it, none is sent."""
    people: tuple[Person_id, ...] = ()
    """By message on the internal IM server: people, by id; an empty list means nobody."""


class Updates(Settings):
    """Where Debian's updates come from, and whether security updates wait for a person."""

    sources: tuple[Domain, ...] | None = None
    """Hosts of the package sources; the gateway's relay fetches from these only. Without it, those that the gateway's
    own apt is set to."""
    automatic: bool = True
    """Whether the machines install security updates by themselves, daily."""


class Firewall(Settings):
    """How a change of the firewalls is guarded."""

    rollback_seconds: Annotated[int, number(15, 600)] = 60
    """Seconds after which a machine puts its old rules back, unless the control node has reached it anew."""


class Certificates(Settings):
    """Lifetimes of the certificates that the site's own authority issues."""

    server_days: Annotated[int, number(7, 397)] = 90
    """Days for which a server's certificate is valid; it is renewed when a third is left."""
    ca_years: Annotated[int, number(1, 30)] = 10
    """Years for which the certificate of the site's authority is valid; counts when a new authority is made."""


class SiteFile(Settings):
    """All settings of a site."""

    format: Literal[1]
    """Version of this file's format; always 1 for now."""
    site: Site_id
    """Name of the site, the same as the folder's."""
    company: Text
    """Name of the company as people read it."""
    administrator: Mail
    """Mail address of the people who run the service; published by the server (XEP-0157)."""
    domains: Domains
    """The domain names of the service."""
    administrators: Annotated[
        tuple[Administrator, ...], AfterValidator(check_some_administrators), Field(json_schema_extra={"minItems": 1})
    ]
    """The people who administer the machines; nobody else gets in."""
    revoked_keys: tuple[Key_file, ...] = ()
    """Files with public SSH keys that are refused, whatever else says otherwise."""
    networks: Networks
    """The zones of the company's network, each a list of networks, IPv4 or IPv6; no two may overlap."""
    groups: dict[Group_id, Group]
    """The groups of people, by id."""
    people: tuple[Person, ...]
    """The people with an account; an empty list means nobody."""
    partners: tuple[Partner, ...] = ()
    """The companies whose servers the external server talks to; an empty list means none."""
    external: ExternalRules = ExternalRules()
    """What is let through between people and partners."""
    consumer_im: ConsumerIm = ConsumerIm()
    """Consumer IM services. All of the catalogue are refused, but for those that are named here."""
    outward: Outward = Outward()
    """What may be opened to the outside of the company, by zone."""
    desktops: Desktops = Desktops()
    """People's computers: what the IM servers want to know of them before they let them in."""
    resolvers: tuple[Ip_address, ...] = ()
    """Addresses of the resolvers that the gateway asks; an empty list lets it ask the root servers itself."""
    time_sources: tuple[Address_or_name, ...] = ("2.debian.pool.ntp.org",)
    """Names or addresses of the time servers (NTP) that the gateway asks."""
    updates: Updates = Updates()
    """Where Debian's updates come from, and whether security updates wait for a person."""
    alerts: Alerts = Alerts()
    """Who is told when something is wrong. With neither, nobody is, and R10 is amber in the report."""
    firewall: Firewall = Firewall()
    """How a change of the firewalls is guarded."""
    banner: Text = "Private system. Access for authorised persons only; it is recorded."
    """What a machine says before somebody signs in."""
    calls: Literal["refuse", "permit"] = "refuse"
    """Voice and video calls between people (Jingle)."""
    end_to_end_encryption: Literal["forbid", "permit"] = "forbid"
    """Encryption between people's own devices (OMEMO, OpenPGP, OTR). With `permit` nobody can scan, search or read
    later what colleagues hide with it, and R9, R10 and R11 are amber in the report; to partners it stays forbidden."""
    notice: dict[Language, Notice] = {"en": NOTICE}
    """What people are told about being monitored, by language: once, when they first sign in, and as the subject of
    each room. `{company}` stands for the company's name. Whoever has been told is told again when it changes. An empty
    mapping tells nobody."""
    retention: Retention = Retention()
    """How long the server keeps what people wrote and sent."""
    files: Files = Files()
    """Limits for files that people send."""
    antivirus: Antivirus = Antivirus()
    """Scanning for viruses, and kinds of files that are refused."""
    logging: Logging = Logging()
    """What is recorded of each message, and what happens when the log host cannot be reached for long."""
    rules: tuple[Rule, ...] = ()
    """Rules about what people write and share; an empty list means none. See rules.md."""
    time_zone: Time_zone = "UTC"
    """The site's time zone, for the hours of rules."""
    sign_in: SignIn = SignIn()
    """What happens after wrong passwords."""
    certificates: Certificates = Certificates()
    """Lifetimes of the certificates that the site's own authority issues."""


class SiteYaml(Settings):
    """The file group_vars/all/site.yml of a Sallyport site."""

    sallyport: SiteFile
    """The settings of the site; the only thing in this file."""
