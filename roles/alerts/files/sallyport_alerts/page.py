# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a day: HTML that needs nothing from elsewhere. Pure.

Whatever comes from a log is escaped; the page has no script, and says so to the browser.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from sallyport_alerts.chart import hours
from sallyport_alerts.day import Day
from sallyport_alerts.incidents import OPENED, OVER
from sallyport_alerts.kinds import KINDS
from sallyport_alerts.reading import CLOCK_SECONDS, FULL_PERCENT, plain
from sallyport_alerts.style import STYLE

MOST = 10
FEW = 3
"""Tables with more columns are moved sideways on a phone."""
FULL_MINUTES = 0.95
"""A host that sent less than this part of its lines has a gap."""


def _badge(tone: str, text: str) -> str:
    return f'<span class="badge {tone}">{escape(text)}</span>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], none: str) -> str:
    """Write a table of cells that are HTML already; a head that begins with # is one of numbers."""

    def cell(name: str, content: str, tag: str) -> str:
        looks = " class=n" if name[:1] == "#" else " class=keep" if name == "UTC" else ""
        return f"<{tag}{looks}>{content}</{tag}>"

    lines = ("".join(cell(*pair, "td") for pair in zip(head, row, strict=True)) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    if not body:
        return f'<p class="none">{escape(none)}</p>'
    heads = "".join(cell(name, escape(name.removeprefix("#")), "th") for name in head)
    wide = ' class="many"' if len(head) > FEW else ""
    return f'<div class="wide"><table{wide}><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def _ranking(counter: Counter[str], head: str, none: str, tone: str = "") -> str:
    most = max(counter.values(), default=1)
    rows = [
        (f'{escape(name)}<span class="bar {tone}" style="width:{100 * count / most:.1f}%"></span>', f"{count:,}")
        for name, count in counter.most_common(MOST)
    ]
    if len(counter) > MOST:
        rest = sum(counter.values()) - sum(count for _name, count in counter.most_common(MOST))
        rows.append((f"{len(counter) - MOST} more", f"{rest:,}"))
    return _table((head, "#times"), rows, none)


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def _figures(day: Day) -> str:
    totals = day.totals()
    entries = (
        ("messages delivered", totals["messages"], ""),
        ("stanzas refused", totals["refused"], ""),
        ("infected files", totals["infected"], "bad"),
        ("sign-ins refused", totals["sign_in_failures"], "warn"),
        ("incidents began", totals["incidents"], "bad"),
    )
    cells = (
        f'<div class="{tone if count else ""}"><dt>{name}</dt><dd>{count:,}</dd></div>' for name, count, tone in entries
    )
    return f'<dl class="figures">{"".join(cells)}</dl>'


def _incidents(day: Day) -> str:
    tones = {OPENED: ("bad", "began"), OVER: ("good", "over")}
    rows = []
    for one in day.incidents[-100:]:
        tone, word = tones.get(one["what"], ("warn", "still open"))
        kind = KINDS.get(one["kind"])
        rows.append(
            (
                time.strftime("%H:%M", time.gmtime(one["time"])),
                _badge(tone, word),
                escape(kind.title if kind else one["kind"]),
                # an address is broken behind its name first
                escape(f"{one['where']}, {one['who']}").replace("@", "@<wbr>"),
                escape(plain(one["says"])),
                f"{one['count']:,}",
            )
        )
    return _table(("UTC", "", "what", "where", "", "#events"), rows, "None: nothing began, nothing ended.")


def _state(health: Mapping[str, Any]) -> str:
    """Name what is wrong with a host, in badges."""
    found = [_badge("bad", unit) for unit in [*(health.get("failed") or ()), *(health.get("missing") or ())][:5]]
    for disk in health.get("disks") or ():
        inodes = disk.get("inodes_free_percent")
        if disk["free_percent"] < FULL_PERCENT or (inodes is not None and inodes < FULL_PERCENT):
            found.append(_badge("bad", f"{disk['at']} nearly full"))
    if (scanner := health.get("antivirus")) and (scanner.get("stale") or scanner.get("problems")):
        found.append(_badge("bad", "scanner"))
    if abs(health.get("offset_seconds") or 0) > CLOCK_SECONDS:
        found.append(_badge("bad", "clock"))
    if health.get("updates"):
        found.append(_badge("warn", f"{health['updates']} updates wait"))
    if health.get("faults"):
        found.append(_badge("warn", "cannot look everywhere"))
    return " ".join(found) or _badge("good", "well")


def _hosts(day: Day, hosts: Mapping[str, str], minutes: float) -> str:
    rows = []
    for host, group in hosts.items():
        health = day.health.get(host)
        odd = " " + _badge("warn", "odd lines") if day.odd[host] else ""
        if health is None:
            silent = _badge("warn" if group == "desktops" else "bad", "nothing came")
            rows.append((escape(host), odd or silent, "", "", "", "", "0"))
            continue
        share = min(1.0, day.minutes[host] / max(1.0, minutes))
        free = min((disk["free_percent"] for disk in health.get("disks") or ()), default=None)
        days = min((one["days"] for one in health.get("certificates") or ()), default=None)
        age = (health.get("antivirus") or {}).get("age_hours")
        gap = group != "desktops" and share < FULL_MINUTES
        rows.append(
            (
                escape(host),
                _state(health) + (" " + _badge("warn", "gaps") if gap else "") + odd,
                "" if free is None else f"{free:.0f} %",
                "" if days is None else f"{days:.0f} days",
                "" if age is None else f"{age:.0f} h",
                escape(f"{health.get('queue_megabytes') or 0} MiB"),
                f"{100 * share:.0f} %",
            )
        )
    head = ("host", "at its last word", "#disk free", "#certificate", "#signatures", "#logs waiting", "#heard of")
    return _table(head, rows, "No host has sent anything.")


def render(day: Day, settings: Mapping[str, Any], minutes: float, made: float) -> str:
    """Write the page.

    Args:
        day: the figures.
        settings: site, host, hosts (groups by name).
        minutes: so many minutes of the day are over.
        made: the time, in seconds since 1970.

    Returns:
        HTML.
    """
    title = f"{settings['site']}, {day.day}"
    infected = _table(
        ("UTC", "who", "server", "what"),
        (
            (escape(moment[11:16]), escape(who), escape(server), escape(what))
            for moment, who, server, what in day.infected
        ),
        "None.",
    )
    legend = '<p class="legend"><span><i></i>delivered</span><span class="bad"><i></i>refused</span></p>'
    failures = Counter({rule: count for rule, count in day.sign_ins.items() if rule != "ok"})
    went_well = f'<p class="note">{day.sign_ins["ok"]:,} went well.</p>' if day.sign_ins["ok"] else ""
    refused_ssh = f'<p class="note">By SSH: {sum(day.ssh.values()):,} refused.</p>'
    parts = [
        _figures(day),
        _section("Messages by hour (UTC)", hours(day.allowed, day.refused) + legend),
        _section("Incidents", _incidents(day)),
        '<div class="grid2">',
        _section("Refusals by rule", _ranking(day.rules, "rule", "Nothing was refused.", "bad")),
        _section("Who was refused", _ranking(day.refused_senders, "sender", "Nobody.", "bad")),
        _section("Who wrote most", _ranking(day.senders, "sender", "Nobody wrote.")),
        _section(
            "Sign-ins refused",
            went_well
            + _ranking(failures, "rule", "None.", "bad")
            + _ranking(day.addresses, "from", "", "bad")
            + refused_ssh,
        ),
        "</div>",
        _section(
            "Files",
            f'<p class="note">{day.files["shared"]:,} shared, {day.files["refused"]:,} refused. Infected:</p>'
            + infected,
        ),
        _section("Hosts", _hosts(day, settings["hosts"], minutes)),
    ]
    moment = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(made))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>"
        f'<p class="brand">Sallyport<span>the day at {escape(settings["site"])}</span></p>'
        f"<h1>{escape(day.day)}</h1>"
        f"{''.join(parts)}"
        f"<footer>Made {moment} on {escape(settings['host'])}, of what the hosts sent."
        " No text of any message is in it.</footer>"
        "</main></body></html>\n"
    )
