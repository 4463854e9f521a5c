"""Acceptance scenario: its counts on a tree that is small enough to count by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
OWN = "import zmq\n\n\ndef ask():\n    context = zmq.Context()\n    return context.socket(zmq.PUB)\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    place = tmp_path / "a tree"
    place.mkdir()
    (place / "own.py").write_text(OWN)
    (place / "torn.py").write_text("def f():\n    start()    end()\n\n\nf()\n")
    (place / "lost.py").write_text("def (((:\n")
    (place / "Procfile").write_text("own: python own.py\n")
    return place


def promised(tree: Path, *words: str) -> dict[str, Any]:
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "scenarios/acceptance/acceptance.py"),
            "--tree",
            str(tree),
            "--json",
            *words,
        ],
        env={**os.environ, "XDG_CACHE_HOME": str(tree.parent / "cache")},
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_acceptance_counts_before_and_after_refit(tree: Path) -> None:
    before = {path.name: path.read_bytes() for path in tree.iterdir()}
    told = promised(tree)
    assert told["argosy"] == "promises/1"
    assert [told[when]["files"] for when in ("before", "readable", "after")] == [3, 3, 3]
    assert [told[when]["unparseable"] for when in ("before", "readable", "after")] == [2, 1, 1]
    assert [told[when]["contexts"] for when in ("before", "readable", "after")] == [1, 1, 0]
    refit = told["refit"]
    assert (refit["changed"], refit["newly_broken"], refit["newly_undefined"]) == (1, 0, 0)
    assert (refit["second_run"], refit["left_by_undo"]) == (0, 0)
    assert told["memory"]["own_threads"] == 100
    assert told["memory"]["shared_threads"] <= 2
    assert {path.name: path.read_bytes() for path in tree.iterdir()} == before, "the tree itself is left"


def test_acceptance_accepts_archive(tree: Path) -> None:
    archive = tree.parent / "tree.tar.xz"
    with tarfile.open(archive, "w:xz") as file:
        file.add(tree, ".")
    assert promised(archive, "--config", "Procfile")["after"]["contexts"] == 0
