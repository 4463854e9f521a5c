"""Two statements on one line: the second gets a line of its own.

The white space between them was its indentation; where there is none, it stands under the first.
A `super().__init__(*args, **kwargs)` in a function that has neither can never have worked: it was
glued on, and goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from argosy.refit.outline import Break
from argosy.refit.repair.broken import Broken
from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import Edit, newline_of
from argosy.refit.statements import Statement
from argosy.refit.tokens import Token

NAME = "glued-statements"
_SUPER = "super ( ) . __init__ ( * args , ** kwargs )"


def propose(broken: Broken) -> Iterator[Candidate]:
    fracture = broken.fracture
    if fracture is None or fracture.kind is not Break.GLUED:
        return
    statement = broken.statements[fracture.at]
    second = fracture.token
    first = tuple(token for token in statement.tokens if token.start < second.start)
    gap = broken.text[first[-1].end : second.start]
    if _is_unfit_super(broken, fracture.at, first):
        edit = Edit(statement.start, second.start, gap if len(gap) > 1 else statement.margin)
        said = "a `super().__init__(*args, **kwargs)` where there are no such arguments is taken out"
        yield Candidate(NAME, statement.line, (edit,), said)
        return
    margin = gap if len(gap) > 1 else statement.margin
    edit = Edit(first[-1].end, second.start, newline_of(broken.text) + margin)
    yield Candidate(NAME, second.line, (edit,), "the second statement of a line gets a line of its own")


def _is_unfit_super(broken: Broken, at: int, first: tuple[Token, ...]) -> bool:
    if " ".join(token.text for token in first) != _SUPER:
        return False
    headers = [broken.statements[index] for index in broken.around(at)]
    functions = [header for header in headers if header.word == "def"]
    return bool(functions) and not _takes_any(functions[-1])


def _takes_any(function: Statement) -> bool:
    tokens = [token.text for token in function.tokens]
    pairs = set(pairwise(tokens))
    return ("*", "args") in pairs and ("**", "kwargs") in pairs
