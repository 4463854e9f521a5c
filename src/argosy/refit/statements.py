"""Statements of source that need not be sound: logical lines with their indentation.

Brackets that do not fit are noted and survived: a closing one too many is left out of the count,
and a line that can only begin a statement ends whatever bracket is still open.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from argosy.refit.tokens import Token, scan

OPENERS = frozenset(
    "if elif else for while try except finally with def class async match case".split()  # noqa: SIM905
)
OPENING = frozenset("([{")
CLOSING = frozenset(")]}")
_PAIRS = {")": "(", "]": "[", "}": "{"}
# What begins a line and is never the middle of an expression.
_STARTERS = frozenset(
    "def class import return raise try while with pass break continue global nonlocal assert del".split()  # noqa: SIM905
)
_TAB = 8


class Statement(msgspec.Struct, frozen=True):
    """One logical line: its tokens without space and comments, never empty.

    indent: its column as Python counts it, tabs to the next multiple of 8. margin: the very white
    space before it. stray: closing brackets that nothing opened. crossed: pairs of brackets that do
    not fit each other. unclosed: what is open where another statement begins.
    """

    tokens: tuple[Token, ...]
    indent: int
    margin: str
    stray: tuple[Token, ...]
    crossed: tuple[tuple[Token, Token], ...]
    unclosed: tuple[Token, ...]

    @property
    def first(self) -> Token:
        return self.tokens[0]

    @property
    def last(self) -> Token:
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
        """The offset of its margin, which is that of its line."""
        return self.tokens[0].start - len(self.margin)

    @property
    def word(self) -> str:
        """The keyword that it begins with, `def` for `async def`; else empty."""
        first = self.tokens[0]
        if first.text == "async" and len(self.tokens) > 1:
            return self.tokens[1].text
        if first.kind == "keyword":
            return first.text
        is_soft = first.text in ("match", "case") and self.tokens[-1].text == ":" and len(self.tokens) > 2
        return first.text if is_soft else ""

    @property
    def is_opener(self) -> bool:
        """Whether a block has to follow."""
        return self.tokens[-1].text == ":" and self.word in OPENERS

    def text(self) -> str:
        """Return its tokens, one space between them: for comparing and showing."""
        return " ".join(token.text for token in self.tokens)


def read_statements(text: str) -> list[Statement]:
    """Return the statements of `text`, in their order."""
    return list(divide(scan(text)))


def divide(tokens: Sequence[Token]) -> Iterator[Statement]:
    """Yield the statements that `tokens`, all of a file, make."""
    reader = _Reader()
    for at, token in enumerate(tokens):
        kind = token.kind
        if kind == "newline":
            if reader.end_line():
                yield reader.finish()
        elif kind == "space":
            if reader.is_line_start:
                reader.next_margin += token.text
        elif kind != "comment":
            if reader.is_line_start:
                if reader.opened and _begins_statement(tokens, at):
                    yield reader.finish()
                reader.begin()
            reader.take(token)
    if reader.taken:
        yield reader.finish()


class _Reader:
    def __init__(self) -> None:
        self.is_line_start = True
        self.margin = self.next_margin = ""
        self.clear()

    def clear(self) -> None:
        self.taken: list[Token] = []
        self.opened: list[Token] = []
        self.stray: list[Token] = []
        self.crossed: list[tuple[Token, Token]] = []

    def begin(self) -> None:
        if not self.taken:
            self.margin = self.next_margin
        self.is_line_start = False

    def end_line(self) -> bool:
        """Take the end of a line, and return whether a statement ends there."""
        self.is_line_start, self.next_margin = True, ""
        return bool(self.taken) and not self.opened

    def take(self, token: Token) -> None:
        self.taken.append(token)
        if token.kind != "operator":
            return
        if token.text in OPENING:
            self.opened.append(token)
        elif token.text in _PAIRS:
            if not self.opened:
                self.stray.append(token)
            else:
                opening = self.opened.pop()
                if opening.text != _PAIRS[token.text]:
                    self.crossed.append((opening, token))

    def finish(self) -> Statement:
        statement = Statement(
            tuple(self.taken),
            width(self.margin),
            self.margin,
            tuple(self.stray),
            tuple(self.crossed),
            tuple(self.opened),
        )
        self.clear()
        return statement


def width(margin: str) -> int:
    """Return the column that white space leads to."""
    column = 0
    for char in margin:
        column = 0 if char == "\f" else column + 1 if char != "\t" else column // _TAB * _TAB + _TAB
    return column


def _begins_statement(tokens: Sequence[Token], at: int) -> bool:
    token = tokens[at]
    if token.kind != "keyword":
        return False
    if token.text in _STARTERS:
        return True
    # `from` may go on a `yield` in brackets; with an `import` in the line it cannot.
    return token.text == "from" and any(item.text == "import" for item in _rest_of_line(tokens, at))


def _rest_of_line(tokens: Sequence[Token], at: int) -> Iterator[Token]:
    for token in tokens[at:]:
        if token.kind == "newline":
            return
        yield token
