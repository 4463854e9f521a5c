"""Moves the header of a function at column 0 back to the block of its body.

Its column is that of the next method, which otherwise begins where no block is; or that of its decorator; or
one step left of its body, if the header above it would otherwise have no body.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.analysis.block_structure import BreakKind
from argosy.refit.analysis.damage import find_moved_header
from argosy.refit.analysis.injected_block import indent_width
from argosy.refit.analysis.lenient_statements import SourceStatement
from argosy.refit.repair.broken_source import BrokenSource
from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.span_edit import reindent_first_line

NAME = "moved-header"


def propose(broken: BrokenSource) -> Iterator[RepairCandidate]:
    found = _by_next_method(broken) or _by_decorator(broken) or _by_body(broken)
    if found is None:
        return
    header, indentation = found
    name = header.tokens[2 if header.first_token.text == "async" else 1].text
    description = f"the header of `{name}` moves back to the block of its body"
    yield RepairCandidate(NAME, header.line, (reindent_first_line(header, indentation),), description)


def _by_next_method(broken: BrokenSource) -> tuple[SourceStatement, str] | None:
    structure_break = broken.structure_break
    at = find_moved_header(broken.statements, structure_break) if structure_break is not None else None
    if structure_break is None or at is None:
        return None
    following = broken.statements[structure_break.index]
    is_deeper = broken.statements[at + 1].indent > following.indent
    return (broken.statements[at], following.leading_space) if is_deeper else None


def _by_decorator(broken: BrokenSource) -> tuple[SourceStatement, str] | None:
    at = broken.statement_index(broken.break_line)
    if not at:
        return None
    decorator, header = broken.statements[at - 1 : at + 1]
    is_lost = (
        decorator.first_token.text == "@"
        and header.keyword in ("def", "class")
        and header.indent < decorator.indent
    )
    return (header, decorator.leading_space) if is_lost else None


def _by_body(broken: BrokenSource) -> tuple[SourceStatement, str] | None:
    structure_break = broken.structure_break
    if (
        structure_break is None
        or structure_break.kind is not BreakKind.EMPTY_BLOCK
        or structure_break.index + 1 >= len(broken.statements)
    ):
        return None
    outer, header, body = broken.statements[structure_break.index - 1 : structure_break.index + 2]
    step = indent_width(broken.statements)
    is_lost = (
        header.keyword == "def" and header.indent <= outer.indent and body.indent == outer.indent + 2 * step
    )
    indentation = body.leading_space[: len(body.leading_space) - step]
    return (header, indentation) if is_lost and body.leading_space == indentation + " " * step else None
