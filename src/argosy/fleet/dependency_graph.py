"""The graph of needs and wants: cycles, levels, redundant edges, orders and paths.

Pure: this module reads no file. An edge goes from an agent to what it needs. A cycle is an error in
a fleet file, but every method except those for paths also works with cycles, so that `argosy graph`
can show the error: a level then contains all members of a cycle.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from argosy.fault import Fault, RefusedError

if TYPE_CHECKING:
    from argosy.fleet.fleet_spec import Fleet

# The limit of edge visits of one cycle search. Work that grows with the square of a component's size, or
# faster, is complete up to this limit and partial beyond it, so that the error is reported in time.
_MAX_VISITS = 200_000


class UnknownAgentError(RefusedError, KeyError):
    """The graph, or a table passed with it, has no such agent."""

    def __init__(self, agent: str) -> None:
        super().__init__(Fault(agent, "unknown-agent", f"there is no agent `{agent}` here"))


class CriticalStep(msgspec.Struct, frozen=True):
    """One agent on the critical path: it could start at `started_s` and was ready at `ready_s`."""

    agent: str
    started_s: float
    ready_s: float


class Graph(msgspec.Struct, frozen=True):
    """Agents in the order of the file, with what each needs and wants (known agents only)."""

    agents: tuple[str, ...]
    needs: dict[str, tuple[str, ...]]
    wants: dict[str, tuple[str, ...]]
    needed_by: dict[str, tuple[str, ...]]

    def dependents(self, name: str) -> tuple[str, ...]:
        """Return the agents that need `name` directly, in file order.

        Raises UnknownAgentError: the graph has no such agent.
        """
        if name not in self.needed_by:
            raise UnknownAgentError(name)
        return self.needed_by[name]

    def with_dependencies(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return `names` and all agents they need, directly or indirectly, in file order.

        Raises UnknownAgentError: the graph has no such agent.
        """
        return self._in_file_order(reachable_from(names, self.needs))

    def with_dependents(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return `names` and all agents that need them, directly or indirectly, in file order.

        Raises UnknownAgentError: the graph has no such agent.
        """
        return self._in_file_order(reachable_from(names, self.needed_by))

    def levels(self) -> tuple[tuple[str, ...], ...]:
        """Return the agents by the longest chain of needs below them; a cycle counts as one agent."""
        depth: dict[str, int] = {}
        for members in strongly_connected_components(self.needs):
            inside = set(members)
            below = [depth[need] for one in members for need in self.needs[one] if need not in inside]
            depth.update(dict.fromkeys(members, max(below, default=-1) + 1))
        rows: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
        for name in self.agents:
            rows[depth[name]].append(name)
        return tuple(map(tuple, rows))

    def start_order(self) -> tuple[str, ...]:
        """Return all agents so that each comes after what it needs, levels first, then file order."""
        return tuple(name for level in self.levels() for name in level)

    def stop_order(self) -> tuple[str, ...]:
        """Return all agents so that each comes before what it needs."""
        return self.start_order()[::-1]

    def cycles(self) -> tuple[tuple[str, ...], ...]:
        """Return the cycles of needs, shortest first.

        These are the shortest cycles through each agent that is on a cycle, each once, starting at
        its first agent in the file. An agent that needs itself is a cycle of one. For a large
        component only some of its cycles are returned, at least one.
        """
        index_of = {name: index for index, name in enumerate(self.agents)}
        found: set[tuple[str, ...]] = set()
        for members in strongly_connected_components(self.needs):
            for cycle in self._shortest_cycles(members):
                first = cycle.index(min(cycle, key=index_of.__getitem__))
                found.add(cycle[first:] + cycle[:first])
        return tuple(sorted(found, key=lambda cycle: (len(cycle), [index_of[name] for name in cycle])))

    def best_cut(self, cycle: tuple[str, ...]) -> tuple[str, str]:
        """Return the edge of `cycle` that is best turned into a want.

        Prefers the edge that leaves the fewest cycles, then the fewest levels (the quickest start),
        then the last in the cycle. In a graph too large for this it is the last in the cycle.
        """
        edges = list(zip(cycle, (*cycle[1:], cycle[0]), strict=True))
        if len(cycle) * self._visit_count() > 2 * _MAX_VISITS:
            return edges[-1]

        def cost(edge: tuple[str, str]) -> tuple[int, int]:
            rest = self.with_edges_as_wants([edge])
            return len(rest.cycles()), len(rest.levels())

        return min(reversed(edges), key=cost)

    def cycle_cuts(self) -> tuple[tuple[str, str], ...]:
        """Return edges that together, turned into wants, leave no cycle."""
        cuts = self._large_component_cuts()
        rest = self.with_edges_as_wants(cuts)
        while cycles := rest.cycles():
            cuts.append(rest.best_cut(cycles[0]))
            rest = rest.with_edges_as_wants(cuts[-1:])
        return tuple(cuts)

    def redundant(self) -> tuple[tuple[str, str], ...]:
        """Return the needs that another chain of needs implies, in file order.

        Removing all of them from a graph without cycles changes no order and leaves its transitive
        reduction (Aho, Garey and Ullman 1972). An edge inside a cycle is never redundant.
        """
        members = strongly_connected_components(self.needs)
        component_of = {name: index for index, names in enumerate(members) for name in names}
        reachable: list[int] = []
        redundant: set[tuple[str, str]] = set()
        for index, names in enumerate(members):
            out = [(one, need) for one in names for need in self.needs[one] if component_of[need] != index]
            # Bit sets of components: reached through at least one edge, and through at least two.
            reached_once = reached_twice = 0
            for _, need in out:
                reached_twice |= reached_once & reachable[component_of[need]]
                reached_once |= reachable[component_of[need]]
            redundant.update(edge for edge in out if reached_twice >> component_of[edge[1]] & 1)
            reachable.append(reached_once | 1 << index)
        return tuple(edge for edge in self.edges() if edge in redundant)

    def edges(self) -> Iterator[tuple[str, str]]:
        """Yield each need as (agent, needed agent), in file order."""
        for name in self.agents:
            for need in self.needs[name]:
                yield name, need

    def with_edges_as_wants(self, edges: Iterable[tuple[str, str]]) -> Graph:
        """Return the graph with `edges` turned from needs into wants."""
        cut = set(edges)
        needs = {a: tuple(b for b in self.needs[a] if (a, b) not in cut) for a in self.agents}
        wants = {a: self.wants[a] + tuple(b for b in self.needs[a] if (a, b) in cut) for a in self.agents}
        return graph_from_edges(needs, wants)

    def subgraph(self, names: Iterable[str]) -> Graph:
        """Return the graph of only `names` and the edges between them."""
        kept = set(names)
        return graph_from_edges(
            {a: tuple(b for b in self.needs[a] if b in kept) for a in self.agents if a in kept},
            {a: tuple(b for b in self.wants[a] if b in kept) for a in self.agents if a in kept},
        )

    def longest_chain(self) -> tuple[str, ...]:
        """Return the longest chain of needs by count, in start order; cycles are cut by `cycle_cuts`."""
        rest = self.with_edges_as_wants(self.cycle_cuts())
        depth = {name: float(index) for index, level in enumerate(rest.levels()) for name in level}
        return tuple(step.agent for step in critical_path(rest, depth))

    def _shortest_cycles(self, members: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        """Yield the shortest cycle through each member, or through some if that would take too long."""
        known = set(members)
        inside = {name: [need for need in self.needs[name] if need in known] for name in members}
        edges = self._edge_count(members)
        is_large = len(members) * edges > _MAX_VISITS
        covered: set[str] = set()
        visits = 0
        for name in members:
            if is_large and (name in covered or visits > _MAX_VISITS):
                continue
            visits += edges
            if cycle := shortest_path(name, name, inside)[:-1]:
                covered.update(cycle)
                yield cycle

    def _visit_count(self) -> int:
        """Return an estimate of how many edges `cycles` visits."""
        counts = (
            (len(members), self._edge_count(members)) for members in strongly_connected_components(self.needs)
        )
        return sum(min(size * edges, _MAX_VISITS) if size > 1 else 1 + edges for size, edges in counts)

    def _edge_count(self, members: Iterable[str]) -> int:
        return sum(len(self.needs[name]) for name in members)

    def _large_component_cuts(self) -> list[tuple[str, str]]:
        """Return the back edges of each large component, by depth-first search; they break all cycles."""
        cuts = []
        for members in strongly_connected_components(self.needs):
            if len(members) * self._edge_count(members) > _MAX_VISITS:
                cuts += _back_edges(members, self.needs)
        return cuts

    def _in_file_order(self, found: set[str]) -> tuple[str, ...]:
        for name in sorted(found - set(self.agents)):
            raise UnknownAgentError(name)
        return tuple(name for name in self.agents if name in found)


def build_graph(fleet: Fleet) -> Graph:
    """Return the graph of a fleet, without unknown names, which the loader reports."""
    agents = fleet.agents.values()
    return graph_from_edges(
        {agent.name: [need.agent for need in agent.needs] for agent in agents},
        {agent.name: agent.wants for agent in agents},
    )


def graph_from_edges(
    needs: Mapping[str, Iterable[str]], wants: Mapping[str, Iterable[str]] | None = None
) -> Graph:
    """Return the graph of plain names, without edges to unknown names and without duplicates."""
    wants = wants or {}
    kept = {name: _known_names(needs[name], needs) for name in needs}
    reverse: dict[str, list[str]] = {name: [] for name in needs}
    for name, needed in kept.items():
        for need in needed:
            reverse[need].append(name)
    return Graph(
        agents=tuple(needs),
        needs=kept,
        wants={name: _known_names(wants.get(name, ()), needs) for name in needs},
        needed_by={name: tuple(others) for name, others in reverse.items()},
    )


def _known_names(names: Iterable[str], known: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name in known))


def critical_path(graph: Graph, ready_s: Mapping[str, float]) -> tuple[CriticalStep, ...]:
    """Return the chain of needs that decided when the fleet was ready, first to start first.

    Walks back from the agent that was ready last, each time to the need that was ready
    last (critical path method, Kelley and Walker 1959). Ties go to the one named first.

    ready_s: seconds from the start of the fleet to each agent's readiness.
    Raises UnknownAgentError: an agent of the graph has no entry in `ready_s`.
    """
    for name in graph.agents:
        if name not in ready_s:
            raise UnknownAgentError(name)
    steps: list[CriticalStep] = []
    seen: set[str] = set()
    candidates: tuple[str, ...] = graph.agents
    while candidates:
        name = max(candidates, key=ready_s.__getitem__)
        seen.add(name)
        # In a cycle the walk ends before it repeats an agent.
        candidates = tuple(need for need in graph.needs[name] if need not in seen)
        started_s = max((ready_s[need] for need in candidates), default=0.0)
        steps.append(CriticalStep(name, started_s, ready_s[name]))
    return tuple(reversed(steps))


def strongly_connected_components(needs: Mapping[str, tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the strongly connected components, each after those it needs (Tarjan 1972, no recursion)."""
    found: list[tuple[str, ...]] = []
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    for root in needs:
        if root in number:
            continue
        walk = [(root, iter(needs[root]))]
        number[root] = low[root] = len(number)
        stack.append(root)
        on_stack.add(root)
        while walk:
            name, rest = walk[-1]
            for need in rest:
                if need not in number:
                    number[need] = low[need] = len(number)
                    stack.append(need)
                    on_stack.add(need)
                    walk.append((need, iter(needs[need])))
                    break
                if need in on_stack:
                    low[name] = min(low[name], number[need])
            else:
                walk.pop()
                if walk:
                    low[walk[-1][0]] = min(low[walk[-1][0]], low[name])
                if low[name] == number[name]:
                    first = len(stack) - 1
                    while stack[first] != name:
                        first -= 1
                    found.append(tuple(stack[first:]))
                    on_stack.difference_update(stack[first:])
                    del stack[first:]
    return found


def _back_edges(members: tuple[str, ...], needs: Mapping[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    """Return the edges of a component that lead back to an ancestor in the depth-first search."""
    inside, seen = set(members), set[str]()
    found = []
    for root in members:
        walk = [(root, iter(needs[root]))] if root not in seen else []
        above = {root}
        seen.add(root)
        while walk:
            name, rest = walk[-1]
            for need in rest:
                if need in above:
                    found.append((name, need))
                elif need in inside and need not in seen:
                    seen.add(need)
                    above.add(need)
                    walk.append((need, iter(needs[need])))
                    break
            else:
                walk.pop()
                above.discard(name)
    return found


def reachable_from(names: Iterable[str], edges: Mapping[str, Iterable[str]]) -> set[str]:
    """Return `names` and everything that `edges` lead to from them, directly or indirectly."""
    found = set(names)
    todo = list(found)
    while todo:
        further = set(edges.get(todo.pop(), ())) - found
        found |= further
        todo += further
    return found


def shortest_path(
    start: str, goal: str, needs: Mapping[str, Iterable[str]], *, without_edge: bool = False
) -> tuple[str, ...]:
    """Return the shortest chain of at least one need from `start` to `goal`, both included; else empty.

    It is found by breadth-first search. without_edge: not the chain of the one need `start` -> `goal`.
    """
    predecessors: dict[str, str] = {}
    queue = deque([start])
    while queue:
        name = queue.popleft()
        for need in needs.get(name, ()):
            if need == goal and not (without_edge and name == start):
                path = [goal, name]
                while path[-1] != start:
                    path.append(predecessors[path[-1]])
                return tuple(reversed(path))
            if need not in predecessors and need not in (start, goal):
                predecessors[need] = name
                queue.append(need)
    return ()
