"""Topics: numbered events, last values, and counts of missed and dropped events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import zmq

from argosy.wire.protocol import codec, frame
from argosy.wire.pubsub.topic import Publisher, Subscriber, TopicEvent, decode_event
from argosy.wire.transport.reactor import LoopReactor
from argosy.wire.zmq_context.context_handle import shared_context


class TopicFixture:
    """Publishers and subscribers on one loop, on endpoints of one test."""

    def __init__(self, folder: Path) -> None:
        self.reactor = LoopReactor(asyncio.get_running_loop())
        self.endpoint = f"inproc://{folder.name}"
        self.made: list[Publisher | Subscriber] = []

    def publisher(self, incarnation: int = 1, name: str = "Ear") -> Publisher:
        made = Publisher(name, incarnation, self.reactor)
        made.bind(self.endpoint)
        self.made.append(made)
        return made

    def subscriber(self, *topics: str) -> tuple[Subscriber, list[tuple[int, object]]]:
        got: list[tuple[int, object]] = []

        def take(event: TopicEvent) -> None:
            got.append((event.sequence, decode_event(event)))

        made = Subscriber(self.reactor, take)
        made.subscribe(topics, [self.endpoint])
        self.made.append(made)
        return made, got


@asynccontextmanager
async def topic_fixture(folder: Path) -> AsyncIterator[TopicFixture]:
    made = TopicFixture(folder)
    try:
        yield made
    finally:
        for each in made.made:
            each.close()


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.001)


async def subscribed(publisher: Publisher, *topics: str) -> None:
    await until(lambda: publisher._subscribed == set(topics))


def test_subscriber_receives_numbered_events_of_its_topic_only(tmp_path: Path) -> None:
    async def main() -> None:
        async with topic_fixture(tmp_path) as on:
            publisher = on.publisher()
            subscriber, got = on.subscriber("speech")
            await subscribed(publisher, "speech")
            for text in "ab":
                publisher.publish("speech", text)
                publisher.publish("speech.heard", "another topic")
            await until(lambda: len(got) == 2)
            publisher.publish("speech", "c")
            await until(lambda: len(got) == 3)
            assert got == [(1, "a"), (2, "b"), (3, "c")]
            assert subscriber.statistics() == {"received": 3, "missed": 0, "dropped": 0}
            assert publisher.statistics() == {"speech": 3, "speech.heard": 2}

    asyncio.run(main())


def test_late_subscriber_gets_last_value_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with topic_fixture(tmp_path) as on:
            publisher = on.publisher()
            for number in range(3):
                publisher.publish("mood", number)
            early, got_early = on.subscriber("mood")
            await until(lambda: got_early)
            late, got_late = on.subscriber("mood")
            await until(lambda: got_late)
            publisher.publish("mood", "new")
            await until(lambda: len(got_early) == 2 and len(got_late) == 2)
            assert got_early == got_late == [(3, 2), (4, "new")]
            assert early.statistics()["missed"] == late.statistics()["missed"] == 0

    asyncio.run(main())


def test_beacon_reveals_loss_at_end_of_stream(tmp_path: Path) -> None:
    async def main() -> None:
        async with topic_fixture(tmp_path) as on:
            publisher = on.publisher()
            subscriber, got = on.subscriber("flood")
            await subscribed(publisher, "flood")
            publisher.publish("flood", 0)
            await until(lambda: got)
            for number in range(10_000):  # without a turn of the loop: far above the mark
                publisher.publish("flood", number)
            await until(lambda: subscriber.statistics()["received"] > 1 and not subscriber._socket.poll(0))
            publisher.beacon()
            await until(lambda: sum(subscriber.statistics().values()) == 10_001)
            assert subscriber.statistics()["missed"] > 0

    asyncio.run(main())


def record(number: int, *, beacon: bool = False) -> codec.EventRecord:
    return codec.EventRecord(number, "Ear", msgspec.Raw(msgspec.msgpack.encode(None)), "", beacon)


@pytest.mark.parametrize(
    ("numbers", "missed", "new"),
    [
        ([1, 2, 3], 0, 3),
        ([5, 6], 0, 2),  # what came before we did is not missed
        ([1, 4], 2, 2),
        ([1, 1, 2, 2], 0, 2),  # last values for others
        ([1, "3", 4], 2, 2),
        (["3", 4], 0, 1),
        ([1, 2, "2", "2"], 0, 2),
    ],
)
def test_subscriber_counts_missed_sequence_numbers(
    tmp_path: Path, numbers: list[int | str], missed: int, new: int
) -> None:
    async def main() -> None:
        async with topic_fixture(tmp_path) as on:
            subscriber, _ = on.subscriber("t")
            taken = [
                subscriber._record_sequence("t", record(int(n), beacon=isinstance(n, str)), 1)
                for n in numbers
            ]
            assert (subscriber.statistics()["missed"], sum(taken)) == (missed, new)

    asyncio.run(main())


def test_subscriber_counts_missed_events_of_new_incarnation(tmp_path: Path) -> None:
    async def main() -> None:
        async with topic_fixture(tmp_path) as on:
            subscriber, _ = on.subscriber("t")
            subscriber._record_sequence("t", record(9), 1)
            assert subscriber._record_sequence("t", record(3), 2)
            assert subscriber.statistics()["missed"] == 2

    asyncio.run(main())


def test_subscriber_drops_and_counts_malformed_messages(tmp_path: Path) -> None:
    async def main() -> None:
        with shared_context().socket(zmq.PUB) as pub:
            pub.linger = 0
            async with topic_fixture(tmp_path) as on:
                pub.bind(on.endpoint)
                subscriber, got = on.subscriber("t")
                noise = [
                    [b"t\0"],
                    [b"t\0", b"x"],
                    [b"t\0", frame.pack_header(frame.EVENT, 1) + b"\x93"],
                    [b"t\0", b"", b""],
                ]
                sent = 0
                while subscriber.statistics()["dropped"] < 40:
                    pub.send_multipart(noise[sent % 4])
                    sent += 1
                    await asyncio.sleep(0)
                assert got == []

    asyncio.run(main())
