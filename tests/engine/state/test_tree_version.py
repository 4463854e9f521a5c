"""Tree version: computed from content, mode and names, not from times; with and without git."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.engine.state.tree_version import (
    RecordedVersion,
    TreeVersion,
    compute_tree_version,
    decode_tree_version,
    is_lock_file,
    read_tree_version,
    write_tree_version,
)
from argosy.source.git_tree import tree_files


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents/a.py").write_text("a = 1\n")
    (tmp_path / "requirements.txt").write_text("msgspec==0.22.0\n")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/a.pyc").write_text("x")
    return tmp_path


def test_tree_version_depends_on_content_mode_and_names(tree: Path) -> None:
    first = compute_tree_version(tree)
    assert first.files == ("agents/a.py", "requirements.txt")
    os.utime(tree / "agents/a.py", (1, 1))
    assert compute_tree_version(tree).tree == first.tree

    seen = {first.tree}
    for change in (
        lambda: (tree / "agents/a.py").write_text("a = 2\n"),
        lambda: (tree / "agents/a.py").chmod(0o755),
        lambda: (tree / "agents/a.py").rename(tree / "agents/b.py"),
        lambda: (tree / "link").symlink_to("agents/b.py"),
        lambda: (tree / "requirements.txt").unlink(),
    ):
        assert compute_tree_version(tree).lock == first.lock
        change()
        seen.add(compute_tree_version(tree).tree)
    assert len(seen) == 6
    assert compute_tree_version(tree).lock != first.lock


def test_lock_file_names_are_recognised() -> None:
    names = ("images.mainpc.lock", "deploy/images.pc2.lock", "requirements-dev.txt", "images.lock", "a.lock")
    assert [is_lock_file(name) for name in names] == [True, True, True, False, False]


def test_tree_files_skip_gitignored_files(tree: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tree)], check=True)
    (tree / ".gitignore").write_text("secret\n")
    (tree / "secret").write_text("x")
    assert tree_files(tree) == [".gitignore", "agents/a.py", "requirements.txt"]


def test_recorded_version_rereads_changed_file(tree: Path) -> None:
    recorded = RecordedVersion(tree)
    assert recorded.current_digest() == ""
    for content in ("1", "2"):
        (tree / "agents/a.py").write_text(content)
        version = compute_tree_version(tree)
        write_tree_version(tree, version)
        assert recorded.current_digest() == version.tree
        assert read_tree_version(tree) == version
    assert tree_files(tree) == ["agents/a.py", "requirements.txt"]


@given(st.binary(max_size=80))
def test_tree_version_decoder_returns_none_for_garbage(data: bytes) -> None:
    assert decode_tree_version(data) is None or isinstance(decode_tree_version(data), TreeVersion)
