"""A rolling restart: agent after agent in the order of the graph, each ready and steady before the next."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from argosy.engine.messages import Restart, Restarted
from argosy.engine.state import READY_STATES, State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from argosy.engine.client import Client
    from argosy.engine.messages import AgentStatus, Report
    from argosy.fleet.graph import Graph

_LOOK_EVERY_S = 0.05


class Rolled(NamedTuple):
    """How a roll went; agents by name, with the reason.

    restarted: ready again, in the order in which they were. failed: those it stopped at, which were up
    by what was there before. still_down: were down before it, and are. held_back: left as they are, since
    restarted they would wait for what is down.
    """

    restarted: list[str]
    failed: dict[str, str]
    still_down: dict[str, str]
    held_back: dict[str, str]

    @classmethod
    def none(cls) -> Rolled:
        """Return the roll of nothing."""
        return cls([], {}, {}, {})

    @property
    def not_as_asked(self) -> dict[str, str]:
        """Return every agent that does not run anew, with the reason."""
        return {**self.failed, **self.still_down, **self.held_back}

    @property
    def is_whole(self) -> bool:
        """Whether all that was asked for was restarted."""
        return not self.not_as_asked


def roll(client: Client, graph: Graph, names: Iterable[str], hold_s: float, version: str = "") -> Rolled:
    """Restart these, what is needed first; stop at the first that was up and is not again, or not for long.

    hold_s: how long each has to stay ready. version: of the tree that is rolled out; who is down since it
    was started by this very version counts as one that was up. An agent that restarts with another
    (`on_death`, a cell) is not restarted again.
    """
    wanted = set(names)
    down = {
        name
        for name, agent in client.report().agents.items()
        if agent.state not in READY_STATES and not (version and agent.version == version)
    }
    rolled = Rolled.none()
    for name in (each for each in graph.start_order() if each in wanted):
        if name in rolled.restarted:
            continue
        if lacking := _lacking(client.report().agents, graph, name):
            told = rolled.still_down if name in down else rolled.held_back
            told[name] = lacking
            continue
        client.send(Restart(names=[name]))
        answer = client.receive(None)
        assert isinstance(answer, Restarted), "a restart is answered by its outcome"
        rolled.restarted.extend(each for each in answer.restarted if each not in rolled.restarted)
        failed = dict(answer.not_ready) or _fallen(client, answer.restarted, hold_s)
        rolled.still_down.update((each, why) for each, why in failed.items() if each in down)
        rolled.failed.update((each, why) for each, why in failed.items() if each not in down)
        if rolled.failed:
            break
    return rolled


def _lacking(agents: dict[str, AgentStatus], graph: Graph, name: str) -> str:
    """Return what the agent needs that is not ready, in words; empty when it may start."""
    lacks = [need for need in graph.needs[name] if need in agents and agents[need].state not in READY_STATES]
    return ", ".join(f"needs `{need}`, which is {_words(agents[need])}" for need in lacks)


def _words(agent: AgentStatus) -> str:
    return f"{agent.state.value} ({agent.reason})" if agent.reason else agent.state.value


def wanted_up(report: Report) -> list[str]:
    """Return the agents that run, and those that shall and do not come up by themselves."""
    down = [n for n, agent in report.agents.items() if agent.state in (State.GIVEN_UP, State.BLOCKED)]
    return [*report.running(), *down]


def _fallen(client: Client, names: Iterable[str], hold_s: float) -> dict[str, str]:
    """Return who of these did not stay ready, with the reason; looks for so long."""
    until = time.monotonic() + hold_s
    while True:
        report = client.report()
        told = {name: report.agents[name] for name in names}
        fallen = {
            name: f"did not stay ready: {agent.state.value} {agent.reason}".rstrip()
            for name, agent in told.items()
            if agent.state not in READY_STATES
        }
        if fallen or time.monotonic() >= until:
            return fallen
        time.sleep(_LOOK_EVERY_S)
