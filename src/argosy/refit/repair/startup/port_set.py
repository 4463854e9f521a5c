"""A set of one where a port belongs, `endpoint({port})`: the braces go.

They are what is left of an f-string. The function is of the tree, and its parameter there is a port by
its name, and an int or text by its annotation where it has one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import Edit
from argosy.refit.repair.names.view import View
from argosy.refit.repair.startup.around import Around
from argosy.refit.repair.startup.rule import Case, Rule
from argosy.source.flow import dotted

NAME = "port-set"


def may_apply(view: View) -> bool:
    return "({" in view.text


def propose(view: View, around: Around) -> Iterator[Candidate]:
    for node, _ in view.index.of(ast.Call):
        if not isinstance(node, ast.Call) or not dotted(node.func):
            continue
        for at, item in enumerate(node.args):
            if not (isinstance(item, ast.Set) and len(item.elts) == 1) or isinstance(
                item.elts[0], ast.Starred
            ):
                continue
            if _is_port(around.definition(view, dotted(node.func)), at):
                said = f"a set of one where `{dotted(node.func)}` takes a port: the braces go"
                edit = Edit(*view.span(item), view.segment(item.elts[0]))
                yield Candidate(NAME, item.lineno, (edit,), said)


def _is_port(made: object, at: int) -> bool:
    if not isinstance(made, ast.FunctionDef | ast.AsyncFunctionDef) or at >= len(made.args.args):
        return False
    parameter = made.args.args[at]
    is_named = parameter.arg == "port" or parameter.arg.endswith("_port")
    said = ast.unparse(parameter.annotation) if parameter.annotation is not None else ""
    return is_named and "set" not in said.lower()


_LIB = {"lib.py": "def endpoint(port: int, host='localhost'): pass\ndef every(ports): pass\n"}
MUST = (
    Case(
        "from lib import endpoint\nADDRESS = endpoint({self_port}, 'x')\nself_port = 1\n".replace(
            "self_port", "PORT"
        ),
        "from lib import endpoint\nADDRESS = endpoint(PORT, 'x')\nPORT = 1\n",
        files=_LIB,
    ),
)
MUST_NOT = (
    Case("from lib import every\nevery({80})\n", files=_LIB),
    Case("from lib import endpoint\nendpoint({80, 81})\n", files=_LIB),
    Case("from gone import endpoint\nendpoint({80})\n", files=_LIB),
    Case("from lib import endpoint\nendpoint(80, {80})\n", files=_LIB),
)

RULE = Rule(NAME, may_apply, propose, MUST, MUST_NOT)
