# SPDX-License-Identifier: GPL-3.0-or-later
"""Last words of `make demo`: who is there, how to log in, what was proven, where the report is.

Run as `python -m ansible_collections.sallyport.im.plugins.plugin_utils.welcome inventories/demo reports/demo`.
"""

from __future__ import annotations

import datetime
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.sallyport.im.plugins.plugin_utils.message_policy import EXTERNAL, compile_policy, enabled
from ansible_collections.sallyport.im.plugins.plugin_utils.report import PRACTICES
from ansible_collections.sallyport.im.plugins.plugin_utils.site import Site, load

WORDS = {
    "pass": "proven",
    "fail": "FAILED",
    "amber": "open choice",
    "not_applicable": "not applicable",
    "not_tried": "not tried yet",
}
"""What the statuses of a report are called in the table."""


def people(site: Site, now: datetime.datetime) -> list[str]:
    """List the people of a site.

    Args:
        site: the site.
        now: the time.

    Returns:
        A line for each: address, name, groups, and why not when she may not sign in.
    """
    lines = []
    for person in site.people:
        why = person.why_disabled(now)
        state = f"cannot sign in: {why}" if why else ", ".join(person.groups)
        lines.append(f"{f'{person.id}@{site.domain}':<26} {person.name:<12} {state}")
    return lines


def partners(site: Site, now: datetime.datetime) -> list[str]:
    """List who may talk to whom outside.

    Args:
        site: the site.
        now: the time.

    Returns:
        A line for each pair of a person and a partner: the person's address for partners, whom it reaches, until when.
    """
    if site.external_domain is None:
        return []
    policy = compile_policy(site, EXTERNAL)
    lines = []
    for partner in site.settings.partners:
        if partner.enabled(now):
            with_whom = ", ".join(f"{contact}@{partner.domain}" for contact in partner.contacts)
            for person in policy["partners"][partner.domain]["people"]:
                if enabled(policy, person, now):
                    address = f"{person}@{site.external_domain}"
                    lines.append(f"{address:<26} with {with_whom} ({partner.name}), until {partner.until}")
        else:
            lines.append(f"{partner.domain:<26} closed: {partner.why_disabled(now)}")
    return lines


def proven(report: dict[str, Any]) -> list[str]:
    """Sum up a report.

    Args:
        report: the content of report.json.

    Returns:
        A line for each practice that has controls, and one for those that have none yet.
    """
    lines, later = [], []
    for practice, entry in report["practices"].items():
        counts = Counter(control["status"] for control in entry["controls"])
        if not entry["controls"]:
            later.append(practice)
            continue
        found = ", ".join(f"{counts[status]} {word}" for status, word in WORDS.items() if counts[status])
        lines.append(f"{practice:<4}{PRACTICES[practice].title:<45}{found}")
    return [*lines, f"not in this version yet: {', '.join(later)}"] if later else lines


def welcome(site: Site, report: dict[str, Any], page: Path, now: datetime.datetime) -> str:
    """Write the last words.

    Args:
        site: the demo site.
        report: the content of its report.json.
        page: its report.html.
        now: the time.

    Returns:
        Text for a terminal.
    """
    ssh = f"ssh -F {site.folder}/.ssh/config"
    invitations = sorted((site.folder / "invitations").glob("*.txt"))
    blocks = [
        ("People", people(site, now)),
        ("Partners", partners(site, now)),
        (
            "Log in",
            [
                "alice and bob have accepted their invitations; their passwords: make password PERSON=alice",
                f"on the desktop, as alice:   {ssh} -t desk profanity -a alice@{site.domain}",
                f"the same, to partners:      {ssh} -t desk profanity -a alice@{site.external_domain}",
                *(f"as {file.stem}, with the invitation: {file}" for file in invitations),
                f"the machines:               {ssh} im-int     (also im-ext, log, gw, desk, world)",
            ],
        ),
        ("Proven", proven(report)),
        ("Report", [str(page.resolve())]),
        ("Remove", ["make clean"]),
    ]
    return "\n".join(f"\n{title}\n" + "\n".join(f"  {line}" for line in lines) for title, lines in blocks)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: the folders of the site and of its report; those of the process when None.

    Returns:
        Exit code 0.
    """
    folder, reports = (Path(argument) for argument in (sys.argv[1:] if arguments is None else arguments))
    report = json.loads((reports / "report.json").read_text(encoding="utf-8"))
    now = datetime.datetime.now(datetime.UTC)
    print(welcome(load(folder, with_vault=False), report, reports / "report.html", now))
    return 0


if __name__ == "__main__":
    sys.exit(main())
