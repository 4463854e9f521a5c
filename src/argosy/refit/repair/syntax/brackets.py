"""Syntax rules for brackets: one too many, a call that a rewrite mangled, a second list of bases."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from argosy.refit.analysis.block_structure import BreakKind
from argosy.refit.analysis.injected_block import is_injectable
from argosy.refit.analysis.lenient_statements import CLOSING_BRACKETS, OPENING_BRACKETS, SourceStatement
from argosy.refit.analysis.lenient_tokens import Token
from argosy.refit.repair.broken_source import BrokenSource, whole_lines_span
from argosy.refit.repair.repair_rule import RepairCandidate
from argosy.refit.transaction.text_edit import TextEdit
from argosy.refit.transaction.text_positions import start_of_line, start_of_next_line

_MANGLED_AT_QUOTE = re.compile(
    r"""(?P<head>\w+\()\{(?P<before>[^{}"']*?),\s*(?P<host>"[^"'\r\n]*"|'[^"'\r\n]*')\)\)"""
    r"""(?P<inside>[^{}"']*)(?P<quote>['"])(?P<after>[^{}"']*)\}["']\)"""
)


def mangled_call(broken: BrokenSource) -> Iterator[RepairCandidate]:
    """Repair a placeholder string that became a call: `f"//h:{port}"` and `endpoint({port}, "h"))`.

    Two forms. If the placeholder was plain, its braces are left around the first argument (a set, once it
    parses) and there is a surplus closing bracket. If it had a quote, the rewrite's pattern stopped there:
    the matched part is inside the call, the quote is missing, and the rest follows, as in `endpoint({agent[,
    "localhost"))port']}")` for `agent['port']`.
    """
    structure_break = broken.structure_break
    if structure_break is None or structure_break.kind not in (
        BreakKind.EXTRA_BRACKET,
        BreakKind.CROSSED_BRACKET,
        BreakKind.UNCLOSED_BRACKET,
    ):
        return
    statement = broken.statements[structure_break.index]
    yield from _plain_placeholder(statement)
    yield from _cut_at_quote(broken, structure_break.token)


def _plain_placeholder(statement: SourceStatement) -> Iterator[RepairCandidate]:
    if not statement.extra_brackets:
        return
    tokens = statement.tokens
    for at in range(len(tokens) - 4):
        name, opening, brace = tokens[at : at + 3]
        if name.kind != "name" or opening.text != "(" or brace.text != "{":
            continue
        closing = next((index for index in range(at + 3, len(tokens)) if tokens[index].text == "}"), None)
        if closing is None or closing + 1 >= len(tokens) or tokens[closing + 1].text != ",":
            continue
        if any(token.text in (":", ",", "{", "**") for token in tokens[at + 3 : closing]):
            continue
        stray = statement.extra_brackets[0]
        edits = tuple(TextEdit(token.start, token.end, "") for token in (brace, tokens[closing], stray))
        description = f"the braces of a placeholder in `{name.text}(...)` are removed, with a surplus `)`"
        yield RepairCandidate("mangled-call", name.line, edits, description)
        return


def _cut_at_quote(broken: BrokenSource, near: Token) -> Iterator[RepairCandidate]:
    start, stop = start_of_line(broken.text, near.start), start_of_next_line(broken.text, near.start)
    match = _MANGLED_AT_QUOTE.search(broken.text, start, stop)
    if match is None:
        return
    groups = match.groupdict()
    value = groups["before"] + groups["quote"] + groups["inside"] + groups["quote"] + groups["after"]
    repaired = f"{groups['head']}{value}, {groups['host']}))"
    description = f"an expression that a rewrite cut at a quote is restored: `{value}`"
    yield RepairCandidate(
        "mangled-call", near.line, (TextEdit(match.start(), match.end(), repaired),), description
    )


def extra_bracket(broken: BrokenSource) -> Iterator[RepairCandidate]:
    """Remove a surplus closing bracket.

    In a row of closing brackets any may be removed, the text is the same. If there are several rows, the one
    that leaves no comma outside every bracket is likelier: `f(a), b)` was one call.
    """
    structure_break = broken.structure_break
    if structure_break is None or structure_break.kind not in (
        BreakKind.EXTRA_BRACKET,
        BreakKind.CROSSED_BRACKET,
    ):
        return
    statement = broken.statements[structure_break.index]
    if structure_break.kind is BreakKind.EXTRA_BRACKET:
        brackets = _candidate_brackets(statement, structure_break.token)
    else:
        # A bracket of another type in between is the surplus one if a bracket is left over at the end.
        brackets = [structure_break.token] if statement.extra_brackets else []
    for penalty, token in enumerate(brackets):
        edit = TextEdit(token.start, token.end, "")
        description = f"a `{token.text}` too many is removed"
        yield RepairCandidate("extra-bracket", token.line, (edit,), description, penalty, len(brackets))


def _candidate_brackets(statement: SourceStatement, stray: Token) -> list[Token]:
    """Return one bracket of each row that may be the surplus one, the likeliest first."""
    earlier = _last_closing_before(statement.tokens, stray)
    if earlier is None:
        return [stray]
    return [earlier, stray] if _follows_comma(statement.tokens, earlier) else [stray, earlier]


def _last_closing_before(tokens: Sequence[Token], stray: Token) -> Token | None:
    """Return the last bracket before the surplus one that closed everything; None if both are in one row."""
    depth = 0
    found: Token | None = None
    for before, token in pairwise(tokens):
        if before.kind == "operator" and before.text in OPENING_BRACKETS:
            depth += 1
        elif before.kind == "operator" and before.text in CLOSING_BRACKETS:
            depth -= 1
            if depth == 0 and before.text == stray.text:
                found = before
        if token is stray:
            return None if found is before else found
    return None


def _follows_comma(tokens: Sequence[Token], bracket: Token) -> bool:
    return any(token.text == "," for before, token in pairwise(tokens) if before is bracket)


_MAX_STATEMENTS = 6


def inside_brackets(broken: BrokenSource) -> Iterator[RepairCandidate]:
    """Move whole statements that are between the brackets of another above it."""
    structure_break = broken.structure_break
    if structure_break is None or structure_break.kind is not BreakKind.UNCLOSED_BRACKET:
        return
    statements, at = broken.statements, structure_break.index
    stop = at + 1
    while stop < len(statements) and stop - at <= _MAX_STATEMENTS and is_injectable(statements[stop]):
        if statements[stop].indent > statements[at].indent:
            break
        stop += 1
    if stop == at + 1 or stop == len(statements):
        return
    start, end = whole_lines_span(broken.text, statements[at + 1 : stop])
    target = start_of_line(broken.text, statements[at].first_token.start)
    edits = (TextEdit(target, target, broken.text[start:end]), TextEdit(start, end, ""))
    description = (
        f"{stop - at - 1} statement{'s' * (stop - at > 2)} inside the brackets of another move above it"
    )
    yield RepairCandidate("inside-brackets", statements[at + 1].line, edits, description)


def second_bases(broken: BrokenSource) -> Iterator[RepairCandidate]:
    """Remove the first of two base lists of a class, which was inserted before the class's own.

    The text does not show which of the two its author wrote, so there are always two alternatives.
    """
    structure_break = broken.structure_break
    if structure_break is None or structure_break.kind is not BreakKind.SECOND_BASES:
        return
    tokens = broken.statements[structure_break.index].tokens
    first = next(token for token in tokens if token.text == "(")
    removed = broken.text[first.start : structure_break.token.start]
    edit = TextEdit(first.start, structure_break.token.start, "")
    yield RepairCandidate(
        "second-bases", first.line, (edit,), f"the first list of bases, `{removed}`, is removed", 1, 2
    )
