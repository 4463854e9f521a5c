"""A constructor's body is there more than once

Half of the attributes that it sets, at least four, are set again further down in the same body: objects are
created twice, and ports are bound twice.

Instead: keep one of them; `argosy repair` removes the first where it reads names that nothing binds and the
second does all that it does.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator

from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import PythonFile
from argosy.source.control_flow import dotted_name

_MIN_REPEATED = 4


def check(file: PythonFile) -> Iterator[Finding]:
    """Report each constructor that sets its attributes again, at the first repetition."""
    for node, scope in file.nodes(ast.FunctionDef):
        if node.name != "__init__" or scope.kind != "class":
            continue
        assignments = list(_unconditional_assignments(node.body))
        count = Counter(name for name, _ in assignments)
        repeated = [name for name, times in count.items() if times > 1]
        if len(repeated) < _MIN_REPEATED or 2 * len(repeated) < len(count):
            continue
        seen: set[str] = set()
        for name, statement in assignments:
            if name in seen:
                message = (
                    f"the constructor sets {len(repeated)} of its {len(count)} attributes again from here on"
                )
                yield file.make_finding(statement, message, scope)
                break
            seen.add(name)


def _unconditional_assignments(body: list[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """Yield the attributes that a body sets on self unconditionally."""
    for node in body:
        if isinstance(node, ast.Try | ast.With):
            yield from _unconditional_assignments(node.body)
        for target in node.targets if isinstance(node, ast.Assign) else ():
            if isinstance(target, ast.Attribute) and dotted_name(target.value) == "self":
                yield target.attr, node


RULE = Rule(
    code="S110",
    title="constructor's body repeated",
    action="report",
    required_words=(b"def __init__",),
    check_file=check,
)

_BODY = "".join(f"        self.{name} = 1\n" for name in "abcd")
MUST = (RuleCase(f"class A:\n    def __init__(self):\n{_BODY}        self.a = 2  # <--\n{_BODY}"),)
MUST_NOT = (
    RuleCase(f"class A:\n    def __init__(self):\n{_BODY}        self.a = 2\n"),
    RuleCase(f"class A:\n    def __init__(self):\n{_BODY}\n    def f(self):\n{_BODY}"),
    RuleCase(
        "class A:\n    def __init__(self, x):\n        if x:\n"
        "            self.a = self.b = self.c = self.d = 1\n        self.a = self.b = self.c = self.d = 2\n"
    ),
)
