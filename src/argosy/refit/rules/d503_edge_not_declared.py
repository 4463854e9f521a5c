"""Code talks to an agent that its fleet entry does not name

The agent's own script or class passes the name or the port of another to a call that connects or requests,
and neither `needs` nor `wants` names that agent. So it may start too early, and nothing happens when the
other restarts. References in files that several agents share are not edges.

Instead: `needs` if the start has to wait for it, else `wants`.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.analysis.facts.fleet_programs import find_tree_edges, require_fleet, resolve_tree_path
from argosy.refit.analysis.facts.module_names import MODULE_EXPORTS, MODULE_IMPORTS, PEER_REFERENCES
from argosy.refit.analysis.source_edges import describe_undeclared_edge
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_tree import SourceTree


def check(tree: SourceTree) -> Iterator[Finding]:
    """Report each edge once, at its first reference."""
    fleet = require_fleet(tree)
    for (agent, other), locations in tree.compute_once(find_tree_edges).edges.items():
        spec = fleet.agents[agent]
        if other in spec.wants or any(need.agent == other for need in spec.needs):
            continue
        path = resolve_tree_path(tree, locations[0].path)
        places = [f"{resolve_tree_path(tree, spot.path)}:{spot.line}" for spot in locations[:3]]
        message = describe_undeclared_edge(agent, other, places)
        hint = f"`wants: [{', '.join([*spec.wants, other])}]` of `{agent}` ({spec.where})"
        yield Finding(
            path, locations[0].line, locations[0].column, "", message, symbol=f"{agent}-{other}", hint=hint
        )


RULE = Rule(
    code="D503",
    title="edge not declared",
    action="review",
    fact_kinds=(PEER_REFERENCES, MODULE_IMPORTS, MODULE_EXPORTS),
    check_tree=check,
    is_fleet_rule=True,
)

_FLEET_TEXT = """\
fleet: f
agents:
  A: {run: a.py, port: 5501, needs: [C]}
  B: {run: b.py, port: 5502}
  C: {run: c.py, port: 5503}
"""

MUST = (
    RuleCase(
        files={
            "a.py": 'def ask(s):\n    s.connect("tcp://127.0.0.1:5502")  # <--\n    s.connect("tcp://h:5502")\n',
            "b.py": 'import here\nhere.peer("A")  # <--\n',
            "c.py": "",
        },
        fleet=_FLEET_TEXT,
    ),
)
MUST_NOT = (
    RuleCase(
        files={"a.py": 's.connect("tcp://h:5503")\ns.connect("tcp://h:5501")\n', "b.py": ""},
        fleet=_FLEET_TEXT,
    ),
    RuleCase(
        files={
            "a.py": "import shared\n",
            "shared.py": 'def f(s):\n    s.connect("tcp://h:5502")\n',
            "b.py": 'print("A")\nPEERS = ["A"]\ns.bind("tcp://*:5501")\n',
        },
        fleet=_FLEET_TEXT,
    ),
    RuleCase(files={"a.py": 's.connect("tcp://h:5502")\n'}),
)
