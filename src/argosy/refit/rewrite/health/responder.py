"""A loop that does nothing but answer: receive or poll on one socket, send one payload, sleep, log."""

from __future__ import annotations

import ast

from argosy.refit.health.loops import HealthLoop
from argosy.refit.health.payloads import HOOK, payload_call, unwrapped
from argosy.refit.rewrite.health.kinds import Kinds
from argosy.refit.rewrite.health.still import is_log, is_pausing, is_still
from argosy.refit.rewrite.view import View
from argosy.refit.sockets import RECEIVERS, SENDERS
from argosy.source import flow


def responder_reason(view: View, loop: HealthLoop) -> str:
    """Return what a loop does besides answering; empty for nothing."""
    if loop.kind == "beacon":
        return "it sends health out by itself, and whoever listens is not known"
    walk = _Walk(view, loop)
    if reason := walk.block(loop.place.body):
        return reason
    if isinstance(loop.place, ast.AsyncFunctionDef):
        return "it is a coroutine of a loop that others share"
    if not loop.is_alone:
        return "its loop serves other sockets, too"
    if _ends_at_once(loop.loop.body):
        return "its loop ends with its first turn"
    if walk.sent != 1:
        return f"it answers in {walk.sent} places, and the standard has one answer"
    return walk.made if walk.payload == HOOK else ""


def answer_reason(view: View, loop: HealthLoop) -> str:
    """Return why what a loop answers is not the base's payload; empty where it is.

    loop: one that does nothing but answer.
    """
    walk = _Walk(view, loop)
    walk.block(loop.place.body)
    if walk.payload != HOOK:
        what = f"`self.{walk.payload}()`" if walk.payload else "a payload that is made in the loop"
        return f"it answers with {what}, and the standard asks `{HOOK}`"
    return ""


class _Walk:
    """The statements of one loop's function, and what they send."""

    def __init__(self, view: View, loop: HealthLoop) -> None:
        self.kinds = Kinds(view, loop.socket)
        self.loop = loop
        self.sent = 0
        self.payload = ""
        self.made = ""
        self._payloads: dict[str, str] = {}

    def block(self, body: list[ast.stmt], *, in_handler: bool = False) -> str:
        """Return the first thing in a block that is more than answering."""
        for node in body:
            if reason := self.statement(node, in_handler):
                return reason
        return ""

    def statement(self, node: ast.stmt, in_handler: bool) -> str:
        if isinstance(node, ast.Pass | ast.Continue | ast.Break | ast.Import | ast.ImportFrom):
            return ""
        if isinstance(node, ast.Expr):
            is_text = isinstance(node.value, ast.Constant)
            is_done = is_text or (isinstance(node.value, ast.Call) and self.call(node.value, in_handler))
            return "" if is_done else _more(node)
        if isinstance(node, ast.Assign):
            return "" if self.assign(node) else _more(node)
        if isinstance(node, ast.If | ast.While):
            if isinstance(node, ast.While) and node is not self.loop.loop:
                return _more(node)
            is_end = isinstance(node, ast.While) or (not in_handler and _leaves(node))
            if not is_still(self.kinds, node.test) or (is_end and not _asks_itself(node.test)):
                return _more(node)
            inner = self.block(node.body, in_handler=in_handler)
            return inner or self.block(node.orelse, in_handler=in_handler)
        if isinstance(node, ast.Try):
            reason = self.block([*node.body, *node.orelse, *node.finalbody], in_handler=in_handler)
            handlers = (self.block(handler.body, in_handler=True) for handler in node.handlers)
            return reason or next(filter(None, handlers), "")
        return "" if isinstance(node, ast.Return) and node.value is None else _more(node)

    def assign(self, node: ast.Assign) -> bool:
        """Take an assignment to a local name: what was received, what is to be sent, or a look."""
        target = node.targets[0]
        if len(node.targets) > 1 or not isinstance(target, ast.Name):
            return False
        value = node.value
        if isinstance(value, ast.IfExp) and is_still(self.kinds, value.test):
            value = value.body
        if self.is_receiving(value) or is_still(self.kinds, value):
            return True
        if isinstance(value, ast.Dict):  # likely the payload; if not, it is told in the end
            self.made = _more(node)
            return True
        method = self.asked(value)
        self._payloads[target.id] = method
        return bool(method)

    def call(self, call: ast.Call, in_handler: bool) -> bool:
        if is_log(self.kinds, call) or self.is_receiving(call):
            return True
        name = flow.dotted(call.func)
        method = name.rpartition(".")[2]
        if name == f"{self.loop.socket}.{method}" and method in SENDERS:
            self.sent += 1
            value = unwrapped(call.args[0])
            named = self._payloads.get(value.id, "") if isinstance(value, ast.Name) else ""
            self.payload = named or self.asked(value)
            return not call.keywords
        if is_pausing(self.kinds, call):
            return True
        if isinstance(call.func, ast.Attribute) and method == "register":
            is_poller = self.kinds.of(call.func.value) == "poller"
            return is_poller and bool(call.args) and flow.dotted(call.args[0]) == self.loop.socket
        # An error of the loop itself goes with it.
        return in_handler and name == "self.report_error"

    def is_receiving(self, node: ast.expr) -> bool:
        if not isinstance(node, ast.Call):
            return False
        name = flow.dotted(node.func)
        return name.rpartition(".")[0] == self.loop.socket and name.rpartition(".")[2] in RECEIVERS

    def asked(self, node: ast.expr) -> str:
        """Return the method whose answer an expression is, seen through methods that only ask another."""
        method = payload_call(node)
        if not method or not isinstance(node, ast.Call) or node.args or node.keywords:
            return ""
        return _behind(self.loop, method)


def _behind(loop: HealthLoop, method: str) -> str:
    """Return what a method asks when that is all it does; else itself."""
    owner = loop.function.parent
    for child in owner.children if owner is not None else ():
        if child.name == method and isinstance(child.node, ast.FunctionDef):
            body = [node for node in child.node.body if not _is_text(node)]
            only = body[0] if len(body) == 1 else None
            if isinstance(only, ast.Return) and only.value is not None:
                return payload_call(only.value) or method
    return method


def _ends_at_once(body: list[ast.stmt]) -> bool:
    """Return whether a block of a loop leaves it on no condition."""
    return any(
        isinstance(node, ast.Break | ast.Return)
        or (isinstance(node, ast.Try) and _ends_at_once([*node.body, *node.orelse, *node.finalbody]))
        for node in body
    )


def _leaves(node: ast.If) -> bool:
    """Return whether a condition may end the loop."""
    return any(isinstance(inner, ast.Break | ast.Return) for inner in ast.walk(node))


def _asks_itself(test: ast.expr) -> bool:
    """Return whether a condition is about the agent alone, such as `self.running`: not about a request."""
    return all(node.id in ("self", "hasattr") for node in ast.walk(test) if isinstance(node, ast.Name))


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _more(node: ast.stmt) -> str:
    written = ast.unparse(node).splitlines()[0]
    return f"it does more than answer: `{written:.60}`"
