# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts and invitations against a real Prosody."""
