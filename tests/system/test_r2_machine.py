# SPDX-License-Identifier: GPL-3.0-or-later
"""R2: the servers run what they need and nothing else, and the kernel gives nobody more than that."""

from __future__ import annotations

import fnmatch
import json
import re
from typing import Any

from probe.remote import Probe
from system.controls import Amber, Breakage, NotApplicable, Seen, control
from system.site_facts import ZONES, SiteFacts

# what runs on a server of this kind, whatever its job is; a person wrote this list, not the kit
RUNS = (
    "auditd.service",
    "chrony.service",
    "dbus.service",
    "getty@*.service",
    "console-getty.service",
    "serial-getty@*.service",
    "qemu-guest-agent.service",
    "ssh.service",
    "systemd-journald.service",
    "systemd-logind.service",
    "systemd-networkd.service",
    "systemd-timesyncd.service",
    "systemd-udevd.service",
    "ulogd2.service",
    "unattended-upgrades.service",
    "user@*.service",
    # fetch and install updates, turn logs over: now and then, for a moment
    "apt-daily*.service",
    "logrotate.service",
    "man-db.service",
)
JOBS = {
    "im_internal": ("clamav-daemon.service", "prosody.service", "sallyport-admission.service"),
    "im_external": ("clamav-daemon.service", "prosody.service", "sallyport-admission.service"),
    "log_host": (
        "postgresql@17-main.service",
        "prometheus.service",
        "sallyport-alerts.service",
        "sallyport-archive-ingest.service",
        "sallyport-log-host.service",
        "sallyport-log-room.service",
    ),
    "gateway": ("haproxy.service", "squid.service", "unbound.service"),
}
# where the site has a log host
HANDS_OVER = "sallyport-logs.service"
WITNESS = "sallyport-witness.service"
HANDS_EVENTS_OVER = "sallyport-events.service"
# each of these becomes another user for what it does; all come from Debian's packages
MAY_BECOME_ANOTHER = {"dbus-daemon-launch-helper", "passwd", "ssh-agent", "sudo", "unix_chkpwd"}
# a part of what root may, given by a capability of the file: to send echo requests, the relay's too
MAY_DO_A_PART = {"ping", "pinger"}
# name: values that are sound; of the network's own in a container, all of them on a machine
SETTINGS = {
    "fs.protected_hardlinks": {"1"},
    "fs.protected_symlinks": {"1"},
    "fs.suid_dumpable": {"0"},
    "kernel.dmesg_restrict": {"1"},
    "kernel.kptr_restrict": {"1", "2"},
    "kernel.randomize_va_space": {"2"},
    "kernel.unprivileged_bpf_disabled": {"1", "2"},
    "kernel.yama.ptrace_scope": {"1", "2", "3"},
    "net.ipv4.conf.all.accept_redirects": {"0"},
    "net.ipv4.conf.all.accept_source_route": {"0"},
    "net.ipv4.conf.all.rp_filter": {"1", "2"},
    "net.ipv4.conf.all.send_redirects": {"0"},
    "net.ipv4.tcp_syncookies": {"1"},
    "net.ipv6.conf.all.accept_redirects": {"0"},
    "net.ipv6.conf.all.accept_source_route": {"0"},
}
# what `all` does not decide alone: each interface has its own
OF_EVERY_INTERFACE = {
    "net.ipv4.conf.*.accept_redirects": {"0"},
    "net.ipv4.conf.*.accept_source_route": {"0"},
    "net.ipv4.conf.*.send_redirects": {"0"},
    "net.ipv6.conf.*.accept_ra": {"0"},
    "net.ipv6.conf.*.accept_redirects": {"0"},
    "net.ipv6.conf.*.accept_source_route": {"0"},
}
FORWARDING = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")


def _in_container(machine: Any) -> bool:
    return bool(machine.run("systemd-detect-virt --container --quiet").rc == 0)


@control(
    id="R2-nothing-else-runs",
    practice="R2",
    says="On the servers runs what they need, and nothing else.",
    permitted="Messaging on the servers for it; names, the relay and the gate for the web on the gateway; logs.",
    forbidden="Any service that is on neither list.",
    tried_from="im_internal",
    breakage=Breakage(
        command="systemd-run --unit=sallyport-mutation sleep infinity", undo="systemctl stop sallyport-mutation"
    ),
)
def test_nothing_else_runs(facts: SiteFacts, machines: dict[str, Any], seen: Seen) -> None:
    for host in facts.servers():
        machine = machines[host.name]
        listing = machine.run(
            "systemctl list-units --type=service --state=running --plain --no-legend --no-pager"
        ).stdout
        running = {line.split()[0] for line in listing.splitlines() if line.strip()}
        jobs = [*JOBS[host.group]]
        if facts.in_group("log_host"):
            jobs += [HANDS_OVER, HANDS_EVENTS_OVER] if host.group in ZONES else [HANDS_OVER]
            jobs += [WITNESS] if host.group == "gateway" else []
        missing = set(jobs) - running
        assert not missing, f"{host.name} does not do its job: {', '.join(sorted(missing))}"
        allowed = (*RUNS, *jobs, *host.chosen("baseline_may_run"), *host.chosen("baseline_allowed_units"))
        more = sorted(unit for unit in running if not any(fnmatch.fnmatch(unit, pattern) for pattern in allowed))
        assert not more, f"{host.name} runs {', '.join(more)}"
        seen(f"{host.name}: {', '.join(sorted(unit.removesuffix('.service') for unit in running))}.")


@control(
    id="R2-setuid-programs",
    practice="R2",
    says="No program of a server makes another user of whoever starts it, but a few that Debian needs for that.",
    permitted="An administrator becomes root by sudo, which is such a program.",
    forbidden="Every program with that right that is not on the list, or that no package of Debian's brought.",
    tried_from="im_internal",
    breakage=Breakage(
        command="install -m 4755 /usr/bin/id /usr/local/bin/sallyport-mutation",
        undo="rm -f /usr/local/bin/sallyport-mutation",
    ),
)
def test_setuid_programs(facts: SiteFacts, machines: dict[str, Any], seen: Seen) -> None:
    for name, machine in machines.items():
        found = sorted(set(machine.run("find / /usr /var /home /opt -xdev -type f -perm /6000").stdout.split()))
        assert any(path.endswith("/sudo") for path in found), f"{name} has no sudo that works: {found}"
        allowed = facts.hosts[name].chosen("baseline_allowed_setuid")
        more = [path for path in found if path.rpartition("/")[2] not in MAY_BECOME_ANOTHER and path not in allowed]
        assert not more, f"{name}: {', '.join(more)} makes another user of whoever starts it"
        # Debian moved /bin into /usr/bin; its packages know some programs by their old path
        script = 'for path; do dpkg -S "$path" || dpkg -S "${path#/usr}" || echo "foreign $path"; done 2>/dev/null'
        said = machine.run("sh -c %s sh " + " ".join(found), script).stdout
        foreign = re.findall(r"^foreign (.*)", said, re.MULTILINE)
        assert not foreign, f"{name}: {', '.join(foreign)} came with no package of Debian's"
        # where Debian's tool for it is not installed, nothing is said of them
        capable = [line.split()[0] for line in machine.run("getcap -r /usr 2>/dev/null").stdout.splitlines()]
        more = [path for path in capable if path.rpartition("/")[2] not in MAY_DO_A_PART and path not in allowed]
        assert not more, f"{name}: {', '.join(more)} gives a part of root's rights to whoever starts it"
        seen(f"{name}: {', '.join(path.rpartition('/')[2] for path in [*found, *capable])}.")


@control(
    id="R2-kernel-settings",
    practice="R2",
    says="The kernel takes no routes from strangers and tells nobody about itself; only the gateway forwards.",
    permitted="The gateway forwards packets, by IPv4 and IPv6.",
    forbidden="Fifteen settings with a value that helps an attacker; forwarding on the server.",
    tried_from="im_internal",
    breakage=Breakage(
        command="sysctl -w net.ipv4.conf.all.accept_redirects=1", undo="sysctl -w net.ipv4.conf.all.accept_redirects=0"
    ),
)
def test_kernel_settings(facts: SiteFacts, machines: dict[str, Any], seen: Seen) -> None:
    for host in facts.servers():
        machine, forwards = machines[host.name], "1" if host.group == "gateway" else "0"
        wanted = {**SETTINGS, **{name: {forwards} for name in FORWARDING}}
        said = machine.run("sysctl --all 2>/dev/null").stdout
        values = {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in said.splitlines())}
        for pattern, good in OF_EVERY_INTERFACE.items():
            named = fnmatch.filter(values, pattern)
            assert len(named) > len(("all", "default", "lo")), f"{host.name} has no interface with {pattern}: {named}"
            wanted = {**dict.fromkeys(named, good), **wanted}
        wrong = {name: values.get(name, "not there") for name, good in wanted.items() if values.get(name) not in good}
        own = {name: value for name, value in wrong.items() if not _in_container(machine) or name.startswith("net.")}
        assert not own, f"{host.name}: " + ", ".join(f"{name} is {value}" for name, value in own.items())
        seen(f"{host.name}: {len(wanted) - len(wrong)} of {len(wanted)} settings are sound.")
        if wrong:
            seen(f"Not applicable in a container, whose kernel is another machine's: {', '.join(sorted(wrong))}.")


@control(
    id="R2-one-firewall",
    practice="R2",
    says="The servers' firewalls hold the kit's rules alone, and what these do not name is refused in and out.",
    permitted="The kit's table, with the counters of what it refused.",
    forbidden="A table of anybody else's; a way in, out or through that is open unless it is closed.",
    tried_from="im_internal",
    breakage=Breakage(command="nft add table inet sallyport_mutation", undo="nft delete table inet sallyport_mutation"),
)
def test_one_firewall(facts: SiteFacts, machines: dict[str, Any], seen: Seen) -> None:
    for name, machine in machines.items():
        listed = json.loads(machine.run("nft -j list ruleset").stdout)["nftables"]
        tables = {f"{entry['table']['family']} {entry['table']['name']}" for entry in listed if "table" in entry}
        assert "inet sallyport" in tables, f"{name} has no firewall of the kit"
        allowed = ("inet sallyport", *facts.hosts[name].chosen("firewall_allowed_tables"))
        more = sorted(table for table in tables if not any(fnmatch.fnmatch(table, pattern) for pattern in allowed))
        assert not more, f"{name} has further tables: {', '.join(more)}"
        chains = [entry["chain"] for entry in listed if "chain" in entry]
        expected = {"input": "drop", "output": "drop", "forward": "drop"}
        # what is looked at even before may refuse and let nothing through that these would not
        filters = [chain for chain in chains if chain.get("type") == "filter" and chain["hook"] != "prerouting"]
        policies = {chain["hook"]: chain.get("policy") for chain in filters}
        assert policies == expected, f"{name}: unless a rule says otherwise, packets are treated so: {policies}"
        counters = {entry["counter"]["name"]: entry["counter"]["packets"] for entry in listed if "counter" in entry}
        told = ", ".join(f"{key.removeprefix('refused_')} {value}" for key, value in sorted(counters.items()))
        seen(f"{name}: one table; refused so far: {told}.")


@control(
    id="R2-kernel-guards",
    practice="R2",
    says="The kernel confines programs (AppArmor) and notes what administrators do (audit).",
    permitted="Both are in force.",
    forbidden="A server that should have them and runs without.",
    tried_from="im_internal",
    breakage=Breakage(
        command="aa-teardown 2>/dev/null || true; auditctl -e 0 2>/dev/null || true",
        undo="systemctl restart apparmor 2>/dev/null || true; auditctl -e 1 2>/dev/null || true",
    ),
)
def test_kernel_guards(machines: dict[str, Any], seen: Seen) -> None:
    contained = sorted(name for name, machine in machines.items() if _in_container(machine))
    if len(contained) == len(machines):
        raise NotApplicable(
            f"AppArmor, audit rules: {' and '.join(contained)} are containers, and these two belong to the kernel "
            "of the machine that carries them. On a real machine both are looked at."
        )
    for name, machine in machines.items():
        if name in contained:
            seen(f"Not applicable on {name}, a container: AppArmor, audit rules.")
            continue
        profiles = machine.run("cat /sys/kernel/security/apparmor/profiles").stdout.splitlines()
        enforced = [line for line in profiles if line.endswith("(enforce)")]
        assert enforced, f"{name}: AppArmor enforces nothing"
        rules = machine.run("auditctl -l").stdout.splitlines()
        state = machine.run("auditctl -s").stdout
        assert "enabled 1" in state or "enabled 2" in state, f"{name}: the kernel notes nothing: {state}"
        assert len(rules) > 1, f"{name}: no audit rule is loaded"
        seen(f"{name}: AppArmor enforces {len(enforced)} profiles; {len(rules)} audit rules are loaded.")


@control(
    id="R2-time",
    practice="R2",
    says="All clocks agree: the servers take the time from the gateway, and the gateway from the site's own source.",
    permitted="The gateway tells the time, and the server has taken it.",
    forbidden="A clock that follows another source, or none.",
    tried_from="im_internal",
    breakage=Breakage(command="systemctl stop chrony", undo="systemctl start chrony"),
)
def test_time(facts: SiteFacts, inside: Probe, machines: dict[str, Any], seen: Seen) -> None:
    source = facts.gateway().address("servers")
    told = inside.do("ask_time", server=source)
    assert told["result"] == "answered", f"the gateway tells the server no time: {told['why']}"
    assert abs(told["off"]) < 1, f"the clocks of server and gateway are {told['off']} seconds apart"
    # chronyc's comma-separated words; the second of `tracking` is the source, the last whether all is well
    script = """for try in $(seq 30); do
  line=$(chronyc -n -c tracking 2>/dev/null)
  case $line in 7F7F*) ;; *,Normal) break ;; esac
  systemctl is-active --quiet chrony || break
  sleep 1
done
echo "$line" """
    for host in facts.servers():
        words = machines[host.name].run(script).stdout.strip().split(",")
        assert words[-1] == "Normal", f"{host.name} follows nobody's time"
        # 127.127.1.1: a clock of its own, for want of another
        assert not words[0].startswith("7F7F"), f"{host.name} follows nobody's time but its own"
        if host.group != "gateway":
            assert words[1] in facts.near(host), f"{host.name} follows {words[1]}"
        seen(f"{host.name} follows {words[1]}, {float(words[4]):.6f} s off.")


@control(
    id="R2-updates",
    practice="R2",
    says="Security updates come by themselves, daily, through the relay.",
    permitted="The package lists are fetched through the relay.",
    forbidden="A server that fetches past the relay, or whose automatic updates are switched off.",
    tried_from="im_internal",
    breakage=Breakage(command="systemctl stop apt-daily-upgrade.timer", undo="systemctl start apt-daily-upgrade.timer"),
)
def test_updates(facts: SiteFacts, machines: dict[str, Any], seen: Seen) -> None:
    for host in facts.servers():
        machine = machines[host.name]
        said = machine.run("apt-config shell proxy Acquire::http::Proxy daily APT::Periodic::Unattended-Upgrade").stdout
        values = dict(line.partition("=")[::2] for line in said.splitlines())
        proxy, daily = values.get("proxy", "").strip("'"), values.get("daily", "").strip("'")
        near = facts.near(host) if host.group != "gateway" else ["127.0.0.1"]
        wanted = {f"http://[{address}]:3128" if ":" in address else f"http://{address}:3128" for address in near}
        assert proxy in wanted, f"{host.name} fetches packages by way of {proxy or 'nobody'}"
        lists = machine.run("apt-get update 2>&1")
        assert lists.rc == 0, f"{host.name} does not get the lists of packages: {lists.stdout[-300:]}"
        assert "Err:" not in lists.stdout, f"{host.name}: {lists.stdout[-300:]}"
        seen(f"{host.name}: the lists came by way of {proxy}.")
        if facts.sallyport.get("updates", {}).get("automatic", True) is False:
            raise Amber("The site has switched automatic updates off; a person has to install them.")
        assert daily == "1", f"{host.name}: automatic updates are not configured"
        assert machine.run("command -v unattended-upgrade").rc == 0, f"{host.name} has no automatic updater"
        for timer in ("apt-daily.timer", "apt-daily-upgrade.timer"):
            state = machine.run("systemctl is-active %s", timer).stdout.strip()
            assert state == "active", f"{host.name}: {timer} is {state}"
        seen(f"{host.name}: automatic updates are on.")
