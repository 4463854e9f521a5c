"""Remaining uses of removed names that are allowed, each with its change if it needs one.

- The payload reports whether the thread that answers is alive. A peer that reads it has got an answer:
  `True`.
- A loop over a literal list ends or closes each element: the removed element is taken out.
- The base has a socket of the same name, and the code only tests whether it exists.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

import msgspec

from argosy.refit.analysis.ast_queries import is_none_literal
from argosy.refit.analysis.health.health_loops import HealthLoop
from argosy.refit.analysis.health.health_payloads import HEALTH_HOOK
from argosy.refit.rewrite.module_resolution import view_file
from argosy.refit.rewrite.tree_index import TreeIndex
from argosy.refit.rules.h201_health_loop.health_base import HealthBase
from argosy.refit.rules.h201_health_loop.resource_lists import removable_elements, remove_element
from argosy.refit.rules.h201_health_loop.side_effects import is_side_effect_free
from argosy.refit.rules.h201_health_loop.type_inference import TypeInference
from argosy.refit.transaction.source_change import Change, Deletion, Replacement, position_of
from argosy.refit.transaction.source_view import SourceView
from argosy.source.control_flow import dotted_name


class RemainingReferences(msgspec.Struct, frozen=True):
    """The allowed uses.

    resolved_nodes: by `id`, the nodes that `changes` replaces and those that need no change.
    """

    changes: tuple[Change, ...]
    resolved_nodes: frozenset[int]


def find_remaining_references(
    view: SourceView, owner: ast.ClassDef, loop: HealthLoop, handle: str, socket: str, base_socket: str
) -> RemainingReferences:
    """Return the allowed uses of a removed thread handle and socket, both as `self.name` or empty.

    base_socket: the socket of the base.
    """
    changes: list[Change] = []
    nodes: set[int] = set()
    for alive_expression in _alive_expressions(owner, handle):
        changes.append(Replacement(position_of(alive_expression), ast.unparse(alive_expression), "True"))
        nodes.update(id(node) for node in ast.walk(alive_expression))
    for parent, element in removable_elements(view, owner, loop, {handle, socket} - {""}):
        changes.append(remove_element(view, parent, element))
        nodes.update(id(node) for node in ast.walk(element))
    if socket and socket == base_socket:
        nodes.update(id(node) for node in _existence_tests(view, owner, socket))
    return RemainingReferences(tuple(changes), frozenset(nodes))


# -- the payload -------------------------------------------------------------------------------------


def _alive_expressions(owner: ast.ClassDef, handle: str) -> Iterator[ast.expr]:
    """Yield the expressions of a payload that test whether the thread with this handle is alive."""
    if not handle.startswith("self."):
        return
    pending: list[ast.AST] = [
        node for node in owner.body if isinstance(node, ast.FunctionDef) and node.name == HEALTH_HOOK
    ]
    while pending:
        for node in ast.iter_child_nodes(pending.pop()):
            if isinstance(node, ast.expr) and _is_alive(node, handle):
                yield node
            else:
                pending.append(node)


def _is_alive(node: ast.expr, handle: str) -> bool:
    """Return whether an expression is `handle.is_alive()`, with or without a test of the handle before it."""
    if isinstance(node, ast.IfExp):
        is_no = isinstance(node.orelse, ast.Constant) and not node.orelse.value
        return is_no and _tests_existence(node.test, handle) and _is_alive(node.body, handle)
    if isinstance(node, ast.BoolOp):
        *tests, last = node.values
        is_and = isinstance(node.op, ast.And)
        return is_and and all(_tests_existence(each, handle) for each in tests) and _is_alive(last, handle)
    is_call = isinstance(node, ast.Call) and not node.args and not node.keywords
    return is_call and dotted_name(node.func) == f"{handle}.is_alive"  # type: ignore[attr-defined]


def _tests_existence(node: ast.expr, name: str) -> bool:
    """Return whether an expression only tests whether `self.name` exists."""
    if isinstance(node, ast.BoolOp):
        return isinstance(node.op, ast.And) and all(_tests_existence(each, name) for each in node.values)
    if isinstance(node, ast.Call):
        return _is_hasattr(node, name)
    if isinstance(node, ast.Compare):
        is_none = is_none_literal(node.comparators[0])
        return is_none and isinstance(node.ops[0], ast.IsNot) and dotted_name(node.left) == name
    return dotted_name(node) == name


def _is_hasattr(node: ast.AST, name: str) -> bool:
    if not (isinstance(node, ast.Call) and dotted_name(node.func) == "hasattr" and len(node.args) == 2):
        return False
    receiver, attribute = node.args
    return isinstance(attribute, ast.Constant) and f"{dotted_name(receiver)}.{attribute.value!s}" == name


# -- the base's socket -------------------------------------------------------------------------------


def _existence_tests(view: SourceView, owner: ast.ClassDef, socket: str) -> Iterator[ast.AST]:
    """Yield the tests whether the socket exists; the base's socket answers them after the removal."""
    for node in ast.walk(owner):
        if isinstance(node, ast.Attribute) and dotted_name(node) == socket:
            if isinstance(node.ctx, ast.Load) and _is_condition(view, node):
                yield node
        elif isinstance(node, ast.Call) and _is_hasattr(node, socket):
            yield node.args[1]


def _is_condition(view: SourceView, node: ast.expr) -> bool:
    """Return whether a value is only a condition, or a part of one."""
    parent = view.parents[node]
    if isinstance(parent, ast.BoolOp) or (isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.Not)):
        return _is_condition(view, parent)
    if isinstance(parent, ast.If | ast.While | ast.IfExp):
        return parent.test is node
    is_none = isinstance(parent, ast.Compare) and isinstance(parent.ops[0], ast.Is | ast.IsNot)
    return is_none and isinstance(parent.comparators[0], ast.Constant)  # type: ignore[attr-defined]


# -- uses elsewhere that forbid the removal ----------------------------------------------------------


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


# -- attributes that nothing reads any more ----------------------------------------------------------


def remove_unused_attributes(
    view: SourceView, index: TreeIndex, owner: ast.ClassDef, removed_nodes: set[int]
) -> list[Change]:
    """Return the changes that remove assignments of attributes that nothing reads any more.

    removed_nodes: by `id`, those of the removed loop.
    """
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
