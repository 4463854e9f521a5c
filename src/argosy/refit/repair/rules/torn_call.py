"""A text with a placeholder that was made a call: `f"tcp://host:{port}"` and `endpoint({port}, "host"))`.

Two forms. Where the placeholder was plain, its braces are left around the first argument (a set, once
it parses) and a bracket too many closes. Where it held a quote, the rewrite's pattern stopped there:
what it took is inside the call, the quote is gone, and the rest stands behind, as in
`endpoint({agent[, "localhost"))port']}")` for `agent['port']`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from argosy.refit.outline import Break
from argosy.refit.repair.broken import Broken
from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import Edit, line_start, line_stop
from argosy.refit.statements import Statement
from argosy.refit.tokens import Token

NAME = "torn-call"
_CUT_AT_QUOTE = re.compile(
    r"""(?P<head>\w+\()\{(?P<before>[^{}"']*?),\s*(?P<host>"[^"'\r\n]*"|'[^"'\r\n]*')\)\)"""
    r"""(?P<inside>[^{}"']*)(?P<quote>['"])(?P<after>[^{}"']*)\}["']\)"""
)


def propose(broken: Broken) -> Iterator[Candidate]:
    fracture = broken.fracture
    if fracture is None or fracture.kind not in (Break.STRAY, Break.CROSSED, Break.UNCLOSED):
        return
    statement = broken.statements[fracture.at]
    yield from _plain(statement)
    yield from _cut(broken, fracture.token)


def _plain(statement: Statement) -> Iterator[Candidate]:
    if not statement.stray:
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
        stray = statement.stray[0]
        edits = tuple(Edit(token.start, token.end, "") for token in (brace, tokens[closing], stray))
        said = f"the braces of a text's placeholder are gone from `{name.text}(...)`, and a `)` too many"
        yield Candidate(NAME, name.line, edits, said)
        return


def _cut(broken: Broken, near: Token) -> Iterator[Candidate]:
    start, stop = line_start(broken.text, near.start), line_stop(broken.text, near.start)
    match = _CUT_AT_QUOTE.search(broken.text, start, stop)
    if match is None:
        return
    part = match.groupdict()
    value = part["before"] + part["quote"] + part["inside"] + part["quote"] + part["after"]
    mended = f"{part['head']}{value}, {part['host']}))"
    said = f"what a rewrite cut at a quote is whole again: `{value}`"
    yield Candidate(NAME, near.line, (Edit(match.start(), match.end(), mended),), said)
