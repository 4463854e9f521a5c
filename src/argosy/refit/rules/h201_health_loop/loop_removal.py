"""Removes a health loop: its method, its thread, its own socket, and statements that concern nothing else.

Statements are classified: those that concern what is removed, those that are removed with them if nothing
else is in their block (log calls, `pass`, a bare `raise`), and all others, which are kept. A method of which
every statement is removed is removed too, and so is a statement that only calls it. In the end no remaining
code may name what was removed.
"""

from __future__ import annotations

import ast
import enum
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple, TypeGuard

from argosy.refit.analysis.ast_queries import is_none_literal
from argosy.refit.analysis.health.health_loops import HealthLoop
from argosy.refit.analysis.health.health_payloads import iter_own_nodes
from argosy.refit.rewrite.tree_index import TreeIndex
from argosy.refit.rules.h201_health_loop.health_base import HealthBase
from argosy.refit.rules.h201_health_loop.references import find_remaining_references
from argosy.refit.rules.h201_health_loop.resource_lists import (
    holding_attributes,
    is_harmless_join,
    remove_element,
)
from argosy.refit.rules.h201_health_loop.side_effects import (
    has_pure_arguments,
    is_log_call,
    is_side_effect_free,
    is_sleep_call,
    only_creates_socket,
)
from argosy.refit.rules.h201_health_loop.type_inference import TypeInference
from argosy.refit.transaction.source_change import Change, Deletion, position_of
from argosy.refit.transaction.source_view import FunctionNode, SourceView
from argosy.source.control_flow import dotted_name

_SOCKET_CALLS: Final = frozenset(
    {"setsockopt", "setsockopt_string", "set", "set_hwm", "bind", "unbind", "disconnect", "close"}
)
_THREAD_CALLS: Final = frozenset({"start", "join", "setDaemon"})
_THREAD: Final = "threading.Thread"


class StatementFate(enum.Enum):
    """Whether a statement is removed with the loop."""

    REMOVED = "removed"
    INERT = "inert"
    KEPT = "kept"


class RemovalObstacle(NamedTuple):
    """Why a loop cannot be removed. condition: the one that does not hold, by docs/reference/h201.md."""

    condition: int
    reason: str


class LoopRemoval:
    """The removal of one loop of a class.

    socket: the attribute that keeps the loop's own socket; empty if the socket is its base's.
    """

    def __init__(
        self,
        view: SourceView,
        index: TreeIndex,
        owner: ast.ClassDef,
        loop: HealthLoop,
        socket: str,
        health_base: HealthBase,
    ) -> None:
        self.view = view
        self.index = index
        self.owner = owner
        self.loop = loop
        self.method = loop.definition
        self.socket = socket
        self.types = TypeInference(view, loop.socket)
        self.health_base = health_base
        self.thread: ast.Call | None = None
        self.thread_name = ""
        self.holding_attributes: set[str] = set()
        self.methods: dict[str, FunctionNode] = {loop.definition.name: loop.definition}
        self._fates: dict[int, StatementFate] = {}

    # -- the thread ------------------------------------------------------------------------------

    def thread_reason(self) -> str:
        """Find the thread that runs the loop; return why it cannot be removed."""
        target = f"self.{self.method.name}"
        threads = [node for node in self.view.nodes if self._is_thread(node, target)]
        if not threads:
            is_bases = self.method.name == self.health_base.loop_method
            return "" if is_bases else "no thread of its class runs it"
        if len(threads) > 1:
            return f"{len(threads)} threads run it"
        (self.thread,) = threads  # type: ignore[assignment]
        assert isinstance(self.thread, ast.Call)
        parent = self.view.parents[self.thread]
        if isinstance(parent, ast.Assign) and len(parent.targets) == 1:
            self.thread_name = dotted_name(parent.targets[0])
            if not self.thread_name:
                return "its thread is stored where its uses are not visible"
        elif isinstance(parent, ast.List):
            holding = holding_attributes(self.view, self.loop, parent)
            if isinstance(holding, str):
                return holding
            self.holding_attributes = holding
        elif not (isinstance(parent, ast.Attribute) and parent.attr == "start"):
            return "its thread is passed on, and its uses are not visible"
        return self._daemon_reason()

    def _is_thread(self, node: ast.AST, target: str) -> bool:
        if not (isinstance(node, ast.Call) and self.view.resolve_imported_name(node.func) == _THREAD):
            return False
        return any(item.arg == "target" and dotted_name(item.value) == target for item in node.keywords)

    def _daemon_reason(self) -> str:
        assert self.thread is not None
        keywords = {item.arg: item.value for item in self.thread.keywords}
        if set(keywords) - {"target", "daemon", "name"} or self.thread.args:
            return "its thread has other arguments than its target"
        daemon_values = [node.value for node in ast.walk(self.owner) if self._sets_daemon(node)]
        if "daemon" in keywords:
            daemon_values.append(keywords["daemon"])
        if daemon_values and all(map(_is_true_literal, daemon_values)):
            return ""
        return "its thread is not a daemon, and may keep the process alive"

    def _sets_daemon(self, node: ast.AST) -> TypeGuard[ast.Assign]:
        return isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Attribute)
            and target.attr == "daemon"
            and self._is_thread_name(dotted_name(target.value), node)
            for target in node.targets
        )

    # -- statements ------------------------------------------------------------------------------

    def changes(self) -> list[Change] | RemovalObstacle:
        """Return the changes of the removal, or the obstacle to it."""
        self._add_removable_methods()
        references = find_remaining_references(
            self.view, self.owner, self.loop, self.thread_name, self.socket, self.health_base.socket
        )
        if leftover := self._find_obstacle(references.resolved_nodes):
            return leftover
        changes: list[Change] = [*references.changes]
        for method in self.methods.values():
            if method.decorator_list or len(self.view.containing_block(method)) < 2:
                return RemovalObstacle(6, f"`{method.name}` is decorated, or all that its class has")
            changes += self._deletions(self.owner.body, [method])
        for body in self._blocks():
            removed = [node for node in body if self.fate_of(node) is StatementFate.REMOVED]
            removed += [node for node in self._trailing_log_lines(body) if node not in removed]
            if len(removed) == len(body):
                return RemovalObstacle(6, "a block of its class would be empty")
            changes += self._deletions(body, removed)
        changes += self._list_change()
        return changes

    def removed_names(self) -> set[str]:
        """Return the attributes of self that are removed."""
        attributes = {self.thread_name, self.socket} - {""}
        return {name.removeprefix("self.") for name in attributes if name.startswith("self.")} | set(
            self.methods
        )

    def removed_nodes(self) -> set[int]:
        """Return by `id` the nodes of the removed statements, methods included, and of the thread."""
        removed: list[ast.AST] = [*self.methods.values(), *([self.thread] if self.thread is not None else [])]
        for body in self._blocks():
            removed += [node for node in body if self.fate_of(node) is StatementFate.REMOVED]
            removed += self._trailing_log_lines(body)
        return {id(node) for each in removed for node in ast.walk(each)}

    def _add_removable_methods(self) -> None:
        """Add the methods of which every statement is removed, until there are no more."""
        while True:
            self._fates.clear()
            more = [
                node
                for node in self.owner.body
                if isinstance(node, ast.FunctionDef)
                and node.name not in self.methods
                and node.name.startswith("_")
                and not node.name.startswith("__")
                and self._is_wholly_removed(node.body)
            ]
            if not more:
                return
            self.methods.update({node.name: node for node in more})

    def _is_wholly_removed(self, body: list[ast.stmt]) -> bool:
        return self._joint_fate(body) is StatementFate.REMOVED

    def _blocks(self) -> Iterator[list[ast.stmt]]:
        """Yield the blocks of the class's other methods with removed statements, outermost first."""
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
                if any(self.fate_of(each) is StatementFate.REMOVED for each in body):
                    yield body
                todo += [each for each in body if self.fate_of(each) is not StatementFate.REMOVED]
            todo += getattr(node, "handlers", [])

    def _trailing_log_lines(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """Return the log calls directly after removed statements that mention health."""
        found: list[ast.stmt] = []
        follows_removed = False
        for node in body:
            is_removed = self.fate_of(node) is StatementFate.REMOVED
            if not is_removed and follows_removed and self._logs_health(node):
                found.append(node)
            else:
                follows_removed = is_removed
        return found

    def _logs_health(self, node: ast.stmt) -> bool:
        call = node.value if isinstance(node, ast.Expr) else None
        is_it = isinstance(call, ast.Call) and is_log_call(self.types, call)
        return is_it and "health" in ast.unparse(node).lower()

    def fate_of(self, node: ast.stmt) -> StatementFate:
        """Return whether a statement is removed."""
        if id(node) not in self._fates:
            self._fates[id(node)] = self._decide_fate(node)
        return self._fates[id(node)]

    def _deletions(self, body: list[ast.stmt], removed: list[ast.stmt]) -> Iterator[Deletion]:
        """Yield the deletions of statements, with the comments above them that belong to nothing else."""
        lines = self.view.python_file.lines
        for node in removed:
            last = body.index(node)
            while last + 1 < len(body) and body[last + 1] in removed:
                last += 1
            end = body[last].end_lineno or 0
            is_next = last + 1 < len(body) and body[last + 1].lineno == end + 1
            at = body.index(node)
            floor = (body[at - 1].end_lineno or 0) if at else 0
            first = node.lineno
            while not is_next and first - 1 > floor and lines[first - 2].lstrip().startswith("#"):
                first -= 1
            yield Deletion(position_of(node), node.lineno - first)

    def _decide_fate(self, node: ast.stmt) -> StatementFate:
        if isinstance(node, ast.Pass) or (isinstance(node, ast.Raise) and node.exc is None):
            return StatementFate.INERT
        if isinstance(node, ast.Expr):
            return self._expression_fate(node.value)
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            is_removed = len(targets) == 1 and self._concerns_removed(
                dotted_name(targets[0]), node.value, node
            )
            return StatementFate.REMOVED if is_removed else StatementFate.KEPT
        if isinstance(node, ast.If) and is_side_effect_free(self.types, node.test):
            fate = self._joint_fate([*node.body, *node.orelse])
            # A test of a removed name that guards only log calls has no purpose any more.
            return (
                StatementFate.REMOVED
                if fate is StatementFate.INERT and self._names_removed(node.test)
                else fate
            )
        if isinstance(node, ast.Try):
            handled = [each for handler in node.handlers for each in handler.body]
            fate = self._joint_fate([*node.body, *node.orelse, *node.finalbody])
            return StatementFate.KEPT if self._joint_fate(handled) is StatementFate.KEPT else fate
        return StatementFate.KEPT

    def _joint_fate(self, body: list[ast.stmt]) -> StatementFate:
        """Return the common fate of several statements."""
        fates = {self.fate_of(node) for node in body}
        return next(
            (sort for sort in (StatementFate.KEPT, StatementFate.REMOVED) if sort in fates),
            StatementFate.INERT,
        )

    def _names_removed(self, node: ast.expr) -> bool:
        """Return whether an expression names the removed thread or socket."""
        names = {self.thread_name, self.socket} - {""}
        return any(dotted_name(each) in names for each in ast.walk(node) if isinstance(each, ast.Attribute))

    def _expression_fate(self, node: ast.expr) -> StatementFate:
        if isinstance(node, ast.Constant):
            return StatementFate.INERT
        if not isinstance(node, ast.Call):
            return StatementFate.KEPT
        if is_log_call(self.types, node):
            return StatementFate.INERT
        receiver, _, method = dotted_name(node.func).rpartition(".")
        if receiver == "self" and method in self.methods and not node.args and not node.keywords:
            # A direct call of the loop blocks until the loop ends.
            return StatementFate.KEPT if method == self.method.name else StatementFate.REMOVED
        is_plain = has_pure_arguments(self.types, node)
        if self.socket and receiver == self.socket and method in _SOCKET_CALLS and is_plain:
            return StatementFate.REMOVED
        if self._is_thread_name(receiver, node) and method in _THREAD_CALLS and is_plain:
            is_removed = method != "join" or is_harmless_join(self.view, self.loop, node)
            return StatementFate.REMOVED if is_removed else StatementFate.KEPT
        is_started = isinstance(node.func, ast.Attribute) and node.func.value is self.thread
        if is_started or (receiver == "self" and self._is_bind_helper_call(node, method)):
            return StatementFate.REMOVED
        return StatementFate.KEPT

    def _concerns_removed(self, target: str, value: ast.expr, node: ast.stmt) -> bool:
        """Return whether an assignment creates, resets or configures the removed socket or thread."""
        is_none = is_none_literal(value)
        if self.socket and target == self.socket:
            return is_none or only_creates_socket(self.types, self.index, value)
        if self._is_thread_name(target, node):
            return is_none or value is self.thread
        receiver = target.rpartition(".")[0]
        is_option = bool(self.socket) and receiver == self.socket
        return (is_option or (bool(receiver) and self._is_thread_name(receiver, node))) and isinstance(
            value, ast.Constant
        )

    def _is_thread_name(self, name: str, node: ast.AST) -> bool:
        """Return whether a name is the thread's: an attribute anywhere, a local variable in its function."""
        if not self.thread_name or name != self.thread_name:
            return False
        if self.thread_name.startswith("self."):
            return True
        assert self.thread is not None
        return self.view.enclosing_function(node) is self.view.enclosing_function(self.thread)

    def _is_bind_helper_call(self, call: ast.Call, method: str) -> bool:
        """Return whether a call passes the socket to a method of the class that only binds it."""
        if not self.socket or not call.args or dotted_name(call.args[0]) != self.socket:
            return False
        helper = [n for n in self.owner.body if isinstance(n, ast.FunctionDef) and n.name == method]
        if len(helper) != 1 or len(helper[0].args.args) < 2:
            return False
        name = helper[0].args.args[1].arg
        has_pure_arguments = all(is_side_effect_free(self.types, each) for each in call.args)
        return has_pure_arguments and all(
            _binds_or_waits(self.types, node, name) for node in iter_own_nodes(helper[0])
        )

    # -- remaining code --------------------------------------------------------------------------

    def _list_change(self) -> list[Change]:
        """Return the change that removes the thread from a list of threads."""
        parent = self.view.parents[self.thread] if self.thread is not None else None
        return (
            [remove_element(self.view, parent, self.thread)]
            if self.thread and isinstance(parent, ast.List)
            else []
        )

    def _find_obstacle(self, resolved: Collection[int]) -> RemovalObstacle | None:
        """Return the first remaining use of a removed name; None if there is none.

        resolved: the `id`s of the nodes that may name it.
        """
        inside = self.removed_nodes() | set(resolved)
        names = self.removed_names()
        remaining = [
            node
            for node in ast.walk(self.owner)
            if id(node) not in inside and self._removed_name_at(node, names)
        ]
        for node in remaining:
            if how := self._blocking_use(node):
                location = f"`{self._method_name_at(node)}` {how}"
                return RemovalObstacle(5, f"{location}, which may keep the process alive")
        for node in remaining[:1]:
            name = self._removed_name_at(node, names)
            condition_by_name = {
                self.socket.removeprefix("self."): 4,
                self.thread_name.removeprefix("self."): 5,
            }
            condition = condition_by_name.get(name.removeprefix("self."), 6)
            return RemovalObstacle(condition, f"`{name}` has other uses in `{self._method_name_at(node)}`")
        return None

    def _removed_name_at(self, node: ast.AST, names: set[str]) -> str:
        """Return which of the removed names a node is; empty if none."""
        if isinstance(node, ast.Attribute) and node.attr in names and dotted_name(node.value) == "self":
            return f"self.{node.attr}"
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in names:
            return node.value
        local = "" if self.thread_name.startswith("self.") else self.thread_name
        return (
            local
            if isinstance(node, ast.Name) and node.id == local and self._is_thread_name(local, node)
            else ""
        )

    def _method_name_at(self, node: ast.AST) -> str:
        location = self.view.enclosing_function(node)
        return location.name if location is not None and not isinstance(location, ast.Lambda) else "its class"

    def _blocking_use(self, node: ast.AST) -> str:
        """Return how the use of a removed name blocks a thread; empty if it does not."""
        parent = self.view.parents[node]
        call = self.view.parents[parent] if isinstance(parent, ast.Attribute) else parent
        if isinstance(parent, ast.Attribute) and parent.attr == "join" and isinstance(call, ast.Call):
            return "waits for its thread before the loop is told to end"
        is_loop = isinstance(node, ast.Attribute) and node.attr == self.method.name
        is_run = is_loop and isinstance(call, ast.Call) and call.func is node
        return "calls it directly" if is_run else ""


def _is_true_literal(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def _binds_or_waits(types: TypeInference, node: ast.AST, name: str) -> bool:
    """Return whether a node of a helper is only a bind, a log call, or a pause."""
    if isinstance(node, ast.Attribute | ast.Subscript):
        return isinstance(node.ctx, ast.Load)
    if isinstance(node, ast.Call):
        is_bind = dotted_name(node.func) == f"{name}.bind"
        is_plain = types.origin(node.func) in ("range", "str") or is_sleep_call(types, node)
        return is_bind or is_plain or is_log_call(types, node)
    return not isinstance(node, ast.Await | ast.Yield | ast.YieldFrom | ast.Global | ast.Nonlocal)
