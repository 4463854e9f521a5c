"""Measures the cost of reporting: the same agent with a hub and in a fleet without one."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from argosy.hub.store.store_reader import StoreReader
from argosy.wire import connect
from argosy.wire.address_book import AddressBook, AgentAddress, write_address_book
from testbed.runner import interleave

AGENT = """
from argosy.agent import Agent, request, run
class Echo(Agent):
    @request
    async def echo(self, number: int) -> int:
        return number
run(Echo)
"""
IDLE_S = 10.0
CALLS = 400  # of a round
_READY_S = 20.0


def cores() -> list[int]:
    """Return the cores of this process; agents are pinned, so that scheduling does not change the result."""
    return sorted(os.sched_getaffinity(0))


def processor_s(pid: int) -> float:
    """Return the processor seconds of all threads of a process, from the scheduler."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


@contextlib.contextmanager
def running_agents(
    folder: Path, hub: Callable[..., contextlib.AbstractContextManager[Any]]
) -> Iterator[dict[str, int]]:
    """Run an agent with a hub and one without; yield the pids once the hub receives metrics."""
    pids = {}
    with contextlib.ExitStack() as open_:
        for kind, hubs in (("reporting", {"here": AgentAddress("here")}), ("silent", {})):
            runtime = folder / kind
            runtime.mkdir()
            book, everyone = folder / f"{kind}.json", {"Echo": AgentAddress("here")}
            write_address_book(
                book, AddressBook("bench", "testing", ("here",), str(runtime), everyone, hubs=hubs)
            )
            if hubs:
                open_.enter_context(hub(folder, "here", book, folder / "reports.db"))
            process = subprocess.Popen(
                [sys.executable, "-c", AGENT],
                env={**os.environ, "ARGOSY_BOOK": str(book), "ARGOSY_AGENT": "Echo"},
                preexec_fn=lambda: os.sched_setaffinity(0, cores()[-1:]),
            )
            open_.callback(process.wait, 20)
            open_.callback(process.terminate)
            pids[kind] = process.pid
        until = time.monotonic() + _READY_S
        while not _has_reported(folder / "reports.db"):
            if time.monotonic() > until:
                raise TimeoutError(f"the hub received no metrics within {_READY_S:.0f} s")
            time.sleep(0.05)
        yield pids


def _has_reported(path: Path) -> bool:
    if not path.exists():
        return False
    reading = StoreReader(path)
    try:
        return bool(reading.metric_names())
    except sqlite3.OperationalError:  # the database is being created
        return False
    finally:
        reading.close()


def idle_cost(pids: dict[str, int]) -> dict[str, float]:
    """Return the share of a core that each agent uses without requests."""
    before = {kind: processor_s(pid) for kind, pid in pids.items()}
    time.sleep(IDLE_S)
    return {kind: (processor_s(pid) - before[kind]) / IDLE_S for kind, pid in pids.items()}


def request_times(folder: Path, rounds: int) -> dict[str, list[float]]:
    """Return the median time of a request to each agent, per round, in turn."""
    found: dict[str, list[float]] = defaultdict(list)
    kinds = ("reporting", "silent")
    peers = {kind: connect(f"ipc://{folder}/{kind}/z/Echo", timeout=10.0) for kind in kinds}
    own = cores()
    os.sched_setaffinity(0, own[:1])
    for _, kind in interleave(rounds, list(kinds)):
        took = []
        for number in range(CALLS):
            began = time.perf_counter()
            peers[kind].call("echo", number=number)
            took.append(time.perf_counter() - began)
        found[kind].append(sorted(took)[CALLS // 2])
    os.sched_setaffinity(0, own)
    for peer in peers.values():
        peer.close()
    return found
