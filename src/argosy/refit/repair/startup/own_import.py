"""A module that imports itself: the import goes.

Loaded as a module, or as a script by its second copy, it asks for names of a module that is not there yet:
an ImportError, always. It goes when the file defines all of the names itself, one of them below.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.file import module_name
from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import Edit
from argosy.refit.repair.names.view import View
from argosy.refit.repair.startup.around import Around
from argosy.refit.repair.startup.rule import Case, Rule

NAME = "own-import"


def may_apply(view: View) -> bool:
    return any(_is_own(node, view.path) for node in view.body)


def propose(view: View, around: Around) -> Iterator[Candidate]:
    for index, node in enumerate(view.body):
        if not isinstance(node, ast.ImportFrom) or not _is_own(node, view.path):
            continue
        if view.stands_alone(index) and _is_certain(view, node):
            start = view.line_offset(node.lineno)
            stop = view.line_offset((node.end_lineno or node.lineno) + 1)
            said = f"the module's import of itself, `from {node.module} import …`, is taken out"
            yield Candidate(NAME, node.lineno, (Edit(start, stop, ""),), said)


def _is_own(node: ast.stmt, path: str) -> bool:
    return isinstance(node, ast.ImportFrom) and not node.level and node.module == module_name(path)


def _is_certain(view: View, node: ast.ImportFrom) -> bool:
    """Return whether the file makes all of the names, and one of them only after this line."""
    lines: list[int] = []
    for alias in node.names:
        made = [
            binding.line
            for binding in view.scope.bindings.get(alias.name, ())
            if binding.how in ("def", "class", "assignment") and binding.line != node.lineno
        ]
        if alias.asname not in (None, alias.name) or not made:
            return False
        lines.append(min(made))
    return max(lines, default=0) > node.lineno


MUST = (
    Case(
        "import os\nfrom app.case import report\n\n\ndef report(): pass\n",
        "import os\n\n\ndef report(): pass\n",
    ),
)
MUST_NOT = (
    # Made above: the second copy finds it.
    Case("def report(): pass\n\n\nfrom app.case import report\n"),
    # Not its own.
    Case("from other.case import report\n\n\ndef report(): pass\n"),
    # The name of a submodule.
    Case("from app import case\n\nx = case\n", path="app/__init__.py", files={"app/case.py": ""}),
    # A script that wants its classes under the module's name.
    Case("def work(): pass\n\n\nif __name__ == '__main__':\n    from app.case import work\n    work()\n"),
    # Nothing here makes the name.
    Case("from app.case import report\n\nreport()\n"),
    # Used before the file makes it.
    Case("from app.case import report\nreport()\n\n\ndef report(): pass\n"),
)

RULE = Rule(NAME, may_apply, propose, MUST, MUST_NOT)
