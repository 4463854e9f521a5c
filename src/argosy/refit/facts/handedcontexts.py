"""Which modules hand on pyzmq, or its class of contexts, and who makes contexts of what a module hands on."""

from __future__ import annotations

import ast
import os

import msgspec

from argosy.refit.contextclass import find_foreign_context_class
from argosy.refit.contextnames import handed_on
from argosy.refit.fact import FactKind
from argosy.refit.file import PythonFile
from argosy.refit.tree import Tree

_LONGEST = 8  # chains of modules that hand on what they were handed


class Taken(msgspec.Struct, frozen=True, array_like=True):
    """One place that makes a context, or hands the class on, if `origin` leads to pyzmq.

    told: what is done there, empty for a call. written: the class as it stands there.
    """

    origin: str
    line: int
    column: int
    symbol: str
    written: str
    told: str


def collect_taken(file: PythonFile) -> tuple[Taken, ...] | None:
    made = find_foreign_context_class(file)
    places = [(site.call, site, "") for site in made.sites]
    places += [(out.node, out, out.told) for out in made.handouts]  # type: ignore[misc]
    found = tuple(
        Taken(
            item.name,
            node.lineno,
            file.parsed.column(node),
            item.scope.qualified_name(),
            ast.unparse(item.source),
            told,
        )
        for node, item, told in places
    )
    return found or None


def collect_handed(file: PythonFile) -> dict[str, str] | None:
    return handed_on(file) or None


TAKEN: FactKind[tuple[Taken, ...]] = FactKind("contexttaken", tuple[Taken, ...], collect_taken)
HANDED: FactKind[dict[str, str]] = FactKind("contexthanded", dict[str, str], collect_handed)


def source_of(tree: Tree, path: str, origin: str) -> str:
    """Return the path of the module that `origin` is taken from, where it leads to pyzmq; else empty.

    path: of the file that takes it. origin: such as `mine.compat.zmq.Context`, or with dots before it.
    """
    first = ""
    for _ in range(_LONGEST):
        home, rest = _home(tree, path, origin)
        given = (tree.fact(HANDED, home) or {}) if home else {}
        name, _, inner = rest.partition(".")
        if name not in given:
            return ""
        first = first or home
        path, origin = home, f"{given[name]}.{inner}" if inner else given[name]
        if origin.startswith("zmq."):
            return first
    return ""


def _home(tree: Tree, path: str, origin: str) -> tuple[str, str]:
    """Return the longest part of a dotted name that is a file of the tree, and what is asked of that file."""
    dots = len(origin) - len(origin.lstrip("."))
    parts = origin[dots:].split(".")
    for end in range(len(parts) - 1, -1 if dots else 0, -1):
        module = ".".join(parts[:end])
        found = _beside(tree, path, dots, module) if dots else _found(tree, path, module)
        if found:
            return found, ".".join(parts[end:])
    return "", ""


def _found(tree: Tree, path: str, module: str) -> str:
    found = tree.finder(path).find(module)
    return tree.relative(found.path) if found is not None and found.kind == "source" else ""


def _beside(tree: Tree, path: str, dots: int, module: str) -> str:
    folder = path
    for _ in range(dots):
        folder = os.path.dirname(folder)
    stem = "/".join(part for part in (folder, *module.split(".")) if part)
    ends = (f"{stem}.py", f"{stem}/__init__.py") if stem else ("__init__.py",)
    known = tree.derived(_paths)
    return next((each for each in ends if each in known), "")


def _paths(tree: Tree) -> frozenset[str]:
    return frozenset(tree.paths)
