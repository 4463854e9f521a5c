"""The callee's end: one ROUTER on all of an agent's endpoints, and a doorway for its neighbours.

Whom it knows, and how it learns that one has gone, is the affair of `callers`.
Nothing that is not understood is answered or raised: it is counted and dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import zmq

from argosy.wire import codec, frame
from argosy.wire.binding import bind
from argosy.wire.callers import Callers
from argosy.wire.doorway import DRAIN_MESSAGES, Doorway, doorway_path
from argosy.wire.frame import now_us
from argosy.wire.inquiry import (
    ArgosyInquiry,
    Caller,
    Inquiry,
    JsonInquiry,
    Key,
    LetterError,
    ReadLetter,
    Way,
    read_letter,
)
from argosy.wire.lane import receive
from argosy.wire.lease import shared_context
from argosy.wire.link import Link
from argosy.wire.monitor import has_input
from argosy.wire.outbox import Outbox
from argosy.wire.reactor import Reactor
from argosy.wire.reply import ReplyEncoder, json_error
from argosy.wire.route import Route, send_envelope
from argosy.wire.stream import ITEM_BYTES

if TYPE_CHECKING:
    from argosy.wire.admission import Admission

CREDIT: Final = 1024  # calls in flight per lane
MOST_IN_FLIGHT: Final = 8192  # per agent, of all callers
LINGER_MS: Final = 500

_ENDED: Final = ("handled", "failed", "refused", "", "handled")  # what an end is counted as, by its tag


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
        self.schema: Callable[[], str] = str
        self.lag_s = 0.0
        self.state = "starting"
        self.in_flight = 0
        self._reactor = reactor
        self._deliver = deliver
        self._read_letter = read_letter
        self._is_closed = False
        self._socket = _router()
        self._outbox = Outbox(self.incarnation, reactor, self._on_readable, self._on_gone)
        self._doorways: list[Doorway] = []
        self.tell(self.state)
        encoder = ReplyEncoder()
        self._encode, self._encode_json = encoder.encode, encoder.encode_json
        self._callers = Callers(reactor, self._beat, self._on_forgotten, self._outbox.look_soon)
        self._greeted: dict[Key, tuple[str, int]] = {}
        self._ended = [0] * len(_ENDED)
        self._counts = dict.fromkeys(("dropped", "late", "forgotten"), 0)
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
            if path := doorway_path(endpoint):
                take, gone = self._take_from_link, self._on_link_gone
                self._doorways.append(Doorway(self.name, path, self._reactor, self._outbox, take, gone))
        self._on_readable()

    def open(self) -> None:
        """Welcome callers from now on, those first that have been waiting."""
        self.state = "ok"
        self.tell(self.state)
        for key, (name, least_us) in self._greeted.items():
            self._welcome(key, name, least_us)
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
        self._callers.close()
        self._reactor.unwatch(self._fd)
        self._socket.close(LINGER_MS)
        for doorway in self._doorways:
            doorway.close()

    def statistics(self) -> dict[str, int]:
        """Return counts since the start, and what is in flight and known now."""
        counts = {"handled": 0, "failed": 0, "refused": 0, **self._counts}
        for name, count in zip(_ENDED, self._ended, strict=True):
            if name:
                counts[name] += count
        return {**counts, "in_flight": self.in_flight, "callers": len(self._callers.known)}

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
            needs_look = is_held and self._outbox.release()
        if is_more or (needs_look and has_input(self._socket)):
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
        """Tell new speakers, old speakers and noise apart.

        ZeroMQ bounds each part; the sum of them is bounded here.
        """
        if len(message) > 2 and sum(part.nbytes for part in message) > codec.MESSAGE_BYTES:
            self._counts["dropped"] += 1
            return
        identity = message[0].tobytes()
        if len(message) > 1 and (head := frame.read_head(message[1])):
            self._take_argosy(identity, head, message[1:])
        elif parts := frame.split_json(message[1:]):
            self._take_json((identity, *map(bytes, parts[0])), parts[1])
        else:
            self._counts["dropped"] += 1

    def _take_argosy(self, key: Key, head: tuple[int, int, int, int, int], frames: list[memoryview]) -> None:
        """Act on a message; one that no callee gets, or that cannot be read, is dropped."""
        kind, buffers, _, _, stamp_us = head
        caller = self._callers.known.get(key)
        try:
            if kind == frame.CALL and buffers == len(frames) - 1:
                records = codec.read_calls(frames[0])
                if caller:
                    self._on_calls(caller, records, frames[1:], stamp_us)
                else:
                    self._send(key, frame.STALE, [r.id for r in records])
            elif kind == frame.HELLO:
                self._on_hello(key, codec.read_hello(frames[0]), stamp_us)
            elif kind == frame.CANCEL and caller:
                self._on_cancel(caller, codec.read_ids(frames[0]))
            elif kind == frame.CREDIT and caller:
                self._on_credit(caller, codec.read_credits(frames[0]))
            else:
                self._counts["dropped"] += 1
        except codec.UNREADABLE:
            self._counts["dropped"] += 1

    def _take_from_link(self, link: Link, message: list[memoryview]) -> None:
        if head := frame.read_head(message[0]):
            self._take_argosy(link, head, message)
        else:
            self._counts["dropped"] += 1

    # -- requests ---------------------------------------------------------------------------

    def _on_hello(self, key: Key, hello: codec.Hello, stamp_us: int) -> None:
        least_us = now_us() - stamp_us
        if caller := self._callers.known.get(key):  # none of ours greets twice; what it had asked is over
            self._callers.forget(caller)
        if self.state != "ok":
            if self.state == "starting":
                self._greeted[key] = hello.name, least_us
            self._send(key, frame.BEAT, codec.Beat(self.state, 0.0, 0.0))
        else:
            self._welcome(key, hello.name, least_us)
        self._callers.probe_idle()

    def _welcome(self, key: Key, name: str, least_us: int) -> None:
        if isinstance(key, Link):
            key.largest_bytes = codec.MESSAGE_BYTES
        welcome = codec.Welcome(frame.VERSION, self.name, CREDIT, codec.LARGEST_BYTES, self.schema())
        if self._send(key, frame.WELCOME, welcome):
            self._callers.add(Caller(key, self._way(key), name, least_us))

    def _on_calls(
        self, caller: Caller, records: list[codec.CallRecord], buffers: list[memoryview], stamp_us: int
    ) -> None:
        now = now_us()
        least_us = caller.least_us = min(caller.least_us, now - stamp_us)
        caller.heard_s = now / 1e6
        caller.batch = max(codec.LEAST_BATCH, len(records))
        inquiries, deliver = caller.inquiries, self._deliver
        for record in records:
            number, deadline_us, credit = record.id, record.deadline_us + least_us, record.credit
            if number in inquiries:  # no caller of ours repeats an id on a lane
                self._counts["dropped"] += 1
                continue
            method, raw, trace = record.method, record.arguments, record.trace
            inquiries[number] = inquiry = ArgosyInquiry(
                self, caller, number, method, deadline_us, raw, buffers, trace, credit, credit > 0, now
            )
            self.in_flight += 1
            if now > deadline_us:
                inquiry.refuse(codec.EXPIRED, "it arrived after its deadline")
            elif self.state == "stopping":
                inquiry.refuse(codec.STOPPING, "it is stopping")
            elif len(inquiries) > CREDIT or self.in_flight > MOST_IN_FLIGHT:
                inquiry.refuse(codec.OVERLOADED, f"requests in flight there: {self.in_flight}")
            else:
                deliver(inquiry)
        if inquiries:
            self._callers.keep_beating(caller)

    def _on_cancel(self, caller: Caller, ids: list[int]) -> None:
        for number in ids:
            inquiry = caller.inquiries.pop(number, None)
            if inquiry:
                self.in_flight -= 1
                inquiry.drop()
                caller.owes_beat = True
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
            self.answer_json(None, route, json_error(error.code, str(error)))
            return
        self.in_flight += 1
        self._deliver(inquiry)

    # -- answering --------------------------------------------------------------------------

    def answer(self, inquiry: ArgosyInquiry, tag: int, value: object) -> None:
        """Send the end of a request; ignored when it has ended before or its caller has gone."""
        if inquiry.is_over or self._is_closed:
            self._counts["late"] += 1
            return
        inquiry.is_over = True
        number, caller, encode = inquiry.id, inquiry.caller, self._encode
        if caller.inquiries.pop(number, None):
            self.in_flight -= 1
        self._ended[tag] += 1
        record, buffers = encode(number, tag, value)
        self._outbox.put(caller, record, buffers)

    def item(self, inquiry: ArgosyInquiry, value: object) -> int:
        """Send an item of a stream, and return what it costs of the credit; ignored as an answer is."""
        if inquiry.is_over or self._is_closed:
            self._counts["late"] += 1
            return 0
        record, buffers = self._encode(inquiry.id, codec.ITEM, value)
        self._outbox.put(inquiry.caller, record, buffers)
        return max(ITEM_BYTES, len(record) + sum(memoryview(b).nbytes for b in buffers))

    def answer_json(
        self, inquiry: JsonInquiry | None, route: Sequence[bytes], document: dict[str, Any]
    ) -> None:
        """Answer an old speaker in its own envelope; one that has gone is counted."""
        if self._is_closed:
            self._counts["late"] += 1
            return
        if inquiry:
            self.in_flight -= 1
            self._ended[codec.ERROR if "error" in document else codec.RESULT] += 1
        if not send_envelope(self._socket, route, self._encode_json(document)):
            self._counts["forgotten"] += 1
        self._outbox.look_soon()

    def _way(self, key: Key) -> Way:
        return key if isinstance(key, Link) else Route(self._socket, key)

    def _send(self, key: Key, kind: int, value: object) -> bool:
        """Send one small message now; false when its receiver has gone or reads nothing."""
        sent = self._way(key).send(codec.single(kind, self.incarnation, value, self._outbox.state))
        if not isinstance(key, Link):
            self._outbox.look_soon()
        return bool(sent)

    # -- callers that go --------------------------------------------------------------------

    def _on_gone(self, caller: Caller) -> None:
        """A caller cannot be reached any more; a link that only stays full is of no more use."""
        if isinstance(caller.key, Link):
            for doorway in self._doorways:
                doorway.drop(caller.key)
        else:
            self._callers.forget(caller)

    def _on_link_gone(self, link: Link) -> None:
        self._greeted.pop(link, None)
        if caller := self._callers.known.get(link):
            self._callers.forget(caller)

    def _on_forgotten(self, inquiries: Collection[ArgosyInquiry]) -> None:
        self._counts["forgotten"] += 1
        self.in_flight -= len(inquiries)
        for inquiry in inquiries:
            inquiry.drop()

    def _beat(self, oldest_s: float) -> bytes:
        beat = codec.Beat(self.health, self.lag_s, oldest_s)
        return codec.single(frame.BEAT, self.incarnation, beat, self._outbox.state)


def _router() -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = shared_context().socket(zmq.ROUTER)
    socket.linger = LINGER_MS
    socket.router_mandatory = 1
    socket.maxmsgsize = codec.MESSAGE_BYTES
    return socket
