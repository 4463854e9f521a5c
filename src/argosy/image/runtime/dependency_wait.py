"""Waits until the agents of other containers that this container needs are ready.

Each is probed over the network: an agent class or an agent with a zmq probe by a health request, one with an
http probe by GET, any other by a connection to its port. An agent without a port is not waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from argosy.agent.health import Status
from argosy.engine.unit.http_get import get_status
from argosy.engine.unit.legacy_probe import request_once
from argosy.engine.unit.probe import status_in_reply
from argosy.fleet.fleet_spec import AgentSpec, Fleet
from argosy.fleet.placement import Placement

_REPLY_TIMEOUT_S = 2.0
_FIRST_PAUSE_S, _MAX_PAUSE_S = 0.05, 1.0
_NOTIFY_INTERVAL_S = 5.0
_HEALTH_REQUEST = msgspec.json.encode({"action": "health"})


class RemoteDependency(msgspec.Struct, frozen=True):
    """An agent of another container that has to be ready first."""

    agent: str
    host: str
    port: int
    kind: str
    path: str = "/health"
    message: bytes = _HEALTH_REQUEST

    @property
    def label(self) -> str:
        return f"`{self.agent}` ({self.host}:{self.port})"


def remote_dependencies(fleet: Fleet, placement: Placement, machine: str) -> tuple[RemoteDependency, ...]:
    """Return the agents of other machines that agents of `machine` need and that have a port."""
    names = dict.fromkeys(
        need.agent
        for agent in fleet.agents.values()
        if agent.machine == machine
        for need in agent.needs
        if fleet.agents[need.agent].machine != machine
    )
    found = (_remote_dependency(fleet.agents[name], placement) for name in names)
    return tuple(dependency for dependency in found if dependency is not None)


def _remote_dependency(agent: AgentSpec, placement: Placement) -> RemoteDependency | None:
    probe = agent.ready
    port = probe.port or (agent.port if agent.kind == "class" else agent.health_port or agent.port)
    if port is None:
        return None
    kind = "zmq" if agent.kind == "class" else probe.probe or "tcp"
    message = (
        probe.send if isinstance(probe.send, str) else msgspec.json.encode(probe.send or {"action": "health"})
    )
    return RemoteDependency(
        agent=agent.name,
        host=placement.lookup.host_of_agent(agent).value,
        port=port,
        kind=kind if kind in ("zmq", "http") else "tcp",
        path=probe.path or "/health",
        message=message.encode() if isinstance(message, str) else message,
    )


async def wait_until_ready(dependencies: tuple[RemoteDependency, ...], notify: Callable[[str], None]) -> None:
    """Return once all are ready; there is no time-out. notify: takes a line every 5 s while waiting."""
    waiting = dict.fromkeys(dependencies)

    async def wait_for_one(dependency: RemoteDependency) -> None:
        pause_s = _FIRST_PAUSE_S
        while not await is_ready(dependency):
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, _MAX_PAUSE_S)
        del waiting[dependency]

    async def report_waiting() -> None:
        while True:
            await asyncio.sleep(_NOTIFY_INTERVAL_S)
            notify(f"waiting for {', '.join(dependency.label for dependency in waiting)}")

    reporter = asyncio.create_task(report_waiting())
    try:
        await asyncio.gather(*map(wait_for_one, dependencies))
    finally:
        reporter.cancel()


async def is_ready(dependency: RemoteDependency) -> bool:
    """Probe one agent once; a degraded agent counts as ready."""
    if dependency.kind == "zmq":
        reply = await request_once(
            f"tcp://{dependency.host}:{dependency.port}", dependency.message, _REPLY_TIMEOUT_S
        )
        return reply is not None and status_in_reply(reply) in (Status.OK, Status.DEGRADED)
    if dependency.kind == "http":
        status = await get_status(dependency.host, dependency.port, dependency.path, _REPLY_TIMEOUT_S)
        return status is not None and 200 <= status < 300
    return await _accepts_connection(dependency)


async def _accepts_connection(dependency: RemoteDependency) -> bool:
    try:
        async with asyncio.timeout(_REPLY_TIMEOUT_S):
            _, writer = await asyncio.open_connection(dependency.host, dependency.port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
