"""Interpreter independence: findings are the same in every Python, and caches are not shared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from argosy.refit.audit.tree_audit import audit as audit_here
from rig.interpreters import other_complete

_KINDS = (
    "self.x{at} = log.info(f'{{a!r:>{{b}}}} and {{b}}', a)",
    "if not a or b > {at}: self.stop(key='{at}', other={at})",
    "found = [super().get(each, {at}) for each in a if each]",
    "with open(a) as file, self.lock: file.write('{at}' + b)",
    "for each in a: b += each.x if each else -{at}",
    "assert await self.ask(a, *b, **self.more), 'none of {at}'",
    "try: a[{at}] = b.y\n    except ValueError as error: raise Wrong(b) from error\n    finally: self.z()",
    "while a: a, b = b, a - {at}",
)
_SIZES = range(1, 9)


def write_tree(root: Path) -> None:
    """Write functions of each size and kind, each in two files, other names and constants in the second."""
    for name, head in (("one", "import log"), ("two", "from elsewhere import Wrong")):
        text = [head]
        for kind, pattern in enumerate(_KINDS):
            for size in _SIZES:
                lines = [pattern.format(at=1000 * (name == "two") + at) for at in range(size)]
                body = "\n    ".join([f"'''Text of {name}.'''", "a", "b", *lines])
                text.append(f"async def {name}{kind}x{size}(self, a: '{name}', b):\n    {body}\n")
        (root / f"{name}.py").write_text("\n".join(text))
    # Parses since 3.12 alone: what is found here is the interpreter's own.
    (root / "new.py").write_text("x = f'{', '.join(a)}'\ndef f():\n    return missing\n")


def audit(python: str, root: Path, cache: Path, *words: str) -> dict[str, Any]:
    command = [python, "-c", "import sys; from argosy.cli import main; sys.exit(main())"]
    done = subprocess.run(
        [*command, "audit", str(root), "--json", *words],
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode in (0, 1), done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    root.mkdir()
    write_tree(root)
    return root


def test_audit_finds_same_copies_in_every_python(tree: Path, tmp_path: Path) -> None:
    own, other = (
        [item for item in audit(python, tree, tmp_path / name)["findings"] if item["path"] != "new.py"]
        for name, python in (("a", sys.executable), ("b", other_complete()))
    )
    copies = [item["symbol"] for item in own if item["code"] == "C701"]
    assert 0 < len(copies) < 2 * len(_KINDS) * len(_SIZES)  # some are too small
    groups = [
        sorted((item["path"], item["symbol"]) for item in found if item["group"] == group)
        for found in (own, other)
        for group in {item["group"] for item in found if item["code"] == "C701"}
    ]
    assert all(groups.count(each) == 2 for each in groups)
    for item in (*own, *other):
        item.pop("group")
    assert own == other


def test_audit_cache_is_separate_for_each_python(tree: Path, tmp_path: Path) -> None:
    both = (sys.executable, other_complete())
    alone = [
        audit(python, tree, tmp_path / name)["findings"] for name, python in zip("ab", both, strict=True)
    ]
    for _ in range(2):
        for python, expected in zip(both, alone, strict=True):
            assert audit(python, tree, tmp_path / "shared")["findings"] == expected


def test_baseline_holds_for_every_python(tree: Path, tmp_path: Path) -> None:
    (tree / "new.py").unlink()
    known = ("--baseline", str(tmp_path / "known.json"))
    written = audit(sys.executable, tree, tmp_path / "a", *known, "--write-baseline")
    held = audit(other_complete(), tree, tmp_path / "b", *known)
    assert held["findings"] == []
    assert held["gone"] == []
    assert held["known"] == written["known"] > 0


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("'''Text.'''", "'''Another.'''", "all"),
        ("b = 2", "# two\n\n    b = 2", "all"),
        ("each, 1)", "each, 2)", "none"),
        ("b = 2", "b = 3", "none"),
        ("self.x", "self.y", "none"),
    ],
)
def test_copy_finding_counts_only_identical_copies(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = (
        "def f(self, a):\n    '''Text.'''\n    b = 2\n"
        "    found = [get(each, 1) for each in a]\n    print(found, b)\n"
        "    self.x(found, b)\n    return b + b\n"
    )
    (tmp_path / "one.py").write_text(text)
    (tmp_path / "two.py").write_text("import x\n" + text.replace(old, new))
    copies = [item for item in audit_here(tmp_path).findings if item.code == "C701"]
    assert len(copies) == 2
    assert all(f"{said} of the others identical" in item.message for item in copies)
