# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/controls.md: every control of the register, for readers of the documentation.

python -m system.controls_page >docs/controls.md
"""

from __future__ import annotations

from ansible_collections.sallyport.im.plugins.plugin_utils.report import PRACTICES
from system.controls import Control, load_all

HEAD = """\
# The controls

What `make verify` tries on a site, practice by practice. Each control does what is permitted and what is forbidden,
with real clients, and passes only when the first works and the second is refused as it was designed to be. The report
says what the machine answered.

Made from the register of controls in `tests/system/` by `make docs`; do not edit.
"""
ON_DEMO_ONLY = "Demo only: it would disturb people at work."
PLACES = {
    "im_internal": "the server itself",
    "im_external": "the external server itself",
    "log_host": "the log host itself",
    "gateway": "the gateway",
    "desktops": "a desktop",
    "outside": "the outside",
    "control_node": "the control node",
}


def _entry(control: Control) -> str:
    lines = [
        f"### {control.id}",
        "",
        control.says,
        "",
        f"- Must work: {control.permitted}",
        f"- Must fail: {control.forbidden}",
        f"- Tried from: {PLACES[control.tried_from]}",
    ]
    if not control.safe:
        lines.append(f"- {ON_DEMO_ONLY}")
    return "\n".join(lines)


def page() -> str:
    """Return the text of docs/controls.md."""
    by_practice: dict[str, list[Control]] = {name: [] for name in PRACTICES}
    for control in load_all().values():
        by_practice[control.practice].append(control)
    parts = [HEAD]
    for name, practice in PRACTICES.items():
        if by_practice[name]:
            parts.append(f"## {name}: {practice.title}\n\n{practice.promise}\n")
            if practice.later:
                parts.append(f"Not covered yet: {practice.later}\n")
            parts += [f"{_entry(control)}\n" for control in by_practice[name]]
    bare = [f"- {name}: {PRACTICES[name].title}" for name, found in by_practice.items() if not found]
    if bare:
        parts.append("## Practices without a control in this version\n\n" + "\n".join(bare) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    print(page(), end="")
