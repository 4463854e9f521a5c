"""Peers that die, freeze, come late or never: every call ends by name, none is executed late."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
import zmq

from argosy.wire import NotSent, OutcomeUnknown, Overloaded, PeerFrozen, TooLarge, WireError, connect
from argosy.wire.address_book import AddressResolver
from argosy.wire.client.channel import MAX_STREAMS, MAX_WAITING
from argosy.wire.client.peer import Peer
from argosy.wire.client.sync_peer import SyncPeer, named_channel
from argosy.wire.errors import DeadlineExceeded, PeerLost
from argosy.wire.protocol import codec
from argosy.wire.transport.reactor import LoopReactor
from launch import LittleFleet, Running, little_fleet, until

T = TypeVar("T")


@pytest.fixture(params=["link", "tcp"])
def fleet(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[LittleFleet]:
    """The same must hold between neighbours and between machines."""
    with little_fleet(is_remote=request.param == "tcp") as made:
        monkeypatch.setenv("ARGOSY_BOOK", str(made.path))
        yield made


@asynccontextmanager
async def peer_of(fleet: LittleFleet, name: str = "Echo") -> AsyncIterator[Peer]:
    channel = named_channel(name, AddressResolver(fleet.path), LoopReactor(asyncio.get_running_loop()))
    try:
        yield Peer(channel, 10.0)
    finally:
        channel.close()


def with_peer(fleet: LittleFleet, use: Callable[[Peer], Awaitable[T]]) -> T:
    async def main() -> T:
        async with peer_of(fleet) as peer:
            return await use(peer)

    return asyncio.run(main())


async def ends(calls: list[Awaitable[Any]]) -> list[str]:
    answers = await asyncio.gather(*calls, return_exceptions=True)
    return [type(a).__name__ if isinstance(a, BaseException) else "reply" for a in answers]


def test_a_killed_peer_ends_every_call_in_flight_by_name(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo")

    async def use(peer: Peer) -> tuple[list[str], float]:
        await peer.echo(text="dialled")
        calls = [asyncio.ensure_future(peer.wait(seconds=60)) for _ in range(100)]
        while (await peer.call("health"))["in_flight"] < 100:
            pass
        echo.process.kill()
        killed = time.monotonic()
        return await ends(calls), time.monotonic() - killed

    names, seconds = with_peer(fleet, use)
    assert names == ["PeerLost"] * 100
    assert seconds < 1.0


def test_a_blocking_caller_learns_of_a_killed_peer(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo")
    with connect("Echo") as peer:
        peer.echo(text="dialled")
        timer = threading.Timer(0.2, echo.process.kill)
        timer.start()
        with pytest.raises(PeerLost):
            peer.call("wait", seconds=60, timeout=30)
        timer.join()


def test_a_restarted_peer_is_found_and_executes_nothing_old(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo")
    with connect("Echo") as peer:
        peer.note(text="before")
        echo.end(signal.SIGKILL)
        with pytest.raises(NotSent):
            peer.call("note", text="while it was down", timeout=0.3)
        fleet.start("Echo")
        peer.note(text="after")
        assert peer.noted() == ["after"]


def test_what_waits_for_a_peer_is_sent_when_it_comes(fleet: LittleFleet) -> None:
    fleet.add("Echo")

    async def use(peer: Peer) -> str:
        call = asyncio.ensure_future(peer.echo(text="early"))
        await asyncio.sleep(0)
        await asyncio.to_thread(fleet.start, "Echo")
        answer: str = await call
        return answer

    assert with_peer(fleet, use) == "early"


def test_nobody_there_is_not_sent_at_its_deadline(fleet: LittleFleet) -> None:
    fleet.add("Echo")
    began = time.monotonic()
    with connect("Echo") as peer, pytest.raises(NotSent, match="nobody answers there"):
        peer.call("echo", text="x", timeout=0.3)
    assert 0.3 <= time.monotonic() - began < 1.0


def test_a_peer_that_accepts_and_is_silent_gets_nothing(fleet: LittleFleet) -> None:
    entry = fleet.add("Echo")
    with zmq.Context() as context, context.socket(zmq.ROUTER) as silent:
        silent.linger = 0
        silent.bind(f"tcp://{entry.bind}:{entry.port}")
        with connect("Echo") as peer, pytest.raises(NotSent, match="did not answer"):
            peer.call("echo", text="x", timeout=0.3)
        silent.rcvtimeo = 1000
        kinds = [silent.recv_multipart()[1][4]]
        while silent.poll(50):
            kinds.append(silent.recv_multipart()[1][4])
    assert set(kinds) == {1}  # HELLO and nothing else


def test_a_stopped_peer_is_frozen_and_works_again_when_continued(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo")

    async def use(peer: Peer) -> tuple[str, float, str]:
        await peer.echo(text="dialled")
        call = asyncio.ensure_future(peer.wait(seconds=60))
        while not (await peer.call("health"))["in_flight"]:
            pass
        echo.process.send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        with pytest.raises(PeerFrozen, match="gave no sign of life"):
            await call
        seconds = time.monotonic() - stopped
        echo.process.send_signal(signal.SIGCONT)
        return "frozen", seconds, await peer.echo(text="again")

    _, seconds, again = with_peer(fleet, use)
    assert again == "again"
    assert seconds < 2.5  # 1.5 by the rule, the rest for a busy machine


def test_a_stopped_peer_is_found_by_calls_with_short_deadlines(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo")

    async def use(peer: Peer) -> set[str]:
        await peer.echo(text="dialled")
        echo.process.send_signal(signal.SIGSTOP)
        names: set[str] = set()
        ends_at = time.monotonic() + 30
        while "NotSent" not in names and time.monotonic() < ends_at:  # no lane carries it
            names |= set(await ends([peer.call("echo", text="x", timeout=0.3)]))
        echo.process.send_signal(signal.SIGCONT)
        assert await peer.echo(text="again") == "again"
        return names

    assert "NotSent" in with_peer(fleet, use)


def test_a_living_peer_whose_calls_are_all_cancelled_is_not_frozen(fleet: LittleFleet) -> None:
    fleet.start("Echo")

    async def use(peer: Peer) -> tuple[set[str], int]:
        await peer.echo(text="dialled")
        names: set[str] = set()
        for _ in range(5):  # none of them in flight when the half second of a beat is over
            names |= set(await ends([peer.call("wait", seconds=60, timeout=0.2)]))
            await asyncio.sleep(0.35)
        return names, peer._channel.statistics()["connections"]

    assert with_peer(fleet, use) == ({"DeadlineExceeded"}, 1)


def test_a_long_call_of_a_living_peer_is_not_frozen(fleet: LittleFleet) -> None:
    fleet.start("Echo")
    with connect("Echo") as peer:
        assert peer.wait(seconds=2.0) == "waited"
        assert peer.block(seconds=2.0) == "blocked"


def test_a_deadline_cancels_the_handler_there(fleet: LittleFleet) -> None:
    fleet.start("Echo")
    with connect("Echo") as peer:
        with pytest.raises(DeadlineExceeded):
            peer.call("wait", seconds=60, timeout=0.2)
        until(lambda: peer.noted() == ["wait cancelled"])
        assert peer.call("health")["in_flight"] == 0


def test_what_its_agent_did_not_read_in_time_is_not_executed(fleet: LittleFleet) -> None:
    fleet.start("Echo")

    async def use(peer: Peer) -> list[str]:
        await peer.echo(text="dialled")
        hang = asyncio.ensure_future(peer.hang(seconds=0.6))  # the loop itself is busy
        await asyncio.sleep(0.1)
        with pytest.raises(DeadlineExceeded):
            await peer.call("note", text="too late", timeout=0.2)
        await hang
        noted: list[str] = await peer.noted()
        return noted

    assert with_peer(fleet, use) == []


def test_a_cancelled_caller_cancels_the_handler(fleet: LittleFleet) -> None:
    fleet.start("Echo")

    async def use(peer: Peer) -> int:
        await peer.echo(text="dialled")
        call = asyncio.ensure_future(peer.wait(seconds=60))
        while not (await peer.call("health"))["in_flight"]:
            pass
        call.cancel()
        while await peer.noted() != ["wait cancelled"]:
            pass
        return peer.statistics()["in_flight"]

    assert with_peer(fleet, use) == 0


def test_only_idempotent_methods_are_asked_again(fleet: LittleFleet) -> None:
    fleet.add("Echo", idempotent=("wait",))
    echo = fleet.start("Echo")

    async def use(peer: Peer) -> list[str]:
        await peer.echo(text="dialled")
        calls = [asyncio.ensure_future(c) for c in (peer.wait(seconds=0.5), peer.count(to=10**9))]
        while (await peer.call("health"))["in_flight"] < 2:
            pass
        await asyncio.to_thread(echo.end, signal.SIGKILL)
        await asyncio.to_thread(fleet.start, "Echo")
        return await ends(calls)

    assert with_peer(fleet, use) == ["reply", "PeerLost"]


def test_an_idempotent_call_is_sent_three_times_at_most(fleet: LittleFleet) -> None:
    """Each time its peer is killed while it executes: after the third there is no fourth."""
    fleet.add("Echo", idempotent=("wait",))

    async def use(peer: Peer) -> list[str]:
        call = asyncio.ensure_future(peer.call("wait", seconds=60, timeout=60))
        pending = []
        for _ in range(3):
            echo = await asyncio.to_thread(fleet.start, "Echo")
            with connect("Echo") as observer:
                await asyncio.to_thread(
                    until, lambda observer=observer: observer.call("health")["in_flight"] == 1
                )
            await asyncio.to_thread(echo.end, signal.SIGKILL)
            await asyncio.wait([call], timeout=0.5 if len(pending) < 2 else 20)
            pending.append(not call.done())
        assert pending == [True, True, False]
        return await ends([call])

    assert with_peer(fleet, use) == ["PeerLost"]


def test_calls_to_a_stopping_peer_wait_for_the_next_one(fleet: LittleFleet) -> None:
    echo = fleet.start("LifecyclePrinter", name="Echo")

    async def use(peer: Peer) -> list[str]:
        call = asyncio.ensure_future(peer.work(seconds=0.5))
        while not (await peer.call("health"))["in_flight"]:
            pass
        echo.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(echo.told, "STOPPING=1")
        late = asyncio.ensure_future(peer.work(seconds=0))
        names = await ends([call])
        await asyncio.to_thread(echo.end)
        await asyncio.to_thread(fleet.start, "LifecyclePrinter", name="Echo")
        return names + await ends([late])

    assert with_peer(fleet, use) == ["reply", "reply"]


def test_calls_to_a_stopping_peer_are_not_sent_at_their_deadline(fleet: LittleFleet) -> None:
    """It was dialled again every 10 ms, and a deadline that fell between two dials was *exceeded*."""
    echo = fleet.start("LifecyclePrinter", name="Echo")

    async def use(peer: Peer) -> tuple[list[str], dict[str, int]]:
        call = asyncio.ensure_future(peer.work(seconds=1.5))
        while not (await peer.call("health"))["in_flight"]:
            pass
        echo.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(echo.told, "STOPPING=1")
        names = await ends([peer.call("work", seconds=0, timeout=0.1 + n / 100) for n in range(20)])
        async with peer_of(fleet) as stranger:
            with pytest.raises(NotSent, match="it is stopping"):
                await stranger.call("work", seconds=0, timeout=0.3)
            assert stranger.statistics()["connections"] == 1
        lanes = peer.statistics()
        return [*names, *await ends([call])], lanes

    names, lanes = with_peer(fleet, use)
    assert names == ["NotSent"] * 20 + ["reply"]
    assert lanes["connections"] == 1


def test_too_much_is_refused_by_name(fleet: LittleFleet) -> None:
    fleet.add("Echo")

    async def use(peer: Peer) -> list[str]:
        calls = [asyncio.ensure_future(peer.call("echo", text="x", timeout=0.5)) for _ in range(MAX_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="4096 calls wait here"):
            await peer.echo(text="one more")
        return await ends(calls)

    assert set(with_peer(fleet, use)) == {"NotSent"}


def test_too_many_streams_are_refused_by_name(fleet: LittleFleet) -> None:
    fleet.start("Echo")
    with connect("Echo") as peer:
        streams = [peer.stream("count", to=10**9) for _ in range(MAX_STREAMS)]
        for each in streams:
            next(each)
        with pytest.raises(Overloaded):
            peer.stream("count", to=1)
        for each in streams:
            each.close()


def test_a_stream_ends_by_name_when_its_source_dies(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo")
    with connect("Echo") as peer:
        items = peer.stream("count", to=10**9, size=10_000)
        next(items)
        echo.process.kill()
        with pytest.raises(OutcomeUnknown):
            for _ in items:
                pass


def test_too_large_is_told_on_either_side(fleet: LittleFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.start("Echo")
    monkeypatch.setattr(codec, "MAX_RECORD_BYTES", 1_000_000)
    with connect("Echo") as peer:
        with pytest.raises(TooLarge, match="at most 1000000 are carried"):
            peer.echo(text="x" * 2_000_000)
        with pytest.raises(TooLarge):
            peer.size(data=b"x" * 2_000_000)
        with pytest.raises(TypeError, match="no encoding"):
            peer.echo(text=object())
        assert peer.echo(text="x") == "x"


def ask_as_old_speaker(url: str, number: int, wrong: list[str]) -> None:
    with zmq.Context() as context, context.socket(zmq.REQ) as req:
        req.linger = 0
        req.rcvtimeo = 10_000
        req.connect(url)
        for turn in range(100):
            text = f"old {number} {turn}"
            req.send_json({"action": "echo", "text": text})
            got = req.recv_json()
            wrong += [] if got == {"result": text} else [f"{text}: {got}"]


def ask_blocking(peer: SyncPeer, number: int, wrong: list[str]) -> None:
    for turn in range(100):
        text = f"sync {number} {turn}"
        got = peer.in_thread(text=text)
        wrong += [] if got == text.upper() else [f"{text}: {got}"]
    peer.close()


async def ask_in_tasks(peer: Peer, wrong: list[str]) -> None:
    async def one(number: int) -> None:
        for turn in range(100):
            text = f"async {number} {turn}"
            got = await peer.echo(text=text)
            wrong.extend([] if got == text else [f"{text}: {got}"])

    await asyncio.gather(*(one(n) for n in range(16)))


def test_threads_and_tasks_and_old_speakers_use_one_agent_at_once(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo")
    wrong: list[str] = []
    shared = connect("Echo")
    threads = [
        *(
            threading.Thread(target=ask_as_old_speaker, args=(url, n, wrong))
            for n, url in enumerate((echo.url, echo.health_url))
        ),
        *(threading.Thread(target=ask_blocking, args=(shared, n, wrong)) for n in range(3)),
    ]
    for thread in threads:
        thread.start()
    with_peer(fleet, lambda peer: ask_in_tasks(peer, wrong))
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []


def test_an_endpoint_that_is_none_is_told_at_the_deadline() -> None:
    with connect("tcp://nowhere") as peer, pytest.raises(NotSent, match="Invalid argument"):
        peer.call("echo", timeout=0.1)


def test_an_endpoint_is_a_peer_too(fleet: LittleFleet) -> None:
    echo: Running = fleet.start("Echo")
    with connect(echo.url) as peer:
        assert peer.echo(text="by url") == "by url"
        with pytest.raises(WireError) as told:
            peer.boom()
        assert told.value.peer == echo.url
