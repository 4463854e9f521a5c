"""The edges that the sources of a fleet state: whom each agent's code asks by name or by port.

An edge is *written* where the agent's own script, or its own class, hands another's name or port to
what connects or asks. What stands in files and bases that several agents share may be another's:
it makes no edge, and only keeps a declared one from being called unused.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from argosy.engine.sources import Shelf, Sources
from argosy.fleet.places import displayed_path
from argosy.fleet.spec import AgentSpec, Fleet
from argosy.source.binder import find_scopes
from argosy.source.closure import Node
from argosy.source.collector import collector_paused
from argosy.source.index import Index
from argosy.source.mentions import Mention, Speech, find_speech
from argosy.source.parse import Parsed, parse
from argosy.source.text import Source, Unparsed, read_source

NO_TRACE = "no file that it loads names it or its port"

Edge = tuple[str, str]


class Spot(msgspec.Struct, frozen=True):
    """A place in a file, by its absolute path; line and column from 1."""

    path: str
    line: int
    column: int

    def shown(self) -> str:
        """Return `file:line:column`, as short as it goes from here."""
        return f"{displayed_path(self.path)}:{self.line}:{self.column}"


class Written(msgspec.Struct, frozen=True):
    """What the sources tell. edges: (agent, other) to the places.

    named: edges that may be meant somewhere in what the agent loads or is given. unread: agents of which
    not all files could be read, so that nothing can be said to be missing.
    """

    edges: dict[Edge, tuple[Spot, ...]]
    named: frozenset[Edge]
    unread: frozenset[str]

    def has_no_trace_of(self, edge: Edge) -> bool:
        """Return whether everything that the agent loads was read, and none of it means the other."""
        return edge not in self.edges and edge not in self.named and edge[0] not in self.unread


def written_edges(
    fleet: Fleet,
    variables: Mapping[str, str],
    shelf: Shelf | None = None,
    read: Callable[[str], Speech | None] | None = None,
) -> Written:
    """Return the edges in the sources of all agents; reads files, runs nothing.

    variables: the environment that agents inherit. shelf, read: what knows the files and what they say, by
    their absolute paths, where somebody has read them already.
    """
    reader = _Reader(fleet, read or read_speech)
    shelf = shelf or Shelf(os.path.dirname(fleet.path), variables)
    edges: dict[Edge, list[Spot]] = {}
    named: set[Edge] = set()
    unread: set[str] = set()
    for agent in fleet.agents.values():
        sources = shelf.sources_of(agent)
        if not reader.is_whole(sources):
            unread.add(agent.name)
        for other, where in reader.written(agent, sources):
            edges.setdefault((agent.name, other), []).append(where)
        named.update((agent.name, other) for other in reader.named(agent, sources))
    places = {edge: tuple(dict.fromkeys(found)) for edge, found in edges.items()}
    return Written(places, frozenset(named), frozenset(unread))


class _Reader:
    """Reads what files say of others; each file once."""

    def __init__(self, fleet: Fleet, read: Callable[[str], Speech | None]) -> None:
        self._fleet = fleet
        self._read_file = read
        self._speech: dict[str, Speech | None] = {}
        self._named: dict[str, frozenset[str]] = {}
        self._ports: dict[int, list[str]] = {}
        for agent in fleet.agents.values():
            for port in (agent.port, agent.health_port):
                if port is not None:
                    self._ports.setdefault(port, []).append(agent.name)

    def is_whole(self, sources: Sources) -> bool:
        """Return whether every file of an agent is there and parses."""
        if sources.closure is None:
            return False
        return not any(isinstance(node.facts, Unparsed) for node in sources.closure.nodes.values())

    def written(self, agent: AgentSpec, sources: Sources) -> Iterator[tuple[str, Spot]]:
        """Yield (other, place) for each time that the agent's own code reaches another."""
        for node in _own_nodes(sources):
            speech = self._read(node.path)
            for mention in speech.mentions if speech else ():
                if not sources.class_name or mention.scope == sources.class_name:
                    spot = Spot(node.path, mention.line, mention.column)
                    yield from ((other, spot) for other in self._meant(agent, mention))

    def named(self, agent: AgentSpec, sources: Sources) -> set[str]:
        """Return whom anything that the agent loads, or is given, might mean."""
        words = {word for text in (*agent.args, *agent.env.values()) for word in _words(text)}
        found = self._fleet.agents.keys() & words
        for path in sources.closure.nodes if sources.closure else ():
            found |= self._named_in(path)
        return found - {agent.name}

    def _named_in(self, path: str) -> frozenset[str]:
        """Return the agents whose name or port is somewhere in a file; many agents load the same ones."""
        if path not in self._named:
            speech = self._read(path)
            found: set[str] = set()
            if speech is not None:
                found |= self._fleet.agents.keys() & speech.words
                for port in self._ports.keys() & speech.numbers:
                    found.update(self._ports[port])
            self._named[path] = frozenset(found)
        return self._named[path]

    def _meant(self, agent: AgentSpec, mention: Mention) -> list[str]:
        """Return the agents that a mention means; a port of two machines means the one on the agent's own."""
        if mention.port is None:
            known = mention.text in self._fleet.agents and mention.text != agent.name
            return [mention.text] if known else []
        holders = [name for name in self._ports.get(mention.port, ()) if name != agent.name]
        near = [name for name in holders if self._fleet.agents[name].machine == agent.machine]
        return near or holders

    def _read(self, path: str) -> Speech | None:
        if path not in self._speech:
            self._speech[path] = self._read_file(path)
        return self._speech[path]


def read_speech(path: str) -> Speech | None:
    """Return what a file says of others, None for one that cannot be read."""
    source = read_source(path)
    with collector_paused():
        parsed = parse(source, is_compiled=False) if isinstance(source, Source) else None
        if not isinstance(parsed, Parsed):
            return None
        index = Index()
        find_scopes(parsed, index)
        return find_speech(parsed, index)


def _own_nodes(sources: Sources) -> Iterator[Node]:
    if sources.closure is None:
        return
    for node in sources.closure.nodes.values():
        if node.module is None or node.path in sources.own:
            yield node


def _words(text: str) -> list[str]:
    return "".join(char if char.isalnum() or char in "_-." else " " for char in text).split()


def tell_undeclared(agent: str, other: str, evidence: Iterable[str]) -> str:
    """Return the message for an edge that the fleet file does not have."""
    return f"`{agent}` talks to `{other}` ({', '.join(evidence)}) and declares neither a need nor a want"


def tell_unused(agent: str, other: str, kind: str, traces: Iterable[str]) -> str:
    """Return the message for an edge of which nobody has a trace. kind: needs or wants."""
    return f"`{agent}` {kind} `{other}`, and {' and '.join(traces)}"
