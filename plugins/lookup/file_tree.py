# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookup: a directory of the control node as a list of files for sallyport.im.service_config."""

from __future__ import annotations

DOCUMENTATION = r"""
name: file_tree
short_description: A directory of the control node as files for service_config
version_added: 0.1.0
author: The Sallyport engineers
description:
  - Returns one entry for each file below a directory, sorted by path, as the option C(files) of
    M(sallyport.im.service_config) takes it.
  - Names that begin with a dot are left out. Files must be UTF-8 text.
options:
  _terms:
    description: Directories on the control node.
    required: true
    type: list
    elements: path
  to:
    description: Directory on the host that corresponds to the one given.
    required: true
    type: path
  on_change:
    description: What the service needs when one of the files changes.
    type: str
    choices: [none, reload, restart]
    default: restart
  mode:
    description: Permissions of each file.
    type: str
    default: "0644"
"""

EXAMPLES = r"""
- name: Show where the files of a directory would go
  ansible.builtin.debug:
    msg: "{{ query('sallyport.im.file_tree', role_path ~ '/files/modules', to='/usr/local/lib/modules') }}"
"""

RETURN = r"""
_list:
  description: Files with path, content, mode and on_change.
  type: list
  elements: dict
"""

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase


def files_below(source: Path, to: str, mode: str, on_change: str) -> list[dict[str, str]]:
    """Describe the files below a directory.

    Args:
        source: Directory on the control node.
        to: Directory on the host.
        mode: Permissions, octal.
        on_change: What the service needs when a file changes.

    Returns:
        One entry for each file, sorted by path.

    Raises:
        AnsibleError: The directory is missing or empty, or a file is not UTF-8 text.
    """
    if not source.is_dir():
        raise AnsibleError(f"{source}: is not a directory; file_tree needs one on the control node")
    entries = []
    for file in sorted(source.rglob("*")):
        relative = file.relative_to(source)
        if not file.is_file() or any(part.startswith(".") for part in relative.parts):
            continue
        try:
            content = file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise AnsibleError(f"{file}: is not UTF-8 text ({error.reason} at byte {error.start})") from error
        entries.append({"path": f"{to}/{relative}", "content": content, "mode": mode, "on_change": on_change})
    if not entries:
        raise AnsibleError(f"{source}: holds no file; a service without its files is not what was wanted")
    return entries


class LookupModule(LookupBase):
    """Entry point for Ansible."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, str]]:
        """Return the files below each directory of `terms`."""
        self.set_options(var_options=variables, direct=kwargs)
        to, mode, on_change = (self.get_option(name) for name in ("to", "mode", "on_change"))
        return [entry for term in terms for entry in files_below(Path(term), to.rstrip("/"), mode, on_change)]
