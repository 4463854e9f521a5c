"""A text's prefix that was torn off: `prompt = f`, and the text alone as the next statement. They are joined.

A statement that is nothing but a text does nothing, and a name such as `f` or `rb` that nothing binds can
only have been its prefix. With it the text may read names: it is joined only if all of them are bound.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise

from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import Edit
from argosy.refit.repair.names.shown import Shown
from argosy.refit.repair.names.view import View

NAME = "torn-prefix"
_PREFIXES = frozenset({"f", "r", "b", "fr", "rf", "br", "rb"})


def propose(view: View, shown: Shown) -> Iterator[Candidate]:
    unbound = {item.name for item in view.unresolved if not item.bound_line} & _PREFIXES
    if not unbound:
        return
    for node in ast.walk(view.parsed.tree):
        for field in ("body", "orelse", "finalbody"):
            body = getattr(node, field, None)
            for one, two in pairwise(body) if isinstance(body, list) else ():
                if _prefix_of(one) in unbound and _is_text(two):
                    prefix, text = one.value, two.value
                    start, stop = view.span(prefix)[1], view.span(text)[0]
                    gap = view.text[start:stop]
                    if not gap.strip():
                        said = f"the prefix `{_prefix_of(one)}` goes back to its text"
                        yield Candidate(NAME, one.lineno, (Edit(start, stop, ""),), said)


def _prefix_of(node: ast.stmt) -> str:
    """Return the name that a statement assigns or returns, where it is nothing else."""
    value = node.value if isinstance(node, ast.Assign | ast.Return) else None
    return value.id if isinstance(value, ast.Name) else ""


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
