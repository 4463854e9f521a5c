"""What a payload says, key by key, and which of it the standard says itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from argosy.refit.health.payloads import HOOK, is_super, own_nodes
from argosy.refit.rewrite.health.kinds import Kinds
from argosy.refit.rewrite.health.standard import base_call, is_same, method_of
from argosy.refit.rewrite.view import Function, View
from argosy.source import flow

Item = tuple[str, ast.expr | None]  # the key, empty for one that cannot be seen

# What the standard says under these names is not what an agent would.
_TAKEN: Final = frozenset(
    (  # noqa: SIM905
        "since loop_lag_ms in_flight handled failed rss_bytes status_word needs wants"
        " payload_age absent moved_binds other_agents"
    ).split()
)
_DEEP: Final = 5


def taken_reason(view: View, owner: ast.ClassDef) -> str:
    """Return which key of a class's payload the standard would say in another way; empty for none."""
    said = _Said(view, owner)
    method = method_of(owner, HOOK)
    items = list(said.of_function(method, 0)) if method is not None else []
    for key, value in sorted(items, key=lambda item: item[0]):
        if not key:
            return "it cannot be seen which keys its payload has, and the standard has some of its own"
        if key in _TAKEN or not said.is_the_standards(key, value):
            return f"its payload says `{key}`, which the standard says of its own"
    return ""


class _Said:
    """What the payload of a class says."""

    def __init__(self, view: View, owner: ast.ClassDef) -> None:
        self.view = view
        self.owner = owner
        self.kinds = Kinds(view)

    def of_function(self, function: Function, depth: int) -> Iterator[Item]:
        """Yield what a function returns."""
        for node in own_nodes(function):
            if isinstance(node, ast.Return) and node.value is not None:
                yield from self._of(node.value, depth)

    def _of(self, node: ast.expr, depth: int) -> Iterator[Item]:
        """Yield the items of a dict."""
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                yield from ((_word(key), value),) if key is not None else self._of(value, depth + 1)
        elif depth > _DEEP:
            yield "", None
        elif isinstance(node, ast.IfExp | ast.BoolOp):
            for each in [node.body, node.orelse] if isinstance(node, ast.IfExp) else node.values:
                yield from self._of(each, depth + 1)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            yield from self._of(node.left, depth + 1)
            yield from self._of(node.right, depth + 1)
        elif isinstance(node, ast.Name):
            yield from self._of_name(node, depth)
        elif isinstance(node, ast.Call):
            yield from self._of_call(node, depth)
        elif not (isinstance(node, ast.Constant) and node.value is None):
            yield "", None

    def _of_call(self, node: ast.Call, depth: int) -> Iterator[Item]:
        func = node.func
        held = func.value if isinstance(func, ast.Attribute) else None
        if isinstance(func, ast.Attribute) and held is not None and is_super(held) and func.attr == HOOK:
            return
        own = method_of(self.owner, func.attr) if isinstance(func, ast.Attribute) else None
        if own is not None and held is not None and flow.dotted(held) == "self":
            yield from self.of_function(own, depth + 1)
        elif isinstance(func, ast.Attribute) and held is not None and func.attr == "copy" and not node.args:
            yield from self._of(held, depth + 1)
        elif self.kinds.origin(func) == "dict":
            yield from self._given(node, depth)
        else:
            yield "", None

    def _given(self, call: ast.Call, depth: int) -> Iterator[Item]:
        """Yield what `dict` and `update` are called with."""
        for each in call.args:
            yield from self._of(each, depth + 1)
        for item in call.keywords:
            yield from ((item.arg, item.value),) if item.arg else self._of(item.value, depth + 1)

    def _of_name(self, node: ast.Name, depth: int) -> Iterator[Item]:
        """Yield what a local dict is made with, and what is put into it later."""
        for value in self.kinds.values(node):
            yield from self._of(value, depth + 1) if value is not None else (("", None),)
        function = self.kinds.function(node)
        for use in ast.walk(function) if function is not None else ():
            if not (isinstance(use, ast.Name) and use.id == node.id):
                continue
            around = self.view.parents[use]
            if isinstance(around, ast.Subscript) and not isinstance(around.ctx, ast.Load):
                above = self.view.parents[around]
                yield _word(around.slice), above.value if isinstance(above, ast.Assign) else None
            elif isinstance(around, ast.AugAssign) and around.target is use:
                yield from self._of(around.value, depth + 1)
            elif isinstance(around, ast.Attribute):
                yield from self._put(around, depth)

    def _put(self, method: ast.Attribute, depth: int) -> Iterator[Item]:
        call = self.view.parents[method]
        if not (isinstance(call, ast.Call) and call.func is method):
            return
        if method.attr == "update":
            yield from self._given(call, depth)
        elif method.attr == "setdefault" and call.args:
            yield _word(call.args[0]), call.args[1] if len(call.args) > 1 else None

    # -- what the standard says too ------------------------------------------------------------------

    def is_the_standards(self, key: str, value: ast.expr | None) -> bool:
        """Return whether the standard has nothing of its own under a key, or the same."""
        if isinstance(value, ast.Name):
            values = self.kinds.values(value)
            value = values[0] if len(values) == 1 else None
        if key == "name":
            return value is not None and self._is_name(value)
        if key == "uptime":
            return value is not None and self._is_uptime(value)
        if key == "pid":
            return isinstance(value, ast.Call) and self.kinds.origin(value.func) == "os.getpid"
        return key != "reason" or (value is not None and self.kinds.of(value) == "str")

    def _is_name(self, value: ast.expr) -> bool:
        """Return whether a value is the name that the base is given."""
        made = method_of(self.owner, "__init__")
        calls = [base_call(node) for node in made.body] if made is not None else []
        given = [
            each
            for call in calls
            if call is not None
            for each in (*call.args, *(item.value for item in call.keywords if item.arg in _NAMES))
        ]
        values = self.kinds.kept(self.owner, "name") if flow.dotted(value) == "self.name" else [value]
        return all(
            each is not None and any(is_same(self.view, each, other) for other in given) for each in values
        )

    def _is_uptime(self, value: ast.expr) -> bool:
        """Return whether a value is how long ago the constructor ran, or the base's."""
        if isinstance(value, ast.Call) and self.kinds.origin(value.func) == "round" and len(value.args) == 2:
            value = value.args[0]
        if not (isinstance(value, ast.BinOp) and isinstance(value.op, ast.Sub) and self._is_now(value.left)):
            return False
        since = value.right
        if not (isinstance(since, ast.Attribute) and flow.dotted(since.value) == "self"):
            return False
        values = self.kinds.kept(self.owner, since.attr)
        if not values:
            return since.attr == "start_time"
        return len(values) == 1 and self._is_now(values[0]) and self._is_constructors(values[0])

    def _is_now(self, node: ast.expr | None) -> bool:
        return isinstance(node, ast.Call) and self.kinds.origin(node.func) == "time.time"

    def _is_constructors(self, node: ast.expr | None) -> bool:
        """Return whether a place is in the constructor, or in a method that only this calls, once."""
        where = self.kinds.function(node) if node is not None else None
        if where is None or where.name == "__init__":
            return where is not None
        uses = [
            use
            for use in ast.walk(self.owner)
            if isinstance(use, ast.Attribute) and use.attr == where.name and flow.dotted(use.value) == "self"
        ]
        within = [self.kinds.function(use) for use in uses]
        return len(uses) == 1 and within[0] is not None and within[0].name == "__init__"


_NAMES: Final = ("name", "agent_name")


def _word(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
