# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of a site's rules that look at two settings at once; as `references` they run on what stands in the file."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.sallyport.im.plugins.plugin_utils.faults import Fault, Location, nearest, show_value
from ansible_collections.sallyport.im.plugins.plugin_utils.references import ROOT, find
from ansible_collections.sallyport.im.plugins.plugin_utils.yaml_source import Source

RULES: Location = (*ROOT, "rules")
CONDITIONS = (
    *("keywords", "keyword_files", "patterns", "validators", "links", "files"),
    *("direction", "from", "to", "hours", "rate"),
)
ABOUT_LINKS = ("blocked", "blocked_files", "lookalike", "lying")
MOST_PATTERNS = 100
"""In all rules together: each word of a text is compared with each of them."""


def check_rules(source: Source) -> Iterator[Fault]:
    """Check the rules of a site file.

    Args:
        source: the site file.

    Yields:
        The faults.
    """
    groups = [*(find(source, (*ROOT, "groups"), dict) or {})]
    external = find(source, (*ROOT, "domains", "external"), str) is not None
    lines: dict[str, int] = {}
    patterns = 0
    for number in range(len(find(source, RULES, tuple) or ())):
        here: Location = (*RULES, number)
        rule = find(source, here, dict)
        if rule is None:
            continue
        name = find(source, (*here, "id"), str)
        if name in lines:
            yield source.fault(
                (*here, "id"),
                f"{show_value(name)}: there is a rule of this name already, in line {lines[name]}",
                value=show_value(name),
                allowed="a name of its own for each rule",
            )
        elif name is not None:
            lines[name] = source.line((*here, "id"))
        patterns += len(find(source, (*here, "patterns"), tuple) or ())
        yield from _conditions(source, here)
        yield from _groups(source, here, groups)
        yield from _directions(source, here, external=external)
    if patterns > MOST_PATTERNS:
        yield source.fault(
            RULES, f"the rules have {patterns} patterns", allowed=f"{MOST_PATTERNS} in all; keywords have no such bound"
        )


def _conditions(source: Source, here: Location) -> Iterator[Fault]:
    rule = find(source, here, dict) or {}
    if not any(rule.get(name) for name in CONDITIONS):
        yield source.fault(
            here,
            "this rule has no condition, so it would hold for everything",
            allowed=f"one of {', '.join(CONDITIONS)}",
        )
    links, files = find(source, (*here, "links"), dict), find(source, (*here, "files"), dict)
    if links is not None and not any(links.get(name) for name in ABOUT_LINKS):
        yield source.fault((*here, "links"), "this names no link", allowed=f"one of {', '.join(ABOUT_LINKS)}")
    if files is not None and not any(files.values()):
        yield source.fault((*here, "files"), "this names no kind of file", allowed="extensions or media_types")
    if files and find(source, (*here, "to"), tuple) is not None:
        yield source.fault(
            (*here, "to"),
            "files are judged when they are sent to the server, which does not know yet who will read them",
            allowed="`files` or `to`",
        )
    for place in range(len(find(source, (*here, "hours"), tuple) or ())):
        span = find(source, (*here, "hours", place), dict) or {}
        if span.get("from", 0) == span.get("until", 1440):
            yield source.fault((*here, "hours", place), "this span has no minute in it", allowed="two different times")


def _groups(source: Source, here: Location, groups: list[str]) -> Iterator[Fault]:
    for side in ("from", "to"):
        for place in range(len(find(source, (*here, side), tuple) or ())):
            location: Location = (*here, side, place)
            name = find(source, location, str)
            if name is not None and name not in groups:
                yield source.fault(
                    location,
                    f"{show_value(name)}: there is no such group",
                    value=show_value(name),
                    allowed="the id of a group of this site",
                    nearest=nearest(name, groups),
                )


def _directions(source: Source, here: Location, *, external: bool) -> Iterator[Fault]:
    for place in range(len(find(source, (*here, "direction"), tuple) or ())):
        location: Location = (*here, "direction", place)
        name = find(source, location, str)
        if name in ("in", "out") and not external:
            yield source.fault(
                location,
                f"{name}: the site has no external server, so nothing comes from partners or goes to them",
                value=name,
                allowed="inside",
            )
