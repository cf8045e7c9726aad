# SPDX-License-Identifier: GPL-3.0-or-later
"""nft's own listing, taken apart, compared and put together again."""

from __future__ import annotations

import pytest
from ansible_collections.sallyport.im.plugins.module_utils.nft_text import Block, closed, compare, is_timed, parse

LISTED = """\
table inet sallyport {
	counter refused_input {
	}

	set admin4 {
		type ipv4_addr
		flags interval
		elements = { 10.20.0.0/24, 10.20.9.0/24,
			192.0.2.0/24 }
	}

	set clients4 {
		type ipv4_addr
		size 16384
		flags dynamic
		elements = { 10.20.2.21 ct count over 50 }
	}

	set names {
		type ifname
		elements = { "a,b", "c" }
	}

	chain input {
		type filter hook input priority filter; policy drop;
		iifname "lo" accept
		ct state established,related accept
		ip saddr @admin4 ip daddr 10.20.0.11 tcp dport 22 accept comment "R2 ssh"
		ip saddr @admin4 tcp dport { 5222, 5223 } add @clients4 { ip saddr ct count over 50 } goto too_many
		counter name "refused_input" drop
	}

	chain too_many {
		counter name "refused_input" drop
	}
}
"""


def test_a_listing_is_taken_apart() -> None:
    table = parse("# Warning: of nft\n" + LISTED)
    assert table.name == "inet sallyport"
    assert table.blocks["set admin4"].elements == ("10.20.0.0/24", "10.20.9.0/24", "192.0.2.0/24")
    assert table.blocks["set clients4"].elements == ()  # comes and goes by itself
    assert table.blocks["set names"].elements == ('"a,b"', '"c"')
    assert len(table.blocks["chain input"].lines) == 6
    assert parse(table.text()) == table


@pytest.mark.parametrize("text", ["", "nothing", "table inet sallyport {\n", "table inet {\n}\n"])
def test_what_is_no_listing(text: str) -> None:
    with pytest.raises(ValueError, match="no table"):
        parse(text)


RULE = '		counter name "refused_input" drop\n	}\n\n	chain too_many'
CASES = {
    "nothing": ("", "", []),
    "an empty line": ("\tset names", "\n\tset names", []),
    "a rule too much": (
        RULE,
        "		tcp dport 4444 accept\n" + RULE,
        ["rule in chain input: `tcp dport 4444 accept` is too much"],
    ),
    "a rule missing": (
        '		iifname "lo" accept\n',
        "",
        ['rule in chain input: `iifname "lo" accept` is missing'],
    ),
    "a policy": (
        "policy drop;",
        "policy accept;",
        [
            "chain input: is `type filter hook input priority filter; policy accept;`, "
            "should be `type filter hook input priority filter; policy drop;`"
        ],
    ),
    "an element too much": (
        "192.0.2.0/24 }",
        "192.0.2.0/24, 198.51.100.1 }",
        ["element of set admin4: `198.51.100.1` is too much"],
    ),
    "an element missing": (", 10.20.9.0/24,", ",", ["element of set admin4: `10.20.9.0/24` is missing"]),
    "a dynamic element": ("10.20.2.21 ct count", "10.20.2.99 ct count", []),
    "a chain too much": (
        "\tchain too_many",
        "\tchain extra {\n\t}\n\n\tchain too_many",
        ["chain extra: is there, should not be"],
    ),
    "a counter missing": (
        "\tcounter refused_input {\n\t}\n",
        "",
        ["counter refused_input: is missing, should be there"],
    ),
    "an attribute": (
        "size 16384",
        "size 1",
        ["set clients4: `size 1` is too much", "set clients4: `size 16384` is missing"],
    ),
    "asleep": (
        "sallyport {\n",
        "sallyport {\n\tflags dormant\n",
        ["table inet sallyport: `flags dormant` is too much"],
    ),
}


@pytest.mark.parametrize(("before", "after", "differences"), CASES.values(), ids=CASES)
def test_each_difference_is_named(before: str, after: str, differences: list[str]) -> None:
    live = LISTED.replace(before, after) if before else LISTED
    assert compare(parse(live), parse(LISTED)) == differences


def test_no_table_is_one_difference() -> None:
    assert compare(None, parse(LISTED)) == ["table inet sallyport: is absent, should be there"]


def test_the_closed_table_lets_in_only_who_administers() -> None:
    rules = closed(parse(LISTED)).blocks
    assert [*rules] == ["set admin4", "set names", "chain input"]
    assert rules["chain input"].lines == (
        "type filter hook input priority filter; policy drop;",
        'iifname "lo" accept',
        "ct state established,related accept",
        'ip saddr @admin4 ip daddr 10.20.0.11 tcp dport 22 accept comment "R2 ssh"',
    )


@pytest.mark.parametrize(
    ("head", "flags", "timed"),
    [
        ("set admitted4", "flags dynamic,timeout", True),
        ("set clients4", "flags dynamic", False),
        ("set admin4", "flags interval", False),
        ("set given4", "flags timeout", False),
        ("map admitted4", "flags dynamic,timeout", False),
    ],
)
def test_which_sets_others_fill_for_a_time(head: str, flags: str, timed: bool) -> None:
    assert is_timed(head, Block(("type ipv4_addr", flags))) is timed
