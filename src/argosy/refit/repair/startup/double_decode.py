"""Removes a second decoding of text, such as `recv_string().decode()`.

`str` has no `decode`: an AttributeError in every run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.name_resolution.module_view import ModuleView
from argosy.refit.repair.span_edit import SpanEdit
from argosy.refit.repair.startup.project_context import ProjectContext
from argosy.refit.repair.startup.startup_rule import StartupCase, StartupRule

NAME = "double-decode"
_ENCODINGS = frozenset({"utf-8", "utf8", "ascii", "latin-1"})


def may_apply(view: ModuleView) -> bool:
    return view.text.count(".decode(") > 1 or ("recv_string(" in view.text and ".decode(" in view.text)


def propose(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
    for node, _ in view.index.of_type(ast.Call):
        inner = _decoded_value(node)
        if (
            isinstance(node, ast.Call)
            and inner is not None
            and (_decoded_value(inner) or _returns_str(inner))
        ):
            _, stop = view.span(inner)
            description = "text is decoded twice: the second `decode` is removed"
            yield RepairCandidate(NAME, inner.lineno, (SpanEdit(stop, view.span(node)[1], ""),), description)


def _decoded_value(node: ast.AST) -> ast.expr | None:
    """Return `x` of a call `x.decode()`, without arguments or with a text encoding."""
    if not (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "decode"
    ):
        return None
    encodings = [item.value for item in node.args if isinstance(item, ast.Constant)]
    is_plain = not node.keywords and len(encodings) == len(node.args) <= 1 and set(encodings) <= _ENCODINGS
    return node.func.value if is_plain else None


def _returns_str(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "recv_string"
    )


MUST_CHANGE = (
    StartupCase(
        "def f(socket):\n    return socket.recv().decode('utf-8').decode('utf-8')\n",
        "def f(socket):\n    return socket.recv().decode('utf-8')\n",
    ),
    StartupCase(
        "def f(socket):\n    return socket.recv_string().decode()\n",
        "def f(socket):\n    return socket.recv_string()\n",
    ),
)
MUST_NOT_CHANGE = (
    StartupCase("def f(data):\n    return data.decode('hex').decode('utf-8')\n"),
    StartupCase("def f(data, codec):\n    return codec.decode(data).decode('utf-8')\n"),
    StartupCase("def f(data):\n    return data.decode() + data.decode()\n"),
)

RULE = StartupRule(NAME, may_apply, propose, MUST_CHANGE, MUST_NOT_CHANGE)
