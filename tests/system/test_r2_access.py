# SPDX-License-Identifier: GPL-3.0-or-later
"""R2: who gets into the servers: administrators, by key, from the network for administration, and nobody else."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from probe.remote import Probe
from system.controls import Breakage, NotApplicable, NotTried, Seen, control
from system.network import Firewall, Opened, let_pass
from system.site_facts import HostFacts, SiteFacts

SSHD = "/etc/ssh/sshd_config"
# between the old settings and the new ones sshd listens nowhere for a moment
RELOAD = """systemctl reload ssh; sleep 1; port=$(sshd -T | sed -n 's/^port //p')
for try in $(seq 50); do if ss -Hltn "sport = :$port" | grep -q .; then break; fi; sleep 0.2; done"""
# no longer to be used: SHA-1, ciphers without a seal, key exchange with a short group or a curve alone, short host
# keys; with the words in which the client names what it was refused for
WEAK = (
    ("KexAlgorithms", "diffie-hellman-group14-sha1", "no matching key exchange method"),
    ("KexAlgorithms", "curve25519-sha256", "no matching key exchange method"),
    ("Ciphers", "aes128-cbc", "no matching cipher"),
    ("Ciphers", "aes256-ctr", "no matching cipher"),
    ("HostKeyAlgorithms", "ssh-rsa", "no matching host key type"),
)
# seals: SHA-1, short ones, those of the clear text instead of what was encrypted
WEAK_SEAL = re.compile(r"sha1|umac-64|^hmac-sha2-(256|512)$")
GUESSES = 5


def _before_all(line: str) -> Breakage:
    r"""Return a breakage of the SSH server: of each setting the first line counts."""
    return Breakage(SSHD, r"\A", f"{line}\n", command=RELOAD)


def _ssh(host: HostFacts, *options: str, user: str = "", key: str = "", password: bool = False) -> tuple[int, str]:
    """Try to get in as Ansible does; returns the exit code and the last words. With a key of its own only with that."""
    words = ["ssh", "-o", "ConnectTimeout=10", "-o", "ControlPath=none"]
    words += ["-o", "IdentitiesOnly=yes"] if key else []
    settings = host.variables
    for name in ("ansible_ssh_common_args", "ansible_ssh_extra_args"):
        words += shlex.split(str(settings.get(name, "")))
    key = key or str(settings.get("ansible_ssh_private_key_file", ""))
    words += ["-i", key] if key else []
    words += ["-p", str(host.ssh_port), *(word for option in options for word in ("-o", option))]
    environment = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        if password:
            # types a password as soon as it is asked for one
            program = Path(folder) / "askpass"
            program.write_text(f"#!/bin/sh\necho {secrets.token_hex(8)}\n", encoding="utf-8")
            program.chmod(0o700)
            environment |= {"SSH_ASKPASS": str(program), "SSH_ASKPASS_REQUIRE": "force"}
        else:
            words += ["-o", "BatchMode=yes"]
        target = f"{user or settings.get('ansible_user', 'root')}@{host.admin}"
        command = [*words, target, "true"]
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
        )
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return done.returncode, said[-1] if said else ""


def _servers(facts: SiteFacts) -> list[HostFacts]:
    found = [host for host in facts.servers() if host.over_network]
    if not found:
        raise NotTried("no server is administered over a network")
    return found


def _key_gets_in(host: HostFacts) -> None:
    code, said = _ssh(host)
    assert code == 0, f"the administrator's own key is refused by {host.name}: {said}"


@control(
    id="R2-ssh-by-key-only",
    practice="R2",
    says="Nobody gets into a server with a password, and nobody as root who is not named as administrator.",
    permitted="The administrator's key.",
    forbidden="A password, as administrator and as root; the administrator's key as root.",
    tried_from="control_node",
    breakage=_before_all("AuthenticationMethods any\nPasswordAuthentication yes"),
)
def test_ssh_by_key_only(facts: SiteFacts, seen: Seen) -> None:
    for host in _servers(facts):
        _key_gets_in(host)
        for user in (str(host.variables.get("ansible_user", "root")), "root"):
            code, said = _ssh(
                host,
                "PubkeyAuthentication=no",
                "PreferredAuthentications=password,keyboard-interactive",
                "NumberOfPasswordPrompts=1",
                user=user,
                password=True,
            )
            assert code != 0, f"{host.name} let {user} in with a password"
            # the server names what it would take; a wrong password alone would prove nothing
            offers = re.search(r"Permission denied \((.*)\)", said)
            assert offers, f"{host.name}, {user} with a password, refused for another reason: {said}"
            assert offers[1] == "publickey", f"{host.name} offers {user} {offers[1]}"
            seen(f"{host.name}, {user} with a password: {said}")
        if "root" not in facts.administrators():
            code, said = _ssh(host, user="root")
            assert code != 0, f"{host.name} let root in with the administrator's key"
            assert "Permission denied" in said, f"{host.name}, root with a key, refused for another reason: {said}"
            seen(f"{host.name}, root with the administrator's key: {said}")


@control(
    id="R2-ssh-strong-algorithms",
    practice="R2",
    says="Servers are administered over strong encryption only; what is out of date is refused.",
    permitted="What both sides prefer.",
    forbidden="A connection with an outdated key exchange, cipher, seal or host key.",
    tried_from="control_node",
    breakage=_before_all("Ciphers +aes128-cbc"),
)
def test_ssh_strong_algorithms(facts: SiteFacts, machines: dict[str, Any], seen: Seen) -> None:
    for host in _servers(facts):
        _key_gets_in(host)
        for option, name, words in WEAK:
            code, said = _ssh(host, f"{option}={name}")
            if "Bad SSH2" in said or "Unsupported" in said or "Bad key types" in said:
                seen(f"{name}: not even the control node's program has it any more.")
                continue
            assert code != 0, f"{host.name} agreed on {name}"
            assert words in said, f"{host.name}, {name}, refused for another reason: {said}"
            seen(f"{host.name}, {name}: {words}.")
        # a seal is agreed on only beside a cipher without its own, and those are refused before: so the server is asked
        found = re.search(r"^macs (\S+)$", machines[host.name].run("sshd -T").stdout, re.MULTILINE)
        assert found, f"{host.name} does not say which seals it takes"
        weak = [name for name in found[1].split(",") if WEAK_SEAL.search(name)]
        assert not weak, f"{host.name} would take the seals {', '.join(weak)}"
        seen(f"{host.name}, seals: {found[1]}.")


@control(
    id="R2-ssh-admin-network-only",
    practice="R2",
    says="Administration answers on the network for administration; a desktop does not even reach it.",
    permitted="From the network for administration.",
    forbidden="From a desktop: the port of administration at every address of the servers and the gateway.",
    on="gateway",
    breakage=let_pass("input", "tcp dport 22"),
)
def test_ssh_admin_network_only(
    *,
    facts: SiteFacts,
    desk: Probe,
    inside: Probe,
    inside_external: Probe | None,
    inside_log_host: Probe | None,
    inside_gateway: Probe,
    gateway: Any,
    desktop: Any,
    listen: Callable[..., None],
    seen: Seen,
) -> None:
    targets = []
    probes = [inside, *filter(None, (inside_external, inside_log_host)), inside_gateway]
    for host, probe in zip(facts.servers(), probes, strict=True):
        if host.over_network:
            _key_gets_in(host)
        own = [(address, host.ssh_port) for address in host.all_addresses()]
        listen(probe, [address for address, _ in own], [host.ssh_port])
        silent = [one["host"] for one in probe.do("knock", targets=own) if one["result"] != "connected"]
        assert not silent, f"nothing listens on {', '.join(silent)}, so nothing is proven"
        targets += [*own, *([(host.admin, host.ssh_port)] if host.over_network else [])]
    firewall = Firewall(gateway, facts.gateway().name)
    before = firewall.refused("input"), firewall.refused("forward")
    # the desktop's own firewall would not even send it; nobody's work is made less safe for that but the demo's
    with Opened(desktop) if facts.demo else nullcontext():
        reached = [one["host"] for one in desk.do("knock", targets=targets) if one["result"] == "connected"]
    assert not reached, f"{desk.name} reaches administration at {', '.join(reached)}"
    seen(f"{desk.name} reaches administration at none of {len(targets)} addresses; the control node does.")
    if facts.demo:
        firewall.rises("input", before[0], len(facts.gateway().all_addresses()), seen)
        behind = sum(len(host.all_addresses()) for host in facts.servers() if host.group != "gateway")
        firewall.rises("forward", before[1], behind, seen)


@contextmanager
def _taken_for_now(server: Any, user: str, keys: list[str]) -> Iterator[None]:
    """Put keys among those that open an account, and take them out again."""
    settings = server.run("sshd -T -C user=%s,addr=127.0.0.1", user).stdout
    found = re.search(r"^authorizedkeysfile (\S+)", settings, re.MULTILINE)
    assert found, f"the server does not say where its keys are: {settings[:200]}"
    home = server.run("getent passwd %s", user).stdout.split(":")[5]
    path = found[1].replace("%u", user).replace("%h", home)
    path = path if path.startswith("/") else f"{home}/{path}"
    kept = f"{path}.sallyport-control"
    try:
        assert server.run("cp -a %s %s", path, kept).rc == 0, f"{path} could not be copied"
        for key in keys:
            assert server.run("echo %s >>%s", key, path).rc == 0, f"{path} could not be written"
        yield
    finally:
        server.run("test ! -e %s || mv %s %s", kept, kept, path)


@control(
    id="R2-ssh-revoked-key",
    practice="R2",
    says="The key of somebody who has left is refused, even where somebody forgot to take it out.",
    permitted="A fresh key that is entered in the same way, at the same time.",
    forbidden="The revoked key.",
    tried_from="control_node",
    safe=False,
    breakage=_before_all("RevokedKeys none"),
)
def test_ssh_revoked_key(facts: SiteFacts, server: Any, seen: Seen) -> None:
    host, revoked = facts.server(), [str(path) for path in facts.sallyport.get("revoked_keys", [])]
    if not host.over_network:
        raise NotTried("this host is not administered over a network")
    if not revoked:
        raise NotApplicable("The site file revokes no key.")
    public = facts.folder / revoked[0]
    private = public.with_suffix("")
    if not private.exists():
        raise NotTried("nobody but its owner has the private part of the revoked key, as it should be")
    user = str(host.variables.get("ansible_user", "root"))
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "fresh"
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "control", "-f", str(fresh)]
        subprocess.run(make, check=True, capture_output=True)
        keys = [path.read_text(encoding="utf-8").strip() for path in (public, fresh.with_suffix(".pub"))]
        with _taken_for_now(server, user, keys):
            code, said = _ssh(host, user=user, key=str(fresh))
            assert code == 0, f"a fresh key that was entered in the same way is refused, so nothing is proven: {said}"
            code, said = _ssh(host, user=user, key=str(private))
        assert code != 0, f"{host.name} let the revoked key {revoked[0]} in"
        assert "Permission denied" in said, f"refused for another reason: {said}"
        seen(f"Both keys were entered for {user} on {host.name}: the fresh one got in; the revoked one: {said}")
        code, said = _ssh(host, user=user, key=str(fresh))
        assert code != 0, "the fresh key still gets in after it was taken out"


@control(
    id="R2-sudo-administrators-only",
    practice="R2",
    says="Only administrators can become root; no other account of the servers may.",
    permitted="An administrator becomes root.",
    forbidden="Every other account of the machine.",
    tried_from="im_internal",
    breakage=Breakage(
        command="echo 'nobody ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/sallyport-mutation",
        undo="rm -f /etc/sudoers.d/sallyport-mutation",
    ),
)
def test_sudo_administrators_only(facts: SiteFacts, machines: dict[str, Any], seen: Seen) -> None:
    for name, machine in machines.items():
        administrators = set(facts.administrators()) - {"root"}
        listing = machine.run("getent passwd").stdout.splitlines()
        accounts = [line.split(":")[0] for line in listing]
        roots = [line.split(":")[0] for line in listing if line.split(":")[2] == "0"]
        assert roots == ["root"], f"{name}: accounts that are root by their number: {', '.join(roots)}"
        script = f'for user in {" ".join(map(shlex.quote, accounts))}; do LC_ALL=C sudo -l -U "$user"; done'
        said = machine.run(script).stdout
        may = set(re.findall(r"^User (\S+) may run the following", said, re.MULTILINE)) - {"root"}
        asked = may | set(re.findall(r"^User (\S+) is not allowed", said, re.MULTILINE)) | {"root"}
        assert asked == set(accounts), f"{name}: sudo did not say of {', '.join(set(accounts) - asked)} what they may"
        assert may <= administrators, f"{name}: {', '.join(sorted(may - administrators))} may become root"
        assert may == administrators, f"{name}: {', '.join(sorted(administrators - may))} may not become root"
        nobody = machine.run("runuser -u nobody -- sudo -n true")
        assert nobody.rc != 0, f"{name}: nobody became root"
        seen(f"{name}: of {len(accounts)} accounts {', '.join(sorted(administrators)) or 'root'} may; nobody: refused.")


@control(
    id="R2-lockout",
    practice="R2",
    says="Who guesses passwords at a server's console is locked out after five.",
    permitted="The right password, before.",
    forbidden="The right password, after five wrong ones.",
    tried_from="im_internal",
    safe=False,
    breakage=Breakage("/etc/security/faillock.conf", r"^deny = .*$", "deny = 1000", command="true"),
)
def test_lockout(server: Any, inside: Probe, seen: Seen) -> None:
    user, right = "sallyport-control", secrets.token_hex(16)
    # the hash only: an argument is seen by every account of the machine
    hashed = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"], input=right, capture_output=True, text=True, check=True
    ).stdout.strip()
    made = server.run("useradd --no-create-home --shell /usr/sbin/nologin --password %s %s", hashed, user)
    assert made.rc == 0, f"no account could be made for it: {made.stderr}"
    try:
        assert inside.do("sign_in_here", user=user, passwords=[right]) == [True], "not even the right password is taken"
        wrong = [secrets.token_hex(8) for _ in range(GUESSES)]
        taken = inside.do("sign_in_here", user=user, passwords=wrong)
        assert taken == [False] * GUESSES, "a wrong password was taken"
        assert inside.do("sign_in_here", user=user, passwords=[right]) == [False], "the right password is still taken"
        seen(f"The right password was taken; after {GUESSES} wrong ones it was refused.")
    finally:
        server.run("faillock --user %s --reset; userdel %s", user, user)
