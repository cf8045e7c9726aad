# SPDX-License-Identifier: GPL-3.0-or-later
"""The decision point, tried against a real server."""
