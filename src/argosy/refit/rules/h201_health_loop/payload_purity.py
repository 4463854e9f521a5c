"""Checks that a payload may be computed at any time and by any thread, because it has no side effects.

A method call is judged by the type of its receiver: `get` of a dict is pure, `get` of a queue is not.
Operators, and attribute access on objects not created in the file, are assumed to be pure.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from typing import Final

from argosy.refit.analysis.ast_queries import is_none_literal
from argosy.refit.analysis.health.health_loops import HealthLoop
from argosy.refit.analysis.health.health_payloads import HEALTH_HOOK, is_super_call
from argosy.refit.analysis.socket_uses import RECEIVE_METHODS
from argosy.refit.rewrite.module_resolution import view_file
from argosy.refit.rewrite.tree_index import TreeIndex
from argosy.refit.rules.h201_health_loop.health_base import method_of
from argosy.refit.rules.h201_health_loop.side_effects import is_log_call
from argosy.refit.rules.h201_health_loop.type_inference import (
    IMMUTABLE,
    READ_ONLY_METHODS,
    REITERABLE,
    TypeInference,
)
from argosy.refit.transaction.source_view import SourceView
from argosy.source.control_flow import dotted_name

# Grouped by what they do with their arguments: only read them, iterate over them, or call the first one.
_PURE_BUILTINS: Final = frozenset(
    "len str int float bool round abs range hasattr getattr isinstance type repr id".split()  # noqa: SIM905
)
_ITERATING_BUILTINS: Final = frozenset(
    "sum any all max min sorted list dict set tuple frozenset enumerate zip".split()  # noqa: SIM905
)
_CALLING_BUILTINS: Final = frozenset({"map", "filter"})
_PURE_MODULES: Final = ("datetime.", "platform.", "math.", "os.path.")
_PURE_FUNCTIONS: Final = frozenset(
    (  # noqa: SIM905
        "time.time time.time_ns time.monotonic time.monotonic_ns time.perf_counter time.process_time"
        " time.strftime time.strptime time.localtime time.gmtime time.mktime time.ctime time.asctime"
        " psutil.cpu_percent psutil.cpu_count psutil.cpu_freq psutil.cpu_times psutil.virtual_memory"
        " psutil.swap_memory psutil.disk_usage psutil.disk_partitions psutil.disk_io_counters"
        " psutil.net_io_counters psutil.boot_time psutil.pids psutil.pid_exists psutil.process_iter"
        " psutil.Process psutil.getloadavg"
        " torch.cuda.is_available torch.cuda.device_count torch.cuda.current_device"
        " torch.cuda.get_device_name torch.cuda.utilization"
        " torch.cuda.get_device_properties torch.cuda.get_device_capability torch.cuda.mem_get_info"
        " torch.cuda.memory_allocated torch.cuda.max_memory_allocated torch.cuda.memory_reserved"
        " torch.cuda.max_memory_reserved torch.cuda.memory_cached torch.cuda.memory_stats"
        " uuid.uuid4 os.getpid os.getenv os.getloadavg os.cpu_count os.environ.get"
        " threading.active_count threading.current_thread threading.get_ident socket.gethostname json.dumps"
    ).split()
)
_IMPORTABLE: Final = sys.stdlib_module_names | {"psutil", "torch"}
_GROWING_METHODS: Final = frozenset({"update", "append", "extend", "add", "setdefault", "sort"})
_ITERATING_METHODS: Final = frozenset({"join", "update", "extend", "union", "difference", "intersection"})
_CALLBACK_KEYWORDS: Final = frozenset({"key", "default", "cls"})
_OPERATORS: Final = frozenset(
    (  # noqa: SIM905
        "len str repr bool int float iter next getitem contains eq ne lt le gt ge add sub mul truediv format"
        " hash getattr getattribute"
    ).split()
)
_IMPURE_NODES: Final = (
    *(ast.Global, ast.Nonlocal, ast.Delete, ast.Await, ast.Yield, ast.YieldFrom, ast.AsyncFor, ast.AsyncWith),
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef),
)
_MAX_DEPTH: Final = 5


def impurity_reason(view: SourceView, index: TreeIndex, owner: ast.ClassDef) -> str:
    """Return the side effects of a class's payload, or of an override in a class derived from it.

    Empty if there are none, or if the payload is the base's own.
    """
    check = _PurityCheck(view)
    if reason := check.method_reason(owner, HEALTH_HOOK, 0):
        return reason
    for name in sorted(index.subclasses_of(owner.name)):
        for path in sorted(index.files_defining(name)):
            subclass_view = view if path == view.path else view_file(path, index.files[path])
            if subclass_view is not None and (
                reason := _override_reason(subclass_view, name, check.visited_methods)
            ):
                return f"in `{name}`, which derives from it, {reason}"
    return ""


def _override_reason(view: SourceView, name: str, methods: set[str]) -> str:
    """Return the side effects of a class's own methods of the given names."""
    for node in view.tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            own = (each for each in sorted(methods) if method_of(node, each) is not None)
            if reason := next(
                filter(None, (_PurityCheck(view).method_reason(node, each, 0) for each in own)), ""
            ):
                return reason
    return ""


def loop_input_reason(view: SourceView, loop: HealthLoop) -> str:
    """Return what a loop reads besides its socket; empty if nothing."""
    types = TypeInference(view)
    for node in ast.walk(loop.definition):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        receiver, method = node.func.value, node.func.attr
        is_known = (
            method not in ("get", "poll")
            or (
                method == "get"
                and (
                    _is_received_message(types, receiver)
                    or types.type_of(receiver) in ("dict", "defaultdict")
                )
            )
            or (
                method == "poll"
                and (dotted_name(receiver) == loop.socket or types.type_of(receiver) == "poller")
            )
        )
        if not is_known:
            return f"it does more than answer: it calls `{ast.unparse(node.func):.60}`"
    return ""


def _is_received_message(types: TypeInference, node: ast.expr) -> bool:
    """Return whether a local name is the received message, or its decoded value."""
    values = (
        types.values_of(node) if isinstance(node, ast.Name) and types.enclosing_function(node) else [None]
    )
    return all(
        isinstance(value, ast.Call)
        and (
            types.origin(value.func) == "json.loads"
            or dotted_name(value.func).rpartition(".")[2] in RECEIVE_METHODS
        )
        for value in values
    )


class _PurityCheck:
    """Checks whether the methods of a file's classes are pure. visited_methods: names of those checked."""

    def __init__(self, view: SourceView) -> None:
        self.view = view
        self.types = TypeInference(view)
        self.visited_methods: set[str] = set()

    def method_reason(self, owner: ast.ClassDef, name: str, depth: int) -> str:
        """Return the side effect of a method of a class; empty if it has none."""
        self.visited_methods.add(name)
        method = method_of(owner, name)
        if method is None:
            return "" if name == HEALTH_HOOK else f"its payload calls `{name}`, which is not in its class"
        is_plain = all(dotted_name(each) == "property" for each in method.decorator_list)
        if isinstance(method, ast.AsyncFunctionDef) or not is_plain or depth > _MAX_DEPTH:
            return f"its payload `{name}` is a coroutine, decorated, or nests calls too deeply"
        for statement in method.body:
            for node in ast.walk(statement):
                if reason := self._node_reason(owner, node, depth):
                    is_complete = reason.startswith("its payload")
                    return reason if is_complete else f"its payload has side effects: {reason}"
        return ""

    def _node_reason(self, owner: ast.ClassDef, node: ast.AST, depth: int) -> str:
        """Return what one node of a payload changes or may change."""
        if isinstance(node, _IMPURE_NODES):
            return f"`{type(node).__name__.lower()}`"
        if isinstance(node, ast.Attribute | ast.Subscript):
            is_load = isinstance(node.ctx, ast.Load)
            return self._access_reason(owner, node, depth) if is_load else self._store_reason(node)
        if isinstance(node, ast.AugAssign):
            return self._augmented_reason(node.target) if isinstance(node.target, ast.Name) else ""
        if isinstance(node, ast.With):
            not_locks = [
                item.context_expr for item in node.items if self.types.type_of(item.context_expr) != "lock"
            ]
            return f"it enters `{ast.unparse(not_locks[0]):.60}`" if not_locks else ""
        if isinstance(node, ast.For | ast.comprehension):
            return self._iteration_reason(node.iter)
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = (
                [each.name for each in node.names] if isinstance(node, ast.Import) else [node.module or "."]
            )
            other = [name for name in names if name.partition(".")[0] not in _IMPORTABLE]
            return f"it imports `{other[0]}`" if other else ""
        return self._call_reason(owner, node, depth) if isinstance(node, ast.Call) else ""

    def _store_reason(self, node: ast.Attribute | ast.Subscript) -> str:
        root = node.value if isinstance(node, ast.Subscript) else None
        is_own = isinstance(root, ast.Name) and self.types.is_newly_created(root)
        return "" if is_own else f"it sets `{ast.unparse(node):.60}`"

    def _augmented_reason(self, target: ast.Name) -> str:
        """Return why `+=` or the like may change a shared object; empty if it does not."""
        function = self.types.enclosing_function(target)
        values = self.types.bindings_of(function).get(target.id, []) if function is not None else [None]
        if all(value is not None and self._is_unshared(value) for value in values):
            return ""
        return f"it adds to `{target.id}`, which may be shared"

    def _is_unshared(self, value: ast.expr) -> bool:
        return self.types.is_newly_created(value) or self.types.type_of(value) in IMMUTABLE

    def _iteration_reason(self, node: ast.expr) -> str:
        """Return why iterating over a value may consume it; empty if it does not."""
        is_generated = isinstance(node, ast.Call | ast.GeneratorExp) and self.types.type_of(node) == "once"
        if is_generated or self.types.type_of(node) in REITERABLE:
            return ""
        return f"it iterates over `{ast.unparse(node):.60}`, whose type is unknown"

    def _access_reason(self, owner: ast.ClassDef, node: ast.Attribute | ast.Subscript, depth: int) -> str:
        """Return the side effects of attribute access and operators on an object of this file."""
        if isinstance(node, ast.Subscript):
            inserts_missing = self.types.type_of(node.value) == "defaultdict"
            return f"`{ast.unparse(node.value):.60}` creates missing keys" if inserts_missing else ""
        parent = self.view.parents[node]
        is_called = isinstance(parent, ast.Call) and parent.func is node
        if dotted_name(node.value) == "self":
            is_run = method_of(owner, node.attr) is not None and not is_called
            if reason := self._first_method_reason(
                owner, self._members_run(owner, {node.attr} if is_run else set()), depth
            ):
                return reason
            instance_class = self.types.instance_class(node)
            is_used = instance_class is not None and not isinstance(parent, ast.Attribute)
            return (
                self._first_method_reason(instance_class, self._operators_run(instance_class), depth)
                if instance_class is not None and is_used
                else ""
            )
        instance_class = self.types.instance_class(node.value)
        if instance_class is None:
            return ""
        is_method = method_of(instance_class, node.attr) is not None and not is_called
        return self._first_method_reason(
            instance_class, self._members_run(instance_class, {node.attr} if is_method else set()), depth
        )

    def _members_run(self, owner: ast.ClassDef, names: set[str]) -> Iterator[str]:
        """Yield the methods that run when an attribute of an object of a class is accessed."""
        yield from sorted(names)
        yield from (name for name in ("__getattr__", "__getattribute__") if method_of(owner, name))

    def _operators_run(self, owner: ast.ClassDef) -> Iterator[str]:
        yield from (f"__{name}__" for name in sorted(_OPERATORS) if method_of(owner, f"__{name}__"))

    def _first_method_reason(self, owner: ast.ClassDef, names: Iterator[str], depth: int) -> str:
        return next(filter(None, (self.method_reason(owner, name, depth + 1) for name in names)), "")

    def _call_reason(self, owner: ast.ClassDef, call: ast.Call, depth: int) -> str:
        name = self.types.origin(call.func)
        if is_log_call(self.types, call) or name == "super":
            return ""
        if name in _PURE_FUNCTIONS or name.startswith(_PURE_MODULES):
            return self._callbacks_reason(owner, call)
        if name in _PURE_BUILTINS | _ITERATING_BUILTINS | _CALLING_BUILTINS:
            return self._builtin_reason(owner, call, name, depth)
        if isinstance(call.func, ast.Attribute):
            return self._method_call_reason(owner, call, call.func, depth)
        return f"it calls `{ast.unparse(call.func):.60}`"

    def _builtin_reason(self, owner: ast.ClassDef, call: ast.Call, name: str, depth: int) -> str:
        if name in _PURE_BUILTINS:
            return self._getattr_reason(owner, call, depth) if name in ("getattr", "hasattr") else ""
        is_of_several = name in ("max", "min") and len(call.args) > 1
        iterated = call.args[1:] if name in _CALLING_BUILTINS else [] if is_of_several else call.args
        called = (
            [self._callback_reason(owner, each) for each in call.args[:1]]
            if name in _CALLING_BUILTINS
            else []
        )
        return next(
            filter(
                None, [*called, self._callbacks_reason(owner, call), *map(self._iteration_reason, iterated)]
            ),
            "",
        )

    def _getattr_reason(self, owner: ast.ClassDef, call: ast.Call, depth: int) -> str:
        """Return the side effects of `getattr(self, "name")`."""
        if not call.args or dotted_name(call.args[0]) != "self":
            return ""
        attribute = call.args[1] if len(call.args) > 1 else None
        name = (
            attribute.value
            if isinstance(attribute, ast.Constant) and isinstance(attribute.value, str)
            else ""
        )
        if not name:
            return f"it accesses `{ast.unparse(call):.60}`"
        return self._first_method_reason(
            owner, self._members_run(owner, {name} if method_of(owner, name) else set()), depth
        )

    def _method_call_reason(
        self, owner: ast.ClassDef, call: ast.Call, func: ast.Attribute, depth: int
    ) -> str:
        if is_super_call(func.value) and func.attr == HEALTH_HOOK:
            return ""
        receiver_type = self.types.type_of(func.value)
        is_grown = (
            func.attr in _GROWING_METHODS
            and isinstance(func.value, ast.Name)
            and self.types.is_newly_created(func.value)
        )
        if is_grown or func.attr in READ_ONLY_METHODS.get(receiver_type, ()):
            iterated = call.args if func.attr in _ITERATING_METHODS else []
            return next(
                filter(None, [self._callbacks_reason(owner, call), *map(self._iteration_reason, iterated)]),
                "",
            )
        if dotted_name(func.value) == "self":
            return self.method_reason(owner, func.attr, depth + 1)
        instance_class = self.types.instance_class(func.value)
        if instance_class is not None and method_of(instance_class, func.attr) is not None:
            return self.method_reason(instance_class, func.attr, depth + 1)
        unknown_receiver = (
            f", and the type of `{ast.unparse(func.value):.40}` is unknown"
            if func.attr in _ALL_READ_ONLY_METHODS
            else ""
        )
        return f"it calls `{ast.unparse(func):.60}`{unknown_receiver}"

    def _callbacks_reason(self, owner: ast.ClassDef, call: ast.Call) -> str:
        """Return the side effects that a call may have through the functions passed to it by name."""
        found = (
            self._callback_reason(owner, item.value)
            for item in call.keywords
            if item.arg in _CALLBACK_KEYWORDS
        )
        return next(filter(None, found), "")

    def _callback_reason(self, owner: ast.ClassDef, node: ast.expr) -> str:
        """Return why calling a value may have side effects; lambdas and methods are checked separately."""
        is_method = dotted_name(node.value) == "self" if isinstance(node, ast.Attribute) else False
        is_own = is_method and method_of(owner, node.attr) is not None  # type: ignore[attr-defined]
        is_none = is_none_literal(node)
        if is_own or is_none or isinstance(node, ast.Lambda) or self.types.origin(node) in _PURE_BUILTINS:
            return ""
        return f"it passes `{ast.unparse(node):.60}` on to be called"


_ALL_READ_ONLY_METHODS: Final = frozenset().union(*READ_ONLY_METHODS.values())
