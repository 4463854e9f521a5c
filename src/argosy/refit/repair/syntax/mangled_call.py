"""Repairs a placeholder string that became a call: `f"tcp://host:{port}"` and `endpoint({port}, "host"))`.

Two forms. If the placeholder was plain, its braces are left around the first argument (a set, once it parses)
and there is a surplus closing bracket. If it had a quote, the rewrite's pattern stopped there: the matched
part is inside the call, the quote is missing, and the rest follows, as in `endpoint({agent[,
"localhost"))port']}")` for `agent['port']`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from argosy.refit.analysis.block_structure import BreakKind
from argosy.refit.analysis.lenient_statements import SourceStatement
from argosy.refit.analysis.lenient_tokens import Token
from argosy.refit.repair.broken_source import BrokenSource
from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.span_edit import SpanEdit, line_start, next_line_start

NAME = "mangled-call"
_MANGLED_AT_QUOTE = re.compile(
    r"""(?P<head>\w+\()\{(?P<before>[^{}"']*?),\s*(?P<host>"[^"'\r\n]*"|'[^"'\r\n]*')\)\)"""
    r"""(?P<inside>[^{}"']*)(?P<quote>['"])(?P<after>[^{}"']*)\}["']\)"""
)


def propose(broken: BrokenSource) -> Iterator[RepairCandidate]:
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
        edits = tuple(SpanEdit(token.start, token.end, "") for token in (brace, tokens[closing], stray))
        description = f"the braces of a placeholder in `{name.text}(...)` are removed, with a surplus `)`"
        yield RepairCandidate(NAME, name.line, edits, description)
        return


def _cut_at_quote(broken: BrokenSource, near: Token) -> Iterator[RepairCandidate]:
    start, stop = line_start(broken.text, near.start), next_line_start(broken.text, near.start)
    match = _MANGLED_AT_QUOTE.search(broken.text, start, stop)
    if match is None:
        return
    groups = match.groupdict()
    value = groups["before"] + groups["quote"] + groups["inside"] + groups["quote"] + groups["after"]
    repaired = f"{groups['head']}{value}, {groups['host']}))"
    description = f"an expression that a rewrite cut at a quote is restored: `{value}`"
    yield RepairCandidate(NAME, near.line, (SpanEdit(match.start(), match.end(), repaired),), description)
