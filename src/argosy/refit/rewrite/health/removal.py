"""What goes with a health loop: its method, its thread, its own socket, and what is about nothing else.

Statements are sorted: those that are about what goes, those that go with them when nothing else is
in their block (a line of the log, `pass`, a bare `raise`), and all others, which stay. A method all
of which goes is itself what goes, and so is a statement that only calls it. In the end nothing
that stays may name what went.
"""

from __future__ import annotations

import ast
import enum
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple, TypeGuard

from argosy.refit.health.loops import HealthLoop
from argosy.refit.health.payloads import own_nodes
from argosy.refit.rewrite.change import Change, Removed, place_of
from argosy.refit.rewrite.health.asides import find_asides
from argosy.refit.rewrite.health.kinds import Kinds
from argosy.refit.rewrite.health.lists import keepers, without
from argosy.refit.rewrite.health.making import makes_socket
from argosy.refit.rewrite.health.standard import Standard
from argosy.refit.rewrite.health.still import is_log, is_pausing, is_still
from argosy.refit.rewrite.health.waiting import is_pause
from argosy.refit.rewrite.index import Index
from argosy.refit.rewrite.view import Function, View
from argosy.source import flow

_SOCKET_CALLS: Final = frozenset(
    {"setsockopt", "setsockopt_string", "set", "set_hwm", "bind", "unbind", "disconnect", "close"}
)
_THREAD_CALLS: Final = frozenset({"start", "join", "setDaemon"})
_THREAD: Final = "threading.Thread"


class Sort(enum.Enum):
    """How a statement stands to what goes."""

    GONE = "gone"
    IDLE = "idle"
    STAYS = "stays"


class Leftover(NamedTuple):
    """What keeps a loop from going. condition: which does not hold, as docs/refit.md counts them."""

    condition: int
    reason: str


class Removal:
    """What goes with one loop of a class.

    socket: the attribute that keeps the loop's own socket, empty where that is its base's.
    """

    def __init__(
        self, view: View, index: Index, owner: ast.ClassDef, loop: HealthLoop, socket: str, standard: Standard
    ) -> None:
        self.view = view
        self.index = index
        self.owner = owner
        self.loop = loop
        self.method = loop.place
        self.socket = socket
        self.kinds = Kinds(view, loop.socket)
        self.standard = standard
        self.thread: ast.Call | None = None
        self.handle = ""
        self.keepers: set[str] = set()
        self.methods: dict[str, Function] = {loop.place.name: loop.place}
        self._sorted: dict[int, Sort] = {}

    # -- the thread ------------------------------------------------------------------------------

    def thread_reason(self) -> str:
        """Find the thread that runs the loop; return why it is not one that may go."""
        target = f"self.{self.method.name}"
        threads = [node for node in self.view.nodes if self._is_thread(node, target)]
        if not threads:
            is_bases = self.method.name == self.standard.loop
            return "" if is_bases else "no thread of its class begins with it"
        if len(threads) > 1:
            return f"{len(threads)} threads begin with it"
        (self.thread,) = threads  # type: ignore[assignment]
        assert isinstance(self.thread, ast.Call)
        around = self.view.parents[self.thread]
        if isinstance(around, ast.Assign) and len(around.targets) == 1:
            self.handle = flow.dotted(around.targets[0])
            if not self.handle:
                return "its thread is kept where its uses cannot be seen"
        elif isinstance(around, ast.List):
            kept = keepers(self.view, self.loop, around)
            if isinstance(kept, str):
                return kept
            self.keepers = kept
        elif not (isinstance(around, ast.Attribute) and around.attr == "start"):
            return "its thread is handed on where its uses cannot be seen"
        return self._daemon_reason()

    def _is_thread(self, node: ast.AST, target: str) -> bool:
        if not (isinstance(node, ast.Call) and self.view.resolve(node.func) == _THREAD):
            return False
        return any(item.arg == "target" and flow.dotted(item.value) == target for item in node.keywords)

    def _daemon_reason(self) -> str:
        assert self.thread is not None
        given = {item.arg: item.value for item in self.thread.keywords}
        if set(given) - {"target", "daemon", "name"} or self.thread.args:
            return "its thread is given more than its target"
        said = [node.value for node in ast.walk(self.owner) if self._sets_daemon(node)]
        if "daemon" in given:
            said.append(given["daemon"])
        if said and all(map(_is_true, said)):
            return ""
        return "its thread is no daemon, and may be what keeps the process alive"

    def _sets_daemon(self, node: ast.AST) -> TypeGuard[ast.Assign]:
        return isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Attribute)
            and target.attr == "daemon"
            and self._is_handle(flow.dotted(target.value), node)
            for target in node.targets
        )

    # -- what goes -------------------------------------------------------------------------------

    def changes(self) -> list[Change] | Leftover:
        """Return the changes that take all of it away, or why it cannot be taken away."""
        self._grow()
        asides = find_asides(self.view, self.owner, self.loop, self.handle, self.socket, self.standard.socket)
        if leftover := self._leftover(asides.nodes):
            return leftover
        changes: list[Change] = [*asides.changes]
        for method in self.methods.values():
            if method.decorator_list or len(self.view.block(method)) < 2:
                return Leftover(6, f"`{method.name}` is decorated, or is all of its class")
            changes += self._removed(self.owner.body, [method])
        for body in self._blocks():
            gone = [node for node in body if self.sort(node) is Sort.GONE]
            gone += [node for node in self._trailing(body) if node not in gone]
            if len(gone) == len(body):
                return Leftover(6, "nothing would be left of a block of its class")
            changes += self._removed(body, gone)
        changes += self._cut()
        return changes

    def names(self) -> set[str]:
        """Return the attributes of self that go."""
        kept = {self.handle, self.socket} - {""}
        return {name.removeprefix("self.") for name in kept if name.startswith("self.")} | set(self.methods)

    def gone(self) -> list[ast.stmt]:
        """Return the statements that go, methods included."""
        found: list[ast.stmt] = list(self.methods.values())
        for body in self._blocks():
            found += [node for node in body if self.sort(node) is Sort.GONE] + self._trailing(body)
        return found

    def _grow(self) -> None:
        """Take in the methods of which everything goes, until there are no more."""
        while True:
            self._sorted.clear()
            more = [
                node
                for node in self.owner.body
                if isinstance(node, ast.FunctionDef)
                and node.name not in self.methods
                and node.name.startswith("_")
                and not node.name.startswith("__")
                and self._goes_whole(node.body)
            ]
            if not more:
                return
            self.methods.update({node.name: node for node in more})

    def _goes_whole(self, body: list[ast.stmt]) -> bool:
        return self._joint(body) is Sort.GONE

    def _blocks(self) -> Iterator[list[ast.stmt]]:
        """Yield the blocks of the class's other methods that have something that goes, outermost first."""
        todo: list[ast.AST] = [
            node
            for node in self.owner.body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and self.methods.get(node.name) is not node
        ]
        while todo:
            node = todo.pop()
            for field in ("body", "orelse", "finalbody"):
                body = getattr(node, field, None)
                if not isinstance(body, list) or not all(isinstance(each, ast.stmt) for each in body):
                    continue
                if any(self.sort(each) is Sort.GONE for each in body):
                    yield body
                todo += [each for each in body if self.sort(each) is not Sort.GONE]
            todo += getattr(node, "handlers", [])

    def _trailing(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """Return the lines of the log right behind what goes that tell of health."""
        found: list[ast.stmt] = []
        is_behind = False
        for node in body:
            is_gone = self.sort(node) is Sort.GONE
            if not is_gone and is_behind and self._logs_health(node):
                found.append(node)
            else:
                is_behind = is_gone
        return found

    def _logs_health(self, node: ast.stmt) -> bool:
        call = node.value if isinstance(node, ast.Expr) else None
        is_it = isinstance(call, ast.Call) and is_log(self.kinds, call)
        return is_it and "health" in ast.unparse(node).lower()

    def sort(self, node: ast.stmt) -> Sort:
        """Return how a statement stands to what goes."""
        if id(node) not in self._sorted:
            self._sorted[id(node)] = self._sort(node)
        return self._sorted[id(node)]

    def _removed(self, body: list[ast.stmt], gone: list[ast.stmt]) -> Iterator[Removed]:
        """Yield the removals of statements, with the comments above that head nothing else."""
        lines = self.view.file.lines
        for node in gone:
            last = body.index(node)
            while last + 1 < len(body) and body[last + 1] in gone:
                last += 1
            end = body[last].end_lineno or 0
            is_next = last + 1 < len(body) and body[last + 1].lineno == end + 1
            at = body.index(node)
            floor = (body[at - 1].end_lineno or 0) if at else 0
            first = node.lineno
            while not is_next and first - 1 > floor and lines[first - 2].lstrip().startswith("#"):
                first -= 1
            yield Removed(place_of(node), node.lineno - first)

    def _sort(self, node: ast.stmt) -> Sort:
        if isinstance(node, ast.Pass) or (isinstance(node, ast.Raise) and node.exc is None):
            return Sort.IDLE
        if isinstance(node, ast.Expr):
            return self._sort_expression(node.value)
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            is_gone = len(targets) == 1 and self._is_about(flow.dotted(targets[0]), node.value, node)
            return Sort.GONE if is_gone else Sort.STAYS
        if isinstance(node, ast.If) and is_still(self.kinds, node.test):
            sort = self._joint([*node.body, *node.orelse])
            # What asks about what goes, only to log it, asks about nothing then.
            return Sort.GONE if sort is Sort.IDLE and self._is_named(node.test) else sort
        if isinstance(node, ast.Try):
            handled = [each for handler in node.handlers for each in handler.body]
            sort = self._joint([*node.body, *node.orelse, *node.finalbody])
            return Sort.STAYS if self._joint(handled) is Sort.STAYS else sort
        return Sort.STAYS

    def _joint(self, body: list[ast.stmt]) -> Sort:
        """Return how all of some statements stand to what goes."""
        sorts = {self.sort(node) for node in body}
        return next((sort for sort in (Sort.STAYS, Sort.GONE) if sort in sorts), Sort.IDLE)

    def _is_named(self, node: ast.expr) -> bool:
        """Return whether an expression names what goes."""
        names = {self.handle, self.socket} - {""}
        return any(flow.dotted(each) in names for each in ast.walk(node) if isinstance(each, ast.Attribute))

    def _sort_expression(self, node: ast.expr) -> Sort:
        if isinstance(node, ast.Constant):
            return Sort.IDLE
        if not isinstance(node, ast.Call):
            return Sort.STAYS
        if is_log(self.kinds, node):
            return Sort.IDLE
        held, _, method = flow.dotted(node.func).rpartition(".")
        if held == "self" and method in self.methods and not node.args and not node.keywords:
            # Whoever runs the loop itself stays in it until it ends.
            return Sort.STAYS if method == self.method.name else Sort.GONE
        is_still_called = all(
            is_still(self.kinds, each) for each in (*node.args, *(k.value for k in node.keywords))
        )
        if self.socket and held == self.socket and method in _SOCKET_CALLS and is_still_called:
            return Sort.GONE
        if self._is_handle(held, node) and method in _THREAD_CALLS and is_still_called:
            is_gone = method != "join" or is_pause(self.view, self.loop, node)
            return Sort.GONE if is_gone else Sort.STAYS
        is_started = isinstance(node.func, ast.Attribute) and node.func.value is self.thread
        if is_started or (held == "self" and self._only_binds(node, method)):
            return Sort.GONE
        return Sort.STAYS

    def _is_about(self, target: str, value: ast.expr, node: ast.stmt) -> bool:
        """Return whether an assignment is about what goes: its making, its end, an option of it."""
        is_none = isinstance(value, ast.Constant) and value.value is None
        if self.socket and target == self.socket:
            return is_none or makes_socket(self.kinds, self.index, value)
        if self._is_handle(target, node):
            return is_none or value is self.thread
        held = target.rpartition(".")[0]
        is_option = bool(self.socket) and held == self.socket
        return (is_option or (bool(held) and self._is_handle(held, node))) and isinstance(value, ast.Constant)

    def _is_handle(self, name: str, node: ast.AST) -> bool:
        """Return whether a name is the thread's: an attribute anywhere, a local one in its function."""
        if not self.handle or name != self.handle:
            return False
        if self.handle.startswith("self."):
            return True
        assert self.thread is not None
        return self.view.function(node) is self.view.function(self.thread)

    def _only_binds(self, call: ast.Call, method: str) -> bool:
        """Return whether a call hands the socket to a method of the class that does nothing but bind it."""
        if not self.socket or not call.args or flow.dotted(call.args[0]) != self.socket:
            return False
        helper = [n for n in self.owner.body if isinstance(n, ast.FunctionDef) and n.name == method]
        if len(helper) != 1 or len(helper[0].args.args) < 2:
            return False
        name = helper[0].args.args[1].arg
        is_still_called = all(is_still(self.kinds, each) for each in call.args)
        return is_still_called and all(
            _binds_or_waits(self.kinds, node, name) for node in own_nodes(helper[0])
        )

    # -- what is left ----------------------------------------------------------------------------

    def _cut(self) -> list[Change]:
        """Return the change that takes the thread out of a list of threads."""
        around = self.view.parents[self.thread] if self.thread is not None else None
        return (
            [without(self.view, around, self.thread)] if self.thread and isinstance(around, ast.List) else []
        )

    def _leftover(self, made_up: Collection[int]) -> Leftover | None:
        """Return what stays and names what goes; None for nothing. made_up: the nodes that may, by `id`."""
        inside: set[int] = set(made_up)
        for statement in self.gone():
            inside.update(id(node) for node in ast.walk(statement))
        if self.thread is not None:
            inside.update(id(node) for node in ast.walk(self.thread))
        names = self.names()
        left = [node for node in ast.walk(self.owner) if id(node) not in inside and self._told(node, names)]
        for node in left:
            if how := self._held_by(node):
                where = f"`{self._where(node)}` {how}"
                return Leftover(5, f"{where}, which may be what keeps the process alive")
        for node in left[:1]:
            told = self._told(node, names)
            held = {self.socket.removeprefix("self."): 4, self.handle.removeprefix("self."): 5}
            condition = held.get(told.removeprefix("self."), 6)
            return Leftover(condition, f"`{told}` is used in `{self._where(node)}` in another way")
        return None

    def _told(self, node: ast.AST, names: set[str]) -> str:
        """Return which of the names of what goes a node is; empty for none."""
        if isinstance(node, ast.Attribute) and node.attr in names and flow.dotted(node.value) == "self":
            return f"self.{node.attr}"
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in names:
            return node.value
        local = "" if self.handle.startswith("self.") else self.handle
        return (
            local if isinstance(node, ast.Name) and node.id == local and self._is_handle(local, node) else ""
        )

    def _where(self, node: ast.AST) -> str:
        where = self.view.function(node)
        return where.name if where is not None and not isinstance(where, ast.Lambda) else "its class"

    def _held_by(self, node: ast.AST) -> str:
        """Return how the use of a name of what goes keeps a thread waiting; empty where it does not."""
        around = self.view.parents[node]
        call = self.view.parents[around] if isinstance(around, ast.Attribute) else around
        if isinstance(around, ast.Attribute) and around.attr == "join" and isinstance(call, ast.Call):
            return "waits for its thread before it is told to end"
        is_loop = isinstance(node, ast.Attribute) and node.attr == self.method.name
        is_run = is_loop and isinstance(call, ast.Call) and call.func is node
        return "runs it in its own thread" if is_run else ""


def _is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def _binds_or_waits(kinds: Kinds, node: ast.AST, name: str) -> bool:
    """Return whether a node of a helper is nothing but a bind, a line of the log, or a pause."""
    if isinstance(node, ast.Attribute | ast.Subscript):
        return isinstance(node.ctx, ast.Load)
    if isinstance(node, ast.Call):
        is_bind = flow.dotted(node.func) == f"{name}.bind"
        is_plain = kinds.origin(node.func) in ("range", "str") or is_pausing(kinds, node)
        return is_bind or is_plain or is_log(kinds, node)
    return not isinstance(node, ast.Await | ast.Yield | ast.YieldFrom | ast.Global | ast.Nonlocal)
