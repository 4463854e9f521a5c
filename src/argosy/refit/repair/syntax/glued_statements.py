"""Splits two statements on one line: the second gets a line of its own.

The white space between them was its indentation; without any, it is indented like the first. A
`super().__init__(*args, **kwargs)` in a function that has neither parameter can never have worked: it was
inserted, and is removed.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from argosy.refit.analysis.block_structure import BreakKind
from argosy.refit.analysis.lenient_statements import SourceStatement
from argosy.refit.analysis.lenient_tokens import Token
from argosy.refit.repair.broken_source import BrokenSource
from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.span_edit import SpanEdit, detect_newline

NAME = "glued-statements"
_SUPER_CALL = "super ( ) . __init__ ( * args , ** kwargs )"


def propose(broken: BrokenSource) -> Iterator[RepairCandidate]:
    structure_break = broken.structure_break
    if structure_break is None or structure_break.kind is not BreakKind.GLUED_STATEMENTS:
        return
    statement = broken.statements[structure_break.index]
    second = structure_break.token
    first = tuple(token for token in statement.tokens if token.start < second.start)
    gap = broken.text[first[-1].end : second.start]
    if _is_invalid_super_call(broken, structure_break.index, first):
        edit = SpanEdit(statement.start, second.start, gap if len(gap) > 1 else statement.leading_space)
        description = "a `super().__init__(*args, **kwargs)` in a function without such parameters is removed"
        yield RepairCandidate(NAME, statement.line, (edit,), description)
        return
    indentation = gap if len(gap) > 1 else statement.leading_space
    edit = SpanEdit(first[-1].end, second.start, detect_newline(broken.text) + indentation)
    yield RepairCandidate(NAME, second.line, (edit,), "the second statement of a line gets a line of its own")


def _is_invalid_super_call(broken: BrokenSource, at: int, first: tuple[Token, ...]) -> bool:
    if " ".join(token.text for token in first) != _SUPER_CALL:
        return False
    headers = [broken.statements[index] for index in broken.enclosing_headers(at)]
    functions = [header for header in headers if header.keyword == "def"]
    return bool(functions) and not _has_variadic_parameters(functions[-1])


def _has_variadic_parameters(function: SourceStatement) -> bool:
    tokens = [token.text for token in function.tokens]
    pairs = set(pairwise(tokens))
    return ("*", "args") in pairs and ("**", "kwargs") in pairs
