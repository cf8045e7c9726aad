# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a site: what is right is read right, whatever else comes is named and never a traceback."""

from __future__ import annotations

import copy
import datetime
import operator
import string
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.sallyport.im.plugins.plugin_utils import authority, check
from ansible_collections.sallyport.im.plugins.plugin_utils.faults import SiteFaults, nearest, show_location, show_value
from ansible_collections.sallyport.im.plugins.plugin_utils.site import AUTHORITY, HOST_LIST, SITE_FILE, load
from ansible_collections.sallyport.im.plugins.plugin_utils.site_file import SiteFile
from ansible_collections.sallyport.im.plugins.plugin_utils.values import Moment, check_domain
from ansible_collections.sallyport.im.plugins.plugin_utils.yaml_source import read
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unit.sites import (
    AUTHORITY_OF_NORTH,
    BASE_HOSTS,
    BASE_SITE,
    EXTERNAL_HOSTS,
    EXTERNAL_SITE,
    PARTNER_FILE,
    ROOT,
    base_site,
    external_site,
    make_site,
    moment,
)

LETTERS = string.ascii_lowercase
SMALL = LETTERS + string.digits
IDS = st.builds(operator.add, st.sampled_from(SMALL), st.text(SMALL + "._-", max_size=20)).filter(
    lambda text: not text.startswith("probe-")
)
GROUP_IDS = st.builds(operator.add, st.sampled_from(LETTERS), st.text(SMALL + "-", max_size=12)).filter(
    lambda text: text != "probes"
)
NAMES = st.text(string.ascii_letters + "åßЖ漢 '-\"{}:#", min_size=1, max_size=30).map(str.strip).filter(bool)
DAYS = st.dates(datetime.date(2000, 1, 1), datetime.date(2199, 12, 31))
NOW = st.datetimes(datetime.datetime(1999, 12, 30), datetime.datetime(2200, 1, 2), timezones=st.just(datetime.UTC))
LOCALPARTS = st.text(SMALL + "!#$%*+.=?^_`{|}~-", min_size=1, max_size=12)
DOMAINS = st.text(LETTERS, min_size=1, max_size=8).map("{}.example".format)
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
FIRST_DAY = datetime.datetime(2000, 1, 1)
MINUTES = (datetime.datetime(2199, 12, 31, 23, 59) - FIRST_DAY) // datetime.timedelta(minutes=1)
BASE_CONTENT: dict[str, Any] = yaml.safe_load(BASE_SITE)
NETWORKS = st.sampled_from(["198.51.100.0/24", "203.0.113.9/32", "192.0.2.0/30", "2001:db8::/48"])


@st.composite
def span(draw: st.DrawFn, *, end: bool = False) -> dict[str, Any]:
    """Draw from and until, dates as YAML or text have them or minutes; the end lies after the beginning."""
    minutes = draw(st.lists(st.integers(0, MINUTES), min_size=2, max_size=2, unique=True).map(sorted))
    first, last = (FIRST_DAY + datetime.timedelta(minutes=minute) for minute in minutes)
    found: dict[str, Any] = {}
    for key, moment_, needed in (("from", first, False), ("until", last, end)):
        if needed or draw(st.booleans()):
            form = draw(st.sampled_from(["", "%Y-%m-%d", "%Y-%m-%d %H:%M"]))
            found[key] = moment_.strftime(form) if form else moment_.date()
    return found


@st.composite
def valid_settings(draw: st.DrawFn) -> dict[str, Any]:
    """Draw any valid site file."""
    groups = draw(st.lists(GROUP_IDS, max_size=5, unique=True))
    some = st.lists(st.sampled_from(groups), unique=True, max_size=4) if groups else st.just([])
    content = copy.deepcopy(BASE_CONTENT)
    settings_ = content["sallyport"]
    settings_["company"] = draw(NAMES)
    settings_["groups"] = {
        group: {
            "title": draw(NAMES),
            "contacts": [other for other in draw(some) if other != group],
            "room": draw(st.booleans()),
        }
        for group in groups
    }
    settings_["people"] = [
        {"id": person, "name": draw(NAMES), "groups": [*draw(some)], **draw(span())}
        for person in draw(st.lists(IDS, max_size=8, unique=True))
    ]
    for optional in ("calls", "retention", "files", "sign_in", "certificates"):
        if draw(st.booleans()):
            del settings_[optional]
    return content


@st.composite
def valid_external_settings(draw: st.DrawFn) -> dict[str, Any]:
    """Draw any valid site file of a site with an external server."""
    content = draw(valid_settings())
    settings_ = content["sallyport"]
    settings_["domains"]["external"] = "ext.fjord.example"
    settings_["networks"]["dmz"] = ["10.20.3.0/24", "fd12:20:0:4::/64"]
    settings_["networks"]["desktops"] = ["10.20.2.0/24", "fd12:20:0:3::/64"]
    for person in settings_["people"]:
        if draw(st.integers(0, 3)):
            person["external"] = {"reason": draw(NAMES), **draw(span(end=True))}
    some = {
        "people": [person["id"] for person in settings_["people"] if "external" in person],
        "groups": [*settings_["groups"]],
    }
    settings_["partners"] = []
    for domain in draw(st.lists(DOMAINS, max_size=4, unique=True)):
        entry = {"domain": domain, "name": draw(NAMES), "owner": draw(NAMES), **draw(span(end=True))}
        entry["contacts"] = draw(st.dictionaries(LOCALPARTS, NAMES, max_size=3))
        for key, names in some.items():
            if draw(st.booleans()):
                entry[key] = draw(st.lists(st.sampled_from(names), unique=True, max_size=3)) if names else []
        if draw(st.booleans()):
            entry["whole_domain"] = draw(st.booleans())
        if draw(st.booleans()):
            entry["addresses"] = draw(st.lists(NETWORKS, unique=True, max_size=3))
        settings_["partners"].append(entry)
    return content


@st.composite
def mutated(draw: st.DrawFn, text: str) -> str:
    """Draw a text with pieces removed, repeated, swapped, and YAML's special signs strewn in."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 40)))
        signs = st.text("{}[]:,&*!|>-?#%@`'\"\n\t\0\x1b <~0123456789é\u2028\ufeff", max_size=6)
        values = st.sampled_from(
            ["null", "~", "{}", "[]", "true", "1e9999", "2026-13-01", "!!int x", "<<", "0o7", ".nan"]
        )
        piece = draw(st.one_of(signs, values, st.just(text[start:end] * 2), st.just("")))
        text = text[:start] + piece + text[end:]
    return text


def test_a_site_is_read_as_it_is_written(tmp_path: Path) -> None:
    site = base_site(tmp_path)
    assert (site.name, site.domain, site.rooms_domain) == ("oslo", "im.fjord.example", "rooms.im.fjord.example")
    assert [person.id for person in site.people] == ["alice", "bob", "carl"]
    assert site.people[2].starts == Moment(datetime.date(2026, 1, 1))
    assert (site.external_domain, site.domains) == (None, ("im.fjord.example",))
    assert [(host.name, host.group, host.managed) for host in site.hosts] == [
        ("im-int", "im_internal", True),
        ("gw", "gateway", True),
        ("desk", "desktops", True),
        ("world", "outside", False),
    ]
    assert site.host("desk").probe
    assert not site.host("gw").probe
    assert site.host("im-int").addresses == {"servers": ("10.20.1.11", "fd12:20:0:2::11")}
    with pytest.raises(KeyError):
        site.host("nix")


def test_an_external_server_is_read_as_it_is_written(tmp_path: Path) -> None:
    site = external_site(tmp_path)
    assert (site.external_domain, site.domains) == ("ext.fjord.example", ("im.fjord.example", "ext.fjord.example"))
    assert site.hosts_of("im_external")[0].addresses == {"dmz": ("10.20.3.12", "fd12:20:0:4::12")}
    assert {*site.authorities} == {"north.example"}
    assert site.authorities["north.example"].encode() == AUTHORITY_OF_NORTH[0]
    north, south, west = site.settings.partners
    assert (north.people, north.groups, dict(north.contacts)) == (
        ("alice",),
        None,
        {"nora": "Nora Dahl", "ole": "Ole Lund"},
    )
    assert (south.people, south.groups, south.whole_domain) == (None, ("board",), True)
    assert (str(west.starts), str(west.until)) == ("2026-09-01", "2027-03-31")
    assert [str(network) for network in north.addresses] == ["198.51.100.16/28", "198.51.100.64/32", "2001:db8:51::/64"]
    grants = {person.id: str(person.external.until) for person in site.people if person.external}
    assert grants == {"alice": "2027-06-30", "bob": "2026-12-31", "carl": "2027-06-30"}


def test_what_stands_beside_a_partner_s_certificates_is_left_out(tmp_path: Path) -> None:
    folder = make_site(tmp_path, EXTERNAL_SITE, EXTERNAL_HOSTS)
    certificate = AUTHORITY_OF_NORTH[0]
    (folder / PARTNER_FILE).write_bytes(
        b"Subject: Authority of North\n" + certificate + b"\nand another\n" + certificate
    )
    assert load(folder).authorities["north.example"].encode() == certificate * 2


def test_a_fingerprint_is_taken_as_programs_print_it(tmp_path: Path) -> None:
    plain = "1f1e1d1c1b1a191817161514131211100f0e0d0c0b0a09080706050403020100"
    printed = ":".join(plain[start : start + 2] for start in range(0, 64, 2)).upper()
    text = EXTERNAL_SITE.replace(plain, f'"{printed}"')
    assert load(make_site(tmp_path, text, EXTERNAL_HOSTS)).settings.partners[1].fingerprints == (plain,)


def test_everything_from_calls_on_but_the_administrators_has_a_default(tmp_path: Path) -> None:
    short = BASE_SITE[: BASE_SITE.index("  calls:")] + "  administrators: [{user: ops, keys: [administrators/ops.pub]}]"
    found = load(make_site(tmp_path, short)).settings
    own = {"administrators", "revoked_keys", "outward", "resolvers", "time_sources", "updates", "banner"}
    assert found.model_dump(exclude=own) == base_site(tmp_path / "whole").settings.model_dump(exclude=own)
    # nothing leaves, and nobody is trusted, that the site does not name
    assert found.outward.desktops == ()
    assert found.resolvers == ()
    assert found.updates.sources is None


@pytest.mark.parametrize(
    ("day", "reason"),
    [
        ("2025-12-31", "not started, begins 2026-01-01"),
        ("2026-01-01", ""),
        ("2027-06-30", ""),
        ("2027-07-01", "expired, ended 2027-06-30"),
    ],
)
def test_dates_are_inclusive(tmp_path: Path, day: str, reason: str) -> None:
    person = base_site(tmp_path).people[2]
    assert person.why_disabled(moment(f"{day} 00:00:00")) == reason
    assert person.why_disabled(moment(f"{day} 23:59:59")) == reason


@pytest.mark.parametrize("good", ["a.b", "im.example.com", "xn--bcher-kva.example", "1.2.3.x4", "x" * 63 + ".example"])
def test_good_domains(good: str) -> None:
    assert check_domain(good) == good


@pytest.mark.parametrize(
    "bad",
    ["", ".", "a..b", ".a.b", "a.b.", "-a.b", "a-.b", "a b.c", "a.1", "::1", "[::1]", "ab--c.de", "xn--.a", "xn--a.a",
     "xn--a-.b", "xn---tda.example", "xn--BCHER-KVA.example", "a." * 130 + "b", "a.b\n"],
)  # fmt: skip
def test_bad_domains(bad: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        check_domain(bad)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=valid_settings())
def test_any_valid_site_has_no_fault_and_survives_json(tmp_path: Path, content: dict[str, Any]) -> None:
    text = yaml.dump(content, Dumper=DUMPER, allow_unicode=True)
    site = load(make_site(tmp_path, text), with_vault=False)
    assert SiteFile.model_validate_json(site.settings.model_dump_json()) == site.settings


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=valid_external_settings())
def test_any_valid_external_site_has_no_fault_and_survives_json(tmp_path: Path, content: dict[str, Any]) -> None:
    text = yaml.dump(content, Dumper=DUMPER, allow_unicode=True)
    site = load(make_site(tmp_path, text, EXTERNAL_HOSTS), with_vault=False)
    assert SiteFile.model_validate_json(site.settings.model_dump_json()) == site.settings


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    site=st.one_of(mutated(BASE_SITE), mutated(EXTERNAL_SITE)),
    hosts=st.one_of(mutated(BASE_HOSTS), mutated(EXTERNAL_HOSTS)),
)
def test_mutations_give_faults_and_never_a_traceback(tmp_path: Path, site: str, hosts: str) -> None:
    folder = make_site(tmp_path)
    (folder / SITE_FILE).write_bytes(site.encode())
    (folder / HOST_LIST).write_bytes(hosts.encode())
    named = "nothing"
    try:
        load(folder, with_vault=False)
    except SiteFaults as faults:
        named = str(faults)
    assert named
    assert "\x1b" not in named


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(valid_settings(), valid_external_settings()))
def test_values_mean_the_same_as_to_ansible(tmp_path: Path, content: dict[str, Any]) -> None:
    """Ansible reads the same file by PyYAML's rules."""

    def lists(value: object) -> object:
        if isinstance(value, dict):
            return {key: lists(inner) for key, inner in value.items()}
        return [lists(inner) for inner in value] if isinstance(value, tuple) else value

    file = tmp_path / "x.yml"
    file.write_text(yaml.dump(content, Dumper=DUMPER, allow_unicode=True, default_flow_style=None), encoding="utf-8")
    assert lists(read(file).value) == yaml.safe_load(file.read_text(encoding="utf-8"))


def test_lines_are_those_of_the_names(tmp_path: Path) -> None:
    file = tmp_path / "x.yml"
    file.write_text("a:\n  b:\n\n    - c\n    - d: 1\n", encoding="utf-8")
    source = read(file)
    assert (source.line(("a", "b")), source.line(("a", "b", 1, "d")), source.line(("a", "nix"))) == (2, 5, 1)


def test_paths_values_and_names_are_shown_plainly() -> None:
    assert show_location(("sallyport", "people", 3, "groups", 0)) == "sallyport.people[3].groups[0]"
    assert show_location(("networks", "a b\n")) == 'networks["a b\\n"]'
    assert show_value("x\x1b[31m") == '"x\\u001b[31m"'
    assert show_value("a\u202eb") == '"a\\u202eb"'
    assert len(show_value("x" * 1000)) == 60
    assert nearest("stafff", ["board", "staff"]) == "staff"
    assert nearest("zzz", ["board", "staff"]) is None


def test_every_name_that_begins_the_example_s_placeholders_is_named() -> None:
    """A new site from the example has no fault but what is still to be filled in, and its missing vault."""
    with pytest.raises(SiteFaults) as raised:
        load(ROOT / "inventories" / "example", with_vault=False)
    marked = sum(
        line.count('"CHANGE-ME')
        for file in (SITE_FILE, HOST_LIST)
        for line in (ROOT / "inventories" / "example" / file).read_text(encoding="utf-8").splitlines()
        # what only a site with an external server has
        if not line.lstrip().startswith("# +")
    )
    assert all("still to be filled in" in fault.message for fault in raised.value.faults)
    assert len(raised.value.faults) == marked > 5


def test_the_demo_has_no_fault() -> None:
    assert load(ROOT / "inventories" / "demo", with_vault=False).name == "demo"


def test_five_hundred_people_are_read(tmp_path: Path) -> None:
    people = "".join(f"    - {{id: p{n}, name: Person {n}, groups: [staff]}}\n" for n in range(500))
    folder = make_site(tmp_path, BASE_SITE.replace("  calls: refuse", people + "  calls: refuse"))
    assert len(load(folder).people) == 503


def test_check_prints_a_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = BASE_SITE.replace("id: alice,", "id: alice, until: 2020-01-01,").replace("[staff, board]", "[]")
    assert check.main([str(make_site(tmp_path, text))]) == 0
    out = capsys.readouterr().out
    assert out.startswith("oslo: no fault in ")
    assert "alice: expired, ended 2020-01-01" in out
    assert "bob" in out.partition("alone")[2]
    assert "desktops to im_internal: admission, https, xmpp, xmpps" in out


def test_check_says_which_computers_are_let_in(tmp_path: Path) -> None:
    entry = (
        "    - {{id: {}, person: bob, system: macos, addresses: [10.20.2.5{}], by: Eva, from: 2026-01-01, until: {}}}\n"
    )
    attested = "  desktops:\n    attested:\n" + "".join(
        "  " + entry.format(name, number, until)
        for number, (name, until) in enumerate([("mac", "2026-12-31"), ("old", "2026-01-31")])
    )
    lines = check.summary(load(make_site(tmp_path, BASE_SITE + attested)), moment("2026-06-01"))
    assert "  attested  mac (bob, macos): until 2026-12-31 (by Eva)\n" in lines
    assert "  attested  old (bob, macos): expired, ended 2026-01-31 (by Eva)\n" in lines
    doors = check.summary(
        load(make_site(tmp_path, f"{BASE_SITE}  desktops: {{admission: open}}\n")), moment("2026-06-01")
    )
    assert "admission is open" in doors


def test_check_prints_all_faults_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = BASE_SITE.replace("id: bob", "id: alice").replace("format: 1", "format: 2")
    assert check.main([str(make_site(tmp_path, text))]) == 1
    out = capsys.readouterr().out
    assert "oslo: 2 faults; no host was touched" in out
    assert "\n1. sallyport.format" in out
    assert "\n2. sallyport.people[1].id" in out


def test_check_says_when_the_authority_ends(tmp_path: Path) -> None:
    site = load(make_site(tmp_path))
    end = authority.load_certificate((site.folder / AUTHORITY).read_bytes()).not_valid_after_utc.date()
    midnight = moment(f"{end}")
    assert f"authority valid until {end}\n" in check.summary(site, midnight - datetime.timedelta(days=180))
    assert "which is soon. For a new authority" in check.summary(site, midnight - datetime.timedelta(days=179))


def test_check_says_who_talks_to_whom_outside_until_when(tmp_path: Path) -> None:
    text = EXTERNAL_SITE.replace(
        "reason: Audit, from: 2026-03-01 08:00, until: 2026-12-31", "reason: Audit, until: 2026-05-31"
    )
    said = check.summary(load(make_site(tmp_path, text, EXTERNAL_HOSTS)), moment("2026-06-01"))
    lines = [line.strip() for line in said.splitlines()]
    for wanted in (
        "external  ext.fjord.example: alice, bob, carl may talk to partners",
        "alice: until 2027-06-30 (Project North)",
        "bob: expired, ended 2026-05-31 (Audit)",
        "carl: until 2026-11-30 16:30 (Project North)",
        "partner   north.example (North Ltd): until 2027-06-30; alice with 2 people there; from its addresses",
        "partner   south.example (South AB): until 2026-12-31 17:30; bob, carl with 0 people there and everybody else "
        "of it; from any address",
        "partner   west.example (West Inc): not started, begins 2026-09-01; alice, bob, carl with 1 person there; from "
        "its addresses",
        "permitted irc: until 2026-10-31 12:00 (Help from the makers of our tools); opens tcp 194, 6660-6669, 6697, "
        "7000 to any address",
        "dmz to outside: xmpp_servers, xmpps_servers",
        "outside to im_external: xmpp_servers, xmpps_servers",
    ):
        assert wanted in lines, said
    later = check.summary(load(make_site(tmp_path, text, EXTERNAL_HOSTS)), moment("2026-11-30 16:30"))
    assert "carl: expired, ended 2026-11-30 16:30 (Project North)" in later
    assert "permitted irc: expired, ended 2026-10-31 12:00" in later


def test_check_says_nothing_of_external_im_where_there_is_none(tmp_path: Path) -> None:
    said = check.summary(base_site(tmp_path), moment("2026-06-01"))
    assert not [line for line in said.splitlines() if line.startswith(("  external", "  partner", "  permitted"))]


def test_thousands_of_unknown_groups_are_named_in_seconds(tmp_path: Path) -> None:
    groups = "".join(f"    group-{number}: {{title: T}}\n" for number in range(1000))
    people = "".join(f"    - {{id: p{number}, name: A B, groups: [gruop-{number}]}}\n" for number in range(1000))
    text = BASE_SITE.replace("  groups:\n", f"  groups:\n{groups}", 1).replace("  people:\n", f"  people:\n{people}", 1)
    started = time.monotonic()
    with pytest.raises(SiteFaults) as raised:
        load(make_site(tmp_path, text))
    assert len(raised.value.faults) == 1000
    assert raised.value.faults[0].nearest == "group-0"
    # not a measurement: looking each of them up among all would take many minutes
    assert time.monotonic() - started < 60
