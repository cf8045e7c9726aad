# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the table of letters that look alike, roles/im_server/files/prosody-modules/mod_sallyport/alike.lib.lua.

    python -m ansible_collections.sallyport.im.plugins.plugin_utils.alike_letters confusables.txt >…/alike.lib.lua

Needed only for a new version of Unicode; confusables.txt is that of Unicode Technical Standard 39.
"""

from __future__ import annotations

import re
import string
import sys
import textwrap
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path

DRAWN = (
    "(?:(?:REGIONAL INDICATOR SYMBOL|NEGATIVE (?:CIRCLED|SQUARED) LATIN CAPITAL) LETTER"
    "|PARENTHESIZED LATIN (?:SMALL|CAPITAL) LETTER|(?:LATIN|MODIFIER) LETTER SMALL CAPITAL)"
)
# What UTS 39 does not have, and what programs that draw a text in other letters write.
BY_HAND = {
    "\N{LATIN SMALL LETTER F WITH HOOK}": "f",
    "\N{CYRILLIC SMALL LETTER GHE WITH STROKE}": "f",
    "\N{CANADIAN SYLLABICS TA}": "c",
    "\N{CANADIAN SYLLABICS CARRIER GU}": "w",
    "\N{CANADIAN SYLLABICS CARRIER PO}": "a",
    "\N{CANADIAN SYLLABICS KE}": "q",
    "\N{CANADIAN SYLLABICS TI}": "n",
    "\N{CANADIAN SYLLABICS SHA}": "s",
    "\N{CANADIAN SYLLABICS CARRIER JU}": "z",
}
SIGMA, FINAL_SIGMA = "\N{GREEK SMALL LETTER SIGMA}", "\N{GREEK SMALL LETTER FINAL SIGMA}"
# Marks on letters that folding.lib.lua puts together with them: of Europe, of Japan, of Arabic.
UPON = (("\u0300", "\u036f"), ("\u0653", "\u0655"), ("\u3099", "\u309a"))
# Points of Hebrew, which it takes away.
POINTS = "".join(map(chr, (*range(0x5B0, 0x5BE), 0x5BF, 0x5C1, 0x5C2, 0x5C4, 0x5C5, 0x5C7)))
# Shapes of letters by their place in a word or by their width.
SHAPES = (("\ufb50", "\ufbff"), ("\ufe70", "\ufefc"), ("\uff66", "\uff9f"))
PLAIN = string.ascii_lowercase + string.digits
HEAD = f"""-- SPDX-License-Identifier: GPL-3.0-or-later AND Unicode-3.0
-- Letters and digits that people read as those of ASCII, and small for capital letters. Made from the data of Unicode
-- {unicodedata.unidata_version} (NFKC, case, UTS 39) by plugins/plugin_utils/alike_letters.py; do not edit.
-- luacheck: no max line length
return {{"""


def read_confusables(text: str) -> Mapping[str, str]:
    """Read which marks look like one letter of ASCII.

    Args:
        text: confusables.txt (UTS 39): lines of source ; target ; kind, in hexadecimal.

    Returns:
        The small letter by the mark; of single marks only.
    """
    found = {}
    for line in text.splitlines():
        fields = [field.strip() for field in line.lstrip("\ufeff").partition("#")[0].split(";")]
        if len(fields) >= 2 and all(len(field.split()) == 1 for field in fields[:2]):
            source, target = (chr(int(field, 16)) for field in fields[:2])
            if target.isascii() and target.isalpha():
                found[source] = target.lower()
    return found


def plain_form(mark: str, confusables: Mapping[str, str]) -> str:
    """Tell how a mark is compared.

    Args:
        mark: one character beyond ASCII.
        confusables: see `read_confusables`.

    Returns:
        Letters or digits of ASCII, the small letter of a capital one, or nothing when the mark stands for itself. A
        capital and its small letter always get the same.
    """
    digit = unicodedata.digit(mark, None)
    if digit is not None:
        return str(digit)
    small = mark.lower() if len(mark.lower()) == 1 else mark
    if small == FINAL_SIGMA:
        small = SIGMA
    drawn = re.fullmatch(f"{DRAWN} ([A-Z])", unicodedata.name(small, ""))
    if drawn:
        return drawn[1].lower()
    if small in BY_HAND:
        return BY_HAND[small]
    for candidate in (small, small.upper()):
        form = unicodedata.normalize("NFKC", candidate).casefold().replace("\N{COMBINING DOT ABOVE}", "")
        if form and all(letter in PLAIN for letter in form):
            return form
        if candidate in confusables:
            return confusables[candidate]
    return small if small != mark else ""


def parts_of(mark: str) -> tuple[str, str]:
    """Take a letter apart.

    Args:
        mark: one character.

    Returns:
        The letter and the marks on it; the character itself and nothing when it cannot be taken apart.
    """
    is_shape = any(first <= mark <= last for first, last in SHAPES)
    apart = unicodedata.normalize("NFKD", mark) if is_shape else unicodedata.normalize("NFD", mark)
    letter, upon = apart[0], apart[1:]
    if unicodedata.category(letter)[0] not in "LM" or any(unicodedata.category(each) != "Mn" for each in upon):
        return mark, ""
    return letter, "".join(each for each in upon if each not in POINTS)


class _Letters:
    """How letters are compared: also those that are made of a letter and marks."""

    def __init__(self, confusables: Mapping[str, str]) -> None:
        self.confusables = confusables
        self.unknown: dict[str, str] = {}

    def read_as(self, mark: str) -> str:
        """Tell how a mark is compared: what looks alike under the same marks is the same."""
        letter, upon = parts_of(mark)
        form = plain_form(letter, self.confusables) if not letter.isascii() else letter.lower()
        both = (form or letter) + upon
        if letter == mark or not upon:
            return both
        one = unicodedata.normalize("NFC", both)
        if len(one) > 1:  # no alphabet has it in one, so the first of those that look alike stands for all
            one = self.unknown.setdefault(both, plain_form(mark, self.confusables) or mark)
        return one

    def made_of(self, mark: str) -> Iterator[tuple[str, str]]:
        """Tell of which letter and one mark on it a letter is made, in any order of its marks."""
        whole = unicodedata.normalize("NFD", mark)
        rest = unicodedata.normalize("NFC", whole[:-1])
        if len(whole) > 1 and len(rest) == 1:
            yield self.read_as(rest), whole[-1]
        if len(whole) == 3:
            other = unicodedata.normalize("NFC", whole[0] + whole[2])
            if len(other) == 1 and unicodedata.normalize("NFC", other + whole[1]) == unicodedata.normalize("NFC", mark):
                yield self.read_as(other), whole[1]


def table(confusables: Mapping[str, str]) -> tuple[dict[str, list[str]], list[str], list[str]]:
    """Make the three parts of the table.

    Args:
        confusables: see `read_confusables`.

    Returns:
        Marks by what they are read as; pairs of a letter and what it is read as, a small one; triples of a letter, the
        mark on it, and both in one.
    """
    alike: dict[str, list[str]] = {}
    small: list[str] = []
    composed: dict[str, str] = {}
    letters = _Letters(confusables)
    for code in range(0x80, 0x1FC00):
        mark = chr(code)
        if unicodedata.category(mark)[0] in "CMZP" or 0xAC00 <= code < 0xE000:  # syllables of Korea are reckoned
            continue
        form = letters.read_as(mark)
        if form.isascii():
            alike.setdefault(form, []).append(mark)
        elif form != mark:
            small.append(mark + form)
        for base, upon in letters.made_of(mark):
            if len(base) == 1 and base != form and any(first <= upon <= last for first, last in UPON):
                composed.setdefault(base + upon, base + upon + form)
    return alike, small, list(composed.values())


def lines(alike: Mapping[str, list[str]], small: list[str], composed: list[str]) -> Iterator[str]:
    """Write the table as a Lua module.

    Args:
        alike: see `table`, as the others.
        small: pairs.
        composed: triples.

    Yields:
        Its lines.
    """
    yield HEAD
    yield "\talike = {"
    for form, marks in sorted(alike.items()):
        yield f'\t\t["{form}"] = "{"".join(marks)}";'
    yield "\t};"
    for name, words in (("small", small), ("composed", composed)):
        yield f"\t{name} = [["
        yield from textwrap.wrap(" ".join(words), 120, break_on_hyphens=False)
        yield "]];"
    yield "};"


if __name__ == "__main__":
    print("\n".join(lines(*table(read_confusables(Path(sys.argv[1]).read_text(encoding="utf-8"))))))
