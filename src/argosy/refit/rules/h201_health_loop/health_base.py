"""The base class that answers health requests instead of the loop, and the port that it answers on."""

from __future__ import annotations

import ast
import functools
from typing import Final

import msgspec

from argosy.refit.analysis.ast_queries import string_literal
from argosy.refit.analysis.health.health_loops import HealthLoop, find_health_loops
from argosy.refit.analysis.health.health_payloads import (
    HEALTH_HOOK,
    is_super_call,
    self_method_name,
    unwrap_payload,
)
from argosy.refit.analysis.socket_uses import find_sockets
from argosy.refit.core.source_file import PythonFile
from argosy.refit.rewrite.module_resolution import module_file, view_file
from argosy.refit.rewrite.tree_index import TreeIndex
from argosy.refit.rules.b501_own_base_class.codemod import BASE_MODULE, exports_of
from argosy.refit.transaction.source_view import FunctionNode, SourceView
from argosy.source.control_flow import dotted_name

ARGOSY_BASE: Final = "argosy.agent.compat.BaseAgent"
_ARGOSY_BASES: Final = (
    ARGOSY_BASE,
    "argosy.agent.legacy.base_agent.BaseAgent",
    "argosy.agent.compat.base.BaseAgent",  # as it was called before
)
PORT_NAMES: Final = ("health_check_port", "health_port")
# The attributes in which argosy's base keeps its port, however it was passed.
_ARGOSY_PORT_ATTRIBUTES: Final = frozenset({"self.health_check_port", "self.health_port"})
_MAX_DEPTH: Final = 4


class HealthBase(msgspec.Struct, frozen=True):
    """A base class that answers health requests itself.

    path: the file of a base defined in the tree, empty for argosy's. socket: the socket that its loop answers
    on.
    loop_method: the method with the loop. port_attributes: the attributes of self that the socket is bound
    to.
    other_methods: its methods that do more than start that loop; if an override of one of them were removed,
    the base's method would be called instead.
    """

    path: str
    socket: str
    loop_method: str
    port_attributes: frozenset[str]
    other_methods: frozenset[str] = frozenset()


_ARGOSY_HEALTH_BASE: Final = HealthBase(
    "", "self.health_socket", "_health_check_loop", _ARGOSY_PORT_ATTRIBUTES
)


def find_health_base(view: SourceView, index: TreeIndex, owner: ast.ClassDef) -> HealthBase | str:
    """Return the health base that a class derives from, or the reason why there is none."""
    bases = [base for base in owner.bases if dotted_name(base).rpartition(".")[2] not in ("ABC", "object")]
    if len(bases) != 1:
        return f"`{owner.name}` derives from {len(bases) or 'no'} classes, not from one base"
    written = dotted_name(bases[0])
    target = view.resolve_imported_name(bases[0])
    if not target:
        return f"its base `{written}` is not certainly bound by one import"
    found = _follow_base(index, view.path, target, 0)
    return found if found is not None else f"its base `{target}` does not answer health requests"


def inherited_members(view: SourceView, index: TreeIndex, owner: ast.ClassDef) -> frozenset[str]:
    """Return the members that a class inherits from its health base; from argosy's base every member."""
    health_base = find_health_base(view, index, owner)
    if isinstance(health_base, str):
        return frozenset()
    if not health_base.path:
        return exports_of(BASE_MODULE)["BaseAgent"]
    return health_base.other_methods | {health_base.loop_method, health_base.socket.removeprefix("self.")}


def _follow_base(index: TreeIndex, path: str, target: str, depth: int) -> HealthBase | None:
    """Follow a name to argosy's base, or to a class of the tree that answers health requests itself."""
    if target in _ARGOSY_BASES:
        return _ARGOSY_HEALTH_BASE
    module, _, name = target.rpartition(".")
    path_there = module_file(index, path, module)
    if not path_there or depth > _MAX_DEPTH:
        return None
    if (path_there, name) in index.replaced_bases:
        return _ARGOSY_HEALTH_BASE
    health_base, imported = _read_base(path_there, index.files[path_there], name)
    return health_base or (_follow_base(index, path_there, imported, depth + 1) if imported else None)


@functools.lru_cache(maxsize=64)
def _read_base(path: str, data: bytes, name: str) -> tuple[HealthBase | None, str]:
    """Return the health base that a file defines under a name, or what the name is imported as there."""
    view = view_file(path, data)
    if view is None:
        return None, ""
    bindings = view.module_scope.bindings.get(name, ())
    if len(bindings) != 1:
        return None, ""
    if bindings[0].origin:
        return None, bindings[0].origin
    owner = next((n for n in view.tree.body if isinstance(n, ast.ClassDef) and n.name == name), None)
    return (_as_health_base(view, owner) if owner is not None else None), ""


def _as_health_base(view: SourceView, owner: ast.ClassDef) -> HealthBase | None:
    """Return a class as a health base: a thread of it answers on its own socket with the payload hook."""
    for loop in find_health_loops(view.python_file):
        scope = loop.function.parent
        is_its = scope is not None and scope.node is owner and loop.socket.startswith("self.")
        sends_payload_hook = any(
            self_method_name(value) == HEALTH_HOOK
            for send, _ in loop.sends
            for value in _sent_values(view.python_file, loop, send)
        )
        if (
            is_its
            and sends_payload_hook
            and loop.is_only_socket
            and _is_thread_target(owner, loop.definition.name)
        ):
            ports = _bound_ports(view, loop)
            return HealthBase(
                view.path,
                loop.socket,
                loop.definition.name,
                ports,
                frozenset(
                    node.name
                    for node in owner.body
                    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                    and node.name != loop.definition.name
                    and not _is_thread_target(node, loop.definition.name)
                ),
            )
    return None


def _sent_values(file: PythonFile, loop: HealthLoop, send: ast.Call) -> list[ast.expr]:
    value = unwrap_payload(send.args[0])
    if not isinstance(value, ast.Name):
        return [value]
    return [
        node.value
        for node, scope in file.nodes(ast.Assign)
        if scope is loop.function and any(isinstance(t, ast.Name) and t.id == value.id for t in node.targets)
    ]


def _is_thread_target(owner: ast.ClassDef | FunctionNode, method: str) -> bool:
    return any(
        isinstance(node, ast.keyword) and node.arg == "target" and dotted_name(node.value) == f"self.{method}"
        for node in ast.walk(owner)
    )


def _bound_ports(view: SourceView, loop: HealthLoop) -> frozenset[str]:
    """Return the attributes of self that a loop's socket is bound to, by `tcp://*:{self.port}`."""
    found: set[str] = set()
    for place in find_sockets(view.python_file).sockets:
        if place.name == loop.socket and place.owner is loop.function.parent:
            for use in place.calls_to("bind"):
                port = port_of(use.call.args[0]) if use.call is not None and use.call.args else None
                if port is not None and dotted_name(port).startswith("self."):
                    found.add(dotted_name(port))
    return frozenset(found)


def port_of(endpoint: ast.expr) -> ast.expr | None:
    """Return the port of `f"tcp://*:{port}"` and of `"tcp://*:5556"`; None if it is not visible."""
    if isinstance(endpoint, ast.Constant) and isinstance(endpoint.value, str):
        text = endpoint.value.rpartition(":")[2]
        return ast.Constant(int(text)) if endpoint.value.startswith("tcp://") and text.isdecimal() else None
    if isinstance(endpoint, ast.JoinedStr) and len(endpoint.values) > 1:
        last, before = endpoint.values[-1], endpoint.values[-2]
        is_tcp = string_literal(endpoint.values[0]).startswith("tcp:")
        ends = string_literal(before).endswith(":")
        if is_tcp and ends and isinstance(last, ast.FormattedValue) and last.format_spec is None:
            return last.value
    return None


def constructor_reason(owner: ast.ClassDef) -> str:
    """Return why the base's constructor may not be reached; empty if every path reaches it."""
    constructor = method_of(owner, "__init__")
    if constructor is None:
        return ""
    for node in constructor.body:
        if base_constructor_call(node) is not None:
            return ""
        if any(isinstance(inner, ast.Return | ast.Raise) for inner in ast.walk(node)):
            return "its constructor may return before it calls its base's"
    return "its constructor does not call its base's on every path"


def base_constructor_call(node: ast.stmt) -> ast.Call | None:
    """Return the call of `super().__init__(...)` or `Base.__init__(self, ...)` that is all of a statement."""
    if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        return None
    func = node.value.func
    if not (isinstance(func, ast.Attribute) and func.attr == "__init__"):
        return None
    is_named = bool(node.value.args) and dotted_name(node.value.args[0]) == "self"
    return node.value if is_super_call(func.value) or is_named else None


def method_of(owner: ast.ClassDef, name: str) -> FunctionNode | None:
    """Return a method that the class itself defines."""
    found = [
        node
        for node in owner.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
    ]
    return found[-1] if found else None


def is_same_expression(view: SourceView, left: ast.expr, right: ast.expr) -> bool:
    """Return whether two expressions are equal and their names mean the same."""
    names = [node for node in ast.walk(left) if isinstance(node, ast.Name) and node.id != "self"]
    is_local = any(node.id not in view.module_scope.bindings for node in names)
    is_comparable = not is_local or view.enclosing_function(left) is view.enclosing_function(right)
    return is_comparable and ast.dump(left) == ast.dump(right)
