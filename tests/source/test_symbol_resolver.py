"""Symbol resolver: where names are defined, and the base classes of a class."""

from __future__ import annotations

from pathlib import Path

import pytest

from argosy.source.module_finder import ModuleFinder
from argosy.source.python_source import Unparsed
from argosy.source.symbol_resolver import SymbolRef, SymbolResolver

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
def tree(tmp_path: Path) -> SymbolResolver:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return SymbolResolver(ModuleFinder([str(tmp_path)]))


@pytest.mark.parametrize(
    ("module", "written", "place"),
    [
        ("main", "Old", SymbolRef("pack.deep.base", "Base")),
        ("main", "Root", SymbolRef("pack.deep.base", "Root")),
        ("main", "Old.Options", SymbolRef("pack.deep.base", "Base.Options")),
        ("main", "base.Base", SymbolRef("pack.deep.base", "Base")),
        ("main", "deep.base.Base", SymbolRef("pack.deep.base", "Base")),
        ("main", "pack.Base", SymbolRef("pack.deep.base", "Base")),
        ("main", "np.ndarray", SymbolRef("numpy", "ndarray")),
        ("main", "os.PathLike", SymbolRef("os", "PathLike")),
        ("main", "Any", SymbolRef("typing", "Any")),
        ("main", "int", SymbolRef("builtins", "int")),
        ("main", "Thing", SymbolRef("fast", "Thing")),
        ("main", "Left", SymbolRef("main", "Left")),
        ("main", "nobody", None),
        ("main", "base.nobody", None),
        ("main", "base.int", None),
        ("round_a", "Name", None),
        ("round_b", "nowhere", None),
        ("broken", "Name", None),
    ],
)
def test_symbol_resolver_finds_definition_of_name(
    tree: SymbolResolver, module: str, written: str, place: SymbolRef | None
) -> None:
    assert tree.resolve(module, written) == place


def test_base_chain_puts_shared_base_after_its_subclasses(tree: SymbolResolver) -> None:
    both = tree.find_class("main", "Both")
    assert both
    assert [each.node.name for each in tree.base_chain(both)] == ["Both", "Left", "Right", "Base", "Root"]


def test_base_chain_handles_class_that_is_its_own_base(tree: SymbolResolver) -> None:
    loop = tree.find_class("round_a", "Loop")
    assert loop
    assert tree.base_chain(loop) == (loop,)


def test_symbol_resolver_finds_no_class_outside_tree(tree: SymbolResolver) -> None:
    assert tree.find_class("main", "np") is None
    assert tree.find_class("main", "Thing") is None
    assert tree.find_class("nowhere", "Thing") is None
    assert isinstance(tree.read("broken"), Unparsed)
    assert tree.read("nowhere") is None
