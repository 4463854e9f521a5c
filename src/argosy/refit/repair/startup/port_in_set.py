"""Removes the braces of a set where a port belongs: `endpoint({port})`.

They are left over from an f-string. The function is in the tree, and its parameter is a port by its name, and
an int or str by its annotation if it has one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.name_resolution.module_view import ModuleView
from argosy.refit.repair.span_edit import SpanEdit
from argosy.refit.repair.startup.project_context import ProjectContext
from argosy.refit.repair.startup.startup_rule import StartupCase, StartupRule
from argosy.source.control_flow import dotted_name

NAME = "port-in-set"


def may_apply(view: ModuleView) -> bool:
    return "({" in view.text


def propose(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
    for node, _ in view.index.of_type(ast.Call):
        if not isinstance(node, ast.Call) or not dotted_name(node.func):
            continue
        for at, item in enumerate(node.args):
            if not (isinstance(item, ast.Set) and len(item.elts) == 1) or isinstance(
                item.elts[0], ast.Starred
            ):
                continue
            if _is_port_parameter(context.definition(view, dotted_name(node.func)), at):
                function = dotted_name(node.func)
                description = (
                    f"a set with one element where `{function}` takes a port: its braces are removed"
                )
                edit = SpanEdit(*view.span(item), view.source_segment(item.elts[0]))
                yield RepairCandidate(NAME, item.lineno, (edit,), description)


def _is_port_parameter(function: object, at: int) -> bool:
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) or at >= len(function.args.args):
        return False
    parameter = function.args.args[at]
    is_named = parameter.arg == "port" or parameter.arg.endswith("_port")
    annotation = ast.unparse(parameter.annotation) if parameter.annotation is not None else ""
    return is_named and "set" not in annotation.lower()


_LIB = {"lib.py": "def endpoint(port: int, host='localhost'): pass\ndef every(ports): pass\n"}
MUST_CHANGE = (
    StartupCase(
        "from lib import endpoint\nADDRESS = endpoint({self_port}, 'x')\nself_port = 1\n".replace(
            "self_port", "PORT"
        ),
        "from lib import endpoint\nADDRESS = endpoint(PORT, 'x')\nPORT = 1\n",
        files=_LIB,
    ),
)
MUST_NOT_CHANGE = (
    StartupCase("from lib import every\nevery({80})\n", files=_LIB),
    StartupCase("from lib import endpoint\nendpoint({80, 81})\n", files=_LIB),
    StartupCase("from gone import endpoint\nendpoint({80})\n", files=_LIB),
    StartupCase("from lib import endpoint\nendpoint(80, {80})\n", files=_LIB),
)

RULE = StartupRule(NAME, may_apply, propose, MUST_CHANGE, MUST_NOT_CHANGE)
