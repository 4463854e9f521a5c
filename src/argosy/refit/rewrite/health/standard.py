"""The standard that answers in a loop's place: the base of its class, and the port that it answers on."""

from __future__ import annotations

import ast
import functools
from typing import Final

import msgspec

from argosy.refit.addresses.shapes import text_of
from argosy.refit.file import PythonFile
from argosy.refit.health.loops import HealthLoop, find_health_loops
from argosy.refit.health.payloads import HOOK, is_super, payload_call, unwrapped
from argosy.refit.rewrite.elsewhere import home_of, view_of
from argosy.refit.rewrite.index import Index
from argosy.refit.rewrite.standins import BASE_MODULE, surface_of
from argosy.refit.rewrite.view import Function, View
from argosy.refit.sockets import find_sockets
from argosy.source import flow

ARGOSY: Final = "argosy.agent.compat.BaseAgent"
PORT_NAMES: Final = ("health_check_port", "health_port")
# What argosy's base keeps its port under, whatever it was given.
_ARGOSY_PORTS: Final = frozenset({"self.health_check_port", "self.health_port"})
_DEEP: Final = 4


class Standard(msgspec.Struct, frozen=True):
    """A base that answers health itself.

    path: the file of a base of the tree's own, empty for argosy's. socket: what its loop answers on,
    loop: the method, ports: the attributes of self that it binds that to. others: its methods that do more
    than begin that loop; where an override of one goes, it would be called in its place.
    """

    path: str
    socket: str
    loop: str
    ports: frozenset[str]
    others: frozenset[str] = frozenset()


_OURS: Final = Standard("", "self.health_socket", "_health_check_loop", _ARGOSY_PORTS)


def find_standard(view: View, index: Index, owner: ast.ClassDef) -> Standard | str:
    """Return the standard that a class derives from, or why there is none."""
    bases = [base for base in owner.bases if flow.dotted(base).rpartition(".")[2] not in ("ABC", "object")]
    if len(bases) != 1:
        return f"`{owner.name}` derives from {len(bases) or 'no'} classes, and not from the standard alone"
    written = flow.dotted(bases[0])
    target = view.resolve(bases[0])
    if not target:
        return f"its base `{written}` is not certainly one import's"
    found = _look_up(index, view.path, target, 0)
    return found if found is not None else f"its base `{target}` is none that answers for health"


def inherited_members(view: View, index: Index, owner: ast.ClassDef) -> frozenset[str]:
    """Return what a class has of its base, as far as that is a standard: of argosy's every member."""
    standard = find_standard(view, index, owner)
    if isinstance(standard, str):
        return frozenset()
    if not standard.path:
        return surface_of(BASE_MODULE)["BaseAgent"]
    return standard.others | {standard.loop, standard.socket.removeprefix("self.")}


def _look_up(index: Index, path: str, target: str, depth: int) -> Standard | None:
    """Follow a name to argosy's base, or to a class of the tree that answers for health itself."""
    if target in (ARGOSY, "argosy.agent.compat.base.BaseAgent"):
        return _OURS
    module, _, name = target.rpartition(".")
    home = home_of(index, path, module)
    if not home or depth > _DEEP:
        return None
    if (home, name) in index.exchanged:
        return _OURS
    answering, imported = _read_base(home, index.files[home], name)
    return answering or (_look_up(index, home, imported, depth + 1) if imported else None)


@functools.lru_cache(maxsize=64)
def _read_base(path: str, data: bytes, name: str) -> tuple[Standard | None, str]:
    """Return the standard that a file defines under a name, or what the name is imported as there."""
    view = view_of(path, data)
    if view is None:
        return None, ""
    bindings = view.module.bindings.get(name, ())
    if len(bindings) != 1:
        return None, ""
    if bindings[0].origin:
        return None, bindings[0].origin
    owner = next((n for n in view.tree.body if isinstance(n, ast.ClassDef) and n.name == name), None)
    return (_answering(view, owner) if owner is not None else None), ""


def _answering(view: View, owner: ast.ClassDef) -> Standard | None:
    """Return a class as a standard: a thread of it answers on its own socket with the payload hook."""
    for loop in find_health_loops(view.file):
        scope = loop.function.parent
        is_its = scope is not None and scope.node is owner and loop.socket.startswith("self.")
        asks = any(
            payload_call(value) == HOOK
            for send, _ in loop.sends
            for value in _sent_values(view.file, loop, send)
        )
        if is_its and asks and loop.is_alone and _is_threaded(owner, loop.place.name):
            ports = _bound_ports(view, loop)
            return Standard(view.path, loop.socket, loop.place.name, ports, _others(owner, loop.place.name))
    return None


def _sent_values(file: PythonFile, loop: HealthLoop, send: ast.Call) -> list[ast.expr]:
    value = unwrapped(send.args[0])
    if not isinstance(value, ast.Name):
        return [value]
    return [
        node.value
        for node, scope in file.nodes(ast.Assign)
        if scope is loop.function and any(isinstance(t, ast.Name) and t.id == value.id for t in node.targets)
    ]


def _others(owner: ast.ClassDef, loop: str) -> frozenset[str]:
    return frozenset(
        node.name
        for node in owner.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name != loop
        and not _is_threaded(node, loop)
    )


def _is_threaded(owner: ast.ClassDef | Function, method: str) -> bool:
    return any(
        isinstance(node, ast.keyword) and node.arg == "target" and flow.dotted(node.value) == f"self.{method}"
        for node in ast.walk(owner)
    )


def _bound_ports(view: View, loop: HealthLoop) -> frozenset[str]:
    """Return the attributes of self that a loop's socket is bound to, by `tcp://*:{self.port}`."""
    found: set[str] = set()
    for place in find_sockets(view.file).sockets:
        if place.name == loop.socket and place.owner is loop.function.parent:
            for use in place.calls("bind"):
                port = port_of(use.call.args[0]) if use.call is not None and use.call.args else None
                if port is not None and flow.dotted(port).startswith("self."):
                    found.add(flow.dotted(port))
    return frozenset(found)


def port_of(endpoint: ast.expr) -> ast.expr | None:
    """Return the port of `f"tcp://*:{port}"` and of `"tcp://*:5556"`, None where it cannot be seen."""
    if isinstance(endpoint, ast.Constant) and isinstance(endpoint.value, str):
        text = endpoint.value.rpartition(":")[2]
        return ast.Constant(int(text)) if endpoint.value.startswith("tcp://") and text.isdecimal() else None
    if isinstance(endpoint, ast.JoinedStr) and len(endpoint.values) > 1:
        last, before = endpoint.values[-1], endpoint.values[-2]
        is_tcp = text_of(endpoint.values[0]).startswith("tcp:")
        ends = text_of(before).endswith(":")
        if is_tcp and ends and isinstance(last, ast.FormattedValue) and last.format_spec is None:
            return last.value
    return None


def constructor_reason(owner: ast.ClassDef) -> str:
    """Return why the base's constructor may not be reached; empty where every way through leads there."""
    made = method_of(owner, "__init__")
    if made is None:
        return ""
    for node in made.body:
        if base_call(node) is not None:
            return ""
        if any(isinstance(inner, ast.Return | ast.Raise) for inner in ast.walk(node)):
            return "its constructor may leave before it reaches its base's"
    return "its constructor does not reach its base's on every path"


def base_call(node: ast.stmt) -> ast.Call | None:
    """Return the call of `super().__init__(...)` or `Base.__init__(self, ...)` that a statement is."""
    if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        return None
    func = node.value.func
    if not (isinstance(func, ast.Attribute) and func.attr == "__init__"):
        return None
    is_named = bool(node.value.args) and flow.dotted(node.value.args[0]) == "self"
    return node.value if is_super(func.value) or is_named else None


def method_of(owner: ast.ClassDef, name: str) -> Function | None:
    """Return a class's own method."""
    found = [
        node
        for node in owner.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
    ]
    return found[-1] if found else None


def port_reason(view: View, owner: ast.ClassDef, standard: Standard, bound: ast.expr) -> str:
    """Return why the standard does not answer on the port that a loop's own socket is bound to."""
    meant = _meant(view, owner, bound)
    written = flow.dotted(bound)
    if written in standard.ports and not _sets(owner, written):
        return ""
    if standard.path:
        return f"its port `{ast.unparse(bound)}` is not certainly the one that its base binds"
    given = _given(owner, PORT_NAMES)
    if given is not None:
        is_given = is_same(view, _meant(view, owner, given), meant)
        return "" if is_given else f"its port `{ast.unparse(bound)}` is not the one that its base is given"
    is_next = _is_next(view, owner, meant)
    return "" if is_next else f"its port `{ast.unparse(bound)}` is not certainly its base's health port"


def is_same(view: View, left: ast.expr, right: ast.expr) -> bool:
    """Return whether two expressions are the same of the same names."""
    names = [node for node in ast.walk(left) if isinstance(node, ast.Name) and node.id != "self"]
    is_local = any(node.id not in view.module.bindings for node in names)
    is_one = not is_local or view.function(left) is view.function(right)
    return is_one and ast.dump(left) == ast.dump(right)


def _is_next(view: View, owner: ast.ClassDef, meant: ast.expr) -> bool:
    """Return whether a port is the one after the port that the base is given, or has kept itself."""
    if not (isinstance(meant, ast.BinOp) and isinstance(meant.op, ast.Add)):
        return False
    if not (isinstance(meant.right, ast.Constant) and meant.right.value == 1):
        return False
    given = _given(owner, ("port",))
    if ast.unparse(meant.left) != "self.port":
        return given is not None and is_same(view, meant.left, given)
    kept = [
        node.value
        for node in ast.walk(owner)
        if isinstance(node, ast.Assign) and any(flow.dotted(target) == "self.port" for target in node.targets)
    ]
    return all(_keeps(value) or (given is not None and is_same(view, value, given)) for value in kept)


def _keeps(value: ast.expr) -> bool:
    """Return whether `self.port` is set to what it is: `self.port or 5`, `self.port if self.port else 5`.

    The base has always a port by then.
    """
    if isinstance(value, ast.BoolOp) and isinstance(value.op, ast.Or):
        return flow.dotted(value.values[0]) == "self.port"
    return isinstance(value, ast.IfExp) and {flow.dotted(value.test), flow.dotted(value.body)} == {
        "self.port"
    }


def declared_reason(view: View, index: Index, owner: ast.ClassDef, port: ast.expr) -> str:
    """Return how the fleet file speaks against a port; it has nothing to say without the agent."""
    path, bound = view.path, _meant(view, owner, port)
    agents = [a for a in index.fleet.agents.values() if _runs(a.run, path)] if index.fleet else []
    for agent in agents:
        if agent.health_port is None:
            return f"the fleet file declares no health port for `{agent.name}`"
        literal = bound.value if isinstance(bound, ast.Constant) else agent.health_port
        if literal != agent.health_port:
            return f"its port {literal!r} is not the health port {agent.health_port} of `{agent.name}`"
    return ""


def _runs(run: object, path: str) -> bool:
    return isinstance(run, str) and (run == path or path.endswith(f"/{run}") or run.endswith(f"/{path}"))


def _given(owner: ast.ClassDef, names: tuple[str, ...]) -> ast.expr | None:
    """Return what a class hands to its base's constructor under one of some names.

    A port may stand without its name: then it is what is called `port` there.
    """
    made = method_of(owner, "__init__")
    for node in made.body if made is not None else ():
        call = base_call(node)
        if call is None:
            continue
        named = [item.value for item in call.keywords if item.arg in names]
        return next(iter([*named, *(each for each in call.args if flow.dotted(each) in names)]), None)
    return None


def _meant(view: View, owner: ast.ClassDef, node: ast.expr) -> ast.expr:
    """Return an expression seen through names that are set once: of the class, or of the module."""
    for _ in range(_DEEP):
        name = flow.dotted(node)
        is_module = len(view.module.bindings.get(name, ())) == 1 and not _is_local(owner, name)
        within = view.tree.body if is_module else list(ast.walk(owner))
        values = [
            each.value
            for each in within
            if isinstance(each, ast.Assign) and any(flow.dotted(target) == name for target in each.targets)
        ]
        if not name or len(values) != 1:
            return node
        node = values[0]
    return node


def _is_local(owner: ast.ClassDef, name: str) -> bool:
    """Return whether a method of a class has a parameter or a name of its own that is called so."""
    return any(
        (isinstance(node, ast.arg) and node.arg == name)
        or (isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store))
        for node in ast.walk(owner)
    )


def _sets(owner: ast.ClassDef, name: str) -> bool:
    return any(
        isinstance(node, ast.Assign) and any(flow.dotted(target) == name for target in node.targets)
        for node in ast.walk(owner)
    )
