"""Checks that nothing else uses the names to be removed: no related class, no test, no lookup by text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from argosy.refit.rewrite.module_resolution import view_file
from argosy.refit.rewrite.tree_index import TreeIndex
from argosy.refit.rules.h201_health_loop.health_base import HealthBase
from argosy.refit.transaction.source_view import SourceView
from argosy.source.control_flow import dotted_name

# A class that looks up its own attributes by name.
_SELF_GETATTR: Final = re.compile(rb"\b(?:has|get|set|del)attr\(\s*self\s*,\s*[\"']\w+[\"']")


def external_reference_reason(
    view: SourceView, index: TreeIndex, owner: ast.ClassDef, names: set[str], health_base: HealthBase
) -> str:
    """Return where else one of the removed attributes and methods is named; empty if nowhere."""
    for name in sorted(names):
        escaped = re.escape(name.encode())
        own = re.compile(rb"\b(?:self|cls)\s*\.\s*" + escaped + rb"\b|\bdef\s+" + escaped + rb"\b")
        for path in sorted(_subclass_files(index, owner) - {view.path, health_base.path}):
            if own.search(index.files[path]):
                return f"`{path}`, which defines a related class, names `{name}`"
        others = re.compile(
            rb"(?<!self)(?<!cls)\." + escaped + rb"\b|[\"'](?:[\w.]*\.)?" + escaped + rb"[\"']"
        )
        for path in index.files_naming(owner.name):
            is_other = path not in (view.path, health_base.path) and path not in index.files_defining(
                owner.name
            )
            is_named = is_other and others.search(_SELF_GETATTR.sub(b"", index.files[path]))
            if is_named and _may_reference_class(index, path, owner.name):
                return f"`{path}` names `{name}` of `{owner.name}`"
        if _is_named_outside_class(view, owner, name):
            return f"`{name}` is named outside of its class"
    return ""


def _may_reference_class(index: TreeIndex, path: str, name: str) -> bool:
    """Return whether a file may use an object of a class: it names the class in code or in a lookup by text.

    A file that does not parse may use it.
    """
    view = view_file(path, index.files[path])
    return view is None or any(_names_class(node, name) for node in view.nodes)


def _names_class(node: ast.AST, name: str) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and name in node.value.split(".")
    if isinstance(node, ast.alias):
        return name in (node.name.rpartition(".")[2], node.asname)
    return name in (getattr(node, "id", ""), getattr(node, "attr", ""), getattr(node, "name", ""))


def _subclass_files(index: TreeIndex, owner: ast.ClassDef) -> set[str]:
    """Return the files of the classes that derive from `owner`, as far as the tree names them."""
    return {path for name in index.subclasses_of(owner.name) for path in index.files_defining(name)}


def _is_named_outside_class(view: SourceView, owner: ast.ClassDef, name: str) -> bool:
    """Return whether the rest of the module names an attribute."""
    for node in _nodes_outside(view, owner):
        is_other = isinstance(node, ast.Attribute) and node.attr == name and dotted_name(node.value) != "self"
        if is_other or (isinstance(node, ast.Constant) and node.value == name):
            return True
    return False


def _nodes_outside(view: SourceView, owner: ast.ClassDef) -> Iterator[ast.AST]:
    for statement in view.tree.body:
        if statement is not owner:
            yield from ast.walk(statement)
