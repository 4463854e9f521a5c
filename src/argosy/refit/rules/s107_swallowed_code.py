"""A docstring holds statements that were meant to run

An earlier rewrite inserted them before the first line of a docstring's text. They are text now and never run:
imports and changes of sys.path that the module below may need.

Reported are docstrings that begin with code, at least two statements with an import among them; examples
further down are not reported.

Instead: move them above the docstring if they are needed, or remove them.
"""

from __future__ import annotations

import ast
import inspect
import warnings
from collections.abc import Iterator

from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import PythonFile


def check(file: PythonFile) -> Iterator[Finding]:
    """Report each docstring that begins with code, at its first line of code."""
    owners: list[ast.Module | ast.ClassDef | ast.FunctionDef] = [file.tree]
    owners += [node for node, _ in file.nodes(ast.ClassDef)]
    owners += [node for node, _ in file.nodes(ast.FunctionDef)]
    for owner in owners:
        first = owner.body[0] if owner.body else None
        if not isinstance(first, ast.Expr) or not isinstance(first.value, ast.Constant):
            continue
        text = first.value.value
        found = _find_code(text) if isinstance(text, str) else None
        if found is not None:
            line, count = found
            message = f"a docstring holds {count} statements that were meant to run"
            symbol = getattr(owner, "name", "module")
            yield Finding(file.path, first.lineno + line, 1, "", message, symbol=symbol)


def _find_code(text: str) -> tuple[int, int] | None:
    """Return the line offset of the code that a docstring begins with, and the number of its statements."""
    lines = text.split("\n")
    start = next(
        (at for at, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")), None
    )
    if start is None:
        return None
    stop = next((at for at in range(start, len(lines)) if not lines[at].strip()), len(lines))
    if not any(line.lstrip().startswith(("import", "from")) or ";" in line for line in lines[start:stop]):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = ast.parse(inspect.cleandoc("\n".join(lines[start:stop]))).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    has_import = any(isinstance(node, ast.Import | ast.ImportFrom) for node in body)
    return (start, len(body)) if has_import and len(body) > 1 else None


RULE = Rule(
    code="S107",
    title="statements in a docstring",
    action="report",
    required_words=(b"import ",),
    check_file=check,
)

MUST = (
    RuleCase('"""\n# Paths\nimport sys  # <--\nsys.path.insert(0, "x")\n\nThe agent.\n"""\n'),
    RuleCase('class A:\n    """import os\n    import sys\n\n    An agent.\n    """\n', expected_lines=(2,)),
)
MUST_NOT = (
    RuleCase('"""The agent.\n\n    import sys\n    sys.path.insert(0, "x")\n"""\n'),
    RuleCase('"""import this"""\n'),
    RuleCase('"""Import nothing, and\nsay nothing.\n"""\n'),
    RuleCase('def f():\n    """>>> import sys\n    >>> sys.path\n    """\n'),
)
