"""Damages that known earlier rewrites left: told by the rule that mends them and by how the lines look.

A family is told with a step, so that a reader sees that forty files have one cause, and that the script
which made it can be found. It is no evidence for the repair: the rule and the gates are.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec


class DamageFamily(msgspec.Struct, frozen=True):
    """One way in which rewrites damage files.

    name: as it is told. rule: the rule that mends it. pattern: what the damaged lines hold. about: what
    such a rewrite did.
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
        "a helper's call took the place of nested ones, and one bracket of theirs stayed",
    ),
    DamageFamily(
        "endpoint helper for texts",
        "mangled-call",
        r"\w\(\{",
        "a call took the place of an address in a text, and the text's braces and brackets stayed",
    ),
    DamageFamily(
        "endpoint helper for texts",
        "extra-bracket",
        r"\.(?:connect|bind)\(\w+\(.*\)\)\)",
        "a call took the place of an address in a text, and a bracket of the text's stayed",
    ),
    DamageFamily(
        "import guard",
        "except-without-try",
        r"except ImportError\b.*:\s*\n\s*(?:print|pass|log)",
        "a handler was put below an import without a look at the block that the import is in",
    ),
    DamageFamily(
        "imports at column 0",
        "dedented-lines",
        r"(?m)^(?:from|import)\s",
        "imports were put below what looked like the last import, which was inside a block",
    ),
    DamageFamily(
        "constants at column 0",
        "dedented-lines",
        r"(?m)^[A-Z][A-Z0-9_]*\s*=",
        "a constant was put below what looked like the last import, which was inside a block",
    ),
    DamageFamily(
        "constructor call before a docstring",
        "dedented-lines",
        r"super\(\)\.__init__\(.*\)\s*\n(?:\"\"\"|'''|self\.)",
        "a call of the base's constructor was put in front of a function's first line, which lost its column",
    ),
    DamageFamily(
        "statement in front of a definition",
        "glued-statements",
        r"\)(?:def\s|\"\"\"|[A-Z_]+\s*=)",
        "a statement was put in front of a class's first line without a line end of its own",
    ),
    DamageFamily(
        "constructor call in front of a line",
        "glued-statements",
        r"super\(\)\.__init__\(\*args, \*\*kwargs\)",
        "a call of the base's constructor was put in front of each first line, whatever the parameters",
    ),
    DamageFamily(
        "constructor call in front of a line",
        "invalid-super-call",
        r"super\(\)\.__init__\(\*args, \*\*kwargs\)",
        "a call of the base's constructor was put in front of each first line, whatever the parameters",
    ),
    DamageFamily(
        "line in front of a method",
        "moved-header",
        r"(?m)^def \w+\(self",
        "a line was put at the end of a constructor, and took the margin of the method below it",
    ),
    DamageFamily(
        "base class for every class",
        "second-bases",
        r"^class\s+\w+\(\w+\)\(",
        "a base was put behind the name of each class, also of those that had bases",
    ),
    DamageFamily(
        "method for every file",
        "method-outside-class",
        r"def _?\w*init\w*\(self",
        "a method was put at the end of each file, also where no class ends",
    ),
    DamageFamily(
        "header in the middle of a line",
        "split-statement",
        r"=\s*\w+\(\)",
        "a module's header was put where a pattern matched, in the middle of a line",
    ),
    DamageFamily(
        "calls taken by their tail",
        "dangling-attribute",
        r"\.\s*$",
        "a pattern for a call took the tail of longer ones: `self.` of `self.socket.close()` stayed",
    ),
)


def find_family(rule: str, damaged: str) -> DamageFamily | None:
    """Return the family of a step: of the rule that made it, and of the lines as they were."""
    for family in FAMILIES:
        if family.rule == rule and re.search(family.pattern, damaged):
            return family
    return None
