# SPDX-License-Identifier: GPL-3.0-or-later
"""Alerts, tried on a log host of their own with a real mail server and a real IM server."""
