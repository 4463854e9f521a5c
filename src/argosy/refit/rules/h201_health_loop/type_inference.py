"""Infers the types of values, as far as one file proves them: a dict, a lock, a time."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Final

from argosy.refit.analysis.ast_queries import assigns, is_none_literal
from argosy.refit.analysis.health.health_payloads import HEALTH_HOOK, is_super_call, iter_own_nodes
from argosy.refit.rules.h201_health_loop.health_base import method_of
from argosy.refit.transaction.source_view import FunctionNode, SourceView
from argosy.source.control_flow import dotted_name
from argosy.source.name_scopes import find_import_origin

PossibleValues = list[ast.expr | None]  # None: a value that cannot be determined

# By constructor. A defaultdict is a type of its own: reading it by `[]` may change it.
_CONSTRUCTORS: Final = {
    **dict.fromkeys(("dict", "collections.OrderedDict", "collections.Counter", "vars"), "dict"),
    **dict.fromkeys(("list", "sorted", "collections.deque", "psutil.process_iter", "psutil.pids"), "list"),
    **dict.fromkeys(("set", "frozenset"), "set"),
    **dict.fromkeys(("str", "repr", "format", "time.strftime", "time.ctime", "json.dumps"), "str"),
    **dict.fromkeys(("len", "int", "float", "bool", "round", "sum", "abs", "time.time"), "number"),
    **dict.fromkeys(("time.monotonic", "time.perf_counter", "isinstance", "hasattr", "any", "all"), "number"),
    **dict.fromkeys(("map", "filter", "zip", "enumerate", "reversed"), "once"),
    **dict.fromkeys(("threading.Lock", "threading.RLock"), "lock"),
    **dict.fromkeys(("queue.Queue", "queue.LifoQueue", "queue.PriorityQueue", "queue.SimpleQueue"), "queue"),
    **dict.fromkeys(("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime"), "datetime"),
    "datetime.datetime.fromtimestamp": "datetime",
    "datetime.timedelta": "timedelta",
    "collections.defaultdict": "defaultdict",
    **dict.fromkeys(("zmq.Context", "zmq.Context.instance"), "context"),
    **dict.fromkeys(("argosy.wire.context", "argosy.api.context"), "context"),
    **dict.fromkeys(("logging.getLogger", "structlog.get_logger"), "logger"),
    "json.loads": "json",
    "range": "list",
    "tuple": "tuple",
    "threading.Thread": "thread",
    "threading.Event": "event",
    "zmq.Poller": "poller",
}
_SEQUENCE_METHODS: Final = frozenset({"count", "index"})
_DICT_METHODS: Final = frozenset({"get", "items", "keys", "values", "copy"})
# Methods without side effects, by type of the receiver.
READ_ONLY_METHODS: Final = {
    "dict": _DICT_METHODS,
    "defaultdict": _DICT_METHODS,
    "list": _SEQUENCE_METHODS | {"copy"},
    "tuple": _SEQUENCE_METHODS,
    "set": frozenset({"copy", "union", "difference", "intersection", "issubset", "issuperset", "isdisjoint"}),
    "str": _SEQUENCE_METHODS
    | set(
        (  # noqa: SIM905
            "lower upper title strip lstrip rstrip split rsplit splitlines partition rpartition join format"
            " replace startswith endswith find isdigit encode capitalize zfill"
        ).split()
    ),
    "json": _DICT_METHODS | _SEQUENCE_METHODS | {"lower", "upper", "strip", "startswith", "endswith"},
    "bytes": _SEQUENCE_METHODS | {"decode", "lower", "strip", "startswith", "endswith"},
    "datetime": frozenset(
        {"isoformat", "strftime", "timestamp", "date", "time", "total_seconds", "timetuple"}
    ),
    "timedelta": frozenset({"total_seconds"}),
    "thread": frozenset({"is_alive"}),
    "event": frozenset({"is_set"}),
    "lock": frozenset({"locked"}),
    "queue": frozenset({"qsize", "empty", "full"}),
}
_RETURN_TYPES: Final = {
    **{(kind, name): "view" for kind in ("dict", "defaultdict") for name in ("items", "keys", "values")},
    **{(kind, "copy"): kind for kind in ("dict", "defaultdict", "list", "set")},
    **dict.fromkeys((("datetime", "isoformat"), ("datetime", "strftime")), "str"),
    **dict.fromkeys((("datetime", "timestamp"), ("timedelta", "total_seconds")), "number"),
    **{("str", name): "str" for name in ("lower", "upper", "title", "strip", "join", "format", "replace")},
    **{("str", name): "list" for name in ("split", "rsplit", "splitlines")},
    **{("bytes", name): "bytes" for name in ("lower", "strip")},
    ("bytes", "decode"): "str",
    ("json", "get"): "json",  # such a value is a dict, not a string
    **{("set", name): "set" for name in ("union", "difference", "intersection")},
}
# Types that iteration does not consume.
REITERABLE: Final = frozenset({"dict", "defaultdict", "list", "set", "tuple", "str", "view"})
IMMUTABLE: Final = frozenset({"number", "str", "tuple", "none", "datetime", "timedelta"})
_BASE_ATTRIBUTE_TYPES: Final = {
    **dict.fromkeys(("start_time", "port", "health_port"), "number"),
    "name": "str",
    "logger": "logger",
    "context": "context",
    "is_initialized": "event",
}
# What a ZeroMQ socket returns; a pickled object may be anything.
_RECEIVE_TYPES: Final = {
    "recv": "bytes",
    "recv_json": "json",
    "recv_multipart": "list",
    "recv_string": "str",
    "recv_unicode": "str",
}
_LITERAL_TYPES: Final = {
    **dict.fromkeys((ast.Dict, ast.DictComp), "dict"),
    **dict.fromkeys((ast.List, ast.ListComp), "list"),
    **dict.fromkeys((ast.Set, ast.SetComp), "set"),
    ast.Tuple: "tuple",
    ast.JoinedStr: "str",
    ast.GeneratorExp: "once",
    ast.Compare: "number",
}
_CONSTANT_TYPES: Final = {str: "str", int: "number", float: "number", bool: "number", type(None): "none"}
_MAX_DEPTH: Final = 8


class TypeInference:
    """The types of a file's values, as names; empty if unknown.

    socket: the name of a ZeroMQ socket, such as `self.health_socket`.
    """

    def __init__(self, view: SourceView, socket: str = "") -> None:
        self.view = view
        self.socket = socket
        self._bindings: dict[ast.AST, dict[str, PossibleValues]] = {}

    def type_of(self, node: ast.expr, depth: int = 0) -> str:
        """Return the type of an expression's value, ignoring None."""
        if depth > _MAX_DEPTH:
            return ""
        if isinstance(node, ast.Constant):
            return _CONSTANT_TYPES.get(type(node.value), "")
        if found := _LITERAL_TYPES.get(type(node)):
            return found
        if isinstance(node, ast.IfExp):
            return self._common_type([node.body, node.orelse], depth)
        if isinstance(node, ast.BoolOp):
            return self._common_type(node.values, depth)
        if isinstance(node, ast.UnaryOp):
            return "number" if isinstance(node.op, ast.Not) else self.type_of(node.operand, depth + 1)
        if isinstance(node, ast.BinOp):
            return _type_of_operation(
                self.type_of(node.left, depth + 1), self.type_of(node.right, depth + 1), node.op
            )
        if isinstance(node, ast.Name | ast.Attribute):
            return self._type_of_name(node, depth)
        return self._type_of_call(node, depth) if isinstance(node, ast.Call) else ""

    def _type_of_name(self, node: ast.Name | ast.Attribute, depth: int) -> str:
        if self.socket and dotted_name(node) == self.socket:
            return "socket"
        if isinstance(node, ast.Attribute):
            return self._type_of_attribute(node, depth)
        return (
            "logger"
            if self.origin(node) == "loguru.logger"
            else self._common_type(self.values_of(node), depth)
        )

    def origin(self, node: ast.expr) -> str:
        """Return what a name certainly means: an import (None may replace it) or a builtin."""
        root = node
        while isinstance(root, ast.Attribute):
            root = root.value
        scope = self.view.scope_of(root) if isinstance(root, ast.Name) else None
        if scope is None or not isinstance(root, ast.Name):
            return ""
        owner = scope.owner_of(root.id)
        if owner is None:
            return dotted_name(node)
        found = find_import_origin(node, scope)
        if found is None:
            return ""
        others = {binding.line for binding in owner.bindings[root.id] if not binding.origin}
        return found.name if found.is_only_binding or others <= self._lines_assigning_none(root.id) else ""

    def _lines_assigning_none(self, name: str) -> set[int]:
        return {
            node.lineno
            for node in self.view.nodes_of(ast.Assign)
            if is_none_literal(node.value) and [dotted_name(target) for target in node.targets] == [name]
        }

    def values_of(self, name: ast.Name) -> PossibleValues:
        """Return the values that a name is assigned, in its function or once in the module."""
        function = self.enclosing_function(name)
        bound = self.bindings_of(function) if function is not None else {}
        if name.id in bound:
            return bound[name.id]
        scope = self.view.module_scope
        assigned = [
            node.value
            for node in self.view.tree.body
            if isinstance(node, ast.Assign) and [dotted_name(target) for target in node.targets] == [name.id]
        ]
        return [*assigned] if len(assigned) == len(scope.bindings.get(name.id, ())) == 1 else [None]

    def is_newly_created(self, node: ast.expr, depth: int = 0) -> bool:
        """Return whether a value is created by the expression, so that nothing else refers to it."""
        if isinstance(node, ast.Dict | ast.List | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp):
            return True
        if isinstance(node, ast.Name):
            values = (
                self.values_of(node) if self.enclosing_function(node) is not None and depth < 1 else [None]
            )
            return all(value is not None and self.is_newly_created(value, depth + 1) for value in values)
        if not isinstance(node, ast.Call):
            return False
        if isinstance(node.func, ast.Attribute):
            is_base = is_super_call(node.func.value) and node.func.attr == HEALTH_HOOK
            is_copy = node.func.attr == "copy" and self.type_of(node.func.value) in ("dict", "list", "set")
            return is_base or is_copy
        constructor = self.origin(node.func)
        return constructor in ("dict", "list", "set", "sorted") or constructor.startswith("collections.")

    def enclosing_function(self, node: ast.AST) -> FunctionNode | None:
        """Return the function around a node, ignoring lambdas."""
        for ancestor in self.view.ancestors_of(node):
            if isinstance(ancestor, ast.FunctionDef | ast.AsyncFunctionDef):
                return ancestor
        return None

    def bindings_of(self, function: FunctionNode) -> dict[str, PossibleValues]:
        """Return the names that a function binds, including those of its lambdas and comprehensions."""
        if function not in self._bindings:
            found: dict[str, PossibleValues] = {}
            for node in ast.walk(function):
                for name, value in _names_bound_by(self.view, node):
                    found.setdefault(name, []).append(value)
            self._bindings[function] = found
        return self._bindings[function]

    def attribute_values(self, owner: ast.ClassDef, name: str) -> PossibleValues:
        """Return the values that an attribute of self is assigned anywhere in the file."""
        found: PossibleValues = [node.value for node in owner.body if assigns(node, name)]
        for node in self.view.nodes:
            if not (isinstance(node, ast.Attribute) and node.attr == name) or isinstance(node.ctx, ast.Load):
                continue
            is_self = dotted_name(node.value) == "self"
            if is_self and self.view.enclosing_class(node) is not owner:
                continue
            parent = self.view.parents[node]
            if isinstance(parent, ast.AugAssign):
                continue
            is_plain = isinstance(parent, ast.Assign | ast.AnnAssign) and is_self
            found.append(getattr(parent, "value", None) if is_plain else None)
        return found

    def instance_class(self, node: ast.expr) -> ast.ClassDef | None:
        """Return the class of this file that `self.name` is an instance of; None if that is not certain."""
        owner = self.view.enclosing_class(node)
        if owner is None or not (isinstance(node, ast.Attribute) and dotted_name(node.value) == "self"):
            return None
        assigned = [value for value in self.attribute_values(owner, node.attr) if not is_none_literal(value)]
        call = assigned[0] if len(assigned) == 1 else None
        name = dotted_name(call.func) if isinstance(call, ast.Call) else ""
        classes = [
            each for each in self.view.tree.body if isinstance(each, ast.ClassDef) and each.name == name
        ]
        return classes[0] if len(classes) == len(self.view.module_scope.bindings.get(name, ())) == 1 else None

    def _type_of_attribute(self, node: ast.Attribute, depth: int) -> str:
        owner = self.view.enclosing_class(node)
        if owner is None or dotted_name(node.value) != "self":
            return "dict" if self.origin(node) == "os.environ" else ""
        values = self.attribute_values(owner, node.attr)
        inferred = self._common_type(values, depth) if values else _BASE_ATTRIBUTE_TYPES.get(node.attr, "")
        return "" if inferred == "once" or method_of(owner, node.attr) is not None else inferred

    def _type_of_call(self, node: ast.Call, depth: int) -> str:
        if made := _CONSTRUCTORS.get(self.origin(node.func)):
            return made if made != "json" or not node.keywords else ""  # a hook may return anything
        if not isinstance(node.func, ast.Attribute):
            return ""
        receiver, method = node.func.value, node.func.attr
        if self.socket and dotted_name(receiver) == self.socket and method in _RECEIVE_TYPES:
            return _RECEIVE_TYPES[method]
        if is_super_call(receiver):
            return "dict" if method == HEALTH_HOOK else ""
        owner = self.view.enclosing_class(node) if dotted_name(receiver) == "self" else None
        own_method = method_of(owner, method) if owner is not None else None
        if own_method is not None and not own_method.decorator_list:
            returned = [each.value for each in iter_own_nodes(own_method) if isinstance(each, ast.Return)]
            return self._common_type(returned, depth) if returned else "none"
        return _RETURN_TYPES.get((self.type_of(receiver, depth + 1), method), "")

    def _common_type(self, values: Iterable[ast.expr | None], depth: int) -> str:
        types = {self.type_of(value, depth + 1) if value is not None else "" for value in values}
        types -= {"none"} if len(types) > 1 else set()
        return types.pop() if len(types) == 1 else ""


def _type_of_operation(left: str, right: str, op: ast.operator) -> str:
    if left == "str" and isinstance(op, ast.Add | ast.Mod | ast.Mult):
        return "str"
    if left == right == "datetime":
        return "timedelta"
    if left == "datetime":
        return "datetime" if right == "timedelta" else ""
    return left if left == right and left in ("number", "dict", "list", "set", "tuple", "timedelta") else ""


def _names_bound_by(view: SourceView, node: ast.AST) -> Iterator[tuple[str, ast.expr | None]]:
    """Yield the names that a node binds, with their values where these are visible."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        parent = view.parents[node]
        if isinstance(parent, ast.Assign | ast.NamedExpr | ast.AnnAssign):
            yield from () if parent.value is None else ((node.id, parent.value),)
        elif not isinstance(parent, ast.AugAssign):
            yield node.id, None
    elif isinstance(node, ast.arg):
        yield node.arg, None
    elif isinstance(node, ast.alias):
        yield (node.asname or node.name).partition(".")[0], None
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
        yield node.name, None
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest, None
