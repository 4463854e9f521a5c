"""Agents wait for one another in a cycle

Each needs the next to be ready before it starts, so none of them ever starts. Each shortest cycle is reported
once, with the edge that costs least to turn into a want.

Instead: turn one `needs` of the cycle into `wants`.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.analysis.facts.fleet_programs import make_fleet_finding
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_tree import SourceTree

_CYCLE_CODES = ("cycle", "self-edge")


def check(tree: SourceTree) -> Iterator[Finding]:
    """Report the cycles that the fleet loader finds."""
    for fault in tree.fleet_faults:
        if fault.code in _CYCLE_CODES:
            message = " ".join(fault.message.split())
            yield make_fleet_finding(
                tree, fault.where, message, symbol=message.split("`")[1], hint=fault.hint
            )


RULE = Rule(code="D501", title="cycle", action="review", check_tree=check, is_fleet_rule=True)

MUST = (
    RuleCase(
        files={"fleet.yaml": "# the case's fleet file is put here\n"},
        expected_lines=(4,),
        fleet="fleet: f\nagents:\n  A: {run: [a],\n      needs: [B]}\n  B: {run: [b], needs: [A]}\n",
    ),
    RuleCase(
        files={"fleet.yaml": "#\n"},
        expected_lines=(3,),
        fleet="fleet: f\nagents:\n  A: {run: [a], needs: [A]}\n  B: {run: [b], needs: [A]}\n",
    ),
)
MUST_NOT = (
    RuleCase(fleet="fleet: f\nagents:\n  A: {run: [a], needs: [B]}\n  B: {run: [b], wants: [A]}\n"),
    RuleCase("A = 1\n"),
)
