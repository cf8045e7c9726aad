# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a site: report.json for machines, report.html for the owner, the auditor and the insurer.

The page is one file without anything from elsewhere. A status is told by a word and a shape, never by colour alone.
Whatever a machine answered is shown as text.
"""

from __future__ import annotations

import datetime
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from ansible_collections.sallyport.im.plugins.plugin_utils.report_page import STYLE


@dataclass(frozen=True)
class Practice:
    """A practice of the recipe, for readers without a technical background.

    Attributes:
        title: A few words.
        promise: What a site does for it.
        later: What this version of the kit does not check yet; empty when nothing is left.
    """

    title: str
    promise: str
    later: str = ""


PRACTICES: dict[str, Practice] = {
    "R1": Practice(
        "A server of our own, deep inside",
        "Messages between colleagues go through one dedicated server, behind firewalls. It talks to no other server.",
    ),
    "R2": Practice(
        "The server is hardened",
        "Only authorised people get in, nothing runs that is not needed, it is patched and scanned.",
    ),
    "R3": Practice(
        "Only sound desktops take part", "The messaging program is installed on desktops that passed the same checks."
    ),
    "R4": Practice(
        "Outside contact only for those who need it",
        "A second, separate server; an account there has a reason and an end date, and ends by itself.",
    ),
    "R5": Practice(
        "Everything is encrypted",
        "Signing in, messages, files and administration are encrypted on every path; nothing is accepted in the clear.",
        "The path to the log host, which comes with that part.",
    ),
    "R6": Practice(
        "The outside server is locked down too",
        "It stands in a network of its own, with only the ports that it needs.",
    ),
    "R7": Practice(
        "The firewall closes every other way",
        "Messages leave only through that server; consumer messengers are blocked by port, address and name. A phone "
        "on mobile data is out of reach, and so is what hides in a page that is permitted.",
    ),
    "R8": Practice(
        "Only known and trusted contacts",
        "Contact lists come from the company's groups and its partners. Nobody can add a stranger, and no stranger can "
        "reach anybody.",
    ),
    "R9": Practice(
        "Everything is logged",
        "Every message leaves one entry in a tamper-evident log, kept as long as the policy says and no longer.",
    ),
    "R10": Practice(
        "Somebody watches",
        "Harmful content coming in and confidential data going out are noticed, and a person is told.",
    ),
    "R11": Practice(
        "Viruses, bad links and spam are stopped",
        "No file can be fetched before the scanner has cleared it; links and senders are checked.",
    ),
    "R12": Practice(
        "No security department needed",
        "Two commands to see it run, one file to edit, and every error says what to change.",
    ),
}

# status: word, shape, order of gravity
STATUSES: dict[str, tuple[str, str]] = {
    "fail": ("Failed", "✕"),
    "not_tried": ("Not tried", "○"),
    "amber": ("Your choice", "△"),
    "pass": ("Passed", "✓"),
    "not_applicable": ("Does not apply", "/"),
}


@dataclass(frozen=True)
class Result:
    """The outcome of one control.

    Attributes:
        id: Of the control.
        practice: ``R1`` to ``R12``.
        status: A key of `STATUSES`.
        says: What was checked, in plain words.
        seen: What the machine answered.
        tried_from: Name of the machine it was tried from.
        on: Name of the machine it was about.
        time: When, with time zone.
    """

    id: str
    practice: str
    status: str
    says: str
    seen: str
    tried_from: str
    on: str
    time: datetime.datetime


def worst(statuses: Sequence[str]) -> str:
    """Return the status of a practice from those of its controls.

    Args:
        statuses: Of its controls; none at all means that nothing was tried.

    Returns:
        A failure weighs most, then what was not tried; what does not apply counts only when nothing else is there.
    """
    return next((status for status in STATUSES if status in statuses), "not_tried")


def document(*, kit: str, site: str, results: Sequence[Result], time: datetime.datetime) -> dict[str, Any]:
    """Return the content of report.json.

    Args:
        kit: Version of the kit.
        site: Name of the site.
        results: Of all controls.
        time: When the run ended, with time zone.

    Returns:
        Plain data, all twelve practices in order.

    Raises:
        ValueError: For an unknown practice or status.
    """
    for result in results:
        if result.practice not in PRACTICES:
            raise ValueError(f"{result.id}: practice {result.practice!r} is none of {', '.join(PRACTICES)}")
        if result.status not in STATUSES:
            raise ValueError(f"{result.id}: status {result.status!r} is none of {', '.join(STATUSES)}")
    practices = {}
    for practice in PRACTICES:
        own = [result for result in results if result.practice == practice]
        practices[practice] = {
            "status": worst([result.status for result in own]),
            "controls": [
                {
                    "id": result.id,
                    "status": result.status,
                    "says": result.says,
                    "seen": result.seen,
                    "from": result.tried_from,
                    "on": result.on,
                }
                for result in own
            ],
        }
    return {"kit": kit, "site": site, "time": _stamp(time), "practices": practices}


def _stamp(time: datetime.datetime) -> str:
    return time.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _plural(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _badge(status: str, *, in_part: bool = False) -> str:
    """Show a status; what passed, but is not checked whole by this version, says so."""
    word, shape = ("Passed in part", "◐") if in_part and status == "pass" else STATUSES[status]
    return f'<span class="badge {status}"><span class="shape" aria-hidden="true">{shape}</span>{word}</span>'


def _verdict(statuses: Sequence[str], bare: int) -> tuple[str, str, str]:
    """Return status, headline and sentence for the head of the page."""
    count = Counter(statuses)
    passed = _plural(count["pass"], "check", "checks") + " went as designed"
    if count["fail"]:
        failed = _plural(count["fail"], "check", "checks")
        return "fail", f"{failed} failed", f"{passed}. What failed is marked below and has to be mended."
    if not statuses or count["not_tried"] == len(statuses):
        return "not_tried", "Nothing was tried", "This report proves nothing yet."
    left = (
        f" {_plural(bare, 'practice is', 'practices are')} not covered by this version and not proven." if bare else ""
    )
    if count["not_tried"]:
        untried = _plural(count["not_tried"], "check was", "checks were")
        return "not_tried", "Nothing failed, but not all was tried", f"{passed}; {untried} not tried.{left}"
    if count["amber"]:
        open_choices = _plural(count["amber"], "choice is", "choices are")
        return "amber", "Everything that was tried works", f"{passed}; {open_choices} yours to make.{left}"
    return "pass", "Everything that was tried works", f"{passed}, the forbidden was refused each time.{left}"


def _control(result: Result) -> str:
    answer = f'<div class="answer"><h4>What the machine answered</h4><p>{escape(result.seen)}</p></div>'
    return (
        f'<li class="control {result.status}" id="{escape(result.id)}">'
        f'<div class="top">{_badge(result.status)}<p class="says">{escape(result.says)}</p></div>'
        f"{answer if result.seen else ''}"
        f'<p class="where"><span>Machine <b>{escape(result.on)}</b></span>'
        f"<span>tried from <b>{escape(result.tried_from)}</b></span>"
        f"<span>at <b>{result.time.astimezone(datetime.UTC):%H:%M:%S}</b> UTC</span>"
        f"<code>{escape(result.id)}</code></p></li>"
    )


def _section(name: str, results: Sequence[Result]) -> str:
    practice = PRACTICES[name]
    status = worst([result.status for result in results])
    badge = _badge(status, in_part=bool(practice.later))
    if results:
        count = Counter(result.status for result in results)
        told = ", ".join(f"{count[key]} {STATUSES[key][0].lower()}" for key in STATUSES if count[key])
        body = f'<ul class="controls">{"".join(_control(result) for result in results)}</ul>'
        later = f'<p class="later"><b>Not covered yet.</b> {escape(practice.later)}</p>' if practice.later else ""
        tail = f'<p class="count">{_plural(len(results), "check", "checks")}: {told}</p>{body}{later}'
    else:
        tail = '<p class="later"><b>Not tried yet.</b> Its checks come with a later version of the kit.</p>'
    return (
        f'<section class="practice {status}{"" if results else " bare"}" id="{name}"><header>'
        f'<span class="number">{name}</span><div><h2>{escape(practice.title)}</h2>'
        f"<p>{escape(practice.promise)}</p></div>{badge}</header>{tail}</section>"
    )


def page(*, kit: str, site: str, results: Sequence[Result], time: datetime.datetime) -> str:
    """Return report.html.

    Args:
        kit: Version of the kit.
        site: Name of the site.
        results: Of all controls.
        time: When the run ended, with time zone.

    Returns:
        A whole HTML document, nothing of it from elsewhere.
    """
    own = {name: [result for result in results if result.practice == name] for name in PRACTICES}
    bare = sum(1 for found in own.values() if not found)
    status, headline, sentence = _verdict([result.status for result in results], bare)
    overview = "".join(
        f'<li><a href="#{name}" class="{worst([r.status for r in own[name]])}{"" if own[name] else " bare"}">'
        f'<span class="number">{name}</span><span class="name">{escape(practice.title)}</span>'
        f"{_badge(worst([r.status for r in own[name]]), in_part=bool(practice.later))}</a></li>"
        for name, practice in PRACTICES.items()
    )
    local = time.astimezone(datetime.UTC)
    facts = "".join(
        f"<div><dt>{term}</dt><dd>{escape(value)}</dd></div>"
        for term, value in (
            ("Site", site),
            ("Checked", f"{local.day} {local:%B %Y, %H:%M} UTC"),
            ("Kit", f"Sallyport {kit}"),
            ("Checks", str(len(results))),
        )
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Sallyport report: {escape(site)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<header class="head">
<p class="brand">Sallyport <span>security report for instant messaging</span></p>
<div class="verdict {status}"><span class="shape" aria-hidden="true">{STATUSES[status][1]}</span>
<div><h1>{headline}</h1><p>{sentence}</p></div></div>
<dl>{facts}</dl>
</header>
<nav aria-label="The twelve practices"><h2>The twelve practices</h2><ol>{overview}</ol></nav>
<p class="how">Each check tries what is permitted and what is forbidden, with real programs on the machines named here.
“Passed” means that the permitted worked and the forbidden was refused in the way it was designed to be.
What could not be tried is never counted as passed.</p>
{"".join(_section(name, own[name]) for name in PRACTICES)}
<footer><p>Made by Sallyport {escape(kit)} on {_stamp(time)}. The same results for machines: report.json.</p></footer>
</main>
</body>
</html>
"""


def write(
    folder: Path, *, kit: str, site: str, results: Sequence[Result], time: datetime.datetime | None = None
) -> tuple[Path, Path]:
    """Write both reports.

    Args:
        folder: Where to; made when it is not there.
        kit: Version of the kit.
        site: Name of the site.
        results: Of all controls.
        time: When the run ended; now, when left out.

    Returns:
        The paths of report.html and report.json.
    """
    time = time or datetime.datetime.now(datetime.UTC)
    folder.mkdir(parents=True, exist_ok=True)
    html, data = folder / "report.html", folder / "report.json"
    content = document(kit=kit, site=site, results=results, time=time)
    data.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    html.write_text(page(kit=kit, site=site, results=results, time=time), encoding="utf-8")
    return html, data
