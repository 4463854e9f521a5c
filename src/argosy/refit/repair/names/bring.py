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
        place = view.import_offset(item.line)
        edit = Edit(place, place, f"{text}{newline_of(view.text)}")
        yield Candidate(NAME, item.line, (edit,), said)


def _taken_from(view: View) -> set[str]:
    """Return the modules that a file imports names from, wherever it does."""
    return {
        node.module
        for node in ast.walk(view.parsed.tree)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
    }
