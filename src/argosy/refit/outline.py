"""The blocks of source that need not be sound, and where their structure breaks.

Walks the statements with a stack of indentations as Python's tokenizer does, but goes on after a
fault. Faults that lie within one line (a bracket too many, two statements on one line) are found
on the way. A file that parses has none.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec

from argosy.refit.statements import Statement
from argosy.refit.tokens import Token


class Break(enum.StrEnum):
    """How a structure breaks."""

    STRAY = "stray"  # a closing bracket that nothing opened
    CROSSED = "crossed"  # a closing bracket of another kind than the opening one
    UNCLOSED = "unclosed"  # a statement begins while a bracket is open
    GLUED = "glued"  # two statements on one line
    OPEN_STRING = "open-string"  # a string without an end
    SECOND_BASES = "second-bases"  # class X(A)(B)
    EMPTY = "empty"  # a header with nothing below it
    DEEPER = "deeper"  # deeper than what is above, which is no header
    BETWEEN = "between"  # a column that no block around begins at
    HANDLER = "handler"  # except, finally, elif or else that belongs to nothing
    LONELY = "lonely"  # a try without except or finally


class Fracture(msgspec.Struct, frozen=True):
    """One break. at: the index of the statement where it shows; token: where exactly, when within it."""

    kind: Break
    at: int
    token: Token


# What a continuing header may come after, at its own indentation.
_AFTER: dict[str, frozenset[str]] = {
    "elif": frozenset({"if", "elif"}),
    "else": frozenset({"if", "elif", "for", "while", "except"}),
    "except": frozenset({"try", "except"}),
    "finally": frozenset({"try", "except", "else"}),
}
# Between a value that has ended and a name, these words stand; anything else is another statement.
_JOINERS = frozenset("and or in is not if else for as async from import lambda await".split())  # noqa: SIM905


def fractures(statements: Sequence[Statement]) -> Iterator[Fracture]:
    """Yield the breaks of `statements`, in the order of their lines."""
    walk = _Walk()
    for at, statement in enumerate(statements):
        yield from walk.step(at, statement)
        yield from _within(at, statement)
    yield from walk.end(statements)


class _Block:
    """A level of indentation, and the chain (`try`, `except` …) that its last statement is in."""

    __slots__ = ("chain", "indent")

    def __init__(self, indent: int) -> None:
        self.indent = indent
        self.chain = ""


class _Walk:
    def __init__(self) -> None:
        self.blocks = [_Block(0)]
        self.header: Statement | None = None

    def step(self, at: int, statement: Statement) -> Iterator[Fracture]:
        yield from self.align(at, statement)
        block = self.blocks[-1]
        word = statement.word
        after = _AFTER.get(word)
        if after is None:
            yield from self.leave(block, at, statement)
        elif block.chain not in after:
            yield Fracture(Break.HANDLER, at, statement.first)
        block.chain = word if statement.is_opener or _is_short(statement) else ""
        self.header = statement if statement.is_opener else None

    def align(self, at: int, statement: Statement) -> Iterator[Fracture]:
        """Find the statement's block: open one below a header, close those that it leaves."""
        indent = statement.indent
        top = self.blocks[-1]
        if self.header is not None and indent > top.indent:
            self.blocks.append(_Block(indent))
            return
        if self.header is not None:
            yield Fracture(Break.EMPTY, at, statement.first)
        elif indent > top.indent:
            yield Fracture(Break.DEEPER, at, statement.first)
            self.blocks.append(_Block(indent))
            return
        while self.blocks[-1].indent > indent:
            yield from self.leave(self.blocks.pop(), at, statement)
        if self.blocks[-1].indent < indent:
            yield Fracture(Break.BETWEEN, at, statement.first)
            self.blocks.append(_Block(indent))

    def leave(self, block: _Block, at: int, statement: Statement) -> Iterator[Fracture]:
        """The chain of `block` ends here: a try has to have had its handler."""
        if block.chain == "try":
            yield Fracture(Break.LONELY, at, statement.first)
        block.chain = ""

    def end(self, statements: Sequence[Statement]) -> Iterator[Fracture]:
        if not statements:
            return
        at, last = len(statements) - 1, statements[-1]
        if self.header is not None:
            yield Fracture(Break.EMPTY, at, last.first)
        for block in reversed(self.blocks):
            yield from self.leave(block, at, last)


def _is_short(statement: Statement) -> bool:
    """Return whether this is a header with its block on the same line, as `try: x = 1`."""
    return statement.word in ("if", "elif", "else", "for", "while", "try", "except", "finally") and any(
        token.text == ":" for token in statement.tokens
    )


def _within(at: int, statement: Statement) -> Iterator[Fracture]:
    """Yield what is broken inside one logical line."""
    found = [Fracture(Break.STRAY, at, token) for token in statement.stray]
    found += [Fracture(Break.CROSSED, at, closing) for _, closing in statement.crossed]
    found += [Fracture(Break.UNCLOSED, at, opening) for opening in statement.unclosed]
    found += [Fracture(Break.OPEN_STRING, at, token) for token in statement.tokens if token.kind == "open"]
    found += [Fracture(Break.GLUED, at, token) for token in _seams(statement.tokens)]
    if statement.word == "class":
        found += [Fracture(Break.SECOND_BASES, at, token) for token in _second_lists(statement.tokens)]
    yield from sorted(found, key=lambda item: item.token.start)


def _seams(tokens: Sequence[Token]) -> Iterator[Token]:
    """Yield each token that cannot follow the one before it: another statement begins there."""
    for before, token in pairwise(tokens):
        if _ends_value(before) and _begins_statement(before, token):
            yield token


def _second_lists(tokens: Sequence[Token]) -> Iterator[Token]:
    for before, token in pairwise(tokens):
        if before.text == ")" and token.text == "(":
            yield token


def _ends_value(token: Token) -> bool:
    return token.text in (")", "]", "}") or token.kind in ("number", "string")


def _begins_statement(before: Token, token: Token) -> bool:
    if token.kind == "keyword":
        return token.text not in _JOINERS
    if token.kind == "string":
        return before.text in (")", "]", "}")
    return token.kind == "name" and token.text not in ("match", "case")
