"""Diagnoses a file that does not parse: the kind of its first damage, and where it begins.

Python's parser reports where it could not continue, which is often far below the cause: a line that was
written at column 0 inside a method shows as an unexpected indent after it. Here the blocks are walked
leniently, and the first break is traced back to the line that caused it.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence

import msgspec

from argosy.refit.analysis.block_structure import BreakKind, StructureBreak, find_structure_breaks
from argosy.refit.analysis.injected_block import find_injected_block
from argosy.refit.analysis.lenient_statements import SourceStatement, read_statements
from argosy.refit.analysis.lenient_tokens import Token
from argosy.source.python_source import SourceText, Unparsed, split_lines


class DamageKind(enum.StrEnum):
    """The kind of a file's first damage; the value is the word that users see."""

    UNREADABLE = "unreadable"
    MERGE_CONFLICT = "merge-conflict"
    PYTHON_2 = "python-2"
    TEMPLATE = "template"
    EXTRA_BRACKET = "extra-bracket"
    TORN_CALL = "torn-call"
    CROSSED_BRACKET = "crossed-bracket"
    UNCLOSED_BRACKET = "unclosed-bracket"
    INJECTED_STATEMENT = "injected-statement"
    INJECTED_HANDLER = "injected-handler"
    GLUED_STATEMENTS = "glued-statements"
    EMPTY_BLOCK = "empty-block"
    MOVED_HEADER = "moved-header"
    MISINDENTED = "misindented"
    OPEN_STRING = "open-string"
    SECOND_BASES = "second-bases"
    OTHER = "other"


_DESCRIPTIONS = {
    DamageKind.UNREADABLE: "its bytes are not text that Python can decode",
    DamageKind.MERGE_CONFLICT: "the markers of a merge conflict are still in it",
    DamageKind.PYTHON_2: "it is written for Python 2",
    DamageKind.TEMPLATE: "it is a template, not a program",
    DamageKind.EXTRA_BRACKET: "an extra closing bracket",
    DamageKind.TORN_CALL: "a text in braces was made a call, and its brackets no longer match",
    DamageKind.CROSSED_BRACKET: "brackets that do not match",
    DamageKind.UNCLOSED_BRACKET: "a bracket is still open where a statement begins",
    DamageKind.INJECTED_STATEMENT: "a statement is left of the block that continues below it",
    DamageKind.INJECTED_HANDLER: "an except without a try",
    DamageKind.GLUED_STATEMENTS: "two statements on one line",
    DamageKind.EMPTY_BLOCK: "a header without a block",
    DamageKind.MOVED_HEADER: "the header of a function is left of its class",
    DamageKind.MISINDENTED: "an indentation that matches no block",
    DamageKind.OPEN_STRING: "an unterminated string",
    DamageKind.SECOND_BASES: "a class with two lists of bases",
    DamageKind.OTHER: "an unknown kind of damage",
}


class Diagnosis(msgspec.Struct, frozen=True):
    """The first damage of a file.

    line, column: where it begins, from 1. message: the error message of Python.
    """

    damage: DamageKind
    line: int
    column: int
    message: str

    def describe(self) -> str:
        """Return the kind in words."""
        return _DESCRIPTIONS[self.damage]


# A break shows at most this many lines below where the parser stopped; later lines are not read.
_LOOK_AHEAD = 80
_CONFLICT_MARKER = re.compile(r"(?m)^(?:<{7} .*|={7}|>{7} .*)$")
_TEMPLATE = re.compile(r"\{%.*?%\}|\{\{[^{}'\"]*\}\}")
_PYTHON_2_STATEMENT = re.compile(
    r"""(?x) ^\s*(?: print\s+["'\w] | print\s*>> | exec\s+["'\w] | raise\s+\w[\w.]*\s*,\s
      | except\s+[\w.]+\s*,\s*\w+\s*: | except\s*\(.*\)\s*,\s*\w+\s*: )"""
)
_PYTHON_2_MESSAGES = ("Missing parentheses in call to", "multiple exception types must be parenthesized")


def diagnose(source: SourceText, unparsed: Unparsed) -> Diagnosis:
    """Return the first damage of `source`, for which `parse` returned `unparsed`; never raises."""
    if unparsed.stage != "parse":
        damage = DamageKind.UNREADABLE if unparsed.stage == "read" else DamageKind.OTHER
        return Diagnosis(damage, unparsed.line, unparsed.column, unparsed.message)
    lines = split_lines(source.text())
    foreign_kind = _classify_foreign(lines, unparsed)
    if foreign_kind is not None:
        return Diagnosis(foreign_kind, unparsed.line, unparsed.column, unparsed.message)
    statements = read_statements("\n".join(lines[: unparsed.line + _LOOK_AHEAD]))
    for structure_break in find_structure_breaks(statements):
        if statements[structure_break.index].line > unparsed.line:
            break
        damage, token = classify_break(statements, structure_break)
        return Diagnosis(damage, token.line, token.column + 1, unparsed.message)
    return Diagnosis(_classify_by_message(unparsed), unparsed.line, unparsed.column, unparsed.message)


def classify_break(
    statements: Sequence[SourceStatement], structure_break: StructureBreak
) -> tuple[DamageKind, Token]:
    """Return the kind of a break, and the token where its damage begins."""
    statement = statements[structure_break.index]
    simple_kind = _SIMPLE_KINDS.get(structure_break.kind)
    if simple_kind is not None:
        return simple_kind, structure_break.token
    if structure_break.kind in _BRACKET_KINDS:
        return _classify_bracket_break(statement, structure_break)
    if (
        structure_break.kind in (BreakKind.ORPHAN_CLAUSE, BreakKind.TRY_WITHOUT_HANDLER)
        and statement.keyword == "except"
    ):
        return DamageKind.INJECTED_HANDLER, structure_break.token
    injected = find_injected_block(statements, structure_break)
    if injected is not None:
        return DamageKind.INJECTED_STATEMENT, statements[injected.start].first_token
    header = find_moved_header(statements, structure_break)
    if header is not None:
        return DamageKind.MOVED_HEADER, statements[header].first_token
    if structure_break.kind is BreakKind.EMPTY_BLOCK:
        return DamageKind.EMPTY_BLOCK, structure_break.token
    return DamageKind.MISINDENTED, structure_break.token


def _classify_bracket_break(
    statement: SourceStatement, structure_break: StructureBreak
) -> tuple[DamageKind, Token]:
    if (statement.extra_brackets or statement.crossed_brackets) and _has_brace_argument(statement):
        return DamageKind.TORN_CALL, next(iter(statement.extra_brackets), structure_break.token)
    unterminated = next((token for token in statement.tokens if token.kind == "open_string"), None)
    if structure_break.kind is BreakKind.UNCLOSED_BRACKET and unterminated is not None:
        return DamageKind.OPEN_STRING, unterminated
    return _BRACKET_KINDS[structure_break.kind], structure_break.token


def find_moved_header(statements: Sequence[SourceStatement], structure_break: StructureBreak) -> int | None:
    """Return the index of a def at column 0 whose class continues below it.

    Its body is deeper than the columns of the class's other methods, so that the next of them begins at a
    column without a block.
    """
    if structure_break.kind is not BreakKind.UNMATCHED_DEDENT:
        return None
    column = statements[structure_break.index].indent
    for index in range(structure_break.index - 1, -1, -1):
        statement = statements[index]
        if statement.indent < column:
            is_header = statement.is_block_header and statement.keyword == "def"
            return index if is_header and statement.indent == 0 else None
    return None


_BRACKET_KINDS = {
    BreakKind.EXTRA_BRACKET: DamageKind.EXTRA_BRACKET,
    BreakKind.CROSSED_BRACKET: DamageKind.CROSSED_BRACKET,
    BreakKind.UNCLOSED_BRACKET: DamageKind.UNCLOSED_BRACKET,
}
_SIMPLE_KINDS = {
    BreakKind.GLUED_STATEMENTS: DamageKind.GLUED_STATEMENTS,
    BreakKind.OPEN_STRING: DamageKind.OPEN_STRING,
    BreakKind.SECOND_BASES: DamageKind.SECOND_BASES,
}


def _has_brace_argument(statement: SourceStatement) -> bool:
    """Return whether a call's first argument begins with a brace, as a former f-string placeholder does."""
    tokens = statement.tokens
    return any(
        before.kind == "name" and opening.text == "(" and brace.text == "{"
        for before, opening, brace in zip(tokens, tokens[1:], tokens[2:], strict=False)
    )


def _classify_foreign(lines: Sequence[str], unparsed: Unparsed) -> DamageKind | None:
    """Return the kind of a file that is not damaged Python, but something else."""
    line = lines[unparsed.line - 1] if unparsed.line <= len(lines) else ""
    if _CONFLICT_MARKER.match(line):
        return DamageKind.MERGE_CONFLICT
    if unparsed.message.startswith(_PYTHON_2_MESSAGES) or _PYTHON_2_STATEMENT.match(line):
        return DamageKind.PYTHON_2
    return DamageKind.TEMPLATE if _TEMPLATE.search(line) else None


def _classify_by_message(unparsed: Unparsed) -> DamageKind:
    if "indent" in unparsed.message:
        return DamageKind.MISINDENTED
    if "unterminated" in unparsed.message:
        return DamageKind.OPEN_STRING
    if "was never closed" in unparsed.message:
        return DamageKind.UNCLOSED_BRACKET
    return DamageKind.OTHER
