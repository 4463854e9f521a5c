"""A method is in the main block

A function whose first parameter is `self`, under `if __name__ == "__main__":`. It was a method of the class
above and no longer is, so the class silently uses the base's version of what it overrode.

Instead: move it back into its class.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import PythonFile
from argosy.source import control_flow


def check(file: PythonFile) -> Iterator[Finding]:
    """Report each function of a main block whose first parameter is self."""
    for block in file.tree.body:
        if not isinstance(block, ast.If) or not control_flow.is_main_test(block.test):
            continue
        for node in _functions(block.body):
            if node.args.args and node.args.args[0].arg == "self":
                message = f"the method `{node.name}` is in the main block, outside every class"
                yield file.make_finding(node, message, symbol=node.name)


def _functions(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the functions of a block and its nested blocks, but not those inside classes and functions."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        elif not isinstance(node, ast.ClassDef):
            yield from _functions([item for item in ast.iter_child_nodes(node) if isinstance(item, ast.stmt)])


RULE = Rule(
    code="S108",
    title="method in the main block",
    action="report",
    required_words=(b"__main__",),
    check_file=check,
)

_MAIN = "if __name__ == '__main__':\n"
MUST = (
    RuleCase(f"class A:\n    pass\n\n{_MAIN}    A()\n    def stop(self):  # <--\n        pass\n"),
    RuleCase(f"{_MAIN}    if 1:\n        x = 1\n        async def stop(self, a):  # <--\n            pass\n"),
)
MUST_NOT = (
    RuleCase(f"{_MAIN}    def main(args):\n        pass\n    main(1)\n"),
    RuleCase(f"{_MAIN}    class A:\n        def stop(self):\n            pass\n"),
    RuleCase("class A:\n    def stop(self):\n        pass\n"),
)
