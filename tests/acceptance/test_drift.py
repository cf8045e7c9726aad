# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody changes by hand is named by `make drift`, exactly, and mended by the next run."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
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


@dataclass(frozen=True)
class Hand:
    """A change by hand.

    Attributes:
        change: shell command that makes it.
        names: what the one line of drift that names it must hold.
        mended: shell command that succeeds when it is mended.
    """

    change: str
    names: str
    mended: str


HANDS = {
    "a rule added": Hand(
        "nft add rule inet sallyport input tcp dport 8099 accept",
        "8099",
        "! nft list chain inet sallyport input | grep -q 8099",
    ),
    "a rule removed": Hand(
        # by IPv4; the one for IPv6 stays
        "handle=$(nft -a list chain inet sallyport input | sed -n '/ip saddr.*\"R1 xmpps\"/s/.*# handle //p')\n"
        "nft delete rule inet sallyport input handle $handle",
        "R1 xmpps",
        "nft list chain inet sallyport input | grep -q 'ip saddr.*\"R1 xmpps\"'",
    ),
    "a foreign table": Hand(
        "nft add table ip strangers; nft 'add chain ip strangers c { type filter hook input priority -10; }'",
        "table ip strangers",
        "! nft list table ip strangers 2>/dev/null",
    ),
    "a unit": Hand(
        "printf '[Service]\\nExecStart=/bin/sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n' "
        ">/etc/systemd/system/stranger.service\nsystemctl daemon-reload\n"
        "systemctl --quiet enable --now stranger.service",
        "stranger.service",
        "! systemctl is-active --quiet stranger.service && test ! -e /etc/systemd/system/stranger.service",
    ),
    "a unit of Debian's": Hand(
        # a root shell on a console, without a password
        "systemctl --quiet enable debug-shell.service",
        "debug-shell.service",
        "! systemctl is-enabled --quiet debug-shell.service",
    ),
    "a setuid file": Hand(
        "install -m 4755 /usr/bin/id /usr/local/bin/stranger-id",
        "/usr/local/bin/stranger-id",
        "test ! -u /usr/local/bin/stranger-id",
    ),
    "a kernel setting": Hand(
        "sysctl --quiet --write net.ipv4.conf.all.accept_redirects=1",
        "net.ipv4.conf.all.accept_redirects",
        "test $(sysctl --values net.ipv4.conf.all.accept_redirects) = 0",
    ),
    "a setting of SSH": Hand(
        "echo 'PasswordAuthentication yes' >/etc/ssh/sshd_config.d/00-stranger.conf",
        "/etc/ssh/sshd_config.d/00-stranger.conf",
        "test ! -e /etc/ssh/sshd_config.d/00-stranger.conf && sshd -T | grep -qx 'passwordauthentication no'",
    ),
    "an account in sudo": Hand(
        "usermod --append --groups sudo www-data",
        "www-data",
        "! id -nG www-data | grep -qw sudo",
    ),
    "a rule of sudo": Hand(
        "echo 'nobody ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/stranger && chmod 440 /etc/sudoers.d/stranger",
        "/etc/sudoers.d/stranger",
        "test ! -e /etc/sudoers.d/stranger && ! runuser -u nobody -- sudo -n true 2>/dev/null",
    ),
}


@pytest.mark.parametrize("host", ["im-int", "gw"])
def test_each_change_by_hand_is_named_once_and_mended(demo: Demo, host: str) -> None:
    # no desktop needs a way to the gateway's messaging ports: there is no such rule to remove
    hands = {what: hand for what, hand in HANDS.items() if host == "im-int" or what != "a rule removed"}
    for what, hand in hands.items():
        print(what)
        demo.sh(f"set -e\n{hand.change}", host)
    code, differences, printed = demo.drift()
    assert code != 0, printed
    assert {difference["host"] for difference in differences} == {host}, printed
    lines = [difference["difference"] for difference in differences]
    naming = {what: [line for line in lines if hand.names in line] for what, hand in hands.items()}
    assert {what: len(found) for what, found in naming.items()} == dict.fromkeys(hands, 1), "\n".join(lines)
    assert sorted(line for found in naming.values() for line in found) == sorted(lines), "\n".join(lines)

    assert demo.converge()[host] > 0
    still = [what for what, hand in hands.items() if demo.run(hand.mended, host).rc != 0]
    assert still == [], "not mended"
    code, differences, printed = demo.drift()
    assert (code, differences) == (0, []), printed
