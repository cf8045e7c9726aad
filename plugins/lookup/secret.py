# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookup plugin: one secret out of the vault of the site."""

from __future__ import annotations

DOCUMENTATION = r"""
name: secret
author: The Sallyport engineers (@sallyport)
short_description: Read a secret of the site from its encrypted vault
version_added: "0.1.0"
description:
  - Reads C(inventories/<site>/vault.yml) on the control node, at the moment in which a secret is used, so that no
    secret becomes a variable of a host.
  - The password is looked for in Ansible's own C(--vault-password-file) and the like, then in the file that the
    environment variable C(SALLYPORT_VAULT_PASSWORD_FILE) names, then in C(inventories/<site>/.vault-password).
  - A task that uses this lookup needs C(no_log=true).
options:
  _terms:
    description:
      - Names of secrets, as they stand in the vault.
      - A name inside a mapping is written with a dot, as in C(demo_passwords.alice).
    required: true
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Use the password of a probe account
  ansible.builtin.set_fact:
    probe_password: "{{ lookup('sallyport.im.secret', 'probe_a_password') }}"
  no_log: true
"""

RETURN = r"""
_raw:
  description: The values, in the order of the names.
  type: list
  elements: raw
"""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.sallyport.im.plugins.plugin_utils.vault import VAULT, VaultFault, passwords_of, read_vault


def pick(secrets: Mapping[str, object], name: str) -> object:
    """Find a secret by its name, with dots between the names of nested mappings.

    Args:
        secrets: what the vault holds.
        name: as `ca_key` or `demo_passwords.alice`.

    Returns:
        The value.

    Raises:
        KeyError: there is no such secret; its argument says which names exist (names only, never values).
    """
    here: object = secrets
    for part in name.split("."):
        if not isinstance(here, Mapping) or part not in here:
            known = sorted(str(key) for key in here) if isinstance(here, Mapping) else []
            near = difflib.get_close_matches(part, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise KeyError(f"no secret {name!r}; there are: {', '.join(known) or 'none'}{hint}")
        here = here[part]
    return here


class LookupModule(LookupBase):
    """The lookup `sallyport.im.secret`."""

    def run(
        self, terms: Sequence[str], variables: Mapping[str, object] | None = None, **kwargs: object
    ) -> list[object]:
        """Read the secrets that are named.

        Args:
            terms: names of secrets.
            variables: variables of the task; `inventory_dir` says where the vault stands.
            kwargs: no options are known.

        Returns:
            The values, in the order of the names.

        Raises:
            AnsibleLookupError: no inventory folder, a fault of the vault, or an unknown name.
        """
        self.set_options(var_options=variables, direct=kwargs)
        folder = (variables or {}).get("inventory_dir")
        if not isinstance(folder, str):
            raise AnsibleLookupError(
                "sallyport.im.secret needs an inventory that is a folder (inventory_dir is not set); "
                "give it with: -i inventories/<site>"
            )
        try:
            secrets = read_vault(Path(folder), passwords_of(self._loader))
            return [pick(secrets, term) for term in terms]
        except VaultFault as fault:
            raise AnsibleLookupError(str(fault)) from None
        except KeyError as error:
            raise AnsibleLookupError(f"{Path(folder) / VAULT}: {error.args[0]}") from None
