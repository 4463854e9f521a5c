"""What an audit does with hadolint: where it is, where it is not, and where it comes and goes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from argosy.refit.audit.tree_audit import AuditReport, audit
from argosy.refit.core.hadolint import describe_missing_hadolint, find_hadolint

PLAIN = "FROM python:3.12\n"
ANSWER = '[{"code":"DL3004","column":1,"file":"-","level":"error","line":1,"message":"no sudo"}]'


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "docker").mkdir(parents=True)
    (root / "Dockerfile").write_text(PLAIN)
    (root / "docker" / "b.Dockerfile").write_text(PLAIN + "USER root\n")
    return root


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder in which programs are looked for; nothing is in it."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python" / "python"))
    monkeypatch.setenv("PATH", str(folder))
    return folder


def put(folder: Path, *lines: str) -> None:
    """Put a program called hadolint into a folder. lines: of the shell."""
    path = folder / "hadolint"
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)


def remarks(report: AuditReport) -> list[tuple[str, int, str]]:
    return [(item.path, item.line, item.symbol) for item in report.findings if item.code == "I604"]


def test_without_it_that_is_told_once_and_the_rest_is_found(tree: Path, shelf: Path) -> None:
    (tree / "Dockerfile").write_text("FROM python\nCMD\n")
    report = audit(tree, processes=1)
    assert report.skipped_rules["I604"] == describe_missing_hadolint() != ""
    assert [(item.code, item.line) for item in report.findings] == [("I603", 2)]


def test_a_tree_without_a_dockerfile_hears_nothing_of_it(tree: Path, shelf: Path, tmp_path: Path) -> None:
    for path in tree.rglob("*ockerfile"):
        path.unlink()
    cache = tmp_path / "cache"
    assert "I604" not in audit(tree, cache_dir=cache, processes=1).skipped_rules
    (tree / "Dockerfile").write_text(PLAIN)
    assert audit(tree, cache_dir=cache, processes=1).skipped_rules["I604"] == describe_missing_hadolint()


def test_installing_and_removing_it_later_counts(tree: Path, shelf: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert remarks(audit(tree, cache_dir=cache, processes=1)) == []
    put(shelf, "while read line; do :; done", f"echo '{ANSWER}'")
    found = audit(tree, cache_dir=cache, processes=1)
    assert remarks(found) == [("Dockerfile", 1, "DL3004"), ("docker/b.Dockerfile", 1, "DL3004")]
    assert "I604" not in found.skipped_rules
    (shelf / "hadolint").unlink()
    assert remarks(audit(tree, cache_dir=cache, processes=1)) == []


def test_only_what_changed_is_shown_to_it(tree: Path, shelf: Path, tmp_path: Path) -> None:
    cache, log = tmp_path / "cache", tmp_path / "log"
    put(shelf, f"while read line; do echo \"$line\" >> '{log}'; done", f"echo '{ANSWER}'")
    audit(tree, cache_dir=cache, processes=1)
    assert sorted(log.read_text().splitlines()) == ["FROM python:3.12", "FROM python:3.12", "USER root"]
    log.unlink()
    (tree / "Dockerfile").write_text("FROM python:3.13\n")
    assert len(remarks(audit(tree, cache_dir=cache, processes=1))) == 2
    assert log.read_text() == "FROM python:3.13\n"


def test_many_are_shown_to_it_at_once(tree: Path, shelf: Path, tmp_path: Path) -> None:
    for number in range(9):
        (tree / f"{number}.Dockerfile").write_text(PLAIN + "RUN sudo make\n" * (number % 2))
    put(
        shelf,
        f"echo $# >> '{tmp_path / 'log'}'",
        'shift 3; between="["',
        'for path; do grep -n sudo "$path" | while IFS=: read line rest; do',
        """  printf '%s{"code":"DL3004","column":1,"file":"%s","level":"error","line":%s,"message":"no"}' """
        '"$between" "$path" "$line"; done; grep -q sudo "$path" && between=","; done; echo "]"',
    )
    report = audit(tree, processes=2)
    assert [path for path, line, _ in remarks(report) if line == 2] == [
        f"{n}.Dockerfile" for n in (1, 3, 5, 7)
    ]
    assert not report.result.failures
    assert (tmp_path / "log").read_text() == "14\n", "three words, and the eleven files"


def test_one_that_it_fails_on_costs_none_of_the_others(tree: Path, shelf: Path) -> None:
    for number in range(9):
        (tree / f"{number}.Dockerfile").write_text(PLAIN + "USER evil\n" * (number == 3))
    put(shelf, 'shift 3; cat "$@" | grep -q evil && exit 3', f"echo '{ANSWER}'")
    report = audit(tree, processes=2)
    assert [(item.code, item.path) for item in report.result.failures] == [("I604", "3.Dockerfile")]
    assert len(remarks(report)) == 10


@pytest.mark.parametrize("lines", [("echo no", "exit 3"), ("echo '[{}]'",), ("kill -9 $$",)], ids=str)
def test_one_that_does_not_work_is_told_and_stops_nothing(
    lines: tuple[str, ...], tree: Path, shelf: Path
) -> None:
    put(shelf, "while read line; do :; done", *lines)
    (tree / "a.py").write_text("def f():\n    return missing\n")
    report = audit(tree, processes=1)
    assert [(item.code, item.path) for item in report.result.failures] == [
        ("I604", "Dockerfile"),
        ("I604", "docker/b.Dockerfile"),
    ]
    assert str(shelf / "hadolint") in report.result.failures[0].message
    assert [item.code for item in report.findings] == ["S104"]


def test_the_tree_cannot_bring_its_own(tree: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tree, "exit 0")
    monkeypatch.chdir(tree)
    for words in (".", "", "bin:./:"):
        monkeypatch.setenv("PATH", words)
        assert find_hadolint() == ""


def test_levels_info_and_style_are_not_told(tree: Path, shelf: Path) -> None:
    levels = {"error": 1, "warning": 2, "info": 3, "style": 4}
    told = ",".join(
        f'{{"code":"DL{line}","column":1,"level":"{level}","line":{line},"message":"a\\n b"}}'
        for level, line in levels.items()
    )
    put(shelf, "while read line; do :; done", f"printf '%s' '[{told}]'".replace("\\n", "\\\\n"))
    found = audit(tree, processes=1)
    assert [line for path, line, _ in remarks(found) if path == "Dockerfile"] == [1, 2]


def real() -> bool:
    return bool(find_hadolint())


needs_it = pytest.mark.skipif(not real(), reason=describe_missing_hadolint())


@needs_it
def test_a_damaged_file_is_told_once(tree: Path) -> None:
    (tree / "Dockerfile").write_text("FROM python:3.12\n    LANG=C \\\n    TZ=UTC\nRUN sudo make\nCMD\n")
    own = [item for item in audit(tree, processes=1).findings if item.path == "Dockerfile"]
    assert [(item.code, item.line) for item in own] == [("I603", 2), ("I603", 5)]


@needs_it
def test_what_the_tree_says_to_it_counts(tree: Path, tmp_path: Path) -> None:
    cache, config = tmp_path / "cache", tree / ".hadolint.yaml"
    (tree / "Dockerfile").write_text("FROM python:3.12\nRUN sudo make\n")
    (tree / "docker" / "b.Dockerfile").write_text("FROM python:3.12\nRUN sudo make\n")
    assert [line for _, line, _ in remarks(audit(tree, cache_dir=cache, processes=1))] == [2, 2]
    config.write_text("ignored: [DL3004]\n")
    assert remarks(audit(tree, cache_dir=cache, processes=1)) == []
    config.write_text("ignored: [[\n")
    found = remarks(audit(tree, cache_dir=cache, processes=1))
    assert found == [
        (".hadolint.yaml", 1, "config"),
        ("Dockerfile", 2, "DL3004"),
        ("docker/b.Dockerfile", 2, "DL3004"),
    ]


@needs_it
@pytest.mark.parametrize(
    "data", [b"", b"\0" * 4096, b"\xff\xfeF\0", b"\xef\xbb\xbfFROM python:3.12\r\n", b"RUN " * 99]
)
def test_odd_files_fail_nothing(data: bytes, tree: Path) -> None:
    (tree / "Dockerfile").write_bytes(data)
    assert audit(tree, processes=1).result.failures == ()
