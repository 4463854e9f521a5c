"""A module has a second main block

Both run, the second when the first returns: a second agent on the same ports, or never, if the first does not
return.

Instead: keep the one that is meant.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import PythonFile
from argosy.source import control_flow


def check(file: PythonFile) -> Iterator[Finding]:
    """Report every main block but the first."""
    blocks = [
        node for node in file.tree.body if isinstance(node, ast.If) and control_flow.is_main_test(node.test)
    ]
    for node in blocks[1:]:
        message = f"a second main block; the first is in line {blocks[0].lineno}"
        yield file.make_finding(node, message, symbol="__main__")


RULE = Rule(
    code="S109", title="second main block", action="report", required_words=(b"__main__",), check_file=check
)

_MAIN = "if __name__ == '__main__':"
MUST = (
    RuleCase(f"{_MAIN}\n    x = 1\n\n{_MAIN}  # <--\n    x = 2\n"),
    RuleCase(f"{_MAIN}\n    x = 1\n{_MAIN}  # <--\n    x = 2\n{_MAIN}  # <--\n    x = 3\n"),
)
MUST_NOT = (
    RuleCase(f"{_MAIN}\n    x = 1\n"),
    RuleCase(f"{_MAIN}\n    x = 1\nif __name__ != '__main__':\n    x = 2\n"),
    RuleCase(f"def f():\n    {_MAIN}\n        return 1\n\n{_MAIN}\n    f()\n"),
)
