"""Two agents use one port

On one machine a port belongs to one process. Reported are two agents of the fleet file that declare the same
port; a port that an agent's code binds by number and another agent declares; and ports that code derives from
the declared one: `self.port + 1` for health, in the agent's own file or in its base class, where the sum is
the port or the health port of another agent. Derived ports are not reported for an agent that passes a health
port to its base.

Instead: declare `health_port`, and give one of the two another number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from argosy.engine.plan.agent_sources import AgentSources
from argosy.fleet.fleet_spec import AgentSpec
from argosy.refit.analysis.facts.fleet_programs import (
    build_source_cache,
    find_claimed_ports,
    make_fleet_finding,
    port_owners,
    require_fleet,
    resolve_tree_path,
)
from argosy.refit.analysis.facts.module_names import MODULE_EXPORTS, MODULE_IMPORTS
from argosy.refit.analysis.facts.module_ports import MODULE_PORTS, DerivedPort
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_tree import SourceTree

_QUOTED_NAME = re.compile(r"`([^`]+)`")
_MAX_SHOWN = 3


def check(tree: SourceTree) -> Iterator[Finding]:
    """Report the declared ports, then those bound by number, then the derived ones."""
    for fault in tree.fleet_faults:
        if fault.code == "port-used-twice":
            names = _QUOTED_NAME.findall(fault.message)
            symbol = "-".join([names[1], names[-1]]) if len(names) > 2 else fault.message
            yield make_fleet_finding(tree, fault.where, fault.message, symbol=symbol, hint=fault.hint)
    derived: dict[tuple[str, DerivedPort], list[tuple[AgentSpec, str]]] = {}
    for agent in require_fleet(tree).agents.values():
        sources = tree.compute_once(build_source_cache).read_sources(agent)
        for path in sources.entry_files:
            relative = resolve_tree_path(tree, path)
            facts = tree.fact(MODULE_PORTS, relative)
            yield from find_claimed_ports(tree, relative, agent, facts.bound if facts else (), "binds")
        for path, is_own in _iter_agent_files(tree, sources):
            facts = tree.fact(MODULE_PORTS, path)
            for item in facts.derived if facts is not None else ():
                owner = _other_owner(tree, agent, item)
                if owner and (is_own or not _has_explicit_health_port(tree, sources)):
                    derived.setdefault((path, item), []).append((agent, owner))
    for (path, item), conflicts in derived.items():
        yield _make_finding(path, item, conflicts)


def _other_owner(tree: SourceTree, agent: AgentSpec, item: DerivedPort) -> str:
    """Return the other agent that owns a derived port; empty for none."""
    if agent.port is None or agent.port + item.offset == agent.health_port:
        return ""
    owner = tree.compute_once(port_owners).get((agent.machine, agent.port + item.offset), agent.name)
    return owner if owner != agent.name else ""


def _iter_agent_files(tree: SourceTree, sources: AgentSources) -> Iterator[tuple[str, bool]]:
    """Yield the files of an agent and of the classes that it inherits from, each once."""
    pending = [(resolve_tree_path(tree, path), True) for path in sources.entry_files]
    modules = {
        node.module.name: resolve_tree_path(tree, node.path)
        for node in (sources.import_graph.nodes.values() if sources.import_graph is not None else ())
        if node.module is not None
    }
    seen: set[str] = set()
    while pending:
        path, is_own = pending.pop()
        if path in seen:
            continue
        seen.add(path)
        yield path, is_own
        facts = tree.fact(MODULE_PORTS, path)
        for base in facts.bases if facts is not None else ():
            module = modules.get(base.rpartition(".")[0])
            if module is not None:
                pending.append((module, False))


def _has_explicit_health_port(tree: SourceTree, sources: AgentSources) -> bool:
    facts = [tree.fact(MODULE_PORTS, resolve_tree_path(tree, path)) for path in sources.entry_files]
    return any(fact is not None and fact.has_explicit_health_port for fact in facts)


def _make_finding(path: str, item: DerivedPort, conflicts: list[tuple[AgentSpec, str]]) -> Finding:
    parts = [
        f"for `{agent.name}` that is {(agent.port or 0) + item.offset}, of `{holder}`"
        for agent, holder in conflicts[:_MAX_SHOWN]
    ]
    more = f", and so for {len(conflicts) - _MAX_SHOWN} more agents" if len(conflicts) > _MAX_SHOWN else ""
    message = f"`{item.source}` is a port that another agent declares: {', '.join(parts)}{more}"
    return Finding(path, item.line, item.column, "", message, symbol=item.source)


RULE = Rule(
    code="D502",
    title="port used twice",
    action="review",
    fact_kinds=(MODULE_PORTS, MODULE_IMPORTS, MODULE_EXPORTS),
    check_tree=check,
    is_fleet_rule=True,
)

_FLEET_TEXT = """\
fleet: f
machines: {m: {}, n: {}}
environments: {development: {m: 127.0.0.1, n: 127.0.0.1}}
agents:
  A: {run: a.py, machine: m, port: 5501}
  B: {run: b.py, machine: m, port: 5502, health_port: 5512}
  C: {run: c.py, machine: n, port: 5503}
"""

MUST = (
    RuleCase(
        files={"fleet.yaml": "#\n"},
        expected_lines=(4,),
        fleet="fleet: f\nagents:\n  A: {run: [a], port: 5501}\n  B: {run: [b], port: 5501}\n",
    ),
    RuleCase(
        files={
            "a.py": "class A:\n    def f(self, s):\n        self.health_port = self.port + 1  # <--\n"
            '        s.bind("tcp://*:5512")  # <--\n',
            "b.py": "",
            "c.py": "",
        },
        fleet=_FLEET_TEXT,
    ),
    RuleCase(
        files={
            "base/__init__.py": "",
            "base/core.py": "class Base:\n    def __init__(self, port, health=None):\n"
            "        self.port = self.find_free_port(port + 1)\n"
            "        self.health = health or port + 1  # <--\n",
            "a.py": "from base.core import Base\nclass A(Base):\n    pass\n",
            "b.py": "",
            "c.py": "",
        },
        fleet=_FLEET_TEXT,
    ),
)
MUST_NOT = (
    RuleCase(
        files={
            "a.py": "def find_free_port(port):\n    return port + 1\n\ndef g(port, s):\n"
            '    s.connect(f"tcp://h:{other.port + 1}")\n    s.bind("tcp://*:5501")\n    return port + 7\n',
            "b.py": "class B:\n    def f(self):\n        return self.port + 10\n",
            "c.py": 'def f(s, port):\n    s.bind("tcp://*:5501")\n    return port - 1, port + 1\n',
        },
        fleet=_FLEET_TEXT,
    ),
    RuleCase(
        files={
            "base.py": "class Base:\n    def __init__(self, port, health_port=None):\n"
            "        self.health = health_port or port + 1\n",
            "a.py": "from base import Base\nclass A(Base):\n    def __init__(self):\n"
            "        super().__init__(5501, health_port=6501)\n",
            "b.py": "from base import Base\n",
            "c.py": "",
        },
        fleet=_FLEET_TEXT,
    ),
)
