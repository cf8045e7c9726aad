# SPDX-License-Identifier: GPL-3.0-or-later
"""The external server with the role's own configuration, beside it a partner's server, a hostile one and a name server.

All of them live in one container: the external server at its address, the others at addresses of the loopback. Names of
domains that are partners by the policy and have a certificate that is not right are served by the hostile one.
"""

from __future__ import annotations

import functools
import json
import ssl
import tempfile
import time
from pathlib import Path
from typing import Any

import jinja2
import yaml

from decision_point import authorities
from decision_point.client import SASL, STREAM, Client, Element, Stream
from decision_point.server import HERE, Policy, Server

DOMAIN = "ext.test.example"
PARTNER, HOSTILE = "partner.example", "hostile.example"
LIAR = "liar.example"  # no server is there, but for what a test starts
PORTS = {PARTNER: 6222, HOSTILE: 7222}
ADDRESSES = {PARTNER: "127.0.0.2", HOSTILE: "127.0.0.3", LIAR: "127.0.0.4"}
ROLE = HERE.parents[1] / "roles" / "im_server"
PATIENCE = 5.0
NEVER = "2999-01-01T00:00:00Z"

# Partners by the policy, at the hostile server: the certificate that it shows for each, and how they are known here.
PRETENDERS = {
    "expired.example": ("expired", "authority"),
    "selfsigned.example": ("selfsigned", "authority"),
    "elsewhere.example": ("other authority", "authority"),
    "misnamed.example": ("name of the partner", "authority"),
    "pinned.example": ("selfsigned", "fingerprint"),
    "repinned.example": ("selfsigned", "another fingerprint"),
    "stale.example": ("expired", "fingerprint"),
    "listed.example": ("listed authority", "Debian's list"),
    "unlisted.example": ("partner's authority", "Debian's list"),
}
GOOD = {"pinned.example", "listed.example"}


@functools.cache
def certificates() -> dict[str, authorities.Pair]:
    """Returns the authorities, and a pair for each domain."""
    make = authorities.make
    made = {name: make(f"Authority {name}", authority=True) for name in ("site", "theirs", "other", "listed")}
    made |= {DOMAIN: make(DOMAIN, made["site"]), PARTNER: make(PARTNER, made["theirs"]), HOSTILE: make(HOSTILE)}
    for domain, (shown, _) in PRETENDERS.items():
        if shown == "expired":
            made[domain] = make(domain, made["theirs"], first=-30, last=-1)
        elif shown == "name of the partner":
            made[domain] = make(PARTNER, made["theirs"])
        else:
            issuer = {"selfsigned": "", "other authority": "other", "listed authority": "listed"}.get(shown, "theirs")
            made[domain] = make(domain, made.get(issuer))
    return made


def partner(*people: str, **changes: Any) -> dict[str, Any]:
    """Returns a partner of the policy, known by the partner's authority."""
    entry = {
        "name": "Partner Ltd",
        "from": None,
        "until": NEVER,
        "people": list(people),
        "contacts": {"carol": "Carol Dahl"},
        "whole_domain": False,
        "authority": certificates()["theirs"].pem,
        "fingerprints": [],
        "servers": [],
    }
    return {**entry, **changes}


def pretender(domain: str) -> dict[str, Any]:
    """Returns the entry of a pretender in the policy."""
    known = PRETENDERS[domain][1]
    pin = [certificates()["other" if known.startswith("another") else domain].fingerprint] if "finger" in known else []
    authority = certificates()["theirs"].pem if known == "authority" else None
    return partner("alice", name=domain, contacts={"kim": "Kim"}, authority=authority, fingerprints=pin)


def person(name: str, first: str | None = None, last: str | None = None) -> dict[str, Any]:
    """Returns a person of the external server; first and last are instants."""
    return {"name": name, "groups": [], "from": first, "until": last}


def usual_policy() -> Policy:
    """Returns the policy: alice and erik may talk to carol, bob to nobody."""
    return {
        "format": 3,
        "kit": "0.1.0",
        "site": "test",
        "profile": "external",
        "domain": DOMAIN,
        "rooms_domain": None,
        "files_domain": None,
        "people": {"alice": person("Alice Ek"), "bob": person("Bob Lind"), "erik": person("Erik Ö")},
        "groups": {},
        "rooms": {},
        "calls": "refuse",
        "partners": {
            PARTNER: partner("alice", "erik"),
            "over.example": partner("alice", until="2020-01-01T00:00:00Z"),
        },
        "partner_links": "refuse",
        "rates": {"messages_per_minute": 60000, "burst": 10000},
        "body": "full",
        "end_to_end_encryption": "forbid",
        "notice": "",
        "rules": [],
        "lists": {},
        "names": [],
        "zone": [],
    }


def settings() -> dict[str, Any]:
    """Returns what the role gets, for this server."""
    return {
        "profile": "external",
        "domain": DOMAIN,
        "rooms_domain": "",
        "files_domain": "",
        "listen": ["*"],
        "ports": {"xmpp": 5222, "xmpps": 5223, "https": 5281, "xmpp_servers": 5269, "xmpps_servers": 5270},
        "administrator": "it@test.example",
        "company": "Test Ltd",
        "messages_days": 7,
        "files_days": 7,
        "max_file_bytes": 1000,
        "scan_seconds": 60,
        "daily_bytes_per_person": 1000,
        "sign_in_attempts": 10,
        "log_room": "",
        "metrics_from": [],
        "sign_in_lockout_seconds": 8,
    }


class Outside(Server):
    """The external server and its surroundings."""

    domain = DOMAIN
    usual = usual_policy()
    people = ("alice", "bob", "erik")
    packages = "prosody prosody-modules lua-unbound"

    def config(self) -> str:
        """Returns the role's own configuration, but for the address, and for clients without TLS."""
        environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined, autoescape=False)
        environment.filters["to_json"] = json.dumps
        variables = yaml.safe_load((ROLE / "vars/main.yml").read_text())
        variables |= yaml.safe_load((ROLE / "defaults/main.yml").read_text())
        variables |= {"im_server_settings": settings(), "im_server_certificates": "/etc/sallyport/tls"}
        variables["__im_server_modules_directory"] = "/usr/local/lib/sallyport/prosody-modules"
        text = environment.from_string((ROLE / "templates/prosody.cfg.lua.j2").read_text()).render(variables)
        for old, new in (
            ('interfaces = { "*" }', f'interfaces = {{ "{self.address}" }}'),
            ("c2s_require_encryption = true", "c2s_require_encryption = false\ndefault_iteration_count = 4096"),
            ("https_ports = { 5281 }", "https_ports = { }\nsallyport_stream_events = 0  -- one test follows the other"),
            ('c2s = { rate = "64kb/s"; burst = "4s" }', 'c2s = { rate = "10mb/s"; burst = "4s" }'),
            # a flood comes at full speed
            ('s2sin = { rate = "256kb/s"; burst = "4s" }', 's2sin = { rate = "10mb/s"; burst = "4s" }'),
        ):
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        return text

    def prepare(self) -> None:
        """Lays out certificates and names, and starts the neighbours."""
        pairs = certificates()
        files = {
            "/etc/sallyport/tls/current/fullchain.pem": pairs[DOMAIN].pem,
            "/etc/sallyport/tls/current/privkey.pem": pairs[DOMAIN].key_pem,
            "/etc/neighbour/site.crt": pairs["site"].pem,
            "/usr/local/share/ca-certificates/listed.crt": pairs["listed"].pem,
            "/usr/local/lib/names.py": (HERE / "names.py").read_text(),
        }
        for domain in (PARTNER, HOSTILE, *PRETENDERS):
            files[f"/etc/neighbour/{domain}.crt"] = pairs[domain].pem
            files[f"/etc/neighbour/{domain}.key"] = pairs[domain].key_pem
        files["/etc/neighbour/partner.cfg.lua"] = self._neighbour(PARTNER, [PARTNER], "", secure=True)
        files["/etc/neighbour/hostile.cfg.lua"] = self._neighbour(
            HOSTILE, [HOSTILE, "sub.partner.example", "over.example", *PRETENDERS], '"dialback"', secure=False
        )
        script = ["mkdir -p /etc/neighbour /etc/sallyport/tls/current /var/log/neighbour /var/lib/neighbour"]
        for path, text in files.items():
            script.append(f"cat > {path} <<'END_OF_FILE'\n{text.rstrip()}\nEND_OF_FILE")
        script += [
            "chown -R prosody /etc/neighbour /var/log/neighbour /var/lib/neighbour /etc/sallyport/tls",
            "update-ca-certificates >/dev/null 2>&1",
        ]
        names = {DOMAIN: self.address, PARTNER: ADDRESSES[PARTNER]}
        names[LIAR] = ADDRESSES[LIAR]
        names |= dict.fromkeys((HOSTILE, "sub.partner.example", "over.example", *PRETENDERS), ADDRESSES[HOSTILE])
        known = " ".join(f"{name}={address}" for name, address in names.items())
        log = "/var/log/neighbour/names"
        script += [
            f"setsid python3 /usr/local/lib/names.py {log}.log {known} >{log}.err 2>&1 &",
            "echo nameserver 127.0.0.1 > /etc/resolv.conf",
        ]
        script += [
            f"mkdir -p /var/lib/neighbour/{n} && chown prosody /var/lib/neighbour/{n} && "
            f"setpriv --reuid=prosody --regid=prosody --init-groups prosody -D --config /etc/neighbour/{n}.cfg.lua"
            for n in ("partner", "hostile")
        ]
        self.sh("\n".join(script))
        for name, domains, people in (
            ("partner", [PARTNER], ("carol", "dave", "kim")),
            ("hostile", [HOSTILE, "sub.partner.example", "over.example", *PRETENDERS], ("mallory", "carol", "kim")),
        ):
            self.wait(f"test -S /var/lib/neighbour/{name}/prosody.sock")
            lines = "; ".join(
                f"require'prosody.core.usermanager'.create_user('{who}', 'pw-{who}', '{domain}')"
                for domain in domains
                for who in people
            )
            self.neighbour_shell(name, f">{lines}")

    def _neighbour(self, name: str, domains: list[str], modules: str, secure: bool) -> str:
        text = (HERE / "neighbour.cfg.lua.in").read_text()
        for key, value in {
            "MODULES": modules,
            "NAME": name.split(".", maxsplit=1)[0],
            "PORT": str(PORTS[name]),
            "ADDRESS": ADDRESSES[name],
            "SECURE": str(secure).lower(),
        }.items():
            text = text.replace(f"@{key}@", value)
        for domain in domains:
            pair = domain if domain in certificates() else name
            text += f'VirtualHost "{domain}"\n\tssl = {{ certificate = "/etc/neighbour/{pair}.crt"; '
            text += f'key = "/etc/neighbour/{pair}.key"; cafile = "/etc/neighbour/site.crt" }}\n'
        return text

    def neighbour_shell(self, name: str, code: str) -> str:
        """Evaluates one line in the shell of a neighbour."""
        return self.sh(f"prosodyctl --config /etc/neighbour/{name}.cfg.lua shell", code + "\nbye\n")

    def forget(self, name: str) -> None:
        """Empties the contact list of somebody at the partner."""
        self.neighbour_shell(
            "partner",
            f">require'prosody.core.storagemanager'.open('{PARTNER}', 'roster'):set('{name}', nil); "
            f"prosody.hosts['{PARTNER}'].roster_cache = nil",
        )

    def visitor(self, name: str, domain: str = PARTNER, available: bool = True, **options: Any) -> Client:
        """Returns a client at a neighbour, signed in."""
        port = PORTS[PARTNER if domain == PARTNER else HOSTILE]
        client = Client(self.address, name, domain=domain, port=port, **options)
        self.clients.append(client)
        return client.sign_in(available)

    def peer(self, domain: str, pair: authorities.Pair | None, **options: Any) -> Peer:
        """Returns a server of the test's own, connected and not yet proven."""
        peer = Peer(self.address, domain, pair, **options)
        self.clients.append(peer)
        return peer

    def asked_names(self) -> set[str]:
        """Returns the names that were looked up so far."""
        return set(self.ask("cat /var/log/neighbour/names.log").split())

    def eventually(self, count: int, **wanted: str | None) -> list[dict[str, Any]]:
        """Waits for so many events with these fields, and returns them."""
        limit = time.monotonic() + PATIENCE
        while len(found := self.events(**wanted)) < count and time.monotonic() < limit:
            time.sleep(0.05)
        assert len(found) == count, (wanted, found, self.log_tail())
        return found


class StreamError(Exception):
    """The other server ended the stream.

    Attributes:
        condition: the stream error (RFC 6120, 4.9.3), "" when there was none.
        text: what it said.
    """

    def __init__(self, condition: str, text: str) -> None:
        """Keeps both."""
        super().__init__(f"{condition}: {text}")
        self.condition, self.text = condition, text


class Peer(Stream):
    """A server that sends exactly what a test says.

    Args:
        address: the external server's address.
        domain: whose server it says it is.
        pair: its certificate; none when None.
        to: the domain that it calls.
        direct: TLS from the start, on the port for that.
    """

    def __init__(
        self, address: str, domain: str, pair: authorities.Pair | None, to: str = DOMAIN, direct: bool = False
    ) -> None:
        """Connects; `prove` does the rest."""
        claims = f" from='{domain}'" if domain else ""
        super().__init__(address, 5270 if direct else 5269, f"xmlns='jabber:server'{claims} to='{to}'")
        self.domain, self.pair, self.direct = domain, pair, direct
        if direct:
            self.encrypt()

    def encrypt(self) -> None:
        """Begins TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if self.pair:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "pair.pem"
                file.write_text(self.pair.pem + self.pair.key_pem)
                context.load_cert_chain(file)
        self.socket.settimeout(10)
        self.socket = context.wrap_socket(self.socket, server_hostname=DOMAIN)

    def expect(self, *names: str) -> Element:
        """Returns the next element, which must be one of these; raises StreamError when the stream was ended."""
        try:
            element = self.read()
        except (ConnectionError, ssl.SSLError) as fault:
            raise StreamError("", str(fault)) from fault
        if element is None:
            raise StreamError("", "the connection was closed")
        if element.tag == f"{STREAM}error":
            children = {child.tag.split("}")[1]: child.text or "" for child in element}
            raise StreamError(next(n for n in children if n != "text"), children.get("text", ""))
        name = element.tag.split("}")[1]
        assert name in names, (name, names)
        return element

    def start(self) -> Element:
        """Opens a stream, up to the features under TLS."""
        self.open()
        if not self.direct:
            self.expect("features")
            self.write("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
            self.expect("proceed")
            self.encrypt()
            self.open()
        return self.expect("features")

    def prove(self) -> Peer:
        """Does all that a good server does, until stanzas can be sent."""
        features = self.start()
        offered = [mechanism.text for mechanism in features.iter(f"{{{SASL}}}mechanism")]
        assert offered == ["EXTERNAL"], offered
        self.write(f"<auth xmlns='{SASL}' mechanism='EXTERNAL'>=</auth>")
        self.expect("success")
        self.open()
        self.expect("features")
        return self
