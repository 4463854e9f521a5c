"""Measures how soon 100 requests in flight end after their peer is killed or stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from argosy.fault import Fault, RefusedError
from argosy.wire.address_book import AddressResolver
from argosy.wire.client.peer import Peer
from argosy.wire.client.sync_peer import named_channel
from argosy.wire.transport.reactor import LoopReactor
from wire_cases.bench_processes import BenchProcesses

IN_FLIGHT: Final = 100
_VICTIM: Final = "Falling"
_PATIENCE_S: Final = 20.0


class FailureLatency(msgspec.Struct, frozen=True):
    """Milliseconds from the signal until the first and the last request ended with a named error."""

    first_ms: float
    last_ms: float


def measure_failure(processes: BenchProcesses, number: signal.Signals, expected: str) -> FailureLatency:
    """Start an agent, keep requests in flight to it, and send it a signal.

    expected: the error that each request must end with.
    Raises RefusedError: a request ended otherwise, or not at all.
    """
    server = processes.agent(_VICTIM, "wire_cases.echo_agent:Echo")
    try:
        return asyncio.run(_fall(processes, server.pid, number, expected))
    finally:
        server.end()


async def _fall(processes: BenchProcesses, pid: int, number: signal.Signals, expected: str) -> FailureLatency:
    channel = named_channel(_VICTIM, AddressResolver(processes.book), LoopReactor(asyncio.get_running_loop()))
    peer = Peer(channel, _PATIENCE_S)
    ended: list[tuple[str, float]] = []

    async def hold() -> None:
        try:
            await peer.call("hold", seconds=2 * _PATIENCE_S, timeout=_PATIENCE_S)
            name = "reply"
        except Exception as error:
            name = type(error).__name__
        ended.append((name, time.monotonic()))

    try:
        await peer.call("health")
        held = [asyncio.create_task(hold()) for _ in range(IN_FLIGHT)]
        while (await peer.call("health"))["in_flight"] < IN_FLIGHT:
            await asyncio.sleep(0.001)
        os.kill(pid, number)
        signalled = time.monotonic()
        await asyncio.wait(held)
    finally:
        channel.close()
    _check(ended, expected)
    times = [(at - signalled) * 1000 for _, at in ended]
    return FailureLatency(min(times), max(times))


def _check(ended: Sequence[tuple[str, float]], expected: str) -> None:
    wrong = sorted({name for name, _ in ended if name != expected})
    if wrong or len(ended) != IN_FLIGHT:
        message = f"of {IN_FLIGHT} requests in flight {len(ended)} ended, some with {', '.join(wrong)}"
        raise RefusedError(Fault("bench", "wrong-end", f"{message}; expected `{expected}` for each"))
