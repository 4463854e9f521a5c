"""The connections of this supervisor to those of the other machines.

There is one `PeerServer`, and one `PeerConnection` for each machine. Status updates of the other machines'
agents are kept as `RemoteAgent`s; `supervisor.dependents` notifies dependents on this machine.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import msgspec

from argosy.engine.peering.peer_protocol import AgentsSnapshot, MemoryReport, StatusUpdate
from argosy.engine.peering.remote_agent import RemoteAgent
from argosy.engine.protocol.messages import MachineStatus

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterable

    from argosy.engine.control.control_server import ClientSession
    from argosy.engine.peering.peer_connection import PeerConnection
    from argosy.engine.peering.peer_server import PeerServer
    from argosy.engine.plan.peering_plan import PeeringPlan
    from argosy.engine.protocol.messages import AgentStatus, ControlRequest
    from argosy.engine.protocol.state_machine import State


class PeerSet:
    """All other machines, as this supervisor sees them.

    get_statuses, get_version: of this machine's agents, and of its tree. handle_request: answers a request
    of another machine. on_remote_change(agent, previous state): called after each transition on another
    machine. on_reachability_change(connection): called when a machine is connected, lost, or timed out.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        get_statuses: Callable[[], dict[str, AgentStatus]],
        get_version: Callable[[], str],
        handle_request: Callable[[ClientSession, ControlRequest], Awaitable[None]],
        on_remote_change: Callable[[RemoteAgent, State], None],
        on_reachability_change: Callable[[PeerConnection], None],
    ) -> None:
        self.plan: PeeringPlan | None = None
        self.remote_agents: dict[str, RemoteAgent] = {}
        self.connections: dict[str, PeerConnection] = {}
        self._epoch = secrets.randbits(62)
        self._loop = loop
        self._get_statuses = get_statuses
        self._get_version = get_version
        self._handle_request = handle_request
        self._on_remote_change = on_remote_change
        self._on_reachability_change = on_reachability_change
        self._server: PeerServer | None = None

    def configure(self, plan: PeeringPlan | None) -> None:
        """Connect as in this plan from now on; unchanged connections stay open.

        Raises RefusedError: the endpoint cannot be bound, or this machine has no key.
        """
        before, self.plan = self.plan, plan
        if plan is None:
            self.close(0)
            self.remote_agents.clear()
            return
        is_same = before is not None and msgspec.structs.replace(before, agents=plan.agents) == plan
        if not is_same:
            self.close(0)
            try:
                self._open_connections(plan)
            except BaseException:
                self.plan = None
                self.close(0)
                raise
        self._update_remote_agents(plan)

    def _open_connections(self, plan: PeeringPlan) -> None:
        # ZeroMQ is loaded only for fleets with several machines.
        from argosy.engine.peering.peer_connection import PeerConnection  # noqa: PLC0415
        from argosy.engine.peering.peer_server import PeerServer  # noqa: PLC0415

        # The server first: a dialled peer dials back at once.
        self._server = PeerServer(
            plan,
            self._epoch,
            self._loop,
            self._get_statuses,
            self._get_version,
            self._handle_request,
            self._on_peer_subscribed,
        )
        for machine in plan.peers:
            self.connections[machine] = PeerConnection(
                plan, machine, self._loop, self._on_peer_frame, self._on_reachability_change
            )

    def _update_remote_agents(self, plan: PeeringPlan) -> None:
        """Create a `RemoteAgent` for each agent of another machine; known ones keep their status."""
        for name in [name for name in self.remote_agents if name not in plan.agents]:
            del self.remote_agents[name]
        for name, spec in plan.agents.items():
            existing = self.remote_agents.get(name)
            if existing is None or existing.reachability is not self.connections[spec.machine]:
                self.remote_agents[name] = RemoteAgent(name, spec, self.connections[spec.machine])
                if (
                    existing is not None
                    and existing.status is not None
                    and existing.spec.machine == spec.machine
                ):
                    self.remote_agents[name].copy_status_from(existing)
            else:
                existing.spec = spec

    def publish(self, agent: str, status: AgentStatus) -> None:
        """Report a transition on this machine to the other machines."""
        if self._server is not None:
            self._server.publish(agent, status)

    def remote_agents_of(self, machine: str) -> list[RemoteAgent]:
        """Return the agents of a machine."""
        return [each for each in self.remote_agents.values() if each.spec.machine == machine]

    def machine_statuses(self) -> dict[str, MachineStatus]:
        """Return the status of each other machine."""
        return {
            machine: MachineStatus(
                state="linked" if connection.is_connected else "blind",
                since_s=connection.since_s,
                reason=connection.reason,
                version=connection.version,
            )
            for machine, connection in self.connections.items()
        }

    def expect_apply(self, names: Iterable[str], apply_id: str) -> None:
        """Expect these agents to be started by this apply: their previous final states do not count."""
        for name in names:
            if name in self.remote_agents:
                self.remote_agents[name].expect_apply(apply_id)

    def stop_expecting(self) -> None:
        """Take the last received status of each agent as its current one."""
        for remote_agent in self.remote_agents.values():
            before = remote_agent.state
            remote_agent.pending_apply_id = ""
            if remote_agent.state is not before:
                self._on_remote_change(remote_agent, before)

    def mark_machine_failed(self, machine: str, reason: str) -> None:
        """Mark an unreachable machine as failed, because its failure is known; ignored if it is connected."""
        connection = self.connections.get(machine)
        if connection is None or connection.is_connected:  # not kept for later: it may be outdated by then
            return
        before = {each.name: each.state for each in self.remote_agents_of(machine)}
        connection.mark_failed(reason)
        for remote_agent in self.remote_agents_of(machine):
            if remote_agent.state is not before[remote_agent.name]:
                self._on_remote_change(remote_agent, before[remote_agent.name])

    def close(self, running_agents: int) -> None:
        """Close all connections. running_agents: agents that keep running here."""
        for connection in self.connections.values():
            connection.close()
        self.connections.clear()
        if self._server is not None:
            self._server.close(running_agents)
            self._server = None

    # ---- callbacks

    def _on_peer_subscribed(self, machine: str) -> None:
        """Dial a machine that has dialled this one, since it is reachable."""
        if connection := self.connections.get(machine):
            connection.dial_now()

    def _on_peer_frame(
        self, connection: PeerConnection, frame: AgentsSnapshot | StatusUpdate | MemoryReport
    ) -> None:
        if isinstance(frame, AgentsSnapshot | MemoryReport):
            connection.version = frame.version
        match frame:
            case AgentsSnapshot():
                self._apply_snapshot(connection.machine, frame)
            case StatusUpdate():
                remote_agent = self.remote_agents.get(frame.agent)
                if remote_agent is not None and remote_agent.spec.machine == connection.machine:
                    self._apply_status(remote_agent, frame.status)
            case MemoryReport():
                for name, (rss, pss, age_s) in frame.agents.items():
                    if (
                        name in self.remote_agents
                        and self.remote_agents[name].spec.machine == connection.machine
                    ):
                        self.remote_agents[name].update_memory(rss, pss, age_s)

    def _apply_snapshot(self, machine: str, snapshot: AgentsSnapshot) -> None:
        for remote_agent in self.remote_agents_of(machine):
            if status := snapshot.agents.get(remote_agent.name):
                self._apply_status(remote_agent, status)
            elif remote_agent.status is not None:
                before, remote_agent.status = remote_agent.state, None
                self._on_remote_change(remote_agent, before)

    def _apply_status(self, remote_agent: RemoteAgent, status: AgentStatus) -> None:
        before = remote_agent.state
        remote_agent.update_status(status, self._loop.time())
        self._on_remote_change(remote_agent, before)
