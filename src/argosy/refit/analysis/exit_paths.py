"""Finds the paths on which a function may exit while a resource that it opened is still open.

A walk over the statements of one function, with the set of states that the resource may be in: not created,
open, done (closed, or passed to another owner). The operations on it are given as events by node. Only the
operations that the caller names may fail, so that each exit is attributed to a known operation.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from argosy.refit.analysis.ast_queries import is_none_literal
from argosy.source import control_flow
from argosy.source.control_flow import dotted_name

SocketEvent = Literal["create", "close", "escape", "use"]
ExitKind = Literal["end", "return", "raise", "use", "recreate"]

_NOT_CREATED, _OPEN, _CLOSED = 1, 2, 4
_MAX_LOOP_PASSES = 3


class OpenExit(msgspec.Struct, frozen=True):
    """One exit with the resource open.

    kind: by the end, a return, a raise, a failing use, or `recreate`: it is created again while the previous
    one is open. line: of the statement that exits.
    """

    kind: ExitKind
    line: int


class _Jumps(msgspec.Struct):
    """The exits of a block other than its end, with the states in which they are taken."""

    raised: list[tuple[ExitKind, int, int]] = []
    returned: list[tuple[ExitKind, int, int]] = []
    breaks: int = 0
    continues: int = 0


def find_open_exits(
    body: Sequence[ast.stmt], events: Mapping[ast.AST, SocketEvent], variable: str
) -> list[OpenExit]:
    """Return the exits of a function's body that leave the resource open, in the order of their lines.

    events: the operations on the resource, by node; of these, `use` may fail. variable: its name, so that
    tests of it (`if sock is not None`) are understood.
    """
    walker = _StateWalker(events, variable)
    end = walker.run_block(body, _NOT_CREATED)
    found = {
        OpenExit(how, line)
        for how, line, state in walker.jumps.raised + walker.jumps.returned
        if state & _OPEN
    }
    if end & _OPEN:
        found.add(OpenExit("end", body[-1].end_lineno or body[-1].lineno))
    return sorted(found | walker.recreated, key=lambda item: (item.line, item.kind))


class _StateWalker:
    def __init__(self, events: Mapping[ast.AST, SocketEvent], variable: str) -> None:
        self.events = events
        self.variable = variable
        self.jumps = _Jumps()
        self.recreated: set[OpenExit] = set()

    def run_block(self, body: Sequence[ast.stmt], state: int) -> int:
        """Return the states at the end of a block that is entered in `state`; 0 if the end is not reached."""
        for node in body:
            if not state:
                break
            state = self.run_statement(node, state)
        return state

    def run_statement(self, node: ast.stmt, state: int) -> int:
        if isinstance(node, ast.If):
            return self.run_if(node, state)
        if isinstance(node, ast.While | ast.For | ast.AsyncFor):
            return self.run_loop(node, state)
        if isinstance(node, ast.Try | ast.TryStar):
            return self.run_try(node, state)
        if isinstance(node, ast.With | ast.AsyncWith):
            return self.run_with(node, state)
        if isinstance(node, ast.Match):
            state = self.apply_events([node.subject], state)
            branches = [self.run_block(case.body, state) for case in node.cases]
            return _union_states([state, *branches])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return state
        return self.run_simple(node, state)

    def run_simple(self, node: ast.stmt, state: int) -> int:
        state = self.apply_events([node], state)
        if isinstance(node, ast.Return):
            self.jumps.returned.append(("return", node.lineno, state))
            return 0
        if isinstance(node, ast.Raise):
            self.jumps.raised.append(("raise", node.lineno, state))
            return 0
        if isinstance(node, ast.Break):
            self.jumps.breaks |= state
            return 0
        if isinstance(node, ast.Continue):
            self.jumps.continues |= state
            return 0
        # The end of the process closes everything.
        return 0 if control_flow.always_exits([node]) else state

    def apply_events(self, nodes: Sequence[ast.AST], state: int) -> int:
        """Return the states after the events within expressions, or statements without inner ones."""
        for node in nodes:
            for inner in _in_evaluation_order(node):
                event = self.events.get(inner)
                if event == "use":
                    self.jumps.raised.append(("use", getattr(inner, "lineno", 0), state))
                elif event == "create":
                    if state & _OPEN:
                        self.recreated.add(OpenExit("recreate", getattr(inner, "lineno", 0)))
                    state = _OPEN
                elif event is not None and state:
                    # Closing what was never created is an error elsewhere, or not reached.
                    state = _CLOSED
        return state

    def run_if(self, node: ast.If, state: int) -> int:
        ends: list[int] = []
        # A chain of elif is nested as deep as it is long: iterate, to avoid deep recursion.
        while True:
            state = self.apply_events([node.test], state)
            if_true, if_false = self.narrow(node.test, state)
            ends.append(self.run_block(node.body, if_true))
            state = if_false
            if len(node.orelse) != 1 or not isinstance(node.orelse[0], ast.If):
                break
            node = node.orelse[0]
        ends.append(self.run_block(node.orelse, state))
        return _union_states(ends)

    def narrow(self, test: ast.expr, state: int) -> tuple[int, int]:
        """Return the states in which a test is true and false."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            if_true, if_false = self.narrow(test.operand, state)
            return if_false, if_true
        if isinstance(test, ast.BoolOp):
            return self.narrow_bool_op(test, state)
        if control_flow.is_always_true(test):
            return state, 0
        if self.is_tracked_name(test) or self.is_locals_test(test):
            return state & ~_NOT_CREATED, state & ~_OPEN
        if isinstance(test, ast.Attribute) and test.attr == "closed" and self.is_tracked_name(test.value):
            return state & _CLOSED, state & ~_CLOSED
        if isinstance(test, ast.Compare) and len(test.ops) == 1 and self.is_tracked_name(test.left):
            is_none = is_none_literal(test.comparators[0])
            if is_none and isinstance(test.ops[0], ast.IsNot | ast.NotEq):
                return state & ~_NOT_CREATED, state & ~_OPEN
            if is_none and isinstance(test.ops[0], ast.Is | ast.Eq):
                return state & ~_OPEN, state & ~_NOT_CREATED
        return state, state

    def narrow_bool_op(self, test: ast.BoolOp, state: int) -> tuple[int, int]:
        is_and = isinstance(test.op, ast.And)
        remaining, decided = state, 0
        for value in test.values:
            if_true, if_false = self.narrow(value, remaining)
            remaining, out = (if_true, if_false) if is_and else (if_false, if_true)
            decided |= out
        return (remaining, decided) if is_and else (decided, remaining)

    def is_tracked_name(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id == self.variable

    def is_locals_test(self, node: ast.expr) -> bool:
        """Return whether a test is `"sock" in locals()`."""
        return (
            isinstance(node, ast.Compare)
            and isinstance(node.ops[0], ast.In)
            and isinstance(node.left, ast.Constant)
            and node.left.value == self.variable
        )

    def run_loop(self, node: ast.While | ast.For | ast.AsyncFor, state: int) -> int:
        before, self.jumps.breaks = self.jumps.breaks, 0
        outer, self.jumps.continues = self.jumps.continues, 0
        head = node.test if isinstance(node, ast.While) else node.iter
        entry = state
        for _ in range(_MAX_LOOP_PASSES):
            entry = self.apply_events([head], entry)
            inside = self.narrow(head, entry)[0] if isinstance(node, ast.While) else entry
            end = self.run_block(node.body, inside)
            next_entry = entry | end | self.jumps.continues
            if next_entry == entry:
                break
            entry = next_entry
        after_loop = self.narrow(head, entry)[1] if isinstance(node, ast.While) else entry
        after_loop = self.run_block(node.orelse, after_loop) | self.jumps.breaks
        self.jumps.breaks, self.jumps.continues = before, outer
        return after_loop

    def run_with(self, node: ast.With | ast.AsyncWith, state: int) -> int:
        state = self.apply_events(node.items, state)
        suppressed = control_flow.suppressed_by(node)
        if not suppressed:
            return self.run_block(node.body, state)
        outer_raised, self.jumps.raised = self.jumps.raised, []
        end = self.run_block(node.body, state)
        caught = _union_states(mask for _, _, mask in self.jumps.raised)
        self.jumps.raised = outer_raised
        return end | caught

    def run_try(self, node: ast.Try | ast.TryStar, state: int) -> int:
        outer, self.jumps = self.jumps, _Jumps()
        end = self.run_block(node.body, state)
        end = self.run_block(node.orelse, end)
        if node.handlers:
            raised = self.jumps.raised
            self.jumps.raised = []
            # If no known operation may fail, assume that an unknown failure occurs at the end of the block.
            left = _union_states(mask for _, _, mask in self.jumps.returned)
            caught = _union_states(mask for _, _, mask in raised) or end or left or state
            ends = [self.run_block(handler.body, caught) for handler in node.handlers]
            end |= _union_states(ends)
            if not any(_is_catching(handler) for handler in node.handlers):
                self.jumps.raised += raised
        inner, self.jumps = self.jumps, outer
        for kind, line, mask in inner.raised:
            self.jumps.raised.append((kind, line, self.run_finally(node, mask)))
        for kind, line, mask in inner.returned:
            self.jumps.returned.append((kind, line, self.run_finally(node, mask)))
        self.jumps.breaks |= self.run_finally(node, inner.breaks)
        self.jumps.continues |= self.run_finally(node, inner.continues)
        return self.run_finally(node, end)

    def run_finally(self, node: ast.Try | ast.TryStar, state: int) -> int:
        return self.run_block(node.finalbody, state) if state and node.finalbody else state


def _is_catching(handler: ast.ExceptHandler) -> bool:
    """Return whether a handler catches every exception that a socket raises."""
    if handler.type is None:
        return True
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = {dotted_name(item).rpartition(".")[2] for item in types}
    return bool(names & {"Exception", "BaseException", "ZMQError", "ZMQBaseError", "Again"})


def _in_evaluation_order(node: ast.AST) -> list[ast.AST]:
    """Return the nodes of an expression in evaluation order (inside out), approximately.

    Nodes in a lambda or an inner function are left out.
    """
    found: list[ast.AST] = []
    pending = [node]
    while pending:
        item = pending.pop()
        found.append(item)
        if not isinstance(item, ast.Lambda):
            pending.extend(ast.iter_child_nodes(item))
    return found[::-1]


def _union_states(masks: object) -> int:
    total = 0
    for mask in masks:  # type: ignore[attr-defined]
        total |= mask
    return total
