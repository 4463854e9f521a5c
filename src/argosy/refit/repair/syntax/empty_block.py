"""Repairs a header with nothing below it.

If the lines after it are in its own column, they were its block, and are indented: up to the handler of a
try, up to the end of the flow (`return`), up to a blank line after which the outer block goes on, or to the
end of the lines in that column. If no lines can have been its block, `pass` is inserted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from argosy.refit.analysis.block_structure import BreakKind
from argosy.refit.analysis.injected_block import find_injected_block, indent_width
from argosy.refit.analysis.lenient_statements import SourceStatement
from argosy.refit.repair.broken_source import BrokenSource
from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.span_edit import SpanEdit, detect_newline, line_start

NAME = "empty-block"
_FLOW_ENDS = frozenset({"return", "raise", "continue", "break"})
_CONTINUATIONS = frozenset({"except", "finally", "else", "elif"})


def propose(broken: BrokenSource) -> Iterator[RepairCandidate]:
    structure_break = broken.structure_break
    if structure_break is None or structure_break.kind is not BreakKind.EMPTY_BLOCK:
        return
    statements, at = broken.statements, structure_break.index
    is_end = at == len(statements) - 1 and statements[at].is_block_header
    header = statements[at] if is_end else statements[at - 1]
    if not is_end and find_injected_block(statements, structure_break) is not None:
        return
    block_ends = [] if is_end else list(_possible_block_ends(broken, at))
    for penalty, stop in enumerate(block_ends):
        count = stop - at
        moved_text = "a line is indented" if count == 1 else f"{count} lines are indented"
        yield RepairCandidate(
            NAME,
            header.line,
            tuple(_indent_edits(broken, at, stop)),
            f"{moved_text} under the `{header.keyword}` of line {header.line}",
            penalty,
            len(block_ends),
        )
    if (
        not block_ends
        and not _is_header_lost(statements, at)
        and header.keyword not in ("class", "for", "while", "with", "if", "elif")
    ):
        indentation = header.leading_space + " " * indent_width(statements)
        edit = SpanEdit(
            header.last_token.end, header.last_token.end, f"{detect_newline(broken.text)}{indentation}pass"
        )
        yield RepairCandidate(NAME, header.line, (edit,), f"the empty `{header.keyword}` gets `pass`", 1, 1)


def _is_header_lost(statements: Sequence[SourceStatement], at: int) -> bool:
    """Return whether a header with a block two steps deeper follows: that header was moved."""
    if at + 1 >= len(statements) or not statements[at].is_block_header:
        return False
    return statements[at + 1].indent > statements[at].indent + indent_width(statements)


def _possible_block_ends(broken: BrokenSource, at: int) -> Iterator[int]:
    """Yield where the block that begins at `at` may end (exclusive), the likeliest first."""
    statements = broken.statements
    column, keyword = statements[at - 1].indent, statements[at - 1].keyword
    if statements[at].indent != column or statements[at].keyword in (*_CONTINUATIONS, "def", "class"):
        return
    stop = at
    continuing: list[int] = []
    ends: list[int] = []
    while stop < len(statements) and statements[stop].indent >= column:
        current = statements[stop]
        if current.indent == column and current.keyword in (*_CONTINUATIONS, "def", "class"):
            break
        stop += 1
        following = statements[stop].indent if _has_gap_above(statements, stop) else -1
        if following == column + indent_width(statements):
            continuing.append(stop)
        elif (
            keyword != "try"
            and current.indent == column
            and (current.keyword in _FLOW_ENDS or following == column)
        ):
            ends.append(stop)
    yield from dict.fromkeys([*continuing[:1], *ends[:2], stop])


def _has_gap_above(statements: Sequence[SourceStatement], at: int) -> bool:
    """Return whether a blank line or a comment is above the statement `at`."""
    return at < len(statements) and statements[at].line > statements[at - 1].end_line + 1


def _indent_edits(broken: BrokenSource, at: int, stop: int) -> Iterator[SpanEdit]:
    """Yield the edits that indent the statements by one step, with their continuation lines."""
    header = broken.statements[at - 1]
    extra = "\t" if header.leading_space.endswith("\t") else " " * indent_width(broken.statements)
    for statement in broken.statements[at:stop]:
        for start in _line_starts(broken.text, statement):
            yield SpanEdit(start, start, extra)


def _line_starts(text: str, statement: SourceStatement) -> Sequence[int]:
    """Return where the lines of a statement begin, except lines that begin inside a string."""
    found: list[int] = []
    for token in statement.tokens:
        start = line_start(text, token.start)
        if not text[start : token.start].strip(" \t\f") and start not in found:
            found.append(start)
    return found
