"""Text that is decoded once more, such as `recv_string().decode()`: the second `decode` goes.

`str` has no `decode`: an AttributeError, always.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import Edit
from argosy.refit.repair.names.view import View
from argosy.refit.repair.startup.around import Around
from argosy.refit.repair.startup.rule import Case, Rule

NAME = "second-decode"
_ENCODINGS = frozenset({"utf-8", "utf8", "ascii", "latin-1"})


def may_apply(view: View) -> bool:
    return view.text.count(".decode(") > 1 or ("recv_string(" in view.text and ".decode(" in view.text)


def propose(view: View, around: Around) -> Iterator[Candidate]:
    for node, _ in view.index.of(ast.Call):
        inner = _decoded(node)
        if isinstance(node, ast.Call) and inner is not None and (_decoded(inner) or _is_text(inner)):
            _, stop = view.span(inner)
            said = "text is decoded once more: the second `decode` goes"
            yield Candidate(NAME, inner.lineno, (Edit(stop, view.span(node)[1], ""),), said)


def _decoded(node: ast.AST) -> ast.expr | None:
    """Return `x` of a call `x.decode()`, without arguments or with an encoding of text."""
    if not (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "decode"
    ):
        return None
    words = [item.value for item in node.args if isinstance(item, ast.Constant)]
    is_plain = not node.keywords and len(words) == len(node.args) <= 1 and set(words) <= _ENCODINGS
    return node.func.value if is_plain else None


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "recv_string"
    )


MUST = (
    Case(
        "def f(socket):\n    return socket.recv().decode('utf-8').decode('utf-8')\n",
        "def f(socket):\n    return socket.recv().decode('utf-8')\n",
    ),
    Case(
        "def f(socket):\n    return socket.recv_string().decode()\n",
        "def f(socket):\n    return socket.recv_string()\n",
    ),
)
MUST_NOT = (
    Case("def f(data):\n    return data.decode('hex').decode('utf-8')\n"),
    Case("def f(data, codec):\n    return codec.decode(data).decode('utf-8')\n"),
    Case("def f(data):\n    return data.decode() + data.decode()\n"),
)

RULE = Rule(NAME, may_apply, propose, MUST, MUST_NOT)
