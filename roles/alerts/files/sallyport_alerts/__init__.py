# SPDX-License-Identifier: GPL-3.0-or-later
"""Alerts of the log host: from what all hosts log to what a person must do."""
