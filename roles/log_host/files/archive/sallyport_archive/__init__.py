# SPDX-License-Identifier: GPL-3.0-or-later
"""The archive of the log host: what hosts shipped, searchable, sealed, and kept as long as the policy says."""
