# SPDX-License-Identifier: GPL-3.0-or-later
"""The measurements of docs/performance.md."""
