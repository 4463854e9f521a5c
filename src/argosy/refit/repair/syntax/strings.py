"""Syntax rules for strings: a line end, a quote or a prefix that a rewrite left wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from argosy.refit.analysis.lenient_tokens import Token
from argosy.refit.repair.broken_source import BrokenSource
from argosy.refit.repair.repair_rule import RepairCandidate
from argosy.refit.transaction.text_edit import TextEdit
from argosy.refit.transaction.text_positions import start_of_next_line


def split_string(broken: BrokenSource) -> Iterator[RepairCandidate]:
    """Join a string that is broken at a line end: `print("` and the rest on the next line.

    A program that generates programs wrote a line end instead of the two characters of its escape. The two
    lines are joined by the escape again.
    """
    token = _unterminated_string(broken)
    if token is None:
        return
    quote = token.text.lstrip("rRbBuUfFtT")[0]
    stop = start_of_next_line(broken.text, token.end)
    following = broken.text[stop : start_of_next_line(broken.text, stop)]
    if quote in token.text.lstrip("rRbBuUfFtT")[1:] or quote not in following:
        return
    yield RepairCandidate(
        "split-string",
        token.line,
        (TextEdit(token.end, stop, "\\n"),),
        "a line end inside a string becomes an escape again",
    )


def _unterminated_string(broken: BrokenSource) -> Token | None:
    at = broken.statement_index(broken.break_line)
    if at is None:
        return None
    for token in broken.statements[at].tokens:
        if token.kind == "open_string":
            is_triple = token.text.lstrip("rRbBuUfFtT").startswith(('"""', "'''"))
            is_raw = "r" in token.text[: len(token.text) - len(token.text.lstrip("rRbBuUfFtT"))].lower()
            return None if is_triple or is_raw else token
    return None


_BRACES = re.compile(r"(?<!\{)\{([^{}]*)\}")


def fstring_quote(broken: BrokenSource) -> Iterator[RepairCandidate]:
    """Replace quotes with a backslash inside the braces of an f-string by quotes of the other type."""
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
            TextEdit(
                token.start + match.start(1),
                token.start + match.end(1),
                match[1].replace("\\" + quote, other),
            )
            for match in _BRACES.finditer(token.text)
            if "\\" + quote in match[1] and other not in match[1]
        ]
        if edits:
            description = "quotes inside the braces of an f-string become the other type"
            yield RepairCandidate("fstring-quote", token.line, tuple(edits), description)


def doubled_prefix(broken: BrokenSource) -> Iterator[RepairCandidate]:
    """Remove the second of two string prefixes, as in `ff"..."`."""
    at = broken.statement_index(broken.first_problem.line)
    if at is None or broken.structure_break is not None:
        return
    for name, text in pairwise(broken.statements[at].tokens):
        is_double = len(name.text) == 2 and name.text[0] == name.text[1] and name.text[0] in "fFrRbB"
        if is_double and text.kind == "string" and name.end == text.start and text.text[0] in "'\"":
            description = f"the prefix `{name.text}` of a string becomes `{name.text[0]}`"
            yield RepairCandidate(
                "doubled-prefix", name.line, (TextEdit(name.start, name.start + 1, ""),), description
            )
