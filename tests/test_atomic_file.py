"""Atomic file writes: the old file or the new one, with the requested mode, and no temporary file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from argosy.atomic_file import create_atomic, replace_file, write_atomic, write_if_changed


def test_failed_write_keeps_old_file_and_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(TypeError), replace_file(path) as file:
        file.writelines([b"new", "no bytes"])  # type: ignore[list-item]
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("is_synced", [False, True])
def test_explicit_file_mode_ignores_umask(tmp_path: Path, is_synced: bool) -> None:
    umask = os.umask(0o077)
    try:
        write_atomic(tmp_path / "shared", b"x", mode=0o644, is_synced=is_synced)
        write_atomic(tmp_path / "plain", b"x", is_synced=is_synced)
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "plain").stat().st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == ["plain", "shared"]


def test_create_atomic_keeps_existing_file(tmp_path: Path) -> None:
    create_atomic(tmp_path / "key", b"first", mode=0o600)
    create_atomic(tmp_path / "key", b"second", mode=0o600)
    assert (tmp_path / "key").read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["key"]


def test_write_if_changed_skips_unchanged_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_if_changed(path, b"same")
    before = path.stat()
    write_if_changed(path, b"same")
    assert os.path.samestat(before, path.stat())
    write_if_changed(path, b"other")
    assert path.read_bytes() == b"other"
