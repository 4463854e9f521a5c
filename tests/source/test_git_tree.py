"""Git tree: git is used without running programs that a foreign repository configures."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from argosy.refit.transaction.git_status import find_uncommitted
from argosy.source.git_tree import run_git, tree_files


@pytest.fixture
def hostile_tree(tmp_path: Path) -> Path:
    """A repository whose settings name a program, which leaves a mark when it runs."""
    tree = tmp_path / "a tree"
    tree.mkdir()
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\n")
    program.chmod(0o755)
    subprocess.run(["git", "init", "-q", str(tree)], check=True)
    subprocess.run(["git", "-C", str(tree), "config", "core.fsmonitor", str(program)], check=True)
    (tree / "a.py").write_text("x = 1\n")
    subprocess.run(["git", "-C", str(tree), "add", "a.py"], check=True)
    (tmp_path / "ran").unlink(missing_ok=True)
    return tree


def test_git_runs_no_program_configured_by_tree(hostile_tree: Path) -> None:
    assert tree_files(hostile_tree) == ["a.py"]
    assert find_uncommitted(str(hostile_tree), ("a.py",)) == ("a.py",)
    assert run_git(hostile_tree, "status").returncode == 0
    assert not (hostile_tree.parent / "ran").exists()
    subprocess.run(["git", "-C", str(hostile_tree), "status"], check=True, capture_output=True)
    assert (hostile_tree.parent / "ran").exists(), "git alone would have run it"


def test_git_ignores_repository_variables_of_hook(
    hostile_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(hostile_tree.parent / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(hostile_tree.parent / "elsewhere" / "index"))
    assert tree_files(hostile_tree) == ["a.py"]
