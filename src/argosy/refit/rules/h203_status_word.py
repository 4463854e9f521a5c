"""A status word outside the standard

Health has five words: `starting`, `ok`, `degraded`, `failing`, `stopping`. Callers compare with them; an
agent that answers `HEALTHY`, `running` or `success` is down for one caller and fine for the next.

Reported are literal `status` words in what `_get_health_status` and `health_check` return, in what a health
loop sends, and in the answer to a request that was compared with `health` or `health_check`. The standard
translates known words in its answers and has the original under `status_word`; it reads unknown words as
`degraded`.

Instead: one of the five words, and everything else under keys of its own.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from argosy.agent.health import Status, is_known_status_word, normalize_status
from argosy.refit.analysis.health.health_loops import find_health_loops
from argosy.refit.analysis.health.health_payloads import (
    ERROR_WORDS,
    HEALTH_HOOKS,
    classify_message,
    find_method,
    iter_own_nodes,
    self_method_name,
    unwrap_payload,
)
from argosy.refit.analysis.socket_uses import SEND_METHODS, enclosing_class
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import PythonFile
from argosy.source.name_scopes import NameScope

_STANDARD_WORDS = frozenset(status.value for status in Status)


def check(file: PythonFile) -> Iterator[Finding]:
    """Report each word that is not one of the five."""
    for word, scope in find_status_words(file):
        text = str(word.value)
        if text not in _STANDARD_WORDS:
            known = "" if is_known_status_word(text) else "unknown, and "
            message = f"`{text}` is not a status of the health standard"
            hint = f"it is {known}read as `{normalize_status(text)}`"
            yield file.make_finding(word, message, scope, hint=hint)


# -- status words ------------------------------------------------------------------------------------


_HEALTH_REQUESTS: Final = frozenset({"health", "health_check"})


def find_status_words(file: PythonFile) -> Iterator[tuple[ast.Constant, NameScope]]:
    """Yield each literal status word of a health payload once, with its scope."""
    seen: set[int] = set()
    for value, scope in _health_payloads(file):
        for node, word in _status_literals(file, value, scope):
            # Next to payloads are the error replies to other requests.
            is_error = scope.name not in HEALTH_HOOKS and str(word.value).lower() in ERROR_WORDS
            if id(word) not in seen and not is_error:
                seen.add(id(word))
                yield word, node


def _health_payloads(file: PythonFile) -> Iterator[tuple[ast.expr, NameScope]]:
    """Yield the expressions that are returned or sent as health: by a hook, a loop, or a request handler."""
    for scope in file.scope.walk():
        if scope.kind == "function" and scope.name in HEALTH_HOOKS and enclosing_class(scope) is scope.parent:
            yield from _returned_values(scope)
    for loop in find_health_loops(file):
        for send, message_kind in loop.sends:
            if message_kind == "health":
                yield from _sent_values(file, send.args[0], loop.function)
    if b"health" in file.source.data:
        yield from _request_answers(file)


def _request_answers(file: PythonFile) -> Iterator[tuple[ast.expr, NameScope]]:
    """Yield the expressions in the branches that compare the request with a word for health."""
    for compared, scope in file.nodes(ast.Compare):
        node = _enclosing_if(file, compared) if _is_health_request_test(compared) else None
        for value in _branch_answers(node.body) if node is not None else ():
            if classify_message(file, value, scope) == "health":
                yield value, scope


def _enclosing_if(file: PythonFile, test: ast.Compare) -> ast.If | None:
    """Return the `if` statement whose test contains a comparison."""
    inner: ast.AST = test
    for ancestor in file.ancestors(test):
        if isinstance(ancestor, ast.If):
            return ancestor if inner is ancestor.test else None
        if isinstance(ancestor, ast.stmt):
            return None
        inner = ancestor
    return None


def _returned_values(scope: NameScope) -> Iterator[tuple[ast.expr, NameScope]]:
    for node in iter_own_nodes(scope.node):
        if isinstance(node, ast.Return) and node.value is not None:
            yield node.value, scope


def _sent_values(file: PythonFile, node: ast.expr, scope: NameScope) -> Iterator[tuple[ast.expr, NameScope]]:
    yield node, scope
    method = self_method_name(unwrap_payload(node))
    own = find_method(enclosing_class(scope), method) if method else None
    if own is not None:
        yield from _returned_values(own)


def _is_health_request_test(node: ast.Compare) -> bool:
    sides = [node.left, *node.comparators]
    operands = [
        each for side in sides for each in (side.elts if isinstance(side, _SEQUENCE_NODES) else [side])
    ]
    is_named = any(isinstance(each, ast.Constant) and each.value in _HEALTH_REQUESTS for each in operands)
    return is_named and all(isinstance(op, ast.Eq | ast.In) for op in node.ops)


_SEQUENCE_NODES: Final = (ast.List, ast.Tuple, ast.Set)


def _branch_answers(body: list[ast.stmt]) -> Iterator[ast.expr]:
    for statement in body:
        if isinstance(statement, ast.Return | ast.Assign) and isinstance(statement.value, ast.Dict):
            yield statement.value
        elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            call = statement.value
            if isinstance(call.func, ast.Attribute) and call.func.attr in SEND_METHODS and call.args:
                yield call.args[0]


def _status_literals(
    file: PythonFile, node: ast.expr, scope: NameScope, depth: int = 0
) -> Iterator[tuple[NameScope, ast.Constant]]:
    node = unwrap_payload(node)
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == "status":
                yield from ((scope, word) for word in _string_constants(value))
    elif isinstance(node, ast.IfExp):
        yield from _status_literals(file, node.body, scope, depth)
        yield from _status_literals(file, node.orelse, scope, depth)
    elif isinstance(node, ast.Name) and scope.kind == "function" and depth < 3:
        yield from _status_literals_of_name(file, node.id, scope, depth)


def _status_literals_of_name(
    file: PythonFile, name: str, scope: NameScope, depth: int
) -> Iterator[tuple[NameScope, ast.Constant]]:
    """Yield the status words of a dict that a variable of the function holds, including later changes."""
    for node in iter_own_nodes(scope.node):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id == name:
                    yield from _status_literals(file, node.value, scope, depth + 1)
                elif (
                    isinstance(target, ast.Subscript)
                    and isinstance(target.value, ast.Name)
                    and target.value.id == name
                    and isinstance(target.slice, ast.Constant)
                    and target.slice.value == "status"
                ):
                    yield from ((scope, word) for word in _string_constants(node.value))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            value = node.func.value
            if node.func.attr == "update" and isinstance(value, ast.Name) and value.id == name:
                yield from _status_literals(file, node.args[0], scope, depth + 1)


def _string_constants(node: ast.expr) -> Iterator[ast.Constant]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node
    elif isinstance(node, ast.IfExp):
        yield from _string_constants(node.body)
        yield from _string_constants(node.orelse)


RULE = Rule(
    code="H203",
    title="status word outside the standard",
    action="review",
    required_words=(b"status",),
    check_file=check,
)

MUST = (
    RuleCase(
        "class A(Base):\n    def _get_health_status(self):\n"
        "        return {'status': 'HEALTHY', 'uptime': 1}  # <--\n"
    ),
    RuleCase(
        "class A(Base):\n    def health_check(self):\n        found = {'status': 'ok'}\n"
        "        if not self.up:\n"
        "            found['status'] = 'down'  # <--\n        return found\n"
    ),
    RuleCase(
        "class A(Base):\n    def _get_health_status(self):\n        base = super()._get_health_status()\n"
        "        base.update({'status': 'healthy' if self.up else 'failing'})  # <--\n        return base\n"
    ),
    RuleCase(
        "class A:\n    def handle(self, request):\n        if request.get('action') == 'health_check':\n"
        "            return {'status': 'running', 'agent': 'a'}  # <--\n"
    ),
    RuleCase(
        "import zmq\n\ndef serve(s):\n    while True:\n        s.recv()\n"
        "        s.send_json({'status': 'alive', 'uptime': 1})  # <--\n"
    ),
)
MUST_NOT = (
    RuleCase(
        "class A(Base):\n    def _get_health_status(self):\n"
        "        return {'status': 'ok', 'database': 'fine'}\n"
    ),
    RuleCase(
        "class A(Base):\n    def _get_health_status(self):\n"
        "        return {'status': 'ok', 'parts': {'db': {'status': 'connected'}}}\n"
    ),
    RuleCase(
        "class A:\n    def handle(self, request):\n        if request.get('action') == 'translate':\n"
        "            return {'status': 'success', 'text': 'x'}\n"
    ),
    RuleCase("def f(word):\n    return {'status': 'HEALTHY'}\n"),
    RuleCase("class A(Base):\n    def _get_health_status(self):\n        return {'status': self.word}\n"),
)
