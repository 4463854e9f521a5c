"""Queries about the fleet: its agents, edges, cycles, ports and scripts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from argosy.fleet.suggestions import suggest
from argosy.refit.claims.fleet_facts import FleetFacts, StatedAgent, ports_used_twice
from argosy.refit.claims.query_kind import QueryContext, QueryKind
from argosy.refit.claims.query_result import CodeLocation, CountBounds, QueryResult

NO_FLEET_MESSAGE = "nothing tells the fleet: name its files under `fleet:`, or with `--fleet`"


def _fleet_answer(
    find: Callable[[FleetFacts, QueryContext], QueryResult],
) -> Callable[[QueryContext], QueryResult]:
    def answer(context: QueryContext) -> QueryResult:
        facts = context.codebase.fleet
        return QueryResult(error=NO_FLEET_MESSAGE) if facts is None else find(facts, context)

    return answer


def _list_agents(facts: FleetFacts, context: QueryContext) -> QueryResult:
    machine = context.argument
    if machine and machine not in {member.machine for member in facts.agents}:
        known = sorted({member.machine for member in facts.agents if member.machine})
        return QueryResult(error=f"there is no machine `{machine}`: {suggest(machine, known, 'machines')}")
    return _locations_of([member for member in facts.agents if machine in ("", member.machine)])


def _locations_of(agents: Sequence[StatedAgent]) -> QueryResult:
    return QueryResult(tuple(member.location for member in agents))


def _count_rows(facts: FleetFacts, context: QueryContext) -> QueryResult:
    return QueryResult(total=CountBounds(facts.rows, facts.rows))


def _list_optional(facts: FleetFacts, context: QueryContext) -> QueryResult:
    return _locations_of([member for member in facts.agents if not member.is_required])


def _list_edges(facts: FleetFacts, context: QueryContext) -> QueryResult:
    return QueryResult(tuple(spot for _, _, spot in facts.edges))


def _list_dangling(facts: FleetFacts, context: QueryContext) -> QueryResult:
    known = set(facts.graph.edges())
    names = {member.name for member in facts.agents}
    return QueryResult(
        tuple(spot for of, to, spot in facts.edges if (of, to) not in known and to not in names)
    )


def _list_cycles(facts: FleetFacts, context: QueryContext) -> QueryResult:
    locations = {member.name: member.location for member in facts.agents}
    return QueryResult(
        tuple(
            CodeLocation(
                locations[way[0]].path,
                locations[way[0]].line,
                locations[way[0]].column,
                " -> ".join((*way, way[0])),
            )
            for way in facts.graph.cycles()
        )
    )


def _count_levels(facts: FleetFacts, context: QueryContext) -> QueryResult:
    count = len(facts.graph.levels())
    return QueryResult(total=CountBounds(count, count))


def _longest_chain(facts: FleetFacts, context: QueryContext) -> QueryResult:
    graph = facts.graph.with_edges_as_wants(facts.graph.cycle_cuts())
    chain = graph.longest_chain()
    agents = [member for name in chain if (member := facts.find_agent(name)) is not None]
    return QueryResult(tuple(member.location for member in agents), {}, CountBounds(len(chain), len(chain)))


def _list_redundant(facts: FleetFacts, context: QueryContext) -> QueryResult:
    redundant = set(facts.graph.with_edges_as_wants(facts.graph.cycle_cuts()).redundant())
    return QueryResult(tuple(spot for of, to, spot in facts.edges if (of, to) in redundant))


def _needed_by(facts: FleetFacts, context: QueryContext) -> QueryResult:
    return _related_agents(facts, context, facts.graph.dependents)


def _affected_by(facts: FleetFacts, context: QueryContext) -> QueryResult:
    own = context.argument
    return _related_agents(
        facts, context, lambda name: [one for one in facts.graph.with_dependents([name]) if one != own]
    )


def _related_agents(
    facts: FleetFacts, context: QueryContext, find: Callable[[str], Sequence[str]]
) -> QueryResult:
    if facts.find_agent(context.argument) is None:
        names = [member.name for member in facts.agents]
        hint = suggest(context.argument, names, "agents")
        return QueryResult(error=f"there is no agent `{context.argument}`: {hint}")
    found = set(find(context.argument))
    return _locations_of([member for member in facts.agents if member.name in found])


def _list_port_clashes(facts: FleetFacts, context: QueryContext) -> QueryResult:
    """Ports of one machine; the places are all rows that name them."""
    clashes = ports_used_twice(facts)
    locations = [
        CodeLocation(use.location.path, use.location.line, use.location.column, f"{use.owner} {use.port}")
        for uses in clashes.values()
        for use in uses
    ]
    return QueryResult(tuple(locations), {}, CountBounds(len(clashes), len(clashes)))


def _list_missing_scripts(facts: FleetFacts, context: QueryContext) -> QueryResult:
    known = set(context.codebase.files)
    return _locations_of([member for member in facts.agents if member.script and member.script not in known])


_ARGUMENT = "AGENT"


def _argument_error(argument: str) -> str:
    return "" if argument else "it takes an agent's name"


KINDS = (
    QueryKind(
        name="fleet.agents",
        argument="[MACHINE]",
        description="agents, each once",
        scope=(),
        answer=_fleet_answer(_list_agents),
    ),
    QueryKind(
        name="fleet.rows",
        description="entries of agents in its files",
        scope=(),
        is_sum=True,
        answer=_fleet_answer(_count_rows),
    ),
    QueryKind(
        name="fleet.optional",
        description="agents that are not required",
        scope=(),
        answer=_fleet_answer(_list_optional),
    ),
    QueryKind(
        name="fleet.edges",
        description="needs, as stated, each once",
        scope=(),
        answer=_fleet_answer(_list_edges),
    ),
    QueryKind(
        name="fleet.dangling",
        description="needs that lead to no agent",
        scope=(),
        answer=_fleet_answer(_list_dangling),
    ),
    QueryKind(
        name="fleet.redundant",
        description="needs that others imply, cycles cut",
        scope=(),
        answer=_fleet_answer(_list_redundant),
    ),
    QueryKind(
        name="fleet.cycles", description="cycles of needs", scope=(), answer=_fleet_answer(_list_cycles)
    ),
    QueryKind(
        name="fleet.levels",
        description="levels of needs, a cycle taken as one agent",
        scope=(),
        is_sum=True,
        answer=_fleet_answer(_count_levels),
    ),
    QueryKind(
        name="fleet.chain",
        description="agents in the longest chain of needs, cycles cut",
        scope=(),
        is_sum=True,
        answer=_fleet_answer(_longest_chain),
    ),
    QueryKind(
        name="fleet.needed-by",
        argument=_ARGUMENT,
        description="agents that need this one, directly",
        scope=(),
        argument_error=_argument_error,
        answer=_fleet_answer(_needed_by),
    ),
    QueryKind(
        name="fleet.affected-by",
        argument=_ARGUMENT,
        description="agents that need this one, directly or not",
        scope=(),
        argument_error=_argument_error,
        answer=_fleet_answer(_affected_by),
    ),
    QueryKind(
        name="fleet.ports-twice",
        description="ports that more than one row of a file names",
        scope=(),
        is_sum=True,
        answer=_fleet_answer(_list_port_clashes),
    ),
    QueryKind(
        name="fleet.missing",
        description="agents whose script is not there",
        scope=(),
        answer=_fleet_answer(_list_missing_scripts),
    ),
)
