"""Replaces quotes with a backslash inside the braces of an f-string by quotes of the other type."""

from __future__ import annotations

import re
from collections.abc import Iterator

from argosy.refit.repair.broken_source import BrokenSource
from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.span_edit import SpanEdit

NAME = "fstring-quote"
_BRACES = re.compile(r"(?<!\{)\{([^{}]*)\}")


def propose(broken: BrokenSource) -> Iterator[RepairCandidate]:
    at = broken.statement_index(broken.break_line)
    if at is None:
        return
    for token in broken.statements[at].tokens:
        head = token.text.split('"')[0].split("'")[0].lower()
        if token.kind != "string" or "f" not in head or "r" in head:
            continue
        quote = token.text[len(head)]
        other = "'" if quote == '"' else '"'
        edits = [
            SpanEdit(
                token.start + match.start(1),
                token.start + match.end(1),
                match[1].replace("\\" + quote, other),
            )
            for match in _BRACES.finditer(token.text)
            if "\\" + quote in match[1] and other not in match[1]
        ]
        if edits:
            description = "quotes inside the braces of an f-string become the other type"
            yield RepairCandidate(NAME, token.line, tuple(edits), description)
