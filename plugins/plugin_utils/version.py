# SPDX-License-Identifier: GPL-3.0-or-later
"""Version of the kit, as in galaxy.yml (a test compares the two)."""

KIT_VERSION = "0.1.0"
