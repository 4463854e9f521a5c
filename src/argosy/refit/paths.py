"""On which ways a function may be left while something that it opened is still open.

A small walk over the statements of one function, with the set of states that the thing may be in: not
made, open, done with (closed, or given to somebody else). What is done to it comes as events by node.
Only what the caller names may fail, so that a way out is told by what takes it.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from argosy.source import flow

Event = Literal["make", "close", "give", "use"]
How = Literal["end", "return", "raise", "use", "again"]

_NONE, _OPEN, _DONE = 1, 2, 4
_LOOPS = 3


class Exit(msgspec.Struct, frozen=True):
    """One way out with the thing open.

    how: by the end, a return, a raise, a use that fails, or `again`: it is made anew while the last is
    open. line: of the statement that takes it.
    """

    how: How
    line: int


class _Jumps(msgspec.Struct):
    """The ways out of a block other than its end, with the states in which they are taken."""

    raised: list[tuple[How, int, int]] = []
    returned: list[tuple[How, int, int]] = []
    breaks: int = 0
    continues: int = 0


def find_open_exits(body: Sequence[ast.stmt], events: Mapping[ast.AST, Event], name: str) -> list[Exit]:
    """Return the ways out of a function's body that leave the thing open, in the order of their lines.

    events: what is done to the thing, by the node that does it; of these, `use` may fail. name: its
    name, so that tests of it (`if sock is not None`) are understood.
    """
    walk = _Walk(events, name)
    end = walk.block(body, _NONE)
    found = {Exit(how, line) for how, line, state in walk.jumps.raised + walk.jumps.returned if state & _OPEN}
    if end & _OPEN:
        found.add(Exit("end", body[-1].end_lineno or body[-1].lineno))
    return sorted(found | walk.again, key=lambda item: (item.line, item.how))


class _Walk:
    def __init__(self, events: Mapping[ast.AST, Event], name: str) -> None:
        self.events = events
        self.name = name
        self.jumps = _Jumps()
        self.again: set[Exit] = set()

    def block(self, body: Sequence[ast.stmt], state: int) -> int:
        """Return the states at the end of a block that is entered in `state`; 0 where it has no end."""
        for node in body:
            if not state:
                break
            state = self.statement(node, state)
        return state

    def statement(self, node: ast.stmt, state: int) -> int:
        if isinstance(node, ast.If):
            return self.condition(node, state)
        if isinstance(node, ast.While | ast.For | ast.AsyncFor):
            return self.loop(node, state)
        if isinstance(node, ast.Try | ast.TryStar):
            return self.attempt(node, state)
        if isinstance(node, ast.With | ast.AsyncWith):
            return self.with_(node, state)
        if isinstance(node, ast.Match):
            state = self.apply([node.subject], state)
            branches = [self.block(case.body, state) for case in node.cases]
            return _union([state, *branches])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return state
        return self.simple(node, state)

    def simple(self, node: ast.stmt, state: int) -> int:
        state = self.apply([node], state)
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
        # What ends the process closes everything.
        return 0 if flow.ends([node]) else state

    def apply(self, nodes: Sequence[ast.AST], state: int) -> int:
        """Return the states after the events within expressions, or statements without inner ones."""
        for node in nodes:
            for inner in _evaluated(node):
                event = self.events.get(inner)
                if event == "use":
                    self.jumps.raised.append(("use", getattr(inner, "lineno", 0), state))
                elif event == "make":
                    if state & _OPEN:
                        self.again.add(Exit("again", getattr(inner, "lineno", 0)))
                    state = _OPEN
                elif event is not None and state:
                    # Closing what was never made is an error elsewhere, or not reached.
                    state = _DONE
        return state

    def condition(self, node: ast.If, state: int) -> int:
        ends: list[int] = []
        # A chain of elif is as deep as it is long in the tree: walked, not recursed into.
        while True:
            state = self.apply([node.test], state)
            yes, no = self.narrow(node.test, state)
            ends.append(self.block(node.body, yes))
            state = no
            if len(node.orelse) != 1 or not isinstance(node.orelse[0], ast.If):
                break
            node = node.orelse[0]
        ends.append(self.block(node.orelse, state))
        return _union(ends)

    def narrow(self, test: ast.expr, state: int) -> tuple[int, int]:
        """Return the states in which a test is true and false."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            yes, no = self.narrow(test.operand, state)
            return no, yes
        if isinstance(test, ast.BoolOp):
            return self.narrow_all(test, state)
        if flow.is_always(test):
            return state, 0
        if self.is_thing(test) or self.is_told(test):
            return state & ~_NONE, state & ~_OPEN
        if isinstance(test, ast.Attribute) and test.attr == "closed" and self.is_thing(test.value):
            return state & _DONE, state & ~_DONE
        if isinstance(test, ast.Compare) and len(test.ops) == 1 and self.is_thing(test.left):
            is_none = isinstance(test.comparators[0], ast.Constant) and test.comparators[0].value is None
            if is_none and isinstance(test.ops[0], ast.IsNot | ast.NotEq):
                return state & ~_NONE, state & ~_OPEN
            if is_none and isinstance(test.ops[0], ast.Is | ast.Eq):
                return state & ~_OPEN, state & ~_NONE
        return state, state

    def narrow_all(self, test: ast.BoolOp, state: int) -> tuple[int, int]:
        is_and = isinstance(test.op, ast.And)
        on, left = state, 0
        for value in test.values:
            yes, no = self.narrow(value, on)
            on, out = (yes, no) if is_and else (no, yes)
            left |= out
        return (on, left) if is_and else (left, on)

    def is_thing(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id == self.name

    def is_told(self, node: ast.expr) -> bool:
        """Return whether a test is `"sock" in locals()`."""
        return (
            isinstance(node, ast.Compare)
            and isinstance(node.ops[0], ast.In)
            and isinstance(node.left, ast.Constant)
            and node.left.value == self.name
        )

    def loop(self, node: ast.While | ast.For | ast.AsyncFor, state: int) -> int:
        before, self.jumps.breaks = self.jumps.breaks, 0
        outer, self.jumps.continues = self.jumps.continues, 0
        head = node.test if isinstance(node, ast.While) else node.iter
        entry = state
        for _ in range(_LOOPS):
            entry = self.apply([head], entry)
            inside = self.narrow(head, entry)[0] if isinstance(node, ast.While) else entry
            end = self.block(node.body, inside)
            again = entry | end | self.jumps.continues
            if again == entry:
                break
            entry = again
        left = self.narrow(head, entry)[1] if isinstance(node, ast.While) else entry
        left = self.block(node.orelse, left) | self.jumps.breaks
        self.jumps.breaks, self.jumps.continues = before, outer
        return left

    def with_(self, node: ast.With | ast.AsyncWith, state: int) -> int:
        state = self.apply(node.items, state)
        suppressed = flow.suppressed_by(node)
        if not suppressed:
            return self.block(node.body, state)
        kept, self.jumps.raised = self.jumps.raised, []
        end = self.block(node.body, state)
        caught = _union(mask for _, _, mask in self.jumps.raised)
        self.jumps.raised = kept
        return end | caught

    def attempt(self, node: ast.Try | ast.TryStar, state: int) -> int:
        outer, self.jumps = self.jumps, _Jumps()
        end = self.block(node.body, state)
        end = self.block(node.orelse, end)
        if node.handlers:
            raised = self.jumps.raised
            self.jumps.raised = []
            # Where nothing is known to fail, whatever does so fails late.
            left = _union(mask for _, _, mask in self.jumps.returned)
            caught = _union(mask for _, _, mask in raised) or end or left or state
            ends = [self.block(handler.body, caught) for handler in node.handlers]
            end |= _union(ends)
            if not any(_catches(handler) for handler in node.handlers):
                self.jumps.raised += raised
        inner, self.jumps = self.jumps, outer
        for how, line, mask in inner.raised:
            self.jumps.raised.append((how, line, self.finish(node, mask)))
        for how, line, mask in inner.returned:
            self.jumps.returned.append((how, line, self.finish(node, mask)))
        self.jumps.breaks |= self.finish(node, inner.breaks)
        self.jumps.continues |= self.finish(node, inner.continues)
        return self.finish(node, end)

    def finish(self, node: ast.Try | ast.TryStar, state: int) -> int:
        return self.block(node.finalbody, state) if state and node.finalbody else state


def _catches(handler: ast.ExceptHandler) -> bool:
    """Return whether a handler takes whatever a socket raises."""
    if handler.type is None:
        return True
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = {flow.dotted(item).rpartition(".")[2] for item in types}
    return bool(names & {"Exception", "BaseException", "ZMQError", "ZMQBaseError", "Again"})


def _evaluated(node: ast.AST) -> list[ast.AST]:
    """Return the nodes of an expression from the inside out, as they are evaluated, roughly.

    What stands in a lambda or an inner function is left out.
    """
    found: list[ast.AST] = []
    todo = [node]
    while todo:
        item = todo.pop()
        found.append(item)
        if not isinstance(item, ast.Lambda):
            todo.extend(ast.iter_child_nodes(item))
    return found[::-1]


def _union(masks: object) -> int:
    total = 0
    for mask in masks:  # type: ignore[attr-defined]
        total |= mask
    return total
