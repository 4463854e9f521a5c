"""Code talks to an agent that its fleet entry does not name

The agent's own script, or its own class, hands the name or the port of another to what connects or asks, and
neither `needs` nor `wants` has it. So the start may come too early, and a restart of the other is nobody's
concern. What stands in files that several agents share makes no edge.

Instead: `needs`, if the start has to wait for it, else `wants`.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.facts.imports import IMPORTS
from argosy.refit.facts.program import fleet_of, path_in, written
from argosy.refit.facts.speech import SPEECH
from argosy.refit.facts.surface import SURFACE
from argosy.refit.finding import Finding
from argosy.refit.rule import Case, Rule
from argosy.refit.tree import Tree
from argosy.refit.written import tell_undeclared


def check(tree: Tree) -> Iterator[Finding]:
    """Tell each edge once, at the first place that states it."""
    fleet = fleet_of(tree)
    for (agent, other), spots in tree.derived(written).edges.items():
        spec = fleet.agents[agent]
        if other in spec.wants or any(need.agent == other for need in spec.needs):
            continue
        path = path_in(tree, spots[0].path)
        places = [f"{path_in(tree, spot.path)}:{spot.line}" for spot in spots[:3]]
        message = tell_undeclared(agent, other, places)
        hint = f"`wants: [{', '.join([*spec.wants, other])}]` of `{agent}` ({spec.where})"
        yield Finding(path, spots[0].line, spots[0].column, "", message, symbol=f"{agent}-{other}", hint=hint)


RULE = Rule(
    code="D503",
    title="edge not declared",
    action="review",
    needs=(SPEECH, IMPORTS, SURFACE),
    tree=check,
    is_for_fleet=True,
)

_FLEET = """\
fleet: f
agents:
  A: {run: a.py, port: 5501, needs: [C]}
  B: {run: b.py, port: 5502}
  C: {run: c.py, port: 5503}
"""

MUST = (
    Case(
        files={
            "a.py": 'def ask(s):\n    s.connect("tcp://127.0.0.1:5502")  # <--\n    s.connect("tcp://h:5502")\n',
            "b.py": 'import here\nhere.peer("A")  # <--\n',
            "c.py": "",
        },
        fleet=_FLEET,
    ),
)
MUST_NOT = (
    Case(files={"a.py": 's.connect("tcp://h:5503")\ns.connect("tcp://h:5501")\n', "b.py": ""}, fleet=_FLEET),
    Case(
        files={
            "a.py": "import shared\n",
            "shared.py": 'def f(s):\n    s.connect("tcp://h:5502")\n',
            "b.py": 'print("A")\nPEERS = ["A"]\ns.bind("tcp://*:5501")\n',
        },
        fleet=_FLEET,
    ),
    Case(files={"a.py": 's.connect("tcp://h:5502")\n'}),
)
