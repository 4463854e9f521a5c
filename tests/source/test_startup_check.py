"""Findings of a program: what stops it, in which order, and what only may."""

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
    closure = build_import_graph(str(root / entry), finder, FileFactsCache())
    setting = StartupContext(
        finder, str(root), {"numpy"}.__contains__, lambda path: str(Path(path).relative_to(root))
    )
    return list(find_startup_findings(closure, setting))


def told(found: list[StartupFinding]) -> list[tuple[str, str, int, bool]]:
    return [(item.code, Path(item.path).name, item.line, item.is_certain) for item in found]


def test_a_sound_program_has_none(tmp_path: Path) -> None:
    assert findings(tmp_path, {"main.py": "import os, numpy, a\n", "a.py": "x = 1\n"}) == []


def test_findings_stand_in_the_order_in_which_the_program_meets_them(tmp_path: Path) -> None:
    files = {
        "main.py": "import sys\nimport a\njoin('x')\nfrom b import join\nimport absent\n",
        "a.py": "import c\n",
        "b.py": "def join(x): return nowhere\n",
        "c.py": "later\n",
    }
    assert told(findings(tmp_path, files)) == [
        ("S104", "c.py", 1, True),
        ("S102", "main.py", 3, True),
        ("I602", "main.py", 5, True),
        ("S104", "b.py", 1, False),
    ]


def test_a_file_that_does_not_parse_is_told_where_it_is_imported(tmp_path: Path) -> None:
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
def test_packages_that_are_not_installed(tmp_path: Path, text: str, is_certain: bool) -> None:
    assert told(findings(tmp_path, {"main.py": text})) == [
        ("I602", "main.py", text.count("\n", 0, text.index("import absent")) + 1, is_certain)
    ]


def test_platform_imports_are_not_asked_for(tmp_path: Path) -> None:
    assert (
        findings(tmp_path, {"main.py": "import sys\nif sys.platform == 'win32':\n    import win32com\n"})
        == []
    )


def test_a_subject_is_told_once_for_a_file_at_its_surest_place(tmp_path: Path) -> None:
    text = "def f():\n    import absent\nimport absent.more\nfrom absent import x\n"
    assert told(findings(tmp_path, {"main.py": text})) == [("I602", "main.py", 3, True)]


def test_a_name_that_one_file_defines_is_offered(tmp_path: Path) -> None:
    files = {"main.py": "import paths\nget_root()\nget_rooot()\n", "paths.py": "def get_root(): pass\n"}
    first, second = findings(tmp_path, files)
    assert first.hint == "from paths import get_root"
    assert second.hint == ""


def test_a_missing_name_offers_the_nearest(tmp_path: Path) -> None:
    (finding,) = findings(tmp_path, {"main.py": "from a import Colour\n", "a.py": "class Color: pass\n"})
    assert (finding.code, finding.hint) == ("S103", "did you mean `Color`?")


def test_a_package_beside_sys_path(tmp_path: Path) -> None:
    files = {"agents/main.py": "import lib.a\n", "lib/__init__.py": "", "lib/a.py": ""}
    (finding,) = findings(tmp_path, files)
    assert (finding.code, finding.is_certain, finding.hint) == ("S103", True, "env: {PYTHONPATH: .}")
    files["agents/main.py"] = "import sys\nsys.path.insert(0, somewhere())\nimport lib.a\n"
    assert "S103" not in {item.code for item in findings(tmp_path, files)}
