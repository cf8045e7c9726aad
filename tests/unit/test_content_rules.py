# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of a site: lists, time zones, and what of them each server gets."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import unicodedata
import zoneinfo
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sallyport.im.plugins.plugin_utils.alike_letters import plain_form, read_confusables, table
from ansible_collections.sallyport.im.plugins.plugin_utils.content_rules import (
    compile_rules,
    list_texts,
    zone_changes,
)
from ansible_collections.sallyport.im.plugins.plugin_utils.message_policy import compile_policy
from ansible_collections.sallyport.im.plugins.plugin_utils.rule_lists import read_list
from ansible_collections.sallyport.im.plugins.plugin_utils.rule_values import (
    check_blocked,
    check_keyword,
    check_pattern,
    read_clock,
    show_clock,
)
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site, load
from ansible_collections.sallyport.im.plugins.plugin_utils.values import instant
from unit.sites import EXTERNAL_HOSTS, EXTERNAL_SITE, ROOT, make_site

RULES = """
  time_zone: Europe/Oslo
  rules:
    - {id: cards, reason: No cards., action: refuse, validators: [card], keyword_files: [rules/words.txt]}
    - id: night
      reason: Late.
      action: log
      direction: [inside]
      from: [staff]
      to: [board]
      hours: [{from: 22:00, until: "06:00", days: [sunday, friday]}]
    - id: out
      reason: Bad.
      action: warn
      direction: [out]
      links: {blocked: [Bad.example/], lookalike_of: [bank.example], lookalike: true}
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site with an external server and three rules."""
    folder = make_site(tmp_path, EXTERNAL_SITE + RULES, EXTERNAL_HOSTS)
    (folder / "rules").mkdir()
    (folder / "rules" / "words.txt").write_text("# ours\nfalcon\n\nEagle \nfalcon\n", encoding="utf-8")
    return load(folder)


def rules_of(site: Site, profile: str) -> dict[str, dict[str, Any]]:
    """Return the compiled rules by their ids."""
    return {rule["id"]: rule for rule in compile_rules(site, profile)["rules"]}


def test_each_server_gets_its_own(site: Site) -> None:
    internal, external = rules_of(site, "internal"), rules_of(site, "external")
    assert set(internal) == {"cards", "night"}
    assert set(external) == {"cards", "out"}
    assert internal["cards"]["directions"] == ["inside"]
    assert external["cards"]["directions"] == ["in", "out"]
    assert external["out"]["blocked"] == ["bad.example"]


def test_groups_become_people_and_rooms(site: Site) -> None:
    night = rules_of(site, "internal")["night"]
    assert night["from"] == sorted(person.id for person in site.people if "staff" in person.groups)
    assert night["to"] == sorted(person.id for person in site.people if "board" in person.groups)
    assert night["to_rooms"] == (["board"] if site.settings.groups["board"].room else [])
    assert night["hours"] == [{"days": [5, 7], "from": 1320, "until": 360, "utc": False}]
    assert rules_of(site, "internal")["cards"]["from"] is None


def test_each_server_hears_of_its_own_people_only(tmp_path: Path) -> None:
    rules = "\n  rules: [{id: who, reason: Why., action: log, from: [staff], to: [staff, board]}]\n"
    site = load(make_site(tmp_path, EXTERNAL_SITE + rules, EXTERNAL_HOSTS))
    for profile in ("internal", "external"):
        policy = compile_policy(site, profile)
        (rule,) = policy["rules"]
        assert {*rule["from"], *rule["to"]} <= {*policy["people"]}
        assert {*rule["to_rooms"]} <= {*policy["rooms"]}
    assert len(site.people) > len(compile_policy(site, "external")["people"]) - 3, (
        "nobody is left out, nothing is tried"
    )


def test_lists_are_named_with_their_digest(site: Site) -> None:
    texts = list_texts(site, "internal")
    assert texts == {"words": "Eagle\nfalcon\n"}
    document = compile_rules(site, "internal")
    assert document["lists"] == {"words": hashlib.sha256(texts["words"].encode()).hexdigest()}
    assert document["rules"][0]["keyword_lists"] == ["words"]
    json.dumps(document)


def test_names_that_others_may_imitate(site: Site) -> None:
    names = compile_rules(site, "external")["names"]
    assert {"bank.example", *site.domains, site.settings.administrator.split("@")[1]} <= {*names}
    assert {partner.domain for partner in site.settings.partners} <= {*names}


@pytest.mark.parametrize("name", ["UTC", "Europe/Oslo", "Asia/Kathmandu", "America/Sao_Paulo", "Australia/Lord_Howe"])
def test_time_zones_are_those_of_the_list(name: str) -> None:
    changes = zone_changes(name)
    assert changes == sorted(changes)
    for days in range(0, 7000, 13):
        moment = datetime.datetime(2026, 1, 1, 0, 30, tzinfo=datetime.UTC) + datetime.timedelta(
            days=days, hours=days % 24
        )
        offset = moment.astimezone(zoneinfo.ZoneInfo(name)).utcoffset()
        assert offset is not None
        assert [minutes for start, minutes in changes if start <= instant(moment)][-1] == offset.total_seconds() // 60


def test_lists_of_other_programs_are_read(tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    file.write_text(
        "0.0.0.0 Bad.example # a hosts file\nhttps://worse.example/Page/?q=1\r\n192.0.2.1\n\n# x\n", "utf-8"
    )
    assert read_list(tmp_path, "x.txt", "blocked") == ("192.0.2.1", "bad.example", "worse.example/page")


@pytest.mark.parametrize("good", ["AB-####", "#{4} @{2}", "geheim*", "*x*", "kund ?{40}", "löne*"])
def test_patterns(good: str) -> None:
    assert check_pattern(good) == good


@pytest.mark.parametrize(
    "bad", ["", "*", "#{0}", "#{41}", "*{3}", "{3}", "a**b*", "#{", "#}", "- -", "a-{3}", "a_{2}", "a{3}{3}"]
)
def test_what_is_no_pattern(bad: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        check_pattern(bad)


def test_clocks() -> None:
    assert [read_clock(value) for value in ("00:00", "8:05", "24:00", 1080)] == [0, 485, 1440, 1080]
    assert show_clock(485) == "08:05"
    for bad in ("24:01", "8", -1, 1441, True, None, "08:60"):
        with pytest.raises(ValueError, match="time of day"):
            read_clock(bad)


def test_blocked_addresses() -> None:
    assert check_blocked("Bad.example/A/") == "bad.example/a"
    assert check_blocked("192.0.2.1/x") == "192.0.2.1/x"
    assert check_blocked("xn--bcher-kva.example") == "xn--bcher-kva.example"


def test_letters_that_look_alike() -> None:
    known = read_confusables(
        "# x\n0430 ;\t0061 ;\tMA # a\n0412 ;\t0042 ;\tMA\n0021 ;\t01C3 ;\tMA\n0434 0435 ;\t0061 ;\tMA\n"
    )
    assert known == {"\N{CYRILLIC SMALL LETTER A}": "a", "\N{CYRILLIC CAPITAL LETTER VE}": "b"}
    wanted = {
        "\N{CYRILLIC CAPITAL LETTER A}": "a",
        "\N{CYRILLIC SMALL LETTER A}": "a",
        "\N{CYRILLIC CAPITAL LETTER VE}": "b",
        "\N{CYRILLIC SMALL LETTER VE}": "b",
        "\N{FULLWIDTH LATIN CAPITAL LETTER A}": "a",
        "\N{LATIN SMALL LIGATURE FI}": "fi",
        "\N{ARABIC-INDIC DIGIT THREE}": "3",
        "Å": "å",
        "å": "",
        "\N{NEGATIVE SQUARED LATIN CAPITAL LETTER A}": "a",
        "\N{REGIONAL INDICATOR SYMBOL LETTER S}": "s",
        "\N{PARENTHESIZED LATIN SMALL LETTER B}": "b",
        "\N{LATIN LETTER SMALL CAPITAL Q}": "q",
        "\N{MODIFIER LETTER SMALL CAPITAL I}": "i",
        "\N{LATIN CAPITAL LETTER F WITH HOOK}": "f",
        "\N{GREEK SMALL LETTER FINAL SIGMA}": "\N{GREEK SMALL LETTER SIGMA}",
    }
    assert {mark: plain_form(mark, known) for mark in wanted} == wanted
    alike, small, composed = table(known)
    assert "\N{CYRILLIC SMALL LETTER A}" in alike["a"]
    assert "Åå" in small
    assert "a\u030aå" in composed
    # two marks in either order; letters of other alphabets
    alef = "\N{ARABIC LETTER ALEF}\u0653\N{ARABIC LETTER ALEF WITH MADDA ABOVE}"
    assert {"ạ\u0302ậ", "â\u0323ậ", "и\u0306й", "ハ\u309aパ", alef} <= set(composed)
    # what looks alike under the same mark
    assert {"\N{CYRILLIC CAPITAL LETTER A WITH DIAERESIS}ä", "\N{CYRILLIC SMALL LETTER A WITH DIAERESIS}ä"} <= {*small}
    assert {"\N{HEBREW LETTER BET WITH DAGESH}ב", "\N{HALFWIDTH KATAKANA LETTER A}ア"} <= set(small)


def test_digits_of_all_scripts_are_digits() -> None:
    module = (ROOT / "roles/im_server/files/prosody-modules/mod_sallyport/alike.lib.lua").read_text(encoding="utf-8")
    read_as = {mark: form for form, marks in re.findall(r'\["(.*)"\] = "(.*)";', module) for mark in marks}
    digits = [chr(code) for code in range(0x80, 0x20000) if unicodedata.digit(chr(code), None) is not None]
    assert {mark: read_as.get(mark) for mark in digits} == {mark: str(unicodedata.digit(mark)) for mark in digits}
    assert plain_form("\u06f1", {"\u06f1": "l"}) == "1"


@pytest.mark.parametrize("bad", ["--", "\N{VULGAR FRACTION ONE HALF}", "\N{ALEF SYMBOL}", "!", "\N{POUND SIGN}"])
def test_what_is_no_keyword(bad: str) -> None:
    with pytest.raises(ValueError, match="no letter and no digit"):
        check_keyword(bad)
