# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of incidents: when one begins and ends, what it means, and what a person does about it.

`do` and `look` may name `{where}` (a host) and `{who}` (quoted for a shell: strangers choose their names themselves).
"""

from __future__ import annotations

from dataclasses import dataclass

MINUTE, HOUR, DAY = 60, 3600, 86400
GRAVEST, SLIGHT = 0, 2
"""Of what is logged something is lost or changed, or may be; and what can wait. All else is between."""


@dataclass(frozen=True)
class Kind:
    """One kind.

    Attributes:
        title: what happened, in plain words.
        means: what that means.
        do: what to do, with the command.
        look: where to look.
        least: so many events make an incident.
        within: seconds within which they must come.
        quiet: seconds without an event after which it is over. What is a state ends when the host says so.
        hold: seconds that a state must last before a person is told.
        gravity: the lowest comes first in a message, and is told when not all can be; GRAVEST does not wait for it.
    """

    title: str
    means: str
    do: str
    look: str
    least: int = 1
    within: int = HOUR
    quiet: int = DAY
    hold: int = 0
    gravity: int = 1


KINDS = {
    "infected": Kind(
        title="Infected file",
        means="Somebody shared a file in which the scanner found a virus. Nobody can fetch it.",
        do="Ask the person where the file came from, and scan that computer: sudo clamscan --recursive --infected "
        "/home. "
        "When the event is a quarantine, others may have fetched the file before: the event names them (readers).",
        look="sallyport-archive search --kind file --person {who}",
    ),
    "rule": Kind(
        title="Message refused by a rule of the site",
        means="A message met a rule of the site, as confidential text or a bad link, and was not delivered.",
        do="Talk to the person, or to the partner's owner. If the rule is wrong, change it in site.yml and run: "
        "ansible-playbook playbooks/people.yml -i inventories/<site>",
        look="sallyport-archive search --verdict refused --person {who}",
    ),
    "warning": Kind(
        title="Message that a rule of the site warns of",
        means="A message met a rule of the site that lets it pass and tells you.",
        do="Look who wrote to whom, and ask. If it must not pass, let the rule refuse it: site.yml, then "
        "ansible-playbook playbooks/people.yml -i inventories/<site>",
        look="sallyport-archive search --person {who}",
        gravity=SLIGHT,
    ),
    "strangers": Kind(
        title="Many messages to people whom the sender may not reach",
        means="One sender was refused again and again: somebody tries addresses, or a program is set up wrongly.",
        do="A colleague: ask what the program does, and change her password when it is not her. "
        "From outside: nothing has come through; end the partner's entry in site.yml when it goes on.",
        look="sallyport-archive search --verdict refused --person {who}",
        least=20,
        within=10 * MINUTE,
        quiet=HOUR,
    ),
    "sign-in": Kind(
        title="Somebody guesses passwords of the IM server",
        means="Signing in was refused again and again from one address; it is locked out for a time.",
        do="Find the computer with this address. When it is not one of yours, disconnect it. When it is a person who "
        "forgot "
        "her password: ansible-playbook playbooks/invite.yml -i inventories/<site> -e person=<id>",
        look="on {where}: sudo grep sign-in /var/log/prosody/im-events.jsonl | grep -F -- {who}",
        least=20,
        within=15 * MINUTE,
        quiet=HOUR,
    ),
    "ssh": Kind(
        title="Somebody tries to get into a machine by SSH",
        means="Signing in by SSH was refused again and again from one address. Only keys of administrators are taken.",
        do="Find the computer with this address: it stands in the admin network, since no other is let through. "
        "When a key may be in wrong hands, put its public half under revoked_keys in site.yml and run the site's "
        "playbook.",
        look="on {where}: sudo journalctl --unit ssh --since -1h | grep -F -- {who}",
        least=10,
        within=10 * MINUTE,
        quiet=HOUR,
    ),
    "signatures": Kind(
        title="The scanner for viruses is not well",
        means="It has old signatures, or does not scan. On a server without a scanner nobody can share files.",
        do="on {where}: sudo systemctl start clamav-freshclam-once.service; then sudo systemctl restart clamav-daemon",
        look="on {where}: cat /var/lib/sallyport-signatures/state.json; sudo journalctl --unit clamav-freshclam-once "
        "--since -1d",
        hold=10 * MINUTE,
    ),
    "certificate": Kind(
        title="A certificate is near its end",
        means="At its end nobody can connect to the service any more. A run renews it when a third of its time is "
        "left.",
        do="on the control node: ansible-playbook playbooks/site.yml -i inventories/<site>. "
        "That of the authority (sallyport-….crt) is renewed by: make new-authority SITE=<site>",
        look="on {where}: openssl x509 -noout -dates -subject -in {who}",
        gravity=SLIGHT,
    ),
    "log-gap": Kind(
        title="A machine does not send its logs",
        means="For five minutes nothing came from it. It is down, or cut off, or its logs are held back.",
        do="See whether it is there: ping it, or look at its console. "
        "Then on {where}: sudo systemctl restart sallyport-logs. What it has kept on its disk comes by itself.",
        look="on {where}: sudo systemctl status sallyport-logs sallyport-health.timer; "
        "sudo journalctl --unit sallyport-logs --since -1h",
        gravity=GRAVEST,
    ),
    "queue": Kind(
        title="Events wait for the log host",
        means="The log host has not taken an IM server's events for long. When nine tenths of the room are used, the "
        "server refuses messages, unless logging.when_full in site.yml says otherwise.",
        do="on the log host: sudo systemctl restart sallyport-log-host. "
        "On {where}: sudo systemctl restart sallyport-events",
        look="on {where}: sudo journalctl --unit sallyport-events --since -1h",
        gravity=GRAVEST,
    ),
    "damaged": Kind(
        title="Events that do not reach the log host",
        means="A packed file of an IM server's events is damaged, or one event is longer than the log host takes. What "
        "stood behind the damage, or that event, is not on the log host; all other events are.",
        do="on {where}: keep the copy in /var/lib/sallyport-events/damaged. When it is a damaged file, see whether the "
        "disk fails: sudo journalctl -k -p err. When there is a backup of the file, put "
        "it in its place; docs/logging.md says how to hand over from an earlier point.",
        look="on {where}: sudo gzip --test {who}; sudo ls -l /var/lib/sallyport-events/damaged",
        gravity=GRAVEST,
    ),
    "disk": Kind(
        title="A disk is nearly full",
        means="When it is full, events cannot be written, and then no message is delivered.",
        do="on {where}: sudo du -xh --max-depth=3 {who} | sort -h | tail -20. Take away what is not needed, or give "
        "the "
        "machine a larger disk; shorter retention in site.yml helps on the log host and the IM server.",
        look="on {where}: df -h; df -i",
    ),
    "service": Kind(
        title="A service does not run",
        means="What the machine is there for, or a part of it, is not done.",
        do="on {where}: sudo systemctl restart {who}. When it fails again, see its journal; "
        "a run of the site's playbook puts its settings back.",
        look="on {where}: sudo systemctl status {who}; sudo journalctl --unit {who} --since -1h",
        hold=3 * MINUTE,
    ),
    "archive": Kind(
        title="The archive is broken, or was changed",
        means="The archive does not take what comes, or what it holds is not what was sealed. Messages may lack in it, "
        "or "
        "somebody may have changed them.",
        do="on {where}: sudo sallyport-archive verify, and do what it says. When files were changed: leave the machine "
        "as it is, "
        "make a copy of its disk, and find out who was signed in (last, /var/log/sallyport/archive-use.jsonl).",
        look="on {where}: sudo journalctl -t sallyport-archive --since -2d",
        quiet=26 * HOUR,
        gravity=GRAVEST,
    ),
    "desktop": Kind(
        title="A desktop is not admitted",
        means="It failed a check, or nobody has used it for days. It does not reach the IM servers until it has "
        "passed.",
        do="at the desktop, with the network on: sudo systemctl start sallyport-desktop. The person sees there what "
        "fails.",
        look="on {where}: sudo /usr/local/lib/sallyport/admission show",
        gravity=SLIGHT,
    ),
    "updates": Kind(
        title="Security updates wait",
        means="For three days nothing has installed them.",
        do="on {where}: sudo unattended-upgrade --verbose",
        look="on {where}: apt list --upgradable; less /var/log/unattended-upgrades/unattended-upgrades.log",
        hold=3 * DAY,
        gravity=SLIGHT,
    ),
    "clock": Kind(
        title="A clock is wrong",
        means="The machine's time is off by more than five seconds, or it has no source of time. Ends and logs depend "
        "on it.",
        do="on {where}: sudo systemctl restart chrony; the gateway needs time_sources of site.yml that answer",
        look="on {where}: sudo chronyc tracking; sudo chronyc sources",
        hold=30 * MINUTE,
        gravity=SLIGHT,
    ),
    "blind": Kind(
        title="A machine cannot say how it is",
        means="Its health program could not find out everything, so that something may be wrong and nobody sees it.",
        do="on {where}: sudo systemctl start sallyport-health; what could not be found out stands in its line. "
        "A file that the log host cannot read: there, sudo ls -lR /var/log/sallyport/hosts/{where}; all of it is of "
        "the group sallyport-archive",
        look="on {where}: journalctl -t sallyport-health -n 1 -o cat",
        hold=15 * MINUTE,
    ),
    "metrics": Kind(
        title="An IM server is not as it should be, by its own figures",
        means="Prometheus on the log host raised it.",
        do="on the server: sudo systemctl status prosody; sudo tail /var/log/prosody/prosody.err",
        look="on the log host: promtool query instant http://localhost:9090 ALERTS",
    ),
    "delivery": Kind(
        title="Alerts cannot be delivered on one of their ways",
        means="You read this on the other way. What could not be delivered waits, and goes when it can.",
        do="mail: see whether the relay under alerts.mail of site.yml takes mail from the log host. "
        "im: see whether the internal IM server runs. Then on {where}: sudo systemctl restart sallyport-alerts",
        look="on {where}: sudo journalctl --unit sallyport-alerts --since -1h",
    ),
}
"""All kinds, by their id."""
