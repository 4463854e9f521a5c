"""A declared edge that no source has a trace of

`needs` or `wants` names an agent whose name and port appear nowhere in what this one loads or is given. Each
such need makes the start longer and the fleet more fragile, for nothing. Silent for an agent of which any
file cannot be read or does not parse.

Instead: take it out, unless it is meant for the order alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.facts.imports import IMPORTS
from argosy.refit.facts.program import fleet_finding, fleet_of, written
from argosy.refit.facts.speech import SPEECH
from argosy.refit.facts.surface import SURFACE
from argosy.refit.finding import Finding
from argosy.refit.rule import Case, Rule
from argosy.refit.tree import Tree
from argosy.refit.written import NO_TRACE, tell_unused


def check(tree: Tree) -> Iterator[Finding]:
    """Tell each edge at its place in the fleet file."""
    fleet = fleet_of(tree)
    traces = tree.derived(written)
    for agent in fleet.agents.values():
        declared = [("needs", need.agent) for need in agent.needs]
        declared += [("wants", want) for want in agent.wants]
        indexes = {"needs": 0, "wants": 0}
        for kind, other in declared:
            index = indexes[kind]
            indexes[kind] += 1
            if other in fleet.agents and traces.has_no_trace_of((agent.name, other)):
                where = fleet.places.get(f"agents.{agent.name}.{kind}.{index}", agent.where)
                message = tell_unused(agent.name, other, kind, [NO_TRACE])
                yield fleet_finding(tree, where, message, symbol=f"{agent.name}-{other}")


RULE = Rule(
    code="D504",
    title="edge not used",
    action="review",
    needs=(SPEECH, IMPORTS, SURFACE),
    tree=check,
    is_for_fleet=True,
)

MUST = (
    Case(
        files={"fleet.yaml": "#\n", "a.py": "print(1)\n", "b.py": ""},
        lines=(3, 4),
        fleet="fleet: f\nagents:\n  A: {run: a.py, needs: [B]}\n  B: {run: b.py, port: 5502, wants: [A]}\n",
    ),
)
MUST_NOT = (
    Case(
        files={"a.py": "import shared\n", "shared.py": 'ask("B")\n', "b.py": ""},
        fleet="fleet: f\nagents:\n  A: {run: a.py, needs: [B]}\n  B: {run: b.py}\n",
    ),
    Case(
        files={"a.py": "PORT = 5502\n", "b.py": ""},
        fleet="fleet: f\nagents:\n  A: {run: a.py, needs: [B]}\n  B: {run: b.py, port: 5502}\n",
    ),
    Case(
        files={"a.py": "import broken\n", "broken.py": "def f(:\n", "b.py": ""},
        fleet="fleet: f\nagents:\n  A: {run: a.py, needs: [B]}\n  B: {run: b.py}\n",
    ),
    Case(
        files={"a.py": "import sys\nask(sys.argv[1])\n", "b.py": ""},
        fleet="fleet: f\nagents:\n  A: {run: a.py, args: [B], needs: [B]}\n  B: {run: b.py}\n",
    ),
    Case(
        files={"a.py": ""},
        fleet="fleet: f\nagents:\n  A: {run: [sleep, '1'], needs: [B]}\n  B: {run: [sleep, '1']}\n",
    ),
)
