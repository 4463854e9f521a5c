"""What is wrong with a file that does not parse: the class of its first damage, and where it begins.

Python's parser tells where it could not go on, which is often far below the cause: a line that was
put at column 0 inside a method shows as an unexpected indent after it. Here the blocks are walked
with tolerance, and the first break in them is taken back to the line that made it.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence

import msgspec

from argosy.refit.island import find_island
from argosy.refit.outline import Break, Fracture, fractures
from argosy.refit.statements import Statement, read_statements
from argosy.refit.tokens import Token
from argosy.source.text import Source, Unparsed, split_lines


class Damage(enum.StrEnum):
    """The class of a file's first damage; the value is the word that users see."""

    UNREADABLE = "unreadable"
    CONFLICT = "merge-conflict"
    OLD_PYTHON = "python-2"
    TEMPLATE = "template"
    EXTRA_BRACKET = "extra-bracket"
    TORN_CALL = "torn-call"
    CROSSED_BRACKET = "crossed-bracket"
    UNCLOSED_BRACKET = "unclosed-bracket"
    INJECTED_STATEMENT = "injected-statement"
    INJECTED_HANDLER = "injected-handler"
    GLUED = "glued-statements"
    EMPTY_BLOCK = "empty-block"
    MOVED_HEADER = "moved-header"
    MISINDENTED = "misindented"
    OPEN_STRING = "open-string"
    SECOND_BASES = "second-bases"
    OTHER = "other"


_TOLD = {
    Damage.UNREADABLE: "its bytes are no text that Python would read",
    Damage.CONFLICT: "the marks of a merge conflict are still in it",
    Damage.OLD_PYTHON: "it is written for Python 2",
    Damage.TEMPLATE: "it is a template, not a program",
    Damage.EXTRA_BRACKET: "a closing bracket too many",
    Damage.TORN_CALL: "a text in braces was made a call, and its brackets no longer fit",
    Damage.CROSSED_BRACKET: "brackets that do not fit each other",
    Damage.UNCLOSED_BRACKET: "a bracket is still open where a statement begins",
    Damage.INJECTED_STATEMENT: "a statement stands left of the block that goes on below it",
    Damage.INJECTED_HANDLER: "an except that belongs to no try",
    Damage.GLUED: "two statements on one line",
    Damage.EMPTY_BLOCK: "a header without a block",
    Damage.MOVED_HEADER: "the header of a function stands left of its class",
    Damage.MISINDENTED: "an indentation that no block has",
    Damage.OPEN_STRING: "a string without an end",
    Damage.SECOND_BASES: "a class with two lists of bases",
    Damage.OTHER: "no known class of damage",
}


class Diagnosis(msgspec.Struct, frozen=True):
    """The first damage of a file. line, column: where it begins, from 1; message: Python's own words."""

    damage: Damage
    line: int
    column: int
    message: str

    def told(self) -> str:
        """Return the class in words."""
        return _TOLD[self.damage]


# A break shows at most so many lines below where the parser stopped; beyond, nothing is read.
_LOOK_AHEAD = 80
_CONFLICT = re.compile(r"(?m)^(?:<{7} .*|={7}|>{7} .*)$")
_TEMPLATE = re.compile(r"\{%.*?%\}|\{\{[^{}'\"]*\}\}")
_OLD = re.compile(
    r"""(?x) ^\s*(?: print\s+["'\w] | print\s*>> | exec\s+["'\w] | raise\s+\w[\w.]*\s*,\s
      | except\s+[\w.]+\s*,\s*\w+\s*: | except\s*\(.*\)\s*,\s*\w+\s*: )"""
)
_OLD_MESSAGES = ("Missing parentheses in call to", "multiple exception types must be parenthesized")


def diagnose(source: Source, failed: Unparsed) -> Diagnosis:
    """Return the class of the first damage of `source`, which `parse` found to be `failed`; never raises."""
    if failed.stage != "parse":
        damage = Damage.UNREADABLE if failed.stage == "read" else Damage.OTHER
        return Diagnosis(damage, failed.line, failed.column, failed.message)
    lines = split_lines(source.text())
    foreign = _foreign(lines, failed)
    if foreign is not None:
        return Diagnosis(foreign, failed.line, failed.column, failed.message)
    statements = read_statements("\n".join(lines[: failed.line + _LOOK_AHEAD]))
    for fracture in fractures(statements):
        if statements[fracture.at].line > failed.line:
            break
        damage, place = classify(statements, fracture)
        return Diagnosis(damage, place.line, place.column + 1, failed.message)
    return Diagnosis(_by_message(failed), failed.line, failed.column, failed.message)


def classify(statements: Sequence[Statement], fracture: Fracture) -> tuple[Damage, Token]:
    """Return the class of a break, and the token where its damage begins."""
    statement = statements[fracture.at]
    plain = _PLAIN.get(fracture.kind)
    if plain is not None:
        return plain, fracture.token
    if fracture.kind in _OF_BRACKETS:
        return _of_brackets(statement, fracture)
    if fracture.kind in (Break.HANDLER, Break.LONELY) and statement.word == "except":
        return Damage.INJECTED_HANDLER, fracture.token
    island = find_island(statements, fracture)
    if island is not None:
        return Damage.INJECTED_STATEMENT, statements[island.start].first
    header = moved_header(statements, fracture)
    if header is not None:
        return Damage.MOVED_HEADER, statements[header].first
    if fracture.kind is Break.EMPTY:
        return Damage.EMPTY_BLOCK, fracture.token
    return Damage.MISINDENTED, fracture.token


def _of_brackets(statement: Statement, fracture: Fracture) -> tuple[Damage, Token]:
    if (statement.stray or statement.crossed) and _has_set_argument(statement):
        return Damage.TORN_CALL, next(iter(statement.stray), fracture.token)
    torn = next((token for token in statement.tokens if token.kind == "open"), None)
    if fracture.kind is Break.UNCLOSED and torn is not None:
        return Damage.OPEN_STRING, torn
    return _OF_BRACKETS[fracture.kind], fracture.token


def moved_header(statements: Sequence[Statement], fracture: Fracture) -> int | None:
    """Return the index of a def at column 0 whose class goes on below it.

    Its body is deeper than the columns of the class's other methods, so that the next of them
    begins where no block does.
    """
    if fracture.kind is not Break.BETWEEN:
        return None
    column = statements[fracture.at].indent
    for at in range(fracture.at - 1, -1, -1):
        statement = statements[at]
        if statement.indent < column:
            is_header = statement.is_opener and statement.word == "def"
            return at if is_header and statement.indent == 0 else None
    return None


_OF_BRACKETS = {
    Break.STRAY: Damage.EXTRA_BRACKET,
    Break.CROSSED: Damage.CROSSED_BRACKET,
    Break.UNCLOSED: Damage.UNCLOSED_BRACKET,
}
_PLAIN = {
    Break.GLUED: Damage.GLUED,
    Break.OPEN_STRING: Damage.OPEN_STRING,
    Break.SECOND_BASES: Damage.SECOND_BASES,
}


def _has_set_argument(statement: Statement) -> bool:
    """Return whether a call's first argument begins with a brace, as what was a text's placeholder does."""
    tokens = statement.tokens
    return any(
        before.kind == "name" and opening.text == "(" and brace.text == "{"
        for before, opening, brace in zip(tokens, tokens[1:], tokens[2:], strict=False)
    )


def _foreign(lines: Sequence[str], failed: Unparsed) -> Damage | None:
    """Return the class of a file that is not damaged Python, but something else."""
    line = lines[failed.line - 1] if failed.line <= len(lines) else ""
    if _CONFLICT.match(line):
        return Damage.CONFLICT
    if failed.message.startswith(_OLD_MESSAGES) or _OLD.match(line):
        return Damage.OLD_PYTHON
    return Damage.TEMPLATE if _TEMPLATE.search(line) else None


def _by_message(failed: Unparsed) -> Damage:
    if "indent" in failed.message:
        return Damage.MISINDENTED
    if "unterminated" in failed.message:
        return Damage.OPEN_STRING
    if "was never closed" in failed.message:
        return Damage.UNCLOSED_BRACKET
    return Damage.OTHER
