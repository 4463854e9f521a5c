"""Python cannot run the file

Nothing in it is ever loaded, and every module that imports it ends in a SyntaxError. No other rule reads it,
so a tree with such files looks better than it is: fix them first.

The position is where the damage begins, as far as it can be found, with the type of damage; the message also
has the position where the compiler stopped, which is often far below.

Instead: `argosy repair` proposes a patch that makes it parse, with the evidence.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.analysis.damage import DamageKind, diagnose
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import BrokenFile

_STAGE_MESSAGES = {"read": "", "parse": "does not parse: ", "compile": "parses, and does not compile: "}


def check(file: BrokenFile) -> Iterator[Finding]:
    """Report the first damage of a file that does not parse, and why any other file cannot run."""
    unparsed = file.unparsed
    if unparsed.stage != "parse" or file.source is None:
        yield file.make_finding(
            unparsed.line,
            unparsed.column,
            _STAGE_MESSAGES[unparsed.stage] + unparsed.message,
            symbol=unparsed.stage,
        )
        return
    diagnosis = diagnose(file.source, unparsed)
    if diagnosis.damage is DamageKind.OTHER:
        yield file.make_finding(
            unparsed.line,
            unparsed.column,
            _STAGE_MESSAGES["parse"] + unparsed.message,
            symbol=diagnosis.damage.value,
        )
        return
    line_note = "" if diagnosis.line == unparsed.line else f" in line {unparsed.line}"
    message = f"does not parse: {diagnosis.describe()} (Python{line_note}: {unparsed.message})"
    yield file.make_finding(diagnosis.line, diagnosis.column, message, symbol=diagnosis.damage.value)


RULE = Rule(code="S101", title="does not parse", action="review", check_broken=check)

MUST = (
    RuleCase("def f(:  # <--\n    pass\n"),
    RuleCase("x = 1\nreturn x  # <--\n"),
    RuleCase("class A:\n    def f(x):\n        y = x\nimport log  # <--\n        y += 1\n        return y\n"),
    RuleCase("path = join(a, b))  # <--\n"),
    RuleCase(b"# -*- coding: no-such-codec -*-\nx = 1\n", expected_lines=(1,)),
    RuleCase(b"x = 1\ny = '\0'\n", expected_lines=(2,)),
    RuleCase(b"name = '\xff'\n", expected_lines=(1,)),
    RuleCase("x = " + "(" * 400 + ")" * 400 + "\n", expected_lines=(1,)),
)
MUST_NOT = (
    RuleCase("x = 1\n"),
    RuleCase(""),
    RuleCase(b"\xef\xbb\xbfx = 1\r\n\x0cy = 2"),
    RuleCase("# -*- coding: latin-1 -*-\nname = 'é'\n".encode("latin-1")),
)
