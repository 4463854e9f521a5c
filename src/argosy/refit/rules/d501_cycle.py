"""Agents wait for one another in a circle

Each needs the next to be ready before it starts, so none of them ever does. Each shortest way round is told
once, with the edge that costs least to turn into a want.

Instead: turn one `needs` of the circle into `wants`.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.facts.program import fleet_finding
from argosy.refit.finding import Finding
from argosy.refit.rule import Case, Rule
from argosy.refit.tree import Tree

_CODES = ("cycle", "self-edge")


def check(tree: Tree) -> Iterator[Finding]:
    """Tell the circles that the loader of fleet files finds."""
    for fault in tree.fleet_faults:
        if fault.code in _CODES:
            message = " ".join(fault.message.split())
            yield fleet_finding(tree, fault.where, message, symbol=message.split("`")[1], hint=fault.hint)


RULE = Rule(code="D501", title="cycle", action="review", tree=check, is_for_fleet=True)

MUST = (
    Case(
        files={"fleet.yaml": "# the case's fleet file is put here\n"},
        lines=(4,),
        fleet="fleet: f\nagents:\n  A: {run: [a],\n      needs: [B]}\n  B: {run: [b], needs: [A]}\n",
    ),
    Case(
        files={"fleet.yaml": "#\n"},
        lines=(3,),
        fleet="fleet: f\nagents:\n  A: {run: [a], needs: [A]}\n  B: {run: [b], needs: [A]}\n",
    ),
)
MUST_NOT = (
    Case(fleet="fleet: f\nagents:\n  A: {run: [a], needs: [B]}\n  B: {run: [b], wants: [A]}\n"),
    Case("A = 1\n"),
)
