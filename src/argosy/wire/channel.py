"""A channel: every request to one peer from one thread, over one lane at a time.

What must hold: each call ends with a reply or a named error by its deadline, and nothing is
executed late, or twice unless declared. So a call is *waiting* (on no lane: it can be put on
the next one, and is NotSent at its deadline) or *sent* (its lane's end, or its deadline, makes
it OutcomeUnknown, or puts it back when its method is idempotent). What the peer reports as
stale or stopping was not executed, and waits again until its deadline.

Calls made in one tick leave together at its end, in messages of 16, or of a quarter of those in
flight: the peer works on the first while the next is made. Sending "at once when idle" was tried
and splits every batch.
"""

from __future__ import annotations

from asyncio import InvalidStateError
from collections.abc import Callable, Mapping
from typing import Any, Final

from argosy.wire import codec, errors, frame
from argosy.wire.backlog import Backlog
from argosy.wire.call import MOST_TRIES, Answer, Call, Flow, Maker, Sink, read_failure, remote_error
from argosy.wire.dialer import Dialer
from argosy.wire.frame import now_us
from argosy.wire.lane import Lane, Secure
from argosy.wire.link import Link
from argosy.wire.reactor import Reactor, Timer
from argosy.wire.standing import Standing
from argosy.wire.vigil import Vigil

MOST_WAITING: Final = 4096
MOST_STREAMS: Final = 64
DRAIN_MESSAGES: Final = 256  # in one go, so that a flood does not keep the loop from its timers

_RESULT: Final = codec.RESULT
_FAR_US: Final = 20_000  # a deadline that no brief wait reaches
_CLOSED: Final = "this side closed the channel"


class Channel:
    """All calls of one thread to one peer.

    where: gives the endpoint, asked at every dial, since a peer may move.
    idempotent: methods that may be executed again after an unknown outcome.
    secure: gives each new socket the keys that its endpoint asks for.
    heard: told each new word about how the peer is.
    """

    def __init__(
        self,
        peer: str,
        where: Callable[[], str],
        reactor: Reactor,
        *,
        caller: str = "",
        idempotent: Callable[[], tuple[str, ...]] = tuple,
        secure: Secure | None = None,
        heard: Callable[[str], object] | None = None,
    ) -> None:
        self.peer = peer
        self._standing = Standing(heard)
        self._reactor = reactor
        hello = codec.Hello(frame.VERSION, caller)
        self._incarnation = frame.new_incarnation()
        self._idempotent = idempotent
        self._maker = Maker(peer)
        self._is_shared = reactor.is_shared
        self._backlog = Backlog()
        self._waiting = self._backlog.calls
        self._sent: dict[int, Call] = {}
        self._streams = 0
        self._dialer = Dialer(
            where,
            secure,
            reactor,
            greet=lambda: codec.single(frame.HELLO, self._incarnation, hello),
            wanted=lambda: bool(self._waiting) and not self._is_closed,
            readable=lambda: self._on_readable(is_told=True),
            lost=self._on_lost,
            standing=self._standing,
        )
        self._welcome: codec.Welcome | None = None
        self._vigil = Vigil(reactor, self._look, self._on_frozen)
        self._flushing = False
        self._alarm: Timer | None = None
        self._alarm_us = 0
        self._late = 0
        self._is_closed = False

    # -- what callers use -------------------------------------------------------------------

    def submit(
        self,
        method: str,
        arguments: Mapping[str, Any],
        timeout_s: float,
        sink: Sink,
        trace: str,
        flow: Flow | None = None,
    ) -> Call:
        """Take one request; its sink gets an Answer or an error of `errors` within `timeout_s`.

        flow: takes the items of a streamed reply; `timeout_s` is then until the first of them.
        Raises Overloaded: too many calls wait already; TooLarge: it cannot be carried;
        TypeError: an argument has no encoding.
        """
        if len(self._waiting) >= MOST_WAITING or self._is_closed or (flow and self._streams >= MOST_STREAMS):
            raise self._no_room(method)
        call = self._maker.make(method, arguments, timeout_s, sink, trace, flow)
        is_full = self._backlog.add(call)
        if not self._alarm_us or call.deadline_us < self._alarm_us:
            self._set_alarm(call.deadline_us)
        # A thread that blocks makes one call at a time: there is nothing to wait for. What ended
        # an idle ZeroMQ lane is seen first.
        if is_full or (not self._is_shared and isinstance(self._dialer.lane, Link)):
            self._flush()
        elif not self._flushing:
            self._flush_soon()
        return call

    def cancel(self, call: Call) -> None:
        """Forget a call whose caller has gone; the peer is told when it was sent."""
        if self._sent.pop(call.id, None):
            self._streams -= call.flow is not None
            self._send_after_waiting(frame.CANCEL, [call.id])
        elif call in self._waiting:
            self._waiting.remove(call)

    def give_credit(self, call: Call, amount_bytes: int) -> None:
        """Tell the peer that a stream's consumer has taken so much."""
        if call.id in self._sent:
            self._send_after_waiting(frame.CREDIT, [(call.id, amount_bytes)])

    def wait_briefly(self, call: Call) -> None:
        """Take what comes within a few milliseconds, which most answers do; for a thread that blocks."""
        lane = self._dialer.lane
        if self._sent and isinstance(lane, Link) and call.deadline_us - now_us() > _FAR_US and lane.wait():
            self._on_readable()

    def close(self) -> None:
        """End every call by name and close the lane."""
        self._is_closed = True
        self._drop_lane(_CLOSED)
        self._dialer.close(_CLOSED)
        while self._waiting:
            self._waiting.popleft().give_up(self.peer, _CLOSED)
        if self._alarm:
            self._alarm.cancel()

    def statistics(self) -> dict[str, int]:
        """Return counts of calls waiting and in flight, late replies, lanes used."""
        calls = {"waiting": len(self._waiting), "in_flight": len(self._sent)}
        return {**calls, "late": self._late, "lanes": self._dialer.dials}

    def _no_room(self, method: str) -> errors.WireError:
        if self._is_closed:
            return errors.NotSent(self.peer, method, _CLOSED)
        what = f"{len(self._waiting)} calls wait here and {self._streams} streams are open"
        return errors.Overloaded(self.peer, method, what)

    # -- sending ----------------------------------------------------------------------------

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._reactor.soon(self._flush_tick)

    def _flush_tick(self) -> None:
        self._flushing = False
        self._flush()

    def _flush(self) -> None:
        """Send what waits and may be sent; then look once, where that is needed, whether something came."""
        lane = self._dialer.lane
        if not self._waiting or self._is_closed:
            return
        if not self._welcome or not lane:
            self._dialer.need()
            return
        was_idle = not self._sent
        room = self._welcome.credit - len(self._sent)
        while self._waiting and room > 0:
            taken = self._send_batch(lane, room)
            if not taken:
                break
            room -= taken
        self._backlog.count(len(self._sent))
        self._vigil.begin(was_idle)
        if lane.is_edge_triggered:
            self._on_readable()

    def _send_batch(self, lane: Lane | Link, room: int) -> int:
        """Send one message of at most `room` calls.

        Returns how many went; none when the peer has just gone, and they wait as before.
        """
        calls, buffers = self._backlog.take(room)
        records = [call.record for call in calls]
        if not lane.send(codec.body(frame.CALL, self._incarnation, records, len(buffers)), buffers):
            self._backlog.put_back(calls)
            return 0
        sent = self._sent
        for call in calls:
            sent[call.id] = call
            if call.flow:
                self._streams += 1
        return len(calls)

    def _send_after_waiting(self, kind: int, value: object) -> None:
        """Send a message about calls in flight, behind those that wait to be sent."""
        if self._welcome:
            self._flush()
        if self._welcome and (lane := self._dialer.lane):
            lane.send(codec.single(kind, self._incarnation, value))
            if lane.is_edge_triggered:
                self._reactor.soon(self._on_readable)

    # -- the lane ---------------------------------------------------------------------------

    def _on_lost(self, reason: str, error: type[errors.OutcomeUnknown] = errors.PeerLost) -> None:
        """The lane has ended; what arrived before is taken first."""
        lane = self._dialer.lane
        self._drain(is_last=True)
        if lane is self._dialer.lane:
            self._drop_lane(reason, error)
            self._dialer.again()

    def _drop_lane(self, reason: str, error: type[errors.OutcomeUnknown] = errors.PeerLost) -> None:
        """Close the lane; what was sent on it ends, or waits again when it may be repeated."""
        self._welcome = None
        self._vigil.cancel()
        self._dialer.drop(reason)
        lost, self._sent = self._sent, {}
        self._streams = 0
        repeatable = self._idempotent() if lost and not self._is_closed else ()
        for call in lost.values():
            call.tries += 1
        again = {i for i, c in lost.items() if c.method in repeatable and c.tries < MOST_TRIES and not c.flow}
        self._backlog.put_back(lost[number] for number in again)
        for number in lost.keys() - again:
            lost[number].fail(error(self.peer, lost[number].method, reason))

    # -- receiving --------------------------------------------------------------------------

    def _on_readable(self, *, is_told: bool = False) -> None:
        """Take what is there; more than a tick's worth is left for the next one."""
        if self._drain(DRAIN_MESSAGES, is_told=is_told):
            self._reactor.soon(self._on_readable)
        if self._waiting and self._welcome:
            self._flush_soon()

    def _drain(self, most: int = 1 << 30, *, is_told: bool = False, is_last: bool = False) -> bool:
        """Take messages; tell whether it stopped at `most`.

        Once nothing is owed no more is looked for: the look after the next send finds it.
        is_last: what comes next is judged by what has arrived, so each look is a thorough one.
        """
        lane = self._dialer.lane
        for _ in range(most):
            is_told = is_told or is_last
            message = lane.receive(is_told=is_told) if lane and lane is self._dialer.lane else None
            if message is None:
                return False
            is_told = False
            try:
                self._take(message)
            except codec.UNREADABLE:
                self._drop_lane("it sent what cannot be read")
                self._dialer.again()
            if not self._sent and not self._waiting and self._welcome and lane and lane.is_edge_triggered:
                return False
        return True

    def _take(self, message: list[memoryview]) -> None:
        head = frame.read_head(message[0])
        if head is None:
            return
        kind, _, state, _, _ = head
        vigil = self._vigil
        vigil.heard_us, vigil.is_awaited = now_us(), False
        if state != self._standing.code:
            self._standing.take(state)
        if kind == frame.REPLY:
            self._on_replies(codec.read_replies(message[0]), message[1:])
        elif kind == frame.WELCOME:
            self._on_welcome(codec.read_welcome(message[0]))
        elif kind == frame.BEAT:
            self._dialer.on_beat()
        elif kind == frame.STALE:
            self._on_stale(codec.read_ids(message[0]))

    def _on_welcome(self, welcome: codec.Welcome) -> None:
        self._dialer.on_welcome()
        self._welcome = welcome
        self._flush()

    def _on_stale(self, ids: list[int]) -> None:
        """The peer has forgotten this lane: these were not executed, and the next lane may carry them."""
        unsent = [call for number in ids if (call := self._sent.pop(number, None))]
        self._drop_lane("it had forgotten this connection")
        self._backlog.put_back(unsent)
        self._dialer.again()

    def _on_replies(self, records: list[codec.ReplyRecord], buffers: list[memoryview]) -> None:
        """Hand results over; what is not just that is looked at one by one."""
        take = self._sent.pop
        for record in records:
            if record.tag != _RESULT:
                self._on_reply(record, buffers)
            elif (call := take(record.id, None)) and call.flow is None:
                try:
                    call.sink.set_result((record.value, buffers))
                except InvalidStateError:  # cancelled in this tick: a rare case, so it is not asked before
                    continue
            else:
                self._on_odd_result(call, (record.value, buffers))

    def _on_odd_result(self, call: Call | None, answer: Answer) -> None:
        """Take a result that nobody waits for any more, or that was asked for as a stream."""
        if call is None or call.flow is None:
            self._late += 1
            return
        self._streams -= 1
        call.flow.item(answer)
        if not call.sink.done():
            call.sink.set_result(answer)

    def _on_reply(self, record: codec.ReplyRecord, buffers: list[memoryview]) -> None:
        tag = record.tag
        if tag == codec.ITEM:
            self._on_item(record, buffers)
            return
        # Read before the call leaves the table: what cannot be read ends the lane and every call on it.
        failure = None if tag == codec.END else read_failure(record.value)
        call = self._sent.pop(record.id, None)
        if call is None:
            self._late += 1
            return
        self._streams -= call.flow is not None
        if failure is None:
            if not call.sink.done():
                call.sink.set_result((record.value, buffers))
        elif tag == codec.REFUSED and failure.code == codec.STOPPING:
            self._on_stopping(call)
        else:
            call.fail(remote_error(self.peer, call.method, tag, failure))

    def _on_item(self, record: codec.ReplyRecord, buffers: list[memoryview]) -> None:
        call = self._sent.get(record.id)
        if call and call.flow:
            call.deadline_us = now_us() + call.flow.gap_us
            call.flow.item((record.value, buffers))
        else:
            self._late += 1

    def _on_stopping(self, call: Call) -> None:
        """It was not executed and its peer is going: the next incarnation may still do it in time."""
        self._backlog.put_back([call])
        self._dialer.why_not = "it is stopping"
        # Nothing more goes out on this lane, and it stays until its peer ends it: replies may still
        # come, and a new one would find the peer stopping again, and again.
        self._welcome = None

    # -- deadlines and silence --------------------------------------------------------------

    def _set_alarm(self, deadline_us: int) -> None:
        if self._alarm:
            self._alarm.cancel()
        self._alarm_us = deadline_us
        delay_s = max(0.0, (deadline_us - now_us()) / 1e6)
        self._alarm = self._reactor.later(delay_s, self._on_alarm)

    def _on_alarm(self) -> None:
        """End what is past its deadline; a reply that has arrived is taken before."""
        self._alarm, self._alarm_us = None, 0
        self._drain(is_last=True)
        now = now_us()
        self._end_overdue(now)
        for call in [c for c in self._waiting if c.deadline_us <= now]:
            self._waiting.remove(call)
            call.give_up(self.peer, self._dialer.why_not)
        if rest := [c.deadline_us for c in (*self._sent.values(), *self._waiting)]:
            self._set_alarm(min(rest))

    def _end_overdue(self, now: int) -> None:
        overdue = [c for c in self._sent.values() if c.deadline_us <= now]
        ended = []
        for call in overdue:
            if call.flow and call.flow.is_behind():
                call.deadline_us = now + call.flow.gap_us
                continue
            del self._sent[call.id]
            self._streams -= call.flow is not None
            ended.append(call.id)
            call.fail(errors.DeadlineExceeded(self.peer, call.method, "its deadline passed"))
        if ended:
            self._send_after_waiting(frame.CANCEL, ended)

    def _look(self) -> bool:
        self._drain(is_last=True)
        return bool(self._sent)

    def _on_frozen(self, quiet_s: float) -> None:
        self._on_lost(f"it gave no sign of life for {quiet_s:.1f} s", errors.PeerFrozen)
