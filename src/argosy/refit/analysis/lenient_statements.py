"""Statements of source that may be malformed: logical lines with their indentation.

Unbalanced brackets are recorded and tolerated: an extra closing bracket is not counted, and a line that can
only begin a statement ends any bracket that is still open.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from argosy.refit.analysis.lenient_tokens import Token, tokenize_leniently

BLOCK_KEYWORDS = frozenset(
    "if elif else for while try except finally with def class async match case".split()  # noqa: SIM905
)
OPENING_BRACKETS = frozenset("([{")
CLOSING_BRACKETS = frozenset(")]}")
_BRACKET_PAIRS = {")": "(", "]": "[", "}": "{"}
# Keywords that begin a line and cannot occur inside an expression.
_STATEMENT_KEYWORDS = frozenset(
    "def class import return raise try while with pass break continue global nonlocal assert del".split()  # noqa: SIM905
)
_TAB_WIDTH = 8


class SourceStatement(msgspec.Struct, frozen=True):
    """One logical line: its tokens without space and comments, never empty.

    indent: its column as Python counts it, tabs to the next multiple of 8. leading_space: the white space
    before it.
    extra_brackets: closing brackets without an opening one. crossed_brackets: pairs of brackets of different
    kinds.
    unclosed_brackets: those open when another statement begins.
    """

    tokens: tuple[Token, ...]
    indent: int
    leading_space: str
    extra_brackets: tuple[Token, ...]
    crossed_brackets: tuple[tuple[Token, Token], ...]
    unclosed_brackets: tuple[Token, ...]

    @property
    def first_token(self) -> Token:
        return self.tokens[0]

    @property
    def last_token(self) -> Token:
        return self.tokens[-1]

    @property
    def line(self) -> int:
        return self.tokens[0].line

    @property
    def end_line(self) -> int:
        """The line in which it ends."""
        last = self.tokens[-1]
        return last.line + last.text.count("\n")

    @property
    def start(self) -> int:
        """The offset of its leading space, which is that of its line."""
        return self.tokens[0].start - len(self.leading_space)

    @property
    def keyword(self) -> str:
        """The keyword that it begins with, `def` for `async def`; else empty."""
        first = self.tokens[0]
        if first.text == "async" and len(self.tokens) > 1:
            return self.tokens[1].text
        if first.kind == "keyword":
            return first.text
        is_soft = first.text in ("match", "case") and self.tokens[-1].text == ":" and len(self.tokens) > 2
        return first.text if is_soft else ""

    @property
    def is_block_header(self) -> bool:
        """Whether a block must follow."""
        return self.tokens[-1].text == ":" and self.keyword in BLOCK_KEYWORDS

    def normalized_text(self) -> str:
        """Return its tokens separated by one space, to compare and show them."""
        return " ".join(token.text for token in self.tokens)


def read_statements(text: str) -> list[SourceStatement]:
    """Return the statements of `text`, in source order."""
    return list(split_statements(tokenize_leniently(text)))


def split_statements(tokens: Sequence[Token]) -> Iterator[SourceStatement]:
    """Yield the statements of `tokens`, all of a file."""
    builder = _StatementBuilder()
    for index, token in enumerate(tokens):
        kind = token.kind
        if kind == "newline":
            if builder.end_line():
                yield builder.finish()
        elif kind == "space":
            if builder.is_line_start:
                builder.next_leading_space += token.text
        elif kind != "comment":
            if builder.is_line_start:
                if builder.open_brackets and _is_statement_start(tokens, index):
                    yield builder.finish()
                builder.begin()
            builder.add_token(token)
    if builder.tokens:
        yield builder.finish()


class _StatementBuilder:
    def __init__(self) -> None:
        self.is_line_start = True
        self.leading_space = self.next_leading_space = ""
        self.clear()

    def clear(self) -> None:
        self.tokens: list[Token] = []
        self.open_brackets: list[Token] = []
        self.extra_brackets: list[Token] = []
        self.crossed_brackets: list[tuple[Token, Token]] = []

    def begin(self) -> None:
        if not self.tokens:
            self.leading_space = self.next_leading_space
        self.is_line_start = False

    def end_line(self) -> bool:
        """Handle the end of a line, and return whether a statement ends there."""
        self.is_line_start, self.next_leading_space = True, ""
        return bool(self.tokens) and not self.open_brackets

    def add_token(self, token: Token) -> None:
        self.tokens.append(token)
        if token.kind != "operator":
            return
        if token.text in OPENING_BRACKETS:
            self.open_brackets.append(token)
        elif token.text in _BRACKET_PAIRS:
            if not self.open_brackets:
                self.extra_brackets.append(token)
            else:
                opening = self.open_brackets.pop()
                if opening.text != _BRACKET_PAIRS[token.text]:
                    self.crossed_brackets.append((opening, token))

    def finish(self) -> SourceStatement:
        statement = SourceStatement(
            tuple(self.tokens),
            indent_column(self.leading_space),
            self.leading_space,
            tuple(self.extra_brackets),
            tuple(self.crossed_brackets),
            tuple(self.open_brackets),
        )
        self.clear()
        return statement


def indent_column(leading_space: str) -> int:
    """Return the column after `leading_space`."""
    column = 0
    for char in leading_space:
        column = (
            0
            if char == "\f"
            else column + 1
            if char != "\t"
            else column // _TAB_WIDTH * _TAB_WIDTH + _TAB_WIDTH
        )
    return column


def _is_statement_start(tokens: Sequence[Token], index: int) -> bool:
    token = tokens[index]
    if token.kind != "keyword":
        return False
    if token.text in _STATEMENT_KEYWORDS:
        return True
    # `from` may continue a `yield` in brackets; with an `import` in the line it cannot.
    return token.text == "from" and any(item.text == "import" for item in _rest_of_line(tokens, index))


def _rest_of_line(tokens: Sequence[Token], index: int) -> Iterator[Token]:
    for token in tokens[index:]:
        if token.kind == "newline":
            return
        yield token
