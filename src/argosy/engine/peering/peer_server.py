"""The server of a supervisor for the supervisors of other machines: status updates and requests.

It is a ROUTER socket that accepts only the fleet's keys; a client is identified by its key, not by its
messages. A client that is silent for long is dropped, and dials again when it is back.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

import msgspec
import zmq

from argosy.engine.peering.peer_protocol import (
    PEER_PROTOCOL,
    AgentsSnapshot,
    CancelPeerRequest,
    MemoryReport,
    PeerFrame,
    PeerGoodbye,
    PeerHeartbeat,
    PeeringRejected,
    PeerReply,
    PeerRequest,
    StatusUpdate,
    SubscribeAgents,
    decode_client_frame,
    encode_frame,
)
from argosy.engine.protocol.messages import Refused, RelayCommand, decode_request, encode_line
from argosy.fault import Fault
from argosy.wire.security.curve_keys import Keyring
from argosy.wire.security.zap import CurveAuthenticator
from argosy.wire.transport.reactor import LoopReactor
from argosy.wire.transport.socket_monitor import has_input
from argosy.wire.transport.zmq_connection import bind_endpoint
from argosy.wire.zmq_context.context_handle import shared_context

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from argosy.engine.control.control_server import ClientSession
    from argosy.engine.plan.peering_plan import PeeringPlan
    from argosy.engine.protocol.messages import AgentStatus, ControlMessage, ControlRequest

SERVER_HEARTBEAT_INTERVAL_S: Final = 0.5
MEMORY_REPORT_INTERVAL_S: Final = 5.0
CLIENT_EXPIRY_S: Final = 5.0
_SEND_HIGH_WATER_MARK: Final = 50_000  # messages to one client; a client that stops reading is dropped
_MAX_MESSAGE_BYTES: Final = 64 * 2**20
_NOBLOCK: Final = int(zmq.NOBLOCK)
_NOBLOCK_MORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)

_log = logging.getLogger("argosy.engine")


class PeerSession:
    """Sends the replies to a request of another machine. pid: unknown, since it is another machine's."""

    pid = 0

    def __init__(self, server: PeerServer, identity: bytes, machine: str, request_id: int) -> None:
        self.client = f"`{machine}`"
        self.origin = machine
        self.is_subscribed = self.is_gone = False
        self._server = server
        self._identity = identity
        self._request_id = request_id

    def send(self, message: ControlMessage) -> None:
        """Send a message; it is dropped if the machine is not connected."""
        self._server.send(self._identity, PeerReply(request_id=self._request_id, line=encode_line(message)))


class _PeerClient:
    """A connected machine. relayed_commands: commands that run for it alone, by request id."""

    def __init__(self, machine: str) -> None:
        self.machine = machine
        self.received_at = 0.0
        self.is_subscribed = False
        self.relayed_commands: dict[int, asyncio.Task[None]] = {}


class PeerServer:
    """Sends the status of this machine's agents to its clients, and passes on their requests.

    get_statuses, get_version: of this machine's agents, and of its tree. handle_request: answers a request.
    on_subscribed(machine): called when a machine has subscribed.
    Raises RefusedError: the port is in use, or this machine has no key.
    """

    def __init__(
        self,
        plan: PeeringPlan,
        epoch: int,
        loop: asyncio.AbstractEventLoop,
        get_statuses: Callable[[], dict[str, AgentStatus]],
        get_version: Callable[[], str],
        handle_request: Callable[[ClientSession, ControlRequest], Awaitable[None]],
        on_subscribed: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._loop = loop
        self._epoch = epoch
        self._sequence = 0
        self._get_statuses = get_statuses
        self._get_version = get_version
        self._handle_request = handle_request
        self._on_subscribed = on_subscribed
        self._clients: dict[bytes, _PeerClient] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        reactor = LoopReactor(loop)
        self._authenticator = CurveAuthenticator(
            f"supervisor of {plan.machine}", Keyring(plan.keys_dir, [plan.machine]), reactor
        )
        self._socket: zmq.Socket[bytes] = shared_context().socket(zmq.ROUTER)
        self._socket.linger = 500  # lets a goodbye be sent
        self._socket.router_mandatory = True
        self._socket.router_handover = False
        self._socket.sndhwm = _SEND_HIGH_WATER_MARK
        self._socket.rcvhwm = 0
        self._socket.maxmsgsize = _MAX_MESSAGE_BYTES
        try:
            self._authenticator.protect(self._socket)
            bind_endpoint(self._socket, f"supervisor of {plan.machine}", plan.listen_endpoint)
        except BaseException:
            self._authenticator.close()
            self._socket.close(0)
            raise
        self._fd: int = self._socket.fileno()
        loop.add_reader(self._fd, self._receive_all)
        self._heartbeat_timer = loop.call_later(SERVER_HEARTBEAT_INTERVAL_S, self._send_heartbeats)
        self._memory_timer = loop.call_later(MEMORY_REPORT_INTERVAL_S, self._report_memory)
        self._receive_all()

    def publish(self, agent: str, status: AgentStatus) -> None:
        """Send a transition to all subscribed clients."""
        self._sequence += 1
        self._broadcast(StatusUpdate(epoch=self._epoch, sequence=self._sequence, agent=agent, status=status))

    def send(self, identity: bytes, frame: PeerFrame) -> None:
        """Send a frame to one client; drop the client if it does not read."""
        if identity not in self._clients or self._socket.closed:
            return
        try:
            self._socket.send(identity, _NOBLOCK_MORE)
            self._socket.send(encode_frame(frame), _NOBLOCK)
        except zmq.ZMQError:  # it is disconnected, or its queue is full
            self._drop_client(identity)
        self._loop.call_soon(self._receive_all)  # the descriptor signals only changes since the last check

    def close(self, running_agents: int) -> None:
        """Send a goodbye and close. running_agents: agents that keep running."""
        self._broadcast(PeerGoodbye(running_agents=running_agents))
        for identity in list(self._clients):
            self._drop_client(identity)
        self._heartbeat_timer.cancel()
        self._memory_timer.cancel()
        self._loop.remove_reader(self._fd)
        self._authenticator.close()
        self._socket.close()

    def _broadcast(self, frame: PeerFrame) -> None:
        for identity in [identity for identity, client in self._clients.items() if client.is_subscribed]:
            self.send(identity, frame)

    def _send_heartbeats(self) -> None:
        self._receive_all()
        now = self._loop.time()
        for identity, client in list(self._clients.items()):
            if now - client.received_at > CLIENT_EXPIRY_S:
                self._drop_client(identity)
        self._broadcast(PeerHeartbeat())
        self._heartbeat_timer = self._loop.call_later(SERVER_HEARTBEAT_INTERVAL_S, self._send_heartbeats)

    def _report_memory(self) -> None:
        agents = {
            name: (status.rss_bytes, status.pss_bytes or 0, status.sampled_s or 0.0)
            for name, status in self._get_statuses().items()
            if status.rss_bytes is not None
        }
        if self._clients:
            self._broadcast(MemoryReport(agents=agents, version=self._get_version()))
        self._memory_timer = self._loop.call_later(MEMORY_REPORT_INTERVAL_S, self._report_memory)

    def _receive_all(self) -> None:
        while not self._socket.closed and has_input(self._socket):
            first = self._socket.recv(_NOBLOCK, copy=False)
            machine = str(first.get("User-Id"))
            parts = [first.bytes]
            more = first.more
            while more:
                part = self._socket.recv(_NOBLOCK, copy=False)
                parts.append(part.bytes)
                more = part.more
            if len(parts) == 2:
                self._on_client_frame(parts[0], machine, parts[1])

    def _on_client_frame(self, identity: bytes, machine: str, data: bytes) -> None:
        client = self._clients.setdefault(identity, _PeerClient(machine))
        client.received_at = self._loop.time()
        try:
            frame = decode_client_frame(data)
        except msgspec.DecodeError as error:
            _log.warning("`%s` sent an invalid frame: %s", machine, error)
            self.send(identity, PeeringRejected(reason=f"not understood: {error}"))
            return
        match frame:
            case SubscribeAgents():
                self._on_subscribe(identity, client, frame)
            case PeerRequest():
                self._on_request(identity, client, frame)
            case CancelPeerRequest():
                if task := client.relayed_commands.get(frame.request_id):
                    task.cancel()
            case PeerHeartbeat():
                if not client.is_subscribed:  # it was dropped during a pause
                    self.send(identity, PeeringRejected(reason="it was silent for too long"))
                    self._clients.pop(identity, None)

    def _on_subscribe(self, identity: bytes, client: _PeerClient, subscription: SubscribeAgents) -> None:
        plan = self._plan
        wanted = (PEER_PROTOCOL, plan.fleet, plan.environment)
        found = (subscription.protocol, subscription.fleet, subscription.environment)
        for what, expected, actual in zip(
            ("peer protocol", "fleet", "environment"), wanted, found, strict=True
        ):
            if expected != actual:
                reason = f"`{plan.machine}` serves {what} `{expected}`, `{client.machine}` `{actual}`"
                self.send(identity, PeeringRejected(reason=reason))
                self._clients.pop(identity, None)
                return
        client.is_subscribed = True
        self.send(
            identity,
            AgentsSnapshot(
                epoch=self._epoch,
                sequence=self._sequence,
                agents=self._get_statuses(),
                version=self._get_version(),
            ),
        )
        self._on_subscribed(client.machine)

    def _on_request(self, identity: bytes, client: _PeerClient, frame: PeerRequest) -> None:
        session = PeerSession(self, identity, client.machine, frame.request_id)
        try:
            request = decode_request(frame.line)
        except msgspec.DecodeError as error:
            fault = Fault("", "protocol", f"`{self._plan.machine}` did not understand the request: {error}")
            session.send(Refused(faults=[fault]))
            self.send(identity, PeerReply(request_id=frame.request_id, line=b""))
            return
        task = asyncio.ensure_future(self._handle_request(session, request))
        self._tasks.add(task)
        if isinstance(request, RelayCommand):
            client.relayed_commands[frame.request_id] = task

        def on_done(done: asyncio.Task[None]) -> None:
            self._tasks.discard(done)
            client.relayed_commands.pop(frame.request_id, None)
            self.send(identity, PeerReply(request_id=frame.request_id, line=b""))

        task.add_done_callback(on_done)

    def _drop_client(self, identity: bytes) -> None:
        """Drop a client. Its requests go on, except commands whose output only it would read."""
        client = self._clients.pop(identity, None)
        for task in client.relayed_commands.values() if client else ():
            task.cancel()
