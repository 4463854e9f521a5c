"""Where names lead, and the line of a class's bases, by source alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from argosy.source.classes import Place, Tree
from argosy.source.modules import Finder
from argosy.source.text import Unparsed

FILES = {
    "pack/__init__.py": "from .deep.base import Base\nfrom . import deep\n",
    "pack/deep/__init__.py": "",
    "pack/deep/base.py": "class Root: ...\nclass Base(Root):\n    class Options: ...\n",
    "main.py": """
import os.path
import numpy as np
import pack
from typing import TYPE_CHECKING, Any
from pack import Base as Old, deep
from pack.deep import base
if TYPE_CHECKING:
    from pack.deep.base import Root
try:
    from fast import Thing
except ImportError:
    Thing = None
class Left(Old): ...
class Right(base.Base, list[int]): ...
class Both(Left, Right, pack.deep.base.Root): ...
""",
    "round_a.py": "from round_b import Name\nclass Loop(Loop): ...\n",
    "round_b.py": "from round_a import Name\nfrom ... import nowhere\n",
    "broken.py": "class (:\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Tree(Finder([str(tmp_path)]))


@pytest.mark.parametrize(
    ("module", "written", "place"),
    [
        ("main", "Old", Place("pack.deep.base", "Base")),
        ("main", "Root", Place("pack.deep.base", "Root")),
        ("main", "Old.Options", Place("pack.deep.base", "Base.Options")),
        ("main", "base.Base", Place("pack.deep.base", "Base")),
        ("main", "deep.base.Base", Place("pack.deep.base", "Base")),
        ("main", "pack.Base", Place("pack.deep.base", "Base")),
        ("main", "np.ndarray", Place("numpy", "ndarray")),
        ("main", "os.PathLike", Place("os", "PathLike")),
        ("main", "Any", Place("typing", "Any")),
        ("main", "int", Place("builtins", "int")),
        ("main", "Thing", Place("fast", "Thing")),
        ("main", "Left", Place("main", "Left")),
        ("main", "nobody", None),
        ("main", "base.nobody", None),
        ("main", "base.int", None),
        ("round_a", "Name", None),
        ("round_b", "nowhere", None),
        ("broken", "Name", None),
    ],
)
def test_a_name_leads_to_where_it_is_defined(
    tree: Tree, module: str, written: str, place: Place | None
) -> None:
    assert tree.resolve(module, written) == place


def test_a_shared_base_comes_after_all_that_derive_from_it(tree: Tree) -> None:
    both = tree.find_class("main", "Both")
    assert both
    assert [each.node.name for each in tree.lineage(both)] == ["Both", "Left", "Right", "Base", "Root"]


def test_a_class_that_is_its_own_base_ends(tree: Tree) -> None:
    loop = tree.find_class("round_a", "Loop")
    assert loop
    assert tree.lineage(loop) == (loop,)


def test_what_is_no_class_of_the_tree(tree: Tree) -> None:
    assert tree.find_class("main", "np") is None
    assert tree.find_class("main", "Thing") is None
    assert tree.find_class("nowhere", "Thing") is None
    assert isinstance(tree.read("broken"), Unparsed)
    assert tree.read("nowhere") is None
