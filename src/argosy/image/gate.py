"""Waits until the agents of other containers are ready that those of this one need.

They are asked as anybody may ask them: an agent of the library and one with a zmq probe for its health, one
with an http probe by GET, any other by a connection to its port. One without a port cannot be asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from argosy.agent.health import Status
from argosy.engine.httpget import get_status
from argosy.engine.oldspeaker import ask_once
from argosy.engine.probe import judge
from argosy.fleet.placement import Placement
from argosy.fleet.spec import AgentSpec, Fleet

_ANSWER_WITHIN_S = 2.0
_FIRST_S, _MOST_S = 0.05, 1.0
_TELL_EVERY_S = 5.0
_HEALTH = msgspec.json.encode({"action": "health"})


class Gate(msgspec.Struct, frozen=True):
    """One agent elsewhere that has to be ready first."""

    agent: str
    host: str
    port: int
    kind: str
    path: str = "/health"
    message: bytes = _HEALTH

    @property
    def place(self) -> str:
        return f"`{self.agent}` ({self.host}:{self.port})"


def gates_of(fleet: Fleet, placement: Placement, machine: str) -> tuple[Gate, ...]:
    """Return the agents of other machines that agents of `machine` need and that can be asked."""
    names = dict.fromkeys(
        need.agent
        for agent in fleet.agents.values()
        if agent.machine == machine
        for need in agent.needs
        if fleet.agents[need.agent].machine != machine
    )
    return tuple(gate for name in names if (gate := _gate(fleet.agents[name], placement)) is not None)


def _gate(agent: AgentSpec, placement: Placement) -> Gate | None:
    probe = agent.ready
    port = probe.port or (agent.port if agent.kind == "class" else agent.health_port or agent.port)
    if port is None:
        return None
    kind = "zmq" if agent.kind == "class" else probe.probe or "tcp"
    message = (
        probe.send if isinstance(probe.send, str) else msgspec.json.encode(probe.send or {"action": "health"})
    )
    return Gate(
        agent=agent.name,
        host=placement.lookup.agent_host(agent).value,
        port=port,
        kind=kind if kind in ("zmq", "http") else "tcp",
        path=probe.path or "/health",
        message=message.encode() if isinstance(message, str) else message,
    )


async def wait_for(gates: tuple[Gate, ...], tell: Callable[[str], None]) -> None:
    """Return once all are ready; never gives up. tell: takes a line when it takes long, and at each end."""
    waiting = dict.fromkeys(gates)

    async def one(gate: Gate) -> None:
        pause_s = _FIRST_S
        while not await is_ready(gate):
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, _MOST_S)
        del waiting[gate]

    async def report() -> None:
        while True:
            await asyncio.sleep(_TELL_EVERY_S)
            tell(f"waiting for {', '.join(gate.place for gate in waiting)}")

    reporter = asyncio.create_task(report())
    try:
        await asyncio.gather(*map(one, gates))
    finally:
        reporter.cancel()


async def is_ready(gate: Gate) -> bool:
    """Ask one agent once; an agent that serves less than it should counts as ready."""
    if gate.kind == "zmq":
        answer = await ask_once(f"tcp://{gate.host}:{gate.port}", gate.message, _ANSWER_WITHIN_S)
        return answer is not None and judge(answer) in (Status.OK, Status.DEGRADED)
    if gate.kind == "http":
        status = await get_status(gate.host, gate.port, gate.path, _ANSWER_WITHIN_S)
        return status is not None and 200 <= status < 300
    return await _takes_connection(gate)


async def _takes_connection(gate: Gate) -> bool:
    try:
        async with asyncio.timeout(_ANSWER_WITHIN_S):
            _, writer = await asyncio.open_connection(gate.host, gate.port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
