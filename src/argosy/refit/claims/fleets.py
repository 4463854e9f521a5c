"""Queries about the fleet: its agents, edges, cycles, ports and scripts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from argosy.fleet.spelling import suggestion
from argosy.refit.claims.answer import Answer, Bounds, Spot
from argosy.refit.claims.fleetfacts import FleetFacts, Member, twice_used
from argosy.refit.claims.kind import Ask, Kind

NO_FLEET = "nothing tells the fleet: name its files under `fleet:`, or with `--fleet`"


def _about(find: Callable[[FleetFacts, Ask], Answer]) -> Callable[[Ask], Answer]:
    def answer(ask: Ask) -> Answer:
        facts = ask.ground.fleet
        return Answer(trouble=NO_FLEET) if facts is None else find(facts, ask)

    return answer


def _agents(facts: FleetFacts, ask: Ask) -> Answer:
    machine = ask.argument
    if machine and machine not in {member.machine for member in facts.members}:
        known = sorted({member.machine for member in facts.members if member.machine})
        return Answer(trouble=f"there is no machine `{machine}`: {suggestion(machine, known, 'machines')}")
    return _members([member for member in facts.members if machine in ("", member.machine)])


def _members(members: Sequence[Member]) -> Answer:
    return Answer(tuple(member.spot for member in members))


def _rows(facts: FleetFacts, ask: Ask) -> Answer:
    return Answer(total=Bounds(facts.rows, facts.rows))


def _optional(facts: FleetFacts, ask: Ask) -> Answer:
    return _members([member for member in facts.members if not member.is_required])


def _edges(facts: FleetFacts, ask: Ask) -> Answer:
    return Answer(tuple(spot for _, _, spot in facts.edges))


def _dangling(facts: FleetFacts, ask: Ask) -> Answer:
    known = set(facts.graph.edges())
    names = {member.name for member in facts.members}
    return Answer(tuple(spot for of, to, spot in facts.edges if (of, to) not in known and to not in names))


def _cycles(facts: FleetFacts, ask: Ask) -> Answer:
    spots = {member.name: member.spot for member in facts.members}
    return Answer(
        tuple(
            Spot(spots[way[0]].path, spots[way[0]].line, spots[way[0]].column, " -> ".join((*way, way[0])))
            for way in facts.graph.cycles()
        )
    )


def _levels(facts: FleetFacts, ask: Ask) -> Answer:
    count = len(facts.graph.levels())
    return Answer(total=Bounds(count, count))


def _chain(facts: FleetFacts, ask: Ask) -> Answer:
    graph = facts.graph.without(facts.graph.cuts())
    chain = graph.longest_chain()
    members = [member for name in chain if (member := facts.member(name)) is not None]
    return Answer(tuple(member.spot for member in members), {}, Bounds(len(chain), len(chain)))


def _redundant(facts: FleetFacts, ask: Ask) -> Answer:
    redundant = set(facts.graph.without(facts.graph.cuts()).redundant())
    return Answer(tuple(spot for of, to, spot in facts.edges if (of, to) in redundant))


def _needed_by(facts: FleetFacts, ask: Ask) -> Answer:
    return _of_agent(facts, ask, facts.graph.dependents)


def _affected_by(facts: FleetFacts, ask: Ask) -> Answer:
    own = ask.argument
    return _of_agent(facts, ask, lambda name: [one for one in facts.graph.affected([name]) if one != own])


def _of_agent(facts: FleetFacts, ask: Ask, find: Callable[[str], Sequence[str]]) -> Answer:
    if facts.member(ask.argument) is None:
        names = [member.name for member in facts.members]
        hint = suggestion(ask.argument, names, "agents")
        return Answer(trouble=f"there is no agent `{ask.argument}`: {hint}")
    found = set(find(ask.argument))
    return _members([member for member in facts.members if member.name in found])


def _ports_twice(facts: FleetFacts, ask: Ask) -> Answer:
    """Ports of one machine; the places are all rows that name them."""
    clashes = twice_used(facts)
    spots = [
        Spot(use.spot.path, use.spot.line, use.spot.column, f"{use.by} {use.port}")
        for uses in clashes.values()
        for use in uses
    ]
    return Answer(tuple(spots), {}, Bounds(len(clashes), len(clashes)))


def _missing(facts: FleetFacts, ask: Ask) -> Answer:
    known = set(ask.ground.files)
    return _members([member for member in facts.members if member.script and member.script not in known])


_ARGUMENT = "AGENT"


def _is_named(argument: str) -> str:
    return "" if argument else "it takes an agent's name"


KINDS = (
    Kind(
        name="fleet.agents",
        argument="[MACHINE]",
        counts="agents, each once",
        scope=(),
        answer=_about(_agents),
    ),
    Kind(
        name="fleet.rows",
        counts="entries of agents in its files",
        scope=(),
        is_sum=True,
        answer=_about(_rows),
    ),
    Kind(name="fleet.optional", counts="agents that are not required", scope=(), answer=_about(_optional)),
    Kind(name="fleet.edges", counts="needs, as stated, each once", scope=(), answer=_about(_edges)),
    Kind(name="fleet.dangling", counts="needs that lead to no agent", scope=(), answer=_about(_dangling)),
    Kind(
        name="fleet.redundant",
        counts="needs that others imply, cycles cut",
        scope=(),
        answer=_about(_redundant),
    ),
    Kind(name="fleet.cycles", counts="cycles of needs", scope=(), answer=_about(_cycles)),
    Kind(
        name="fleet.levels",
        counts="levels of needs, a cycle taken as one agent",
        scope=(),
        is_sum=True,
        answer=_about(_levels),
    ),
    Kind(
        name="fleet.chain",
        counts="agents in the longest chain of needs, cycles cut",
        scope=(),
        is_sum=True,
        answer=_about(_chain),
    ),
    Kind(
        name="fleet.needed-by",
        argument=_ARGUMENT,
        counts="agents that need this one, directly",
        scope=(),
        check=_is_named,
        answer=_about(_needed_by),
    ),
    Kind(
        name="fleet.affected-by",
        argument=_ARGUMENT,
        counts="agents that need this one, directly or not",
        scope=(),
        check=_is_named,
        answer=_about(_affected_by),
    ),
    Kind(
        name="fleet.ports-twice",
        counts="ports that more than one row of a file names",
        scope=(),
        is_sum=True,
        answer=_about(_ports_twice),
    ),
    Kind(name="fleet.missing", counts="agents whose script is not there", scope=(), answer=_about(_missing)),
)
