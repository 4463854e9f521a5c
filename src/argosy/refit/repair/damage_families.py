"""Damage from known earlier rewrites, recognized by the rule that repairs it and by its lines.

The family is shown with a step, so that a reader sees that forty files have one cause, and can find the
script that caused it. It is not evidence for the repair: the rule and the checks are.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec


class DamageFamily(msgspec.Struct, frozen=True):
    """One way in which rewrites damage files.

    name: as shown to the user. rule: the rule that repairs it. pattern: matches the damaged lines.
    explanation: what such a rewrite did.
    """

    name: str
    rule: str
    pattern: str
    explanation: str


FAMILIES: Final = (
    DamageFamily(
        "path helper for nested calls",
        "extra-bracket",
        r"\(\s*\w*path\w*\([^()]*\)\)+",
        "a helper's call replaced nested calls, and one of their brackets stayed",
    ),
    DamageFamily(
        "endpoint helper for texts",
        "mangled-call",
        r"\w\(\{",
        "a call replaced an address in a string, and the string's braces and brackets stayed",
    ),
    DamageFamily(
        "endpoint helper for texts",
        "extra-bracket",
        r"\.(?:connect|bind)\(\w+\(.*\)\)\)",
        "a call replaced an address in a string, and a bracket of the string stayed",
    ),
    DamageFamily(
        "import guard",
        "except-without-try",
        r"except ImportError\b.*:\s*\n\s*(?:print|pass|log)",
        "a handler was inserted below an import, without regard to the block of the import",
    ),
    DamageFamily(
        "imports at column 0",
        "dedented-lines",
        r"(?m)^(?:from|import)\s",
        "imports were inserted below what looked like the last import, which was inside a block",
    ),
    DamageFamily(
        "constants at column 0",
        "dedented-lines",
        r"(?m)^[A-Z][A-Z0-9_]*\s*=",
        "a constant was inserted below what looked like the last import, which was inside a block",
    ),
    DamageFamily(
        "constructor call before a docstring",
        "dedented-lines",
        r"super\(\)\.__init__\(.*\)\s*\n(?:\"\"\"|'''|self\.)",
        "a call of the base's constructor was inserted before a function's first line, which lost its column",
    ),
    DamageFamily(
        "statement in front of a definition",
        "glued-statements",
        r"\)(?:def\s|\"\"\"|[A-Z_]+\s*=)",
        "a statement was inserted before a class's first line without a line end of its own",
    ),
    DamageFamily(
        "constructor call in front of a line",
        "glued-statements",
        r"super\(\)\.__init__\(\*args, \*\*kwargs\)",
        "a call of the base's constructor was inserted before each first line, whatever the parameters",
    ),
    DamageFamily(
        "constructor call in front of a line",
        "invalid-super-call",
        r"super\(\)\.__init__\(\*args, \*\*kwargs\)",
        "a call of the base's constructor was inserted before each first line, whatever the parameters",
    ),
    DamageFamily(
        "line in front of a method",
        "moved-header",
        r"(?m)^def \w+\(self",
        "a line was inserted at the end of a constructor, and took the indentation of the method below",
    ),
    DamageFamily(
        "base class for every class",
        "second-bases",
        r"^class\s+\w+\(\w+\)\(",
        "a base was inserted after the name of each class, also of those with bases",
    ),
    DamageFamily(
        "method for every file",
        "method-outside-class",
        r"def _?\w*init\w*\(self",
        "a method was appended to each file, also where no class ends",
    ),
    DamageFamily(
        "header in the middle of a line",
        "split-statement",
        r"=\s*\w+\(\)",
        "a module's header was inserted where a pattern matched, in the middle of a line",
    ),
    DamageFamily(
        "calls taken by their tail",
        "dangling-attribute",
        r"\.\s*$",
        "a pattern for a call removed the end of longer calls: `self.` of `self.socket.close()` stayed",
    ),
)


def find_family(rule: str, damaged: str) -> DamageFamily | None:
    """Return the family of a step, by its rule and by the lines before the step."""
    for family in FAMILIES:
        if family.rule == rule and re.search(family.pattern, damaged):
            return family
    return None
