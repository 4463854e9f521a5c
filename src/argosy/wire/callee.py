"""The callee's end: one ROUTER on all of an agent's endpoints, for callers new and old.

A caller is known from its HELLO until a send to it fails: ROUTER_MANDATORY makes that an error,
and it is the only sign that a caller has gone. The beat is such a send for callers with
something in flight; others are asked once in a long while, so that the table cannot grow.

Nothing that is not understood is answered or raised: it is counted and dropped.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol

import msgspec
import zmq
from msgspec import Raw
from zmq.backend import Socket as Plain

from argosy.fault import Fault, RefusedError
from argosy.wire import codec, frame
from argosy.wire.lane import receive
from argosy.wire.lease import shared_context
from argosy.wire.reactor import Reactor, Timer

CREDIT: Final = 1024  # calls in flight per lane
MOST_IN_FLIGHT: Final = 8192  # per agent, of all callers
BEAT_S: Final = 0.5
IDLE_PROBE_S: Final = 300.0
DRAIN_MESSAGES: Final = 128  # in one go, so that a flood does not starve handlers and timers
FULL_RETRY_S: Final = 0.01
FULL_LIMIT_S: Final = 5.0  # a caller that reads nothing for so long is forgotten
LINGER_MS: Final = 500

_NOBLOCK: Final = int(zmq.NOBLOCK)
_MORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)


class Request(Protocol):
    """One request as handlers' owners see it, from an argosy caller or an old one.

    Exactly one of `reply`, `fail` and `refuse` ends it; what comes after that is ignored.
    """

    method: str
    trace: str
    abort: Callable[[], object] | None
    is_over: bool

    def arguments(self, decoder: Decoder) -> Any: ...

    def expired(self) -> bool: ...

    def reply(self, value: object) -> None: ...

    def fail(self, code: str, message: str) -> None: ...

    def refuse(self, code: str, message: str) -> None: ...


class Decoder(Protocol):
    """Turns the arguments of a request into what a handler takes."""

    def from_msgpack(self, raw: Raw, buffers: Sequence[memoryview]) -> Any: ...

    def from_json(self, arguments: dict[str, Any]) -> Any: ...


class Caller:
    """One lane as its callee sees it.

    least_us: the least (receipt - stamp) seen, so the offset of the two clocks plus the fastest
    journey; a deadline plus that least can only err towards executing.
    """

    __slots__ = (
        "frames_due",
        "full_since_s",
        "heard_s",
        "identity",
        "least_us",
        "name",
        "outbox",
        "requests",
    )

    def __init__(self, identity: bytes, name: str, least_us: int) -> None:
        self.identity = identity
        self.name = name
        self.least_us = least_us
        self.requests: dict[int, ArgosyRequest] = {}
        self.outbox: list[bytes] = []
        self.frames_due: deque[tuple[bytes, Sequence[frame.Bytes]]] = deque()
        self.heard_s = time.monotonic()
        self.full_since_s = 0.0


class ArgosyRequest:
    """A request that came as a CallRecord."""

    __slots__ = (
        "_buffers",
        "_callee",
        "_raw",
        "abort",
        "caller",
        "credit",
        "deadline_us",
        "id",
        "is_over",
        "method",
        "since_s",
        "trace",
    )

    def __init__(
        self, callee: Callee, caller: Caller, record: codec.CallRecord, buffers: Sequence[memoryview]
    ) -> None:
        self._callee = callee
        self._raw = record.arguments
        self._buffers = buffers
        self.caller = caller
        self.id = record.id
        self.method = record.method
        self.deadline_us = record.deadline_us + caller.least_us
        self.trace = record.trace
        self.credit = record.credit
        self.abort: Callable[[], object] | None = None
        self.is_over = False
        self.since_s = time.monotonic()

    def arguments(self, decoder: Decoder) -> Any:
        """Decode the arguments; raises msgspec.DecodeError with the path of what does not fit."""
        return decoder.from_msgpack(self._raw, self._buffers)

    def expired(self) -> bool:
        """Tell whether the caller has given up by its own clock."""
        return frame.now_us() > self.deadline_us

    def reply(self, value: object) -> None:
        """End the request with a result; with an error when the result has no encoding."""
        self._callee.answer(self, codec.RESULT, value)

    def fail(self, code: str, message: str) -> None:
        """End the request as failed by its handler."""
        self._callee.answer(self, codec.ERROR, (code, message))

    def refuse(self, code: str, message: str) -> None:
        """End the request as not executed."""
        self._callee.answer(self, codec.REFUSED, (code, message))


class JsonRequest:
    """A request of an old speaker: `{"action": M, ...}` in a REQ envelope."""

    __slots__ = ("_arguments", "_callee", "_route", "abort", "is_over", "method", "trace")

    def __init__(
        self, callee: Callee, route: Sequence[bytes], action: str, arguments: dict[str, Any]
    ) -> None:
        self._callee = callee
        self._route = route
        self._arguments = arguments
        self.method = action
        self.trace = str(arguments.pop("trace", ""))
        self.abort: Callable[[], object] | None = None
        self.is_over = False

    def arguments(self, decoder: Decoder) -> Any:
        """Convert the arguments; raises msgspec.ValidationError with the path of what does not fit."""
        return decoder.from_json(self._arguments)

    def expired(self) -> bool:
        """An old speaker tells no deadline."""
        return False

    def reply(self, value: object) -> None:
        """Send `{"result": value}`."""
        self._send({"result": value})

    def answer(self, document: dict[str, Any]) -> None:
        """Send a document as it is, as health does."""
        self._send(document)

    def fail(self, code: str, message: str) -> None:
        """Send `{"error": {"code", "message"}}`."""
        self._send({"error": {"code": code, "message": message}})

    refuse = fail

    def _send(self, document: dict[str, Any]) -> None:
        if not self.is_over:
            self.is_over = True
            self._callee.send_json(self, self._route, document)


class Callee:
    """Receives requests and hands each to `deliver`; sends what they are answered.

    Until `open` callers are told that it is starting, after `refuse_new` that it is stopping;
    health is asked of old speakers at any time, so `deliver` gets their requests always.
    """

    def __init__(self, name: str, reactor: Reactor, deliver: Callable[[Request], None]) -> None:
        self.name = name
        self.incarnation = frame.new_incarnation()
        self.schema = ""
        self.lag_s = 0.0
        self.state = "starting"
        self._reactor = reactor
        self._deliver = deliver
        self._socket = _router()
        self._packer = codec.Packer()
        self._encode_json = msgspec.json.Encoder(enc_hook=_listed).encode
        self._callers: dict[bytes, Caller] = {}
        self._greeted: dict[bytes, tuple[str, int]] = {}
        self._old: set[JsonRequest] = set()
        self._dirty: dict[bytes, Caller] = {}
        self._busy: dict[bytes, Caller] = {}
        self._flushing = False
        self._beat: Timer | None = None
        self._retry: Timer | None = None
        self._next_probe_s = time.monotonic() + IDLE_PROBE_S
        self._counts = {"handled": 0, "failed": 0, "refused": 0, "dropped": 0, "late": 0, "forgotten": 0}
        self._fd: int = self._socket.fileno()
        reactor.watch(self._fd, self._on_readable)

    # -- its life ---------------------------------------------------------------------------

    def bind(self, endpoints: Iterable[str]) -> None:
        """Listen there; raises RefusedError that names the endpoint that could not be bound."""
        for endpoint in endpoints:
            try:
                if endpoint.startswith("ipc://"):
                    os.makedirs(os.path.dirname(endpoint[6:]), 0o700, exist_ok=True)
                self._socket.bind(endpoint)
            except (zmq.ZMQError, OSError) as error:
                raise RefusedError(_cannot_bind(self.name, endpoint, error)) from error
        self._on_readable()

    def open(self) -> None:
        """Welcome callers from now on, those first that have been waiting."""
        self.state = "ok"
        for identity, (name, least_us) in self._greeted.items():
            self._welcome(identity, name, least_us)
        self._greeted = {}
        self._look_again()

    def refuse_new(self) -> None:
        """Answer new requests with *stopping*, which lets them wait for the next incarnation."""
        self.state = "stopping"

    @property
    def in_flight(self) -> int:
        """How many requests are being handled, those of old speakers included."""
        return sum(len(c.requests) for c in self._busy.values()) + len(self._old)

    def close(self) -> None:
        """Send what waits and close; the last replies have 0.5 s to leave."""
        self._flush()
        for timer in (self._beat, self._retry):
            if timer:
                timer.cancel()
        self._reactor.unwatch(self._fd)
        self._socket.close(LINGER_MS)

    def statistics(self) -> dict[str, int]:
        """Return counts since the start, and what is in flight and known now."""
        return {**self._counts, "in_flight": self.in_flight, "callers": len(self._callers)}

    # -- receiving --------------------------------------------------------------------------

    def _on_readable(self) -> None:
        for _ in range(DRAIN_MESSAGES):
            message = receive(self._socket)
            if message is None:
                return
            self._take(message)
        self._reactor.soon(self._on_readable)

    def _take(self, message: list[memoryview]) -> None:
        if len(message) < 2:
            self._counts["dropped"] += 1
            return
        identity = bytes(message[0])
        if frame.is_argosy(message[1]):
            try:
                self._take_argosy(identity, message[1:])
            except (msgspec.DecodeError, msgspec.ValidationError):
                self._counts["dropped"] += 1
            return
        parts = frame.split_json(message[1:])
        if parts is None:
            self._counts["dropped"] += 1
        else:
            self._take_json((identity, *map(bytes, parts[0])), parts[1])

    def _take_argosy(self, identity: bytes, frames: list[memoryview]) -> None:
        kind, buffers, _, stamp_us = frame.read_head(frames[0])
        caller = self._callers.get(identity)
        if kind == frame.HELLO:
            self._on_hello(identity, codec.read_hello(frames[0]), stamp_us)
        elif kind == frame.CALL and buffers == len(frames) - 1:
            self._on_calls(identity, caller, codec.read_calls(frames[0]), frames[1:], stamp_us)
        elif kind == frame.CANCEL and caller:
            self._on_cancel(caller, codec.read_ids(frames[0]))
        else:
            self._counts["dropped"] += 1

    def _on_hello(self, identity: bytes, hello: codec.Hello, stamp_us: int) -> None:
        least_us = frame.now_us() - stamp_us
        if self.state == "starting":
            self._greeted[identity] = hello.name, least_us
            self._send(identity, codec.single(frame.BEAT, self.incarnation, codec.Beat(self.state, 0.0, 0.0)))
        else:
            self._welcome(identity, hello.name, least_us)

    def _welcome(self, identity: bytes, name: str, least_us: int) -> None:
        welcome = codec.Welcome(frame.VERSION, self.name, CREDIT, codec.LARGEST_BYTES, self.schema)
        if self._send(identity, codec.single(frame.WELCOME, self.incarnation, welcome)):
            self._callers[identity] = Caller(identity, name, least_us)

    def _on_calls(
        self,
        identity: bytes,
        caller: Caller | None,
        records: list[codec.CallRecord],
        buffers: list[memoryview],
        stamp_us: int,
    ) -> None:
        if caller is None:
            self._send(identity, codec.single(frame.STALE, self.incarnation, [r.id for r in records]))
            return
        now_us = frame.now_us()
        caller.least_us = min(caller.least_us, now_us - stamp_us)
        caller.heard_s = now_us / 1e6
        for record in records:
            self._on_call(ArgosyRequest(self, caller, record, buffers), now_us)
        if caller.requests:
            self._busy[identity] = caller
            if not self._beat:
                self._beat = self._reactor.later(BEAT_S, self._on_beat)

    def _on_call(self, request: ArgosyRequest, now_us: int) -> None:
        request.caller.requests[request.id] = request
        if now_us > request.deadline_us:
            request.refuse(codec.EXPIRED, "it arrived after its deadline")
        elif self.state == "stopping":
            request.refuse(codec.STOPPING, "it is stopping")
        elif len(request.caller.requests) > 2 * CREDIT or self.in_flight > MOST_IN_FLIGHT:
            request.refuse(codec.OVERLOADED, f"{self.in_flight} requests are in flight there")
        else:
            self._deliver(request)

    def _on_cancel(self, caller: Caller, ids: list[int]) -> None:
        for number in ids:
            request = caller.requests.pop(number, None)
            if request:
                _abort(request)
            else:
                self._counts["late"] += 1

    def _take_json(self, route: Sequence[bytes], text: frame.Bytes) -> None:
        try:
            document = msgspec.json.decode(text, type=dict[str, Any])
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
            self.send_json(None, route, {"error": {"code": "not-json", "message": str(error)}})
            return
        action = document.pop("action", None)
        if not isinstance(action, str):
            message = "the request needs a text under `action`: a method's name, or `health`"
            self.send_json(None, route, {"error": {"code": "no-action", "message": message}})
            return
        request = JsonRequest(self, route, action, document)
        self._old.add(request)
        self._deliver(request)

    # -- answering --------------------------------------------------------------------------

    def answer(self, request: ArgosyRequest, tag: int, value: object) -> None:
        """End a request; ignored when it has ended or its caller has gone."""
        if request.is_over or request.caller.requests.pop(request.id, None) is None:
            self._counts["late"] += 1
            return
        request.is_over = True
        try:
            record = self._packer.pack((request.id, tag, self._packer.lift(value)))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            tag, value = codec.ERROR, ("unencodable-result", str(error))
            record = self._packer.pack((request.id, tag, value))
        buffers = self._packer.take_frames() if self._packer.frames else ()
        self._count(tag)
        self._queue(request.caller, record, buffers)

    def _count(self, tag: int) -> None:
        self._counts["handled" if tag == codec.RESULT else "failed" if tag == codec.ERROR else "refused"] += 1

    def _queue(self, caller: Caller, record: bytes, buffers: Sequence[frame.Bytes]) -> None:
        """Put a record with those of this tick; one with buffers ends the message before it."""
        if buffers:
            self._close_batch(caller)
            whole = codec.body(frame.REPLY, self.incarnation, [record], len(buffers))
            caller.frames_due.append((whole, buffers))
        else:
            caller.outbox.append(record)
            if len(caller.outbox) >= codec.BATCH_RECORDS:
                self._close_batch(caller)
        self._dirty[caller.identity] = caller
        if not self._flushing:
            self._flushing = True
            self._reactor.soon(self._flush_tick)

    def _close_batch(self, caller: Caller) -> None:
        if caller.outbox:
            caller.frames_due.append((codec.body(frame.REPLY, self.incarnation, caller.outbox), ()))
            caller.outbox = []

    def _flush_tick(self) -> None:
        self._flushing = False
        self._flush()

    def _flush(self) -> None:
        """Send what waits for each caller, then look once: sends may hide that something came."""
        dirty, self._dirty = self._dirty, {}
        for caller in dirty.values():
            self._close_batch(caller)
            self._send_due(caller)
        self._on_readable()

    def _send_due(self, caller: Caller) -> None:
        due = caller.frames_due
        while due:
            sent = self._try_send(caller.identity, *due[0])
            if sent is False:
                self._forget(caller)
                return
            if sent is None:
                self._on_full(caller)
                return
            due.popleft()
        caller.full_since_s = 0.0

    def _on_full(self, caller: Caller) -> None:
        """Its queue is full: try again by a timer, and forget a caller that reads nothing."""
        now_s = time.monotonic()
        caller.full_since_s = caller.full_since_s or now_s
        if now_s - caller.full_since_s > FULL_LIMIT_S:
            self._forget(caller)
            return
        self._dirty[caller.identity] = caller
        if not self._retry:
            self._retry = self._reactor.later(FULL_RETRY_S, self._on_retry)

    def _on_retry(self) -> None:
        self._retry = None
        self._flush()

    def _send(self, identity: bytes, whole: bytes) -> bool:
        """Send one small message now; False when its receiver has gone or is full."""
        sent = self._try_send(identity, whole, ())
        self._look_again()
        return bool(sent)

    def _look_again(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._reactor.soon(self._flush_tick)

    def _try_send(self, identity: bytes, whole: bytes, buffers: Sequence[frame.Bytes]) -> bool | None:
        """Send one message: True, False when its receiver has gone, None when its queue is full."""
        socket = self._socket
        try:
            Plain.send(socket, identity, _MORE)
        except zmq.Again:
            return None
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                return False
            raise
        if not buffers:
            Plain.send(socket, whole, _NOBLOCK)
            return True
        Plain.send(socket, whole, _MORE)
        for buffer in buffers[:-1]:
            Plain.send(socket, buffer, _MORE, False)
        Plain.send(socket, buffers[-1], _NOBLOCK, False)
        return True

    def send_json(
        self, request: JsonRequest | None, route: Sequence[bytes], document: dict[str, Any]
    ) -> None:
        """Answer an old speaker in its own envelope; one that has gone is ignored."""
        if request:
            self._old.discard(request)
            self._counts["failed" if "error" in document else "handled"] += 1
        try:
            text = self._encode_json(document)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            text = self._encode_json({"error": {"code": "unencodable-result", "message": str(error)}})
        try:
            for part in route:
                Plain.send(self._socket, part, _MORE)
        except zmq.ZMQError:  # gone, or it does not read its answers
            self._counts["forgotten"] += 1
        else:
            Plain.send(self._socket, text, _NOBLOCK)
        self._look_again()

    # -- callers that go --------------------------------------------------------------------

    def _forget(self, caller: Caller) -> None:
        """Drop a caller that has gone, and what is being done for it."""
        self._counts["forgotten"] += 1
        self._callers.pop(caller.identity, None)
        self._busy.pop(caller.identity, None)
        caller.outbox, caller.frames_due = [], deque()
        requests, caller.requests = caller.requests, {}
        for request in requests.values():
            _abort(request)

    def _on_beat(self) -> None:
        """Tell callers with something in flight that the work loop turns."""
        self._beat = None
        now_s = time.monotonic()
        for identity, caller in list(self._busy.items()):
            if not caller.requests:
                del self._busy[identity]
            elif self._beat_to(caller, now_s) is False:
                self._forget(caller)
        if now_s >= self._next_probe_s:
            self._probe_idle(now_s)
        if self._busy:
            self._beat = self._reactor.later(BEAT_S, self._on_beat)
        self._look_again()

    def _beat_to(self, caller: Caller, now_s: float) -> bool | None:
        if caller.frames_due:  # it is full already
            return None
        oldest_s = now_s - min(r.since_s for r in caller.requests.values())
        beat = codec.Beat(self.state, self.lag_s, oldest_s)
        return self._try_send(caller.identity, codec.single(frame.BEAT, self.incarnation, beat), ())

    def _probe_idle(self, now_s: float) -> None:
        """Find callers that went without a word; at this rate an idle lane never fills."""
        self._next_probe_s = now_s + IDLE_PROBE_S
        for caller in list(self._callers.values()):
            if not caller.requests and now_s - caller.heard_s > IDLE_PROBE_S:
                beat = codec.Beat(self.state, self.lag_s, 0.0)
                if (
                    self._try_send(caller.identity, codec.single(frame.BEAT, self.incarnation, beat), ())
                    is False
                ):
                    self._forget(caller)


def _abort(request: ArgosyRequest) -> None:
    request.is_over = True
    if request.abort:
        request.abort()


def _router() -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = shared_context().socket(zmq.ROUTER)
    socket.linger = LINGER_MS
    socket.router_mandatory = 1
    socket.maxmsgsize = codec.LARGEST_BYTES
    return socket


def _listed(value: Any) -> Any:
    """Give old speakers what JSON has no word for: arrays as lists."""
    listed = getattr(value, "tolist", None)
    if listed is None:
        raise TypeError(f"`{type(value).__name__}` has no encoding in JSON")
    return listed()


def _cannot_bind(name: str, endpoint: str, error: OSError | zmq.ZMQError) -> Fault:
    reason = (error.strerror or str(error)).lower()
    port = endpoint.rpartition(":")[2]
    what = (
        f"port {port} on `{endpoint[6:].rpartition(':')[0]}`"
        if endpoint.startswith("tcp://")
        else f"`{endpoint}`"
    )
    hint = f"`ss -ltnp 'sport = :{port}'` shows who holds it" if error.errno == zmq.EADDRINUSE else ""
    return Fault(name, "cannot-bind", f"`{name}` cannot bind {what}: {reason}", hint)
