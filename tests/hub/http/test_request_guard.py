"""Request guard: foreign host names, foreign origins, missing and wrong tokens, and remote clients."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any, Literal

import pytest
from starlette.requests import Request

from argosy.fault import RefusedError
from argosy.hub.http.request_guard import RequestRefusedError, check_action, check_host, fault_response
from argosy.hub.http.token import is_token, read_token, renew_token

OWN = {"host": "127.0.0.1:9470", "content-type": "application/json"}


@pytest.fixture
def token(tmp_path: Path) -> Path:
    return tmp_path / "hub.token"


def asked(client: str = "127.0.0.1", **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    listed = [(name.encode(), value.encode()) for name, value in {**OWN, **named}.items()]
    return Request({"type": "http", "method": "POST", "headers": listed, "client": (client, 5)})


def refusal(
    token: Path, request: Request, where: Literal["loopback", "anywhere", "never"] = "loopback"
) -> Any:
    with pytest.raises(RequestRefusedError) as raised:
        check_action(request, token, where)
    return raised.value.code, raised.value.fault.code


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:9470", "localhost:9470", "LOCALHOST", "[::1]:9470", "192.168.1.7", "mainpc:1", "mainpc."],
)
def test_check_host_accepts_addresses_and_own_names(host: str) -> None:
    check_host(host, ["MainPC"])


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:9470",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil.example#127.0.0.1",
        "user@evil.example",
        "[::1",
        "",
        "mainpc.evil.example",
    ],
)
def test_check_host_refuses_foreign_name(host: str) -> None:
    with pytest.raises(RequestRefusedError) as raised:
        check_host(host, ["mainpc"])
    assert (raised.value.code, raised.value.fault.code) == (421, "foreign-host")


def test_action_with_token_from_own_origin_is_accepted(token: Path) -> None:
    word = f"Bearer {read_token(token)}"
    check_action(asked(authorization=word), token, "loopback")  # curl
    own = {"origin": "http://127.0.0.1:9470", "sec_fetch_site": "same-origin"}
    check_action(asked(authorization=word, **own), token, "loopback")
    check_action(asked("10.0.0.5", authorization=word), token, "anywhere")
    check_action(asked("::1", authorization=word), token, "loopback")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:8080"},  # another program's page on this machine
        {"origin": "http://127.0.0.1:9470.evil.example"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "none"},
        {"sec_fetch_site": "cross-site", "origin": "http://127.0.0.1:9470"},
    ],
)
def test_action_from_foreign_origin_is_refused_despite_token(token: Path, headers: dict[str, str]) -> None:
    word = f"Bearer {read_token(token)}"
    assert refusal(token, asked(authorization=word, **headers)) == (403, "foreign-origin")


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_action_with_form_content_type_is_refused(token: Path, kind: str) -> None:
    request = asked(authorization=f"Bearer {read_token(token)}", content_type=kind)
    assert refusal(token, request) == (415, "not-json")


@pytest.mark.parametrize("word", ["", "Bearer", "Bearer ", "Basic dXNlcjp3b3Jk"])
def test_action_without_bearer_token_is_refused(token: Path, word: str) -> None:
    assert refusal(token, asked(authorization=word)) == (401, "no-token")
    assert refusal(token, asked(cookie=f"token={read_token(token)}")) == (401, "no-token")


def test_wrong_token_and_renewed_token_are_refused(token: Path) -> None:
    first = read_token(token)
    for word in ("x", first[:-1], first + "x", first.upper(), "ü" * 43):
        assert not is_token(token, word)
    second = renew_token(token)
    assert first != second == read_token(token)
    assert refusal(token, asked(authorization=f"Bearer {first}")) == (401, "wrong-token")
    check_action(asked(authorization=f"Bearer {second}"), token, "loopback")


def test_action_from_other_machine_is_refused_unless_fleet_file_allows_it(token: Path) -> None:
    word = f"Bearer {read_token(token)}"
    assert refusal(token, asked("192.168.1.7", authorization=word)) == (403, "not-loopback")
    assert refusal(token, asked(authorization=word), "never") == (403, "no-actions")


def test_token_file_is_private_and_empty_token_is_refused(token: Path) -> None:
    word = read_token(token)
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert len(word) >= 43
    assert read_token(token) == word
    assert [path.name for path in token.parent.iterdir()] == [token.name]
    token.write_text("\n")
    with pytest.raises(RefusedError, match="the token is empty"):
        is_token(token, "")
    with pytest.raises(RefusedError, match="cannot be read or written"):
        read_token(token.parent / "missing" / "token")


def test_refused_action_is_answered_as_error_document(token: Path) -> None:
    with pytest.raises(RequestRefusedError) as raised:
        check_action(asked(), token, "loopback")
    response = fault_response(raised.value.code, raised.value.fault)
    body = json.loads(bytes(response.body))
    assert next(iter(body)) == "argosy"
    (error,) = body["errors"]
    assert set(error) == {"where", "code", "message", "hint"}
    assert "argosy hub --token" in error["hint"]
    assert response.headers["www-authenticate"] == "Bearer"
