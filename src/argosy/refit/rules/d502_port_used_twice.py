"""Two claim one port

On one machine a port belongs to one process. Found are two agents of the fleet file that declare the same; a
port that an agent's code binds by its number and another declares; and ports that code makes of the declared
one: `self.port + 1` for health, in the agent's own file or in the class that it inherits from, where the sum
is the port or the health port of another. An agent that hands its base a health port is left out of the
latter.

Instead: declare `health_port`, and give one of the two another number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from argosy.engine.sources import Sources
from argosy.fleet.spec import AgentSpec, Fleet
from argosy.refit.facts.imports import IMPORTS
from argosy.refit.facts.madeports import MADE_PORTS, MadePort
from argosy.refit.facts.program import fleet_finding, fleet_of, path_in, shelf
from argosy.refit.facts.surface import SURFACE
from argosy.refit.finding import Finding
from argosy.refit.rule import Case, Rule
from argosy.refit.tree import Tree

_NAME = re.compile(r"`([^`]+)`")
_SHOWN = 3
Claims = Mapping[tuple[str | None, int], str]


def check(tree: Tree) -> Iterator[Finding]:
    """Tell the declared ones, then those that are bound by number, then those that are made."""
    for fault in tree.fleet_faults:
        if fault.code == "port-used-twice":
            names = _NAME.findall(fault.message)
            symbol = "-".join([names[1], names[-1]]) if len(names) > 2 else fault.message
            yield fleet_finding(tree, fault.where, fault.message, symbol=symbol, hint=fault.hint)
    fleet = fleet_of(tree)
    claims = _claims(fleet)
    made: dict[tuple[str, MadePort], list[tuple[AgentSpec, str]]] = {}
    for agent in fleet.agents.values():
        sources = tree.derived(shelf).sources_of(agent)
        for path in sources.own:
            yield from _bound(tree, path_in(tree, path), agent, claims)
        for path, is_own in _files(tree, sources):
            facts = tree.fact(MADE_PORTS, path)
            for item in facts.made if facts is not None else ():
                holder = _holder(agent, item, claims)
                if holder and (is_own or not _gives_health(tree, sources)):
                    made.setdefault((path, item), []).append((agent, holder))
    for (path, item), clashes in made.items():
        yield _told(path, item, clashes)


def _claims(fleet: Fleet) -> dict[tuple[str | None, int], str]:
    """Return who declares each port of each machine first."""
    claims: dict[tuple[str | None, int], str] = {}
    for agent in fleet.agents.values():
        for port in (agent.port, agent.health_port):
            if port is not None:
                claims.setdefault((agent.machine, port), agent.name)
    return claims


def _bound(tree: Tree, path: str, agent: AgentSpec, claims: Claims) -> Iterator[Finding]:
    facts = tree.fact(MADE_PORTS, path)
    for item in facts.bound if facts is not None else ():
        holder = claims.get((agent.machine, item.port), agent.name)
        if holder != agent.name and item.port not in (agent.port, agent.health_port):
            message = f"`{agent.name}` binds {item.port}, which `{holder}` declares"
            yield Finding(path, item.line, item.column, "", message, symbol=f"{agent.name}-{holder}")


def _holder(agent: AgentSpec, item: MadePort, claims: Claims) -> str:
    """Return the other agent whose port a made one is; empty for none."""
    if agent.port is None or agent.port + item.offset == agent.health_port:
        return ""
    holder = claims.get((agent.machine, agent.port + item.offset), agent.name)
    return holder if holder != agent.name else ""


def _files(tree: Tree, sources: Sources) -> Iterator[tuple[str, bool]]:
    """Yield the files that an agent is, and those of the classes that it inherits from, each once."""
    todo = [(path_in(tree, path), True) for path in sources.own]
    modules = {
        node.module.name: path_in(tree, node.path)
        for node in (sources.closure.nodes.values() if sources.closure is not None else ())
        if node.module is not None
    }
    seen: set[str] = set()
    while todo:
        path, is_own = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        yield path, is_own
        facts = tree.fact(MADE_PORTS, path)
        for base in facts.bases if facts is not None else ():
            module = modules.get(base.rpartition(".")[0])
            if module is not None:
                todo.append((module, False))


def _gives_health(tree: Tree, sources: Sources) -> bool:
    facts = [tree.fact(MADE_PORTS, path_in(tree, path)) for path in sources.own]
    return any(fact is not None and fact.gives_health for fact in facts)


def _told(path: str, item: MadePort, clashes: list[tuple[AgentSpec, str]]) -> Finding:
    parts = [
        f"for `{agent.name}` that is {(agent.port or 0) + item.offset}, of `{holder}`"
        for agent, holder in clashes[:_SHOWN]
    ]
    more = f", and so for {len(clashes) - _SHOWN} more agents" if len(clashes) > _SHOWN else ""
    message = f"`{item.shown}` is a port that another agent declares: {', '.join(parts)}{more}"
    return Finding(path, item.line, item.column, "", message, symbol=item.shown)


RULE = Rule(
    code="D502",
    title="port used twice",
    action="review",
    needs=(MADE_PORTS, IMPORTS, SURFACE),
    tree=check,
    is_for_fleet=True,
)

_FLEET = """\
fleet: f
machines: {m: {}, n: {}}
environments: {development: {m: 127.0.0.1, n: 127.0.0.1}}
agents:
  A: {run: a.py, machine: m, port: 5501}
  B: {run: b.py, machine: m, port: 5502, health_port: 5512}
  C: {run: c.py, machine: n, port: 5503}
"""

MUST = (
    Case(
        files={"fleet.yaml": "#\n"},
        lines=(4,),
        fleet="fleet: f\nagents:\n  A: {run: [a], port: 5501}\n  B: {run: [b], port: 5501}\n",
    ),
    Case(
        files={
            "a.py": "class A:\n    def f(self, s):\n        self.health_port = self.port + 1  # <--\n"
            '        s.bind("tcp://*:5512")  # <--\n',
            "b.py": "",
            "c.py": "",
        },
        fleet=_FLEET,
    ),
    Case(
        files={
            "base/__init__.py": "",
            "base/core.py": "class Base:\n    def __init__(self, port, health=None):\n"
            "        self.port = self.find_free_port(port + 1)\n"
            "        self.health = health or port + 1  # <--\n",
            "a.py": "from base.core import Base\nclass A(Base):\n    pass\n",
            "b.py": "",
            "c.py": "",
        },
        fleet=_FLEET,
    ),
)
MUST_NOT = (
    Case(
        files={
            "a.py": "def find_free_port(port):\n    return port + 1\n\ndef g(port, s):\n"
            '    s.connect(f"tcp://h:{other.port + 1}")\n    s.bind("tcp://*:5501")\n    return port + 7\n',
            "b.py": "class B:\n    def f(self):\n        return self.port + 10\n",
            "c.py": 'def f(s, port):\n    s.bind("tcp://*:5501")\n    return port - 1, port + 1\n',
        },
        fleet=_FLEET,
    ),
    Case(
        files={
            "base.py": "class Base:\n    def __init__(self, port, health_port=None):\n"
            "        self.health = health_port or port + 1\n",
            "a.py": "from base import Base\nclass A(Base):\n    def __init__(self):\n"
            "        super().__init__(5501, health_port=6501)\n",
            "b.py": "from base import Base\n",
            "c.py": "",
        },
        fleet=_FLEET,
    ),
)
