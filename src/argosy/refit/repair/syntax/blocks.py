"""Syntax rules for blocks: a header without its body, and a body without its header."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from argosy.refit.analysis.block_structure import BreakKind
from argosy.refit.analysis.damage import find_moved_header
from argosy.refit.analysis.injected_block import find_injected_block, indent_width
from argosy.refit.analysis.lenient_statements import SourceStatement
from argosy.refit.repair.broken_source import BrokenSource, reindent_first_line, whole_lines_span
from argosy.refit.repair.repair_rule import RepairCandidate
from argosy.refit.transaction.text_edit import TextEdit
from argosy.refit.transaction.text_positions import detect_newline, start_of_line


def except_without_try(broken: BrokenSource) -> Iterator[RepairCandidate]:
    """Repair an `except` that belongs to no try.

    If its try has a handler of its own further down, this one was inserted into the middle of the block: it
    is removed, with the single line below it. If the try has none, the handler has only lost its column, and
    is moved back to that of the try.
    """
    structure_break = broken.structure_break
    if structure_break is None or structure_break.kind not in (
        BreakKind.ORPHAN_CLAUSE,
        BreakKind.TRY_WITHOUT_HANDLER,
    ):
        return
    statements, at = broken.statements, structure_break.index
    if statements[at].keyword != "except" or at + 1 >= len(statements):
        return
    opening = _find_open_try(statements, at)
    if opening is None:
        return
    has_own_handler = _has_own_handler(statements, at, statements[opening].indent)
    options = [_remove_handler(broken, at), _dedent_handler(broken, at, opening)]
    found = [way for way in (options if has_own_handler else options[::-1]) if way is not None]
    for penalty, (edits, description) in enumerate(found):
        yield RepairCandidate(
            "except-without-try", statements[at].line, edits, description, penalty, len(found)
        )


def _remove_handler(broken: BrokenSource, at: int) -> tuple[tuple[TextEdit, ...], str] | None:
    """Return the candidate that removes the handler, if its body is a single simple line."""
    handler, body = broken.statements[at : at + 2]
    if not handler.is_block_header or body.is_block_header or body.indent <= handler.indent:
        return None
    start, stop = whole_lines_span(broken.text, (handler, body))
    handler_text = broken.text[handler.first_token.start : handler.last_token.end]
    return (TextEdit(start, stop, ""),), f"a handler in the middle of a block is removed: `{handler_text}`"


def _dedent_handler(broken: BrokenSource, at: int, opening: int) -> tuple[tuple[TextEdit, ...], str] | None:
    """Return the candidate that moves the handler, and its body, to the column of its try."""
    statements = broken.statements
    handler, target = statements[at], statements[opening]
    if not handler.leading_space.startswith(target.leading_space) or handler.indent <= target.indent:
        return None
    extra = len(handler.leading_space) - len(target.leading_space)
    edits = [reindent_first_line(handler, target.leading_space)]
    for statement in statements[at + 1 :]:
        if statement.indent <= handler.indent:
            break
        if not statement.leading_space.startswith(handler.leading_space):
            return None
        edits.append(
            reindent_first_line(
                statement,
                statement.leading_space[: len(target.leading_space)]
                + statement.leading_space[len(target.leading_space) + extra :],
            )
        )
    return tuple(edits), "a handler moves to the column of its try"


def _find_open_try(statements: Sequence[SourceStatement], at: int) -> int | None:
    """Return the index of the innermost try that has no handler yet at the statement `at`."""
    closed: set[int] = set()
    column = 1 << 30
    for index in range(at - 1, -1, -1):
        statement = statements[index]
        if statement.keyword in ("except", "finally"):
            closed.add(statement.indent)
        if statement.indent < column or statement.indent in closed:
            if statement.keyword == "try" and statement.is_block_header:
                if statement.indent not in closed:
                    return index
                closed.discard(statement.indent)
            column = min(column, statement.indent)
        if statement.keyword in ("def", "class") and statement.indent == 0:
            break
    return None


def _has_own_handler(statements: Sequence[SourceStatement], at: int, column: int) -> bool:
    """Return whether a handler at `column` follows before anything that ends the block."""
    for statement in statements[at + 1 :]:
        if statement.indent == column and statement.keyword in ("except", "finally"):
            return True
        if statement.indent <= column and statement.keyword in ("def", "class", "try"):
            return False
    return False


def moved_header(broken: BrokenSource) -> Iterator[RepairCandidate]:
    """Move the header of a function at column 0 back to the block of its body.

    Its column is that of the next method, which otherwise begins where no block is; or that of its decorator;
    or one step left of its body, if the header above it would otherwise have no body.
    """
    found = _by_next_method(broken) or _by_decorator(broken) or _by_body(broken)
    if found is None:
        return
    header, indentation = found
    name = header.tokens[2 if header.first_token.text == "async" else 1].text
    description = f"the header of `{name}` moves back to the block of its body"
    yield RepairCandidate(
        "moved-header", header.line, (reindent_first_line(header, indentation),), description
    )


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


_FLOW_ENDS = frozenset({"return", "raise", "continue", "break"})
_CONTINUATIONS = frozenset({"except", "finally", "else", "elif"})


def empty_block(broken: BrokenSource) -> Iterator[RepairCandidate]:
    """Repair a header with nothing below it.

    If the lines after it are in its own column, they were its block, and are indented: up to the handler of a
    try, up to the end of the flow (`return`), up to a blank line after which the outer block goes on, or to
    the end of the lines in that column. If no lines can have been its block, `pass` is inserted.
    """
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
            "empty-block",
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
        edit = TextEdit(
            header.last_token.end, header.last_token.end, f"{detect_newline(broken.text)}{indentation}pass"
        )
        yield RepairCandidate(
            "empty-block", header.line, (edit,), f"the empty `{header.keyword}` gets `pass`", 1, 1
        )


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


def _indent_edits(broken: BrokenSource, at: int, stop: int) -> Iterator[TextEdit]:
    """Yield the edits that indent the statements by one step, with their continuation lines."""
    header = broken.statements[at - 1]
    extra = "\t" if header.leading_space.endswith("\t") else " " * indent_width(broken.statements)
    for statement in broken.statements[at:stop]:
        for start in _line_starts(broken.text, statement):
            yield TextEdit(start, start, extra)


def _line_starts(text: str, statement: SourceStatement) -> Sequence[int]:
    """Return where the lines of a statement begin, except lines that begin inside a string."""
    found: list[int] = []
    for token in statement.tokens:
        start = start_of_line(text, token.start)
        if not text[start : token.start].strip(" \t\f") and start not in found:
            found.append(start)
    return found


_NO_EFFECT_KEYWORDS = frozenset({"pass", "try", "except", "raise", "finally"})


def method_outside_class(broken: BrokenSource) -> Iterator[RepairCandidate]:
    """Repair a method outside every class: indented, after a module's own statements.

    Nothing could ever call it as a method. It is removed if it does nothing; otherwise it moves to column 0
    and becomes a function, so that no code is lost.
    """
    structure_break = broken.structure_break
    if structure_break is None or structure_break.kind is not BreakKind.UNEXPECTED_INDENT:
        return
    statements, at = broken.statements, structure_break.index
    header = statements[at]
    if header.keyword != "def" or not header.is_block_header or at == 0 or statements[at - 1].indent > 0:
        return
    stop = at + 1
    while stop < len(statements) and statements[stop].indent > header.indent:
        stop += 1
    name = header.tokens[1].text
    if _does_nothing(statements[at + 1 : stop]):
        start, end = whole_lines_span(broken.text, statements[at:stop])
        description = f"`{name}` does nothing and is in no class: removed"
        yield RepairCandidate("method-outside-class", header.line, (TextEdit(start, end, ""),), description)
    else:
        edits = tuple(_dedent_edits(broken, statements[at:stop], header.leading_space))
        yield RepairCandidate(
            "method-outside-class",
            header.line,
            edits,
            f"`{name}` is in no class: it becomes a function of the module",
            1,
        )


def _does_nothing(body: Sequence[SourceStatement]) -> bool:
    """Return whether a body only passes, reports impossible errors, and raises."""
    return all(
        statement.keyword in _NO_EFFECT_KEYWORDS
        or statement.first_token.kind == "string"
        or statement.first_token.text in ("logger", "logging", "print")
        for statement in body
    ) and any(statement.keyword == "pass" for statement in body)


def _dedent_edits(
    broken: BrokenSource, statements: Sequence[SourceStatement], indentation: str
) -> Iterator[TextEdit]:
    for statement in statements:
        start = start_of_line(broken.text, statement.first_token.start)
        if statement.leading_space.startswith(indentation):
            yield TextEdit(start, start + len(indentation), "")
