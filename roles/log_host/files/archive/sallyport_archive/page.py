# SPDX-License-Identifier: GPL-3.0-or-later
"""An export as a page for people: one file, nothing from the network, no script."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from sallyport_archive import events
from sallyport_archive.page_style import STYLE
from sallyport_archive.table import visible

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sallyport_archive.events import Event

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
TEXT_FIELDS = (("subject", "Subject"), ("body", ""), ("file", "File"), ("reason", "Reason"))
SMALL_FIELDS = (
    "type",
    "content",
    "action",
    "matched",
    "direction",
    "address",
    "bytes",
    "sha256",
    "signature",
    "count",
    "id",
)


def write_page(source: Path, target: Path, about: dict[str, Any]) -> None:
    """Write the page.

    Args:
        source: the events, JSON Lines.
        target: the page.
        about: who asked for what, when and why, and how many events there are.

    Raises:
        OSError: it cannot be written.

    """
    with source.open("rb") as lines, target.open("w", encoding="utf-8") as page:
        page.writelines(_head(about))
        day = ""
        for line in lines:
            event = events.read(line.removesuffix(b"\n"))
            date = event.time.strftime("%A, %d %B %Y")
            if date != day:
                page.write(f"{'</table>' if day else ''}<h2>{date}</h2><table>{HEADINGS}")
                day = date
            page.write(_row(event))
        page.write(f"{'</table>' if day else '<p>There is no such event.</p>'}</main></body></html>\n")


HEADINGS = "<tr><th>Time, UTC<th>From<th>To<th>What<th>Text</tr>\n"


def _text(value: object) -> str:
    """Return a text for the page: nothing in it is markup, and nothing turns round what stands beside it."""
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    lines = [html.escape(visible(line)) for line in str(value).splitlines()]
    return f"<bdi>{'<br>'.join(lines)}</bdi>"


def _head(about: dict[str, Any]) -> Iterator[str]:
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{html.escape(POLICY)}">'
    yield '<meta name="viewport" content="width=device-width"><meta name="referrer" content="no-referrer">'
    title = html.escape(visible(about["time"]))
    yield f"<title>Export of {title}</title><style>{STYLE}</style></head><body><main>"
    yield "<h1>Instant messages: an export of the archive</h1><dl>"
    for name, value in about.items():
        if isinstance(value, dict):
            shown = "; ".join(f"{_text(key)}: {_text(part)}" for key, part in value.items() if part)
        else:
            shown = _text(len(value) if name in ("not_in_day_files", "held_files") else value)
        yield f"<dt>{html.escape(name.replace('_', ' '))}<dd>{shown}"
    yield "</dl>"
    if about["not_in_day_files"]:
        yield f'<p class="alarm">{len(about["not_in_day_files"])} of these events are not in the sealed files any more '
        yield "as they came; the manifest has their ids. Run sallyport-archive verify.</p>"
    if files := about.get("held_files"):
        yield "<h2>Held files</h2><table><tr><th>Name<th>Server<th>Path below /var/lib/prosody<th>SHA-256</tr>"
        for file in files:
            yield f"<tr>{''.join(f'<td>{_text(file[name])}' for name in ('name', 'server', 'path', 'sha256'))}</tr>"
        yield "</table>"


def _row(event: Event) -> str:
    fields = event.fields
    room = f"<small>room {_text(event.room)}</small>" if event.room else ""
    texts = [
        f"<p>{f'<small>{label}</small> ' if label else ''}{_text(fields[name])}</p>"
        for name, label in TEXT_FIELDS
        if isinstance(fields.get(name), str) and fields[name]
    ]
    small = [f"<span>{name} {_text(fields[name])}</span>" for name in SMALL_FIELDS if fields.get(name)]
    verdict = "allowed" if event.verdict == "allowed" else "refused"
    rule = f"<small>rule {_text(event.rule)}</small>"
    return (
        f"<tr><td><time>{event.time.strftime('%H:%M:%S.%f')[:12]}</time>"
        f"<td>{_text(fields.get('from') or '')}<td>{_text(fields.get('to') or '')}{room}"
        f'<td><b class="{verdict}">{_text(event.verdict)}</b> {_text(event.kind)}{rule}'
        f'<td>{"".join(texts)}<div class="small">{" ".join(small)}</div></tr>\n'
    )
