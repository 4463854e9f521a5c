"""An import that stands below the first use of its name: it moves above it.

Only a statement of the module itself, whose names nothing else binds in between, and whose module
is found from the root of the tree or comes with Python, so that a change of sys.path in between is no matter.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import Edit
from argosy.refit.repair.names.shown import Shown
from argosy.refit.repair.names.view import View

NAME = "hoisted-import"


def propose(view: View, shown: Shown) -> Iterator[Candidate]:
    for item in view.unresolved:
        if not item.is_import:
            continue
        target, at = view.top_index(item.line), view.top_index(item.bound_line)
        if at >= len(view.body) or target >= at or not _is_movable(view, target, at, shown):
            continue
        node = view.body[at]
        start = view.line_offset(node.lineno)
        stop = view.line_offset((node.end_lineno or node.lineno) + 1)
        place = view.line_offset(view.first_line(target))
        moved = view.text[start:stop]
        if not moved.endswith(("\n", "\r")):
            continue
        edits = (Edit(place, place, moved), Edit(start, stop, ""))
        said = f"the import of `{item.name}` moves from line {node.lineno} above its first use"
        yield Candidate(NAME, item.line, edits, said)


def _is_movable(view: View, target: int, at: int, shown: Shown) -> bool:
    node = view.body[at]
    if not isinstance(node, ast.Import | ast.ImportFrom) or not (
        view.stands_alone(at) and view.stands_alone(target)
    ):
        return False
    modules = (
        [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
    )
    if getattr(node, "level", 0) or not all(shown.exists(module) for module in modules):
        return False
    bound = {alias.asname or alias.name.split(".")[0] for alias in node.names}
    first, last = view.first_line(target), node.lineno
    others = [
        binding
        for name in bound
        for binding in view.scope.bindings.get(name, ())
        if first <= binding.line < last and binding.how != "import"
    ]
    return not others
