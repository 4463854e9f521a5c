"""Queries about the fleet: its agents, edges, cycles, ports and scripts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from argosy.fleet.suggestions import suggest
from argosy.refit.claims.fleet_facts import FleetFacts, StatedAgent, ports_used_twice
from argosy.refit.claims.query_kind import QueryContext, QueryKind
from argosy.refit.claims.query_result import CodeLocation, CountBounds, QueryResult

NO_FLEET_MESSAGE = "no fleet is given: name its files under `fleet:`, or with `--fleet`"


FleetQuery = Callable[[FleetFacts, QueryContext], QueryResult]


def _fleet_kind(
    name: str, description: str, find: FleetQuery, *, argument: str = "", is_sum: bool = False
) -> QueryKind:
    def answer(context: QueryContext) -> QueryResult:
        facts = context.codebase.fleet
        return QueryResult(error=NO_FLEET_MESSAGE) if facts is None else find(facts, context)

    return QueryKind(
        name=name, argument=argument, description=description, scope=(), is_sum=is_sum, answer=answer
    )


def _list_agents(facts: FleetFacts, context: QueryContext) -> QueryResult:
    machine = context.argument
    if machine and machine not in {agent.machine for agent in facts.agents}:
        known = sorted({agent.machine for agent in facts.agents if agent.machine})
        return QueryResult(error=f"there is no machine `{machine}`: {suggest(machine, known, 'machines')}")
    return _locations_of([agent for agent in facts.agents if machine in ("", agent.machine)])


def _locations_of(agents: Sequence[StatedAgent]) -> QueryResult:
    return QueryResult(tuple(agent.location for agent in agents))


def _count_rows(facts: FleetFacts, context: QueryContext) -> QueryResult:
    return QueryResult(total=CountBounds(facts.rows, facts.rows))


def _list_optional(facts: FleetFacts, context: QueryContext) -> QueryResult:
    return _locations_of([agent for agent in facts.agents if not agent.is_required])


def _list_edges(facts: FleetFacts, context: QueryContext) -> QueryResult:
    return QueryResult(tuple(location for _, _, location in facts.edges))


def _list_dangling(facts: FleetFacts, context: QueryContext) -> QueryResult:
    known = set(facts.graph.edges())
    names = {agent.name for agent in facts.agents}
    return QueryResult(
        tuple(
            location
            for name, target, location in facts.edges
            if (name, target) not in known and target not in names
        )
    )


def _list_cycles(facts: FleetFacts, context: QueryContext) -> QueryResult:
    locations = {agent.name: agent.location for agent in facts.agents}
    return QueryResult(
        tuple(
            CodeLocation(
                locations[cycle[0]].path,
                locations[cycle[0]].line,
                locations[cycle[0]].column,
                " -> ".join((*cycle, cycle[0])),
            )
            for cycle in facts.graph.cycles()
        )
    )


def _count_levels(facts: FleetFacts, context: QueryContext) -> QueryResult:
    count = len(facts.graph.levels())
    return QueryResult(total=CountBounds(count, count))


def _longest_chain(facts: FleetFacts, context: QueryContext) -> QueryResult:
    graph = facts.graph.with_edges_as_wants(facts.graph.cycle_cuts())
    chain = graph.longest_chain()
    agents = [agent for name in chain if (agent := facts.find_agent(name)) is not None]
    return QueryResult(tuple(agent.location for agent in agents), {}, CountBounds(len(chain), len(chain)))


def _list_redundant(facts: FleetFacts, context: QueryContext) -> QueryResult:
    redundant = set(facts.graph.with_edges_as_wants(facts.graph.cycle_cuts()).redundant())
    return QueryResult(
        tuple(location for name, target, location in facts.edges if (name, target) in redundant)
    )


def _needed_by(facts: FleetFacts, context: QueryContext) -> QueryResult:
    return _related_agents(facts, context, facts.graph.dependents)


def _affected_by(facts: FleetFacts, context: QueryContext) -> QueryResult:
    return _related_agents(
        facts,
        context,
        lambda name: [other for other in facts.graph.with_dependents([name]) if other != name],
    )


def _related_agents(
    facts: FleetFacts, context: QueryContext, find: Callable[[str], Sequence[str]]
) -> QueryResult:
    if facts.find_agent(context.argument) is None:
        names = [agent.name for agent in facts.agents]
        hint = suggest(context.argument, names, "agents")
        return QueryResult(error=f"there is no agent `{context.argument}`: {hint}")
    found = set(find(context.argument))
    return _locations_of([agent for agent in facts.agents if agent.name in found])


def _list_port_clashes(facts: FleetFacts, context: QueryContext) -> QueryResult:
    """Return the count of ports that several rows of a machine name; the places are these rows."""
    clashes = ports_used_twice(facts)
    locations = [
        CodeLocation(use.location.path, use.location.line, use.location.column, f"{use.owner} {use.port}")
        for uses in clashes.values()
        for use in uses
    ]
    return QueryResult(tuple(locations), {}, CountBounds(len(clashes), len(clashes)))


def _list_missing_scripts(facts: FleetFacts, context: QueryContext) -> QueryResult:
    known = set(context.codebase.files)
    return _locations_of([agent for agent in facts.agents if agent.script and agent.script not in known])


KINDS = (
    _fleet_kind("fleet.agents", "agents", _list_agents, argument="[MACHINE]"),
    _fleet_kind("fleet.rows", "entries of agents in the fleet's files", _count_rows, is_sum=True),
    _fleet_kind("fleet.optional", "agents that are not required", _list_optional),
    _fleet_kind("fleet.edges", "needs", _list_edges),
    _fleet_kind("fleet.dangling", "needs of agents that do not exist", _list_dangling),
    _fleet_kind("fleet.redundant", "needs that other needs imply, after cutting cycles", _list_redundant),
    _fleet_kind("fleet.cycles", "cycles of needs", _list_cycles),
    _fleet_kind(
        "fleet.levels", "levels of needs, where a cycle counts as one agent", _count_levels, is_sum=True
    ),
    _fleet_kind(
        "fleet.chain",
        "agents in the longest chain of needs, after cutting cycles",
        _longest_chain,
        is_sum=True,
    ),
    _fleet_kind("fleet.needed-by", "agents that need this one, directly", _needed_by, argument="AGENT"),
    _fleet_kind(
        "fleet.affected-by",
        "agents that need this one, directly or indirectly",
        _affected_by,
        argument="AGENT",
    ),
    _fleet_kind(
        "fleet.ports-twice", "ports that more than one row of a file names", _list_port_clashes, is_sum=True
    ),
    _fleet_kind("fleet.missing", "agents whose script does not exist", _list_missing_scripts),
)
