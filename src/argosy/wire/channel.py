"""A channel: every request to one peer from one thread, over one lane at a time.

What must hold: each call ends with a reply or a named error by its deadline, and nothing is
executed late, or twice unless declared. So a call is *waiting* (on no lane: it can be put on
the next one, and is NotSent at its deadline) or *sent* (its lane's end, or its deadline, makes
it OutcomeUnknown, or puts it back when its method is idempotent). What the peer reports as
expired, stale or stopping was not executed; what is not yet past its deadline waits again.

Calls made in one tick leave in one message at its end. Sending them "at once when idle" was
tried and splits every batch.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from msgspec import Raw

from argosy.wire import codec, errors, frame
from argosy.wire.lane import Lane
from argosy.wire.reactor import Reactor, Timer

FIRST_REDIAL_S: Final = 0.01
MOST_REDIAL_S: Final = 1.0
GREETING_S: Final = 2.0  # a peer that accepts and stays silent gives no event
SILENCE_S: Final = 1.25  # two and a half beats: noticed 1.25 to 1.5 s after the last sign of life
PAUSE_S: Final = 0.25  # a timer that much late tells of a pause of our own
MOST_WAITING: Final = 4096
DRAIN_MESSAGES: Final = 256  # in one go, so that a flood does not keep the loop from its timers
FIRST_CREDIT: Final = 256 * 1024

Answer = tuple[Raw, list[memoryview]]


class Sink(Protocol):
    """Where a call ends; an asyncio future is one."""

    def done(self) -> bool: ...

    def set_result(self, answer: Answer, /) -> None: ...

    def set_exception(self, error: BaseException, /) -> None: ...


class Call:
    """One request, from its making to its end."""

    __slots__ = ("buffers", "deadline_us", "id", "method", "record", "sink", "stream", "was_sent")

    def __init__(self, number: int, method: str, deadline_us: int, sink: Sink) -> None:
        self.id = number
        self.method = method
        self.deadline_us = deadline_us
        self.sink = sink
        self.stream: Stream | None = None
        self.record = b""
        self.buffers: list[frame.Bytes] = []
        self.was_sent = False


class Stream(Protocol):
    """Where the items of a streamed reply go."""

    def item(self, answer: Answer, /) -> None: ...


class Channel:
    """All calls of one thread to one peer.

    where: gives the endpoint, asked at every dial, since a peer may move.
    idempotent: methods that may be executed again after an unknown outcome.
    """

    def __init__(
        self,
        peer: str,
        where: Callable[[], str],
        reactor: Reactor,
        *,
        caller: str = "",
        incarnation: int = 0,
        idempotent: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        self.peer = peer
        self._where = where
        self._reactor = reactor
        self._hello = codec.Hello(frame.VERSION, caller)
        self._incarnation = incarnation or frame.new_incarnation()
        self._idempotent = idempotent
        self._packer = codec.Packer()
        self._last_id = 0
        self._waiting: deque[Call] = deque()
        self._sent: dict[int, Call] = {}
        self._lane: Lane | None = None
        self._welcome: codec.Welcome | None = None
        self._flushing = False
        self._waiting_bytes = 0
        self._why_not = "it was not dialled yet"
        self._redial_s = 0.0
        self._redial: Timer | None = None
        self._greeting: Timer | None = None
        self._alarm: Timer | None = None
        self._alarm_us = 0
        self._heard_us = 0
        self._silence: Timer | None = None
        self._silence_due_us = 0
        self._late = 0
        self._lanes = 0
        self._closed = False

    # -- what callers use -------------------------------------------------------------------

    def submit(
        self, method: str, arguments: Mapping[str, Any], timeout_s: float, sink: Sink, trace: str
    ) -> Call:
        """Take one request; its sink gets an Answer or an error of `errors` within `timeout_s`.

        Raises Overloaded: too many calls wait already; TooLarge: it cannot be carried;
        TypeError: an argument has no encoding.
        """
        if len(self._waiting) >= MOST_WAITING or self._closed:
            raise self._no_room(method)
        call = self._make(method, arguments, timeout_s, sink, trace)
        self._waiting.append(call)
        self._waiting_bytes += len(call.record)
        if not self._alarm_us or call.deadline_us < self._alarm_us:
            self._set_alarm(call.deadline_us)
        if self._waiting_bytes >= codec.BATCH_BYTES or len(self._waiting) >= codec.BATCH_RECORDS:
            self._flush()
        elif not self._flushing:
            self._flushing = True
            self._reactor.soon(self._flush_tick)
        return call

    def cancel(self, call: Call) -> None:
        """Forget a call whose caller has gone; the peer is told when it was sent."""
        if self._sent.pop(call.id, None):
            self._send_cancel([call.id])
        elif call in self._waiting:
            self._waiting.remove(call)

    def nudge(self) -> None:
        """Dial now if a redial is pending: someone knows that the peer is ready."""
        if self._redial:
            self._redial.cancel()
            self._redial = None
            self._redial_s = 0.0
            self._dial()

    def close(self) -> None:
        """End every call by name and close the lane."""
        self._closed = True
        self._drop_lane("this side closed the channel")
        while self._waiting:
            self._fail_waiting(self._waiting.popleft(), "this side closed the channel")
        for timer in (self._redial, self._alarm, self._silence):
            if timer:
                timer.cancel()

    def statistics(self) -> dict[str, int]:
        """Return counts of calls waiting and in flight, late replies, lanes used."""
        return {
            "waiting": len(self._waiting),
            "in_flight": len(self._sent),
            "late": self._late,
            "lanes": self._lanes,
        }

    # -- making calls -----------------------------------------------------------------------

    def _make(
        self, method: str, arguments: Mapping[str, Any], timeout_s: float, sink: Sink, trace: str
    ) -> Call:
        self._last_id += 1
        call = Call(self._last_id, method, frame.now_us() + int(timeout_s * 1e6), sink)
        packer = self._packer
        fields = (call.id, method, call.deadline_us, packer.lift_arguments(arguments))
        call.record = packer.pack((*fields, trace) if trace else fields)
        if packer.frames:
            call.buffers = packer.take_frames()
        largest = (
            max(len(call.record), *(memoryview(b).nbytes for b in call.buffers))
            if call.buffers
            else len(call.record)
        )
        if largest > codec.LARGEST_BYTES:
            raise errors.TooLarge(
                self.peer, method, f"{largest} bytes, at most {codec.LARGEST_BYTES} are carried"
            )
        return call

    def _no_room(self, method: str) -> errors.WireError:
        if self._closed:
            return errors.NotSent(self.peer, method, "this side closed the channel")
        return errors.Overloaded(self.peer, method, f"{len(self._waiting)} calls wait here already")

    # -- sending ----------------------------------------------------------------------------

    def _flush_tick(self) -> None:
        self._flushing = False
        self._flush()

    def _flush(self) -> None:
        """Send what waits and may be sent; then look once whether something came."""
        if not self._waiting:
            return
        if not self._welcome:
            self._dial_if_none()
            return
        room = self._welcome.credit - len(self._sent)
        while self._waiting and room > 0:
            room -= self._send_batch(min(room, codec.BATCH_RECORDS))
        self._waiting_bytes = sum(len(c.record) for c in self._waiting) if self._waiting else 0
        self._expect_beats()
        self._on_readable()

    def _send_batch(self, room: int) -> int:
        """Send one message of at most `room` calls and BATCH_BYTES; a call with buffers goes alone."""
        batch: list[bytes] = []
        size = 0
        waiting, sent = self._waiting, self._sent
        buffers: list[frame.Bytes] = []
        while waiting and len(batch) < room and size < codec.BATCH_BYTES and not buffers:
            if waiting[0].buffers and batch:
                break
            call = waiting.popleft()
            call.was_sent = True
            sent[call.id] = call
            batch.append(call.record)
            size += len(call.record)
            buffers = call.buffers
        assert self._lane is not None
        self._lane.send(codec.body(frame.CALL, self._incarnation, batch, len(buffers)), buffers)
        return len(batch)

    def _send_cancel(self, ids: list[int]) -> None:
        if self._lane and self._welcome:
            self._flush()
            self._lane.send(codec.single(frame.CANCEL, self._incarnation, ids))
            self._reactor.soon(self._on_readable)

    # -- the lane ---------------------------------------------------------------------------

    def _dial_if_none(self) -> None:
        if not self._lane and not self._redial and not self._closed:
            self._dial()

    def _dial(self) -> None:
        self._redial = None
        if not self._waiting or self._closed:
            return
        self._lane = lane = Lane(self._where())
        self._lanes += 1
        self._reactor.watch(lane.fd, self._on_readable)
        self._reactor.watch(lane.monitor_fd, self._on_monitor)
        self._greeting = self._reactor.later(GREETING_S, self._on_silent_greeting)
        lane.send(codec.single(frame.HELLO, self._incarnation, self._hello))
        self._reactor.soon(self._on_readable)

    def _on_silent_greeting(self) -> None:
        self._drop_lane("it accepts the connection and says nothing")
        self._redial_later()

    def _on_monitor(self) -> None:
        """See whether the connection ended; what arrived before is taken first."""
        lane = self._lane
        reason = lane.ending() if lane else ""
        if reason and lane:
            self._drain()
            self._drop_lane(f"{reason} ({lane.endpoint})")
            self._redial_later()

    def _drop_lane(self, reason: str, error: type[errors.OutcomeUnknown] = errors.PeerLost) -> None:
        """Close the lane; what was sent on it ends, or waits again when it may be repeated."""
        self._why_not = reason
        lane, self._lane, self._welcome = self._lane, None, None
        if self._greeting:
            self._greeting.cancel()
            self._greeting = None
        if lane:
            self._reactor.unwatch(lane.fd)
            self._reactor.unwatch(lane.monitor_fd)
            lane.close()
        lost, self._sent = self._sent, {}
        repeatable = self._idempotent() if lost else ()
        again = {
            i: c for i, c in lost.items() if c.method in repeatable and not c.stream and not self._closed
        }
        for number, call in lost.items():
            if number not in again:
                _end(call, error(self.peer, call.method, reason))
        self._waiting.extendleft(reversed(again.values()))

    def _redial_later(self) -> None:
        if not self._waiting or self._redial or self._closed:
            return
        wait_s = self._redial_s * random.uniform(0.75, 1.0)
        self._redial_s = min(MOST_REDIAL_S, 2 * self._redial_s or FIRST_REDIAL_S)
        self._redial = self._reactor.later(wait_s, self._dial)

    # -- receiving --------------------------------------------------------------------------

    def _on_readable(self) -> None:
        """Take what is there; more than a tick's worth is left for the next one."""
        if self._drain(DRAIN_MESSAGES):
            self._reactor.soon(self._on_readable)
        if self._waiting and self._welcome and not self._flushing:
            self._flushing = True
            self._reactor.soon(self._flush_tick)

    def _drain(self, most: int = 1 << 30) -> bool:
        """Take messages; tell whether it stopped at `most`."""
        lane = self._lane
        for _ in range(most):
            if lane is None or lane is not self._lane:
                return False
            message = lane.receive()
            if message is None:
                return False
            self._take(message)
        return True

    def _take(self, message: list[memoryview]) -> None:
        if not frame.is_argosy(message[0]):
            return
        kind, _, _, _ = frame.read_head(message[0])
        self._heard_us = frame.now_us()
        if kind == frame.REPLY:
            buffers = message[1:]
            for record in codec.read_replies(message[0]):
                self._on_reply(record, buffers)
        elif kind == frame.WELCOME:
            self._on_welcome(codec.read_welcome(message[0]))
        elif kind == frame.BEAT:
            self._on_beat()
        elif kind == frame.STALE:
            self._on_stale(codec.read_ids(message[0]))

    def _on_welcome(self, welcome: codec.Welcome) -> None:
        self._on_beat()
        self._welcome = welcome
        self._redial_s = 0.0
        self._flush()

    def _on_beat(self) -> None:
        """A sign of life; while greeting it says that the peer is there and not ready yet."""
        if self._greeting:
            self._greeting.cancel()
            self._greeting = None
            self._why_not = "it is there and still starting"

    def _on_stale(self, ids: list[int]) -> None:
        """The peer has forgotten this lane: those were not executed, and the next lane may carry them."""
        unsent = [call for number in ids if (call := self._sent.pop(number, None))]
        self._drop_lane("it had forgotten this connection")
        self._waiting.extendleft(reversed(unsent))
        self._redial_later()

    def _on_reply(self, record: codec.ReplyRecord, buffers: list[memoryview]) -> None:
        if record.tag == codec.ITEM:
            call = self._sent.get(record.id)
            if call and call.stream:
                call.stream.item((record.value, buffers))
            return
        call = self._sent.pop(record.id, None)
        if call is None:
            self._late += 1
        elif record.tag == codec.RESULT or record.tag == codec.END:
            if not call.sink.done():
                call.sink.set_result((record.value, buffers))
        else:
            self._on_failure(call, record)

    def _on_failure(self, call: Call, record: codec.ReplyRecord) -> None:
        code, message = codec.unpacker(tuple[str, str]).unpack(record.value)
        if record.tag == codec.REFUSED and code == codec.STOPPING:
            self._after_stopping(call)
            return
        _end(call, _error(self.peer, call.method, record.tag, code, message))

    def _after_stopping(self, call: Call) -> None:
        """It was not executed and its peer is going: the next incarnation may still make it."""
        self._waiting.appendleft(call)
        self._drop_when_empty("it is stopping")

    def _drop_when_empty(self, reason: str) -> None:
        self._why_not = reason
        self._welcome = None  # nothing more goes out on this lane
        if not self._sent:
            self._drop_lane(reason)
            self._redial_later()

    # -- deadlines and beats ----------------------------------------------------------------

    def _set_alarm(self, deadline_us: int) -> None:
        if self._alarm:
            self._alarm.cancel()
        self._alarm_us = deadline_us
        delay_s = max(0.0, (deadline_us - frame.now_us()) / 1e6)
        self._alarm = self._reactor.later(delay_s, self._on_alarm)

    def _on_alarm(self) -> None:
        """End what is past its deadline; a reply that has arrived is taken before."""
        self._alarm, self._alarm_us = None, 0
        self._drain()
        now = frame.now_us()
        overdue = [c for c in self._sent.values() if c.deadline_us <= now]
        for call in overdue:
            del self._sent[call.id]
            _end(call, errors.DeadlineExceeded(self.peer, call.method, "its deadline passed"))
        if overdue:
            self._send_cancel([c.id for c in overdue])
        for call in [c for c in self._waiting if c.deadline_us <= now]:
            self._waiting.remove(call)
            self._fail_waiting(call, self._why_not)
        rest = [c.deadline_us for c in (*self._sent.values(), *self._waiting)]
        if rest:
            self._set_alarm(min(rest))

    def _fail_waiting(self, call: Call, reason: str) -> None:
        """End a call that is on no lane; one that was sent before may have been executed."""
        kind = (
            errors.OutcomeUnknown if call.was_sent and call.method in self._idempotent() else errors.NotSent
        )
        _end(call, kind(self.peer, call.method, reason))

    def _expect_beats(self) -> None:
        if not self._silence and self._sent:
            self._heard_us = frame.now_us()
            self._arm_silence(SILENCE_S)

    def _arm_silence(self, delay_s: float) -> None:
        self._silence_due_us = frame.now_us() + int(delay_s * 1e6)
        self._silence = self._reactor.later(delay_s, self._on_silence)

    def _on_silence(self) -> None:
        """Judge the peer's silence: what arrived is taken first, our own pause is not held against it."""
        self._silence = None
        self._drain()
        if not self._sent:
            return
        now = frame.now_us()
        if now - self._silence_due_us > PAUSE_S * 1e6:
            self._heard_us = now
        quiet_s = (now - self._heard_us) / 1e6
        if quiet_s < SILENCE_S:
            self._arm_silence(SILENCE_S - quiet_s)
            return
        self._drop_lane(f"it gave no sign of life for {quiet_s:.1f} s", errors.PeerFrozen)
        self._redial_later()


def _end(call: Call, error: errors.WireError) -> None:
    if not call.sink.done():
        call.sink.set_exception(error)


def _error(peer: str, method: str, tag: int, code: str, message: str) -> errors.WireError:
    """Return the error that a peer's answer stands for."""
    if tag == codec.ERROR:
        return errors.RemoteError(peer, method, code, message)
    if code == codec.UNKNOWN_METHOD:
        return errors.UnknownMethod(peer, method, code, message)
    if code == codec.BAD_ARGUMENT:
        return errors.BadArgument(peer, method, code, message)
    if code == codec.TOO_LARGE:
        return errors.TooLarge(peer, method, message)
    if code == codec.OVERLOADED:
        return errors.Overloaded(peer, method, message)
    return errors.NotSent(peer, method, message or code)
