"""File system: network file systems are recognised, and holes are punched into files."""

from __future__ import annotations

from pathlib import Path

import pytest

from argosy.engine.state import filesystem
from argosy.engine.state.filesystem import is_network_filesystem, punch_hole


def test_local_directory_is_not_network_filesystem(tmp_path: Path) -> None:
    assert not is_network_filesystem(tmp_path)
    assert not is_network_filesystem("/proc")


def test_statfs_type_decides_network_filesystem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystem, "_NETWORK_MAGIC", frozenset({0x9FA0}))  # that of /proc
    assert is_network_filesystem("/proc")
    assert not is_network_filesystem(tmp_path)


def test_network_filesystem_check_raises_for_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none"):
        is_network_filesystem(tmp_path / "none")


def test_punched_hole_reads_as_zeros_and_frees_blocks(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 65536)
    with open(path, "r+b") as file:
        punch_hole(file.fileno(), 0, 61440)
    assert path.read_bytes() == bytes(61440) + b"x" * 4096
    assert path.stat().st_blocks * 512 <= 8192


def test_punch_hole_raises_for_device() -> None:
    with open("/dev/null", "wb") as file, pytest.raises(OSError):
        punch_hole(file.fileno(), 0, 4096)
