"""Registry TLS with real certificates: trusted authorities, and errors for invalid certificates."""

from __future__ import annotations

import json
import shutil
import ssl
from pathlib import Path

import pytest

from argosy.fault import InputError, RefusedError
from argosy.image.registry.push_target import PushTarget
from argosy.image.registry.tls import authority_files, tls_context
from rig.authority import Authority, ServerCertificate
from rig.layout import log_in, manifests, push
from rig.registry import registry
from rig.tokens import PASSWORD, USER, TokenService

HERE = "IP:127.0.0.1"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


def trust(home: Path, place: str, authority: Authority) -> Path:
    """Do as the hint says; return the file."""
    folder = home / ".config" / "containers" / "certs.d" / place
    folder.mkdir(parents=True)
    shutil.copyfile(authority.certificate, folder / "ca.crt")
    return folder / "ca.crt"


def test_push_trusts_private_ca_in_podman_certs_dir(
    tree: Path, tmp_path: Path, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    with registry(tmp_path / "registry", shows=authority.sign(HERE), is_closed=True) as port:
        place = f"127.0.0.1:{port}"
        log_in(tmp_path, place, USER, PASSWORD)
        words = ("--to", place, "--only", "light", "--json")
        assert push(tree, *words) == 1
        issue = json.loads(capsys.readouterr().out)["errors"][0]
        assert (issue["where"], issue["code"]) == (place, "registry-tls")
        assert "the certificate is not trusted (" in issue["message"]
        assert "for `127.0.0.1`, issued by `Yard CA`, valid from 2020-01-01 to 2049-12-31" in issue["message"]
        folder = f"{tmp_path}/.config/containers/certs.d/{place}"
        assert f"`mkdir -p {folder}`" in issue["hint"]
        file = trust(tmp_path, place, authority)
        assert str(file.parent) == folder
        assert push(tree, *words) == 0
        assert json.loads(capsys.readouterr().out)["images"]["light"]["digest"] == manifests(tree)["light"]


def test_push_trusts_ca_of_ssl_cert_file_variable(
    tree: Path, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    with registry(tmp_path / "registry", shows=authority.sign(HERE)) as port:
        assert push(tree, "--to", f"127.0.0.1:{port}", "--only", "light") == 0


def test_push_trusts_self_signed_certificate_by_its_own_file(
    tree: Path, tmp_path: Path, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    with registry(
        tmp_path / "registry", shows=ServerCertificate(authority.certificate, authority.key)
    ) as port:
        assert push(tree, "--to", f"127.0.0.1:{port}", "--only", "light") == 1
        said = "not trusted (self-signed certificate): it is for `127.0.0.1`, issued by `Yard CA`"
        assert said in capsys.readouterr().err
        trust(tmp_path, f"127.0.0.1:{port}", authority)
        assert push(tree, "--to", f"127.0.0.1:{port}", "--only", "light") == 0


@pytest.mark.parametrize(
    ("name", "until", "said", "hint"),
    [
        (
            HERE,
            "210101",
            "the certificate has expired: it is for `127.0.0.1`",
            "the clock of this machine says",
        ),
        (
            "DNS:registry.example",
            "491231",
            "the certificate is for another host: it is for `registry.example`",
            "`--to` with a name of the certificate",
        ),
    ],
)
def test_push_reports_invalid_certificate(
    tree: Path,
    tmp_path: Path,
    authority: Authority,
    name: str,
    until: str,
    said: str,
    hint: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with registry(tmp_path / "registry", shows=authority.sign(name, until=until)) as port:
        trust(tmp_path, f"127.0.0.1:{port}", authority)
        assert push(tree, "--to", f"127.0.0.1:{port}") == 1
    error = capsys.readouterr().err
    assert f"127.0.0.1:{port}: {said}" in error
    assert hint in error
    assert f"valid from 2020-01-01 to 20{until[:2]}-" in error


def test_push_verifies_certificate_of_token_service(
    tree: Path, tmp_path: Path, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    signs = Authority(tmp_path / "signs", "Signs")
    other = Authority(tmp_path / "other", "Other CA")
    with (
        TokenService(signs, shows=other.sign(HERE)) as service,
        registry(tmp_path / "registry", tokens=service, shows=authority.sign(HERE)) as port,
    ):
        place = f"127.0.0.1:{port}"
        file = trust(tmp_path, place, authority)
        log_in(tmp_path, place, USER, PASSWORD)
        assert push(tree, "--to", place, "--only", "light") == 1
        error = capsys.readouterr().err
        assert f"{service.realm.split('/')[2]}: the certificate is not trusted" in error
        assert "issued by `Other CA`" in error
        shutil.copyfile(other.certificate, file.with_name("other.crt"))
        assert push(tree, "--to", place, "--only", "light") == 0


def test_push_refuses_plain_http_token_service_of_tls_registry(
    tree: Path, tmp_path: Path, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        TokenService(Authority(tmp_path / "signs")) as service,
        registry(tmp_path / "registry", tokens=service, shows=authority.sign(HERE)) as port,
    ):
        trust(tmp_path, f"127.0.0.1:{port}", authority)
        log_in(tmp_path, f"127.0.0.1:{port}", USER, PASSWORD)
        assert push(tree, "--to", f"127.0.0.1:{port}", "--only", "light") == 1
        assert f"redirects to `{service.realm.split('/')[2]}` without TLS" in capsys.readouterr().err
        assert service.asked == []


def test_push_reports_server_without_tls(tree: Path, tmp_path: Path) -> None:
    from argosy.image.registry.registry_client import OrasRegistry  # noqa: PLC0415 - an extra

    with registry(tmp_path / "registry") as port:
        place = f"127.0.0.1:{port}"
        # As if it were elsewhere: to this machine itself nobody speaks TLS unasked.
        with pytest.raises(RefusedError, match="the server does not speak TLS"):
            OrasRegistry(PushTarget(place, place, "", is_plain=False, is_loopback=False))


def test_tls_context_rejects_invalid_certificate_files(tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "containers" / "certs.d" / "yard.example:5000"
    folder.mkdir(parents=True)
    environ = {"HOME": str(tmp_path)}
    (folder / "ca.crt").write_text("no certificate\n")
    assert list(authority_files("yard.example:5000", environ)) == [folder / "ca.crt"]
    with pytest.raises(InputError, match="not a certificate in PEM format"):
        tls_context("yard.example:5000", environ)
    assert tls_context("yard.example", environ).verify_mode is ssl.CERT_REQUIRED
    with pytest.raises(InputError, match="which does not exist"):
        tls_context("yard.example", {**environ, "REQUESTS_CA_BUNDLE": "/nowhere.pem"})
