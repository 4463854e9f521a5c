"""Repairs lines that are left of the block which goes on below them.

They were inserted after something that looked like the last import. If the whole file uses the names they
bind, they were meant for the module, and move above the module-level statement that they interrupt; else they
belong to the block, and get its column back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from argosy.refit.analysis.injected_block import InjectedBlock, find_injected_block
from argosy.refit.analysis.lenient_statements import SourceStatement, indent_column
from argosy.refit.repair.broken_source import BrokenSource, find_enclosing_headers
from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.span_edit import SpanEdit, line_start, reindent_first_line, whole_lines_span
from argosy.refit.repair.statement_names import names_bound, names_mentioned

NAME = "dedented-lines"


def propose(broken: BrokenSource) -> Iterator[RepairCandidate]:
    structure_break = broken.structure_break
    injected = (
        find_injected_block(broken.statements, structure_break) if structure_break is not None else None
    )
    if injected is None:
        return
    all_lines = set(range(injected.start, injected.stop))
    module_level = {at for at in all_lines if _is_module_level(broken, injected, at)}
    moved_choices = (
        [module_level]
        if _is_guarded(broken, injected) and not module_level
        else [module_level, set(), all_lines]
    )
    if injected.is_whole_body or _is_guarded(broken, injected):
        moved_choices = [set(), *moved_choices]
    distinct: list[set[int]] = []
    for moved in moved_choices:
        if moved in distinct or (injected.is_whole_body and moved):
            continue
        distinct.append(moved)
    for penalty, moved in enumerate(distinct):
        edits = _build_edits(broken, injected, moved)
        yield RepairCandidate(
            NAME,
            broken.statements[injected.start].line,
            edits,
            _describe(injected, moved),
            penalty,
            len(distinct),
        )


def _describe(injected: InjectedBlock, moved: set[int]) -> str:
    count = injected.stop - injected.start
    lines_text = "a line" if count == 1 else f"{count} lines"
    if not moved:
        return f"{lines_text} left of the block: moved to its column"
    if len(moved) == count:
        return f"{lines_text} left of the block: moved above the statement that they interrupt"
    return (
        f"{lines_text} left of the block: {len(moved)} moved above the statement that they interrupt, "
        "the others into the block"
    )


def _is_guarded(broken: BrokenSource, injected: InjectedBlock) -> bool:
    """Return whether the block is that of a try, where an import is meant to be caught."""
    headers = find_enclosing_headers(broken.statements, injected.start, injected.resume_column)
    keywords = {statement.keyword for statement in broken.statements[injected.start : injected.stop]}
    is_import = keywords <= {"import", "from"}
    return is_import and bool(headers) and broken.statements[headers[-1]].keyword == "try"


def _is_module_level(broken: BrokenSource, injected: InjectedBlock, at: int) -> bool:
    """Return whether names bound by the statement `at` are read outside the function it interrupts."""
    bound = names_bound(broken.statements[at])
    if not bound:
        return False
    start, stop = _function_span(broken, injected)
    outside = (*broken.statements[:start], *broken.statements[stop:])
    # If another line binds the name too, each place uses its own.
    own_names = bound - set().union(*(names_bound(statement) for statement in outside))
    return any(own_names & names_mentioned(statement) for statement in outside)


def _function_span(broken: BrokenSource, injected: InjectedBlock) -> tuple[int, int]:
    """Return the indexes of the innermost function around the injected lines, or of the outermost block."""
    statements = broken.statements
    headers = find_enclosing_headers(statements, injected.start, injected.resume_column)
    functions = [at for at in headers if statements[at].keyword == "def"]
    start = functions[-1] if functions else (headers[0] if headers else injected.start)
    stop = injected.stop
    while stop < len(statements) and statements[stop].indent > statements[start].indent:
        stop += 1
    return start, stop


def _build_edits(broken: BrokenSource, injected: InjectedBlock, moved: set[int]) -> tuple[SpanEdit, ...]:
    statements = broken.statements
    indentation = _block_indentation(broken, injected)
    edits: list[SpanEdit] = []
    moved_texts: list[str] = []
    for at in range(injected.start, injected.stop):
        if at in moved:
            start, stop = _span_with_comment(broken, at, injected)
            moved_texts.append(broken.text[start:stop])
            edits.append(SpanEdit(start, stop, ""))
        else:
            edits += _indent_edits(broken, statements[at], indentation)
    edits += _misindented_first_line(broken, injected, indentation, moved)
    if moved_texts:
        target = _module_statement_offset(broken, injected)
        edits.append(SpanEdit(target, target, "".join(moved_texts)))
    return tuple(edits)


def _misindented_first_line(
    broken: BrokenSource, injected: InjectedBlock, indentation: str, moved: set[int]
) -> Iterator[SpanEdit]:
    """Yield the edit for a first line of the block that is indented deeper than the block goes on."""
    if injected.start < 2 or len(moved) == injected.stop - injected.start:
        return
    header, before = broken.statements[injected.start - 2 : injected.start]
    if (
        header.is_block_header
        and header.indent < injected.resume_column < before.indent
        and not before.is_block_header
    ):
        yield reindent_first_line(before, indentation)


def _block_indentation(broken: BrokenSource, injected: InjectedBlock) -> str:
    after = broken.statements[injected.stop] if injected.stop < len(broken.statements) else None
    if after is not None and after.indent == injected.resume_column:
        return after.leading_space
    return " " * injected.resume_column


def _indent_edits(broken: BrokenSource, statement: SourceStatement, indentation: str) -> Iterator[SpanEdit]:
    """Yield the edits that indent a statement, with its continuation lines."""
    lines = {token.line for token in statement.tokens}
    yield reindent_first_line(statement, indentation)
    for line in sorted(lines - {statement.line}):
        first = next(token for token in statement.tokens if token.line == line)
        start = line_start(broken.text, first.start)
        if not broken.text[start : first.start].strip(" \t"):
            yield SpanEdit(start, start, indentation)


def _span_with_comment(broken: BrokenSource, at: int, injected: InjectedBlock) -> tuple[int, int]:
    """Return the span of a statement's lines with the comment above it, if it is in the same column."""
    statement = broken.statements[at]
    start, stop = whole_lines_span(broken.text, (statement,))
    while start > 0:
        above = line_start(broken.text, start - 1)
        line = broken.text[above:start]
        is_comment = line.lstrip(" \t").startswith("#")
        if not is_comment or indent_column(line[: len(line) - len(line.lstrip(" \t"))]) != statement.indent:
            break
        start = above
    return start, stop


def _module_statement_offset(broken: BrokenSource, injected: InjectedBlock) -> int:
    """Return the offset of the interrupted module-level statement, decorators included."""
    statements = broken.statements
    at = injected.start - 1
    while at > 0 and statements[at].indent > 0:
        at -= 1
    while at > 0 and (
        statements[at].keyword in ("elif", "else", "except", "finally") or _is_decorator(statements, at - 1)
    ):
        at -= 1
        while at > 0 and statements[at].indent > 0:
            at -= 1
    target = line_start(broken.text, statements[at].first_token.start)
    # Its comment moves with it.
    while target > 0 and broken.text[line_start(broken.text, target - 1)] == "#":
        target = line_start(broken.text, target - 1)
    return target


def _is_decorator(statements: Sequence[SourceStatement], at: int) -> bool:
    return statements[at].first_token.text == "@" and statements[at].indent == 0
