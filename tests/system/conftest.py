# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the controls on a site, from Molecule or by hand, and writes the report."""

from __future__ import annotations

import datetime
import fcntl
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.sallyport.im.plugins.plugin_utils.report import Result, write
from ansible_collections.sallyport.im.plugins.plugin_utils.vault import read_vault
from probe.remote import Probe
from system import mutation
from system.attempts import accept, invite, sign_in
from system.controls import Amber, Control, NotApplicable, NotTried, Seen, load_all
from system.reach import connect
from system.site_facts import HostFacts, Service, SiteFacts, read_site
from system.talk import Client, Events

ROOT = Path(__file__).resolve().parents[2]
FACTS = pytest.StashKey[SiteFacts]()
RESULTS = pytest.StashKey[dict[str, Result]]()
STATUS = pytest.StashKey[tuple[str, str]]()
SEEN = pytest.StashKey[Seen]()
PAGES = pytest.StashKey[tuple[Path, Path]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the controls."""
    group = parser.getgroup("sallyport", "controls of a Sallyport site")
    group.addoption("--site", default="", help="folder of the site's inventory (default: inventories/demo)")
    group.addoption("--report", default="", help="folder for report.html and report.json (default: reports/SITE)")
    group.addoption(
        "--mutate",
        nargs="?",
        const="R",
        default="",
        metavar="ID",
        help="break the site by hand, control by control, and see each turn red (demo only); ID: R5, or R5-plain",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Read the site."""
    folder = config.getoption("--site") or os.environ.get("SALLYPORT_SITE") or "inventories/demo"
    path = Path(folder)
    path = path if path.is_absolute() else ROOT / path
    try:
        config.stash[FACTS] = read_site(path)
    except (LookupError, OSError) as error:
        raise pytest.UsageError(f"--site {folder}: {error}") from error
    config.stash[RESULTS] = {}
    if config.option.tbstyle in ("auto", "long"):
        # the long style prints what a function was given, passwords included
        config.option.tbstyle = "short"
    if config.getoption("--mutate") and not config.stash[FACTS].demo:
        raise pytest.UsageError(f"--mutate breaks the site on purpose; {folder} is not the demo")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Keep a second run away from this site: the two would restart, lock and break the server under each other."""
    if session.config.option.collectonly:
        return
    folder = session.config.stash[FACTS].folder
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        pytest.exit(f"{folder}: other controls are running on this site; start these when they are done", returncode=4)
    session.config.add_cleanup(lambda: os.close(held))


def _control(item: pytest.Item) -> Control | None:
    return getattr(getattr(item, "function", None), "control", None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a mutation run, keep the controls that were asked for and that no earlier run has finished."""
    wanted = config.getoption("--mutate")
    if wanted:
        done = mutation.finished(_folder(config))
        if load_all().keys() <= done.keys():
            done = mutation.start_anew(_folder(config))
        kept = [item for item in items if (entry := _control(item)) and mutation.chosen(entry.id, wanted, done)]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out what would disturb people."""
    entry = _control(item)
    if entry and not entry.safe and not item.config.stash[FACTS].demo:
        reason = "Tried on a demo site only, since it would disturb the people who work here."
        item.stash[STATUS] = ("not_tried", reason)
        pytest.skip(f"not tried: {reason}")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a control; in a mutation run, three times."""
    entry = _control(pyfuncitem)
    if entry is None:
        return None
    facts = pyfuncitem.config.stash[FACTS]
    arguments = {name: pyfuncitem.funcargs[name] for name in mutation.parameters(entry)}

    def attempt() -> None:
        if SEEN in pyfuncitem.stash:
            pyfuncitem.stash[SEEN].clear()
        entry.function(**arguments)

    try:
        if pyfuncitem.config.getoption("--mutate"):
            mutation.run(entry, attempt, facts, _folder(pyfuncitem.config))
        else:
            attempt()
    except (NotTried, NotApplicable, Amber) as outcome:
        status = {NotTried: "not_tried", NotApplicable: "not_applicable", Amber: "amber"}[type(outcome)]
        pyfuncitem.stash[STATUS] = (status, str(outcome))
        if status == "not_tried" and facts.demo:
            pytest.fail(f"not tried, although the demo has everything for it: {outcome}", pytrace=False)
        pytest.skip(f"{status.replace('_', ' ')}: {outcome}")
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note the outcome of a control for the report."""
    report = yield
    entry = _control(item)
    if entry and (call.when == "call" or (call.when == "setup" and call.excinfo)):
        status, words = item.stash.get(STATUS, ("pass", ""))
        if call.excinfo and STATUS not in item.stash:
            # what could not even begin was not tried; what began and broke did not go as designed
            status = "not_tried" if call.when == "setup" else "fail"
            words = _words(call.excinfo.value)
        lines = [*(item.stash[SEEN].lines if SEEN in item.stash else []), *([words] if words else [])]
        item.config.stash[RESULTS][entry.id] = _result(item.config.stash[FACTS], entry, status, " ".join(lines))
    return report


def _words(error: BaseException) -> str:
    first = str(error).split("\nassert ")[0].strip() or type(error).__name__
    return first if isinstance(error, AssertionError) else f"{type(error).__name__}: {first}"


def _result(facts: SiteFacts, entry: Control, status: str, seen: str) -> Result:
    def names(group: str) -> str:
        return ", ".join(host.name for host in facts.in_group(group)) or group.replace("_", " ")

    return Result(
        id=entry.id,
        practice=entry.practice,
        status=status,
        says=entry.says,
        seen=seen,
        tried_from=names(entry.tried_from),
        on=names(entry.on),
        time=datetime.datetime.now(datetime.UTC),
    )


def _folder(config: pytest.Config) -> Path:
    given = config.getoption("--report")
    return Path(given) if given else ROOT / "reports" / config.stash[FACTS].name


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the report; controls that this run left out are in it as not tried."""
    config = session.config
    if config.option.collectonly or config.getoption("--mutate") or not config.stash[RESULTS]:
        return
    facts, results = config.stash[FACTS], config.stash[RESULTS]
    whole = [
        results.get(entry.id) or _result(facts, entry, "not_tried", "This run left it out.")
        for entry in load_all().values()
    ]
    kit = str(yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["version"])
    config.stash[PAGES] = write(_folder(config), kit=kit, site=facts.name, results=whole)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say where the report is."""
    if PAGES in config.stash:
        for page in config.stash[PAGES]:
            terminalreporter.write_line(f"report: {page}")


# ---- fixtures -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def facts(request: pytest.FixtureRequest) -> SiteFacts:
    """The site as its files say it is."""
    return request.config.stash[FACTS]


@pytest.fixture
def seen(request: pytest.FixtureRequest) -> Seen:
    """Where a control says what the machine answered."""
    collected = Seen()
    request.node.stash[SEEN] = collected
    return collected


@pytest.fixture(scope="session")
def server(facts: SiteFacts) -> Any:
    """The internal server, with the administrator's eyes."""
    return connect(facts.server())


@pytest.fixture(scope="session")
def gateway(facts: SiteFacts) -> Any:
    """The gateway, with the administrator's eyes."""
    return connect(facts.gateway())


@pytest.fixture(scope="session")
def external(facts: SiteFacts) -> Any:
    """The external server, with the administrator's eyes; None on a site without one."""
    return next((connect(host) for host in facts.in_group("im_external")), None)


@pytest.fixture(scope="session")
def machines(facts: SiteFacts) -> dict[str, Any]:
    """The servers of the site, by name, with the administrator's eyes."""
    return {host.name: connect(host) for host in facts.servers()}


@pytest.fixture(scope="session")
def desktop(facts: SiteFacts) -> Any:
    """The desktop of the probe, with the administrator's eyes."""
    return connect(_chosen(facts, "desktops"))


@pytest.fixture(scope="session")
def events(server: Any) -> Events:
    """The event file of the internal server."""
    return Events(server)


@pytest.fixture(scope="session")
def external_events(external: Any) -> Events:
    """The event file of the external server, on a site that has one."""
    return Events(external)


def _chosen(facts: SiteFacts, group: str) -> HostFacts:
    for host in facts.in_group(group):
        if host.probe:
            return host
    # pytest counts what a fixture raises as an error; a site without such a host has made none
    leave_out = pytest.fail if facts.demo else pytest.skip
    leave_out(f"not tried: the host list has no host in {group} with sallyport_probe: true")
    raise AssertionError("both of them raise")


def _probe(host: HostFacts, *, root: bool = False) -> Iterator[Probe]:
    probe = Probe(host.command(), host.name, "sudo -n python3" if root and not host.root else "python3")
    yield probe
    probe.close()


@pytest.fixture(scope="session")
def desk(facts: SiteFacts) -> Iterator[Probe]:
    """The probe on a desktop."""
    yield from _probe(_chosen(facts, "desktops"))


@pytest.fixture(scope="session")
def world(facts: SiteFacts) -> Iterator[Probe]:
    """The probe outside the site."""
    yield from _probe(_chosen(facts, "outside"))


@pytest.fixture(scope="session")
def desk_root(facts: SiteFacts) -> Iterator[Probe]:
    """A second probe on the desktop, which may listen on any port and look at the firewall."""
    yield from _probe(_chosen(facts, "desktops"), root=True)


@pytest.fixture(scope="session")
def world_root(facts: SiteFacts) -> Iterator[Probe]:
    """A second probe outside the site, which may listen on any port."""
    yield from _probe(_chosen(facts, "outside"), root=True)


@pytest.fixture(scope="session")
def inside(facts: SiteFacts) -> Iterator[Probe]:
    """A probe on the internal server itself, as root: what somebody could try who had got in."""
    yield from _probe(facts.server(), root=True)


@pytest.fixture(scope="session")
def inside_external(facts: SiteFacts) -> Iterator[Probe | None]:
    """A probe on the external server itself, as root; None on a site without one."""
    found = facts.in_group("im_external")
    yield from _probe(found[0], root=True) if found else iter([None])


@pytest.fixture(scope="session")
def inside_log_host(facts: SiteFacts) -> Iterator[Probe | None]:
    """A probe on the log host itself, as root; None on a site without one."""
    found = facts.in_group("log_host")
    yield from _probe(found[0], root=True) if found else iter([None])


@pytest.fixture(scope="session")
def inside_gateway(facts: SiteFacts) -> Iterator[Probe]:
    """A probe on the gateway itself, as root."""
    yield from _probe(facts.gateway(), root=True)


@pytest.fixture
def listen() -> Iterator[Callable[..., None]]:
    """Let a probe listen on ports until the control is over."""
    used: list[Probe] = []

    def start(probe: Probe, addresses: Iterable[str], ports: Iterable[int], protocol: str = "tcp") -> None:
        used.append(probe)
        ports = list(ports)
        probe.do("listen", places=[(address, port, protocol) for address in addresses for port in ports])

    yield start
    for probe in used:
        probe.do("listen_no_more")


@pytest.fixture(scope="session")
def secrets_of_site(facts: SiteFacts) -> dict[str, Any]:
    """The site's vault; opened once, shown nowhere."""
    return dict(read_vault(facts.folder))


@pytest.fixture(scope="session")
def password(facts: SiteFacts, secrets_of_site: dict[str, Any]) -> Callable[[str], str]:
    """The password of an account that the kit knows: probes, and in the demo some people."""

    def find(account: str) -> str:
        if account.startswith("probe-"):
            return str(secrets_of_site[f"{account.replace('-', '_')}_password"])
        try:
            return str(secrets_of_site["demo_passwords"][account])
        except KeyError as error:
            raise NotTried(f"nobody but {account} knows her password, as it should be") from error

    return find


@pytest.fixture(scope="session")
def external_password(secrets_of_site: dict[str, Any], password: Callable[[str], str]) -> Callable[[str], str]:
    """The same for accounts of the external server, which has probes with passwords of its own."""

    def find(account: str) -> str:
        if account.startswith("probe-"):
            return str(secrets_of_site[f"external_{account.replace('-', '_')}_password"])
        return password(account)

    return find


@pytest.fixture(scope="session")
def password_at(
    facts: SiteFacts, password: Callable[[str], str], external_password: Callable[[str], str]
) -> Callable[[Service, str], str]:
    """The password of an account at the one or the other server."""
    return lambda service, account: (password if service.domain == facts.domain else external_password)(account)


@pytest.fixture(scope="session")
def client(facts: SiteFacts, desk: Probe, password: Callable[[str], str]) -> Callable[[str], Client]:
    """Signed-in clients on the desktop, by account; probe-b uses direct TLS, the others STARTTLS."""
    known: dict[str, Client] = {}

    def get(account: str) -> Client:
        if account not in known:
            known[account] = Client(desk, facts.internal(), account, password(account), direct=account == "probe-b")
        return known[account].online()

    return get


@pytest.fixture(scope="session")
def external_client(
    facts: SiteFacts, desk: Probe, external_password: Callable[[str], str], external_people: list[str]
) -> Callable[[str], Client]:
    """Clients on the desktop that are signed in to the external server, by account."""
    known: dict[str, Client] = {}

    def get(account: str) -> Client:
        if account not in known:
            if not account.startswith("probe-") and account not in external_people:
                raise NotTried(f"nobody but {account} knows her password, as it should be")
            known[account] = Client(desk, facts.external(), account, external_password(account))
        return known[account].online()

    return get


@pytest.fixture(scope="session")
def partner_client(facts: SiteFacts, world: Probe) -> Callable[[str], Client]:
    """Clients outside, of the demo's partner and of somebody hostile, by address."""
    known: dict[str, Client] = {}

    def get(address: str) -> Client:
        account, _, domain = address.partition("@")
        kept = facts.folder / ".ssh" / f"{account}.password"
        if not kept.exists():
            raise NotTried(f"nobody but {address} knows the password, as it should be")
        if address not in known:
            at = Service(domain, "127.0.0.1", _authority(facts, world, domain))
            known[address] = Client(world, at, account, kept.read_text(encoding="utf-8").strip())
        return known[address].online()

    return get


def _authority(facts: SiteFacts, world: Probe, domain: str) -> str:
    """Return who signs the certificate of a server outside, PEM: that of the site file, or it did it itself."""
    for partner in facts.sallyport.get("partners", []):
        if partner["domain"] == domain and partner.get("authority"):
            return (facts.folder / str(partner["authority"])).read_text(encoding="utf-8")
    shown = world.do("tls_handshake", host="127.0.0.1", port=5222, server_name=domain, starttls=True)
    return str(shown.get("certificate", ""))


def _signed_up(probe: Probe, facts: SiteFacts, machine: Any, service: Service, given: dict[str, str]) -> list[str]:
    """Sign people up by an invitation each, unless they are; returns their ids."""
    for person, secret in given.items():
        if sign_in(probe, facts, person, secret, service=service)["result"] != "signed in":
            accept(probe, invite(machine, person, service), secret, service)
    return list(given)


@pytest.fixture(scope="session")
def demo_people(facts: SiteFacts, desk: Probe, server: Any, secrets_of_site: dict[str, Any]) -> list[str]:
    """People of the demo whose password is known, signed up by an invitation each; nobody on a real site."""
    known = secrets_of_site.get("demo_passwords", {}) if facts.demo else {}
    given = {person: str(secret) for person, secret in known.items() if person in facts.people_today()}
    return _signed_up(desk, facts, server, facts.internal(), given)


@pytest.fixture(scope="session")
def external_people(facts: SiteFacts, desk: Probe, external: Any, secrets_of_site: dict[str, Any]) -> list[str]:
    """Those of them who have leave to use external IM, signed up on the external server."""
    known = secrets_of_site.get("demo_passwords", {}) if facts.demo and external else {}
    given = {person: str(secret) for person, secret in known.items() if person in facts.granted_today()}
    return _signed_up(desk, facts, external, facts.external(), given) if given else []
