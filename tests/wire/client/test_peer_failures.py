"""Peers that die, freeze, start late or never start: every call ends with a named error, none runs late."""

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


def test_killed_peer_ends_calls_in_flight_with_peer_lost(fleet: LittleFleet) -> None:
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


def test_blocking_call_raises_peer_lost_when_peer_is_killed(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo")
    with connect("Echo") as peer:
        peer.echo(text="dialled")
        timer = threading.Timer(0.2, echo.process.kill)
        timer.start()
        with pytest.raises(PeerLost):
            peer.call("wait", seconds=60, timeout=30)
        timer.join()


def test_restarted_peer_executes_no_call_sent_while_down(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo")
    with connect("Echo") as peer:
        peer.note(text="before")
        echo.end(signal.SIGKILL)
        with pytest.raises(NotSent):
            peer.call("note", text="while it was down", timeout=0.3)
        fleet.start("Echo")
        peer.note(text="after")
        assert peer.noted() == ["after"]


def test_call_before_start_of_peer_is_sent_when_it_starts(fleet: LittleFleet) -> None:
    fleet.add("Echo")

    async def use(peer: Peer) -> str:
        call = asyncio.ensure_future(peer.echo(text="early"))
        await asyncio.sleep(0)
        await asyncio.to_thread(fleet.start, "Echo")
        answer: str = await call
        return answer

    assert with_peer(fleet, use) == "early"


def test_call_without_server_raises_not_sent_at_deadline(fleet: LittleFleet) -> None:
    fleet.add("Echo")
    began = time.monotonic()
    with connect("Echo") as peer, pytest.raises(NotSent, match="nobody answers there"):
        peer.call("echo", text="x", timeout=0.3)
    assert 0.3 <= time.monotonic() - began < 1.0


def test_client_sends_no_call_before_handshake_reply(fleet: LittleFleet) -> None:
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


def test_sigstop_raises_peer_frozen_and_sigcont_restores_peer(fleet: LittleFleet) -> None:
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


def test_calls_with_short_deadlines_detect_frozen_peer(fleet: LittleFleet) -> None:
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


def test_live_peer_with_expired_calls_is_not_frozen(fleet: LittleFleet) -> None:
    fleet.start("Echo")

    async def use(peer: Peer) -> tuple[set[str], int]:
        await peer.echo(text="dialled")
        names: set[str] = set()
        for _ in range(5):  # none of them in flight when the half second of a beat is over
            names |= set(await ends([peer.call("wait", seconds=60, timeout=0.2)]))
            await asyncio.sleep(0.35)
        return names, peer._channel.statistics()["connections"]

    assert with_peer(fleet, use) == ({"DeadlineExceeded"}, 1)


def test_long_call_does_not_raise_peer_frozen(fleet: LittleFleet) -> None:
    fleet.start("Echo")
    with connect("Echo") as peer:
        assert peer.wait(seconds=2.0) == "waited"
        assert peer.block(seconds=2.0) == "blocked"


def test_deadline_cancels_remote_handler(fleet: LittleFleet) -> None:
    fleet.start("Echo")
    with connect("Echo") as peer:
        with pytest.raises(DeadlineExceeded):
            peer.call("wait", seconds=60, timeout=0.2)
        until(lambda: peer.noted() == ["wait cancelled"])
        assert peer.call("health")["in_flight"] == 0


def test_agent_does_not_execute_call_read_after_deadline(fleet: LittleFleet) -> None:
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


def test_cancelled_call_cancels_remote_handler(fleet: LittleFleet) -> None:
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


def test_client_retries_only_idempotent_methods(fleet: LittleFleet) -> None:
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


def test_client_sends_idempotent_call_at_most_three_times(fleet: LittleFleet) -> None:
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


def test_calls_to_stopping_peer_wait_for_its_restart(fleet: LittleFleet) -> None:
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


def test_calls_to_stopping_peer_raise_not_sent_at_deadline(fleet: LittleFleet) -> None:
    """It was dialled again every 10 ms, and a deadline that fell between two dials was *exceeded*."""
    echo = fleet.start("LifecyclePrinter", name="Echo")

    async def use(peer: Peer) -> tuple[list[str], dict[str, int]]:
        call = asyncio.ensure_future(peer.work(seconds=1.5))
        while not (await peer.call("health"))["in_flight"]:
            pass
        echo.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(echo.told, "STOPPING=1")
        names = await ends([peer.call("work", seconds=0, timeout=0.1 + n / 100) for n in range(20)])
        async with peer_of(fleet) as other_peer:
            with pytest.raises(NotSent, match="it is stopping"):
                await other_peer.call("work", seconds=0, timeout=0.3)
            assert other_peer.statistics()["connections"] == 1
        peer_statistics = peer.statistics()
        return [*names, *await ends([call])], peer_statistics

    names, peer_statistics = with_peer(fleet, use)
    assert names == ["NotSent"] * 20 + ["reply"]
    assert peer_statistics["connections"] == 1


def test_client_raises_overloaded_beyond_4096_waiting_calls(fleet: LittleFleet) -> None:
    fleet.add("Echo")

    async def use(peer: Peer) -> list[str]:
        calls = [asyncio.ensure_future(peer.call("echo", text="x", timeout=0.5)) for _ in range(MAX_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="4096 calls wait here"):
            await peer.echo(text="one more")
        return await ends(calls)

    assert set(with_peer(fleet, use)) == {"NotSent"}


def test_client_raises_overloaded_beyond_max_streams(fleet: LittleFleet) -> None:
    fleet.start("Echo")
    with connect("Echo") as peer:
        streams = [peer.stream("count", to=10**9) for _ in range(MAX_STREAMS)]
        for each in streams:
            next(each)
        with pytest.raises(Overloaded):
            peer.stream("count", to=1)
        for each in streams:
            each.close()


def test_stream_raises_outcome_unknown_when_server_dies(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo")
    with connect("Echo") as peer:
        items = peer.stream("count", to=10**9, size=10_000)
        next(items)
        echo.process.kill()
        with pytest.raises(OutcomeUnknown):
            for _ in items:
                pass


def test_client_raises_too_large_or_type_error_before_sending(
    fleet: LittleFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def call_as_plain_req_client(url: str, number: int, wrong: list[str]) -> None:
    with zmq.Context() as context, context.socket(zmq.REQ) as req:
        req.linger = 0
        req.rcvtimeo = 10_000
        req.connect(url)
        for turn in range(100):
            text = f"old {number} {turn}"
            req.send_json({"action": "echo", "text": text})
            got = req.recv_json()
            wrong += [] if got == {"result": text} else [f"{text}: {got}"]


def call_blocking(peer: SyncPeer, number: int, wrong: list[str]) -> None:
    for turn in range(100):
        text = f"sync {number} {turn}"
        got = peer.in_thread(text=text)
        wrong += [] if got == text.upper() else [f"{text}: {got}"]
    peer.close()


async def call_in_tasks(peer: Peer, wrong: list[str]) -> None:
    async def one(number: int) -> None:
        for turn in range(100):
            text = f"async {number} {turn}"
            got = await peer.echo(text=text)
            wrong.extend([] if got == text else [f"{text}: {got}"])

    await asyncio.gather(*(one(n) for n in range(16)))


def test_agent_serves_threads_tasks_and_plain_req_clients_concurrently(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo")
    wrong: list[str] = []
    shared = connect("Echo")
    threads = [
        *(
            threading.Thread(target=call_as_plain_req_client, args=(url, n, wrong))
            for n, url in enumerate((echo.url, echo.health_url))
        ),
        *(threading.Thread(target=call_blocking, args=(shared, n, wrong)) for n in range(3)),
    ]
    for thread in threads:
        thread.start()
    with_peer(fleet, lambda peer: call_in_tasks(peer, wrong))
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []


def test_call_to_invalid_endpoint_raises_not_sent() -> None:
    with connect("tcp://nowhere") as peer, pytest.raises(NotSent, match="Invalid argument"):
        peer.call("echo", timeout=0.1)


def test_connect_accepts_endpoint_url(fleet: LittleFleet) -> None:
    echo: Running = fleet.start("Echo")
    with connect(echo.url) as peer:
        assert peer.echo(text="by url") == "by url"
        with pytest.raises(WireError) as told:
            peer.boom()
        assert told.value.peer == echo.url
