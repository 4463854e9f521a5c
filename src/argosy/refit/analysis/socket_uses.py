"""The sockets of one file: where each is stored, how it was created, and all uses of it.

A socket is identified by the place that stores it: a local variable, a module variable, an attribute of
`self`. Sockets stored elsewhere (in a list, in a dict) have no place and are not analyzed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Literal

import msgspec

from argosy.refit.analysis import pyzmq_names
from argosy.refit.analysis.context_class import find_context_class_uses
from argosy.refit.core.source_file import PythonFile
from argosy.source.control_flow import dotted_name
from argosy.source.name_scopes import NameScope

UseKind = Literal["call", "attribute", "option", "poll", "test", "with", "argument", "escape", "assign"]

SELF_NAMES = ("self", "cls")
OPENING_METHODS = frozenset({"bind", "connect", "bind_to_random_port"})
RECEIVE_METHODS = frozenset(
    "recv recv_json recv_string recv_unicode recv_pyobj recv_multipart recv_serialized recv_into".split()  # noqa: SIM905
)
SEND_METHODS = frozenset(
    "send send_json send_string send_unicode send_pyobj send_multipart send_serialized".split()  # noqa: SIM905
)
_OPTION_SETTERS = frozenset(
    {"setsockopt", "set", "setsockopt_string", "setsockopt_unicode", "set_hwm", "hwm"}
)


class SocketUse(msgspec.Struct, frozen=True):
    """One place that names a socket.

    kind: the kind of use. call: a method is called (`method`, `call`); attribute: a method or attribute is
    read (`method`); option: an attribute is set (`method`); poll: it is passed to a poller; test: its truth
    or identity is tested; with: a `with` closes it; argument: it is passed to another call; escape: it is
    stored under another name, returned, yielded; assign: the place itself is assigned another value, or none.
    """

    node: ast.expr
    scope: NameScope
    kind: UseKind
    method: str = ""
    call: ast.Call | None = None

    @property
    def line(self) -> int:
        return self.node.lineno


class SocketCreation(msgspec.Struct, frozen=True):
    """One call that creates a socket.

    socket_type: such as `REQ`, empty if it is not literal. context: the expression of its context, None for
    `zmq.Socket(...)`.
    """

    call: ast.Call
    scope: NameScope
    socket_type: str
    context: ast.expr | None


class SocketPlace:
    """What stores a socket or a context: a variable or an attribute of self.

    owner: the scope that binds the variable; for an attribute the class. name: such as `sock` or `self.sock`.
    """

    def __init__(self, owner: NameScope, name: str) -> None:
        self.owner = owner
        self.name = name
        self.creations: list[SocketCreation] = []
        self.uses: list[SocketUse] = []

    @property
    def is_attribute(self) -> bool:
        return "." in self.name

    @property
    def is_local(self) -> bool:
        """Whether it is a local variable of a function."""
        return self.owner.kind == "function"

    @property
    def socket_types(self) -> set[str]:
        return {creation.socket_type for creation in self.creations}

    def calls_to(self, *methods: str) -> list[SocketUse]:
        return [use for use in self.uses if use.kind == "call" and use.method in methods]

    def has_option(self, name: str, file: PythonFile) -> bool:
        """Return whether an option is set anywhere, in any way that pyzmq offers."""
        return any(is_option_set_by(use, name, file) for use in self.uses)


def is_option_set_by(use: SocketUse, name: str, file: PythonFile) -> bool:
    """Return whether a use of a socket or a context sets the option `name`, such as `LINGER`."""
    if use.kind == "option":
        return use.method.upper() == name
    if use.kind == "call" and use.call is not None and use.method in _OPTION_SETTERS:
        return any(
            pyzmq_names.resolve_constant(file, argument, use.scope) == name for argument in use.call.args[:1]
        )
    return False


class FileSockets:
    """All sockets and contexts of a file.

    sockets: by place. contexts: places that store a context, by (owner, name). unplaced: sockets that are
    created and stored in no place.
    """

    def __init__(self, file: PythonFile) -> None:
        self.file = file
        self._sockets: dict[tuple[int, str], SocketPlace] = {}
        self._contexts: dict[tuple[int, str], SocketPlace] = {}
        self.unplaced: list[SocketCreation] = []
        self.own_contexts = find_context_class_uses(file).creations
        self._find_contexts()
        self._find_sockets()
        _add_uses(file, [*self._sockets.values(), *self._contexts.values()])

    @property
    def sockets(self) -> list[SocketPlace]:
        return list(self._sockets.values())

    @property
    def contexts(self) -> list[SocketPlace]:
        return list(self._contexts.values())

    def context_of(self, creation: SocketCreation) -> SocketPlace | None:
        """Return the place of the context that a socket was created from, if it is in this file."""
        return None if creation.context is None else self.context_at(creation.context, creation.scope)

    def context_at(self, node: ast.expr, scope: NameScope) -> SocketPlace | None:
        """Return the place that an expression names, if a context is stored in it."""
        key = _place_key(node, scope)
        return self._contexts.get(key) if key else None

    def all_creations(self) -> list[SocketCreation]:
        """Return every call that creates a socket."""
        return [creation for place in self.sockets for creation in place.creations] + self.unplaced

    def _find_contexts(self) -> None:
        calls = [(site.call, site.scope) for site in self.own_contexts]
        has_context_function = b"argosy" in self.file.source.data
        for call, scope in self.file.nodes(ast.Call):
            is_context_function = has_context_function and _is_context_function_call(self.file, call, scope)
            if is_context_function or pyzmq_names.is_shared_context(self.file, call, scope):
                calls.append((call, scope))
        for call, scope in calls:
            for owner, name in _assigned_places(self.file, call, scope):
                place = self._contexts.setdefault((id(owner), name), SocketPlace(owner, name))
                place.creations.append(SocketCreation(call, scope, "", None))

    def _find_sockets(self) -> None:
        for call, scope in self.file.nodes(ast.Call):
            creation = self._socket_creation(call, scope)
            if creation is None:
                continue
            targets = list(_assigned_places(self.file, call, scope))
            if not targets:
                self.unplaced.append(creation)
            for owner, name in targets:
                place = self._sockets.setdefault((id(owner), name), SocketPlace(owner, name))
                place.creations.append(creation)

    def _socket_creation(self, call: ast.Call, scope: NameScope) -> SocketCreation | None:
        """Return a call as a socket creation: known by the type that it names, or by its context."""
        func = call.func
        if not (isinstance(func, ast.Attribute) and func.attr in ("socket", "Socket")):
            return None
        is_class = pyzmq_names.resolve_constant(self.file, func, scope) == "Socket"
        type_index = 1 if is_class else 0
        type_argument = (
            call.args[type_index] if len(call.args) > type_index else _keyword_argument(call, "socket_type")
        )
        socket_type = (
            pyzmq_names.resolve_constant(self.file, type_argument, scope) if type_argument is not None else ""
        )
        if socket_type in pyzmq_names.SOCKET_TYPES:
            return SocketCreation(
                call, scope, _CANONICAL_TYPES.get(socket_type, socket_type), None if is_class else func.value
            )
        key = _place_key(func.value, scope)
        if func.attr == "socket" and key in self._contexts:
            return SocketCreation(call, scope, "", func.value)
        return None


_CANONICAL_TYPES = {"XREQ": "DEALER", "XREP": "ROUTER"}


def find_sockets(file: PythonFile) -> FileSockets:
    """Return the sockets of a file; cached per file."""
    return file.compute_once(FileSockets)


def _is_context_function_call(file: PythonFile, call: ast.Call, scope: NameScope) -> bool:
    origin = file.origin(call.func, scope)
    return origin is not None and origin.name in pyzmq_names.CONTEXT_FUNCTIONS


def _keyword_argument(call: ast.Call, name: str) -> ast.expr | None:
    return next((item.value for item in call.keywords if item.arg == name), None)


def _assigned_places(file: PythonFile, node: ast.expr, scope: NameScope) -> Iterator[tuple[NameScope, str]]:
    """Yield the places that the statement around `node` assigns its value to."""
    inner: ast.AST = node
    parent = file.parent(node)
    while isinstance(parent, ast.BoolOp | ast.IfExp | ast.NamedExpr | ast.Await):
        if isinstance(parent, ast.NamedExpr):
            yield from _places_of(parent.target, scope)
        inner, parent = parent, file.parent(parent)
    if isinstance(parent, ast.Assign):
        for target in parent.targets:
            yield from _places_of(target, scope)
    elif isinstance(parent, ast.AnnAssign):
        yield from _places_of(parent.target, scope)
    elif isinstance(parent, ast.withitem) and parent.optional_vars is not None:
        yield from _places_of(parent.optional_vars, scope)
    elif isinstance(parent, ast.Call) and inner in parent.args:
        # `with closing(context.socket(...)) as sock`
        grandparent = file.parent(parent)
        is_with = isinstance(grandparent, ast.withitem) and grandparent.optional_vars is not None
        if is_with and dotted_name(parent.func).rpartition(".")[2] == "closing":
            yield from _places_of(grandparent.optional_vars, scope)  # type: ignore[union-attr]


def _places_of(target: ast.expr, scope: NameScope) -> Iterator[tuple[NameScope, str]]:
    if isinstance(target, ast.Name):
        owner = scope.owner_of(target.id)
        if owner is not None:
            yield owner, target.id
    elif (
        isinstance(target, ast.Attribute)
        and isinstance(target.value, ast.Name)
        and target.value.id in SELF_NAMES
    ):
        owner = enclosing_class(scope)
        if owner is not None:
            yield owner, f"self.{target.attr}"


def enclosing_class(scope: NameScope | None) -> NameScope | None:
    """Return the innermost class around a scope."""
    while scope is not None and scope.kind != "class":
        scope = scope.parent
    return scope


def enclosing_function(scope: NameScope | None) -> NameScope | None:
    """Return the innermost function that a scope is in or is."""
    while scope is not None and scope.kind != "function":
        scope = scope.parent
    return scope


def _place_key(node: ast.expr, scope: NameScope) -> tuple[int, str] | None:
    for owner, name in _places_of(node, scope):
        return id(owner), name
    return None


def _add_uses(file: PythonFile, places: list[SocketPlace]) -> None:
    attributes: dict[str, list[SocketPlace]] = {}
    for place in places:
        if place.is_attribute:
            attributes.setdefault(place.name[5:], []).append(place)
        else:
            _add_name_uses(file, place)
    if not attributes:
        return
    for node, scope in file.nodes(ast.Attribute):
        candidates = attributes.get(node.attr)
        if candidates and isinstance(node.value, ast.Name) and node.value.id in SELF_NAMES:
            owner = enclosing_class(scope)
            for place in candidates:
                if place.owner is owner:
                    place.uses.append(_classify_use(file, node, scope))


def _add_name_uses(file: PythonFile, place: SocketPlace) -> None:
    for scope in place.owner.walk():
        if scope is not place.owner and scope.owner_of(place.name) is not place.owner:
            continue
        for use in scope.uses:
            if use.name == place.name and use.is_evaluated and scope.owner_of(place.name) is place.owner:
                place.uses.append(_classify_use(file, use.node, scope))


def _classify_use(file: PythonFile, node: ast.Name | ast.Attribute, scope: NameScope) -> SocketUse:
    """Return a use, classified by the code around it."""
    parent = file.parent(node)
    if not isinstance(node.ctx, ast.Load):
        return SocketUse(node, scope, "assign")
    if isinstance(parent, ast.Attribute):
        grandparent = file.parent(parent)
        if not isinstance(parent.ctx, ast.Load):
            return SocketUse(node, scope, "option", parent.attr)
        if isinstance(grandparent, ast.Call) and grandparent.func is parent:
            return SocketUse(node, scope, "call", parent.attr, grandparent)
        return SocketUse(node, scope, "attribute", parent.attr)
    if isinstance(parent, ast.Call):
        return _classify_argument(file, node, scope, parent)
    return SocketUse(node, scope, _classify_value_use(file, node, parent))


def _classify_value_use(file: PythonFile, node: ast.expr, parent: ast.AST | None) -> UseKind:
    """Return the use of a socket's value that is neither a method access nor an argument."""
    grandparent = file.parent(parent) if parent is not None else None
    if isinstance(parent, ast.withitem):
        return "with"
    if isinstance(parent, ast.IfExp):
        return "test" if node is parent.test else "escape"
    if isinstance(parent, ast.Subscript):
        return "test" if node is parent.slice else "escape"
    if isinstance(parent, ast.BoolOp):
        is_test = isinstance(grandparent, ast.If | ast.While | ast.UnaryOp | ast.BoolOp)
        return "test" if is_test or node is not parent.values[-1] else "escape"
    if isinstance(parent, ast.List | ast.Tuple) and _is_select_call(grandparent):
        return "poll"
    return "test" if isinstance(parent, _TEST_NODES) else "escape"


def _classify_argument(file: PythonFile, node: ast.expr, scope: NameScope, call: ast.Call) -> SocketUse:
    func = call.func
    name = func.attr if isinstance(func, ast.Attribute) else dotted_name(func)
    if name in ("register", "unregister", "modify"):
        return SocketUse(node, scope, "poll", name, call)
    if name in ("get", "isinstance", "hasattr", "print", "str", "repr", "id", "bool", "type", "getattr"):
        return SocketUse(node, scope, "test", name, call)
    if name in ("closing", "enter_context", "push"):
        return SocketUse(node, scope, "with", name, call)
    return SocketUse(node, scope, "argument", name, call)


_TEST_NODES = (ast.Compare, ast.UnaryOp, ast.If, ast.While, ast.Assert, ast.Expr)


def _is_select_call(node: ast.AST | None) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = dotted_name(node.func)
    return name.endswith(("zmq.select", "zmq_poll")) or name == "select"
