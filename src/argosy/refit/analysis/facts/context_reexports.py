"""Modules that re-export pyzmq or its class of contexts, and the creation of contexts from re-exports."""

from __future__ import annotations

import ast
import os

import msgspec

from argosy.refit.analysis.context_class import find_foreign_context_class_uses
from argosy.refit.analysis.context_names import find_reexports
from argosy.refit.core.fact import FactKind
from argosy.refit.core.source_file import PythonFile
from argosy.refit.core.source_tree import SourceTree

_MAX_CHAIN = 8  # the length of a chain of re-exporting modules


class ForeignContextUse(msgspec.Struct, frozen=True, array_like=True):
    """One place that creates a context, or lets the class escape, if `origin` resolves to pyzmq.

    description: what is done there, empty for a call. source: the class as written there.
    """

    origin: str
    line: int
    column: int
    symbol: str
    source: str
    description: str


def collect_foreign_uses(file: PythonFile) -> tuple[ForeignContextUse, ...] | None:
    class_uses = find_foreign_context_class_uses(file)
    uses = [(site.call, site, "") for site in class_uses.creations]
    uses += [(each.node, each, each.description) for each in class_uses.escapes]  # type: ignore[misc]
    found = tuple(
        ForeignContextUse(
            item.name,
            node.lineno,
            file.parsed.column(node),
            item.scope.qualified_name(),
            ast.unparse(item.source),
            description,
        )
        for node, item, description in uses
    )
    return found or None


def collect_reexports(file: PythonFile) -> dict[str, str] | None:
    return find_reexports(file) or None


FOREIGN_CONTEXT_USES: FactKind[tuple[ForeignContextUse, ...]] = FactKind(
    "foreign context uses", tuple[ForeignContextUse, ...], collect_foreign_uses
)
CONTEXT_REEXPORTS: FactKind[dict[str, str]] = FactKind("context reexports", dict[str, str], collect_reexports)


def find_reexporting_module(tree: SourceTree, path: str, origin: str) -> str:
    """Return the path of the module that `origin` is imported from, if it resolves to pyzmq; else empty.

    path: of the importing file. origin: such as `mine.compat.zmq.Context`, or with leading dots.
    """
    first_path = ""
    for _ in range(_MAX_CHAIN):
        module_path, rest = _split_origin(tree, path, origin)
        reexports = (tree.fact(CONTEXT_REEXPORTS, module_path) or {}) if module_path else {}
        name, _, inner = rest.partition(".")
        if name not in reexports:
            return ""
        first_path = first_path or module_path
        path, origin = module_path, f"{reexports[name]}.{inner}" if inner else reexports[name]
        if origin.startswith("zmq."):
            return first_path
    return ""


def _split_origin(tree: SourceTree, path: str, origin: str) -> tuple[str, str]:
    """Return the longest part of a dotted name that is a file of the tree, and the rest of the name."""
    dots = len(origin) - len(origin.lstrip("."))
    parts = origin[dots:].split(".")
    for end in range(len(parts) - 1, -1 if dots else 0, -1):
        module = ".".join(parts[:end])
        found = _find_relative(tree, path, dots, module) if dots else _find_absolute(tree, path, module)
        if found:
            return found, ".".join(parts[end:])
    return "", ""


def _find_absolute(tree: SourceTree, path: str, module: str) -> str:
    found = tree.module_finder(path).find(module)
    return tree.relative_path(found.path) if found is not None and found.kind == "source" else ""


def _find_relative(tree: SourceTree, path: str, dots: int, module: str) -> str:
    directory = path
    for _ in range(dots):
        directory = os.path.dirname(directory)
    stem = "/".join(part for part in (directory, *module.split(".")) if part)
    candidates = (f"{stem}.py", f"{stem}/__init__.py") if stem else ("__init__.py",)
    known = tree.compute_once(_path_set)
    return next((each for each in candidates if each in known), "")


def _path_set(tree: SourceTree) -> frozenset[str]:
    return frozenset(tree.paths)
