# SPDX-License-Identifier: GPL-3.0-or-later
"""The archive program on a real PostgreSQL, in a container."""
