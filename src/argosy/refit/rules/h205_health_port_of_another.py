"""A health port that another agent has

An agent with a hard-coded health port keeps it whatever the fleet file says later. If another agent of its
machine declares the same port, one of the two cannot start, or a caller asks the wrong one and gets a healthy
answer.

Reported are numbers passed to a constructor as `health_port` or `health_check_port`, assigned to these names,
or their default in a variable, a configuration or a parameter, if another agent of the machine declares that
port. Sums such as `self.port + 1` are D502.

Instead: declare `health_port` in the fleet file, and read it from there.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.analysis.facts.fleet_programs import build_source_cache, require_fleet, resolve_tree_path
from argosy.refit.analysis.facts.health_ports import HEALTH_PORTS
from argosy.refit.analysis.facts.module_exports import MODULE_EXPORTS
from argosy.refit.analysis.facts.module_imports import MODULE_IMPORTS
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_tree import SourceTree


def check(tree: SourceTree) -> Iterator[Finding]:
    """Report each number once for each agent that would use it."""
    fleet = require_fleet(tree)
    owners: dict[tuple[str | None, int], str] = {}
    for agent in fleet.agents.values():
        for port in (agent.port, agent.health_port):
            if port is not None:
                owners.setdefault((agent.machine, port), agent.name)
    for agent in fleet.agents.values():
        for path in tree.compute_once(build_source_cache).read_sources(agent).entry_files:
            relative = resolve_tree_path(tree, path)
            for item in tree.fact(HEALTH_PORTS, relative) or ():
                owner = owners.get((agent.machine, item.port), agent.name)
                if owner != agent.name and item.port not in (agent.port, agent.health_port):
                    message = f"`{agent.name}` takes health port {item.port}, which `{owner}` declares"
                    symbol = f"{agent.name}-{owner}"
                    yield Finding(relative, item.line, item.column, "", message, symbol=symbol)


RULE = Rule(
    code="H205",
    title="health port that another agent has",
    action="review",
    fact_kinds=(HEALTH_PORTS, MODULE_IMPORTS, MODULE_EXPORTS),
    check_tree=check,
    is_fleet_rule=True,
)

_FLEET_TEXT = """\
fleet: f
machines: {m: {}, n: {}}
environments: {development: {m: 127.0.0.1, n: 127.0.0.1}}
agents:
  A: {run: a.py, machine: m, port: 5501}
  B: {run: b.py, machine: m, port: 5502, health_port: 6502}
  C: {run: c.py, machine: n, port: 5503}
"""

MUST = (
    RuleCase(
        files={
            "a.py": "class A(Base):\n    def __init__(self):\n"
            "        super().__init__(port=5501, health_check_port=6502)  # <--\n",
            "b.py": "",
            "c.py": "",
        },
        fleet=_FLEET_TEXT,
    ),
    RuleCase(
        files={
            "a.py": "import os\nHEALTH = int(os.environ.get('A_HEALTH', 5502))\n\nclass A(Base):\n"
            "    def __init__(self):\n        self.health_port = HEALTH  # <--\n",
            "b.py": "",
            "c.py": "",
        },
        fleet=_FLEET_TEXT,
    ),
    RuleCase(
        files={
            "a.py": "class A(Base):\n    def __init__(self, port=5501, health_port=5502):  # <--\n"
            "        pass\n",
            "b.py": "",
            "c.py": "",
        },
        fleet=_FLEET_TEXT,
    ),
)
MUST_NOT = (
    RuleCase(
        files={
            "a.py": "class A(Base):\n    def __init__(self):\n"
            "        super().__init__(health_check_port=6501)\n"
            "        self.peer = ask(health_port=6502)\n",
            "b.py": "class B(Base):\n    def __init__(self):\n        self.health_port = 6502\n",
            "c.py": "class C(Base):\n    def __init__(self):\n        self.health_port = 6502\n",
        },
        fleet=_FLEET_TEXT,
    ),
)
