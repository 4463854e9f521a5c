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


def port_mismatch_reason(
    view: SourceView, owner: ast.ClassDef, health_base: HealthBase, bound: ast.expr
) -> str:
    """Return why the base does not answer on the port that the loop's own socket is bound to."""
    resolved = _resolve_once_assigned(view, owner, bound)
    written = dotted_name(bound)
    if written in health_base.port_attributes and not _assigns(owner, written):
        return ""
    if health_base.path:
        return f"its port `{ast.unparse(bound)}` is not certainly the one that its base binds"
    given_port = _constructor_argument(owner, PORT_NAMES)
    if given_port is not None:
        is_same_port = is_same_expression(view, _resolve_once_assigned(view, owner, given_port), resolved)
        return (
            "" if is_same_port else f"its port `{ast.unparse(bound)}` is not the one that its base is given"
        )
    is_next = _is_next_port(view, owner, resolved)
    return "" if is_next else f"its port `{ast.unparse(bound)}` is not certainly its base's health port"


def is_same_expression(view: SourceView, left: ast.expr, right: ast.expr) -> bool:
    """Return whether two expressions are equal and their names mean the same."""
    names = [node for node in ast.walk(left) if isinstance(node, ast.Name) and node.id != "self"]
    is_local = any(node.id not in view.module_scope.bindings for node in names)
    is_comparable = not is_local or view.enclosing_function(left) is view.enclosing_function(right)
    return is_comparable and ast.dump(left) == ast.dump(right)


def _is_next_port(view: SourceView, owner: ast.ClassDef, resolved: ast.expr) -> bool:
    """Return whether a port is one more than the port that the base is given or has stored."""
    if not (isinstance(resolved, ast.BinOp) and isinstance(resolved.op, ast.Add)):
        return False
    if not (isinstance(resolved.right, ast.Constant) and resolved.right.value == 1):
        return False
    given_port = _constructor_argument(owner, ("port",))
    if ast.unparse(resolved.left) != "self.port":
        return given_port is not None and is_same_expression(view, resolved.left, given_port)
    assigned = [
        node.value
        for node in ast.walk(owner)
        if isinstance(node, ast.Assign) and any(dotted_name(target) == "self.port" for target in node.targets)
    ]
    return all(
        _keeps_port(value) or (given_port is not None and is_same_expression(view, value, given_port))
        for value in assigned
    )


def _keeps_port(value: ast.expr) -> bool:
    """Return whether a value sets `self.port` to itself: `self.port or 5`, `self.port if self.port else 5`.

    The base has always set a port by then.
    """
    if isinstance(value, ast.BoolOp) and isinstance(value.op, ast.Or):
        return dotted_name(value.values[0]) == "self.port"
    return isinstance(value, ast.IfExp) and {
        dotted_name(value.test),
        dotted_name(value.body),
    } == {"self.port"}


def declared_port_reason(view: SourceView, index: TreeIndex, owner: ast.ClassDef, port: ast.expr) -> str:
    """Return how the fleet file contradicts a port; empty if the file is not an agent of the fleet."""
    path, resolved = view.path, _resolve_once_assigned(view, owner, port)
    agents = [a for a in index.fleet.agents.values() if _runs_script(a.run, path)] if index.fleet else []
    for agent in agents:
        if agent.health_port is None:
            return f"the fleet file declares no health port for `{agent.name}`"
        literal = resolved.value if isinstance(resolved, ast.Constant) else agent.health_port
        if literal != agent.health_port:
            return f"its port {literal!r} is not the health port {agent.health_port} of `{agent.name}`"
    return ""


def _runs_script(run: object, path: str) -> bool:
    return isinstance(run, str) and (run == path or path.endswith(f"/{run}") or run.endswith(f"/{path}"))


def _constructor_argument(owner: ast.ClassDef, names: tuple[str, ...]) -> ast.expr | None:
    """Return the argument that a class passes to its base's constructor under one of `names`.

    A positional argument counts if it is itself one of these names.
    """
    constructor = method_of(owner, "__init__")
    for node in constructor.body if constructor is not None else ():
        call = base_constructor_call(node)
        if call is None:
            continue
        named = [item.value for item in call.keywords if item.arg in names]
        return next(iter([*named, *(each for each in call.args if dotted_name(each) in names)]), None)
    return None


def _resolve_once_assigned(view: SourceView, owner: ast.ClassDef, node: ast.expr) -> ast.expr:
    """Resolve names that are assigned once, in the class or in the module."""
    for _ in range(_MAX_DEPTH):
        name = dotted_name(node)
        is_module = len(view.module_scope.bindings.get(name, ())) == 1 and not _is_local(owner, name)
        within = view.tree.body if is_module else list(ast.walk(owner))
        values = [
            each.value
            for each in within
            if isinstance(each, ast.Assign) and any(dotted_name(target) == name for target in each.targets)
        ]
        if not name or len(values) != 1:
            return node
        node = values[0]
    return node


def _is_local(owner: ast.ClassDef, name: str) -> bool:
    """Return whether a method of a class has a parameter or local variable of this name."""
    return any(
        (isinstance(node, ast.arg) and node.arg == name)
        or (isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store))
        for node in ast.walk(owner)
    )


def _assigns(owner: ast.ClassDef, name: str) -> bool:
    return any(
        isinstance(node, ast.Assign) and any(dotted_name(target) == name for target in node.targets)
        for node in ast.walk(owner)
    )
