"""A layout to push, as a build leaves it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rig.layout import write_image_fleet


@pytest.fixture(scope="module")
def _oras() -> None:
    pytest.importorskip("oras", reason="the extra `push` is not installed")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _oras: None) -> Path:
    """A fleet with images, for somebody of whom no file says anything: see `rig.layout.write_image_fleet`."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    for name in (
        *("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_CONFIG_HOME"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    ):
        monkeypatch.delenv(name, raising=False)
    return write_image_fleet(tmp_path / "tree")
