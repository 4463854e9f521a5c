"""Nobody else names what goes: no class of the family, no test, no text that looks it up."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from argosy.refit.rewrite.elsewhere import view_of
from argosy.refit.rewrite.health.standard import Standard
from argosy.refit.rewrite.index import Index
from argosy.refit.rewrite.view import View
from argosy.source import flow

# What another class asks of itself.
_OF_SELF: Final = re.compile(rb"\b(?:has|get|set|del)attr\(\s*self\s*,\s*[\"']\w+[\"']")


def privacy_reason(view: View, index: Index, owner: ast.ClassDef, names: set[str], standard: Standard) -> str:
    """Return who else names one of the attributes and methods that go; empty for nobody."""
    for name in sorted(names):
        word = re.escape(name.encode())
        own = re.compile(rb"\b(?:self|cls)\s*\.\s*" + word + rb"\b|\bdef\s+" + word + rb"\b")
        for path in sorted(_family(index, owner) - {view.path, standard.path}):
            if own.search(index.files[path]):
                return f"`{path}` of its family names `{name}`"
        others = re.compile(rb"(?<!self)(?<!cls)\." + word + rb"\b|[\"'](?:[\w.]*\.)?" + word + rb"[\"']")
        for path in index.naming(owner.name):
            is_other = path not in (view.path, standard.path) and path not in index.homes(owner.name)
            is_named = is_other and others.search(_OF_SELF.sub(b"", index.files[path]))
            if is_named and _may_know(index, path, owner.name):
                return f"`{path}` names `{name}` of `{owner.name}`"
        if _is_named_here(view, owner, name):
            return f"`{name}` is named outside of its class"
    return ""


def _may_know(index: Index, path: str, name: str) -> bool:
    """Return whether a file can have an object of a class: it names that in code, or in a text for a look-up.

    One that does not parse may.
    """
    view = view_of(path, index.files[path])
    return view is None or any(_is_name(node, name) for node in view.nodes)


def _is_name(node: ast.AST, name: str) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and name in node.value.split(".")
    if isinstance(node, ast.alias):
        return name in (node.name.rpartition(".")[2], node.asname)
    return name in (getattr(node, "id", ""), getattr(node, "attr", ""), getattr(node, "name", ""))


def _family(index: Index, owner: ast.ClassDef) -> set[str]:
    """Return the files of the classes that derive from one, whose names the tree knows."""
    return {home for name in index.derived(owner.name) for home in index.homes(name)}


def _is_named_here(view: View, owner: ast.ClassDef, name: str) -> bool:
    """Return whether the rest of the module names an attribute."""
    for node in _outside(view, owner):
        is_other = isinstance(node, ast.Attribute) and node.attr == name and flow.dotted(node.value) != "self"
        if is_other or (isinstance(node, ast.Constant) and node.value == name):
            return True
    return False


def _outside(view: View, owner: ast.ClassDef) -> Iterator[ast.AST]:
    for statement in view.tree.body:
        if statement is not owner:
            yield from ast.walk(statement)
