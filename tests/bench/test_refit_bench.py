"""Sample tree of the refit bench: complete, deterministic, with a known number of broken files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(
    str(Path(__file__).resolve().parents[2] / "bench")
)  # behind the tests, which have rooms of the same names

from argosy.fault import InputError
from argosy.fleet import load_fleet
from refit_cases.sample_trees import AGENTS, BROKEN_EVERY, generate_tree, unpack_tree
from refit_cases.tree_effects import compiles, digests, new_undefined, undefined_names


def test_generated_tree_is_deterministic_with_known_broken_files(tmp_path: Path) -> None:
    generate_tree(tmp_path / "one")
    generate_tree(tmp_path / "two")
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    scripts = list((tmp_path / "one").rglob("*.py"))
    broken = [path for path in scripts if not compiles(path)]
    assert (len(scripts), len(broken)) == (AGENTS, AGENTS // BROKEN_EVERY)
    assert len(load_fleet(tmp_path / "one/fleet.yaml").agents) == AGENTS


def test_new_undefined_counts_names_that_change_left_undefined(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("def f():\n    return gone\n")
    before = {"a.py": undefined_names(path)}
    path.write_text("def f():\n    return gone, lost, lost\n")
    assert new_undefined(before, tmp_path, ["a.py"]) == 2


def test_unpack_tree_refuses_file_that_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("no archive")
    with pytest.raises(InputError, match="neither a folder nor an archive"):
        unpack_tree(tmp_path / "x", tmp_path / "y")
