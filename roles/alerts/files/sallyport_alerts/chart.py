# SPDX-License-Identifier: GPL-3.0-or-later
"""Charts of the page of the day, as SVG in the page itself. Colours come from the page's style."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 960, 250
LEFT, RIGHT, TOP, BOTTOM = 48, 8, 12, 26
NICE = (1, 2, 5, 10)
HOUR_STEP = 3


def ceiling(most: int) -> int:
    """Return the end of an axis: at least `most`, and a number that people like."""
    size = 1
    while True:
        for step in NICE:
            if step * size >= max(most, 4):
                return step * size
        size *= 10


def short(number: float) -> str:
    """Return a number as an axis shows it: 2.5, 750, 25k, 1M."""
    for size, letter in ((1_000_000, "M"), (1000, "k")):
        if number >= size:
            return f"{number / size:g}{letter}"
    return f"{number:g}"


def hours(allowed: Sequence[int], refused: Sequence[int]) -> str:
    """Draw what was delivered and refused in each hour, one upon the other.

    Args:
        allowed: messages delivered, by hour.
        refused: stanzas refused, by hour.

    Returns:
        An SVG element.
    """
    top = ceiling(max(one + other for one, other in zip(allowed, refused, strict=True)))
    across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    step = across / len(allowed)
    floor = TOP + down
    parts = []
    for line in range(5):
        y = floor - down * line / 4
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text class="axis" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{short(top * line / 4)}</text>'
        )
    for hour, (good, bad) in enumerate(zip(allowed, refused, strict=True)):
        x = LEFT + hour * step
        # a single one is seen as well
        high, low = (max(down * count / top, 1.5) if count else 0.0 for count in (good, bad))
        if good or bad:
            says = f"{hour:02}:00 to {hour:02}:59 UTC: {good} delivered, {bad} refused"
            parts.append(f"<g><title>{escape(says)}</title>")
            parts += [
                f'<rect class="{name}" x="{x + step * 0.16:.1f}" y="{base - height:.1f}" '
                f'width="{step * 0.68:.1f}" height="{height:.1f}" rx="2"/>'
                for height, base, name in ((high, floor, "good"), (low, floor - high, "bad"))
                if height
            ]
            parts.append("</g>")
        if hour % HOUR_STEP == 0:
            parts.append(
                f'<text class="axis" x="{x + step / 2:.1f}" y="{HEIGHT - 6}" text-anchor="middle">{hour:02}</text>'
            )
    label = f"Messages by hour: {sum(allowed)} delivered, {sum(refused)} refused"
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}"'
    return f'<svg class="hours" {size}>{"".join(parts)}</svg>'
