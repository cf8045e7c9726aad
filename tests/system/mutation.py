# SPDX-License-Identifier: GPL-3.0-or-later
"""The mutation run: for each control, break the site by hand, see the control fail, mend it, see it pass.

A control that stays green on a broken site proves nothing. What is done is noted in mutations.json beside the report,
so that a run which was stopped goes on where it was; a file that was left broken is restored first.
"""

from __future__ import annotations

import base64
import inspect
import json
import shlex
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
from system.controls import Amber, Breakage, Control, NotApplicable, NotTried
from system.reach import connect
from system.site_facts import HostFacts, SiteFacts

KEPT = "/var/lib/sallyport-mutation"
PATIENCE_SECONDS = 15
# asked on the server itself, where no firewall stands between
ANSWERS = """
end=$(( $(date +%s) + {seconds} ))
until timeout 2 bash -c '</dev/tcp/{address}/5222' 2>/dev/null; do
  [ "$(date +%s)" -lt "$end" ] || exit 1
  sleep 0.3
done
"""
FAILED = "systemctl list-units --state=failed --plain --no-legend --no-pager | cut -d ' ' -f 1"


def parameters(entry: Control) -> list[str]:
    """Return the names of the fixtures that a control takes."""
    return list(inspect.signature(entry.function).parameters)


def finished(folder: Path) -> dict[str, str]:
    """Return what an earlier run finished: by id, why the control turned red."""
    try:
        return dict(json.loads((folder / "mutations.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}


def start_anew(folder: Path) -> dict[str, str]:
    """Forget what an earlier run finished, since it finished all; return that nothing is."""
    (folder / "mutations.json").unlink()
    return {}


def chosen(control_id: str, wanted: str, done: Collection[str]) -> bool:
    """Tell whether a control is part of this run.

    Args:
        control_id: Its id.
        wanted: ``R`` for all that is left to do; a practice or an id to do it, again if need be.
        done: Ids that are finished.
    """
    if wanted == "R":
        return control_id not in done
    return control_id == wanted or control_id.startswith(f"{wanted}-")


def broken_host(entry: Control, facts: SiteFacts) -> HostFacts:
    """Return the host that a control is about; of several the one from which controls are tried.

    Raises:
        LookupError: When the site has none.
    """
    found = sorted(facts.in_group(entry.on), key=lambda host: not host.probe)
    if not found:
        raise LookupError(f"{entry.id} is about {entry.on}, and the site has no such host")
    return found[0]


def run(entry: Control, attempt: Callable[[], None], facts: SiteFacts, folder: Path) -> None:
    """Break, see red, mend, see green.

    Args:
        entry: The control.
        attempt: Runs it once.
        facts: The site.
        folder: Where to note that it is done.

    Raises:
        AssertionError: When the control does not see the breakage, or does not recover.
        NotApplicable: When it does not apply to this site, broken or not; noted as done.
    """
    host = connect(broken_host(entry, facts))
    mend_leftover(host, facts)
    red = ""
    try:
        break_it(entry.breakage, host, facts)
        try:
            attempt()
        except NotApplicable as outcome:
            mend(entry.breakage, host, facts)
            _same_when_well(entry, attempt, outcome)
            _note(folder, entry, f"does not apply here: {outcome}")
            raise
        except (NotTried, Amber) as outcome:
            raise AssertionError(f"{entry.id} does not look at a site that is broken so: {outcome}") from outcome
        except (AssertionError, pytest.fail.Exception) as failure:
            red = str(failure) or "failed without words"
    finally:
        mend(entry.breakage, host, facts)
    assert red, f"{entry.id} passed although the site was broken by {entry.breakage}"
    try:
        attempt()
    except AssertionError as failure:
        # whatever came next would be red for this reason and not for its own
        pytest.exit(
            f"{entry.id}: the site is not well again after its breakage was taken back: {failure}", returncode=1
        )
    _note(folder, entry, red)


def _note(folder: Path, entry: Control, why: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    done = {**finished(folder), entry.id: why.splitlines()[0]}
    (folder / "mutations.json").write_text(json.dumps(done, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _same_when_well(entry: Control, attempt: Callable[[], None], outcome: NotApplicable) -> None:
    """Make sure that it is the site to which the control does not apply, and not the breakage that made it say so."""
    try:
        attempt()
    except NotApplicable as again:
        if str(again) == str(outcome):
            return
    raise AssertionError(f"{entry.id} does not look at a site that is broken so: {outcome}")


def _sh(host: Any, command: str) -> str:
    result = host.run(command)
    assert result.rc == 0, f"{command[:200]}: {result.stderr or result.stdout}"
    return str(result.stdout)


def break_it(breakage: Breakage, host: Any, facts: SiteFacts) -> None:
    """Apply a breakage; the untouched file and the way back are kept on the host first."""
    back = f"{breakage.undo}\n{breakage.command if breakage.file else ''}".strip()
    if breakage.file:
        path, kept = shlex.quote(breakage.file), f"{KEPT}{breakage.file}"
        text = base64.b64decode(_sh(host, f"base64 -w0 {path}")).decode()
        broken = base64.b64encode(breakage.apply_to(text).encode()).decode()
        back = f"cp -a {shlex.quote(kept)} {path}\n{back}"
        _sh(host, f"install -d -m 0700 {shlex.quote(str(Path(kept).parent))} && cp -a {path} {shlex.quote(kept)}")
    note = base64.b64encode(back.encode()).decode()
    _sh(host, f"install -d -m 0700 {KEPT} && echo {note} | base64 -d > {KEPT}/back.sh")
    if breakage.file:
        # into the same file: owner and mode stay
        _sh(host, f"echo {broken} | base64 -d > {path}")
    failed = set(_sh(host, FAILED).split())
    _sh(host, breakage.command)
    # a server that is down turns every control red and proves nothing of any; the same holds for a service elsewhere
    assert _answers(facts), f"the server does not answer at all when broken by {breakage}"
    fallen = set(_sh(host, FAILED).split()) - failed
    assert not fallen, f"{', '.join(fallen)} does not even run when broken by {breakage}"


def mend(_: Breakage, host: Any, facts: SiteFacts) -> None:
    """Take a breakage back by the way that was kept on the host."""
    _sh(host, f"test ! -e {KEPT}/back.sh || sh -e {KEPT}/back.sh")
    _sh(host, f"rm -rf {KEPT}")
    _answers(facts)


def mend_leftover(host: Any, facts: SiteFacts) -> None:
    """Restore what a run that was stopped left broken."""
    if host.run(f"test -e {KEPT}/back.sh").rc == 0:
        mend(Breakage(undo="left"), host, facts)


def _answers(facts: SiteFacts) -> bool:
    """Wait until the IM servers serve people, seen from themselves, and tell whether they do."""
    answered = all(
        connect(host).run(ANSWERS.format(seconds=PATIENCE_SECONDS, address=service.address)).rc == 0
        for host, service in facts.im_servers()
    )
    if answered:
        # modules of the domains are loaded right after the ports
        time.sleep(1)
    return answered
