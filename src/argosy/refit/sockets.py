"""The sockets of one file: where each is kept, how it was made, and everything that is done to it.

A socket is known by the place that it is kept in: a local name, a name of the module, an attribute of
`self`. What is kept elsewhere (in a list, in a dict) has no place, and no rule speaks of it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Literal

import msgspec

from argosy.refit import pyzmq
from argosy.refit.contextclass import find_context_class
from argosy.refit.file import PythonFile
from argosy.source import flow
from argosy.source.scopes import Scope

Kind = Literal["call", "bare", "option", "poll", "test", "with", "pass", "hold", "store"]

SELF = ("self", "cls")
OPENERS = frozenset({"bind", "connect", "bind_to_random_port"})
RECEIVERS = frozenset(
    "recv recv_json recv_string recv_unicode recv_pyobj recv_multipart recv_serialized recv_into".split()  # noqa: SIM905
)
SENDERS = frozenset(
    "send send_json send_string send_unicode send_pyobj send_multipart send_serialized".split()  # noqa: SIM905
)
_SETTERS = frozenset({"setsockopt", "set", "setsockopt_string", "setsockopt_unicode", "set_hwm", "hwm"})


class Use(msgspec.Struct, frozen=True):
    """One place that names a socket.

    kind: what becomes of it. call: a method is called (`method`, `call`); bare: a method or attribute is
    taken (`method`); option: an attribute is set (`method`); poll: a poller gets it; test: its truth or
    identity is asked for; with: a `with` closes it; pass: something else gets it; hold: it is stored under
    another name, returned, yielded; store: the place itself gets another value, or none.
    """

    node: ast.expr
    scope: Scope
    kind: Kind
    method: str = ""
    call: ast.Call | None = None

    @property
    def line(self) -> int:
        return self.node.lineno


class Making(msgspec.Struct, frozen=True):
    """One call that makes a socket. type: such as `REQ`, empty where it is not written.

    context: the expression that makes it, None for `zmq.Socket(...)`.
    """

    call: ast.Call
    scope: Scope
    type: str
    context: ast.expr | None


class Place:
    """What keeps a socket or a context: a name or an attribute of self.

    owner: the scope that binds the name; for an attribute the class. name: such as `sock` or `self.sock`.
    """

    def __init__(self, owner: Scope, name: str) -> None:
        self.owner = owner
        self.name = name
        self.makings: list[Making] = []
        self.uses: list[Use] = []

    @property
    def is_attribute(self) -> bool:
        return "." in self.name

    @property
    def is_local(self) -> bool:
        """Whether it is a name of one function."""
        return self.owner.kind == "function"

    @property
    def types(self) -> set[str]:
        return {making.type for making in self.makings}

    def calls(self, *methods: str) -> list[Use]:
        return [use for use in self.uses if use.kind == "call" and use.method in methods]

    def has_option(self, name: str, file: PythonFile) -> bool:
        """Return whether an option is set anywhere, by whichever way pyzmq has."""
        return any(use_sets(use, name, file) for use in self.uses)


def use_sets(use: Use, name: str, file: PythonFile) -> bool:
    """Return whether a use of a socket or a context sets the option `name`, such as `LINGER`."""
    if use.kind == "option":
        return use.method.upper() == name
    if use.kind == "call" and use.call is not None and use.method in _SETTERS:
        return any(pyzmq.constant(file, argument, use.scope) == name for argument in use.call.args[:1])
    return False


class Sockets:
    """All sockets and contexts of a file.

    sockets: by place. contexts: places that keep a context, by (owner, name). loose: sockets that are made
    and kept in no place.
    """

    def __init__(self, file: PythonFile) -> None:
        self.file = file
        self._places: dict[tuple[int, str], Place] = {}
        self._contexts: dict[tuple[int, str], Place] = {}
        self.loose: list[Making] = []
        self.own = find_context_class(file).sites
        self._find_contexts()
        self._find_sockets()
        _add_uses(file, [*self._places.values(), *self._contexts.values()])

    @property
    def sockets(self) -> list[Place]:
        return list(self._places.values())

    @property
    def contexts(self) -> list[Place]:
        return list(self._contexts.values())

    def context_of(self, making: Making) -> Place | None:
        """Return the place of the context that made a socket, where that is in this file."""
        return None if making.context is None else self.context_at(making.context, making.scope)

    def context_at(self, node: ast.expr, scope: Scope) -> Place | None:
        """Return the place that an expression names, where a context is kept in it."""
        key = _key(node, scope)
        return self._contexts.get(key) if key else None

    def all_makings(self) -> list[Making]:
        """Return every call that makes a socket."""
        return [making for place in self.sockets for making in place.makings] + self.loose

    def _find_contexts(self) -> None:
        calls = [(site.call, site.scope) for site in self.own]
        may_lease = pyzmq.LEASE.partition(".")[0].encode() in self.file.source.data
        for call, scope in self.file.nodes(ast.Call):
            is_leased = may_lease and _is_lease(self.file, call, scope)
            if is_leased or pyzmq.is_shared_context(self.file, call, scope):
                calls.append((call, scope))
        for call, scope in calls:
            for owner, name in _targets(self.file, call, scope):
                place = self._contexts.setdefault((id(owner), name), Place(owner, name))
                place.makings.append(Making(call, scope, "", None))

    def _find_sockets(self) -> None:
        for call, scope in self.file.nodes(ast.Call):
            making = self._making(call, scope)
            if making is None:
                continue
            targets = list(_targets(self.file, call, scope))
            if not targets:
                self.loose.append(making)
            for owner, name in targets:
                place = self._places.setdefault((id(owner), name), Place(owner, name))
                place.makings.append(making)

    def _making(self, call: ast.Call, scope: Scope) -> Making | None:
        """Return a call as one that makes a socket: by the type that it names, or by its context."""
        func = call.func
        if not (isinstance(func, ast.Attribute) and func.attr in ("socket", "Socket")):
            return None
        is_class = pyzmq.constant(self.file, func, scope) == "Socket"
        at = 1 if is_class else 0
        given = call.args[at] if len(call.args) > at else _keyword(call, "socket_type")
        type_ = pyzmq.constant(self.file, given, scope) if given is not None else ""
        if type_ in pyzmq.SOCKET_TYPES:
            return Making(call, scope, _PLAIN.get(type_, type_), None if is_class else func.value)
        key = _key(func.value, scope)
        if func.attr == "socket" and key in self._contexts:
            return Making(call, scope, "", func.value)
        return None


_PLAIN = {"XREQ": "DEALER", "XREP": "ROUTER"}


def find_sockets(file: PythonFile) -> Sockets:
    """Return the sockets of a file; computed once for all that ask."""
    return file.derived(Sockets)


def _is_lease(file: PythonFile, call: ast.Call, scope: Scope) -> bool:
    origin = file.origin(call.func, scope)
    return origin is not None and origin.name == pyzmq.LEASE


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((item.value for item in call.keywords if item.arg == name), None)


def _targets(file: PythonFile, node: ast.expr, scope: Scope) -> Iterator[tuple[Scope, str]]:
    """Yield the places that the value of `node` is put in by the statement around it."""
    inner: ast.AST = node
    around = file.parent(node)
    while isinstance(around, ast.BoolOp | ast.IfExp | ast.NamedExpr | ast.Await):
        if isinstance(around, ast.NamedExpr):
            yield from _place_of(around.target, scope)
        inner, around = around, file.parent(around)
    if isinstance(around, ast.Assign):
        for target in around.targets:
            yield from _place_of(target, scope)
    elif isinstance(around, ast.AnnAssign):
        yield from _place_of(around.target, scope)
    elif isinstance(around, ast.withitem) and around.optional_vars is not None:
        yield from _place_of(around.optional_vars, scope)
    elif isinstance(around, ast.Call) and inner in around.args:
        # `with closing(context.socket(...)) as sock`
        above = file.parent(around)
        is_with = isinstance(above, ast.withitem) and above.optional_vars is not None
        if is_with and flow.dotted(around.func).rpartition(".")[2] == "closing":
            yield from _place_of(above.optional_vars, scope)  # type: ignore[union-attr]


def _place_of(target: ast.expr, scope: Scope) -> Iterator[tuple[Scope, str]]:
    if isinstance(target, ast.Name):
        owner = scope.owner_of(target.id)
        if owner is not None:
            yield owner, target.id
    elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id in SELF:
        owner = class_of(scope)
        if owner is not None:
            yield owner, f"self.{target.attr}"


def class_of(scope: Scope | None) -> Scope | None:
    """Return the innermost class around a scope."""
    while scope is not None and scope.kind != "class":
        scope = scope.parent
    return scope


def function_of(scope: Scope | None) -> Scope | None:
    """Return the innermost function that a scope is in or is."""
    while scope is not None and scope.kind != "function":
        scope = scope.parent
    return scope


def _key(node: ast.expr, scope: Scope) -> tuple[int, str] | None:
    for owner, name in _place_of(node, scope):
        return id(owner), name
    return None


def _add_uses(file: PythonFile, places: list[Place]) -> None:
    attributes: dict[str, list[Place]] = {}
    for place in places:
        if place.is_attribute:
            attributes.setdefault(place.name[5:], []).append(place)
        else:
            _add_name_uses(file, place)
    if not attributes:
        return
    for node, scope in file.nodes(ast.Attribute):
        held = attributes.get(node.attr)
        if held and isinstance(node.value, ast.Name) and node.value.id in SELF:
            owner = class_of(scope)
            for place in held:
                if place.owner is owner:
                    place.uses.append(_use(file, node, scope))


def _add_name_uses(file: PythonFile, place: Place) -> None:
    for scope in place.owner.walk():
        if scope is not place.owner and scope.owner_of(place.name) is not place.owner:
            continue
        for use in scope.uses:
            if use.name == place.name and use.is_evaluated and scope.owner_of(place.name) is place.owner:
                place.uses.append(_use(file, use.node, scope))


def _use(file: PythonFile, node: ast.Name | ast.Attribute, scope: Scope) -> Use:
    """Return a use as what is around it makes it."""
    around = file.parent(node)
    if not isinstance(node.ctx, ast.Load):
        return Use(node, scope, "store")
    if isinstance(around, ast.Attribute):
        above = file.parent(around)
        if not isinstance(around.ctx, ast.Load):
            return Use(node, scope, "option", around.attr)
        if isinstance(above, ast.Call) and above.func is around:
            return Use(node, scope, "call", around.attr, above)
        return Use(node, scope, "bare", around.attr)
    if isinstance(around, ast.Call):
        return _argument(file, node, scope, around)
    return Use(node, scope, _kind(file, node, around))


def _kind(file: PythonFile, node: ast.expr, around: ast.AST | None) -> Kind:
    """Return what becomes of a socket's value where neither a method nor a call takes it."""
    above = file.parent(around) if around is not None else None
    if isinstance(around, ast.withitem):
        return "with"
    if isinstance(around, ast.IfExp):
        return "test" if node is around.test else "hold"
    if isinstance(around, ast.Subscript):
        return "test" if node is around.slice else "hold"
    if isinstance(around, ast.BoolOp):
        is_test = isinstance(above, ast.If | ast.While | ast.UnaryOp | ast.BoolOp)
        return "test" if is_test or node is not around.values[-1] else "hold"
    if isinstance(around, ast.List | ast.Tuple) and _is_select(above):
        return "poll"
    return "test" if isinstance(around, _TESTS) else "hold"


def _argument(file: PythonFile, node: ast.expr, scope: Scope, call: ast.Call) -> Use:
    func = call.func
    name = func.attr if isinstance(func, ast.Attribute) else flow.dotted(func)
    if name in ("register", "unregister", "modify"):
        return Use(node, scope, "poll", name, call)
    if name in ("get", "isinstance", "hasattr", "print", "str", "repr", "id", "bool", "type", "getattr"):
        return Use(node, scope, "test", name, call)
    if name in ("closing", "enter_context", "push"):
        return Use(node, scope, "with", name, call)
    return Use(node, scope, "pass", name, call)


_TESTS = (ast.Compare, ast.UnaryOp, ast.If, ast.While, ast.Assert, ast.Expr)


def _is_select(node: ast.AST | None) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = flow.dotted(node.func)
    return name.endswith(("zmq.select", "zmq_poll")) or name == "select"
