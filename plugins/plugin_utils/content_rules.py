# SPDX-License-Identifier: GPL-3.0-or-later
"""A site's rules as a part of the message policy: what the server of one profile needs, and the lists beside it."""

from __future__ import annotations

import datetime
import functools
import hashlib
import zoneinfo
from typing import Any

from ansible_collections.sallyport.im.plugins.plugin_utils.rule_lists import list_files
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site
from ansible_collections.sallyport.im.plugins.plugin_utils.site_file import DAYS, Rule, RuleHours, RuleLinks
from ansible_collections.sallyport.im.plugins.plugin_utils.values import instant

ZONE_BEGINS, ZONE_ENDS = 2025, 2046
"""Years for which a document holds the changes of the clock; fixed, so that a run next year finds nothing to change."""
DIRECTIONS = {"internal": ("inside",), "external": ("in", "out")}


def compile_rules(site: Site, profile: str) -> dict[str, Any]:
    """Compile the rules of one of a site's servers.

    Args:
        site: the site.
        profile: internal or external.

    Returns:
        The parts `rules`, `lists`, `names` and `zone` of the document. A rule that is for the other server only is left
        out; a list that is named is a file beside the document, with the SHA-256 that it must have.
    """
    rules = [rule for rule in site.settings.rules if _directions(rule, profile)]
    return {
        "rules": [_rule(site, rule, profile) for rule in rules],
        "lists": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in list_texts(site, profile).items()},
        "names": imitated(site, rules),
        "zone": zone_changes(site.settings.time_zone),
    }


def list_name(path: str) -> str:
    """Name a list as its file on the server, without the ending.

    Args:
        path: of the file below the site's folder.

    Returns:
        The path below `rules`, in one piece; + stands in no path of a site.
    """
    return path.removeprefix("rules/").removesuffix(".txt").replace("/", "+")


def list_texts(site: Site, profile: str) -> dict[str, str]:
    """Write the lists that one of a site's servers needs.

    Args:
        site: the site.
        profile: internal or external.

    Returns:
        The content by the list's name, one entry a line.
    """
    used = {number for number, rule in enumerate(site.settings.rules) if _directions(rule, profile)}
    paths = {path for location, path, _kind in list_files(site.settings) if location[2] in used}
    return {list_name(path): "\n".join(site.lists[path]) + "\n" for path in sorted(paths)}


def imitated(site: Site, rules: list[Rule]) -> list[str]:
    """List the domains that others may imitate.

    Args:
        site: the site.
        rules: its rules.

    Returns:
        Sorted: the site's own, that of its mail, the partners', and those that rules name; nothing when no rule asks.
    """
    if not any(rule.links and rule.links.lookalike for rule in rules):
        return []
    names = {*site.domains, site.settings.administrator.rpartition("@")[2]}
    names |= {partner.domain for partner in site.settings.partners}
    return sorted(names | {name for rule in rules if rule.links for name in rule.links.lookalike_of})


@functools.cache
def zone_changes(name: str) -> list[list[Any]]:
    """List how far a time zone's clock is from UTC.

    Args:
        name: of the IANA list.

    Returns:
        Pairs of an instant and the minutes east of UTC from then on, in order; the first one holds for all time before.
    """
    zone = zoneinfo.ZoneInfo(name)

    def offset(moment: datetime.datetime) -> int:
        return int((moment.astimezone(zone).utcoffset() or datetime.timedelta()).total_seconds()) // 60

    moment = datetime.datetime(ZONE_BEGINS, 1, 1, tzinfo=datetime.UTC)
    end = datetime.datetime(ZONE_ENDS, 1, 1, tzinfo=datetime.UTC)
    changes: list[list[Any]] = [["1970-01-01T00:00:00Z", offset(moment)]]
    while moment < end:
        after = moment + datetime.timedelta(days=1)
        if offset(after) != changes[-1][1]:
            # the minute of the change within the day
            low, high = 0, 1440
            while high - low > 1:
                middle = (low + high) // 2
                if offset(moment + datetime.timedelta(minutes=middle)) == changes[-1][1]:
                    low = middle
                else:
                    high = middle
            changes.append([instant(moment + datetime.timedelta(minutes=high)), offset(after)])
        moment = after
    return changes


def _directions(rule: Rule, profile: str) -> list[str]:
    return [direction for direction in DIRECTIONS[profile] if direction in rule.direction]


def _people(site: Site, groups: tuple[str, ...] | None, profile: str) -> list[str] | None:
    if groups is None:
        return None
    # the external server knows those only who have external IM
    known = [person for person in site.people if profile == "internal" or person.external is not None]
    return sorted(person.id for person in known if not {*groups}.isdisjoint(person.groups))


def _hours(span: RuleHours) -> dict[str, Any]:
    return {
        "days": sorted(DAYS.index(day) + 1 for day in span.days),
        "from": span.starts,
        "until": span.until,
        "utc": span.utc,
    }


def _rule(site: Site, rule: Rule, profile: str) -> dict[str, Any]:
    links = rule.links or RuleLinks()
    rooms = [group for group in rule.to or () if profile == "internal" and site.settings.groups[group].room]
    return {
        "id": rule.id,
        "reason": rule.reason,
        "action": rule.action,
        "directions": _directions(rule, profile),
        "from": _people(site, rule.senders, profile),
        "to": _people(site, rule.to, profile),
        "to_rooms": sorted(rooms),
        "hours": [_hours(span) for span in rule.hours],
        "rate": {"messages": rule.rate.messages, "minutes": rule.rate.minutes} if rule.rate else None,
        "keywords": sorted({*rule.keywords}),
        "keyword_lists": sorted({list_name(path) for path in rule.keyword_files}),
        "patterns": sorted({*rule.patterns}),
        "validators": sorted({*rule.validators}),
        "blocked": sorted({*links.blocked}),
        "blocked_lists": sorted({list_name(path) for path in links.blocked_files}),
        "lookalike": links.lookalike,
        "lying": links.lying,
        "extensions": sorted({*rule.files.extensions}) if rule.files else [],
        "media_types": sorted({*rule.files.media_types}) if rule.files else [],
    }
