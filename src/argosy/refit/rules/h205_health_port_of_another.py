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

from argosy.refit.analysis.facts.fleet_programs import (
    build_source_cache,
    find_claimed_ports,
    require_fleet,
    resolve_tree_path,
)
from argosy.refit.analysis.facts.module_names import MODULE_EXPORTS, MODULE_IMPORTS
from argosy.refit.analysis.facts.module_ports import HEALTH_PORTS
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_tree import SourceTree


def check(tree: SourceTree) -> Iterator[Finding]:
    """Report each number once for each agent that would use it."""
    for agent in require_fleet(tree).agents.values():
        for path in tree.compute_once(build_source_cache).read_sources(agent).entry_files:
            relative = resolve_tree_path(tree, path)
            ports = tree.fact(HEALTH_PORTS, relative) or ()
            yield from find_claimed_ports(tree, relative, agent, ports, "takes health port")


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
