"""Search for sources in directories: which files are read, which are skipped, and the report."""

from __future__ import annotations

import os

import pytest

from argosy.fault import InputError
from fleet.importers.import_tree import Tree

ONE = "agents: {A: {script: a.py, port: 1}}\n"


def test_search_prefers_file_whose_name_others_extend(tree: Tree) -> None:
    tree.write("a.py")
    tree.write("config/startup.yaml", ONE)
    tree.write("config/startup.v2.yaml", ONE.replace("port: 1", "port: 2"))
    tree.write("config/startup_fixed.yaml", ONE)
    tree.write("config/mini.yaml", ONE)
    imported = tree.read(".")
    assert imported.plan.sources == ("config/startup.yaml",)
    left = {one.where: one.what for one in imported.plan.decisions if "not imported" in one.what}
    assert set(left) == {"config/startup.v2.yaml", "config/startup_fixed.yaml", "config/mini.yaml"}
    assert "1 of them differently (`A`)" in left["config/startup.v2.yaml"]
    assert "identically" in left["config/mini.yaml"]


def test_search_reads_all_files_without_common_agent(tree: Tree) -> None:
    tree.write("a.py")
    tree.write("one.yaml", ONE)
    tree.write("Procfile", "b: redis-server\n")
    assert set(tree.read(".").fleet.agents) == {"A", "b"}


def test_search_reads_only_directory_and_config_directories(tree: Tree) -> None:
    tree.write("a.py")
    tree.write("box/config/s.yaml", ONE)
    for path in ("box/data/s.yaml", ".hidden/config/s.yaml", "1/2/3/4/config/s.yaml", "venv/config/s.yaml"):
        tree.write(path, ONE.replace("A:", "No:"))
    assert list(tree.read(".").fleet.agents) == ["A"]


def test_search_reports_files_without_agents_or_with_errors(tree: Tree) -> None:
    tree.write("a.py")
    tree.write("s.yaml", ONE)
    tree.write("settings.yaml", "key: value\n")
    tree.write("fleet.yaml", "fleet: f\nagents: {A: {run: a.py}}\n")
    tree.write("bad.yaml", "a: [\n")
    imported = tree.read(".")
    assert imported.decision("without agents", "`settings.yaml`")
    assert imported.decision("this is already a fleet file").where == "fleet.yaml"
    assert imported.decision("not YAML").where.startswith("bad.yaml:")


def test_search_skips_file_whose_scripts_are_missing(tree: Tree) -> None:
    tree.write("a.py")
    tree.write("s.yaml", ONE)
    tree.write("old.yaml", "agents: {Old: {script: gone.py}}\n")
    imported = tree.read(".")
    assert list(imported.fleet.agents) == ["A"]
    assert imported.decision("none of its 1 scripts exists").where == "old.yaml"
    assert list(tree.read("old.yaml").fleet.agents) == ["Old"]


def test_search_without_result_reports_read_files(tree: Tree) -> None:
    tree.write("settings.yaml", "key: value\n")
    tree.write("bad.yaml", "a: [\n")
    with pytest.raises(InputError) as caught:
        tree.read(".")
    first, second = caught.value.faults
    assert first.code == "nothing-found"
    assert "`settings.yaml`" in first.message
    assert second.where.startswith("bad.yaml:")


def test_import_of_missing_path_is_error(tree: Tree) -> None:
    with pytest.raises(InputError) as caught:
        tree.read("nowhere.yaml")
    assert caught.value.faults[0].code == "no-file"


def test_import_rejects_pipe_without_waiting(tree: Tree) -> None:
    os.mkfifo(tree.folder / "pipe.yaml")
    with pytest.raises(InputError) as caught:
        tree.read("pipe.yaml")
    assert "neither a file nor a folder" in caught.value.faults[0].message


def test_file_named_twice_is_imported_once(tree: Tree) -> None:
    tree.write("a.py")
    tree.write("s.yaml", ONE)
    assert tree.read("s.yaml", ".").plan.sources == ("s.yaml",)
