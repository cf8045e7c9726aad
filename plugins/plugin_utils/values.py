# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of values that stand in a site file, each with its check and with words for what is allowed.

A check raises `ValueError` with what is wrong; what is allowed stands in `ALLOWED`, so that message, JSON Schema and
reference never contradict each other.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from typing import Annotated, Any

from ansible_collections.sallyport.im.plugins.plugin_utils.faults import show_value
from pydantic import AfterValidator, PlainSerializer, PlainValidator, WithJsonSchema

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

PLACEHOLDER = "CHANGE-ME"
"""How each value begins that an administrator must still fill in."""
KIT_PREFIX = "sallyport-"
"""Accounts and groups of the kit itself begin so."""
PROBE_PREFIX = "probe-"
"""Accounts that begin so belong to the kit's own controls."""
PROBE_GROUP = "probes"
"""The group of the kit's own controls."""
EVERYBODY = "all"
"""Where an id is expected on a command line, this means everybody, as in -e person=all; so nobody is called so."""

PERSON_ID = r"[a-z0-9][a-z0-9._-]{0,62}"
LOCALPART = r"[a-z0-9!#$%*+.=?^_`{|}~-]{1,63}"
GROUP_ID = r"[a-z][a-z0-9-]{0,30}"
SITE_ID = r"[a-z][a-z0-9-]{0,30}"
HOST_NAME = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
UNIX_USER = r"[a-z][a-z0-9_-]{0,30}"
KEY_FILE = r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*\.pub"
CERTIFICATE_FILE = r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*\.(crt|pem)"
FINGERPRINT = r"[0-9a-f]{64}"
SIGNATURE_KINDS = (
    *("cdb", "crb", "db", "fp", "ftm", "gdb", "hdb", "hdu", "hsb", "hsu", "idb", "ign2", "ldb", "ldu", "mdb", "mdu"),
    *("msb", "msu", "ndb", "ndu", "pdb", "sfp", "wdb", "yar", "yara"),
)
"""Endings of the files that ClamAV reads as sets of signatures."""
EXCEPTIONS = ("cdb", "crb", "fp", "ftm", "ign2", "pdb", "sfp", "wdb")
"""Those that tune the scanner; none of them alone finds a virus."""
SIGNATURE_URL = (
    r"https?://[a-z0-9-]+(\.[a-z0-9-]+)+/([A-Za-z0-9._~-]+/)*"
    rf"[A-Za-z0-9][A-Za-z0-9_.-]*\.({'|'.join(SIGNATURE_KINDS)})"
)
MINUTE = r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}"
MAIL_LOCAL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
SHORTEST_PREFIX = {4: 8, 6: 32}
"""The largest network that a zone may hold, as the length of its prefix, for each version of IP."""
LONGEST_DOMAIN = 240
"""Characters: 253 (RFC 1035), less what the kit puts in front (`_xmpps-client.`, `rooms.`)."""

ALLOWED = {
    "person": "small letters, digits, dot, underscore and hyphen, at most 63, beginning with a letter or digit; "
    "not all, not probe-… and not sallyport-…",
    "localpart": "the part before the @ of a partner's address, in small letters, at most 63, without \"&'/:<>@",
    "group": "small letters, digits and hyphen, at most 31, beginning with a letter",
    "site": "small letters, digits and hyphen, at most 31, beginning with a letter; the same as the folder's name",
    "domain": "a full domain name in small letters, as im.example.com (a foreign name in its xn-- form)",
    "mail": "a mail address, as it@example.com",
    "text": "1 to 100 characters, without line breaks and control characters",
    "network": "an address and a prefix length, as 10.20.1.0/24 or fd12:3456:789a:1::/64; /8 to /32, IPv6 /32 to /128",
    "address": "an IPv4 or IPv6 address, as 10.20.1.11 or fd12:3456:789a:1::11",
    "moment": "a date as 2027-06-30, or a minute as 2027-06-30 17:30 (UTC), in the years 2000 to 2199",
    "certificate file": "the path of a file with certificates (PEM) below the site's folder, as partners/ours.crt",
    "service": "the id of a service in docs/consumer-im.md",
    "fingerprint": "the SHA-256 of a certificate, 64 digits 0-9 and a-f (openssl x509 -noout -fingerprint -sha256)",
    "signature url": "http:// or https://, a full domain name and a path, without port, user, blanks, question mark; "
    "it ends in the name of a set that ClamAV reads, as .ndb, .hdb or .ldb",
    "user": "small letters, digits, underscore and hyphen, at most 31, beginning with a letter",
    "key file": "the path of a public key file below the site's folder, as administrators/eva.pub",
    "address or name": "an IPv4 or IPv6 address, or a full domain name in small letters",
    "host": "small letters, digits and hyphens, at most 63, beginning and ending with a letter or digit",
    "rule": "small letters, digits and hyphens, at most 31, beginning with a letter",
    "list file": "the path of a text file in the folder rules of the site, one entry a line, as rules/keywords.txt",
    "keyword": "a word or phrase with a letter or digit in it, at most 100 characters",
    "pattern": "letters, digits, blanks and marks as they are; # for a digit, @ for a letter, ? for either, * for any "
    "letters and digits of a word (twice in a word at most), {3} to repeat the one before, as AB-#{6}",
    "blocked": "a domain as bad.example, an IPv4 address, or one of these with a path as bad.example/page",
    "extension": "the ending of a file's name in small letters, without the dot, as exe",
    "media type": "a media type as application/zip, or all of a kind as video/*",
    "clock": "a time of day from 00:00 to 24:00, as 18:30",
    "time zone": "UTC, or a place of the IANA list, as Europe/Oslo",
    "language": "the code of a language, as en or pt-br",
    "notice": "a text of 1 to 1000 characters",
}


def check_person(value: str) -> str:
    """Check the id of a person, which becomes the first part of their address.

    Args:
        value: the id.

    Returns:
        The same id.

    Raises:
        ValueError: it is no localpart that RFC 7622 (section 3.3) allows unchanged and that is safe as a file name, or
            it is reserved.
    """
    if value.startswith(PROBE_PREFIX):
        raise ValueError(f"ids that begin with {PROBE_PREFIX} belong to the kit's own controls")
    if value.startswith(KIT_PREFIX):
        raise ValueError(f"ids that begin with {KIT_PREFIX} belong to the kit itself")
    if value == EVERYBODY:
        raise ValueError(f"{EVERYBODY} means everybody when people are invited, so no person may have this id")
    if not re.fullmatch(PERSON_ID, value):
        lower = value.lower()
        hint = f"; write {lower}" if value != lower and re.fullmatch(PERSON_ID, lower) else ""
        raise ValueError(f"this cannot be the id of a person{hint}")
    return value


def check_localpart(value: str) -> str:
    """Check the first part of an address at a partner.

    Args:
        value: what stands before the @.

    Returns:
        The same.

    Raises:
        ValueError: it is no localpart in the form in which servers compare them (RFC 7622, section 3.3), in ASCII.
    """
    if not re.fullmatch(LOCALPART, value):
        lower = value.lower()
        hint = f"; write {lower}" if re.fullmatch(LOCALPART, lower) else ""
        raise ValueError(f"this cannot be the first part of an address{hint}")
    return value


def check_group(value: str) -> str:
    """Check the id of a group, which becomes the first part of its room's address.

    Args:
        value: the id.

    Returns:
        The same id.

    Raises:
        ValueError: it is malformed or reserved.
    """
    if value == PROBE_GROUP:
        raise ValueError(f"the group {PROBE_GROUP} belongs to the kit's own controls")
    if value.startswith(KIT_PREFIX):
        raise ValueError(f"ids that begin with {KIT_PREFIX} belong to the kit itself")
    if not re.fullmatch(GROUP_ID, value):
        raise ValueError("this cannot be the id of a group")
    return value


def check_site(value: str) -> str:
    """Check the name of a site.

    Args:
        value: the name.

    Returns:
        The same name.

    Raises:
        ValueError: it is malformed.
    """
    if not re.fullmatch(SITE_ID, value):
        raise ValueError("this cannot be the name of a site")
    return value


def check_host(value: str) -> str:
    """Check the name of a machine.

    Args:
        value: the name.

    Returns:
        The same name.

    Raises:
        ValueError: it is malformed.
    """
    if not re.fullmatch(HOST_NAME, value):
        raise ValueError("this cannot be the name of a machine")
    return value


def check_user(value: str) -> str:
    """Check the name of a Unix account.

    Args:
        value: the name.

    Returns:
        The same name.

    Raises:
        ValueError: useradd(8) would not take it.
    """
    if not re.fullmatch(UNIX_USER, value):
        raise ValueError("this cannot be the name of a Unix account")
    return value


def check_key_file(value: str) -> str:
    """Check the path of a public key; whether the file is there is looked at elsewhere.

    Args:
        value: the path, relative to the site's folder.

    Returns:
        The same path.

    Raises:
        ValueError: it leads out of the folder, or does not end in .pub, as the public part of a key does.
    """
    if not re.fullmatch(KEY_FILE, value) or ".." in value.split("/"):
        raise ValueError("this cannot be the path of a public key below the site's folder")
    return value


def check_certificate_file(value: str) -> str:
    """Check the path of a file with certificates; whether the file is there is looked at elsewhere.

    Args:
        value: the path, relative to the site's folder.

    Returns:
        The same path.

    Raises:
        ValueError: it leads out of the folder, or does not end in .crt or .pem.
    """
    if not re.fullmatch(CERTIFICATE_FILE, value) or ".." in value.split("/"):
        raise ValueError("this cannot be the path of a certificate below the site's folder")
    return value


def check_signature_url(value: str) -> str:
    """Check the address of a set of signatures.

    Args:
        value: the address.

    Returns:
        The same address.

    Raises:
        ValueError: the gateway's relay could not fetch it, ClamAV would not read it, or it would lie in the place of
            another set.
    """
    if not re.fullmatch(SIGNATURE_URL, value):
        raise ValueError("this cannot be the address of a set of signatures")
    check_domain(value.split("/")[2])
    name = value.rpartition("/")[2]
    if name.partition(".")[0] in ("sallyport", "main", "daily", "bytecode"):
        raise ValueError(f"{name} is the name of a set of the kit's or of ClamAV's own")
    return value


def check_fingerprint(value: str) -> str:
    """Check the fingerprint of a certificate.

    Args:
        value: SHA-256 in hexadecimal; colons and capitals, as programs print them, are taken as well.

    Returns:
        The same in small letters, without colons.

    Raises:
        ValueError: it is none.
    """
    plain = value.replace(":", "").lower()
    if not plain:
        raise ValueError("this is empty")
    if not re.fullmatch(r"[0-9a-f]*", plain):
        raise ValueError("this is no SHA-256: it holds other than digits 0-9 and a-f")
    if not re.fullmatch(FINGERPRINT, plain):
        raise ValueError(f"this is no SHA-256: it has {len(plain)} digits")
    return plain


def check_address(value: str) -> str:
    """Check the address of a machine that is not in the host list.

    Args:
        value: the address.

    Returns:
        The same address in its one usual form.

    Raises:
        ValueError: it is malformed, or no machine can be reached by it.
    """
    return str(read_address(value))


def check_address_or_name(value: str) -> str:
    """Check where a machine that is not in the host list is found.

    Args:
        value: an address or a domain name.

    Returns:
        The same; an address in its one usual form.

    Raises:
        ValueError: it is neither.
    """
    return check_address(value) if is_address(value) else check_domain(value)


def is_address(value: str) -> bool:
    """Tell an address from a name; both have been checked."""
    return re.fullmatch(r"[0-9.]+|.*:.*", value) is not None


def check_text(value: str) -> str:
    """Check a line of text that is shown to people.

    Args:
        value: the text.

    Returns:
        The same text.

    Raises:
        ValueError: it is empty, too long, begins or ends with a space, or holds characters that do not print.
    """
    if not value:
        raise ValueError("this is empty")
    if len(value) > 100:
        raise ValueError(f"this is {len(value)} characters long")
    if value != value.strip():
        raise ValueError("this begins or ends with a space")
    for mark in value:
        # the two joiners are needed to write Persian and Indian names; everything else of category C, as marks that
        # turn the direction of writing, can make one person look like another
        if unicodedata.category(mark)[0] in "CZ" and mark not in " \u200c\u200d":
            raise ValueError(f"this holds the character U+{ord(mark):04X}, which does not print")
    return value


def _check_foreign_label(label: str) -> None:
    """Check a label in the xn-- form (RFC 5891, RFC 5892: letters, digits and marks, in their one normal form)."""
    try:
        plain = label[4:].encode("ascii").decode("punycode")
        again = plain.encode("punycode").decode("ascii")
    except (UnicodeError, ValueError, OverflowError):
        raise ValueError(f"the part {label} cannot be decoded") from None
    kinds = [unicodedata.category(mark) for mark in plain]
    if (
        plain.isascii()
        or again != label[4:]
        or unicodedata.normalize("NFKC", plain).lower() != plain
        or kinds[0].startswith("M")
        or not all(
            kind in ("Ll", "Lo", "Lm", "Mn", "Mc", "Nd") or mark == "-" for mark, kind in zip(plain, kinds, strict=True)
        )
    ):
        raise ValueError(f"the part {label} is not the xn-- form of any allowed name")


def _check_label(label: str) -> None:
    """Check what stands between two dots of a domain name."""
    if not label:
        raise ValueError("this is empty, begins with a dot, or has two dots in a row")
    if len(label) > 63:
        raise ValueError(f"the part {label[:12]}… is {len(label)} characters long, and 63 are allowed")
    if not re.fullmatch(HOST_NAME, label):
        raise ValueError(f"the part {show_value(label)} holds other than a to z, 0 to 9 and inner hyphens")
    if label.startswith("xn--"):
        _check_foreign_label(label)
    elif label[2:4] == "--":
        raise ValueError(f"the part {label} has hyphens in third and fourth place, which is reserved")


# names without any peculiarity, which are nearly all: a list of blocked ones has a hundred thousand
_PLAIN_DOMAIN = re.compile(r"(?:[a-z0-9](?:-?[a-z0-9]){0,31}\.)+[a-z]{2,63}")


def check_domain(value: str) -> str:
    """Check a domain name.

    Args:
        value: the name, without a dot at its end.

    Returns:
        The same name.

    Raises:
        ValueError: it is no full domain name of RFC 1035 and RFC 5890 in small letters, or it is an address.
    """
    if len(value) <= LONGEST_DOMAIN and _PLAIN_DOMAIN.fullmatch(value):
        return value
    try:
        ipaddress.ip_address(value.strip("[]"))
    except ValueError:
        pass
    else:
        raise ValueError("this is an address and not a domain name: certificates and logins need a name")
    if not value.isascii():
        raise ValueError("this holds letters beyond a to z; a foreign name is written in its xn-- form")
    if value != value.lower():
        raise ValueError(f"this holds capital letters; write {value.lower()}")
    if value.endswith("."):
        raise ValueError("this ends with a dot")
    if len(value) > LONGEST_DOMAIN:
        raise ValueError(
            f"this is {len(value)} characters long, and at most {LONGEST_DOMAIN} leave room for subdomains"
        )
    labels = value.split(".")
    for label in labels:
        _check_label(label)
    if len(labels) < 2:
        raise ValueError("this is a single name without a dot")
    if labels[-1].isdigit():
        raise ValueError("this ends with a number, as only addresses do")
    return value


def check_mail(value: str) -> str:
    """Check a mail address.

    Args:
        value: the address.

    Returns:
        The same address.

    Raises:
        ValueError: it is not of the plain form of RFC 5321 (section 4.1.2, without quotes).
    """
    local, at, domain = value.rpartition("@")
    if not at or len(local) > 64 or not re.fullmatch(MAIL_LOCAL, local):
        raise ValueError("this is not a mail address")
    try:
        check_domain(domain)
    except ValueError as error:
        raise ValueError(f"behind the @: {error}") from None
    return value


def read_network(value: object) -> Network:
    """Read a network.

    Args:
        value: text as 10.20.1.0/24, or a network.

    Returns:
        The network.

    Raises:
        ValueError: it is malformed, has bits set behind its prefix, is larger than a site can be, or no host can have
            an address in it.
    """
    if isinstance(value, Network):
        network = value
    elif not isinstance(value, str) or "/" not in value:
        raise ValueError("this is not a network")
    else:
        try:
            network = ipaddress.ip_network(value)
        except ValueError:
            try:
                meant = ipaddress.ip_network(value, strict=False)
            except ValueError:
                raise ValueError("this is not a network") from None
            raise ValueError(f"this address lies inside of a network; the network itself is {meant}") from None
        if "/" + str(network.prefixlen) != "/" + value.rpartition("/")[2]:
            raise ValueError(f"the prefix length is written as a number: {network}")
    if network.prefixlen < SHORTEST_PREFIX[network.version]:
        raise ValueError(f"this is too large for a zone of one site: {network.num_addresses:,} addresses")
    _check_usable(network.network_address)
    return network


def read_address(value: object) -> Address:
    """Read the address of a host.

    Args:
        value: text as 10.20.1.11.

    Returns:
        The address.

    Raises:
        ValueError: it is malformed, or no host can be reached by it from another (loopback, multicast, link-local).
    """
    if not isinstance(value, str):
        raise ValueError("this is not an address")
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        raise ValueError("this is not an address") from None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise ValueError("an address with a scope (%) means something on one machine only")
    _check_usable(address)
    return address


def _check_usable(address: Address) -> None:
    for word, unusable in (
        ("loopback", address.is_loopback),
        ("multicast", address.is_multicast),
        ("link-local", address.is_link_local),
        ("unspecified", address.is_unspecified),
        ("reserved", address.version == 4 and address.is_reserved),
        # else one address of a machine could stand here twice, in two forms
        (
            "an IPv4 address in the form of IPv6",
            isinstance(address, ipaddress.IPv6Address) and bool(address.ipv4_mapped),
        ),
    ):
        if unusable:
            raise ValueError(f"this is {word}, so no other machine can reach it")


def read_date(value: object) -> datetime.date:
    """Read a date.

    Args:
        value: a date of YAML, or text as 2027-06-30 (ISO 8601).

    Returns:
        The date.

    Raises:
        ValueError: it is malformed, does not exist, has a time of day, or lies before 2000 or after 2199.
    """
    if isinstance(value, datetime.datetime):
        raise ValueError("this has a time of day")
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII):
        try:
            value = datetime.date.fromisoformat(value)
        except ValueError:
            raise ValueError("there is no such day") from None
    if not isinstance(value, datetime.date):
        raise ValueError("this is not a date")
    if not 2000 <= value.year < 2200:
        raise ValueError("this is too far away to be meant")
    return value


@dataclass(frozen=True)
class Moment:
    """A date, or a minute, as a site file has it. All of it is UTC.

    Attributes:
        day: the date.
        minute: the time of day; None when only a date was given, which means the whole of it.
    """

    day: datetime.date
    minute: datetime.time | None = None

    def __str__(self) -> str:
        """Write it as a site file has it."""
        return f"{self.day}{f' {self.minute:%H:%M}' if self.minute else ''}"

    @property
    def begins(self) -> datetime.datetime:
        """The first instant of it."""
        return datetime.datetime.combine(self.day, self.minute or datetime.time(), datetime.UTC)

    @property
    def over(self) -> datetime.datetime:
        """The first instant after which something that lasts until it is over: a date lasts to its end."""
        return self.begins if self.minute else self.begins + datetime.timedelta(days=1)


def instant(moment: datetime.datetime) -> str:
    """Write an instant so that instants compare as text, as compiled policies have them.

    Args:
        moment: with a time zone.

    Returns:
        As `2027-06-30T17:30:00Z` (RFC 3339).
    """
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_moment(value: object) -> Moment:
    """Read a date or a minute.

    Args:
        value: a date of YAML; text as 2027-06-30 or 2027-06-30 17:30; or a moment.

    Returns:
        The moment.

    Raises:
        ValueError: it is malformed, does not exist, has seconds or a time zone, or lies before 2000 or after 2199.
    """
    if isinstance(value, Moment):
        return value
    if isinstance(value, datetime.datetime):
        raise ValueError("this has seconds; write the minute, as 2027-06-30 17:30")
    if isinstance(value, str) and re.fullmatch(MINUTE, value, re.ASCII):
        try:
            given = datetime.datetime.strptime(value, "%Y-%m-%d %H:%M")
        except ValueError:
            raise ValueError("there is no such minute") from None
        return Moment(read_date(given.date()), given.time())
    return Moment(read_date(value))


def kind(name: str, pattern: str | None = None, **more: Any) -> WithJsonSchema:
    """Describe a kind of value for the JSON Schema.

    Args:
        name: which entry of `ALLOWED` says what is allowed.
        pattern: regular expression for all of it.
        more: further keywords of JSON Schema.

    Returns:
        What pydantic expects in an annotation.
    """
    schema: dict[str, Any] = {"type": "string", "allowed": ALLOWED[name], **more}
    if pattern is not None:
        schema["pattern"] = f"^{pattern}$"
    return WithJsonSchema(schema)


Person_id = Annotated[
    str, AfterValidator(check_person), kind("person", rf"(?!{PROBE_PREFIX}|{KIT_PREFIX}|{EVERYBODY}$){PERSON_ID}")
]
Group_id = Annotated[str, AfterValidator(check_group), kind("group", rf"(?!{KIT_PREFIX}|{PROBE_GROUP}$){GROUP_ID}")]
Site_id = Annotated[str, AfterValidator(check_site), kind("site", SITE_ID)]
Text = Annotated[str, AfterValidator(check_text), kind("text", minLength=1, maxLength=100)]
Domain = Annotated[
    str, AfterValidator(check_domain), kind("domain", r"[a-z0-9-]+(\.[a-z0-9-]+)+", maxLength=LONGEST_DOMAIN)
]
Mail = Annotated[str, AfterValidator(check_mail), kind("mail", r"[^@\s]+@[a-z0-9-]+(\.[a-z0-9-]+)+")]
Host_name = Annotated[str, AfterValidator(check_host), kind("host", HOST_NAME)]
Unix_user = Annotated[str, AfterValidator(check_user), kind("user", UNIX_USER)]
Key_file = Annotated[str, AfterValidator(check_key_file), kind("key file", KEY_FILE)]
Ip_address = Annotated[str, AfterValidator(check_address), kind("address", r"[0-9a-fA-F:.]+")]
Address_or_name = Annotated[
    str, AfterValidator(check_address_or_name), kind("address or name", r"[0-9a-fA-F:.]+|[a-z0-9-]+(\.[a-z0-9-]+)+")
]
Net = Annotated[
    Network, PlainValidator(read_network), PlainSerializer(str), kind("network", r"[0-9a-fA-F:.]+/[0-9]{1,3}")
]
When = Annotated[
    Moment,
    PlainValidator(read_moment),
    PlainSerializer(str, return_type=str),
    kind("moment", r"2[01]\d\d-\d\d-\d\d( \d\d:\d\d)?"),
]
Certificate_file = Annotated[str, AfterValidator(check_certificate_file), kind("certificate file", CERTIFICATE_FILE)]
Fingerprint = Annotated[str, AfterValidator(check_fingerprint), kind("fingerprint", r"[0-9A-Fa-f:]{64,95}")]
Signature_url = Annotated[str, AfterValidator(check_signature_url), kind("signature url", SIGNATURE_URL)]
Service_id = Annotated[str, kind("service")]
Localpart = Annotated[str, AfterValidator(check_localpart), kind("localpart", LOCALPART)]
