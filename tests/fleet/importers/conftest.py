"""A tree of files to import."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet.importers.import_tree import Read, Tree


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """A folder to import from, the current one, so that places are relative to it."""
    monkeypatch.chdir(tmp_path)
    return Tree(tmp_path)


@pytest.fixture
def read(tree: Tree) -> Read:
    """Write one file and import it."""
    return tree.read_text
