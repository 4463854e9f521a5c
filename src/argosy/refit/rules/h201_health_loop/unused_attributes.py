"""Removes attributes with plain values that only a removed loop used."""

from __future__ import annotations

import ast
import re

from argosy.refit.rewrite.tree_index import TreeIndex
from argosy.refit.rules.h201_health_loop.loop_removal import LoopRemoval
from argosy.refit.rules.h201_health_loop.side_effects import is_side_effect_free
from argosy.refit.rules.h201_health_loop.type_inference import TypeInference
from argosy.refit.transaction.source_change import Change, Deletion, position_of
from argosy.refit.transaction.source_view import SourceView
from argosy.source.control_flow import dotted_name


def remove_unused_attributes(
    view: SourceView, index: TreeIndex, owner: ast.ClassDef, removal: LoopRemoval
) -> list[Change]:
    """Return the changes that remove assignments of attributes that nothing reads any more."""
    removed_nodes: set[int] = set()
    for statement in removal.removed_statements():
        removed_nodes.update(id(node) for node in ast.walk(statement))
    if removal.thread is not None:
        removed_nodes.update(id(node) for node in ast.walk(removal.thread))
    attributes = _unused_assignments(view, index, owner, removed_nodes)
    return [Deletion(position_of(statement)) for statement in attributes]


def _unused_assignments(
    view: SourceView, index: TreeIndex, owner: ast.ClassDef, removed_nodes: set[int]
) -> list[ast.Assign]:
    """Return the assignments of attributes whose every read is removed, and which no other file names."""
    used: dict[str, list[ast.Attribute]] = {}
    for node in ast.walk(owner):
        if isinstance(node, ast.Attribute) and dotted_name(node.value) == "self":
            used.setdefault(node.attr, []).append(node)
    found: list[ast.Assign] = []
    for name, nodes in used.items():
        readers = [node for node in nodes if isinstance(node.ctx, ast.Load)]
        writers = [
            node for node in nodes if not isinstance(node.ctx, ast.Load) and id(node) not in removed_nodes
        ]
        if not readers or not writers or any(id(node) not in removed_nodes for node in readers):
            continue
        assignments = [view.parents[node] for node in writers]
        if all(_is_removable_assignment(view, each) for each in assignments) and not _is_named_elsewhere(
            view, index, owner, name
        ):
            found += [each for each in assignments if isinstance(each, ast.Assign)]
    return found


def _is_removable_assignment(view: SourceView, node: ast.AST) -> bool:
    if not (
        isinstance(node, ast.Assign)
        and len(node.targets) == 1
        and is_side_effect_free(TypeInference(view), node.value)
    ):
        return False
    block = view.containing_block(node)
    return len(block) > 1


def _is_named_elsewhere(view: SourceView, index: TreeIndex, owner: ast.ClassDef, name: str) -> bool:
    """Return whether another file, or the rest of the module, may access an attribute."""
    pattern = re.compile(rb"(?:\.|[\"'])" + re.escape(name.encode()) + rb"\b")
    own = len(pattern.findall(view.data))
    inside = sum(isinstance(node, ast.Attribute) and node.attr == name for node in ast.walk(owner))
    if own != inside:
        return True
    related = {path for each in index.family_of(owner.name) for path in index.files_defining(each)}
    related |= set(index.files_naming(owner.name))
    return any(path != view.path and pattern.search(index.files[path]) for path in related)
