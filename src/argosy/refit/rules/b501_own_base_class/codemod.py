"""B501, B502: replaces a tree's own agent base class and service discovery functions by argosy's.

A fleet that has grown by hand has one class that owns context, sockets, health and the loop of its agents,
and a module that looks agents up in a registry. Both are recognized by what they do and how they are used,
not by file or name. The definition is removed and its name imported from argosy instead, so that modules that
import it from there stay as they are.

It is replaced only if argosy's version has every member that the tree uses.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from argosy.refit.analysis.pyzmq_names import CONTEXT_FUNCTIONS
from argosy.refit.rewrite.codemod import Codemod, CodemodPlan
from argosy.refit.rewrite.import_insertion import import_at_top
from argosy.refit.rewrite.tree_index import TreeIndex
from argosy.refit.transaction.source_change import Change, Deletion, position_of
from argosy.refit.transaction.source_view import RefusedSite, RewriteSite, SourceView
from argosy.source.control_flow import dotted_name

BASE_CLASS: Final = "B501"
SERVICE_DISCOVERY: Final = "B502"
BASE_MODULE: Final = "argosy.agent.compat"
DISCOVERY_MODULE: Final = "argosy.agent.compat.discovery"
# Where what these modules export is defined.
_SOURCE_MODULES: Final = {
    BASE_MODULE: "argosy.agent.legacy.base_agent",
    DISCOVERY_MODULE: "argosy.agent.legacy.service_discovery",
}

MIN_SUBCLASSES: Final = 3  # a class with fewer subclasses is an agent, not a base of agents
_HEALTH_METHODS: Final = frozenset(
    {"_get_health_status", "get_health_status", "health_check", "_health_check"}
)
_LOOKUPS: Final = frozenset({"discover_service", "get_service_address"})
# The words in the replies of such a registry; a lookup without them belongs to another protocol.
_REGISTRY_WORDS: Final = frozenset({"status", "SUCCESS", "payload", "ip", "port"})


DefinitionNode = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def may_match(data: bytes) -> bool:
    """Return whether a file can define a base of agents or a lookup function."""
    return b"zmq" in data and (b"health" in data or b"def discover_service" in data)


def plan(view: SourceView, index: TreeIndex) -> CodemodPlan:
    """Return which definitions are replaced, and why the others are refused."""
    changes: list[Change] = []
    migrated: list[RewriteSite] = []
    refused: list[RefusedSite] = []
    for code, module, found in _find_replaceable(view, index):
        reasons = [reason for each in found if (reason := _refusal_reason(view, index, module, each))]
        if reasons:
            refused.append(view.refused_at(found[0], code, reasons[0]))
            continue
        names = ", ".join(sorted(_import_alias(module, each.name) for each in found))
        changes += [Deletion(position_of(each)) for each in found]
        changes.append(import_at_top(view, f"from {module} import {names}"))
        migrated.append(view.site_at(found[0], code))
    return CodemodPlan(tuple(changes), tuple(migrated), tuple(refused))


def _import_alias(module: str, name: str) -> str:
    return f"BaseAgent as {name}" if module == BASE_MODULE and name != "BaseAgent" else name


def _find_replaceable(view: SourceView, index: TreeIndex) -> Iterator[tuple[str, str, list[DefinitionNode]]]:
    """Yield the replaceable definitions of a file: finding code, argosy's module, the definitions."""
    defined = [node for node in view.tree.body if isinstance(node, DefinitionNode)]
    for node in defined:
        if isinstance(node, ast.ClassDef) and _is_base(view, index, node):
            yield BASE_CLASS, BASE_MODULE, [node]
    if _is_discovery(view, defined):
        exports = exports_of(DISCOVERY_MODULE)
        yield SERVICE_DISCOVERY, DISCOVERY_MODULE, [node for node in defined if node.name in exports]


# -- detection -------------------------------------------------------------------------------------


def _is_base(view: SourceView, index: TreeIndex, node: ast.ClassDef) -> bool:
    """Return whether a class is a base of agents: it owns context, REP socket, threads, health and loop."""
    if index.subclass_count(node.name) < MIN_SUBCLASSES or any(
        dotted_name(base).rpartition(".")[2] not in ("object", "ABC") for base in node.bases
    ):
        return False
    methods = {each.name for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    if not ({"__init__", "run"} <= methods and methods & _HEALTH_METHODS):
        return False
    calls = {dotted_name(each.func) for each in ast.walk(node) if isinstance(each, ast.Call)}
    named = {dotted_name(each) for each in ast.walk(node) if isinstance(each, ast.Attribute)}
    makes_context = any(name.endswith(("zmq.Context", *CONTEXT_FUNCTIONS)) for name in calls)
    return makes_context and "zmq.REP" in named and any(name.endswith(".bind") for name in calls)


def _is_discovery(view: SourceView, defined: Sequence[DefinitionNode]) -> bool:
    """Return whether functions register and look up services over ZeroMQ, in the words of a registry."""
    names = {each.name for each in defined if isinstance(each, ast.FunctionDef)}
    if not ("register_service" in names and names & _LOOKUPS):
        return False
    constants = {node.value for node in view.nodes if isinstance(node, ast.Constant)}
    named = {dotted_name(each) for each in view.nodes if isinstance(each, ast.Attribute)}
    return constants >= _REGISTRY_WORDS and "zmq.REQ" in named


# -- reasons for a refusal -------------------------------------------------------------------------


def _refusal_reason(view: SourceView, index: TreeIndex, module: str, node: DefinitionNode) -> str:
    if node.decorator_list:
        return f"`{node.name}` has decorators, which argosy's lacks"
    if isinstance(node, ast.ClassDef) and node.keywords:
        return f"`{node.name}` has a metaclass or class keywords"
    bindings = view.module_scope.bindings.get(node.name, ())
    if len(bindings) != 1:
        return f"`{node.name}` is bound {len(bindings)} times in this module"
    if where := index.patching_file(view.path, node.name):
        return f"`{where}` replaces `{node.name}`"
    if _has_attribute_assignments(view, node.name):
        return f"this module sets attributes of `{node.name}`"
    exports = exports_of(module)
    supported = exports["BaseAgent" if module == BASE_MODULE else node.name]
    if isinstance(node, ast.ClassDef):
        return _missing_member(view, index, node, supported)
    return _missing_parameter(node, supported)


def _has_attribute_assignments(view: SourceView, name: str) -> bool:
    return any(
        isinstance(node, ast.Attribute)
        and not isinstance(node.ctx, ast.Load)
        and dotted_name(node.value) == name
        for node in view.nodes
    )


def _missing_parameter(node: ast.FunctionDef | ast.AsyncFunctionDef, supported: frozenset[str]) -> str:
    arguments = node.args
    if arguments.vararg or arguments.kwarg or isinstance(node, ast.AsyncFunctionDef):
        return f"`{node.name}` is a coroutine or accepts arbitrary arguments"
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        if argument.arg not in supported:
            return f"`{node.name}` has a parameter `{argument.arg}`, which argosy's lacks"
    return ""


def _missing_member(view: SourceView, index: TreeIndex, node: ast.ClassDef, supported: frozenset[str]) -> str:
    """Return a member of a class that is used somewhere and that argosy's class lacks; empty if none."""
    for member in sorted(_members(node) - supported):
        escaped = re.escape(member.encode())
        read = re.compile(rb"^(?![ \t]*(?:from|import)\b)[^\n]*\.\s*" + escaped + rb"\b", re.MULTILINE)
        own = re.compile(rb"self\s*\.\s*" + escaped + rb"\s*(?::[^=\n]+)?=[^=]|def\s+" + escaped + rb"\b")
        for path in index.files_naming(member):
            data = index.files[path]
            if path == view.path or node.name.encode() not in data:
                continue
            if read.search(data) and not own.search(data):
                return f"`{path}` uses `{member}` of `{node.name}`, which argosy's base lacks"
    return ""


def _members(node: ast.ClassDef) -> set[str]:
    """Return the methods of a class and the attributes that it sets on `self`."""
    found = {each.name for each in node.body if isinstance(each, DefinitionNode)}
    for each in ast.walk(node):
        if (
            isinstance(each, ast.Attribute)
            and isinstance(each.ctx, ast.Store)
            and dotted_name(each.value) == "self"
        ):
            found.add(each.attr)
    return found


@functools.cache
def exports_of(module: str) -> dict[str, frozenset[str]]:
    """Return what an argosy module defines: classes with their members, functions with their parameters.

    It is read from the source, so that a refit does not import modules that it only names.
    """
    name = _SOURCE_MODULES[module]
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


CODEMOD: Final = Codemod(1, (BASE_CLASS, SERVICE_DISCOVERY), may_match, plan)
