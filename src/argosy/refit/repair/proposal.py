"""A proposal to repair one file, with its evidence."""

from __future__ import annotations

import difflib
from typing import Literal

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
