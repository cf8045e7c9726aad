# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe that shares a file and looks meanwhile whether it is there: who does not look says so."""

from __future__ import annotations

from typing import Any

import pytest
from probe import helpers
from system.test_r11_files import Shared, never_there


class Answer:
    """An answer to PUT, as http.client has it."""

    status = 422

    def read(self) -> bytes:
        return b"refused"


class Connection:
    """A connection on which whatever is sent is refused."""

    def request(self, *_: Any, **__: Any) -> None:
        pass

    def getresponse(self) -> Answer:
        return Answer()

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helpers, "_connection", lambda *_: (Connection(), "/x"))


def upload(**more: Any) -> dict[str, Any]:
    return helpers.upload(url="https://files.example/x", headers={}, ca_pem="", data="00", watch=True, **more)


def test_what_was_seen_meanwhile_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helpers, "download", lambda *_: {"status": 404})
    assert upload()["fetched"] == [404]


@pytest.mark.parametrize("good", [0, 1])
def test_a_watcher_that_ends_is_a_fault(monkeypatch: pytest.MonkeyPatch, good: int) -> None:
    answers = [404] * good

    def download(*_: Any) -> dict[str, Any]:
        if not answers:
            raise TimeoutError("no answer")
        return {"status": answers.pop()}

    monkeypatch.setattr(helpers, "download", download)
    with pytest.raises(ConnectionError, match=r"nobody saw whether .*no answer"):
        upload(timeout=5)


@pytest.mark.parametrize("fetched", [set(), {200}, {404, 200}, {503}])
def test_a_file_that_was_seen_or_not_looked_for_is_no_refused_one(fetched: set[int]) -> None:
    with pytest.raises(AssertionError):
        never_there(Shared("", 422, "", fetched))


def test_a_file_that_was_never_there() -> None:
    never_there(Shared("", 422, "", {404, 410}))
