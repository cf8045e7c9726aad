# SPDX-License-Identifier: GPL-3.0-or-later
"""Usage: python3 -m sallyport_alerts serve            the service; a unit runs this
python3 -m sallyport_alerts page [DAY]       the pages of yesterday and today, or of a day (2027-06-30)
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

SETTINGS = Path("/etc/sallyport/alerts.json")


def main(arguments: list[str]) -> None:
    """Do what the arguments say."""
    settings = json.loads(SETTINGS.read_text(encoding="utf-8"))
    if arguments == ["serve"]:
        from sallyport_alerts.service import serve  # noqa: PLC0415

        serve(settings)
    elif arguments[:1] == ["page"] and all(re.fullmatch(r"\d{4}-\d\d-\d\d", day) for day in arguments[1:]):
        from sallyport_alerts.pages import make  # noqa: PLC0415

        make(settings, arguments[1:], time.time())
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
