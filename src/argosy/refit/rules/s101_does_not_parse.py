"""Python cannot run the file

Nothing in it is ever loaded, and whatever imports it ends in a SyntaxError. No other rule reads it, so a
tree with such files looks better than it is: count them first.

The place is where the damage begins, as far as that can be told, with its class in words; where the compiler
stumbled, often far below, is told beside it.

Instead: `argosy repair` proposes what makes it parse, with the evidence.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.damage import Damage, diagnose
from argosy.refit.file import BrokenFile
from argosy.refit.finding import Finding
from argosy.refit.rule import Case, Rule

_HOW = {"read": "", "parse": "does not parse: ", "compile": "parses, and does not compile: "}


def check(file: BrokenFile) -> Iterator[Finding]:
    """Tell the first damage of a file that does not parse; of the others, what was refused."""
    fault = file.fault
    if fault.stage != "parse" or file.source is None:
        yield file.finding(fault.line, fault.column, _HOW[fault.stage] + fault.message, symbol=fault.stage)
        return
    found = diagnose(file.source, fault)
    if found.damage is Damage.OTHER:
        yield file.finding(fault.line, fault.column, _HOW["parse"] + fault.message, symbol=found.damage.value)
        return
    there = "" if found.line == fault.line else f" in line {fault.line}"
    message = f"does not parse: {found.told()} (Python{there}: {fault.message})"
    yield file.finding(found.line, found.column, message, symbol=found.damage.value)


RULE = Rule(code="S101", title="does not parse", action="review", broken=check)

MUST = (
    Case("def f(:  # <--\n    pass\n"),
    Case("x = 1\nreturn x  # <--\n"),
    Case("class A:\n    def f(x):\n        y = x\nimport log  # <--\n        y += 1\n        return y\n"),
    Case("path = join(a, b))  # <--\n"),
    Case(b"# -*- coding: no-such-codec -*-\nx = 1\n", lines=(1,)),
    Case(b"x = 1\ny = '\0'\n", lines=(2,)),
    Case(b"name = '\xff'\n", lines=(1,)),
    Case("x = " + "(" * 400 + ")" * 400 + "\n", lines=(1,)),
)
MUST_NOT = (
    Case("x = 1\n"),
    Case(""),
    Case(b"\xef\xbb\xbfx = 1\r\n\x0cy = 2"),
    Case("# -*- coding: latin-1 -*-\nname = 'é'\n".encode("latin-1")),
)
