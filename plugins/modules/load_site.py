#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action `load_site`, which runs on the control node only."""

from __future__ import annotations

DOCUMENTATION = r"""
module: load_site
short_description: Read and check a site, and say of each host what the roles must know
version_added: 0.1.0
description:
  - Reads the site file, the host list and the vault of the inventory's folder, and checks all of it before any host is
    touched. When something is wrong, it fails with all faults at once, each with path, value, what is allowed, the
    nearest valid name, file and line.
  - Runs on the control node and opens no connection.
  - The vault is opened with the passwords that Ansible was given, or with those that C(SALLYPORT_VAULT_PASSWORD_FILE)
    or the file C(.vault-password) in the site's folder give. No secret becomes a fact.
author: The Sallyport engineers
attributes:
  check_mode:
    description: Does the same in check mode, as it changes nothing.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Read the site file and check all of it before any host is touched
  hosts: all
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - name: Load the site
      sallyport.im.load_site:
"""

RETURN = r"""
ansible_facts:
  description: Facts of the host.
  returned: success
  type: dict
  contains:
    sallyport_host:
      description: What the roles must know of this host.
      returned: success
      type: dict
      contains:
        name:
          description: Name of the host in the host list.
          returned: success
          type: str
          sample: im-int
        role:
          description: The one group of the host.
          returned: success
          type: str
          sample: im_internal
        site:
          description: Name of the site.
          returned: success
          type: str
          sample: demo
        addresses:
          description: Its addresses by zone, without that of administration.
          returned: success
          type: dict
          sample: {servers: [10.213.1.11, "fd21:3:1::11"]}
        packages:
          description: Debian packages that the roles of this host need, sorted.
          returned: success
          type: list
          elements: str
          sample: [ca-certificates, prosody]
        im:
          description: Settings of the IM server, the accounts and the compiled message policy among them.
          returned: on an IM server
          type: dict
        certificate:
          description: Names, lifetime and place of the server's certificate.
          returned: on an IM server
          type: dict
"""
