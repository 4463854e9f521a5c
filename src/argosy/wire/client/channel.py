"""A channel: every request to one peer from one thread, over one connection at a time.

Invariant: each call ends with a reply or a named error by its deadline; no call is executed after
its deadline, or twice unless declared idempotent. A call is therefore either *waiting* (on no connection:
the next connection may carry it, and at its deadline it ends as NotSent) or *sent* (when its connection
ends, or its deadline passes, it ends as OutcomeUnknown, or waits again if its method is idempotent).
Calls that the peer reports as stale or stopping were not executed and wait again until their deadline.

Calls made in one tick leave together at its end, in messages of 16, or of a quarter of those in
flight: the peer works on the first message while the next is encoded. Sending at once when idle was
tried; it splits every batch.
"""

from __future__ import annotations

from asyncio import InvalidStateError
from collections.abc import Callable, Mapping
from typing import Any, Final

from argosy.wire import errors
from argosy.wire.client.dialer import Dialer
from argosy.wire.client.peer_health import PeerHealth
from argosy.wire.client.peer_watchdog import PeerWatchdog
from argosy.wire.client.pending_call import (
    MAX_TRIES,
    Backlog,
    CallFactory,
    EncodedReply,
    PendingCall,
    ReplyTarget,
    StreamReceiver,
    read_failure,
    remote_error,
)
from argosy.wire.protocol import codec, frame
from argosy.wire.protocol.frame import now_us
from argosy.wire.transport.reactor import Reactor, Timer
from argosy.wire.transport.unix_connection import UnixConnection
from argosy.wire.transport.zmq_connection import ApplyKeys, ZmqConnection

MAX_WAITING: Final = 4096
MAX_STREAMS: Final = 64
MAX_DRAIN_MESSAGES: Final = 256  # in one tick, so that a flood of messages does not delay the loop's timers

_RESULT: Final = codec.RESULT
_MIN_BRIEF_WAIT_US: Final = 20_000  # longer than any brief wait
_CLOSED: Final = "this side closed the channel"


class Channel:
    """All calls of one thread to one peer.

    get_endpoint: returns the endpoint; called at every dial, since a peer may move.
    get_idempotent: returns the methods that may be executed again after an unknown outcome.
    apply_keys: sets on each new socket the keys that its endpoint requires.
    on_health: called with each new health state of the peer.
    """

    def __init__(
        self,
        peer: str,
        get_endpoint: Callable[[], str],
        reactor: Reactor,
        *,
        client_name: str = "",
        get_idempotent: Callable[[], tuple[str, ...]] = tuple,
        apply_keys: ApplyKeys | None = None,
        on_health: Callable[[str], object] | None = None,
    ) -> None:
        self.peer = peer
        self._peer_health = PeerHealth(on_health)
        self._reactor = reactor
        self._hello = codec.Hello(frame.VERSION, client_name)
        self._incarnation = frame.new_incarnation()
        self._get_idempotent = get_idempotent
        self._factory = CallFactory(peer)
        self._is_shared = reactor.is_shared
        self._backlog = Backlog()
        self._waiting = self._backlog.calls
        self._in_flight: dict[int, PendingCall] = {}
        self._open_streams = 0
        self._dialer = Dialer(self, get_endpoint, apply_keys, reactor, self._peer_health)
        self._welcome: codec.Welcome | None = None
        self._watchdog = PeerWatchdog(reactor, self._drain_all, self._on_frozen)
        self._is_flush_due = False
        self._deadline_timer: Timer | None = None
        self._next_deadline_us = 0
        self._late_replies = 0
        self._is_closed = False

    # -- public --------------------------------------------------------------------------------

    def submit(
        self,
        method: str,
        arguments: Mapping[str, Any],
        timeout_s: float,
        target: ReplyTarget,
        trace: str,
        receiver: StreamReceiver | None = None,
    ) -> PendingCall:
        """Submit one request; `target` gets a reply or an error of `errors` within `timeout_s`.

        receiver: takes the items of a streamed reply; `timeout_s` is then the time until the first item.
        Raises Overloaded: too many calls are waiting; TooLarge: the request exceeds a size limit;
        TypeError: an argument has no encoding.
        """
        if (
            len(self._waiting) >= MAX_WAITING
            or self._is_closed
            or (receiver and self._open_streams >= MAX_STREAMS)
        ):
            raise self._overload_error(method)
        call = self._factory.make_call(method, arguments, timeout_s, target, trace, receiver)
        is_full = self._backlog.add(call)
        if not self._next_deadline_us or call.deadline_us < self._next_deadline_us:
            self._set_deadline_timer(call.deadline_us)
        # A blocking thread makes one call at a time, so there is nothing to batch. First check
        # whether an idle ZeroMQ connection has ended.
        if is_full or (not self._is_shared and isinstance(self._dialer.connection, UnixConnection)):
            self._flush()
        elif not self._is_flush_due:
            self._flush_soon()
        return call

    def cancel(self, call: PendingCall) -> None:
        """Drop a call whose caller is gone; notify the peer if it was sent."""
        if self._in_flight.pop(call.id, None):
            self._open_streams -= call.receiver is not None
            self._send_control(frame.CANCEL, [call.id])
        elif call in self._waiting:
            self._waiting.remove(call)

    def grant_credit(self, call: PendingCall, amount_bytes: int) -> None:
        """Grant the peer `amount_bytes` of credit after a stream's consumer has taken that much."""
        if call.id in self._in_flight:
            self._send_control(frame.CREDIT, [(call.id, amount_bytes)])

    def wait_briefly(self, call: PendingCall) -> None:
        """Read replies for a few milliseconds, within which most arrive; for a blocking thread."""
        connection = self._dialer.connection
        if (
            self._in_flight
            and isinstance(connection, UnixConnection)
            and call.deadline_us - now_us() > _MIN_BRIEF_WAIT_US
            and connection.wait()
        ):
            self.read()

    def close(self) -> None:
        """End every call with a named error and close the connection."""
        self._is_closed = True
        self._drop_connection(_CLOSED)
        self._dialer.close(_CLOSED)
        while self._waiting:
            self._waiting.popleft().fail_unsent(self.peer, _CLOSED)
        if self._deadline_timer:
            self._deadline_timer.cancel()

    def statistics(self) -> dict[str, int]:
        """Return counts: calls waiting and in flight, late replies, connections used."""
        calls = {"waiting": len(self._waiting), "in_flight": len(self._in_flight)}
        return {**calls, "late": self._late_replies, "connections": self._dialer.dial_count}

    def _overload_error(self, method: str) -> errors.WireError:
        if self._is_closed:
            return errors.NotSent(self.peer, method, _CLOSED)
        what = f"{len(self._waiting)} calls wait here and {self._open_streams} streams are open"
        return errors.Overloaded(self.peer, method, what)

    # -- sending ----------------------------------------------------------------------------

    def _flush_soon(self) -> None:
        if not self._is_flush_due:
            self._is_flush_due = True
            self._reactor.call_soon(self._on_flush)

    def _on_flush(self) -> None:
        self._is_flush_due = False
        self._flush()

    def _flush(self) -> None:
        """Send what may be sent; then check once for incoming messages where the transport requires it."""
        connection = self._dialer.connection
        if not self._waiting or self._is_closed:
            return
        if not self._welcome or not connection:
            self._dialer.ensure_connection()
            return
        was_idle = not self._in_flight
        free_slots = self._welcome.credit - len(self._in_flight)
        while self._waiting and free_slots > 0:
            sent_count = self._send_batch(connection, free_slots)
            if not sent_count:
                break
            free_slots -= sent_count
        self._backlog.recount(len(self._in_flight))
        self._watchdog.start(was_idle)
        if connection.is_edge_triggered:
            self.read()

    def _send_batch(self, connection: ZmqConnection | UnixConnection, free_slots: int) -> int:
        """Send one message of at most `free_slots` calls.

        Returns how many calls were sent; 0 when the peer has just disconnected, and they wait as before.
        """
        calls, buffers = self._backlog.take(free_slots)
        records = [call.record for call in calls]
        if not connection.send(
            codec.encode_batch(frame.CALL, self._incarnation, records, len(buffers)), buffers
        ):
            self._backlog.put_back(calls)
            return 0
        sent = self._in_flight
        for call in calls:
            sent[call.id] = call
            if call.receiver:
                self._open_streams += 1
        return len(calls)

    def _send_control(self, kind: int, value: object) -> None:
        """Send a control message about calls in flight, after those waiting to be sent."""
        if self._welcome:
            self._flush()
        if self._welcome and (connection := self._dialer.connection):
            connection.send(codec.encode_single(kind, self._incarnation, value))
            if connection.is_edge_triggered:
                self._reactor.call_soon(self.read)

    # -- connection -------------------------------------------------------------------------

    def is_connection_wanted(self) -> bool:
        """Return whether a call waits for a connection."""
        return bool(self._waiting) and not self._is_closed

    def encode_hello(self) -> bytes:
        """Return the first message of a new connection."""
        return codec.encode_single(frame.HELLO, self._incarnation, self._hello)

    def on_connection_lost(self, reason: str, error: type[errors.OutcomeUnknown] = errors.PeerLost) -> None:
        """Handle the end of the connection; messages that arrived before it are read first."""
        connection = self._dialer.connection
        self._drain(is_thorough=True)
        if connection is self._dialer.connection:
            self._drop_connection(reason, error)
            self._dialer.schedule_redial()

    def _drop_connection(self, reason: str, error: type[errors.OutcomeUnknown] = errors.PeerLost) -> None:
        """Close the connection; calls sent on it end, or wait again when they may be repeated."""
        self._welcome = None
        self._watchdog.cancel()
        self._dialer.drop(reason)
        lost, self._in_flight = self._in_flight, {}
        self._open_streams = 0
        repeatable = self._get_idempotent() if lost and not self._is_closed else ()
        for call in lost.values():
            call.tries += 1
        retried = {
            i for i, c in lost.items() if c.method in repeatable and c.tries < MAX_TRIES and not c.receiver
        }
        self._backlog.put_back(lost[number] for number in retried)
        for number in lost.keys() - retried:
            lost[number].fail(error(self.peer, lost[number].method, reason))

    # -- receiving --------------------------------------------------------------------------

    def read(self, *, is_readable: bool = False) -> None:
        """Read available messages; more than one tick's worth is left for the next tick."""
        if self._drain(MAX_DRAIN_MESSAGES, is_readable=is_readable):
            self._reactor.call_soon(self.read)
        if self._waiting and self._welcome:
            self._flush_soon()

    def _drain(self, limit: int = 1 << 30, *, is_readable: bool = False, is_thorough: bool = False) -> bool:
        """Read messages; return whether it stopped at `limit`.

        It stops checking once no reply is outstanding: the check after the next send finds the rest.
        is_thorough: the caller judges by what has arrived, so every check reads the socket.
        """
        connection = self._dialer.connection
        for _ in range(limit):
            is_readable = is_readable or is_thorough
            message = (
                connection.receive(is_readable=is_readable)
                if connection and connection is self._dialer.connection
                else None
            )
            if message is None:
                return False
            is_readable = False
            try:
                self._on_message(message)
            except codec.DECODE_ERRORS:
                self._drop_connection("it sent what cannot be read")
                self._dialer.schedule_redial()
            if (
                not self._in_flight
                and not self._waiting
                and self._welcome
                and connection
                and connection.is_edge_triggered
            ):
                return False
        return True

    def _on_message(self, message: list[memoryview]) -> None:
        header = frame.unpack_header(message[0])
        if header is None:
            return
        kind, _, state, _, _ = header
        watchdog = self._watchdog
        watchdog.last_received_us, watchdog.is_reply_awaited = now_us(), False
        if state != self._peer_health.code:
            self._peer_health.update(state)
        if kind == frame.REPLY:
            self._on_replies(codec.read_replies(message[0]), message[1:])
        elif kind == frame.WELCOME:
            self._on_welcome(codec.read_welcome(message[0]))
        elif kind == frame.HEARTBEAT:
            self._dialer.on_heartbeat()
        elif kind == frame.STALE:
            self._on_stale(codec.read_ids(message[0]))

    def _on_welcome(self, welcome: codec.Welcome) -> None:
        self._dialer.on_welcome()
        self._welcome = welcome
        self._flush()

    def _on_stale(self, ids: list[int]) -> None:
        """The peer no longer knows this connection: these calls were not executed and may be sent again."""
        unsent = [call for number in ids if (call := self._in_flight.pop(number, None))]
        self._drop_connection("it had forgotten this connection")
        self._backlog.put_back(unsent)
        self._dialer.schedule_redial()

    def _on_replies(self, records: list[codec.ReplyRecord], buffers: list[memoryview]) -> None:
        """Deliver results; any other kind of reply is handled one by one."""
        pop_call = self._in_flight.pop
        for record in records:
            if record.tag != _RESULT:
                self._on_reply(record, buffers)
            elif (call := pop_call(record.id, None)) and call.receiver is None:
                try:
                    call.target.set_result((record.value, buffers))
                except InvalidStateError:  # cancelled in this tick: rare, so it is not checked beforehand
                    continue
            else:
                self._on_unexpected_result(call, (record.value, buffers))

    def _on_unexpected_result(self, call: PendingCall | None, reply: EncodedReply) -> None:
        """Handle a result that nobody waits for any more, or that was requested as a stream."""
        if call is None or call.receiver is None:
            self._late_replies += 1
            return
        self._open_streams -= 1
        call.receiver.add_item(reply)
        if not call.target.done():
            call.target.set_result(reply)

    def _on_reply(self, record: codec.ReplyRecord, buffers: list[memoryview]) -> None:
        tag = record.tag
        if tag == codec.ITEM:
            self._on_item(record, buffers)
            return
        # Decode before the call leaves the table: an undecodable reply ends the connection and all its calls.
        failure = None if tag == codec.END else read_failure(record.value)
        call = self._in_flight.pop(record.id, None)
        if call is None:
            self._late_replies += 1
            return
        self._open_streams -= call.receiver is not None
        if failure is None:
            if not call.target.done():
                call.target.set_result((record.value, buffers))
        elif tag == codec.REFUSED and failure.code == codec.STOPPING:
            self._on_stopping(call)
        else:
            call.fail(remote_error(self.peer, call.method, tag, failure))

    def _on_item(self, record: codec.ReplyRecord, buffers: list[memoryview]) -> None:
        call = self._in_flight.get(record.id)
        if call and call.receiver:
            call.deadline_us = now_us() + call.receiver.gap_us
            call.receiver.add_item((record.value, buffers))
        else:
            self._late_replies += 1

    def _on_stopping(self, call: PendingCall) -> None:
        """The peer is stopping and did not execute the call: its next incarnation may still do so in time."""
        self._backlog.put_back([call])
        self._dialer.failure_reason = "it is stopping"
        # No further call is sent on this connection, which stays open until the peer closes it: replies may
        # still arrive, and a new connection would find the peer stopping again.
        self._welcome = None

    # -- deadlines and watchdog -------------------------------------------------------------

    def _set_deadline_timer(self, deadline_us: int) -> None:
        if self._deadline_timer:
            self._deadline_timer.cancel()
        self._next_deadline_us = deadline_us
        delay_s = max(0.0, (deadline_us - now_us()) / 1e6)
        self._deadline_timer = self._reactor.call_later(delay_s, self._on_deadline)

    def _on_deadline(self) -> None:
        """End calls past their deadline; replies that have arrived are handled first."""
        self._deadline_timer, self._next_deadline_us = None, 0
        self._drain(is_thorough=True)
        now = now_us()
        self._expire_overdue(now)
        for call in [c for c in self._waiting if c.deadline_us <= now]:
            self._waiting.remove(call)
            call.fail_unsent(self.peer, self._dialer.failure_reason)
        if rest := [c.deadline_us for c in (*self._in_flight.values(), *self._waiting)]:
            self._set_deadline_timer(min(rest))

    def _expire_overdue(self, now: int) -> None:
        overdue = [c for c in self._in_flight.values() if c.deadline_us <= now]
        ended = []
        for call in overdue:
            if call.receiver and call.receiver.has_backlog():
                call.deadline_us = now + call.receiver.gap_us
                continue
            del self._in_flight[call.id]
            self._open_streams -= call.receiver is not None
            ended.append(call.id)
            call.fail(errors.DeadlineExceeded(self.peer, call.method, "its deadline passed"))
        if ended:
            self._send_control(frame.CANCEL, ended)

    def _drain_all(self) -> bool:
        self._drain(is_thorough=True)
        return bool(self._in_flight)

    def _on_frozen(self, silent_s: float) -> None:
        self.on_connection_lost(f"it gave no sign of life for {silent_s:.1f} s", errors.PeerFrozen)
