"""A rolling restart: one agent after another in dependency order, each ready before the next."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from argosy.engine.protocol.messages import AgentStatus, FleetStatus, Restart, Restarted
from argosy.engine.protocol.state_machine import READY_STATES, State

if TYPE_CHECKING:
    from argosy.engine.control.control_client import ControlClient
    from argosy.fleet.dependency_graph import Graph

_POLL_S = 0.05


class RollingResult(NamedTuple):
    """The result of a rolling restart; agents by name, with the reason.

    restarted: ready again, in order. failed: were ready before and are not now; the restart stopped there.
    still_failing: were down before and still are. skipped: not restarted, since a need of theirs is down.
    """

    restarted: list[str]
    failed: dict[str, str]
    still_failing: dict[str, str]
    skipped: dict[str, str]

    @classmethod
    def empty(cls) -> RollingResult:
        """Return the result of restarting nothing."""
        return cls([], {}, {}, {})

    @property
    def not_restarted(self) -> dict[str, str]:
        """Every agent that was not restarted, with the reason."""
        return {**self.failed, **self.still_failing, **self.skipped}

    @property
    def is_complete(self) -> bool:
        """Whether every requested agent was restarted."""
        return not self.not_restarted


def rolling_restart(
    client: ControlClient, graph: Graph, names: Iterable[str], min_ready_s: float, version: str = ""
) -> RollingResult:
    """Restart the named agents, needs first; stop at the first that was up and does not stay ready.

    min_ready_s: how long each has to stay ready. version: of the tree that is rolled out; an agent that is
    down and was started with this version counts as one that was up. An agent that restarts with another
    (`on_death`, a cell) is not restarted again.
    """
    requested = set(names)
    down = {
        name
        for name, agent in client.fetch_status().agents.items()
        if agent.state not in READY_STATES and not (version and agent.version == version)
    }
    result = RollingResult.empty()
    for name in (each for each in graph.start_order() if each in requested):
        if name in result.restarted:
            continue
        if lacking := _unmet_needs(client.fetch_status().agents, graph, name):
            reasons = result.still_failing if name in down else result.skipped
            reasons[name] = lacking
            continue
        client.send(Restart(names=[name]))
        answer = client.receive(None)
        assert isinstance(answer, Restarted), "a restart is answered by its outcome"
        result.restarted.extend(each for each in answer.restarted if each not in result.restarted)
        failed = dict(answer.not_ready) or _not_staying_ready(client, answer.restarted, min_ready_s)
        result.still_failing.update((each, why) for each, why in failed.items() if each in down)
        result.failed.update((each, why) for each, why in failed.items() if each not in down)
        if result.failed:
            break
    return result


def _unmet_needs(agents: dict[str, AgentStatus], graph: Graph, name: str) -> str:
    """Return a description of the needs that are not ready; empty if the agent may start."""
    unmet = [need for need in graph.needs[name] if need in agents and agents[need].state not in READY_STATES]
    return ", ".join(f"needs `{need}`, which is {_describe_state(agents[need])}" for need in unmet)


def _describe_state(agent: AgentStatus) -> str:
    return f"{agent.state.value} ({agent.reason})" if agent.reason else agent.state.value


def agents_to_restart(report: FleetStatus) -> list[str]:
    """Return the agents that run, and those that are given up or blocked."""
    down = [n for n, agent in report.agents.items() if agent.state in (State.GIVEN_UP, State.BLOCKED)]
    return [*report.running(), *down]


def _not_staying_ready(client: ControlClient, names: Iterable[str], min_ready_s: float) -> dict[str, str]:
    """Return which agents did not stay ready for `min_ready_s`, with the reason."""
    deadline = time.monotonic() + min_ready_s
    while True:
        report = client.fetch_status()
        statuses = {name: report.agents[name] for name in names}
        unready = {
            name: f"did not stay ready: {agent.state.value} {agent.reason}".rstrip()
            for name, agent in statuses.items()
            if agent.state not in READY_STATES
        }
        if unready or time.monotonic() >= deadline:
            return unready
        time.sleep(_POLL_S)
