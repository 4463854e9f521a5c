"""Startup check: which findings stop a program, in which order, and which only may."""

from __future__ import annotations

from pathlib import Path

import pytest

from argosy.source.file_facts import FileFactsCache
from argosy.source.import_graph import build_import_graph
from argosy.source.module_finder import ModuleFinder
from argosy.source.startup_check import StartupContext, StartupFinding, find_startup_findings


def findings(root: Path, files: dict[str, str], *, assumed: str = "") -> list[StartupFinding]:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    entry = next(iter(files))
    finder = ModuleFinder([str((root / entry).parent)], [str(root / assumed)])
    graph = build_import_graph(str(root / entry), finder, FileFactsCache())
    context = StartupContext(
        finder, str(root), {"numpy"}.__contains__, lambda path: str(Path(path).relative_to(root))
    )
    return list(find_startup_findings(graph, context))


def summarize(found: list[StartupFinding]) -> list[tuple[str, str, int, bool]]:
    return [(item.code, Path(item.path).name, item.line, item.is_certain) for item in found]


def test_sound_program_has_no_startup_findings(tmp_path: Path) -> None:
    assert findings(tmp_path, {"main.py": "import os, numpy, a\n", "a.py": "x = 1\n"}) == []


def test_startup_findings_are_in_execution_order(tmp_path: Path) -> None:
    files = {
        "main.py": "import sys\nimport a\njoin('x')\nfrom b import join\nimport absent\n",
        "a.py": "import c\n",
        "b.py": "def join(x): return nowhere\n",
        "c.py": "later\n",
    }
    assert summarize(findings(tmp_path, files)) == [
        ("S104", "c.py", 1, True),
        ("S102", "main.py", 3, True),
        ("I602", "main.py", 5, True),
        ("S104", "b.py", 1, False),
    ]


def test_unparsed_file_is_reported_at_its_import(tmp_path: Path) -> None:
    files = {"main.py": "import a\n", "a.py": "x = 1\nimport b\n", "b.py": "y = (\n"}
    (finding,) = findings(tmp_path, files)
    assert (finding.code, Path(finding.path).name, finding.line) == ("S101", "a.py", 2)
    assert "imports `b`, which does not parse: '(' was never closed (b.py:1:5)" in finding.message
    assert [Path(step.path).name for step in finding.import_chain] == ["main.py"]


def test_import_error_does_not_catch_a_syntax_error(tmp_path: Path) -> None:
    files = {"main.py": "try:\n    import a\nexcept ImportError:\n    pass\n", "a.py": "x = (\n"}
    (finding,) = findings(tmp_path, files)
    assert finding.is_certain
    files["main.py"] = "try:\n    import a\nexcept Exception:\n    pass\n"
    (finding,) = findings(tmp_path, files)
    assert not finding.is_certain


@pytest.mark.parametrize(
    ("text", "is_certain"),
    [
        ("import absent", True),
        ("try:\n    import absent\nexcept ImportError:\n    absent = None", False),
        ("def f():\n    import absent", False),
        ("if len('a'):\n    import absent", False),
        ("if __name__ == '__main__':\n    import absent", True),
    ],
)
def test_startup_check_reports_packages_not_installed(tmp_path: Path, text: str, is_certain: bool) -> None:
    assert summarize(findings(tmp_path, {"main.py": text})) == [
        ("I602", "main.py", text.count("\n", 0, text.index("import absent")) + 1, is_certain)
    ]


def test_startup_check_ignores_imports_of_other_platform(tmp_path: Path) -> None:
    assert (
        findings(tmp_path, {"main.py": "import sys\nif sys.platform == 'win32':\n    import win32com\n"})
        == []
    )


def test_startup_finding_is_reported_once_at_most_certain_place(tmp_path: Path) -> None:
    text = "def f():\n    import absent\nimport absent.more\nfrom absent import x\n"
    assert summarize(findings(tmp_path, {"main.py": text})) == [("I602", "main.py", 3, True)]


def test_undefined_name_hint_offers_import(tmp_path: Path) -> None:
    files = {"main.py": "import paths\nget_root()\nget_rooot()\n", "paths.py": "def get_root(): pass\n"}
    first, second = findings(tmp_path, files)
    assert first.hint == "from paths import get_root"
    assert second.hint == ""


def test_missing_name_hint_offers_similar_name(tmp_path: Path) -> None:
    (finding,) = findings(tmp_path, {"main.py": "from a import Colour\n", "a.py": "class Color: pass\n"})
    assert (finding.code, finding.hint) == ("S103", "did you mean `Color`?")


def test_package_outside_sys_path_hint_offers_pythonpath(tmp_path: Path) -> None:
    files = {"agents/main.py": "import lib.a\n", "lib/__init__.py": "", "lib/a.py": ""}
    (finding,) = findings(tmp_path, files)
    assert (finding.code, finding.is_certain, finding.hint) == ("S103", True, "env: {PYTHONPATH: .}")
    files["agents/main.py"] = "import sys\nsys.path.insert(0, somewhere())\nimport lib.a\n"
    assert "S103" not in {item.code for item in findings(tmp_path, files)}
