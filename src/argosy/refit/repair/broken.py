"""A text that does not parse, as rules see it: tokens, statements, the first break, Python's complaint."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Sequence
from functools import cached_property

from argosy.refit.outline import Fracture, fractures
from argosy.refit.repair.edit import line_stop
from argosy.refit.statements import Statement, divide
from argosy.refit.tokens import Token, scan
from argosy.source.text import split_lines

# A prefix of a sound file ends like this, which says nothing of what is above its end.
_CUT = ("was never closed", "unterminated triple-quoted", "unexpected EOF", "was not closed")


class Complaint:
    """What Python's parser says: line and column from 1, and its words."""

    __slots__ = ("column", "line", "message")

    def __init__(self, error: SyntaxError) -> None:
        self.line = max(error.lineno or 1, 1)
        self.column = max(error.offset or 1, 1)
        self.message = error.msg or ""


def complaint_of(text: str) -> Complaint | None:
    """Return what Python has against `text`; None when it parses.

    Raises ValueError: Python gives up without a place (nested too deeply, a null byte).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except SyntaxError as error:
        return Complaint(error)
    except (RecursionError, MemoryError, ValueError) as error:
        raise ValueError(f"nested too deeply, or no text: {error}") from None
    return None


class Broken:
    """A text with a complaint. Everything else is found when asked for."""

    def __init__(self, text: str, complaint: Complaint) -> None:
        self.text = text
        self.said = complaint

    @cached_property
    def tokens(self) -> tuple[Token, ...]:
        return scan(self.text)

    @cached_property
    def statements(self) -> list[Statement]:
        return list(divide(self.tokens))

    @cached_property
    def complaint(self) -> Complaint:
        """The complaint about the first fault: the tokenizer's, about a later line, may come before it."""
        first = self.said
        lines = split_lines(self.text)
        while first.line > 1:
            try:
                above = complaint_of("\n".join(lines[: first.line - 1]) + "\n")
            except ValueError:
                break
            if above is None or above.line >= first.line - 1 or above.message.endswith(_CUT):
                break
            if any(word in above.message for word in _CUT):
                break
            first = above
        return first

    @cached_property
    def fracture(self) -> Fracture | None:
        """The first break of the structure, unless Python stops above it."""
        for fracture in fractures(self.statements):
            is_first = self.statements[fracture.at].line <= self.said.line
            return fracture if is_first else None
        return None

    @cached_property
    def position(self) -> int:
        """The offset of the first break."""
        if self.fracture is not None:
            return self.fracture.token.start
        line = self.complaint.line
        start = next((token.start for token in self.tokens if token.line >= line), len(self.text))
        return min(start + self.complaint.column - 1, line_stop(self.text, start))

    @property
    def line(self) -> int:
        """The line of the first break."""
        return self.fracture.token.line if self.fracture is not None else self.complaint.line

    @cached_property
    def remaining(self) -> int:
        """How many tokens of code are left from the first break on: a step has to make this smaller."""
        position = self.position
        return len([token for token in self.tokens if token.start >= position and token.is_code])

    def statement_at(self, line: int) -> int | None:
        """Return the index of the statement that `line` belongs to."""
        for at, statement in enumerate(self.statements):
            if statement.line <= line <= statement.end_line:
                return at
        return None

    def around(self, at: int) -> list[int]:
        """Return the indexes of the headers around the statement `at`, the outermost first.

        Of a statement that stands too far left, these are the headers around its column.
        """
        return headers_above(self.statements, at, self.statements[at].indent)


def headers_above(statements: Sequence[Statement], at: int, column: int) -> list[int]:
    """Return the indexes of the headers of the blocks around `column` at the statement `at`."""
    found: list[int] = []
    for index in range(at - 1, -1, -1):
        statement = statements[index]
        if statement.indent < column:
            column = statement.indent
            if statement.is_opener:
                found.append(index)
        if column == 0:
            break
    return found[::-1]
