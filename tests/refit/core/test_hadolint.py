"""Hadolint in an audit: installed, missing, failing, and installed later."""

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
def program_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder in which programs are looked for; nothing is in it."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python" / "python"))
    monkeypatch.setenv("PATH", str(folder))
    return folder


def write_hadolint(folder: Path, *lines: str) -> None:
    """Put a program called hadolint into a folder. lines: of the shell."""
    path = folder / "hadolint"
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)


def hadolint_findings(report: AuditReport) -> list[tuple[str, int, str]]:
    return [(item.path, item.line, item.symbol) for item in report.findings if item.code == "I604"]


def test_audit_without_hadolint_reports_skipped_rule_once(tree: Path, program_dir: Path) -> None:
    (tree / "Dockerfile").write_text("FROM python\nCMD\n")
    report = audit(tree, processes=1)
    assert report.skipped_rules["I604"] == describe_missing_hadolint() != ""
    assert [(item.code, item.line) for item in report.findings] == [("I603", 2)]


def test_audit_without_dockerfile_does_not_mention_hadolint(
    tree: Path, program_dir: Path, tmp_path: Path
) -> None:
    for path in tree.rglob("*ockerfile"):
        path.unlink()
    cache = tmp_path / "cache"
    assert "I604" not in audit(tree, cache_dir=cache, processes=1).skipped_rules
    (tree / "Dockerfile").write_text(PLAIN)
    assert audit(tree, cache_dir=cache, processes=1).skipped_rules["I604"] == describe_missing_hadolint()


def test_cached_audit_notices_hadolint_installed_and_removed(
    tree: Path, program_dir: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    assert hadolint_findings(audit(tree, cache_dir=cache, processes=1)) == []
    write_hadolint(program_dir, "while read line; do :; done", f"echo '{ANSWER}'")
    found = audit(tree, cache_dir=cache, processes=1)
    assert hadolint_findings(found) == [("Dockerfile", 1, "DL3004"), ("docker/b.Dockerfile", 1, "DL3004")]
    assert "I604" not in found.skipped_rules
    (program_dir / "hadolint").unlink()
    assert hadolint_findings(audit(tree, cache_dir=cache, processes=1)) == []


def test_cached_audit_passes_only_changed_files_to_hadolint(
    tree: Path, program_dir: Path, tmp_path: Path
) -> None:
    cache, log = tmp_path / "cache", tmp_path / "log"
    write_hadolint(program_dir, f"while read line; do echo \"$line\" >> '{log}'; done", f"echo '{ANSWER}'")
    audit(tree, cache_dir=cache, processes=1)
    assert sorted(log.read_text().splitlines()) == ["FROM python:3.12", "FROM python:3.12", "USER root"]
    log.unlink()
    (tree / "Dockerfile").write_text("FROM python:3.13\n")
    assert len(hadolint_findings(audit(tree, cache_dir=cache, processes=1))) == 2
    assert log.read_text() == "FROM python:3.13\n"


def test_audit_passes_many_files_to_one_hadolint_process(
    tree: Path, program_dir: Path, tmp_path: Path
) -> None:
    for number in range(9):
        (tree / f"{number}.Dockerfile").write_text(PLAIN + "RUN sudo make\n" * (number % 2))
    write_hadolint(
        program_dir,
        f"echo $# >> '{tmp_path / 'log'}'",
        'shift 3; between="["',
        'for path; do grep -n sudo "$path" | while IFS=: read line rest; do',
        """  printf '%s{"code":"DL3004","column":1,"file":"%s","level":"error","line":%s,"message":"no"}' """
        '"$between" "$path" "$line"; done; grep -q sudo "$path" && between=","; done; echo "]"',
    )
    report = audit(tree, processes=2)
    assert [path for path, line, _ in hadolint_findings(report) if line == 2] == [
        f"{n}.Dockerfile" for n in (1, 3, 5, 7)
    ]
    assert not report.result.failures
    assert (tmp_path / "log").read_text() == "14\n", "three words, and the eleven files"


def test_hadolint_failure_costs_one_file(tree: Path, program_dir: Path) -> None:
    for number in range(9):
        (tree / f"{number}.Dockerfile").write_text(PLAIN + "USER evil\n" * (number == 3))
    write_hadolint(program_dir, 'shift 3; cat "$@" | grep -q evil && exit 3', f"echo '{ANSWER}'")
    report = audit(tree, processes=2)
    assert [(item.code, item.path) for item in report.result.failures] == [("I604", "3.Dockerfile")]
    assert len(hadolint_findings(report)) == 10


@pytest.mark.parametrize("lines", [("echo no", "exit 3"), ("echo '[{}]'",), ("kill -9 $$",)], ids=str)
def test_audit_reports_broken_hadolint_and_continues(
    lines: tuple[str, ...], tree: Path, program_dir: Path
) -> None:
    write_hadolint(program_dir, "while read line; do :; done", *lines)
    (tree / "a.py").write_text("def f():\n    return missing\n")
    report = audit(tree, processes=1)
    assert [(item.code, item.path) for item in report.result.failures] == [
        ("I604", "Dockerfile"),
        ("I604", "docker/b.Dockerfile"),
    ]
    assert str(program_dir / "hadolint") in report.result.failures[0].message
    assert [item.code for item in report.findings] == ["S104"]


def test_audit_ignores_hadolint_of_tree(
    tree: Path, program_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_hadolint(tree, "exit 0")
    monkeypatch.chdir(tree)
    for words in (".", "", "bin:./:"):
        monkeypatch.setenv("PATH", words)
        assert find_hadolint() == ""


def test_audit_drops_hadolint_info_and_style(tree: Path, program_dir: Path) -> None:
    levels = {"error": 1, "warning": 2, "info": 3, "style": 4}
    told = ",".join(
        f'{{"code":"DL{line}","column":1,"level":"{level}","line":{line},"message":"a\\n b"}}'
        for level, line in levels.items()
    )
    write_hadolint(
        program_dir, "while read line; do :; done", f"printf '%s' '[{told}]'".replace("\\n", "\\\\n")
    )
    found = audit(tree, processes=1)
    assert [line for path, line, _ in hadolint_findings(found) if path == "Dockerfile"] == [1, 2]


def has_hadolint() -> bool:
    return bool(find_hadolint())


needs_hadolint = pytest.mark.skipif(not has_hadolint(), reason=describe_missing_hadolint())


@needs_hadolint
def test_damaged_dockerfile_has_no_hadolint_findings(tree: Path) -> None:
    (tree / "Dockerfile").write_text("FROM python:3.12\n    LANG=C \\\n    TZ=UTC\nRUN sudo make\nCMD\n")
    own = [item for item in audit(tree, processes=1).findings if item.path == "Dockerfile"]
    assert [(item.code, item.line) for item in own] == [("I603", 2), ("I603", 5)]


@needs_hadolint
def test_audit_honours_hadolint_config_of_tree(tree: Path, tmp_path: Path) -> None:
    cache, config = tmp_path / "cache", tree / ".hadolint.yaml"
    (tree / "Dockerfile").write_text("FROM python:3.12\nRUN sudo make\n")
    (tree / "docker" / "b.Dockerfile").write_text("FROM python:3.12\nRUN sudo make\n")
    assert [line for _, line, _ in hadolint_findings(audit(tree, cache_dir=cache, processes=1))] == [2, 2]
    config.write_text("ignored: [DL3004]\n")
    assert hadolint_findings(audit(tree, cache_dir=cache, processes=1)) == []
    config.write_text("ignored: [[\n")
    found = hadolint_findings(audit(tree, cache_dir=cache, processes=1))
    assert found == [
        (".hadolint.yaml", 1, "config"),
        ("Dockerfile", 2, "DL3004"),
        ("docker/b.Dockerfile", 2, "DL3004"),
    ]


@needs_hadolint
@pytest.mark.parametrize(
    "data", [b"", b"\0" * 4096, b"\xff\xfeF\0", b"\xef\xbb\xbfFROM python:3.12\r\n", b"RUN " * 99]
)
def test_hadolint_rule_never_fails_on_odd_files(data: bytes, tree: Path) -> None:
    (tree / "Dockerfile").write_bytes(data)
    assert audit(tree, processes=1).result.failures == ()
