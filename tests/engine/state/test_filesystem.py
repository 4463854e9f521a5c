"""What is asked of the file system."""

from __future__ import annotations

from pathlib import Path

import pytest

from argosy.engine.state import filesystem
from argosy.engine.state.filesystem import is_network_filesystem, punch_hole


def test_a_local_folder_is_on_no_network(tmp_path: Path) -> None:
    assert not is_network_filesystem(tmp_path)
    assert not is_network_filesystem("/proc")


def test_the_type_that_statfs_tells_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystem, "_NETWORK_MAGIC", frozenset({0x9FA0}))  # that of /proc
    assert is_network_filesystem("/proc")
    assert not is_network_filesystem(tmp_path)


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none"):
        is_network_filesystem(tmp_path / "none")


def test_a_hole_reads_as_zeros_and_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 65536)
    with open(path, "r+b") as file:
        punch_hole(file.fileno(), 0, 61440)
    assert path.read_bytes() == bytes(61440) + b"x" * 4096
    assert path.stat().st_blocks * 512 <= 8192


def test_a_hole_in_what_is_no_file_is_an_error() -> None:
    with open("/dev/null", "wb") as file, pytest.raises(OSError):
        punch_hole(file.fileno(), 0, 4096)
