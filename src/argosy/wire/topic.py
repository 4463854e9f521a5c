"""Topics: numbered publications, gaps that are counted, a last value for late joiners.

A publisher numbers each topic from 1. The number is repeated as a beacon, since a loss at the
tail (the usual place under a flood) shows in no later number. XPUB_VERBOSE tells the publisher
of each new subscription, and it sends that topic's last value again; others know it by its
number. A slow subscriber loses messages and knows how many; it never stops the publisher.

A message is `[topic and a zero byte][body]`: the zero ends the name, so that a subscription to
`speech` does not take `speech.heard` too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import zmq
from msgspec import Raw
from zmq.backend import Socket as Plain

from argosy.wire import codec, frame
from argosy.wire.binding import bind
from argosy.wire.lane import receive
from argosy.wire.lease import shared_context
from argosy.wire.reactor import Reactor

if TYPE_CHECKING:
    from argosy.wire.admission import Admission

FIRST_RECONNECT_MS: Final = 20
MOST_RECONNECT_MS: Final = 1000
DRAIN_MESSAGES: Final = 128
PORT_METHOD: Final = (
    "argosy.topics"  # asks an agent where it publishes; no handler can have a dot in its name
)

_NOBLOCK: Final = int(zmq.NOBLOCK)
_MORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)


class _Last:
    """The last publication of a topic; `told` is the number that was beaconed last."""

    __slots__ = ("body", "number", "told")

    def __init__(self) -> None:
        self.number = 0
        self.told = 0
        self.body = b""


class Publisher:
    """One XPUB with numbers and last values."""

    def __init__(self, name: str, incarnation: int, reactor: Reactor) -> None:
        self.name = name
        self._incarnation = incarnation
        self._reactor = reactor
        self._packer = codec.Packer(apart=False)
        self._last: dict[str, _Last] = {}
        self._wanted: set[str] = set()
        self._socket = shared_context().socket(zmq.XPUB)
        self._socket.linger = 0
        self._socket.xpub_verbose = 1
        self._fd: int = self._socket.fileno()
        self._looking = False
        self._is_closed = False
        reactor.watch(self._fd, self._on_subscription)

    def guard(self, admission: Admission) -> None:
        """Take only the fleet's keys at what is bound from now on."""
        admission.guard(self._socket)

    def bind(self, endpoint: str) -> str:
        """Listen there; return the endpoint with its port; raises RefusedError that names it."""
        bound = bind(self._socket, self.name, endpoint)
        self._on_subscription()
        return bound

    def publish(self, topic: str, value: object, trace: str = "") -> int:
        """Send a value to whoever subscribes and return its number; never blocks.

        Raises TypeError: the value has no encoding.
        """
        last = self._last.get(topic)
        if last is None:
            last = self._last[topic] = _Last()
        record = self._packer.pack((last.number + 1, self.name, value, trace))
        last.number += 1
        last.body = frame.head(frame.EVENT, self._incarnation) + record
        self._send(topic, last.body)
        return last.number

    def beacon(self) -> None:
        """Repeat the last number of each topic that somebody subscribes to."""
        for topic in self._wanted & self._last.keys():
            record = (self._last[topic].number, self.name, None, "", True)
            self._send(topic, codec.single(frame.EVENT, self._incarnation, record))

    def close(self) -> None:
        """Close at once."""
        self._is_closed = True
        self._reactor.unwatch(self._fd)
        self._socket.close(0)

    def statistics(self) -> dict[str, int]:
        """Return the last number of each topic."""
        return {topic: last.number for topic, last in self._last.items()}

    def _send(self, topic: str, body: bytes) -> None:
        Plain.send(self._socket, topic.encode() + b"\0", _MORE)
        Plain.send(self._socket, body, _NOBLOCK)
        if not self._looking:
            self._looking = True
            self._reactor.soon(self._on_subscription)

    def _on_subscription(self) -> None:
        """Take subscriptions; a new one gets the topic's last value."""
        self._looking = False
        if self._is_closed:  # it may have been due at the end of a tick
            return
        while message := receive(self._socket):
            said = bytes(message[0])
            topic = said[1:].rstrip(b"\0").decode("utf-8", "replace")
            if said[:1] == b"\0":
                self._wanted.discard(topic)
            elif said[:1] == b"\1":
                self._wanted.add(topic)
                if topic in self._last:
                    self._send(topic, self._last[topic].body)


class Event:
    """One publication as a subscriber gets it; the value is decoded by who wants it."""

    __slots__ = ("number", "publisher", "raw", "topic", "trace")

    def __init__(self, topic: str, record: codec.EventRecord) -> None:
        self.topic = topic
        self.publisher = record.publisher
        self.number = record.number
        self.raw: Raw = record.value
        self.trace = record.trace


class _Feed:
    """What is known of one topic of one incarnation of one publisher."""

    __slots__ = ("incarnation", "number")

    def __init__(self, incarnation: int, number: int) -> None:
        self.incarnation = incarnation
        self.number = number


class Subscriber:
    """One SUB on many publishers; gives each new publication to `deliver`, counts what was missed."""

    def __init__(self, reactor: Reactor, deliver: Callable[[Event], None]) -> None:
        self._reactor = reactor
        self._deliver = deliver
        self._feeds: dict[tuple[str, str], _Feed] = {}
        self._missed = 0
        self._received = 0
        self._dropped = 0
        self._is_closed = False
        self._socket = shared_context().socket(zmq.SUB)
        self._socket.linger = 0
        self._socket.reconnect_ivl = FIRST_RECONNECT_MS
        self._socket.reconnect_ivl_max = MOST_RECONNECT_MS
        self._fd: int = self._socket.fileno()
        reactor.watch(self._fd, self._on_readable)

    def subscribe(self, topics: Iterable[str], endpoints: Iterable[str]) -> None:
        """Take these topics from these publishers, now or whenever they come up."""
        for topic in topics:
            self._socket.setsockopt(zmq.SUBSCRIBE, topic.encode() + b"\0")
        for endpoint in endpoints:
            self._socket.connect(endpoint)
        self._reactor.soon(self._on_readable)

    def close(self) -> None:
        """Close at once."""
        self._is_closed = True
        self._reactor.unwatch(self._fd)
        self._socket.close(0)

    def statistics(self) -> dict[str, int]:
        """Return how many publications came, were missed, and were not understood."""
        return {"received": self._received, "missed": self._missed, "dropped": self._dropped}

    def _on_readable(self) -> None:
        if self._is_closed:
            return
        for _ in range(DRAIN_MESSAGES):
            message = receive(self._socket)
            if message is None:
                return
            self.take(message)
        self._reactor.soon(self._on_readable)

    def take(self, message: list[memoryview]) -> None:
        """Take one message of a publisher; what is none is counted and dropped."""
        try:
            self._take(message)
        except codec.UNREADABLE:
            self._dropped += 1

    def _take(self, message: list[memoryview]) -> None:
        if len(message) != 2 or not (head := frame.read_head(message[1])):
            self._dropped += 1
            return
        kind, _, _, incarnation, _ = head
        if kind != frame.EVENT:
            self._dropped += 1
            return
        topic = bytes(message[0]).rstrip(b"\0").decode()
        record = codec.read_event(message[1])
        if self._is_new(topic, record, incarnation):
            self._received += 1
            self._deliver(Event(topic, record))

    def _is_new(self, topic: str, record: codec.EventRecord, incarnation: int) -> bool:
        """Keep count of a feed; false for beacons and for last values that were seen before."""
        key = record.publisher, topic
        feed = self._feeds.get(key)
        if feed is None or feed.incarnation != incarnation:
            # Of a publisher that was there before us, what came before is not ours to miss.
            before = 0 if feed is not None else record.number - (not record.beacon)
            feed = self._feeds[key] = _Feed(incarnation, before)
        ahead = record.number - feed.number
        if ahead <= 0:
            return False
        self._missed += ahead - (not record.beacon)
        feed.number = record.number
        return not record.beacon


def decode_event(event: Event, of: Any = Any) -> Any:
    """Decode an event's value; raises msgspec.DecodeError with the path of what does not fit."""
    return codec.unpackers.of(of).unpack(event.raw)
