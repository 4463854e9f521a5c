"""What a repair proposes for one file, with the evidence for it."""

from __future__ import annotations

import difflib
from typing import Literal

import msgspec

from argosy.refit.analysis.damage import Diagnosis

ProposalCheck = Literal["parses", "compiles", "untouched", "names"]


class RepairStep(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step of a repair.

    line: where, in the text that this step began with. said: what it does. choices: how many ways
    the rule saw; more than one asks for a look. family: the known earlier rewrite that left such
    damage. kept: how many tokens are proven to be as they were.
    """

    rule: str
    line: int
    description: str
    unchanged_tokens: int
    alternatives: int = 1
    family: str = ""


class UnboundName(msgspec.Struct, frozen=True):
    """A name that is read where nothing has bound it, and where first.

    bound_line: where the module binds it later, 0 for nowhere. is_new: the repair unbound it.
    """

    name: str
    line: int
    bound_line: int
    is_unbound_by_repair: bool


class RepairProposal(msgspec.Struct, frozen=True):
    """A file and what would become of it.

    path: relative to the root, with `/`. damage: None for a file that parses as it is. before,
    after: the bytes; the same when no rule helped. gates: whether each holds: it parses, it compiles,
    nothing outside of the steps' own statements changed, the repair unbound no name. undefined: names
    that are left for a person to decide about.
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
        """Whether the proposal is worth applying: every gate holds."""
        return bool(self.steps) and all(self.checks.values())

    def diff(self) -> str:
        """Return the patch, in the unified form."""
        lines = difflib.unified_diff(
            _patch_lines(self.before),
            _patch_lines(self.after),
            f"a/{self.path}",
            f"b/{self.path}",
            lineterm="",
        )
        return "\n".join(lines) + "\n"


def _patch_lines(data: bytes) -> list[str]:
    """Return the lines as patches have them: line feeds alone end one, and a last one without is marked."""
    lines = data.decode("utf-8", "replace").split("\n")
    last = lines.pop()
    return [*lines, f"{last}\n\\ No newline at end of file"] if last else lines
