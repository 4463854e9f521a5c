"""Git is asked, and nothing that a stranger's repository names is run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from argosy.refit.transaction.git_status import find_uncommitted
from argosy.source.git_tree import run_git, tree_files


@pytest.fixture
def strange(tmp_path: Path) -> Path:
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


def test_a_program_that_the_tree_names_is_not_run(strange: Path) -> None:
    assert tree_files(strange) == ["a.py"]
    assert find_uncommitted(str(strange), ("a.py",)) == ("a.py",)
    assert run_git(strange, "status").returncode == 0
    assert not (strange.parent / "ran").exists()
    subprocess.run(["git", "-C", str(strange), "status"], check=True, capture_output=True)
    assert (strange.parent / "ran").exists(), "git alone would have run it"


def test_a_hook_s_own_repository_is_not_taken_for_the_tree_s(
    strange: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(strange.parent / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(strange.parent / "elsewhere" / "index"))
    assert tree_files(strange) == ["a.py"]
