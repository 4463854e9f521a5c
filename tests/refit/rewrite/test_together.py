"""Which files may share a process: each way to import is seen, and what cannot be meant is not."""

from __future__ import annotations

import pytest

from argosy.refit.rewrite.together import Together


@pytest.mark.parametrize(
    "line",
    [
        "import pack.it",
        "import os, pack.it as it",
        "from pack import it",
        "from pack import (\n    other,\n    it as that,\n)",
        "from pack.it import work",
        "from .it import work",
        "from . import it",
        "    from pack.it import work",
        "importlib.import_module('pack.it')",
        '__import__("pack.it")',
        "import it",
    ],
)
def test_an_import_is_seen(line: str) -> None:
    files = {"a.py": f"{line}\n".encode(), "root/pack/it.py": b"", "root/pack/far.py": b""}
    assert Together(files).met_by("root/pack/it.py") == {"a.py", "root/pack/it.py"}


@pytest.mark.parametrize(
    "line", ["import its", "from pack import other", "# import it", "from other.it import x"]
)
def test_what_is_not_meant_is_apart(line: str) -> None:
    files = {"a.py": f"{line}\n".encode(), "root/pack/it.py": b""}
    assert Together(files).met_by("root/pack/it.py") == {"root/pack/it.py"}


def test_who_imports_both_brings_them_together() -> None:
    files = {
        "both.py": b"import a\nimport b\n",
        "a.py": b"",
        "b.py": b"import c\n",
        "c.py": b"",
        "d.py": b"import c\n",
    }
    assert Together(files).met_by("a.py") == {"a.py", "b.py", "c.py", "both.py"}


def test_packages_are_loaded_on_the_way() -> None:
    files = {"a.py": b"from p.q import r\n", "p/__init__.py": b"import s\n", "p/q/r.py": b"", "s.py": b""}
    assert Together(files).met_by("p/q/r.py") == {"a.py", "p/__init__.py", "p/q/r.py", "s.py"}
