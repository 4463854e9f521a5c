"""Topics: numbered publications, counted gaps, a last value for late joiners.

A publisher numbers each topic from 1. The number is repeated as a beacon, since a loss at the
tail (the usual place under a flood) shows in no later number. XPUB_VERBOSE reports each new
subscription to the publisher, which sends that topic's last value again; other subscribers recognise it
by its number. A slow subscriber loses messages and knows how many; it never blocks the publisher.

A message is `[topic and a zero byte][body]`: the zero ends the name, so that a subscription to
`speech` does not match `speech.heard`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import zmq
from msgspec import Raw
from zmq.backend import Socket as Plain

from argosy.wire.protocol import codec, frame
from argosy.wire.transport.reactor import Reactor
from argosy.wire.transport.zmq_connection import bind_endpoint, receive_frames
from argosy.wire.zmq_context.context_handle import shared_context

if TYPE_CHECKING:
    from argosy.wire.security.zap import CurveAuthenticator

MIN_RECONNECT_MS: Final = 20
MAX_RECONNECT_MS: Final = 1000
MAX_DRAIN_MESSAGES: Final = 128
TOPICS_PORT_METHOD: Final = (
    "argosy.topics"  # returns the port an agent publishes on; no handler can have a dot in its name
)

_NOBLOCK: Final = int(zmq.NOBLOCK)
_MORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)


class _LastPublication:
    """The last publication of a topic; `beaconed_sequence` is the number beaconed last."""

    __slots__ = ("beaconed_sequence", "body", "sequence")

    def __init__(self) -> None:
        self.sequence = 0
        self.beaconed_sequence = 0
        self.body = b""


class Publisher:
    """One XPUB with sequence numbers and last values."""

    def __init__(self, name: str, incarnation: int, reactor: Reactor) -> None:
        self.name = name
        self._incarnation = incarnation
        self._reactor = reactor
        self._packer = codec.Packer(separate_buffers=False)
        self._last: dict[str, _LastPublication] = {}
        self._subscribed: set[str] = set()
        self._socket = shared_context().socket(zmq.XPUB)
        self._socket.linger = 0
        self._socket.xpub_verbose = 1
        self._fd: int = self._socket.fileno()
        self._is_poll_due = False
        self._is_closed = False
        reactor.add_reader(self._fd, self._on_subscription)

    def protect(self, authenticator: CurveAuthenticator) -> None:
        """Accept only the fleet's keys on endpoints bound from now on."""
        authenticator.protect(self._socket)

    def bind(self, endpoint: str) -> str:
        """Bind an endpoint; return it with its port; raises RefusedError that names it."""
        bound = bind_endpoint(self._socket, self.name, endpoint)
        self._on_subscription()
        return bound

    def publish(self, topic: str, value: object, trace: str = "") -> int:
        """Send a value to all subscribers and return its number; never blocks.

        Raises TypeError: the value has no encoding.
        """
        last = self._last.get(topic)
        if last is None:
            last = self._last[topic] = _LastPublication()
        record = self._packer.pack((last.sequence + 1, self.name, value, trace))
        last.sequence += 1
        last.body = frame.pack_header(frame.EVENT, self._incarnation) + record
        self._send(topic, last.body)
        return last.sequence

    def beacon(self) -> None:
        """Repeat the last number of each topic that has subscribers."""
        for topic in self._subscribed & self._last.keys():
            record = (self._last[topic].sequence, self.name, None, "", True)
            self._send(topic, codec.encode_single(frame.EVENT, self._incarnation, record))

    def close(self) -> None:
        """Close without linger."""
        self._is_closed = True
        self._reactor.remove_reader(self._fd)
        self._socket.close(0)

    def statistics(self) -> dict[str, int]:
        """Return the last number of each topic."""
        return {topic: last.sequence for topic, last in self._last.items()}

    def _send(self, topic: str, body: bytes) -> None:
        Plain.send(self._socket, topic.encode() + b"\0", _MORE)
        Plain.send(self._socket, body, _NOBLOCK)
        if not self._is_poll_due:
            self._is_poll_due = True
            self._reactor.call_soon(self._on_subscription)

    def _on_subscription(self) -> None:
        """Read subscriptions; a new one gets the topic's last value."""
        self._is_poll_due = False
        if self._is_closed:  # it may have been scheduled for the end of a tick
            return
        while message := receive_frames(self._socket):
            message_bytes = bytes(message[0])
            topic = message_bytes[1:].rstrip(b"\0").decode("utf-8", "replace")
            if message_bytes[:1] == b"\0":
                self._subscribed.discard(topic)
            elif message_bytes[:1] == b"\1":
                self._subscribed.add(topic)
                if topic in self._last:
                    self._send(topic, self._last[topic].body)


class TopicEvent:
    """One publication as a subscriber gets it; the value is not decoded yet."""

    __slots__ = ("publisher", "raw", "sequence", "topic", "trace")

    def __init__(self, topic: str, record: codec.EventRecord) -> None:
        self.topic = topic
        self.publisher = record.publisher
        self.sequence = record.sequence
        self.raw: Raw = record.value
        self.trace = record.trace


class _TopicSequence:
    """The last sequence number of one topic of one incarnation of a publisher."""

    __slots__ = ("incarnation", "sequence")

    def __init__(self, incarnation: int, sequence: int) -> None:
        self.incarnation = incarnation
        self.sequence = sequence


class Subscriber:
    """One SUB on many publishers; passes each new publication to `on_event`, counts missed ones."""

    def __init__(self, reactor: Reactor, on_event: Callable[[TopicEvent], None]) -> None:
        self._reactor = reactor
        self._on_event = on_event
        self._sequences: dict[tuple[str, str], _TopicSequence] = {}
        self._missed = 0
        self._received = 0
        self._dropped = 0
        self._is_closed = False
        self._socket = shared_context().socket(zmq.SUB)
        self._socket.linger = 0
        self._socket.reconnect_ivl = MIN_RECONNECT_MS
        self._socket.reconnect_ivl_max = MAX_RECONNECT_MS
        self._fd: int = self._socket.fileno()
        reactor.add_reader(self._fd, self._on_readable)

    def subscribe(self, topics: Iterable[str], endpoints: Iterable[str]) -> None:
        """Subscribe to these topics at these publishers, which need not be up yet."""
        for topic in topics:
            self._socket.setsockopt(zmq.SUBSCRIBE, topic.encode() + b"\0")
        for endpoint in endpoints:
            self._socket.connect(endpoint)
        self._reactor.call_soon(self._on_readable)

    def close(self) -> None:
        """Close without linger."""
        self._is_closed = True
        self._reactor.remove_reader(self._fd)
        self._socket.close(0)

    def statistics(self) -> dict[str, int]:
        """Return how many publications were received, missed, and invalid."""
        return {"received": self._received, "missed": self._missed, "dropped": self._dropped}

    def _on_readable(self) -> None:
        if self._is_closed:
            return
        for _ in range(MAX_DRAIN_MESSAGES):
            message = receive_frames(self._socket)
            if message is None:
                return
            self.on_message(message)
        self._reactor.call_soon(self._on_readable)

    def on_message(self, message: list[memoryview]) -> None:
        """Handle one message of a publisher; one that is not a publication is counted and dropped."""
        try:
            self._decode_message(message)
        except codec.DECODE_ERRORS:
            self._dropped += 1

    def _decode_message(self, message: list[memoryview]) -> None:
        if len(message) != 2 or not (head := frame.unpack_header(message[1])):
            self._dropped += 1
            return
        kind, _, _, incarnation, _ = head
        if kind != frame.EVENT:
            self._dropped += 1
            return
        topic = bytes(message[0]).rstrip(b"\0").decode()
        record = codec.read_event(message[1])
        if self._record_sequence(topic, record, incarnation):
            self._received += 1
            self._on_event(TopicEvent(topic, record))

    def _record_sequence(self, topic: str, record: codec.EventRecord, incarnation: int) -> bool:
        """Update a sequence; False for beacons and for last values seen before."""
        key = record.publisher, topic
        sequence = self._sequences.get(key)
        if sequence is None or sequence.incarnation != incarnation:
            # Publications from before this subscriber's start do not count as missed.
            before = 0 if sequence is not None else record.sequence - (not record.beacon)
            sequence = self._sequences[key] = _TopicSequence(incarnation, before)
        ahead = record.sequence - sequence.sequence
        if ahead <= 0:
            return False
        self._missed += ahead - (not record.beacon)
        sequence.sequence = record.sequence
        return not record.beacon


def decode_event(event: TopicEvent, target_type: Any = Any) -> Any:
    """Decode an event's value; raises msgspec.DecodeError with the path of what does not fit."""
    return codec.unpackers.get(target_type).unpack(event.raw)
