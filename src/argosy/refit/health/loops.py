"""Loops that answer for an agent's health, or send it out by themselves, under any name.

Told are loops in which one socket is received from or polled, and every message that is sent on
it is a health payload or an error, while the request goes into no work; and loops that send a
health payload on a PUB or PUSH socket again and again.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from argosy.refit.file import PythonFile
from argosy.refit.health.payloads import Sort, own_nodes, payload_call, sort_of, unwrapped
from argosy.refit.sockets import RECEIVERS, SENDERS, class_of, find_sockets, function_of
from argosy.source import flow
from argosy.source.scopes import Scope

Kind = Literal["answer", "beacon"]
Loop = ast.While | ast.For

_CASTING: Final = frozenset({"PUB", "XPUB", "PUSH"})
_ANSWERING: Final = frozenset({"REP", "ROUTER", ""})
# What a request may go through without work being done with it.
_HARMLESS: Final = frozenset(
    (  # noqa: SIM905
        "debug info warning warn error exception critical log print get decode loads strip lower"
        " isinstance str repr len type bool dict format startswith upper"
    ).split()
)
_SAYS_HEALTH: Final = re.compile(r"health|heartbeat|liveness|status", re.IGNORECASE)


class HealthLoop(msgspec.Struct, frozen=True):
    """One loop that speaks for its agent's health.

    function: the scope that it is in. loop: the statement. socket: such as `self.health_socket`.
    sends: the calls that send, with what each is.
    """

    function: Scope
    loop: Loop
    kind: Kind
    socket: str
    sends: tuple[tuple[ast.Call, Sort], ...]

    @property
    def name(self) -> str:
        return self.function.qualified_name()

    @property
    def is_alone(self) -> bool:
        """Whether the loop speaks on this socket alone."""
        others = {
            flow.dotted(node.func.value)
            for node in own_nodes(self.loop)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in SENDERS | RECEIVERS
        }
        return others == {self.socket}

    @property
    def place(self) -> ast.FunctionDef | ast.AsyncFunctionDef:
        """The definition of its function."""
        assert isinstance(self.function.node, ast.FunctionDef | ast.AsyncFunctionDef)
        return self.function.node


def find_health_loops(file: PythonFile) -> list[HealthLoop]:
    """Return the health loops of a file, one a function and socket; computed once for all that ask."""
    return file.derived(_find)


def _find(file: PythonFile) -> list[HealthLoop]:
    found: dict[tuple[int, str], HealthLoop] = {}
    data = file.source.data
    is_told = b"status" in data or b"health" in data
    if is_told and b"send" in data and any(word in data for word in (b"recv", b"PUB", b"PUSH")):
        loops: list[tuple[Loop, Scope]] = [*file.nodes(ast.While), *file.nodes(ast.For)]
        senders = _senders(file)
        for loop, scope in loops:
            function = function_of(scope)
            if function is None or function not in senders:
                continue
            if isinstance(function.node, ast.FunctionDef | ast.AsyncFunctionDef):
                for told in _of_loop(file, function, loop):
                    found.setdefault((id(function), told.socket), told)
    return list(found.values())


def _senders(file: PythonFile) -> set[Scope]:
    """Return the functions that send: most loops are in others."""
    return {
        function
        for call, scope in file.nodes(ast.Call)
        if isinstance(call.func, ast.Attribute) and call.func.attr in SENDERS and call.args
        if (function := function_of(scope)) is not None
    }


def _of_loop(file: PythonFile, scope: Scope, loop: Loop) -> Iterator[HealthLoop]:
    calls = _calls(loop)
    by_socket: dict[str, list[ast.Call]] = {}
    for call in calls:
        if isinstance(call.func, ast.Attribute) and call.func.attr in SENDERS and call.args:
            name = flow.dotted(call.func.value)
            if name:
                by_socket.setdefault(name, []).append(call)
    for name, sends in by_socket.items():
        kind = _kind(file, scope, calls, name, sends) if _is_innermost(loop, sends) else None
        sorts = [_sort(file, scope, send) for send in sends] if kind else []
        if kind and "other" not in sorts and "health" in sorts:
            yield HealthLoop(scope, loop, kind, name, tuple(zip(sends, sorts, strict=True)))


def _calls(loop: Loop) -> list[ast.Call]:
    """Return the calls of a loop by their places."""
    calls = [node for node in own_nodes(loop) if isinstance(node, ast.Call)]
    return sorted(calls, key=lambda node: (node.lineno, node.col_offset))


def _is_innermost(loop: Loop, sends: list[ast.Call]) -> bool:
    """Return whether no loop within `loop` holds all the sends."""
    for inner in own_nodes(loop):
        if isinstance(inner, ast.While | ast.For):
            held = {id(node) for node in own_nodes(inner)}
            if all(id(send) in held for send in sends):
                return False
    return True


def _kind(
    file: PythonFile, scope: Scope, calls: list[ast.Call], name: str, sends: list[ast.Call]
) -> Kind | None:
    """Return how a socket is used in a loop: received from before it is sent on, or only sent on."""
    type_ = socket_type(file, scope, name)
    first = min((send.lineno, send.col_offset) for send in sends)
    received = [
        call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr in RECEIVERS
    ]
    own = [call for call in received if flow.dotted(call.func.value) == name]  # type: ignore[attr-defined]
    if own:
        is_before = min((call.lineno, call.col_offset) for call in own) < first
        return "answer" if is_before and type_ in _ANSWERING and _is_idle(file, scope, own) else None
    return "beacon" if type_ in _CASTING else None


def socket_type(file: PythonFile, scope: Scope, name: str) -> str:
    """Return the type of a socket such as `REP`; empty where it is not made in this file."""
    for place in find_sockets(file).sockets:
        if place.name != name or len(place.types) != 1:
            continue
        is_here = place.owner is class_of(scope) if place.is_attribute else _sees(scope, place.owner, name)
        if is_here:
            return next(iter(place.types))
    return ""


def _sees(scope: Scope, owner: Scope, name: str) -> bool:
    return scope.owner_of(name) is owner


def _is_idle(file: PythonFile, scope: Scope, received: list[ast.Call]) -> bool:
    """Return whether what is received goes into no work: looked at, logged, and dropped."""
    names = {name for call in received for name in _names_of(file, call)}
    while True:
        more = set()
        for node in own_nodes(scope.node):
            if not (isinstance(node, ast.Name) and node.id in names and isinstance(node.ctx, ast.Load)):
                continue
            call = _consumer(file, node)
            if call is None:
                continue
            if not _is_harmless(call):
                return False
            more |= set(_names_of(file, call))
        if more <= names:
            return True
        names |= more


def _names_of(file: PythonFile, node: ast.expr) -> Iterator[str]:
    """Yield the names that the statement around an expression puts its value in."""
    for around in file.ancestors(node):
        if isinstance(around, ast.Assign):
            for target in around.targets:
                yield from (n.id for n in ast.walk(target) if isinstance(n, ast.Name))
        if isinstance(around, ast.AnnAssign | ast.NamedExpr) and isinstance(around.target, ast.Name):
            yield around.target.id
        if isinstance(around, ast.stmt):
            return


def _consumer(file: PythonFile, node: ast.Name) -> ast.Call | None:
    """Return the call that takes a value, as its argument or as its object; None where none does."""
    for around in file.ancestors(node):
        if isinstance(around, ast.Call):
            return around
        if isinstance(around, ast.Compare | ast.stmt | ast.Dict):
            return None
    return None


def _is_harmless(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else flow.dotted(call.func)
    return name in _HARMLESS or name in SENDERS


def _sort(file: PythonFile, scope: Scope, send: ast.Call) -> Sort:
    sort = sort_of(file, send.args[0], scope)
    if sort == "other" and _is_called_health(file, scope, send.args[0]):
        return "health"
    return sort


def _is_called_health(file: PythonFile, scope: Scope, node: ast.expr) -> bool:
    """Return whether a payload comes from a function without arguments whose name says health.

    Asked only where it cannot be seen what the function returns, and the request is ignored.
    """
    node = unwrapped(node)
    if isinstance(node, ast.Name):
        made = [
            a.value
            for a, inner in file.nodes(ast.Assign)
            if inner is scope and any(isinstance(t, ast.Name) and t.id == node.id for t in a.targets)
        ]
        return bool(made) and all(
            not isinstance(value, ast.Name) and _is_called_health(file, scope, value) for value in made
        )
    if not isinstance(node, ast.Call) or node.args or node.keywords:
        return False
    name = payload_call(node) or flow.dotted(node.func)
    return bool(name) and bool(_SAYS_HEALTH.search(name.rpartition(".")[2]))
