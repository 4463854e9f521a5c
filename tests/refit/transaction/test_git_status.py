"""Git status: which files of a tree have uncommitted changes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from argosy.fault import RefusedError
from argosy.refit.transaction.git_status import find_uncommitted
from rig.needs import needs

pytestmark = needs("git")


def git(root: Path, *words: str) -> None:
    names = ["-c", "user.name=n", "-c", "user.email=e", "-c", "protocol.file.allow=always"]
    surroundings = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(
        ["git", "-C", str(root), *names, *words], check=True, capture_output=True, env=surroundings
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with two saved files, one in a folder."""
    root = tmp_path / "tree"
    (root / "in").mkdir(parents=True)
    (root / "a.py").write_text("a = 1\n")
    (root / "in" / "b.py").write_text("b = 1\n")
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "first")
    return root


def test_committed_tree_has_no_uncommitted_files(tree: Path) -> None:
    assert find_uncommitted(str(tree), ["a.py", "in/b.py"]) == ()
    assert find_uncommitted(str(tree / "in"), ["b.py"]) == ()


def test_find_uncommitted_ignores_files_not_to_be_written(tree: Path) -> None:
    """Who builds a package has an `x.egg-info` beside it, and notes of their own."""
    (tree / "x.egg-info").mkdir()
    (tree / "x.egg-info" / "PKG-INFO").write_text("")
    (tree / "in" / "b.py").write_text("b = 2\n")
    assert find_uncommitted(str(tree), ["a.py"]) == ()
    assert find_uncommitted(str(tree), ["a.py", "in/b.py"]) == ("in/b.py",)
    assert find_uncommitted(str(tree / "in"), ["b.py"]) == ("b.py",)


def test_find_uncommitted_reports_every_kind_of_change(tree: Path) -> None:
    (tree / "a.py").write_text("a = 2\n")
    assert find_uncommitted(str(tree), ["a.py", "in/b.py"]) == ("a.py",)
    git(tree, "add", "a.py")
    assert find_uncommitted(str(tree), ["a.py", "in/b.py"]) == ("a.py",)
    git(tree, "commit", "-qm", "second")
    git(tree, "mv", "in/b.py", "in/c d.py")
    assert find_uncommitted(str(tree), ["a.py", "in/c d.py"]) == ("in/c d.py",)
    (tree / "new.py").write_text("")
    (tree / "größe\n.py").write_text("")
    changing = ["a.py", "in/c d.py", "new.py", "größe\n.py"]
    assert set(find_uncommitted(str(tree), changing)) == {"in/c d.py", "new.py", "größe\n.py"}


def test_find_uncommitted_reports_ignored_file(tree: Path) -> None:
    (tree / ".gitignore").write_text("made.py\nin/\n")
    git(tree, "add", "-A")
    git(tree, "commit", "-qm", "second")
    (tree / "made.py").write_text("x = 1\n")
    # in/b.py was saved before its folder was ignored.
    assert find_uncommitted(str(tree), ["a.py", "made.py", "in/b.py"]) == ("made.py",)


def test_find_uncommitted_reports_removed_and_replaced_file(tree: Path) -> None:
    (tree / "a.py").unlink()
    assert find_uncommitted(str(tree), ["a.py"]) == ("a.py",)
    (tree / "a.py").symlink_to("in/b.py")
    assert find_uncommitted(str(tree), ["a.py"]) == ("a.py",)


def test_repository_without_commit_has_only_uncommitted_files(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("")
    git(tmp_path, "init", "-q")
    assert find_uncommitted(str(tmp_path), ["a.py"]) == ("a.py",)


def test_find_uncommitted_reports_changes_in_submodule(tree: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "c.py").write_text("c = 1\n")
    git(other, "init", "-q", "-b", "main")
    git(other, "add", "-A")
    git(other, "commit", "-qm", "first")
    git(tree, "submodule", "add", "-q", str(other), "sub")
    git(tree, "commit", "-qm", "with a submodule")
    assert find_uncommitted(str(tree), ["a.py", "sub/c.py"]) == ()
    (tree / "sub" / "d.py").write_text("")
    assert find_uncommitted(str(tree), ["a.py", "sub/c.py"]) == ()
    (tree / "sub" / "c.py").write_text("c = 2\n")
    assert find_uncommitted(str(tree), ["a.py", "sub/c.py"]) == ("sub/c.py",)
    (tree / "a.py").write_text("a = 2\n")
    assert find_uncommitted(str(tree), ["a.py", "sub/c.py"]) == ("a.py", "sub/c.py")


def test_find_uncommitted_reports_merge_conflict(tree: Path) -> None:
    git(tree, "checkout", "-qb", "side")
    (tree / "a.py").write_text("a = 'side'\n")
    git(tree, "commit", "-qam", "side")
    git(tree, "checkout", "-q", "main")
    (tree / "a.py").write_text("a = 'main'\n")
    git(tree, "commit", "-qam", "main")
    with pytest.raises(subprocess.CalledProcessError):
        git(tree, "merge", "-q", "side")
    assert find_uncommitted(str(tree), ["a.py"]) == ("a.py",)


def test_find_uncommitted_is_empty_without_repository_or_git(
    tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "outside").mkdir()
    assert find_uncommitted(str(tmp_path / "outside"), ["a.py"]) == ()
    (tree / "a.py").write_text("a = 2\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_uncommitted(str(tree), ["a.py"]) == ()


def test_find_uncommitted_refuses_corrupt_repository(tree: Path) -> None:
    (tree / ".git" / "config").write_text("[core")
    with pytest.raises(RefusedError, match="`git status` fails"):
        find_uncommitted(str(tree), ["a.py"])
