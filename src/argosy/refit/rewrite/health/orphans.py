"""What only a removed loop used: attributes of plain values."""

from __future__ import annotations

import ast
import re

from argosy.refit.rewrite.change import Change, Removed, place_of
from argosy.refit.rewrite.health.kinds import Kinds
from argosy.refit.rewrite.health.removal import Removal
from argosy.refit.rewrite.health.still import is_still
from argosy.refit.rewrite.index import Index
from argosy.refit.rewrite.view import View
from argosy.source import flow


def orphaned(view: View, index: Index, owner: ast.ClassDef, removal: Removal) -> list[Change]:
    """Return the changes that take away what nothing uses any more."""
    gone: set[int] = set()
    for statement in removal.gone():
        gone.update(id(node) for node in ast.walk(statement))
    if removal.thread is not None:
        gone.update(id(node) for node in ast.walk(removal.thread))
    attributes = _attributes(view, index, owner, gone)
    return [Removed(place_of(statement)) for statement in attributes]


def _attributes(view: View, index: Index, owner: ast.ClassDef, gone: set[int]) -> list[ast.Assign]:
    """Return the assignments of attributes whose every reader goes, and which no other file names."""
    used: dict[str, list[ast.Attribute]] = {}
    for node in ast.walk(owner):
        if isinstance(node, ast.Attribute) and flow.dotted(node.value) == "self":
            used.setdefault(node.attr, []).append(node)
    found: list[ast.Assign] = []
    for name, nodes in used.items():
        readers = [node for node in nodes if isinstance(node.ctx, ast.Load)]
        writers = [node for node in nodes if not isinstance(node.ctx, ast.Load) and id(node) not in gone]
        if not readers or not writers or any(id(node) not in gone for node in readers):
            continue
        made = [view.parents[node] for node in writers]
        if all(_is_plain(view, each) for each in made) and not _is_named(view, index, owner, name):
            found += [each for each in made if isinstance(each, ast.Assign)]
    return found


def _is_plain(view: View, node: ast.AST) -> bool:
    if not (isinstance(node, ast.Assign) and len(node.targets) == 1 and is_still(Kinds(view), node.value)):
        return False
    block = view.block(node)
    return len(block) > 1


def _is_named(view: View, index: Index, owner: ast.ClassDef, name: str) -> bool:
    """Return whether anything else of the tree, or the rest of the module, may ask for an attribute."""
    word = re.compile(rb"(?:\.|[\"'])" + re.escape(name.encode()) + rb"\b")
    own = len(word.findall(view.data))
    inside = sum(isinstance(node, ast.Attribute) and node.attr == name for node in ast.walk(owner))
    if own != inside:
        return True
    related = {home for each in index.family(owner.name) for home in index.homes(each)}
    related |= set(index.naming(owner.name))
    return any(path != view.path and word.search(index.files[path]) for path in related)
