"""A source that does not parse, as rules see it: tokens, statements, and the first problem."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise

from argosy.refit.analysis.block_structure import StructureBreak, find_structure_breaks
from argosy.refit.analysis.lenient_statements import SourceStatement, split_statements
from argosy.refit.analysis.lenient_tokens import Token, tokenize_leniently
from argosy.refit.transaction.text_edit import TextEdit
from argosy.refit.transaction.text_positions import start_of_line, start_of_next_line
from argosy.source.python_source import split_lines

# Errors at the end of a truncated prefix, which say nothing about the text before it.
_TRUNCATION_MESSAGES = ("was never closed", "unterminated triple-quoted", "unexpected EOF", "was not closed")


class SyntaxProblem:
    """A syntax error as Python's parser reports it: message, and line and column from 1."""

    __slots__ = ("column", "line", "message")

    def __init__(self, error: SyntaxError) -> None:
        self.line = max(error.lineno or 1, 1)
        self.column = max(error.offset or 1, 1)
        self.message = error.msg or ""


def find_syntax_problem(text: str) -> SyntaxProblem | None:
    """Return the syntax error of `text`; None if it parses.

    Raises ValueError: Python gives no position (nested too deeply, a null byte).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except SyntaxError as error:
        return SyntaxProblem(error)
    except (RecursionError, MemoryError, ValueError) as error:
        raise ValueError(f"nested too deeply, or not text: {error}") from None
    return None


class BrokenSource:
    """A text with a syntax error. Everything else is computed on demand."""

    def __init__(self, text: str, problem: SyntaxProblem) -> None:
        self.text = text
        self.parser_problem = problem

    @cached_property
    def tokens(self) -> tuple[Token, ...]:
        return tokenize_leniently(self.text)

    @cached_property
    def statements(self) -> list[SourceStatement]:
        return list(split_statements(self.tokens))

    @cached_property
    def first_problem(self) -> SyntaxProblem:
        """The first error in the text: the tokenizer may report a later one before it."""
        first = self.parser_problem
        lines = split_lines(self.text)
        while first.line > 1:
            try:
                above = find_syntax_problem("\n".join(lines[: first.line - 1]) + "\n")
            except ValueError:
                break
            if above is None or above.line >= first.line - 1 or above.message.endswith(_TRUNCATION_MESSAGES):
                break
            if any(word in above.message for word in _TRUNCATION_MESSAGES):
                break
            first = above
        return first

    @cached_property
    def structure_break(self) -> StructureBreak | None:
        """The first break of the block structure, unless Python stops above it."""
        for structure_break in find_structure_breaks(self.statements):
            is_first = self.statements[structure_break.index].line <= self.parser_problem.line
            return structure_break if is_first else None
        return None

    @cached_property
    def break_offset(self) -> int:
        """The offset of the first break."""
        if self.structure_break is not None:
            return self.structure_break.token.start
        line = self.first_problem.line
        start = next((token.start for token in self.tokens if token.line >= line), len(self.text))
        return min(start + self.first_problem.column - 1, start_of_next_line(self.text, start))

    @property
    def break_line(self) -> int:
        """The line of the first break."""
        return (
            self.structure_break.token.line if self.structure_break is not None else self.first_problem.line
        )

    @cached_property
    def remaining_tokens(self) -> int:
        """The number of code tokens after the first break; each step has to reduce it."""
        position = self.break_offset
        return len([token for token in self.tokens if token.start >= position and token.is_code])

    def statement_index(self, line: int) -> int | None:
        """Return the index of the statement that contains `line`."""
        for at, statement in enumerate(self.statements):
            if statement.line <= line <= statement.end_line:
                return at
        return None

    def enclosing_headers(self, at: int) -> list[int]:
        """Return the indexes of the headers around the statement `at`, the outermost first.

        For a statement that is too far left, these are the headers around its column.
        """
        return find_enclosing_headers(self.statements, at, self.statements[at].indent)


def find_enclosing_headers(statements: Sequence[SourceStatement], at: int, column: int) -> list[int]:
    """Return the indexes of the headers of the blocks around `column` at the statement `at`."""
    found: list[int] = []
    for index in range(at - 1, -1, -1):
        statement = statements[index]
        if statement.indent < column:
            column = statement.indent
            if statement.is_block_header:
                found.append(index)
        if column == 0:
            break
    return found[::-1]


def whole_lines_span(text: str, statements: Sequence[SourceStatement]) -> tuple[int, int]:
    """Return the span of the whole lines of consecutive `statements`."""
    first, last = statements[0].first_token, statements[-1].last_token
    return start_of_line(text, first.start), start_of_next_line(text, last.end)


def reindent_first_line(statement: SourceStatement, indentation: str) -> TextEdit:
    """Return the edit that gives the first line of `statement` another indentation."""
    return TextEdit(statement.start, statement.first_token.start, indentation)


def names_mentioned(statement: SourceStatement) -> set[str]:
    """Return the names that a statement mentions, without attributes (`b` of `a.b`)."""
    found = {statement.first_token.text} if statement.first_token.kind == "name" else set()
    found |= {
        token.text
        for before, token in pairwise(statement.tokens)
        if token.kind == "name" and before.text != "."
    }
    return found


def names_bound(statement: SourceStatement) -> set[str]:
    """Return the names that an import or a plain assignment binds; empty for any other statement."""
    texts = [token.text for token in statement.tokens]
    if statement.keyword == "import":
        return {name.split(".")[0] for name in _bound_aliases("".join(f" {text} " for text in texts[1:]))}
    if statement.keyword == "from" and "import" in texts:
        listed = texts[texts.index("import") + 1 :]
        return _bound_aliases(" ".join(text for text in listed if text not in "()"))
    if len(texts) > 2 and statement.first_token.kind == "name" and texts[1] == "=":
        return {texts[0]}
    return set()


def _bound_aliases(text: str) -> set[str]:
    found: set[str] = set()
    for part in text.split(","):
        tokens = part.split()
        if tokens and tokens[0].isidentifier():
            found.add(tokens[-1] if "as" in tokens else tokens[0])
    return found
