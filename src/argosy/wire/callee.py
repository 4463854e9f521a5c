"""The callee's end: one ROUTER on all of an agent's endpoints, for callers new and old.

A caller is known from its HELLO until a send to it fails, which is the only sign that it has
gone. The beat is such a send for callers with something in flight; others are asked once in a
long while, so that the table cannot grow and an idle lane never fills.

Nothing that is not understood is answered or raised: it is counted and dropped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
import zmq

from argosy.wire import codec, frame
from argosy.wire.binding import bind
from argosy.wire.inquiry import (
    ArgosyInquiry,
    Caller,
    Inquiry,
    JsonInquiry,
    LetterError,
    ReadLetter,
    read_letter,
)
from argosy.wire.lane import receive
from argosy.wire.lease import shared_context
from argosy.wire.monitor import has_input
from argosy.wire.outbox import Outbox
from argosy.wire.reactor import Reactor, Timer
from argosy.wire.stream import ITEM_BYTES

if TYPE_CHECKING:
    from argosy.wire.admission import Admission

CREDIT: Final = 1024  # calls in flight per lane
MOST_IN_FLIGHT: Final = 8192  # per agent, of all callers
BEAT_S: Final = 0.5
IDLE_PROBE_S: Final = 300.0
DRAIN_MESSAGES: Final = 128  # in one go, so that a flood does not starve handlers and timers
LINGER_MS: Final = 500

_UNENCODABLE: Final = (TypeError, ValueError, OverflowError, RecursionError)


class Callee:
    """Receives requests and hands each to `deliver`; sends what they are answered.

    Until `open` argosy's callers are told that it is starting, after `refuse_new` that it is
    stopping. Old speakers' requests are delivered at any time, since they may ask for health.

    read_letter: makes a request of an old speaker's message, or raises LetterError.
    """

    def __init__(
        self,
        name: str,
        reactor: Reactor,
        deliver: Callable[[Inquiry], None],
        read_letter: ReadLetter = read_letter,
    ) -> None:
        self.name = name
        self.incarnation = frame.new_incarnation()
        self.schema = ""
        self.lag_s = 0.0
        self.state = "starting"
        self.in_flight = 0
        self._reactor = reactor
        self._deliver = deliver
        self._read_letter = read_letter
        self._is_closed = False
        self._socket = _router()
        self._outbox = Outbox(self._socket, self.incarnation, reactor, self._on_readable, self._forget)
        self.tell(self.state)
        self._packer = codec.Packer()
        self._encode_json = msgspec.json.Encoder(enc_hook=_listed).encode
        self._callers: dict[bytes, Caller] = {}
        self._greeted: dict[bytes, tuple[str, int]] = {}
        self._busy: dict[bytes, Caller] = {}
        self._beat: Timer | None = None
        self._next_probe_s = time.monotonic() + IDLE_PROBE_S
        self._counts = dict.fromkeys(("handled", "failed", "refused", "dropped", "late", "forgotten"), 0)
        self._fd: int = self._socket.fileno()
        reactor.watch(self._fd, self._on_told)

    # -- its life ---------------------------------------------------------------------------

    def guard(self, admission: Admission) -> None:
        """Take only the fleet's keys at what is bound from now on."""
        admission.guard(self._socket)

    def bind(self, endpoints: Iterable[str]) -> None:
        """Listen there; raises RefusedError that names the endpoint that could not be bound."""
        for endpoint in endpoints:
            bind(self._socket, self.name, endpoint)
        self._on_readable()

    def open(self) -> None:
        """Welcome callers from now on, those first that have been waiting."""
        self.state = "ok"
        self.tell(self.state)
        for identity, (name, least_us) in self._greeted.items():
            self._welcome(identity, name, least_us)
        self._greeted = {}
        self._outbox.flush_soon()

    def refuse_new(self) -> None:
        """Answer new requests with *stopping*, which lets them wait for the next incarnation."""
        self.state = "stopping"
        self.tell(self.state)

    def tell(self, health: str) -> None:
        """Let every message from now on say how the agent is, a word of `frame.STATES`."""
        self.health = health
        self._outbox.state = frame.STATES.index(health)

    def close(self) -> None:
        """Send what waits and close; the last replies have 0.5 s to leave. What comes later is dropped."""
        self._is_closed = True
        self._outbox.close()
        if self._beat:
            self._beat.cancel()
        self._reactor.unwatch(self._fd)
        self._socket.close(LINGER_MS)

    def statistics(self) -> dict[str, int]:
        """Return counts since the start, and what is in flight and known now."""
        return {**self._counts, "in_flight": self.in_flight, "callers": len(self._callers)}

    # -- receiving --------------------------------------------------------------------------

    def take_in(self) -> None:
        """Take what has arrived, without waiting until the loop tells of it."""
        self._on_readable()

    def _on_told(self) -> None:
        self._on_readable(is_told=True)

    def _on_readable(self, is_told: bool = False) -> None:
        """Take what is there, and send what was answered on the spot: no tick of the loop for it."""
        if self._is_closed:  # it may have been due at the end of a tick
            return
        is_held = self._outbox.hold()
        try:
            is_more = self._take_some(is_told)
        finally:
            has_sent = is_held and self._outbox.release()
        if is_more or (has_sent and has_input(self._socket)):
            self._reactor.soon(self._on_readable)

    def _take_some(self, is_told: bool) -> bool:
        """Take messages; tell whether it stopped before the last."""
        for _ in range(DRAIN_MESSAGES):
            message = receive(self._socket, is_told)
            if message is None:
                return False
            is_told = False
            self._take(message)
        return True

    def _take(self, message: list[memoryview]) -> None:
        """Tell new speakers, old speakers and noise apart."""
        identity = bytes(message[0])
        if len(message) > 1 and frame.is_argosy(message[1]):
            try:
                if self._take_argosy(identity, message[1:]):
                    return
            except codec.UNREADABLE:
                pass
        elif parts := frame.split_json(message[1:]):
            self._take_json((identity, *map(bytes, parts[0])), parts[1])
            return
        self._counts["dropped"] += 1

    def _take_argosy(self, identity: bytes, frames: list[memoryview]) -> bool:
        """Act on a message; false when it is none that a callee gets."""
        kind, buffers, _, stamp_us = frame.read_head(frames[0])
        caller = self._callers.get(identity)
        if kind == frame.CALL and buffers == len(frames) - 1:
            self._on_calls(identity, caller, codec.read_calls(frames[0]), frames[1:], stamp_us)
        elif kind == frame.HELLO:
            self._on_hello(identity, codec.read_hello(frames[0]), stamp_us)
        elif kind == frame.CANCEL and caller:
            self._on_cancel(caller, codec.read_ids(frames[0]))
        elif kind == frame.CREDIT and caller:
            self._on_credit(caller, codec.read_credits(frames[0]))
        else:
            return False
        return True

    def _on_hello(self, identity: bytes, hello: codec.Hello, stamp_us: int) -> None:
        least_us = frame.now_us() - stamp_us
        if caller := self._callers.get(identity):  # none of ours greets twice; what it had asked is over
            self._forget(caller)
        if self.state != "ok":
            if self.state == "starting":
                self._greeted[identity] = hello.name, least_us
            self._send(identity, frame.BEAT, codec.Beat(self.state, 0.0, 0.0))
        else:
            self._welcome(identity, hello.name, least_us)
        if time.monotonic() >= self._next_probe_s:
            self._probe_idle()

    def _welcome(self, identity: bytes, name: str, least_us: int) -> None:
        welcome = codec.Welcome(frame.VERSION, self.name, CREDIT, codec.LARGEST_BYTES, self.schema)
        if self._send(identity, frame.WELCOME, welcome):
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
            self._send(identity, frame.STALE, [r.id for r in records])
            return
        now_us = frame.now_us()
        caller.least_us = min(caller.least_us, now_us - stamp_us)
        caller.heard_s = now_us / 1e6
        for record in records:
            self._on_call(ArgosyInquiry(self, caller, record, buffers, now_us), now_us)
        if caller.inquiries:
            self._busy[identity] = caller
            if not self._beat:
                self._beat = self._reactor.later(BEAT_S, self._on_beat)

    def _on_call(self, inquiry: ArgosyInquiry, now_us: int) -> None:
        inquiries = inquiry.caller.inquiries
        if inquiry.id in inquiries:  # no caller of ours repeats an id on a lane
            self._counts["dropped"] += 1
            return
        inquiries[inquiry.id] = inquiry
        self.in_flight += 1
        if now_us > inquiry.deadline_us:
            inquiry.refuse(codec.EXPIRED, "it arrived after its deadline")
        elif self.state == "stopping":
            inquiry.refuse(codec.STOPPING, "it is stopping")
        elif len(inquiries) > CREDIT or self.in_flight > MOST_IN_FLIGHT:
            inquiry.refuse(codec.OVERLOADED, f"{self.in_flight} requests are in flight there")
        else:
            self._deliver(inquiry)

    def _on_cancel(self, caller: Caller, ids: list[int]) -> None:
        for number in ids:
            inquiry = caller.inquiries.pop(number, None)
            if inquiry:
                self.in_flight -= 1
                inquiry.drop()
            else:
                self._counts["late"] += 1

    def _on_credit(self, caller: Caller, credits: list[tuple[int, int]]) -> None:
        for number, amount_bytes in credits:
            inquiry = caller.inquiries.get(number)
            if inquiry and amount_bytes > 0:
                inquiry.add_credit(amount_bytes)

    def _take_json(self, route: Sequence[bytes], text: frame.Bytes) -> None:
        try:
            inquiry = self._read_letter(self, route, text)
        except LetterError as error:
            self.answer_json(None, route, _json_error(error.code, str(error)))
            return
        self.in_flight += 1
        self._deliver(inquiry)

    # -- answering --------------------------------------------------------------------------

    def answer(self, inquiry: ArgosyInquiry, tag: int, value: object) -> int:
        """Send an item of a request, or its end; return what an item costs of the stream's credit.

        Ignored when the request has ended or its caller has gone.
        """
        if inquiry.is_over or self._is_closed:
            self._counts["late"] += 1
            return 0
        if tag != codec.ITEM:
            inquiry.is_over = True
            if inquiry.caller.inquiries.pop(inquiry.id, None):
                self.in_flight -= 1
            self._count(tag)
        record, buffers = self._encode(inquiry.id, tag, value)
        self._outbox.put(inquiry.caller, record, buffers)
        if tag != codec.ITEM:
            return 0
        return max(ITEM_BYTES, len(record) + sum(memoryview(b).nbytes for b in buffers))

    def _encode(self, number: int, tag: int, value: object) -> tuple[bytes, Sequence[frame.Bytes]]:
        """Encode a reply; one that cannot be encoded or carried becomes an error."""
        packer = self._packer
        try:
            record = packer.pack((number, tag, packer.lift(value)))
        except _UNENCODABLE as error:
            return packer.pack((number, codec.ERROR, ("unencodable-result", str(error)))), ()
        buffers: Sequence[frame.Bytes] = packer.take_frames() if packer.frames else ()
        largest = max(len(record), *(memoryview(b).nbytes for b in buffers)) if buffers else len(record)
        if largest > codec.LARGEST_BYTES:
            reason = f"its reply has {largest} bytes, at most {codec.LARGEST_BYTES} are carried"
            return packer.pack((number, codec.REFUSED, (codec.TOO_LARGE, reason))), ()
        return record, buffers

    def _count(self, tag: int) -> None:
        self._counts[
            "failed" if tag == codec.ERROR else "refused" if tag == codec.REFUSED else "handled"
        ] += 1

    def answer_json(
        self, inquiry: JsonInquiry | None, route: Sequence[bytes], document: dict[str, Any]
    ) -> None:
        """Answer an old speaker in its own envelope; one that has gone is counted."""
        if self._is_closed:
            self._counts["late"] += 1
            return
        if inquiry:
            self.in_flight -= 1
            self._counts["failed" if "error" in document else "handled"] += 1
        try:
            text = self._encode_json(document)
        except _UNENCODABLE as error:
            text = self._encode_json(_json_error("unencodable-result", str(error)))
        if not self._outbox.send_envelope(route, text):
            self._counts["forgotten"] += 1
        self._outbox.flush_soon()

    def _send(self, identity: bytes, kind: int, value: object) -> bool:
        """Send one small message now; false when its receiver has gone or reads nothing."""
        sent = self._outbox.send(identity, codec.single(kind, self.incarnation, value, self._outbox.state))
        self._outbox.flush_soon()
        return bool(sent)

    # -- callers that go --------------------------------------------------------------------

    def _forget(self, caller: Caller) -> None:
        """Drop a caller that has gone, and what is being done for it."""
        self._counts["forgotten"] += 1
        self._callers.pop(caller.identity, None)
        self._busy.pop(caller.identity, None)
        caller.outbox, caller.due = [], []
        inquiries, caller.inquiries = caller.inquiries, {}
        self.in_flight -= len(inquiries)
        for inquiry in inquiries.values():
            inquiry.drop()

    def _on_beat(self) -> None:
        """Tell callers with something in flight that the work loop turns."""
        self._beat = None
        for identity, caller in list(self._busy.items()):
            if not caller.inquiries:
                del self._busy[identity]
            elif not caller.due and self._beat_to(caller) is False:  # with messages due it is full
                self._forget(caller)
        if self._busy:
            self._beat = self._reactor.later(BEAT_S, self._on_beat)
        self._outbox.flush_soon()

    def _beat_to(self, caller: Caller) -> bool | None:
        since_us = min((i.since_us for i in caller.inquiries.values()), default=0)
        oldest_s = (frame.now_us() - since_us) / 1e6 if since_us else 0.0
        beat = codec.Beat(self.health, self.lag_s, oldest_s)
        whole = codec.single(frame.BEAT, self.incarnation, beat, self._outbox.state)
        return self._outbox.send(caller.identity, whole)

    def _probe_idle(self) -> None:
        """Find callers that went without a word; at this rate an idle lane never fills."""
        now_s = time.monotonic()
        self._next_probe_s = now_s + IDLE_PROBE_S
        for caller in list(self._callers.values()):
            is_idle = not caller.inquiries and now_s - caller.heard_s > IDLE_PROBE_S
            if is_idle and self._beat_to(caller) is False:
                self._forget(caller)


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


def _json_error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}
