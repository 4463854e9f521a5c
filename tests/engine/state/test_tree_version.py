"""The version of a tree: by content, mode and name, whatever the times; with git and without."""

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


def test_a_version_is_content_mode_and_names(tree: Path) -> None:
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


def test_the_lock_of_a_machine_is_a_lock() -> None:
    names = ("images.mainpc.lock", "deploy/images.pc2.lock", "requirements-dev.txt", "images.lock", "a.lock")
    assert [is_lock_file(name) for name in names] == [True, True, True, False, False]


def test_with_git_what_it_ignores_stays(tree: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tree)], check=True)
    (tree / ".gitignore").write_text("secret\n")
    (tree / "secret").write_text("x")
    assert tree_files(tree) == [".gitignore", "agents/a.py", "requirements.txt"]


def test_a_note_is_read_again_when_it_has_changed(tree: Path) -> None:
    noted = RecordedVersion(tree)
    assert noted.current_digest() == ""
    for content in ("1", "2"):
        (tree / "agents/a.py").write_text(content)
        version = compute_tree_version(tree)
        write_tree_version(tree, version)
        assert noted.current_digest() == version.tree
        assert read_tree_version(tree) == version
    assert tree_files(tree) == ["agents/a.py", "requirements.txt"]


@given(st.binary(max_size=80))
def test_what_is_no_note_says_nothing(data: bytes) -> None:
    assert decode_tree_version(data) is None or isinstance(decode_tree_version(data), TreeVersion)
