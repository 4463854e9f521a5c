"""The block structure of source that may be malformed, and the places where it breaks.

Walks the statements with a stack of indentations as Python's tokenizer does, but continues after an error.
Errors within one line (an extra bracket, two statements on one line) are found too. A file that parses has
none.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec

from argosy.refit.analysis.lenient_statements import SourceStatement
from argosy.refit.analysis.lenient_tokens import Token


class BreakKind(enum.StrEnum):
    """How a structure breaks."""

    EXTRA_BRACKET = "extra-bracket"  # a closing bracket without an opening one
    CROSSED_BRACKET = "crossed-bracket"  # a closing bracket of another kind than the opening one
    UNCLOSED_BRACKET = "unclosed-bracket"  # a statement begins while a bracket is open
    GLUED_STATEMENTS = "glued-statements"  # two statements on one line
    OPEN_STRING = "open-string"  # a string without an end
    SECOND_BASES = "second-bases"  # class X(A)(B)
    EMPTY_BLOCK = "empty-block"  # a header without a block
    UNEXPECTED_INDENT = "unexpected-indent"  # deeper than the statement above, which is not a header
    UNMATCHED_DEDENT = "unmatched-dedent"  # a column at which no enclosing block begins
    ORPHAN_CLAUSE = "orphan-clause"  # except, finally, elif or else without its header
    TRY_WITHOUT_HANDLER = "try-without-handler"  # a try without except or finally


class StructureBreak(msgspec.Struct, frozen=True):
    """One break. index: of the statement where it shows. token: the exact place within it, if known."""

    kind: BreakKind
    index: int
    token: Token


# The keywords that a continuing header may follow, at its own indentation.
_PREDECESSORS: dict[str, frozenset[str]] = {
    "elif": frozenset({"if", "elif"}),
    "else": frozenset({"if", "elif", "for", "while", "except"}),
    "except": frozenset({"try", "except"}),
    "finally": frozenset({"try", "except", "else"}),
}
# These words may stand between a complete value and a name; anything else begins another statement.
_CONTINUATION_WORDS = frozenset("and or in is not if else for as async from import lambda await".split())  # noqa: SIM905


def find_structure_breaks(statements: Sequence[SourceStatement]) -> Iterator[StructureBreak]:
    """Yield the breaks of `statements`, in the order of their lines."""
    walker = _BlockWalker()
    for index, statement in enumerate(statements):
        yield from walker.visit(index, statement)
        yield from _breaks_within_line(index, statement)
    yield from walker.finish(statements)


class _Block:
    """An indentation level, and the chain (`try`, `except` …) that its last statement belongs to."""

    __slots__ = ("chain", "indent")

    def __init__(self, indent: int) -> None:
        self.indent = indent
        self.chain = ""


class _BlockWalker:
    def __init__(self) -> None:
        self.blocks = [_Block(0)]
        self.header: SourceStatement | None = None

    def visit(self, index: int, statement: SourceStatement) -> Iterator[StructureBreak]:
        yield from self.align_block(index, statement)
        block = self.blocks[-1]
        keyword = statement.keyword
        predecessors = _PREDECESSORS.get(keyword)
        if predecessors is None:
            yield from self.close_chain(block, index, statement)
        elif block.chain not in predecessors:
            yield StructureBreak(BreakKind.ORPHAN_CLAUSE, index, statement.first_token)
        block.chain = keyword if statement.is_block_header or _is_one_line_block(statement) else ""
        self.header = statement if statement.is_block_header else None

    def align_block(self, index: int, statement: SourceStatement) -> Iterator[StructureBreak]:
        """Find the statement's block: open one after a header, close those that it leaves."""
        indent = statement.indent
        top = self.blocks[-1]
        if self.header is not None and indent > top.indent:
            self.blocks.append(_Block(indent))
            return
        if self.header is not None:
            yield StructureBreak(BreakKind.EMPTY_BLOCK, index, statement.first_token)
        elif indent > top.indent:
            yield StructureBreak(BreakKind.UNEXPECTED_INDENT, index, statement.first_token)
            self.blocks.append(_Block(indent))
            return
        while self.blocks[-1].indent > indent:
            yield from self.close_chain(self.blocks.pop(), index, statement)
        if self.blocks[-1].indent < indent:
            yield StructureBreak(BreakKind.UNMATCHED_DEDENT, index, statement.first_token)
            self.blocks.append(_Block(indent))

    def close_chain(self, block: _Block, index: int, statement: SourceStatement) -> Iterator[StructureBreak]:
        """End the chain of `block`; a `try` must have had a handler by then."""
        if block.chain == "try":
            yield StructureBreak(BreakKind.TRY_WITHOUT_HANDLER, index, statement.first_token)
        block.chain = ""

    def finish(self, statements: Sequence[SourceStatement]) -> Iterator[StructureBreak]:
        if not statements:
            return
        index, last = len(statements) - 1, statements[-1]
        if self.header is not None:
            yield StructureBreak(BreakKind.EMPTY_BLOCK, index, last.first_token)
        for block in reversed(self.blocks):
            yield from self.close_chain(block, index, last)


def _is_one_line_block(statement: SourceStatement) -> bool:
    """Return whether this is a header with its block on the same line, as `try: x = 1`."""
    return statement.keyword in ("if", "elif", "else", "for", "while", "try", "except", "finally") and any(
        token.text == ":" for token in statement.tokens
    )


def _breaks_within_line(index: int, statement: SourceStatement) -> Iterator[StructureBreak]:
    """Yield the breaks inside one logical line."""
    found = [StructureBreak(BreakKind.EXTRA_BRACKET, index, token) for token in statement.extra_brackets]
    found += [
        StructureBreak(BreakKind.CROSSED_BRACKET, index, closing) for _, closing in statement.crossed_brackets
    ]
    found += [
        StructureBreak(BreakKind.UNCLOSED_BRACKET, index, opening) for opening in statement.unclosed_brackets
    ]
    found += [
        StructureBreak(BreakKind.OPEN_STRING, index, token)
        for token in statement.tokens
        if token.kind == "open_string"
    ]
    found += [
        StructureBreak(BreakKind.GLUED_STATEMENTS, index, token) for token in _glued_tokens(statement.tokens)
    ]
    if statement.keyword == "class":
        found += [
            StructureBreak(BreakKind.SECOND_BASES, index, token)
            for token in _second_base_lists(statement.tokens)
        ]
    yield from sorted(found, key=lambda item: item.token.start)


def _glued_tokens(tokens: Sequence[Token]) -> Iterator[Token]:
    """Yield each token that cannot follow the one before it: another statement begins there."""
    for before, token in pairwise(tokens):
        if _is_value_end(before) and _is_statement_start(before, token):
            yield token


def _second_base_lists(tokens: Sequence[Token]) -> Iterator[Token]:
    for before, token in pairwise(tokens):
        if before.text == ")" and token.text == "(":
            yield token


def _is_value_end(token: Token) -> bool:
    return token.text in (")", "]", "}") or token.kind in ("number", "string")


def _is_statement_start(before: Token, token: Token) -> bool:
    if token.kind == "keyword":
        return token.text not in _CONTINUATION_WORDS
    if token.kind == "string":
        return before.text in (")", "]", "}")
    return token.kind == "name" and token.text not in ("match", "case")
