# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of values that stand in the rules of a site file; what is allowed stands in `values.ALLOWED`."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
import zoneinfo
from typing import Annotated

from ansible_collections.sallyport.im.plugins.plugin_utils.values import check_domain, check_text, kind
from pydantic import AfterValidator, PlainSerializer, PlainValidator

RULE_ID = r"[a-z][a-z0-9-]{0,30}"
LIST_FILE = r"rules/[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*\.txt"
CLOCK = r"([01]?[0-9]|2[0-3]):[0-5][0-9]|24:00"
LANGUAGE = r"[a-z]{2,3}(-[a-z0-9]{2,8})*"
LONGEST_NOTICE = 1000
"""Characters of one language."""
MINUTES_OF_A_DAY = 1440
MOST_REPEATS, MOST_STARS = 40, 2
"""What a pattern may have: repeats of one mark, stars in one word. The server refuses more, too."""


def check_rule(value: str) -> str:
    """Check the id of a rule.

    Args:
        value: the id.

    Returns:
        The same id.

    Raises:
        ValueError: it is malformed.
    """
    if not re.fullmatch(RULE_ID, value):
        raise ValueError("this cannot be the id of a rule")
    return value


def check_list_file(value: str) -> str:
    """Check the path of a list; whether the file is there is looked at elsewhere.

    Args:
        value: the path, relative to the site's folder.

    Returns:
        The same path.

    Raises:
        ValueError: it is not in the folder `rules`, which Ansible takes for no host list, or does not end in .txt.
    """
    if not re.fullmatch(LIST_FILE, value) or ".." in value.split("/"):
        raise ValueError("this cannot be the path of a list in the site's folder rules")
    return value


def _is_of_words(mark: str) -> bool:
    """Tell whether a mark is part of words to the server; what else Python calls alphanumeric stands between them."""
    between = "\u2000" <= mark < "\u2c00" or "\u2e00" <= mark < "\u2e80" or mark in "\u115f\u1160\u3164\uffa0"
    return (mark.isalpha() and not between) or mark.isdecimal()


def check_keyword(value: str) -> str:
    """Check a word or phrase.

    Args:
        value: the phrase.

    Returns:
        The same phrase.

    Raises:
        ValueError: see `check_text`; or there is no letter and no digit in it, so that it would be found nowhere.
    """
    if not any(map(_is_of_words, check_text(value))):
        raise ValueError("this holds no letter and no digit, so it would be found nowhere")
    return value


def check_pattern(value: str) -> str:
    """Check a pattern. Its language has no choice and two stars a word at most, so that it takes no time to match.

    Args:
        value: the pattern.

    Returns:
        The same pattern.

    Raises:
        ValueError: it is malformed, or would fit any word.
    """
    check_text(value)
    repeated = re.findall(r"(.)\{[0-9]{1,2}\}", value)
    without = re.sub(r"(?<=[^}])\{[0-9]{1,2}\}", "", value)
    if re.search(r"[{}]", without) or not all(mark in "#@?" or _is_of_words(mark) for mark in repeated):
        raise ValueError("a number in braces follows what it repeats, and no star, as #{4}")
    if any(not 1 <= int(number) <= MOST_REPEATS for number in re.findall(r"\{([0-9]+)\}", value)):
        raise ValueError(f"this repeats something less than once or more than {MOST_REPEATS} times")
    if any(word.count("*") > MOST_STARS for word in re.split(r"[^\w#@?*{}]+", value)):
        raise ValueError(f"a word of this has more than {MOST_STARS} stars")
    if not any(mark in "#@?" or _is_of_words(mark) for mark in without):
        raise ValueError("this fits any text")
    return value


def check_blocked(value: str) -> str:
    """Check an address that is blocked.

    Args:
        value: a domain or an IPv4 address, with or without a path.

    Returns:
        The same in small letters, without a slash at its end.

    Raises:
        ValueError: it is none, or holds more than that.
    """
    host, slash, path = value.lower().rstrip("/").partition("/")
    if re.search(r"[\s\"'<>#?]", path) or len(path) > 1000:
        raise ValueError("the path holds blanks, quotes, ? or #, or is too long")
    if not _is_ipv4(host):
        check_domain(host)
    return f"{host}{slash}{path}"


def _is_ipv4(host: str) -> bool:
    if not host[-1:].isdigit():
        return False
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def check_extension(value: str) -> str:
    """Check the ending of a file's name.

    Args:
        value: the ending.

    Returns:
        The same ending.

    Raises:
        ValueError: it is malformed.
    """
    if not re.fullmatch(r"[a-z0-9]{1,16}", value):
        hint = value.lower().lstrip(".*")
        raise ValueError(
            "this cannot be the ending of a name" + (f"; write {hint}" if re.fullmatch(r"[a-z0-9]{1,16}", hint) else "")
        )
    return value


def check_media_type(value: str) -> str:
    """Check a media type (RFC 6838, section 4.2).

    Args:
        value: the type.

    Returns:
        The same type.

    Raises:
        ValueError: it is malformed.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9!#$&^_.+-]*/([a-z0-9][a-z0-9!#$&^_.+-]*|\*)", value):
        raise ValueError("this cannot be a media type")
    return value


def read_clock(value: object) -> int:
    """Read a time of day.

    Args:
        value: text as 18:30; or what YAML 1.1 makes of that without quotes, the number 18 x 60 + 30.

    Returns:
        Minutes since midnight, 0 to 1440.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MINUTES_OF_A_DAY:
        return value
    if not isinstance(value, str) or not re.fullmatch(CLOCK, value):
        raise ValueError("this is not a time of day")
    hours, minutes = value.split(":")
    return int(hours) * 60 + int(minutes)


def show_clock(value: int) -> str:
    """Write a time of day.

    Args:
        value: minutes since midnight.

    Returns:
        As 18:30.
    """
    return f"{value // 60:02}:{value % 60:02}"


def check_time_zone(value: str) -> str:
    """Check the name of a time zone.

    Args:
        value: the name.

    Returns:
        The same name.

    Raises:
        ValueError: the IANA list does not have it.
    """
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("there is no such time zone") from None
    return value


def check_language(value: str) -> str:
    """Check the code of a language (BCP 47, in small letters).

    Args:
        value: the code.

    Returns:
        The same code.

    Raises:
        ValueError: it is malformed.
    """
    if not re.fullmatch(LANGUAGE, value):
        raise ValueError("this cannot be the code of a language")
    return value


def check_notice(value: str) -> str:
    """Check a text that people are told; unlike `check_text` it may be long, and have several lines.

    Args:
        value: the text.

    Returns:
        The same text, without blanks and breaks at its ends.

    Raises:
        ValueError: it is empty or too long, or holds characters that do not print.
    """
    text = value.strip()
    if not text:
        raise ValueError("this is empty")
    if len(text) > LONGEST_NOTICE:
        raise ValueError(f"this is {len(text)} characters long")
    for mark in text:
        if unicodedata.category(mark)[0] == "C" and mark not in "\n\u200c\u200d":
            raise ValueError(f"this holds the character U+{ord(mark):04X}, which does not print")
    return text


Rule_id = Annotated[str, AfterValidator(check_rule), kind("rule", RULE_ID)]
List_file = Annotated[str, AfterValidator(check_list_file), kind("list file", LIST_FILE)]
Keyword = Annotated[str, AfterValidator(check_keyword), kind("keyword", minLength=1, maxLength=100)]
Pattern = Annotated[str, AfterValidator(check_pattern), kind("pattern", minLength=1, maxLength=100)]
Blocked = Annotated[str, AfterValidator(check_blocked), kind("blocked", minLength=4)]
Extension = Annotated[str, AfterValidator(check_extension), kind("extension", r"[a-z0-9]{1,16}")]
Media_type = Annotated[str, AfterValidator(check_media_type), kind("media type", r"[a-z0-9][^/]*/[^/]+")]
Clock = Annotated[int, PlainValidator(read_clock), PlainSerializer(show_clock, return_type=str), kind("clock", CLOCK)]
Language = Annotated[str, AfterValidator(check_language), kind("language", LANGUAGE)]
Notice = Annotated[str, AfterValidator(check_notice), kind("notice", minLength=1, maxLength=LONGEST_NOTICE)]
Time_zone = Annotated[str, AfterValidator(check_time_zone), kind("time zone", minLength=3)]
