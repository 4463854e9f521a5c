"""Checks that a loop only answers: receive or poll on one socket, send one payload, sleep, log."""

from __future__ import annotations

import ast

from argosy.refit.analysis.ast_queries import is_docstring
from argosy.refit.analysis.health.health_loops import HealthLoop
from argosy.refit.analysis.health.health_payloads import HEALTH_HOOK, self_method_name, unwrap_payload
from argosy.refit.analysis.socket_uses import RECEIVE_METHODS, SEND_METHODS
from argosy.refit.rules.h201_health_loop.side_effects import is_log_call, is_side_effect_free, is_sleep_call
from argosy.refit.rules.h201_health_loop.type_inference import TypeInference
from argosy.refit.transaction.source_view import SourceView
from argosy.source.control_flow import dotted_name


def not_responder_reason(view: SourceView, loop: HealthLoop) -> str:
    """Return what a loop does besides answering; empty if nothing."""
    if loop.kind == "beacon":
        return "it publishes health, and its subscribers are not known"
    visitor = _ResponderVisitor(view, loop)
    if reason := visitor.block_reason(loop.definition.body):
        return reason
    if isinstance(loop.definition, ast.AsyncFunctionDef):
        return "it is a coroutine on a shared event loop"
    if not loop.is_only_socket:
        return "its loop serves other sockets, too"
    if _ends_first_iteration(loop.loop.body):
        return "its loop ends after its first iteration"
    if visitor.send_count != 1:
        return f"it answers in {visitor.send_count} places, and the health endpoint has one answer"
    return visitor.inline_payload if visitor.payload_method == HEALTH_HOOK else ""


def payload_mismatch_reason(view: SourceView, loop: HealthLoop) -> str:
    """Return why a loop's answer is not the base's payload; empty if it is.

    loop: one that only answers.
    """
    visitor = _ResponderVisitor(view, loop)
    visitor.block_reason(loop.definition.body)
    if visitor.payload_method != HEALTH_HOOK:
        what = (
            f"`self.{visitor.payload_method}()`" if visitor.payload_method else "a payload built in the loop"
        )
        return f"it answers with {what}, and the health endpoint calls `{HEALTH_HOOK}`"
    return ""


class _ResponderVisitor:
    """Visits the statements of one loop's function and records what they send."""

    def __init__(self, view: SourceView, loop: HealthLoop) -> None:
        self.types = TypeInference(view, loop.socket)
        self.loop = loop
        self.send_count = 0
        self.payload_method = ""
        self.inline_payload = ""
        self._payload_methods: dict[str, str] = {}

    def block_reason(self, body: list[ast.stmt], *, in_handler: bool = False) -> str:
        """Return the first statement in a block that does more than answer."""
        for node in body:
            if reason := self.statement_reason(node, in_handler):
                return reason
        return ""

    def statement_reason(self, node: ast.stmt, in_handler: bool) -> str:
        if isinstance(node, ast.Pass | ast.Continue | ast.Break | ast.Import | ast.ImportFrom):
            return ""
        if isinstance(node, ast.Expr):
            is_text = isinstance(node.value, ast.Constant)
            is_done = is_text or (
                isinstance(node.value, ast.Call) and self.is_allowed_call(node.value, in_handler)
            )
            return "" if is_done else _extra_work_reason(node)
        if isinstance(node, ast.Assign):
            return "" if self.is_allowed_assignment(node) else _extra_work_reason(node)
        if isinstance(node, ast.If | ast.While):
            if isinstance(node, ast.While) and node is not self.loop.loop:
                return _extra_work_reason(node)
            is_end = isinstance(node, ast.While) or (not in_handler and _may_leave_loop(node))
            if not is_side_effect_free(self.types, node.test) or (is_end and not _tests_only_self(node.test)):
                return _extra_work_reason(node)
            inner = self.block_reason(node.body, in_handler=in_handler)
            return inner or self.block_reason(node.orelse, in_handler=in_handler)
        if isinstance(node, ast.Try):
            reason = self.block_reason([*node.body, *node.orelse, *node.finalbody], in_handler=in_handler)
            handlers = (self.block_reason(handler.body, in_handler=True) for handler in node.handlers)
            return reason or next(filter(None, handlers), "")
        return "" if isinstance(node, ast.Return) and node.value is None else _extra_work_reason(node)

    def is_allowed_assignment(self, node: ast.Assign) -> bool:
        """Accept an assignment to a local name: a received message, a message to send, or a pure value."""
        target = node.targets[0]
        if len(node.targets) > 1 or not isinstance(target, ast.Name):
            return False
        value = node.value
        if isinstance(value, ast.IfExp) and is_side_effect_free(self.types, value.test):
            value = value.body
        if self.is_receiving(value) or is_side_effect_free(self.types, value):
            return True
        if isinstance(value, ast.Dict):  # probably the payload; otherwise reported at the end
            self.inline_payload = _extra_work_reason(node)
            return True
        method = self.payload_method_of(value)
        self._payload_methods[target.id] = method
        return bool(method)

    def is_allowed_call(self, call: ast.Call, in_handler: bool) -> bool:
        if is_log_call(self.types, call) or self.is_receiving(call):
            return True
        name = dotted_name(call.func)
        method = name.rpartition(".")[2]
        if name == f"{self.loop.socket}.{method}" and method in SEND_METHODS:
            self.send_count += 1
            value = unwrap_payload(call.args[0])
            named = self._payload_methods.get(value.id, "") if isinstance(value, ast.Name) else ""
            self.payload_method = named or self.payload_method_of(value)
            return not call.keywords
        if is_sleep_call(self.types, call):
            return True
        if isinstance(call.func, ast.Attribute) and method == "register":
            is_poller = self.types.type_of(call.func.value) == "poller"
            return is_poller and bool(call.args) and dotted_name(call.args[0]) == self.loop.socket
        # The error report of the loop itself is removed with it.
        return in_handler and name == "self.report_error"

    def is_receiving(self, node: ast.expr) -> bool:
        if not isinstance(node, ast.Call):
            return False
        name = dotted_name(node.func)
        return name.rpartition(".")[0] == self.loop.socket and name.rpartition(".")[2] in RECEIVE_METHODS

    def payload_method_of(self, node: ast.expr) -> str:
        """Return the payload method that an expression calls, through methods that only call another one."""
        method = self_method_name(node)
        if not method or not isinstance(node, ast.Call) or node.args or node.keywords:
            return ""
        return _delegated_method(self.loop, method)


def _delegated_method(loop: HealthLoop, method: str) -> str:
    """Return the method that a method delegates to if it does nothing else; otherwise itself."""
    owner = loop.function.parent
    for child in owner.children if owner is not None else ():
        if child.name == method and isinstance(child.node, ast.FunctionDef):
            body = [node for node in child.node.body if not is_docstring(node)]
            only = body[0] if len(body) == 1 else None
            if isinstance(only, ast.Return) and only.value is not None:
                return self_method_name(only.value) or method
    return method


def _ends_first_iteration(body: list[ast.stmt]) -> bool:
    """Return whether a block of a loop leaves it unconditionally."""
    return any(
        isinstance(node, ast.Break | ast.Return)
        or (isinstance(node, ast.Try) and _ends_first_iteration([*node.body, *node.orelse, *node.finalbody]))
        for node in body
    )


def _may_leave_loop(node: ast.If) -> bool:
    """Return whether a condition may end the loop."""
    return any(isinstance(inner, ast.Break | ast.Return) for inner in ast.walk(node))


def _tests_only_self(test: ast.expr) -> bool:
    """Return whether a condition depends on the agent alone, such as `self.running`, not on a request."""
    return all(node.id in ("self", "hasattr") for node in ast.walk(test) if isinstance(node, ast.Name))


def _extra_work_reason(node: ast.stmt) -> str:
    written = ast.unparse(node).splitlines()[0]
    return f"it does more than answer: `{written:.60}`"
