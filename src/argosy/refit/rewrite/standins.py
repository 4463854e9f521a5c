"""B501, B502: definitions of the tree's own whose job is argosy's give way to argosy's.

A fleet that has grown by hand has one class that owns context, sockets, health and the loop of its
agents, and a module that looks agents up in a registry. Neither is known by its file or name: they
are known by what they do and by how they are asked. The definition goes, and its name is imported
from argosy in its place, so that all that import it from there stay as they are.

It goes only when nobody can miss anything: each member that the tree asks for has to be there.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec

from argosy.refit.rewrite.adding import import_at_top
from argosy.refit.rewrite.change import Change, Removed, place_of
from argosy.refit.rewrite.index import Index
from argosy.refit.rewrite.view import Refusal, Site, View
from argosy.source import flow

BASE: Final = "B501"
DISCOVERY: Final = "B502"
CODES: Final = (BASE, DISCOVERY)
BASE_MODULE: Final = "argosy.agent.compat"
DISCOVERY_MODULE: Final = "argosy.agent.compat.discovery"

FEWEST_DERIVED: Final = 3  # a class with fewer agents is one of them, not their base
_HEALTH: Final = frozenset({"_get_health_status", "get_health_status", "health_check", "_health_check"})
_LOOKUPS: Final = frozenset({"discover_service", "get_service_address"})
# What the answers of such a registry are made of; a lookup with other words is asked by other callers.
_WORDS: Final = frozenset({"status", "SUCCESS", "payload", "ip", "port"})


class StandIns(msgspec.Struct, frozen=True):
    """What becomes of the definitions of one file."""

    changes: tuple[Change, ...]
    migrated: tuple[Site, ...]
    refused: tuple[Refusal, ...]


Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def may_hold(data: bytes) -> bool:
    """Return whether a file can have a base of agents or a lookup of its own."""
    return b"zmq" in data and (b"health" in data or b"def discover_service" in data)


def plan_standins(view: View, index: Index) -> StandIns:
    """Return which definitions give way, and why the others do not."""
    changes: list[Change] = []
    migrated: list[Site] = []
    refused: list[Refusal] = []
    for code, module, found in _found(view, index):
        reasons = [reason for each in found if (reason := _reason(view, index, module, each))]
        if reasons:
            refused.append(view.refusal(found[0], code, reasons[0]))
            continue
        names = ", ".join(sorted(_imported_as(module, each.name) for each in found))
        changes += [Removed(place_of(each)) for each in found]
        changes.append(import_at_top(view, f"from {module} import {names}"))
        migrated.append(view.site(found[0], code))
    return StandIns(tuple(changes), tuple(migrated), tuple(refused))


def _imported_as(module: str, name: str) -> str:
    return f"BaseAgent as {name}" if module == BASE_MODULE and name != "BaseAgent" else name


def _found(view: View, index: Index) -> Iterator[tuple[str, str, list[Definition]]]:
    """Yield what a file defines that is argosy's job: its code, argosy's module, the definitions."""
    defined = [node for node in view.tree.body if isinstance(node, Definition)]
    for node in defined:
        if isinstance(node, ast.ClassDef) and _is_base(view, index, node):
            yield BASE, BASE_MODULE, [node]
    if _is_discovery(view, defined):
        surface = surface_of(DISCOVERY_MODULE)
        yield DISCOVERY, DISCOVERY_MODULE, [node for node in defined if node.name in surface]


# -- what it is ------------------------------------------------------------------------------------


def _is_base(view: View, index: Index, node: ast.ClassDef) -> bool:
    """A class that owns context, answering socket, threads, health and loop of agents, and is their base."""
    if index.derived_count(node.name) < FEWEST_DERIVED or any(
        flow.dotted(base).rpartition(".")[2] not in ("object", "ABC") for base in node.bases
    ):
        return False
    methods = {each.name for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    if not ({"__init__", "run"} <= methods and methods & _HEALTH):
        return False
    calls = {flow.dotted(each.func) for each in ast.walk(node) if isinstance(each, ast.Call)}
    named = {flow.dotted(each) for each in ast.walk(node) if isinstance(each, ast.Attribute)}
    makes_context = any(name.endswith(("zmq.Context", "argosy.wire.context")) for name in calls)
    return makes_context and "zmq.REP" in named and any(name.endswith(".bind") for name in calls)


def _is_discovery(view: View, defined: Sequence[Definition]) -> bool:
    """Functions that register and look up services by name, over ZeroMQ, in a registry's words."""
    names = {each.name for each in defined if isinstance(each, ast.FunctionDef)}
    if not ("register_service" in names and names & _LOOKUPS):
        return False
    constants = {node.value for node in view.nodes if isinstance(node, ast.Constant)}
    named = {flow.dotted(each) for each in view.nodes if isinstance(each, ast.Attribute)}
    return constants >= _WORDS and "zmq.REQ" in named


# -- why it stays ----------------------------------------------------------------------------------


def _reason(view: View, index: Index, module: str, node: Definition) -> str:
    if node.decorator_list:
        return f"`{node.name}` has decorators, whose work argosy's does not do"
    if isinstance(node, ast.ClassDef) and node.keywords:
        return f"`{node.name}` has a metaclass or keywords of its own"
    bindings = view.module.bindings.get(node.name, ())
    if len(bindings) != 1:
        return f"`{node.name}` is bound {len(bindings)} times in this module"
    if where := index.patched(view.path, node.name):
        return f"`{where}` puts something else in the place of `{node.name}`"
    if _is_set_upon(view, node.name):
        return f"this module sets attributes of `{node.name}`"
    surface = surface_of(module)
    ours = surface["BaseAgent" if module == BASE_MODULE else node.name]
    if isinstance(node, ast.ClassDef):
        return _missing_member(view, index, node, ours)
    return _missing_parameter(node, ours)


def _is_set_upon(view: View, name: str) -> bool:
    return any(
        isinstance(node, ast.Attribute)
        and not isinstance(node.ctx, ast.Load)
        and flow.dotted(node.value) == name
        for node in view.nodes
    )


def _missing_parameter(node: ast.FunctionDef | ast.AsyncFunctionDef, ours: frozenset[str]) -> str:
    arguments = node.args
    if arguments.vararg or arguments.kwarg or isinstance(node, ast.AsyncFunctionDef):
        return f"`{node.name}` is a coroutine or takes any arguments"
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        if argument.arg not in ours:
            return f"`{node.name}` has a parameter `{argument.arg}`, and argosy's has none of that name"
    return ""


def _missing_member(view: View, index: Index, node: ast.ClassDef, ours: frozenset[str]) -> str:
    """Return the member of a class that somebody asks for and that argosy's has not; empty for none."""
    for member in sorted(_members(node) - ours):
        word = re.escape(member.encode())
        read = re.compile(rb"^(?![ \t]*(?:from|import)\b)[^\n]*\.\s*" + word + rb"\b", re.MULTILINE)
        own = re.compile(rb"self\s*\.\s*" + word + rb"\s*(?::[^=\n]+)?=[^=]|def\s+" + word + rb"\b")
        for path in index.naming(member):
            data = index.files[path]
            if path == view.path or node.name.encode() not in data:
                continue
            if read.search(data) and not own.search(data):
                return f"`{path}` uses `{member}` of `{node.name}`, which argosy's base has not"
    return ""


def _members(node: ast.ClassDef) -> set[str]:
    """Return the methods of a class, and what it sets on `self`."""
    found = {each.name for each in node.body if isinstance(each, Definition)}
    for each in ast.walk(node):
        if (
            isinstance(each, ast.Attribute)
            and isinstance(each.ctx, ast.Store)
            and flow.dotted(each.value) == "self"
        ):
            found.add(each.attr)
    return found


@functools.cache
def surface_of(module: str) -> dict[str, frozenset[str]]:
    """Return what a module of argosy's defines: classes with their members, functions with their parameters.

    It is read from its source: a refit loads nothing of what it only has to name.
    """
    name = f"{module}.base" if module == BASE_MODULE else module
    spec = find_spec(name.rpartition(".")[0])
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / f"{name.rpartition('.')[2]}.py"
    found = {}
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = frozenset(_members(node))
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            arguments = node.args
            found[node.name] = frozenset(each.arg for each in (*arguments.args, *arguments.kwonlyargs))
    return found
