"""A rolling restart: agent after agent in the order of the graph, each ready and steady before the next."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from argosy.engine.messages import Restart, Restarted
from argosy.engine.state import READY_STATES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from argosy.engine.client import Client
    from argosy.fleet.graph import Graph

_LOOK_EVERY_S = 0.05


class Rolled(NamedTuple):
    """restarted: in the order in which they were. failed: name to reason, of the one it stopped at."""

    restarted: list[str]
    failed: dict[str, str]


def roll(client: Client, graph: Graph, names: Iterable[str], hold_s: float) -> Rolled:
    """Restart these, what is needed first; stop at the first that is not ready, or not for long.

    hold_s: how long each has to stay ready. An agent that restarts with another (`on_death`, a cell) is not
    restarted again.
    """
    wanted = set(names)
    restarted: list[str] = []
    for name in (each for each in graph.start_order() if each in wanted):
        if name in restarted:
            continue
        client.send(Restart(names=[name]))
        answer = client.receive(None)
        assert isinstance(answer, Restarted), "a restart is answered by its outcome"
        restarted += [each for each in answer.restarted if each not in restarted]
        failed = dict(answer.not_ready) or _fallen(client, answer.restarted, hold_s)
        if failed:
            return Rolled(restarted, failed)
    return Rolled(restarted, {})


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
