"""The edges that the sources of a fleet state: whom each agent's code asks by name or by port.

An edge is *written* where the agent's own script, or its own class, hands another's name or port to
what connects or asks. What stands in files and bases that several agents share may be another's:
it makes no edge, and only keeps a declared one from being called unused.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from argosy.engine.explain.agent_sources import AgentSourceCache, AgentSources
from argosy.fleet.fleet_spec import AgentSpec, Fleet
from argosy.fleet.locations import format_path_str
from argosy.source.binder import find_scopes
from argosy.source.gc_pause import pause_gc
from argosy.source.import_graph import ImportNode
from argosy.source.node_index import NodeIndex
from argosy.source.peer_reference_scan import PeerReference, PeerReferences, find_peer_references
from argosy.source.python_parser import Parsed, parse
from argosy.source.python_source import SourceText, Unparsed, read_source

NO_TRACE_REASON = "no file that it loads names it or its port"

AgentEdge = tuple[str, str]


class SourceLocation(msgspec.Struct, frozen=True):
    """A place in a file, by its absolute path; line and column from 1."""

    path: str
    line: int
    column: int

    def display(self) -> str:
        """Return `file:line:column`, as short as it goes from here."""
        return f"{format_path_str(self.path)}:{self.line}:{self.column}"


class SourceEdges(msgspec.Struct, frozen=True):
    """What the sources tell. edges: (agent, other) to the places.

    named: edges that may be meant somewhere in what the agent loads or is given. unread: agents of which
    not all files could be read, so that nothing can be said to be missing.
    """

    edges: dict[AgentEdge, tuple[SourceLocation, ...]]
    possible_edges: frozenset[AgentEdge]
    unreadable_agents: frozenset[str]

    def is_untraced(self, edge: AgentEdge) -> bool:
        """Return whether everything that the agent loads was read, and none of it means the other."""
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

    variables: the environment that agents inherit. shelf, read: what knows the files and what they say, by
    their absolute paths, where somebody has read them already.
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
    """Reads what files say of others; each file once."""

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
        """Return whether every file of an agent is there and parses."""
        if sources.import_graph is None:
            return False
        return not any(isinstance(node.facts, Unparsed) for node in sources.import_graph.nodes.values())

    def iter_edges(self, agent: AgentSpec, sources: AgentSources) -> Iterator[tuple[str, SourceLocation]]:
        """Yield (other, place) for each time that the agent's own code reaches another."""
        for node in _own_module_nodes(sources):
            references = self._cached_references(node.path)
            for reference in references.references if references else ():
                if not sources.class_name or reference.scope == sources.class_name:
                    location = SourceLocation(node.path, reference.line, reference.column)
                    yield from ((other, location) for other in self._referenced_agents(agent, reference))

    def possible_peers(self, agent: AgentSpec, sources: AgentSources) -> set[str]:
        """Return whom anything that the agent loads, or is given, might mean."""
        words = {word for text in (*agent.args, *agent.env.values()) for word in _split_words(text)}
        found = self._fleet.agents.keys() & words
        for path in sources.import_graph.nodes if sources.import_graph else ():
            found |= self._possible_peers_in(path)
        return found - {agent.name}

    def _possible_peers_in(self, path: str) -> frozenset[str]:
        """Return the agents whose name or port is somewhere in a file; many agents load the same ones."""
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
        """Return the agents that a mention means; a port of two machines means the one on the agent's own."""
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
    """Return what a file says of others, None for one that cannot be read."""
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
    """Return the message for an edge that the fleet file does not have."""
    return f"`{agent}` talks to `{other}` ({', '.join(evidence)}) and declares neither a need nor a want"


def describe_unused_edge(agent: str, other: str, kind: str, traces: Iterable[str]) -> str:
    """Return the message for an edge of which nobody has a trace. kind: needs or wants."""
    return f"`{agent}` {kind} `{other}`, and {' and '.join(traces)}"
