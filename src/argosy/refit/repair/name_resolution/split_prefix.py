"""Joins a string with its prefix: `prompt = f`, and the string alone as the next statement.

A statement that is only a string does nothing, and a name such as `f` or `rb` that nothing binds can only
have been its prefix. With the prefix the string may read names: it is joined only if all of them are bound.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise

from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.name_resolution.module_view import ModuleView
from argosy.refit.repair.name_resolution.project_names import ProjectNames
from argosy.refit.repair.span_edit import SpanEdit

NAME = "split-prefix"
_STRING_PREFIXES = frozenset({"f", "r", "b", "fr", "rf", "br", "rb"})


def propose(view: ModuleView, project_names: ProjectNames) -> Iterator[RepairCandidate]:
    unbound = {item.name for item in view.unresolved if not item.binding_line} & _STRING_PREFIXES
    if not unbound:
        return
    for node in ast.walk(view.parsed.tree):
        for field in ("body", "orelse", "finalbody"):
            body = getattr(node, field, None)
            for one, two in pairwise(body) if isinstance(body, list) else ():
                if _assigned_name(one) in unbound and _is_string_statement(two):
                    prefix, text = one.value, two.value
                    start, stop = view.span(prefix)[1], view.span(text)[0]
                    gap = view.text[start:stop]
                    if not gap.strip():
                        description = f"the prefix `{_assigned_name(one)}` moves back to its string"
                        yield RepairCandidate(NAME, one.lineno, (SpanEdit(start, stop, ""),), description)


def _assigned_name(node: ast.stmt) -> str:
    """Return the name that a statement assigns or returns, where it is nothing else."""
    value = node.value if isinstance(node, ast.Assign | ast.Return) else None
    return value.id if isinstance(value, ast.Name) else ""


def _is_string_statement(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
