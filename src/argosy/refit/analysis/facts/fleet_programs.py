"""The agents of the fleet file as programs of the tree, from facts: what each imports, and its peers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from msgspec.structs import replace

from argosy.engine.plan.agent_sources import AgentSourceCache, AgentSources
from argosy.fleet.fleet_spec import AgentSpec, Fleet
from argosy.refit.analysis.facts.module_names import MODULE_IMPORTS, PEER_REFERENCES
from argosy.refit.analysis.facts.module_ports import BoundPort
from argosy.refit.analysis.facts.tree_modules import build_facts_cache
from argosy.refit.analysis.source_edges import SourceEdges, find_source_edges, read_peer_references
from argosy.refit.core.finding import Finding
from argosy.refit.core.source_tree import SourceTree
from argosy.source.file_facts import FileFacts, FileFactsCache, read_facts
from argosy.source.peer_reference_scan import PeerReferences
from argosy.source.python_source import Unparsed


def require_fleet(tree: SourceTree) -> Fleet:
    """Return the fleet that the tree is audited with. Raises LookupError: there is none."""
    if tree.fleet is None:
        raise LookupError("a rule that needs a fleet file was run without one")
    return tree.fleet


def make_fleet_finding(
    tree: SourceTree, location: str, message: str, *, symbol: str, hint: str = ""
) -> Finding:
    """Return a finding in the fleet file. location: `file:line:column`, as in fleets and faults."""
    _, line, column = location.rsplit(":", 2)
    path = tree.relative_path(os.path.realpath(require_fleet(tree).path))
    return Finding(path, int(line), int(column), "", message, symbol=symbol, hint=hint)


class _MemoizedSourceCache(AgentSourceCache):
    """A source cache that finds the sources of each agent once, since several rules ask for them."""

    def __init__(self, root: str, facts_cache: FileFactsCache) -> None:
        super().__init__(root, {}, facts_cache=facts_cache)
        self._sources_by_agent: dict[str, AgentSources] = {}

    def read_sources(self, agent: AgentSpec) -> AgentSources:
        if agent.name not in self._sources_by_agent:
            self._sources_by_agent[agent.name] = super().read_sources(agent)
        return self._sources_by_agent[agent.name]


def build_source_cache(tree: SourceTree) -> AgentSourceCache:
    """Return the cache of the agents' source files; files outside of the tree are read from disk."""
    facts_cache = tree.compute_once(build_facts_cache)
    tree_paths = set(tree.paths)

    def read(path: str) -> FileFacts | Unparsed:
        relative = resolve_tree_path(tree, path)
        if relative in tree.unparsed:
            return tree.unparsed[relative]
        if relative not in tree_paths:
            return read_facts(path)
        facts = facts_cache.facts(os.path.join(tree.root, relative))
        imports = tree.fact(MODULE_IMPORTS, relative)
        if imports is None or isinstance(facts, Unparsed):
            return facts
        return replace(facts, imports=imports.imports, path_additions=imports.path_additions)

    return _MemoizedSourceCache(os.path.dirname(require_fleet(tree).path), FileFactsCache(read))


def find_tree_edges(tree: SourceTree) -> SourceEdges:
    """Return the edges in the sources of the agents."""
    tree_paths = set(tree.paths)

    def read(path: str) -> PeerReferences | None:
        relative = resolve_tree_path(tree, path)
        if relative in tree_paths or relative in tree.unparsed:
            return tree.fact(PEER_REFERENCES, relative)
        return read_peer_references(path)

    return find_source_edges(require_fleet(tree), {}, tree.compute_once(build_source_cache), read)


def port_owners(tree: SourceTree) -> Mapping[tuple[str | None, int], str]:
    """Return the agent that first declares each port of each machine, as its port or health port."""
    owners: dict[tuple[str | None, int], str] = {}
    for agent in require_fleet(tree).agents.values():
        for port in (agent.port, agent.health_port):
            if port is not None:
                owners.setdefault((agent.machine, port), agent.name)
    return owners


def find_claimed_ports(
    tree: SourceTree, path: str, agent: AgentSpec, items: Iterable[BoundPort], verb: str
) -> Iterator[Finding]:
    """Yield a finding for each port in a file of an agent that another agent of its machine declares."""
    for item in items:
        owner = tree.compute_once(port_owners).get((agent.machine, item.port), agent.name)
        if owner != agent.name and item.port not in (agent.port, agent.health_port):
            message = f"`{agent.name}` {verb} {item.port}, which `{owner}` declares"
            yield Finding(path, item.line, item.column, "", message, symbol=f"{agent.name}-{owner}")


def resolve_tree_path(tree: SourceTree, path: str) -> str:
    """Return a path as the tree has it: relative to its root, with links resolved."""
    resolved = tree.compute_once(_resolved_paths)
    if path not in resolved:
        resolved[path] = tree.relative_path(os.path.realpath(path))
    return resolved[path]


def _resolved_paths(tree: SourceTree) -> dict[str, str]:
    """Return the cache of resolved paths: resolving one reads each of its directories from disk."""
    return {}
