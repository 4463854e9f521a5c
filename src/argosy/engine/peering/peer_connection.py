"""A supervisor's connection to that of one other machine, dialled again whenever it ends.

A connection that is silent for `HEARTBEAT_TIMEOUT_S` has ended. The silence is measured after all received
messages were read, and a pause of this process does not count as silence of the peer.
"""

from __future__ import annotations

import asyncio
import time
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
    PeerUnreachableError,
    StatusUpdate,
    SubscribeAgents,
    decode_server_frame,
    encode_frame,
)
from argosy.engine.protocol.messages import ControlReply, decode_reply, encode_line
from argosy.fault import ArgosyError
from argosy.wire.security.curve_keys import Keyring
from argosy.wire.transport.zmq_connection import ZmqConnection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from argosy.engine.plan.peering_plan import PeeringPlan
    from argosy.engine.protocol.messages import ControlMessage

HEARTBEAT_INTERVAL_S: Final = 0.5
HEARTBEAT_TIMEOUT_S: Final = 2.0
CONNECT_TIMEOUT_S: Final = 10.0
_DIAL_TIMEOUT_S: Final = 2.0
_RECONNECT_DELAY_S: Final = 0.5


class PeerConnection:
    """The connection to one machine.

    since_s: epoch seconds of the last change between connected and not. reason: why it is not connected.
    version: of its tree, as reported last.
    on_frame: gets each frame about its agents. on_reachability_change: called when the machine is
    connected, lost, or timed out.
    """

    def __init__(
        self,
        plan: PeeringPlan,
        machine: str,
        loop: asyncio.AbstractEventLoop,
        on_frame: Callable[[PeerConnection, AgentsSnapshot | StatusUpdate | MemoryReport], None],
        on_reachability_change: Callable[[PeerConnection], None],
    ) -> None:
        self.machine = machine
        self.is_connected = False
        self.since_s: float = time.time()
        self.reason = "not answered yet"
        self.version = ""
        self._failure_reason = ""
        self.epoch = self.sequence = -1
        self._plan = plan
        self._endpoint = plan.peers[machine]
        self._loop = loop
        self._on_frame = on_frame
        self._on_reachability_change = on_reachability_change
        self._connection: ZmqConnection | None = None
        self._received_at = self._dialled_at = loop.time()
        self._timeout_at = loop.time() + CONNECT_TIMEOUT_S
        self._pending_replies: dict[int, asyncio.Queue[bytes | None]] = {}
        self._last_request_id = 0
        self._timer = loop.call_soon(self._dial)
        self._timeout_timer = loop.call_at(self._timeout_at, self._on_wait_timeout)

    # ---- state

    @property
    def is_timed_out(self) -> bool:
        """Whether it is not connected, and the wait that was started last is over."""
        return not self.is_connected and self._loop.time() >= self._timeout_at

    @property
    def is_marked_failed(self) -> bool:
        """Whether it is not connected, and known to have failed."""
        return bool(self._failure_reason) and not self.is_connected

    def mark_failed(self, reason: str) -> None:
        """Mark it as failed until it is connected again."""
        self._failure_reason = reason

    @property
    def description(self) -> str:
        """Why its agents cannot be reached, and what to do."""
        if self.is_marked_failed:
            return f"machine `{self.machine}` has failed: {self._failure_reason}"
        since = time.strftime("%H:%M:%S", time.localtime(self.since_s))
        return (
            f"machine `{self.machine}` has not been reachable at {self._endpoint} since {since} "
            f"({self.reason}); run `argosy serve --machine {self.machine}` there"
        )

    def start_waiting(self, timeout_s: float = CONNECT_TIMEOUT_S) -> None:
        """Restart the wait for it: it is timed out if it is not connected after `timeout_s`."""
        self._timeout_at = self._loop.time() + timeout_s
        self._timeout_timer.cancel()
        self._timeout_timer = self._loop.call_at(self._timeout_at, self._on_wait_timeout)
        if not self.is_connected:
            self.dial_now()

    async def wait_connected(self) -> bool:
        """Wait until it is connected or timed out; return whether it is connected."""
        while not self.is_connected and not self.is_timed_out:
            await asyncio.sleep(0.02)
        return self.is_connected

    def dial_now(self) -> None:
        """Dial at once, unless it was dialled just now."""
        if not self.is_connected and self._loop.time() - self._dialled_at > 0.05:
            self._timer.cancel()
            self._dial()

    # ---- requests

    async def request(self, message: ControlMessage) -> AsyncIterator[ControlReply]:
        """Send a request and yield all its replies.

        Raises PeerUnreachableError: the connection was lost; whether the request was carried out is unknown.
        """
        if not self.is_connected:
            raise PeerUnreachableError(self.machine, self.reason)
        self._last_request_id += 1
        request_id = self._last_request_id
        queue = self._pending_replies[request_id] = asyncio.Queue()
        self._send(PeerRequest(request_id=request_id, line=encode_line(message)))
        is_complete = False
        try:
            while (line := await queue.get()) != b"":
                if line is None:
                    raise PeerUnreachableError(self.machine, self.reason)
                yield decode_reply(line)
            is_complete = True
        finally:
            self._pending_replies.pop(request_id, None)
            if not is_complete and self.is_connected:
                self._send(CancelPeerRequest(request_id=request_id))

    # ---- connection

    def _dial(self) -> None:
        self._close_connection()
        self._dialled_at = self._received_at = self._loop.time()
        keyring = Keyring(self._plan.keys_dir, [self._plan.machine])
        try:
            connection = self._connection = ZmqConnection(
                self._endpoint, lambda socket, _: keyring.apply(socket, self.machine)
            )
        except (ArgosyError, zmq.ZMQError) as error:
            self.reason = str(error.faults[0].message if isinstance(error, ArgosyError) else error)
            self._timer = self._loop.call_later(_DIAL_TIMEOUT_S, self._dial)
            return
        self._loop.add_reader(connection.fd, self._receive_all)
        self._loop.add_reader(connection.monitor_fd, self._check_disconnect)
        plan = self._plan
        self._send(SubscribeAgents(protocol=PEER_PROTOCOL, fleet=plan.fleet, environment=plan.environment))
        self._timer = self._loop.call_later(_DIAL_TIMEOUT_S, self._dial)
        self._loop.call_soon(self._check_disconnect)

    def _send(self, frame: PeerFrame) -> None:
        if self._connection is not None:
            self._connection.send(encode_frame(frame))
            self._loop.call_soon(
                self._receive_all
            )  # the descriptor signals only changes since the last check

    def _receive_all(self) -> None:
        connection = self._connection
        while (
            connection is not None
            and connection is self._connection
            and (frames := connection.receive()) is not None
        ):
            self._received_at = self._loop.time()
            try:
                frame = decode_server_frame(frames[0])
            except msgspec.DecodeError as error:
                self._disconnect(f"it uses another protocol: {error}")
                return
            self._on_server_frame(frame)

    def _on_server_frame(self, frame: object) -> None:
        match frame:
            case AgentsSnapshot():
                self._on_snapshot(frame)
            case StatusUpdate() if (frame.epoch, frame.sequence) == (self.epoch, self.sequence + 1):
                self.sequence = frame.sequence
                self._on_frame(self, frame)
            case StatusUpdate():
                plan = self._plan
                self._send(
                    SubscribeAgents(protocol=PEER_PROTOCOL, fleet=plan.fleet, environment=plan.environment)
                )
            case MemoryReport():
                self._on_frame(self, frame)
            case PeerReply():
                if queue := self._pending_replies.get(frame.request_id):
                    queue.put_nowait(frame.line)
            case PeeringRejected():
                self._disconnect(frame.reason)
            case PeerGoodbye():
                self._disconnect(f"its supervisor was stopped; {frame.running_agents} agents keep running")

    def _on_snapshot(self, snapshot: AgentsSnapshot) -> None:
        """Process a snapshot, after which the machine is connected."""
        self.epoch, self.sequence = snapshot.epoch, snapshot.sequence
        is_new = not self.is_connected
        if is_new:
            self.is_connected, self.since_s, self.reason, self._failure_reason = True, time.time(), "", ""
            self._timer.cancel()
        self._on_frame(self, snapshot)
        if is_new:
            self._on_reachability_change(self)
            # Scheduled: it reads frames, and those after the snapshot must not overtake it.
            self._timer = self._loop.call_soon(self._send_heartbeat)

    def _check_disconnect(self) -> None:
        connection = self._connection
        if connection is not None and (reason := connection.end_reason()):
            self._receive_all()  # what came before the end
            if connection is self._connection:
                self._disconnect(reason)

    def _send_heartbeat(self) -> None:
        """Send a heartbeat, read pending frames, and check for how long the peer was silent."""
        now = self._loop.time()
        self._receive_all()
        if not self.is_connected:
            return
        self._send(PeerHeartbeat())
        silence_s = now - self._received_at
        if silence_s >= HEARTBEAT_TIMEOUT_S:
            self._disconnect(f"silent for {silence_s:.1f} s")
            return
        due_s = min(HEARTBEAT_INTERVAL_S, max(0.01, HEARTBEAT_TIMEOUT_S - silence_s))
        self._timer = self._loop.call_later(due_s, self._heartbeat_due, now + due_s)

    def _heartbeat_due(self, due: float) -> None:
        if self._loop.time() - due > HEARTBEAT_INTERVAL_S:
            self._received_at = self._loop.time() - HEARTBEAT_INTERVAL_S  # this process was paused
        self._send_heartbeat()

    def _disconnect(self, reason: str) -> None:
        self._close_connection()
        if self.is_connected or self.epoch < 0:
            self.reason = reason  # failures of later dials do not replace it
        self._timer.cancel()
        self._timer = self._loop.call_later(_RECONNECT_DELAY_S, self._dial)
        if not self.is_connected:
            return
        self.is_connected, self.since_s = False, time.time()
        self.start_waiting()
        for queue in self._pending_replies.values():
            queue.put_nowait(None)
        self._on_reachability_change(self)

    def _on_wait_timeout(self) -> None:
        if self.is_timed_out:
            self._on_reachability_change(self)

    def _close_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._loop.remove_reader(connection.fd)
            self._loop.remove_reader(connection.monitor_fd)
            connection.close()

    def close(self) -> None:
        """Close the connection and end all pending requests."""
        self._timer.cancel()
        self._timeout_timer.cancel()
        self._close_connection()
        for queue in self._pending_replies.values():
            queue.put_nowait(None)
