# SPDX-License-Identifier: GPL-3.0-or-later
"""Every port of every host, knocked on from every zone."""
