"""A proposal to repair one file, with its evidence."""

from __future__ import annotations

import difflib
import re
from typing import Final, Literal

import msgspec

from argosy.refit.analysis.damage import Diagnosis

ProposalCheck = Literal["parses", "compiles", "untouched", "names"]


class RepairStep(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step of a repair.

    line: in the text before this step. description: what the step does. unchanged_tokens: how many tokens are
    proven unchanged. alternatives: how many ways the rule found; more than one needs a review. family: the
    known earlier rewrite that causes such damage.
    """

    rule: str
    line: int
    description: str
    unchanged_tokens: int
    alternatives: int = 1
    family: str = ""


class UnboundName(msgspec.Struct, frozen=True):
    """A name that is read where nothing has bound it, and its first use.

    bound_line: where the module binds it later, 0 for nowhere. is_unbound_by_repair: the repair unbound it.
    """

    name: str
    line: int
    bound_line: int
    is_unbound_by_repair: bool


class RepairProposal(msgspec.Struct, frozen=True):
    """A file and its proposed content.

    path: relative to the root, with `/`. damage: None for a file that parses. before, after: the bytes; equal
    if no rule helped. checks: whether each holds: the result parses, it compiles, nothing outside the steps'
    own lines has changed, the repair unbound no name. undefined: unbound names that a person has to decide
    about.
    """

    path: str
    damage: Diagnosis | None
    before: bytes
    after: bytes
    steps: tuple[RepairStep, ...]
    checks: dict[ProposalCheck, bool]
    undefined: tuple[UnboundName, ...]

    @property
    def is_applicable(self) -> bool:
        """Whether the proposal can be applied: it has steps, and every check holds."""
        return bool(self.steps) and all(self.checks.values())

    def diff(self) -> str:
        """Return the patch in unified diff format."""
        lines = difflib.unified_diff(
            _patch_lines(self.before),
            _patch_lines(self.after),
            f"a/{self.path}",
            f"b/{self.path}",
            lineterm="",
        )
        return "\n".join(lines) + "\n"


def _patch_lines(data: bytes) -> list[str]:
    """Split into lines as patches do: only line feeds end a line, and a missing last one is marked."""
    lines = data.decode("utf-8", "replace").split("\n")
    last = lines.pop()
    return [*lines, f"{last}\n\\ No newline at end of file"] if last else lines


# Damage from known earlier rewrites: name, the rule that repairs it, and a pattern of the damaged lines.
_FAMILIES: Final = (
    ("path helper for nested calls", "extra-bracket", r"\(\s*\w*path\w*\([^()]*\)\)+"),
    ("endpoint helper for texts", "mangled-call", r"\w\(\{"),
    ("endpoint helper for texts", "extra-bracket", r"\.(?:connect|bind)\(\w+\(.*\)\)\)"),
    ("import guard", "except-without-try", r"except ImportError\b.*:\s*\n\s*(?:print|pass|log)"),
    ("imports at column 0", "dedented-lines", r"(?m)^(?:from|import)\s"),
    ("constants at column 0", "dedented-lines", r"(?m)^[A-Z][A-Z0-9_]*\s*="),
    (
        "constructor call before a docstring",
        "dedented-lines",
        r"super\(\)\.__init__\(.*\)\s*\n(?:\"\"\"|'''|self\.)",
    ),
    ("statement in front of a definition", "glued-statements", r"\)(?:def\s|\"\"\"|[A-Z_]+\s*=)"),
    ("constructor call in front of a line", "glued-statements", r"super\(\)\.__init__\(\*args, \*\*kwargs\)"),
    (
        "constructor call in front of a line",
        "invalid-super-call",
        r"super\(\)\.__init__\(\*args, \*\*kwargs\)",
    ),
    ("line in front of a method", "moved-header", r"(?m)^def \w+\(self"),
    ("base class for every class", "second-bases", r"^class\s+\w+\(\w+\)\("),
    ("method for every file", "method-outside-class", r"def _?\w*init\w*\(self"),
    ("header in the middle of a line", "split-statement", r"=\s*\w+\(\)"),
    ("calls taken by their tail", "dangling-attribute", r"\.\s*$"),
)


def find_family(rule: str, damaged: str) -> str:
    """Return the family of a step by its rule and by the lines before the step, empty for none.

    It is shown so that a reader sees that forty files have one cause, and can find the script that caused
    it. It is not evidence for the repair: the rule and the checks are.
    """
    return next((name for name, own, pattern in _FAMILIES if own == rule and re.search(pattern, damaged)), "")
