# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `holds_fault`: why a server must not be told of these legal holds in the place of those that it knows."""

from __future__ import annotations

import json
from collections.abc import Callable

DOCUMENTATION = r"""
name: holds_fault
short_description: Why a server must not be told of these legal holds
version_added: 0.1.0
author: The Sallyport engineers
description:
  - Compares what C(sallyport-archive holds --for-servers) says with what the server was told before.
  - A log host that was set up anew has another chain, and one that came back from a backup an older one. Neither knows
    the holds that were set before, and a server that believed it would remove what only they keep.
positional: there
options:
  _input:
    description: What the archive says now.
    type: str
    required: true
  there:
    description: The file on the server.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: The holds are of the archive that the server knows
  ansible.builtin.assert:
    that: (holds_read.stdout | sallyport.im.holds_fault(holds_there.content | b64decode)) == ''
"""

RETURN = r"""
_value:
  description: What is wrong and what to do, without any address; empty when nothing is.
  type: str
"""

REMEDY = (
    "Files that only a hold keeps would be removed from the server, so it was not told. Set the holds that still count"
    " again on the log host (sallyport-archive hold), then run playbooks/holds.yml once with -e holds_new_chain=true"
)


def holds_fault(told: str, there: str) -> str:
    """Say why a server must not be told.

    Args:
        told: what the archive says now.
        there: the file on the server.

    Returns:
        What is wrong and what to do; empty when nothing is.
    """
    new = json.loads(told)
    try:
        old = json.loads(there)
        chain, number, holds = old.get("chain"), int(old.get("number", 0)), len(old["holds"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return f"the file of the holds on the server cannot be understood. {REMEDY}"
    if chain is None and not holds:
        # of a site that had no log host
        return ""
    if chain != new["chain"]:
        return f"the server knows the holds of another archive: the log host was set up anew. {REMEDY}"
    if number > new["number"]:
        return (
            f"the server knows the holds up to entry {number} of the archive's chain, which now has them up to entry"
            f" {new['number']}: the log host is an older one. {REMEDY}"
        )
    return ""


class FilterModule:
    """Entry point for Ansible."""

    def filters(self) -> dict[str, Callable[..., object]]:
        """Return the filters of this file by name."""
        return {"holds_fault": holds_fault}
