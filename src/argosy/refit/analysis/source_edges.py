"""Edges in the sources of a fleet: which agents each agent's code contacts, by name or by port.

An edge is *written* if the agent's own script, or its own class, passes another agent's name or port to a
call that connects or sends. Files and bases that several agents share may refer to the peers of others: they
make no edge, and only keep a declared edge from being called unused.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from argosy.engine.plan.agent_sources import AgentSourceCache, AgentSources
from argosy.fleet.fleet_spec import AgentSpec, Fleet
from argosy.fleet.locations import format_path
from argosy.source.binder import NodeIndex, find_scopes
from argosy.source.import_graph import ImportNode
from argosy.source.peer_reference_scan import PeerReference, PeerReferences, find_peer_references
from argosy.source.python_parser import Parsed, parse, pause_gc
from argosy.source.python_source import SourceText, Unparsed, read_source

NO_TRACE_REASON = "no file that it loads names it or its port"

AgentEdge = tuple[str, str]


class SourceLocation(msgspec.Struct, frozen=True):
    """A place in a file, by its absolute path; line and column from 1."""

    path: str
    line: int
    column: int

    def display(self) -> str:
        """Return `file:line:column`, relative to the current directory if that is shorter."""
        return f"{format_path(self.path)}:{self.line}:{self.column}"


class SourceEdges(msgspec.Struct, frozen=True):
    """The edges in the sources. edges: (agent, other) to the places.

    possible_edges: edges that something the agent loads or is given may mean. unreadable_agents: agents of
    which not all files could be read, so that no edge of theirs can be called missing.
    """

    edges: dict[AgentEdge, tuple[SourceLocation, ...]]
    possible_edges: frozenset[AgentEdge]
    unreadable_agents: frozenset[str]

    def is_untraced(self, edge: AgentEdge) -> bool:
        """Return whether everything that the agent loads was read, and nothing in it refers to the other."""
        return (
            edge not in self.edges
            and edge not in self.possible_edges
            and edge[0] not in self.unreadable_agents
        )


def find_source_edges(
    fleet: Fleet,
    variables: Mapping[str, str],
    source_cache: AgentSourceCache | None = None,
    read_references: Callable[[str], PeerReferences | None] | None = None,
) -> SourceEdges:
    """Return the edges in the sources of all agents; reads files, runs nothing.

    variables: the environment that agents inherit. source_cache, read_references: caches of the source files
    and their references, by absolute path.
    """
    reader = _EdgeReader(fleet, read_references or read_peer_references)
    source_cache = source_cache or AgentSourceCache(os.path.dirname(fleet.path), variables)
    edges: dict[AgentEdge, list[SourceLocation]] = {}
    possible_edges: set[AgentEdge] = set()
    unreadable_agents: set[str] = set()
    for agent in fleet.agents.values():
        sources = source_cache.read_sources(agent)
        if not reader.is_fully_read(sources):
            unreadable_agents.add(agent.name)
        for other, location in reader.iter_edges(agent, sources):
            edges.setdefault((agent.name, other), []).append(location)
        possible_edges.update((agent.name, other) for other in reader.possible_peers(agent, sources))
    locations_by_edge = {edge: tuple(dict.fromkeys(found)) for edge, found in edges.items()}
    return SourceEdges(locations_by_edge, frozenset(possible_edges), frozenset(unreadable_agents))


class _EdgeReader:
    """Reads the references to other agents in files, each file once."""

    def __init__(self, fleet: Fleet, read_references: Callable[[str], PeerReferences | None]) -> None:
        self._fleet = fleet
        self._read_references = read_references
        self._references_by_path: dict[str, PeerReferences | None] = {}
        self._possible_by_path: dict[str, frozenset[str]] = {}
        self._agents_by_port: dict[int, list[str]] = {}
        for agent in fleet.agents.values():
            for port in (agent.port, agent.health_port):
                if port is not None:
                    self._agents_by_port.setdefault(port, []).append(agent.name)

    def is_fully_read(self, sources: AgentSources) -> bool:
        """Return whether every file of an agent exists and parses."""
        if sources.import_graph is None:
            return False
        return not any(isinstance(node.facts, Unparsed) for node in sources.import_graph.nodes.values())

    def iter_edges(self, agent: AgentSpec, sources: AgentSources) -> Iterator[tuple[str, SourceLocation]]:
        """Yield (other, location) for each time that the agent's own code contacts another."""
        for node in _own_module_nodes(sources):
            references = self._cached_references(node.path)
            for reference in references.references if references else ():
                if not sources.class_name or reference.scope == sources.class_name:
                    location = SourceLocation(node.path, reference.line, reference.column)
                    yield from ((other, location) for other in self._referenced_agents(agent, reference))

    def possible_peers(self, agent: AgentSpec, sources: AgentSources) -> set[str]:
        """Return the agents that anything the agent loads, or is given, may refer to."""
        words = {word for text in (*agent.args, *agent.env.values()) for word in _split_words(text)}
        found = self._fleet.agents.keys() & words
        for path in sources.import_graph.nodes if sources.import_graph else ():
            found |= self._possible_peers_in(path)
        return found - {agent.name}

    def _possible_peers_in(self, path: str) -> frozenset[str]:
        """Return the agents whose name or port occurs in a file; cached, as agents share files."""
        if path not in self._possible_by_path:
            references = self._cached_references(path)
            found: set[str] = set()
            if references is not None:
                found |= self._fleet.agents.keys() & references.text_words
                for port in self._agents_by_port.keys() & references.possible_ports:
                    found.update(self._agents_by_port[port])
            self._possible_by_path[path] = frozenset(found)
        return self._possible_by_path[path]

    def _referenced_agents(self, agent: AgentSpec, reference: PeerReference) -> list[str]:
        """Return the agents that a reference means; of a port on two machines, the one on the agent's own."""
        if reference.port is None:
            known = reference.text in self._fleet.agents and reference.text != agent.name
            return [reference.text] if known else []
        port_owners = [name for name in self._agents_by_port.get(reference.port, ()) if name != agent.name]
        on_same_machine = [name for name in port_owners if self._fleet.agents[name].machine == agent.machine]
        return on_same_machine or port_owners

    def _cached_references(self, path: str) -> PeerReferences | None:
        if path not in self._references_by_path:
            self._references_by_path[path] = self._read_references(path)
        return self._references_by_path[path]


def read_peer_references(path: str) -> PeerReferences | None:
    """Return the references in a file, None if it cannot be read."""
    source = read_source(path)
    with pause_gc():
        parsed = parse(source, is_compiled=False) if isinstance(source, SourceText) else None
        if not isinstance(parsed, Parsed):
            return None
        index = NodeIndex()
        find_scopes(parsed, index)
        return find_peer_references(parsed, index)


def _own_module_nodes(sources: AgentSources) -> Iterator[ImportNode]:
    if sources.import_graph is None:
        return
    for node in sources.import_graph.nodes.values():
        if node.module is None or node.path in sources.entry_files:
            yield node


def _split_words(text: str) -> list[str]:
    return "".join(char if char.isalnum() or char in "_-." else " " for char in text).split()


def describe_undeclared_edge(agent: str, other: str, evidence: Iterable[str]) -> str:
    """Return the message for an edge that the fleet file does not declare."""
    return f"`{agent}` talks to `{other}` ({', '.join(evidence)}) and declares neither a need nor a want"


def describe_unused_edge(agent: str, other: str, kind: str, traces: Iterable[str]) -> str:
    """Return the message for a declared edge without a trace. kind: needs or wants."""
    return f"`{agent}` {kind} `{other}`, and {' and '.join(traces)}"
