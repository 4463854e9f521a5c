"""Push to a real registry: the registry holds the same bytes as the layout, and errors are named."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.fault import InputError
from argosy.image.content.blob_store import MANIFEST_TYPE
from argosy.image.registry.credentials import credential_files, find_credentials
from argosy.image.registry.push_target import parse_target
from rig.fleet import free_ports
from rig.layout import log_in, manifests, push
from rig.registry import Relay, registry
from rig.tokens import PASSWORD, USER


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    with registry(tmp_path / "registry") as found:
        yield found


def pushed_images(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)["images"]
    return found


def pull_manifest(port: int, repository: str, tag: str) -> bytes:
    url = f"http://127.0.0.1:{port}/v2/{repository}/manifests/{tag}"
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": MANIFEST_TYPE})) as answer:
        return bytes(answer.read())


def test_push_stores_identical_bytes_and_sends_each_blob_once(
    tree: Path, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(tree, "--to", f"127.0.0.1:{port}/team", "--json") == 0
    first = pushed_images(capsys)
    assert list(first) == ["light", "heavy"]
    assert first["light"]["blobs"] == {"sent": 3, "mounted": 0, "there": 0}
    assert first["heavy"]["blobs"] == {"sent": 2, "mounted": 1, "there": 0}
    for name, item in first.items():
        assert item["place"] == f"127.0.0.1:{port}/team/yard/{name}:v1"
        data = pull_manifest(port, f"team/yard/{name}", "v1")
        assert f"sha256:{hashlib.sha256(data).hexdigest()}" == item["digest"] == manifests(tree)[name]
        for layer in json.loads(data)["layers"]:
            url = f"http://127.0.0.1:{port}/v2/team/yard/{name}/blobs/{layer['digest']}"
            with urllib.request.urlopen(url) as answer:
                assert f"sha256:{hashlib.sha256(answer.read()).hexdigest()}" == layer["digest"]
    assert push(tree, "--to", f"127.0.0.1:{port}/team", "--only", "heavy", "--tag", "v2", "--json") == 0
    again = pushed_images(capsys)
    assert again["heavy"]["blobs"] == {"sent": 0, "mounted": 0, "there": 3}
    assert pull_manifest(port, "team/yard/heavy", "v2") == pull_manifest(port, "team/yard/heavy", "v1")


def test_push_resumes_after_lost_connection(
    tree: Path, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with Relay(port, 4 * 2**20) as relay:
        assert push(tree, "--to", f"127.0.0.1:{relay.port}", "--only", "heavy") == 1
    error = capsys.readouterr().err
    assert "the connection ended during blob sha256:" in error
    assert "hint: run the command again: blobs that arrived are not sent again" in error
    with pytest.raises(urllib.error.HTTPError, match="404"):
        pull_manifest(port, "yard/heavy", "v1")
    assert push(tree, "--to", f"127.0.0.1:{port}", "--only", "heavy", "--json") == 0
    assert pushed_images(capsys)["heavy"]["blobs"] == {"sent": 2, "mounted": 0, "there": 1}
    assert hashlib.sha256(pull_manifest(port, "yard/heavy", "v1")).hexdigest() == manifests(tree)["heavy"][7:]


def test_push_sends_large_blob_in_chunks(
    tree: Path, port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("argosy.image.registry.registry_client._CHUNK_BYTES", 2**20 + 1)
    assert push(tree, "--to", f"localhost:{port}", "--only", "heavy", "--json") == 0
    large = json.loads(pull_manifest(port, "yard/heavy", "v1"))["layers"][1]
    assert large["size"] == 6 * 2**20
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/yard/heavy/blobs/{large['digest']}") as answer:
        assert f"sha256:{hashlib.sha256(answer.read()).hexdigest()}" == large["digest"]


def test_push_reports_missing_and_wrong_credentials(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with registry(tmp_path / "registry", is_closed=True) as port:
        words = ("--to", f"127.0.0.1:{port}", "--only", "light")
        assert push(tree, *words) == 1
        error = capsys.readouterr().err
        assert f"the registry requires credentials, and there are none for `127.0.0.1:{port}`" in error
        assert f"hint: `podman login 127.0.0.1:{port}`" in error
        log_in(tmp_path, f"127.0.0.1:{port}", USER, "wrong")
        assert push(tree, *words) == 1
        error = capsys.readouterr().err
        assert f"rejects the credentials of `{USER}` (from {tmp_path}/.docker/config.json)" in error
        assert "wrong" not in error
        log_in(tmp_path, f"127.0.0.1:{port}", USER, PASSWORD)
        assert push(tree, *words, "--json") == 0
        assert pushed_images(capsys)["light"]["digest"] == manifests(tree)["light"]


def test_push_reports_unreachable_registry(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (port,) = free_ports(1)
    assert push(tree, "--to", f"127.0.0.1:{port}") == 3
    error = capsys.readouterr().err
    assert f"no registry answers at http://127.0.0.1:{port}: Connection refused" in error


def test_push_reports_digest_error_of_registry(
    tree: Path, port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(tree, "--to", f"127.0.0.1:{port}/v2", "--only", "light") == 0
    digest = json.loads(pull_manifest(port, "v2/yard/light", "v1"))["layers"][1]["digest"]
    path = tree / ".argosy" / "images" / "blobs" / "sha256" / digest[7:]
    path.unlink()
    path.write_bytes(b"something else")
    capsys.readouterr()
    assert push(tree, "--to", f"127.0.0.1:{port}/other", "--only", "light") == 1
    assert "DIGEST_INVALID" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "push needs a registry"),
        (("--to", "https://host/x"), 2, "found `https://host/x`, expected HOST[:PORT][/PREFIX]"),
        (("--to", "host.lan", "--tag", "-x"), 2, "found `-x`, expected at most 128 letters"),
        (("--to", "host.lan", "--only", "lihgt"), 2, "did you mean `light`?"),
        (("--to", "host.lan", "--only", ""), 2, "the layout has no image ``"),
        (("--to", "host.lan", "--only", "broken"), 1, "`broken` has no name in the layout"),
        (("--to", "host.lan", "-o", "nowhere"), 2, "there is no layout in `nowhere`"),
    ],
)
def test_push_rejects_invalid_arguments_before_contacting_registry(
    tree: Path, words: tuple[str, ...], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        push(tree, *[f"--tag={word}" if word == "-x" else word for word in words if word != "--tag"]) == code
    )
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "is_plain"),
    [
        ("localhost", True),
        ("127.0.0.1:5000", True),
        ("[::1]:5000/team", True),
        ("192.168.1.4:5000", False),
        ("yard.example/a/b-c", False),
    ],
)
def test_push_target_is_plain_http_only_on_loopback(text: str, is_plain: bool) -> None:
    assert parse_target(text).is_plain is is_plain
    assert parse_target(text, is_plain=True).is_plain


@given(st.text("aZ0.:/[]-_@", max_size=30))
def test_parse_target_accepts_target_or_raises_input_error(text: str) -> None:
    with contextlib.suppress(InputError):
        target = parse_target(text)
        assert text in (target.host, f"{target.host}/{target.prefix}", f"{target.host}/")


def test_credential_files_lists_podman_files_before_docker_file() -> None:
    def files(**environ: str) -> list[str]:
        return [str(path) for path in credential_files({"HOME": "/home/ann", **environ})]

    kept = ["/home/ann/.config/containers/auth.json", "/home/ann/.docker/config.json"]
    own = f"/run/containers/{os.getuid()}"  # podman's where a login has no runtime folder
    assert files() == [*([f"{own}/auth.json"] if os.path.isdir(own) else []), *kept]
    assert files(XDG_RUNTIME_DIR="/run/user/7") == ["/run/user/7/containers/auth.json", *kept]
    assert files(XDG_CONFIG_HOME="/c", DOCKER_CONFIG="/d")[-2:] == [
        "/c/containers/auth.json",
        "/d/config.json",
    ]
    assert files(REGISTRY_AUTH_FILE="/one") == ["/one"]


def test_find_credentials_uses_first_file_with_entry_or_helper(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run")}
    assert find_credentials(("yard.example",), environ) is None
    auth = base64.b64encode(b"ann:a:b").decode()
    (tmp_path / "run" / "containers").mkdir(parents=True)
    file = tmp_path / "run" / "containers" / "auth.json"
    file.write_text(json.dumps({"auths": {"https://yard.example/v1/": {"auth": auth}}}))
    names = parse_target("yard.example/team").credential_names
    found = find_credentials(names, environ)
    assert found is not None
    assert (found.user, found.password) == ("ann", "a:b")
    assert "a:b" not in repr(found)
    narrow = base64.b64encode(b"team:c").decode()
    auths = {"yard.example/team": {"auth": narrow}, "yard.example": {"auth": auth}}
    file.write_text(json.dumps({"auths": auths}))
    users = {
        place: found.user
        for place in ("yard.example", "yard.example/team/a", "yard.example/teams")
        if (found := find_credentials(parse_target(place).credential_names, environ)) is not None
    }
    assert users == {"yard.example": "ann", "yard.example/team/a": "team", "yard.example/teams": "ann"}
    file.write_text('{"credHelpers": {"yard.example": "none-such"}}')
    with pytest.raises(InputError, match="the password is in `docker-credential-none-such`"):
        find_credentials(names, environ)
    not_base64 = '{"auths": {"yard.example": {"auth": "?"}}}'
    for text, said in (("[", "Expected `object`"), (not_base64, "in base64")):
        file.write_text(text)
        with pytest.raises(InputError, match=said):
            find_credentials(names, environ)


def test_find_credentials_asks_docker_credential_helper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = tmp_path / "docker-credential-yard"
    helper.write_text(
        "#!/bin/sh\nread name\n[ $name = yard.example ] || exit 1\n"
        'echo "{\\"Username\\": \\"ann\\", \\"Secret\\": \\"of $name\\"}"\n'
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    file = tmp_path / "auth.json"
    file.write_text('{"credsStore": "yard"}')
    environ = {"REGISTRY_AUTH_FILE": str(file)}
    found = find_credentials(("yard.example",), environ)
    assert found is not None
    assert (found.user, found.password) == ("ann", "of yard.example")
    assert find_credentials(("other.example",), environ) is None
