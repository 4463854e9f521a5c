"""A wildcard is used as a peer

`0.0.0.0` and `*` name every interface of the machine that listens. Whoever connects there reaches itself, on
Linux, and nobody on other systems; between two machines it never works. Often the address comes from a
variable for binding: its fallback, an assignment or a parameter's default in the same file is followed.

Instead: connect to the peer's own address; keep the wildcard for `bind`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.addresses.naming import is_bind, is_connect, is_idle
from argosy.refit.addresses.shapes import joined_text, last_name
from argosy.refit.addresses.testing import is_test
from argosy.refit.addresses.text import read_address
from argosy.refit.addresses.values import Values
from argosy.refit.file import PythonFile
from argosy.refit.finding import Finding
from argosy.refit.rule import Case, Rule
from argosy.source.scopes import Scope

_CLIENTS = ("http", "https", "ws", "wss", "redis", "nats", "amqp", "mongodb", "postgresql")


def check(file: PythonFile) -> Iterator[Finding]:
    """Tell each place that connects to a wildcard, written there or behind a name."""
    if is_test(file):
        return
    for call, scope in file.nodes(ast.Call):
        name = last_name(call.func)
        if is_idle(name) or is_bind(name):
            continue
        for value in call.args:
            text = _wildcard(file, value, scope, is_connect(name))
            if text:
                yield file.finding(value, f"`{name}` gets `{text}`, which is no peer's address", scope)


def _wildcard(file: PythonFile, value: ast.expr, scope: Scope, is_connecting: bool) -> str:
    """Return the wildcard that an argument leads to; empty for none."""
    if isinstance(value, ast.Tuple) and len(value.elts) == 2 and is_connecting:
        return _behind(file, value.elts[0], scope)
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return _in_text(value.value, is_connecting)
    if isinstance(value, ast.JoinedStr):
        text = joined_text(value)
        host = _host_of(value)
        is_used = is_connecting or text.startswith(tuple(f"{scheme}://" for scheme in _CLIENTS))
        return _in_text(text, is_connecting) or (_behind(file, host, scope) if host and is_used else "")
    if isinstance(value, ast.Name | ast.Attribute) and is_connecting:
        for inner, where in file.derived(Values).of(value, scope):
            if isinstance(inner, ast.JoinedStr | ast.Constant) and (
                text := _wildcard(file, inner, where, True)
            ):
                return text
    return ""


def _in_text(text: str, is_connecting: bool) -> str:
    address = read_address(text) if "://" in text else None
    if address is None or address.kind != "wildcard":
        return ""
    return address.host if is_connecting or address.scheme in _CLIENTS else ""


def _behind(file: PythonFile, host: ast.expr, scope: Scope) -> str:
    for inner, _ in file.derived(Values).of(host, scope):
        if isinstance(inner, ast.Constant) and inner.value in ("0.0.0.0", "*", "::"):
            return str(inner.value)
    return ""


def _host_of(node: ast.JoinedStr) -> ast.expr | None:
    """Return the expression that is the host of a template such as `tcp://{host}:{port}`."""
    parts = node.values
    first = parts[0] if parts else None
    if not (isinstance(first, ast.Constant) and str(first.value).endswith("://") and len(parts) > 1):
        return None
    return parts[1].value if isinstance(parts[1], ast.FormattedValue) else None


RULE = Rule(
    code="A405",
    title="wildcard used as a peer",
    action="review",
    words=(b"0.0.0.0", b"*:", b'"*"', b"'*'", b'"::"'),
    file=check,
)

MUST = (
    Case('def f(socket):\n    socket.connect("tcp://0.0.0.0:5555")  # <--\n'),
    Case('def f(socket):\n    socket.connect("tcp://*:5555")  # <--\n'),
    Case(
        "from settings import get_env\n"
        "def f(socket):\n"
        "    socket.connect(f\"tcp://{get_env('BIND_ADDRESS', '0.0.0.0')}:5604\")  # <--\n"
    ),
    Case(
        "import os\n"
        'HOST = os.environ.get("BIND_ADDRESS", "0.0.0.0")\n'
        "def f(socket):\n"
        '    socket.connect(f"tcp://{HOST}:5604")  # <--\n'
    ),
    Case(
        "class A:\n"
        '    def __init__(self, host="0.0.0.0"):\n'
        "        self.host = host\n"
        "    def ask(self, socket):\n"
        '        socket.connect(f"tcp://{self.host}:5604")  # <--\n'
    ),
    Case('def f(requests):\n    return requests.get("http://0.0.0.0:8000/health")  # <--\n'),
    Case('def f(sock):\n    sock.connect(("0.0.0.0", 80))  # <--\n'),
    Case('def f(socket, host="0.0.0.0"):\n    url = f"tcp://{host}:1"\n    socket.connect(url)  # <--\n'),
)
MUST_NOT = (
    Case('def f(socket):\n    socket.bind("tcp://0.0.0.0:5555")\n    socket.bind("tcp://*:5556")\n'),
    Case('HOST = "0.0.0.0"\ndef f(socket):\n    socket.bind(f"tcp://{HOST}:5604")\n'),
    Case('uvicorn.run(app, host="0.0.0.0", port=8000)\nprint("http://0.0.0.0:8000")\n'),
    Case('def f(host):\n    return "127.0.0.1" if host == "0.0.0.0" else host\n'),
    Case('HOST = "0.0.0.0"\ndef f(socket, HOST):\n    socket.connect(f"tcp://{HOST}:1")\n'),
    Case('def f(port):\n    return WebSocketServerFactory(f"ws://0.0.0.0:{port}")\n'),
    Case('def f(signal):\n    signal.connect("*")\n'),
)
