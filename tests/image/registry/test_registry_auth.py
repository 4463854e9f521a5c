"""Push to a registry with token authentication; the token service is a real process."""

from __future__ import annotations

import hashlib
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.image.content.blob_store import MANIFEST_TYPE
from argosy.image.registry.credentials import find_credentials
from argosy.image.registry.registry_auth import AuthChallenge, parse_challenges
from rig.authority import Authority
from rig.layout import log_in, manifests, push, write_login
from rig.registry import registry
from rig.tokens import IDENTITY, PASSWORD, SERVICE, USER, TokenService


@pytest.fixture
def service(tmp_path: Path) -> Iterator[TokenService]:
    with TokenService(Authority(tmp_path / "authority")) as found:
        yield found


@pytest.fixture
def place(tmp_path: Path, service: TokenService) -> Iterator[str]:
    """A registry that wants tokens of the service."""
    with registry(tmp_path / "registry", tokens=service) as port:
        yield f"127.0.0.1:{port}"


def pull_manifest(service: TokenService, place: str, repository: str, tag: str) -> bytes:
    """Return a manifest as somebody without a password gets it."""
    words = f"service={SERVICE}&scope=repository:{repository}:pull"
    with urllib.request.urlopen(f"{service.realm}?{words}") as answer:
        token = json.loads(answer.read())["token"]
    headers = {"Accept": MANIFEST_TYPE, "Authorization": f"Bearer {token}"}
    asked = urllib.request.Request(f"http://{place}/v2/{repository}/manifests/{tag}", headers=headers)
    with urllib.request.urlopen(asked) as answer:
        return bytes(answer.read())


def test_push_requests_token_for_each_repository_and_permission(
    tree: Path, tmp_path: Path, service: TokenService, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log_in(tmp_path, place, USER, PASSWORD)
    # A `.netrc` is of no account: it would be sent in place of the token.
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    assert push(tree, "--to", f"{place}/team", "--json") == 0
    pushed = json.loads(capsys.readouterr().out)["images"]
    assert pushed["heavy"]["blobs"] == {"sent": 2, "mounted": 1, "there": 0}
    light, heavy = "repository:team/yard/light", "repository:team/yard/heavy"
    assert {user for user, _ in service.asked} == {USER}
    assert [list(scopes) for _, scopes in service.asked] == [
        [f"{light}:pull"],
        [f"{light}:pull,push"],
        [f"{heavy}:pull"],
        [f"{heavy}:pull,push", f"{light}:pull"],
    ]
    for name, digest in manifests(tree).items():
        if name != "broken":
            data = pull_manifest(service, place, f"team/yard/{name}", "v1")
            assert f"sha256:{hashlib.sha256(data).hexdigest()}" == digest
    assert push(tree, "--to", f"{place}/team", "--only", "light", "--tag", "v2") == 0
    assert "0 sent" in capsys.readouterr().out


def test_push_uses_identity_token_of_login(
    tree: Path, tmp_path: Path, service: TokenService, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_login(tmp_path, place, {"auth": "", "identitytoken": IDENTITY})
    assert push(tree, "--to", place, "--only", "light") == 0
    assert {user for user, _ in service.asked} == {USER}
    write_login(tmp_path, place, {"identitytoken": "old"})
    assert push(tree, "--to", place, "--only", "light") == 1
    error = capsys.readouterr().err
    assert f"rejects the credentials of `<token>` (from {tmp_path}/.docker/config.json)" in error


def test_find_credentials_reads_identity_token_from_helper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = tmp_path / "docker-credential-yard"
    helper.write_text('#!/bin/sh\necho \'{"Username": "<token>", "Secret": "kept"}\'\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "auth.json").write_text('{"credsStore": "yard"}')
    found = find_credentials(("yard.example",), {"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")})
    assert found is not None
    assert (found.is_token, found.password) == (True, "kept")


def test_push_without_permission_reports_user_and_blob(
    tree: Path, tmp_path: Path, service: TokenService, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--to", place, "--only", "light")
    assert push(tree, *words) == 1
    assert f"the registry requires credentials, and there are none for `{place}`" in capsys.readouterr().err
    assert service.asked[-1] == ("", ("repository:yard/light:pull,push",))
    log_in(tmp_path, place, USER, "wrong")
    assert push(tree, *words) == 1
    error = capsys.readouterr().err
    assert f"the registry rejects the credentials of `{USER}` (from {tmp_path}/.docker/config.json)" in error
    assert "wrong" not in error
    log_in(tmp_path, place, "guest", PASSWORD)
    assert push(tree, *words) == 1
    error = capsys.readouterr().err
    assert "`guest` (from" in error
    assert "has no permission for blob sha256:" in error
    assert "hint: ask an administrator of the registry for permission to push there" in error


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"token": 7}'])
def test_push_reports_token_service_without_token(
    tree: Path, service: TokenService, place: str, body: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    service.answer = (200, body)
    assert push(tree, "--to", place) == 1
    found = f"the token service `{service.realm}` answers 200 OK, expected JSON with a `token`"
    assert found in capsys.readouterr().err


def test_push_reports_unreachable_token_service(
    tree: Path, service: TokenService, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    service.close()
    assert push(tree, "--to", place) == 3
    error = capsys.readouterr().err
    assert f"the token service `{service.realm}`, which the registry names, does not answer" in error


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", ()),
        ("Basic realm=yard", (("basic", {"realm": "yard"}),)),
        (
            'Bearer realm="https://a/t?x=1,2",service="a \\"b\\"", scope="repository:c:pull,push d"',
            (
                (
                    "bearer",
                    {
                        "realm": "https://a/t?x=1,2",
                        "service": 'a "b"',
                        "scope": "repository:c:pull,push d",
                    },
                ),
            ),
        ),
        (
            'Negotiate, Basic REALM = "x", Bearer realm=https://a/t',
            (("negotiate", {}), ("basic", {"realm": "x"}), ("bearer", {"realm": "https://a/t"})),
        ),
    ],
)
def test_parse_challenges_reads_authenticate_headers(
    header: str, found: tuple[tuple[str, dict[str, str]], ...]
) -> None:
    assert parse_challenges(header) == tuple(AuthChallenge(*each) for each in found)


_WORDS = st.text("abcdefgh-_1", min_size=1, max_size=6)


@given(st.lists(st.tuples(_WORDS, st.dictionaries(_WORDS, st.text(max_size=12), min_size=1)), max_size=4))
def test_parse_challenges_round_trips_written_header(ways: list[tuple[str, dict[str, str]]]) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    header = ", ".join(
        f"{scheme} {', '.join(f'{name}={quoted(value)}' for name, value in parameters.items())}"
        for scheme, parameters in ways
    )
    assert parse_challenges(header) == tuple(AuthChallenge(*way) for way in ways)


@given(st.text('aB =",\\\t', max_size=40))
def test_parse_challenges_accepts_any_header(header: str) -> None:
    for challenge in parse_challenges(header):
        assert challenge.scheme
