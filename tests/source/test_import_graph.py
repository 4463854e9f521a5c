"""Import graph: which files are reached, how certainly, and which imports are missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from argosy.source.file_facts import FileFactsCache
from argosy.source.import_graph import (
    ImportGraph,
    LoadCertainty,
    build_import_graph,
    build_module_import_graph,
)
from argosy.source.module_finder import ModuleFinder


def write_files(root: Path, files: dict[str, str]) -> Path:
    """Write a tree of files."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def graph_of(root: Path, files: dict[str, str], entry: str = "main.py") -> ImportGraph:
    write_files(root, files)
    return build_import_graph(
        str(root / entry), ModuleFinder([str((root / entry).parent), str(root)]), FileFactsCache()
    )


def reached(closure: ImportGraph, root: Path) -> dict[str, LoadCertainty]:
    return {str(Path(path).relative_to(root)): node.certainty for path, node in closure.nodes.items()}


def test_import_graph_includes_parent_packages(tmp_path: Path) -> None:
    files = {
        "main.py": "import a.b.c\nfrom d import e, f\n",
        "a/__init__.py": "",
        "a/b/__init__.py": "",
        "a/b/c.py": "from . import sibling\nfrom ..top import x\n",
        "a/b/sibling.py": "",
        "a/top.py": "x = 1\n",
        "d/__init__.py": "f = 1\n",
        "d/e.py": "",
    }
    closure = graph_of(tmp_path, files)
    assert set(reached(closure, tmp_path)) == set(files)
    assert closure.missing_imports == ()
    assert closure.external_imports == ()
    assert closure.entry.path == str(tmp_path / "main.py")


def test_import_graph_keeps_most_certain_import_chain(tmp_path: Path) -> None:
    files = {
        "main.py": "def f():\n    import x\ntry:\n    import y\nexcept ImportError:\n    pass\nimport z\n",
        "x.py": "",
        "y.py": "import x\n",
        "z.py": "import w\n",
        "w.py": "import y\n",
    }
    closure = graph_of(tmp_path, files)
    assert reached(closure, tmp_path) == dict.fromkeys(files, LoadCertainty.CERTAIN)
    node = closure.nodes[str(tmp_path / "x.py")]
    assert [(Path(step.path).name, step.line) for step in node.import_chain] == [
        ("main.py", 7), ("z.py", 1), ("w.py", 1), ("y.py", 1)
    ]  # fmt: skip


def test_guarded_import_makes_its_imports_guarded(tmp_path: Path) -> None:
    files = {
        "main.py": "try:\n    import a\nexcept ImportError:\n    pass\n",
        "a.py": "import b\n",
        "b.py": "import nowhere\n",
    }
    closure = graph_of(tmp_path, files)
    assert reached(closure, tmp_path)["b.py"] is LoadCertainty.GUARDED
    (external,) = closure.external_imports
    assert (external.top, external.caught) == ("nowhere", {"ImportError"})


def test_import_graph_classifies_lazy_typing_and_main_imports(tmp_path: Path) -> None:
    files = {
        "main.py": "from typing import TYPE_CHECKING\nimport m\nif TYPE_CHECKING:\n    import t\n"
        "def f():\n    import lazy\nif __name__ == '__main__':\n    import started\n",
        "m.py": "if __name__ == '__main__':\n    import never\n",
        "t.py": "",
        "lazy.py": "",
        "started.py": "",
        "never.py": "",
    }
    assert reached(graph_of(tmp_path, files), tmp_path) == {
        "main.py": LoadCertainty.CERTAIN,
        "m.py": LoadCertainty.CERTAIN,
        "started.py": LoadCertainty.CERTAIN,
        "lazy.py": LoadCertainty.POSSIBLE,
    }


def test_import_graph_handles_cycles_and_self_imports(tmp_path: Path) -> None:
    files = {"main.py": "import a\nimport main\n", "a.py": "import b\n", "b.py": "import a, main\n"}
    assert set(reached(graph_of(tmp_path, files), tmp_path)) == set(files)


@pytest.mark.parametrize(
    ("line", "why", "module", "name"),
    [
        ("import pkg.none", "module", "pkg.none", ""),
        ("import pkg.none.more", "module", "pkg.none", ""),
        ("import one.two", "module", "one.two", ""),
        ("from pkg import none", "name", "pkg", "none"),
        ("from one import none", "name", "one", "none"),
        ("from space.none import x", "module", "space.none", ""),
        ("from space import none", "name", "space", "none"),
        ("from . import one", "package", ".", ""),
        ("from .one import x", "package", ".one", ""),
    ],
)
def test_import_graph_reports_missing_imports(
    tmp_path: Path, line: str, why: str, module: str, name: str
) -> None:
    files = {
        "main.py": line + "\n",
        "pkg/__init__.py": "x = 1\n",
        "one.py": "x = 1\n",
        "space/inner.py": "",
    }
    (missing,) = graph_of(tmp_path, files).missing_imports
    assert (missing.reason, missing.module, missing.name, missing.certainty) == (
        why,
        module,
        name,
        LoadCertainty.CERTAIN,
    )


@pytest.mark.parametrize(
    "text",
    [
        "from m import *\n",
        "exec('x = 1')\n",
        "globals()['x'] = 1\n",
        "def __getattr__(name): return 1\n",
        "def f():\n    global x\n    x = 1\nf()\n",
        "if len('a'):\n    x = 1\n",
        "for x in (1,): pass\n",
        "import a as x\n",
        "def x(:\n",
    ],
)
def test_import_graph_accepts_name_module_may_bind(tmp_path: Path, text: str) -> None:
    files = {"main.py": "from a import x\nfrom a import __name__, __file__\n", "a.py": text, "m.py": ""}
    assert graph_of(tmp_path, files).missing_imports == ()


def test_directory_without_python_files_is_no_package(tmp_path: Path) -> None:
    write_files(tmp_path, {"docker/Dockerfile": "FROM x\n"})
    closure = graph_of(tmp_path, {"main.py": "import docker\nfrom docker import client\n"})
    assert [item.top for item in closure.external_imports] == ["docker", "docker"]
    assert closure.missing_imports == ()


def test_relative_import_beyond_package_is_missing(tmp_path: Path) -> None:
    files = {"main.py": "import p.q\n", "p/__init__.py": "from . import q\n", "p/q.py": "from ... import x\n"}
    (missing,) = graph_of(tmp_path, files).missing_imports
    assert (missing.reason, missing.statement.line) == ("package", 1)


def test_module_import_graph_includes_parent_packages(tmp_path: Path) -> None:
    write_files(tmp_path, {"p/__init__.py": "import other\n", "p/m.py": "class A: pass\n", "other.py": ""})
    finder = ModuleFinder([str(tmp_path)])
    module = finder.find("p.m")
    assert module is not None
    closure = build_module_import_graph(module, finder, FileFactsCache())
    assert set(reached(closure, tmp_path)) == {"p/__init__.py", "p/m.py", "other.py"}
    assert closure.entry.path == str(tmp_path / "p/m.py")


def test_file_facts_cache_reads_file_once(tmp_path: Path) -> None:
    write_files(tmp_path, {"one.py": "import shared\n", "two.py": "import shared\n", "shared.py": ""})
    cache, finder = FileFactsCache(), ModuleFinder([str(tmp_path)])
    build_import_graph(str(tmp_path / "one.py"), finder, cache)
    (tmp_path / "shared.py").write_text("def broken(:\n")
    closure = build_import_graph(str(tmp_path / "two.py"), finder, cache)
    assert closure.nodes[str(tmp_path / "shared.py")].facts is cache.facts(str(tmp_path / "shared.py"))
