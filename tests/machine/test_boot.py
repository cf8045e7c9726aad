# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of things at boot, and what answered from outside meanwhile."""

from __future__ import annotations

from machine.guest import Guest
from system.site_facts import SiteFacts

FIREWALL = "sallyport-firewall.service"
Knocks = dict[str, dict[str, dict[str, float]]]


# programs that configure an interface or listen, and the target that the first of them reach
LATER = ("systemd-networkd.service", "network.target", "ssh.service", "prosody.service", "chrony.service")


def began(guest: Guest, *units: str) -> dict[str, int]:
    """Return when units left the state inactive in this boot, in microseconds since the kernel's start."""
    said = guest.sh(f"systemctl show {' '.join(units)} --property=InactiveExitTimestampMonotonic --value")
    return dict(zip(units, map(int, said.split()), strict=True))


def test_the_firewall_is_there_before_the_network(guest: Guest, knocks: Knocks) -> None:
    assert knocks, "the first boot was without the kit"
    state = guest.unit(FIREWALL, "ActiveState", "Result", "ActiveEnterTimestampMonotonic", "UnitFileState")
    assert (state["ActiveState"], state["Result"], state["UnitFileState"]) == ("active", "success", "enabled"), state
    in_force = int(state["ActiveEnterTimestampMonotonic"])
    assert in_force, "it was not started in this boot"
    reached = guest.unit("network-pre.target", "ActiveEnterTimestampMonotonic")["ActiveEnterTimestampMonotonic"]
    assert 0 < in_force <= int(reached), f"rules at {in_force}, network-pre.target at {reached}"
    early = {unit: at for unit, at in began(guest, *LATER).items() if at <= in_force}
    assert not early, f"before the rules, which came at {in_force}, or not at all: {early}"


def test_the_kernel_brought_no_link_up_before_the_rules(guest: Guest, knocks: Knocks) -> None:
    """Said by the kernel's and networkd's own words in the journal of this boot, not by systemd's order."""
    assert knocks
    in_force = int(guest.unit(FIREWALL, "ActiveEnterTimestampMonotonic")["ActiveEnterTimestampMonotonic"])
    words = guest.sh(
        "journalctl -b -o short-monotonic --no-pager -u systemd-networkd.service | grep -iE 'gained carrier|link up'"
    )
    times = [float(line.split("]")[0].strip("[ ")) * 1e6 for line in words.splitlines() if line.startswith("[")]
    links = [line for line in words.splitlines() if ": lo:" not in line and " lo: " not in line]
    assert links, words
    first = min(at for at, line in zip(times, words.splitlines(), strict=True) if line in links)
    assert in_force < first, f"a link came up at {first} µs, the rules at {in_force} µs"


def test_debians_firewall_unit_cannot_flush(guest: Guest) -> None:
    assert guest.unit("nftables.service", "LoadState")["LoadState"] in ("masked", "not-found")


def test_only_ssh_ever_answered(guest: Guest, demo_facts: SiteFacts, knocks: Knocks) -> None:
    """All through the reboot. A refusal by the machine's own stack is an answer too: then no rule stood before it."""
    ssh = f"{demo_facts.server().admin} tcp 22"
    assert knocks[ssh]["connected"]["count"] > 2, "whoever knocked did not even see SSH"
    assert knocks[ssh].get("silent", {}).get("count", 0) > 2, "the machine was never away, so this was no reboot"
    others = {
        target: {answer: noted for answer, noted in answers.items() if answer != "silent"}
        for target, answers in knocks.items()
        if target != ssh
    }
    answered = {target: answers for target, answers in others.items() if answers}
    assert not answered, answered
    # there was something to reach, had the rules not been there
    listening = guest.sh("ss -Hltn")
    assert f"{demo_facts.service()}:5222" in listening, listening


def test_ssh_was_never_refused_by_an_open_stack(demo_facts: SiteFacts, knocks: Knocks) -> None:
    """Between the rules and sshd's start the port is permitted and closed: that alone may be refused, for a while."""
    noted = knocks[f"{demo_facts.server().admin} tcp 22"]
    if "refused" in noted:
        assert noted["refused"]["last"] < noted["connected"]["last"], noted


def test_the_rules_are_those_of_the_file(guest: Guest) -> None:
    """What is in force after boot is what the unit loads, and nothing else is."""
    tables = guest.sh("nft list tables").split("\n")
    assert [line for line in tables if line] == ["table inet sallyport"], tables
    chains = guest.sh("nft --terse list table inet sallyport")
    for hook in ("input", "output", "forward"):
        line = next(line for line in chains.splitlines() if f"hook {hook} " in line)
        assert line.rstrip().endswith("policy drop;"), line
