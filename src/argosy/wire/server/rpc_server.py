"""The server side: one ROUTER on all of an agent's endpoints, and a Unix listener for the same machine.

`client_table` keeps the clients and detects those that are gone. A message that is not understood is
counted and dropped; it causes neither a reply nor an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import zmq

from argosy.wire.protocol import codec, frame
from argosy.wire.protocol.codec import MIN_ITEM_COST_BYTES
from argosy.wire.protocol.frame import now_us
from argosy.wire.server.agent_status import AgentStatus
from argosy.wire.server.client_table import ClientTable
from argosy.wire.server.incoming_request import (
    ClientKey,
    ConnectedClient,
    IncomingRequest,
    JsonRequest,
    MalformedRequestError,
    MsgpackRequest,
    ParseJsonRequest,
    ReplyEncoder,
    ReplyPath,
    json_error,
    parse_json_request,
)
from argosy.wire.server.outbox import Outbox
from argosy.wire.server.unix_listener import MAX_DRAIN_MESSAGES, UnixListener, unix_listener_path
from argosy.wire.transport.reactor import Reactor
from argosy.wire.transport.socket_monitor import has_input
from argosy.wire.transport.unix_connection import UnixConnection
from argosy.wire.transport.zmq_connection import RouterPath, bind_endpoint, receive_frames, send_envelope
from argosy.wire.zmq_context.context_handle import shared_context

if TYPE_CHECKING:
    from argosy.wire.security.zap import CurveAuthenticator

MAX_IN_FLIGHT_PER_CLIENT: Final = 1024  # calls in flight per connection
MAX_IN_FLIGHT: Final = 8192  # per agent, over all clients
LINGER_MS: Final = 500

_OUTCOME_BY_TAG: Final = (
    "handled",
    "failed",
    "refused",
    "",
    "handled",
)  # the counter of each kind of reply, by tag


class RpcServer:
    """Receives requests and passes each to `on_request`; sends their replies.

    Until `open` argosy clients receive the error that the agent is starting, and that it is stopping once
    its status is. JSON requests are delivered at any time, since they may ask for health.

    parse_json: makes a request of a JSON message, or raises MalformedRequestError. status: the agent's,
    which its servers share; default one of its own.
    """

    def __init__(
        self,
        name: str,
        reactor: Reactor,
        on_request: Callable[[IncomingRequest], None],
        parse_json: ParseJsonRequest = parse_json_request,
        status: AgentStatus | None = None,
    ) -> None:
        self.name = name
        self.incarnation = frame.new_incarnation()
        self.schema_hash: Callable[[], str] = str
        self.status = status or AgentStatus()
        self.in_flight = 0
        self._reactor = reactor
        self._on_request = on_request
        self._parse_json = parse_json
        self._is_closed = False
        self._socket = _make_router()
        self._outbox = Outbox(self.status, self.incarnation, reactor, self._on_readable, self._on_client_gone)
        self._unix_listeners: list[UnixListener] = []
        encoder = ReplyEncoder()
        self._encode, self._encode_json = encoder.encode, encoder.encode_json
        self._clients = ClientTable(
            reactor, self._encode_heartbeat, self._on_client_removed, self._outbox.poll_router_soon
        )
        self._waiting_hellos: dict[ClientKey, tuple[str, int]] = {}
        self._outcome_counts = [0] * len(_OUTCOME_BY_TAG)
        self._counts = dict.fromkeys(("dropped", "late", "removed_clients"), 0)
        self._fd: int = self._socket.fileno()
        reactor.add_reader(self._fd, self._on_descriptor_readable)

    # -- lifecycle ----------------------------------------------------------------------------

    def protect(self, authenticator: CurveAuthenticator) -> None:
        """Accept only the fleet's keys on endpoints bound from now on."""
        authenticator.protect(self._socket)

    def bind(self, endpoints: Iterable[str]) -> None:
        """Bind the endpoints; raises RefusedError that names the endpoint that could not be bound."""
        for endpoint in endpoints:
            bind_endpoint(self._socket, self.name, endpoint)
            if path := unix_listener_path(endpoint):
                on_message, on_closed = self._on_unix_message, self._on_unix_closed
                self._unix_listeners.append(
                    UnixListener(self.name, path, self._reactor, self._outbox, on_message, on_closed)
                )
        self._on_readable()

    def open(self) -> None:
        """Welcome clients from now on, those that are waiting first."""
        self.status.open()
        for key, (name, min_offset_us) in self._waiting_hellos.items():
            self._welcome(key, name, min_offset_us)
        self._waiting_hellos = {}
        self._outbox.flush_soon()

    def close(self) -> None:
        """Send what waits and close. The last replies have 0.5 s to leave; later ones are dropped."""
        self._is_closed = True
        self._outbox.close()
        self._clients.close()
        self._reactor.remove_reader(self._fd)
        self._socket.close(LINGER_MS)
        for listener in self._unix_listeners:
            listener.close()

    def statistics(self) -> dict[str, int]:
        """Return counts since the start, requests in flight and clients known now."""
        counts = {"handled": 0, "failed": 0, "refused": 0, **self._counts}
        for name, count in zip(_OUTCOME_BY_TAG, self._outcome_counts, strict=True):
            if name:
                counts[name] += count
        return {**counts, "in_flight": self.in_flight, "clients": len(self._clients.clients)}

    # -- receiving --------------------------------------------------------------------------

    def drain(self) -> None:
        """Read what has arrived, without waiting for the loop's event."""
        self._on_readable()

    def _on_descriptor_readable(self) -> None:
        self._on_readable(is_readable=True)

    def _on_readable(self, is_readable: bool = False) -> None:
        """Read what is there, and send the replies made at once: no tick of the loop is spent on them."""
        if self._is_closed:  # it may have been scheduled for the end of a tick
            return
        is_held = self._outbox.hold()
        try:
            is_more = self._receive_batch(is_readable)
        finally:
            needs_poll = is_held and self._outbox.release()
        if is_more or (needs_poll and has_input(self._socket)):
            self._reactor.call_soon(self._on_readable)

    def _receive_batch(self, is_readable: bool) -> bool:
        """Read messages; return whether it stopped before the last."""
        for _ in range(MAX_DRAIN_MESSAGES):
            message = receive_frames(self._socket, is_readable)
            if message is None:
                return False
            is_readable = False
            self._on_message(message)
        return True

    def _on_message(self, message: list[memoryview]) -> None:
        """Distinguish argosy messages, JSON requests and noise.

        ZeroMQ limits the size of each frame; this limits the sum.
        """
        if len(message) > 2 and sum(part.nbytes for part in message) > codec.MAX_MESSAGE_BYTES:
            self._counts["dropped"] += 1
            return
        identity = message[0].tobytes()
        if len(message) > 1 and (head := frame.unpack_header(message[1])):
            self._on_argosy_message(identity, head, message[1:])
        elif parts := frame.split_json_envelope(message[1:]):
            self._on_json_message((identity, *map(bytes, parts[0])), parts[1])
        else:
            self._counts["dropped"] += 1

    def _on_argosy_message(
        self, key: ClientKey, header: tuple[int, int, int, int, int], frames: list[memoryview]
    ) -> None:
        """Handle a message; one that is not for a server, or that does not decode, is dropped."""
        kind, buffers, _, _, stamp_us = header
        client = self._clients.clients.get(key)
        try:
            if kind == frame.CALL and buffers == len(frames) - 1:
                records = codec.read_calls(frames[0])
                if client:
                    self._on_calls(client, records, frames[1:], stamp_us)
                else:
                    self._send(key, frame.STALE, [r.id for r in records])
            elif kind == frame.HELLO:
                self._on_hello(key, codec.read_hello(frames[0]), stamp_us)
            elif kind == frame.CANCEL and client:
                self._on_cancel(client, codec.read_ids(frames[0]))
            elif kind == frame.CREDIT and client:
                self._on_credit(client, codec.read_credits(frames[0]))
            else:
                self._counts["dropped"] += 1
        except codec.DECODE_ERRORS:
            self._counts["dropped"] += 1

    def _on_unix_message(self, connection: UnixConnection, message: list[memoryview]) -> None:
        if head := frame.unpack_header(message[0]):
            self._on_argosy_message(connection, head, message)
        else:
            self._counts["dropped"] += 1

    # -- requests ---------------------------------------------------------------------------

    def _on_hello(self, key: ClientKey, hello: codec.Hello, stamp_us: int) -> None:
        min_offset_us = now_us() - stamp_us
        if client := self._clients.clients.get(
            key
        ):  # a client sends HELLO once per connection: its former requests are over
            self._clients.remove(client)
        if refusal := self.status.refusal:
            if refusal == "starting":
                self._waiting_hellos[key] = hello.name, min_offset_us
            self._send(key, frame.HEARTBEAT, codec.HeartbeatRecord(refusal, 0.0, 0.0))
        else:
            self._welcome(key, hello.name, min_offset_us)
        self._clients.probe_idle()

    def _welcome(self, key: ClientKey, name: str, min_offset_us: int) -> None:
        if isinstance(key, UnixConnection):
            key.max_message_bytes = codec.MAX_MESSAGE_BYTES
        welcome = codec.Welcome(
            frame.VERSION, self.name, MAX_IN_FLIGHT_PER_CLIENT, codec.MAX_RECORD_BYTES, self.schema_hash()
        )
        if self._send(key, frame.WELCOME, welcome):
            self._clients.add(ConnectedClient(key, self._reply_path(key), name, min_offset_us))

    def _on_calls(
        self,
        client: ConnectedClient,
        records: list[codec.CallRecord],
        buffers: list[memoryview],
        stamp_us: int,
    ) -> None:
        now = now_us()
        min_offset_us = client.min_offset_us = min(client.min_offset_us, now - stamp_us)
        client.last_received_s = now / 1e6
        client.batch_size = max(codec.MIN_BATCH, len(records))
        requests, on_request = client.requests, self._on_request
        for record in records:
            number, deadline_us, credit = record.id, record.deadline_us + min_offset_us, record.credit
            if number in requests:  # a client never repeats an id on a connection
                self._counts["dropped"] += 1
                continue
            method, raw, trace = record.method, record.arguments, record.trace
            requests[number] = request = MsgpackRequest(
                self, client, number, method, deadline_us, raw, buffers, trace, credit, credit > 0, now
            )
            self.in_flight += 1
            if now > deadline_us:
                request.refuse(codec.EXPIRED, "it arrived after its deadline")
            elif self.status.refusal == "stopping":
                request.refuse(codec.STOPPING, "it is stopping")
            elif len(requests) > MAX_IN_FLIGHT_PER_CLIENT or self.in_flight > MAX_IN_FLIGHT:
                request.refuse(codec.OVERLOADED, f"requests in flight there: {self.in_flight}")
            else:
                on_request(request)
        if requests:
            self._clients.start_heartbeat(client)

    def _on_cancel(self, client: ConnectedClient, ids: list[int]) -> None:
        for number in ids:
            request = client.requests.pop(number, None)
            if request:
                self.in_flight -= 1
                request.cancel()
                client.owes_heartbeat = True
            else:
                self._counts["late"] += 1

    def _on_credit(self, client: ConnectedClient, credits: list[tuple[int, int]]) -> None:
        for number, amount_bytes in credits:
            request = client.requests.get(number)
            if request and amount_bytes > 0:
                request.add_credit(amount_bytes)

    def _on_json_message(self, envelope: Sequence[bytes], text: frame.BytesLike) -> None:
        try:
            request = self._parse_json(self, envelope, text)
        except MalformedRequestError as error:
            self.send_json_reply(None, envelope, json_error(error.code, str(error)))
            return
        self.in_flight += 1
        self._on_request(request)

    # -- replies ------------------------------------------------------------------------------

    def send_reply(self, request: MsgpackRequest, tag: int, value: object) -> None:
        """Send the end of a request; ignored when the request has ended or its client is gone."""
        if request.is_finished or self._is_closed:
            self._counts["late"] += 1
            return
        request.is_finished = True
        number, client, encode = request.id, request.client, self._encode
        if client.requests.pop(number, None):
            self.in_flight -= 1
        self._outcome_counts[tag] += 1
        record, buffers = encode(number, tag, value)
        self._outbox.put(client, record, buffers)

    def send_item(self, request: MsgpackRequest, value: object) -> int:
        """Send an item of a stream and return the credit it costs; ignored as in `send_reply`."""
        if request.is_finished or self._is_closed:
            self._counts["late"] += 1
            return 0
        record, buffers = self._encode(request.id, codec.ITEM, value)
        self._outbox.put(request.client, record, buffers)
        return max(MIN_ITEM_COST_BYTES, len(record) + sum(memoryview(b).nbytes for b in buffers))

    def send_json_reply(
        self, request: JsonRequest | None, envelope: Sequence[bytes], document: dict[str, Any]
    ) -> None:
        """Reply to a JSON client in its envelope; one that is gone is counted."""
        if self._is_closed:
            self._counts["late"] += 1
            return
        if request:
            self.in_flight -= 1
            self._outcome_counts[codec.ERROR if "error" in document else codec.RESULT] += 1
        if not send_envelope(self._socket, envelope, self._encode_json(document)):
            self._counts["removed_clients"] += 1
        self._outbox.poll_router_soon()

    def _reply_path(self, key: ClientKey) -> ReplyPath:
        return key if isinstance(key, UnixConnection) else RouterPath(self._socket, key)

    def _send(self, key: ClientKey, kind: int, value: object) -> bool:
        """Send one small message now; False when its receiver is gone or reads nothing."""
        sent = self._reply_path(key).send(self._encode_single(kind, value))
        if not isinstance(key, UnixConnection):
            self._outbox.poll_router_soon()
        return bool(sent)

    # -- disconnects --------------------------------------------------------------------------

    def _on_client_gone(self, client: ConnectedClient) -> None:
        """A client became unreachable; a Unix connection that stays full is closed."""
        if isinstance(client.key, UnixConnection):
            for listener in self._unix_listeners:
                listener.drop(client.key)
        else:
            self._clients.remove(client)

    def _on_unix_closed(self, connection: UnixConnection) -> None:
        self._waiting_hellos.pop(connection, None)
        if client := self._clients.clients.get(connection):
            self._clients.remove(client)

    def _on_client_removed(self, requests: Collection[MsgpackRequest]) -> None:
        self._counts["removed_clients"] += 1
        self.in_flight -= len(requests)
        for request in requests:
            request.cancel()

    def _encode_heartbeat(self, oldest_s: float) -> bytes:
        status = self.status
        heartbeat = codec.HeartbeatRecord(frame.STATES[status.code], status.lag_s, oldest_s)
        return self._encode_single(frame.HEARTBEAT, heartbeat)

    def _encode_single(self, kind: int, value: object) -> bytes:
        return codec.encode_single(kind, self.incarnation, value, self.status.code)


def _make_router() -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = shared_context().socket(zmq.ROUTER)
    socket.linger = LINGER_MS
    socket.router_mandatory = 1
    socket.maxmsgsize = codec.MAX_MESSAGE_BYTES
    return socket
