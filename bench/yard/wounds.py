"""Kills agents of a running argosy fleet and times what its supervisor tells."""

from __future__ import annotations

import os
import signal
import time

import msgspec

from argosy.engine.client import Client, connect
from argosy.engine.messages import Changed, Report, Status, Subscribe
from argosy.engine.state import State
from argosy.fault import Fault, RefusedError
from yard.stage import Stage

_WITHIN_S = 15.0


class Wound(msgspec.Struct, frozen=True):
    """Milliseconds from the SIGKILL to the word that it is gone, and to the word that it is ready again."""

    noticed_ms: float
    ready_again_ms: float


def kill_one(stage: Stage, agent: str) -> Wound:
    """Kill an agent's process as another client of its supervisor, and return when what was told.

    Raises RefusedError: the supervisor is not there, or told nothing for 15 s.
    """
    client = connect(stage.folder, "bench")
    if client is None:
        raise RefusedError(Fault("bench", "no-supervisor", "the supervisor of the fleet is not there"))
    with client:
        pid = _pid_of(client, agent)
        client.send(Subscribe())
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        noticed = _told(client, agent, is_ready=False)
        return Wound((noticed - began) * 1000, (_told(client, agent, is_ready=True) - began) * 1000)


def _pid_of(client: Client, agent: str) -> int:
    report = client.ask(Status())
    pid = report.agents[agent].pid if isinstance(report, Report) else None
    if pid is None:
        raise RefusedError(Fault(agent, "not-running", f"`{agent}` has no process"))
    return pid


def _told(client: Client, agent: str, *, is_ready: bool) -> float:
    """Return when the client heard that the agent is ready, or is not."""
    while True:
        try:
            answer = client.receive(_WITHIN_S)
        except TimeoutError:
            raise RefusedError(Fault(agent, "not-told", f"nothing was told for {_WITHIN_S:g} s")) from None
        if (
            isinstance(answer, Changed)
            and answer.agent == agent
            and (answer.state is State.READY) == is_ready
        ):
            return time.monotonic()
