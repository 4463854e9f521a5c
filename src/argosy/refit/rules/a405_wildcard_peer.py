"""A wildcard is used as a peer

`0.0.0.0` and `*` stand for all interfaces of the listening machine. A client that connects to one reaches its
own machine on Linux, and nothing on other systems; between two machines it never works. The address often
comes from a variable for binding, so its fallback, an assignment or a parameter's default in the same file is
followed.

Instead: connect to the peer's own address; keep the wildcard for `bind`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.analysis.addresses.address_literals import parse_address_text
from argosy.refit.analysis.addresses.environment_reads import find_environment_read
from argosy.refit.analysis.addresses.name_semantics import is_bind_call, is_connect_call, is_inert_call
from argosy.refit.analysis.ast_queries import (
    fstring_template,
    iter_assignments,
    iter_parameter_defaults,
    last_name,
)
from argosy.refit.analysis.socket_uses import enclosing_class
from argosy.refit.analysis.testing_code import is_test_file
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import PythonFile
from argosy.source.name_scopes import FunctionNode, NameScope

_CLIENT_SCHEMES = ("http", "https", "ws", "wss", "redis", "nats", "amqp", "mongodb", "postgresql")


def check(file: PythonFile) -> Iterator[Finding]:
    """Report each place that connects to a wildcard, directly or through a name."""
    if is_test_file(file):
        return
    for call, scope in file.nodes(ast.Call):
        name = last_name(call.func)
        if is_inert_call(name) or is_bind_call(name):
            continue
        for value in call.args:
            text = _find_wildcard(file, value, scope, is_connect_call(name))
            if text:
                yield file.make_finding(
                    value, f"`{name}` gets `{text}`, which is not the address of a peer", scope
                )


def _find_wildcard(file: PythonFile, value: ast.expr, scope: NameScope, is_connecting: bool) -> str:
    """Return the wildcard that an argument evaluates to; empty for none."""
    if isinstance(value, ast.Tuple) and len(value.elts) == 2 and is_connecting:
        return _wildcard_behind_name(file, value.elts[0], scope)
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return _wildcard_in_text(value.value, is_connecting)
    if isinstance(value, ast.JoinedStr):
        text = fstring_template(value)
        host = _host_expression(value)
        is_used = is_connecting or text.startswith(tuple(f"{scheme}://" for scheme in _CLIENT_SCHEMES))
        return _wildcard_in_text(text, is_connecting) or (
            _wildcard_behind_name(file, host, scope) if host and is_used else ""
        )
    if isinstance(value, ast.Name | ast.Attribute) and is_connecting:
        for inner, inner_scope in file.compute_once(NameValues).possible_values(value, scope):
            if isinstance(inner, ast.JoinedStr | ast.Constant) and (
                text := _find_wildcard(file, inner, inner_scope, True)
            ):
                return text
    return ""


def _wildcard_in_text(text: str, is_connecting: bool) -> str:
    address = parse_address_text(text) if "://" in text else None
    if address is None or address.kind != "wildcard":
        return ""
    return address.host if is_connecting or address.scheme in _CLIENT_SCHEMES else ""


def _wildcard_behind_name(file: PythonFile, host: ast.expr, scope: NameScope) -> str:
    for inner, _ in file.compute_once(NameValues).possible_values(host, scope):
        if isinstance(inner, ast.Constant) and inner.value in ("0.0.0.0", "*", "::"):
            return str(inner.value)
    return ""


def _host_expression(node: ast.JoinedStr) -> ast.expr | None:
    """Return the expression that is the host of a template such as `tcp://{host}:{port}`."""
    parts = node.values
    first = parts[0] if parts else None
    if not (isinstance(first, ast.Constant) and str(first.value).endswith("://") and len(parts) > 1):
        return None
    return parts[1].value if isinstance(parts[1], ast.FormattedValue) else None


# -- values of names ---------------------------------------------------------------------------------


_MAX_DEPTH = 4
ScopedExpression = tuple[ast.expr, NameScope]


class NameValues:
    """The expressions that names and attributes of `self` are assigned in a file."""

    def __init__(self, file: PythonFile) -> None:
        self._names: dict[tuple[NameScope, str], list[ScopedExpression]] = {}
        self._attributes: dict[tuple[NameScope, str], list[ScopedExpression]] = {}
        for target, value, scope in iter_assignments(file):
            self._add_assignment(target, value, scope)

    def possible_values(
        self, node: ast.expr, scope: NameScope, depth: int = _MAX_DEPTH
    ) -> Iterator[ScopedExpression]:
        """Yield the expressions that `node` may evaluate to: itself, or the values of names and fallbacks."""
        if depth == 0:
            return
        for inner, inner_scope in self._direct_values(node, scope):
            yield from self.possible_values(inner, inner_scope, depth - 1)
        if isinstance(node, ast.Constant | ast.JoinedStr):
            yield node, scope

    def _direct_values(self, node: ast.expr, scope: NameScope) -> Iterator[ScopedExpression]:
        if isinstance(node, ast.Name):
            yield from self._name_values(node.id, scope)
        elif isinstance(node, ast.Attribute):
            class_scope = enclosing_class(scope)
            if (
                class_scope is not None
                and isinstance(node.value, ast.Name)
                and node.value.id in ("self", "cls")
            ):
                yield from self._attributes.get((class_scope, node.attr), ())
                yield from self._names.get((class_scope, node.attr), ())
        elif isinstance(node, ast.Call):
            default = _fallback_value(node, scope)
            if default is not None:
                yield default, scope
        elif isinstance(node, ast.BoolOp):
            yield from ((value, scope) for value in node.values)
        elif isinstance(node, ast.IfExp):
            yield from ((value, scope) for value in (node.body, node.orelse))

    def _name_values(self, name: str, scope: NameScope) -> Iterator[ScopedExpression]:
        owner = scope.owner_of(name)
        if owner is None:
            return
        yield from self._names.get((owner, name), ())
        if isinstance(owner.node, FunctionNode) and owner.parent is not None:
            for parameter, default in iter_parameter_defaults(owner.node.args):
                if parameter == name:
                    yield default, owner.parent

    def _add_assignment(self, target: ast.expr, value: ast.expr, scope: NameScope) -> None:
        if isinstance(target, ast.Name):
            owner = scope.owner_of(target.id) or scope
            self._names.setdefault((owner, target.id), []).append((value, scope))
        elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            class_scope = enclosing_class(scope)
            if class_scope is not None and target.value.id in ("self", "cls"):
                self._attributes.setdefault((class_scope, target.attr), []).append((value, scope))


def _fallback_value(call: ast.Call, scope: NameScope) -> ast.expr | None:
    """Return the default of a lookup call: `os.getenv(name, this)`, `table.get(key, this)`."""
    read = find_environment_read(call, scope)
    if read is not None:
        return read.default
    is_lookup = last_name(call.func) == "get" and len(call.args) == 2
    return call.args[1] if is_lookup else None


RULE = Rule(
    code="A405",
    title="wildcard used as a peer",
    action="review",
    required_words=(b"0.0.0.0", b"*:", b'"*"', b"'*'", b'"::"'),
    check_file=check,
)

MUST = (
    RuleCase('def f(socket):\n    socket.connect("tcp://0.0.0.0:5555")  # <--\n'),
    RuleCase('def f(socket):\n    socket.connect("tcp://*:5555")  # <--\n'),
    RuleCase(
        "from settings import get_env\n"
        "def f(socket):\n"
        "    socket.connect(f\"tcp://{get_env('BIND_ADDRESS', '0.0.0.0')}:5604\")  # <--\n"
    ),
    RuleCase(
        "import os\n"
        'HOST = os.environ.get("BIND_ADDRESS", "0.0.0.0")\n'
        "def f(socket):\n"
        '    socket.connect(f"tcp://{HOST}:5604")  # <--\n'
    ),
    RuleCase(
        "class A:\n"
        '    def __init__(self, host="0.0.0.0"):\n'
        "        self.host = host\n"
        "    def ask(self, socket):\n"
        '        socket.connect(f"tcp://{self.host}:5604")  # <--\n'
    ),
    RuleCase('def f(requests):\n    return requests.get("http://0.0.0.0:8000/health")  # <--\n'),
    RuleCase('def f(sock):\n    sock.connect(("0.0.0.0", 80))  # <--\n'),
    RuleCase('def f(socket, host="0.0.0.0"):\n    url = f"tcp://{host}:1"\n    socket.connect(url)  # <--\n'),
)
MUST_NOT = (
    RuleCase('def f(socket):\n    socket.bind("tcp://0.0.0.0:5555")\n    socket.bind("tcp://*:5556")\n'),
    RuleCase('HOST = "0.0.0.0"\ndef f(socket):\n    socket.bind(f"tcp://{HOST}:5604")\n'),
    RuleCase('uvicorn.run(app, host="0.0.0.0", port=8000)\nprint("http://0.0.0.0:8000")\n'),
    RuleCase('def f(host):\n    return "127.0.0.1" if host == "0.0.0.0" else host\n'),
    RuleCase('HOST = "0.0.0.0"\ndef f(socket, HOST):\n    socket.connect(f"tcp://{HOST}:1")\n'),
    RuleCase('def f(port):\n    return WebSocketServerFactory(f"ws://0.0.0.0:{port}")\n'),
    RuleCase('def f(signal):\n    signal.connect("*")\n'),
)
