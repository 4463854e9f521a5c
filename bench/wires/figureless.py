"""The echo agent without its automatic figures, to see what they cost: `python -m wires.figureless`.

There is no switch for that, so what counts and what beats is taken out here: the beat by its name, the
counting statements by their target, from the source of the method that has them.
"""

from __future__ import annotations

import ast
import inspect
import textwrap

from argosy.agent import run
from argosy.agent.life import Life
from argosy.wire import callee
from wires.echo import Echo


def _nothing(self: object, *_: object) -> None:
    """Stand where something beat."""


class _Uncounted(ast.NodeTransformer):
    """Leave out `self._counts[…] += 1`, and know how often."""

    taken = 0

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt:
        if not ast.unparse(node.target).startswith("self._counts["):
            return node
        self.taken += 1
        return ast.copy_location(ast.Pass(), node)


def take_out() -> None:
    """Replace what makes the figures; raises AttributeError when it is no longer where it was."""
    getattr(Life, "_on_beat")  # noqa: B009 - the name has to be there, and is private
    setattr(Life, "_on_beat", _nothing)  # noqa: B010
    without = _Uncounted()
    tree = without.visit(ast.parse(textwrap.dedent(inspect.getsource(callee.Callee.answer))))
    if not without.taken:
        raise AttributeError("Callee.answer counts nothing: find where a request is counted by now")
    source = "from __future__ import annotations\n" + ast.unparse(tree)
    made: dict[str, object] = {}
    exec(compile(source, callee.__file__, "exec"), vars(callee), made)
    setattr(callee.Callee, "answer", made["answer"])  # noqa: B010


if __name__ == "__main__":
    take_out()
    run(Echo)
