"""The keys of a health payload, and which of them argosy's health endpoint sets itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from argosy.refit.analysis.ast_queries import is_none_literal, string_literal
from argosy.refit.analysis.health.health_payloads import HEALTH_HOOK, is_super_call, iter_own_nodes
from argosy.refit.rules.h201_health_loop.health_base import (
    base_constructor_call,
    is_same_expression,
    method_of,
)
from argosy.refit.rules.h201_health_loop.type_inference import TypeInference
from argosy.refit.transaction.source_view import FunctionNode, SourceView
from argosy.source.control_flow import dotted_name

PayloadItem = tuple[str, ast.expr | None]  # the key, empty for one that cannot be determined

# Keys that argosy's health endpoint uses with its own meaning.
_RESERVED_KEYS: Final = frozenset(
    (  # noqa: SIM905
        "since loop_lag_ms in_flight handled failed rss_bytes status_word needs wants"
        " payload_age absent missing_packages moved_binds other_agents"
    ).split()
)
_MAX_DEPTH: Final = 5


def reserved_key_reason(view: SourceView, owner: ast.ClassDef) -> str:
    """Return the reason if a class's payload has a key that the endpoint sets differently; empty if none."""
    payload = _Payload(view, owner)
    method = method_of(owner, HEALTH_HOOK)
    items = list(payload.items_of_function(method, 0)) if method is not None else []
    for key, value in sorted(items, key=lambda item: item[0]):
        if not key:
            return "the keys of its payload are not all visible, and the health endpoint reserves some"
        if key in _RESERVED_KEYS or not payload.matches_standard(key, value):
            return f"its payload has the key `{key}`, which the health endpoint sets itself"
    return ""


class _Payload:
    """The payload of a class."""

    def __init__(self, view: SourceView, owner: ast.ClassDef) -> None:
        self.view = view
        self.owner = owner
        self.types = TypeInference(view)

    def items_of_function(self, function: FunctionNode, depth: int) -> Iterator[PayloadItem]:
        """Yield the items of the dicts that a function returns."""
        for node in iter_own_nodes(function):
            if isinstance(node, ast.Return) and node.value is not None:
                yield from self._items_of(node.value, depth)

    def _items_of(self, node: ast.expr, depth: int) -> Iterator[PayloadItem]:
        """Yield the items of a dict."""
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                yield from (
                    ((string_literal(key), value),) if key is not None else self._items_of(value, depth + 1)
                )
        elif depth > _MAX_DEPTH:
            yield "", None
        elif isinstance(node, ast.IfExp | ast.BoolOp):
            for each in [node.body, node.orelse] if isinstance(node, ast.IfExp) else node.values:
                yield from self._items_of(each, depth + 1)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            yield from self._items_of(node.left, depth + 1)
            yield from self._items_of(node.right, depth + 1)
        elif isinstance(node, ast.Name):
            yield from self._items_of_name(node, depth)
        elif isinstance(node, ast.Call):
            yield from self._items_of_call(node, depth)
        elif not is_none_literal(node):
            yield "", None

    def _items_of_call(self, node: ast.Call, depth: int) -> Iterator[PayloadItem]:
        func = node.func
        receiver = func.value if isinstance(func, ast.Attribute) else None
        if (
            isinstance(func, ast.Attribute)
            and receiver is not None
            and is_super_call(receiver)
            and func.attr == HEALTH_HOOK
        ):
            return
        own_method = method_of(self.owner, func.attr) if isinstance(func, ast.Attribute) else None
        if own_method is not None and receiver is not None and dotted_name(receiver) == "self":
            yield from self.items_of_function(own_method, depth + 1)
        elif (
            isinstance(func, ast.Attribute) and receiver is not None and func.attr == "copy" and not node.args
        ):
            yield from self._items_of(receiver, depth + 1)
        elif self.types.origin(func) == "dict":
            yield from self._items_of_arguments(node, depth)
        else:
            yield "", None

    def _items_of_arguments(self, call: ast.Call, depth: int) -> Iterator[PayloadItem]:
        """Yield the items in the arguments of `dict` and `update`."""
        for each in call.args:
            yield from self._items_of(each, depth + 1)
        for item in call.keywords:
            yield from ((item.arg, item.value),) if item.arg else self._items_of(item.value, depth + 1)

    def _items_of_name(self, node: ast.Name, depth: int) -> Iterator[PayloadItem]:
        """Yield the items that a local dict is created with and those added later."""
        for value in self.types.values_of(node):
            yield from self._items_of(value, depth + 1) if value is not None else (("", None),)
        function = self.types.enclosing_function(node)
        for use in ast.walk(function) if function is not None else ():
            if not (isinstance(use, ast.Name) and use.id == node.id):
                continue
            parent = self.view.parents[use]
            if isinstance(parent, ast.Subscript) and not isinstance(parent.ctx, ast.Load):
                above = self.view.parents[parent]
                yield string_literal(parent.slice), above.value if isinstance(above, ast.Assign) else None
            elif isinstance(parent, ast.AugAssign) and parent.target is use:
                yield from self._items_of(parent.value, depth + 1)
            elif isinstance(parent, ast.Attribute):
                yield from self._items_of_mutation(parent, depth)

    def _items_of_mutation(self, method: ast.Attribute, depth: int) -> Iterator[PayloadItem]:
        call = self.view.parents[method]
        if not (isinstance(call, ast.Call) and call.func is method):
            return
        if method.attr == "update":
            yield from self._items_of_arguments(call, depth)
        elif method.attr == "setdefault" and call.args:
            yield string_literal(call.args[0]), call.args[1] if len(call.args) > 1 else None

    # -- comparison with the endpoint ----------------------------------------------------------------

    def matches_standard(self, key: str, value: ast.expr | None) -> bool:
        """Return whether the endpoint does not set a key, or sets it to the same value."""
        if isinstance(value, ast.Name):
            values = self.types.values_of(value)
            value = values[0] if len(values) == 1 else None
        if key == "name":
            return value is not None and self._is_agent_name(value)
        if key == "uptime":
            return value is not None and self._is_uptime(value)
        if key == "pid":
            return isinstance(value, ast.Call) and self.types.origin(value.func) == "os.getpid"
        return key != "reason" or (value is not None and self.types.type_of(value) == "str")

    def _is_agent_name(self, value: ast.expr) -> bool:
        """Return whether a value is the name that the base is given."""
        constructor = method_of(self.owner, "__init__")
        calls = [base_constructor_call(node) for node in constructor.body] if constructor is not None else []
        base_arguments = [
            each
            for call in calls
            if call is not None
            for each in (*call.args, *(item.value for item in call.keywords if item.arg in _NAME_PARAMETERS))
        ]
        values = (
            self.types.attribute_values(self.owner, "name") if dotted_name(value) == "self.name" else [value]
        )
        return all(
            each is not None and any(is_same_expression(self.view, each, other) for other in base_arguments)
            for each in values
        )

    def _is_uptime(self, value: ast.expr) -> bool:
        """Return whether a value is the time since the constructor ran, or the base's uptime."""
        if isinstance(value, ast.Call) and self.types.origin(value.func) == "round" and len(value.args) == 2:
            value = value.args[0]
        if not (
            isinstance(value, ast.BinOp)
            and isinstance(value.op, ast.Sub)
            and self._is_current_time(value.left)
        ):
            return False
        since = value.right
        if not (isinstance(since, ast.Attribute) and dotted_name(since.value) == "self"):
            return False
        values = self.types.attribute_values(self.owner, since.attr)
        if not values:
            return since.attr == "start_time"
        return len(values) == 1 and self._is_current_time(values[0]) and self._is_in_constructor(values[0])

    def _is_current_time(self, node: ast.expr | None) -> bool:
        return isinstance(node, ast.Call) and self.types.origin(node.func) == "time.time"

    def _is_in_constructor(self, node: ast.expr | None) -> bool:
        """Return whether a node is in the constructor, or in a method that only it calls, once."""
        function = self.types.enclosing_function(node) if node is not None else None
        if function is None or function.name == "__init__":
            return function is not None
        uses = [
            use
            for use in ast.walk(self.owner)
            if isinstance(use, ast.Attribute)
            and use.attr == function.name
            and dotted_name(use.value) == "self"
        ]
        within = [self.types.enclosing_function(use) for use in uses]
        return len(uses) == 1 and within[0] is not None and within[0].name == "__init__"


_NAME_PARAMETERS: Final = ("name", "agent_name")
