# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of the invitations: one token, one account, once; and no guessing of tokens."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from decision_point.client import DOMAIN, SignInError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decision_point.server import Server

PASSWORD = "a password that is long enough"


def request(server: Server, method: str, path: str, body: str = "", **headers: str) -> tuple[int, str]:
    """Sends one HTTP request to the page; returns status and text."""
    connection = http.client.HTTPConnection(server.address, 5280, timeout=10)
    fields = {"Host": DOMAIN, "Content-Type": "application/x-www-form-urlencoded"}
    connection.request(method, path, body or None, {**fields, **{k.replace("_", "-"): v for k, v in headers.items()}})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def post(
    server: Server, token: str, password: str = PASSWORD, again: str = PASSWORD, **headers: str
) -> tuple[int, str]:
    """Fills in the form."""
    body = urlencode({"token": token, "password": password, "again": again})
    return request(server, "POST", "/invitation", body, **headers)


def token_for(server: Server, name: str) -> str:
    """Makes an invitation for an account that exists."""
    out = server.shell(
        f">local i = prosody.hosts['{DOMAIN}'].modules.invites;"
        f"return 'token ' .. i.create_account_reset('{name}', 3600).token .. ' made'"
    )
    return out.split("token ")[1].split(" made")[0]


@pytest.fixture
def mended(server: Server) -> Iterator[Server]:
    """A server that forgets wrong tokens and new passwords at the end."""
    yield server
    server.accounts({"erik": "pw-erik"})
    server.restart()


def test_an_invitation_sets_the_password_of_one_account_once(mended: Server) -> None:
    server = mended
    token = token_for(server, "erik")
    status, text = request(server, "GET", f"/invitation?{token}")
    assert status == 200
    assert f"erik@{DOMAIN}" in text
    for password, again in (
        ("short", "short"),
        (PASSWORD, "another one"),
        ("erik" * 8, "x"),
        ("p\x07" * 10, "p\x07" * 10),
    ):
        assert post(server, token, password, again)[0] == 422
    assert post(server, token)[0] == 200
    assert server.client("erik", password=PASSWORD).roster()
    assert post(server, token, "another password", "another password")[0] == 410
    with pytest.raises(SignInError):
        server.client("erik", password="another password")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_tokens_are_not_guessed(mended: Server, method: str) -> None:
    server = mended
    token = token_for(server, "erik")
    for number in range(10):
        # nobody says of himself where he comes from
        headers = {"X_Forwarded_For": f"10.9.8.{number}", "Forwarded": f"for=10.9.8.{number}"}
        if method == "GET":
            status, _ = request(server, "GET", f"/invitation?wrong{number}", **headers)
        else:
            status, _ = post(server, f"wrong{number}", **headers)
        assert status == 410
    assert post(server, token, X_Forwarded_For="10.9.8.77")[0] == 429
    assert request(server, "GET", f"/invitation?{token}")[0] == 429
    (event,) = server.events()
    assert (event["kind"], event["type"], event["rule"]) == ("account", "invitation", "lockout")
    assert server.client("alice").roster()  # signing in is not touched


def test_odd_requests(mended: Server) -> None:
    server = mended
    assert request(server, "GET", "/invitation")[0] == 410
    assert request(server, "POST", "/invitation", "x" * 20_000)[0] == 413
    assert request(server, "POST", "/invitation", "token=%00%ff&token=a&password")[0] == 410
    assert request(server, "PUT", "/invitation", "x")[0] in {404, 405}
    for path in ("/invitation/../../etc/passwd", "/invitation/x", "/files", "/bosh", "/http-bind", "/xmpp-websocket"):
        assert request(server, "GET", path)[0] in {400, 404}, path
