"""A name that nothing binds, and that the rest of the tree imports from one place: it is imported from there.

The guards are those of `Shown.origin`: the module exists and binds the name, all files that import it take it
from there (or all that use it in the same way), and no file beside this one binds it by a statement. Where
files differ, a module decides from which this file takes other names already, if it alone of those
defines a function or class of that name.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import Edit, newline_of
from argosy.refit.repair.names.shown import Shown, attributes_of
from argosy.refit.repair.names.view import View

NAME = "brought-import"


def propose(view: View, shown: Shown) -> Iterator[Candidate]:
    for item in view.unresolved:
        if item.bound_line:
            continue
        origin = shown.origin(item.name, view.path, attributes_of(view.parsed.tree, item.name))
        if origin is not None:
            others = "another file has" if origin.files == 1 else f"{origin.files} other files have"
            text, said = origin.text, f"`{origin.text}`, as {others} it"
        else:
            module = shown.beside(item.name, _taken_from(view))
            if module is None:
                continue
            text = f"from {module} import {item.name}"
            said = f"`{text}`: of the modules that this file takes names from, it alone defines it"
        place = _place(view, item.line)
        edit = Edit(place, place, f"{text}{newline_of(view.text)}")
        yield Candidate(NAME, item.line, (edit,), said)


def _taken_from(view: View) -> set[str]:
    """Return the modules that a file imports names from, wherever it does."""
    return {
        node.module
        for node in ast.walk(view.parsed.tree)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
    }


def _place(view: View, line: int) -> int:
    """Return the offset for a new import: below the last one above `line`, else above the first use."""
    target = min(view.top_index(line), len(view.body) - 1)
    last = -1
    for index, node in enumerate(view.body[:target]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and last >= 0:
            break
        if isinstance(node, ast.Import | ast.ImportFrom) and view.stands_alone(index):
            last = index
    if last >= 0:
        return view.line_offset((view.body[last].end_lineno or 0) + 1)
    return view.line_offset(view.first_line(_after_head(view, target)))


def _after_head(view: View, target: int) -> int:
    """Return the index below a docstring and `from __future__` lines, at most `target`."""
    index = 0
    while index < target:
        node = view.body[index]
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not is_text and not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            break
        index += 1
    return index
