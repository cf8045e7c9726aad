# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody changes by hand is named by `make drift`, exactly, and mended by the next run."""

from __future__ import annotations

from acceptance.demo_site import Demo

BY_HAND = """
set -e
sed -i 's/^c2s_require_encryption = true/c2s_require_encryption = false/' /etc/prosody/prosody.cfg.lua
grep -q '^c2s_require_encryption = false' /etc/prosody/prosody.cfg.lua
prosodyctl register mallory im.demo.example "$(openssl rand -hex 16)" >/dev/null
printf '[Service]\\nExecStart=/bin/sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n' \\
  >/etc/systemd/system/backdoor.service
systemctl daemon-reload
systemctl --quiet enable --now backdoor.service
"""


def test_nothing_differs_on_a_converged_site(demo: Demo) -> None:
    code, differences, printed = demo.drift()
    assert differences == []
    assert code == 0, printed
    assert "no difference" in printed


def test_changes_by_hand_are_named_and_mended(demo: Demo) -> None:
    demo.sh(BY_HAND)
    code, differences, printed = demo.drift()
    assert code != 0, printed
    assert {difference["host"] for difference in differences} == {"im-int"}
    lines = sorted(difference["difference"] for difference in differences)
    assert len(lines) == 3, lines
    assert lines[0].startswith("account mallory: is enabled, should be disabled"), lines
    assert lines[1].startswith("file /etc/prosody/prosody.cfg.lua:"), lines
    assert lines[2].startswith("unit backdoor.service: is there, should not be"), lines
    assert all(line in printed for line in lines), printed

    assert demo.converge()["im-int"] == 3
    assert demo.sh("systemctl is-active backdoor.service || true").strip() == "inactive"
    assert "c2s_require_encryption = true" in demo.sh("cat /etc/prosody/prosody.cfg.lua")
    code, differences, printed = demo.drift()
    assert (code, differences) == (0, []), printed
