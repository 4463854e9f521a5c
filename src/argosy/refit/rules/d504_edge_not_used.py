"""A declared edge that no source refers to

`needs` or `wants` names an agent whose name and port appear nowhere in the agent's sources and arguments.
Each such need makes the start longer and the fleet more fragile, for nothing. Not reported for an agent with
a file that cannot be read or does not parse.

Instead: remove it, unless it is only meant to set the order.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.analysis.facts.fleet_programs import find_tree_edges, make_fleet_finding, require_fleet
from argosy.refit.analysis.facts.module_names import MODULE_EXPORTS, MODULE_IMPORTS, PEER_REFERENCES
from argosy.refit.analysis.source_edges import NO_TRACE_REASON, describe_unused_edge
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_tree import SourceTree


def check(tree: SourceTree) -> Iterator[Finding]:
    """Report each edge at its place in the fleet file."""
    fleet = require_fleet(tree)
    source_edges = tree.compute_once(find_tree_edges)
    for agent in fleet.agents.values():
        declared = [("needs", need.agent) for need in agent.needs]
        declared += [("wants", want) for want in agent.wants]
        indexes = {"needs": 0, "wants": 0}
        for kind, other in declared:
            index = indexes[kind]
            indexes[kind] += 1
            if other in fleet.agents and source_edges.is_untraced((agent.name, other)):
                where = fleet.locations.get(f"agents.{agent.name}.{kind}.{index}", agent.where)
                message = describe_unused_edge(agent.name, other, kind, [NO_TRACE_REASON])
                yield make_fleet_finding(tree, where, message, symbol=f"{agent.name}-{other}")


RULE = Rule(
    code="D504",
    title="edge not used",
    action="review",
    fact_kinds=(PEER_REFERENCES, MODULE_IMPORTS, MODULE_EXPORTS),
    check_tree=check,
    is_fleet_rule=True,
)

MUST = (
    RuleCase(
        files={"fleet.yaml": "#\n", "a.py": "print(1)\n", "b.py": ""},
        expected_lines=(3, 4),
        fleet="fleet: f\nagents:\n  A: {run: a.py, needs: [B]}\n  B: {run: b.py, port: 5502, wants: [A]}\n",
    ),
)
MUST_NOT = (
    RuleCase(
        files={"a.py": "import shared\n", "shared.py": 'ask("B")\n', "b.py": ""},
        fleet="fleet: f\nagents:\n  A: {run: a.py, needs: [B]}\n  B: {run: b.py}\n",
    ),
    RuleCase(
        files={"a.py": "PORT = 5502\n", "b.py": ""},
        fleet="fleet: f\nagents:\n  A: {run: a.py, needs: [B]}\n  B: {run: b.py, port: 5502}\n",
    ),
    RuleCase(
        files={"a.py": "import broken\n", "broken.py": "def f(:\n", "b.py": ""},
        fleet="fleet: f\nagents:\n  A: {run: a.py, needs: [B]}\n  B: {run: b.py}\n",
    ),
    RuleCase(
        files={"a.py": "import sys\nask(sys.argv[1])\n", "b.py": ""},
        fleet="fleet: f\nagents:\n  A: {run: a.py, args: [B], needs: [B]}\n  B: {run: b.py}\n",
    ),
    RuleCase(
        files={"a.py": ""},
        fleet="fleet: f\nagents:\n  A: {run: [sleep, '1'], needs: [B]}\n  B: {run: [sleep, '1']}\n",
    ),
)
