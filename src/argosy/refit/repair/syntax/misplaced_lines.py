"""Syntax rules for misplaced statements: glued to another, inside another, or left of their block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from argosy.refit.analysis.block_structure import BreakKind
from argosy.refit.analysis.injected_block import InjectedBlock, find_injected_block, is_injectable
from argosy.refit.analysis.lenient_statements import (
    CLOSING_BRACKETS,
    OPENING_BRACKETS,
    SourceStatement,
    indent_column,
)
from argosy.refit.analysis.lenient_tokens import Token
from argosy.refit.repair.broken_source import (
    BrokenSource,
    find_enclosing_headers,
    names_bound,
    names_mentioned,
    reindent_first_line,
    whole_lines_span,
)
from argosy.refit.repair.repair_rule import RepairCandidate
from argosy.refit.transaction.text_edit import TextEdit
from argosy.refit.transaction.text_positions import detect_newline, start_of_line

_SUPER_CALL = "super ( ) . __init__ ( * args , ** kwargs )"


def glued_statements(broken: BrokenSource) -> Iterator[RepairCandidate]:
    """Split two statements on one line: the second gets a line of its own.

    The white space between them was its indentation; without any, it is indented like the first. A
    `super().__init__(*args, **kwargs)` in a function that has neither parameter can never have worked: it was
    inserted, and is removed.
    """
    structure_break = broken.structure_break
    if structure_break is None or structure_break.kind is not BreakKind.GLUED_STATEMENTS:
        return
    statement = broken.statements[structure_break.index]
    second = structure_break.token
    first = tuple(token for token in statement.tokens if token.start < second.start)
    gap = broken.text[first[-1].end : second.start]
    if _is_invalid_super_call(broken, structure_break.index, first):
        edit = TextEdit(statement.start, second.start, gap if len(gap) > 1 else statement.leading_space)
        description = "a `super().__init__(*args, **kwargs)` in a function without such parameters is removed"
        yield RepairCandidate("glued-statements", statement.line, (edit,), description)
        return
    indentation = gap if len(gap) > 1 else statement.leading_space
    edit = TextEdit(first[-1].end, second.start, detect_newline(broken.text) + indentation)
    yield RepairCandidate(
        "glued-statements", second.line, (edit,), "the second statement of a line gets a line of its own"
    )


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


def dedented_lines(broken: BrokenSource) -> Iterator[RepairCandidate]:
    """Repair lines that are left of the block which goes on below them.

    They were inserted after something that looked like the last import. If the whole file uses the names they
    bind, they were meant for the module, and move above the module-level statement that they interrupt; else
    they belong to the block, and get its column back.
    """
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
            "dedented-lines",
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


def _build_edits(broken: BrokenSource, injected: InjectedBlock, moved: set[int]) -> tuple[TextEdit, ...]:
    statements = broken.statements
    indentation = _block_indentation(broken, injected)
    edits: list[TextEdit] = []
    moved_texts: list[str] = []
    for at in range(injected.start, injected.stop):
        if at in moved:
            start, stop = _span_with_comment(broken, at, injected)
            moved_texts.append(broken.text[start:stop])
            edits.append(TextEdit(start, stop, ""))
        else:
            edits += _indent_edits(broken, statements[at], indentation)
    edits += _misindented_first_line(broken, injected, indentation, moved)
    if moved_texts:
        target = _module_statement_offset(broken, injected)
        edits.append(TextEdit(target, target, "".join(moved_texts)))
    return tuple(edits)


def _misindented_first_line(
    broken: BrokenSource, injected: InjectedBlock, indentation: str, moved: set[int]
) -> Iterator[TextEdit]:
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


def _indent_edits(broken: BrokenSource, statement: SourceStatement, indentation: str) -> Iterator[TextEdit]:
    """Yield the edits that indent a statement, with its continuation lines."""
    lines = {token.line for token in statement.tokens}
    yield reindent_first_line(statement, indentation)
    for line in sorted(lines - {statement.line}):
        first = next(token for token in statement.tokens if token.line == line)
        start = start_of_line(broken.text, first.start)
        if not broken.text[start : first.start].strip(" \t"):
            yield TextEdit(start, start, indentation)


def _span_with_comment(broken: BrokenSource, at: int, injected: InjectedBlock) -> tuple[int, int]:
    """Return the span of a statement's lines with the comment above it, if it is in the same column."""
    statement = broken.statements[at]
    start, stop = whole_lines_span(broken.text, (statement,))
    while start > 0:
        above = start_of_line(broken.text, start - 1)
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
    target = start_of_line(broken.text, statements[at].first_token.start)
    # Its comment moves with it.
    while target > 0 and broken.text[start_of_line(broken.text, target - 1)] == "#":
        target = start_of_line(broken.text, target - 1)
    return target


def _is_decorator(statements: Sequence[SourceStatement], at: int) -> bool:
    return statements[at].first_token.text == "@" and statements[at].indent == 0


_MAX_STATEMENTS = 10


def split_statement(broken: BrokenSource) -> Iterator[RepairCandidate]:
    """Move whole lines out of the middle of a statement: `READY ` above them, and `= True` after the last.

    A rewrite inserted the lines inside a line. They move above the statement that they split, and its two
    halves are joined.
    """
    at = _last_inserted_index(broken)
    if at is None:
        return
    last = broken.statements[at]
    tail = _unexpected_token(last)
    start = at
    while start > 0 and at - start < _MAX_STATEMENTS and is_injectable(broken.statements[start]):
        if broken.statements[start].indent > 0:
            break
        start -= 1
    head = broken.statements[start]
    if tail is None or start == at or not _is_incomplete(head):
        return
    top = start
    while top > 0 and broken.statements[top].indent > 0:
        top -= 1
    target = start_of_line(broken.text, broken.statements[top].first_token.start)
    first = start_of_line(broken.text, broken.statements[start + 1].first_token.start)
    moved_text = broken.text[first : tail.start] + detect_newline(broken.text)
    edits = (TextEdit(target, target, moved_text), TextEdit(head.last_token.end, tail.start, " "))
    count = at - start
    description = f"{count} lines inside a statement move above it, and its halves are joined"
    yield RepairCandidate("split-statement", head.line, edits, description, 1)


def _last_inserted_index(broken: BrokenSource) -> int | None:
    """Return the index of the statement before the second half of the split one, near the first break."""
    line = (
        broken.structure_break.token.line if broken.structure_break is not None else broken.first_problem.line
    )
    at = broken.statement_index(line)
    if at is None:
        return None
    for index in range(max(at - 1, 0), min(at + _MAX_STATEMENTS, len(broken.statements))):
        if _unexpected_token(broken.statements[index]) is not None:
            return index
        if index > at and not is_injectable(broken.statements[index]):
            break
    return None


def _unexpected_token(statement: SourceStatement) -> Token | None:
    """Return the token after `name = call(...)`, if something begins there that cannot follow it."""
    tokens = statement.tokens
    if statement.indent or len(tokens) < 6 or tokens[0].kind != "name" or tokens[1].text != "=":
        return None
    depth = 0
    for at, token in enumerate(tokens[2:-1], 2):
        depth += (token.text in OPENING_BRACKETS) - (token.text in CLOSING_BRACKETS)
        if token.text == ")" and depth == 0:
            following = tokens[at + 1]
            return (
                following
                if following.text in ("=", "(", "[") or following.kind in ("string", "name")
                else None
            )
    return None


def _is_incomplete(statement: SourceStatement) -> bool:
    """Return whether a statement is incomplete: only a name, or an operator or open bracket at its end."""
    is_name = all(token.kind == "name" or token.text == "." for token in statement.tokens)
    return is_name or statement.last_token.text in (
        "=",
        "+",
        "-",
        ",",
        "and",
        "or",
        "not",
        "return",
        "in",
        *OPENING_BRACKETS,
    )


def dangling_attribute(broken: BrokenSource) -> Iterator[RepairCandidate]:
    """Remove a statement that ends with a dot: `self.` of an attribute and call that a pattern removed.

    What it did is lost. The rest of it does nothing and is removed too; if it was alone in its block, `pass`
    replaces it.
    """
    at = broken.statement_index(broken.first_problem.line)
    if at is None or broken.structure_break is not None:
        return
    statement = broken.statements[at]
    *names, last = statement.tokens
    if last.text != "." or not all(token.kind == "name" or token.text == "." for token in names) or not names:
        return
    before = broken.statements[at - 1] if at else None
    after = broken.statements[at + 1] if at + 1 < len(broken.statements) else None
    is_alone = (
        before is not None and before.is_block_header and (after is None or after.indent < statement.indent)
    )
    if is_alone:
        edit = TextEdit(statement.first_token.start, last.end, "pass")
    else:
        start, stop = whole_lines_span(broken.text, (statement,))
        edit = TextEdit(start, stop, "")
    remainder = broken.text[statement.first_token.start : last.end]
    description = f"`{remainder}` has lost its attribute and does nothing: removed"
    yield RepairCandidate("dangling-attribute", statement.line, (edit,), description, 1)
