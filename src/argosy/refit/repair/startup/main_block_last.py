"""Definitions below `if __name__ == "__main__":` that the script needs before: the block moves last.

The block runs before what is below it is there: a NameError. It moves when it is the only one, when below
it are nothing but functions, classes, imports and assignments, and when it or a function above it reads one
of their names, which nothing above binds.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import Edit, newline_of
from argosy.refit.repair.names.view import View
from argosy.refit.repair.startup.around import Around
from argosy.refit.repair.startup.rule import Case, Rule
from argosy.source import flow

NAME = "main-block-last"


def may_apply(view: View) -> bool:
    return bool(_blocks(view)) and _blocks(view)[0] < len(view.body) - 1


def propose(view: View, around: Around) -> Iterator[Candidate]:
    blocks = _blocks(view)
    if len(blocks) != 1 or blocks[0] == len(view.body) - 1:
        return
    at = blocks[0]
    block, below = view.body[at], view.body[at + 1 :]
    if not view.stands_alone(at) or not all(_is_idle(item) for item in below):
        return
    made = {name for name in _names(view, below) if _is_new(view, name, block.lineno)}
    if not any(name in view.uses_by_name and _is_read_above(view, name, below) for name in made):
        return
    start = view.line_offset(block.lineno)
    stop = view.line_offset((block.end_lineno or block.lineno) + 1)
    end = len(view.text)
    newline = newline_of(view.text)
    gap = "" if view.text.endswith(("\n", "\r")) else newline
    moved = view.text[start:stop]
    edits = (Edit(start, stop, ""), Edit(end, end, f"{gap}{newline}{newline}{moved}"))
    said = "the main block moves below the definitions that it needs"
    yield Candidate(NAME, block.lineno, edits, said)


def _blocks(view: View) -> list[int]:
    return [
        at for at, node in enumerate(view.body) if isinstance(node, ast.If) and flow.is_main_test(node.test)
    ]


def _is_idle(node: ast.stmt) -> bool:
    """Return whether a statement is there to make names."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Assign | ast.AnnAssign)


def _names(view: View, below: Sequence[ast.stmt]) -> set[str]:
    lines = {line for node in below for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    return {
        name
        for name, bindings in view.scope.bindings.items()
        if any(binding.line in lines for binding in bindings)
    }


def _is_new(view: View, name: str, line: int) -> bool:
    return all(binding.line > line for binding in view.scope.bindings[name])


def _is_read_above(view: View, name: str, below: Sequence[ast.stmt]) -> bool:
    first = below[0].lineno
    return any(use.node.lineno < first for use, _ in view.uses_of(name))


_MAIN = "if __name__ == '__main__':\n    run()\n"
MUST = (
    Case(
        f"import sys\n\n{_MAIN}\n\ndef run():\n    pass\n",
        f"import sys\n\n\n\ndef run():\n    pass\n\n\n{_MAIN}",
    ),
    Case(
        f"def run():\n    return late()\n\n\n{_MAIN}\n\ndef late():\n    pass",
        f"def run():\n    return late()\n\n\n\n\ndef late():\n    pass\n\n\n{_MAIN}",
    ),
    Case(
        f"def run():\n    return HOST\n\n\n{_MAIN}\n\ndef read(): return 1\n\n\nHOST = read()\n",
        f"def run():\n    return HOST\n\n\n\n\ndef read(): return 1\n\n\nHOST = read()\n\n\n{_MAIN}",
    ),
)
MUST_NOT = (
    # Nothing of it is needed before.
    Case(f"def run():\n    pass\n\n\n{_MAIN}\n\ndef other():\n    pass\n"),
    # What is below does something.
    Case(f"{_MAIN}\n\ndef run():\n    pass\n\n\nrun()\n"),
    # Two of them: which one is meant is for a person to say.
    Case(f"{_MAIN}\n\ndef run():\n    pass\n\n\n{_MAIN}"),
    # Made above already.
    Case(f"def run():\n    pass\n\n\n{_MAIN}\n\ndef run():\n    pass\n"),
    Case(f"def run():\n    pass\n\n\n{_MAIN}"),
)

RULE = Rule(NAME, may_apply, propose, MUST, MUST_NOT)
