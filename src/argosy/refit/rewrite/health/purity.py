"""A payload that may be asked at any time and by any thread: it looks, and changes nothing.

What is called has to be known by what it is called on: `get` of a dict looks, that of a queue takes.
Operators, and attributes of what is not made in the file, are taken to look.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from typing import Final

from argosy.refit.health.loops import HealthLoop
from argosy.refit.health.payloads import HOOK, is_super
from argosy.refit.rewrite.elsewhere import view_of
from argosy.refit.rewrite.health.kinds import FIXED, LASTING, LOOKS, Kinds
from argosy.refit.rewrite.health.standard import method_of
from argosy.refit.rewrite.health.still import is_log
from argosy.refit.rewrite.index import Index
from argosy.refit.rewrite.view import View
from argosy.refit.sockets import RECEIVERS
from argosy.source import flow

# By what they do with their arguments: nothing but look, go through them, or call the first one.
_PLAIN: Final = frozenset(
    "len str int float bool round abs range hasattr getattr isinstance type repr id".split()  # noqa: SIM905
)
_THROUGH: Final = frozenset(
    "sum any all max min sorted list dict set tuple frozenset enumerate zip".split()  # noqa: SIM905
)
_CALLING: Final = frozenset({"map", "filter"})
_MODULES: Final = ("datetime.", "platform.", "math.", "os.path.")
_FUNCTIONS: Final = frozenset(
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
_IMPORTED: Final = sys.stdlib_module_names | {"psutil", "torch"}
_GROWS: Final = frozenset({"update", "append", "extend", "add", "setdefault", "sort"})
_GOES_THROUGH: Final = frozenset({"join", "update", "extend", "union", "difference", "intersection"})
_CALLED: Final = frozenset({"key", "default", "cls"})
_OPERATORS: Final = frozenset(
    (  # noqa: SIM905
        "len str repr bool int float iter next getitem contains eq ne lt le gt ge add sub mul truediv format"
        " hash getattr getattribute"
    ).split()
)
_NEVER: Final = (
    *(ast.Global, ast.Nonlocal, ast.Delete, ast.Await, ast.Yield, ast.YieldFrom, ast.AsyncFor, ast.AsyncWith),
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef),
)
_DEEP: Final = 5


def purity_reason(view: View, index: Index, owner: ast.ClassDef) -> str:
    """Return what the payload of a class, or of one that derives from it, does besides looking.

    Empty for nothing, or for the base's own.
    """
    look = _Look(view)
    if reason := look.method(owner, HOOK, 0):
        return reason
    for name in sorted(index.derived(owner.name)):
        for home in sorted(index.homes(name)):
            there = view if home == view.path else view_of(home, index.files[home])
            if there is not None and (reason := _override_reason(there, name, look.asked)):
                return f"in `{name}`, which derives from it, {reason}"
    return ""


def _override_reason(view: View, name: str, asked: set[str]) -> str:
    """Return what a class's own methods of some names do besides looking."""
    for node in view.tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            own = (each for each in sorted(asked) if method_of(node, each) is not None)
            if reason := next(filter(None, (_Look(view).method(node, each, 0) for each in own)), ""):
                return reason
    return ""


def loop_reason(view: View, loop: HealthLoop) -> str:
    """Return what a loop takes from something else than its socket; empty for nothing."""
    kinds = Kinds(view)
    for node in ast.walk(loop.place):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        held, method = node.func.value, node.func.attr
        is_known = (
            method not in ("get", "poll")
            or (method == "get" and (_is_message(kinds, held) or kinds.of(held) in ("dict", "defaultdict")))
            or (method == "poll" and (flow.dotted(held) == loop.socket or kinds.of(held) == "poller"))
        )
        if not is_known:
            return f"it does more than answer: it calls `{ast.unparse(node.func):.60}`"
    return ""


def _is_message(kinds: Kinds, node: ast.expr) -> bool:
    """Return whether a local name is what was received, or what that was decoded to."""
    values = kinds.values(node) if isinstance(node, ast.Name) and kinds.function(node) else [None]
    return all(
        isinstance(value, ast.Call)
        and (
            kinds.origin(value.func) == "json.loads"
            or flow.dotted(value.func).rpartition(".")[2] in RECEIVERS
        )
        for value in values
    )


class _Look:
    """Whether the methods of a file's classes only look. asked: the names of those that were asked for."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.kinds = Kinds(view)
        self.asked: set[str] = set()

    def method(self, owner: ast.ClassDef, name: str, depth: int) -> str:
        """Return what a method of a class does besides looking."""
        self.asked.add(name)
        method = method_of(owner, name)
        if method is None:
            return "" if name == HOOK else f"its payload calls `{name}`, which is not in its class"
        is_plain = all(flow.dotted(each) == "property" for each in method.decorator_list)
        if isinstance(method, ast.AsyncFunctionDef) or not is_plain or depth > _DEEP:
            return f"its payload `{name}` is a coroutine, decorated, or calls too deep"
        for statement in method.body:
            for node in ast.walk(statement):
                if reason := self._node(owner, node, depth):
                    is_told = reason.startswith("its payload")
                    return reason if is_told else f"its payload does more than look: {reason}"
        return ""

    def _node(self, owner: ast.ClassDef, node: ast.AST, depth: int) -> str:
        """Return what one node of a payload changes or may change."""
        if isinstance(node, _NEVER):
            return f"`{type(node).__name__.lower()}`"
        if isinstance(node, ast.Attribute | ast.Subscript):
            is_asked = isinstance(node.ctx, ast.Load)
            return self._asked(owner, node, depth) if is_asked else self._set(node)
        if isinstance(node, ast.AugAssign):
            return self._grown(node.target) if isinstance(node.target, ast.Name) else ""
        if isinstance(node, ast.With):
            held = [item.context_expr for item in node.items if self.kinds.of(item.context_expr) != "lock"]
            return f"it enters `{ast.unparse(held[0]):.60}`" if held else ""
        if isinstance(node, ast.For | ast.comprehension):
            return self._through(node.iter)
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = (
                [each.name for each in node.names] if isinstance(node, ast.Import) else [node.module or "."]
            )
            other = [name for name in names if name.partition(".")[0] not in _IMPORTED]
            return f"it imports `{other[0]}`" if other else ""
        return self._call(owner, node, depth) if isinstance(node, ast.Call) else ""

    def _set(self, node: ast.Attribute | ast.Subscript) -> str:
        root = node.value if isinstance(node, ast.Subscript) else None
        is_own = isinstance(root, ast.Name) and self.kinds.is_fresh(root)
        return "" if is_own else f"it sets `{ast.unparse(node):.60}`"

    def _grown(self, target: ast.Name) -> str:
        """Return whether what `+=` and its like add to may be another's."""
        function = self.kinds.function(target)
        values = self.kinds.bound(function).get(target.id, []) if function is not None else [None]
        if all(value is not None and self._is_own(value) for value in values):
            return ""
        return f"it adds to `{target.id}`, which may be something that others have"

    def _is_own(self, value: ast.expr) -> bool:
        return self.kinds.is_fresh(value) or self.kinds.of(value) in FIXED

    def _through(self, node: ast.expr) -> str:
        """Return why going through a value may use it up; empty where it does not."""
        is_made = isinstance(node, ast.Call | ast.GeneratorExp) and self.kinds.of(node) == "once"
        if is_made or self.kinds.of(node) in LASTING:
            return ""
        return f"it goes through `{ast.unparse(node):.60}`, and what that is cannot be seen"

    def _asked(self, owner: ast.ClassDef, node: ast.Attribute | ast.Subscript, depth: int) -> str:
        """Return what an object of this file does when an attribute is asked for, or an operator used."""
        if isinstance(node, ast.Subscript):
            is_making = self.kinds.of(node.value) == "defaultdict"
            return f"`{ast.unparse(node.value):.60}` makes what it has not" if is_making else ""
        around = self.view.parents[node]
        is_called = isinstance(around, ast.Call) and around.func is node
        if flow.dotted(node.value) == "self":
            is_run = method_of(owner, node.attr) is not None and not is_called
            if reason := self._first(owner, self._members(owner, {node.attr} if is_run else set()), depth):
                return reason
            made = self.kinds.made_class(node)
            is_used = made is not None and not isinstance(around, ast.Attribute)
            return self._first(made, self._operators(made), depth) if made is not None and is_used else ""
        made = self.kinds.made_class(node.value)
        if made is None:
            return ""
        is_method = method_of(made, node.attr) is not None and not is_called
        return self._first(made, self._members(made, {node.attr} if is_method else set()), depth)

    def _members(self, owner: ast.ClassDef, names: set[str]) -> Iterator[str]:
        """Yield what is run when an attribute of an object of a class is asked for."""
        yield from sorted(names)
        yield from (name for name in ("__getattr__", "__getattribute__") if method_of(owner, name))

    def _operators(self, owner: ast.ClassDef) -> Iterator[str]:
        yield from (f"__{name}__" for name in sorted(_OPERATORS) if method_of(owner, f"__{name}__"))

    def _first(self, owner: ast.ClassDef, names: Iterator[str], depth: int) -> str:
        return next(filter(None, (self.method(owner, name, depth + 1) for name in names)), "")

    def _call(self, owner: ast.ClassDef, call: ast.Call, depth: int) -> str:
        name = self.kinds.origin(call.func)
        if is_log(self.kinds, call) or name == "super":
            return ""
        if name in _FUNCTIONS or name.startswith(_MODULES):
            return self._given(owner, call)
        if name in _PLAIN | _THROUGH | _CALLING:
            return self._builtin(owner, call, name, depth)
        if isinstance(call.func, ast.Attribute):
            return self._of_method(owner, call, call.func, depth)
        return f"it calls `{ast.unparse(call.func):.60}`"

    def _builtin(self, owner: ast.ClassDef, call: ast.Call, name: str, depth: int) -> str:
        if name in _PLAIN:
            return self._by_name(owner, call, depth) if name in ("getattr", "hasattr") else ""
        is_of_several = name in ("max", "min") and len(call.args) > 1
        through = call.args[1:] if name in _CALLING else [] if is_of_several else call.args
        called = [self._called(owner, each) for each in call.args[:1]] if name in _CALLING else []
        return next(filter(None, [*called, self._given(owner, call), *map(self._through, through)]), "")

    def _by_name(self, owner: ast.ClassDef, call: ast.Call, depth: int) -> str:
        """Return what `getattr(self, "name")` does besides looking."""
        if not call.args or flow.dotted(call.args[0]) != "self":
            return ""
        word = call.args[1] if len(call.args) > 1 else None
        name = word.value if isinstance(word, ast.Constant) and isinstance(word.value, str) else ""
        if not name:
            return f"it asks for `{ast.unparse(call):.60}`"
        return self._first(owner, self._members(owner, {name} if method_of(owner, name) else set()), depth)

    def _of_method(self, owner: ast.ClassDef, call: ast.Call, func: ast.Attribute, depth: int) -> str:
        if is_super(func.value) and func.attr == HOOK:
            return ""
        kind = self.kinds.of(func.value)
        is_grown = (
            func.attr in _GROWS and isinstance(func.value, ast.Name) and self.kinds.is_fresh(func.value)
        )
        if is_grown or func.attr in LOOKS.get(kind, ()):
            through = call.args if func.attr in _GOES_THROUGH else []
            return next(filter(None, [self._given(owner, call), *map(self._through, through)]), "")
        if flow.dotted(func.value) == "self":
            return self.method(owner, func.attr, depth + 1)
        made = self.kinds.made_class(func.value)
        if made is not None and method_of(made, func.attr) is not None:
            return self.method(made, func.attr, depth + 1)
        what = f", and what `{ast.unparse(func.value):.40}` is cannot be seen" if func.attr in _ANY else ""
        return f"it calls `{ast.unparse(func):.60}`{what}"

    def _given(self, owner: ast.ClassDef, call: ast.Call) -> str:
        """Return what a call may do by the functions that it is handed by name."""
        found = (self._called(owner, item.value) for item in call.keywords if item.arg in _CALLED)
        return next(filter(None, found), "")

    def _called(self, owner: ast.ClassDef, node: ast.expr) -> str:
        """Return why calling a value may do more than look; what lambdas and methods do is seen apart."""
        is_method = flow.dotted(node.value) == "self" if isinstance(node, ast.Attribute) else False
        is_own = is_method and method_of(owner, node.attr) is not None  # type: ignore[attr-defined]
        is_none = isinstance(node, ast.Constant) and node.value is None
        if is_own or is_none or isinstance(node, ast.Lambda) or self.kinds.origin(node) in _PLAIN:
            return ""
        return f"it has `{ast.unparse(node):.60}` called"


_ANY: Final = frozenset().union(*LOOKS.values())
