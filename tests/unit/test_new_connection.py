# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof that a host is still reached, with a played connection."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible_collections.sallyport.im.plugins.action.nftables import explain
from ansible_collections.sallyport.im.plugins.module_utils import service_guard
from ansible_collections.sallyport.im.plugins.modules import service_config
from ansible_collections.sallyport.im.plugins.plugin_utils import new_connection
from ansible_collections.sallyport.im.plugins.plugin_utils.new_connection import NotProvenError, Session, prove

OLD, NEW = "10.0.0.1 40000 10.0.0.11 22", "10.0.0.1 40001 10.0.0.11 22"


class Action:
    """An action plugin whose host answers as the script says: a session, or why there is none."""

    def __init__(self, sessions: list[str], answer: dict[str, Any]) -> None:
        """Remember the script; the last entry is repeated."""
        self.sessions, self.answer, self.resets = sessions, answer, 0
        self.asked: dict[str, Any] = {}
        self._connection = self

    def reset(self) -> None:
        """Count."""
        self.resets += 1

    def _low_level_execute_command(self, command: str, sudoable: bool) -> dict[str, Any]:
        assert (command, sudoable) == ('echo "$SSH_CONNECTION"', False)
        session = self.sessions.pop(0) if len(self.sessions) > 1 else self.sessions[0]
        if session.startswith("!"):
            raise AnsibleConnectionFailure(f"Failed to connect to the host via ssh: {session[1:]}")
        return {"stdout": f"{session}\n"}

    def _execute_module(self, **asked: Any) -> dict[str, Any]:
        self.asked = asked
        return self.answer


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    played = SimpleNamespace(monotonic=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds))
    monkeypatch.setattr(new_connection, "time", played)


def test_a_new_connection_confirms() -> None:
    action = Action([OLD, NEW], {"changed": True})
    assert prove(action, "m", {"step": "confirm"}, {"v": 1}, 60) == {"changed": True}
    assert action.asked == {"module_name": "m", "module_args": {"step": "confirm"}, "task_vars": {"v": 1}}
    assert action.resets == 1


def test_the_old_connection_proves_nothing() -> None:
    action = Action([OLD, OLD, NEW], {"changed": True})
    assert prove(action, "m", {}, {}, 60) == {"changed": True}
    assert action.resets == 2


def test_other_ways_to_a_host_have_no_session() -> None:
    assert prove(Action([""], {"changed": True}), "m", {}, {}, 60) == {"changed": True}


def test_a_host_that_rolled_back_is_reached_again() -> None:
    action = Action([OLD, *["!no route"] * 70, NEW], {"failed": True, "msg": "put back", "rolled_back": True})
    with pytest.raises(NotProvenError, match="is reached again") as caught:
        prove(action, "m", {}, {}, 60)
    assert caught.value.session == Session(*OLD.split())
    assert caught.value.reached
    assert "no route" in caught.value.reason
    said = explain(caught.value, "im-int", 60)
    for word in ("10.0.0.1 -> 10.0.0.11:22", "sallyport.networks.admin", "im-int", "in force again"):
        assert word in said


def test_a_host_that_stays_away() -> None:
    with pytest.raises(NotProvenError, match="console") as caught:
        prove(Action([OLD, "!timed out"], {}), "m", {}, {}, 60)
    assert not caught.value.reached
    assert "console" in explain(caught.value, "im-int", 60)


def test_a_confirmation_that_fails_at_once_is_the_modules_own_failure() -> None:
    assert prove(Action([OLD, NEW], {"failed": True, "msg": "disk full"}), "m", {}, {}, 60)["msg"] == "disk full"


def test_a_failure_after_a_second_try_is_no_roll_back_by_itself() -> None:
    action = Action([OLD, "!no route", NEW], {"failed": True, "msg": "disk full"})
    assert prove(action, "m", {}, {}, 60)["msg"] == "disk full"


def test_a_late_confirmation_of_a_service_says_that_the_old_files_are_back(monkeypatch: pytest.MonkeyPatch) -> None:
    answer: dict[str, Any] = {}

    def fail_json(**said: Any) -> None:
        answer.update(said)
        raise SystemExit

    params = {"services": [], "confirm": {"ssh.service": "late"}}
    played = SimpleNamespace(params=params, check_mode=False, fail_json=fail_json)
    monkeypatch.setattr(service_config, "AnsibleModule", lambda **_spec: played)
    for kept, rolled_back in ((False, True), (OSError("disk full"), False)):
        monkeypatch.setattr(service_guard, "confirm", Mock(side_effect=[kept]))
        with pytest.raises(SystemExit):
            service_config.main()
        assert answer["rolled_back"] is rolled_back


def test_an_old_connection_that_died_with_the_change_is_a_flow_that_is_missing() -> None:
    action = Action(["!broken pipe", NEW], {"failed": True, "msg": "put back", "rolled_back": True})
    with pytest.raises(NotProvenError, match="broken pipe") as caught:
        prove(action, "m", {}, {}, 60)
    assert "the flow 10.0.0.1 -> 10.0.0.11:22" in explain(caught.value, "im-int", 60)
    with pytest.raises(NotProvenError, match="console"):
        prove(Action(["!broken pipe"], {}), "m", {}, {}, 60)
