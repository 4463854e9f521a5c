"""A health port that another agent has

An agent that is given a health port by its number keeps it whatever the fleet file says later. Where another
agent of its machine declares the same, one of them cannot start, or its caller asks the wrong one and hears
that all is well.

Found are numbers that are handed to a constructor as `health_port` or `health_check_port`, set under these
names, or their default behind a variable, a configuration or a parameter, where another agent of the machine
declares that port. Sums such as `self.port + 1` are D502.

Instead: declare `health_port` in the fleet file, and take it from there.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.facts.healthports import HEALTH_PORTS
from argosy.refit.facts.imports import IMPORTS
from argosy.refit.facts.program import fleet_of, path_in, shelf
from argosy.refit.facts.surface import SURFACE
from argosy.refit.finding import Finding
from argosy.refit.rule import Case, Rule
from argosy.refit.tree import Tree


def check(tree: Tree) -> Iterator[Finding]:
    """Tell each number once for each agent that would take it."""
    fleet = fleet_of(tree)
    claims: dict[tuple[str | None, int], str] = {}
    for agent in fleet.agents.values():
        for port in (agent.port, agent.health_port):
            if port is not None:
                claims.setdefault((agent.machine, port), agent.name)
    for agent in fleet.agents.values():
        for path in tree.derived(shelf).sources_of(agent).own:
            relative = path_in(tree, path)
            for item in tree.fact(HEALTH_PORTS, relative) or ():
                holder = claims.get((agent.machine, item.port), agent.name)
                if holder != agent.name and item.port not in (agent.port, agent.health_port):
                    message = f"`{agent.name}` takes health port {item.port}, which `{holder}` declares"
                    symbol = f"{agent.name}-{holder}"
                    yield Finding(relative, item.line, item.column, "", message, symbol=symbol)


RULE = Rule(
    code="H205",
    title="health port that another agent has",
    action="review",
    needs=(HEALTH_PORTS, IMPORTS, SURFACE),
    tree=check,
    is_for_fleet=True,
)

_FLEET = """\
fleet: f
machines: {m: {}, n: {}}
environments: {development: {m: 127.0.0.1, n: 127.0.0.1}}
agents:
  A: {run: a.py, machine: m, port: 5501}
  B: {run: b.py, machine: m, port: 5502, health_port: 6502}
  C: {run: c.py, machine: n, port: 5503}
"""

MUST = (
    Case(
        files={
            "a.py": "class A(Base):\n    def __init__(self):\n"
            "        super().__init__(port=5501, health_check_port=6502)  # <--\n",
            "b.py": "",
            "c.py": "",
        },
        fleet=_FLEET,
    ),
    Case(
        files={
            "a.py": "import os\nHEALTH = int(os.environ.get('A_HEALTH', 5502))\n\nclass A(Base):\n"
            "    def __init__(self):\n        self.health_port = HEALTH  # <--\n",
            "b.py": "",
            "c.py": "",
        },
        fleet=_FLEET,
    ),
    Case(
        files={
            "a.py": "class A(Base):\n    def __init__(self, port=5501, health_port=5502):  # <--\n"
            "        pass\n",
            "b.py": "",
            "c.py": "",
        },
        fleet=_FLEET,
    ),
)
MUST_NOT = (
    Case(
        files={
            "a.py": "class A(Base):\n    def __init__(self):\n"
            "        super().__init__(health_check_port=6501)\n"
            "        self.peer = ask(health_port=6502)\n",
            "b.py": "class B(Base):\n    def __init__(self):\n        self.health_port = 6502\n",
            "c.py": "class C(Base):\n    def __init__(self):\n        self.health_port = 6502\n",
        },
        fleet=_FLEET,
    ),
)
